#include "base/blob.h"
#include "base/errand.h"
#include "classify/forest.h"
#include "cli/cli.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_class(const struct forest_class *class)
{
    if (class->color == FOREST_NO_COLOR)
        printf("  %3u  %s\n", class->value, class->name);
    else
        printf("  %3u  #%06X  %s\n", class->value, class->color, class->name);
}

static void print_info(const struct forest_info *info)
{
    char hex[33];

    hash128_hex(info->fingerprint, hex);
    printf("name         %s\nkind         %s\nfingerprint  %s\n", info->name, info->kind, hex);
    printf("trees        %u, %llu nodes, depth %u\n", info->tree_count,
           (unsigned long long)info->node_count, info->max_depth);
    printf("golden rows  %u%s\n", info->golden_rows, info->golden_rows ? ", replayed" : "");
    printf("classes      %u\n", info->class_count);
    for (uint32_t i = 0; i < info->class_count; i++)
        print_class(&info->classes[i]);
    printf("features     %u\n", info->feature_count);
    for (uint32_t i = 0; i < info->feature_count; i++)
        printf("  %3u  %s\n", i, info->features[i]);
    if (info->provenance[0])
        printf("provenance   %s\n", info->provenance);
}

static void print_verdict(const char *href, uint32_t golden_rows)
{
    if (golden_rows)
        printf("ok: %s: %u golden rows give the labels and probabilities of the library\n", href,
               golden_rows);
    else
        printf("valid: %s: it has no golden rows, so nothing here proves that it gives what the "
               "library gives\n",
               href);
}

static enum tl_code load(const struct app *app, const char *href, struct forest **ret_forest,
                         struct tl_err *err)
{
    struct errand errand = errand_unbounded();
    AUTO(blob) file = NULL;

    TL_TRY(store_read_all(app->store, href, (size_t)1 << 30, &errand, &file, err));
    return forest_load(href, file, ret_forest, err);
}

static int inspect(const struct args *args, bool print)
{
    struct app app = {0};
    struct tl_err err;
    AUTO(forest) forest = NULL;

    enum tl_code code = app_open(&app, &args->config, APP_NO_CATALOG, &err);
    if (code == TL_OK)
        code = load(&app, args->positional[1], &forest, &err);
    app_close(&app);
    if (code != TL_OK)
        return cli_fail_file(&cmd_model, &err);
    if (print)
        print_info(forest_info(forest));
    else
        print_verdict(args->positional[1], forest_info(forest)->golden_rows);
    return EXIT_SUCCESS;
}

static int run(int argc, char **argv)
{
    struct args args = {.own = (const char *const[]){NULL}};
    struct tl_err err;

    enum tl_code code = args_read(&args, &cmd_model, argc, argv, &err);
    if (code != TL_OK)
        return cli_fail(&cmd_model, code, &err);
    if (args.positional_count != 2)
        return cli_usage(&cmd_model, "a verb and a file are needed");
    if (strcmp(args.positional[0], "info") == 0)
        return inspect(&args, true);
    if (strcmp(args.positional[0], "check") == 0)
        return inspect(&args, false);
    return cli_usage(&cmd_model, "the verbs are info and check");
}

const struct command cmd_model = {
    .name = "model",
    .summary = "say what a model is, or prove that it gives what it gave when it was trained",
    .help = "usage: tilth model info FILE|URL\n"
            "       tilth model check FILE|URL\n"
            "\n"
            "Reads tilth's own model file (written by the Python package in python/), LightGBM's\n"
            "text, XGBoost's JSON or UBJSON, CatBoost's JSON and ONNX (docs/model-formats.md),\n"
            "validates it and replays its golden rows. `info` prints features in the order the\n"
            "trees use them, classes and provenance; `check` says ok or why not.\n"
            "A pickle is never opened: export it with `tilth.export(model, \"model.tilth\", ...)`\n"
            "where it was trained.\n",
    .run = run,
};
