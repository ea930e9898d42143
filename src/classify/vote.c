/*
 * Pixels that cannot be classified are settled first, the rest goes through the forest in one
 * run, compacted: a window that is mostly masked costs what its crops cost.
 *
 * Where the layer smooths, what goes through the forest is the pixels and all within reach of them,
 * for its probabilities alone; everything else follows from the means. Approximations are not
 * smoothed: their pixels are means already, and neighbours 2^level times as far away.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/errand.h"
#include "base/metric.h"
#include "classify/prediction_private.h"
#include "classify/smooth.h"
#include "classify/stack.h"
#include "forest/forest.h"
#include "forest/output.h"

#include <string.h>

/* The pixels that go on to the next step: where they are in the window and in the results. */
struct lanes {
    uint32_t *pixel;
    uint32_t *result;
    size_t count;
    struct stack_features features;
};

static enum tl_code no_memory(size_t count, struct tl_err *err)
{
    return tl_fail(err, TL_NOMEM, "no memory to classify %zu pixels", count);
}

static enum tl_code settle(const struct vote *vote, const uint32_t *pixels, size_t count,
                           struct lanes *lanes, uint8_t *label, struct tl_err *err)
{
    lanes->pixel = arena_alloc(vote->arena, count, sizeof(*lanes->pixel));
    lanes->result = arena_alloc(vote->arena, count, sizeof(*lanes->result));
    lanes->count = 0;
    if (!lanes->pixel || !lanes->result)
        return no_memory(count, err);
    for (size_t i = 0; i < count; i++) {
        label[i] = vote->window->verdict[pixels[i]];
        if (label[i] != STACK_CLASSIFY)
            continue;
        lanes->pixel[lanes->count] = pixels[i];
        lanes->result[lanes->count++] = (uint32_t)i;
    }
    return TL_OK;
}

/* A feature that is not a number makes the pixel nodata: moves the others together. */
static void drop_unknown(const struct vote *vote, struct lanes *lanes, uint8_t *label)
{
    struct stack_features *features = &lanes->features;
    size_t kept = 0;

    if (!features->unknown)
        return;
    stack_drop_unknown(vote->window->stack, features);
    for (size_t i = 0; i < lanes->count; i++) {
        if (features->unknown[i])
            label[lanes->result[i]] = CLASS_NODATA;
        lanes->result[kept] = lanes->result[i];
        kept += !features->unknown[i];
    }
    lanes->count = kept;
}

/* Features of what can be classified, and the labels of what cannot. */
static enum tl_code look(const struct vote *vote, const uint32_t *pixels, size_t count,
                         struct lanes *lanes, uint8_t *label, struct tl_err *err)
{
    TL_TRY(settle(vote, pixels, count, lanes, label, err));
    if (!lanes->count)
        return TL_OK;
    TL_TRY(stack_features(vote->window, lanes->pixel, lanes->count, vote->arena, &lanes->features,
                          err));
    drop_unknown(vote, lanes, label);
    return TL_OK;
}

/* What the bands are made of; NULL where none is. */
static bool alloc_output(const struct vote *vote, size_t count, struct forest_output *ret)
{
    const struct prediction *prediction = vote->prediction;
    uint32_t classes = forest_info(prediction->forest)->class_count;
    bool wanted[PREDICTION_PROBABILITY + 1] = {false};

    for (uint16_t b = 0; b < prediction->pyramid.bands; b++)
        wanted[prediction->bands[b].what] = true;
    *ret = (struct forest_output){.label = arena_alloc(vote->arena, count, 1),
                                  .confidence = arena_alloc(vote->arena, count, 1)};
    if (wanted[PREDICTION_MARGIN])
        ret->margin = arena_alloc(vote->arena, count, sizeof(*ret->margin));
    if (wanted[PREDICTION_ENTROPY])
        ret->entropy = arena_alloc(vote->arena, count, sizeof(*ret->entropy));
    if (wanted[PREDICTION_PROBABILITY])
        ret->percent = arena_alloc(vote->arena, count, classes);
    return ret->label && ret->confidence && (ret->margin || !wanted[PREDICTION_MARGIN]) &&
           (ret->entropy || !wanted[PREDICTION_ENTROPY]) &&
           (ret->percent || !wanted[PREDICTION_PROBABILITY]);
}

/* Each to where it belongs. */
static void scatter(const struct lanes *lanes, const uint8_t *from, uint8_t *to)
{
    for (size_t i = 0; i < lanes->count; i++)
        to[lanes->result[i]] = from[i];
}

/* In whole percent, halves up. */
static void scatter_share(const struct lanes *lanes, const float *from, uint8_t *to)
{
    for (size_t i = 0; i < lanes->count; i++)
        to[lanes->result[i]] = forest_percent((double)from[i]);
}

static void scatter_band(const struct prediction_band *band, const struct lanes *lanes,
                         const struct forest_output *out, uint8_t *to)
{
    switch (band->what) {
    case PREDICTION_LABEL:
        scatter(lanes, out->label, to);
        return;
    case PREDICTION_CONFIDENCE:
        scatter(lanes, out->confidence, to);
        return;
    case PREDICTION_MARGIN:
        scatter_share(lanes, out->margin, to);
        return;
    case PREDICTION_ENTROPY:
        scatter_share(lanes, out->entropy, to);
        return;
    case PREDICTION_PROBABILITY:
        scatter(lanes, out->percent + band->class * lanes->count, to);
        return;
    }
}

/* `samples` are [band][count]. */
static void scatter_bands(const struct vote *vote, const struct lanes *lanes,
                          const struct forest_output *out, size_t count, uint8_t *samples)
{
    const struct prediction *prediction = vote->prediction;

    for (uint16_t b = 0; b < prediction->pyramid.bands; b++)
        scatter_band(&prediction->bands[b], lanes, out, samples + b * count);
}

static enum tl_code classify(const struct vote *vote, const uint32_t *pixels, size_t count,
                             uint8_t *samples, struct tl_err *err)
{
    struct forest_output out;
    struct lanes lanes;

    TL_TRY(look(vote, pixels, count, &lanes, samples, err));
    if (!lanes.count)
        return TL_OK;
    if (!alloc_output(vote, lanes.count, &out))
        return no_memory(lanes.count, err);
    TL_TRY(forest_run(vote->prediction->forest, &lanes.features.pixels, vote->errand, vote->arena,
                      &out, err));
    scatter_bands(vote, &lanes, &out, count, samples);
    metric_add(METRIC_CLASSIFIED_PIXELS, (int64_t)lanes.count);
    return TL_OK;
}

/* ---- smoothed ---- */

/* Probabilities of all that is within reach of some pixels. */
struct votes {
    struct smooth_field field;
    struct smooth_planes planes;
};

/* As the forest gives them. */
static enum tl_code gather(const struct vote *vote, struct votes *votes, struct tl_err *err)
{
    const struct prediction *prediction = vote->prediction;
    struct smooth_field *field = &votes->field;
    struct lanes lanes;

    uint8_t *label = arena_alloc(vote->arena, field->pixel_count, sizeof(*label));
    if (!label)
        return no_memory(field->pixel_count, err);
    TL_TRY(look(vote, field->pixels, field->pixel_count, &lanes, label, err));
    votes->planes = (struct smooth_planes){
        .columns = lanes.count, .class_count = forest_info(prediction->forest)->class_count};
    if (!lanes.count)
        return TL_OK;
    votes->planes.p =
        arena_alloc(vote->arena, lanes.count * votes->planes.class_count, sizeof(*votes->planes.p));
    if (!votes->planes.p)
        return no_memory(lanes.count, err);
    const struct forest_output out = {.probability = votes->planes.p};
    TL_TRY(forest_run(prediction->forest, &lanes.features.pixels, vote->errand, vote->arena, &out,
                      err));
    for (size_t i = 0; i < lanes.count; i++)
        field->column[smooth_cell(field, field->pixels[lanes.result[i]])] = (uint32_t)i;
    return TL_OK;
}

/* One smoothing is still to be done. */
static enum tl_code gather_smoothed(const struct vote *vote, const uint32_t *pixels, size_t count,
                                    struct votes *votes, struct tl_err *err)
{
    const struct stack_place *at = &vote->window->at;
    const struct smooth_want want = {at->width, at->height, pixels, count,
                                     vote->prediction->smooth};

    TL_TRY(smooth_field_new(&want, vote->arena, &votes->field, err));
    TL_TRY(gather(vote, votes, err));
    return smooth_but_once(&votes->field, &votes->planes, vote->arena, err);
}

/* Pixels without probabilities, for a feature that was no number: moves the others together. */
static void drop_silent(const struct votes *votes, struct lanes *lanes, uint8_t *label)
{
    size_t kept = 0;

    for (size_t i = 0; i < lanes->count; i++) {
        size_t cell = smooth_cell(&votes->field, lanes->pixel[i]);
        bool silent = votes->field.column[cell] == SMOOTH_NOTHING;

        if (silent)
            label[lanes->result[i]] = CLASS_NODATA;
        lanes->pixel[kept] = lanes->pixel[i];
        lanes->result[kept] = lanes->result[i];
        kept += !silent;
    }
    lanes->count = kept;
}

static enum tl_code classify_smoothed(const struct vote *vote, const uint32_t *pixels, size_t count,
                                      uint8_t *samples, struct tl_err *err)
{
    const struct model_info *model = forest_info(vote->prediction->forest);
    double p[MODEL_MAX_CLASSES];
    struct forest_output out;
    struct votes votes;
    struct lanes lanes;

    TL_TRY(gather_smoothed(vote, pixels, count, &votes, err));
    TL_TRY(settle(vote, pixels, count, &lanes, samples, err));
    drop_silent(&votes, &lanes, samples);
    if (!lanes.count)
        return TL_OK;
    if (!alloc_output(vote, lanes.count, &out))
        return no_memory(lanes.count, err);
    for (size_t i = 0; i < lanes.count; i++) {
        smooth_mean(&votes.field, &votes.planes, smooth_cell(&votes.field, lanes.pixel[i]), p);
        forest_write(model, p, i, lanes.count, &out);
    }
    scatter_bands(vote, &lanes, &out, count, samples);
    metric_add(METRIC_CLASSIFIED_PIXELS, (int64_t)votes.planes.columns);
    return TL_OK;
}

enum tl_code vote_smoothed_pixel(const struct vote *vote, uint32_t pixel,
                                 const struct forest_output *ret_output, struct tl_err *err)
{
    double p[MODEL_MAX_CLASSES];
    struct votes votes;

    TL_TRY(gather_smoothed(vote, &pixel, 1, &votes, err));
    smooth_mean(&votes.field, &votes.planes, smooth_cell(&votes.field, pixel), p);
    forest_write(forest_info(vote->prediction->forest), p, 0, 1, ret_output);
    return TL_OK;
}

enum tl_code vote_pixels(const struct vote *vote, const uint32_t *pixels, size_t count,
                         uint8_t *ret_samples, struct tl_err *err)
{
    size_t further = (size_t)(vote->prediction->pyramid.bands - CLASS_BANDS) * count;
    bool smooth = vote->prediction->smooth && !vote->window->at.level;
    int64_t start = clock_now_ns();

    memset(ret_samples + count, 0, count);
    memset(ret_samples + CLASS_BANDS * count, CLASS_UNSAID, further);
    if (smooth)
        TL_TRY(classify_smoothed(vote, pixels, count, ret_samples, err));
    else
        TL_TRY(classify(vote, pixels, count, ret_samples, err));
    errand_lap(vote->errand, STAGE_CLASSIFY, start);
    return TL_OK;
}
