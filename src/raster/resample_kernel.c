/*
 * Bilinear and cubic: the value at a point is the sum of w(dx) w(dy) sample over the taps
 * around it, divided by the sum of the weights of the taps that are valid. The target is done
 * in strips of rows; each strip's part of the level is taken out of its blocks first, with a
 * border, so that no tap is ever outside of it.
 *
 *      taps of one axis, radius 2, centre c = base - 0.5 + frac:
 *
 *        base-2    base-1  c    base    base+1
 *           |        |     .     |         |       weight of a tap: kernel(distance / stretch)
 *                    <-frac->
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
#include <string.h>

/* Rows of the target per strip, and what a strip may hold of the source while it has more. */
#define STRIP_ROWS   16
#define STRIP_MAX_PX (UINT64_C(4) << 20)

/* Below this share of the kernel, what is left of it says nothing (GDAL: the same). */
#define MIN_WEIGHT 1e-5f

#define NO_TAP INT32_MIN

/* Where the points of a strip lie along one axis: the first tap, and how far the point is
 * from the middle of pixel base - 1 towards that of base = first + radius. */
struct located {
    int32_t *first; /* NO_TAP: outside the level, or no image */
    float *frac;
};

struct kernel {
    const struct resample_job *job;
    struct kernel_axis axis[2]; /* x, y */
    uint32_t taps[2];
    uint32_t width; /* of the target */
    bool separable;
    /* Separable: x of the columns of the target, y of the rows of the strip; else of every
     * point of the strip. */
    struct located x, y;
    struct warp_points points; /* rows x width of the strip; maps with patches only */
    struct warp_cursor *cursor;
    struct strip strip;
    float *wx, *wy; /* of one point; separable: wx has a set per column */
    float *across;  /* separable: rows of the strip, summed along x for each column */
    size_t across_room;
};

/* --- weights --------------------------------------------------------------------------- */

/* The kernels at distance d >= 0, in stretched pixels. */
static inline float weight_at(enum resampling resampling, float d)
{
    if (resampling == RESAMPLE_BILINEAR)
        return d < 1 ? 1 - d : 0;
    float inner = d * d * (1.5F * d - 2.5F) + 1, outer = d * (d * (2.5F - 0.5F * d) - 4) + 2;
    return d < 1 ? inner : d < 2 ? outer : 0;
}

/* Loops of known length for the kernels that most tiles use, from one body. */
#define INLINE static inline __attribute__((always_inline))

INLINE void weigh_taps(enum resampling resampling, const struct kernel_axis *axis, float frac,
                       float *restrict ret_weights, int32_t taps)
{
    float squeeze = (float)(1 / axis->stretch), sum = 0;
    int32_t middle = taps / 2 - 1;
    float before = (float)middle + frac;

    for (int32_t i = 0; i < taps; i++) {
        ret_weights[i] = weight_at(resampling, fabsf((float)i - before) * squeeze);
        sum += ret_weights[i];
    }
    if (axis->stretch > 1) {
        float share = 1 / sum;
        for (int32_t i = 0; i < taps; i++)
            ret_weights[i] *= share;
    }
}

/* Weights with sum 1 of the taps of a point. */
static void weigh(enum resampling resampling, const struct kernel_axis *axis, float frac,
                  float *restrict ret_weights)
{
    if (axis->radius == 1)
        weigh_taps(resampling, axis, frac, ret_weights, 2);
    else if (axis->radius == 2)
        weigh_taps(resampling, axis, frac, ret_weights, 4);
    else
        weigh_taps(resampling, axis, frac, ret_weights, (int32_t)(2 * axis->radius));
}

/* Truncation is floor for what is not negative, and the compiler makes vectors of it. */
static void locate(const double *restrict at, size_t count, double size, uint32_t radius,
                   const struct located *ret)
{
    int32_t *restrict first = ret->first;
    float *restrict frac = ret->frac;

    for (size_t i = 0; i < count; i++) {
        /* Written so that what is not finite is outside. */
        bool inside = (at[i] >= 0) & (at[i] < size);
        double shifted = (inside ? at[i] : 0) + 0.5;
        int32_t base = (int32_t)shifted;

        first[i] = inside ? base - (int32_t)radius : NO_TAP;
        frac[i] = (float)(shifted - base);
    }
}

/* --- one point ------------------------------------------------------------------------- */

struct tap_set {
    size_t at; /* first tap in the strip */
    const float *wx, *wy;
    float frac_x, frac_y;
    uint32_t nx, ny;
};

INLINE float sum_taps(const struct strip *strip, const float *samples, const struct tap_set *t,
                      uint32_t nx, uint32_t ny)
{
    float sum = 0;

    for (uint32_t j = 0; j < ny; j++) {
        const float *row = samples + t->at + (size_t)j * strip->width;
        float across = 0;

        for (uint32_t i = 0; i < nx; i++)
            across += t->wx[i] * row[i];
        sum += t->wy[j] * across;
    }
    return sum;
}

static inline float convolve(const struct strip *strip, const float *samples,
                             const struct tap_set *t)
{
    if (t->nx == 2 && t->ny == 2)
        return sum_taps(strip, samples, t, 2, 2);
    if (t->nx == 4 && t->ny == 4)
        return sum_taps(strip, samples, t, 4, 4);
    return sum_taps(strip, samples, t, t->nx, t->ny);
}

INLINE float sum_valid(const struct strip *strip, const struct tap_set *t, uint32_t nx, uint32_t ny,
                       bool *ret_all)
{
    float sum = 0;
    uint32_t all = 1;

    for (uint32_t j = 0; j < ny; j++) {
        const uint8_t *row = strip->valid + t->at + (size_t)j * strip->width;
        float across = 0;

        for (uint32_t i = 0; i < nx; i++) {
            across += (float)row[i] * t->wx[i];
            all &= row[i];
        }
        sum += t->wy[j] * across;
    }
    *ret_all = all;
    return sum;
}

/* The weight of the valid taps; *ret_all: every one is. */
static float valid_weight(const struct strip *strip, const struct tap_set *t, bool *ret_all)
{
    if (t->nx == 2 && t->ny == 2)
        return sum_valid(strip, t, 2, 2, ret_all);
    if (t->nx == 4 && t->ny == 4)
        return sum_valid(strip, t, 4, 4, ret_all);
    return sum_valid(strip, t, t->nx, t->ny, ret_all);
}

static bool put_point(const struct kernel *kernel, const struct tap_set *t, float weight, size_t to)
{
    const struct strip *strip = &kernel->strip;
    const struct planes *out = kernel->job->out;
    size_t pixels = (size_t)strip->width * strip->height;
    size_t plane = (size_t)out->width * out->height;
    bool has_value = weight >= MIN_WEIGHT;

    for (uint16_t k = 0; k < out->bands; k++) {
        const float *samples = (const float *)strip->samples + k * pixels;

        ((float *)out->samples)[k * plane + to] =
            has_value ? convolve(strip, samples, t) / weight : 0;
    }
    return has_value;
}

/* The inner 2 x 2 of a 4 x 4 cubic, as bilinear. */
static bool put_inner(const struct kernel *kernel, const struct tap_set *t, size_t to)
{
    const float wx[2] = {1 - t->frac_x, t->frac_x}, wy[2] = {1 - t->frac_y, t->frac_y};
    struct tap_set inner = {
        .at = t->at + kernel->strip.width + 1, .wx = wx, .wy = wy, .nx = 2, .ny = 2};
    bool all;

    return put_point(kernel, &inner, valid_weight(&kernel->strip, &inner, &all), to);
}

/* The pixel that holds the point: base - 1, or base from half way on. */
static bool is_centre_valid(const struct strip *strip, const struct tap_set *t)
{
    size_t col = t->nx / 2 - (t->frac_x < 0.5F), row = t->ny / 2 - (t->frac_y < 0.5F);

    return strip->valid[t->at + row * strip->width + col];
}

/* False: the point has no value, because the pixel that holds it has none. So what is valid
 * does not depend on the kernel, and data does not grow over its edges. */
static bool resample_point(const struct kernel *kernel, const struct tap_set *t, size_t to)
{
    const struct strip *strip = &kernel->strip;
    bool all;

    if (strip->all_valid)
        return put_point(kernel, t, 1, to);
    if (!is_centre_valid(strip, t))
        return put_point(kernel, t, 0, to);
    float weight = valid_weight(strip, t, &all);
    if (!all && kernel->job->resampling == RESAMPLE_CUBIC && t->nx == 4 && t->ny == 4)
        return put_inner(kernel, t, to);
    return put_point(kernel, t, all ? 1 : weight, to);
}

/* --- one strip ------------------------------------------------------------------------- */

/* [0], [1]: from the first tap to after the last of the points that are inside. */
static bool axis_bounds(const struct located *located, size_t count, uint32_t taps, int64_t ret[2])
{
    int32_t low = INT32_MAX, high = INT32_MIN;

    for (size_t i = 0; i < count; i++) {
        int32_t first = located->first[i];

        low = first != NO_TAP && first < low ? first : low;
        high = first > high ? first : high; /* NO_TAP is the smallest */
    }
    ret[0] = low;
    ret[1] = (int64_t)high + taps;
    return high != NO_TAP;
}

/* Fills the rows of the strip's points and tells where they lie. */
static void locate_strip(struct kernel *kernel, uint32_t y0, uint32_t rows)
{
    const struct pyramid_level *level = kernel->job->window->level;
    const struct warp_map *map = kernel->job->map;
    size_t count = (size_t)rows * kernel->width;

    if (kernel->separable) {
        double at[STRIP_ROWS];

        for (uint32_t j = 0; j < rows; j++)
            at[j] = map->row[y0 + j].lo;
        locate(at, rows, level->height, kernel->axis[1].radius, &kernel->y);
        return;
    }
    TL_CHECK(kernel->cursor && kernel->points.col && kernel->points.row);
    for (uint32_t j = 0; j < rows; j++) {
        size_t from = (size_t)j * kernel->width;
        struct warp_points row = {kernel->points.col + from, kernel->points.row + from};

        warp_cursor_row(kernel->cursor, y0 + j, &row);
    }
    locate(kernel->points.col, count, level->width, kernel->axis[0].radius, &kernel->x);
    locate(kernel->points.row, count, level->height, kernel->axis[1].radius, &kernel->y);
    /* A point that is outside in one direction says nothing about the other one. */
    for (size_t i = 0; i < count; i++) {
        if (kernel->x.first[i] == NO_TAP || kernel->y.first[i] == NO_TAP)
            kernel->x.first[i] = kernel->y.first[i] = NO_TAP;
    }
}

static void no_value(const struct planes *out, size_t to)
{
    size_t plane = (size_t)out->width * out->height;

    for (uint16_t k = 0; k < out->bands; k++)
        ((float *)out->samples)[k * plane + to] = 0;
    out->valid[to] = 0;
}

static void resample_row(struct kernel *kernel, uint32_t y, uint32_t j)
{
    const struct strip *strip = &kernel->strip;
    const struct planes *out = kernel->job->out;
    enum resampling resampling = kernel->job->resampling;
    size_t row = kernel->separable ? 0 : (size_t)j * kernel->width;

    if (kernel->separable)
        weigh(resampling, &kernel->axis[1], kernel->y.frac[j], kernel->wy);
    for (uint32_t i = 0; i < kernel->width; i++) {
        size_t to = (size_t)y * kernel->width + i, in_x = row + i;
        size_t in_y = kernel->separable ? j : in_x;
        float *wx = kernel->wx + (kernel->separable ? (size_t)i * kernel->taps[0] : 0);

        if (kernel->x.first[in_x] == NO_TAP || kernel->y.first[in_y] == NO_TAP) {
            no_value(out, to);
            continue;
        }
        if (!kernel->separable) {
            weigh(resampling, &kernel->axis[0], kernel->x.frac[in_x], wx);
            weigh(resampling, &kernel->axis[1], kernel->y.frac[in_y], kernel->wy);
        }
        struct tap_set taps = {
            .at = (size_t)(kernel->y.first[in_y] - strip->y) * strip->width +
                  (size_t)(kernel->x.first[in_x] - strip->x),
            .wx = wx,
            .wy = kernel->wy,
            .frac_x = kernel->x.frac[in_x],
            .frac_y = kernel->y.frac[in_y],
            .nx = kernel->taps[0],
            .ny = kernel->taps[1],
        };
        out->valid[to] = resample_point(kernel, &taps, to);
    }
}

/* --- one strip of a separable map, all of it valid ---------------------------------------- */

/* Rows of the strip are summed along x once and not for every target row that they are a tap of.
 * The operations and their order are those of sum_taps(), so the bits are. */
INLINE void sum_across(const struct kernel *kernel, const float *row, float *restrict to,
                       uint32_t taps)
{
    for (uint32_t i = 0; i < kernel->width; i++) {
        int32_t first = kernel->x.first[i];
        const float *weights = kernel->wx + (size_t)i * taps;
        float sum = 0;

        for (uint32_t t = 0; t < taps && first != NO_TAP; t++)
            sum += weights[t] * row[first - kernel->strip.x + t];
        to[i] = sum;
    }
}

static void sum_strip_across(const struct kernel *kernel, uint16_t k)
{
    const struct strip *strip = &kernel->strip;
    const float *row = (const float *)strip->samples + (size_t)k * strip->width * strip->height;
    float *to = kernel->across;

    for (uint32_t j = 0; j < strip->height; j++, row += strip->width, to += kernel->width) {
        if (kernel->taps[0] == 2)
            sum_across(kernel, row, to, 2);
        else if (kernel->taps[0] == 4)
            sum_across(kernel, row, to, 4);
        else
            sum_across(kernel, row, to, kernel->taps[0]);
    }
}

/* `first`: the row of `across` of the first tap. */
static void sum_down(const struct kernel *kernel, size_t first, float *restrict to)
{
    const float *across = kernel->across + first * kernel->width;

    memset(to, 0, kernel->width * sizeof(*to));
    for (uint32_t t = 0; t < kernel->taps[1]; t++, across += kernel->width) {
        float weight = kernel->wy[t];

        for (uint32_t i = 0; i < kernel->width; i++)
            to[i] += weight * across[i];
    }
}

static void resample_valid_rows(struct kernel *kernel, uint32_t y0, uint32_t rows)
{
    const struct planes *out = kernel->job->out;
    size_t plane = (size_t)out->width * out->height, at = (size_t)y0 * kernel->width;

    for (uint16_t k = 0; k < out->bands; k++) {
        float *to = (float *)out->samples + k * plane + at;

        sum_strip_across(kernel, k);
        for (uint32_t j = 0; j < rows; j++, to += kernel->width) {
            if (kernel->y.first[j] == NO_TAP) {
                memset(to, 0, kernel->width * sizeof(*to));
                continue;
            }
            weigh(kernel->job->resampling, &kernel->axis[1], kernel->y.frac[j], kernel->wy);
            sum_down(kernel, (size_t)(kernel->y.first[j] - kernel->strip.y), to);
        }
    }
    for (uint32_t j = 0; j < rows; j++)
        for (uint32_t i = 0; i < kernel->width; i++)
            out->valid[at++] = kernel->x.first[i] != NO_TAP && kernel->y.first[j] != NO_TAP;
}

/* False: point by point. A raster of few columns and very many rows is not worth the memory. */
static bool open_across(struct kernel *kernel)
{
    size_t room = (size_t)kernel->strip.height * kernel->width;

    if (!kernel->separable || !kernel->strip.all_valid || room > STRIP_MAX_PX)
        return false;
    if (room > kernel->across_room) {
        kernel->across_room = room + room / 3; /* as strips do: the others differ little */
        kernel->across = arena_alloc(kernel->job->arena, kernel->across_room, sizeof(float));
    }
    return kernel->across;
}

/* --- strips ---------------------------------------------------------------------------- */

static enum tl_code resample_rows(struct kernel *kernel, uint32_t y0, uint32_t rows,
                                  struct tl_err *err)
{
    size_t points = (size_t)rows * kernel->width;
    int64_t x[2], y[2];

    locate_strip(kernel, y0, rows);
    bool any_x =
        axis_bounds(&kernel->x, kernel->separable ? kernel->width : points, kernel->taps[0], x);
    bool any_y = axis_bounds(&kernel->y, kernel->separable ? rows : points, kernel->taps[1], y);
    if (any_x && any_y)
        TL_TRY(strip_fill(&kernel->strip, x, y, kernel->job->arena, err));
    if (any_x && any_y && open_across(kernel)) {
        resample_valid_rows(kernel, y0, rows);
        return TL_OK;
    }
    for (uint32_t j = 0; j < rows; j++) {
        if (any_x && any_y) {
            resample_row(kernel, y0 + j, j);
            continue;
        }
        for (uint32_t i = 0; i < kernel->width; i++)
            no_value(kernel->job->out, (size_t)(y0 + j) * kernel->width + i);
    }
    return TL_OK;
}

/* Rows of the target whose strip stays small; at least one. */
static uint32_t rows_per_strip(const struct kernel *kernel)
{
    const struct warp_map *map = kernel->job->map;
    double across = fmin(map->scale_x * map->width + kernel->taps[0],
                         kernel->job->window->level->width + 2.0 * kernel->taps[0]);
    double rows = ((double)STRIP_MAX_PX / across - kernel->taps[1]) / map->scale_y;

    return (uint32_t)fmax(1, fmin(rows, STRIP_ROWS));
}

/* --- set-up ---------------------------------------------------------------------------- */

static bool located_open(struct located *located, size_t count, struct arena *arena)
{
    located->first = arena_alloc(arena, count, sizeof(*located->first));
    located->frac = arena_alloc(arena, count, sizeof(*located->frac));
    return located->first && located->frac;
}

static bool open_points(struct kernel *kernel, size_t count)
{
    struct arena *arena = kernel->job->arena;

    kernel->points.col = arena_alloc(arena, count, sizeof(double));
    kernel->points.row = arena_alloc(arena, count, sizeof(double));
    kernel->cursor = warp_cursor_new(kernel->job->map, arena);
    return kernel->points.col && kernel->points.row && kernel->cursor;
}

/* Separable: columns are the same for every row. `scratch` holds width numbers. */
static void locate_columns(struct kernel *kernel, double *scratch)
{
    const struct resample_job *job = kernel->job;

    for (uint32_t i = 0; i < kernel->width; i++)
        scratch[i] = job->map->col[i].lo;
    locate(scratch, kernel->width, job->window->level->width, kernel->axis[0].radius, &kernel->x);
    for (uint32_t i = 0; i < kernel->width; i++)
        weigh(job->resampling, &kernel->axis[0], kernel->x.frac[i],
              kernel->wx + (size_t)i * kernel->taps[0]);
}

static enum tl_code kernel_open(struct kernel *kernel, struct tl_err *err)
{
    const struct resample_job *job = kernel->job;
    struct arena *arena = job->arena;
    size_t points = (size_t)STRIP_ROWS * kernel->width;
    size_t columns = kernel->separable ? kernel->width : points;
    double *scratch = arena_alloc(arena, kernel->width, sizeof(*scratch));
    bool ok = scratch && located_open(&kernel->x, columns, arena) &&
              located_open(&kernel->y, kernel->separable ? STRIP_ROWS : points, arena) &&
              (kernel->separable || open_points(kernel, points));

    kernel->wx = arena_alloc(
        arena, (kernel->separable ? kernel->width : 1) * (size_t)kernel->taps[0], sizeof(float));
    kernel->wy = arena_alloc(arena, kernel->taps[1], sizeof(float));
    if (!ok || !kernel->wx || !kernel->wy)
        return tl_fail(err, TL_NOMEM, "no memory for the weights of a kernel");
    if (kernel->separable)
        locate_columns(kernel, scratch);
    strip_init(&kernel->strip, job->window, true);
    return TL_OK;
}

/* No kernel needs to reach over more than the whole level. */
static void open_axis(struct kernel *kernel, int i, double scale, uint32_t size)
{
    kernel->axis[i] = kernel_axis(kernel->job->resampling, scale);
    kernel->axis[i].radius = TL_MIN(kernel->axis[i].radius, size + 1);
    kernel->taps[i] = 2 * kernel->axis[i].radius;
}

enum tl_code resample_kernel(const struct resample_job *job, struct tl_err *err)
{
    const struct pyramid_level *level = job->window->level;
    struct kernel kernel = {
        .job = job,
        .width = job->out->width,
        .separable = job->map->col != NULL,
    };

    open_axis(&kernel, 0, job->map->scale_x, level->width);
    open_axis(&kernel, 1, job->map->scale_y, level->height);
    TL_TRY(kernel_open(&kernel, err));
    uint32_t step = rows_per_strip(&kernel);
    for (uint32_t y = 0; y < job->out->height; y += step) {
        TL_TRY(errand_check(job->errand, err));
        TL_TRY(resample_rows(&kernel, y, TL_MIN(step, job->out->height - y), err));
    }
    return TL_OK;
}
