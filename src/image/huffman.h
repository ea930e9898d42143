/*
 * huffman: prefix codes of bounded length for DEFLATE.
 *
 * Threads  any
 * Memory   none; the caller's arrays
 * Source   RFC 1951, 3.2.2
 */
#ifndef TILTH_IMAGE_HUFFMAN_H
#define TILTH_IMAGE_HUFFMAN_H

#include <stdint.h>

enum {
    HUFFMAN_SYMBOLS_MAX = 288,
    HUFFMAN_BITS_MAX = 15,
};

/*
 * Code lengths of a complete code, 1..limit_bits for every symbol that occurs, 0 for the
 * others. With fewer than two such symbols one or two more are given a code, because an
 * inflater may refuse an incomplete one. Minimal where the limit does not bind, otherwise
 * within a fraction of a percent of it. 2 <= count <= HUFFMAN_SYMBOLS_MAX <= 2^limit_bits.
 * O(count).
 */
void huffman_lengths(const uint32_t *weights, unsigned count, unsigned limit_bits,
                     uint8_t *ret_lengths);

/* The canonical codes of `lengths`, first bit lowest, as DEFLATE sends them. */
void huffman_codes(const uint8_t *lengths, unsigned count, uint16_t *ret_codes);

#endif
