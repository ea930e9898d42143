#include "image/run_above.h"

#include "base/attr.h"
#include "base/check.h"
#include "image/huffman.h"

#include <stdbool.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "bytes are compared in words");

/* ---- tokens ---- */

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof(word));
    return word;
}

/* Equal bytes at p and q, at most 8. */
static inline unsigned equal8(const uint8_t *p, const uint8_t *q)
{
    uint64_t differ = load64(p) ^ load64(q);

    return differ ? (unsigned)__builtin_ctzll(differ) >> 3 : 8;
}

/* Continues a match whose first 8 bytes are equal; may look MATCH_MAX + 7 bytes ahead. */
static inline unsigned extend(const uint8_t *p, const uint8_t *q, const uint8_t *end)
{
    unsigned room = (unsigned)TL_MIN(end - p, (ptrdiff_t)MATCH_MAX);
    unsigned length = 8;

    while (length < room) {
        unsigned more = equal8(p + length, q + length);

        length += more;
        if (more < 8)
            break;
    }
    return TL_MIN(length, room);
}

struct match {
    unsigned length;
    unsigned kind; /* TOKEN_RUN or TOKEN_ABOVE */
};

/*
 * What the choice of tokens weighs, measured on 256 x 256 tiles of 16 classes: a distance of
 * one costs a single bit, a distance of a row its extra bits besides (6 for a tile of 256
 * pixels at 4 bits), about the price of one literal.
 */
enum {
    ABOVE_BIAS = 1,  /* above wins when it is longer than the run by more than this */
    ABOVE_MIN = 4,   /* shorter ones are cheaper as literals */
    LAZY_BELOW = 32, /* a longer match is taken at once, a shorter one if the next is not longer */
};

/* The better of the two matches at p. */
static inline struct match best_match(const uint8_t *p, const uint8_t *end, size_t stride,
                                      bool has_above)
{
    unsigned run = equal8(p, p - 1);
    unsigned above = has_above ? equal8(p, p - stride) : 0;

    if (run == 8)
        run = extend(p, p - 1, end);
    if (above == 8)
        above = extend(p, p - stride, end);
    if (above > run + ABOVE_BIAS)
        return (struct match){.length = above, .kind = TOKEN_ABOVE};
    return (struct match){.length = run, .kind = TOKEN_RUN};
}

/* Tokens from *at up to `limit`; the last match may pass it, to `end` at most. */
static inline uint16_t *parse(const uint8_t **at, const uint8_t *limit, const uint8_t *end,
                              size_t stride, bool has_above, uint16_t *token)
{
    const uint8_t *p = *at;

    while (p < limit) {
        struct match match = best_match(p, end, stride, has_above);

        bool lazy = match.length >= MATCH_MIN && match.length < LAZY_BELOW;

        if (match.length < (match.kind == TOKEN_ABOVE ? ABOVE_MIN : MATCH_MIN) ||
            (lazy && best_match(p + 1, end, stride, has_above).length > match.length)) {
            *token++ = *p++;
        } else {
            *token++ = (uint16_t)(match.kind + match.length);
            p += match.length;
        }
    }
    *at = p;
    return token;
}

size_t run_above_parse(const uint8_t *bytes, size_t size, size_t stride, uint16_t *ret_tokens)
{
    const uint8_t *p = bytes, *end = bytes + size;
    const uint8_t *row1 = bytes + TL_MIN(stride, size);
    const uint8_t *tail = end - TL_MIN(size, 9); /* from here on equal8() would pass the end */
    uint16_t *token = ret_tokens;

    TL_CHECK(size > 0 && stride >= 2 && stride <= RUN_ABOVE_STRIDE_MAX);
    *token++ = *p++;
    token = parse(&p, TL_MIN(row1, tail), end, stride, false, token);
    token = parse(&p, tail, end, stride, true, token);
    while (p < end)
        *token++ = *p++;
    return (size_t)(token - ret_tokens);
}

/* ---- the code ---- */

/* RFC 1951 3.2.5: symbols 257..285 start at these lengths and carry this many extra bits. */
static const uint16_t length_base[29] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                         15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                         67, 83, 99, 115, 131, 163, 195, 227, 258};
static const uint8_t length_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                         2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};

enum {
    END_OF_BLOCK = 256,
    FIRST_LENGTH = 257,
    LITLEN_COUNT = 286,
    PRECODE_COUNT = 19,
    PRECODE_BITS_MAX = 7,
    DISTANCE_RUN = 0, /* the symbol of distance 1 */
};

/* Symbol of each match length, as an offset from FIRST_LENGTH. */
static void length_symbols(uint8_t ret_symbols[MATCH_MAX + 1])
{
    for (unsigned symbol = 0; symbol < 29; symbol++) {
        unsigned last = symbol < 28 ? length_base[symbol] + (1U << length_extra[symbol]) - 1 : 258;

        for (unsigned length = length_base[symbol]; length <= TL_MIN(last, 258); length++)
            ret_symbols[length] = (uint8_t)symbol;
    }
}

/* A distance as DEFLATE writes it: symbol, then extra bits. */
struct distance {
    unsigned symbol, extra, extra_bits;
};

/* Symbols come in pairs for each number of extra bits, from distance 5 on. */
static struct distance distance_of(size_t stride)
{
    unsigned d = (unsigned)stride - 1;

    if (d < 4)
        return (struct distance){.symbol = d};
    unsigned extra_bits = 30 - (unsigned)__builtin_clz(d);
    return (struct distance){
        .symbol = 2 * extra_bits + (d >> extra_bits),
        .extra = d & ((1U << extra_bits) - 1),
        .extra_bits = extra_bits,
    };
}

/* Bits are packed from the lowest up. */
struct bit_writer {
    uint8_t *next;
    uint64_t bits;
    unsigned count; /* below 8 between calls */
};

/* At most 56 bits; stores 8 bytes, of which the whole ones are kept. */
static inline void put_bits(struct bit_writer *writer, uint64_t bits, unsigned count)
{
    writer->bits |= bits << writer->count;
    writer->count += count;
    memcpy(writer->next, &writer->bits, sizeof(writer->bits));
    writer->next += writer->count >> 3;
    writer->bits >>= writer->count & ~7U;
    writer->count &= 7;
}

/* One instruction of the code for code lengths: RFC 1951 3.2.7. */
struct length_run {
    uint8_t symbol, extra, extra_bits;
};

static unsigned run_of(const uint8_t *lengths, unsigned count, unsigned most)
{
    unsigned n = 1;

    while (n < count && n < most && lengths[n] == lengths[0])
        n++;
    return n;
}

/* Writes `lengths` as instructions: 16 repeats the last 3..6 times, 17 and 18 are zeros. */
static unsigned shorten_lengths(const uint8_t *lengths, unsigned count, struct length_run *ret_runs)
{
    unsigned n = 0;

    for (unsigned i = 0; i < count;) {
        unsigned zeros = lengths[i] == 0 ? run_of(lengths + i, count - i, 138) : 0;
        unsigned again =
            i > 0 && lengths[i] == lengths[i - 1] ? run_of(lengths + i, count - i, 6) : 0;
        unsigned taken = 1;

        if (zeros >= 11)
            ret_runs[n] = (struct length_run){18, (uint8_t)((taken = zeros) - 11), 7};
        else if (zeros >= 3)
            ret_runs[n] = (struct length_run){17, (uint8_t)((taken = zeros) - 3), 3};
        else if (again >= 3)
            ret_runs[n] = (struct length_run){16, (uint8_t)((taken = again) - 3), 2};
        else
            ret_runs[n] = (struct length_run){lengths[i], 0, 0};
        n++;
        i += taken;
    }
    return n;
}

/* The block header: the litlen and distance code lengths, themselves Huffman-coded. */
static void write_header(struct run_above_code *code, const uint8_t *lengths, unsigned litlens,
                         unsigned distances)
{
    static const uint8_t order[PRECODE_COUNT] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                 11, 4,  12, 3, 13, 2, 14, 1, 15};
    struct length_run runs[LITLEN_COUNT + 30];
    uint32_t weights[PRECODE_COUNT] = {0};
    uint8_t precode_lengths[PRECODE_COUNT];
    uint16_t precodes[PRECODE_COUNT];
    struct bit_writer writer = {.next = code->header};
    unsigned run_count = shorten_lengths(lengths, litlens + distances, runs);
    unsigned sent = PRECODE_COUNT;

    for (unsigned i = 0; i < run_count; i++)
        weights[runs[i].symbol]++;
    huffman_lengths(weights, PRECODE_COUNT, PRECODE_BITS_MAX, precode_lengths);
    huffman_codes(precode_lengths, PRECODE_COUNT, precodes);
    while (sent > 4 && precode_lengths[order[sent - 1]] == 0)
        sent--;

    put_bits(&writer, 1 | 2 << 1, 3); /* the last block, with its own codes */
    put_bits(&writer, litlens - 257, 5);
    put_bits(&writer, distances - 1, 5);
    put_bits(&writer, sent - 4, 4);
    for (unsigned i = 0; i < sent; i++)
        put_bits(&writer, precode_lengths[order[i]], 3);
    for (unsigned i = 0; i < run_count; i++) {
        put_bits(&writer, precodes[runs[i].symbol], precode_lengths[runs[i].symbol]);
        put_bits(&writer, runs[i].extra, runs[i].extra_bits);
    }
    code->header_bits = (uint32_t)(writer.next - code->header) * 8 + writer.count;
}

/* What each token is written as: symbol, extra bits of the length, distance. */
static void fill_tokens(struct run_above_code *code, const uint8_t *lengths, const uint16_t *codes,
                        struct distance above)
{
    for (unsigned i = 0; i < 256; i++) {
        code->bits[i] = codes[i];
        code->bit_count[i] = lengths[i];
    }
    for (unsigned i = 0; i < 29; i++) {
        unsigned symbol = FIRST_LENGTH + i, most = i < 28 ? 1U << length_extra[i] : 1;

        for (unsigned extra = 0; extra < most && length_base[i] + extra <= MATCH_MAX; extra++) {
            unsigned length = length_base[i] + extra;
            unsigned at = lengths[symbol] + length_extra[i];
            uint64_t bits = codes[symbol] | (uint64_t)extra << lengths[symbol];

            /* Two distance codes of one bit: 0 is a run, 1 is above. */
            code->bits[TOKEN_RUN + length] = bits;
            code->bit_count[TOKEN_RUN + length] = (uint8_t)(at + 1);
            code->bits[TOKEN_ABOVE + length] = bits | (1 | (uint64_t)above.extra << 1) << at;
            code->bit_count[TOKEN_ABOVE + length] = (uint8_t)(at + 1 + above.extra_bits);
        }
    }
    code->end_code = codes[END_OF_BLOCK];
    code->end_bits = lengths[END_OF_BLOCK];
}

size_t run_above_code_make(const uint16_t *tokens, size_t count, size_t stride,
                           struct run_above_code *ret_code)
{
    uint32_t seen[TOKEN_COUNT] = {0};
    uint32_t weights[LITLEN_COUNT];
    uint8_t lengths[LITLEN_COUNT + 30] = {0}, symbols[MATCH_MAX + 1];
    uint16_t codes[LITLEN_COUNT];
    struct distance above = distance_of(stride);
    unsigned litlens = LITLEN_COUNT, distances = above.symbol + 1;

    for (size_t i = 0; i < count; i++)
        seen[tokens[i]]++;
    memcpy(weights, seen, 256 * sizeof(*weights));
    memset(weights + 256, 0, (LITLEN_COUNT - 256) * sizeof(*weights));
    weights[END_OF_BLOCK] = 1;
    length_symbols(symbols);
    for (unsigned length = MATCH_MIN; length <= MATCH_MAX; length++)
        weights[FIRST_LENGTH + symbols[length]] +=
            seen[TOKEN_RUN + length] + seen[TOKEN_ABOVE + length];
    huffman_lengths(weights, LITLEN_COUNT, HUFFMAN_BITS_MAX, lengths);
    huffman_codes(lengths, LITLEN_COUNT, codes);
    fill_tokens(ret_code, lengths, codes, above);

    while (lengths[litlens - 1] == 0)
        litlens--;
    memset(lengths + litlens, 0, sizeof(lengths) - litlens);
    lengths[litlens + DISTANCE_RUN] = 1;
    lengths[litlens + above.symbol] = 1;
    write_header(ret_code, lengths, litlens, distances);

    uint64_t bits = ret_code->header_bits + (uint64_t)ret_code->end_bits;
    for (unsigned i = 0; i < TOKEN_COUNT; i++)
        bits += (uint64_t)seen[i] * ret_code->bit_count[i];
    return (size_t)((bits + 7) / 8);
}

void run_above_write(const struct run_above_code *code, const uint16_t *tokens, size_t count,
                     uint8_t *ret_bytes)
{
    unsigned whole = code->header_bits / 8;
    struct bit_writer writer = {
        .next = ret_bytes + whole,
        .bits = code->header_bits % 8 ? code->header[whole] : 0,
        .count = code->header_bits % 8,
    };

    memcpy(ret_bytes, code->header, whole);
    for (size_t i = 0; i < count; i++)
        put_bits(&writer, code->bits[tokens[i]], code->bit_count[tokens[i]]);
    put_bits(&writer, code->end_code, code->end_bits);
    put_bits(&writer, 0, writer.count ? 8 - writer.count : 0);
}
