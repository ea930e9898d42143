#include "image/huffman.h"

#include "tl_test.h"

#include "base/attr.h"
#include "image_fixture.h"

/* Sum of 2^-length in units of 2^-15: a complete code fills 32768. */
static unsigned filled(const uint8_t *lengths, unsigned count)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < count; i++)
        sum += lengths[i] ? 32768U >> lengths[i] : 0;
    return sum;
}

static uint64_t cost(const uint32_t *weights, const uint8_t *lengths, unsigned count)
{
    uint64_t bits = 0;

    for (unsigned i = 0; i < count; i++)
        bits += (uint64_t)weights[i] * lengths[i];
    return bits;
}

static unsigned longest(const uint8_t *lengths, unsigned count)
{
    unsigned most = 0;

    for (unsigned i = 0; i < count; i++)
        most = TL_MAX(most, lengths[i]);
    return most;
}

/* The textbook: join the two lightest until one is left; each join lengthens what it holds. */
static uint64_t textbook_cost(const uint32_t *weights, unsigned count)
{
    uint64_t nodes[HUFFMAN_SYMBOLS_MAX], bits = 0;
    unsigned n = 0;

    for (unsigned i = 0; i < count; i++)
        if (weights[i])
            nodes[n++] = weights[i];
    while (n > 1) {
        for (unsigned end = 0; end < 2; end++)
            for (unsigned i = 0; i + 1 < n - end; i++)
                if (nodes[i] < nodes[i + 1]) {
                    uint64_t swap = nodes[i];
                    nodes[i] = nodes[i + 1];
                    nodes[i + 1] = swap;
                }
        nodes[n - 2] += nodes[n - 1];
        bits += nodes[--n - 1];
    }
    return bits;
}

TEST(codes_are_complete_and_as_short_as_the_textbook_says)
{
    uint64_t seed = 3;

    for (unsigned round = 0; round < 2000; round++) {
        uint32_t weights[HUFFMAN_SYMBOLS_MAX] = {0};
        uint8_t lengths[HUFFMAN_SYMBOLS_MAX];
        unsigned count = 2 + next_random(&seed) % 285, used = 0;

        for (unsigned i = 0; i < count; i++) {
            weights[i] = next_random(&seed) % 3 ? next_random(&seed) % (1 + round) : 0;
            used += weights[i] > 0;
        }
        if (used < 2)
            continue;
        huffman_lengths(weights, count, 15, lengths);
        assert_int_equal(filled(lengths, count), 32768);
        for (unsigned i = 0; i < count; i++)
            assert_int_equal(weights[i] > 0, lengths[i] > 0);
        /* At 15 bits the limit may have bound: then a thousandth is allowed. */
        uint64_t best = textbook_cost(weights, count), got = cost(weights, lengths, count);
        assert_in_range(got, best, longest(lengths, count) < 15 ? best : best + best / 1000);
    }
}

TEST(fibonacci_weights_stay_within_the_limit)
{
    for (unsigned limit = 7; limit <= 15; limit++) {
        uint32_t weights[40] = {1, 1};
        uint8_t lengths[40];

        for (unsigned i = 2; i < 40; i++)
            weights[i] = weights[i - 1] + weights[i - 2];
        huffman_lengths(weights, 40, limit, lengths);
        assert_int_equal(filled(lengths, 40), 32768);
        for (unsigned i = 0; i < 40; i++)
            assert_in_range(lengths[i], 1, limit);
        for (unsigned i = 1; i < 40; i++)
            assert_true(lengths[i] <= lengths[i - 1]);
    }
}

TEST(a_code_never_has_fewer_than_two_symbols)
{
    for (unsigned only = 0; only < 5; only++) {
        uint32_t weights[4] = {0};
        uint8_t lengths[4];

        if (only < 4)
            weights[only] = 17;
        huffman_lengths(weights, 4, 7, lengths);
        assert_int_equal(filled(lengths, 4), 32768);
        if (only < 4)
            assert_int_equal(lengths[only], 1);
    }
}

TEST(codes_are_canonical_and_no_code_starts_another)
{
    /* The example of RFC 1951, 3.2.2: lengths (3, 3, 3, 3, 3, 2, 4, 4). */
    static const uint8_t lengths[8] = {3, 3, 3, 3, 3, 2, 4, 4};
    static const unsigned expected[8] = {2, 3, 4, 5, 6, 0, 14, 15};
    uint16_t codes[8];

    huffman_codes(lengths, 8, codes);
    for (unsigned i = 0; i < 8; i++) {
        unsigned forward = 0;

        for (unsigned bit = 0; bit < lengths[i]; bit++)
            forward = forward << 1 | (codes[i] >> bit & 1);
        assert_int_equal(forward, expected[i]);
    }
}

RUN(T(codes_are_complete_and_as_short_as_the_textbook_says),
    T(fibonacci_weights_stay_within_the_limit), T(a_code_never_has_fewer_than_two_symbols),
    T(codes_are_canonical_and_no_code_starts_another))
