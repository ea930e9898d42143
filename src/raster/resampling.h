/*
 * resampling: the ways in which pixels of one grid become pixels of another (warp.h), by the
 * names that GDAL gives them.
 *
 * Threads  any
 */
#ifndef TILTH_RASTER_RESAMPLING_H
#define TILTH_RASTER_RESAMPLING_H

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>

enum resampling {
    RESAMPLE_NEAREST,
    RESAMPLE_BILINEAR,
    RESAMPLE_CUBIC,
    RESAMPLE_AVERAGE,
    RESAMPLE_MODE,
    RESAMPLE_COUNT
};

const char *resampling_name(enum resampling resampling);
TL_MUST_CHECK enum tl_code resampling_find(const char *name, enum resampling *ret_resampling,
                                           struct tl_err *err);
/* Nearest and mode only ever return values that are in the source. */
bool resampling_keeps_values(enum resampling resampling);

#endif
