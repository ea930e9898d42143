/*
 * predictor: undoes what TIFF does to samples before it compresses them, and takes
 * pixel-interleaved samples apart into bands, both in one pass.
 *
 * Predictors work on rows of the whole padded block: `width` pixels x `bands` samples.
 *   2  each sample is the difference to the same band of the pixel on its left
 *   3  of floats: the bytes of a row are sorted by significance, most significant plane
 *      first, then differenced byte by byte with a stride of `bands`
 *
 * Threads  any, pure
 * Source   TIFF 6.0 section 14; Adobe Photoshop TIFF Technical Note 3
 */
#ifndef TILTH_RASTER_PREDICTOR_H
#define TILTH_RASTER_PREDICTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sample_rows {
    uint32_t width, height;
    uint16_t bands;      /* samples of one pixel */
    uint8_t sample_size; /* 1, 2, 4 or 8 bytes */
};

/*
 * Pixel-interleaved `in` to band-sequential `out`; `differenced`: as predictor 2 left them.
 * Of one band `out` may be `in`, else they do not overlap. Any alignment.
 */
void split_bands(const struct sample_rows *rows, bool differenced, const void *in, void *out);
/* The same for predictor 3; samples of 4 or 8 bytes. `row` is scratch for one row. */
void split_float_bands(const struct sample_rows *rows, const void *in, void *out, uint8_t *row);

#endif
