#include "tiler/notes.h"

#include "base/blob.h"
#include "cache/cache.h"

#include <string.h>

/* A value in the cache: the whole key again, because the cache's id has half of it. */
struct note {
    struct hash128 key;
    uint64_t finding;
};

static struct cache_key key_of(const struct notes *notes, struct hash128 key)
{
    return (struct cache_key){.ns = notes->ns, .id = key.lo};
}

static bool recall(void *arg, struct hash128 key, uint32_t *ret_finding)
{
    const struct notes *notes = arg;
    struct cache_key at = key_of(notes, key);
    struct cache_value value;
    struct note note;

    if (cache_get(notes->cache, &at, &value) == CACHE_MISS)
        return false;
    bool whole = blob_size(value.blob) == sizeof(note);
    if (whole)
        memcpy(&note, blob_bytes(value.blob), sizeof(note));
    blob_unref(value.blob);
    if (!whole || !hash128_equal(note.key, key))
        return false;
    *ret_finding = (uint32_t)note.finding;
    return true;
}

static void keep(void *arg, struct hash128 key, uint32_t finding)
{
    const struct notes *notes = arg;
    struct cache_key at = key_of(notes, key);
    const struct note note = {key, finding};
    struct blob *blob = blob_copy(&note, sizeof(note));

    if (blob)
        cache_put(notes->cache, &at, blob, 0);
    blob_unref(blob);
}

enum tl_code notes_open(struct cache *cache, struct notes *notes, struct tl_err *err)
{
    static const char format[] = "notes on rasters 1";

    *notes = (struct notes){.cache = cache, .face = {.arg = notes, .recall = recall, .keep = keep}};
    return cache_namespace(cache, hash128(format, sizeof(format)), "notes on rasters", &notes->ns,
                           err);
}
