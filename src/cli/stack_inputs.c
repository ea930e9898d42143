#include "cli/stack_inputs.h"

#include "base/arena.h"
#include "classify/prediction.h"
#include "geo/bbox.h"
#include "model/info.h"
#include "raster/raster.h"
#include "tiler/layer_extent.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum tl_code no_memory(struct tl_err *err)
{
    return tl_fail(err, TL_NOMEM, "no memory for names of bands and features");
}

/* ---- names of bands ---- */

static bool is_word(const char *text)
{
    if (!text || !(isalpha((unsigned char)text[0]) || text[0] == '_'))
        return false;
    for (const char *c = text; *c; c++)
        if (!isalnum((unsigned char)*c) && *c != '_')
            return false;
    return true;
}

/* The first band that the file calls so; `count` when none is. */
static uint16_t first_called(const struct raster_info *info, uint16_t count, const char *name)
{
    uint16_t b = 0;

    while (b < count && !(info->band_names[b] && strcmp(info->band_names[b], name) == 0))
        b++;
    return b;
}

static const char *name_band(const struct raster_info *info, uint16_t count, uint16_t b,
                             struct arena *arena)
{
    const char *own = info->band_names[b];

    if (is_word(own) && first_called(info, count, own) == b)
        return own;
    char *name = arena_printf(arena, "b%u", b + 1u);
    return name && first_called(info, count, name) < count ? arena_printf(arena, "b%u_", b + 1u)
                                                           : name;
}

enum tl_code stack_inputs_name_bands(struct block_source *opened, size_t at, struct arena *arena,
                                     struct prediction_source *ret_source, struct tl_err *err)
{
    uint16_t count = opened->pyramid->bands;
    const char **names = arena_alloc(arena, count, sizeof(*names));
    uint16_t *index = arena_alloc(arena, count, sizeof(*index));
    const char *id = arena_printf(arena, "s%zu", at + 1);

    if (!names || !index || !id)
        return no_memory(err);
    for (uint16_t b = 0; b < count; b++) {
        index[b] = b;
        names[b] = name_band(raster_info(opened), count, b, arena);
        if (!names[b])
            return no_memory(err);
    }
    *ret_source = (struct prediction_source){.id = id,
                                             .source = opened,
                                             .resampling = RESAMPLE_NEAREST,
                                             .band_count = count,
                                             .band_names = names,
                                             .band_index = index};
    return TL_OK;
}

/* ---- by name ---- */

static const char *own_name(const struct stack_inputs *inputs, size_t i, uint16_t b)
{
    return raster_info(inputs->opened[i])->band_names[b];
}

/* "s1.red" of the one band that is called as the feature; NULL where there is none. */
static enum tl_code band_of_feature(const struct stack_inputs *inputs, const char *feature,
                                    struct arena *arena, const char **ret_text, struct tl_err *err)
{
    const char *text = NULL;

    for (size_t i = 0; i < inputs->count; i++) {
        const struct prediction_source *source = &inputs->sources[i];

        for (uint16_t b = 0; b < source->band_count; b++) {
            const char *own = own_name(inputs, i, b);

            if (strcmp(is_word(own) ? own : source->band_names[b], feature) != 0)
                continue;
            if (text)
                return tl_fail(err, TL_INVALID,
                               "the model's feature \"%s\" is the name of two bands, %s and %s.%s; "
                               "say which with --features FILE",
                               feature, text, source->id, source->band_names[b]);
            text = arena_printf(arena, "%s.%s", source->id, source->band_names[b]);
            if (!text)
                return no_memory(err);
        }
    }
    *ret_text = text;
    return TL_OK;
}

/* ---- in order ---- */

/* "f0", "f1", .. or "Band 1", "Band 2", ..: names that count and say nothing else. */
static bool counts(const char *const *names, uint32_t count)
{
    size_t stem = count && names[0] ? strcspn(names[0], "0123456789") : 0;
    bool from_one = stem && names[0][stem] == '1';

    for (uint32_t i = 0; i < count; i++) {
        char number[16];

        snprintf(number, sizeof(number), "%u", i + from_one);
        if (!names[i] || strncmp(names[i], names[0], stem) != 0 ||
            strcmp(names[i] + stem, number) != 0)
            return false;
    }
    return count > 0;
}

/* Whether a band has a name that says something, and that is of no feature. */
static bool bands_speak(const struct stack_inputs *inputs)
{
    for (size_t i = 0; i < inputs->count; i++) {
        const struct raster_info *info = raster_info(inputs->opened[i]);
        uint16_t count = inputs->sources[i].band_count;

        for (uint16_t b = 0; !counts(info->band_names, count) && b < count; b++)
            if (info->band_names[b] && info->band_names[b][0])
                return true;
    }
    return false;
}

static void print_order(const struct stack_inputs *inputs, const struct model_info *model)
{
    uint32_t at = 0;

    for (size_t i = 0; i < inputs->count; i++)
        for (uint16_t b = 0; b < inputs->sources[i].band_count; b++) {
            const char *own = own_name(inputs, i, b);

            fprintf(stderr, "  %s:%u", inputs->hrefs[i], b + 1u);
            if (own && own[0])
                fprintf(stderr, " \"%s\"", own);
            fprintf(stderr, " -> %s\n", model->features[at++]);
        }
}

static enum tl_code check_order(const struct stack_inputs *inputs, const struct model_info *model,
                                struct tl_err *err)
{
    uint32_t total = 0;
    bool refused =
        !inputs->in_order && bands_speak(inputs) && !counts(model->features, model->feature_count);

    for (size_t i = 0; i < inputs->count; i++)
        total += inputs->sources[i].band_count;
    if (total != model->feature_count)
        return tl_fail(err, TL_INVALID,
                       "no band is called as a feature of the model (the first is \"%s\"), and %u "
                       "bands cannot stand for %u features in order; name them with --features "
                       "FILE, a JSON object of expressions such as {\"%s\": \"s1.b1 / 10000\"}",
                       model->features[0], total, model->feature_count, model->features[0]);
    if (!inputs->quiet) {
        fprintf(stderr, "tilth classify: bands %s in order:\n",
                refused ? "would be taken" : "are taken");
        print_order(inputs, model);
    }
    return refused ? tl_fail(err, TL_INVALID,
                             "the bands have names, and none is called as a feature of the model "
                             "(the first is \"%s\"); say which is which with --features FILE, or "
                             "take them in order, --in-order",
                             model->features[0])
                   : TL_OK;
}

/* The bands in the order of the command line, if they are as many. */
static enum tl_code bands_in_order(const struct stack_inputs *inputs,
                                   const struct model_info *model, struct arena *arena,
                                   const char **ret_texts, struct tl_err *err)
{
    uint32_t at = 0;

    TL_TRY(check_order(inputs, model, err));
    for (size_t i = 0; i < inputs->count; i++) {
        const struct prediction_source *source = &inputs->sources[i];

        for (uint16_t b = 0; b < source->band_count; b++) {
            ret_texts[at] = arena_printf(arena, "%s.%s", source->id, source->band_names[b]);
            if (!ret_texts[at++])
                return no_memory(err);
        }
    }
    return TL_OK;
}

enum tl_code stack_inputs_features(const struct stack_inputs *inputs,
                                   const struct model_info *model, struct arena *arena,
                                   const char **ret_texts, struct tl_err *err)
{
    const char *missing = NULL;
    uint32_t found = 0;

    if (inputs->in_order)
        return bands_in_order(inputs, model, arena, ret_texts, err);
    for (uint32_t f = 0; f < model->feature_count; f++) {
        TL_TRY(band_of_feature(inputs, model->features[f], arena, &ret_texts[f], err));
        found += ret_texts[f] != NULL;
        if (!ret_texts[f] && !missing)
            missing = model->features[f];
    }
    if (found == 0)
        return bands_in_order(inputs, model, arena, ret_texts, err);
    return missing ? tl_fail(err, TL_INVALID,
                             "no band is called \"%s\", a feature of the model; describe the "
                             "bands (gdal_edit.py) or name them with --features FILE",
                             missing)
                   : TL_OK;
}

/* ---- where they are ---- */

enum tl_code stack_inputs_meet(const struct stack_inputs *inputs, struct tl_err *err)
{
    struct bbox grid, input;

    TL_TRY(layer_extent_lonlat(inputs->opened[0]->pyramid, &grid, err));
    for (size_t i = 1; i < inputs->count; i++) {
        TL_TRY(layer_extent_lonlat(inputs->opened[i]->pyramid, &input, err));
        if (layer_extents_meet(grid, input))
            continue;
        return tl_fail(err, TL_INVALID,
                       "%s covers %.4f,%.4f to %.4f,%.4f (longitude, latitude), the grid, that of "
                       "%s, %.4f,%.4f to %.4f,%.4f: they share nothing, so every pixel would be "
                       "nodata",
                       inputs->hrefs[i], input.xmin, input.ymin, input.xmax, input.ymax,
                       inputs->hrefs[0], grid.xmin, grid.ymin, grid.xmax, grid.ymax);
    }
    return TL_OK;
}
