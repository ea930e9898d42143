/*
 * layer_bands: the bands of a prediction and what they look like. Label and confidence are always
 * there; the document's "outputs" adds margin, entropy and probabilities. Private to tiler/.
 *
 * Threads  immutable
 * Memory   the caller's arena
 */
#ifndef TILTH_TILER_LAYER_BANDS_H
#define TILTH_TILER_LAYER_BANDS_H

#include "base/attr.h"
#include "base/err.h"

#include <stdint.h>

struct arena;
struct model_info;
struct layer_doc;
struct prediction_band;
struct style;

struct layer_bands {
    uint32_t count;
    const struct prediction_band *bands; /* [0] label, [1] confidence */
    const char *const *names;
    const struct style *styles; /* of every band from confidence on: count - 1 */
};

/* TL_INVALID where "outputs" wants what the model has not, or the same twice; TL_LIMIT. */
TL_MUST_CHECK enum tl_code layer_bands_make(const struct layer_doc *doc,
                                            const struct model_info *model, struct arena *arena,
                                            struct layer_bands *ret_bands, struct tl_err *err);

#endif
