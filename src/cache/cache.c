#include "cache/cache.h"

#include "base/blob.h"
#include "base/buf.h"
#include "base/metric.h"
#include "base/trouble.h"
#include "cache/disk.h"
#include "cache/ram.h"
#include "cache/record.h"
#include "cache/writer.h"

#include <pthread.h>
#include <stdlib.h>

enum { QUEUE_BYTES_MAX = 64 << 20, QUEUE_BYTES_MIN = 4 << 20 };

/* A namespace that is not on disk: there is none, or it was full. */
struct volatile_ns {
    struct volatile_ns *next;
    struct hash128 fingerprint;
    uint32_t ns;
};

struct cache {
    struct ram *ram;
    struct disk *disk;     /* NULL: RAM only */
    struct writer *writer; /* NULL: RAM only, or read-only */
    const struct listener *listener;
    struct trouble corrupt; /* values on disk */
    pthread_mutex_t mu;     /* guards: namespaces */
    struct volatile_ns *namespaces;
};

/* ---- life ---- */

static enum tl_code open_tiers(struct cache *cache, const struct cache_options *options,
                               struct tl_err *err)
{
    uint64_t queue = TL_MIN(TL_MAX(options->ram_bytes / 2, (uint64_t)QUEUE_BYTES_MIN),
                            (uint64_t)QUEUE_BYTES_MAX);

    cache->listener = options->listener;
    cache->ram = ram_new(options->ram_bytes);
    if (!cache->ram)
        return tl_fail(err, TL_NOMEM, "no memory for the cache in memory");
    if (!options->dir || !options->dir[0])
        return TL_OK;
    TL_TRY(disk_open(options, &cache->disk, err));
    if (options->read_only)
        return TL_OK;
    return writer_new(cache->disk, cache->ram, (size_t)queue, options->listener, &cache->writer,
                      err);
}

enum tl_code cache_open(const struct cache_options *options, struct cache **ret_cache,
                        struct tl_err *err)
{
    struct cache *cache = calloc(1, sizeof(*cache));

    if (!cache || pthread_mutex_init(&cache->mu, NULL) != 0) {
        free(cache);
        return tl_fail(err, TL_NOMEM, "no memory for the cache");
    }
    enum tl_code code = open_tiers(cache, options, err);
    if (code != TL_OK) {
        cache_close(cache);
        return code;
    }
    *ret_cache = cache;
    return TL_OK;
}

void cache_close(struct cache *cache)
{
    if (!cache)
        return;
    writer_free(cache->writer);
    disk_close(cache->disk);
    ram_free(cache->ram);
    for (struct volatile_ns *ns = cache->namespaces; ns;) {
        struct volatile_ns *next = ns->next;

        free(ns);
        ns = next;
    }
    pthread_mutex_destroy(&cache->mu);
    free(cache);
}

/* ---- namespaces ---- */

/* Numbers from NS_VOLATILE on, in memory alone. */
static enum tl_code volatile_namespace(struct cache *cache, struct hash128 fingerprint,
                                       uint32_t *ret_ns, struct tl_err *err)
{
    struct volatile_ns *ns;

    pthread_mutex_lock(&cache->mu);
    for (ns = cache->namespaces; ns && !hash128_equal(ns->fingerprint, fingerprint); ns = ns->next)
        ;
    if (!ns) {
        ns = malloc(sizeof(*ns));
        if (ns) {
            uint32_t number = cache->namespaces ? cache->namespaces->ns + 1 : NS_VOLATILE;

            *ns = (struct volatile_ns){cache->namespaces, fingerprint, number};
            cache->namespaces = ns;
        }
    }
    uint32_t number = ns ? ns->ns : 0;
    pthread_mutex_unlock(&cache->mu);
    if (!ns)
        return tl_fail(err, TL_NOMEM, "no memory for a namespace of the cache");
    *ret_ns = number;
    return TL_OK;
}

enum tl_code cache_namespace(struct cache *cache, struct hash128 fingerprint, const char *label,
                             uint32_t *ret_ns, struct tl_err *err)
{
    if (cache->disk) {
        enum tl_code code = disk_namespace(cache->disk, fingerprint, label, ret_ns, err);

        if (code == TL_OK || code == TL_ABSENT)
            return code;
    }
    return volatile_namespace(cache, fingerprint, ret_ns, err);
}

/* ---- values ---- */

static bool on_disk(const struct cache *cache, const struct cache_key *key)
{
    return cache->disk && key->ns < NS_VOLATILE;
}

static void count_hit(const char *tier)
{
    metric_add_by(METRIC_CACHE_HITS, tier, 1);
}

bool cache_get_ram(struct cache *cache, const struct cache_key *key, struct cache_value *ret_value)
{
    if (!ram_get(cache->ram, key, ret_value))
        return false;
    if (on_disk(cache, key))
        disk_touch(cache->disk, key);
    count_hit("ram");
    return true;
}

/*
 * A value adopted here may have been replaced on disk meanwhile. It does no harm: values
 * under one key say the same, or the fingerprint of their namespace lies.
 */
static bool get_from_disk(struct cache *cache, const struct cache_key *key,
                          struct cache_value *ret_value)
{
    uint64_t seq = 0;

    switch (disk_get(cache->disk, key, ret_value, &seq)) {
    case DISK_HIT:
        disk_touch(cache->disk, key);
        ram_adopt(cache->ram, key, ret_value);
        count_hit("disk");
        return true;
    case DISK_BROKEN:
        metric_add(METRIC_CACHE_CORRUPT, 1);
        trouble_met(&cache->corrupt, cache->listener, "cache",
                    "a value on disk fails its checksum and is made again; `tilth cache "
                    "verify` looks at all of them");
        if (cache->writer)
            writer_delete(cache->writer, key, seq);
        return false;
    case DISK_MISS:
        break;
    }
    return false;
}

enum cache_tier cache_get(struct cache *cache, const struct cache_key *key,
                          struct cache_value *ret_value)
{
    if (cache_get_ram(cache, key, ret_value))
        return CACHE_RAM;
    if (on_disk(cache, key) && get_from_disk(cache, key, ret_value))
        return CACHE_DISK;
    metric_add(METRIC_CACHE_MISSES, 1);
    return CACHE_MISS;
}

bool cache_has(struct cache *cache, const struct cache_key *key)
{
    return ram_has(cache->ram, key) || (on_disk(cache, key) && disk_has(cache->disk, key));
}

void cache_put(struct cache *cache, const struct cache_key *key, struct blob *blob, uint64_t tag)
{
    const struct cache_value value = {
        .blob = blob, .hash = hash64(blob_bytes(blob), blob_size(blob)), .tag = tag};
    bool writing = cache->writer && on_disk(cache, key);

    if (writing && blob_size(blob) > disk_value_max(cache->disk)) {
        metric_add(METRIC_CACHE_DROPPED, 1);
        writing = false;
    }
    /* Memory first: the writer settles what it finds there. */
    ram_put(cache->ram, key, &value, writing);
    if (writing && !writer_offer(cache->writer, key, &value))
        ram_settle(cache->ram, key, blob);
}

enum tl_code cache_flush(struct cache *cache, struct tl_err *err)
{
    return cache->writer ? writer_flush(cache->writer, err) : TL_OK;
}

/* ---- looking after it ---- */

enum tl_code cache_stat(struct cache *cache, struct buf *out, struct tl_err *err)
{
    struct ram_stats ram = ram_stats(cache->ram);

    buf_puts(out, "{");
    if (cache->disk)
        TL_TRY(disk_stat(cache->disk, out, err));
    if (cache->writer) {
        struct writer_stats queue = writer_stats(cache->writer);

        buf_printf(out,
                   "\"queue\":{\"values\":%llu,\"bytes\":%llu,\"dropped\":%llu,\"paused\":%s},",
                   (unsigned long long)queue.queued_values, (unsigned long long)queue.queued_bytes,
                   (unsigned long long)queue.dropped_values, queue.paused ? "true" : "false");
    }
    buf_printf(out, "\"ram\":{\"budget_bytes\":%llu,\"bytes\":%llu,\"values\":%llu}}",
               (unsigned long long)ram.budget_bytes, (unsigned long long)ram.bytes,
               (unsigned long long)ram.values);
    return buf_failed(out) ? tl_fail(err, TL_NOMEM, "no memory to describe the cache") : TL_OK;
}

enum tl_code cache_verify(struct cache *cache, bool repair, struct cache_verdict *ret_verdict,
                          struct tl_err *err)
{
    if (!cache->disk) {
        *ret_verdict = (struct cache_verdict){0};
        return TL_OK;
    }
    if (repair && disk_read_only(cache->disk))
        return tl_fail(err, TL_INVALID, "the cache is open read-only: it cannot be repaired");
    return disk_verify(cache->disk, repair, ret_verdict, err);
}
