#include "raster/taint.h"

#include "base/arena.h"
#include "raster/block.h"
#include "raster/cog.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* One pixel of 500: what rounding at the edges of blocks may bring in. */
enum { ALLOWED = 500 };

/*
 * Blocks below one that are compared with it. Where the richest of them alone lies under
 * ENOUGH_PX pixels it is all that is read: it holds most of the edges between classes, where an
 * interpolation shows.
 */
enum { BELOW_MAX = 64, ENOUGH_PX = 256 * 256 };

/* Decoded bytes that one round of reading may hold. A usual pyramid has less in all levels. */
#define ROUND_BYTES (UINT64_C(64) << 20)

/* A step this near to a whole number was meant to be one: 2001 pixels become 1001, or 1000. */
#define WHOLE_STEP 1e-3

/* A sample that is no value. */
#define NO_VALUE UINT32_MAX

/* Pixels [from, to) along one side. */
struct run {
    uint32_t from, to;
};

/* A block of an overview and the blocks of the level below that it is compared with. */
struct probe {
    struct block_request above;
    struct block_rect below;
    size_t first; /* of its requests in the round: the one above, then those below by rows */
};

/* What is read at once. */
struct round {
    struct probe probes[PYRAMID_MAX_LEVELS];
    size_t probe_count, request_count;
    struct block_request requests[PYRAMID_MAX_LEVELS * (BELOW_MAX + 1)];
    struct block *blocks[PYRAMID_MAX_LEVELS * (BELOW_MAX + 1)];
};

/* A probe whose blocks are there. */
struct comparison {
    const struct pyramid *pyramid;
    const struct pyramid_level *above, *below;
    const struct block *block;
    struct block *const *blocks;
    struct block_rect rect; /* of the blocks */
    size_t band;
    struct run *xs; /* of the pixels below each column of the block */
    /* Values of one row, NO_VALUE where nothing is valid: of the block, and of `rect`. */
    uint32_t *values, *line;
    uint8_t *found; /* the value of the column was met in a line */
};

static enum tl_code no_memory(struct tl_err *err)
{
    return tl_fail(err, TL_NOMEM, "no memory to judge overviews");
}

/* ---- choosing blocks ---- */

static struct block_rect all_blocks(const struct pyramid_level *level)
{
    return (struct block_rect){.cols = (level->width - 1) / level->block_width + 1,
                               .rows = (level->height - 1) / level->block_height + 1};
}

/* The blocks of level - 1 that lie under a block. */
static struct block_rect blocks_under(const struct pyramid *pyramid,
                                      const struct block_request *above)
{
    const struct pyramid_level *level = &pyramid->levels[above->level], *below = level - 1;
    double fx = (double)below->width / level->width, fy = (double)below->height / level->height;
    double x0 = above->col * (double)level->block_width * fx;
    double y0 = above->row * (double)level->block_height * fy;
    double x1 = ((above->col + 1.0) * level->block_width - 1) * fx;
    double y1 = ((above->row + 1.0) * level->block_height - 1) * fy;
    uint32_t col0 = (uint32_t)(fmax(x0, 0) / below->block_width);
    uint32_t row0 = (uint32_t)(fmax(y0, 0) / below->block_height);

    return (struct block_rect){
        .col0 = col0,
        .row0 = row0,
        .cols = (uint32_t)(fmin(x1, below->width - 1) / below->block_width) - col0 + 1,
        .rows = (uint32_t)(fmin(y1, below->height - 1) / below->block_height) - row0 + 1,
    };
}

/* The richest block where an index tells, else the middle one. False: all of them are sparse. */
static bool choose_block(struct block_source *source, uint8_t level, struct block_rect rect,
                         struct block_request *ret_request)
{
    *ret_request = (struct block_request){
        .level = level, .col = rect.col0 + rect.cols / 2, .row = rect.row0 + rect.rows / 2};
    return !cog_is(source) || cog_richest_block(source, level, rect, ret_request);
}

/* Pixels of the overview that lie over a block of the level below. */
static double pixels_over(const struct pyramid *pyramid, const struct block_request *below)
{
    const struct pyramid_level *level = &pyramid->levels[below->level], *above = level + 1;
    uint32_t width = level->width - below->col * level->block_width;
    uint32_t height = level->height - below->row * level->block_height;

    return (double)TL_MIN(width, level->block_width) * above->width / level->width *
           TL_MIN(height, level->block_height) * above->height / level->height;
}

/* False: the level has no block with anything in it. */
static bool plan_probe(struct block_source *source, uint8_t level, struct probe *ret_probe)
{
    const struct pyramid *pyramid = source->pyramid;
    struct block_request richest;

    if (!choose_block(source, level, all_blocks(&pyramid->levels[level]), &ret_probe->above))
        return false;
    struct block_rect rect = blocks_under(pyramid, &ret_probe->above);
    bool many = (uint64_t)rect.cols * rect.rows > BELOW_MAX;
    bool found = choose_block(source, level - 1, rect, &richest);
    if (many || (found && cog_is(source) && pixels_over(pyramid, &richest) >= ENOUGH_PX))
        rect = (struct block_rect){richest.col, richest.row, 1, 1};
    ret_probe->below = rect;
    return true;
}

static void add_request(struct round *round, const struct pyramid *pyramid,
                        struct block_request request)
{
    request.x1 = (uint16_t)pyramid->levels[request.level].block_width;
    request.y1 = (uint16_t)pyramid->levels[request.level].block_height;
    round->requests[round->request_count++] = request;
}

static uint64_t block_bytes(const struct pyramid *pyramid, uint8_t level)
{
    const struct pyramid_level *of = &pyramid->levels[level];
    uint64_t bands = pyramid->planar ? 1 : pyramid->bands;

    return (uint64_t)of->block_width * of->block_height * bands * dtype_size(pyramid->dtype);
}

static void add_probe(struct round *round, const struct pyramid *pyramid, struct probe probe)
{
    uint8_t level = probe.above.level;

    probe.first = round->request_count;
    add_request(round, pyramid, probe.above);
    for (uint32_t i = 0; i < probe.below.cols * probe.below.rows; i++)
        add_request(round, pyramid,
                    (struct block_request){.level = level - 1,
                                           .band = probe.above.band,
                                           .col = probe.below.col0 + i % probe.below.cols,
                                           .row = probe.below.row0 + i / probe.below.cols});
    round->probes[round->probe_count++] = probe;
}

/* The levels from `level` on, as many as fit; returns the first that did not. */
static uint8_t plan_round(struct block_source *source, uint8_t level, struct round *round)
{
    const struct pyramid *pyramid = source->pyramid;
    uint64_t bytes = 0;

    round->probe_count = round->request_count = 0;
    for (; level < pyramid->level_count; level++) {
        struct probe probe;

        if (!pyramid->levels[level].usable || !pyramid->levels[level - 1].usable ||
            !plan_probe(source, level, &probe))
            continue;
        bytes += block_bytes(pyramid, level) +
                 (uint64_t)probe.below.cols * probe.below.rows * block_bytes(pyramid, level - 1);
        if (bytes > ROUND_BYTES && round->probe_count)
            return level;
        add_probe(round, pyramid, probe);
    }
    return level;
}

/* ---- comparing ---- */

/*
 * The pixels of a side of `below` that pixel `i` of a side of `above` may be made from. A whole
 * step is exact. Odd sizes halve to a step just beside it, which some writers use and others
 * round: both count. What any other step does is the writer's own, so one more on each side.
 */
static struct run footprint(uint32_t i, uint32_t above, uint32_t below)
{
    double step = (double)below / above, whole = round(step);
    double from = floor(i * step), to = ceil((i + 1.0) * step);

    if (fabs(step - whole) <= WHOLE_STEP) {
        from = fmin(from, i * whole);
        to = fmax(to, (i + 1.0) * whole);
    } else {
        from -= 1;
        to += 1;
    }
    return (struct run){(uint32_t)fmax(from, 0), (uint32_t)fmin(to, below)};
}

/* Row `y` of a block: signed samples by their bits, NO_VALUE where nothing is valid. */
static void read_row(const struct comparison *c, const struct block *block, uint32_t y,
                     uint32_t *ret_values)
{
    size_t row = (size_t)y * block->width;
    size_t at = c->band * block->width * block->height + row;
    const uint8_t *bytes = block->samples, *mask = block->mask;
    const uint16_t *words = block->samples;
    bool is_byte = dtype_size(block->dtype) == 1;

    if (block->empty) {
        memset(ret_values, 0xff, block->width * sizeof(*ret_values)); /* NO_VALUE */
        return;
    }
    for (uint32_t x = 0; is_byte && x < block->width; x++)
        ret_values[x] = bytes[at + x];
    for (uint32_t x = 0; !is_byte && x < block->width; x++)
        ret_values[x] = words[at + x];
    for (uint32_t x = 0; mask && x < block->width; x++)
        ret_values[x] = mask[row + x] ? ret_values[x] : NO_VALUE;
    if (!c->pyramid->has_nodata)
        return;
    /* The conversion to int keeps the bits of a negative one, as the samples do. */
    uint32_t nodata = (uint32_t)(int32_t)c->pyramid->nodata & (is_byte ? UINT8_MAX : UINT16_MAX);
    for (uint32_t x = 0; x < block->width; x++)
        ret_values[x] = ret_values[x] == nodata ? NO_VALUE : ret_values[x];
}

/* Row `y` of the level below, as far as blocks were read. */
static void read_line(const struct comparison *c, uint32_t y)
{
    uint32_t height = c->below->block_height;
    struct block *const *row = c->blocks + (size_t)(y / height - c->rect.row0) * c->rect.cols;

    for (uint32_t col = 0; col < c->rect.cols; col++)
        read_row(c, row[col], y % height, c->line + (size_t)col * c->below->block_width);
}

/* Adds one line to what was found of columns [x.from, x.to); returns how many are not yet. */
static size_t look_in_line(const struct comparison *c, struct run x)
{
    const uint32_t *line = c->line;
    uint32_t x0 = c->rect.col0 * c->below->block_width;
    size_t missing = 0;

    for (uint32_t i = x.from; i < x.to; i++) {
        uint32_t value = c->values[i];
        uint8_t found = c->found[i];

        for (uint32_t k = c->xs[i].from - x0; k < c->xs[i].to - x0; k++)
            found |= line[k] == value;
        c->found[i] = found;
        missing += !found;
    }
    return missing;
}

/* What each pixel along one side is made of. */
static struct run *footprints(uint32_t first, uint32_t count, const uint32_t above_below[2],
                              struct arena *arena)
{
    struct run *runs = arena_alloc(arena, count, sizeof(*runs));

    for (uint32_t i = 0; runs && i < count; i++)
        runs[i] = footprint(first + i, above_below[0], above_below[1]);
    return runs;
}

/*
 * The pixels along one side that can be judged: all that they are made of was read. The outermost
 * of them do not count; some writers look beyond a pixel's own footprint.
 */
static struct run judged(const struct run *runs, uint32_t count, struct run read)
{
    struct run at = {0, count};

    while (at.from < at.to && runs[at.from].from < read.from)
        at.from++;
    while (at.from < at.to && runs[at.to - 1].to > read.to)
        at.to--;
    return at.to - at.from > 2 ? (struct run){at.from + 1, at.to - 1} : (struct run){0, 0};
}

/* Valid pixels, and those among them whose value is not among the valid ones they lie over. */
struct tally {
    size_t valid, strange;
};

static void judge_row(const struct comparison *c, uint32_t y, struct run x, struct run below,
                      struct tally *tally)
{
    size_t missing = 0;

    read_row(c, c->block, y, c->values);
    for (uint32_t i = x.from; i < x.to; i++) {
        c->found[i] = c->values[i] == NO_VALUE;
        missing += !c->found[i];
    }
    tally->valid += missing;
    for (uint32_t line = below.from; line < below.to && missing; line++) {
        read_line(c, line);
        missing = look_in_line(c, x);
    }
    tally->strange += missing;
}

static enum tl_code compare(struct comparison *c, const struct block_request *request,
                            bool *ret_tainted, struct tl_err *err)
{
    const struct pyramid_level *above = c->above, *below = c->below;
    uint32_t x0 = request->col * above->block_width, y0 = request->row * above->block_height;
    uint32_t width = TL_MIN(above->block_width, above->width - x0);
    uint32_t height = TL_MIN(above->block_height, above->height - y0);
    struct run x_read = {c->rect.col0 * below->block_width,
                         (c->rect.col0 + c->rect.cols) * below->block_width};
    struct run y_read = {c->rect.row0 * below->block_height,
                         (c->rect.row0 + c->rect.rows) * below->block_height};
    AUTO(arena) arena = arena_new();
    struct tally tally = {0};

    if (!arena)
        return no_memory(err);
    struct run *ys = footprints(y0, height, (uint32_t[]){above->height, below->height}, arena);
    c->xs = footprints(x0, width, (uint32_t[]){above->width, below->width}, arena);
    c->values = arena_alloc(arena, above->block_width, sizeof(*c->values));
    c->line = arena_alloc(arena, x_read.to - x_read.from, sizeof(*c->line));
    c->found = arena_alloc(arena, above->block_width, sizeof(*c->found));
    if (!ys || !c->xs || !c->values || !c->line || !c->found)
        return no_memory(err);
    struct run x = judged(c->xs, width, x_read), y = judged(ys, height, y_read);
    for (c->band = 0; c->band < c->block->bands; c->band++)
        for (uint32_t i = y.from; i < y.to; i++)
            judge_row(c, i, x, ys[i], &tally);
    *ret_tainted = tally.strange * ALLOWED > tally.valid;
    return TL_OK;
}

/* The finest tainted level of the round, or `ret_level` as it was. */
static enum tl_code judge_round(const struct pyramid *pyramid, const struct round *round,
                                uint8_t *ret_level, struct tl_err *err)
{
    bool tainted = false;

    for (size_t i = 0; i < round->probe_count && !tainted; i++) {
        const struct probe *probe = &round->probes[i];
        struct comparison comparison = {.pyramid = pyramid,
                                        .above = &pyramid->levels[probe->above.level],
                                        .below = &pyramid->levels[probe->above.level - 1],
                                        .block = round->blocks[probe->first],
                                        .blocks = round->blocks + probe->first + 1,
                                        .rect = probe->below};

        if (comparison.block->empty)
            continue;
        TL_TRY(compare(&comparison, &probe->above, &tainted, err));
        if (tainted)
            *ret_level = probe->above.level;
    }
    return TL_OK;
}

static enum tl_code run_round(struct block_source *source, struct round *round,
                              struct errand *errand, uint8_t *ret_level, struct tl_err *err)
{
    if (round->request_count == 0)
        return TL_OK;
    TL_TRY(source->read(source, round->requests, round->request_count, errand, round->blocks, err));
    enum tl_code code = judge_round(source->pyramid, round, ret_level, err);
    for (size_t i = 0; i < round->request_count; i++)
        block_unref(round->blocks[i]);
    return code;
}

enum tl_code taint_find(struct block_source *source, struct errand *errand, uint32_t *ret_levels,
                        struct tl_err *err)
{
    const struct pyramid *pyramid = source->pyramid;
    uint8_t tainted = pyramid->level_count;
    AUTO(arena) arena = arena_new();
    struct round *round = arena ? arena_alloc(arena, 1, sizeof(*round)) : NULL;
    uint32_t levels = 0;

    if (!round)
        return no_memory(err);
    for (uint8_t level = 1; level < tainted && dtype_size(pyramid->dtype) <= 2;) {
        level = plan_round(source, level, round);
        TL_TRY(run_round(source, round, errand, &tainted, err));
    }
    for (uint8_t level = tainted; level < pyramid->level_count; level++)
        levels |= UINT32_C(1) << level;
    *ret_levels = levels;
    return TL_OK;
}
