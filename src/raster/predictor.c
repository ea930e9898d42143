#include "raster/predictor.h"

#include <string.h>

/*
 * The stride is a constant in the common cases, so that the running sums stay in registers
 * instead of going through memory. Sums wrap, as they did when they were made.
 */
/* NOLINTBEGIN(bugprone-macro-parentheses): of a type */
#define DEFINE_UNDO(type)                                                                     \
    static inline void undo_row_##type(type *row, size_t count, size_t stride)                \
    {                                                                                         \
        for (size_t i = stride; i < count; i++)                                               \
            row[i] = (type)(row[i] + row[i - stride]);                                        \
    }                                                                                         \
                                                                                              \
    static inline void undo_row_of_1_##type(type *row, size_t count)                          \
    {                                                                                         \
        type sum = 0;                                                                         \
                                                                                              \
        for (size_t i = 0; i < count; i++) {                                                  \
            sum = (type)(sum + row[i]);                                                       \
            row[i] = sum;                                                                     \
        }                                                                                     \
    }                                                                                         \
                                                                                              \
    static inline void undo_row_of_3_##type(type *row, size_t count)                          \
    {                                                                                         \
        type a = 0, b = 0, c = 0;                                                             \
                                                                                              \
        for (size_t i = 0; i + 2 < count; i += 3) {                                           \
            a = (type)(a + row[i]);                                                           \
            b = (type)(b + row[i + 1]);                                                       \
            c = (type)(c + row[i + 2]);                                                       \
            row[i] = a;                                                                       \
            row[i + 1] = b;                                                                   \
            row[i + 2] = c;                                                                   \
        }                                                                                     \
    }                                                                                         \
                                                                                              \
    static void undo_##type(const struct sample_rows *rows, type *samples)                    \
    {                                                                                         \
        size_t count = (size_t)rows->width * rows->bands;                                     \
                                                                                              \
        for (uint32_t y = 0; y < rows->height; y++, samples += count) {                       \
            if (rows->bands == 1)                                                             \
                undo_row_of_1_##type(samples, count);                                         \
            else if (rows->bands == 3)                                                        \
                undo_row_of_3_##type(samples, count);                                         \
            else                                                                              \
                undo_row_##type(samples, count, rows->bands);                                 \
        }                                                                                     \
    }                                                                                         \
                                                                                              \
    static inline void split_few_##type(size_t pixels, size_t bands, const type *restrict in, \
                                        type *restrict out)                                   \
    {                                                                                         \
        for (size_t i = 0; i < pixels; i++)                                                   \
            for (size_t b = 0; b < bands; b++)                                                \
                out[b * pixels + i] = in[i * bands + b];                                      \
    }                                                                                         \
                                                                                              \
    static void split_many_##type(size_t pixels, size_t bands, const type *restrict in,       \
                                  type *restrict out)                                         \
    {                                                                                         \
        for (size_t from = 0; from < pixels; from += SPLIT_RUN) {                             \
            size_t to = from + SPLIT_RUN < pixels ? from + SPLIT_RUN : pixels;                \
                                                                                              \
            for (size_t b = 0; b < bands; b++)                                                \
                for (size_t i = from; i < to; i++)                                            \
                    out[b * pixels + i] = in[i * bands + b];                                  \
        }                                                                                     \
    }                                                                                         \
                                                                                              \
    static void split_##type(const struct sample_rows *rows, const type *in, type *out)       \
    {                                                                                         \
        size_t pixels = (size_t)rows->width * rows->height;                                   \
                                                                                              \
        if (rows->bands == 2)                                                                 \
            split_few_##type(pixels, 2, in, out);                                             \
        else if (rows->bands == 3)                                                            \
            split_few_##type(pixels, 3, in, out);                                             \
        else if (rows->bands == 4)                                                            \
            split_few_##type(pixels, 4, in, out);                                             \
        else                                                                                  \
            split_many_##type(pixels, rows->bands, in, out);                                  \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

/* Pixels that are taken apart band by band before the next ones: their input stays in L1. */
enum { SPLIT_RUN = 256 };

DEFINE_UNDO(uint8_t)
DEFINE_UNDO(uint16_t)
DEFINE_UNDO(uint32_t)
DEFINE_UNDO(uint64_t)

void predictor_undo_horizontal(const struct sample_rows *rows, void *samples)
{
    if (rows->sample_size == 1)
        undo_uint8_t(rows, samples);
    else if (rows->sample_size == 2)
        undo_uint16_t(rows, samples);
    else if (rows->sample_size == 4)
        undo_uint32_t(rows, samples);
    else
        undo_uint64_t(rows, samples);
}

void deinterleave(const struct sample_rows *rows, const void *in, void *out)
{
    if (rows->sample_size == 1)
        split_uint8_t(rows, in, out);
    else if (rows->sample_size == 2)
        split_uint16_t(rows, in, out);
    else if (rows->sample_size == 4)
        split_uint32_t(rows, in, out);
    else
        split_uint64_t(rows, in, out);
}

/* Plane p of a row holds byte p of every sample, the most significant byte first. */
static void gather_bytes(const uint8_t *restrict planes, size_t count, size_t size,
                         uint8_t *restrict out)
{
    for (size_t p = 0; p < size; p++) {
        const uint8_t *plane = planes + (size - 1 - p) * count;

        for (size_t i = 0; i < count; i++)
            out[i * size + p] = plane[i];
    }
}

void predictor_undo_float(const struct sample_rows *rows, void *samples, uint8_t *row)
{
    size_t count = (size_t)rows->width * rows->bands, row_size = count * rows->sample_size;
    uint8_t *bytes = samples;

    for (uint32_t y = 0; y < rows->height; y++, bytes += row_size) {
        memcpy(row, bytes, row_size);
        if (rows->bands == 1)
            undo_row_of_1_uint8_t(row, row_size);
        else
            undo_row_uint8_t(row, row_size, rows->bands);
        gather_bytes(row, count, rows->sample_size, bytes);
    }
}
