/*
 * area: polygons on a grid, as the pixels whose centres they hold.
 *
 * A centre is in a polygon by the even-odd rule over all of its rings (so a ring in a ring is a
 * hole), and in the area when it is in one of the polygons. A centre right on an edge belongs to
 * what lies to the right of the edge, and on a horizontal edge to what lies below: polygons that
 * share their vertices share no pixel and leave none out between them.
 *
 * Edges are straight in longitude and latitude, as GeoJSON says; they are followed onto the grid
 * until what is straight there is less than 1/16 of a pixel off.
 *
 * Threads  an area is immutable and shared
 * Memory   area_new() / area_ref() / area_unref()
 * Units    degrees; pixels of the grid, and of its halvings
 */
#ifndef TILTH_GEO_AREA_H
#define TILTH_GEO_AREA_H

#include "base/attr.h"
#include "base/err.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct area;
struct area_outline;
struct arena;
struct grid;

/*
 * On level 0 of a grid, wherever that goes round the Earth. TL_INVALID: an edge of more than 180
 * degrees, or no pixel near; TL_UNSUPPORTED: a point that the grid's projection does not know;
 * TL_LIMIT: more than AREA_MAX_POINTS edges on the grid. O(points x log of their spacing).
 */
TL_MUST_CHECK enum tl_code area_new(const struct area_outline *outline, const struct grid *grid,
                                    struct area **ret_area, struct tl_err *err);
struct area *area_ref(struct area *area);
void area_unref(struct area *area);

/* Of the outline; the grid is not in it. */
struct hash128 area_fingerprint(const struct area *area);

/* Pixels of a level: one of level k is 2^k x 2^k of the grid's. */
struct area_window {
    uint8_t level;
    uint32_t x, y, width, height;
};

/*
 * 1 or 0 for each pixel, row by row: the same for a pixel in whatever window. Costs the edges in
 * the window's rows and its pixels. `scratch` is left as it was.
 */
TL_MUST_CHECK enum tl_code area_fill(const struct area *area, const struct area_window *window,
                                     struct arena *scratch, uint8_t *ret_inside,
                                     struct tl_err *err);
/* Whether some centre of a window may be inside; false is certain. Costs the edges in its rows. */
bool area_touches(const struct area *area, const struct area_window *window);

AUTO_DEFINE(area, area_unref)

#endif
