/*
 * predictor: undoes what TIFF does to samples before it compresses them, and takes
 * pixel-interleaved samples apart into bands.
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

#include <stddef.h>
#include <stdint.h>

struct sample_rows {
    uint32_t width, height;
    uint16_t bands;      /* samples of one pixel */
    uint8_t sample_size; /* 1, 2, 4 or 8 bytes */
};

/* In place. */
void predictor_undo_horizontal(const struct sample_rows *rows, void *samples);
/* In place; `row` is scratch for one row. */
void predictor_undo_float(const struct sample_rows *rows, void *samples, uint8_t *row);
/* Pixel-interleaved `in` to band-sequential `out`. */
void deinterleave(const struct sample_rows *rows, const void *in, void *out);

#endif
