/*
 * raster_source: what the fast path and the second path have in common: an object, a
 * pyramid, what `tilth check` says, and how a decoded block becomes one that can be handed out.
 *
 * Threads  filled by the opener, read-only afterwards
 * Memory   raster_source_init() / raster_source_release(), by the reader's own free()
 */
#ifndef TILTH_RASTER_RASTER_SOURCE_H
#define TILTH_RASTER_RASTER_SOURCE_H

#include "base/attr.h"
#include "base/err.h"
#include "raster/block.h"
#include "raster/block_pool.h"
#include "raster/raster.h"

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct object;

struct raster_batch;
struct raster_source;

/* Puts every block of the batch, or fails; what it has put by then stays. */
typedef enum tl_code raster_make_fn(struct raster_source *source, struct raster_batch *batch,
                                    struct errand *errand, struct tl_err *err);

struct raster_source {
    struct block_source base; /* first */
    raster_make_fn *make;
    struct pyramid pyramid;
    struct raster_info info;
    struct object *object; /* one reference */
    struct block_pool *pool;
    uint64_t pool_id;
    struct arena *strings; /* of info */
};

/* `reader` is "tilth" or "gdal"; `reason` is copied, NULL on the fast path. */
TL_MUST_CHECK enum tl_code raster_source_init(struct raster_source *source,
                                              const struct raster_env *env, struct object *object,
                                              const char *reader, const char *reason,
                                              struct tl_err *err);
void raster_source_release(struct raster_source *source);

static inline struct raster_source *raster_source_of(struct block_source *source)
{
    return (struct raster_source *)source;
}

struct block_key raster_block_key(const struct raster_source *source,
                                  const struct block_request *request);

/*
 * Appends a level of this size when it is a smaller picture of level 0: its two scales
 * agree within a pixel of its own, and it is smaller than the level before. Level 0 needs
 * pyramid->levels[0].affine set first.
 */
bool pyramid_add_level(struct pyramid *pyramid, uint32_t width, uint32_t height,
                       uint32_t block_width, uint32_t block_height);

/*
 * The nodata value as samples of `dtype` have it: rounded to float for float32. False when
 * no sample can ever be it (-9999 among uint8, 0.5 among whole numbers).
 */
bool nodata_for(enum dtype dtype, double nodata, double *ret_nodata);

/* An all-invalid block of this shape; NULL when memory is out. */
struct block *raster_empty_block(const struct raster_source *source,
                                 const struct block_request *request);
/* A writable block of the request's shape. */
struct block *raster_new_block(const struct raster_source *source,
                               const struct block_request *request, bool with_mask);
/* Their writer's way to the bytes, before the block is shared. */
static inline void *block_samples_mut(struct block *block)
{
    return (void *)(uintptr_t)block->samples;
}

static inline uint8_t *block_mask_mut(struct block *block)
{
    return (uint8_t *)(uintptr_t)block->mask;
}

/*
 * What a block is worth once it is decoded: a mask of 255 alone is dropped, a block
 * without one valid pixel is exchanged for an empty one. Takes `block` and gives it or
 * another back; NULL when memory is out.
 */
struct block *raster_settle_block(const struct raster_source *source,
                                  const struct block_request *request, struct block *block);

/* Blocks that one caller has to make, for one range request and one decoder. */
struct raster_batch {
    const struct block_request *const *requests;
    struct block **made; /* NULL until raster_batch_put() */
    size_t count;
};

/* Settles and lands block `i` of the batch, which it takes; waiters get it at once. */
TL_MUST_CHECK enum tl_code raster_batch_put(struct raster_source *source,
                                            struct raster_batch *batch, size_t i,
                                            struct block *block, struct tl_err *err);

/*
 * The block_read_fn of both readers: finds blocks in the pool, has those made that nobody
 * has and nobody makes, in one call of source->make, and only then waits for the blocks
 * that others make - so two readers never wait for each other.
 */
block_read_fn raster_read_blocks;

#endif
