/*
 * queue: places in line, and the flights they wait for. Who is first to miss a key starts its
 * job in the layer's lane; whoever misses it meanwhile waits for the same result; who cancels
 * frees the place, and the last to go takes the job with him. Private to tiler/.
 *
 *   wait_new --> wait_join --first--> job on a worker --flight_land--> every waiter's `landed`
 *                    ^                                                    |  wait_close, done
 *                    '---------- (the layer is open: now the tile) -------'
 *
 * Threads  any
 * Memory   a wait has two holders, the work (the flight it waits for) and whoever was handed
 *          it; the last to let go frees it
 */
#ifndef TILTH_TILER_QUEUE_H
#define TILTH_TILER_QUEUE_H

#include "base/pool.h"
#include "cache/flight.h"
#include "tiler/layer.h"
#include "tiler/tiler.h"

#include <pthread.h>

struct tiler {
    struct tiler_options options;
    struct cache *tiles; /* NULL: tiles are not kept */
    struct flights *flights;
    size_t lane_count;
    struct pool_lane **lanes; /* one per layer, in the catalog's order */
};

struct tiler_wait {
    struct tiler *tiler;
    struct tile_query query;
    tile_done_fn *done;
    void *udata;
    struct layer_view *view; /* set before the flight of the tile is joined */
    int64_t start_ns;
    bool first; /* this one started what it waits for */

    pthread_mutex_t mu; /* guards: the rest */
    int holders;
    bool over; /* answered or cancelled: `done` is not to be called (again) */
    struct flight_waiter *in_flight;
};

/* What a worker is to do for those who wait; job_free() ends it. */
struct job {
    struct tiler *tiler;
    struct tile_query query;
    struct layer_view *view; /* NULL: the layer is not open yet */
    struct cache_key key;
    struct flight *flight; /* NULL: nobody waits */
    int64_t queued_ns;
};

/* Hands `job` to the layer's lane. TL_BUSY: it is still the caller's. */
TL_MUST_CHECK enum tl_code job_submit(struct job *job, pool_job_fn *run, struct tl_err *err);
void job_free(struct job *job);

struct pool_lane *lane_of(struct tiler *tiler, const struct layer *layer);

/* With the holds of the work and of the caller. NULL: memory is out. */
struct tiler_wait *wait_new(struct tiler *tiler, const struct tile_query *query, tile_done_fn *done,
                            void *udata);
/* True for the one who may call `done`. */
bool wait_close(struct tiler_wait *wait);
/* Says a failure to whoever waits, without looking who may. */
void wait_say(const struct tiler_wait *wait, enum tl_code code, const struct tl_err *err);
/* The work's hold: said if nobody else did, and let go. */
void wait_fail(struct tiler_wait *wait, enum tl_code code, const struct tl_err *err);
void wait_release(struct tiler_wait *wait);
/* Waits for the flight of `key`, which `run` lands. Takes over the work's hold. */
void wait_join(struct tiler_wait *wait, const struct cache_key *key, pool_job_fn *run,
               flight_done_fn *landed);

#endif
