/*
 * A cache in a folder of its own, and values that can be told from their key.
 */
#ifndef TILTH_TESTS_CACHE_FIXTURE_H
#define TILTH_TESTS_CACHE_FIXTURE_H

#include "base/blob.h"
#include "cache/cache.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MIB = 1 << 20 };

struct folder {
    char path[64];
};

static inline struct folder folder_new(void)
{
    struct folder folder;

    snprintf(folder.path, sizeof(folder.path), "/tmp/tilth-cache-XXXXXX");
    if (!mkdtemp(folder.path))
        abort();
    return folder;
}

static inline void folder_remove(const struct folder *folder)
{
    static const char *const files[] = {"data.mdb", "lock.mdb", "data.mdb.broken",
                                        "lock.mdb.broken"};
    char path[128];

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder->path, files[i]);
        unlink(path);
    }
    rmdir(folder->path);
}

static inline uint64_t file_bytes(const struct folder *folder)
{
    char path[128];
    struct stat st;

    snprintf(path, sizeof(path), "%s/data.mdb", folder->path);
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static inline struct cache *open_cache(const struct folder *folder, uint64_t disk_bytes,
                                       uint64_t ram_bytes)
{
    struct tl_err err;
    struct cache *cache = NULL;
    const struct cache_options options = {
        .dir = folder ? folder->path : NULL, .disk_bytes = disk_bytes, .ram_bytes = ram_bytes};

    if (cache_open(&options, &cache, &err) != TL_OK) {
        fprintf(stderr, "cache_open: %s\n", err.msg);
        return NULL;
    }
    return cache;
}

static inline uint32_t namespace_of(struct cache *cache, uint64_t number)
{
    struct tl_err err;
    uint32_t ns = 0;

    if (cache_namespace(cache, hash128(&number, sizeof(number)), "test", &ns, &err) != TL_OK)
        fprintf(stderr, "cache_namespace: %s\n", err.msg);
    return ns;
}

/* Bytes that only this key and version have. */
static inline void fill(const struct cache_key *key, uint64_t version, uint8_t *bytes, size_t size)
{
    uint64_t x = key->id * 0x9e3779b97f4a7c15U + key->variant * 31U + key->ns * 17U + version;

    for (size_t i = 0; i < size; i++) {
        x = x * 6364136223846793005U + 1442695040888963407U;
        bytes[i] = (uint8_t)(x >> 56);
    }
}

static inline struct blob *value_of(const struct cache_key *key, uint64_t version, size_t size)
{
    struct blob *blob = blob_new(size);

    if (!blob)
        abort();
    fill(key, version, blob_writable(blob), size);
    return blob;
}

static inline void put(struct cache *cache, struct cache_key key, uint64_t version, size_t size)
{
    struct blob *blob = value_of(&key, version, size);

    cache_put(cache, &key, blob, version);
    blob_unref(blob);
}

/* CACHE_MISS also stands for a wrong value, which must never be: it aborts. */
static inline enum cache_tier look(struct cache *cache, struct cache_key key, uint64_t version,
                                   size_t size)
{
    struct cache_value value;
    enum cache_tier tier = cache_get(cache, &key, &value);

    if (tier == CACHE_MISS)
        return tier;
    struct blob *expected = value_of(&key, version, size);
    if (value.tag != version || blob_size(value.blob) != size ||
        memcmp(blob_bytes(value.blob), blob_bytes(expected), size) != 0 ||
        value.hash != hash64(blob_bytes(expected), size)) {
        fprintf(stderr, "a wrong value for id %llu\n", (unsigned long long)key.id);
        abort();
    }
    blob_unref(expected);
    blob_unref(value.blob);
    return tier;
}

#endif
