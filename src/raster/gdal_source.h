/*
 * gdal_source: the second path. Whatever GDAL reads and the fast path does not admit -
 * strips, odd sample layouts, JPEG 2000 - shown as a pyramid of virtual blocks of
 * 512 x 512 pixels on a north-up grid. Only drivers that read one self-contained file are
 * allowed: nothing here may open a second file or a connection of its own.
 *
 * Threads  any; a source opens up to GDAL_HANDLES_MAX datasets and lends them out
 * Memory   block_source_free() closes them
 */
#ifndef TILTH_RASTER_GDAL_SOURCE_H
#define TILTH_RASTER_GDAL_SOURCE_H

#include "base/attr.h"
#include "base/err.h"
#include "raster/raster.h"

struct block_source;
struct crs;
struct errand;
struct object;

enum { GDAL_HANDLES_MAX = 8, GDAL_BLOCK_SIZE = 512 };

/* A strip or block that GDAL would decode in one piece, in bytes. */
#define GDAL_NATIVE_BLOCK_MAX (512ull << 20)

/* `reason`: why not the fast path; copied into the source's info. */
TL_MUST_CHECK enum tl_code gdal_source_open(const struct raster_env *env, struct object *object,
                                            const char *reason, struct errand *errand,
                                            struct block_source **ret_source, struct tl_err *err);

/* Just the CRS, for a file that the fast path reads but whose CRS has no EPSG code. */
TL_MUST_CHECK enum tl_code gdal_read_crs(struct object *object, struct errand *errand,
                                         struct crs **ret_crs, struct tl_err *err);

#endif
