/*
 * area_outline: polygons as they are written, before they lie on a grid.
 *
 * Memory   a plain value; what it points to is borrowed
 * Units    degrees: longitudes -180 to 180, latitudes -90 to 90
 */
#ifndef TILTH_GEO_AREA_OUTLINE_H
#define TILTH_GEO_AREA_OUTLINE_H

#include <stdint.h>

/* Of one area, as written; and edges, as followed onto a grid. */
#define AREA_MAX_POINTS 1000000

struct area_point {
    double lon, lat;
};

/* A closed ring: its last point is its first. */
struct area_ring {
    uint32_t polygon; /* rings of one polygon lie side by side */
    uint32_t first, count;
};

struct area_outline {
    uint32_t ring_count; /* at least 1 */
    const struct area_ring *rings;
    const struct area_point *points;
};

#endif
