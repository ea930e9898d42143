#include "tiler/tiler.h"

#include "base/blob.h"
#include "base/clock.h"
#include "base/metric.h"
#include "tiler/catalog.h"
#include "tiler/plain_tile.h"
#include "tiler/queue.h"
#include "tiler/work.h"

#include <stdlib.h>
#include <string.h>

/* Below it no worker is left for the layers whose stores answer. */
enum { LANES_AT_ONCE = 3 };

enum tl_code tiler_new(const struct tiler_options *options, struct tiler **ret_tiler,
                       struct tl_err *err)
{
    AUTO(tiler) tiler = TL_OWNED(calloc(1, sizeof(*tiler)));

    if (!tiler)
        return tl_fail(err, TL_NOMEM, "no memory for the tiler");
    tiler->options = *options;
    tiler->tiles = options->cache_tiles ? options->cache : NULL;
    size_t layers = catalog_layer_count(options->catalog);
    tiler->flights = flights_new();
    tiler->lanes = calloc(layers + 1, sizeof(struct pool_lane *));
    if (!tiler->flights || !tiler->lanes)
        return tl_fail(err, TL_NOMEM, "no memory for the tiler");
    /* Layers that wait for a store that hangs hold a third of the workers each. */
    uint32_t workers = pool_stats(options->pool).workers;
    for (size_t i = 0; i < layers; i++) {
        TL_TRY(pool_lane_new(options->pool, TL_MAX(1, workers / LANES_AT_ONCE), options->lane_queue,
                             &tiler->lanes[i], err));
        tiler->lane_count = i + 1;
    }
    *ret_tiler = TL_TAKE(tiler);
    return TL_OK;
}

void tiler_free(struct tiler *tiler)
{
    if (!tiler)
        return;
    for (size_t i = 0; i < tiler->lane_count; i++)
        pool_lane_free(tiler->lanes[i]);
    free(tiler->lanes);
    flights_free(tiler->flights);
    free(tiler);
}

/* What must not be asked at all, whatever the layer's sources say. */
static enum tl_code check_query(const struct tile_query *query, struct tl_err *err)
{
    const struct layer_info *info = layer_info(query->layer);

    TL_TRY(tms_check(&tms_web_mercator_quad, query->id, err));
    if (query->id.z < info->min_zoom || query->id.z > info->max_zoom)
        return tl_fail(err, TL_ABSENT, "layer %s has zooms %u to %u, %u was asked", info->id,
                       info->min_zoom, info->max_zoom, query->id.z);
    if (query->filter_classes && query->format != IMAGE_PNG)
        return tl_fail(err, TL_INVALID,
                       "classes= works on .png tiles only; ask for .png or leave it out");
    return TL_OK;
}

/* Dresses a plain tile and hands it over. */
static void answer(const struct tiler_wait *to, const struct layer_view *view,
                   const struct plain_tile *plain, enum tile_source from, const char *result)
{
    struct tile tile = {0};
    struct tl_err err;

    metric_add_by(METRIC_TILES, result, 1);
    enum tl_code code = plain_tile_dress(plain, view, &to->query, &tile, &err);
    tile.from = from;
    tile.total_ns = clock_now_ns() - to->start_ns;
    to->done(to->udata, code, code == TL_OK ? &tile : NULL, &err);
    blob_unref(tile.blob);
}

/* Worker: the tile is rendered. */
static void on_landed(void *udata, enum tl_code code, const void *result, const struct tl_err *err)
{
    struct tiler_wait *wait = udata;
    const struct plain_tile *plain = result;

    if (code != TL_OK) {
        wait_fail(wait, code, err);
        return;
    }
    if (wait_close(wait))
        answer(wait, plain->view, plain, wait->first ? TILE_RENDERED : TILE_JOINED,
               wait->first ? "rendered" : "coalesced");
    wait_release(wait);
}

static void join_render(struct tiler_wait *wait)
{
    const struct cache_key key = plain_tile_key(wait->view, &wait->query);

    wait_join(wait, &key, run_render, on_landed);
}

/* The layer's extent may reach over the antimeridian: its images east and west count too. */
static bool outside(const struct layer_view *view, struct tile_id id)
{
    struct bbox tile = tms_tile_bounds(&tms_web_mercator_quad, id);
    struct bbox world = tms_tile_bounds(&tms_web_mercator_quad, (struct tile_id){0});
    double around = world.xmax - world.xmin;

    for (int turn = -1; turn <= 1; turn++) {
        struct bbox image = view->mercator;

        image.xmin += turn * around;
        image.xmax += turn * around;
        if (bbox_intersects(tile, image))
            return false;
    }
    return true;
}

/* The tile when nothing has to be rendered for it. */
static bool find_now(struct tiler *tiler, const struct layer_view *view,
                     const struct tile_query *query, struct plain_tile *ret_plain,
                     enum tile_source *ret_from)
{
    const struct cache_key key = plain_tile_key(view, query);

    if (outside(view, query->id))
        return plain_tile_empty(tiler->tiles, view, query, ret_plain, ret_from);
    return plain_tile_find(tiler->tiles, &key, ret_plain, ret_from);
}

static void answer_found(const struct tiler_wait *to, const struct layer_view *view,
                         const struct plain_tile *plain, enum tile_source from)
{
    answer(to, view, plain, from, plain->empty ? "empty" : "hit");
}

/* Worker: the layer is open; goes on as tiler_get() would have. */
static void on_opened(void *udata, enum tl_code code, const void *result, const struct tl_err *err)
{
    struct tiler_wait *wait = udata;
    struct plain_tile plain;
    enum tile_source from;

    if (code != TL_OK) {
        wait_fail(wait, code, err);
        return;
    }
    wait->view = layer_view_ref(*(struct layer_view *const *)result);
    if (!find_now(wait->tiler, wait->view, &wait->query, &plain, &from)) {
        join_render(wait);
        return;
    }
    if (wait_close(wait))
        answer_found(wait, wait->view, &plain, from);
    blob_unref(plain.blob);
    wait_release(wait);
}

/* Everyone who asks for tiles of a season waits on one opening, in a namespace of no tile. */
static void join_opening(struct tiler_wait *wait)
{
    const char *id = layer_info(wait->query.layer)->id;
    const struct hash128 layer = hash128(id, strlen(id));
    const struct hash128 season = hash128(wait->query.season, strlen(wait->query.season));
    const struct cache_key key = {.ns = UINT32_MAX, .id = hash128_join(layer, season).lo};

    wait_join(wait, &key, run_open, on_opened);
}

static void check_soon(struct tiler *tiler, const struct tile_query *query)
{
    struct job *job = calloc(1, sizeof(*job));
    struct tl_err err;

    if (!job)
        return;
    job->tiler = tiler;
    job->query = *query;
    if (job_submit(job, run_check, &err) != TL_OK)
        job_free(job); /* asked again in a second */
}

void tiler_get(struct tiler *tiler, const struct tile_query *query, tile_done_fn *done, void *udata,
               struct tiler_wait **ret_wait)
{
    /* A hit needs no memory of its own: this one lives on the stack. */
    struct tiler_wait hit = {
        .tiler = tiler, .query = *query, .done = done, .udata = udata, .start_ns = clock_now_ns()};
    struct tl_err err;

    *ret_wait = NULL;
    enum tl_code code = check_query(query, &err);
    if (code != TL_OK) {
        wait_say(&hit, code, &err);
        return;
    }
    bool due;
    AUTO(layer_view) view = layer_view_peek(query->layer, query->season, &due);
    if (due)
        check_soon(tiler, query);
    struct plain_tile plain;
    enum tile_source from;
    if (view && find_now(tiler, view, query, &plain, &from)) {
        answer_found(&hit, view, &plain, from);
        blob_unref(plain.blob);
        return;
    }
    metric_add(METRIC_CACHE_MISSES, 1);
    struct tiler_wait *wait = wait_new(tiler, query, done, udata);
    if (!wait) {
        wait_say(&hit, tl_fail(&err, TL_NOMEM, "no memory to wait for a tile"), &err);
        return;
    }
    *ret_wait = wait;
    wait->view = TL_TAKE(view);
    if (wait->view)
        join_render(wait);
    else
        join_opening(wait);
}

struct task {
    tiler_task_fn *run;
    void *udata;
};

static void run_task(void *arg, struct arena *arena)
{
    struct task task = *(struct task *)arg;

    free(arg);
    task.run(task.udata, arena);
}

enum tl_code tiler_task(struct tiler *tiler, struct layer *layer, tiler_task_fn *run, void *udata,
                        struct tl_err *err)
{
    struct task *task = malloc(sizeof(*task));

    if (!task)
        return tl_fail(err, TL_NOMEM, "no memory to queue a request");
    *task = (struct task){run, udata};
    enum tl_code code = pool_submit(lane_of(tiler, layer), run_task, task, err);
    if (code != TL_OK)
        free(task);
    return code;
}

enum tl_code tiler_render(struct tiler *tiler, const struct tile_query *query,
                          struct errand *errand, struct arena *arena, struct tile *ret_tile,
                          struct tl_err *err)
{
    AUTO(layer_view) view = NULL;
    struct plain_tile plain = {0};

    (void)tiler;
    TL_TRY(check_query(query, err));
    TL_TRY(layer_view_get(query->layer, query->season, errand, &view, err));
    TL_TRY(plain_tile_render(view, query, errand, arena, &plain, err));
    memcpy(plain.spent_ns, errand->spent_ns, sizeof(plain.spent_ns));
    enum tl_code code = plain_tile_dress(&plain, view, query, ret_tile, err);
    blob_unref(plain.blob);
    TL_TRY(code);
    ret_tile->from = TILE_RENDERED;
    return TL_OK;
}
