/*
 * layer_prediction: a layer document, its open sources and its model become a prediction.
 * Private to tiler/.
 *
 * Threads  any
 * Memory   the prediction is the caller's and borrows the sources
 */
#ifndef TILTH_TILER_LAYER_PREDICTION_H
#define TILTH_TILER_LAYER_PREDICTION_H

#include "base/attr.h"
#include "base/err.h"

struct block_source;
struct layer_open;

/* `opened[i]` is source i of the document. TL_INVALID where document, sources and model do not
 * fit together, in the document's words. */
TL_MUST_CHECK enum tl_code layer_prediction_new(const struct layer_open *open,
                                                struct block_source *const *opened,
                                                struct block_source **ret_prediction,
                                                struct tl_err *err);

#endif
