/*
 * Pixels that cannot be classified are settled first, the rest goes through the forest in one
 * run, compacted: a window that is mostly masked costs what its crops cost.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/errand.h"
#include "base/metric.h"
#include "classify/forest.h"
#include "classify/forest_output.h"
#include "classify/prediction_private.h"
#include "classify/stack.h"

#include <string.h>

/* The pixels that go on to the next step: where they are in the window and in the results. */
struct lanes {
    uint32_t *pixel;
    uint32_t *result;
    size_t count;
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
static void drop_unknown(const struct vote *vote, struct stack_features *features,
                         struct lanes *lanes, uint8_t *label)
{
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
static enum tl_code classify(const struct vote *vote, const struct lanes *lanes,
                             const struct forest_pixels *pixels, size_t count, uint8_t *samples,
                             struct tl_err *err)
{
    const struct prediction *prediction = vote->prediction;
    struct forest_output out;

    if (!alloc_output(vote, lanes->count, &out))
        return no_memory(lanes->count, err);
    TL_TRY(forest_run(prediction->forest, pixels, vote->errand, vote->arena, &out, err));
    for (uint16_t b = 0; b < prediction->pyramid.bands; b++)
        scatter_band(&prediction->bands[b], lanes, &out, samples + b * count);
    metric_add(METRIC_CLASSIFIED_PIXELS, (int64_t)lanes->count);
    return TL_OK;
}

enum tl_code vote_pixels(const struct vote *vote, const uint32_t *pixels, size_t count,
                         uint8_t *ret_samples, struct tl_err *err)
{
    size_t further = (size_t)(vote->prediction->pyramid.bands - CLASS_BANDS) * count;
    int64_t start = clock_now_ns();
    struct lanes lanes;
    struct stack_features features;

    memset(ret_samples + count, 0, count);
    memset(ret_samples + CLASS_BANDS * count, CLASS_UNSAID, further);
    TL_TRY(settle(vote, pixels, count, &lanes, ret_samples, err));
    if (lanes.count) {
        TL_TRY(stack_features(vote->window, lanes.pixel, lanes.count, vote->arena, &features, err));
        drop_unknown(vote, &features, &lanes, ret_samples);
    }
    if (lanes.count)
        TL_TRY(classify(vote, &lanes, &features.pixels, count, ret_samples, err));
    errand_lap(vote->errand, STAGE_CLASSIFY, start);
    return TL_OK;
}
