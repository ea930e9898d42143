#include "cli/check_document.h"

#include "base/blob.h"
#include "base/errand.h"
#include "base/file.h"
#include "cli/cli.h"
#include "cli/cmd_model.h"
#include "forest/forest.h"
#include "tiler/catalog.h"
#include "tiler/layer.h"
#include "tiler/layer_check.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* What is no mistake, but may be one: classes that are not painted or have another name. */
static void print_classes(const struct layer *layer)
{
    const struct model_info *model = forest_info(layer_forest(layer));
    const struct style *style = layer_info(layer)->styles[0];

    for (uint32_t c = 0; c < model->class_count; c++) {
        const struct model_class *class = &model->classes[c];
        const struct style_class *shown = style_class_of(style, class->value);

        if (!shown)
            printf("note: class %u, \"%s\", is not in the style %s and will not be painted\n",
                   class->value, class->name, style->id);
        else if (strcasecmp(shown->name, class->name) != 0)
            printf("note: class %u is \"%s\" in the model and \"%s\" in the style %s\n",
                   class->value, class->name, shown->name, style->id);
    }
}

static void print_layer(const struct layer *layer)
{
    const struct layer_info *info = layer_info(layer);

    printf("layer %s: a %s, the document is sound\n", info->id,
           info->kind == LAYER_PREDICTION ? "prediction" : "stored raster");
    if (!layer_forest(layer))
        return;
    printf("model %s: %u features, each with an expression, %u classes\n",
           forest_info(layer_forest(layer))->name, forest_info(layer_forest(layer))->feature_count,
           forest_info(layer_forest(layer))->class_count);
    print_classes(layer);
}

/* ---- sources ---- */

static void print_sources(const struct layer *layer, const char *season, bool remote)
{
    struct layer_file file;
    uint32_t opened = 0, left = 0;

    for (uint32_t i = 0; layer_file_at(layer, i, &file); i++) {
        if (!file.season || strcmp(file.season, season) != 0)
            continue;
        if (file.path || remote) {
            opened++;
            continue;
        }
        left++;
        printf("not tried: %s%s%s (--open asks the store)\n", file.what, file.what[0] ? " " : "",
               file.href);
    }
    printf("%s%s%s%u source%s opened%s\n", season[0] ? "season " : "", season,
           season[0] ? ": " : "", opened, opened == 1 ? "" : "s",
           left ? "" : ", bands and grids fit");
}

static enum tl_code try_seasons(struct layer *layer, bool remote, struct tl_err *err)
{
    const struct layer_info *info = layer_info(layer);
    struct errand errand = errand_unbounded();
    enum tl_code worst = TL_OK;

    for (uint32_t s = 0; s < TL_MAX(info->season_count, 1u); s++) {
        const char *season = info->season_count ? info->seasons[s] : "";
        struct tl_err why;
        enum tl_code code = layer_try(layer, s, remote, &errand, &why);

        if (code == TL_OK) {
            print_sources(layer, season, remote);
            continue;
        }
        if (season[0])
            tl_context(&why, code, "season %s: ", season);
        if (worst != TL_OK)
            cli_fail_file(&cmd_check, err);
        worst = code;
        *err = why;
    }
    return worst;
}

enum tl_code check_document(struct app *app, const char *href, bool remote, struct tl_err *err)
{
    struct layer *layer;

    TL_TRY(app_open_documents(app, NULL, err));
    TL_TRY(catalog_add_layer(app->catalog, href, &layer, err));
    print_layer(layer);
    return try_seasons(layer, remote, err);
}

/* ---- another model ---- */

static enum tl_code compare_models(const struct app *app, const char *named, const char *model,
                                   struct tl_err *err)
{
    AUTO(blob) theirs = NULL;
    AUTO(blob) ours = NULL;
    struct tl_err why;

    if (strcmp(named, model) == 0 || file_same(named, model))
        return TL_OK;
    if (model_fetch(app, named, &theirs, &why) != TL_OK)
        return tl_fail(err, TL_INVALID,
                       "the document names another model than %s, which cannot be read: %s", model,
                       why.msg);
    TL_TRY(model_fetch(app, model, &ours, err));
    if (blob_size(theirs) == blob_size(ours) &&
        memcmp(blob_bytes(theirs), blob_bytes(ours), blob_size(ours)) == 0)
        return TL_OK;
    return tl_fail(err, TL_INVALID,
                   "the document names another model, %s: it fits %s but would not be served with "
                   "it; write it into \"model\"",
                   named, model);
}

enum tl_code check_document_model(struct app *app, const char *href, const char *model,
                                  struct tl_err *err)
{
    struct layer_file file;
    struct layer *layer;

    TL_TRY(app_open_documents(app, model, err));
    TL_TRY(catalog_add_layer(app->catalog, href, &layer, err));
    if (!layer_forest(layer))
        return tl_fail(err, TL_INVALID, "%s is of a stored raster, which has no model", href);
    print_layer(layer);
    if (!layer_file_at(layer, 0, &file))
        return TL_OK;
    enum tl_code code = compare_models(app, file.href, model, err);
    return code == TL_OK ? TL_OK : tl_context(err, code, "%s: ", href);
}
