#include "tiler/layer_prediction.h"

#include "base/arena.h"
#include "classify/prediction.h"
#include "classify/prediction_band.h"
#include "feature/fill.h"
#include "geo/area.h"
#include "geo/crs.h"
#include "model/info.h"
#include "raster/raster.h"
#include "tiler/layer_bands.h"
#include "tiler/layer_doc.h"
#include "tiler/layer_open.h"
#include "tiler/layer_private.h"

#include <math.h>
#include <string.h>

enum tl_code layer_prediction_prepare(const struct layer_doc *doc, const struct model_info *model,
                                      struct arena *arena, struct layer_features *ret_features,
                                      struct tl_err *err)
{
    const char **features = arena_zalloc(arena, model->feature_count, sizeof(*features));
    struct feature_fill *fills = arena_zalloc(arena, model->feature_count, sizeof(*fills));
    uint32_t used = 0;
    AUTO(crs) crs = NULL;

    TL_TRY(post_check_model(&doc->post, model, err));
    if (doc->grid_like < 0)
        TL_TRY(crs_new(doc->grid_crs, &crs, err));
    if (!features || !fills)
        return tl_fail(err, TL_NOMEM, "no memory for %u features", model->feature_count);
    for (uint32_t f = 0; f < model->feature_count; f++) {
        for (uint32_t i = 0; i < doc->feature_count && !features[f]; i++) {
            if (strcmp(doc->feature_names[i], model->features[f]) != 0)
                continue;
            features[f] = doc->feature_texts[i];
            fills[f] = doc->feature_fills[i];
        }
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
    *ret_features = (struct layer_features){features, fills};
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

/* What makes values of the bands' samples; none where the samples are the values. */
static enum tl_code scale_bands(const struct doc_source *from, struct block_source *source,
                                struct arena *scratch, struct prediction_source *to,
                                struct tl_err *err)
{
    const struct raster_info *info = from->file_scale ? raster_info(source) : NULL;
    float *scale = arena_alloc(scratch, to->band_count, sizeof(*scale));
    float *offset = arena_alloc(scratch, to->band_count, sizeof(*offset));

    if (!scale || !offset)
        return tl_fail(err, TL_NOMEM, "no memory for the scale of %u bands", to->band_count);
    for (uint16_t b = 0; b < to->band_count; b++) {
        uint16_t band = to->band_index[b];
        bool tagged = info && band < source->pyramid->bands;

        scale[b] = tagged ? (float)info->scale[band] : from->scale;
        offset[b] = tagged ? (float)info->offset[band] : from->offset;
        if (!isfinite(scale[b]) || !isfinite(offset[b]) || scale[b] == 0)
            return tl_fail(err, TL_UNSUPPORTED,
                           "source %s: band %u has the scale %g and the offset %g in its file; "
                           "neither may be beyond float32, and a scale of 0 makes every sample the "
                           "same",
                           from->id, band + 1u, (double)scale[b], (double)offset[b]);
    }
    to->band_scale = scale;
    to->band_offset = offset;
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
    if (!from->band_count)
        TL_TRY(name_bands(source->pyramid, scratch, to, err));
    return scale_bands(from, source, scratch, to, err);
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

enum tl_code layer_prediction_new(const struct layer_open *open, struct block_source *const *opened,
                                  struct block_source **ret_prediction, struct tl_err *err)
{
    const struct layer_doc *doc = open->doc;
    const struct prediction_env env = {.pool = open->env->raster.pool, .cache = open->env->cache};
    struct prediction_source sources[DOC_MAX_SOURCES];
    AUTO(arena) scratch = arena_new();
    AUTO(crs) crs = NULL;
    AUTO(area) area = NULL;
    struct prediction_spec spec = {.id = doc->id,
                                   .forest = open->forest,
                                   .features = open->features->texts,
                                   .fills = open->features->fills,
                                   .source_count = doc->source_count,
                                   .sources = sources,
                                   .post = doc->post,
                                   .policy = doc->policy,
                                   .budget_blocks = doc->budget_blocks,
                                   .more_count = open->bands->count - 2,
                                   .more = open->bands->bands + 2};

    if (!scratch)
        return tl_fail(err, TL_NOMEM, "no memory to open a prediction");
    if (doc->grid_like < 0)
        TL_TRY(crs_new(doc->grid_crs, &crs, err));
    for (uint32_t i = 0; i < doc->source_count; i++)
        TL_TRY(bind_source(&doc->sources[i], opened[i], scratch, &sources[i], err));
    spec.grid = layer_grid(doc, opened, crs);
    if (doc->mask_source >= 0) {
        spec.mask.source = opened[doc->mask_source];
        spec.mask.band = doc->mask_band;
        memcpy(spec.mask.keep, doc->mask_keep, sizeof(spec.mask.keep));
    }
    if (doc->aoi) {
        enum tl_code code = area_new(doc->aoi, &spec.grid, &area, err);
        if (code != TL_OK)
            return tl_context(err, code, "aoi: ");
        spec.area = area;
    }
    return prediction_new(&env, &spec, ret_prediction, err);
}
