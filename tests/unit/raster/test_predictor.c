#include "raster/predictor.h"

#include "tl_test.h"

#include <stdlib.h>
#include <string.h>

enum { WIDTH = 37, HEIGHT = 5, BANDS_MAX = 6 };

/* The definition of TIFF 6.0, section 14, forwards, one sample at a time. */
#define DEFINE_DIFFERENCE(type)                                                            \
    static void difference_##type(const struct sample_rows *rows, type *samples)           \
    {                                                                                      \
        size_t count = (size_t)rows->width * rows->bands;                                  \
                                                                                           \
        for (uint32_t y = 0; y < rows->height; y++)                                        \
            for (size_t i = count; i-- > rows->bands;)                                     \
                samples[y * count + i] =                                                   \
                    (type)(samples[y * count + i] - samples[y * count + i - rows->bands]); \
    }
DEFINE_DIFFERENCE(uint8_t)
DEFINE_DIFFERENCE(uint16_t)
DEFINE_DIFFERENCE(uint32_t)
DEFINE_DIFFERENCE(uint64_t)

static void difference(const struct sample_rows *rows, void *samples)
{
    if (rows->sample_size == 1)
        difference_uint8_t(rows, samples);
    else if (rows->sample_size == 2)
        difference_uint16_t(rows, samples);
    else if (rows->sample_size == 4)
        difference_uint32_t(rows, samples);
    else
        difference_uint64_t(rows, samples);
}

static void noise(uint8_t *bytes, size_t size)
{
    uint32_t seed = 12345;

    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(seed >> 24);
    }
}

TEST(horizontal_differences_add_up_to_what_they_were_made_of)
{
    for (uint8_t size = 1; size <= 8; size = (uint8_t)(size * 2)) {
        for (uint16_t bands = 1; bands <= BANDS_MAX; bands++) {
            struct sample_rows rows = {WIDTH, HEIGHT, bands, size};
            uint64_t was[WIDTH * HEIGHT * BANDS_MAX], is[WIDTH * HEIGHT * BANDS_MAX];

            noise((uint8_t *)was, sizeof(was));
            memcpy(is, was, sizeof(was));
            difference(&rows, is);
            assert_memory_not_equal(is, was, (size_t)WIDTH * HEIGHT * bands * size);
            predictor_undo_horizontal(&rows, is);
            assert_memory_equal(is, was, sizeof(was));
        }
    }
}

/* Technical Note 3, forwards: planes of bytes, most significant first, then differences. */
static void difference_float(const struct sample_rows *rows, uint8_t *samples)
{
    size_t count = (size_t)rows->width * rows->bands, size = rows->sample_size;
    uint8_t row[WIDTH * BANDS_MAX * 8];

    for (uint32_t y = 0; y < rows->height; y++, samples += count * size) {
        for (size_t i = 0; i < count; i++)
            for (size_t p = 0; p < size; p++)
                row[p * count + i] = samples[i * size + (size - 1 - p)];
        for (size_t i = count * size; i-- > rows->bands;)
            row[i] = (uint8_t)(row[i] - row[i - rows->bands]);
        memcpy(samples, row, count * size);
    }
}

TEST(floating_point_differences_add_up_to_what_they_were_made_of)
{
    for (uint8_t size = 4; size <= 8; size = (uint8_t)(size * 2)) {
        for (uint16_t bands = 1; bands <= BANDS_MAX; bands++) {
            struct sample_rows rows = {WIDTH, HEIGHT, bands, size};
            uint64_t was[WIDTH * HEIGHT * BANDS_MAX], is[WIDTH * HEIGHT * BANDS_MAX];
            uint8_t row[WIDTH * BANDS_MAX * 8];

            noise((uint8_t *)was, sizeof(was));
            memcpy(is, was, sizeof(was));
            difference_float(&rows, (uint8_t *)is);
            predictor_undo_float(&rows, is, row);
            assert_memory_equal(is, was, sizeof(was));
        }
    }
}

TEST(bands_come_apart_in_order)
{
    for (uint8_t size = 1; size <= 8; size = (uint8_t)(size * 2)) {
        for (uint16_t bands = 1; bands <= BANDS_MAX; bands++) {
            struct sample_rows rows = {WIDTH, HEIGHT * 20, bands, size};
            size_t pixels = (size_t)rows.width * rows.height;
            uint8_t *in = malloc(pixels * bands * size), *out = malloc(pixels * bands * size);

            noise(in, pixels * bands * size);
            deinterleave(&rows, in, out);
            for (size_t i = 0; i < pixels; i++)
                for (size_t b = 0; b < bands; b++)
                    assert_memory_equal(out + (b * pixels + i) * size, in + (i * bands + b) * size,
                                        size);
            free(in);
            free(out);
        }
    }
}

RUN(T(horizontal_differences_add_up_to_what_they_were_made_of),
    T(floating_point_differences_add_up_to_what_they_were_made_of), T(bands_come_apart_in_order))
