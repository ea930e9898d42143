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

struct arena;
struct block_source;
struct feature_fill;
struct model_info;
struct layer_doc;
struct layer_open;

/* Of each feature of the model, in its order. */
struct layer_features {
    const char *const *texts;
    const struct feature_fill *fills;
};

/*
 * All that can be known of a prediction before a source is opened: the expressions of the
 * document in the order of the model's features. TL_INVALID where document and model do not fit
 * together, or the grid's coordinate system does not exist.
 */
TL_MUST_CHECK enum tl_code layer_prediction_prepare(const struct layer_doc *doc,
                                                    const struct model_info *model,
                                                    struct arena *arena,
                                                    struct layer_features *ret_features,
                                                    struct tl_err *err);

/* `opened[i]` is source i of the document. TL_INVALID where document, sources and model do not
 * fit together, in the document's words. */
TL_MUST_CHECK enum tl_code layer_prediction_new(const struct layer_open *open,
                                                struct block_source *const *opened,
                                                struct block_source **ret_prediction,
                                                struct tl_err *err);

#endif
