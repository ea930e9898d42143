#include "raster/warp.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errand.h"
#include "geo/crs.h"
#include "raster/resample.h"
#include "raster/warp_map.h"
#include "raster/warp_window.h"

#include <math.h>

/* A level whose pixels are this much larger than the target's still serves it. */
#define LEVEL_TOLERANCE 1.01

/* --- level ----------------------------------------------------------------------------- */

/* How many level 0 pixels a pixel of the level is wide. */
static double level_ratio(const struct pyramid *pyramid, uint8_t level)
{
    struct affine full = pyramid->levels[0].affine, at = pyramid->levels[level].affine;

    return sqrt(at.dx * at.dy / (full.dx * full.dy));
}

enum tl_code warp_level(const struct block_source *source, const struct grid *target,
                        uint8_t *ret_level, struct tl_err *err)
{
    const struct pyramid *pyramid = source->pyramid;
    double ratio;
    int best = -1;

    TL_TRY(warp_map_ratio(target, pyramid, &ratio, err));
    for (uint8_t i = 0; i < pyramid->level_count; i++) {
        if (!pyramid->levels[i].usable)
            continue;
        /* The finest usable one serves whatever is finer still. */
        if (best < 0 || level_ratio(pyramid, i) <= ratio * LEVEL_TOLERANCE)
            best = i;
    }
    if (best < 0)
        return tl_fail(err, TL_UNSUPPORTED, "no level of the raster is usable");
    *ret_level = (uint8_t)best;
    return TL_OK;
}

/* --- request --------------------------------------------------------------------------- */

/* A request with everything that was left to choose, chosen. */
struct plan {
    const struct warp_request *request;
    const uint16_t *bands;
    uint16_t band_count;
    uint8_t level;
    enum warp_sample sample;
};

static enum tl_code check_grid(const struct grid *grid, struct tl_err *err)
{
    struct affine a = grid->affine;

    if (grid->width == 0 || grid->height == 0)
        return tl_fail(err, TL_INVALID, "a target of %u x %u pixels is empty", grid->width,
                       grid->height);
    if (grid->width > WARP_MAX_TARGET_PX || grid->height > WARP_MAX_TARGET_PX)
        return tl_fail(err, TL_LIMIT, "a target of %u x %u pixels; at most %d x %d at once",
                       grid->width, grid->height, WARP_MAX_TARGET_PX, WARP_MAX_TARGET_PX);
    if (!isfinite(a.x) || !isfinite(a.y) || !isfinite(a.dx) || !isfinite(a.dy) || a.dx <= 0 ||
        a.dy <= 0)
        return tl_fail(err, TL_INVALID, "a target with pixels of %g x %g at (%g, %g) is no grid",
                       a.dx, a.dy, a.x, a.y);
    return TL_OK;
}

static enum tl_code choose_bands(struct plan *plan, struct arena *arena, struct tl_err *err)
{
    const struct warp_request *request = plan->request;
    uint16_t available = request->source->pyramid->bands;

    plan->bands = request->bands;
    plan->band_count = request->bands ? request->band_count : available;
    if (plan->band_count == 0)
        return tl_fail(err, TL_INVALID, "no band is asked for");
    for (uint16_t i = 0; request->bands && i < plan->band_count; i++) {
        if (request->bands[i] >= available)
            return tl_fail(err, TL_INVALID, "band %u of a raster of %u", request->bands[i] + 1,
                           available);
    }
    if (request->bands)
        return TL_OK;
    uint16_t *all = arena_alloc(arena, available, sizeof(*all));
    if (!all)
        return tl_fail(err, TL_NOMEM, "no memory for %u bands", available);
    for (uint16_t i = 0; i < available; i++)
        all[i] = i;
    plan->bands = all;
    return TL_OK;
}

static enum tl_code choose_level(struct plan *plan, struct tl_err *err)
{
    const struct warp_request *request = plan->request;

    if (request->level < 0)
        return warp_level(request->source, &request->target, &plan->level, err);
    if (request->level >= request->source->pyramid->level_count)
        return tl_fail(err, TL_INVALID, "level %d of a raster of %u levels", request->level,
                       request->source->pyramid->level_count);
    plan->level = (uint8_t)request->level;
    return TL_OK;
}

static bool is_area(enum resampling resampling)
{
    return resampling == RESAMPLE_AVERAGE || resampling == RESAMPLE_MODE;
}

static enum tl_code make_plan(const struct warp_request *request, struct arena *arena,
                              struct plan *ret_plan, struct tl_err *err)
{
    *ret_plan = (struct plan){
        .request = request,
        .sample = is_area(request->resampling) ? SAMPLE_CORNERS : SAMPLE_CENTRES,
    };
    TL_CHECK(request->resampling < RESAMPLE_COUNT);
    TL_TRY(check_grid(&request->target, err));
    TL_TRY(choose_bands(ret_plan, arena, err));
    return choose_level(ret_plan, err);
}

static struct warp_reach reach_of(const struct plan *plan, const struct warp_map *map)
{
    enum resampling resampling = plan->request->resampling;

    if (resampling == RESAMPLE_NEAREST || is_area(resampling))
        return (struct warp_reach){0, 0};
    return (struct warp_reach){
        .x = kernel_axis(resampling, map->scale_x).radius,
        .y = kernel_axis(resampling, map->scale_y).radius,
    };
}

/* --- result ---------------------------------------------------------------------------- */

static struct planes no_planes(const struct plan *plan)
{
    enum resampling resampling = plan->request->resampling;

    return (struct planes){
        .width = plan->request->target.width,
        .height = plan->request->target.height,
        .bands = plan->band_count,
        .dtype =
            resampling_keeps_values(resampling) ? plan->request->source->pyramid->dtype : DTYPE_F32,
        .empty = true,
    };
}

static enum tl_code open_planes(struct planes *planes, struct arena *arena, struct tl_err *err)
{
    size_t pixels = (size_t)planes->width * planes->height;

    planes->empty = false;
    planes->samples = arena_alloc(arena, pixels * planes->bands, dtype_size(planes->dtype));
    planes->valid = arena_alloc(arena, pixels, 1);
    if (!planes->samples || !planes->valid)
        return tl_fail(err, TL_NOMEM, "no memory for %u bands of %u x %u pixels", planes->bands,
                       planes->width, planes->height);
    return TL_OK;
}

static void close_planes(struct planes *planes)
{
    size_t pixels = (size_t)planes->width * planes->height;
    uint8_t any = 0, all = 1;

    for (size_t i = 0; i < pixels; i++) {
        any |= planes->valid[i];
        all &= planes->valid[i];
    }
    planes->empty = !any;
    if (planes->empty)
        planes->samples = NULL;
    if (planes->empty || all)
        planes->valid = NULL;
}

static enum tl_code resample(const struct resample_job *job, struct tl_err *err)
{
    switch (job->resampling) {
    case RESAMPLE_NEAREST:
        return resample_nearest(job, err);
    case RESAMPLE_BILINEAR:
    case RESAMPLE_CUBIC:
        return resample_kernel(job, err);
    case RESAMPLE_AVERAGE:
    case RESAMPLE_MODE:
        return resample_area(job, err);
    case RESAMPLE_COUNT:
    default:
        TL_CHECK(job->resampling < RESAMPLE_COUNT);
        return TL_INTERNAL;
    }
}

/* From pixels of the target to blocks, not read yet. */
static enum tl_code plan_window(const struct plan *plan, struct warp_map **ret_map,
                                struct warp_window *window, struct errand *errand,
                                struct arena *arena, struct tl_err *err)
{
    const struct warp_request *request = plan->request;
    const struct block_source *source = request->source;
    int64_t start = clock_now_ns();
    struct warp_map_spec spec = {&request->target, source->pyramid, plan->level, plan->sample};

    TL_TRY(warp_map_new(&spec, errand, arena, ret_map, err));
    *window = (struct warp_window){
        .pyramid = source->pyramid,
        .level = &source->pyramid->levels[plan->level],
        .level_index = plan->level,
        .bands = plan->bands,
        .band_count = plan->band_count,
    };
    TL_TRY(warp_window_plan(window, *ret_map, reach_of(plan, *ret_map), arena, err));
    errand_lap(errand, STAGE_WARP, start);
    return errand_check(errand, err);
}

struct ahead *warp_ahead(const struct warp_request *request, struct errand *errand,
                         struct arena *arena)
{
    struct warp_window window = {0};
    struct warp_map *map;
    struct tl_err ignored;
    struct plan plan;

    if (!request->source->ahead || make_plan(request, arena, &plan, &ignored) != TL_OK ||
        plan_window(&plan, &map, &window, errand, arena, &ignored) != TL_OK || window.empty)
        return NULL;
    return warp_window_ahead(&window, request->source, arena);
}

enum tl_code warp_read(const struct warp_request *request, struct errand *errand,
                       struct arena *arena, struct planes *ret_planes, struct tl_err *err)
{
    struct plan plan;
    struct warp_map *map;
    AUTO_WINDOW window = {0};

    TL_TRY(make_plan(request, arena, &plan, err));
    TL_TRY(plan_window(&plan, &map, &window, errand, arena, err));
    if (!window.empty)
        TL_TRY(warp_window_read(&window, request->source, errand, arena, err));
    int64_t start = clock_now_ns();
    struct planes planes = no_planes(&plan);
    planes.inexact = window.inexact;
    if (!window.empty) {
        struct resample_job job = {map, &window, request->resampling, errand, arena, &planes};
        TL_TRY(open_planes(&planes, arena, err));
        TL_TRY(resample(&job, err));
        close_planes(&planes);
    }
    errand_lap(errand, STAGE_WARP, start);
    *ret_planes = planes;
    return TL_OK;
}
