/*
 * The touched part of a block is found from intervals, not pixel by pixel: for a separable
 * map from the interval of each column and each row; for patches from the bounds of cells of
 * CELL_PX target pixels, small enough that a turned grid does not touch blocks beyond its
 * corners.
 */
#include "raster/warp_window.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/errand.h"
#include "raster/resample.h"

#include <math.h>
#include <string.h>

#define CELL_PX 32

/* [lo, hi) pixels of the level, clipped; empty when lo >= hi. */
struct interval {
    uint32_t lo, hi;
};

struct cell {
    struct interval x, y;
};

static enum tl_code no_memory(struct tl_err *err)
{
    return tl_fail(err, TL_NOMEM, "no memory for the window of a warp");
}

/* The pixels that points in [lo, hi] look at. Not finite or far away: none. */
static struct interval interval_of(double lo, double hi, bool areas, uint32_t reach, uint32_t size)
{
    struct interval none = {0, 0};

    if (areas) {
        lo = floor(lo + AREA_SNAP);
        hi = fmax(ceil(hi - AREA_SNAP), lo + 1);
    } else {
        lo = floor(lo) - reach;
        /* Nearest may be snapped over the edge. */
        hi = floor(hi + NEAREST_SNAP) + 1 + reach;
    }
    if (!(lo < size && hi > 0))
        return none;
    return (struct interval){lo > 0 ? (uint32_t)lo : 0, hi < size ? (uint32_t)hi : size};
}

static struct interval join(struct interval a, struct interval b)
{
    if (a.lo >= a.hi)
        return b;
    if (b.lo >= b.hi)
        return a;
    return (struct interval){TL_MIN(a.lo, b.lo), TL_MAX(a.hi, b.hi)};
}

/* --- the rectangle of blocks ----------------------------------------------------------- */

static enum tl_code too_many(const struct warp_window *window, uint64_t blocks, struct tl_err *err)
{
    const struct pyramid_level *level = window->level;

    return tl_fail(
        err, TL_LIMIT,
        "this window needs %.0f million pixels of level %u (%u x %u) of the raster, the limit is "
        "%.0f million: there is no usable overview that is coarse enough; add overviews "
        "(gdaladdo -r mode for classes, -r average else) or ask for a higher zoom",
        (double)blocks * level->block_width * level->block_height / 1e6, window->level_index,
        level->width, level->height, (double)WARP_MAX_SOURCE_PX / 1e6);
}

static bool exceeds_limit(const struct warp_window *window, uint64_t blocks)
{
    uint64_t block_px = (uint64_t)window->level->block_width * window->level->block_height;

    /* A window over a corner touches four blocks, however large they are. */
    return blocks > 4 && blocks > WARP_MAX_SOURCE_PX / block_px;
}

/* Tables for the blocks of x times y. `x` and `y` are not empty. */
static enum tl_code open_rectangle(struct warp_window *window, struct interval x, struct interval y,
                                   struct arena *arena, struct tl_err *err)
{
    uint32_t bw = window->level->block_width, bh = window->level->block_height;

    window->col0 = x.lo / bw;
    window->row0 = y.lo / bh;
    window->cols = (x.hi - 1) / bw - window->col0 + 1;
    window->rows = (y.hi - 1) / bh - window->row0 + 1;
    uint64_t count = (uint64_t)window->cols * window->rows;
    /* The rectangle may hold blocks that nothing touches, but not without bound. */
    if (count > UINT64_C(1) << 22)
        return too_many(window, count, err);
    window->parts = arena_zalloc(arena, count, sizeof(*window->parts));
    return window->parts ? TL_OK : no_memory(err);
}

/* Adds [x0, x1) x [y0, y1), in the block's pixels. */
static void touch_part(struct warp_window *window, struct block_part *part, struct block_part more)
{
    if (part->x1 == 0) {
        *part = more;
        window->touched++;
        return;
    }
    part->x0 = TL_MIN(part->x0, more.x0);
    part->y0 = TL_MIN(part->y0, more.y0);
    part->x1 = TL_MAX(part->x1, more.x1);
    part->y1 = TL_MAX(part->y1, more.y1);
}

/* The piece of [lo, hi) that lies in block `index`, in its own pixels. */
static struct interval piece(struct interval whole, uint32_t index, uint32_t size)
{
    uint64_t begin = (uint64_t)index * size;
    uint64_t lo = TL_MAX(whole.lo, begin), hi = TL_MIN(whole.hi, begin + size);

    return (struct interval){(uint32_t)(lo - begin), hi > lo ? (uint32_t)(hi - begin) : 0};
}

static void touch_rectangle(struct warp_window *window, struct interval x, struct interval y)
{
    uint32_t bw = window->level->block_width, bh = window->level->block_height;

    if (x.lo >= x.hi || y.lo >= y.hi)
        return;
    for (uint32_t row = y.lo / bh; row <= (y.hi - 1) / bh; row++) {
        struct interval py = piece(y, row, bh);

        for (uint32_t col = x.lo / bw; col <= (x.hi - 1) / bw; col++) {
            struct interval px = piece(x, col, bw);
            size_t at = (size_t)(row - window->row0) * window->cols + (col - window->col0);

            touch_part(window, &window->parts[at],
                       (struct block_part){(uint16_t)px.lo, (uint16_t)py.lo, (uint16_t)px.hi,
                                           (uint16_t)py.hi});
        }
    }
}

/* --- separable ------------------------------------------------------------------------- */

/* One axis: the parts of its blocks, index 0 being the block of whole.lo. */
static struct interval *axis_parts(const struct warp_span *spans, uint32_t count, bool areas,
                                   uint32_t reach, const uint32_t size_and_block[2],
                                   struct arena *arena)
{
    uint32_t size = size_and_block[0], block = size_and_block[1];
    size_t blocks = (size_t)(size - 1) / block + 1;
    struct interval *parts = arena_zalloc(arena, blocks, sizeof(*parts));

    for (uint32_t i = 0; parts && i < count; i++) {
        struct interval at = interval_of(spans[i].lo, spans[i].hi, areas, reach, size);

        if (at.lo >= at.hi)
            continue;
        for (uint32_t b = at.lo / block; b <= (at.hi - 1) / block; b++) {
            struct interval p = piece(at, b, block);
            /* Kept in the level's pixels, so that they can be joined. */
            p.lo += b * block;
            p.hi += b * block;
            parts[b] = join(parts[b], p);
        }
    }
    return parts;
}

static struct interval whole_of(const struct interval *parts, size_t count)
{
    struct interval whole = {0, 0};

    for (size_t i = 0; i < count; i++)
        whole = join(whole, parts[i]);
    return whole;
}

static enum tl_code plan_separable(struct warp_window *window, const struct warp_map *map,
                                   struct warp_reach reach, struct arena *arena, struct tl_err *err)
{
    const struct pyramid_level *level = window->level;
    bool areas = map->offset == 0;
    const uint32_t x_axis[2] = {level->width, level->block_width};
    const uint32_t y_axis[2] = {level->height, level->block_height};
    struct interval *xs = axis_parts(map->col, map->width, areas, reach.x, x_axis, arena);
    struct interval *ys = axis_parts(map->row, map->height, areas, reach.y, y_axis, arena);

    if (!xs || !ys)
        return no_memory(err);
    struct interval x = whole_of(xs, (level->width - 1) / level->block_width + 1);
    struct interval y = whole_of(ys, (level->height - 1) / level->block_height + 1);
    if (x.lo >= x.hi || y.lo >= y.hi)
        return TL_OK;
    TL_TRY(open_rectangle(window, x, y, arena, err));
    for (uint32_t row = 0; row < window->rows; row++) {
        for (uint32_t col = 0; col < window->cols; col++)
            touch_rectangle(window, xs[window->col0 + col], ys[window->row0 + row]);
    }
    return TL_OK;
}

/* --- patches --------------------------------------------------------------------------- */

static uint32_t cells_along(uint32_t from, uint32_t to)
{
    return (to - from + CELL_PX - 1) / CELL_PX;
}

/* Cells of a patch: of CELL_PX, or of one pixel where every point is asked for. */
static size_t count_cells(const struct warp_map *map)
{
    size_t count = 0;

    for (size_t i = 0; i < map->patch_count; i++) {
        const struct warp_patch *p = &map->patches[i];
        size_t cells = (size_t)cells_along(p->x0, p->x1) * cells_along(p->y0, p->y1);

        count += p->exact ? (size_t)(p->x1 - p->x0) * (p->y1 - p->y0) : cells;
    }
    return count;
}

static struct cell cell_of(const struct warp_window *window, bool areas, struct warp_bounds b,
                           struct warp_reach reach)
{
    return (struct cell){
        .x = interval_of(b.col0, b.col1, areas, reach.x, window->level->width),
        .y = interval_of(b.row0, b.row1, areas, reach.y, window->level->height),
    };
}

static size_t cells_of_patch(const struct warp_window *window, const struct warp_map *map,
                             const struct warp_patch *p, struct warp_reach reach,
                             struct cell *ret_cells)
{
    size_t count = 0;

    for (uint32_t y = p->y0; y < p->y1; y += CELL_PX) {
        for (uint32_t x = p->x0; x < p->x1; x += CELL_PX) {
            const double xs[2] = {x + map->offset, TL_MIN(x + CELL_PX, p->x1) - map->offset};
            const double ys[2] = {y + map->offset, TL_MIN(y + CELL_PX, p->y1) - map->offset};

            ret_cells[count++] =
                cell_of(window, map->offset == 0, warp_patch_bounds(p, xs, ys), reach);
        }
    }
    return count;
}

/* A bound of several points would be a bound of the whole source where the map is torn. */
static size_t cells_of_exact(const struct warp_window *window, const struct warp_map *map,
                             const struct warp_patch *p, struct warp_reach reach,
                             struct cell *ret_cells)
{
    double col[WARP_EXACT_POINTS], row[WARP_EXACT_POINTS];
    struct warp_points points = {col, row};
    uint32_t extra = map->offset == 0, width = p->x1 - p->x0, stride = width + extra;
    size_t count = 0;

    warp_exact_points(map, p, &points);
    for (uint32_t i = 0; i < width * (p->y1 - p->y0); i++) {
        uint32_t from = i / width * stride + i % width, to = from + extra * (stride + 1);
        struct warp_span x = {fmin(col[from], col[to]), fmax(col[from], col[to])};
        struct warp_span y = {fmin(row[from], row[to]), fmax(row[from], row[to])};

        if (!warp_is_torn(map, x, y))
            ret_cells[count++] =
                cell_of(window, extra, (struct warp_bounds){x.lo, x.hi, y.lo, y.hi}, reach);
    }
    return count;
}

static enum tl_code plan_patches(struct warp_window *window, const struct warp_map *map,
                                 struct warp_reach reach, struct arena *arena, struct tl_err *err)
{
    size_t count = 0, room = count_cells(map);
    struct cell *cells = arena_alloc(arena, TL_MAX(room, 1), sizeof(*cells));
    struct interval x = {0, 0}, y = {0, 0};

    if (!cells)
        return no_memory(err);
    for (size_t i = 0; i < map->patch_count; i++) {
        const struct warp_patch *patch = &map->patches[i];
        count += patch->exact ? cells_of_exact(window, map, patch, reach, cells + count)
                              : cells_of_patch(window, map, patch, reach, cells + count);
    }
    for (size_t i = 0; i < count; i++) {
        if (cells[i].x.lo >= cells[i].x.hi || cells[i].y.lo >= cells[i].y.hi)
            continue;
        x = join(x, cells[i].x);
        y = join(y, cells[i].y);
    }
    if (x.lo >= x.hi || y.lo >= y.hi)
        return TL_OK;
    TL_TRY(open_rectangle(window, x, y, arena, err));
    for (size_t i = 0; i < count; i++)
        touch_rectangle(window, cells[i].x, cells[i].y);
    return TL_OK;
}

/* --- plan, read, release --------------------------------------------------------------- */

enum tl_code warp_window_plan(struct warp_window *window, const struct warp_map *map,
                              struct warp_reach reach, struct arena *arena, struct tl_err *err)
{
    const struct pyramid_level *level = window->level;

    if (level->block_width > UINT16_MAX || level->block_height > UINT16_MAX)
        return tl_fail(err, TL_UNSUPPORTED, "blocks of %u x %u pixels; at most %d on a side",
                       level->block_width, level->block_height, UINT16_MAX);
    /* Columns and rows are signed 32-bit numbers in the inner loops. */
    if (level->width > INT32_MAX || level->height > INT32_MAX)
        return tl_fail(err, TL_UNSUPPORTED, "a raster of %u x %u pixels; at most %d on a side",
                       level->width, level->height, INT32_MAX);
    window->sets = window->pyramid->planar ? window->band_count : 1;
    if (map->col)
        TL_TRY(plan_separable(window, map, reach, arena, err));
    else
        TL_TRY(plan_patches(window, map, reach, arena, err));
    if (exceeds_limit(window, window->touched))
        return too_many(window, window->touched, err);
    window->empty = window->touched == 0;
    return TL_OK;
}

static struct block_request *list_requests(const struct warp_window *window, struct arena *arena)
{
    size_t cells = (size_t)window->cols * window->rows, n = 0;
    struct block_request *requests =
        arena_alloc(arena, window->touched * window->sets, sizeof(*requests));

    for (uint16_t set = 0; requests && set < window->sets; set++) {
        for (size_t i = 0; i < cells; i++) {
            const struct block_part *part = &window->parts[i];

            if (part->x1 == 0)
                continue;
            requests[n++] = (struct block_request){
                .level = window->level_index,
                .band = window->pyramid->planar ? window->bands[set] : 0,
                .col = window->col0 + (uint32_t)(i % window->cols),
                .row = window->row0 + (uint32_t)(i / window->cols),
                .x0 = part->x0,
                .y0 = part->y0,
                .x1 = part->x1,
                .y1 = part->y1,
            };
        }
    }
    return requests;
}

/* Takes the references; from now on warp_window_release() gives them back. */
static void keep_blocks(struct warp_window *window, struct block **read)
{
    size_t cells = (size_t)window->cols * window->rows, n = 0;

    window->empty = true;
    for (size_t i = 0; i < cells * window->sets; i++) {
        if (window->parts[i % cells].x1 == 0)
            continue;
        struct block *block = read[n++];

        window->blocks[i] = block;
        window->empty &= block->empty;
        window->inexact |= block->inexact;
        TL_CHECK(block->width == window->level->block_width);
        TL_CHECK(block->height == window->level->block_height);
        TL_CHECK(block->empty || block->dtype == window->pyramid->dtype);
    }
}

enum tl_code warp_window_read(struct warp_window *window, struct block_source *source,
                              struct errand *errand, struct arena *arena, struct tl_err *err)
{
    size_t cells = (size_t)window->cols * window->rows, count = window->touched * window->sets;
    struct block_request *requests = list_requests(window, arena);
    struct block **read = arena_zalloc(arena, count, sizeof(struct block *));
    struct block **blocks = arena_zalloc(arena, cells * window->sets, sizeof(struct block *));

    if (!requests || !read || !blocks)
        return no_memory(err);
    TL_TRY(source->read(source, requests, count, errand, read, err));
    window->blocks = blocks;
    keep_blocks(window, read);
    return TL_OK;
}

struct ahead *warp_window_ahead(const struct warp_window *window, struct block_source *source,
                                struct arena *arena)
{
    struct block_request *requests = list_requests(window, arena);

    return requests ? source->ahead(source, requests, window->touched * window->sets) : NULL;
}

void warp_window_release(struct warp_window *window)
{
    size_t count = (size_t)window->cols * window->rows * window->sets;

    for (size_t i = 0; window->blocks && i < count; i++) {
        if (window->blocks[i])
            block_unref(window->blocks[i]);
    }
    window->blocks = NULL;
}

struct band_block warp_window_band(const struct warp_window *window, uint16_t k, uint32_t col,
                                   uint32_t row)
{
    struct band_block none = {NULL, NULL};
    size_t set = window->sets > 1 ? k : 0;
    /* Unsigned: left of and above the rectangle are far to the right of and below it. */
    uint32_t i = col - window->col0, j = row - window->row0;

    if (i >= window->cols || j >= window->rows)
        return none;
    const struct block *block = window->blocks[(set * window->rows + j) * window->cols + i];
    if (!block || block->empty)
        return none;
    size_t band = window->pyramid->planar ? 0 : window->bands[k];
    size_t size = (size_t)block->width * block->height * dtype_size(block->dtype);
    return (struct band_block){(const uint8_t *)block->samples + band * size, block->mask};
}
