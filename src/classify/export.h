/*
 * export: a whole prediction as COGs, one per band that is wanted: every block of level 0, then
 * levels that are the exact mode of the one before - the pixels that tiles show. Blocks that are in
 * the cache are not classified again, and what is classified fills it.
 *
 * Threads  runs its own; the caller waits
 * Memory   some MiB per thread, however large the area
 * Units    pixels
 */
#ifndef TILTH_CLASSIFY_EXPORT_H
#define TILTH_CLASSIFY_EXPORT_H

#include "base/attr.h"
#include "base/err.h"

#include <stdint.h>

struct block_source;
struct errand;
struct model_class;
struct model_info;

struct export_request {
    struct block_source *prediction;
    const struct model_info *model;    /* which one it was is written into the file */
    const struct model_class *classes; /* values, names and colours of the file */
    uint32_t class_count;
    /* Per band of the prediction a file, NULL where none is written, and its name. Band 0 is a COG
     * of class values with the classes' colours, and is written; the others are of percents. */
    const char *const *paths;
    const char *const *names;
    unsigned threads; /* at least 1 */
};

struct export_result {
    uint64_t pixels[256]; /* per class value, CLASS_MASKED and CLASS_NODATA included */
};

/* No file is in its place before all are complete; TL_INVALID when two are to have one name. Stops
 * when the errand says so. */
TL_MUST_CHECK enum tl_code export_prediction(const struct export_request *request,
                                             struct errand *errand,
                                             struct export_result *ret_result, struct tl_err *err);

#endif
