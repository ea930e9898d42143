/*
 * resample_strip: a rectangle of a level, taken out of its blocks into one array, so that
 * kernels with neighbours need to know nothing of blocks and edges: what lies outside the
 * raster, in an empty block, under a mask or is nodata is a 0 that is not valid.
 *
 * Threads  one
 * Memory   the arena's; a strip keeps its memory for the next rectangle
 */
#ifndef TILTH_RASTER_RESAMPLE_STRIP_H
#define TILTH_RASTER_RESAMPLE_STRIP_H

#include "base/attr.h"
#include "base/err.h"
#include "raster/warp_window.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

struct strip {
    const struct warp_window *window;
    bool as_float; /* samples are float32; else as in the source */
    /* The rectangle in pixels of the level; may begin left of or above it. */
    int64_t x, y;
    uint32_t width, height;
    size_t size;    /* of a sample, bytes */
    void *samples;  /* bands x height x width */
    uint8_t *valid; /* height x width of 0 or 1: valid in every band */
    bool all_valid;
    size_t room; /* pixels that `samples` and `valid` can hold */
};

void strip_init(struct strip *strip, const struct warp_window *window, bool as_float);

/* TL_LIMIT when the rectangle has more than WARP_MAX_SOURCE_PX samples. */
TL_MUST_CHECK enum tl_code strip_fill(struct strip *strip, const int64_t x[2], const int64_t y[2],
                                      struct arena *arena, struct tl_err *err);

#endif
