/* dtype: sample types of rasters, as TIFF and GDAL have them. */
#ifndef TILTH_RASTER_DTYPE_H
#define TILTH_RASTER_DTYPE_H

#include <stdbool.h>
#include <stddef.h>

enum dtype {
    DTYPE_U8,
    DTYPE_I8,
    DTYPE_U16,
    DTYPE_I16,
    DTYPE_U32,
    DTYPE_I32,
    DTYPE_F32,
    DTYPE_F64,
    DTYPE_COUNT
};

size_t dtype_size(enum dtype dtype);
const char *dtype_name(enum dtype dtype); /* "uint8", as numpy says it */
bool dtype_is_float(enum dtype dtype);
/* Sample `i` of an array, as double (exact for every type here). */
double dtype_get(enum dtype dtype, const void *samples, size_t i);

#endif
