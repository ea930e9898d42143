/*
 * layer: a named thing users ask tiles of: a stored raster or a prediction, with its
 * block sources, class list, styles and zooms. Read from a JSON document
 * (conf/layers/<id>.json; docs/layers.md); after STAC where it has a word.
 *
 * A *season* is a variant of a layer ("2024-25"): the same model and features over other
 * hrefs. Each season has block sources of its own, opened when first asked for.
 *
 * Threads  shared; opening is guarded inside
 * Memory   owned by the catalog
 */
#ifndef TILTH_TILER_LAYER_H
#define TILTH_TILER_LAYER_H

#include "base/attr.h"
#include "base/err.h"
#include "base/hash.h"
#include "geo/bbox.h"
#include "raster/raster.h"
#include "raster/warp.h"
#include "tiler/style.h"

#include <stdbool.h>
#include <stdint.h>

struct block_source;
struct cache;
struct catalog;
struct errand;
struct forest;
struct layer;

enum layer_kind { LAYER_RASTER, LAYER_PREDICTION };

/* One opened variant of a layer: what a render needs. */
struct layer_view {
    struct layer *layer;
    struct block_source *source;
    struct hash128 fingerprint; /* of the pixels; style is never part of it */
    uint32_t tiles_ns;          /* cache namespace of its tiles */
    bool classes;               /* samples are class values */
    enum resampling resampling; /* the default */
    /* Class layers: tile index <-> class value. Index 0 is "nothing here". */
    uint16_t index_count;
    uint8_t index_of[256];
    uint8_t value_of[256];
};

struct layer_info {
    const char *id, *title, *description, *attribution, *license;
    const char *role; /* "baseline", "prediction", "imagery": the API's "kind" */
    enum layer_kind kind;
    uint8_t min_zoom, native_zoom, max_zoom;
    uint32_t season_count;
    const char *const *seasons; /* labels; [0] is the default */
    uint32_t style_count;
    const struct style *const *styles; /* [0] is the default */
    bool synthetic;                    /* must be said wherever the layer is shown */
};

const struct layer_info *layer_info(const struct layer *layer);
/* NULL: the default season. `season` may be a label or a date inside one. Opens the sources
 * at the first call; a failure is not remembered longer than a second. */
TL_MUST_CHECK enum tl_code layer_view_get(struct layer *layer, const char *season,
                                          struct errand *errand, const struct layer_view **ret_view,
                                          struct tl_err *err);
/* Extent in longitude and latitude; needs an opened view. */
struct bbox layer_view_bounds(const struct layer_view *view);
/* The model of a prediction; NULL for a stored raster. */
const struct forest *layer_forest(const struct layer *layer);
const struct style *layer_style(const struct layer *layer, const char *id);

#endif
