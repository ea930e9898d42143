/*
 * warp_window: the blocks of one level that a target touches: which ones, the rectangle of
 * each that will be looked at, and - once read - their samples.
 *
 * Threads  one
 * Memory   tables in the arena; the blocks are referenced until warp_window_release()
 * Units    pixels of the level, blocks
 */
#ifndef TILTH_RASTER_WARP_WINDOW_H
#define TILTH_RASTER_WARP_WINDOW_H

#include "base/attr.h"
#include "base/err.h"
#include "raster/block.h"
#include "raster/warp_map.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Blocks held at once for one target, counted in pixels: 64 Mpx, 64 MB of classes. */
#define WARP_MAX_SOURCE_PX (UINT64_C(64) << 20)

struct ahead;
struct arena;
struct errand;

/* [x0, x1) x [y0, y1) of a block's pixels; x1 = 0: not touched. */
struct block_part {
    uint16_t x0, y0, x1, y1;
};

struct warp_window {
    const struct pyramid *pyramid;
    const struct pyramid_level *level;
    uint8_t level_index;
    uint32_t col0, row0, cols, rows; /* rectangle of blocks */
    struct block_part *parts;        /* rows x cols */
    size_t touched;                  /* how many of them */
    const uint16_t *bands;
    uint16_t band_count;
    uint16_t sets;         /* of blocks: band_count when planar, else 1 */
    struct block **blocks; /* sets x rows x cols; NULL: not touched */
    bool empty;            /* no block holds a valid pixel */
    bool inexact;          /* some block said so */
};

/* What a kernel looks at around each point: this many pixels to each side of the one that
 * holds it. 0 for nearest and for areas. */
struct warp_reach {
    uint32_t x, y;
};

/*
 * Finds the blocks. TL_LIMIT when they hold more than WARP_MAX_SOURCE_PX. `bands` (band_count
 * of them) outlives the window.
 */
TL_MUST_CHECK enum tl_code warp_window_plan(struct warp_window *window, const struct warp_map *map,
                                            struct warp_reach reach, struct arena *arena,
                                            struct tl_err *err);
/* One call of source->read() for all of them. */
TL_MUST_CHECK enum tl_code warp_window_read(struct warp_window *window, struct block_source *source,
                                            struct errand *errand, struct arena *arena,
                                            struct tl_err *err);
/* Starts to fetch them; NULL when there is nothing to start. */
struct ahead *warp_window_ahead(const struct warp_window *window, struct block_source *source,
                                struct arena *arena);
void warp_window_release(struct warp_window *window);

#define AUTO_WINDOW __attribute__((cleanup(warp_window_release))) struct warp_window

/* One band of a block: samples NULL when nothing is valid. */
struct band_block {
    const void *samples;
    const uint8_t *mask; /* NULL: all valid but for nodata */
};

/* `k`: index into window->bands; `col`, `row`: block of the level. Any block may be asked for. */
struct band_block warp_window_band(const struct warp_window *window, uint16_t k, uint32_t col,
                                   uint32_t row);

#endif
