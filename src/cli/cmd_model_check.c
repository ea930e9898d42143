/*
 * `tilth model check`: that a model is sound and gives what it gave, and that a layer or a list of
 * names gives it what it reads. Trees ask for features by number; a layer gives them by name, so a
 * name with a letter wrong is a feature that is not there.
 */
#include "cli/cmd_model.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/json.h"
#include "base/nearest.h"
#include "cli/check_document.h"
#include "forest/load.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static const char *const options[] = {"layer=", "features=", NULL};

/* Names that a document gives; a NULL is behind the last one of each list. */
struct given {
    const char *from;
    const char **names, **small; /* as they are; in small letters */
    size_t count;
};

static bool keep_name(struct given *given, struct arena *arena, const char *name, size_t size)
{
    char *small = arena_printf(arena, "%.*s", (int)size, name);

    given->names[given->count] = arena_printf(arena, "%.*s", (int)size, name);
    for (char *c = small; c && *c; c++)
        *c = (char)tolower((unsigned char)*c);
    given->small[given->count++] = small;
    return small && given->names[given->count - 1];
}

static bool room_for(struct given *given, struct arena *arena, size_t count)
{
    given->names = arena_zalloc(arena, count + 1, sizeof(*given->names));
    given->small = arena_zalloc(arena, count + 1, sizeof(*given->small));
    return given->names && given->small;
}

/* The keys of an object of expressions: of a layer its `features`. */
static enum tl_code names_of_object(struct given *given, struct json_at at, struct arena *arena,
                                    struct tl_err *err)
{
    TL_TRY(json_read_object(at, err));
    bool kept = room_for(given, arena, json_object_size(at.value));

    for (void *i = json_object_iter((json_t *)(uintptr_t)at.value); kept && i;
         i = json_object_iter_next((json_t *)(uintptr_t)at.value, i))
        kept = keep_name(given, arena, json_object_iter_key(i), strlen(json_object_iter_key(i)));
    return kept ? TL_OK : tl_fail(err, TL_NOMEM, "no memory for %s", given->from);
}

static enum tl_code names_of_lines(struct given *given, const struct blob *file,
                                   struct arena *arena, struct tl_err *err)
{
    const char *at = (const char *)blob_bytes(file), *end = at + blob_size(file);
    bool kept = room_for(given, arena, blob_size(file));

    while (kept && at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t line = stop ? (size_t)(stop - at) : (size_t)(end - at), size = line;

        while (size && isspace((unsigned char)at[size - 1]))
            size--;
        kept = size == 0 || keep_name(given, arena, at, size);
        at += line + (stop != NULL);
    }
    return kept ? TL_OK : tl_fail(err, TL_NOMEM, "no memory for %s", given->from);
}

static enum tl_code read_given(const struct app *app, const char *href, bool layer,
                               struct arena *arena, struct given *given, struct tl_err *err)
{
    AUTO(blob) file = NULL;
    AUTO_JSON root = NULL;

    given->from = href;
    TL_TRY(model_fetch(app, href, &file, err));
    const char *text = (const char *)blob_bytes(file);
    if (!layer && (blob_size(file) == 0 || text[0] != '{'))
        return names_of_lines(given, file, arena, err);
    TL_TRY(json_parse(href, text, blob_size(file), &root, err));
    struct json_at at = json_root(href, root);
    return names_of_object(given, layer ? json_key(&at, "features") : at, arena, err);
}

static bool is_among(const char *const *names, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* Leaves the names that are no feature of the model: one of them may have been meant for one. */
static void drop_features(struct given *given, const struct model_info *info)
{
    size_t kept = 0;

    for (size_t i = 0; i < given->count; i++) {
        if (is_among(info->features, info->feature_count, given->names[i]))
            continue;
        given->names[kept] = given->names[i];
        given->small[kept++] = given->small[i];
    }
    given->names[kept] = given->small[kept] = NULL;
    given->count = kept;
}

/* What may have been meant, or NULL. It is meant once: the next guess is another. */
static const char *take_guess(struct given *given, const char *name)
{
    const char *found = NULL;
    char small[256];

    snprintf(small, sizeof(small), "%s", name);
    for (char *c = small; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    const char *near = nearest_word(small, given->small);
    for (size_t i = 0; near && i < given->count && !found; i++)
        if (given->small[i] == near) {
            found = given->names[i];
            given->count--;
            given->names[i] = given->names[given->count];
            given->small[i] = given->small[given->count];
            given->small[given->count] = NULL;
        }
    return found;
}

static void print_missing(struct given *given, uint32_t number, const char *name)
{
    const char *near = take_guess(given, name);

    printf("missing: feature %u of the model, \"%s\"", number, name);
    if (near)
        printf("; it gives \"%s\": is that it?", near);
    printf("\n");
}

static enum tl_code compare_names(const struct model_info *info, struct given *given,
                                  struct arena *arena, struct tl_err *err)
{
    bool *there = arena_alloc(arena, info->feature_count, sizeof(*there));
    uint32_t found = 0;

    if (!there)
        return tl_fail(err, TL_NOMEM, "no memory to compare names");
    for (uint32_t f = 0; f < info->feature_count; f++) {
        there[f] = is_among(given->names, given->count, info->features[f]);
        found += there[f];
    }
    drop_features(given, info);
    for (size_t i = 0; i < given->count; i++)
        printf("not used: \"%s\"\n", given->names[i]);
    for (uint32_t f = 0; f < info->feature_count; f++)
        if (!there[f])
            print_missing(given, f, info->features[f]);
    if (found < info->feature_count)
        return tl_fail(err, TL_INVALID,
                       "%s gives %u of the model's %u features, by name; \"%s\" wants them all: "
                       "rename them there, or in the model with `tilth model convert --features`",
                       given->from, found, info->feature_count, info->name);
    printf("ok: %s gives all %u features of the model\n", given->from, info->feature_count);
    return TL_OK;
}

static void print_verdict(const char *href, const struct model_info *info)
{
    if (!info->golden_rows)
        printf("valid: %s: it has no golden rows, so nothing here proves that it gives what the "
               "library gives\n",
               href);
    else if (info->golden_own)
        printf("ok: %s: %u golden rows give what tilth gave when it converted the model; what the "
               "library gives they cannot say\n",
               href, info->golden_rows);
    else
        printf("ok: %s: %u golden rows give the labels and probabilities of the library\n", href,
               info->golden_rows);
}

/* All of it: the model as it is, and then its compiled form in its place. */
static enum tl_code check_model(const struct app *app, const char *href, struct forest **ret_forest,
                                struct tl_err *err)
{
    AUTO(blob) file = NULL;
    AUTO(forest) forest = NULL;
    AUTO(forest) compiled = NULL;

    TL_TRY(model_fetch(app, href, &file, err));
    TL_TRY(forest_load_as(href, file, FOREST_MODEL, &forest, err));
    print_verdict(href, forest_info(forest));
    const struct forest_section *section = forest_section(forest);
    if (section && section->unused) {
        printf("not used: the compiled form by tilth %s: %s; compile the model again\n",
               section->maker[0] ? section->maker : "?", section->unused);
    } else if (section) {
        TL_TRY(forest_load_as(href, file, FOREST_SECTION, &compiled, err));
        printf("ok: its compiled form gives the same on all of them\n");
    }
    *ret_forest = TL_TAKE(forest);
    return TL_OK;
}

static enum tl_code run_check(struct app *app, const struct args *args, struct tl_err *err)
{
    AUTO(forest) forest = NULL;
    AUTO(arena) arena = arena_new();

    if (!arena)
        return tl_fail(err, TL_NOMEM, "no memory to check a model");
    TL_TRY(check_model(app, args->positional[1], &forest, err));
    for (size_t i = 0; options[i]; i++) {
        const char *href = args_value(args, options[i]);
        struct given given = {0};

        if (!href)
            continue;
        TL_TRY(read_given(app, href, i == 0, arena, &given, err));
        TL_TRY(compare_names(forest_info(forest), &given, arena, err));
        if (i == 0)
            TL_TRY(check_document_model(app, href, args->positional[1], err));
    }
    return TL_OK;
}

const struct model_verb model_verb_check = {
    .command =
        {.name = "model check",
         .help =
             "usage: tilth model check FILE|URL [--layer DOCUMENT] [--features FILE]\n"
             "                   [--styles-dir DIR]\n"
             "\n"
             "Loads a model, checks it and replays its golden rows. With a document, says what "
             "`serve`\n"
             "would say of it and this model, without opening its rasters (`tilth check "
             "DOCUMENT`\n"
             "opens them).\n"
             "\n"
             "  --layer DOCUMENT   a layer's JSON: its features, expressions, outputs, "
             "post-processing,\n"
             "                     area of interest and styles; and that it names this model\n"
             "  --features FILE    names, one per line, or a JSON object of expressions: whether "
             "they\n"
             "                     give every feature of the model, by name\n"
             "  --styles-dir DIR   where the layer's styles are\n"
             "\n"
             "  tilth model check crops.tilth --layer layers/crops.json --styles-dir styles\n"},
    .own = options,
    .run = run_check};
