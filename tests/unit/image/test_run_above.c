#include "image/run_above.h"

#include "tl_test.h"

#include "image_fixture.h"

#include <libdeflate.h>

/* Parses, codes, writes and inflates again; returns the size of the block. */
static size_t round_trip(const uint8_t *bytes, size_t size, size_t stride)
{
    uint8_t *padded = calloc(size + RUN_ABOVE_PAD, 1);
    uint16_t *tokens = malloc(size * sizeof(*tokens));
    struct run_above_code *code = malloc(sizeof(*code));

    memcpy(padded, bytes, size);
    size_t count = run_above_parse(padded, size, stride, tokens);
    assert_in_range(count, 1, size);
    size_t deflated = run_above_code_make(tokens, count, stride, code);
    uint8_t *out = malloc(deflated + RUN_ABOVE_SLACK), *back = malloc(size);
    run_above_write(code, tokens, count, out);

    struct libdeflate_decompressor *inflater = libdeflate_alloc_decompressor();
    size_t taken = 0, made = 0;
    assert_int_equal(
        libdeflate_deflate_decompress_ex(inflater, out, deflated, back, size, &taken, &made),
        LIBDEFLATE_SUCCESS);
    assert_int_equal(taken, deflated);
    assert_int_equal(made, size);
    assert_memory_equal(back, bytes, size);
    libdeflate_free_decompressor(inflater);
    free(padded);
    free(tokens);
    free(code);
    free(out);
    free(back);
    return deflated;
}

TEST(any_bytes_at_any_stride_inflate_to_themselves)
{
    uint64_t seed = 11;
    uint8_t bytes[3000];

    for (unsigned round = 0; round < 3000; round++) {
        size_t size = 1 + next_random(&seed) % sizeof(bytes);
        size_t stride = 2 + next_random(&seed) % (round % 4 ? 300 : 32767);
        unsigned values = 1 + next_random(&seed) % 256, same = next_random(&seed) % 8;

        for (size_t i = 0; i < size; i++) {
            bytes[i] = (uint8_t)(next_random(&seed) % values);
            if (i >= 1 && next_random(&seed) % 8 < same)
                bytes[i] = i >= stride && round % 2 ? bytes[i - stride] : bytes[i - 1];
        }
        round_trip(bytes, size, stride);
    }
}

TEST(every_stride_has_its_distance_symbol)
{
    uint8_t *bytes = malloc(70000);
    uint64_t seed = 12;

    for (size_t stride = 2; stride <= RUN_ABOVE_STRIDE_MAX; stride += 1 + stride / 40) {
        size_t size = 2 * stride + 9;

        for (size_t i = 0; i < size; i++)
            bytes[i] = i < stride ? (uint8_t)next_random(&seed) : bytes[i - stride];
        size_t deflated = round_trip(bytes, size, stride);
        if (stride > 1000)
            assert_true(deflated < size * 3 / 4); /* the second row costs next to nothing */
    }
    free(bytes);
}

TEST(lengths_around_the_longest_match_inflate_to_themselves)
{
    uint8_t bytes[1200];

    memset(bytes, 7, sizeof(bytes));
    for (size_t size = 1; size < sizeof(bytes); size++)
        round_trip(bytes, size, 2 + size % 40);
}

TEST(noise_grows_by_less_than_two_percent)
{
    enum { SIZE = 65536 };
    uint64_t seed = 13;
    uint8_t *bytes = malloc(SIZE);

    for (size_t i = 0; i < SIZE; i++)
        bytes[i] = (uint8_t)next_random(&seed);
    assert_true(round_trip(bytes, SIZE, 257) < SIZE * 102 / 100);
    free(bytes);
}

RUN(T(any_bytes_at_any_stride_inflate_to_themselves), T(every_stride_has_its_distance_symbol),
    T(lengths_around_the_longest_match_inflate_to_themselves),
    T(noise_grows_by_less_than_two_percent))
