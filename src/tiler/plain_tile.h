/*
 * plain_tile: a tile as it is rendered, kept and waited for, before it is dressed in the
 * colours that were asked. Indexed class tiles are plain in the default style, once for all
 * styles and filters; anything else is rendered in the style that was asked. Private to tiler/.
 *
 * Threads  any
 * Memory   whoever gets a plain tile gets one reference of its blob
 */
#ifndef TILTH_TILER_PLAIN_TILE_H
#define TILTH_TILER_PLAIN_TILE_H

#include "cache/cache.h"
#include "tiler/layer.h"
#include "tiler/render.h"
#include "tiler/tiler.h"

struct plain_tile {
    struct blob *blob;
    uint64_t hash;    /* of the bytes */
    uint64_t palette; /* hash of the colours in an indexed tile, bit 0 cleared */
    bool inexact, empty;
    int64_t spent_ns[STAGE_COUNT];
    const struct layer_view *view; /* of a flight that landed: what it is of; borrowed */
};

/* What the tile is kept under: equal for all tiles that are dressed from one plain one. */
struct cache_key plain_tile_key(const struct layer_view *view, const struct tile_query *query);

/* Touches no cache. */
TL_MUST_CHECK enum tl_code plain_tile_render(const struct layer_view *view,
                                             const struct tile_query *query, struct errand *errand,
                                             struct arena *arena, struct plain_tile *ret_plain,
                                             struct tl_err *err);
/*
 * From a tier of the cache, without waiting for anything but one page of the file. False as
 * well when `cache` is NULL.
 */
bool plain_tile_find(struct cache *cache, const struct cache_key *key, struct plain_tile *ret_plain,
                     enum tile_source *ret_from);
/* Kept unless it is inexact or `cache` is NULL. */
void plain_tile_keep(struct cache *cache, const struct cache_key *key,
                     const struct plain_tile *plain);
/*
 * The tile with nothing in it, made when it is not kept: one for the whole layer. False when
 * memory is out.
 */
bool plain_tile_empty(struct cache *cache, const struct layer_view *view,
                      const struct tile_query *query, struct plain_tile *ret_plain,
                      enum tile_source *ret_from);

/* The tile in the colours that were asked; its `from` and `total_ns` are the caller's to fill. */
TL_MUST_CHECK enum tl_code plain_tile_dress(const struct plain_tile *plain,
                                            const struct layer_view *view,
                                            const struct tile_query *query, struct tile *ret_tile,
                                            struct tl_err *err);

#endif
