/*
 * Rings become edges. Each edge is halved in longitude and latitude until the middle of it lies
 * where the middle of its straight image is. Halves are the same from either end, so that two
 * polygons that share an edge get the same numbers, whichever way round they go.
 */
#include "base/buf.h"
#include "geo/area_impl.h"
#include "geo/area_outline.h"
#include "geo/crs.h"
#include "geo/grid.h"

#include <math.h>

/* Of the middle, in pixels; an arc bends little more elsewhere, and 1/16 is promised. */
#define MIDDLE_ERROR (1.0 / 32)
/* A projection may swing back within a longer piece, and the middle would not tell. Degrees. */
#define LONGEST 1.0
/* A degree halved so often is half a millimetre. */
enum { DEEPEST = 28 };

struct vertex {
    struct area_point at;
    double x, y; /* of the grid's crs */
};

/* A polygon on its way, in units of the crs. */
struct tracing {
    const struct grid *grid;
    struct crs_map *map;
    uint32_t polygon;
    struct buf piece; /* struct area_edge */
};

static size_t edge_count(const struct buf *edges)
{
    return edges->size / sizeof(struct area_edge);
}

static enum tl_code place(const struct tracing *t, struct area_point at, struct vertex *ret,
                          struct tl_err *err)
{
    struct vertex v = {at, at.lon, at.lat};

    crs_map_points(t->map, &v.x, &v.y, 1);
    if (!isfinite(v.x) || !isfinite(v.y))
        return tl_fail(err, TL_UNSUPPORTED,
                       "the area's edges pass %.9g, %.9g, which %.80s has no place for; cut them "
                       "back to near the grid",
                       at.lon, at.lat, crs_name(t->grid->crs));
    *ret = v;
    return TL_OK;
}

static enum tl_code add_edge(struct tracing *t, const struct vertex *a, const struct vertex *b,
                             struct tl_err *err)
{
    const struct area_edge edge = {a->x, a->y, b->x, b->y, t->polygon};

    if (edge_count(&t->piece) >= AREA_MAX_POINTS)
        return tl_fail(err, TL_LIMIT,
                       "the area's edges bend into more than %d pieces on this grid; take a "
                       "simpler outline, or one that ends near the grid",
                       AREA_MAX_POINTS);
    buf_append(&t->piece, &edge, sizeof(edge));
    return buf_failed(&t->piece) ? tl_fail(err, TL_NOMEM, "no memory for an area") : TL_OK;
}

static bool is_straight(const struct tracing *t, const struct vertex *a, const struct vertex *m,
                        const struct vertex *b)
{
    struct affine affine = t->grid->affine;

    return fabs(m->x - (a->x + b->x) / 2) < MIDDLE_ERROR * affine.dx &&
           fabs(m->y - (a->y + b->y) / 2) < MIDDLE_ERROR * affine.dy &&
           fabs(b->at.lon - a->at.lon) <= LONGEST && fabs(b->at.lat - a->at.lat) <= LONGEST;
}

static enum tl_code follow(struct tracing *t, const struct vertex *a, const struct vertex *b,
                           int depth, struct tl_err *err)
{
    struct area_point middle = {(a->at.lon + b->at.lon) / 2, (a->at.lat + b->at.lat) / 2};
    struct vertex m;

    TL_TRY(place(t, middle, &m, err));
    if (is_straight(t, a, &m, b))
        return add_edge(t, a, b, err);
    if (depth == 0)
        return tl_fail(err, TL_UNSUPPORTED,
                       "the area's edges are torn apart at %.9g, %.9g by %.80s; cut them there",
                       middle.lon, middle.lat, crs_name(t->grid->crs));
    TL_TRY(follow(t, a, &m, depth - 1, err));
    return follow(t, &m, b, depth - 1, err);
}

static enum tl_code trace_edge(struct tracing *t, struct area_point p, struct area_point q,
                               struct tl_err *err)
{
    struct vertex a, b;

    if (p.lon == q.lon && p.lat == q.lat)
        return TL_OK;
    if (fabs(p.lon - q.lon) > 180)
        return tl_fail(err, TL_INVALID,
                       "an edge of the area goes from longitude %.9g to %.9g: cut it where it "
                       "crosses the antimeridian (RFC 7946, 3.1.9), or put points between",
                       p.lon, q.lon);
    TL_TRY(place(t, p, &a, err));
    TL_TRY(place(t, q, &b, err));
    return follow(t, &a, &b, DEEPEST, err);
}

/* Appends the piece, moved `shift` to the east, as it lies on the grid. */
static void lay_down(const struct tracing *t, double shift, struct buf *edges)
{
    const struct area_edge *piece = (const struct area_edge *)(const void *)t->piece.bytes;
    double width = t->grid->width, height = t->grid->height;
    struct affine a = t->grid->affine;
    size_t before = edges->size;
    bool west = false, east = false; /* of the grid's other side, in its rows */

    for (size_t i = 0; i < edge_count(&t->piece); i++) {
        struct area_edge e = piece[i];
        struct area_edge to = {affine_col(a, e.x0 + shift), affine_row(a, e.y0),
                               affine_col(a, e.x1 + shift), affine_row(a, e.y1), e.polygon};

        if (to.y0 > to.y1)
            to = (struct area_edge){to.x1, to.y1, to.x0, to.y0, e.polygon};
        bool beside = to.y0 < height && to.y1 > 0;
        west |= beside && TL_MIN(to.x0, to.x1) < width;
        east |= beside && TL_MAX(to.x0, to.x1) > 0;
        /* Coarser levels have a pixel that begins in the grid and has its centre beyond. What is
         * to the right of all pixels is crossed by nobody who counts from the left. */
        if (to.y0 != to.y1 && to.y1 > 0 && to.y0 < 2 * height && TL_MIN(to.x0, to.x1) < 2 * width)
            buf_append(edges, &to, sizeof(to));
    }
    if (!(west && east) && !buf_failed(edges))
        edges->size = before;
}

/* Once, or where the grid goes round the Earth wherever it may meet the polygon. */
static enum tl_code lay_all(struct tracing *t, uint32_t *polygons, struct buf *edges,
                            struct tl_err *err)
{
    double period = crs_period_x(t->grid->crs);
    struct area_edge *piece = (struct area_edge *)(void *)t->piece.bytes;

    for (int turn = period > 0 ? -1 : 0; turn <= (period > 0 ? 1 : 0); turn++) {
        for (size_t i = 0; i < edge_count(&t->piece); i++)
            piece[i].polygon = *polygons;
        (*polygons)++;
        lay_down(t, turn * period, edges);
    }
    if (buf_failed(edges))
        return tl_fail(err, TL_NOMEM, "no memory for an area");
    if (edge_count(edges) > AREA_MAX_POINTS)
        return tl_fail(err, TL_LIMIT,
                       "the area has more than %d edges on this grid; take a simpler outline",
                       AREA_MAX_POINTS);
    buf_clear(&t->piece);
    return TL_OK;
}

static enum tl_code trace_rings(struct tracing *t, const struct area_outline *outline,
                                struct buf *edges, struct tl_err *err)
{
    uint32_t polygons = 0;

    for (uint32_t r = 0; r < outline->ring_count; r++) {
        const struct area_ring *ring = &outline->rings[r];
        const struct area_point *points = outline->points + ring->first;

        for (uint32_t i = 0; i + 1 < ring->count; i++)
            TL_TRY(trace_edge(t, points[i], points[i + 1], err));
        if (r + 1 == outline->ring_count || ring[1].polygon != ring->polygon)
            TL_TRY(lay_all(t, &polygons, edges, err));
    }
    return TL_OK;
}

enum tl_code area_trace(const struct area_outline *outline, const struct grid *grid,
                        struct buf *edges, struct tl_err *err)
{
    AUTO(crs) degrees = NULL;
    struct tracing t = {.grid = grid};

    TL_TRY(crs_new("OGC:CRS84", &degrees, err));
    TL_TRY(crs_map_get(degrees, grid->crs, &t.map, err));
    enum tl_code code = trace_rings(&t, outline, edges, err);
    buf_release(&t.piece);
    return code;
}
