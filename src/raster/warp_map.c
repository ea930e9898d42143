/*
 * A patch holds the image of nine points (o) and interpolates between them by parabolas in
 * both directions. It is accepted when it agrees with PROJ at eight more points (x), near
 * where a parabola through three points is worst (0.21 and 0.79 of the way). The map is
 * smooth, so the error falls with the third power of the patch's size: over one web tile of
 * a UTM raster one patch does from z12 on.
 *
 *        o --- x --- o ----- o
 *        |                   |
 *        x     x         x   |
 *        |                   |
 *        o           o       o
 *        |                   |
 *        |     x         x   x
 *        |                   |
 *        o --------- o - x - o       not good enough: four patches
 */
#include "raster/warp_map.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/errand.h"
#include "geo/crs.h"
#include "raster/warp_loops.h"

#include <math.h>
#include <stdlib.h>

/* Patches of this size and smaller may be found to lie outside the source as a whole; larger
 * ones can hold it between the tested points. */
#define OUTSIDE_MAX_PX 32

/* Grids of the same CRS whose pixels differ by less share their pixels. */
#define SAME_SIZE   1e-9
#define SAME_ORIGIN 1e-6

struct builder {
    struct warp_map *map;
    const struct errand *errand;
    struct arena *arena;
    uint32_t level_width, level_height;
    size_t room;
};

static enum tl_code no_memory(struct tl_err *err)
{
    return tl_fail(err, TL_NOMEM, "no memory for a map between two grids");
}

/* Target pixels to level pixels, in place; not finite where there is no image. */
static void map_points(const struct warp_map *map, double *x, double *y, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        x[i] = affine_x(map->target, x[i]);
        y[i] = affine_y(map->target, y[i]);
    }
    crs_map_points(map->crs_map, x, y, count);
    for (size_t i = 0; i < count; i++) {
        x[i] = affine_col(map->level, x[i]);
        y[i] = affine_row(map->level, y[i]);
    }
}

/* --- separable ------------------------------------------------------------------------- */

/* A world that begins at Greenwich, or runs over the antimeridian, has the same meridian at
 * another column. */
static void wrap_columns(struct warp_span *col, uint32_t count, double period, double width)
{
    for (uint32_t i = 0; i < count; i++) {
        double middle = (col[i].lo + col[i].hi) / 2, shift = 0;

        if (middle < 0 && middle + period < width)
            shift = period;
        else if (middle >= width && middle - period >= 0)
            shift = -period;
        col[i].lo += shift;
        col[i].hi += shift;
    }
}

/* One row of blocks must not flicker with the last bit: aligned grids are exactly aligned. */
static void snap_to_pixels(double *at, uint32_t count, double offset, double ratio)
{
    double shift = at[0] - offset * ratio;

    if (fabs(ratio - 1) > SAME_SIZE || fabs(shift - round(shift)) > SAME_ORIGIN)
        return;
    for (uint32_t i = 0; i < count; i++)
        at[i] = round(shift) + i + offset;
}

/* Points to pixels: from its point to its point, or from one corner to the next. */
static void spans_between(const double *at, uint32_t points, uint32_t pixels, struct warp_span *ret)
{
    uint32_t next = points - pixels;

    for (uint32_t i = 0; i < pixels; i++)
        ret[i] = (struct warp_span){fmin(at[i], at[i + next]), fmax(at[i], at[i + next])};
}

static enum tl_code fill_separable(struct warp_map *map, bool same_crs, struct arena *arena,
                                   struct tl_err *err)
{
    double *col = arena_alloc(arena, map->columns, sizeof(double));
    double *row = arena_alloc(arena, map->rows, sizeof(double));
    map->col = arena_alloc(arena, map->width, sizeof(*map->col));
    map->row = arena_alloc(arena, map->height, sizeof(*map->row));

    if (!col || !row || !map->col || !map->row)
        return no_memory(err);
    for (uint32_t i = 0; i < map->columns; i++)
        col[i] = affine_x(map->target, i + map->offset);
    for (uint32_t i = 0; i < map->rows; i++)
        row[i] = affine_y(map->target, i + map->offset);
    crs_map_xs(map->crs_map, col, map->columns);
    crs_map_ys(map->crs_map, row, map->rows);
    for (uint32_t i = 0; i < map->columns; i++)
        col[i] = affine_col(map->level, col[i]);
    for (uint32_t i = 0; i < map->rows; i++)
        row[i] = affine_row(map->level, row[i]);
    if (same_crs) {
        snap_to_pixels(col, map->columns, map->offset, map->target.dx / map->level.dx);
        snap_to_pixels(row, map->rows, map->offset, map->target.dy / map->level.dy);
    }
    spans_between(col, map->columns, map->width, map->col);
    spans_between(row, map->rows, map->height, map->row);
    return TL_OK;
}

/* --- patches --------------------------------------------------------------------------- */

static enum tl_code add_patch(struct builder *b, const struct warp_patch *patch, struct tl_err *err)
{
    struct warp_map *map = b->map;

    if (map->patch_count == b->room) {
        size_t room = b->room ? b->room * 2 : 16;
        struct warp_patch *grown = arena_alloc(b->arena, room, sizeof(*grown));
        if (!grown)
            return no_memory(err);
        for (size_t i = 0; i < map->patch_count; i++)
            grown[i] = map->patches[i];
        map->patches = grown;
        b->room = room;
    }
    map->patches[map->patch_count++] = *patch;
    return TL_OK;
}

/* Weights of the nodes at 0, 1/2 and 1 for a parabola at t. */
static void node_weights(double t, double ret[3])
{
    ret[0] = (1 - t) * (1 - 2 * t);
    ret[1] = 4 * t * (1 - t);
    ret[2] = t * (2 * t - 1);
}

/* The parabola that a horizontal line cuts out of the nodes' surface: values at its nodes. */
static void nodes_of_line(const double nodes[9], const double v[3], double ret[3])
{
    for (int i = 0; i < 3; i++)
        ret[i] = v[0] * nodes[i] + v[1] * nodes[3 + i] + v[2] * nodes[6 + i];
}

static double surface_at(const double nodes[9], double u, double v)
{
    double wu[3], wv[3], line[3];

    node_weights(u, wu);
    node_weights(v, wv);
    nodes_of_line(nodes, wv, line);
    return wu[0] * line[0] + wu[1] * line[1] + wu[2] * line[2];
}

static double patch_u(const struct warp_patch *patch, double x)
{
    return (x - patch->x0) / (patch->x1 - patch->x0);
}

static double patch_v(const struct warp_patch *patch, double y)
{
    return (y - patch->y0) / (patch->y1 - patch->y0);
}

/* Nodes and test points as fractions of the patch. */
static const double node_u[9] = {0, 0.5, 1, 0, 0.5, 1, 0, 0.5, 1};
static const double node_v[9] = {0, 0, 0, 0.5, 0.5, 0.5, 1, 1, 1};
static const double test_u[8] = {0.21, 0.79, 0.21, 0.79, 0.21, 0.79, 0, 1};
static const double test_v[8] = {0.21, 0.21, 0.79, 0.79, 0, 1, 0.21, 0.79};

static void points_in_patch(const struct warp_map *map, const struct warp_patch *patch,
                            const double *u, const double *v, struct warp_points at)
{
    int count = u == node_u ? 9 : 8;

    for (int i = 0; i < count; i++) {
        at.col[i] = patch->x0 + u[i] * (patch->x1 - patch->x0);
        at.row[i] = patch->y0 + v[i] * (patch->y1 - patch->y0);
    }
    map_points(map, at.col, at.row, count);
}

static bool is_good(const struct warp_patch *patch, const double col[8], const double row[8])
{
    for (int i = 0; i < 8; i++) {
        double col_error = col[i] - surface_at(patch->col, test_u[i], test_v[i]);
        double row_error = row[i] - surface_at(patch->row, test_u[i], test_v[i]);

        /* Written so that what is not finite is not good. */
        if (!(hypot(col_error, row_error) <= WARP_MAP_TOLERANCE_PX))
            return false;
    }
    return true;
}

/* All points lie on one side of [0, size), by more than they differ among themselves. */
static bool is_beyond(const double nodes[9], const double tests[8], double size)
{
    double low = HUGE_VAL, high = -HUGE_VAL;

    for (int i = 0; i < 17; i++) {
        double at = i < 9 ? nodes[i] : tests[i - 9];

        if (!isfinite(at))
            return false;
        low = fmin(low, at);
        high = fmax(high, at);
    }
    return high + (high - low) < 0 || low - (high - low) > size;
}

static bool is_outside(const struct builder *b, const struct warp_patch *patch, const double col[8],
                       const double row[8])
{
    if (TL_MAX(patch->x1 - patch->x0, patch->y1 - patch->y0) > OUTSIDE_MAX_PX)
        return false;
    return is_beyond(patch->col, col, b->level_width) ||
           is_beyond(patch->row, row, b->level_height);
}

static enum tl_code cover(struct builder *b, struct warp_patch patch, struct tl_err *err);

static enum tl_code cover_quarters(struct builder *b, const struct warp_patch *patch,
                                   struct tl_err *err)
{
    uint32_t xm = patch->x0 + (patch->x1 - patch->x0) / 2;
    uint32_t ym = patch->y0 + (patch->y1 - patch->y0) / 2;
    const uint32_t xs[3] = {patch->x0, xm, patch->x1}, ys[3] = {patch->y0, ym, patch->y1};

    for (int q = 0; q < 4; q++) {
        struct warp_patch part = {
            .x0 = xs[q % 2],
            .y0 = ys[q / 2],
            .x1 = xs[q % 2 + 1],
            .y1 = ys[q / 2 + 1],
        };
        if (part.x1 > part.x0 && part.y1 > part.y0)
            TL_TRY(cover(b, part, err));
    }
    return TL_OK;
}

static enum tl_code cover(struct builder *b, struct warp_patch patch, struct tl_err *err)
{
    double col[8], row[8];

    TL_TRY(errand_check(b->errand, err));
    points_in_patch(b->map, &patch, node_u, node_v, (struct warp_points){patch.col, patch.row});
    points_in_patch(b->map, &patch, test_u, test_v, (struct warp_points){col, row});
    if (is_good(&patch, col, row))
        return add_patch(b, &patch, err);
    if (is_outside(b, &patch, col, row))
        return TL_OK;
    if (TL_MAX(patch.x1 - patch.x0, patch.y1 - patch.y0) > WARP_MAP_SMALLEST_PX)
        return cover_quarters(b, &patch, err);
    patch.exact = true;
    return add_patch(b, &patch, err);
}

static int by_y0(const void *a, const void *b)
{
    const struct warp_patch *p = a, *q = b;

    return (p->y0 > q->y0) - (p->y0 < q->y0);
}

static enum tl_code fill_patches(struct builder *b, struct tl_err *err)
{
    struct warp_map *map = b->map;

    TL_TRY(cover(b, (struct warp_patch){.x1 = map->width, .y1 = map->height}, err));
    if (map->patch_count > 1)
        qsort(map->patches, map->patch_count, sizeof(*map->patches), by_y0);
    return TL_OK;
}

/* --- bounds of patches ----------------------------------------------------------------- */

/* How far the surface can leave the bilinear one through the corners of a part of relative
 * size du x dv: c t^2 leaves its chord by c d^2 / 4, and c itself is interpolated by weights
 * whose absolute values sum up to at most 1.25. */
static double sag(const double n[9], double du, double dv)
{
    double across = 0, down = 0;

    for (int i = 0; i < 3; i++) {
        const double *row = n + 3L * i;

        across = fmax(across, fabs(2 * row[0] - 4 * row[1] + 2 * row[2]));
        down = fmax(down, fabs(2 * n[i] - 4 * n[3 + i] + 2 * n[6 + i]));
    }
    return 1.25 * (across * du * du + down * dv * dv) / 4;
}

static void bounds_of(const double nodes[9], const double u[2], const double v[2], double *ret_low,
                      double *ret_high)
{
    double low = HUGE_VAL, high = -HUGE_VAL, slack = sag(nodes, u[1] - u[0], v[1] - v[0]);

    for (int i = 0; i < 4; i++) {
        double at = surface_at(nodes, u[i % 2], v[i / 2]);

        low = fmin(low, at);
        high = fmax(high, at);
    }
    *ret_low = low - slack;
    *ret_high = high + slack;
}

struct warp_bounds warp_patch_bounds(const struct warp_patch *patch, const double x[2],
                                     const double y[2])
{
    const double u[2] = {patch_u(patch, x[0]), patch_u(patch, x[1])};
    const double v[2] = {patch_v(patch, y[0]), patch_v(patch, y[1])};
    struct warp_bounds bounds;

    bounds_of(patch->col, u, v, &bounds.col0, &bounds.col1);
    bounds_of(patch->row, u, v, &bounds.row0, &bounds.row1);
    return bounds;
}

void warp_exact_points(const struct warp_map *map, const struct warp_patch *patch,
                       struct warp_points *points)
{
    size_t count = 0, extra = map->offset == 0;

    TL_CHECK(patch->exact);
    for (uint32_t y = patch->y0; y < patch->y1 + extra; y++) {
        for (uint32_t x = patch->x0; x < patch->x1 + extra; x++, count++) {
            points->col[count] = x + map->offset;
            points->row[count] = y + map->offset;
        }
    }
    map_points(map, points->col, points->row, count);
}

/* --- scale ----------------------------------------------------------------------------- */

/* Derivatives at (x, y) of the target by central differences: columns then rows of the level
 * per target pixel. False when the point has no image. */
static bool derivatives(const struct warp_map *map, double x, double y, double ret_d[4])
{
    double col[4] = {x - 0.5, x + 0.5, x, x}, row[4] = {y, y, y - 0.5, y + 0.5};

    map_points(map, col, row, 4);
    for (int i = 0; i < 4; i++) {
        if (!isfinite(col[i]) || !isfinite(row[i]))
            return false;
    }
    ret_d[0] = col[1] - col[0];
    ret_d[1] = row[1] - row[0];
    ret_d[2] = col[3] - col[2];
    ret_d[3] = row[3] - row[2];
    return ret_d[0] * ret_d[3] - ret_d[1] * ret_d[2] != 0;
}

/* At the middle; where that has no image, at the first of 5 x 5 points that has one. */
static bool middle_derivatives(const struct warp_map *map, double ret_d[4])
{
    if (derivatives(map, map->width / 2.0, map->height / 2.0, ret_d))
        return true;
    for (int i = 0; i < 25; i++) {
        int across = i % 5, down = i / 5;

        if (derivatives(map, map->width * (across + 0.5) / 5, map->height * (down + 0.5) / 5,
                        ret_d))
            return true;
    }
    return false;
}

static void fill_scale(struct warp_map *map)
{
    double d[4];

    map->scale_x = map->scale_y = 1;
    if (!middle_derivatives(map, d))
        return;
    map->scale_x = hypot(d[0], d[2]);
    map->scale_y = hypot(d[1], d[3]);
}

enum tl_code warp_map_ratio(const struct grid *target, const struct pyramid *pyramid,
                            double *ret_ratio, struct tl_err *err)
{
    struct warp_map map = {
        .width = target->width,
        .height = target->height,
        .target = target->affine,
        .level = pyramid->levels[0].affine,
    };
    double d[4];

    TL_TRY(crs_map_get(target->crs, pyramid->crs, &map.crs_map, err));
    *ret_ratio = middle_derivatives(&map, d) ? sqrt(fabs(d[0] * d[3] - d[1] * d[2])) : 0;
    return TL_OK;
}

/* --- the map --------------------------------------------------------------------------- */

enum tl_code warp_map_new(const struct warp_map_spec *spec, const struct errand *errand,
                          struct arena *arena, struct warp_map **ret_map, struct tl_err *err)
{
    const struct grid *target = spec->target;
    const struct crs *crs = spec->pyramid->crs;
    const struct pyramid_level *on = &spec->pyramid->levels[spec->level];
    uint32_t extra = spec->sample == SAMPLE_CORNERS;
    struct warp_map *map = arena_zalloc(arena, 1, sizeof(*map));

    if (!map)
        return no_memory(err);
    *map = (struct warp_map){
        .width = target->width,
        .height = target->height,
        .columns = target->width + extra,
        .rows = target->height + extra,
        .offset = extra ? 0 : 0.5,
        .target = target->affine,
        .level = on->affine,
    };
    TL_TRY(crs_map_get(target->crs, crs, &map->crs_map, err));
    fill_scale(map);
    if (crs_map_separable(map->crs_map)) {
        TL_TRY(fill_separable(map, crs_equal(target->crs, crs), arena, err));
        wrap_columns(map->col, map->width, crs_period_x(crs) / on->affine.dx, on->width);
    } else {
        struct builder b = {map, errand, arena, on->width, on->height, 0};
        TL_TRY(fill_patches(&b, err));
    }
    *ret_map = map;
    return TL_OK;
}

/* --- rows of patches ------------------------------------------------------------------- */

struct warp_cursor *warp_cursor_new(const struct warp_map *map, struct arena *arena)
{
    struct warp_cursor *cursor = arena_zalloc(arena, 1, sizeof(*cursor));

    if (!cursor)
        return NULL;
    cursor->map = map;
    cursor->active = arena_alloc(arena, TL_MAX(map->patch_count, 1), sizeof(*cursor->active));
    return cursor->active ? cursor : NULL;
}

/* Points at whole pixels belong to the patch that begins there; the last one of the target
 * to the patch that ends there. */
static void points_of(uint32_t from, uint32_t to, uint32_t end, double offset, uint32_t ret[2])
{
    ret[0] = from;
    ret[1] = to == end && offset == 0 ? to + 1 : to;
}

void warp_patch_points(const struct warp_map *map, const struct warp_patch *patch,
                       uint32_t ret_columns[2], uint32_t ret_rows[2])
{
    points_of(patch->x0, patch->x1, map->width, map->offset, ret_columns);
    points_of(patch->y0, patch->y1, map->height, map->offset, ret_rows);
}

static void fill_exact(const struct warp_map *map, const uint32_t columns[2], double y,
                       const struct warp_points *points)
{
    for (uint32_t i = columns[0]; i < columns[1]; i++) {
        points->col[i] = i + map->offset;
        points->row[i] = y;
    }
    map_points(map, points->col + columns[0], points->row + columns[0], columns[1] - columns[0]);
}

/* The nodes of a line as a polynomial of the distance from the patch's left side. */
static struct parabola parabola_through(const double n[3], double width)
{
    return (struct parabola){
        .c0 = n[0],
        .c1 = (4 * n[1] - 3 * n[0] - n[2]) / width,
        .c2 = 2 * (n[0] - 2 * n[1] + n[2]) / (width * width),
    };
}

static void fill_line(const struct warp_map *map, const struct warp_patch *patch,
                      const uint32_t columns[2], double y, const struct warp_points *points)
{
    const struct warp_loops *loops = warp_loops();
    double v[3], line[3], width = patch->x1 - patch->x0;
    int32_t count = (int32_t)(columns[1] - columns[0]);

    node_weights(patch_v(patch, y), v);
    nodes_of_line(patch->col, v, line);
    struct parabola col = parabola_through(line, width);
    nodes_of_line(patch->row, v, line);
    struct parabola row = parabola_through(line, width);
    loops->line(&col, map->offset, count, points->col + columns[0]);
    loops->line(&row, map->offset, count, points->row + columns[0]);
}

static void update_active(struct warp_cursor *cursor, uint32_t row)
{
    const struct warp_map *map = cursor->map;
    size_t kept = 0;

    for (size_t i = 0; i < cursor->active_count; i++) {
        uint32_t columns[2], rows[2];

        warp_patch_points(map, &map->patches[cursor->active[i]], columns, rows);
        if (row < rows[1])
            cursor->active[kept++] = cursor->active[i];
    }
    while (cursor->next < map->patch_count && map->patches[cursor->next].y0 <= row) {
        uint32_t columns[2], rows[2];

        warp_patch_points(map, &map->patches[cursor->next], columns, rows);
        if (row < rows[1])
            cursor->active[kept++] = cursor->next;
        cursor->next++;
    }
    cursor->active_count = kept;
}

/* What no patch of a row covers lies outside the source. */
static void clear_gaps(const struct warp_cursor *cursor, struct warp_points *points)
{
    const struct warp_map *map = cursor->map;
    uint32_t covered = 0;

    for (size_t i = 0; i < cursor->active_count; i++) {
        uint32_t columns[2], rows[2];

        warp_patch_points(map, &map->patches[cursor->active[i]], columns, rows);
        covered += columns[1] - columns[0];
    }
    if (covered == map->columns)
        return;
    for (uint32_t i = 0; i < map->columns; i++)
        points->col[i] = points->row[i] = HUGE_VAL;
}

void warp_cursor_row(struct warp_cursor *cursor, uint32_t row, struct warp_points *points)
{
    const struct warp_map *map = cursor->map;
    double y = row + map->offset;

    update_active(cursor, row);
    clear_gaps(cursor, points);
    for (size_t i = 0; i < cursor->active_count; i++) {
        const struct warp_patch *patch = &map->patches[cursor->active[i]];
        uint32_t columns[2], rows[2];

        warp_patch_points(map, patch, columns, rows);
        if (patch->exact)
            fill_exact(map, columns, y, points);
        else
            fill_line(map, patch, columns, y, points);
    }
}
