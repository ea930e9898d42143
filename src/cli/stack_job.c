#include "cli/stack_job.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/errand.h"
#include "base/json.h"
#include "classify/prediction.h"
#include "classify/prediction_band.h"
#include "cli/cli.h"
#include "feature/fill.h"
#include "forest/forest.h"
#include "tiler/feature_doc.h"

#include <ctype.h>
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

static bool is_word(const char *text)
{
    if (!text || !(isalpha((unsigned char)text[0]) || text[0] == '_'))
        return false;
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '_')
            return false;
    return true;
}

/* The file's names of its bands where an expression can say them, else b1, b2, ... */
static enum tl_code name_bands(struct stack_job *job, size_t at, struct tl_err *err)
{
    const struct block_source *source = job->opened[at];
    uint16_t count = source->pyramid->bands;
    const char **names = arena_alloc(job->arena, count, sizeof(*names));
    uint16_t *index = arena_alloc(job->arena, count, sizeof(*index));
    const char *id = arena_printf(job->arena, "s%zu", at + 1);

    if (!names || !index || !id)
        return tl_fail(err, TL_NOMEM, "no memory for band names");
    for (uint16_t b = 0; b < count; b++) {
        const char *own = raster_info(source)->band_names[b];

        index[b] = b;
        names[b] = is_word(own) ? own : arena_printf(job->arena, "b%u", b + 1u);
        if (!names[b])
            return tl_fail(err, TL_NOMEM, "no memory for band names");
    }
    job->sources[at] = (struct prediction_source){.id = id,
                                                  .source = job->opened[at],
                                                  .resampling = RESAMPLE_NEAREST,
                                                  .band_count = count,
                                                  .band_names = names,
                                                  .band_index = index};
    return TL_OK;
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
        TL_TRY(name_bands(job, i, err));
    }
    return TL_OK;
}

/* "s1.red" of the one band that is called as the feature; NULL where there is none. */
static enum tl_code band_of_feature(struct stack_job *job, const char *feature,
                                    const char **ret_text, struct tl_err *err)
{
    const char *text = NULL;

    for (size_t i = 0; i < job->count; i++) {
        const struct prediction_source *source = &job->sources[i];

        for (uint16_t b = 0; b < source->band_count; b++) {
            if (strcmp(source->band_names[b], feature) != 0)
                continue;
            if (text)
                return tl_fail(err, TL_INVALID,
                               "the model's feature \"%s\" is a band of two inputs, %s and s%zu; "
                               "say which with --features FILE",
                               feature, text, i + 1);
            text = arena_printf(job->arena, "%s.%s", source->id, source->band_names[b]);
            if (!text)
                return tl_fail(err, TL_NOMEM, "no memory for a feature");
        }
    }
    *ret_text = text;
    return TL_OK;
}

/* Without any name in common: the bands in the order of the command line, if they are as many. */
static enum tl_code bands_in_order(struct stack_job *job, const char **features, struct tl_err *err)
{
    const struct model_info *model = forest_info(job->forest);
    uint32_t at = 0, total = 0;

    for (size_t i = 0; i < job->count; i++)
        total += job->sources[i].band_count;
    if (total != model->feature_count)
        return tl_fail(err, TL_INVALID,
                       "no band is called as a feature of the model (the first is \"%s\"), and %u "
                       "bands cannot stand for %u features in order; name them with --features "
                       "FILE, a JSON object of expressions such as {\"%s\": \"s1.b1 / 10000\"}",
                       model->features[0], total, model->feature_count, model->features[0]);
    for (size_t i = 0; i < job->count; i++) {
        const struct prediction_source *source = &job->sources[i];

        for (uint16_t b = 0; b < source->band_count; b++) {
            features[at] = arena_printf(job->arena, "%s.%s", source->id, source->band_names[b]);
            if (!features[at++])
                return tl_fail(err, TL_NOMEM, "no memory for a feature");
        }
    }
    return TL_OK;
}

static enum tl_code features_of_bands(struct stack_job *job, const char **features,
                                      struct tl_err *err)
{
    const struct model_info *model = forest_info(job->forest);
    const char *missing = NULL;
    uint32_t found = 0;

    for (uint32_t f = 0; f < model->feature_count; f++) {
        TL_TRY(band_of_feature(job, model->features[f], &features[f], err));
        found += features[f] != NULL;
        if (!features[f] && !missing)
            missing = model->features[f];
    }
    if (found == 0)
        return bands_in_order(job, features, err);
    return missing ? tl_fail(err, TL_INVALID,
                             "no band is called \"%s\", a feature of the model; describe the "
                             "bands (gdal_edit.py) or name them with --features FILE",
                             missing)
                   : TL_OK;
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

/* The first input's grid is the prediction's; the others are put onto it, nearest. */
static enum tl_code open_prediction(struct stack_job *job, const char *const *features,
                                    const struct feature_fill *fills, struct tl_err *err)
{
    const struct pyramid *like = job->opened[0]->pyramid;
    const struct prediction_env env = {.pool = job->app->blocks};
    const struct prediction_spec spec = {.id = "stack",
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
    TL_TRY(wish->features ? features_of_file(job, wish->features, features, fills, err)
                          : features_of_bands(job, features, err));
    return open_prediction(job, features, fills, err);
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
