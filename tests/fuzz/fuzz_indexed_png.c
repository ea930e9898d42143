/*
 * Bytes as a cached tile: decode and restyle take any input, and what decodes encodes to a
 * file that decodes to the same pixels.
 */
#include "base/arena.h"
#include "base/blob.h"
#include "base/check.h"
#include "image/indexed_png.h"
#include "image/palette.h"

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { AT_PLTE_LENGTH = 33, PIXELS_MAX = 1 << 20 };

static struct palette palette_of(const uint8_t *png)
{
    unsigned bytes = (unsigned)png[AT_PLTE_LENGTH + 2] << 8 | png[AT_PLTE_LENGTH + 3];
    struct palette palette = {.count = (uint16_t)(bytes / 3)};

    memset(palette.rgba, 0x5a, sizeof(palette.rgba));
    return palette;
}

static void encode_again(const uint8_t *indices, uint32_t width, uint32_t height,
                         const struct palette *palette, struct arena *arena)
{
    struct tl_err err;
    uint32_t again_width, again_height;
    uint8_t *again;
    AUTO(blob) png = NULL;

    TL_CHECK(indexed_png_encode(&(struct index_image){indices, width, height}, palette, arena, &png,
                                &err) == TL_OK);
    TL_CHECK(indexed_png_decode(png, arena, &again_width, &again_height, &again, &err) == TL_OK);
    TL_CHECK(again_width == width && again_height == height);
    TL_CHECK(memcmp(indices, again, (size_t)width * height) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tl_err err;
    uint32_t width, height;
    uint8_t *indices;
    AUTO(arena) arena = arena_new();
    AUTO(blob) png = blob_copy(data, size);

    if (!arena || !png)
        return 0;
    if (indexed_png_decode(png, arena, &width, &height, &indices, &err) != TL_OK)
        return 0;
    struct palette palette = palette_of(data);
    AUTO(blob) styled = NULL;
    TL_CHECK(indexed_png_restyle(png, &palette, &styled, &err) == TL_OK);
    TL_CHECK(blob_size(styled) == size);
    if ((size_t)width * height <= PIXELS_MAX)
        encode_again(indices, width, height, &palette, arena);
    return 0;
}
