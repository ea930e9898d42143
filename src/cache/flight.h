/*
 * flight: single-flight. The first to miss a key starts the work, everyone who misses it
 * meanwhile waits for the same result; the last one to leave cancels it.
 *
 *   flight_join --first--> caller queues the work      flight_land --> every waiter's `done`
 *        \------other----> waits                        flight_leave of the last: *cancelled
 *
 * Threads  any; `done` runs on the thread that lands (or inside flight_join never), with no
 *          lock held
 * Memory   flights_new() / flights_free(), after every flight has landed; a waiter is gone
 *          after `done` or flight_leave()
 */
#ifndef TILTH_CACHE_FLIGHT_H
#define TILTH_CACHE_FLIGHT_H

#include "base/attr.h"
#include "base/err.h"
#include "cache/cache.h"

#include <stdatomic.h>
#include <stdbool.h>

struct flight;
struct flights;
struct flight_waiter;

/* What a landed flight hands to everyone; `result` is borrowed for the call. */
typedef void flight_done_fn(void *udata, enum tl_code code, const void *result,
                            const struct tl_err *err);

struct flights *flights_new(void); /* NULL when memory is out */
void flights_free(struct flights *flights);

/* A place in a flight. */
struct flight_place {
    bool first;                   /* the caller must start the work.. */
    struct flight *flight;        /* ..and land this; NULL for everyone else */
    struct flight_waiter *waiter; /* for flight_leave() */
};

/* Joins the flight of `key`. TL_NOMEM only. */
TL_MUST_CHECK enum tl_code flight_join(struct flights *flights, const struct cache_key *key,
                                       flight_done_fn *done, void *udata,
                                       struct flight_place *ret_place);
/* Set once every waiter has left; goes into the errand. */
const atomic_bool *flight_cancelled(const struct flight *flight);
/*
 * Called once the queued work begins. False: everyone left while it waited and the
 * flight is gone; do nothing. (A joiner after that starts a new flight.)
 */
bool flight_begin(struct flight *flight);
/* Answers everyone who still waits and ends the flight. */
void flight_land(struct flight *flight, enum tl_code code, const void *result,
                 const struct tl_err *err);
/*
 * Takes a waiter back. True: `done` has not run and will not. False: it has run, or is
 * running on another thread right now. Safe at any time, also twice or after `done`: a
 * waiter is a number that is never used again.
 */
bool flight_leave(struct flights *flights, struct flight_waiter *waiter);

AUTO_DEFINE(flights, flights_free)

#endif
