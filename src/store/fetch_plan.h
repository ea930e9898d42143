/*
 * fetch_plan: which GETs cover a set of wanted ranges.
 *
 *   wanted   aaaa bbbb   cc            ggg
 *               dddd      (gap small)        -> sorted, joined, merged
 *   spans    [------------]            [-]
 *
 * Blocks of a COG row lie 8 bytes apart (GDAL's leader and trailer), so a small gap
 * turns a row of blocks into one request; the cap keeps one request from delaying the
 * others.
 *
 * Threads  pure
 * Units    bytes. O(n log n)
 */
#ifndef TILTH_STORE_FETCH_PLAN_H
#define TILTH_STORE_FETCH_PLAN_H

#include "store/store.h"

#include <stddef.h>
#include <stdint.h>

struct want;

struct plan_item {
    struct range range; /* offset + size does not overflow */
    size_t span;        /* filled by fetch_plan(): the span that holds the range */
    struct want *want;  /* the caller's; not looked at */
};

struct plan_limits {
    uint64_t gap;       /* bytes nobody asked for that are worth a saved request */
    uint64_t span_size; /* merging stops here; one longer range is still one span */
};

/*
 * Sorts `items` by offset and writes at most `count` spans. Every item lies inside its
 * span, equal and contained ranges share one. Returns the number of spans.
 */
size_t fetch_plan(struct plan_item *items, size_t count, const struct plan_limits *limits,
                  struct range *ret_spans);

#endif
