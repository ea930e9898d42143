/*
 * tiler: the one door to tiles, for HTTP, the seeder and the CLI alike.
 *
 *   tiler_get --> cache --hit--> done
 *                  | miss
 *                flight (one render per key) --> pool lane of the layer --> render_tile
 *                                                     cache_put, flight_land --> done
 *
 * Threads  tiler_get() from any thread, never blocks; `done` runs on a worker, or at once
 *          on the caller's thread when the tile is in the cache
 * Memory   tiler_new() / tiler_free(); tiles are blobs
 */
#ifndef TILTH_TILER_TILER_H
#define TILTH_TILER_TILER_H

#include "base/attr.h"
#include "base/err.h"
#include "base/errand.h"
#include "base/hash.h"
#include "geo/tms.h"
#include "image/encode.h"

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct blob;
struct cache;
struct catalog;
struct layer;
struct pool;
struct style;
struct tiler;
struct tiler_wait;

/* A validated wish: values only. */
struct tile_query {
    struct layer *layer;
    const struct style *style; /* NULL: the layer's default */
    struct tile_id id;         /* WebMercatorQuad */
    uint8_t scale;             /* 1: 256 px, 2: 512 px */
    enum image_format format;
    char season[32];     /* "": the default; a label or a date */
    bool filter_classes; /* show only these: */
    uint8_t show[256];   /* 1: class value is shown */
    int64_t deadline_ns; /* absolute */
};

enum tile_source { TILE_HIT_RAM, TILE_HIT_DISK, TILE_RENDERED, TILE_JOINED };

struct tile {
    struct blob *blob; /* borrowed during `done`; blob_ref() to keep it */
    uint64_t etag[2];  /* fingerprint of the view, style and filter; hash of the bytes */
    enum tile_source from;
    bool inexact; /* X-Tilth-Exact: 0, a short max-age, not stored */
    bool empty;   /* nothing of the layer is in this tile */
    int64_t spent_ns[STAGE_COUNT];
    int64_t total_ns;
};

typedef void tile_done_fn(void *udata, enum tl_code code, const struct tile *tile,
                          const struct tl_err *err);

struct tiler_options {
    struct catalog *catalog; /* borrowed, like the rest */
    struct cache *cache;
    struct pool *pool;
    uint32_t lane_queue; /* waiting renders per layer */
    bool cache_tiles;    /* false: every tile is rendered (benchmarks) */
};

TL_MUST_CHECK enum tl_code tiler_new(const struct tiler_options *options, struct tiler **ret_tiler,
                                     struct tl_err *err);
void tiler_free(struct tiler *tiler);

/*
 * Asks for a tile. `done` is called exactly once unless tiler_cancel() says otherwise: before
 * the return on the caller's thread (a hit, a refusal), or on a worker, perhaps also before
 * the return. *ret_wait is the place in line, given back by exactly one call of
 * tiler_cancel(), also after `done` has run; NULL when there is nothing to give back.
 */
void tiler_get(struct tiler *tiler, const struct tile_query *query, tile_done_fn *done, void *udata,
               struct tiler_wait **ret_wait);
/*
 * Gives a place in line back. True: `done` has not run and will not. False: it has, or runs
 * right now on a worker.
 */
bool tiler_cancel(struct tiler *tiler, struct tiler_wait *wait);

/* Work that may open sources and so must not run on a loop: documents, point queries. */
typedef void tiler_task_fn(void *udata, struct arena *arena);

/* Runs `run` on a worker, in the layer's lane. TL_BUSY: it will not run. */
TL_MUST_CHECK enum tl_code tiler_task(struct tiler *tiler, struct layer *layer, tiler_task_fn *run,
                                      void *udata, struct tl_err *err);

/* A tile as tiler_get() has it, in the calling thread, without cache or flight: CLI and tests. */
TL_MUST_CHECK enum tl_code tiler_render(struct tiler *tiler, const struct tile_query *query,
                                        struct errand *errand, struct arena *arena,
                                        struct tile *ret_tile, struct tl_err *err);

AUTO_DEFINE(tiler, tiler_free)

#endif
