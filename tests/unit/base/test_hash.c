#include "base/hash.h"

#include "tl_test.h"

#include <string.h>

/* Cached files outlive the program: these values must never change. */
TEST(the_hashes_are_the_published_ones)
{
    char hex[33];

    assert_true(hash64("", 0) == UINT64_C(0x2d06800538d394c2));
    hash128_hex(hash128("", 0), hex);
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
}

TEST(a_join_depends_on_the_order)
{
    struct hash128 a = hash128("a", 1), b = hash128("b", 1);

    assert_true(hash128_equal(hash128_join(a, b), hash128_join(a, b)));
    assert_false(hash128_equal(hash128_join(a, b), hash128_join(b, a)));
    assert_false(hash128_equal(a, b));
}

/* Model files are written by zlib's. */
TEST(the_crc32_is_that_of_zlib)
{
    uint8_t all[256];

    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (uint8_t)i;
    assert_int_equal(hash_crc32("", 0), 0);
    assert_int_equal(hash_crc32("123456789", 9), 0xcbf43926);
    assert_int_equal(hash_crc32(all, sizeof(all)), 0x29058c73);
}

/* The definition, a bit at a time. */
static uint32_t plain_crc32(const uint8_t *bytes, size_t size)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < size; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320 : 0);
    }
    return ~crc;
}

TEST(the_crc32_of_many_bytes_is_the_same_for_every_length_and_alignment)
{
    static uint8_t bytes[5000];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 2654435761U >> 13);
    for (size_t at = 0; at < 9; at++)
        for (size_t size = 4080; size < 4120; size++)
            assert_int_equal(hash_crc32(bytes + at, size), plain_crc32(bytes + at, size));
}

RUN(T(the_hashes_are_the_published_ones), T(a_join_depends_on_the_order),
    T(the_crc32_is_that_of_zlib),
    T(the_crc32_of_many_bytes_is_the_same_for_every_length_and_alignment))
