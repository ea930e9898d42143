#include "tiler/queue.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/metric.h"
#include "tiler/catalog.h"

#include <stdlib.h>

struct pool_lane *lane_of(struct tiler *tiler, const struct layer *layer)
{
    for (size_t i = 0; i < tiler->lane_count; i++)
        if (catalog_layer_at(tiler->options.catalog, i) == layer)
            return tiler->lanes[i];
    TL_CHECK(false); /* every layer is one of the catalog */
    return NULL;
}

enum tl_code job_submit(struct job *job, pool_job_fn *run, struct tl_err *err)
{
    return pool_submit(lane_of(job->tiler, job->query.layer), run, job, err);
}

void job_free(struct job *job)
{
    layer_view_unref(job->view);
    free(job);
}

void wait_release(struct tiler_wait *wait)
{
    pthread_mutex_lock(&wait->mu);
    bool last = --wait->holders == 0;
    pthread_mutex_unlock(&wait->mu);
    if (!last)
        return;
    layer_view_unref(wait->view);
    pthread_mutex_destroy(&wait->mu);
    free(wait);
}

struct tiler_wait *wait_new(struct tiler *tiler, const struct tile_query *query, tile_done_fn *done,
                            void *udata)
{
    struct tiler_wait *wait = malloc(sizeof(*wait));

    if (!wait)
        return NULL;
    *wait = (struct tiler_wait){.tiler = tiler,
                                .query = *query,
                                .done = done,
                                .udata = udata,
                                .start_ns = clock_now_ns(),
                                .holders = 2};
    pthread_mutex_init(&wait->mu, NULL);
    return wait;
}

bool wait_close(struct tiler_wait *wait)
{
    pthread_mutex_lock(&wait->mu);
    bool mine = !wait->over;
    wait->over = true;
    wait->in_flight = NULL;
    pthread_mutex_unlock(&wait->mu);
    return mine;
}

void wait_say(const struct tiler_wait *wait, enum tl_code code, const struct tl_err *err)
{
    metric_add_by(METRIC_TILES, "error", 1);
    wait->done(wait->udata, code, NULL, err);
}

void wait_fail(struct tiler_wait *wait, enum tl_code code, const struct tl_err *err)
{
    if (wait_close(wait))
        wait_say(wait, code, err);
    wait_release(wait);
}

bool tiler_cancel(struct tiler *tiler, struct tiler_wait *wait)
{
    pthread_mutex_lock(&wait->mu);
    bool mine = !wait->over;
    wait->over = true;
    /* Under mu: who lands cannot end the waiter's life between the look and the call. */
    bool left = mine && wait->in_flight && flight_leave(tiler->flights, wait->in_flight);
    wait->in_flight = NULL;
    pthread_mutex_unlock(&wait->mu);
    if (left)
        wait_release(wait); /* the flight's hold */
    wait_release(wait);     /* NOLINT(clang-analyzer-unix.Malloc): the caller's, there until now */
    return mine;
}

/*
 * Boards a flight with the work's hold of `wait`. False: nobody waits any more, or it failed and
 * was said. True: the caller has a hold of its own, as the flight's may be gone at once.
 */
static bool board(struct tiler_wait *wait, const struct cache_key *key, flight_done_fn *landed,
                  struct flight_place *ret_place)
{
    pthread_mutex_lock(&wait->mu);
    bool over = wait->over;
    enum tl_code code = TL_OK;
    /* Who lands at once waits for mu before it ends the wait. */
    if (!over)
        code = flight_join(wait->tiler->flights, key, landed, wait, ret_place);
    bool boarded = !over && code == TL_OK;
    if (boarded) {
        wait->in_flight = ret_place->waiter;
        wait->first = ret_place->first;
        wait->holders++;
    }
    pthread_mutex_unlock(&wait->mu);
    if (over) {
        wait_release(wait);
    } else if (!boarded) {
        struct tl_err err;

        wait_fail(wait, tl_fail(&err, code, "no memory to wait for a tile"), &err);
    }
    return boarded;
}

/* Queues the job of a flight that `wait` was the first to join. */
static void start(const struct tiler_wait *wait, const struct cache_key *key, pool_job_fn *run,
                  struct flight *flight)
{
    struct job *job = malloc(sizeof(*job));
    struct tl_err err;
    enum tl_code code = TL_NOMEM;

    if (!job) {
        (void)tl_fail(&err, code, "no memory to queue a tile");
    } else {
        *job = (struct job){.tiler = wait->tiler,
                            .query = wait->query,
                            .view = wait->view ? layer_view_ref(wait->view) : NULL,
                            .key = *key,
                            .flight = flight,
                            .queued_ns = clock_now_ns()};
        code = job_submit(job, run, &err);
    }
    if (code == TL_OK)
        return;
    if (flight_begin(flight))
        flight_land(flight, code, NULL, &err);
    if (job)
        job_free(job);
}

void wait_join(struct tiler_wait *wait, const struct cache_key *key, pool_job_fn *run,
               flight_done_fn *landed)
{
    struct flight_place place;

    if (!board(wait, key, landed, &place))
        return;
    if (place.first)
        start(wait, key, run, place.flight);
    wait_release(wait); /* NOLINT(clang-analyzer-unix.Malloc): our own, there until now */
}
