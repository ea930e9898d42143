#include "image/pack.h"

#include "base/attr.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "pixels are packed in words");

uint8_t pack_max(const uint8_t *indices, size_t count)
{
    /* As many maxima as a vector has lanes, four vectors side by side: compilers see it. */
    enum { LANES = 64 };
    uint8_t most[LANES] = {0}, max = 0;
    size_t i = 0;

    for (; i + LANES <= count; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            most[lane] = TL_MAX(most[lane], indices[i + lane]);
    for (; i < count; i++)
        max = TL_MAX(max, indices[i]);
    for (size_t lane = 0; lane < LANES; lane++)
        max = TL_MAX(max, most[lane]);
    return max;
}

/*
 * Eight pixels, one per byte and the first in the lowest, fold into `depth` bytes: each step
 * joins neighbours, left one in the higher bits, and halves the lanes that count.
 */
static inline uint64_t fold8(uint64_t pixels, unsigned depth)
{
    uint64_t x = (pixels << depth | pixels >> 8) & UINT64_C(0x00ff00ff00ff00ff);

    if (depth <= 2)
        x = (x << 2 * depth | x >> 16) & UINT64_C(0x000000ff000000ff);
    if (depth == 1)
        return (x << 4 | x >> 32) & 0xff;
    if (depth == 2)
        return (x | x >> 24) & 0xffff;
    x = (x | x >> 8) & UINT64_C(0x0000ffff0000ffff);
    return (x | x >> 16) & 0xffffffff;
}

static inline void pack_words(const uint8_t *indices, size_t words, unsigned depth, uint8_t *out)
{
    for (size_t i = 0; i < words; i++) {
        uint64_t pixels;

        memcpy(&pixels, indices + 8 * i, sizeof(pixels));
        pixels = fold8(pixels, depth);
        memcpy(out + i * depth, &pixels, depth);
    }
}

void pack_row(const uint8_t *indices, size_t count, unsigned depth, uint8_t *ret_packed)
{
    size_t words = count / 8, rest = count % 8;
    uint8_t last[8] = {0};

    if (depth == 8) {
        memcpy(ret_packed, indices, count);
        return;
    }
    if (depth == 4)
        pack_words(indices, words, 4, ret_packed);
    else if (depth == 2)
        pack_words(indices, words, 2, ret_packed);
    else
        pack_words(indices, words, 1, ret_packed);
    if (rest == 0)
        return;
    memcpy(last, indices + 8 * words, rest);
    uint64_t pixels;
    memcpy(&pixels, last, sizeof(pixels));
    pixels = fold8(pixels, depth);
    memcpy(ret_packed + words * depth, &pixels, (rest * depth + 7) / 8);
}

/* `depth` is a constant wherever this is inlined, so the inner loop is a few shifts. */
static inline void unpack_bytes(const uint8_t *packed, size_t count, unsigned depth, uint8_t *out)
{
    unsigned per_byte = 8 / depth, mask = (1U << depth) - 1;

    for (; count >= per_byte; count -= per_byte, packed++)
        for (unsigned i = 1; i <= per_byte; i++)
            *out++ = (uint8_t)(*packed >> (8 - i * depth) & mask);
    for (unsigned i = 1; i <= count; i++)
        *out++ = (uint8_t)(*packed >> (8 - i * depth) & mask);
}

void unpack_row(const uint8_t *packed, size_t count, unsigned depth, uint8_t *ret_indices)
{
    if (depth == 8)
        memcpy(ret_indices, packed, count);
    else if (depth == 4)
        unpack_bytes(packed, count, 4, ret_indices);
    else if (depth == 2)
        unpack_bytes(packed, count, 2, ret_indices);
    else
        unpack_bytes(packed, count, 1, ret_indices);
}
