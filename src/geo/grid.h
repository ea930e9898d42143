/*
 * grid: rows and columns of pixels somewhere on Earth.
 *
 * Memory   plain values; the crs is borrowed
 * Units    pixels; the affine's are those of the crs
 */
#ifndef TILTH_GEO_GRID_H
#define TILTH_GEO_GRID_H

#include "geo/affine.h"

#include <stdint.h>

struct crs;

struct grid {
    const struct crs *crs;
    struct affine affine;
    uint32_t width, height;
};

#endif
