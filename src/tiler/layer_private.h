/*
 * layer_private: what layer.c and catalog.c share: a layer from its document and what it
 * is opened with.
 */
#ifndef TILTH_TILER_LAYER_PRIVATE_H
#define TILTH_TILER_LAYER_PRIVATE_H

#include "base/attr.h"
#include "base/err.h"
#include "raster/raster.h"
#include "tiler/layer.h"

#include <stdint.h>

struct arena;
struct cache;
struct forest;
struct layer_doc;
struct listener;

/* Borrowed by every layer; outlives them. */
struct layer_env {
    struct raster_env raster;
    struct cache *cache; /* may be NULL */
    const struct raster_notes *notes;
    const char *model;        /* in place of the one that a document names; NULL */
    int64_t patience_ends_ns; /* until then a model is asked for again where a store fails */
    int64_t revalidate_ns;
    const struct listener *listener; /* may be NULL */
};

/*
 * Takes `doc`, its strings and the `styles` it names (all of them live in `arena`, which the
 * layer takes over on success). Loads and proves the model of a prediction.
 */
TL_MUST_CHECK enum tl_code layer_new(const struct layer_env *env, struct arena *arena,
                                     const struct layer_doc *doc, const struct style *const *styles,
                                     struct layer **ret_layer, struct tl_err *err);
void layer_free(struct layer *layer);

AUTO_DEFINE(layer, layer_free)

#endif
