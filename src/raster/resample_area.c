/*
 * Average and mode look at every pixel under the image of a target pixel, which is taken to
 * be the upright rectangle between the images of its upper left and lower right corners, as
 * GDAL takes it. Average weighs a pixel by the part of it that the rectangle covers; mode
 * counts every pixel that it touches, and of equally frequent values takes the one that got
 * there first, in reading order.
 */
#include "raster/resample.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/errand.h"
#include "raster/resample_strip.h"

#include <math.h>
#include <string.h>

#define STRIP_ROWS   16
#define STRIP_MAX_PX (UINT64_C(4) << 20)

/* Values that mode can tell apart in one pixel, and the room for them: half full at most. */
#define MODE_MAX_VALUES (UINT32_C(1) << 16)
#define MODE_SLOTS      (MODE_MAX_VALUES << 1)

struct footprint {
    double x0, x1, y0, y1;          /* clipped to the level */
    int64_t col0, col1, row0, row1; /* the pixels that it touches */
};

/* How often each value of a footprint was seen; open addressing on the bits of a sample. */
struct tally {
    uint64_t *value;
    uint32_t *count;
    uint32_t *used; /* slots in use, to be emptied */
    uint32_t used_count;
    uint64_t best;
    uint32_t best_count;
};

struct area {
    const struct resample_job *job;
    uint32_t width;
    struct warp_points points; /* rows + 1 x width + 1 corners; maps with patches only */
    struct warp_cursor *cursor;
    struct strip strip;
    struct tally tally;
};

/* --- footprints ------------------------------------------------------------------------ */

static bool clip(double *lo, double *hi, double size, int64_t *ret_first, int64_t *ret_end)
{
    /* Written so that what is not finite is outside. */
    if (!(*lo<size && * hi> 0 && *lo > -HUGE_VAL && *hi < HUGE_VAL))
        return false;
    *lo = fmax(*lo, 0);
    *hi = fmin(*hi, size);
    *ret_first = (int64_t)floor(*lo + AREA_SNAP);
    *ret_end = (int64_t)ceil(*hi - AREA_SNAP);
    if (*ret_end <= *ret_first)
        *ret_end = *ret_first + 1;
    return *ret_first < (int64_t)size;
}

/* Of pixel (x, y0 + y); y counts in the strip. False: it covers nothing of the level. */
static bool footprint_of(const struct area *area, uint32_t x, uint32_t y, uint32_t y0,
                         struct footprint *ret)
{
    const struct warp_map *map = area->job->map;
    const struct pyramid_level *level = area->job->window->level;
    size_t from = (size_t)y * map->columns + x, to = from + map->columns + 1;

    if (map->col) {
        ret->x0 = map->col[x].lo;
        ret->x1 = map->col[x].hi;
        ret->y0 = map->row[y0 + y].lo;
        ret->y1 = map->row[y0 + y].hi;
    } else {
        const struct warp_points *p = &area->points;
        /* A corner without an image makes HUGE_VAL here, and a pixel that is torn. */
        ret->x0 = fmin(p->col[from], p->col[to]);
        ret->x1 = fmax(p->col[from], p->col[to]);
        ret->y0 = fmin(p->row[from], p->row[to]);
        ret->y1 = fmax(p->row[from], p->row[to]);
        if (warp_is_torn(map, (struct warp_span){ret->x0, ret->x1},
                         (struct warp_span){ret->y0, ret->y1}))
            return false;
    }
    return clip(&ret->x0, &ret->x1, level->width, &ret->col0, &ret->col1) &&
           clip(&ret->y0, &ret->y1, level->height, &ret->row0, &ret->row1);
}

/* --- average --------------------------------------------------------------------------- */

/* The part of pixel `i` of [first, end) that [lo, hi] covers. */
static double coverage(int64_t i, int64_t first, int64_t end, double lo, double hi)
{
    if (first + 1 == end)
        return 1;
    if (i == first)
        return 1 - (lo - (double)first);
    return i + 1 == end ? 1 - ((double)end - hi) : 1;
}

static double average_weight(const struct strip *strip, const struct footprint *f)
{
    double sum = 0;

    for (int64_t row = f->row0; row < f->row1; row++) {
        const uint8_t *valid = strip->valid + (size_t)(row - strip->y) * strip->width;
        double across = 0;

        for (int64_t col = f->col0; col < f->col1; col++)
            across += valid[col - strip->x] * coverage(col, f->col0, f->col1, f->x0, f->x1);
        sum += across * coverage(row, f->row0, f->row1, f->y0, f->y1);
    }
    return sum;
}

/* Samples that are not valid are 0. */
static double average_sum(const struct strip *strip, const struct footprint *f, uint16_t k)
{
    size_t pixels = (size_t)strip->width * strip->height;
    const float *plane = (const float *)strip->samples + k * pixels;
    double sum = 0;

    for (int64_t row = f->row0; row < f->row1; row++) {
        const float *samples = plane + (size_t)(row - strip->y) * strip->width;
        double across = 0;

        for (int64_t col = f->col0; col < f->col1; col++)
            across +=
                (double)samples[col - strip->x] * coverage(col, f->col0, f->col1, f->x0, f->x1);
        sum += across * coverage(row, f->row0, f->row1, f->y0, f->y1);
    }
    return sum;
}

static bool put_average(const struct area *area, const struct footprint *f, size_t to)
{
    const struct planes *out = area->job->out;
    size_t plane = (size_t)out->width * out->height;
    double weight = average_weight(&area->strip, f);

    for (uint16_t k = 0; k < out->bands; k++)
        ((float *)out->samples)[k * plane + to] =
            weight > 0 ? (float)(average_sum(&area->strip, f, k) / weight) : 0;
    return weight > 0;
}

/* --- mode ------------------------------------------------------------------------------ */

static uint64_t bits_of(const uint8_t *sample, size_t size)
{
    uint64_t bits = 0;

    memcpy(&bits, sample, size);
    return bits;
}

/* Fibonacci hashing: the high bits of the product depend on all bits of the value. */
static uint32_t slot_of(uint64_t value)
{
    return (uint32_t)((value * UINT64_C(0x9E3779B97F4A7C15)) >> 47);
}
_Static_assert(MODE_SLOTS == UINT32_C(1) << (64 - 47), "slot_of() covers the table");

/* False: more values than a class raster has. */
static bool tally_add(struct tally *tally, uint64_t value)
{
    uint32_t slot = slot_of(value);

    while (tally->count[slot] && tally->value[slot] != value)
        slot = (slot + 1) % MODE_SLOTS;
    if (tally->count[slot] == 0) {
        if (tally->used_count == MODE_MAX_VALUES)
            return false;
        tally->value[slot] = value;
        tally->used[tally->used_count++] = slot;
    }
    if (++tally->count[slot] > tally->best_count) {
        tally->best_count = tally->count[slot];
        tally->best = value;
    }
    return true;
}

static void tally_clear(struct tally *tally)
{
    for (uint32_t i = 0; i < tally->used_count; i++)
        tally->count[tally->used[i]] = 0;
    tally->used_count = 0;
    tally->best_count = 0;
}

static bool count_values(struct tally *tally, const struct strip *strip, const struct footprint *f,
                         uint16_t k)
{
    size_t plane = k * (size_t)strip->width * strip->height;

    tally_clear(tally);
    for (int64_t row = f->row0; row < f->row1; row++) {
        size_t line = (size_t)(row - strip->y) * strip->width;

        for (int64_t col = f->col0; col < f->col1; col++) {
            size_t at = line + (size_t)(col - strip->x);
            const uint8_t *sample = (const uint8_t *)strip->samples + (plane + at) * strip->size;

            if (strip->valid[at] && !tally_add(tally, bits_of(sample, strip->size)))
                return false;
        }
    }
    return true;
}

static enum tl_code put_mode(struct area *area, const struct footprint *f, size_t to,
                             struct tl_err *err)
{
    const struct planes *out = area->job->out;
    size_t plane = (size_t)out->width * out->height, size = area->strip.size;
    struct tally *tally = &area->tally;

    out->valid[to] = 0;
    for (uint16_t k = 0; k < out->bands; k++) {
        uint8_t *sample = (uint8_t *)out->samples + (k * plane + to) * size;

        if (!count_values(tally, &area->strip, f, k))
            return tl_fail(err, TL_LIMIT,
                           "mode found more than %u different values under one pixel; it is for "
                           "classes, use average for measurements",
                           MODE_MAX_VALUES);
        memset(sample, 0, size);
        if (tally->best_count == 0)
            continue;
        memcpy(sample, &tally->best, size);
        out->valid[to] = 1;
    }
    return TL_OK;
}

/* --- strips ---------------------------------------------------------------------------- */

/* The rectangle of the level under the strip's footprints; false: none. */
static bool strip_bounds(const struct area *area, uint32_t y0, uint32_t rows, int64_t x[2],
                         int64_t y[2])
{
    x[0] = y[0] = INT64_MAX;
    x[1] = y[1] = INT64_MIN;
    for (uint32_t j = 0; j < rows; j++) {
        for (uint32_t i = 0; i < area->width; i++) {
            struct footprint f;

            if (!footprint_of(area, i, j, y0, &f))
                continue;
            x[0] = TL_MIN(x[0], f.col0);
            x[1] = TL_MAX(x[1], f.col1);
            y[0] = TL_MIN(y[0], f.row0);
            y[1] = TL_MAX(y[1], f.row1);
        }
    }
    return x[0] < x[1];
}

static void no_value(const struct area *area, size_t to)
{
    const struct planes *out = area->job->out;
    size_t plane = (size_t)out->width * out->height, size = area->strip.size;

    for (uint16_t k = 0; k < out->bands; k++)
        memset((uint8_t *)out->samples + (k * plane + to) * size, 0, size);
    out->valid[to] = 0;
}

static enum tl_code resample_row(struct area *area, uint32_t y0, uint32_t j, struct tl_err *err)
{
    struct planes *out = area->job->out;

    for (uint32_t i = 0; i < area->width; i++) {
        size_t to = (size_t)(y0 + j) * area->width + i;
        struct footprint f;

        if (!footprint_of(area, i, j, y0, &f))
            no_value(area, to);
        else if (area->job->resampling == RESAMPLE_MODE)
            TL_TRY(put_mode(area, &f, to, err));
        else
            out->valid[to] = put_average(area, &f, to);
    }
    return TL_OK;
}

/* The last row of corners of one strip is the first of the next. */
static void fill_corners(struct area *area, uint32_t y0, uint32_t rows)
{
    uint32_t columns = area->job->map->columns;
    struct warp_points *p = &area->points;

    for (uint32_t j = y0 == 0 ? 0 : 1; j <= rows; j++) {
        struct warp_points row = {p->col + (size_t)j * columns, p->row + (size_t)j * columns};
        warp_cursor_row(area->cursor, y0 + j, &row);
    }
}

static void keep_last_corners(struct area *area, uint32_t rows)
{
    uint32_t columns = area->job->map->columns;
    size_t last = (size_t)rows * columns;

    memcpy(area->points.col, area->points.col + last, columns * sizeof(double));
    memcpy(area->points.row, area->points.row + last, columns * sizeof(double));
}

static enum tl_code resample_rows(struct area *area, uint32_t y0, uint32_t rows, struct tl_err *err)
{
    int64_t x[2], y[2];

    if (area->cursor)
        fill_corners(area, y0, rows);
    if (strip_bounds(area, y0, rows, x, y))
        TL_TRY(strip_fill(&area->strip, x, y, area->job->arena, err));
    for (uint32_t j = 0; j < rows; j++)
        TL_TRY(resample_row(area, y0, j, err));
    if (area->cursor)
        keep_last_corners(area, rows);
    return TL_OK;
}

static enum tl_code area_open(struct area *area, struct tl_err *err)
{
    const struct resample_job *job = area->job;
    struct arena *arena = job->arena;
    bool failed = false;

    strip_init(&area->strip, job->window, job->resampling == RESAMPLE_AVERAGE);
    if (!job->map->col) {
        size_t corners = (STRIP_ROWS + 1) * (size_t)job->map->columns;
        area->points.col = arena_alloc(arena, corners, sizeof(double));
        area->points.row = arena_alloc(arena, corners, sizeof(double));
        area->cursor = warp_cursor_new(job->map, arena);
        failed |= !area->points.col || !area->points.row || !area->cursor;
    }
    if (job->resampling == RESAMPLE_MODE) {
        struct tally *tally = &area->tally;
        tally->value = arena_alloc(arena, MODE_SLOTS, sizeof(*tally->value));
        tally->count = arena_zalloc(arena, MODE_SLOTS, sizeof(*tally->count));
        tally->used = arena_alloc(arena, MODE_MAX_VALUES, sizeof(*tally->used));
        failed |= !tally->value || !tally->count || !tally->used;
    }
    return failed ? tl_fail(err, TL_NOMEM, "no memory for the areas of a warp") : TL_OK;
}

/* Rows of the target whose strip stays small; at least one. */
static uint32_t rows_per_strip(const struct area *area)
{
    const struct warp_map *map = area->job->map;
    double across = fmin(map->scale_x * map->width, area->job->window->level->width) + 1;
    double rows = (double)STRIP_MAX_PX / across / map->scale_y;

    return (uint32_t)fmax(1, fmin(rows, STRIP_ROWS));
}

enum tl_code resample_area(const struct resample_job *job, struct tl_err *err)
{
    struct area area = {.job = job, .width = job->out->width};

    TL_TRY(area_open(&area, err));
    uint32_t step = rows_per_strip(&area);
    for (uint32_t y = 0; y < job->out->height; y += step) {
        TL_TRY(errand_check(job->errand, err));
        TL_TRY(resample_rows(&area, y, TL_MIN(step, job->out->height - y), err));
    }
    return TL_OK;
}
