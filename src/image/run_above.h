/*
 * run_above: DEFLATE for rows of class pixels. Of all LZ77 distances only two are tried:
 * one byte back (a run) and one row up (above). docs/indexed-png.md says why that is enough.
 *
 * Threads  any
 * Memory   the caller's
 * Source   RFC 1951
 */
#ifndef TILTH_IMAGE_RUN_ABOVE_H
#define TILTH_IMAGE_RUN_ABOVE_H

#include <stddef.h>
#include <stdint.h>

enum {
    RUN_ABOVE_PAD = 16,           /* readable bytes that run_above_parse() needs after its input */
    RUN_ABOVE_SLACK = 8,          /* writable bytes that run_above_write() needs after its output */
    RUN_ABOVE_STRIDE_MAX = 32768, /* RFC 1951: the farthest distance */

    MATCH_MIN = 3,
    MATCH_MAX = 258,

    /* A token is a literal byte, a run or a match with the row above. */
    TOKEN_RUN = 256 - MATCH_MIN,             /* + length */
    TOKEN_ABOVE = TOKEN_RUN + MATCH_MAX - 2, /* + length */
    TOKEN_COUNT = TOKEN_ABOVE + MATCH_MAX + 1,
};

/*
 * Splits `bytes` into tokens; ret_tokens has room for `size`. Rows are `stride` bytes long,
 * 2..RUN_ABOVE_STRIDE_MAX; size > 0. O(size).
 */
size_t run_above_parse(const uint8_t *bytes, size_t size, size_t stride, uint16_t *ret_tokens);

/* One dynamic-Huffman block: its header, and for each token the bits that stand for it. */
struct run_above_code {
    uint64_t bits[TOKEN_COUNT];
    uint8_t bit_count[TOKEN_COUNT];
    uint16_t end_code;
    uint8_t end_bits;
    uint32_t header_bits;
    uint8_t header[640];
};

/* Makes the code for these tokens and returns how many bytes they take. */
size_t run_above_code_make(const uint16_t *tokens, size_t count, size_t stride,
                           struct run_above_code *ret_code);
/* Writes the block, byte for byte as long as run_above_code_make() said. */
void run_above_write(const struct run_above_code *code, const uint16_t *tokens, size_t count,
                     uint8_t *ret_bytes);

#endif
