#include "cli/stack_job.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/errand.h"
#include "base/json.h"
#include "classify/prediction.h"
#include "classify/prediction_band.h"
#include "cli/cli.h"
#include "cli/stack_inputs.h"
#include "feature/fill.h"
#include "forest/forest.h"
#include "geo/area.h"
#include "tiler/aoi_doc.h"
#include "tiler/feature_doc.h"

#include <stdlib.h>
#include <string.h>

struct stack_job {
    const struct app *app;
    struct arena *arena;
    struct forest *forest;
    size_t count;
    struct block_source **opened;
    struct prediction_source *sources;
    uint32_t band_count;
    struct prediction_band bands[PREDICTION_MAX_BANDS];
    const char *names[PREDICTION_MAX_BANDS]; /* of the bands */
    struct block_source *prediction;
};

void stack_job_close(struct stack_job *job)
{
    if (!job)
        return;
    block_source_free(job->prediction);
    for (size_t i = 0; i < job->count; i++)
        block_source_free(job->opened[i]);
    forest_unref(job->forest);
    arena_free(job->arena);
    free(job);
}

const struct model_info *stack_job_model(const struct stack_job *job)
{
    return forest_info(job->forest);
}

struct block_source *stack_job_prediction(const struct stack_job *job)
{
    return job->prediction;
}

const char *const *stack_job_bands(const struct stack_job *job)
{
    return job->names;
}

static enum tl_code open_inputs(struct stack_job *job, const struct stack_wish *wish,
                                struct tl_err *err)
{
    const struct raster_env env = app_raster(job->app);
    const struct raster_options options = {0};
    struct errand errand = errand_unbounded();

    job->opened = arena_zalloc(job->arena, wish->input_count, sizeof(struct block_source *));
    job->sources = arena_zalloc(job->arena, wish->input_count, sizeof(*job->sources));
    if (!job->opened || !job->sources)
        return tl_fail(err, TL_NOMEM, "no memory for %zu inputs", wish->input_count);
    for (size_t i = 0; i < wish->input_count; i++) {
        TL_TRY(raster_open(&env, wish->inputs[i], &options, &errand, &job->opened[i], err));
        job->count++;
        TL_TRY(stack_inputs_name_bands(job->opened[i], i, job->arena, &job->sources[i], err));
    }
    return TL_OK;
}

static struct stack_inputs inputs_of(const struct stack_job *job, const struct stack_wish *wish)
{
    return (struct stack_inputs){.hrefs = wish->inputs,
                                 .count = job->count,
                                 .opened = job->opened,
                                 .sources = job->sources,
                                 .in_order = wish->in_order,
                                 .quiet = wish->quiet};
}

static enum tl_code features_of_file(struct stack_job *job, const char *path, const char **features,
                                     struct feature_fill *fills, struct tl_err *err)
{
    const struct model_info *model = forest_info(job->forest);
    const struct raster_env env = app_raster(job->app);
    struct errand errand = errand_unbounded();
    AUTO(blob) file = NULL;
    AUTO_JSON root = NULL;

    TL_TRY(raster_read_object(&env, path, (size_t)1 << 20, &errand, &file, err));
    TL_TRY(json_parse(path, blob_bytes(file), blob_size(file), &root, err));
    struct json_at at = json_root(path, root);
    TL_TRY(json_read_object(at, err));
    for (uint32_t f = 0; f < model->feature_count; f++) {
        const char *text;

        TL_TRY(feature_doc_read(json_key(&at, model->features[f]), &text, &fills[f], err));
        features[f] = arena_printf(job->arena, "%s", text);
        if (!features[f])
            return tl_fail(err, TL_NOMEM, "no memory for a feature");
    }
    return TL_OK;
}

static enum tl_code open_model(struct stack_job *job, const char *href, struct tl_err *err)
{
    const struct raster_env env = app_raster(job->app);
    struct errand errand = errand_unbounded();
    AUTO(blob) file = NULL;

    TL_TRY(raster_read_object(&env, href, MODEL_MAX_FILE_BYTES, &errand, &file, err));
    return forest_load(href, file, &job->forest, err);
}

static enum tl_code read_aoi(struct stack_job *job, const char *href, const struct grid *grid,
                             struct area **ret_area, struct tl_err *err)
{
    const struct raster_env env = app_raster(job->app);
    struct errand errand = errand_unbounded();
    const struct area_outline *outline;
    AUTO(blob) file = NULL;

    TL_TRY(raster_read_object(&env, href, AOI_MAX_BYTES, &errand, &file, err));
    TL_TRY(aoi_doc_parse(href, blob_bytes(file), blob_size(file), job->arena, &outline, err));
    enum tl_code code = area_new(outline, grid, ret_area, err);
    return code == TL_OK ? TL_OK : tl_context(err, code, "%s: ", href);
}

static bool fills_any(const struct feature_fill *fills, uint32_t count)
{
    for (uint32_t f = 0; f < count; f++)
        if (fills[f].fills)
            return true;
    return false;
}

/* The first input's grid is the prediction's; the others are put onto it, nearest. */
static enum tl_code open_prediction(struct stack_job *job, const struct stack_wish *wish,
                                    const char *const *features, const struct feature_fill *fills,
                                    struct tl_err *err)
{
    const struct pyramid *like = job->opened[0]->pyramid;
    const struct prediction_env env = {.pool = job->app->blocks};
    AUTO(area) area = NULL;
    struct prediction_spec spec = {.id = "stack",
                                   .grid = {.crs = like->crs,
                                            .affine = like->levels[0].affine,
                                            .width = like->levels[0].width,
                                            .height = like->levels[0].height},
                                   .forest = job->forest,
                                   .source_count = (uint32_t)job->count,
                                   .sources = job->sources,
                                   .features = features,
                                   .fills = fills,
                                   .more_count = job->band_count - 2,
                                   .more = job->bands + 2};

    const struct stack_inputs inputs = inputs_of(job, wish);
    if (!fills_any(fills, forest_info(job->forest)->feature_count))
        TL_TRY(stack_inputs_meet(&inputs, err));
    if (wish->aoi)
        TL_TRY(read_aoi(job, wish->aoi, &spec.grid, &area, err));
    spec.area = area;
    return prediction_new(&env, &spec, &job->prediction, err);
}

static enum tl_code add_band(struct stack_job *job, struct prediction_band band, struct tl_err *err)
{
    char name[BAND_NAME_ROOM];

    prediction_band_name(&band, forest_info(job->forest), name);
    for (uint32_t b = 0; b < job->band_count; b++)
        if (strcmp(job->names[b], name) == 0)
            return TL_OK;
    if (job->band_count == PREDICTION_MAX_BANDS)
        return tl_fail(err, TL_LIMIT, "more than %d bands are wanted", PREDICTION_MAX_BANDS);
    job->names[job->band_count] = arena_printf(job->arena, "%s", name);
    job->bands[job->band_count] = band;
    return job->names[job->band_count++] ? TL_OK
                                         : tl_fail(err, TL_NOMEM, "no memory for a band's name");
}

/* Label, confidence and what of more is wanted. */
static enum tl_code choose_bands(struct stack_job *job, const struct stack_wish *wish,
                                 struct tl_err *err)
{
    TL_TRY(add_band(job, (struct prediction_band){.what = PREDICTION_LABEL}, err));
    TL_TRY(add_band(job, (struct prediction_band){.what = PREDICTION_CONFIDENCE}, err));
    for (size_t i = 0; i < wish->output_count; i++) {
        struct prediction_band band;

        TL_TRY(prediction_band_find(wish->outputs[i], forest_info(job->forest), &band, err));
        TL_TRY(add_band(job, band, err));
    }
    return TL_OK;
}

static enum tl_code fill(struct stack_job *job, const struct stack_wish *wish, struct tl_err *err)
{
    job->arena = arena_new();
    if (!job->arena)
        return tl_fail(err, TL_NOMEM, "no memory to classify");
    TL_TRY(open_model(job, wish->model, err));
    TL_TRY(choose_bands(job, wish, err));
    TL_TRY(open_inputs(job, wish, err));
    const char **features =
        arena_zalloc(job->arena, forest_info(job->forest)->feature_count, sizeof(*features));
    struct feature_fill *fills =
        arena_zalloc(job->arena, forest_info(job->forest)->feature_count, sizeof(*fills));
    if (!features || !fills)
        return tl_fail(err, TL_NOMEM, "no memory to classify");
    const struct stack_inputs inputs = inputs_of(job, wish);
    TL_TRY(wish->features ? features_of_file(job, wish->features, features, fills, err)
                          : stack_inputs_features(&inputs, forest_info(job->forest), job->arena,
                                                  features, err));
    return open_prediction(job, wish, features, fills, err);
}

enum tl_code stack_job_open(const struct app *app, const struct stack_wish *wish,
                            struct stack_job **ret_job, struct tl_err *err)
{
    AUTO(stack_job) job = TL_OWNED(calloc(1, sizeof(*job)));

    if (!job)
        return tl_fail(err, TL_NOMEM, "no memory to classify");
    job->app = app;
    TL_TRY(fill(job, wish, err));
    *ret_job = TL_TAKE(job);
    return TL_OK;
}
