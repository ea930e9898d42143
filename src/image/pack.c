#include "image/pack.h"

#include "base/attr.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "pixels are packed in words");

typedef uint8_t lanes __attribute__((vector_size(16)));

uint8_t pack_max(const uint8_t *indices, size_t count)
{
    lanes most = {0};
    uint8_t max = 0;
    size_t i = 0;

    for (; i + sizeof(lanes) <= count; i += sizeof(lanes)) {
        lanes next;

        memcpy(&next, indices + i, sizeof(next));
        lanes above = (lanes)(next > most);
        most = (next & above) | (most & ~above);
    }
    for (; i < count; i++)
        max = TL_MAX(max, indices[i]);
    for (i = 0; i < sizeof(lanes); i++)
        max = TL_MAX(max, most[i]);
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

void unpack_row(const uint8_t *packed, size_t count, unsigned depth, uint8_t *ret_indices)
{
    unsigned per_byte = 8 / depth, mask = (1U << depth) - 1;

    if (depth == 8) {
        memcpy(ret_indices, packed, count);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        unsigned shift = 8 - depth - (unsigned)(i % per_byte) * depth;

        ret_indices[i] = (uint8_t)(packed[i / per_byte] >> shift & mask);
    }
}
