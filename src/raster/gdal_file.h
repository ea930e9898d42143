/*
 * gdal_file: an object of the store as a file that GDAL can open: "/vsitilth/17/name.tif".
 * Reads go through the store's page cache, with If-Match and all, so that GDAL never sees
 * bytes of two versions. Nothing else exists under the prefix: a file that names another
 * file does not get it.
 *
 * Threads  one file, one thread at a time; GDAL knows the prefix process-wide
 * Memory   gdal_file_new() / gdal_file_free(), after GDAL has closed it
 */
#ifndef TILTH_RASTER_GDAL_FILE_H
#define TILTH_RASTER_GDAL_FILE_H

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>

struct errand;
struct gdal_file;
struct object;

TL_MUST_CHECK enum tl_code gdal_file_new(struct object *object, struct gdal_file **ret_file,
                                         struct tl_err *err);
void gdal_file_free(struct gdal_file *file);

struct object *gdal_file_object(const struct gdal_file *file); /* borrowed */
/* What GDAL is told to open. */
const char *gdal_file_path(const struct gdal_file *file);

/* For whom the next calls of GDAL read; NULL after them. Forgets an earlier failure. */
void gdal_file_run_for(struct gdal_file *file, struct errand *errand);
/* The first failure of the store since then, which is the reason of GDAL's; TL_OK: none. */
TL_MUST_CHECK enum tl_code gdal_file_failure(const struct gdal_file *file, struct tl_err *err);

AUTO_DEFINE(gdal_file, gdal_file_free)

#endif
