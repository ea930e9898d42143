#include "tiler/layer_open.h"

#include "cache/cache.h"
#include "tiler/layer.h"
#include "tiler/layer_doc.h"
#include "tiler/layer_extent.h"
#include "tiler/layer_prediction.h"
#include "tiler/layer_private.h"
#include "tiler/render.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Part of every tile's key. Raise it when the same input gives other pixels than before. */
#define RENDER_EPOCH 1

/* What a reference counted view owns besides what others may see. */
struct owned_view {
    struct layer_view view;
    atomic_uint refs;
    struct block_source *prediction; /* NULL in a raster layer */
    uint32_t source_count;
    struct block_source *sources[DOC_MAX_SOURCES];
    uint32_t style_ns[LAYER_MAX_STYLES];
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

const char *layer_open_href(const struct layer_doc *doc, uint32_t season, uint32_t source)
{
    if (doc->season_count > 0 && doc->seasons[season].hrefs[source])
        return doc->seasons[season].hrefs[source];
    return doc->sources[source].href;
}

static enum tl_code check_bands(const struct doc_source *from, const struct block_source *source,
                                struct tl_err *err)
{
    for (uint16_t i = 0; i < from->band_count; i++)
        if (from->band_index[i] >= source->pyramid->bands)
            return tl_fail(err, TL_INVALID, "band %u (\"%s\") is wanted and %s has %u",
                           from->band_index[i] + 1u, from->band_names[i], raster_info(source)->href,
                           source->pyramid->bands);
    return TL_OK;
}

static enum tl_code open_source(const struct layer_open *open, uint32_t i, struct errand *errand,
                                struct block_source **ret_source, struct tl_err *err)
{
    const struct layer_doc *doc = open->doc;
    const struct doc_source *from = &doc->sources[i];
    bool is_classes = doc->kind == LAYER_RASTER ? doc->classes : doc->mask_source == (int)i;
    const struct raster_options options = {
        .s3 = from->has_s3 ? &from->s3 : NULL, .classes = is_classes, .notes = open->env->notes};
    AUTO(block_source) source = NULL;

    enum tl_code code = raster_open(&open->env->raster, layer_open_href(doc, open->season, i),
                                    &options, errand, &source, err);
    if (code == TL_OK)
        code = check_bands(from, source, err);
    if (code != TL_OK)
        return from->id[0] ? tl_context(err, code, "source %s: ", from->id) : code;
    *ret_source = TL_TAKE(source);
    return TL_OK;
}

enum tl_code layer_open_check(const struct layer_open *open, bool (*wanted)(const char *href),
                              struct errand *errand, struct tl_err *err)
{
    for (uint32_t i = 0; i < open->doc->source_count; i++) {
        AUTO(block_source) source = NULL;

        if (!wanted || wanted(layer_open_href(open->doc, open->season, i)))
            TL_TRY(open_source(open, i, errand, &source, err));
    }
    return TL_OK;
}

static enum tl_code open_sources(const struct layer_open *open, struct owned_view *own,
                                 struct errand *errand, struct tl_err *err)
{
    for (; own->source_count < open->doc->source_count; own->source_count++)
        TL_TRY(open_source(open, own->source_count, errand, &own->sources[own->source_count], err));
    return TL_OK;
}

/* A stored raster: the bands that the document names are the layer's, in its order. */
static void choose_bands(const struct layer_doc *doc, struct layer_view *view)
{
    const struct doc_source *source = &doc->sources[0];

    view->band_count = view->source->pyramid->bands;
    if (doc->kind != LAYER_RASTER || source->band_count == 0)
        return;
    view->band_count = source->band_count;
    view->bands = source->band_index;
    view->band_names = source->band_names;
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
        TL_TRY(layer_prediction_new(open, own->sources, &own->prediction, err));
    view->source = own->prediction ? own->prediction : own->sources[0];
    choose_bands(doc, view);
    view->layer = open->layer;
    view->classes = doc->classes;
    view->resampling = doc->resampling;
    view->season = doc->season_count ? doc->seasons[open->season].label : "";
    if (doc->classes && view->source->pyramid->dtype != DTYPE_U8)
        return tl_fail(err, TL_INVALID, "\"classes\": true needs uint8 samples, %s has %s",
                       layer_open_href(doc, open->season, 0),
                       dtype_name(view->source->pyramid->dtype));
    if (doc->classes)
        layer_index_classes(open, view);
    TL_TRY(layer_extent_find(view, open->doc->native_zoom, err));
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
