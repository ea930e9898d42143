#include "geo/area.h"

#include "base/arena.h"
#include "base/buf.h"
#include "geo/area_impl.h"
#include "geo/area_outline.h"
#include "geo/grid.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/*
 * An edge is listed in every bin of rows that it has a part in. Bins are narrow, so that a window
 * sees few edges that it does not meet, and widen until the lists are linear in the edges.
 */
enum { LOWEST_BIN = 64, MOST_BINS = 65536, LISTED_PER_EDGE = 8 };
/* Rows whose crossings are sorted together, and how many those may be, one row apart. */
enum { BAND_ROWS = 256, BAND_CROSSINGS = 1 << 20 };

struct area {
    atomic_uint refs;
    struct hash128 fingerprint;
    uint32_t edge_count, bin_count;
    double bin_height; /* rows of level 0, a power of two; the last bin has no end */
    struct area_edge *edges;
    uint32_t *bin_start; /* bin_count + 1, into.. */
    uint32_t *listed;    /* ..edges of each bin, in their order */
};

struct area *area_ref(struct area *area)
{
    atomic_fetch_add_explicit(&area->refs, 1, memory_order_relaxed);
    return area;
}

void area_unref(struct area *area)
{
    if (!area || atomic_fetch_sub_explicit(&area->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(area->edges);
    free(area->bin_start);
    free(area->listed);
    free(area);
}

struct hash128 area_fingerprint(const struct area *area)
{
    return area->fingerprint;
}

/* ---- bins ---- */

static uint32_t bin_of(const struct area *area, double y)
{
    double bin = floor(y / area->bin_height);

    return bin < 0 ? 0 : (uint32_t)TL_MIN(bin, area->bin_count - 1.0);
}

static size_t count_listed(const struct area *area)
{
    size_t count = 0;

    for (uint32_t i = 0; i < area->edge_count; i++)
        count += bin_of(area, area->edges[i].y1) - bin_of(area, area->edges[i].y0) + 1;
    return count;
}

static size_t choose_bins(struct area *area, uint32_t height)
{
    size_t most = (size_t)LISTED_PER_EDGE * area->edge_count + MOST_BINS, count;

    area->bin_height = LOWEST_BIN / 2.0;
    do {
        area->bin_height *= 2;
        area->bin_count = (uint32_t)ceil(height / area->bin_height);
        count = area->bin_count > MOST_BINS ? most + 1 : count_listed(area);
    } while (area->bin_count > 1 && count > most);
    return count;
}

/* bin_start[b + 1] counts bin b, then is where the bin's next edge goes, then where it ends. */
static enum tl_code fill_bins(struct area *area, uint32_t height, struct tl_err *err)
{
    size_t count = choose_bins(area, height);
    uint32_t before = 0;

    area->bin_start = calloc((size_t)area->bin_count + 1, sizeof(*area->bin_start));
    area->listed = calloc(count, sizeof(*area->listed));
    if (!area->bin_start || !area->listed)
        return tl_fail(err, TL_NOMEM, "no memory for an area of %u edges", area->edge_count);
    uint32_t *next = area->bin_start + 1;
    for (uint32_t i = 0; i < area->edge_count; i++)
        for (uint32_t b = bin_of(area, area->edges[i].y0); b <= bin_of(area, area->edges[i].y1);
             b++)
            next[b]++;
    for (uint32_t b = 0; b < area->bin_count; b++) {
        uint32_t size = next[b];

        next[b] = before;
        before += size;
    }
    for (uint32_t i = 0; i < area->edge_count; i++)
        for (uint32_t b = bin_of(area, area->edges[i].y0); b <= bin_of(area, area->edges[i].y1);
             b++)
            area->listed[next[b]++] = i;
    return TL_OK;
}

/* ---- making one ---- */

static struct hash128 fingerprint_of(const struct area_outline *outline)
{
    const struct area_ring *last = &outline->rings[outline->ring_count - 1];
    size_t points = (size_t)last->first + last->count;

    return hash128_join(hash128(outline->rings, outline->ring_count * sizeof(*outline->rings)),
                        hash128(outline->points, points * sizeof(*outline->points)));
}

static enum tl_code fill(struct area *area, const struct area_outline *outline,
                         const struct grid *grid, struct buf *edges, struct tl_err *err)
{
    TL_TRY(area_trace(outline, grid, edges, err));
    if (!edges->size)
        return tl_fail(err, TL_INVALID,
                       "the area, which begins at longitude %.9g and latitude %.9g, is nowhere "
                       "near the grid (longitude comes first)",
                       outline->points[0].lon, outline->points[0].lat);
    area->fingerprint = fingerprint_of(outline);
    area->edge_count = (uint32_t)(edges->size / sizeof(*area->edges));
    area->edges = calloc(area->edge_count, sizeof(*area->edges));
    if (!area->edges)
        return tl_fail(err, TL_NOMEM, "no memory for an area of %u edges", area->edge_count);
    memcpy(area->edges, edges->bytes, edges->size);
    return fill_bins(area, grid->height, err);
}

enum tl_code area_new(const struct area_outline *outline, const struct grid *grid,
                      struct area **ret_area, struct tl_err *err)
{
    AUTO(area) area = TL_OWNED(calloc(1, sizeof(*area)));
    AUTO_BUF edges = {0};

    if (!area)
        return tl_fail(err, TL_NOMEM, "no memory for an area");
    atomic_init(&area->refs, 1);
    TL_TRY(fill(area, outline, grid, &edges, err));
    *ret_area = TL_TAKE(area);
    return TL_OK;
}

/* ---- rows ---- */

/* The first row (or column) of a level with its centre at or beyond `at`, a place on level 0. */
static double first_beyond(double at, uint8_t level)
{
    return ceil(ldexp(at, -level) - 0.5);
}

static double centre(uint32_t row, uint8_t level)
{
    return ldexp(row + 0.5, level);
}

/* By the edge and the row alone: whatever the window, and the same for both sides of an edge. */
static double cross(const struct area_edge *edge, double y)
{
    return edge->x0 + (y - edge->y0) * (edge->x1 - edge->x0) / (edge->y1 - edge->y0);
}

static uint32_t clamp(double value, uint32_t low, uint32_t high)
{
    return value <= low ? low : (uint32_t)TL_MIN(value, (double)high);
}

struct crossing {
    double x;
    uint32_t polygon;
};

/* Rows [row, end) of a window, all with their centres in one bin. */
struct band {
    const struct area *area;
    const struct area_window *window;
    uint32_t row, end;
    const uint32_t *listed; /* of the bin */
    uint32_t listed_count;
    uint32_t start[BAND_ROWS + 1]; /* of each row, in.. */
    struct crossing *crossings;
    int32_t *change; /* per column of the window and one more: polygons that begin, less ended */
};

/* At most `most` rows from `row` on. */
static struct band band_at(const struct area *area, const struct area_window *window, uint32_t row,
                           uint32_t most)
{
    uint32_t bin = bin_of(area, centre(row, window->level));
    struct band band = {.area = area, .window = window, .row = row};
    uint32_t end = window->y + window->height;

    if (bin + 1 < area->bin_count)
        end = clamp(first_beyond((bin + 1.0) * area->bin_height, window->level), row + 1, end);
    band.end = TL_MIN(end - row, most) + row;
    band.listed = area->listed + area->bin_start[bin];
    band.listed_count = area->bin_start[bin + 1] - area->bin_start[bin];
    return band;
}

static void rows_of(const struct band *band, const struct area_edge *edge, uint32_t *ret_first,
                    uint32_t *ret_end)
{
    uint8_t level = band->window->level;

    *ret_first = clamp(first_beyond(edge->y0, level), band->row, band->end);
    *ret_end = clamp(first_beyond(edge->y1, level), band->row, band->end);
}

/* Where each row's crossings go; cuts the band to as many rows as may have theirs at once. Returns
 * how many those have. */
static size_t count_crossings(struct band *band)
{
    uint32_t first, end, *after = band->start + 1, total = 0;

    memset(band->start, 0, sizeof(band->start));
    for (uint32_t i = 0; i < band->listed_count; i++) {
        rows_of(band, &band->area->edges[band->listed[i]], &first, &end);
        for (uint32_t row = first; row < end; row++)
            after[row - band->row]++;
    }
    for (uint32_t row = band->row; row < band->end; row++) {
        uint32_t count = after[row - band->row];

        if (row > band->row && total + count > BAND_CROSSINGS) {
            band->end = row;
            break;
        }
        after[row - band->row] = total;
        total += count;
    }
    return total;
}

/* start[] of the row after becomes the end of the row: the place of its next crossing till then. */
static void find_crossings(struct band *band)
{
    uint32_t first, end, *next = band->start + 1;

    for (uint32_t i = 0; i < band->listed_count; i++) {
        const struct area_edge *edge = &band->area->edges[band->listed[i]];

        rows_of(band, edge, &first, &end);
        for (uint32_t row = first; row < end; row++)
            band->crossings[next[row - band->row]++] =
                (struct crossing){cross(edge, centre(row, band->window->level)), edge->polygon};
    }
}

static int by_polygon_and_place(const void *a, const void *b)
{
    const struct crossing *one = a, *other = b;

    if (one->polygon != other->polygon)
        return one->polygon < other->polygon ? -1 : 1;
    return (one->x > other->x) - (one->x < other->x);
}

/* A polygon begins at every other crossing of its own; one whose end was left out has no end. */
static void fill_row(const struct band *band, struct crossing *crossings, uint32_t count,
                     uint8_t *inside)
{
    const struct area_window *window = band->window;
    uint32_t right = window->x + window->width;
    int32_t polygons = 0;

    memset(band->change, 0, (window->width + (size_t)1) * sizeof(*band->change));
    if (count > 1)
        qsort(crossings, count, sizeof(*crossings), by_polygon_and_place);
    for (uint32_t i = 0; i < count; i++) {
        bool ends = i + 1 < count && crossings[i + 1].polygon == crossings[i].polygon;
        double from = first_beyond(crossings[i].x, window->level);
        double to = ends ? first_beyond(crossings[i + 1].x, window->level) : right;

        band->change[clamp(from, window->x, right) - window->x]++;
        band->change[clamp(to, window->x, right) - window->x]--;
        i += ends;
    }
    for (uint32_t x = 0; x < window->width; x++) {
        polygons += band->change[x];
        inside[x] = polygons > 0;
    }
}

static enum tl_code fill_band(struct band *band, struct arena *scratch, uint8_t *ret_inside,
                              struct tl_err *err)
{
    const struct area_window *window = band->window;

    size_t total = count_crossings(band);
    band->crossings = arena_alloc(scratch, total + 1, sizeof(*band->crossings));
    band->change = arena_alloc(scratch, window->width + (size_t)1, sizeof(*band->change));
    if (!band->crossings || !band->change)
        return tl_fail(err, TL_NOMEM, "no memory for %zu crossings of an area", total);
    find_crossings(band);
    for (uint32_t i = 0; i < band->end - band->row; i++)
        fill_row(band, band->crossings + band->start[i], band->start[i + 1] - band->start[i],
                 ret_inside + (size_t)(band->row + i - window->y) * window->width);
    return TL_OK;
}

enum tl_code area_fill(const struct area *area, const struct area_window *window,
                       struct arena *scratch, uint8_t *ret_inside, struct tl_err *err)
{
    uint32_t most = BAND_ROWS;

    for (uint32_t row = window->y; row < window->y + window->height;) {
        struct band band = band_at(area, window, row, most);
        struct arena_mark mark = arena_mark(scratch);

        enum tl_code code = fill_band(&band, scratch, ret_inside, err);
        arena_rewind(scratch, mark);
        TL_TRY(code);
        /* Where rows are crowded, not all are counted again for each few that are done. */
        most = TL_MIN(2 * (band.end - row), (uint32_t)BAND_ROWS);
        row = band.end;
    }
    return TL_OK;
}

/* ---- windows ---- */

static bool is_inside(const struct area *area, const struct area_window *window)
{
    double y = centre(window->y, window->level);
    uint32_t bin = bin_of(area, y), polygon = 0;
    bool inside = false;

    for (uint32_t i = area->bin_start[bin]; i < area->bin_start[bin + 1]; i++) {
        const struct area_edge *edge = &area->edges[area->listed[i]];

        if (inside && edge->polygon != polygon)
            return true;
        polygon = edge->polygon;
        if (edge->y0 <= y && y < edge->y1)
            inside ^= first_beyond(cross(edge, y), window->level) <= window->x;
    }
    return inside;
}

/* Where no edge comes near, one pixel speaks for all. */
bool area_touches(const struct area *area, const struct area_window *window)
{
    double left = ldexp(window->x, window->level), top = ldexp(window->y, window->level);
    double right = left + ldexp(window->width, window->level);
    double bottom = top + ldexp(window->height, window->level);
    uint32_t first = area->bin_start[bin_of(area, top)];
    uint32_t end = area->bin_start[bin_of(area, bottom) + 1];

    for (uint32_t i = first; i < end; i++) {
        const struct area_edge *edge = &area->edges[area->listed[i]];

        if (edge->y0 < bottom && edge->y1 > top && TL_MIN(edge->x0, edge->x1) < right &&
            TL_MAX(edge->x0, edge->x1) > left)
            return true;
    }
    return is_inside(area, window);
}
