#include "classify/prediction.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/errand.h"
#include "classify/partial.h"
#include "classify/prediction_private.h"
#include "classify/stack.h"
#include "feature/fill.h"
#include "forest/forest.h"
#include "forest/output.h"
#include "geo/crs.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Sources are read in regions of at most this; the features of a unit cost about as much. */
#define REGION_BYTES ((size_t)24 << 20)

/* A grid's pixels are counted in 32 bits, with room for a halo. */
#define MAX_SIDE (1u << 31)

/* ---- what the files behind prediction.h share ---- */

struct arena *prediction_scratch(struct prediction *prediction)
{
    struct arena *arena = NULL;

    pthread_mutex_lock(&prediction->mu);
    if (prediction->idle_count)
        arena = prediction->idle[--prediction->idle_count];
    pthread_mutex_unlock(&prediction->mu);
    return arena ? arena : arena_new();
}

void prediction_give_back(struct prediction *prediction, struct arena *arena)
{
    if (!arena)
        return;
    arena_reset(arena);
    pthread_mutex_lock(&prediction->mu);
    if (prediction->idle_count < PREDICTION_ARENAS)
        prediction->idle[prediction->idle_count++] = TL_TAKE(arena);
    pthread_mutex_unlock(&prediction->mu);
    arena_free(arena);
}

struct class_window prediction_inside(const struct prediction *prediction, uint8_t level,
                                      uint32_t col, uint32_t row)
{
    const struct pyramid_level *grid = &prediction->pyramid.levels[level];
    uint32_t width = grid->width - col * CLASS_BLOCK, height = grid->height - row * CLASS_BLOCK;

    return (struct class_window){.x1 = (uint16_t)TL_MIN(width, (uint32_t)CLASS_BLOCK),
                                 .y1 = (uint16_t)TL_MIN(height, (uint32_t)CLASS_BLOCK)};
}

struct block_request prediction_clip(const struct prediction *prediction,
                                     const struct block_request *request)
{
    const struct pyramid_level *grid = &prediction->pyramid.levels[request->level];
    struct block_request clipped = *request;

    if ((uint64_t)request->col * CLASS_BLOCK >= grid->width ||
        (uint64_t)request->row * CLASS_BLOCK >= grid->height) {
        clipped.x1 = clipped.x0;
        return clipped;
    }
    struct class_window inside =
        prediction_inside(prediction, request->level, request->col, request->row);
    clipped.x1 = TL_MIN(request->x1, inside.x1);
    clipped.y1 = TL_MIN(request->y1, inside.y1);
    return clipped;
}

bool prediction_outside(const struct prediction *prediction, const struct block_request *request)
{
    const struct stack_place place = {.level = request->level,
                                      .x = request->col * CLASS_BLOCK + request->x0,
                                      .y = request->row * CLASS_BLOCK + request->y0,
                                      .width = (uint32_t)(request->x1 - request->x0),
                                      .height = (uint32_t)(request->y1 - request->y0)};

    return !stack_touches(prediction->stack, place);
}

bool prediction_is_whole(const struct prediction *prediction, const struct block_request *request)
{
    struct class_window inside =
        prediction_inside(prediction, request->level, request->col, request->row);

    return !request->x0 && !request->y0 && request->x1 == inside.x1 && request->y1 == inside.y1;
}

size_t prediction_region_pixels(const struct prediction *prediction)
{
    return REGION_BYTES / stack_bytes_per_pixel(prediction->stack);
}

struct stack_place prediction_reach(const struct prediction *prediction,
                                    const struct partial_region *region)
{
    const struct pyramid_level *grid = &prediction->pyramid.levels[0];
    uint32_t reach = prediction->smooth;
    uint32_t x = region->x0 - TL_MIN(region->x0, reach),
             x1 = TL_MIN(region->x1 + reach, grid->width);
    uint32_t y = region->y0 - TL_MIN(region->y0, reach),
             y1 = TL_MIN(region->y1 + reach, grid->height);

    return (struct stack_place){0, x, y, x1 - x, y1 - y};
}

struct class_key prediction_key(const struct prediction *prediction, uint8_t level, uint32_t col,
                                uint32_t row)
{
    bool raw_is_final = level == 0 && !prediction->post.count;

    return (struct class_key){raw_is_final ? CLASS_RAW : CLASS_FINAL, level, col, row};
}

/* ---- reading ---- */

static enum tl_code check_request(const struct prediction *prediction,
                                  const struct block_request *request, struct tl_err *err)
{
    const struct pyramid *pyramid = &prediction->pyramid;

    if (request->level >= pyramid->level_count ||
        (uint64_t)request->col * CLASS_BLOCK >= pyramid->levels[request->level].width ||
        (uint64_t)request->row * CLASS_BLOCK >= pyramid->levels[request->level].height)
        return tl_fail(err, TL_ABSENT, "%s has no block %u,%u of level %u", prediction->id,
                       request->col, request->row, request->level);
    TL_CHECK(request->x0 < request->x1 && request->x1 <= CLASS_BLOCK);
    TL_CHECK(request->y0 < request->y1 && request->y1 <= CLASS_BLOCK);
    return TL_OK;
}

static bool is_empty(const struct block_request *request)
{
    return request->x0 >= request->x1 || request->y0 >= request->y1;
}

/* A window in the padding of an edge block holds nothing, one beyond the area is masked. */
static enum tl_code settled_block(const struct prediction *prediction,
                                  const struct block_request *request, struct block **ret_block,
                                  struct tl_err *err)
{
    AUTO(class_map) map = class_map_new(prediction->pyramid.bands);

    if (!map)
        return tl_fail(err, TL_NOMEM, "no memory for a class block");
    if (!is_empty(request))
        class_map_mask(map,
                       (struct class_window){request->x0, request->y0, request->x1, request->y1});
    return class_block_new(prediction->pool, map, ret_block, err);
}

/* Requests of level 0 that cost something come first in `sorted`; they are answered together. */
struct reading {
    struct block_request *sorted;
    size_t *place; /* in the caller's arrays */
    size_t native, count;
};

static void sort_requests(const struct prediction *prediction, const struct block_request *requests,
                          struct reading *r)
{
    size_t end = r->count;

    for (size_t i = 0; i < r->count; i++) {
        struct block_request clipped = prediction_clip(prediction, &requests[i]);
        bool later =
            clipped.level || is_empty(&clipped) || prediction_outside(prediction, &clipped);
        size_t at = later ? --end : r->native++;

        r->sorted[at] = clipped;
        r->place[at] = i;
    }
}

static enum tl_code read_all(struct prediction *prediction, const struct reading *r,
                             struct errand *errand, struct block **blocks, struct tl_err *err)
{
    if (r->native)
        TL_TRY(native_read(prediction, r->sorted, r->native, errand, blocks, err));
    for (size_t i = r->native; i < r->count; i++) {
        const struct block_request *request = &r->sorted[i];

        if (is_empty(request) || prediction_outside(prediction, request))
            TL_TRY(settled_block(prediction, request, &blocks[i], err));
        else
            TL_TRY(levels_read(prediction, request, errand, &blocks[i], err));
    }
    return TL_OK;
}

static enum tl_code prediction_read(struct block_source *source,
                                    const struct block_request *requests, size_t count,
                                    struct errand *errand, struct block **ret_blocks,
                                    struct tl_err *err)
{
    struct prediction *prediction = (struct prediction *)source;
    AUTO(arena) arena = arena_new();

    if (!count)
        return TL_OK;
    for (size_t i = 0; i < count; i++)
        TL_TRY(check_request(prediction, &requests[i], err));
    if (!arena)
        return tl_fail(err, TL_NOMEM, "no memory to read %zu class blocks", count);
    struct reading r = {.sorted = arena_alloc(arena, count, sizeof(*r.sorted)),
                        .place = arena_alloc(arena, count, sizeof(*r.place)),
                        .count = count};
    struct block **blocks = arena_zalloc(arena, count, sizeof(struct block *));
    if (!r.sorted || !r.place || !blocks)
        return tl_fail(err, TL_NOMEM, "no memory to read %zu class blocks", count);

    sort_requests(prediction, requests, &r);
    enum tl_code code = read_all(prediction, &r, errand, blocks, err);
    for (size_t i = 0; i < count; i++) {
        if (code == TL_OK)
            ret_blocks[r.place[i]] = blocks[i];
        else
            block_unref(blocks[i]);
    }
    return code;
}

/* ---- making one ---- */

static void prediction_free(struct block_source *source)
{
    struct prediction *prediction = (struct prediction *)source;

    for (unsigned i = 0; i < prediction->idle_count; i++)
        arena_free(prediction->idle[i]);
    class_store_free(prediction->store);
    partials_free(prediction->partials);
    stack_free(prediction->stack);
    forest_unref(prediction->forest);
    crs_unref(prediction->pyramid.crs);
    pthread_mutex_destroy(&prediction->mu);
    free(prediction->id);
    free(prediction);
}

static void add_level(struct pyramid *pyramid)
{
    struct pyramid_level *level = &pyramid->levels[pyramid->level_count];
    const struct pyramid_level *above = level - 1;

    *level = *above;
    level->affine.dx *= 2;
    level->affine.dy *= 2;
    level->width = above->width / 2 + above->width % 2;
    level->height = above->height / 2 + above->height % 2;
    pyramid->level_count++;
}

/* Halved until one block holds everything. */
static void pyramid_init(struct pyramid *pyramid, const struct prediction_spec *spec)
{
    const struct grid *grid = &spec->grid;

    /* A reference of our own; what is counted is not what the grid promises not to change. */
    pyramid->crs = crs_ref((struct crs *)(uintptr_t)grid->crs);
    pyramid->dtype = DTYPE_U8;
    pyramid->bands = (uint16_t)(CLASS_BANDS + spec->more_count);
    pyramid->has_nodata = true;
    pyramid->nodata = CLASS_NODATA;
    pyramid->level_count = 1;
    pyramid->levels[0] = (struct pyramid_level){.affine = grid->affine,
                                                .width = grid->width,
                                                .height = grid->height,
                                                .block_width = CLASS_BLOCK,
                                                .block_height = CLASS_BLOCK,
                                                .usable = true};
    while (pyramid->levels[pyramid->level_count - 1].width > CLASS_BLOCK ||
           pyramid->levels[pyramid->level_count - 1].height > CLASS_BLOCK)
        add_level(pyramid);
}

static void bands_init(struct prediction *prediction, const struct prediction_spec *spec)
{
    static const struct prediction_band first[CLASS_BANDS] = {{.what = PREDICTION_LABEL},
                                                              {.what = PREDICTION_CONFIDENCE}};

    memcpy(prediction->bands, first, sizeof(first));
    for (uint32_t i = 0; i < spec->more_count; i++)
        prediction->bands[CLASS_BANDS + i] = spec->more[i];
}

static enum tl_code check_spec(const struct prediction_spec *spec, struct tl_err *err)
{
    const struct grid *grid = &spec->grid;
    const struct model_info *model = forest_info(spec->forest);

    if (!grid->width || !grid->height || grid->width > MAX_SIDE || grid->height > MAX_SIDE)
        return tl_fail(err, TL_INVALID, "a grid of %u x %u pixels; each side is 1 to %u",
                       grid->width, grid->height, MAX_SIDE);
    if (!(grid->affine.dx > 0) || !(grid->affine.dy > 0) || !isfinite(grid->affine.x) ||
        !isfinite(grid->affine.y) || !isfinite(grid->affine.dx) || !isfinite(grid->affine.dy))
        return tl_fail(err, TL_INVALID, "a grid with pixels of %g x %g at (%g, %g)",
                       grid->affine.dx, grid->affine.dy, grid->affine.x, grid->affine.y);
    for (uint32_t c = 0; c < model->class_count; c++)
        if (model->classes[c].value >= CLASS_MASKED)
            return tl_fail(
                err, TL_INVALID, "class \"%s\" has the value %u; %d means masked and %d nodata",
                model->classes[c].name, model->classes[c].value, CLASS_MASKED, CLASS_NODATA);
    if (spec->more_count > PREDICTION_MAX_MORE)
        return tl_fail(err, TL_LIMIT, "%u bands besides label and confidence; at most %d are kept",
                       spec->more_count, PREDICTION_MAX_MORE);
    for (uint32_t i = 0; i < spec->more_count; i++)
        TL_CHECK(spec->more[i].what >= PREDICTION_MARGIN &&
                 spec->more[i].class < model->class_count);
    TL_TRY(post_check(&spec->post, err));
    return post_check_model(&spec->post, model, err);
}

static enum tl_code fill(struct prediction *prediction, const struct prediction_env *env,
                         const struct prediction_spec *spec, struct tl_err *err)
{
    struct hash128 fingerprints[CLASS_STAGES];

    TL_TRY(check_spec(spec, err));
    prediction->id = strdup(spec->id);
    prediction->partials = partials_new(PARTIAL_KEEP, (uint16_t)(CLASS_BANDS + spec->more_count));
    if (!prediction->id || !prediction->partials)
        return tl_fail(err, TL_NOMEM, "no memory for a prediction");
    pyramid_init(&prediction->pyramid, spec);
    bands_init(prediction, spec);
    prediction->forest = forest_ref(spec->forest);
    prediction->pool = env->pool;
    prediction->post = spec->post;
    prediction->smooth = post_take_smoothing(&prediction->post);
    prediction->policy = spec->policy;
    prediction->budget_blocks = spec->budget_blocks;
    TL_TRY(stack_new(spec, &prediction->stack, err));
    TL_TRY(prediction_fingerprints(spec, fingerprints, err));
    prediction->base.fingerprint = fingerprints[CLASS_FINAL];
    return class_store_new(env, spec->id, fingerprints, &prediction->pyramid, &prediction->store,
                           err);
}

enum tl_code prediction_new(const struct prediction_env *env, const struct prediction_spec *spec,
                            struct block_source **ret_source, struct tl_err *err)
{
    struct prediction *prediction = calloc(1, sizeof(*prediction));

    if (!prediction)
        return tl_fail(err, TL_NOMEM, "no memory for a prediction");
    pthread_mutex_init(&prediction->mu, NULL);
    prediction->base = (struct block_source){
        .pyramid = &prediction->pyramid, .read = prediction_read, .free = prediction_free};
    AUTO(block_source) source = &prediction->base;
    enum tl_code code = fill(prediction, env, spec, err);
    if (code != TL_OK)
        return tl_context(err, code, "prediction %s: ", spec->id);
    *ret_source = TL_TAKE(source);
    return TL_OK;
}

/* ---- what there is, and why ---- */

static struct prediction *prediction_of(struct block_source *source)
{
    TL_CHECK(source->read == prediction_read);
    return (struct prediction *)source;
}

void prediction_coverage(struct block_source *source, uint8_t level, uint32_t col, uint32_t row,
                         uint32_t *ret_present, uint32_t *ret_total)
{
    struct prediction *prediction = prediction_of(source);
    const struct pyramid_level *full = &prediction->pyramid.levels[0];
    struct block_request window = {
        .level = level, .col = col, .row = row, .x1 = CLASS_BLOCK, .y1 = CLASS_BLOCK};
    uint64_t cols = (full->width + CLASS_BLOCK - 1u) / CLASS_BLOCK;
    uint64_t rows = (full->height + CLASS_BLOCK - 1u) / CLASS_BLOCK;
    uint64_t left = (uint64_t)col << level, top = (uint64_t)row << level;

    *ret_present = *ret_total = 0;
    if (level >= prediction->pyramid.level_count || left >= cols || top >= rows)
        return;
    uint64_t width = TL_MIN(cols - left, UINT64_C(1) << level);
    uint64_t height = TL_MIN(rows - top, UINT64_C(1) << level);
    *ret_total = (uint32_t)TL_MIN(width * height, (uint64_t)UINT32_MAX);
    if (*ret_total > COVERAGE_MAX)
        return;
    window = prediction_clip(prediction, &window);
    *ret_present = *ret_total - levels_missing(prediction, &window, UINT32_MAX);
}

/* The features of one pixel, and the model's opinion where they are all numbers. */
static enum tl_code explain(const struct vote *vote, uint32_t pixel, struct prediction_point *point,
                            struct tl_err *err)
{
    const struct model_info *model = forest_info(vote->prediction->forest);
    struct arena *arena = vote->arena;
    struct stack_features seen;

    float *features = arena_alloc(arena, model->feature_count, sizeof(*features));
    float *probability = arena_alloc(arena, model->class_count, sizeof(*probability));
    if (!features || !probability)
        return tl_fail(err, TL_NOMEM, "no memory for %u features", model->feature_count);
    TL_TRY(stack_features(vote->window, &pixel, 1, arena, &seen, err));
    for (uint32_t f = 0; f < model->feature_count; f++)
        features[f] = forest_value(&seen.pixels, f, 0);
    point->features = features;
    if (seen.unknown)
        return TL_OK;
    const struct forest_output out = {
        .probability = probability, .margin = &point->margin, .entropy = &point->entropy};
    if (vote->prediction->smooth)
        TL_TRY(vote_smoothed_pixel(vote, pixel, &out, err));
    else
        TL_TRY(forest_run(vote->prediction->forest, &seen.pixels, vote->errand, arena, &out, err));
    point->probability = probability;
    return TL_OK;
}

enum tl_code prediction_point(struct block_source *source, struct prediction_cell at,
                              struct errand *errand, struct arena *arena,
                              struct prediction_point *ret_point, struct tl_err *err)
{
    struct prediction *prediction = prediction_of(source);
    struct prediction_point point = {.label = CLASS_NODATA};
    uint8_t samples[PREDICTION_MAX_BANDS];
    uint16_t x = (uint16_t)(at.col % CLASS_BLOCK), y = (uint16_t)(at.row % CLASS_BLOCK);
    const struct block_request request = {.col = at.col / CLASS_BLOCK,
                                          .row = at.row / CLASS_BLOCK,
                                          .x0 = x,
                                          .y0 = y,
                                          .x1 = (uint16_t)(x + 1),
                                          .y1 = (uint16_t)(y + 1)};
    AUTO(block) block = NULL;

    point.inside = at.col < prediction->pyramid.levels[0].width &&
                   at.row < prediction->pyramid.levels[0].height;
    if (!point.inside) {
        *ret_point = point;
        return TL_OK;
    }
    TL_TRY(prediction_read(source, &request, 1, errand, &block, err));
    class_block_copy(block, (struct class_window){x, y, request.x1, request.y1},
                     (struct class_room){.at = samples, .plane = 1});
    point.label = samples[0];
    point.confidence = samples[1];
    point.valid = point.label != CLASS_NODATA;
    const struct partial_region own = {at.col, at.row, at.col + 1, at.row + 1};
    struct stack_window window = {.at = prediction_reach(prediction, &own)};
    uint32_t pixel = (at.row - window.at.y) * window.at.width + at.col - window.at.x;
    const struct vote vote = {prediction, &window, errand, arena};
    TL_TRY(stack_read(prediction->stack, &window, errand, arena, err));
    if (window.verdict[pixel] == STACK_CLASSIFY)
        TL_TRY(explain(&vote, pixel, &point, err));
    *ret_point = point;
    return TL_OK;
}
