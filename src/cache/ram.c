#include "cache/ram.h"

#include "base/blob.h"
#include "base/check.h"
#include "cache/record.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    SHARDS_MAX = 64,
    SHARD_BYTES = 8 << 20, /* a shard is split off for each; a class block must fit one */
    BUCKET_BYTES = 512,    /* one bucket for each of the budget: 1.6 % of it */
    ENTRY_BYTES = 160,     /* what an entry costs besides its blob: itself, malloc, blob head */
    HITS_MAX = 3,
    SKIPS_MAX = 64, /* unwritten values passed over by one eviction before it gives up */
};

struct entry {
    struct entry *chain; /* in its bucket */
    struct entry *newer, *older;
    struct cache_key key;
    struct cache_value value;
    size_t cost;
    uint8_t hits;
    bool in_main, unwritten;
};

struct queue {
    struct entry *newest, *oldest;
    size_t bytes;
};

struct shard {
    pthread_mutex_t mu; /* guards: everything below */
    struct queue small, main;
    struct entry **buckets;
    uint32_t *ghosts; /* a slot per bucket: the hash of what last left `small` unasked for */
    uint64_t values;
} __attribute__((aligned(64)));

struct ram {
    size_t shard_budget;
    unsigned shard_mask;
    size_t bucket_mask;
    uint64_t budget;
    struct shard shards[];
};

/* ---- life ---- */

static size_t power_of_two_below(size_t n)
{
    size_t power = 1;

    while (power * 2 <= n)
        power *= 2;
    return power;
}

static bool shard_init(struct shard *shard, size_t buckets)
{
    shard->buckets = calloc(buckets, sizeof(struct entry *));
    shard->ghosts = calloc(buckets, sizeof(*shard->ghosts));
    return shard->buckets && shard->ghosts && pthread_mutex_init(&shard->mu, NULL) == 0;
}

struct ram *ram_new(uint64_t budget_bytes)
{
    size_t shards = power_of_two_below(
        (size_t)TL_MIN(TL_MAX(budget_bytes / SHARD_BYTES, 1), (uint64_t)SHARDS_MAX));
    size_t shard_budget = (size_t)(budget_bytes / shards);
    size_t buckets = power_of_two_below(TL_MAX(shard_budget / BUCKET_BYTES, 64));
    size_t size = sizeof(struct ram) + shards * sizeof(struct shard);
    struct ram *ram = aligned_alloc(64, (size + 63) & ~(size_t)63);

    if (!ram)
        return NULL;
    memset(ram, 0, size);
    ram->budget = budget_bytes;
    ram->shard_budget = shard_budget;
    ram->shard_mask = (unsigned)shards - 1;
    ram->bucket_mask = buckets - 1;
    for (size_t i = 0; i < shards; i++) {
        if (!shard_init(&ram->shards[i], buckets)) {
            ram_free(ram);
            return NULL;
        }
    }
    return ram;
}

static void entry_free(struct entry *entry)
{
    blob_unref(entry->value.blob);
    free(entry);
}

static void queue_free(struct queue *queue)
{
    for (struct entry *entry = queue->newest; entry;) {
        struct entry *older = entry->older;

        entry_free(entry);
        entry = older;
    }
}

void ram_free(struct ram *ram)
{
    if (!ram)
        return;
    for (unsigned i = 0; i <= ram->shard_mask; i++) {
        struct shard *shard = &ram->shards[i];

        queue_free(&shard->small);
        queue_free(&shard->main);
        if (shard->buckets && shard->ghosts)
            pthread_mutex_destroy(&shard->mu);
        free(shard->buckets);
        free(shard->ghosts);
    }
    free(ram);
}

/* ---- one shard, under its mutex ---- */

/* The low bits of the hash choose the shard, the next ones the bucket, the top the ghost. */
static struct shard *shard_of(struct ram *ram, uint64_t hash)
{
    return &ram->shards[hash & ram->shard_mask];
}

static size_t bucket_of(const struct ram *ram, uint64_t hash)
{
    return (size_t)(hash / SHARDS_MAX) & ram->bucket_mask;
}

static uint32_t ghost_of(uint64_t hash)
{
    return (uint32_t)(hash >> 32) | 1;
}

static struct entry **find(const struct ram *ram, struct shard *shard, uint64_t hash,
                           const struct cache_key *key)
{
    struct entry **at = &shard->buckets[bucket_of(ram, hash)];

    while (*at && !cache_key_equal(&(*at)->key, key))
        at = &(*at)->chain;
    return at;
}

static void queue_push(struct queue *queue, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = queue->newest;
    if (queue->newest)
        queue->newest->newer = entry;
    else
        queue->oldest = entry;
    queue->newest = entry;
    queue->bytes += entry->cost;
}

static void queue_remove(struct queue *queue, struct entry *entry)
{
    if (entry->newer)
        entry->newer->older = entry->older;
    else
        queue->newest = entry->older;
    if (entry->older)
        entry->older->newer = entry->newer;
    else
        queue->oldest = entry->newer;
    queue->bytes -= entry->cost;
}

static void discard(struct ram *ram, struct shard *shard, struct entry *entry)
{
    uint64_t hash = cache_key_hash(&entry->key);
    struct entry **at = find(ram, shard, hash, &entry->key);

    *at = entry->chain;
    shard->values--;
    if (!entry->in_main)
        shard->ghosts[bucket_of(ram, hash)] = ghost_of(hash);
    entry_free(entry);
}

/* Looks at the oldest of one queue: evicted, moved or passed over. True when passed over. */
static bool evict_step(struct ram *ram, struct shard *shard, struct queue *queue)
{
    struct entry *entry = queue->oldest;

    TL_CHECK(entry); /* over the budget: somebody holds the bytes */
    queue_remove(queue, entry);
    if (entry->unwritten) {
        queue_push(queue, entry);
        return true;
    }
    if (entry->hits == 0) {
        discard(ram, shard, entry);
        return false;
    }
    entry->hits = entry->in_main ? (uint8_t)(entry->hits - 1) : 0;
    entry->in_main = true;
    queue_push(&shard->main, entry);
    return false;
}

/*
 * Back under the budget. May stay over it while values wait for the disk; the queue to
 * the disk is bounded, and the next put tries again.
 */
static void shrink(struct ram *ram, struct shard *shard)
{
    for (int skips = 0; shard->small.bytes + shard->main.bytes > ram->shard_budget;) {
        bool small = shard->small.oldest &&
                     (shard->small.bytes > ram->shard_budget / 10 || !shard->main.oldest);

        skips += evict_step(ram, shard, small ? &shard->small : &shard->main);
        if (skips > SKIPS_MAX)
            return;
    }
}

static void refill(struct shard *shard, struct entry *entry, const struct cache_value *value,
                   bool unwritten)
{
    struct queue *queue = entry->in_main ? &shard->main : &shard->small;
    struct blob *old = entry->value.blob;

    queue->bytes -= entry->cost;
    entry->value = *value;
    entry->value.blob = blob_ref(value->blob);
    entry->cost = blob_size(value->blob) + ENTRY_BYTES;
    entry->unwritten = unwritten;
    queue->bytes += entry->cost;
    blob_unref(old);
}

static bool insert(struct ram *ram, struct shard *shard, const struct cache_key *key,
                   const struct cache_value *value, bool unwritten)
{
    uint64_t hash = cache_key_hash(key);
    size_t bucket = bucket_of(ram, hash);
    struct entry *entry = malloc(sizeof(*entry));

    if (!entry)
        return false;
    *entry = (struct entry){
        .chain = shard->buckets[bucket],
        .key = *key,
        .value = *value,
        .cost = blob_size(value->blob) + ENTRY_BYTES,
        .in_main = shard->ghosts[bucket] == ghost_of(hash),
        .unwritten = unwritten,
    };
    blob_ref(value->blob);
    shard->buckets[bucket] = entry;
    shard->values++;
    queue_push(entry->in_main ? &shard->main : &shard->small, entry);
    return true;
}

/* ---- the public part ---- */

bool ram_get(struct ram *ram, const struct cache_key *key, struct cache_value *ret_value)
{
    uint64_t hash = cache_key_hash(key);
    struct shard *shard = shard_of(ram, hash);

    pthread_mutex_lock(&shard->mu);
    struct entry *entry = *find(ram, shard, hash, key);
    if (entry) {
        entry->hits = TL_MIN(entry->hits + 1, HITS_MAX) & 0xff;
        *ret_value = entry->value;
        blob_ref(ret_value->blob);
    }
    pthread_mutex_unlock(&shard->mu);
    return entry;
}

bool ram_has(struct ram *ram, const struct cache_key *key)
{
    uint64_t hash = cache_key_hash(key);
    struct shard *shard = shard_of(ram, hash);

    pthread_mutex_lock(&shard->mu);
    bool has = *find(ram, shard, hash, key);
    pthread_mutex_unlock(&shard->mu);
    return has;
}

bool ram_put(struct ram *ram, const struct cache_key *key, const struct cache_value *value,
             bool unwritten)
{
    uint64_t hash = cache_key_hash(key);
    struct shard *shard = shard_of(ram, hash);
    bool kept = true;

    pthread_mutex_lock(&shard->mu);
    struct entry *entry = *find(ram, shard, hash, key);
    if (entry)
        refill(shard, entry, value, unwritten);
    else
        kept = insert(ram, shard, key, value, unwritten);
    shrink(ram, shard);
    pthread_mutex_unlock(&shard->mu);
    return kept;
}

void ram_adopt(struct ram *ram, const struct cache_key *key, const struct cache_value *value)
{
    uint64_t hash = cache_key_hash(key);
    struct shard *shard = shard_of(ram, hash);

    pthread_mutex_lock(&shard->mu);
    if (!*find(ram, shard, hash, key) && insert(ram, shard, key, value, false))
        shrink(ram, shard);
    pthread_mutex_unlock(&shard->mu);
}

void ram_settle(struct ram *ram, const struct cache_key *key, const struct blob *blob)
{
    uint64_t hash = cache_key_hash(key);
    struct shard *shard = shard_of(ram, hash);

    pthread_mutex_lock(&shard->mu);
    struct entry *entry = *find(ram, shard, hash, key);
    if (entry && entry->value.blob == blob)
        entry->unwritten = false;
    shrink(ram, shard);
    pthread_mutex_unlock(&shard->mu);
}

struct ram_stats ram_stats(struct ram *ram)
{
    struct ram_stats stats = {.budget_bytes = ram->budget};

    for (unsigned i = 0; i <= ram->shard_mask; i++) {
        struct shard *shard = &ram->shards[i];

        pthread_mutex_lock(&shard->mu);
        stats.bytes += shard->small.bytes + shard->main.bytes;
        stats.values += shard->values;
        pthread_mutex_unlock(&shard->mu);
    }
    return stats;
}
