/*
 * cache: encoded tiles and class blocks, in two tiers: RAM (sharded, also holds what is
 * not yet written) and LMDB (one file, one writer thread, group commit). Survives kill -9;
 * a value that fails its checksum is a miss, never an answer.
 *
 * Invalidation is by name: everything that changes bytes is in the namespace's
 * fingerprint, so nothing is ever purged to be correct.
 *
 * Layout inside the LMDB file: docs/cache.md.
 *
 * Threads  any; cache_get() may run on an HTTP loop (no lock is held across a page
 *          fault longer than one value's copy), cache_put() never blocks
 * Memory   cache_open() / cache_close(); values are blobs. A folder may be open once in a
 *          process, and not across fork(); other processes may open it too
 * Units    bytes
 */
#ifndef TILTH_CACHE_CACHE_H
#define TILTH_CACHE_CACHE_H

#include "base/attr.h"
#include "base/err.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blob;
struct buf;
struct cache;
struct listener;

/* The largest value kept on disk; larger ones live in RAM alone. */
enum { CACHE_VALUE_MAX = 1 << 20 };

struct cache_options {
    const char *dir;     /* NULL or "": RAM only */
    uint64_t disk_bytes; /* budget of the file */
    uint64_t ram_bytes;
    bool read_only;                  /* for `tilth cache stat` beside a running server */
    const struct listener *listener; /* hears of a full disk and of corrupt values; may be NULL */
};

TL_MUST_CHECK enum tl_code cache_open(const struct cache_options *options, struct cache **ret_cache,
                                      struct tl_err *err);
/* Writes what is queued, then closes. */
void cache_close(struct cache *cache);

/*
 * The small number of a fingerprint, made at the first call. `label` is for people
 * (`tilth cache stat`): "zw-crops tiles". Blocks for one commit the first time. When the
 * disk is full the number is good for this process alone and its values stay in RAM.
 * TL_ABSENT: read-only, and nobody has written under this fingerprint.
 */
TL_MUST_CHECK enum tl_code cache_namespace(struct cache *cache, struct hash128 fingerprint,
                                           const char *label, uint32_t *ret_ns, struct tl_err *err);

/* `id` is curve_id() of a tile, or of a block with its level's distance from the top as z. */
struct cache_key {
    uint32_t ns;
    uint8_t variant; /* format and scale of a tile; stage of a class block */
    uint64_t id;
};

enum cache_tier { CACHE_MISS, CACHE_RAM, CACHE_DISK };

struct cache_value {
    struct blob *blob; /* one reference, the caller's */
    uint64_t hash;     /* hash64 of the bytes: half of the ETag */
    uint64_t tag;      /* the 64 bits given to cache_put(), e.g. "this tile is uniform" */
};

/* Looks in RAM, then on disk; a disk hit moves to RAM. */
enum cache_tier cache_get(struct cache *cache, const struct cache_key *key,
                          struct cache_value *ret_value);
/* RAM only, a few hundred nanoseconds. */
bool cache_get_ram(struct cache *cache, const struct cache_key *key, struct cache_value *ret_value);
/* True when the key is in some tier; touches no value. */
bool cache_has(struct cache *cache, const struct cache_key *key);

/*
 * Keeps a value: in RAM at once, on disk with the next group commit (at most a second
 * later). A full queue (64 MiB, or half of ram_bytes) or disk drops the write and counts
 * it; the tile was served anyway. Who must not lose writes, a seeder, calls cache_flush()
 * every few hundred values.
 */
void cache_put(struct cache *cache, const struct cache_key *key, struct blob *blob, uint64_t tag);
/*
 * Returns when everything put before is on disk. TL_NOSPACE says how many values since the
 * last flush are not. A cache without a disk has nothing to flush.
 */
TL_MUST_CHECK enum tl_code cache_flush(struct cache *cache, struct tl_err *err);

/* What is in the file, a JSON object: budget, bytes, values, and the same per namespace. */
TL_MUST_CHECK enum tl_code cache_stat(struct cache *cache, struct buf *out, struct tl_err *err);

struct cache_verdict {
    uint64_t values, bytes;
    uint64_t corrupt; /* checksum or chain broken */
    uint64_t orphans; /* chunks that no index record names */
};

/* Reads everything back. `repair` deletes what is broken. */
TL_MUST_CHECK enum tl_code cache_verify(struct cache *cache, bool repair,
                                        struct cache_verdict *ret_verdict, struct tl_err *err);

AUTO_DEFINE(cache, cache_close)

#endif
