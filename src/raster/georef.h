/*
 * georef: where a GeoTIFF lies, from its own tags: grid and EPSG code. What it cannot say
 * (a CRS without a code) GDAL is asked for once; what this reader does not draw (rotated
 * grids, control points) sends the file to GDAL for good.
 *
 * Threads  any, pure
 * Source   OGC GeoTIFF 1.1
 */
#ifndef TILTH_RASTER_GEOREF_H
#define TILTH_RASTER_GEOREF_H

#include "geo/affine.h"

#include <stdint.h>

struct tiff_ifd;

struct georef {
    struct affine affine; /* PixelIsPoint is shifted by half a pixel already */
    uint32_t epsg;        /* 0: the keys name no EPSG code */
};

/* NULL, or why this grid is not for the fast path: a sentence without a full stop. */
const char *georef_read(const struct tiff_ifd *ifd, struct georef *ret_georef);

#endif
