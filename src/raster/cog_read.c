#include "base/blob.h"
#include "base/clock.h"
#include "base/errand.h"
#include "raster/cog_impl.h"

#include <stdlib.h>
#include <string.h>

/*
 *   ...| size | image block | last 4 bytes again | size | mask block | last 4 again |...
 *      ^ offset - 4 (leader)                     ^ within a few bytes: one range request
 *
 * A leader that disagrees with the index means that somebody wrote into the file without
 * knowing its layout.
 */
enum { LEADER = 4 };

/* A compressed block holds at most this much beyond twice its decoded size. */
enum { COMPRESSED_SLACK = 1 << 20 };

/* The bytes of an image or mask block. */
struct piece {
    struct cog_extent extent;
    bool leader;
    struct slice slice; /* owner NULL: nothing was fetched */
};

struct work {
    struct piece image, mask;
};

/* One batch on its way through fetch and decode. */
struct making {
    struct cog *cog;
    struct raster_batch *batch;
    struct work *works;   /* one per block */
    struct range *ranges; /* up to two per block */
    struct slice *slices;
    struct piece **pieces; /* whose range it is */
    size_t range_count;
};

struct cog_extent cog_extent_of(const struct tiff_ifd *ifd, uint64_t i)
{
    struct cog_extent extent = {0};

    extent.sparse = !tiff_uint(&ifd->values[TAG_BLOCK_OFFSETS], i, &extent.offset) ||
                    !tiff_uint(&ifd->values[TAG_BLOCK_BYTE_COUNTS], i, &extent.size) ||
                    !extent.offset || !extent.size;
    return extent;
}

static enum tl_code plan_piece(struct making *making, const struct codec_format *format,
                               struct piece *piece, struct tl_err *err)
{
    uint64_t file_size = making->cog->common.info.size_bytes;
    const struct cog_extent *extent = &piece->extent;
    uint64_t most = 2 * (uint64_t)codec_block_size(format) + COMPRESSED_SLACK;

    if (extent->offset > file_size || extent->size > file_size - extent->offset)
        return tl_fail(err, TL_CORRUPT, "its %llu bytes at %llu end behind the file's %llu",
                       (unsigned long long)extent->size, (unsigned long long)extent->offset,
                       (unsigned long long)file_size);
    if (extent->size > most)
        return tl_fail(err, TL_LIMIT, "%llu compressed bytes, at most %llu for its size",
                       (unsigned long long)extent->size, (unsigned long long)most);
    piece->leader = making->cog->tiff->block_leader && extent->offset >= LEADER;
    uint64_t before = piece->leader ? LEADER : 0;
    making->pieces[making->range_count] = piece;
    making->ranges[making->range_count++] =
        (struct range){extent->offset - before, (size_t)(extent->size + before)};
    return TL_OK;
}

static enum tl_code plan_block(struct making *making, size_t i, struct tl_err *err)
{
    const struct block_request *request = making->batch->requests[i];
    const struct cog_level *level = &making->cog->levels[request->level];
    struct work *work = &making->works[i];
    uint64_t plane = (uint64_t)level->cols * level->rows;
    uint64_t at = (uint64_t)request->row * level->cols + request->col;

    work->image.extent = cog_extent_of(level->ifd, request->band * plane + at);
    work->mask.extent.sparse = true;
    if (level->mask_ifd) {
        work->mask.extent = cog_extent_of(level->mask_ifd, at);
        if (work->mask.extent.sparse) /* no bit is set: nothing to look at */
            work->image.extent.sparse = true;
    }
    /* Sparse samples are nodata where there is such a value, whatever the mask says. */
    if (work->image.extent.sparse && making->cog->common.pyramid.has_nodata)
        work->mask.extent.sparse = true;
    if (!work->image.extent.sparse)
        TL_TRY(plan_piece(making, &level->image, &work->image, err));
    if (!work->mask.extent.sparse)
        TL_TRY(plan_piece(making, &level->mask, &work->mask, err));
    return TL_OK;
}

static enum tl_code check_leader(const struct piece *piece, struct tl_err *err)
{
    uint32_t says;

    if (!piece->leader)
        return TL_OK;
    memcpy(&says, piece->slice.bytes, sizeof(says));
    if (says != piece->extent.size)
        return tl_fail(err, TL_CORRUPT,
                       "its leader says %u bytes, the index %llu: the file was edited in place, "
                       "rewrite it with gdal_translate -of COG",
                       says, (unsigned long long)piece->extent.size);
    return TL_OK;
}

static enum tl_code decode_piece(struct codec *codec, const struct codec_format *format,
                                 const struct piece *piece, void *out, struct tl_err *err)
{
    size_t before = piece->leader ? LEADER : 0;

    TL_TRY(check_leader(piece, err));
    return codec_decode(codec, format, piece->slice.bytes + before, piece->slice.size - before, out,
                        err);
}

/* Alpha of any type: a pixel is valid where it is not 0. */
static void mask_from_alpha(const struct cog *cog, struct block *block)
{
    size_t pixels = (size_t)block->width * block->height, size = dtype_size(block->dtype);
    const uint8_t *alpha =
        (const uint8_t *)block->samples + (size_t)(cog->alpha_band - 1) * pixels * size;
    uint8_t *mask = block_mask_mut(block);

    for (size_t i = 0; i < pixels; i++)
        mask[i] = (uint8_t) - (dtype_get(block->dtype, alpha, i) != 0);
}

static enum tl_code decode_block(struct making *making, size_t i, struct codec *codec,
                                 struct block **ret_block, struct tl_err *err)
{
    const struct cog *cog = making->cog;
    const struct block_request *request = making->batch->requests[i];
    const struct cog_level *level = &cog->levels[request->level];
    const struct work *work = &making->works[i];
    bool with_mask = level->mask_ifd || cog->alpha_band;

    AUTO(block)
    block = work->image.extent.sparse && work->mask.extent.sparse
                ? raster_empty_block(&cog->common, request)
                : raster_new_block(&cog->common, request, with_mask);
    if (!block)
        return tl_fail(err, TL_NOMEM, "no memory for a block");
    if (!block->empty) {
        if (work->image.extent.sparse)
            memset(block_samples_mut(block), 0, codec_block_size(&level->image));
        else
            TL_TRY(decode_piece(codec, &level->image, &work->image, block_samples_mut(block), err));
        if (level->mask_ifd)
            TL_TRY(decode_piece(codec, &level->mask, &work->mask, block_mask_mut(block), err));
        else if (with_mask)
            mask_from_alpha(cog, block);
    }
    *ret_block = TL_TAKE(block);
    return TL_OK;
}

static enum tl_code in_block(const struct block_request *request, enum tl_code code,
                             struct tl_err *err)
{
    if (code != TL_OK)
        tl_context(err, code, "block %u,%u of level %u: ", request->col, request->row,
                   request->level);
    return code;
}

/*
 * Memory for blocks on their way from pixels to bands. It comes from the pool, whose
 * pages are there already: fresh ones would cost as much as decoding. NULL: none is needed.
 */
static struct block *take_scratch(const struct making *making)
{
    size_t size = 0;

    for (size_t i = 0; i < making->batch->count; i++) {
        const struct cog_level *level = &making->cog->levels[making->batch->requests[i]->level];

        size = TL_MAX(size, codec_scratch_size(&level->image));
        if (level->mask_ifd)
            size = TL_MAX(size, codec_scratch_size(&level->mask));
    }
    struct block shape = {.width = (uint32_t)size, .height = 1, .bands = 1, .dtype = DTYPE_U8};
    return size ? block_pool_alloc(making->cog->common.pool, &shape, false) : NULL;
}

static enum tl_code decode_all(struct making *making, struct errand *errand, struct tl_err *err)
{
    struct raster_batch *batch = making->batch;
    AUTO(codec) codec = codec_new();
    AUTO(block) scratch = take_scratch(making);

    if (!codec)
        return tl_fail(err, TL_NOMEM, "no memory for a block decoder");
    if (scratch)
        codec_lend_scratch(codec, block_samples_mut(scratch), scratch->width);
    for (size_t i = 0; i < batch->count; i++) {
        struct block *block = NULL;

        TL_TRY(errand_check(errand, err));
        TL_TRY(in_block(batch->requests[i], decode_block(making, i, codec, &block, err), err));
        TL_TRY(raster_batch_put(&making->cog->common, batch, i, block, err));
    }
    return TL_OK;
}

static enum tl_code plan_all(struct making *making, struct tl_err *err)
{
    for (size_t i = 0; i < making->batch->count; i++)
        TL_TRY(in_block(making->batch->requests[i], plan_block(making, i, err), err));
    return TL_OK;
}

static enum tl_code make(struct making *making, struct errand *errand, struct tl_err *err)
{
    TL_TRY(plan_all(making, err));
    if (making->range_count)
        TL_TRY(object_read(making->cog->common.object, making->ranges, making->range_count, errand,
                           making->slices, err));
    for (size_t i = 0; i < making->range_count; i++)
        making->pieces[i]->slice = making->slices[i];

    int64_t start = clock_now_ns();
    enum tl_code code = decode_all(making, errand, err);
    errand_lap(errand, STAGE_DECODE, start);
    for (size_t i = 0; i < making->range_count; i++)
        blob_unref(making->slices[i].owner);
    return code;
}

static bool making_init(struct making *making, struct raster_source *source,
                        struct raster_batch *batch)
{
    *making = (struct making){
        .cog = (struct cog *)source,
        .batch = batch,
        .works = calloc(batch->count, sizeof(*making->works)),
        .ranges = calloc(batch->count, 2 * sizeof(*making->ranges)),
        .slices = calloc(batch->count, 2 * sizeof(*making->slices)),
        .pieces = calloc(batch->count, 2 * sizeof(struct piece *)),
    };
    return making->works && making->ranges && making->slices && making->pieces;
}

static void making_release(struct making *making)
{
    free(making->works);
    free(making->ranges);
    free(making->slices);
    free(making->pieces);
}

enum tl_code cog_make_blocks(struct raster_source *source, struct raster_batch *batch,
                             struct errand *errand, struct tl_err *err)
{
    enum tl_code code = TL_NOMEM;
    struct making making;

    if (making_init(&making, source, batch))
        code = make(&making, errand, err);
    else
        tl_fail(err, code, "no memory to read %zu blocks", batch->count);
    making_release(&making);
    return code;
}

struct ahead *cog_read_ahead(struct block_source *source, const struct block_request *requests,
                             size_t count)
{
    struct raster_source *common = raster_source_of(source);
    const struct block_request **missing = calloc(count, sizeof(struct block_request *));
    struct raster_batch batch = {.requests = missing};
    struct ahead *ahead = NULL;
    struct making making;
    struct tl_err ignored;

    for (size_t i = 0; missing && i < count; i++) {
        struct block_key key = raster_block_key(common, &requests[i]);

        if (!block_pool_has(common->pool, &key))
            missing[batch.count++] = &requests[i];
    }
    if (batch.count > 0) {
        if (making_init(&making, common, &batch) && plan_all(&making, &ignored) == TL_OK)
            ahead = object_read_ahead(common->object, making.ranges, making.range_count);
        making_release(&making);
    }
    free(missing);
    return ahead;
}
