/*
 * warp_loops: the inner loops of a warp through patches, a row at a time. The baseline build
 * is the oracle; others do the same operations on more lanes and give the same bits.
 *
 * Threads  any
 * Units    pixels
 */
#ifndef TILTH_RASTER_WARP_LOOPS_H
#define TILTH_RASTER_WARP_LOOPS_H

#include "base/cpu.h"

#include <stdint.h>

/* c0 + x c1 + x^2 c2 */
struct parabola {
    double c0, c1, c2;
};

/* A block in pixels of the level, without the padding of edge blocks; `stride` is with it. */
struct block_frame {
    uint32_t left, top, width, height, stride;
};

struct warp_loops {
    /* to[i] = parabola at i + offset */
    void (*line)(const struct parabola *parabola, double offset, int32_t count, double *to);
    /* The pixel that holds each point of an axis; -1 or `size` where none does. */
    void (*pixels)(const double *at, uint32_t count, double size, int32_t *to);
    /* How many pixels from the first on lie in the block, one after the other. */
    uint32_t (*run)(const int32_t *const at[2], uint32_t count, const struct block_frame *frame);
    /* Index of each pixel in the block's samples; all of them lie in it. */
    void (*offsets)(const int32_t *const at[2], uint32_t count, const struct block_frame *frame,
                    uint32_t *to);
};

/* The best for this processor. */
const struct warp_loops *warp_loops(void);
/* One in particular; NULL when it is not built or the processor cannot run it. */
const struct warp_loops *warp_loops_for(enum cpu_isa isa);

#endif
