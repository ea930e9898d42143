/*
 * Pixels that cannot be classified are settled first, the rest goes through the forest in one
 * run, compacted: a window that is mostly masked costs what its crops cost.
 */
#include "base/arena.h"
#include "base/clock.h"
#include "base/errand.h"
#include "base/metric.h"
#include "classify/forest.h"
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

static enum tl_code classify(const struct vote *vote, const struct lanes *lanes,
                             const struct forest_pixels *pixels, uint8_t *label,
                             uint8_t *confidence, struct tl_err *err)
{
    struct forest_output out = {
        .label = arena_alloc(vote->arena, lanes->count, 1),
        .confidence = arena_alloc(vote->arena, lanes->count, 1),
    };

    if (!out.label || !out.confidence)
        return no_memory(lanes->count, err);
    TL_TRY(forest_run(vote->prediction->forest, pixels, vote->errand, vote->arena, &out, err));
    for (size_t i = 0; i < lanes->count; i++) {
        label[lanes->result[i]] = out.label[i];
        confidence[lanes->result[i]] = out.confidence[i];
    }
    metric_add(METRIC_CLASSIFIED_PIXELS, (int64_t)lanes->count);
    return TL_OK;
}

enum tl_code vote_pixels(const struct vote *vote, const uint32_t *pixels, size_t count,
                         uint8_t *ret_label, uint8_t *ret_confidence, struct tl_err *err)
{
    int64_t start = clock_now_ns();
    struct lanes lanes;
    struct stack_features features;

    memset(ret_confidence, 0, count);
    TL_TRY(settle(vote, pixels, count, &lanes, ret_label, err));
    if (lanes.count) {
        TL_TRY(stack_features(vote->window, lanes.pixel, lanes.count, vote->arena, &features, err));
        drop_unknown(vote, &features, &lanes, ret_label);
    }
    if (lanes.count)
        TL_TRY(classify(vote, &lanes, &features.pixels, ret_label, ret_confidence, err));
    errand_lap(vote->errand, STAGE_CLASSIFY, start);
    return TL_OK;
}
