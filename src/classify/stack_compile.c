/*
 * The features of a stack: their bands become planes, each is compiled by itself (which makes
 * its table, when it can have one), and those without a table once more together.
 */
#include "classify/prediction.h"
#include "classify/stack_private.h"
#include "feature/feature.h"
#include "forest/forest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static enum tl_code no_memory(struct tl_err *err)
{
    return tl_fail(err, TL_NOMEM, "no memory for the features of a prediction");
}

/* What the band resolver needs: who asks, and whether it could not find the last band. */
struct binding {
    struct stack *stack;
    const struct prediction_spec *spec;
    bool fills; /* the feature at hand says what it is where a band is invalid */
    bool missing;
};

/* The place of `band` among the used ones of the source; adds it. */
static uint16_t use_band(struct stack_source *source, uint16_t band)
{
    uint16_t i = 0;

    while (i < source->band_count && source->bands[i] != band)
        i++;
    if (i == source->band_count)
        source->bands[source->band_count++] = band;
    return i;
}

/* The plane of a band, or the number of planes when there is none. */
static uint32_t find_plane(const struct stack *stack, uint32_t source, uint16_t band)
{
    uint32_t i = 0;

    for (; i < stack->plane_count; i++) {
        const struct stack_source *from = &stack->sources[stack->planes[i].source];

        if (from->layer_source == source && from->bands[stack->planes[i].band] == band)
            break;
    }
    return i;
}

/* A source of one band, behind those of the layer; there is room for every band. */
static uint32_t add_gappy(struct stack *stack, uint32_t source)
{
    struct stack_source *to = &stack->sources[stack->source_count];

    *to = stack->sources[source];
    to->band_count = 0;
    to->gappy = true;
    to->bands = &stack->gappy_bands[stack->source_count - stack->layer_sources];
    return stack->source_count++;
}

/* Features without a fill come first: what they use settles pixels, whoever else uses it. */
static int use_plane(const struct binding *binding, uint32_t source, uint16_t band)
{
    struct stack *stack = binding->stack;
    uint32_t i = find_plane(stack, source, band);

    if (i == stack->plane_count) {
        uint32_t from = binding->fills ? add_gappy(stack, source) : source;
        stack->planes[stack->plane_count++] =
            (struct stack_plane){from, use_band(&stack->sources[from], band)};
    }
    return (int)i;
}

static bool name_is(const char *name, size_t size, const char *expected)
{
    return strlen(expected) == size && memcmp(name, expected, size) == 0;
}

/* "s1.red": the source's id, a point, the band's name. */
static bool resolve_band(void *udata, const char *name, size_t size, struct feature_band *ret_band)
{
    struct binding *binding = udata;

    for (uint32_t s = 0; s < binding->spec->source_count; s++) {
        const struct prediction_source *source = &binding->spec->sources[s];
        size_t id = strlen(source->id);

        if (size <= id || name[id] != '.' || memcmp(name, source->id, id) != 0)
            continue;
        for (uint16_t b = 0; b < source->band_count; b++) {
            if (!name_is(name + id + 1, size - id - 1, source->band_names[b]))
                continue;
            *ret_band =
                (struct feature_band){.plane = use_plane(binding, s, source->band_index[b]),
                                      .scale = source->band_scale ? source->band_scale[b] : 1,
                                      .offset = source->band_offset ? source->band_offset[b] : 0};
            binding->missing = false;
            return true;
        }
    }
    binding->missing = true;
    return false;
}

/* Puts what bands there are behind a refusal, as many as fit. */
static enum tl_code list_bands(const struct prediction_spec *spec, enum tl_code code,
                               struct tl_err *err)
{
    struct tl_err refusal = *err;
    char list[160] = "";
    size_t at = 0;

    for (uint32_t s = 0; s < spec->source_count; s++) {
        const struct prediction_source *source = &spec->sources[s];
        for (uint16_t b = 0; b < source->band_count && at < sizeof(list); b++)
            at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s.%s", at ? ", " : "",
                                   source->id, source->band_names[b]);
    }
    return tl_fail(err, code, "%.300s; there are %s%s", refusal.msg, list,
                   at >= sizeof(list) ? "..." : "");
}

static enum tl_code compile(struct stack *stack, const struct prediction_spec *spec, uint32_t f,
                            struct tl_err *err)
{
    const struct model_info *model = forest_info(spec->forest);
    const struct feature_text text = {
        .name = model->features[f], .text = spec->features[f], .fill = stack->fills[f]};
    struct binding binding = {.stack = stack, .spec = spec, .fills = text.fill.fills};

    if (!text.text)
        return tl_fail(err, TL_INVALID,
                       "the model has %u features and there is no expression for number %u, \"%s\"",
                       model->feature_count, f + 1, model->features[f]);
    enum tl_code code = features_compile(&text, 1, resolve_band, &binding, &stack->alone[f], err);
    return code != TL_OK && binding.missing ? list_bands(spec, code, err) : code;
}

static enum tl_code check_fill(const struct model_info *model, uint32_t f,
                               const struct feature_fill *fill, struct tl_err *err)
{
    if (fill->fills && isnan(fill->value) && !model->takes_nan)
        return tl_fail(
            err, TL_INVALID,
            "feature \"%s\": filled with NaN, and this model (%s) has no rule for what is "
            "missing; fill it with a number",
            model->features[f], model->kind);
    return TL_OK;
}

/* Each by itself: first those whose bands must be valid, then those that are filled. */
static enum tl_code compile_alone(struct stack *stack, const struct prediction_spec *spec,
                                  struct tl_err *err)
{
    for (int fills = 0; fills < 2; fills++) {
        for (uint32_t f = 0; f < stack->feature_count; f++) {
            if (spec->fills)
                stack->fills[f] = spec->fills[f];
            if (stack->fills[f].fills != fills)
                continue;
            TL_TRY(check_fill(forest_info(spec->forest), f, &stack->fills[f], err));
            TL_TRY(compile(stack, spec, f, err));
        }
    }
    return TL_OK;
}

/* Those that no table knows, as one program. */
static enum tl_code compile_together(struct stack *stack, const struct prediction_spec *spec,
                                     struct tl_err *err)
{
    const struct model_info *model = forest_info(spec->forest);
    struct binding binding = {.stack = stack, .spec = spec};
    struct feature_text *texts = calloc(TL_MAX(stack->feature_count, 1u), sizeof(*texts));
    enum tl_code code = TL_OK;

    if (!texts)
        return no_memory(err);
    for (uint32_t f = 0; f < stack->feature_count; f++) {
        if (stack->codes[f].table)
            continue;
        texts[stack->computed_count] = (struct feature_text){
            .name = model->features[f], .text = spec->features[f], .fill = stack->fills[f]};
        stack->computed[stack->computed_count++] = f;
    }
    if (stack->computed_count)
        code = features_compile(texts, stack->computed_count, resolve_band, &binding,
                                &stack->together, err);
    free(texts);
    return code;
}

enum tl_code stack_compile(struct stack *stack, const struct prediction_spec *spec,
                           struct tl_err *err)
{
    TL_TRY(compile_alone(stack, spec, err));
    TL_TRY(stack_make_codes(stack, spec->forest, err));
    return compile_together(stack, spec, err);
}
