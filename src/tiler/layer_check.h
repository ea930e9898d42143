/*
 * layer_check: what a layer reads, and whether it is there, before somebody asks for a tile.
 *
 * Threads  any; layer_try() blocks: on a worker
 */
#ifndef TILTH_TILER_LAYER_CHECK_H
#define TILTH_TILER_LAYER_CHECK_H

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct errand;
struct layer;

/* A file that a layer's document names. */
struct layer_file {
    const char *what;   /* "model", "aoi", or a source's id, "" in a stored raster */
    const char *season; /* of a source: label, "" when the layer has none; else NULL */
    const char *href;
    const char *path; /* of a file of this machine; NULL: a store has it */
};

/* The i-th file; false behind the last one. Sources come season by season. */
bool layer_file_at(const struct layer *layer, uint32_t i, struct layer_file *ret_file);
/*
 * Opens what a season (0 is the first or only one) is made of, as the first tile would, and closes
 * it again. Without `remote` the sources that a store has are left out, and where there are such,
 * what takes all of them: the features' bands and the grid. A failure is told to the operator
 * and remembered as one of layer_view_get() is.
 */
TL_MUST_CHECK enum tl_code layer_try(struct layer *layer, uint32_t season, bool remote,
                                     struct errand *errand, struct tl_err *err);
/* Whether it could not be opened when it was last tried, in whatever season. */
bool layer_is_closed(const struct layer *layer);

#endif
