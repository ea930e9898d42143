#include "tiler/layer_open.h"

#include "base/arena.h"
#include "base/errand.h"
#include "cache/cache.h"
#include "classify/forest.h"
#include "classify/prediction.h"
#include "geo/crs.h"
#include "tiler/layer.h"
#include "tiler/layer_doc.h"
#include "tiler/layer_private.h"
#include "tiler/render.h"

#include <math.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Part of every tile's key. Raise it when the same input gives other pixels than before. */
#define RENDER_EPOCH 1

/* Half the side of the square that EPSG:3857 maps the world to, metres. */
#define MERCATOR_HALF 20037508.342789244

/* What a reference counted view owns besides what others may see. */
struct owned_view {
    struct layer_view view;
    atomic_uint refs;
    struct block_source *prediction; /* NULL in a raster layer */
    uint32_t source_count;
    struct block_source *sources[DOC_MAX_SOURCES];
    uint32_t style_ns[DOC_MAX_STYLES];
};

static struct owned_view *owned(struct layer_view *view)
{
    return (struct owned_view *)view; /* `view` is the first member */
}

struct layer_view *layer_view_ref(struct layer_view *view)
{
    atomic_fetch_add_explicit(&owned(view)->refs, 1, memory_order_relaxed);
    return view;
}

void layer_view_unref(struct layer_view *view)
{
    if (!view)
        return;
    struct owned_view *own = owned(view);
    if (atomic_fetch_sub_explicit(&own->refs, 1, memory_order_acq_rel) != 1)
        return;
    block_source_free(own->prediction);
    for (uint32_t i = 0; i < own->source_count; i++)
        block_source_free(own->sources[i]);
    free(own);
}

enum tl_code layer_view_check(struct layer_view *view, struct errand *errand)
{
    struct owned_view *own = owned(view);
    struct tl_err ignored;

    for (uint32_t i = 0; i < own->source_count; i++) {
        enum tl_code code = raster_revalidate(own->sources[i], errand, &ignored);

        if (code != TL_OK)
            return code;
    }
    return TL_OK;
}

static const char *season_href(const struct layer_open *open, uint32_t source)
{
    const struct layer_doc *doc = open->doc;

    if (doc->season_count > 0 && doc->seasons[open->season].hrefs[source])
        return doc->seasons[open->season].hrefs[source];
    return doc->sources[source].href;
}

static enum tl_code open_sources(const struct layer_open *open, struct owned_view *own,
                                 struct errand *errand, struct tl_err *err)
{
    const struct layer_doc *doc = open->doc;

    for (uint32_t i = 0; i < doc->source_count; i++) {
        bool is_classes = doc->kind == LAYER_RASTER ? doc->classes : doc->mask_source == (int)i;
        const struct raster_options options = {
            .s3 = doc->sources[i].has_s3 ? &doc->sources[i].s3 : NULL, .classes = is_classes};

        TL_TRY(raster_open(&open->env->raster, season_href(open, i), &options, errand,
                           &own->sources[i], err));
        own->source_count = i + 1;
    }
    return TL_OK;
}

/* The expressions of the document in the order of the model's features. */
static enum tl_code order_features(const struct layer_open *open, struct arena *scratch,
                                   const char *const **ret_features, struct tl_err *err)
{
    const struct forest_info *model = forest_info(open->forest);
    const struct layer_doc *doc = open->doc;
    const char **features = arena_zalloc(scratch, model->feature_count, sizeof(*features));
    uint32_t used = 0;

    if (!features)
        return tl_fail(err, TL_NOMEM, "no memory for %u features", model->feature_count);
    for (uint32_t f = 0; f < model->feature_count; f++) {
        for (uint32_t i = 0; i < doc->feature_count && !features[f]; i++)
            if (strcmp(doc->feature_names[i], model->features[f]) == 0)
                features[f] = doc->feature_texts[i];
        if (!features[f])
            return tl_fail(err, TL_INVALID,
                           "the model wants the feature \"%s\" and \"features\" has "
                           "no expression for it",
                           model->features[f]);
        used++;
    }
    if (used != doc->feature_count)
        return tl_fail(err, TL_INVALID,
                       "\"features\" has %u expressions and the model %u features; "
                       "leave out what it does not know",
                       doc->feature_count, used);
    *ret_features = features;
    return TL_OK;
}

/* A document without band names calls them b1, b2, ... */
static enum tl_code name_bands(const struct pyramid *pyramid, struct arena *scratch,
                               struct prediction_source *to, struct tl_err *err)
{
    const char **names = arena_alloc(scratch, pyramid->bands, sizeof(*names));
    uint16_t *index = arena_alloc(scratch, pyramid->bands, sizeof(*index));

    if (!names || !index)
        return tl_fail(err, TL_NOMEM, "no memory for %u band names", pyramid->bands);
    for (uint16_t b = 0; b < pyramid->bands; b++) {
        index[b] = b;
        names[b] = arena_printf(scratch, "b%u", b + 1u);
        if (!names[b])
            return tl_fail(err, TL_NOMEM, "no memory for band names");
    }
    to->band_count = pyramid->bands;
    to->band_names = names;
    to->band_index = index;
    return TL_OK;
}

static enum tl_code check_bands(const struct doc_source *from, const struct block_source *source,
                                struct tl_err *err)
{
    for (uint16_t i = 0; i < from->band_count; i++)
        if (from->band_index[i] >= source->pyramid->bands)
            return tl_fail(err, TL_INVALID, "band %u (\"%s\") is wanted and %s has %u",
                           from->band_index[i] + 1u, from->band_names[i], from->href,
                           source->pyramid->bands);
    return TL_OK;
}

static enum tl_code bind_source(const struct doc_source *from, struct block_source *source,
                                struct arena *scratch, struct prediction_source *to,
                                struct tl_err *err)
{
    *to = (struct prediction_source){.id = from->id,
                                     .source = source,
                                     .resampling = from->resampling,
                                     .band_count = from->band_count,
                                     .band_names = from->band_names,
                                     .band_index = from->band_index};
    TL_TRY(check_bands(from, source, err));
    return from->band_count ? TL_OK : name_bands(source->pyramid, scratch, to, err);
}

static struct grid layer_grid(const struct layer_doc *doc, struct block_source *const *sources,
                              const struct crs *crs)
{
    if (doc->grid_like < 0)
        return (struct grid){.crs = crs,
                             .affine = {doc->grid_x, doc->grid_y, doc->grid_res, doc->grid_res},
                             .width = doc->grid_width,
                             .height = doc->grid_height};
    const struct pyramid *like = sources[doc->grid_like]->pyramid;
    return (struct grid){.crs = like->crs,
                         .affine = like->levels[0].affine,
                         .width = like->levels[0].width,
                         .height = like->levels[0].height};
}

static enum tl_code open_prediction(const struct layer_open *open, struct owned_view *own,
                                    struct tl_err *err)
{
    const struct layer_doc *doc = open->doc;
    const struct prediction_env env = {.pool = open->env->raster.pool, .cache = open->env->cache};
    struct prediction_source sources[DOC_MAX_SOURCES];
    AUTO(arena) scratch = arena_new();
    AUTO(crs) crs = NULL;
    struct prediction_spec spec = {.id = doc->id,
                                   .forest = open->forest,
                                   .source_count = doc->source_count,
                                   .sources = sources,
                                   .majority = doc->majority,
                                   .policy = doc->policy,
                                   .budget_blocks = doc->budget_blocks};

    if (!scratch)
        return tl_fail(err, TL_NOMEM, "no memory to open a prediction");
    if (doc->grid_like < 0)
        TL_TRY(crs_new(doc->grid_crs, &crs, err));
    for (uint32_t i = 0; i < doc->source_count; i++)
        TL_TRY(bind_source(&doc->sources[i], own->sources[i], scratch, &sources[i], err));
    spec.grid = layer_grid(doc, own->sources, crs);
    TL_TRY(order_features(open, scratch, &spec.features, err));
    if (doc->mask_source >= 0) {
        spec.mask.source = own->sources[doc->mask_source];
        spec.mask.band = doc->mask_band;
        memcpy(spec.mask.keep, doc->mask_keep, sizeof(spec.mask.keep));
    }
    return prediction_new(&env, &spec, &own->prediction, err);
}

/* A grid of points over level 0, its edges included. */
enum { STEPS = 32 };

static void widen(struct bbox *box, double x, double y)
{
    box->xmin = fmin(box->xmin, x);
    box->xmax = fmax(box->xmax, x);
    box->ymin = fmin(box->ymin, y);
    box->ymax = fmax(box->ymax, y);
}

/* Full turns that bring x within half a turn of `near`: a row of points is not torn at 180. */
static double unwind(double x, double near, double half)
{
    return x - 2 * half * round((x - near) / (2 * half));
}

static bool has_pole(const struct pyramid *pyramid, struct crs_map *from_lonlat, double latitude)
{
    const struct pyramid_level *full = &pyramid->levels[0];
    double x = 0, y = latitude;

    crs_map_points(from_lonlat, &x, &y, 1);
    double col = affine_col(full->affine, x), row = affine_row(full->affine, y);
    return col >= 0 && row >= 0 && col <= full->width && row <= full->height;
}

/*
 * The extent of level 0 in another CRS whose x comes round after 2 x `half`: of a grid of points,
 * a hundredth wider for what bulges between them. xmin..xmax may reach beyond +-half. Where
 * points have no image nobody knows better than the whole world. O(STEPS^2) points.
 */
static enum tl_code extent_in(const struct pyramid *pyramid, const char *definition, double half,
                              struct bbox *ret_box, struct tl_err *err)
{
    const struct pyramid_level *full = &pyramid->levels[0];
    const struct bbox world = {-half, -half, half, half};
    struct bbox box = {HUGE_VAL, HUGE_VAL, -HUGE_VAL, -HUGE_VAL};
    double first = 0, near = 0;
    AUTO(crs) crs = NULL;
    struct crs_map *map;

    TL_TRY(crs_new(definition, &crs, err));
    TL_TRY(crs_map_get(pyramid->crs, crs, &map, err));
    for (int i = 0; i < (STEPS + 1) * (STEPS + 1); i++) {
        int column = i % (STEPS + 1), row = i / (STEPS + 1);
        double x = affine_x(full->affine, (double)full->width * column / STEPS);
        double y = affine_y(full->affine, (double)full->height * row / STEPS);

        crs_map_points(map, &x, &y, 1);
        if (!isfinite(x) || !isfinite(y)) {
            *ret_box = world;
            return TL_OK;
        }
        if (i > 0 && !crs_map_separable(map))
            x = unwind(x, column ? near : first, half);
        near = x;
        first = column ? first : x;
        widen(&box, x, y);
    }
    double share = crs_map_separable(map) ? 0 : 0.01; /* straight edges do not bulge */
    double bulge_x = (box.xmax - box.xmin) * share, bulge_y = (box.ymax - box.ymin) * share;
    *ret_box = (struct bbox){box.xmin - bulge_x, box.ymin - bulge_y, box.xmax + bulge_x,
                             box.ymax + bulge_y};
    return TL_OK;
}

/* A pole is at every longitude, and infinitely far away in Mercator. */
static enum tl_code reach_poles(struct layer_view *view, struct tl_err *err)
{
    const struct pyramid *pyramid = view->source->pyramid;
    AUTO(crs) lonlat = NULL;
    struct crs_map *map;

    TL_TRY(crs_new("EPSG:4326", &lonlat, err));
    TL_TRY(crs_map_get(lonlat, pyramid->crs, &map, err));
    bool north = has_pole(pyramid, map, 90), south = has_pole(pyramid, map, -90);
    if (north || south) {
        view->lonlat.xmin = -180;
        view->lonlat.xmax = 180;
        view->mercator.xmin = -MERCATOR_HALF;
        view->mercator.xmax = MERCATOR_HALF;
    }
    view->lonlat.ymax = north ? 90 : fmin(view->lonlat.ymax, 90);
    view->lonlat.ymin = south ? -90 : fmax(view->lonlat.ymin, -90);
    view->mercator.ymax = north ? MERCATOR_HALF : fmin(view->mercator.ymax, MERCATOR_HALF);
    view->mercator.ymin = south ? -MERCATOR_HALF : fmax(view->mercator.ymin, -MERCATOR_HALF);
    return TL_OK;
}

/* The zoom whose pixels are nearest in size to the layer's at its middle. */
static enum tl_code find_native_zoom(struct layer_view *view, struct tl_err *err)
{
    const struct pyramid *pyramid = view->source->pyramid;
    const struct pyramid_level *full = &pyramid->levels[0];
    double col = full->width / 2.0, row = full->height / 2.0;
    double x[2] = {affine_x(full->affine, col), affine_x(full->affine, col + 1)};
    double y[2] = {affine_y(full->affine, row), affine_y(full->affine, row)};
    AUTO(crs) mercator = NULL;
    struct crs_map *map;

    TL_TRY(crs_new("EPSG:3857", &mercator, err));
    TL_TRY(crs_map_get(pyramid->crs, mercator, &map, err));
    crs_map_points(map, x, y, 2);
    double metres = hypot(unwind(x[1], x[0], MERCATOR_HALF) - x[0], y[1] - y[0]);
    double zoom = round(log2(2 * MERCATOR_HALF / 256 / metres));
    view->native_zoom = isfinite(zoom) ? (uint8_t)fmin(fmax(zoom, 0), 24) : 14;
    return TL_OK;
}

static enum tl_code find_extents(const struct layer_open *open, struct layer_view *view,
                                 struct tl_err *err)
{
    const struct pyramid *pyramid = view->source->pyramid;

    TL_TRY(extent_in(pyramid, "EPSG:3857", MERCATOR_HALF, &view->mercator, err));
    TL_TRY(extent_in(pyramid, "EPSG:4326", 180, &view->lonlat, err));
    TL_TRY(reach_poles(view, err));
    if (open->doc->native_zoom < 0)
        return find_native_zoom(view, err);
    view->native_zoom = (uint8_t)open->doc->native_zoom;
    return TL_OK;
}

static void add_value(struct layer_view *view, uint8_t value)
{
    if (view->index_of[value] != 0 || view->index_count > 255)
        return;
    view->index_of[value] = (uint8_t)view->index_count;
    view->value_of[view->index_count++] = value;
}

/* Every class value that some style or the model knows gets an index; the rest shows nothing. */
static void index_classes(const struct layer_open *open, struct layer_view *view)
{
    view->index_count = 1;
    for (uint32_t s = 0; s < open->info->style_count; s++)
        for (uint16_t c = 0; c < open->info->styles[s]->class_count; c++)
            add_value(view, open->info->styles[s]->classes[c].value);
    if (!open->forest)
        return;
    const struct forest_info *model = forest_info(open->forest);
    for (uint32_t c = 0; c < model->class_count; c++)
        add_value(view, model->classes[c].value);
    if (open->doc->mask_source >= 0)
        add_value(view, CLASS_MASKED);
}

/* A stored raster: the bands that the document names are the layer's, in its order. */
static enum tl_code choose_bands(const struct layer_doc *doc, struct layer_view *view,
                                 struct tl_err *err)
{
    const struct doc_source *source = &doc->sources[0];

    view->band_count = view->source->pyramid->bands;
    if (doc->kind != LAYER_RASTER || source->band_count == 0)
        return TL_OK;
    TL_TRY(check_bands(source, view->source, err));
    view->band_count = source->band_count;
    view->bands = source->band_index;
    view->band_names = source->band_names;
    return TL_OK;
}

uint16_t layer_view_band(const struct layer_view *view, uint16_t i)
{
    return view->bands ? view->bands[i] : i;
}

static struct hash128 view_fingerprint(const struct layer_view *view)
{
    uint8_t render[1 + 1 + 256] = {RENDER_EPOCH, (uint8_t)view->resampling};
    struct hash128 pixels = view->source->fingerprint;

    memcpy(render + 2, view->index_of, 256);
    if (view->bands)
        pixels = hash128_join(pixels, hash128(view->bands, view->band_count * sizeof(uint16_t)));
    return hash128_join(pixels, hash128(render, sizeof(render)));
}

static enum tl_code name_spaces(const struct layer_open *open, struct owned_view *own,
                                struct tl_err *err)
{
    struct layer_view *view = &own->view;
    struct cache *cache = open->env->cache;
    char label[160];

    view->style_ns = own->style_ns;
    if (!cache)
        return TL_OK;
    snprintf(label, sizeof(label), "%s %s tiles", open->info->id, view->season);
    TL_TRY(cache_namespace(cache, view->fingerprint, label, &view->tiles_ns, err));
    for (uint32_t s = 0; s < open->info->style_count; s++) {
        const struct style *style = open->info->styles[s];

        snprintf(label, sizeof(label), "%s %s tiles in %s", open->info->id, view->season,
                 style->id);
        TL_TRY(cache_namespace(cache, hash128_join(view->fingerprint, style->fingerprint), label,
                               &own->style_ns[s], err));
    }
    return TL_OK;
}

static uint64_t palette_hash(const struct layer_view *view, const struct style *style)
{
    struct palette palette;

    render_palette(view, style, NULL, &palette);
    return hash64(palette.rgba, 4 * (size_t)palette.count);
}

static enum tl_code fill_view(const struct layer_open *open, struct owned_view *own,
                              struct errand *errand, struct tl_err *err)
{
    const struct layer_doc *doc = open->doc;
    struct layer_view *view = &own->view;

    TL_TRY(open_sources(open, own, errand, err));
    if (doc->kind == LAYER_PREDICTION)
        TL_TRY(open_prediction(open, own, err));
    view->source = own->prediction ? own->prediction : own->sources[0];
    TL_TRY(choose_bands(doc, view, err));
    view->layer = open->layer;
    view->classes = doc->classes;
    view->resampling = doc->resampling;
    view->season = doc->season_count ? doc->seasons[open->season].label : "";
    if (doc->classes && view->source->pyramid->dtype != DTYPE_U8)
        return tl_fail(err, TL_INVALID, "\"classes\": true needs uint8 samples, %s has %s",
                       season_href(open, 0), dtype_name(view->source->pyramid->dtype));
    if (doc->classes)
        index_classes(open, view);
    TL_TRY(find_extents(open, view, err));
    view->fingerprint = view_fingerprint(view);
    if (doc->classes)
        view->palette_hash = palette_hash(view, open->info->styles[0]);
    return name_spaces(open, own, err);
}

enum tl_code layer_open_view(const struct layer_open *open, struct errand *errand,
                             struct layer_view **ret_view, struct tl_err *err)
{
    struct owned_view *own = calloc(1, sizeof(*own));

    if (!own)
        return tl_fail(err, TL_NOMEM, "no memory to open a layer");
    atomic_init(&own->refs, 1);
    enum tl_code code = fill_view(open, own, errand, err);
    if (code != TL_OK) {
        layer_view_unref(&own->view);
        return code;
    }
    *ret_view = &own->view;
    return TL_OK;
}
