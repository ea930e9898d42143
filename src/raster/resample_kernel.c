/*
 * Bilinear and cubic: the value at a point is the sum of w(dx) w(dy) sample over the taps
 * around it, divided by the sum of the weights of the taps that are valid. The target is done
 * in strips of rows; each strip's part of the level is taken out of its blocks first, with a
 * border, so that no tap is ever outside of it.
 *
 *      taps of one axis, radius 2, centre c:     floor(c - 0.5) = s
 *
 *          s-1       s    c   s+1       s+2
 *           |        |    .    |         |       weight of a tap: kernel(distance / stretch)
 *
 * A cubic that is not stretched needs all its 16 taps: with fewer, the negative ones are out
 * of balance, and GDAL takes the bilinear value of the inner four. So do we.
 */
#include "raster/resample.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/errand.h"
#include "raster/resample_strip.h"

#include <math.h>

/* Rows of the target per strip, and what a strip may hold of the source while it has more. */
#define STRIP_ROWS   16
#define STRIP_MAX_PX (UINT64_C(4) << 20)

/* Below this share of the kernel, what is left of it says nothing (GDAL: the same). */
#define MIN_WEIGHT 1e-5f

/* Coordinates of a strip's pixels may be anything; taps are only made for those inside. */
#define NO_TAP INT64_MIN

struct kernel {
    const struct resample_job *job;
    struct kernel_axis x, y;
    uint32_t taps_x, taps_y;
    uint32_t width; /* of the target */
    /* Points of the strip, rows x width; separable maps have theirs in the map. */
    struct warp_points points;
    struct warp_cursor *cursor;
    struct strip strip;
    float *wx, *wy; /* weights of one point: taps_x, taps_y; separable: wx has a set per column */
};

/* Kernels at distance d >= 0, in stretched pixels. */
static double weight_at(enum resampling resampling, double d)
{
    if (resampling == RESAMPLE_BILINEAR)
        return fmax(0, 1 - d);
    if (d < 1)
        return d * d * (1.5 * d - 2.5) + 1;
    return d < 2 ? d * (d * (2.5 - 0.5 * d) - 4) + 2 : 0;
}

static int64_t first_tap(const struct kernel_axis *axis, double centre)
{
    return (int64_t)floor(centre - 0.5) + 1 - (int64_t)axis->radius;
}

/* Weights with sum 1 of the taps from first_tap() on. */
static void weigh(const struct kernel *kernel, const struct kernel_axis *axis, double centre,
                  float *ret_weights)
{
    uint32_t taps = 2 * axis->radius;
    double first = (double)first_tap(axis, centre) + 0.5, sum = 0;

    for (uint32_t i = 0; i < taps; i++)
        sum += weight_at(kernel->job->resampling, fabs(first + i - centre) / axis->stretch);
    for (uint32_t i = 0; i < taps; i++)
        ret_weights[i] =
            (float)(weight_at(kernel->job->resampling, fabs(first + i - centre) / axis->stretch) /
                    sum);
}

/* --- one point ------------------------------------------------------------------------- */

struct tap_set {
    size_t at; /* first tap in the strip */
    const float *wx, *wy;
    uint32_t taps_x, taps_y;
};

static inline float sum_taps(const struct strip *strip, const float *samples,
                             const struct tap_set *taps, uint32_t nx, uint32_t ny)
{
    float sum = 0;

    for (uint32_t j = 0; j < ny; j++) {
        const float *row = samples + taps->at + (size_t)j * strip->width;
        float across = 0;

        for (uint32_t i = 0; i < nx; i++)
            across += taps->wx[i] * row[i];
        sum += taps->wy[j] * across;
    }
    return sum;
}

/* The two shapes of kernels that are not stretched get loops of known length. */
static float convolve(const struct strip *strip, const float *samples, const struct tap_set *taps)
{
    if (taps->taps_x == 2 && taps->taps_y == 2)
        return sum_taps(strip, samples, taps, 2, 2);
    if (taps->taps_x == 4 && taps->taps_y == 4)
        return sum_taps(strip, samples, taps, 4, 4);
    return sum_taps(strip, samples, taps, taps->taps_x, taps->taps_y);
}

/* The weight of the valid taps; *ret_all: every one is. */
static float valid_weight(const struct strip *strip, const struct tap_set *taps, bool *ret_all)
{
    float sum = 0;
    uint32_t all = 1;

    for (uint32_t j = 0; j < taps->taps_y; j++) {
        const uint8_t *row = strip->valid + taps->at + (size_t)j * strip->width;
        float across = 0;

        for (uint32_t i = 0; i < taps->taps_x; i++) {
            across += row[i] ? taps->wx[i] : 0;
            all &= row[i];
        }
        sum += taps->wy[j] * across;
    }
    *ret_all = all;
    return sum;
}

static bool put_point(const struct kernel *kernel, const struct tap_set *taps, float weight,
                      size_t to)
{
    const struct strip *strip = &kernel->strip;
    const struct planes *out = kernel->job->out;
    size_t pixels = (size_t)strip->width * strip->height;
    size_t plane = (size_t)out->width * out->height;

    for (uint16_t k = 0; k < out->bands; k++) {
        float sum = 0;

        if (weight >= MIN_WEIGHT)
            sum = convolve(strip, (const float *)strip->samples + k * pixels, taps) / weight;
        ((float *)out->samples)[k * plane + to] = sum;
    }
    return weight >= MIN_WEIGHT;
}

/* The inner 2 x 2 of a 4 x 4 cubic, as bilinear. */
static bool put_inner(const struct kernel *kernel, const struct tap_set *taps, const double at[2],
                      size_t to)
{
    double dx = at[0] - 0.5 - floor(at[0] - 0.5), dy = at[1] - 0.5 - floor(at[1] - 0.5);
    const float wx[2] = {(float)(1 - dx), (float)dx}, wy[2] = {(float)(1 - dy), (float)dy};
    struct tap_set inner = {taps->at + kernel->strip.width + 1, wx, wy, 2, 2};
    bool all;

    return put_point(kernel, &inner, valid_weight(&kernel->strip, &inner, &all), to);
}

/* The pixel that holds the point. */
static bool is_centre_valid(const struct strip *strip, const double at[2])
{
    int64_t col = (int64_t)floor(at[0] + NEAREST_SNAP) - strip->x;
    int64_t row = (int64_t)floor(at[1] + NEAREST_SNAP) - strip->y;

    return strip->valid[(size_t)row * strip->width + (size_t)col];
}

/* False: the point has no value, because the pixel that holds it has none. So what is valid
 * does not depend on the kernel, and data does not grow over its edges. */
static bool resample_point(const struct kernel *kernel, const struct tap_set *taps,
                           const double at[2], size_t to)
{
    bool all = true;
    float weight = 1;

    if (!kernel->strip.all_valid) {
        if (!is_centre_valid(&kernel->strip, at))
            return put_point(kernel, taps, 0, to);
        weight = valid_weight(&kernel->strip, taps, &all);
    }
    if (all)
        weight = 1;
    else if (kernel->job->resampling == RESAMPLE_CUBIC && taps->taps_x == 4 && taps->taps_y == 4)
        return put_inner(kernel, taps, at, to);
    return put_point(kernel, taps, weight, to);
}

/* --- one strip ------------------------------------------------------------------------- */

/* Where pixel (x, y) of the target is; y in the strip. Outside: not finite. */
static void point_of(const struct kernel *kernel, uint32_t x, uint32_t y, uint32_t strip_y0,
                     double ret_at[2])
{
    const struct warp_map *map = kernel->job->map;
    size_t i = (size_t)y * kernel->width + x;

    ret_at[0] = map->col ? map->col[x].lo : kernel->points.col[i];
    ret_at[1] = map->row ? map->row[strip_y0 + y].lo : kernel->points.row[i];
}

static bool is_inside(const struct kernel *kernel, const double at[2])
{
    const struct pyramid_level *level = kernel->job->window->level;

    return at[0] >= 0 && at[0] < level->width && at[1] >= 0 && at[1] < level->height;
}

/* The rectangle of the level that the strip's taps cover; false: none is inside. */
static bool strip_bounds(const struct kernel *kernel, uint32_t y0, uint32_t rows, int64_t x[2],
                         int64_t y[2])
{
    x[0] = y[0] = INT64_MAX;
    x[1] = y[1] = INT64_MIN;
    for (uint32_t j = 0; j < rows; j++) {
        for (uint32_t i = 0; i < kernel->width; i++) {
            double at[2];

            point_of(kernel, i, j, y0, at);
            if (!is_inside(kernel, at))
                continue;
            int64_t tx = first_tap(&kernel->x, at[0]), ty = first_tap(&kernel->y, at[1]);
            x[0] = TL_MIN(x[0], tx);
            y[0] = TL_MIN(y[0], ty);
            x[1] = TL_MAX(x[1], tx + kernel->taps_x);
            y[1] = TL_MAX(y[1], ty + kernel->taps_y);
        }
    }
    return x[0] < x[1];
}

static void no_value(const struct planes *out, size_t to)
{
    size_t plane = (size_t)out->width * out->height;

    for (uint16_t k = 0; k < out->bands; k++)
        ((float *)out->samples)[k * plane + to] = 0;
    out->valid[to] = 0;
}

static void resample_row(struct kernel *kernel, uint32_t y0, uint32_t j, bool any)
{
    const struct strip *strip = &kernel->strip;
    const struct planes *out = kernel->job->out;
    bool separable = kernel->job->map->col != NULL, weighed = false;

    for (uint32_t i = 0; i < kernel->width; i++) {
        size_t to = (size_t)(y0 + j) * kernel->width + i;
        double at[2];

        point_of(kernel, i, j, y0, at);
        if (!any || !is_inside(kernel, at)) {
            no_value(out, to);
            continue;
        }
        float *wx = kernel->wx + (separable ? (size_t)i * kernel->taps_x : 0);
        if (!separable)
            weigh(kernel, &kernel->x, at[0], wx);
        if (!separable || !weighed)
            weigh(kernel, &kernel->y, at[1], kernel->wy);
        weighed = true;
        struct tap_set taps = {
            .at = (size_t)(first_tap(&kernel->y, at[1]) - strip->y) * strip->width +
                  (size_t)(first_tap(&kernel->x, at[0]) - strip->x),
            .wx = wx,
            .wy = kernel->wy,
            .taps_x = kernel->taps_x,
            .taps_y = kernel->taps_y,
        };
        out->valid[to] = resample_point(kernel, &taps, at, to);
    }
}

static enum tl_code resample_rows(struct kernel *kernel, uint32_t y0, uint32_t rows,
                                  struct tl_err *err)
{
    int64_t x[2], y[2];

    for (uint32_t j = 0; kernel->cursor && j < rows; j++) {
        struct warp_points row = {kernel->points.col + (size_t)j * kernel->width,
                                  kernel->points.row + (size_t)j * kernel->width};
        warp_cursor_row(kernel->cursor, y0 + j, &row);
    }
    bool any = strip_bounds(kernel, y0, rows, x, y);
    if (any)
        TL_TRY(strip_fill(&kernel->strip, x, y, kernel->job->arena, err));
    for (uint32_t j = 0; j < rows; j++)
        resample_row(kernel, y0, j, any);
    return TL_OK;
}

/* Rows of the target whose strip stays small; at least one. */
static uint32_t rows_per_strip(const struct kernel *kernel)
{
    const struct warp_map *map = kernel->job->map;
    double across = fmin(map->scale_x * map->width + kernel->taps_x,
                         kernel->job->window->level->width + 2.0 * kernel->taps_x);
    double rows = ((double)STRIP_MAX_PX / across - kernel->taps_y) / map->scale_y;

    return (uint32_t)fmax(1, fmin(rows, STRIP_ROWS));
}

static enum tl_code kernel_open(struct kernel *kernel, struct tl_err *err)
{
    const struct resample_job *job = kernel->job;
    bool separable = job->map->col != NULL;
    size_t points = separable ? 1 : (size_t)STRIP_ROWS * kernel->width;
    size_t sets = separable ? kernel->width : 1;

    kernel->wx = arena_alloc(job->arena, sets * kernel->taps_x, sizeof(float));
    kernel->wy = arena_alloc(job->arena, kernel->taps_y, sizeof(float));
    kernel->points.col = arena_alloc(job->arena, points, sizeof(double));
    kernel->points.row = arena_alloc(job->arena, points, sizeof(double));
    kernel->cursor = separable ? NULL : warp_cursor_new(job->map, job->arena);
    if (!kernel->wx || !kernel->wy || !kernel->points.col || !kernel->points.row ||
        (!separable && !kernel->cursor))
        return tl_fail(err, TL_NOMEM, "no memory for the weights of a kernel");
    for (uint32_t i = 0; separable && i < kernel->width; i++) {
        if (isfinite(job->map->col[i].lo))
            weigh(kernel, &kernel->x, job->map->col[i].lo, kernel->wx + (size_t)i * kernel->taps_x);
    }
    strip_init(&kernel->strip, job->window, true);
    return TL_OK;
}

enum tl_code resample_kernel(const struct resample_job *job, struct tl_err *err)
{
    struct kernel kernel = {
        .job = job,
        .x = kernel_axis(job->resampling, job->map->scale_x),
        .y = kernel_axis(job->resampling, job->map->scale_y),
        .width = job->out->width,
    };

    kernel.taps_x = 2 * kernel.x.radius;
    kernel.taps_y = 2 * kernel.y.radius;
    TL_TRY(kernel_open(&kernel, err));
    uint32_t step = rows_per_strip(&kernel);
    for (uint32_t y = 0; y < job->out->height; y += step) {
        TL_TRY(errand_check(job->errand, err));
        TL_TRY(resample_rows(&kernel, y, TL_MIN(step, job->out->height - y), err));
    }
    return TL_OK;
}
