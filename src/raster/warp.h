/*
 * warp: the pixels of a block source on another grid: a web tile, or the grid of a class
 * block. Chooses the level, maps target pixels to source pixels (identity, closed form, or
 * patches of PROJ points within 0.0002 source pixels), reads the blocks that are touched in
 * one go and resamples. docs/warp.md is the essay.
 *
 * Threads  any
 * Memory   results live in the arena
 * Units    pixels; resolutions in CRS units
 * Source   GDAL's warper semantics (gdalwarp, GDAL 3.6): pixel centres, nearest is the pixel
 *          that holds the centre, kernels renormalise over valid samples
 */
#ifndef TILTH_RASTER_WARP_H
#define TILTH_RASTER_WARP_H

#include "base/attr.h"
#include "base/err.h"
#include "geo/grid.h"
#include "raster/dtype.h"
#include "raster/resampling.h"

#include <stdbool.h>
#include <stdint.h>

struct ahead;
struct arena;
struct block_source;
struct errand;

/* A target may have this many pixels on a side; WARP_MAX_SOURCE_PX bounds what it reads. */
#define WARP_MAX_TARGET_PX 4096

struct warp_request {
    struct block_source *source;
    struct grid target;
    enum resampling resampling;
    const uint16_t *bands; /* 0-based, in the order wanted; NULL: all */
    uint16_t band_count;
    int8_t level; /* -1: warp_level() chooses */
};

/*
 * Band b at samples + b * width * height * dtype_size. A source pixel counts when no mask and
 * no nodata value of any of the bands hides it and no sample of it is NaN; kernels renormalise
 * over those. Samples that are not valid mean nothing. Outside the source nothing is valid.
 */
struct planes {
    uint32_t width, height;
    uint16_t bands;
    enum dtype dtype; /* the source's for nearest and mode, float32 for the others */
    bool empty;       /* nothing is valid; samples is NULL */
    bool inexact;     /* some block said so */
    void *samples;
    uint8_t *valid; /* width x height of 0 or 1; NULL: all valid */
};

/*
 * The level to read: the coarsest usable one whose pixels are not larger than the
 * target's (their areas, as squares, within 1 % of the side), measured at the target's
 * middle, as GDAL and rio-tiler choose; the finest usable one when all are larger.
 */
TL_MUST_CHECK enum tl_code warp_level(const struct block_source *source, const struct grid *target,
                                      uint8_t *ret_level, struct tl_err *err);

/*
 * TL_LIMIT: the target is too large, or no level is coarse enough for it (the message says to
 * add overviews). The time in source->read() is the source's; the rest is STAGE_WARP.
 */
TL_MUST_CHECK enum tl_code warp_read(const struct warp_request *request, struct errand *errand,
                                     struct arena *arena, struct planes *ret_planes,
                                     struct tl_err *err);

/*
 * Starts to fetch what warp_read() of the same request will need, and returns at once: several
 * sources then cost one round trip. NULL when the source's bytes are near or there already, and
 * for a request that warp_read() will refuse. block_ahead_free() after the reads.
 */
struct ahead *warp_ahead(const struct warp_request *request, struct errand *errand,
                         struct arena *arena);

#endif
