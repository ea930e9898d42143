/*
 * warp_map: where the pixels of a target grid lie on a level of a pyramid, in the level's
 * own pixels (column 0.5 is the middle of the first one).
 *
 *   separable   target and source are the same CRS, or both have a closed form: a column of
 *               the target is a column of the source, and width + height numbers say it all
 *   patches     anything else: the target is cut into rectangles inside which a quadratic
 *               surface through 3 x 3 points is within WARP_MAP_TOLERANCE_PX of PROJ, tested
 *               between them; where no rectangle of WARP_MAP_SMALLEST_PX is good enough (a
 *               singularity, the antimeridian) every point is asked for
 *
 * Threads  one
 * Memory   the arena's
 * Units    pixels
 */
#ifndef TILTH_RASTER_WARP_MAP_H
#define TILTH_RASTER_WARP_MAP_H

#include "base/attr.h"
#include "base/err.h"
#include "raster/block.h"
#include "raster/warp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Far below the 0.05 px that a picture needs: a nearest pick goes to another pixel with the
 * probability of the error in x plus that in y, and at most 1 in 5000 may.
 */
#define WARP_MAP_TOLERANCE_PX 0.0002
#define WARP_MAP_SMALLEST_PX  4

struct arena;
struct crs_map;
struct errand;

/* Where in its pixel a target pixel is looked up. */
enum warp_sample {
    SAMPLE_CENTRES, /* width x height points */
    SAMPLE_CORNERS  /* (width + 1) x (height + 1): areas lie between them */
};

/*
 * A rectangle of target pixels [x0, x1] x [y0, y1] and the image of 3 x 3 points of it:
 * its corners, the middles of its sides and its middle, row by row.
 */
struct warp_patch {
    uint32_t x0, y0, x1, y1;
    bool exact; /* ask PROJ; the nodes say nothing */
    double col[9], row[9];
};

struct warp_span {
    double lo, hi;
};

struct warp_map {
    uint32_t columns, rows;  /* points, not pixels */
    uint32_t width, height;  /* of the target */
    double offset;           /* 0.5: centres, 0: corners */
    double scale_x, scale_y; /* source pixels per target pixel, at the middle; > 0 */
    /* Separable: where each target pixel begins and ends (the same for centres); not finite
     * where there is no image. */
    struct warp_span *col, *row;
    /* Else: patches ordered by y0, and the way to ask PROJ. */
    struct warp_patch *patches;
    size_t patch_count;
    struct crs_map *crs_map;
    struct affine target, level;
};

/* From which grid to which level, and what of each pixel. */
struct warp_map_spec {
    const struct grid *target;
    const struct pyramid *pyramid;
    uint8_t level;
    enum warp_sample sample;
};

TL_MUST_CHECK enum tl_code warp_map_new(const struct warp_map_spec *spec,
                                        const struct errand *errand, struct arena *arena,
                                        struct warp_map **ret_map, struct tl_err *err);

/*
 * How many level 0 pixels a target pixel is wide: the side of a square of the same area, at
 * the target's middle. 0 when the target has no image on the source.
 */
TL_MUST_CHECK enum tl_code warp_map_ratio(const struct grid *target, const struct pyramid *pyramid,
                                          double *ret_ratio, struct tl_err *err);

/* Where points of the target lie on the level; not finite: nowhere. */
struct warp_points {
    double *col, *row;
};

/* Walks the rows of a map that is not separable, downwards. */
struct warp_cursor {
    const struct warp_map *map;
    size_t next;    /* first patch that has not begun */
    size_t *active; /* patches that the row crosses */
    size_t active_count;
};

/* NULL when memory is out. */
struct warp_cursor *warp_cursor_new(const struct warp_map *map, struct arena *arena);
/* The map->columns points of one row; `row` rises from call to call. */
void warp_cursor_row(struct warp_cursor *cursor, uint32_t row, struct warp_points *points);

/* The columns [0] to [1] - 1 and rows of points that a patch answers for. */
void warp_patch_points(const struct warp_map *map, const struct warp_patch *patch,
                       uint32_t ret_columns[2], uint32_t ret_rows[2]);

/* Low and high column, low and high row: where a rectangle of target pixels lies. */
struct warp_bounds {
    double col0, col1, row0, row1;
};

/* Holds every point of `patch` in [x0, x1] x [y0, y1] (target pixels); not an exact one's. */
struct warp_bounds warp_patch_bounds(const struct warp_patch *patch, const double x[2],
                                     const double y[2]);
/* The points of an exact patch, row by row: (x1 - x0 + 1) x (y1 - y0 + 1) corners at most. */
#define WARP_EXACT_POINTS ((WARP_MAP_SMALLEST_PX + 1) * (WARP_MAP_SMALLEST_PX + 1))
void warp_exact_points(const struct warp_map *map, const struct warp_patch *patch,
                       struct warp_points *points);

/*
 * A target pixel whose corners land this much further apart than at the target's middle lies
 * across a tear of the map (the far side of the world in UTM): what is between the corners on
 * the source is not what is between them on the target.
 */
static inline bool warp_is_torn(const struct warp_map *map, struct warp_span x, struct warp_span y)
{
    return !(x.hi - x.lo <= 64 * (map->scale_x + 1) && y.hi - y.lo <= 64 * (map->scale_y + 1));
}

#endif
