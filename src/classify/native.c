/*
 * Level 0. A read turns its requests into wants - windows of raw blocks, wider than the
 * request by the filter's halo - and loops until all of them are done:
 *
 *   look: what is open?  --nothing, but others hold some--> wait
 *     | a region of it
 *   read the sources of the region (no claim is held during input)
 *   claim a unit of its open pixels, classify, publish; again until none is open
 *
 * A claim lives as long as one unit is classified, and its holder waits for nobody: no
 * cycle of waiting can close, and a thread that wants a corner of a block that another one
 * is classifying takes that corner itself instead of waiting for the whole. Two that want
 * the same pixels share the units between them.
 */
#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errand.h"
#include "classify/partial.h"
#include "classify/prediction_private.h"
#include "classify/stack.h"
#include "raster/block.h"

#include <stdlib.h>
#include <string.h>

/* A window with its halo touches no more than 3 x 3 blocks. */
enum { WANTS_PER_REQUEST = 9 };
_Static_assert(POST_MAX_HALO <= CLASS_BLOCK, "a halo reaches into the next block only");

/* What one read wants, and where it is: in blocks[i], or else in items[i].partial. */
struct wants {
    struct prediction *prediction;
    struct partial_want *items;
    struct block **blocks;
    size_t count;
};

static void wants_release(struct wants *wants)
{
    for (size_t i = 0; i < wants->count; i++) {
        if (wants->items[i].partial)
            partials_leave(wants->prediction->partials, wants->items[i].partial);
        block_unref(wants->blocks[i]);
    }
    free(wants->items);
    free(wants->blocks);
}
#define AUTO_WANTS __attribute__((cleanup(wants_release))) struct wants

/* One unit of work: its pixels are in the region, the window is what they look at. */
struct unit {
    struct wants *wants;
    struct errand *errand;
    struct partial_region region;
    struct stack_window window;
    struct partial_run *runs;
    size_t run_count;
    struct arena *arena;
};

static struct class_key raw_key(uint32_t col, uint32_t row)
{
    return (struct class_key){.stage = CLASS_RAW, .col = col, .row = row};
}

/* Finds the raw block - being classified, finished, stored - or starts it. */
static enum tl_code obtain(struct wants *wants, size_t i, struct tl_err *err)
{
    struct prediction *prediction = wants->prediction;
    struct partial_want *want = &wants->items[i];
    uint32_t col = want->col, row = want->row;

    for (;;) {
        want->partial = partials_find(prediction->partials, col, row);
        if (want->partial)
            return TL_OK;
        uint64_t generation = partials_generation(prediction->partials);
        wants->blocks[i] = class_store_load(prediction->store, raw_key(col, row));
        if (wants->blocks[i])
            return TL_OK;
        struct class_window inside = prediction_inside(prediction, 0, col, row);
        TL_TRY(partials_join(prediction->partials, want, inside, generation, err));
        if (want->partial)
            return TL_OK;
    }
}

/* Stores a block that has just become complete; one thread does, the others go on. */
static enum tl_code finish(struct wants *wants, size_t i, struct tl_err *err)
{
    struct prediction *prediction = wants->prediction;
    struct partial_want *want = &wants->items[i];

    if (!want->partial || !partial_take_complete(prediction->partials, want->partial))
        return TL_OK;
    enum tl_code code = class_store_keep(prediction->store, raw_key(want->col, want->row),
                                         partial_map(want->partial), &wants->blocks[i], err);
    if (code != TL_OK) {
        partial_untake(prediction->partials, want->partial);
        return code;
    }
    partials_retire(prediction->partials, want->partial);
    return TL_OK;
}

/* Where the unit's pixels are in the stack window, run after run. */
static size_t unit_pixels(const struct unit *unit, uint32_t *pixels)
{
    size_t count = 0;

    for (size_t i = 0; i < unit->run_count; i++) {
        const struct partial_run *run = &unit->runs[i];
        const struct partial_want *want = &unit->wants->items[run->want];
        uint32_t y = want->row * CLASS_BLOCK + run->y - unit->window.at.y;
        uint32_t x = want->col * CLASS_BLOCK + run->x0 - unit->window.at.x;

        for (unsigned k = 0; k < (unsigned)(run->x1 - run->x0); k++)
            pixels[count++] = y * unit->window.at.width + x + k;
    }
    return count;
}

/* Into the maps: these pixels are claimed, nobody else touches them. */
static void unit_store(const struct unit *unit, const uint8_t *samples, size_t count)
{
    for (size_t i = 0; i < unit->run_count; i++) {
        const struct partial_run *run = &unit->runs[i];
        struct class_map *map = partial_map(unit->wants->items[run->want].partial);
        size_t at = (size_t)run->y * CLASS_BLOCK + run->x0, size = (size_t)(run->x1 - run->x0);

        for (size_t b = 0; b < map->bands; b++)
            memcpy(map->samples + b * CLASS_PIXELS + at, samples + b * count, size);
        samples += size;
    }
}

static enum tl_code unit_classify(struct unit *unit, struct tl_err *err)
{
    uint32_t *pixels = arena_alloc(unit->arena, PARTIAL_UNIT, sizeof(*pixels));
    const struct vote vote = {unit->wants->prediction, &unit->window, unit->errand, unit->arena};

    uint8_t *samples =
        arena_alloc(unit->arena, PARTIAL_UNIT, unit->wants->prediction->pyramid.bands);
    if (!pixels || !samples)
        return tl_fail(err, TL_NOMEM, "no memory to classify a unit of %d pixels", PARTIAL_UNIT);
    size_t count = unit_pixels(unit, pixels);
    TL_TRY(vote_pixels(&vote, pixels, count, samples, err));
    unit_store(unit, samples, count);
    return TL_OK;
}

/* Claims and classifies unit after unit until nothing in the region is open. */
static enum tl_code classify_units(struct unit *unit, struct tl_err *err)
{
    struct wants *wants = unit->wants;
    struct partials *partials = wants->prediction->partials;

    for (;;) {
        TL_TRY(errand_check(unit->errand, err));
        arena_reset(unit->arena);
        unit->runs = arena_alloc(unit->arena, PARTIAL_UNIT, sizeof(*unit->runs));
        if (!unit->runs)
            return tl_fail(err, TL_NOMEM, "no memory to classify a unit of %d pixels",
                           PARTIAL_UNIT);
        unit->run_count =
            partials_claim(partials, wants->items, wants->count, &unit->region, unit->runs);
        if (!unit->run_count)
            return TL_OK;
        enum tl_code code = unit_classify(unit, err);
        if (code != TL_OK) {
            partials_abandon(partials, wants->items, unit->runs, unit->run_count);
            return code;
        }
        partials_publish(partials, wants->items, unit->runs, unit->run_count);
        for (size_t i = 0; i < wants->count; i++)
            TL_TRY(finish(wants, i, err));
    }
}

static enum tl_code classify_region(struct wants *wants, struct partial_region region,
                                    struct errand *errand, struct tl_err *err)
{
    struct prediction *prediction = wants->prediction;
    struct arena *sources = prediction_scratch(prediction),
                 *scratch = prediction_scratch(prediction);
    struct unit unit = {.wants = wants, .errand = errand, .region = region, .arena = scratch};
    enum tl_code code;

    unit.window.at = prediction_reach(prediction, &region);
    if (sources && scratch)
        code = stack_read(prediction->stack, &unit.window, errand, sources, err);
    else
        code = tl_fail(err, TL_NOMEM, "no memory to classify %u x %u pixels", unit.window.at.width,
                       unit.window.at.height);
    if (code == TL_OK)
        code = classify_units(&unit, err);
    /* In this order the next read gets each for what it was used for: the last back is the first
     * out, and its pages are those that it needs. */
    prediction_give_back(prediction, scratch);
    prediction_give_back(prediction, sources);
    return code;
}

static enum tl_code wait_for_others(struct wants *wants, struct errand *errand, struct tl_err *err)
{
    int64_t start = clock_now_ns();

    TL_TRY(partials_wait(wants->prediction->partials, wants->items, wants->count, errand, err));
    errand_lap(errand, STAGE_CLASSIFY, start);
    return TL_OK;
}

/* Returns when every wanted pixel is classified. */
static enum tl_code ensure(struct wants *wants, struct errand *errand, struct tl_err *err)
{
    struct partials *partials = wants->prediction->partials;
    size_t max_pixels = prediction_region_pixels(wants->prediction);
    struct partial_region region;
    enum partial_state state;

    while ((state = partials_look(partials, wants->items, wants->count, max_pixels, &region)) !=
           PARTIAL_DONE) {
        TL_TRY(errand_check(errand, err));
        if (state == PARTIAL_OPEN)
            TL_TRY(classify_region(wants, region, errand, err));
        else
            TL_TRY(wait_for_others(wants, errand, err));
    }
    return TL_OK;
}

static enum tl_code wants_init(struct wants *wants, size_t room, struct tl_err *err)
{
    wants->items = TL_OWNED(calloc(room, sizeof(*wants->items)));
    wants->blocks = TL_OWNED(calloc(room, sizeof(struct block *)));
    if (!wants->items || !wants->blocks)
        return tl_fail(err, TL_NOMEM, "no memory to read %zu class blocks", room);
    return TL_OK;
}

/* Wants everything within `halo` pixels of a request's window, block by block. */
static enum tl_code want_around(struct wants *wants, const struct block_request *request,
                                uint32_t halo, struct tl_err *err)
{
    const struct pyramid_level *grid = &wants->prediction->pyramid.levels[0];
    uint32_t left = request->col * CLASS_BLOCK, top = request->row * CLASS_BLOCK;
    uint32_t x0 = left + request->x0 - TL_MIN(halo, left + request->x0);
    uint32_t y0 = top + request->y0 - TL_MIN(halo, top + request->y0);
    uint32_t x1 = TL_MIN(left + request->x1 + halo, grid->width);
    uint32_t y1 = TL_MIN(top + request->y1 + halo, grid->height);

    for (uint32_t row = y0 / CLASS_BLOCK; row * CLASS_BLOCK < y1; row++) {
        for (uint32_t col = x0 / CLASS_BLOCK; col * CLASS_BLOCK < x1; col++) {
            uint32_t x = col * CLASS_BLOCK, y = row * CLASS_BLOCK;
            struct partial_want *want = &wants->items[wants->count++];

            *want = (struct partial_want){.col = col, .row = row};
            want->window.x0 = (uint16_t)(TL_MAX(x0, x) - x);
            want->window.y0 = (uint16_t)(TL_MAX(y0, y) - y);
            want->window.x1 = (uint16_t)(TL_MIN(x1, x + CLASS_BLOCK) - x);
            want->window.y1 = (uint16_t)(TL_MIN(y1, y + CLASS_BLOCK) - y);
            TL_TRY(obtain(wants, wants->count - 1, err));
        }
    }
    return TL_OK;
}

static void want_copy(const struct wants *wants, size_t i, struct class_room to)
{
    const struct partial_want *want = &wants->items[i];

    if (wants->blocks[i])
        class_block_copy(wants->blocks[i], want->window, to);
    else
        class_map_copy(partial_map(want->partial), want->window, to);
}

/* ---- without a filter: what is raw is final ---- */

static enum tl_code raw_block(struct wants *wants, size_t i, struct block **ret_block,
                              struct tl_err *err)
{
    const struct partial_want *want = &wants->items[i];
    size_t at = (size_t)want->window.y0 * CLASS_BLOCK + want->window.x0;

    if (wants->blocks[i]) {
        *ret_block = block_ref(wants->blocks[i]);
        return TL_OK;
    }
    AUTO(class_map) map = class_map_new(wants->prediction->pyramid.bands);
    if (!map)
        return tl_fail(err, TL_NOMEM, "no memory for a class block");
    want_copy(wants, i, (struct class_room){map->samples + at, CLASS_PIXELS, CLASS_BLOCK});
    return class_block_new(wants->prediction->pool, map, ret_block, err);
}

static enum tl_code read_raw(struct prediction *prediction, const struct block_request *requests,
                             size_t count, struct errand *errand, struct block **ret_blocks,
                             struct tl_err *err)
{
    AUTO_WANTS wants = {.prediction = prediction};

    TL_TRY(wants_init(&wants, count, err));
    for (size_t i = 0; i < count; i++) {
        const struct block_request *request = &requests[i];
        wants.items[wants.count++] =
            (struct partial_want){.col = request->col,
                                  .row = request->row,
                                  .window = {request->x0, request->y0, request->x1, request->y1}};
        TL_TRY(obtain(&wants, i, err));
    }
    TL_TRY(ensure(&wants, errand, err));
    for (size_t i = 0; i < count; i++)
        TL_TRY(raw_block(&wants, i, &ret_blocks[i], err));
    return TL_OK;
}

/* ---- with post-processing ---- */

/* Raw bands of a request and its halo; outside the grid the labels are nodata. */
struct frame {
    uint32_t halo, width, height;
    size_t pixels;
    uint8_t *samples; /* [band][pixels] */
};

static void frame_release(struct frame *frame)
{
    free(frame->samples);
}
#define AUTO_FRAME __attribute__((cleanup(frame_release))) struct frame

static enum tl_code frame_init(struct frame *frame, const struct block_request *request,
                               uint16_t bands, struct tl_err *err)
{
    frame->width = (uint32_t)(request->x1 - request->x0) + 2 * frame->halo;
    frame->height = (uint32_t)(request->y1 - request->y0) + 2 * frame->halo;
    frame->pixels = (size_t)frame->width * frame->height;
    frame->samples = TL_OWNED(malloc(frame->pixels * bands));
    if (!frame->samples)
        return tl_fail(err, TL_NOMEM, "no memory to filter %zu pixels", frame->pixels);
    memset(frame->samples, CLASS_NODATA, frame->pixels);
    return TL_OK;
}

/* Copies want `i` to where it is in the frame of `request`. */
static void frame_fill(struct frame *frame, const struct block_request *request,
                       const struct wants *wants, size_t i)
{
    const struct partial_want *want = &wants->items[i];
    int64_t left = (int64_t)request->col * CLASS_BLOCK + request->x0 - frame->halo;
    int64_t top = (int64_t)request->row * CLASS_BLOCK + request->y0 - frame->halo;
    size_t x = (size_t)((int64_t)want->col * CLASS_BLOCK + want->window.x0 - left);
    size_t y = (size_t)((int64_t)want->row * CLASS_BLOCK + want->window.y0 - top);
    size_t at = y * frame->width + x;

    want_copy(wants, i, (struct class_room){frame->samples + at, frame->pixels, frame->width});
}

static enum tl_code filter(struct prediction *prediction, const struct block_request *request,
                           const struct frame *frame, struct block **ret_block, struct tl_err *err)
{
    AUTO(class_map) map = class_map_new(prediction->pyramid.bands);
    AUTO(arena) scratch = arena_new();
    uint32_t width = frame->width - 2 * frame->halo, height = frame->height - 2 * frame->halo;
    size_t at = (size_t)request->y0 * CLASS_BLOCK + request->x0;
    size_t core = (size_t)frame->halo * frame->width + frame->halo;

    if (!map || !scratch)
        return tl_fail(err, TL_NOMEM, "no memory for a class block");
    const struct post_frame input = {frame->width, frame->height, frame->samples,
                                     frame->samples + frame->pixels};
    TL_TRY(post_run(&prediction->post, &input, scratch, map->label + at, CLASS_BLOCK, err));
    for (size_t row = 0; row < (size_t)(map->bands - 1) * height; row++) {
        size_t b = 1 + row / height, y = row % height;

        memcpy(map->samples + b * CLASS_PIXELS + at + y * CLASS_BLOCK,
               frame->samples + b * frame->pixels + core + y * frame->width, width);
    }
    if (!prediction_is_whole(prediction, request))
        return class_block_new(prediction->pool, map, ret_block, err);
    return class_store_keep(prediction->store,
                            prediction_key(prediction, 0, request->col, request->row), map,
                            ret_block, err);
}

/* Wants [first, last) belong to one request. */
static enum tl_code final_block(struct wants *wants, size_t first, size_t last,
                                const struct block_request *request, struct block **ret_block,
                                struct tl_err *err)
{
    AUTO_FRAME frame = {.halo = post_halo(&wants->prediction->post)};

    TL_TRY(frame_init(&frame, request, wants->prediction->pyramid.bands, err));
    for (size_t i = first; i < last; i++)
        frame_fill(&frame, request, wants, i);
    return filter(wants->prediction, request, &frame, ret_block, err);
}

static void ends_release(size_t **ends)
{
    free(*ends);
}
#define AUTO_ENDS __attribute__((cleanup(ends_release)))

static enum tl_code read_filtered(struct prediction *prediction,
                                  const struct block_request *requests, size_t count,
                                  struct errand *errand, struct block **ret_blocks,
                                  struct tl_err *err)
{
    AUTO_WANTS wants = {.prediction = prediction};
    uint32_t halo = post_halo(&prediction->post);
    /* Of each request's wants. */
    AUTO_ENDS size_t *ends = TL_OWNED(calloc(count, sizeof(*ends)));

    TL_TRY(wants_init(&wants, count * WANTS_PER_REQUEST, err));
    if (!ends)
        return tl_fail(err, TL_NOMEM, "no memory to read %zu class blocks", count);
    for (size_t i = 0; i < count; i++) {
        struct class_key key = prediction_key(prediction, 0, requests[i].col, requests[i].row);

        ret_blocks[i] = class_store_load(prediction->store, key);
        if (!ret_blocks[i])
            TL_TRY(want_around(&wants, &requests[i], halo, err));
        ends[i] = wants.count;
    }
    TL_TRY(ensure(&wants, errand, err));
    for (size_t i = 0; i < count; i++)
        if (!ret_blocks[i])
            TL_TRY(final_block(&wants, i ? ends[i - 1] : 0, ends[i], &requests[i], &ret_blocks[i],
                               err));
    return TL_OK;
}

enum tl_code native_read(struct prediction *prediction, const struct block_request *requests,
                         size_t count, struct errand *errand, struct block **ret_blocks,
                         struct tl_err *err)
{
    return prediction->post.count
               ? read_filtered(prediction, requests, count, errand, ret_blocks, err)
               : read_raw(prediction, requests, count, errand, ret_blocks, err);
}

bool native_has(struct prediction *prediction, uint32_t col, uint32_t row)
{
    if (class_store_has(prediction->store, prediction_key(prediction, 0, col, row)) ||
        partials_complete(prediction->partials, col, row))
        return true;
    return prediction->post.count && class_store_has(prediction->store, raw_key(col, row));
}
