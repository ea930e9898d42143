/*
 * layer: a named thing users ask tiles of: a stored raster or a prediction, with its
 * block sources, class list, styles and zooms. Read from a JSON document
 * (conf/layers/<id>.json; docs/layers.md); after STAC where it has a word.
 *
 * A *season* is a variant of a layer ("2024-25"): the same model and features over other
 * hrefs. Each season has block sources of its own, opened when first asked for.
 *
 * Threads  shared; opening is guarded inside
 * Memory   layers are owned by the catalog; a view is reference counted, so that a render
 *          goes on with the version it began with when the objects change under the layer
 */
#ifndef TILTH_TILER_LAYER_H
#define TILTH_TILER_LAYER_H

#include "base/attr.h"
#include "base/err.h"
#include "base/hash.h"
#include "geo/bbox.h"
#include "raster/resampling.h"
#include "tiler/style.h"

#include <stdbool.h>
#include <stdint.h>

struct block_source;
struct catalog;
struct errand;
struct forest;
struct model_class;
struct layer;

enum layer_kind { LAYER_RASTER, LAYER_PREDICTION };

/* One opened variant of a layer: what a render needs. Immutable. */
struct layer_view {
    struct layer *layer;
    struct block_source *source;
    struct hash128 fingerprint;    /* of the pixels; style is never part of it */
    uint32_t tiles_ns;             /* cache namespace of its class tiles (indexed PNG) */
    const uint32_t *style_ns;      /* per style of the layer: of tiles whose bytes hold colours */
    const char *season;            /* label, "" when the layer has none */
    bool classes;                  /* samples are class values, in the first band */
    uint16_t band_count;           /* of a stored raster: what the document names, or all */
    const uint16_t *bands;         /* where they are in the file, 0-based; NULL: in its order */
    const char *const *band_names; /* NULL: the file's */
    enum resampling resampling;    /* the default */
    uint64_t palette_hash;         /* of the default style's colours by tile index */
    struct bbox mercator;          /* extent in EPSG:3857, a little generous.. */
    struct bbox lonlat;            /* ..and in degrees; x may reach beyond half a turn */
    uint8_t native_zoom;           /* the zoom whose pixels are nearest to the layer's own */
    /* Class layers: tile index <-> class value. Index 0 is "nothing here". */
    uint16_t index_count;
    uint8_t index_of[256];
    uint8_t value_of[256];
};

/* A document's styles, one that is made of the model, and one per band of percents. */
#define LAYER_MAX_STYLES 98

struct layer_info {
    const char *id, *title, *description, *attribution, *license;
    const char *role; /* "baseline", "prediction", "imagery": the API's "kind" */
    enum layer_kind kind;
    uint8_t min_zoom, max_zoom;
    uint32_t season_count;
    const char *const *seasons; /* labels; [0] is the default */
    uint32_t style_count;
    const struct style *const *styles; /* [0] is the default */
    uint32_t band_count;               /* of a prediction */
    const char *const *bands;          /* "label", "confidence", "probability:maize" */
    bool synthetic;                    /* must be said wherever the layer is shown */
};

const struct layer_info *layer_info(const struct layer *layer);
/*
 * The view of a season: "" or NULL for the default, a label, or a date inside one
 * ("2025-01-15"). Opens the sources at the first call and checks their versions every
 * `revalidate`; a failure is remembered for a second, so that a storm of requests costs one
 * try. The caller gets one reference. TL_ABSENT for an unknown season, naming the known.
 */
TL_MUST_CHECK enum tl_code layer_view_get(struct layer *layer, const char *season,
                                          struct errand *errand, struct layer_view **ret_view,
                                          struct tl_err *err);
/*
 * The code of a failure that a layer's own document or sources caused: what would otherwise
 * be the client's fault (4xx) is the operator's, TL_CORRUPT or, when an object is not there,
 * TL_UPSTREAM.
 */
enum tl_code layer_fault(enum tl_code code);
/*
 * layer_view_get() without ever blocking: NULL when it has to be opened first. *ret_due is true
 * for one caller a second once the versions are to be checked: it has layer_view_get() called
 * on a worker, while everybody goes on with the view there is.
 */
struct layer_view *layer_view_peek(struct layer *layer, const char *season, bool *ret_due);
/* The objects changed under this view: the next layer_view_get() opens them again. */
void layer_view_expire(struct layer_view *view);
struct layer_view *layer_view_ref(struct layer_view *view);
void layer_view_unref(struct layer_view *view);
/* Band `i` of the layer as a band of its source, 0-based. */
uint16_t layer_view_band(const struct layer_view *view, uint16_t i);

/* The model of a prediction; NULL for a stored raster. */
const struct forest *layer_forest(const struct layer *layer);
/* What labels of a prediction mean, in the colours of its default style: the model's classes and
 * those of its post-processing. Returns how many, at most MODEL_MAX_CLASSES. */
uint32_t layer_classes(const struct layer *layer, struct model_class *ret_classes);
/* TL_ABSENT, naming the layer's styles; NULL or "" is the default style. */
TL_MUST_CHECK enum tl_code layer_style(const struct layer *layer, const char *id,
                                       const struct style **ret_style, struct tl_err *err);
/* The style that paints a band of a prediction, as info.bands or the class's name has it, or the
 * style of that id of a stored raster. TL_ABSENT, naming the bands and how one is added. */
TL_MUST_CHECK enum tl_code layer_band_style(const struct layer *layer, const char *name,
                                            const struct style **ret_style, struct tl_err *err);

AUTO_DEFINE(layer_view, layer_view_unref)

#endif
