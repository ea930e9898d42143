#include "cli/cmd_model.h"

#include "base/blob.h"
#include "base/errand.h"
#include "forest/load.h"
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const no_options[] = {NULL};

enum tl_code model_fetch(const struct app *app, const char *href, struct blob **ret_file,
                         struct tl_err *err)
{
    struct errand errand = errand_unbounded();

    return store_read_all(app->store, href, MODEL_MAX_FILE_BYTES, &errand, ret_file, err);
}

enum tl_code model_load(const struct app *app, const char *href, struct forest **ret_forest,
                        struct tl_err *err)
{
    AUTO(blob) file = NULL;

    TL_TRY(model_fetch(app, href, &file, err));
    return forest_load(href, file, ret_forest, err);
}

/* ---- info ---- */

static void print_class(const struct model_class *class)
{
    if (class->color == MODEL_NO_COLOR)
        printf("  %3u  %s\n", class->value, class->name);
    else
        printf("  %3u  #%06X  %s\n", class->value, class->color, class->name);
}

static void print_section(const struct forest_section *section)
{
    if (!section)
        printf("compiled     no\n");
    else if (section->unused)
        printf("compiled     %zu bytes by tilth %s, not used: %s\n", section->bytes,
               section->maker[0] ? section->maker : "?", section->unused);
    else
        printf("compiled     %zu bytes by tilth %s, form %u\n", section->bytes, section->maker,
               section->version);
}

static void print_info(const struct forest *forest)
{
    const struct model_info *info = forest_info(forest);
    const struct forest_section *section = forest_section(forest);
    const char *replayed = section && !section->unused ? ", some of them replayed" : ", replayed";
    char hex[33];

    hash128_hex(info->fingerprint, hex);
    printf("name         %s\nkind         %s\nfingerprint  %s\n", info->name, info->kind, hex);
    printf("trees        %u, %llu nodes, depth %u\n", info->tree_count,
           (unsigned long long)info->node_count, info->max_depth);
    printf("golden rows  %u%s%s\n", info->golden_rows, info->golden_rows ? replayed : "",
           info->golden_own ? ", made by tilth" : "");
    print_section(section);
    printf("classes      %u\n", info->class_count);
    for (uint32_t i = 0; i < info->class_count; i++)
        print_class(&info->classes[i]);
    printf("features     %u\n", info->feature_count);
    for (uint32_t i = 0; i < info->feature_count; i++)
        printf("  %3u  %s\n", i, info->features[i]);
    if (info->provenance[0])
        printf("provenance   %s\n", info->provenance);
}

static enum tl_code run_info(struct app *app, const struct args *args, struct tl_err *err)
{
    AUTO(forest) forest = NULL;

    TL_TRY(model_load(app, args->positional[1], &forest, err));
    print_info(forest);
    return TL_OK;
}

const struct model_verb model_verb_info = {
    .command = {.name = "model info",
                .help = "usage: tilth model info FILE|URL\n"
                        "\n"
                        "Says what a model is: name, kind, trees, golden rows, classes with their "
                        "values and\n"
                        "colours, features in the order in which the trees use them, provenance; "
                        "whether it is "
                        "compiled.\n"
                        "It is loaded as a layer would load it, golden rows and all.\n"
                        "\n"
                        "  tilth model info crops.tilth\n"},
    .own = no_options,
    .run = run_info};

/* ---- the table ---- */

static const struct model_verb *const verbs[] = {&model_verb_info, &model_verb_check,
                                                 &model_verb_convert, &model_verb_compile,
                                                 &model_verb_bench};

/* "model check" is called by its second word. */
static const char *word_of(const struct model_verb *verb)
{
    return verb->command.name + sizeof("model ") - 1;
}

/* The verb is the first argument, so that it can say which options there are. */
static const struct model_verb *find_verb(int argc, char **argv)
{
    for (size_t i = 0; argc > 0 && i < TL_COUNT(verbs); i++)
        if (strcmp(argv[0], word_of(verbs[i])) == 0)
            return verbs[i];
    return NULL;
}

static int run_verb(const struct model_verb *verb, const struct args *args)
{
    struct app app = {0};
    struct tl_err err;

    enum tl_code code = app_open(&app, &args->config, APP_NO_CATALOG, &err);
    if (code == TL_OK)
        code = verb->run(&app, args, &err);
    app_close(&app);
    return code == TL_OK ? EXIT_SUCCESS : cli_fail_file(&verb->command, &err);
}

static int run(int argc, char **argv)
{
    const struct model_verb *verb = find_verb(argc, argv);
    const struct command *command = verb ? &verb->command : &cmd_model;
    struct args args = {.own = verb ? verb->own : no_options};
    struct tl_err err;

    if (!verb && argc > 0 && argv[0][0] != '-')
        return cli_usage(&cmd_model, "the verbs are info, check, convert, compile and bench");
    enum tl_code code = args_read(&args, command, argc, argv, &err);
    if (code != TL_OK)
        return cli_fail(command, code, &err);
    if (!verb)
        return cli_usage(&cmd_model, "a verb and a model are needed, the verb first");
    if (args.positional_count != 2)
        return cli_usage(command,
                         args.positional_count < 2 ? "a model is needed" : "one model at a time");
    return run_verb(verb, &args);
}

const struct command cmd_model = {
    .name = "model",
    .summary = "say what a model is, prove it, or write it as a file of tilth's own",
    .help =
        "usage: tilth model info|check|convert|compile|bench FILE|URL ...\n"
        "\n"
        "  info      its classes, its features in the order the trees use them, its origin\n"
        "  check     ok, or why not; and whether a layer's document fits it\n"
        "  convert   the same model as a file of tilth's own, with names and golden rows\n"
        "  compile   the same, and with it what makes it load at once\n"
        "  bench     what it costs per pixel on this machine\n"
        "\n"
        "`tilth model VERB --help` explains the options of each. All read tilth's own model file\n"
        "(written by the Python package in python/, or by convert), LightGBM's text, XGBoost's "
        "JSON\n"
        "or UBJSON, CatBoost's JSON and ONNX (docs/model-formats.md), check it and replay its "
        "golden\n"
        "rows. A pickle is never opened: export it where it was trained, with\n"
        "`python3 -m tilth export model.pkl -o model.tilth`.\n",
    .run = run,
};
