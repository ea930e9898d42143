#include "raster/taint.h"

#include "raster/block.h"
#include "raster/cog.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { BELOW_MAX = 64, VALUES = 1 << 16 };

/* One pixel of 500: what rounding at the edges of blocks may bring in. */
enum { ALLOWED = 500 };

/* Which of the 2^16 sample values occur. */
struct value_set {
    uint64_t words[VALUES / 64];
};

static bool set_has(const struct value_set *set, uint16_t value)
{
    return set->words[value / 64] >> (value % 64) & 1;
}

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

static void collect(const struct block *block, struct value_set *set)
{
    size_t count = (size_t)block->width * block->height * block->bands;

    for (size_t i = 0; !block->empty && i < count; i++) {
        uint16_t value = value_at(block, i);

        set->words[value / 64] |= UINT64_C(1) << (value % 64);
    }
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
 * Pixels of the block, inside of the picture, whose value is not in the set. Its outermost
 * pixels do not count: they may come from a block beside the ones that were read.
 */
static bool has_strangers(const struct pyramid *pyramid, const struct block_request *request,
                          const struct block *block, const struct value_set *set)
{
    const struct pyramid_level *level = &pyramid->levels[request->level];
    size_t width = TL_MIN(block->width, level->width - request->col * block->width);
    size_t height = TL_MIN(block->height, level->height - request->row * block->height);
    size_t pixels = (size_t)block->width * block->height, valid = 0, strange = 0;

    for (size_t b = 0; b < block->bands; b++) {
        for (size_t y = 1; y + 1 < height; y++) {
            for (size_t x = 1; x + 1 < width; x++) {
                size_t i = b * pixels + y * block->width + x;
                bool counts = is_valid(pyramid, block, i);

                valid += counts;
                strange += counts && !set_has(set, value_at(block, i));
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
    struct value_set *set = calloc(1, sizeof(*set));

    if (!set)
        return tl_fail(err, TL_NOMEM, "no memory to look at overviews");
    enum tl_code code =
        count > 1 ? source->read(source, requests, count, errand, blocks, err) : TL_OK;
    if (code == TL_OK && count > 1) {
        for (size_t i = 1; i < count; i++)
            collect(blocks[i], set);
        *ret_tainted = !blocks[0]->empty && has_strangers(source->pyramid, request, blocks[0], set);
        for (size_t i = 0; i < count; i++)
            block_unref(blocks[i]);
    }
    free(set);
    return code;
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
