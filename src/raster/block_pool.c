#include "raster/block_pool.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/errand.h"
#include "base/metric.h"
#include "raster/slab.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/*
 * The index is cut into shards by key; each has a lock, a hash table and a CLOCK ring.
 * The memory is not cut: one large block must be able to use what many small ones left.
 *
 *   claim -> shard[hash(key)] -> entry --ring--> entry --ring--> ...   <- hand
 *                                  |
 *                                  v NULL while somebody makes it
 *                                block (refs: 1 of the index + the readers')
 *
 * A block is evicted only when the index holds its one reference, and references are
 * gained either through the index, under the shard's lock, or from another reference; so
 * a count of one, seen under the lock, cannot grow.
 */
enum { SHARDS = 16, FIRST_BUCKETS = 64, ALIGN = 64 };

/* An empty block has no slab, so entries are bounded too: a few hundred bytes each. */
enum { ENTRIES_MIN = 256, BYTES_PER_ENTRY = 8 * 1024 };

struct pooled {
    struct block block; /* first: what callers see */
    atomic_uint refs;
    struct block_pool *pool;
    struct block_key key; /* set by block_pool_land() */
    void *memory;         /* NULL: an empty block */
    size_t memory_size;
    bool overflow; /* from malloc, beyond the budget: forgotten with its last reader */
};

struct entry {
    struct block_key key;
    struct entry *chain;
    struct entry *ring_next, *ring_prev; /* NULL while in flight */
    struct pooled *block;                /* NULL while in flight */
    bool hot;
};

struct shard {
    pthread_mutex_t mu; /* guards: everything here */
    pthread_cond_t landed;
    struct entry **buckets;
    size_t bucket_count, entry_count, ring_count;
    struct entry *hand;
    uint64_t hits, misses, evictions;
} __attribute__((aligned(64))); /* no two locks on one cache line */

struct block_pool {
    struct slab_heap *heap;
    size_t max_entries; /* of one shard */
    atomic_uint_fast64_t next_source;
    atomic_size_t overflow_bytes;
    atomic_uint sweep; /* the shard that gives up a block next */
    struct shard shards[SHARDS];
};

static uint64_t key_hash(const struct block_key *key)
{
    uint64_t hash = key->source * UINT64_C(0x9E3779B97F4A7C15);

    hash ^= ((uint64_t)key->row << 32 | key->col) * UINT64_C(0xC2B2AE3D27D4EB4F);
    hash ^= ((uint64_t)key->band << 8 | key->level) * UINT64_C(0x165667B19E3779F9);
    hash ^= hash >> 32;
    hash *= UINT64_C(0xD6E8FEB86659FD93);
    return hash ^ hash >> 32;
}

static bool key_equal(const struct block_key *a, const struct block_key *b)
{
    return a->source == b->source && a->col == b->col && a->row == b->row && a->band == b->band &&
           a->level == b->level;
}

static struct shard *shard_of(struct block_pool *pool, const struct block_key *key)
{
    return &pool->shards[key_hash(key) >> 60];
}

static struct pooled *pooled_of(struct block *block)
{
    return (struct pooled *)block;
}

/* Where the entry is linked in; *slot is NULL when there is none. Call with the lock held. */
static struct entry **find(struct shard *shard, const struct block_key *key)
{
    struct entry **slot = &shard->buckets[key_hash(key) & (shard->bucket_count - 1)];

    while (*slot && !key_equal(&(*slot)->key, key))
        slot = &(*slot)->chain;
    return slot;
}

/* Keeps chains short. When memory is out they grow instead. */
static void grow(struct shard *shard)
{
    size_t count = shard->bucket_count * 2;
    struct entry **buckets = calloc(count, sizeof(struct entry *));

    if (!buckets)
        return;
    for (size_t i = 0; i < shard->bucket_count; i++) {
        for (struct entry *entry = shard->buckets[i], *next; entry; entry = next) {
            struct entry **slot = &buckets[key_hash(&entry->key) & (count - 1)];

            next = entry->chain;
            entry->chain = *slot;
            *slot = entry;
        }
    }
    free(shard->buckets);
    shard->buckets = buckets;
    shard->bucket_count = count;
}

static struct entry *insert(struct shard *shard, const struct block_key *key)
{
    struct entry *entry = calloc(1, sizeof(*entry));

    if (!entry)
        return NULL;
    if (shard->entry_count >= shard->bucket_count)
        grow(shard);
    struct entry **slot = find(shard, key);
    entry->key = *key;
    *slot = entry;
    shard->entry_count++;
    return entry;
}

/* Behind the hand: a new block is looked at last. */
static void ring_add(struct shard *shard, struct entry *entry)
{
    struct entry *hand = shard->hand;

    if (!hand) {
        entry->ring_next = entry->ring_prev = entry;
        shard->hand = entry;
    } else {
        entry->ring_next = hand;
        entry->ring_prev = hand->ring_prev;
        hand->ring_prev->ring_next = entry;
        hand->ring_prev = entry;
    }
    shard->ring_count++;
}

static void ring_remove(struct shard *shard, struct entry *entry)
{
    if (!entry->ring_next)
        return;
    entry->ring_prev->ring_next = entry->ring_next;
    entry->ring_next->ring_prev = entry->ring_prev;
    if (shard->hand == entry)
        shard->hand = entry->ring_next == entry ? NULL : entry->ring_next;
    shard->ring_count--;
}

/* Takes the entry out and frees it; its block, with the index's reference, is the caller's. */
static struct pooled *forget(struct shard *shard, struct entry **slot)
{
    struct entry *entry = *slot;
    struct pooled *block = entry->block;

    ring_remove(shard, entry);
    *slot = entry->chain;
    shard->entry_count--;
    free(entry);
    return block;
}

static void pooled_free(struct pooled *block)
{
    struct block_pool *pool = block->pool;

    if (block->overflow) {
        free(block->memory);
        atomic_fetch_sub_explicit(&pool->overflow_bytes, block->memory_size, memory_order_relaxed);
    } else if (block->memory) {
        slab_free(pool->heap, block->memory, block->memory_size);
    }
    free(block);
}

/* The last reader of an overflow block is gone: so is its place in the index. */
static void forget_overflow(struct block_pool *pool, const struct block_key *key)
{
    struct shard *shard = shard_of(pool, key);
    struct pooled *gone = NULL;

    pthread_mutex_lock(&shard->mu);
    struct entry **slot = find(shard, key);
    if (*slot && (*slot)->block && (*slot)->block->overflow &&
        atomic_load_explicit(&(*slot)->block->refs, memory_order_acquire) == 1)
        gone = forget(shard, slot);
    pthread_mutex_unlock(&shard->mu);
    if (gone)
        pooled_free(gone);
}

struct block *block_ref(struct block *block)
{
    /* Relaxed: whoever hands the pointer over has ordered its bytes already. */
    atomic_fetch_add_explicit(&pooled_of(block)->refs, 1, memory_order_relaxed);
    return block;
}

void block_unref(struct block *block)
{
    if (!block)
        return;
    struct pooled *pooled = pooled_of(block);
    /* Copied first: after the decrement another thread may free the block. */
    struct block_pool *pool = pooled->pool;
    bool overflow = pooled->overflow;
    struct block_key key = overflow ? pooled->key : (struct block_key){0};
    /* Release our reads of the samples; the last one out acquires everybody's. */
    unsigned before = atomic_fetch_sub_explicit(&pooled->refs, 1, memory_order_acq_rel);

    TL_CHECK(before > 0);
    if (before == 1)
        pooled_free(pooled);
    else if (before == 2 && overflow)
        forget_overflow(pool, &key);
}

static void shard_init(struct shard *shard)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&shard->mu, NULL);
    pthread_cond_init(&shard->landed, &attr);
    pthread_condattr_destroy(&attr);
    shard->bucket_count = FIRST_BUCKETS;
    shard->buckets = calloc(FIRST_BUCKETS, sizeof(struct entry *));
}

enum tl_code block_pool_new(size_t budget_bytes, struct block_pool **ret_pool, struct tl_err *err)
{
    AUTO(block_pool) pool = aligned_alloc(ALIGN, sizeof(*pool));

    if (!pool)
        return tl_fail(err, TL_NOMEM, "no memory for the block pool");
    memset(pool, 0, sizeof(*pool));
    pool->max_entries = TL_MAX(budget_bytes / BYTES_PER_ENTRY, (size_t)ENTRIES_MIN) / SHARDS;
    bool whole = true;
    for (int i = 0; i < SHARDS; i++) {
        shard_init(&pool->shards[i]);
        whole = whole && pool->shards[i].buckets;
    }
    pool->heap = slab_heap_new(budget_bytes);
    if (!pool->heap || !whole)
        return tl_fail(err, TL_NOMEM, "no memory for a block pool of %zu bytes", budget_bytes);
    *ret_pool = TL_TAKE(pool);
    return TL_OK;
}

static void shard_release(struct shard *shard)
{
    for (size_t i = 0; shard->buckets && i < shard->bucket_count; i++) {
        while (shard->buckets[i]) {
            struct pooled *block = forget(shard, &shard->buckets[i]);

            TL_CHECK(block && atomic_load(&block->refs) == 1); /* everybody let go */
            pooled_free(block);
        }
    }
    free(shard->buckets);
    pthread_cond_destroy(&shard->landed);
    pthread_mutex_destroy(&shard->mu);
}

void block_pool_free(struct block_pool *pool)
{
    if (!pool)
        return;
    for (int i = 0; i < SHARDS; i++)
        shard_release(&pool->shards[i]);
    slab_heap_free(pool->heap);
    free(pool);
}

void block_pool_populate(struct block_pool *pool)
{
    slab_populate(pool->heap);
}

uint64_t block_pool_source_id(struct block_pool *pool)
{
    return atomic_fetch_add_explicit(&pool->next_source, 1, memory_order_relaxed) + 1;
}

static struct block *hand_out(struct entry *entry)
{
    entry->hot = true;
    return block_ref(&entry->block->block);
}

static size_t bytes_in_use(struct block_pool *pool)
{
    return slab_used(pool->heap) +
           atomic_load_explicit(&pool->overflow_bytes, memory_order_relaxed);
}

enum block_claim block_pool_claim(struct block_pool *pool, const struct block_key *key,
                                  struct block **ret_block)
{
    struct shard *shard = shard_of(pool, key);
    enum block_claim claim = BLOCK_MINE;

    pthread_mutex_lock(&shard->mu);
    struct entry *entry = *find(shard, key);
    if (!entry) {
        shard->misses++;
        insert(shard, key); /* out of memory: two may make the block, nothing worse */
    } else if (!entry->block) {
        shard->hits++;
        claim = BLOCK_OTHERS;
    } else {
        shard->hits++;
        *ret_block = hand_out(entry);
        claim = BLOCK_FOUND;
    }
    pthread_mutex_unlock(&shard->mu);
    metric_add(claim == BLOCK_MINE ? METRIC_BLOCK_MISSES : METRIC_BLOCK_HITS, 1);
    return claim;
}

bool block_pool_has(struct block_pool *pool, const struct block_key *key)
{
    struct shard *shard = shard_of(pool, key);

    pthread_mutex_lock(&shard->mu);
    bool has = *find(shard, key) != NULL;
    pthread_mutex_unlock(&shard->mu);
    return has;
}

/* Until the flight lands, but not longer than it may take to notice a cancelled errand. */
static void wait_a_little(struct shard *shard, const struct errand *errand)
{
    enum { NOTICE_MS = 20 };
    int64_t until = TL_MIN(clock_now_ns() + NOTICE_MS * NS_PER_MS, errand->deadline_ns);
    struct timespec when = {.tv_sec = until / NS_PER_S, .tv_nsec = until % NS_PER_S};

    pthread_cond_timedwait(&shard->landed, &shard->mu, &when);
}

enum tl_code block_pool_wait(struct block_pool *pool, const struct block_key *key,
                             const struct errand *errand, struct block **ret_block,
                             struct tl_err *err)
{
    struct shard *shard = shard_of(pool, key);
    enum tl_code code = TL_OK;
    struct entry *entry;

    pthread_mutex_lock(&shard->mu);
    while ((entry = *find(shard, key)) && !entry->block) {
        code = errand_check(errand, err);
        if (code != TL_OK)
            break;
        wait_a_little(shard, errand);
    }
    if (!entry)
        code = tl_fail(err, TL_ABSENT, "whoever made block %u,%u gave up", key->col, key->row);
    else if (code == TL_OK)
        *ret_block = hand_out(entry);
    pthread_mutex_unlock(&shard->mu);
    return code;
}

/* One turn of the CLOCK in one shard; true when a block was freed. */
static bool evict_from(struct shard *shard)
{
    struct pooled *victim = NULL;

    pthread_mutex_lock(&shard->mu);
    /* Two rounds: the first may only cool what is hot. */
    for (size_t steps = 2 * shard->ring_count; steps; steps--) {
        struct entry *entry = shard->hand;

        shard->hand = entry->ring_next;
        if (atomic_load_explicit(&entry->block->refs, memory_order_acquire) > 1)
            continue;
        if (!entry->hot) {
            victim = forget(shard, find(shard, &entry->key));
            break;
        }
        entry->hot = false;
    }
    shard->evictions += victim != NULL;
    pthread_mutex_unlock(&shard->mu);
    if (victim)
        pooled_free(victim);
    return victim != NULL;
}

/* The shards take turns, which makes one CLOCK of all of them, nearly. */
static bool evict_one(struct block_pool *pool)
{
    for (int i = 0; i < SHARDS; i++) {
        unsigned turn = atomic_fetch_add_explicit(&pool->sweep, 1, memory_order_relaxed);

        if (evict_from(&pool->shards[turn % SHARDS]))
            return true;
    }
    return false;
}

static bool take_memory(struct block_pool *pool, struct pooled *block, size_t size)
{
    block->memory_size = size;
    if (size <= slab_largest(pool->heap)) {
        do {
            block->memory = slab_alloc(pool->heap, size);
        } while (!block->memory && evict_one(pool));
    }
    if (block->memory)
        return true;
    block->memory = aligned_alloc(ALIGN, (size + ALIGN - 1) / ALIGN * ALIGN);
    block->overflow = block->memory != NULL;
    if (block->overflow)
        atomic_fetch_add_explicit(&pool->overflow_bytes, size, memory_order_relaxed);
    return block->overflow;
}

/* False when the product overflows. */
static bool sizes_of(const struct block *shape, bool with_mask, size_t *ret_samples,
                     size_t *ret_total)
{
    size_t pixels, samples;

    if (__builtin_mul_overflow((size_t)shape->width, (size_t)shape->height, &pixels) ||
        __builtin_mul_overflow(pixels, dtype_size(shape->dtype) * shape->bands, &samples) ||
        samples > SIZE_MAX / 4 || pixels > SIZE_MAX / 4 || !samples)
        return false;
    *ret_samples = (samples + ALIGN - 1) / ALIGN * ALIGN; /* the mask starts aligned */
    *ret_total = *ret_samples + (with_mask ? pixels : 0);
    return true;
}

struct block *block_pool_alloc(struct block_pool *pool, const struct block *shape, bool with_mask)
{
    size_t samples, total;
    struct pooled *block = calloc(1, sizeof(*block));

    if (!block)
        return NULL;
    block->block = *shape;
    block->block.samples = NULL;
    block->block.mask = NULL;
    block->pool = pool;
    atomic_init(&block->refs, 1);
    if (shape->empty)
        return &block->block;
    if (!sizes_of(shape, with_mask, &samples, &total) || !take_memory(pool, block, total)) {
        free(block);
        return NULL;
    }
    block->block.samples = block->memory;
    block->block.mask = with_mask ? (uint8_t *)block->memory + samples : NULL;
    return &block->block;
}

void block_pool_land(struct block_pool *pool, const struct block_key *key, struct block *block)
{
    struct shard *shard = shard_of(pool, key);
    struct pooled *pooled = pooled_of(block);

    TL_CHECK(pooled->pool == pool);
    pthread_mutex_lock(&shard->mu);
    struct entry *entry = *find(shard, key);
    if (!entry)
        entry = insert(shard, key);
    if (entry && !entry->block) {
        pooled->key = *key;
        block_ref(block);
        entry->block = pooled;
        ring_add(shard, entry);
    }
    bool crowded = shard->ring_count > pool->max_entries;
    pthread_cond_broadcast(&shard->landed);
    pthread_mutex_unlock(&shard->mu);
    if (crowded)
        evict_from(shard);
    metric_set(METRIC_BLOCK_BYTES, (int64_t)bytes_in_use(pool));
}

void block_pool_abandon(struct block_pool *pool, const struct block_key *key)
{
    struct shard *shard = shard_of(pool, key);

    pthread_mutex_lock(&shard->mu);
    struct entry **slot = find(shard, key);
    if (*slot && !(*slot)->block)
        forget(shard, slot);
    pthread_cond_broadcast(&shard->landed);
    pthread_mutex_unlock(&shard->mu);
}

struct block_pool_stats block_pool_stats(struct block_pool *pool)
{
    struct block_pool_stats stats = {
        .bytes = bytes_in_use(pool),
        .budget = slab_budget(pool->heap),
    };

    for (int i = 0; i < SHARDS; i++) {
        struct shard *shard = &pool->shards[i];

        pthread_mutex_lock(&shard->mu);
        stats.hits += shard->hits;
        stats.misses += shard->misses;
        stats.evictions += shard->evictions;
        pthread_mutex_unlock(&shard->mu);
    }
    return stats;
}
