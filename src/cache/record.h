/*
 * record: the bytes inside the LMDB file. docs/cache.md has the drawing.
 *
 *   meta    "format"                              -> u32
 *   ns      u32 big-endian                        -> struct ns_record
 *   nsname  16 bytes of the fingerprint           -> u32
 *   idx     u32 ns | u64 id | u8 variant, big-endian -> struct record
 *   blob    u64 seq << PART_BITS | part, native   -> a chunk of at most a page
 *
 * Numbers inside values are native: LMDB files do not travel between machines anyway.
 */
#ifndef TILTH_CACHE_RECORD_H
#define TILTH_CACHE_RECORD_H

#include "base/hash.h"
#include "cache/cache.h"

#include <stddef.h>
#include <stdint.h>

enum {
    CACHE_FORMAT = 1,
    PART_BITS = 9, /* 512 chunks of 4,080 bytes: twice CACHE_VALUE_MAX */
    IDX_KEY_BYTES = 13,
    NS_LABEL_MAX = 80,
};

/* From here on numbers are the process's own and never reach the disk. */
#define NS_VOLATILE UINT32_C(0x80000000)

struct record {
    uint64_t seq; /* where the chunks are; rises with every write, so it is the FIFO order */
    uint32_t len;
    uint32_t time_s; /* when it was rendered, Unix time */
    uint64_t hash;   /* hash64 of the value */
    uint64_t tag;
};

/* In front of the value in its first chunk: enough to find the record from the chunk. */
struct chunk_head {
    uint64_t check; /* hash64 of what follows, which has the hash of the value */
    uint64_t seq, id, hash, tag;
    uint32_t ns, len;
    uint8_t variant, zero[7];
};

struct ns_record {
    struct hash128 fingerprint;
    uint64_t values, bytes;
    int64_t created_s;
    char label[NS_LABEL_MAX];
};

_Static_assert(sizeof(struct record) == 32, "the index stays in RAM: 32 bytes a value");
_Static_assert(sizeof(struct chunk_head) == 56, "no padding: all of it is hashed");

static inline void put_be32(uint8_t *p, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(value >> (24 - 8 * i));
}

static inline uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void idx_key_put(const struct cache_key *key, uint8_t ret_bytes[IDX_KEY_BYTES])
{
    put_be32(ret_bytes, key->ns);
    put_be32(ret_bytes + 4, (uint32_t)(key->id >> 32));
    put_be32(ret_bytes + 8, (uint32_t)key->id);
    ret_bytes[12] = key->variant;
}

static inline struct cache_key idx_key_get(const uint8_t bytes[IDX_KEY_BYTES])
{
    return (struct cache_key){
        .ns = get_be32(bytes),
        .id = (uint64_t)get_be32(bytes + 4) << 32 | get_be32(bytes + 8),
        .variant = bytes[12],
    };
}

static inline bool cache_key_equal(const struct cache_key *a, const struct cache_key *b)
{
    return a->id == b->id && a->ns == b->ns && a->variant == b->variant;
}

/* For shards, buckets and bits in memory; never stored. Source: the murmur3 finalizer. */
static inline uint64_t cache_key_hash(const struct cache_key *key)
{
    uint64_t h = key->id ^ ((uint64_t)key->ns << 32 | key->variant) * UINT64_C(0x9e3779b97f4a7c15);

    h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
    h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ h >> 33;
}

#endif
