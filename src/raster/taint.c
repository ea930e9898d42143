#include "raster/taint.h"

#include "raster/block.h"
#include "raster/cog.h"

#include <math.h>
#include <stdbool.h>

enum { BELOW_MAX = 64 };

/* One pixel of 500: what rounding at the edges of blocks may bring in. */
enum { ALLOWED = 500 };

/* A step this near to a whole number was meant to be one: 2001 pixels become 1001, or 1000. */
#define WHOLE_STEP 1e-3

/* The blocks that were read of the level below, row by row. */
struct below {
    const struct pyramid *pyramid;
    const struct pyramid_level *level;
    struct block *const *blocks;
    uint32_t col0, row0, cols, rows;
};

/* Pixels [from, to) along one side. */
struct run {
    uint32_t from, to;
};

/* Sample `i` as a place in the set: signed ones by their bits. */
static uint16_t value_at(const struct block *block, size_t i)
{
    return dtype_size(block->dtype) == 1 ? ((const uint8_t *)block->samples)[i]
                                         : ((const uint16_t *)block->samples)[i];
}

static bool is_valid(const struct pyramid *pyramid, const struct block *block, size_t i)
{
    size_t pixels = (size_t)block->width * block->height;

    return (!block->mask || block->mask[i % pixels]) &&
           (!pyramid->has_nodata || dtype_get(block->dtype, block->samples, i) != pyramid->nodata);
}

/* The rectangle of blocks of level - 1 that lie under a block. */
static size_t blocks_below(const struct pyramid *pyramid, const struct block_request *above,
                           struct block_request *ret_below)
{
    const struct pyramid_level *level = &pyramid->levels[above->level], *below = level - 1;
    double fx = (double)below->width / level->width, fy = (double)below->height / level->height;
    double x0 = above->col * (double)level->block_width * fx;
    double y0 = above->row * (double)level->block_height * fy;
    double x1 = ((above->col + 1.0) * level->block_width - 1) * fx;
    double y1 = ((above->row + 1.0) * level->block_height - 1) * fy;
    uint32_t col0 = (uint32_t)(fmax(x0, 0) / below->block_width);
    uint32_t row0 = (uint32_t)(fmax(y0, 0) / below->block_height);
    uint32_t col1 = (uint32_t)(fmin(x1, below->width - 1) / below->block_width);
    uint32_t row1 = (uint32_t)(fmin(y1, below->height - 1) / below->block_height);
    size_t count = 0;

    if ((uint64_t)(col1 - col0 + 1) * (row1 - row0 + 1) > BELOW_MAX)
        return 0; /* a pyramid with a step this wide is not sampled */
    for (uint32_t row = row0; row <= row1; row++) {
        for (uint32_t col = col0; col <= col1; col++)
            ret_below[count++] = (struct block_request){.level = (uint8_t)(above->level - 1),
                                                        .band = above->band,
                                                        .col = col,
                                                        .row = row,
                                                        .x1 = (uint16_t)below->block_width,
                                                        .y1 = (uint16_t)below->block_height};
    }
    return count;
}

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

/* A valid sample of band `b` with this value lies below; blocks that were not read have none. */
static bool is_below(const struct below *below, size_t b, struct run xs, struct run ys,
                     uint16_t value)
{
    uint32_t block_width = below->level->block_width, block_height = below->level->block_height;

    for (uint32_t y = ys.from; y < ys.to; y++) {
        for (uint32_t x = xs.from; x < xs.to; x++) {
            uint32_t col = x / block_width - below->col0, row = y / block_height - below->row0;

            if (col >= below->cols || row >= below->rows) /* unsigned: before the first one too */
                continue;
            const struct block *block = below->blocks[row * below->cols + col];
            size_t i = (b * block_height + y % block_height) * block_width + x % block_width;
            if (!block->empty && value_at(block, i) == value && is_valid(below->pyramid, block, i))
                return true;
        }
    }
    return false;
}

/*
 * Valid pixels of the block, inside of the picture, whose value is not among the valid ones
 * they lie over. Its outermost pixels do not count: they may come from a block beside the
 * ones that were read.
 */
static bool has_strangers(const struct below *below, const struct block_request *request,
                          const struct block *block)
{
    const struct pyramid_level *level = &below->pyramid->levels[request->level];
    uint32_t x0 = request->col * block->width, y0 = request->row * block->height;
    uint32_t width = TL_MIN(block->width, level->width - x0);
    uint32_t height = TL_MIN(block->height, level->height - y0);
    size_t valid = 0, strange = 0;

    for (uint32_t y = 1; y + 1 < height; y++) {
        struct run ys = footprint(y0 + y, level->height, below->level->height);

        for (uint32_t x = 1; x + 1 < width; x++) {
            struct run xs = footprint(x0 + x, level->width, below->level->width);

            for (size_t b = 0; b < block->bands; b++) {
                size_t i = (b * block->height + y) * block->width + x;
                bool counts = is_valid(below->pyramid, block, i);

                valid += counts;
                strange += counts && !is_below(below, b, xs, ys, value_at(block, i));
            }
        }
    }
    return strange * ALLOWED > valid;
}

static enum tl_code probe(struct block_source *source, const struct block_request *request,
                          struct errand *errand, bool *ret_tainted, struct tl_err *err)
{
    struct block_request requests[BELOW_MAX + 1] = {*request};
    struct block *blocks[BELOW_MAX + 1];
    size_t count = 1 + blocks_below(source->pyramid, request, requests + 1);

    if (count == 1)
        return TL_OK;
    TL_TRY(source->read(source, requests, count, errand, blocks, err));
    const struct below below = {
        .pyramid = source->pyramid,
        .level = &source->pyramid->levels[request->level - 1],
        .blocks = blocks + 1,
        .col0 = requests[1].col,
        .row0 = requests[1].row,
        .cols = requests[count - 1].col - requests[1].col + 1,
        .rows = requests[count - 1].row - requests[1].row + 1,
    };
    *ret_tainted = !blocks[0]->empty && has_strangers(&below, request, blocks[0]);
    for (size_t i = 0; i < count; i++)
        block_unref(blocks[i]);
    return TL_OK;
}

/* One block of the level, the richest where an index tells, else the middle one. */
static enum tl_code probe_level(struct block_source *source, uint8_t number, struct errand *errand,
                                bool *ret_tainted, struct tl_err *err)
{
    const struct pyramid_level *level = &source->pyramid->levels[number];
    struct block_request request = {.level = number,
                                    .col = (level->width - 1) / level->block_width / 2,
                                    .row = (level->height - 1) / level->block_height / 2};

    if (cog_is(source) && cog_richest_blocks(source, number, &request, 1) == 0)
        return TL_OK;
    request.x1 = (uint16_t)level->block_width;
    request.y1 = (uint16_t)level->block_height;
    return probe(source, &request, errand, ret_tainted, err);
}

enum tl_code taint_find(struct block_source *source, struct errand *errand, uint32_t *ret_levels,
                        struct tl_err *err)
{
    const struct pyramid *pyramid = source->pyramid;
    uint32_t levels = 0;
    bool tainted = false;

    for (uint8_t level = 1; level < pyramid->level_count && dtype_size(pyramid->dtype) <= 2;
         level++) {
        if (!tainted && pyramid->levels[level].usable && pyramid->levels[level - 1].usable)
            TL_TRY(probe_level(source, level, errand, &tainted, err));
        levels |= (uint32_t)tainted << level;
    }
    *ret_levels = levels;
    return TL_OK;
}
