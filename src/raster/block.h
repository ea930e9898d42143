/*
 * block: the decoded samples of one block of one pyramid level, and the seam that
 * all of tilth is built on: a *block source* is anything that has a pyramid of
 * blocks on a grid of its own and can hand some of them over. A COG decodes them
 * (raster/cog), the second path asks GDAL for them (raster/gdal_source), a prediction
 * layer computes them (classify/prediction). Warp, tile, point query and export take
 * blocks and do not know which kind they got.
 *
 *        level 0   [0,0][1,0][2,0][3,0]     full resolution
 *        level 1      [0,0]   [1,0]         overview, half
 *        level 2          [0,0]
 *
 * Threads  a source is shared by all workers; a block is immutable once handed out
 * Memory   blocks are reference counted; block_unref() gives the memory back to the pool
 * Units    pixels of the level
 */
#ifndef TILTH_RASTER_BLOCK_H
#define TILTH_RASTER_BLOCK_H

#include "base/attr.h"
#include "base/err.h"
#include "base/hash.h"
#include "geo/affine.h"
#include "raster/dtype.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ahead;
struct arena;
struct block_source;
struct crs;
struct errand;

#define PYRAMID_MAX_LEVELS 32
#define PYRAMID_MAX_BANDS  256

struct pyramid_level {
    struct affine affine; /* of this level's own pixels */
    uint32_t width, height;
    uint32_t block_width, block_height; /* edge blocks are full-size, padded */
    bool usable; /* false: an overview whose classes were interpolated, or without data */
};

/* What a source looks like. Immutable; owned by the source. */
struct pyramid {
    struct crs *crs;
    enum dtype dtype;
    uint16_t bands;
    bool planar;     /* one block holds one band (true) or all bands (false) */
    bool has_nodata; /* samples equal to `nodata` (or NaN where it is NaN) are invalid */
    double nodata;
    uint8_t level_count; /* levels[0] is full resolution, then coarser and coarser */
    struct pyramid_level levels[PYRAMID_MAX_LEVELS];
};

/*
 * Band b of the block is at samples + b * width * height * dtype_size, row-major. A
 * pixel is valid when `mask` (NULL: all) is not 0 there and no nodata value says no.
 */
struct block {
    uint32_t width, height; /* block_width x block_height of its level */
    uint16_t bands;         /* 1 in a planar source */
    enum dtype dtype;
    bool empty;   /* sparse or all nodata: `samples` is NULL, nothing is valid */
    bool inexact; /* of a prediction: classified from overviews, not from pixels */
    const void *samples;
    const uint8_t *mask; /* width x height of 0 or 255, or NULL */
};

struct block *block_ref(struct block *block);
void block_unref(struct block *block);

/* One block, and the part of it that the caller will look at. */
struct block_request {
    uint8_t level;
    uint16_t band; /* of a planar source; 0 otherwise */
    uint32_t col, row;
    /* [x0, x1) x [y0, y1) in the block's pixels: only there must samples be right. A source
     * that reads whole blocks ignores it; one that computes may do just this much. */
    uint16_t x0, y0, x1, y1;
};

/*
 * Reads `count` blocks, all or nothing; one reference each goes to the caller. Requests
 * are answered together so that their byte ranges can be fetched in one go.
 */
typedef enum tl_code block_read_fn(struct block_source *source,
                                   const struct block_request *requests, size_t count,
                                   struct errand *errand, struct block **ret_blocks,
                                   struct tl_err *err);

/* Starts to fetch blocks that nobody has or makes: a read of them until block_ahead_free() finds
 * them on the way or there. NULL when there is nothing to start. */
typedef struct ahead *block_ahead_fn(struct block_source *source,
                                     const struct block_request *requests, size_t count);

/* Embedded as the first member of every kind of source. */
struct block_source {
    const struct pyramid *pyramid;
    block_read_fn *read;
    block_ahead_fn *ahead; /* NULL: its bytes are near */
    void (*free)(struct block_source *source);
    /* Everything that decides the pixels: href and version, or model and features. */
    struct hash128 fingerprint;
};

void block_source_free(struct block_source *source);
void block_ahead_free(struct ahead *ahead); /* before its source is freed */

AUTO_DEFINE(block, block_unref)
AUTO_DEFINE(block_source, block_source_free)

#endif
