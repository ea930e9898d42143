/*
 * Two ways to name a prediction - a layer of the layers folder, or rasters and a model - and
 * one way to write it: export_prediction().
 */
#include "base/clock.h"
#include "base/cpu.h"
#include "base/errand.h"
#include "base/file.h"
#include "classify/export.h"
#include "cli/cli.h"
#include "cli/output_files.h"
#include "cli/stack_job.h"
#include "forest/forest.h"
#include "tiler/catalog.h"
#include "tiler/layer.h"
#include "tiler/layer_check.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Of the whole process, as signals are: the export ends and takes its scratch files along. */
static atomic_bool interrupted;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&interrupted, true);
}

/* What is read must not be replaced. `read` may be NULL: nothing is. */
static enum tl_code check_read(const struct output_files *files, const char *read,
                               struct tl_err *err)
{
    for (uint32_t i = 0; i < files->count; i++)
        if (file_same(files->paths[i], read))
            return tl_fail(err, TL_INVALID, "%s is read here; write somewhere else",
                           files->paths[i]);
    return TL_OK;
}

/* Every season's files: what another one reads is as dear. */
static enum tl_code check_layer_files(const struct output_files *files, const struct layer *layer,
                                      struct tl_err *err)
{
    struct layer_file file;

    for (uint32_t i = 0; layer_file_at(layer, i, &file); i++)
        TL_TRY(check_read(files, file.path, err));
    return TL_OK;
}

static enum tl_code check_inputs(const struct args *args, const struct output_files *files,
                                 struct tl_err *err)
{
    TL_TRY(check_read(files, args_value(args, "m="), err));
    TL_TRY(check_read(files, args_value(args, "features="), err));
    TL_TRY(check_read(files, args_value(args, "aoi="), err));
    for (int i = 0; i < args->positional_count; i++)
        TL_TRY(check_read(files, args->positional[i], err));
    return TL_OK;
}

static void print_classes(const struct export_request *request, const struct export_result *result)
{
    uint64_t all = 0;

    for (int value = 0; value < CLASS_MASKED; value++)
        all += result->pixels[value];
    for (uint32_t c = 0; c < request->class_count; c++) {
        uint64_t pixels = result->pixels[request->classes[c].value];

        printf("  %3u  %-24s %12llu px  %5.1f %%\n", request->classes[c].value,
               request->classes[c].name, (unsigned long long)pixels,
               all ? 100.0 * (double)pixels / (double)all : 0.0);
    }
    unsigned long long left_out = result->pixels[CLASS_NODATA] + result->pixels[CLASS_MASKED];
    printf("       %-24s %12llu px\n", "no data or masked", left_out);
}

/* `what` says what is exported; the files and the threads are the same for all. */
static enum tl_code write_cogs(const struct output_files *files, const struct export_request *what,
                               struct tl_err *err)
{
    const char *paths[PREDICTION_MAX_BANDS];
    const struct pyramid_level *grid = &what->prediction->pyramid->levels[0];
    struct export_request request = *what;
    struct errand errand = errand_unbounded();
    struct export_result result;

    TL_TRY(output_files_sort(files, what->model, what->names, what->prediction->pyramid->bands,
                             paths, err));
    request.paths = paths;
    request.threads = cpu_cores();
    errand.cancelled = &interrupted;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    int64_t start = clock_now_ns();
    TL_TRY(export_prediction(&request, &errand, &result, err));
    double seconds = (double)(clock_now_ns() - start) / NS_PER_S;
    double mpx = (double)grid->width * grid->height / 1e6;
    printf("%s: %u x %u, %.1f s, %.2f Mpx/s\n", paths[0], grid->width, grid->height, seconds,
           mpx / seconds);
    print_classes(&request, &result);
    return TL_OK;
}

static enum tl_code classify_stack(const struct args *args, const struct output_files *files,
                                   struct tl_err *err)
{
    const struct stack_wish wish = {.model = args_value(args, "m="),
                                    .features = args_value(args, "features="),
                                    .aoi = args_value(args, "aoi="),
                                    .in_order = args_value(args, "in-order") != NULL,
                                    .quiet = args_value(args, "quiet") != NULL,
                                    .inputs = args->positional,
                                    .input_count = (size_t)args->positional_count,
                                    .outputs = files->names,
                                    .output_count = files->count};
    struct stack_job *job = NULL;
    struct app app = {0};

    enum tl_code code = app_open(&app, &args->config, APP_NO_CATALOG, err);
    if (code == TL_OK)
        code = stack_job_open(&app, &wish, &job, err);
    if (code == TL_OK) {
        const struct model_info *model = stack_job_model(job);
        const struct export_request request = {.prediction = stack_job_prediction(job),
                                               .model = model,
                                               .names = stack_job_bands(job),
                                               .classes = model->classes,
                                               .class_count = model->class_count};

        code = write_cogs(files, &request, err);
    }
    stack_job_close(job);
    app_close(&app);
    return code;
}

static enum tl_code find_layer(const struct app *app, const char *id, struct layer **ret_layer,
                               struct tl_err *err)
{
    struct tl_err absent;

    if (catalog_layer(app->catalog, id, ret_layer, &absent) == TL_OK)
        return TL_OK;
    if (access(id, F_OK) == 0)
        return tl_fail(err, TL_INVALID,
                       "there is no layer \"%s\"; to classify the raster of that name takes -m "
                       "MODEL",
                       id);
    return tl_fail(err, TL_ABSENT, "there is no layer \"%s\" among the %zu of %s (--layers-dir)",
                   id, catalog_layer_count(app->catalog), app->config.layers_dir);
}

static enum tl_code export_layer(const struct app *app, const struct args *args,
                                 const struct output_files *files, struct tl_err *err)
{
    const char *season = args_value(args, "season=");
    struct errand errand = errand_unbounded();
    AUTO(layer_view) view = NULL;
    struct layer *layer;

    TL_TRY(find_layer(app, args->positional[0], &layer, err));
    if (!layer_forest(layer))
        return tl_fail(err, TL_INVALID, "layer %s is a stored raster; a prediction is classified",
                       args->positional[0]);
    TL_TRY(check_layer_files(files, layer, err));
    TL_TRY(layer_view_get(layer, season ? season : "", &errand, &view, err));
    struct model_class classes[MODEL_MAX_CLASSES];
    const struct export_request request = {.prediction = view->source,
                                           .model = forest_info(layer_forest(layer)),
                                           .names = layer_info(layer)->bands,
                                           .classes = classes,
                                           .class_count = layer_classes(layer, classes)};
    return write_cogs(files, &request, err);
}

static enum tl_code classify_layer(const struct args *args, const struct output_files *files,
                                   struct tl_err *err)
{
    enum app_flags flags = args_value(args, "cache") ? APP_ALL : APP_NO_CACHE;
    struct app app = {0};

    enum tl_code code = app_open(&app, &args->config, flags, err);
    if (code == TL_OK)
        code = export_layer(&app, args, files, err);
    app_close(&app);
    return code;
}

static int run(int argc, char **argv)
{
    struct args args = {.own = (const char *const[]){
                            "o=", "m=", "confidence=", "outputs=", "features=", "aoi=", "in-order",
                            "quiet", "season=", "cache", NULL}};
    struct tl_err err;

    enum tl_code code = args_read(&args, &cmd_classify, argc, argv, &err);
    if (code != TL_OK)
        return cli_fail(&cmd_classify, code, &err);
    bool stack = args_value(&args, "m=") != NULL;
    if (!args_value(&args, "o="))
        return cli_usage(&cmd_classify, "-o FILE is needed, where the classes go");
    if (args.positional_count == 0)
        return cli_usage(&cmd_classify, stack ? "rasters to classify are needed"
                                              : "a layer, or rasters and -m MODEL, are needed");
    /* No layer has a slash in its id. */
    if (!stack && (args.positional_count > 1 || strchr(args.positional[0], '/')))
        return cli_usage(&cmd_classify,
                         "-m MODEL is missing, without which rasters are no classes");
    if (!stack && (args_value(&args, "features=") || args_value(&args, "aoi=") ||
                   args_value(&args, "in-order")))
        return cli_usage(&cmd_classify,
                         "--features, --aoi and --in-order are for rasters; a layer's are in its "
                         "document");
    if (stack && (args_value(&args, "season=") || args_value(&args, "cache")))
        return cli_usage(&cmd_classify, "--season and --cache are for layers, not for rasters");
    if (args_value(&args, "in-order") && args_value(&args, "features="))
        return cli_usage(&cmd_classify, "--features says which band is which, or --in-order does");
    AUTO_OUTPUT_FILES files = {0};
    code = output_files_read(&args, &files, &err);
    if (code == TL_OK)
        code = check_inputs(&args, &files, &err);
    if (code == TL_OK)
        code = stack ? classify_stack(&args, &files, &err) : classify_layer(&args, &files, &err);
    return code == TL_OK ? EXIT_SUCCESS : cli_fail(&cmd_classify, code, &err);
}

const struct command cmd_classify = {
    .name = "classify",
    .summary = "classify a whole raster stack, or a whole layer, into a COG",
    .help =
        "usage: tilth classify INPUT... -m MODEL -o OUT.tif [--features FILE | --in-order]\n"
        "                   [--aoi FILE] [--quiet]\n"
        "       tilth classify LAYER -o OUT.tif [--season LABEL|DATE] [--cache]\n"
        "                   [--layers-dir DIR] [--styles-dir DIR]\n"
        "       both: [--confidence OUT.tif] [--outputs BAND=OUT.tif,...]\n"
        "\n"
        "Rasters are files or hrefs, called s1, s2, ... in their order; the first one's grid is\n"
        "the result's, the others are put onto it (nearest). A feature of the model is the band "
        "of\n"
        "that name. Where no band has a feature's name, as many bands as features are taken in\n"
        "order, and listed; bands with names of their own only with --in-order.\n"
        "A layer is written as the server shows it, post-processing and mask included. "
        "Overviews\n"
        "are the exact mode.\n"
        "\n"
        "  -o OUT.tif         where the classes go, a COG\n"
        "  --confidence OUT.tif   where the confidence goes, in percent; 255 where there is no "
        "class\n"
        "  --outputs LIST     further bands, a file each: confidence, margin, entropy, "
        "probability:CLASS,\n"
        "                     all in percent; of a layer those that \"outputs\" in its document "
        "names\n"
        "  -m MODEL           the model that classifies rasters\n"
        "  --features FILE    a JSON object of expressions, one for each feature "
        "(docs/features.md)\n"
        "  --in-order         take the bands in order, whatever they are called\n"
        "  --aoi FILE         GeoJSON; nothing outside is read or classified (docs/layers.md)\n"
        "  --quiet            do not list the bands that are taken in order\n"
        "  --season SEASON    of the layer, by its label or a day in it (the first)\n"
        "  --cache            take class blocks from the tile cache, and fill it\n"
        "  --layers-dir DIR   where the layer's document is; its styles: --styles-dir\n"
        "\n"
        "  tilth classify s2.tif slope.tif -m crops.tilth -o crops.tif --aoi farm.geojson\n"
        "  tilth classify demo-crops -o crops.tif --confidence sure.tif --layers-dir demo/layers\n",
    .run = run,
};
