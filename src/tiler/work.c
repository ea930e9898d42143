#include "tiler/work.h"

#include "base/blob.h"
#include "base/clock.h"
#include "base/errand.h"
#include "base/metric.h"
#include "tiler/plain_tile.h"
#include "tiler/queue.h"

#include <string.h>

/*
 * Renders; when the objects changed under the view, opens them again and tries once more.
 * The new pixels go under the new view's key.
 */
static enum tl_code render_current(struct job *job, struct errand *errand, struct arena *arena,
                                   struct plain_tile *ret, struct tl_err *err)
{
    for (int tries = 0;; tries++) {
        enum tl_code code = plain_tile_render(job->view, &job->query, errand, arena, ret, err);

        if (code == TL_OK) {
            job->key = plain_tile_key(job->view, &job->query);
            plain_tile_keep(job->tiler->tiles, &job->key, ret);
        }
        /* TL_ABSENT is an answer: class blocks that nobody made yet. */
        if (code != TL_CHANGED || tries > 0)
            return code == TL_ABSENT ? code : layer_fault(code);
        AUTO(layer_view) fresh = NULL;
        layer_view_expire(job->view);
        TL_TRY(layer_view_get(job->query.layer, job->query.season, errand, &fresh, err));
        layer_view_unref(job->view);
        job->view = TL_TAKE(fresh);
    }
}

static void render(struct job *job, struct arena *arena)
{
    struct errand errand = {.deadline_ns = job->query.deadline_ns,
                            .cancelled = flight_cancelled(job->flight)};
    struct plain_tile plain = {0};
    enum tile_source from;
    struct tl_err err;

    int64_t start = errand_lap(&errand, STAGE_QUEUE, job->queued_ns);
    /* Between the miss and now an earlier flight of the same key may have landed. */
    if (plain_tile_find(job->tiler->tiles, &job->key, &plain, &from)) {
        plain.view = job->view;
        flight_land(job->flight, TL_OK, &plain, NULL);
        blob_unref(plain.blob);
        return;
    }
    enum tl_code code = errand_check(&errand, &err);
    if (code == TL_OK)
        code = render_current(job, &errand, arena, &plain, &err);
    metric_observe_ns(METRIC_RENDER_SECONDS, clock_now_ns() - start);
    memcpy(plain.spent_ns, errand.spent_ns, sizeof(plain.spent_ns));
    plain.view = job->view; /* a newer one than the waiters', where the objects changed */
    flight_land(job->flight, code, &plain, &err);
    blob_unref(plain.blob);
}

void run_render(void *arg, struct arena *arena)
{
    struct job *job = arg;

    if (flight_begin(job->flight))
        render(job, arena);
    else
        metric_add(METRIC_RENDER_SKIPPED, 1);
    job_free(job);
}

void run_open(void *arg, struct arena *arena)
{
    struct job *job = arg;
    struct errand errand = {.deadline_ns = job->query.deadline_ns};
    struct tl_err err;

    (void)arena;
    if (flight_begin(job->flight)) {
        errand.cancelled = flight_cancelled(job->flight);
        enum tl_code code =
            layer_view_get(job->query.layer, job->query.season, &errand, &job->view, &err);
        flight_land(job->flight, code, &job->view, &err);
    }
    job_free(job);
}

void run_check(void *arg, struct arena *arena)
{
    struct job *job = arg;
    struct errand errand = {.deadline_ns = job->query.deadline_ns};
    struct tl_err err;

    (void)arena;
    /* A failure is remembered by the layer and told to who needs the store. */
    (void)!layer_view_get(job->query.layer, job->query.season, &errand, &job->view, &err);
    job_free(job);
}
