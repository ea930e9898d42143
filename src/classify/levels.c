/*
 * Levels below native. A block of level k is the mode of its four children, exactly, whenever
 * they are there or cheap enough to make; what is made whole is kept, so that the pyramid
 * grows upwards as people look. Otherwise the layer's policy decides.
 */
#include "base/arena.h"
#include "base/check.h"
#include "base/errand.h"
#include "classify/mode.h"
#include "classify/partial.h"
#include "classify/prediction_private.h"
#include "classify/stack.h"
#include "raster/block.h"

#include <stdio.h>
#include <string.h>

enum { HALF = CLASS_BLOCK / 2 };

/* What a window of a block is of its child (dx, dy); false when nothing. */
static bool child_of(const struct prediction *prediction, const struct block_request *parent,
                     unsigned dx, unsigned dy, struct block_request *ret_child)
{
    unsigned x0 = TL_MAX(parent->x0, dx * HALF), x1 = TL_MIN(parent->x1, (dx + 1) * HALF);
    unsigned y0 = TL_MAX(parent->y0, dy * HALF), y1 = TL_MIN(parent->y1, (dy + 1) * HALF);

    if (x0 >= x1 || y0 >= y1)
        return false;
    struct block_request child = {
        .level = (uint8_t)(parent->level - 1),
        .col = 2 * parent->col + dx,
        .row = 2 * parent->row + dy,
        .x0 = (uint16_t)(2 * (x0 - dx * HALF)),
        .y0 = (uint16_t)(2 * (y0 - dy * HALF)),
        .x1 = (uint16_t)(2 * (x1 - dx * HALF)),
        .y1 = (uint16_t)(2 * (y1 - dy * HALF)),
    };
    *ret_child = prediction_clip(prediction, &child);
    return ret_child->x0 < ret_child->x1 && ret_child->y0 < ret_child->y1;
}

static bool is_present(struct prediction *prediction, const struct block_request *at)
{
    if (!at->level)
        return native_has(prediction, at->col, at->row);
    return class_store_has(prediction->store,
                           prediction_key(prediction, at->level, at->col, at->row));
}

uint32_t levels_missing(struct prediction *prediction, const struct block_request *window,
                        uint32_t limit)
{
    struct block_request child;
    uint32_t missing = 0;

    if (prediction_outside(prediction, window) || is_present(prediction, window))
        return 0;
    if (!window->level)
        return 1;
    for (unsigned i = 0; i < 4 && missing <= limit; i++)
        if (child_of(prediction, window, i % 2, i / 2, &child))
            missing += levels_missing(prediction, &child, limit - missing);
    return missing;
}

/* ---- exactly ---- */

static void halve_into(struct class_map *parent, const struct block_request *at,
                       const struct block *child)
{
    const uint8_t *samples = child->samples;
    size_t from = (size_t)at->y0 * CLASS_BLOCK + at->x0;
    size_t row = (at->row & 1u) * HALF + at->y0 / 2u, col = (at->col & 1u) * HALF + at->x0 / 2u;

    if (child->empty)
        return;
    mode_halve(samples + from, (uint32_t)(at->x1 - at->x0), (uint32_t)(at->y1 - at->y0), parent,
               row * CLASS_BLOCK + col);
}

static enum tl_code exact_block(struct prediction *prediction, const struct block_request *request,
                                struct errand *errand, struct block **ret_block,
                                struct tl_err *err);

/* The part of a child that is all beyond the area, halved. */
static void mask_into(struct class_map *parent, const struct block_request *at)
{
    unsigned row = (at->row & 1u) * HALF, col = (at->col & 1u) * HALF;

    class_map_mask(parent, (struct class_window){(uint16_t)(col + at->x0 / 2u),
                                                 (uint16_t)(row + at->y0 / 2u),
                                                 (uint16_t)(col + (at->x1 + 1u) / 2u),
                                                 (uint16_t)(row + (at->y1 + 1u) / 2u)});
}

/* Level-0 children are read together: one round of fetching for all of them. */
static enum tl_code halve_native(struct prediction *prediction,
                                 const struct block_request *children, size_t count,
                                 struct errand *errand, struct class_map *map, struct tl_err *err)
{
    struct block *blocks[4] = {NULL};
    enum tl_code code = native_read(prediction, children, count, errand, blocks, err);

    for (size_t i = 0; i < count; i++) {
        if (code == TL_OK)
            halve_into(map, &children[i], blocks[i]);
        block_unref(blocks[i]);
    }
    return code;
}

static enum tl_code halve_children(struct prediction *prediction,
                                   const struct block_request *request, struct errand *errand,
                                   struct class_map *map, struct tl_err *err)
{
    struct block_request children[4];
    size_t count = 0;

    for (unsigned i = 0; i < 4; i++) {
        if (!child_of(prediction, request, i % 2, i / 2, &children[count]))
            continue;
        if (prediction_outside(prediction, &children[count]))
            mask_into(map, &children[count]);
        else
            count++;
    }
    if (request->level == 1)
        return count ? halve_native(prediction, children, count, errand, map, err) : TL_OK;
    for (size_t i = 0; i < count; i++) {
        AUTO(block) child = NULL;
        TL_TRY(exact_block(prediction, &children[i], errand, &child, err));
        halve_into(map, &children[i], child);
    }
    return TL_OK;
}

/* Makes what is missing, all the way down. A block asked for as a whole is kept. */
static enum tl_code exact_block(struct prediction *prediction, const struct block_request *request,
                                struct errand *errand, struct block **ret_block, struct tl_err *err)
{
    struct class_key key = prediction_key(prediction, request->level, request->col, request->row);
    struct block *block = class_store_load(prediction->store, key);

    if (block) {
        *ret_block = block;
        return TL_OK;
    }
    TL_TRY(errand_check(errand, err));
    AUTO(class_map) map = class_map_new(prediction->pyramid.bands);
    if (!map)
        return tl_fail(err, TL_NOMEM, "no memory for a class block of level %u", request->level);
    TL_TRY(halve_children(prediction, request, errand, map, err));
    if (prediction_is_whole(prediction, request))
        return class_store_keep(prediction->store, key, map, ret_block, err);
    return class_block_new(prediction->pool, map, ret_block, err);
}

/* ---- approximately ---- */

struct approximation {
    struct prediction *prediction;
    const struct block_request *request;
    struct errand *errand;
    struct arena *sources, *scratch;
    struct class_map *map;
};

static enum tl_code vote_rows(const struct approximation *a, const struct stack_window *window,
                              uint32_t first, uint32_t rows, uint32_t window_y, struct tl_err *err)
{
    size_t count = (size_t)rows * window->at.width;
    const struct vote vote = {a->prediction, window, a->errand, a->scratch};

    arena_reset(a->scratch);
    uint32_t *pixels = arena_alloc(a->scratch, count, sizeof(*pixels));
    uint8_t *samples = arena_alloc(a->scratch, count, a->map->bands);
    if (!pixels || !samples)
        return tl_fail(err, TL_NOMEM, "no memory to classify %zu pixels", count);
    for (size_t i = 0; i < count; i++)
        pixels[i] = (uint32_t)(first * (size_t)window->at.width + i);
    TL_TRY(vote_pixels(&vote, pixels, count, samples, err));
    for (size_t row = 0; row < (size_t)a->map->bands * rows; row++) {
        size_t b = row / rows, y = row % rows;
        size_t at = (window_y + first + y) * CLASS_BLOCK + a->request->x0;

        memcpy(a->map->samples + b * CLASS_PIXELS + at, samples + b * count + y * window->at.width,
               window->at.width);
    }
    return TL_OK;
}

static enum tl_code approximate_rows(const struct approximation *a, uint32_t y, uint32_t rows,
                                     struct tl_err *err)
{
    const struct block_request *request = a->request;
    struct stack_window window = {.at = {.level = request->level,
                                         .x = request->col * CLASS_BLOCK + request->x0,
                                         .y = request->row * CLASS_BLOCK + y,
                                         .width = (uint32_t)(request->x1 - request->x0),
                                         .height = rows}};
    uint32_t step = TL_MAX(PARTIAL_UNIT / window.at.width, 1u);

    arena_reset(a->sources);
    TL_TRY(stack_read(a->prediction->stack, &window, a->errand, a->sources, err));
    for (uint32_t first = 0; first < rows; first += step) {
        TL_TRY(errand_check(a->errand, err));
        TL_TRY(vote_rows(a, &window, first, TL_MIN(step, rows - first), y, err));
    }
    return TL_OK;
}

static enum tl_code approximate(const struct approximation *a, struct tl_err *err)
{
    const struct block_request *request = a->request;
    size_t width = (size_t)(request->x1 - request->x0);
    uint32_t step = (uint32_t)TL_MAX(prediction_region_pixels(a->prediction) / width, (size_t)1);

    if (!a->sources || !a->scratch || !a->map)
        return tl_fail(err, TL_NOMEM, "no memory for an approximate class block");
    for (uint32_t y = request->y0; y < request->y1; y += step)
        TL_TRY(approximate_rows(a, y, TL_MIN(step, request->y1 - y), err));
    return TL_OK;
}

/* The features' overviews, classified: quick to see, marked, and never kept. */
static enum tl_code approximate_block(struct prediction *prediction,
                                      const struct block_request *request, struct errand *errand,
                                      struct block **ret_block, struct tl_err *err)
{
    AUTO(class_map) map = class_map_new(prediction->pyramid.bands);
    const struct approximation a = {
        prediction, request, errand, prediction_scratch(prediction), prediction_scratch(prediction),
        map};
    enum tl_code code = approximate(&a, err);

    prediction_give_back(prediction, a.sources);
    prediction_give_back(prediction, a.scratch);
    TL_TRY(code);
    TL_TRY(class_block_new(prediction->pool, map, ret_block, err));
    (*ret_block)->inexact = true;
    return TL_OK;
}

static enum tl_code not_there(struct prediction *prediction, const struct block_request *request,
                              struct tl_err *err)
{
    uint32_t present, total;
    char there[32];

    prediction_coverage(&prediction->base, request->level, request->col, request->row, &present,
                        &total);
    if (total > COVERAGE_MAX)
        snprintf(there, sizeof(there), "not all");
    else
        snprintf(there, sizeof(there), "%u", present);
    return tl_fail(
        err, TL_ABSENT,
        "%s: block %u,%u of level %u needs %u class blocks and %s are there; at most %u "
        "are classified on demand. Look at the area at the native zoom (tilth:native_zoom "
        "of /layers/%s/tilejson.json), which classifies and keeps it, or set "
        "below_native.policy to \"approx\"",
        prediction->id, request->col, request->row, request->level, total, there,
        prediction->budget_blocks, prediction->id);
}

enum tl_code levels_read(struct prediction *prediction, const struct block_request *request,
                         struct errand *errand, struct block **ret_block, struct tl_err *err)
{
    struct block_request whole = *request;
    struct class_window inside =
        prediction_inside(prediction, request->level, request->col, request->row);

    whole.x0 = whole.y0 = 0;
    whole.x1 = inside.x1;
    whole.y1 = inside.y1;
    if (!levels_missing(prediction, &whole, 0))
        return exact_block(prediction, &whole, errand, ret_block, err);
    if (levels_missing(prediction, request, prediction->budget_blocks) <= prediction->budget_blocks)
        return exact_block(prediction, request, errand, ret_block, err);
    if (prediction->policy == POLICY_EXACT)
        return not_there(prediction, request, err);
    return approximate_block(prediction, request, errand, ret_block, err);
}
