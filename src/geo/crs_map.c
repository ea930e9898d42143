/*
 * A PROJ context and everything made in it belong to one thread, and making a
 * transformation costs milliseconds (data base look-ups). So each thread keeps its own
 * context and the maps it has used; a thread-specific value with a destructor is the one
 * place that outlives a call and ends with the thread.
 */
#include "base/check.h"
#include "geo/crs_impl.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

struct crs_map {
    struct hash128 from_id, to_id;
    uint64_t used_at; /* the thread's count of look-ups; the smallest is evicted */
    bool identity;
    enum crs_form from, to; /* both closed forms, or both FORM_NONE: ask `pj` */
    PJ *pj;
};

struct proj_thread {
    PJ_CONTEXT *context;
    uint64_t look_ups;
    size_t map_count;
    struct crs_map *maps[CRS_MAPS_PER_THREAD];
};

static pthread_once_t thread_once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;

static void map_free(struct crs_map *map)
{
    if (!map)
        return;
    proj_destroy(map->pj);
    free(map);
}

static void thread_free(void *value)
{
    struct proj_thread *thread = value;

    for (size_t i = 0; i < thread->map_count; i++)
        map_free(thread->maps[i]);
    proj_context_destroy(thread->context);
    free(thread);
}

static void thread_key_init(void)
{
    TL_CHECK(pthread_key_create(&thread_key, thread_free) == 0);
}

static struct proj_thread *thread_new(void)
{
    struct proj_thread *thread = calloc(1, sizeof(*thread));

    if (!thread)
        return NULL;
    thread->context = proj_context_create();
    if (!thread->context || pthread_setspecific(thread_key, thread) != 0) {
        proj_context_destroy(thread->context);
        free(thread);
        return NULL;
    }
    proj_log_level(thread->context, PJ_LOG_NONE);
    /* A tile never waits for a grid file from somebody else's server. */
    proj_context_set_enable_network(thread->context, 0);
    return thread;
}

static struct proj_thread *proj_thread(void)
{
    TL_CHECK(pthread_once(&thread_once, thread_key_init) == 0);
    struct proj_thread *thread = pthread_getspecific(thread_key);

    return thread ? thread : thread_new();
}

PJ_CONTEXT *proj_thread_context(void)
{
    struct proj_thread *thread = proj_thread();

    return thread ? thread->context : NULL;
}

const char *proj_reason(PJ_CONTEXT *context)
{
    int number = proj_context_errno(context);
    const char *text = number ? proj_context_errno_string(context, number) : NULL;

    return text ? text : "no reason given";
}

static enum tl_code map_open_pj(struct crs_map *map, PJ_CONTEXT *context, const struct crs *from,
                                const struct crs *to, struct tl_err *err)
{
    PJ *authority_order = proj_create_crs_to_crs(context, from->text, to->text, NULL);

    if (authority_order) {
        map->pj = proj_normalize_for_visualization(context, authority_order);
        proj_destroy(authority_order);
    }
    if (!map->pj)
        return tl_fail(err, TL_UNSUPPORTED, "PROJ knows no way from \"%.80s\" to \"%.80s\": %s",
                       from->name, to->name, proj_reason(context));
    return TL_OK;
}

static enum tl_code map_new(PJ_CONTEXT *context, const struct crs *from, const struct crs *to,
                            struct crs_map **ret_map, struct tl_err *err)
{
    struct crs_map *map = calloc(1, sizeof(*map));

    if (!map)
        return tl_fail(err, TL_NOMEM, "no memory for a coordinate transformation");
    map->from_id = from->id;
    map->to_id = to->id;
    map->identity = crs_equal(from, to);
    if (from->form != FORM_NONE && to->form != FORM_NONE) {
        map->from = from->form;
        map->to = to->form;
    } else if (!map->identity) {
        enum tl_code code = map_open_pj(map, context, from, to, err);
        if (code != TL_OK) {
            map_free(map);
            return code;
        }
    }
    *ret_map = map;
    return TL_OK;
}

/* Where the next map goes: a free place, or that of the one not used for longest. */
static struct crs_map **place_for_map(struct proj_thread *thread)
{
    if (thread->map_count < CRS_MAPS_PER_THREAD)
        return &thread->maps[thread->map_count++];
    struct crs_map **oldest = &thread->maps[0];
    for (size_t i = 1; i < thread->map_count; i++) {
        if (thread->maps[i]->used_at < (*oldest)->used_at)
            oldest = &thread->maps[i];
    }
    map_free(*oldest);
    return oldest;
}

static struct crs_map *find_map(struct proj_thread *thread, const struct crs *from,
                                const struct crs *to)
{
    for (size_t i = 0; i < thread->map_count; i++) {
        struct crs_map *map = thread->maps[i];

        if (hash128_equal(map->from_id, from->id) && hash128_equal(map->to_id, to->id))
            return map;
    }
    return NULL;
}

enum tl_code crs_map_get(const struct crs *from, const struct crs *to, struct crs_map **ret_map,
                         struct tl_err *err)
{
    struct proj_thread *thread = proj_thread();

    if (!thread)
        return tl_fail(err, TL_NOMEM, "no memory for a PROJ context");
    struct crs_map *map = find_map(thread, from, to);
    if (!map) {
        TL_TRY(map_new(thread->context, from, to, &map, err));
        *place_for_map(thread) = map;
    }
    TL_CHECK(map);
    map->used_at = ++thread->look_ups;
    *ret_map = map;
    return TL_OK;
}

bool crs_map_separable(const struct crs_map *map)
{
    return map->pj == NULL;
}

void crs_map_xs(struct crs_map *map, double *x, size_t count)
{
    TL_CHECK(crs_map_separable(map));
    if (map->identity)
        return;
    form_x_to_lon(map->from, x, count);
    form_lon_to_x(map->to, x, count);
}

void crs_map_ys(struct crs_map *map, double *y, size_t count)
{
    TL_CHECK(crs_map_separable(map));
    if (map->identity)
        return;
    form_y_to_lat(map->from, y, count);
    form_lat_to_y(map->to, y, count);
}

/* One coordinate without an image takes the other with it. */
static void spoil_pairs(double *x, double *y, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(x[i]) || !isfinite(y[i]))
            x[i] = y[i] = HUGE_VAL;
    }
}

void crs_map_points(struct crs_map *map, double *x, double *y, size_t count)
{
    if (map->pj) {
        proj_trans_generic(map->pj, PJ_FWD, x, sizeof(*x), count, y, sizeof(*y), count, NULL, 0, 0,
                           NULL, 0, 0);
        /* The error of one point must not be the next call's. */
        proj_errno_reset(map->pj);
    } else {
        crs_map_xs(map, x, count);
        crs_map_ys(map, y, count);
    }
    spoil_pairs(x, y, count);
}
