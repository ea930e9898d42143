/*
 * range_cache: pages of 64 KiB of remote objects, for readers that ask for small pieces
 * again and again (GDAL). A page may lie in the eight slots of its set only, so there is no
 * table to keep; CLOCK picks the victim among them. Pages are copied in and out under the
 * lock of the set: 64 KiB is a few microseconds.
 *
 * Threads  any
 * Memory   range_cache_new() / range_cache_free(); slots get memory when first used
 * Units    bytes; page n holds bytes n x RANGE_PAGE ...
 */
#ifndef TILTH_STORE_RANGE_CACHE_H
#define TILTH_STORE_RANGE_CACHE_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANGE_PAGE 65536

struct range_cache;

struct page_key {
    uint64_t object; /* object.id: another version is another object */
    uint64_t page;
};

/* Keeps at most `budget_bytes` of pages; less than one page is none. NULL: out of memory. */
struct range_cache *range_cache_new(size_t budget_bytes);
void range_cache_free(struct range_cache *cache);

/* Copies `size` bytes from `at` within the page; false when it is not there. */
bool range_cache_get(struct range_cache *cache, struct page_key key, size_t at, size_t size,
                     void *dst);
/* Keeps a page (the last one of an object may be short). Without memory it does not. */
void range_cache_put(struct range_cache *cache, struct page_key key, const void *bytes,
                     size_t size);

AUTO_DEFINE(range_cache, range_cache_free)

#endif
