#include "store/range_cache.h"

#include "base/check.h"
#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { WAYS = 8, LOCKS = 16 };

struct slot {
    struct page_key key;
    uint8_t *bytes; /* NULL: never used */
    size_t size;
    bool is_recent; /* CLOCK's bit */
};

struct range_cache {
    size_t sets, ways; /* sets x ways slots; 0 sets: keeps nothing */
    struct slot *slots;
    unsigned *hands;              /* of each set */
    pthread_mutex_t locks[LOCKS]; /* guards: slots and hands of every LOCKS-th set */
};

struct range_cache *range_cache_new(size_t budget_bytes)
{
    struct range_cache *cache = calloc(1, sizeof(*cache));
    size_t pages = budget_bytes / RANGE_PAGE;

    if (!cache)
        return NULL;
    for (unsigned i = 0; i < LOCKS; i++)
        TL_CHECK(pthread_mutex_init(&cache->locks[i], NULL) == 0);
    if (pages == 0)
        return cache;
    cache->ways = TL_MIN(pages, (size_t)WAYS);
    cache->sets = pages / cache->ways;
    cache->slots = calloc(cache->sets * cache->ways, sizeof(*cache->slots));
    cache->hands = calloc(cache->sets, sizeof(*cache->hands));
    if (!cache->slots || !cache->hands) {
        range_cache_free(cache);
        return NULL;
    }
    return cache;
}

void range_cache_free(struct range_cache *cache)
{
    if (!cache)
        return;
    for (size_t i = 0; cache->slots && i < cache->sets * cache->ways; i++)
        free(cache->slots[i].bytes);
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&cache->locks[i]);
    free(cache->slots);
    free(cache->hands);
    free(cache);
}

static size_t set_of(const struct range_cache *cache, struct page_key key)
{
    return hash64(&key, sizeof(key)) % cache->sets;
}

static struct slot *find(struct range_cache *cache, size_t set, struct page_key key)
{
    struct slot *slots = cache->slots + set * cache->ways;

    for (size_t i = 0; i < cache->ways; i++)
        if (slots[i].bytes && slots[i].key.object == key.object && slots[i].key.page == key.page)
            return &slots[i];
    return NULL;
}

bool range_cache_get(struct range_cache *cache, struct page_key key, size_t at, size_t size,
                     void *dst)
{
    if (cache->sets == 0)
        return false;
    size_t set = set_of(cache, key);
    pthread_mutex_t *lock = &cache->locks[set % LOCKS];
    pthread_mutex_lock(lock);
    struct slot *slot = find(cache, set, key);
    bool found = slot && at <= slot->size && size <= slot->size - at;
    if (found) {
        memcpy(dst, slot->bytes + at, size);
        slot->is_recent = true;
    }
    pthread_mutex_unlock(lock);
    return found;
}

/* An unused slot, or the first one the hand meets that was not used since it last came by. */
static struct slot *victim(struct range_cache *cache, size_t set)
{
    struct slot *slots = cache->slots + set * cache->ways;

    for (;;) {
        struct slot *slot = &slots[cache->hands[set]];
        cache->hands[set] = (unsigned)((cache->hands[set] + 1) % cache->ways);
        if (!slot->bytes || !slot->is_recent)
            return slot;
        slot->is_recent = false;
    }
}

void range_cache_put(struct range_cache *cache, struct page_key key, const void *bytes, size_t size)
{
    TL_CHECK(size <= RANGE_PAGE);
    if (cache->sets == 0)
        return;
    size_t set = set_of(cache, key);
    pthread_mutex_t *lock = &cache->locks[set % LOCKS];
    pthread_mutex_lock(lock);
    struct slot *slot = find(cache, set, key);
    if (!slot)
        slot = victim(cache, set);
    if (!slot->bytes)
        slot->bytes = malloc(RANGE_PAGE);
    if (slot->bytes) {
        memcpy(slot->bytes, bytes, size);
        slot->key = key;
        slot->size = size;
        slot->is_recent = true;
    }
    pthread_mutex_unlock(lock);
}
