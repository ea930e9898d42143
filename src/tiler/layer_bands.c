#include "tiler/layer_bands.h"

#include "base/arena.h"
#include "base/buf.h"
#include "classify/prediction_band.h"
#include "forest/forest.h"
#include "tiler/layer_doc.h"
#include "tiler/style.h"

#include <stdbool.h>
#include <string.h>

_Static_assert(LAYER_MAX_STYLES >= DOC_MAX_STYLES + PREDICTION_MAX_BANDS, "a style per band");

/* Bands as they are found in the document. */
struct finding {
    const struct model_info *model;
    struct prediction_band bands[PREDICTION_MAX_BANDS];
    uint32_t count;
};

static bool same_band(const struct prediction_band *a, const struct prediction_band *b)
{
    return a->what == b->what && (a->what != PREDICTION_PROBABILITY || a->class == b->class);
}

static enum tl_code add_band(struct finding *finding, struct prediction_band band,
                             struct tl_err *err)
{
    char name[BAND_NAME_ROOM];
    struct prediction_band found;

    prediction_band_name(&band, finding->model, name);
    /* A name that was cut, or that an earlier class has, leads elsewhere. */
    if (prediction_band_find(name, finding->model, &found, err) != TL_OK ||
        !same_band(&found, &band))
        return tl_fail(err, TL_INVALID,
                       "\"outputs\": class %u has a name that is too long for a band, or that "
                       "another class has: \"%.64s\"",
                       finding->model->classes[band.class].value,
                       finding->model->classes[band.class].name);
    for (uint32_t i = 0; i < finding->count; i++)
        if (same_band(&finding->bands[i], &band))
            return tl_fail(err, TL_INVALID, "\"outputs\": %s is there %s", name,
                           i < 2 ? "always, leave it out" : "twice");
    if (finding->count == PREDICTION_MAX_BANDS)
        return tl_fail(err, TL_LIMIT,
                       "\"outputs\": more than %d bands; name the classes whose probability is "
                       "wanted, \"probability:%.48s\"",
                       PREDICTION_MAX_MORE, finding->model->classes[0].name);
    finding->bands[finding->count++] = band;
    return TL_OK;
}

static enum tl_code find_band(struct finding *finding, const char *name, struct tl_err *err)
{
    struct prediction_band band = {.what = PREDICTION_PROBABILITY};
    struct tl_err why;

    if (strcmp(name, "probability") != 0) {
        if (prediction_band_find(name, finding->model, &band, &why) != TL_OK)
            return tl_fail(err, TL_INVALID, "\"outputs\": %s", why.msg);
        return add_band(finding, band, err);
    }
    for (uint32_t c = 0; c < finding->model->class_count; c++) {
        band.class = (uint16_t)c;
        TL_TRY(add_band(finding, band, err));
    }
    return TL_OK;
}

static enum tl_code keep(const struct finding *finding, struct arena *arena,
                         struct layer_bands *ret_bands, struct tl_err *err)
{
    uint32_t count = finding->count;
    struct prediction_band *bands = arena_alloc(arena, count, sizeof(*bands));
    const char **names = arena_alloc(arena, count, sizeof(*names));
    struct style *styles = arena_alloc(arena, count - 1, sizeof(*styles));
    char name[BAND_NAME_ROOM];

    if (!bands || !names || !styles)
        return tl_fail(err, TL_NOMEM, "no memory for %u bands", count);
    memcpy(bands, finding->bands, count * sizeof(*bands));
    for (uint32_t b = 0; b < count; b++) {
        prediction_band_name(&bands[b], finding->model, name);
        names[b] = arena_printf(arena, "%s", name);
        if (!names[b])
            return tl_fail(err, TL_NOMEM, "no memory for %u bands", count);
        if (b > 0)
            style_of_band(name, (uint16_t)(b + 1), &styles[b - 1]);
    }
    *ret_bands = (struct layer_bands){count, bands, names, styles};
    return TL_OK;
}

enum tl_code layer_bands_make(const struct layer_doc *doc, const struct model_info *model,
                              struct arena *arena, struct layer_bands *ret_bands,
                              struct tl_err *err)
{
    struct finding finding = {
        .model = model,
        .bands = {{.what = PREDICTION_LABEL}, {.what = PREDICTION_CONFIDENCE}},
        .count = 2};

    for (uint32_t i = 0; i < doc->output_count; i++)
        TL_TRY(find_band(&finding, doc->outputs[i], err));
    return keep(&finding, arena, ret_bands, err);
}

/* ---- what an address asks for ---- */

/* The style that paints a band; NULL. */
static const struct style *style_called(const struct layer_info *info, const char *id)
{
    for (uint32_t i = 0; i < info->style_count; i++)
        if (strcmp(info->styles[i]->id, id) == 0)
            return info->styles[i];
    return NULL;
}

static enum tl_code no_such_band(const struct layer *layer, const char *name, bool could_be,
                                 struct tl_err *err)
{
    const struct layer_info *info = layer_info(layer);
    AUTO_BUF list = {0};

    for (uint32_t b = 0; b < info->band_count; b++)
        buf_printf(&list, "%s%s", b ? ", " : "", info->bands[b]);
    buf_append(&list, "", 1);
    if (buf_failed(&list))
        return tl_fail(err, TL_NOMEM, "no memory to list bands");
    if (could_be)
        return tl_fail(err, TL_ABSENT,
                       "layer %s does not keep %s; its bands are %.256s. \"outputs\": [\"%s\"] in "
                       "the layer's document adds it",
                       info->id, name, (const char *)list.bytes, name);
    return tl_fail(err, TL_ABSENT, "layer %s has no band \"%.64s\"; its bands are %.256s", info->id,
                   name, (const char *)list.bytes);
}

enum tl_code layer_band_style(const struct layer *layer, const char *name,
                              const struct style **ret_style, struct tl_err *err)
{
    const struct layer_info *info = layer_info(layer);
    struct prediction_band band;
    char full[BAND_NAME_ROOM];
    struct tl_err ignored;

    if (!layer_forest(layer))
        return layer_style(layer, name, ret_style, err);
    const struct model_info *model = forest_info(layer_forest(layer));
    if (prediction_band_find(name, model, &band, &ignored) != TL_OK)
        return no_such_band(layer, name, false, err);
    prediction_band_name(&band, model, full);
    const struct style *style =
        band.what == PREDICTION_LABEL ? info->styles[0] : style_called(info, full);
    if (!style)
        return no_such_band(layer, full, true, err);
    *ret_style = style;
    return TL_OK;
}
