/*
 * layer_model: the model of a prediction, loaded and proved, and what its layer makes of it; and
 * the area of interest, which is read at the same time.
 * Private to tiler/.
 *
 * Threads  waits for the store: at start
 * Memory   the forest is the caller's reference, the rest is in its arena
 */
#ifndef TILTH_TILER_LAYER_MODEL_H
#define TILTH_TILER_LAYER_MODEL_H

#include "tiler/layer_bands.h"

struct area_outline;
struct forest;
struct layer_env;
struct layer_features;
struct model_info;
struct post;

/* Grey: what the model does not dare to say. */
#define UNSURE_RGB 0x9E9E9Eu

struct layer_model {
    struct forest *forest;
    const struct layer_features *features; /* an expression for each of its features */
    struct layer_bands bands;
    const struct area_outline *aoi; /* the document's own, or what its href has; NULL: none */
};

/* Asks a store that fails again while the env's patience lasts. */
TL_MUST_CHECK enum tl_code layer_model_load(const struct layer_env *env,
                                            const struct layer_doc *doc, struct arena *arena,
                                            struct layer_model *ret_model, struct tl_err *err);
/* In the model's own colours: of a layer that names no style. */
void layer_model_style(const struct model_info *model, const struct post *post, struct style *ret);

#endif
