#include "base/check.h"
#include "base/clock.h"
#include "base/errand.h"
#include "raster/raster_source.h"
#include "store/store.h"

#include <stdlib.h>

/* A call of raster_read_blocks() at work. */
struct reading {
    struct raster_source *source;
    struct errand *errand;
    const struct block_request *requests;
    struct block **blocks; /* NULL: not there yet */
    enum block_claim *claims;
    /* Of the batch being made; reserved up front, so that a claim is always made or abandoned. */
    const struct block_request **batch_requests;
    struct block **batch_made;
    size_t count;
};

static void check_request(const struct pyramid *pyramid, const struct block_request *request)
{
    TL_CHECK(request->level < pyramid->level_count);
    const struct pyramid_level *level = &pyramid->levels[request->level];

    TL_CHECK(request->col <= (level->width - 1) / level->block_width);
    TL_CHECK(request->row <= (level->height - 1) / level->block_height);
    TL_CHECK(pyramid->planar ? request->band < pyramid->bands : request->band == 0);
}

static void claim(struct reading *reading, size_t i)
{
    struct block_key key = raster_block_key(reading->source, &reading->requests[i]);

    reading->claims[i] = block_pool_claim(reading->source->pool, &key, &reading->blocks[i]);
}

enum tl_code raster_batch_put(struct raster_source *source, struct raster_batch *batch, size_t i,
                              struct block *block, struct tl_err *err)
{
    struct block_key key = raster_block_key(source, batch->requests[i]);

    if (block && !block->empty)
        block = raster_settle_block(source, batch->requests[i], block);
    if (!block)
        return tl_fail(err, TL_NOMEM, "no memory for a block");
    block_pool_land(source->pool, &key, block);
    batch->made[i] = block;
    return TL_OK;
}

static void abandon_missing(struct raster_source *source, const struct raster_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct block_key key = raster_block_key(source, batch->requests[i]);

        if (!batch->made[i])
            block_pool_abandon(source->pool, &key);
    }
}

/* Makes what requests [from, to) claimed. */
static enum tl_code make_mine(struct reading *reading, size_t from, size_t to, struct tl_err *err)
{
    struct raster_batch batch = {.requests = reading->batch_requests, .made = reading->batch_made};
    enum tl_code code = TL_OK;

    for (size_t i = from; i < to; i++) {
        if (reading->claims[i] != BLOCK_MINE)
            continue;
        reading->batch_requests[batch.count] = &reading->requests[i];
        batch.made[batch.count++] = NULL;
    }
    if (batch.count)
        code = reading->source->make(reading->source, &batch, reading->errand, err);
    abandon_missing(reading->source, &batch);
    for (size_t i = from, next = 0; i < to; i++) {
        if (reading->claims[i] == BLOCK_MINE)
            reading->blocks[i] = batch.made[next++];
    }
    return code;
}

/* The maker of a block may give up (its client left): then it is this reader's turn. */
static enum tl_code wait_for(struct reading *reading, size_t i, struct tl_err *err)
{
    struct block_pool *pool = reading->source->pool;
    struct block_key key = raster_block_key(reading->source, &reading->requests[i]);

    while (reading->claims[i] == BLOCK_OTHERS) {
        enum tl_code code = block_pool_wait(pool, &key, reading->errand, &reading->blocks[i], err);

        if (code == TL_OK)
            return TL_OK;
        if (code != TL_ABSENT)
            return code;
        claim(reading, i);
    }
    return reading->claims[i] == BLOCK_MINE ? make_mine(reading, i, i + 1, err) : TL_OK;
}

static enum tl_code wait_for_others(struct reading *reading, struct tl_err *err)
{
    int64_t start = clock_now_ns();
    bool waited = false;

    for (size_t i = 0; i < reading->count; i++) {
        if (reading->claims[i] != BLOCK_OTHERS)
            continue;
        waited = true;
        TL_TRY(wait_for(reading, i, err));
    }
    /* Another's fetch and decode: to this errand it is waiting for bytes. */
    if (waited)
        errand_lap(reading->errand, STAGE_FETCH, start);
    return TL_OK;
}

static enum tl_code read_all(struct reading *reading, struct tl_err *err)
{
    for (size_t i = 0; i < reading->count; i++)
        check_request(&reading->source->pyramid, &reading->requests[i]);
    for (size_t i = 0; i < reading->count; i++)
        claim(reading, i);
    TL_TRY(make_mine(reading, 0, reading->count, err));
    return wait_for_others(reading, err);
}

static bool reading_init(struct reading *reading)
{
    size_t count = TL_MAX(reading->count, (size_t)1);

    reading->blocks = calloc(count, sizeof(struct block *));
    reading->claims = calloc(count, sizeof(enum block_claim));
    reading->batch_requests = calloc(count, sizeof(struct block_request *));
    reading->batch_made = calloc(count, sizeof(struct block *));
    return reading->blocks && reading->claims && reading->batch_requests && reading->batch_made;
}

static void reading_release(struct reading *reading)
{
    free(reading->blocks);
    free(reading->claims);
    free(reading->batch_requests);
    free(reading->batch_made);
}

enum tl_code raster_read_blocks(struct block_source *source, const struct block_request *requests,
                                size_t count, struct errand *errand, struct block **ret_blocks,
                                struct tl_err *err)
{
    struct reading reading = {
        .source = raster_source_of(source), .errand = errand, .requests = requests, .count = count};
    enum tl_code code = TL_NOMEM;

    if (reading_init(&reading))
        code = read_all(&reading, err);
    else
        tl_fail(err, code, "no memory to read %zu blocks", count);
    for (size_t i = 0; reading.blocks && i < count; i++) {
        if (code == TL_OK)
            ret_blocks[i] = reading.blocks[i];
        else
            block_unref(reading.blocks[i]);
    }
    reading_release(&reading);
    if (code != TL_OK)
        tl_context(err, code, "%s: ", object_href(reading.source->object));
    return code;
}
