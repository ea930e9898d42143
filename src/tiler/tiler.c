#include "tiler/tiler.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/metric.h"
#include "base/pool.h"
#include "cache/cache.h"
#include "cache/flight.h"
#include "geo/curve.h"
#include "image/indexed_png.h"
#include "tiler/catalog.h"
#include "tiler/layer.h"
#include "tiler/render.h"
#include "tiler/style.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* cache_value.tag of a tile: bit 0 says empty, the others are of its palette's hash. */
enum { TAG_EMPTY = 1 };

/* Below it no worker is left for the layers whose stores answer. */
enum { LANES_AT_ONCE = 3 };

struct tiler {
    struct tiler_options options;
    struct flights *flights;
    size_t lane_count;
    struct pool_lane **lanes; /* one per layer, in the catalog's order */
};

/*
 * A place in line. Two hold it: the work (an opening job or a flight) and whoever was handed
 * it; the last to let go frees it.
 */
struct tiler_wait {
    struct tiler *tiler;
    struct tile_query query;
    tile_done_fn *done;
    void *udata;
    struct layer_view *view; /* set before the flight is joined */
    int64_t start_ns;
    bool first; /* this one started the render */

    pthread_mutex_t mu; /* guards: the rest */
    int holders;
    bool over; /* answered or cancelled: `done` is not to be called (again) */
    struct flight_waiter *in_flight;
};

/* What a landed flight hands to everyone who waits. */
struct landed {
    struct blob *blob;
    uint64_t hash;
    uint64_t palette; /* hash of the colours in an indexed tile, bit 0 cleared */
    bool inexact, empty;
    int64_t spent_ns[STAGE_COUNT];
};

/* The work of one flight. */
struct render_job {
    struct tiler *tiler;
    struct tile_query query;
    struct layer_view *view;
    struct cache_key key;
    struct flight *flight;
    int64_t queued_ns;
};

enum tl_code tiler_new(const struct tiler_options *options, struct tiler **ret_tiler,
                       struct tl_err *err)
{
    AUTO(tiler) tiler = TL_OWNED(calloc(1, sizeof(*tiler)));

    if (!tiler)
        return tl_fail(err, TL_NOMEM, "no memory for the tiler");
    tiler->options = *options;
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

static struct pool_lane *lane_of(struct tiler *tiler, const struct layer *layer)
{
    for (size_t i = 0; i < tiler->lane_count; i++)
        if (catalog_layer_at(tiler->options.catalog, i) == layer)
            return tiler->lanes[i];
    TL_CHECK(false); /* every layer is one of the catalog */
    return NULL;
}

static const struct style *style_of(const struct tile_query *query)
{
    return query->style ? query->style : layer_info(query->layer)->styles[0];
}

static uint32_t style_index(const struct layer_view *view, const struct style *style)
{
    const struct layer_info *info = layer_info(view->layer);

    for (uint32_t i = 0; i < info->style_count; i++)
        if (info->styles[i] == style)
            return i;
    TL_CHECK(false); /* a query holds a style of its layer */
    return 0;
}

/* Indexed class tiles are kept once for all styles, everything else per style. */
static struct cache_key key_of(const struct layer_view *view, const struct tile_query *query)
{
    bool indexed = render_is_indexed(view, query->format);

    return (struct cache_key){.ns = indexed ? view->tiles_ns
                                            : view->style_ns[style_index(view, style_of(query))],
                              .variant = (uint8_t)(query->format | query->scale << 4),
                              .id = curve_id(query->id.z, query->id.x, query->id.y)};
}

static struct render_request request_of(const struct layer_view *view,
                                        const struct tile_query *query)
{
    return (struct render_request){.view = view,
                                   .style = style_of(query),
                                   .id = query->id,
                                   .scale = query->scale,
                                   .format = query->format};
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
        return tl_fail(err, TL_INVALID, "classes= works on .png tiles only");
    return TL_OK;
}

/* The part of a view's palette hash that fits a tag. */
static uint64_t palette_bits(const struct layer_view *view)
{
    return view->palette_hash & ~(uint64_t)TAG_EMPTY;
}

static struct landed landed_of(const struct layer_view *view, const struct rendered *rendered)
{
    return (struct landed){.blob = rendered->blob,
                           .hash = hash64(blob_bytes(rendered->blob), blob_size(rendered->blob)),
                           .palette = palette_bits(view),
                           .inexact = rendered->inexact,
                           .empty = rendered->empty};
}

/* Everything the answer depends on besides the bytes of the cached tile. */
static uint64_t look_hash(const struct layer_view *view, const struct tile_query *query)
{
    struct {
        struct hash128 pixels, style;
        uint64_t filter;
    } look = {view->fingerprint, style_of(query)->fingerprint,
              query->filter_classes ? hash64(query->show, sizeof(query->show)) : 0};

    return hash64(&look, sizeof(look));
}

/*
 * The tile in the colours that were asked; one reference goes to the caller. A tile of an
 * earlier run may be in the colours that the default style had then.
 */
static enum tl_code dress(const struct layer_view *view, const struct tile_query *query,
                          const struct landed *plain, struct blob **ret_blob, struct tl_err *err)
{
    const struct style *style = style_of(query);
    struct palette palette;

    if (!render_is_indexed(view, query->format) ||
        (style == layer_info(view->layer)->styles[0] && !query->filter_classes &&
         plain->palette == palette_bits(view))) {
        *ret_blob = blob_ref(plain->blob);
        return TL_OK;
    }
    render_palette(view, style, query->filter_classes ? query->show : NULL, &palette);
    return indexed_png_restyle(plain->blob, &palette, ret_blob, err);
}

/* Dresses a plain tile and hands it over. */
static void answer(const struct layer_view *view, const struct tile_query *query,
                   const struct landed *landed, enum tile_source from, int64_t start_ns,
                   struct tiler_wait *to)
{
    AUTO(blob) blob = NULL;
    struct tl_err err;
    enum tl_code code = dress(view, query, landed, &blob, &err);
    struct tile tile = {.blob = blob,
                        .etag = {look_hash(view, query), landed->hash},
                        .from = from,
                        .inexact = landed->inexact,
                        .empty = landed->empty,
                        .total_ns = clock_now_ns() - start_ns};

    memcpy(tile.spent_ns, landed->spent_ns, sizeof(tile.spent_ns));
    to->done(to->udata, code, code == TL_OK ? &tile : NULL, &err);
}

static void count_tile(const char *result)
{
    metric_add_by(METRIC_TILES, result, 1);
}

/* From a tier of the cache, without waiting for anything but one page of the file. */
static bool find_cached(const struct tiler *tiler, const struct cache_key *key,
                        struct landed *ret_landed, enum tile_source *ret_from)
{
    struct cache_value value;

    if (!tiler->options.cache || !tiler->options.cache_tiles)
        return false;
    enum cache_tier tier = cache_get(tiler->options.cache, key, &value);
    if (tier == CACHE_MISS)
        return false;
    *ret_landed = (struct landed){.blob = value.blob,
                                  .hash = value.hash,
                                  .palette = value.tag & ~(uint64_t)TAG_EMPTY,
                                  .empty = value.tag & TAG_EMPTY};
    *ret_from = tier == CACHE_RAM ? TILE_HIT_RAM : TILE_HIT_DISK;
    return true;
}

static void wait_release(struct tiler_wait *wait)
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

static struct tiler_wait *wait_new(struct tiler *tiler, const struct tile_query *query,
                                   tile_done_fn *done, void *udata)
{
    struct tiler_wait *wait = calloc(1, sizeof(*wait));

    if (!wait)
        return NULL;
    wait->tiler = tiler;
    wait->query = *query;
    wait->done = done;
    wait->udata = udata;
    wait->start_ns = clock_now_ns();
    wait->holders = 2;
    pthread_mutex_init(&wait->mu, NULL);
    return wait;
}

/* True for the one who may call `done`. */
static bool wait_close(struct tiler_wait *wait)
{
    pthread_mutex_lock(&wait->mu);
    bool mine = !wait->over;
    wait->over = true;
    wait->in_flight = NULL;
    pthread_mutex_unlock(&wait->mu);
    return mine;
}

static void wait_fail(struct tiler_wait *wait, enum tl_code code, const struct tl_err *err)
{
    if (wait_close(wait)) {
        count_tile("error");
        wait->done(wait->udata, code, NULL, err);
    }
    wait_release(wait);
}

static void on_landed(void *udata, enum tl_code code, const void *result, const struct tl_err *err)
{
    struct tiler_wait *wait = udata;

    if (code != TL_OK) {
        wait_fail(wait, code, err);
        return;
    }
    if (wait_close(wait)) {
        count_tile(wait->first ? "rendered" : "coalesced");
        answer(wait->view, &wait->query, result, wait->first ? TILE_RENDERED : TILE_JOINED,
               wait->start_ns, wait);
    }
    wait_release(wait);
}

bool tiler_cancel(struct tiler *tiler, struct tiler_wait *wait)
{
    pthread_mutex_lock(&wait->mu);
    bool mine = !wait->over;
    wait->over = true;
    /* Under mu: on_landed() cannot end the waiter's life between the look and the call. */
    bool left = mine && wait->in_flight && flight_leave(tiler->flights, wait->in_flight);
    wait->in_flight = NULL;
    pthread_mutex_unlock(&wait->mu);
    if (left)
        wait_release(wait); /* the flight's hold */
    wait_release(wait);     /* NOLINT(clang-analyzer-unix.Malloc): the caller's, there until now */
    return mine;
}

static void job_free(struct render_job *job)
{
    layer_view_unref(job->view);
    free(job);
}

static void keep(const struct tiler *tiler, const struct cache_key *key,
                 const struct landed *landed)
{
    if (tiler->options.cache && tiler->options.cache_tiles && !landed->inexact)
        cache_put(tiler->options.cache, key, landed->blob,
                  landed->palette | (landed->empty ? TAG_EMPTY : 0));
}

/*
 * Renders; when the objects changed under the view, opens them again and tries once more.
 * The new pixels go under the new view's key.
 */
static enum tl_code render_current(struct render_job *job, struct errand *errand,
                                   struct arena *arena, struct landed *ret, struct tl_err *err)
{
    for (int tries = 0;; tries++) {
        const struct render_request request = request_of(job->view, &job->query);
        struct rendered rendered;
        enum tl_code code = render_tile(&request, errand, arena, &rendered, err);

        if (code == TL_OK) {
            *ret = landed_of(job->view, &rendered);
            job->key = key_of(job->view, &job->query);
            keep(job->tiler, &job->key, ret);
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

static void run_render(struct render_job *job, struct arena *arena)
{
    struct errand errand = {.deadline_ns = job->query.deadline_ns,
                            .cancelled = flight_cancelled(job->flight)};
    struct landed landed = {0};
    enum tile_source from;
    struct tl_err err;

    int64_t start = errand_lap(&errand, STAGE_QUEUE, job->queued_ns);
    /* Between the miss and now an earlier flight of the same key may have landed. */
    if (find_cached(job->tiler, &job->key, &landed, &from)) {
        flight_land(job->flight, TL_OK, &landed, NULL);
        blob_unref(landed.blob);
        return;
    }
    enum tl_code code = errand_check(&errand, &err);
    if (code == TL_OK)
        code = render_current(job, &errand, arena, &landed, &err);
    metric_observe_ns(METRIC_RENDER_SECONDS, clock_now_ns() - start);
    memcpy(landed.spent_ns, errand.spent_ns, sizeof(landed.spent_ns));
    flight_land(job->flight, code, &landed, &err);
    blob_unref(landed.blob);
}

static void render_job(void *arg, struct arena *arena)
{
    struct render_job *job = arg;

    if (flight_begin(job->flight))
        run_render(job, arena);
    else
        metric_add(METRIC_RENDER_SKIPPED, 1);
    job_free(job);
}

static struct render_job *job_new(struct tiler_wait *wait, const struct cache_key *key,
                                  struct flight *flight)
{
    struct render_job *job = calloc(1, sizeof(*job));

    if (!job)
        return NULL;
    job->tiler = wait->tiler;
    job->query = wait->query;
    job->view = layer_view_ref(wait->view);
    job->key = *key;
    job->flight = flight;
    job->queued_ns = clock_now_ns();
    return job;
}

/* Queues the render of a flight that `wait` was the first to join. */
static void start_flight(struct tiler_wait *wait, const struct cache_key *key,
                         struct flight *flight)
{
    struct tl_err err;
    struct render_job *job = job_new(wait, key, flight);
    enum tl_code code = job ? TL_OK : tl_fail(&err, TL_NOMEM, "no memory to queue a render");

    if (code == TL_OK)
        code = pool_submit(lane_of(wait->tiler, wait->query.layer), render_job, job, &err);
    if (code == TL_OK)
        return;
    if (flight_begin(flight))
        flight_land(flight, code, NULL, &err);
    if (job)
        job_free(job);
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

/* Takes over the work's hold of `wait`. */
static void join(struct tiler_wait *wait, const struct cache_key *key)
{
    struct flight_place place;

    if (!board(wait, key, on_landed, &place))
        return;
    if (place.first)
        start_flight(wait, key, place.flight);
    wait_release(wait); /* NOLINT(clang-analyzer-unix.Malloc): our own, there until now */
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

/* The tile with nothing in it is one value for the whole layer, under an id no tile has. */
static struct cache_key empty_key(const struct layer_view *view, const struct tile_query *query)
{
    struct cache_key key = key_of(view, query);

    key.id = UINT64_MAX;
    return key;
}

static bool find_empty(struct tiler *tiler, const struct layer_view *view,
                       const struct tile_query *query, struct landed *ret_landed,
                       enum tile_source *ret_from)
{
    const struct render_request request = request_of(view, query);
    const struct cache_key key = empty_key(view, query);
    AUTO(arena) arena = NULL;
    struct blob *blob;
    struct tl_err err;

    if (find_cached(tiler, &key, ret_landed, ret_from))
        return true;
    arena = arena_new();
    if (!arena || render_empty(&request, arena, &blob, &err) != TL_OK)
        return false;
    *ret_landed = landed_of(view, &(struct rendered){.blob = blob, .empty = true});
    keep(tiler, &key, ret_landed);
    *ret_from = TILE_RENDERED;
    return true;
}

/* The tile when nothing has to be rendered for it. */
static bool find_now(struct tiler *tiler, const struct layer_view *view,
                     const struct tile_query *query, struct landed *ret_landed,
                     enum tile_source *ret_from)
{
    const struct cache_key key = key_of(view, query);

    if (outside(view, query->id))
        return find_empty(tiler, view, query, ret_landed, ret_from);
    return find_cached(tiler, &key, ret_landed, ret_from);
}

static void answer_found(struct tiler_wait *wait, const struct layer_view *view,
                         const struct landed *landed, enum tile_source from)
{
    count_tile(landed->empty ? "empty" : "hit");
    answer(view, &wait->query, landed, from, wait->start_ns, wait);
}

/* What opening jobs hand to everyone who waits for a layer. */
struct opened {
    struct layer_view *view;
};

/* Worker: the layer is open; goes on as tiler_get() would have. */
static void on_opened(void *udata, enum tl_code code, const void *result, const struct tl_err *err)
{
    struct tiler_wait *wait = udata;
    struct landed landed = {0};
    enum tile_source from;

    if (code != TL_OK) {
        wait_fail(wait, code, err);
        return;
    }
    wait->view = layer_view_ref(((const struct opened *)result)->view);
    if (!find_now(wait->tiler, wait->view, &wait->query, &landed, &from)) {
        const struct cache_key key = key_of(wait->view, &wait->query);

        join(wait, &key);
        return;
    }
    if (wait_close(wait))
        answer_found(wait, wait->view, &landed, from);
    blob_unref(landed.blob);
    wait_release(wait);
}

/* The opening of a season of a layer; everyone who asks for its tiles waits on one. */
struct open_job {
    struct tile_query query;
    struct flight *flight;
};

static void open_job(void *arg, struct arena *arena)
{
    struct open_job *job = arg;
    struct errand errand = {.deadline_ns = job->query.deadline_ns};
    struct opened opened = {0};
    struct tl_err err;

    (void)arena;
    if (flight_begin(job->flight)) {
        errand.cancelled = flight_cancelled(job->flight);
        enum tl_code code =
            layer_view_get(job->query.layer, job->query.season, &errand, &opened.view, &err);
        flight_land(job->flight, code, &opened, &err);
        layer_view_unref(opened.view);
    }
    free(job);
}

static void start_opening(struct tiler_wait *wait, struct flight *flight)
{
    struct open_job *job = malloc(sizeof(*job));
    struct tl_err err;
    enum tl_code code = job ? TL_OK : tl_fail(&err, TL_NOMEM, "no memory to open a layer");

    if (code == TL_OK) {
        *job = (struct open_job){wait->query, flight};
        code = pool_submit(lane_of(wait->tiler, wait->query.layer), open_job, job, &err);
    }
    if (code == TL_OK)
        return;
    if (flight_begin(flight))
        flight_land(flight, code, NULL, &err);
    free(job);
}

/* Takes over the work's hold of `wait`. Under a namespace that no tile is in. */
static void join_opening(struct tiler_wait *wait)
{
    const char *id = layer_info(wait->query.layer)->id;
    const struct hash128 layer = hash128(id, strlen(id));
    const struct hash128 season = hash128(wait->query.season, strlen(wait->query.season));
    const struct cache_key key = {.ns = UINT32_MAX, .id = hash128_join(layer, season).lo};
    struct flight_place place;

    if (!board(wait, &key, on_opened, &place))
        return;
    if (place.first)
        start_opening(wait, place.flight);
    wait_release(wait); /* NOLINT(clang-analyzer-unix.Malloc): our own, there until now */
}

/* The versions of a layer's objects, checked behind the backs of those who ask for tiles. */
struct check {
    struct layer *layer;
    char season[32];
    int64_t deadline_ns;
};

static void run_check(void *udata, struct arena *arena)
{
    struct check *check = udata;
    struct errand errand = {.deadline_ns = check->deadline_ns};
    AUTO(layer_view) view = NULL;
    struct tl_err err;

    (void)arena;
    /* A failure is remembered by the layer and told to who needs the store. */
    (void)!layer_view_get(check->layer, check->season, &errand, &view, &err);
    free(check);
}

static void check_soon(struct tiler *tiler, const struct tile_query *query)
{
    struct check *check = malloc(sizeof(*check));
    struct tl_err err;

    if (!check)
        return;
    *check = (struct check){.layer = query->layer, .deadline_ns = query->deadline_ns};
    memcpy(check->season, query->season, sizeof(check->season));
    if (tiler_task(tiler, query->layer, run_check, check, &err) != TL_OK)
        free(check); /* asked again in a second */
}

static void fail_now(const struct tiler_wait *hit, enum tl_code code, const struct tl_err *err)
{
    count_tile("error");
    hit->done(hit->udata, code, NULL, err);
}

static void queue_wait(struct tiler_wait *wait, struct layer_view *view,
                       struct tiler_wait **ret_wait)
{
    *ret_wait = wait;
    if (view) {
        const struct cache_key key = key_of(view, &wait->query);

        wait->view = layer_view_ref(view);
        join(wait, &key);
        return;
    }
    join_opening(wait);
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
        fail_now(&hit, code, &err);
        return;
    }
    bool due;
    AUTO(layer_view) view = layer_view_peek(query->layer, query->season, &due);
    if (due)
        check_soon(tiler, query);
    struct landed landed;
    enum tile_source from;
    if (view && find_now(tiler, view, query, &landed, &from)) {
        answer_found(&hit, view, &landed, from);
        blob_unref(landed.blob);
        return;
    }
    metric_add(METRIC_CACHE_MISSES, 1);
    struct tiler_wait *wait = wait_new(tiler, query, done, udata);
    if (!wait) {
        fail_now(&hit, tl_fail(&err, TL_NOMEM, "no memory to wait for a tile"), &err);
        return;
    }
    queue_wait(wait, view, ret_wait);
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
    struct rendered rendered;

    (void)tiler;
    TL_TRY(check_query(query, err));
    TL_TRY(layer_view_get(query->layer, query->season, errand, &view, err));
    const struct render_request request = request_of(view, query);
    TL_TRY(render_tile(&request, errand, arena, &rendered, err));
    AUTO(blob) plain = rendered.blob;
    const struct landed landed = landed_of(view, &rendered);
    struct tile tile = {.etag = {look_hash(view, query), landed.hash},
                        .from = TILE_RENDERED,
                        .inexact = landed.inexact,
                        .empty = landed.empty};
    TL_TRY(dress(view, query, &landed, &tile.blob, err));
    memcpy(tile.spent_ns, errand->spent_ns, sizeof(tile.spent_ns));
    *ret_tile = tile;
    return TL_OK;
}
