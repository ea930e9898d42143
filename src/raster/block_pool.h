/*
 * block_pool: the one place where decoded and computed blocks live. A fixed budget of
 * memory cut into slabs and never given back (page faults cost as much as inflate), sharded by
 * key, CLOCK eviction, single-flight per block: two tiles that miss the same block
 * decode it once.
 *
 * Threads  any
 * Memory   block_pool_new() / block_pool_free(); the budget is never exceeded by more than
 *          the blocks that are referenced at the moment
 * Units    bytes
 */
#ifndef TILTH_RASTER_BLOCK_POOL_H
#define TILTH_RASTER_BLOCK_POOL_H

#include "base/attr.h"
#include "base/err.h"
#include "raster/block.h"

struct block_pool;

struct block_pool_stats {
    uint64_t hits, misses, evictions, bytes, budget;
};

TL_MUST_CHECK enum tl_code block_pool_new(size_t budget_bytes, struct block_pool **ret_pool,
                                          struct tl_err *err);
void block_pool_free(struct block_pool *pool);
/* Claims the budget from the system now, as far as half of what is free: no tile waits for it
 * later. 0.1 to 2 ms a MiB. */
void block_pool_populate(struct block_pool *pool);

/* Whose block: `source` is unique per opened version of a source (block_pool_source_id()). */
struct block_key {
    uint64_t source;
    uint32_t col, row;
    uint16_t band;
    uint8_t level;
};

uint64_t block_pool_source_id(struct block_pool *pool);

enum block_claim {
    BLOCK_FOUND, /* *ret_block is ready, one reference */
    BLOCK_MINE,  /* nobody has it: make it, then block_pool_land() or block_pool_abandon() */
    BLOCK_OTHERS /* somebody makes it: do your own first, then block_pool_wait() */
};

/* Never blocks. */
enum block_claim block_pool_claim(struct block_pool *pool, const struct block_key *key,
                                  struct block **ret_block);
/* Somebody has or makes the block; nothing is claimed. Never blocks. */
bool block_pool_has(struct block_pool *pool, const struct block_key *key);
/* Waits for another's block. TL_ABSENT when its maker abandoned it: claim again. */
TL_MUST_CHECK enum tl_code block_pool_wait(struct block_pool *pool, const struct block_key *key,
                                           const struct errand *errand, struct block **ret_block,
                                           struct tl_err *err);
/*
 * A writable block of this shape, one reference, in no index yet; samples and (when
 * `with_mask`) mask are uninitialised. NULL when memory is out.
 */
struct block *block_pool_alloc(struct block_pool *pool, const struct block *shape, bool with_mask);
/* Publishes `block` under `key` and wakes whoever waits; the caller keeps its reference. */
void block_pool_land(struct block_pool *pool, const struct block_key *key, struct block *block);
void block_pool_abandon(struct block_pool *pool, const struct block_key *key);

struct block_pool_stats block_pool_stats(struct block_pool *pool);

AUTO_DEFINE(block_pool, block_pool_free)

#endif
