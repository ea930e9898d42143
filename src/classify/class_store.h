/*
 * class_store: where finished class blocks of one prediction are: the block pool, and the
 * cache (RAM, LMDB) that survives a restart. A block is raw (labels as the forest voted) or
 * final (after post-processing; all coarser levels). A stored block that does not decode is
 * as good as absent.
 *
 * Threads  any
 * Memory   class_store_new() / class_store_free(); pool and cache are borrowed
 */
#ifndef TILTH_CLASSIFY_CLASS_STORE_H
#define TILTH_CLASSIFY_CLASS_STORE_H

#include "base/attr.h"
#include "base/err.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stdint.h>

struct block;
struct class_map;
struct class_store;
struct prediction_env;
struct pyramid;

enum class_stage { CLASS_RAW, CLASS_FINAL, CLASS_STAGES };

struct class_key {
    enum class_stage stage;
    uint8_t level;
    uint32_t col, row;
};

/* `fingerprints` of the two stages: what is in the cache under another one is not seen. Blocks are
 * of the pyramid's levels and bands; it is borrowed. */
TL_MUST_CHECK enum tl_code class_store_new(const struct prediction_env *env, const char *id,
                                           const struct hash128 fingerprints[CLASS_STAGES],
                                           const struct pyramid *pyramid,
                                           struct class_store **ret_store, struct tl_err *err);
void class_store_free(struct class_store *store);

/* Is it in the pool or the cache? Reads no pixel. */
bool class_store_has(struct class_store *store, struct class_key key);
/* From the pool, or from the cache into the pool; NULL when it is in neither. */
struct block *class_store_load(struct class_store *store, struct class_key key);
/* Keeps a finished block in both. One reference to it in the pool goes to the caller. */
TL_MUST_CHECK enum tl_code class_store_keep(struct class_store *store, struct class_key key,
                                            const struct class_map *map, struct block **ret_block,
                                            struct tl_err *err);

AUTO_DEFINE(class_store, class_store_free)

#endif
