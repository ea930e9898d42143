/*
 * ram: the memory tier. Sharded by key; each shard is an S3-FIFO: what is new waits in a
 * small queue, what is asked for again there moves to the main one, so a seeding run or a
 * crawler cannot push out what people look at.
 *
 *   put --> [small, a tenth] --asked again--> [main] <-+
 *                 | not                        |  |____| asked since: once more
 *                 v                            v
 *              ghost (key only; back within a round: straight to main)
 *
 * A value that is not on disk yet is never evicted.
 *
 * Threads  any; one short mutex per shard
 * Memory   ram_new() / ram_free(); holds one reference of each blob
 * Source   Yang et al., "FIFO queues are all you need for cache eviction", SOSP 2023
 */
#ifndef TILTH_CACHE_RAM_H
#define TILTH_CACHE_RAM_H

#include "cache/cache.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ram;

struct ram_stats {
    uint64_t budget_bytes, bytes, values;
};

struct ram *ram_new(uint64_t budget_bytes); /* NULL when memory is out */
void ram_free(struct ram *ram);

/* The blob in *ret_value is a new reference. */
bool ram_get(struct ram *ram, const struct cache_key *key, struct cache_value *ret_value);
bool ram_has(struct ram *ram, const struct cache_key *key);

/* Replaces what is there. `unwritten`: keep it until ram_settle(). False: memory is out. */
bool ram_put(struct ram *ram, const struct cache_key *key, const struct cache_value *value,
             bool unwritten);
/* A value found on disk; does nothing when the key is here already, which is never older. */
void ram_adopt(struct ram *ram, const struct cache_key *key, const struct cache_value *value);
/* This very blob is on disk, or never will be: it may be evicted. */
void ram_settle(struct ram *ram, const struct cache_key *key, const struct blob *blob);

struct ram_stats ram_stats(struct ram *ram);

#endif
