/*
 * order: the guide order. Pixels that take the same turns in the upper levels of a
 * few trees are put next to each other, so that the pixels of a packet stay together in
 * all trees (docs/forest.md). Order never changes what comes out.
 *
 * Threads  one
 * Memory   18 bytes of scratch per pixel
 */
#ifndef TILTH_FOREST_ORDER_H
#define TILTH_FOREST_ORDER_H

#include "forest/sweep.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

struct order {
    /* The unit's pixels in the guide's order; the last packet is filled up with the last. */
    uint16_t *pixels;
    /* A key (upper 48 bits) and a pixel (lower 16); NULL where nothing is sorted. */
    uint64_t *entries, *spare;
};

/* For units of up to `pixels` (at most 65,536). False when memory is out. */
bool order_alloc(struct order *order, size_t pixels, bool sorted, struct arena *arena)
    TL_MUST_CHECK;

/* Orders the first `count` pixels of the raster. */
void order_unit(struct order *order, const struct sweep_kernel *kernel, const struct flat *flat,
                const struct raster *raster, uint32_t count);

#endif
