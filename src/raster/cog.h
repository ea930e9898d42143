/*
 * cog: the fast path. A tiled GeoTIFF whose directories this reader understands: its
 * index is read once, blocks are fetched by their byte ranges and decoded straight into
 * the pool. docs/cog.md tells the whole story.
 *
 * Admitted: little-endian classic and BigTIFF; blocks of 64..4096 pixels a side, a
 * multiple of 16 and at most 64 MB decoded; uint and int of 8, 16 and 32 bits, float of 32 and
 * 64; chunky or planar; the compressions of codec.h; predictors 1, 2, 3; north-up; an
 * internal one-bit mask, or an alpha band, or nodata. Anything else has a reason.
 *
 * Threads  cog_open() from any; the source is shared
 * Memory   block_source_free() closes it
 */
#ifndef TILTH_RASTER_COG_H
#define TILTH_RASTER_COG_H

#include "base/attr.h"
#include "base/err.h"
#include "raster/raster.h"

#include <stdbool.h>
#include <stdint.h>

struct block_source;
struct errand;
struct object;

/*
 * TL_UNSUPPORTED: the file is sound, for all this reader can see, but not for the fast path;
 * `err` says why in one sentence. TL_CORRUPT and TL_LIMIT: nobody should read it.
 */
TL_MUST_CHECK enum tl_code cog_open(const struct raster_env *env, struct object *object,
                                    struct errand *errand, struct block_source **ret_source,
                                    struct tl_err *err);

/* A rectangle of blocks of a level. */
struct block_rect {
    uint32_t col0, row0, cols, rows;
};

/*
 * The block of the rectangle with the most compressed bytes: where the picture is richest.
 * False when all are sparse. O(blocks of the rectangle). Of a source for which cog_is() holds.
 */
bool cog_richest_block(const struct block_source *source, uint8_t level, struct block_rect rect,
                       struct block_request *ret_request);

/*
 * TL_CORRUPT: the index of blocks points past the end of the object, which was cut off; `err`
 * names the first such block and how many there are. Such a source opens and reads all the
 * others. O(blocks of all levels), no read. Of a source for which cog_is() holds.
 */
TL_MUST_CHECK enum tl_code cog_check_index(const struct block_source *source, struct tl_err *err);

/* True when `source` was opened by cog_open(). */
bool cog_is(const struct block_source *source);

#endif
