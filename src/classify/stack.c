#include "classify/stack.h"

#include "base/arena.h"
#include "base/errand.h"
#include "classify/prediction.h"
#include "classify/prediction_band.h"
#include "classify/stack_private.h"
#include "feature/feature.h"
#include "forest/forest.h"
#include "geo/area.h"
#include "geo/crs.h"
#include "raster/block.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/*
 * Side of the cells in which sources on another grid are read. Small, because a request for a
 * corner pays for the whole cell; not smaller, because each is a warp and a fetch of its own.
 */
enum { CELL = 256 };

static enum tl_code no_memory(struct tl_err *err)
{
    return tl_fail(err, TL_NOMEM, "no memory for a feature stack");
}

/* ---- making one ---- */

static struct grid level_grid(const struct stack *stack, uint8_t level)
{
    struct grid grid = stack->grid;
    uint32_t round_up = (1u << level) - 1;

    grid.affine.dx = ldexp(grid.affine.dx, level);
    grid.affine.dy = ldexp(grid.affine.dy, level);
    grid.width = (uint32_t)(((uint64_t)grid.width + round_up) >> level);
    grid.height = (uint32_t)(((uint64_t)grid.height + round_up) >> level);
    return grid;
}

/* Whole pixels apart, within what rounding a coordinate in a file may cost. */
static bool is_whole(double pixels)
{
    return fabs(pixels - nearbyint(pixels)) < 1e-4;
}

static bool is_aligned(const struct grid *grid, const struct pyramid *pyramid)
{
    const struct affine *own = &pyramid->levels[0].affine;
    struct affine a = grid->affine;

    return crs_equal(grid->crs, pyramid->crs) && fabs(own->dx / a.dx - 1) < 1e-6 &&
           fabs(own->dy / a.dy - 1) < 1e-6 && is_whole(affine_col(*own, a.x)) &&
           is_whole(affine_row(*own, a.y)) &&
           is_whole(affine_col(*own, affine_x(a, grid->width))) &&
           is_whole(affine_row(*own, affine_y(a, grid->height)));
}

static enum tl_code bind_source(const struct stack *stack, const char *id,
                                struct block_source *source, enum resampling resampling,
                                struct stack_source *to, struct tl_err *err)
{
    to->id = strdup(id);
    to->source = source;
    to->resampling = resampling;
    to->bands = calloc(source->pyramid->bands, sizeof(*to->bands));
    if (!to->id || !to->bands)
        return no_memory(err);
    enum tl_code code = warp_level(source, &stack->grid, &to->level, err);
    if (code != TL_OK)
        return tl_context(err, code, "source %s: ", id);
    to->aligned = to->level == 0 && is_aligned(&stack->grid, source->pyramid);
    return TL_OK;
}

static enum tl_code bind_sources(struct stack *stack, const struct prediction_spec *spec,
                                 struct tl_err *err)
{
    for (uint32_t s = 0; s < spec->source_count; s++) {
        const struct prediction_source *from = &spec->sources[s];

        for (uint32_t k = 0; k < s; k++)
            if (strcmp(from->id, spec->sources[k].id) == 0)
                return tl_fail(err, TL_INVALID, "two sources are called \"%s\"", from->id);
        for (uint16_t b = 0; b < from->band_count; b++)
            if (from->band_index[b] >= from->source->pyramid->bands)
                return tl_fail(err, TL_INVALID,
                               "source %s: \"%s\" is said to be band %u and there are %u", from->id,
                               from->band_names[b], from->band_index[b] + 1u,
                               from->source->pyramid->bands);
        TL_TRY(
            bind_source(stack, from->id, from->source, from->resampling, &stack->sources[s], err));
        stack->sources[s].layer_source = s;
    }
    return TL_OK;
}

static enum tl_code bind_mask(struct stack *stack, const struct prediction_mask *mask,
                              struct tl_err *err)
{
    if (!mask->source)
        return TL_OK;
    if (mask->band >= mask->source->pyramid->bands)
        return tl_fail(err, TL_INVALID, "the mask is said to be band %u and there are %u",
                       mask->band + 1u, mask->source->pyramid->bands);
    TL_TRY(bind_source(stack, "mask", mask->source, RESAMPLE_NEAREST, &stack->mask, err));
    stack->mask.bands[0] = mask->band;
    stack->mask.band_count = 1;
    memcpy(stack->keep, mask->keep, sizeof(stack->keep));
    return TL_OK;
}

/* There are no more planes than bands. */
static enum tl_code stack_alloc(struct stack *stack, const struct prediction_spec *spec,
                                struct tl_err *err)
{
    size_t bands = 0;

    for (uint32_t s = 0; s < spec->source_count; s++)
        bands += spec->sources[s].source->pyramid->bands;
    stack->grid = spec->grid;
    stack->area = spec->area ? area_ref(spec->area) : NULL;
    stack->layer_sources = stack->source_count = spec->source_count;
    stack->feature_count = forest_info(spec->forest)->feature_count;
    size_t features = TL_MAX(stack->feature_count, 1u);
    stack->sources = calloc(spec->source_count + bands + 1, sizeof(*stack->sources));
    stack->planes = calloc(bands + 1, sizeof(*stack->planes));
    stack->gappy_bands = calloc(bands + 1, sizeof(*stack->gappy_bands));
    stack->fills = calloc(features, sizeof(*stack->fills));
    stack->alone = calloc(features, sizeof(struct features *));
    stack->computed = calloc(features, sizeof(*stack->computed));
    return stack->sources && stack->planes && stack->gappy_bands && stack->fills && stack->alone &&
                   stack->computed
               ? TL_OK
               : no_memory(err);
}

enum tl_code stack_new(const struct prediction_spec *spec, struct stack **ret_stack,
                       struct tl_err *err)
{
    AUTO(stack) stack = TL_OWNED(calloc(1, sizeof(*stack)));

    if (!stack)
        return no_memory(err);
    TL_TRY(stack_alloc(stack, spec, err));
    TL_TRY(bind_sources(stack, spec, err));
    TL_TRY(bind_mask(stack, &spec->mask, err));
    TL_TRY(stack_compile(stack, spec, err));
    *ret_stack = TL_TAKE(stack);
    return TL_OK;
}

static void source_release(struct stack_source *source)
{
    free(source->id);
    free(source->bands);
}

void stack_free(struct stack *stack)
{
    if (!stack)
        return;
    for (uint32_t s = 0; stack->sources && s < stack->layer_sources; s++)
        source_release(&stack->sources[s]);
    for (uint32_t f = 0; stack->alone && f < stack->feature_count; f++)
        features_free(stack->alone[f]);
    features_free(stack->together);
    source_release(&stack->mask);
    area_unref(stack->area);
    stack_free_codes(stack);
    free(stack->sources);
    free(stack->planes);
    free(stack->gappy_bands);
    free(stack->fills);
    free(stack->alone);
    free(stack->computed);
    free(stack);
}

static size_t source_bytes(const struct stack_source *source)
{
    size_t sample = dtype_size(source->source->pyramid->dtype);

    return source->band_count ? source->band_count * TL_MAX(sample, sizeof(float)) + 1 : 0;
}

size_t stack_bytes_per_pixel(const struct stack *stack)
{
    size_t bytes = 1 + (stack->mask.source ? source_bytes(&stack->mask) : 0);

    for (uint32_t s = 0; s < stack->source_count; s++)
        bytes += source_bytes(&stack->sources[s]);
    return bytes;
}

/* ---- reading a window ---- */

static struct area_window window_of(struct stack_place place)
{
    return (struct area_window){place.level, place.x, place.y, place.width, place.height};
}

bool stack_touches(const struct stack *stack, struct stack_place place)
{
    const struct area_window window = window_of(place);

    return !stack->area || area_touches(stack->area, &window);
}

/* A read on its way: of which stack, what of it, for whom, where its results live. */
struct reading {
    const struct stack *stack;
    const struct stack_window *window;
    bool sparse; /* level 0, and some cell of the window has no pixel to classify */
    struct errand *errand;
    struct arena *arena;
};

static struct grid place_grid(const struct stack *stack, struct stack_place place)
{
    struct grid grid = level_grid(stack, place.level);
    struct affine whole = grid.affine;

    grid.affine.x = affine_x(whole, place.x);
    grid.affine.y = affine_y(whole, place.y);
    grid.width = place.width;
    grid.height = place.height;
    return grid;
}

/* One warp. Where pixels coincide every kernel is the identity, and nearest is the cheapest. */
static enum tl_code describe(const struct stack *stack, const struct stack_source *source,
                             struct stack_place place, struct warp_request *ret_request,
                             struct tl_err *err)
{
    bool identity = place.level == 0 && source->aligned;
    uint8_t level = source->level;

    if (place.level) {
        struct grid whole = level_grid(stack, place.level);
        TL_TRY(warp_level(source->source, &whole, &level, err));
    }
    *ret_request = (struct warp_request){
        .source = source->source,
        .target = place_grid(stack, place),
        .resampling = identity ? RESAMPLE_NEAREST : source->resampling,
        .bands = source->bands,
        .band_count = source->band_count,
        .level = (int8_t)level,
    };
    return TL_OK;
}

static enum tl_code read_once(const struct reading *reading, const struct stack_source *source,
                              struct stack_place place, struct planes *ret_planes,
                              struct tl_err *err)
{
    struct warp_request request;

    TL_TRY(describe(reading->stack, source, place, &request, err));
    TL_TRY(warp_read(&request, reading->errand, reading->arena, ret_planes, err));
    if (ret_planes->inexact && !place.level)
        return tl_fail(err, TL_ABSENT,
                       "only an approximation is known there; look at it at its native zoom first");
    return TL_OK;
}

/* Copies what `cell` (at `from`) and `whole` (at `to`) share. */
static void copy_cell(const struct planes *cell, struct stack_place from, struct planes *whole,
                      struct stack_place to)
{
    uint32_t x0 = TL_MAX(from.x, to.x), x1 = TL_MIN(from.x + from.width, to.x + to.width);
    uint32_t y0 = TL_MAX(from.y, to.y), y1 = TL_MIN(from.y + from.height, to.y + to.height);
    size_t sample = dtype_size(whole->dtype);
    size_t cell_plane = (size_t)from.width * from.height, plane = (size_t)to.width * to.height;

    for (uint32_t y = y0; y < y1; y++) {
        size_t in = (size_t)(y - from.y) * from.width + (x0 - from.x);
        size_t out = (size_t)(y - to.y) * to.width + (x0 - to.x);

        if (cell->valid)
            memcpy(whole->valid + out, cell->valid + in, x1 - x0);
        else
            memset(whole->valid + out, 1, x1 - x0);
        for (size_t b = 0; b < whole->bands; b++)
            memcpy((char *)whole->samples + (b * plane + out) * sample,
                   (const char *)cell->samples + (b * cell_plane + in) * sample,
                   (x1 - x0) * sample);
    }
}

/* Room for the whole window, nothing valid in it yet. */
static enum tl_code planes_init(const struct planes *like, struct stack_place place,
                                struct arena *arena, struct planes *whole, struct tl_err *err)
{
    size_t pixels = (size_t)place.width * place.height;

    *whole = (struct planes){
        .width = place.width, .height = place.height, .bands = like->bands, .dtype = like->dtype};
    whole->samples = arena_zalloc(arena, pixels * like->bands, dtype_size(like->dtype));
    whole->valid = arena_zalloc(arena, pixels, 1);
    return whole->samples && whole->valid ? TL_OK : no_memory(err);
}

/* The whole cells that a place touches. */
static struct stack_place in_cells(const struct stack *stack, struct stack_place place)
{
    const uint32_t size = CELL;
    uint32_t x = place.x / size * size, y = place.y / size * size;
    uint32_t x1 = (place.x + place.width + size - 1) / size * size;
    uint32_t y1 = (place.y + place.height + size - 1) / size * size;

    return (struct stack_place){place.level, x, y, TL_MIN(x1, stack->grid.width) - x,
                                TL_MIN(y1, stack->grid.height) - y};
}

/* The cells that a window of level 0 touches, one after the other; `*cell` begins as zero. */
static bool next_cell(const struct reading *reading, struct stack_place *cell)
{
    const struct grid *grid = &reading->stack->grid;
    struct stack_place place = reading->window->at;
    const uint32_t size = CELL;
    uint32_t x = cell->x + size, y = cell->y;

    if (!cell->width)
        y = place.y / size * size;
    else if (x >= place.x + place.width)
        y += size;
    if (!cell->width || x >= place.x + place.width)
        x = place.x / size * size;
    *cell = (struct stack_place){0, x, y, TL_MIN(size, grid->width - x),
                                 TL_MIN(size, grid->height - y)};
    return y < place.y + place.height;
}

/* What is between the first and the last pixel to classify of a cell; false where there is none. */
static bool left_in(const struct stack_window *window, struct stack_place cell,
                    struct stack_place *ret_part)
{
    struct stack_place at = window->at;
    uint32_t x0 = TL_MAX(cell.x, at.x), x1 = TL_MIN(cell.x + cell.width, at.x + at.width);
    uint32_t y0 = TL_MAX(cell.y, at.y), y1 = TL_MIN(cell.y + cell.height, at.y + at.height);
    uint32_t left = x1, right = x0, top = y1, bottom = y0;

    for (uint32_t y = y0; y < y1; y++) {
        const uint8_t *row = window->verdict + (size_t)(y - at.y) * at.width;
        uint32_t from = x0, to = x1;

        while (from < to && row[from - at.x] != STACK_CLASSIFY)
            from++;
        while (to > from && row[to - 1 - at.x] != STACK_CLASSIFY)
            to--;
        if (from == to)
            continue;
        left = TL_MIN(left, from);
        right = TL_MAX(right, to);
        top = TL_MIN(top, y);
        bottom = y + 1;
    }
    if (left >= right)
        return false;
    *ret_part = (struct stack_place){0, left, top, right - left, bottom - top};
    return true;
}

/* The next cell that is worth reading, and what of it a source must be asked for. */
static bool next_left(const struct reading *reading, const struct stack_source *source,
                      struct stack_place *cell, struct stack_place *ret_part)
{
    while (next_cell(reading, cell)) {
        if (!left_in(reading->window, *cell, ret_part))
            continue;
        if (!source->aligned)
            *ret_part = *cell;
        return true;
    }
    return false;
}

static bool is_sparse(const struct reading *reading)
{
    struct stack_place cell = {0}, part;

    if (reading->window->at.level || (!reading->stack->area && !reading->stack->mask.source))
        return false;
    while (next_cell(reading, &cell))
        if (!left_in(reading->window, cell, &part))
            return true;
    return false;
}

/*
 * Cells of the grid, one by one: where coordinates are rounded, or kernels look beyond a pixel,
 * the numbers then depend on the cell alone and never on who asked for which part of it.
 */
static enum tl_code read_cells(const struct reading *reading, const struct stack_source *source,
                               struct planes *ret_planes, struct tl_err *err)
{
    AUTO(arena) scratch = arena_new();
    struct reading one = *reading;
    struct stack_place place = reading->window->at, cell = {0}, part;
    struct planes whole = {.empty = true};

    if (!scratch)
        return no_memory(err);
    one.arena = scratch;
    while (next_left(reading, source, &cell, &part)) {
        struct planes planes;

        arena_reset(scratch);
        TL_TRY(read_once(&one, source, part, &planes, err));
        if (planes.empty)
            continue;
        if (whole.empty)
            TL_TRY(planes_init(&planes, place, reading->arena, &whole, err));
        copy_cell(&planes, part, &whole, place);
    }
    *ret_planes = whole;
    return TL_OK;
}

static bool in_one_piece(const struct reading *reading, const struct stack_source *source)
{
    return reading->window->at.level || (source->aligned && !reading->sparse);
}

static enum tl_code read_source(const struct reading *reading, const struct stack_source *source,
                                struct planes *ret_planes, struct tl_err *err)
{
    enum tl_code code = in_one_piece(reading, source)
                            ? read_once(reading, source, reading->window->at, ret_planes, err)
                            : read_cells(reading, source, ret_planes, err);

    return code == TL_OK ? TL_OK : tl_context(err, code, "source %s: ", source->id);
}

/* The first that reads something of a source of the layer. */
static const struct stack_source *first_of(const struct stack *stack, uint32_t layer_source)
{
    const struct stack_source *source = &stack->sources[layer_source];

    for (uint32_t s = stack->layer_sources; !source->band_count && s < stack->source_count; s++)
        if (stack->sources[s].layer_source == layer_source)
            source = &stack->sources[s];
    return source;
}

/* What is being fetched. */
struct aheads {
    struct ahead **items;
    size_t count;
};

/* Per source no more than this: one piece, or one a cell. */
static size_t most_aheads(struct stack_place place)
{
    return ((size_t)place.width / CELL + 2) * ((size_t)place.height / CELL + 2);
}

static void start(const struct reading *reading, const struct stack_source *source,
                  struct stack_place place, struct aheads *aheads)
{
    struct warp_request request;
    struct tl_err ignored;

    if (describe(reading->stack, source, place, &request, &ignored) == TL_OK)
        aheads->items[aheads->count++] = warp_ahead(&request, reading->errand, reading->arena);
}

/* Starts to fetch what read_source() will read: no pixel is looked at yet. */
static void start_source(const struct reading *reading, const struct stack_source *source,
                         struct aheads *aheads)
{
    struct stack_place place = reading->window->at, cell = {0}, part;

    /* Where all bands lie together, one band's bytes are everybody's. */
    bool fetched = source->gappy && !source->source->pyramid->planar &&
                   source != first_of(reading->stack, source->layer_source);
    if (fetched || !source->band_count || !source->source->ahead)
        return;
    if (in_one_piece(reading, source)) {
        start(reading, source, place, aheads);
    } else if (!reading->sparse) {
        start(reading, source, in_cells(reading->stack, place), aheads);
    } else {
        while (next_left(reading, source, &cell, &part))
            start(reading, source, part, aheads);
    }
}

static void judge_mask(const struct stack *stack, const struct planes *mask, uint8_t *verdict,
                       size_t pixels)
{
    for (size_t i = 0; i < pixels; i++) {
        if (verdict[i] != STACK_CLASSIFY)
            continue;
        if (mask->empty || (mask->valid && !mask->valid[i])) {
            verdict[i] = CLASS_NODATA;
            continue;
        }
        double value = dtype_get(mask->dtype, mask->samples, i);
        bool keep =
            value >= 0 && value <= 255 && value == floor(value) && stack->keep[(unsigned)value];
        verdict[i] = keep ? STACK_CLASSIFY : CLASS_MASKED;
    }
}

/* Returns how many pixels are left to classify. */
static size_t judge_source(const struct planes *planes, uint8_t *verdict, size_t pixels)
{
    size_t left = 0;

    for (size_t i = 0; i < pixels; i++) {
        if (verdict[i] != STACK_CLASSIFY)
            continue;
        if (planes->empty || (planes->valid && !planes->valid[i]))
            verdict[i] = CLASS_NODATA;
        else
            left++;
    }
    return left;
}

/* In turn, until no pixel is left to classify. Gappy ones are the last, and settle none. */
static enum tl_code read_sources(const struct reading *reading, struct stack_window *window,
                                 struct tl_err *err)
{
    const struct stack *stack = reading->stack;
    size_t pixels = (size_t)window->at.width * window->at.height;

    for (uint32_t s = 0; s < stack->source_count && window->classify_count; s++) {
        if (!stack->sources[s].band_count)
            continue;
        TL_TRY(read_source(reading, &stack->sources[s], &window->sources[s], err));
        if (!stack->sources[s].gappy)
            window->classify_count = judge_source(&window->sources[s], window->verdict, pixels);
    }
    return TL_OK;
}

static enum tl_code judge_area(const struct reading *reading, struct stack_window *window,
                               struct tl_err *err)
{
    const struct area_window place = window_of(window->at);
    size_t pixels = (size_t)place.width * place.height;

    if (!reading->stack->area)
        return TL_OK;
    TL_TRY(area_fill(reading->stack->area, &place, reading->arena, window->verdict, err));
    for (size_t i = 0; i < pixels; i++)
        window->verdict[i] = window->verdict[i] ? STACK_CLASSIFY : CLASS_MASKED;
    return TL_OK;
}

/* All that can be said of the window before a feature's source is read. */
static enum tl_code judge_window(struct reading *reading, struct stack_window *window,
                                 struct tl_err *err)
{
    const struct stack *stack = reading->stack;
    size_t pixels = (size_t)window->at.width * window->at.height;
    static const struct planes all_valid;
    struct planes mask;

    TL_TRY(judge_area(reading, window, err));
    window->classify_count = judge_source(&all_valid, window->verdict, pixels);
    reading->sparse = is_sparse(reading);
    if (!stack->mask.source || !window->classify_count)
        return TL_OK;
    TL_TRY(read_source(reading, &stack->mask, &mask, err));
    judge_mask(stack, &mask, window->verdict, pixels);
    window->classify_count = judge_source(&all_valid, window->verdict, pixels);
    reading->sparse = is_sparse(reading);
    return TL_OK;
}

enum tl_code stack_read(const struct stack *stack, struct stack_window *window,
                        struct errand *errand, struct arena *arena, struct tl_err *err)
{
    struct reading reading = {.stack = stack, .window = window, .errand = errand, .arena = arena};
    size_t pixels = (size_t)window->at.width * window->at.height;
    struct aheads aheads = {0};

    window->stack = stack;
    window->sources = arena_zalloc(arena, stack->source_count, sizeof(*window->sources));
    window->verdict = arena_zalloc(arena, pixels, 1);
    if (!window->sources || !window->verdict)
        return no_memory(err);
    TL_TRY(judge_window(&reading, window, err));
    if (!window->classify_count)
        return TL_OK;
    aheads.items =
        arena_zalloc(arena, stack->source_count * most_aheads(window->at), sizeof(struct ahead *));
    if (!aheads.items)
        return no_memory(err);
    /* Distant sources cost one round trip together, not one each. */
    for (uint32_t s = 0; s < stack->source_count; s++)
        start_source(&reading, &stack->sources[s], &aheads);
    enum tl_code code = read_sources(&reading, window, err);
    for (size_t i = 0; i < aheads.count; i++)
        block_ahead_free(aheads.items[i]);
    return code;
}
