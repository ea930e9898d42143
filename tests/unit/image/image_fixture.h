/*
 * Pictures to encode, and libpng as the second opinion on what was written.
 */
#ifndef TILTH_TESTS_IMAGE_FIXTURE_H
#define TILTH_TESTS_IMAGE_FIXTURE_H

#include "base/blob.h"
#include "image/palette.h"

#include <png.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* xorshift64*: the same numbers on every machine. */
static inline uint32_t next_random(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)((*state * UINT64_C(2685821657736338717)) >> 32);
}

static inline struct palette random_palette(unsigned count, uint64_t *state)
{
    struct palette palette = {.count = (uint16_t)count};

    for (unsigned i = 0; i < count; i++)
        for (unsigned c = 0; c < 4; c++)
            palette.rgba[i][c] = (uint8_t)next_random(state);
    return palette;
}

enum picture { NOISE, FLAT, STRIPES_ACROSS, STRIPES_DOWN, PATCHES, SPECKLE, PICTURE_COUNT };

static inline uint8_t pixel_of(enum picture kind, uint32_t x, uint32_t y, unsigned count,
                               uint64_t *state)
{
    uint32_t patch = (x / 13 * 2654435761U) ^ (y / 7 * 2246822519U);

    switch (kind) {
    case NOISE:
        return (uint8_t)(next_random(state) % count);
    case FLAT:
        return (uint8_t)(count - 1);
    case STRIPES_ACROSS:
        return (uint8_t)(y / 3 % count);
    case STRIPES_DOWN:
        return (uint8_t)(x % count);
    case PATCHES:
        return (uint8_t)((patch >> 8) % count);
    case SPECKLE:
        return (uint8_t)(next_random(state) % 50 == 0 ? next_random(state) % count
                                                      : (patch >> 8) % count);
    case PICTURE_COUNT:
        break;
    }
    abort();
}

static inline void draw(enum picture kind, uint32_t width, uint32_t height, unsigned count,
                        uint64_t *state, uint8_t *ret_indices)
{
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            ret_indices[(size_t)y * width + x] = pixel_of(kind, x, y, count, state);
}

/* What libpng reads; `pixels` has `channels` bytes each, the caller's to free(). */
struct seen {
    uint32_t width, height;
    int depth, colour, channels;
    struct palette palette;
    uint8_t *pixels;
};

struct reading {
    const uint8_t *next, *end;
};

static void read_some(png_structp png, png_bytep bytes, size_t size)
{
    struct reading *reading = png_get_io_ptr(png);

    if ((size_t)(reading->end - reading->next) < size)
        png_error(png, "the file ends early");
    memcpy(bytes, reading->next, size);
    reading->next += size;
}

static void see_palette(png_structp png, png_infop info, struct palette *ret_palette)
{
    png_colorp colours = NULL;
    png_bytep alphas = NULL;
    int count = 0, alpha_count = 0;

    png_get_PLTE(png, info, &colours, &count);
    png_get_tRNS(png, info, &alphas, &alpha_count, NULL);
    ret_palette->count = (uint16_t)count;
    for (int i = 0; i < count; i++) {
        ret_palette->rgba[i][0] = colours[i].red;
        ret_palette->rgba[i][1] = colours[i].green;
        ret_palette->rgba[i][2] = colours[i].blue;
        ret_palette->rgba[i][3] = i < alpha_count ? alphas[i] : 255;
    }
}

/* Warnings count as failures: a strict decoder would refuse the file. */
static void refuse_warning(png_structp png, png_const_charp message)
{
    png_error(png, message);
}

static void quiet(png_structp png, png_const_charp message)
{
    fprintf(stderr, "libpng: %s\n", message);
    png_longjmp(png, 1);
}

static bool see_rows(png_structp png, png_infop info, struct seen *ret_seen)
{
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_read_info(png, info);
    ret_seen->width = png_get_image_width(png, info);
    ret_seen->height = png_get_image_height(png, info);
    ret_seen->depth = png_get_bit_depth(png, info);
    ret_seen->colour = png_get_color_type(png, info);
    ret_seen->channels = png_get_channels(png, info);
    see_palette(png, info, &ret_seen->palette);
    png_set_packing(png);
    ret_seen->pixels = malloc((size_t)ret_seen->width * ret_seen->height * 4);
    for (uint32_t y = 0; y < ret_seen->height; y++)
        png_read_row(
            png, ret_seen->pixels + (size_t)y * ret_seen->width * (size_t)ret_seen->channels, NULL);
    png_read_end(png, NULL);
    return true;
}

static inline bool see(const struct blob *blob, struct seen *ret_seen)
{
    struct reading reading = {blob_bytes(blob), blob_bytes(blob) + blob_size(blob)};
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, NULL, quiet, refuse_warning);
    png_infop info = png_create_info_struct(png);

    memset(ret_seen, 0, sizeof(*ret_seen));
    png_set_read_fn(png, &reading, read_some);
    bool good = see_rows(png, info, ret_seen) && reading.next == reading.end;
    png_destroy_read_struct(&png, &info, NULL);
    if (!good) {
        free(ret_seen->pixels);
        ret_seen->pixels = NULL;
    }
    return good;
}

#endif
