/*
 * A row of the target is cut into runs of pixels that come from one block. Within a run the
 * sample of pixel i is samples[base + offset[i]]: for a separable map `offset` is the column
 * in the block, the same for every row of the target, and `base` is the row; otherwise
 * `offset` is both and `base` is 0. So the inner loop is a load, an indexed load and a store
 * for every type, and the class tile of one byte per pixel runs at about a pixel per cycle.
 * Where target and level share a grid, as the features of a prediction do, a run is copied.
 */
#include "raster/resample.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/errand.h"
#include "raster/warp_loops.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#define NOWHERE UINT32_MAX

/* Pixels [begin, end) of the row lie in column `col` and row `row` of blocks, or nowhere. */
struct run {
    uint32_t begin, end;
    uint32_t col, row;
    bool straight; /* their samples lie one after the other: the grids are one */
};

struct gather {
    const struct resample_job *job;
    size_t size;      /* of a sample, bytes */
    size_t band_step; /* bytes from band to band of the target */
    uint32_t width;
    struct run *runs;
    uint32_t run_count;
    uint32_t *offset; /* in the block, of each pixel of the row */
    int32_t *x, *y;   /* of each pixel of the row, in the level; maps with patches only */
};

static struct run *next_run(struct gather *g, uint32_t begin, uint32_t col, uint32_t row)
{
    struct run *run = &g->runs[g->run_count++];

    *run = (struct run){.begin = begin, .col = col, .row = row};
    return run;
}

/* --- one run --------------------------------------------------------------------------- */

/* NOLINTBEGIN(bugprone-macro-parentheses): a type cannot be in parentheses */
#define PICK(type)                                                                      \
    static void pick_##type(const type *restrict from, const uint32_t *restrict offset, \
                            uint32_t count, type *restrict to)                          \
    {                                                                                   \
        for (uint32_t i = 0; i < count; i++)                                            \
            to[i] = from[offset[i]];                                                    \
    }
PICK(uint8_t)
PICK(uint16_t)
PICK(uint32_t)
PICK(uint64_t)
/* NOLINTEND(bugprone-macro-parentheses) */

static void pick(size_t size, const uint8_t *from, const uint32_t *offset, uint32_t count,
                 uint8_t *to)
{
    switch (size) {
    case 1:
        pick_uint8_t(from, offset, count, to);
        break;
    case 2:
        pick_uint16_t((const void *)from, offset, count, (void *)to);
        break;
    case 4:
        pick_uint32_t((const void *)from, offset, count, (void *)to);
        break;
    default:
        TL_CHECK(size == 8);
        pick_uint64_t((const void *)from, offset, count, (void *)to);
    }
}

static void pick_mask(const uint8_t *mask, const uint32_t *offset, uint32_t count, uint8_t *valid)
{
    for (uint32_t i = 0; i < count; i++)
        valid[i] &= (uint8_t)(mask[offset[i]] != 0);
}

static void no_data(const struct gather *g, uint32_t begin, uint32_t count, uint8_t *row)
{
    struct planes *out = g->job->out;

    for (uint16_t k = 0; k < out->bands; k++)
        memset(row + k * g->band_step + begin * g->size, 0, count * g->size);
}

/* `base`: offset of the row inside the block, in samples. */
static void fill_run(const struct gather *g, const struct run *run, size_t base, uint8_t *row,
                     uint8_t *valid)
{
    uint32_t count = run->end - run->begin;
    const uint32_t *offset = g->offset + run->begin;

    memset(valid + run->begin, 1, count);
    for (uint16_t k = 0; k < g->job->out->bands; k++) {
        struct band_block from = {NULL, NULL};

        if (run->col != NOWHERE)
            from = warp_window_band(g->job->window, k, run->col, run->row);
        if (!from.samples) {
            memset(valid + run->begin, 0, count);
            no_data(g, run->begin, count, row);
            return;
        }
        uint8_t *to = row + k * g->band_step + run->begin * g->size;
        const uint8_t *samples = (const uint8_t *)from.samples + base * g->size;
        if (run->straight)
            memcpy(to, samples + *offset * g->size, count * g->size);
        else
            pick(g->size, samples, offset, count, to);
        if (from.mask)
            pick_mask(from.mask + base, offset, count, valid + run->begin);
        valid_where_data(g->job->window->pyramid, to, count, valid + run->begin);
    }
}

/* --- separable ------------------------------------------------------------------------- */

/* The pixel that holds a point, or NOWHERE. */
static uint32_t pixel_at(double at, uint32_t size)
{
    double pixel = floor(at + NEAREST_SNAP);

    /* Written so that what is not finite is nowhere. */
    return pixel >= 0 && pixel < size ? (uint32_t)pixel : NOWHERE;
}

static void cut_columns(struct gather *g)
{
    const struct warp_map *map = g->job->map;
    const struct pyramid_level *level = g->job->window->level;

    for (uint32_t i = 0; i < g->width; i++) {
        uint32_t pixel = pixel_at(map->col[i].lo, level->width);
        uint32_t col = pixel == NOWHERE ? NOWHERE : pixel / level->block_width;

        g->offset[i] = pixel == NOWHERE ? 0 : pixel % level->block_width;
        if (g->run_count == 0 || g->runs[g->run_count - 1].col != col)
            next_run(g, i, col, NOWHERE)->straight = true;
        else if (g->offset[i] != g->offset[i - 1] + 1)
            g->runs[g->run_count - 1].straight = false;
        g->runs[g->run_count - 1].end = i + 1;
    }
}

/* Zoomed in, several rows of the target show one row of the source. */
static void repeat_row(const struct gather *g, uint8_t *row, uint8_t *valid)
{
    for (uint16_t k = 0; k < g->job->out->bands; k++) {
        uint8_t *to = row + k * g->band_step;
        memcpy(to, to - g->width * g->size, g->width * g->size);
    }
    memcpy(valid, valid - g->width, g->width);
}

static void fill_separable_row(struct gather *g, uint32_t pixel, uint8_t *row, uint8_t *valid)
{
    const struct pyramid_level *level = g->job->window->level;

    if (pixel == NOWHERE) {
        memset(valid, 0, g->width);
        no_data(g, 0, g->width, row);
        return;
    }
    size_t base = (size_t)(pixel % level->block_height) * level->block_width;
    for (uint32_t i = 0; i < g->run_count; i++) {
        g->runs[i].row = pixel / level->block_height;
        fill_run(g, &g->runs[i], base, row, valid);
    }
}

static enum tl_code nearest_separable(struct gather *g, struct tl_err *err)
{
    const struct resample_job *job = g->job;
    uint32_t last = NOWHERE;

    cut_columns(g);
    for (uint32_t y = 0; y < job->out->height; y++) {
        uint32_t pixel = pixel_at(job->map->row[y].lo, job->window->level->height);
        size_t at = (size_t)y * g->width;
        uint8_t *row = (uint8_t *)job->out->samples + at * g->size;

        if (y > 0 && pixel == last)
            repeat_row(g, row, job->out->valid + at);
        else
            fill_separable_row(g, pixel, row, job->out->valid + at);
        last = pixel;
        if (y % 64 == 0)
            TL_TRY(errand_check(job->errand, err));
    }
    return TL_OK;
}

/* --- patches --------------------------------------------------------------------------- */

static bool is_nowhere(const struct gather *g, uint32_t i)
{
    const struct pyramid_level *level = g->job->window->level;

    return (uint32_t)g->x[i] >= level->width || (uint32_t)g->y[i] >= level->height;
}

static void cut_points(struct gather *g, const struct warp_points *points)
{
    const struct pyramid_level *level = g->job->window->level;
    const struct warp_loops *loops = warp_loops();
    uint32_t bw = level->block_width, bh = level->block_height;

    loops->pixels(points->col, g->width, level->width, g->x);
    loops->pixels(points->row, g->width, level->height, g->y);
    g->run_count = 0;
    for (uint32_t i = 0; i < g->width;) {
        const int32_t *const at[2] = {g->x + i, g->y + i};

        if (is_nowhere(g, i)) {
            struct run *run = next_run(g, i, NOWHERE, NOWHERE);
            while (i < g->width && is_nowhere(g, i))
                g->offset[i++] = 0;
            run->end = i;
            continue;
        }
        uint32_t col = (uint32_t)g->x[i] / bw, row = (uint32_t)g->y[i] / bh;
        struct block_frame frame = {.left = col * bw, .top = row * bh, .stride = bw};
        frame.width = TL_MIN(bw, level->width - frame.left);
        frame.height = TL_MIN(bh, level->height - frame.top);
        struct run *run = next_run(g, i, col, row);
        uint32_t count = loops->run(at, g->width - i, &frame);
        loops->offsets(at, count, &frame, g->offset + i);
        i += count;
        run->end = i;
    }
}

static enum tl_code nearest_patches(struct gather *g, struct tl_err *err)
{
    const struct resample_job *job = g->job;
    struct warp_cursor *cursor = warp_cursor_new(job->map, job->arena);
    struct warp_points points = {
        .col = arena_alloc(job->arena, g->width, sizeof(double)),
        .row = arena_alloc(job->arena, g->width, sizeof(double)),
    };

    g->x = arena_alloc(job->arena, g->width, sizeof(*g->x));
    g->y = arena_alloc(job->arena, g->width, sizeof(*g->y));
    if (!cursor || !points.col || !points.row || !g->x || !g->y)
        return tl_fail(err, TL_NOMEM, "no memory for a row of a warp");
    for (uint32_t y = 0; y < job->out->height; y++) {
        size_t at = (size_t)y * g->width;

        warp_cursor_row(cursor, y, &points);
        cut_points(g, &points);
        for (uint32_t i = 0; i < g->run_count; i++)
            fill_run(g, &g->runs[i], 0, (uint8_t *)job->out->samples + at * g->size,
                     job->out->valid + at);
        if (y % 64 == 0)
            TL_TRY(errand_check(job->errand, err));
    }
    return TL_OK;
}

enum tl_code resample_nearest(const struct resample_job *job, struct tl_err *err)
{
    struct gather g = {
        .job = job,
        .size = dtype_size(job->out->dtype),
        .width = job->out->width,
        .runs = arena_alloc(job->arena, job->out->width, sizeof(*g.runs)),
        .offset = arena_alloc(job->arena, job->out->width, sizeof(*g.offset)),
    };

    if (!g.runs || !g.offset)
        return tl_fail(err, TL_NOMEM, "no memory for a row of a warp");
    g.band_step = g.size * job->out->width * job->out->height;
    return job->map->col ? nearest_separable(&g, err) : nearest_patches(&g, err);
}
