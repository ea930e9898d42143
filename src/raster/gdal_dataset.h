/*
 * gdal_dataset: one opened GDAL dataset over an object of the store, and what GDAL says
 * about its place on earth. Messages of GDAL go into our errors, never to standard error.
 *
 * Threads  one at a time
 * Memory   gdal_dataset_open() / gdal_dataset_close()
 */
#ifndef TILTH_RASTER_GDAL_DATASET_H
#define TILTH_RASTER_GDAL_DATASET_H

#include "base/attr.h"
#include "base/err.h"

#include <gdal.h>

struct crs;
struct errand;
struct gdal_file;
struct object;

/* Before the first call into GDAL; costs nothing after it. */
void gdal_set_up(void);

struct gdal_dataset {
    struct gdal_file *file;
    GDALDatasetH gdal;
    struct gdal_dataset *next; /* in its owner's list */
};

TL_MUST_CHECK enum tl_code gdal_dataset_open(struct object *object, struct errand *errand,
                                             struct gdal_dataset **ret_dataset, struct tl_err *err);
void gdal_dataset_close(struct gdal_dataset *dataset);

/* Around every group of calls into GDAL that may read. */
void gdal_begin(struct gdal_dataset *dataset, struct errand *errand);
/*
 * TL_OK when `fine`; else the store's failure, if that was the cause, or `code` with GDAL's
 * own words after `what`.
 */
enum tl_code gdal_end(struct gdal_dataset *dataset, bool fine, enum tl_code code, const char *what,
                      struct tl_err *err);

TL_MUST_CHECK enum tl_code gdal_dataset_crs(struct gdal_dataset *dataset, struct crs **ret_crs,
                                            struct tl_err *err);

AUTO_DEFINE(gdal_dataset, gdal_dataset_close)

#endif
