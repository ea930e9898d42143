#include "raster/predictor.h"

#include "base/attr.h"
#include "tl_test.h"

#include <stdlib.h>
#include <string.h>

/*
 * Widths below, at and beyond every vector, with every remainder; more bands than lanes. The
 * expected samples are told by the definitions alone, one sample at a time.
 */
enum { WIDTH_MAX = 67, HEIGHT = 3, BANDS_MAX = 17, SAMPLES_MAX = WIDTH_MAX * HEIGHT * BANDS_MAX };

static const uint32_t widths[] = {1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 48, 64, WIDTH_MAX};

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

static bool same(const uint8_t *a, const uint8_t *b, size_t size)
{
    return memcmp(a, b, size) == 0;
}

/* `bands` is what the definition says of `pixels`: nothing but an order. */
static void assert_apart(const struct sample_rows *rows, const uint8_t *pixels,
                         const uint8_t *bands)
{
    size_t count = (size_t)rows->width * rows->height, size = rows->sample_size;
    size_t wrong = 0;

    for (size_t i = 0; i < count; i++)
        for (size_t b = 0; b < rows->bands; b++)
            wrong +=
                !same(bands + (b * count + i) * size, pixels + (i * rows->bands + b) * size, size);
    if (wrong)
        fail_msg("%zu wrong samples: %u x %u of %u bands, %u bytes each", wrong, rows->width,
                 rows->height, rows->bands, rows->sample_size);
}

/* Inputs lie at odd addresses and end where their memory does, so that sanitizers see who reads
 * beyond; outputs are followed by bytes that must not change. */
struct block_case {
    struct sample_rows rows;
    size_t size;
    uint8_t *pixels, *in_memory, *in, *out;
};

enum { GUARD = 32, GUARD_BYTE = 0xa5 };

static struct block_case open_case(uint32_t width, uint16_t bands, uint8_t sample_size)
{
    struct block_case c = {.rows = {width, HEIGHT, bands, sample_size}};

    c.size = (size_t)width * HEIGHT * bands * sample_size;
    c.pixels = malloc(c.size);
    c.in_memory = malloc(c.size + 1);
    c.in = c.in_memory + 1;
    c.out = malloc(c.size + GUARD);
    noise(c.pixels, c.size);
    memcpy(c.in, c.pixels, c.size);
    memset(c.out, GUARD_BYTE, c.size + GUARD);
    return c;
}

static void close_case(struct block_case *c)
{
    assert_apart(&c->rows, c->pixels, c->out);
    for (size_t i = 0; i < GUARD; i++)
        assert_int_equal(c->out[c->size + i], GUARD_BYTE);
    free(c->pixels);
    free(c->in_memory);
    free(c->out);
}

#define FOR_ALL_SHAPES(size_min)                                           \
    for (uint8_t size = (size_min); size <= 8; size = (uint8_t)(size * 2)) \
        for (uint16_t bands = 1; bands <= BANDS_MAX; bands++)              \
            for (size_t w = 0; w < TL_COUNT(widths); w++)

TEST(bands_come_apart_in_order)
{
    FOR_ALL_SHAPES(1)
    {
        struct block_case c = open_case(widths[w], bands, size);

        split_bands(&c.rows, false, c.in, c.out);
        close_case(&c);
    }
}

TEST(horizontal_differences_add_up_to_what_they_were_made_of)
{
    FOR_ALL_SHAPES(1)
    {
        struct block_case c = open_case(widths[w], bands, size);
        uint64_t aligned[SAMPLES_MAX];

        memcpy(aligned, c.pixels, c.size);
        difference(&c.rows, aligned);
        memcpy(c.in, aligned, c.size);
        split_bands(&c.rows, true, c.in, c.out);
        close_case(&c);
    }
}

TEST(one_band_is_summed_where_it_lies)
{
    for (uint8_t size = 1; size <= 8; size = (uint8_t)(size * 2)) {
        struct block_case c = open_case(WIDTH_MAX, 1, size);
        uint64_t aligned[SAMPLES_MAX];

        memcpy(aligned, c.pixels, c.size);
        difference(&c.rows, aligned);
        memcpy(c.out, aligned, c.size);
        split_bands(&c.rows, true, c.out, c.out);
        close_case(&c);
    }
}

/* Technical Note 3, forwards: planes of bytes, most significant first, then differences. */
static void difference_float(const struct sample_rows *rows, uint8_t *samples)
{
    size_t count = (size_t)rows->width * rows->bands, size = rows->sample_size;
    uint8_t row[WIDTH_MAX * BANDS_MAX * 8];

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
    FOR_ALL_SHAPES(4)
    {
        struct block_case c = open_case(widths[w], bands, size);
        uint8_t row[WIDTH_MAX * BANDS_MAX * 8];

        difference_float(&c.rows, c.in);
        if (bands == 1) {
            memcpy(c.out, c.in, c.size);
            split_float_bands(&c.rows, c.out, c.out, row);
        } else {
            split_float_bands(&c.rows, c.in, c.out, row);
        }
        close_case(&c);
    }
}

RUN(T(bands_come_apart_in_order), T(horizontal_differences_add_up_to_what_they_were_made_of),
    T(one_band_is_summed_where_it_lies),
    T(floating_point_differences_add_up_to_what_they_were_made_of))
