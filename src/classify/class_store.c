#include "classify/class_store.h"

#include "base/blob.h"
#include "base/buf.h"
#include "base/metric.h"
#include "cache/cache.h"
#include "classify/class_block.h"
#include "classify/class_codec.h"
#include "classify/prediction.h"
#include "geo/curve.h"
#include "raster/block_pool.h"

#include <pthread.h>
#include <stdlib.h>

struct class_store {
    struct block_pool *pool;
    struct cache *cache;
    const struct pyramid *pyramid;
    uint64_t source_id[CLASS_STAGES]; /* in the pool */
    uint32_t ns[CLASS_STAGES];        /* in the cache */
    /* guards: that a claim of a key in the pool is landed or abandoned before the next one;
     * the pool's own waiting is for whole blocks and is not used here */
    pthread_mutex_t mu;
};

enum tl_code class_store_new(const struct prediction_env *env, const char *id,
                             const struct hash128 fingerprints[CLASS_STAGES],
                             const struct pyramid *pyramid, struct class_store **ret_store,
                             struct tl_err *err)
{
    static const char *const stages[CLASS_STAGES] = {"raw classes", "classes"};
    struct class_store *made = calloc(1, sizeof(*made));

    if (!made)
        return tl_fail(err, TL_NOMEM, "no memory for the class blocks of %s", id);
    pthread_mutex_init(&made->mu, NULL);
    AUTO(class_store) store = made;
    store->pool = env->pool;
    store->cache = env->cache;
    store->pyramid = pyramid;
    for (int stage = 0; stage < CLASS_STAGES; stage++) {
        char label[96];

        store->source_id[stage] = block_pool_source_id(env->pool);
        snprintf(label, sizeof(label), "%.64s %s", id, stages[stage]);
        if (store->cache)
            TL_TRY(
                cache_namespace(store->cache, fingerprints[stage], label, &store->ns[stage], err));
    }
    *ret_store = TL_TAKE(store);
    return TL_OK;
}

void class_store_free(struct class_store *store)
{
    if (!store)
        return;
    pthread_mutex_destroy(&store->mu);
    free(store);
}

static struct block_key pool_key(const struct class_store *store, struct class_key key)
{
    return (struct block_key){
        .source = store->source_id[key.stage], .col = key.col, .row = key.row, .level = key.level};
}

/* The top level is z 0, so that a block's id does not move when the grid grows a level. */
static struct cache_key cache_key_of(const struct class_store *store, struct class_key key)
{
    uint8_t z = (uint8_t)(store->pyramid->level_count - 1 - key.level);

    return (struct cache_key){.ns = store->ns[key.stage],
                              .variant = (uint8_t)key.stage,
                              .id = curve_id(z, key.col, key.row)};
}

/* The block in the pool, one reference; NULL. */
static struct block *in_pool(struct class_store *store, struct class_key key)
{
    struct block_key at = pool_key(store, key);
    struct block *block = NULL;

    pthread_mutex_lock(&store->mu);
    if (block_pool_claim(store->pool, &at, &block) == BLOCK_MINE)
        block_pool_abandon(store->pool, &at);
    pthread_mutex_unlock(&store->mu);
    return block;
}

/* Puts a block into the pool unless another thread was first; returns the one that is there. */
static struct block *land(struct class_store *store, struct class_key key, struct block *block)
{
    struct block_key at = pool_key(store, key);
    struct block *first = NULL;

    pthread_mutex_lock(&store->mu);
    if (block_pool_claim(store->pool, &at, &first) == BLOCK_MINE)
        block_pool_land(store->pool, &at, block);
    pthread_mutex_unlock(&store->mu);
    if (!first)
        return block;
    block_unref(block);
    return first;
}

bool class_store_has(struct class_store *store, struct class_key key)
{
    AUTO(block) block = in_pool(store, key);

    if (block)
        return true;
    if (!store->cache)
        return false;
    struct cache_key at = cache_key_of(store, key);
    return cache_has(store->cache, &at);
}

/* From the cache, decoded; NULL when it is not there or damaged. */
static struct block *in_cache(struct class_store *store, struct class_key key)
{
    struct cache_key at = cache_key_of(store, key);
    AUTO(class_map) map = class_map_new(store->pyramid->bands);
    struct cache_value value;
    struct block *block = NULL;
    struct tl_err unsaid; /* a damaged copy is not an error: the block is made again */

    if (!map || cache_get(store->cache, &at, &value) == CACHE_MISS)
        return NULL;
    AUTO(blob) blob = value.blob;
    if (class_codec_decode(blob_bytes(blob), blob_size(blob), map, &unsaid) != TL_OK ||
        class_block_new(store->pool, map, &block, &unsaid) != TL_OK)
        return NULL;
    return block;
}

struct block *class_store_load(struct class_store *store, struct class_key key)
{
    struct block *block = in_pool(store, key);

    if (block || !store->cache)
        return block;
    block = in_cache(store, key);
    return block ? land(store, key, block) : NULL;
}

enum tl_code class_store_keep(struct class_store *store, struct class_key key,
                              const struct class_map *map, struct block **ret_block,
                              struct tl_err *err)
{
    AUTO(block) block = NULL;

    TL_TRY(class_block_new(store->pool, map, &block, err));
    if (store->cache) {
        struct cache_key at = cache_key_of(store, key);
        AUTO_BUF bytes = {0};

        class_codec_encode(map, &bytes);
        AUTO(blob) blob = buf_blob(&bytes);
        if (blob)
            cache_put(store->cache, &at, blob, 0);
    }
    metric_add(METRIC_CLASS_BLOCKS, 1);
    *ret_block = land(store, key, TL_TAKE(block));
    return TL_OK;
}
