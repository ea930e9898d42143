#include "raster/raster_source.h"

#include "base/arena.h"
#include "base/check.h"
#include "geo/crs.h"
#include "store/store.h"

#include <math.h>
#include <string.h>

/* Part of every fingerprint: a change of what decoding means changes all of them. */
#define READER_REVISION "1"

static struct hash128 fingerprint_of(const struct object *object, const char *reader)
{
    const char *parts[] = {object_href(object), object_version(object), reader, READER_REVISION};
    struct hash128 hash = {0};

    for (size_t i = 0; i < TL_COUNT(parts); i++)
        hash = hash128_join(hash, hash128(parts[i], strlen(parts[i])));
    return hash;
}

enum tl_code raster_source_init(struct raster_source *source, const struct raster_env *env,
                                struct object *object, const char *reader, const char *reason,
                                struct tl_err *err)
{
    source->strings = arena_new();
    if (!source->strings)
        return tl_fail(err, TL_NOMEM, "no memory to open %s", object_href(object));
    source->base.pyramid = &source->pyramid;
    source->base.read = raster_read_blocks;
    source->base.fingerprint = fingerprint_of(object, reader);
    source->object = object_ref(object);
    source->pool = env->pool;
    source->pool_id = block_pool_source_id(env->pool);
    source->info = (struct raster_info){
        .href = object_href(object),
        .reader = reader,
        .reason = reason ? arena_printf(source->strings, "%s", reason) : NULL,
        .version = object_version(object),
        .size_bytes = object_size(object),
    };
    for (int i = 0; i < PYRAMID_MAX_BANDS; i++)
        source->info.scale[i] = 1;
    return TL_OK;
}

void raster_source_release(struct raster_source *source)
{
    crs_unref(source->pyramid.crs);
    object_unref(source->object);
    arena_free(source->strings);
}

struct block_key raster_block_key(const struct raster_source *source,
                                  const struct block_request *request)
{
    return (struct block_key){.source = source->pool_id,
                              .col = request->col,
                              .row = request->row,
                              .band = request->band,
                              .level = request->level};
}

static bool is_smaller_picture(const struct pyramid_level *full, uint32_t width, uint32_t height)
{
    /* The longer side tells the factor best. */
    double factor =
        full->width >= full->height ? (double)full->width / width : (double)full->height / height;

    return fabs(full->width / factor - width) <= 1 && fabs(full->height / factor - height) <= 1;
}

bool pyramid_add_level(struct pyramid *pyramid, uint32_t width, uint32_t height,
                       uint32_t block_width, uint32_t block_height)
{
    struct pyramid_level *level = &pyramid->levels[pyramid->level_count];
    const struct pyramid_level *full = &pyramid->levels[0], *before = level - 1;

    if (pyramid->level_count == PYRAMID_MAX_LEVELS || !width || !height)
        return false;
    if (pyramid->level_count) {
        if (width > before->width || height > before->height ||
            (width == before->width && height == before->height) ||
            !is_smaller_picture(full, width, height))
            return false;
        level->affine = full->affine;
        level->affine.dx *= (double)full->width / width;
        level->affine.dy *= (double)full->height / height;
    }
    level->width = width;
    level->height = height;
    level->block_width = block_width;
    level->block_height = block_height;
    level->usable = true;
    pyramid->level_count++;
    return true;
}

bool nodata_for(enum dtype dtype, double nodata, double *ret_nodata)
{
    static const double lowest[] = {
        [DTYPE_U8] = 0,          [DTYPE_I8] = INT8_MIN, [DTYPE_U16] = 0,
        [DTYPE_I16] = INT16_MIN, [DTYPE_U32] = 0,       [DTYPE_I32] = INT32_MIN};
    static const double highest[] = {
        [DTYPE_U8] = UINT8_MAX,  [DTYPE_I8] = INT8_MAX,    [DTYPE_U16] = UINT16_MAX,
        [DTYPE_I16] = INT16_MAX, [DTYPE_U32] = UINT32_MAX, [DTYPE_I32] = INT32_MAX};

    if (dtype == DTYPE_F32)
        nodata = (double)(float)nodata;
    else if (dtype != DTYPE_F64 &&
             !(nodata >= lowest[dtype] && nodata <= highest[dtype] && nodata == floor(nodata)))
        return false;
    *ret_nodata = nodata;
    return true;
}

static struct block shape_of(const struct raster_source *source,
                             const struct block_request *request)
{
    const struct pyramid_level *level = &source->pyramid.levels[request->level];

    return (struct block){.width = level->block_width,
                          .height = level->block_height,
                          .bands = source->pyramid.planar ? 1 : source->pyramid.bands,
                          .dtype = source->pyramid.dtype};
}

struct block *raster_empty_block(const struct raster_source *source,
                                 const struct block_request *request)
{
    struct block shape = shape_of(source, request);

    shape.empty = true;
    return block_pool_alloc(source->pool, &shape, false);
}

struct block *raster_new_block(const struct raster_source *source,
                               const struct block_request *request, bool with_mask)
{
    struct block shape = shape_of(source, request);

    return block_pool_alloc(source->pool, &shape, with_mask);
}

/* All `count` samples have the bytes of the first. Shifted by one, memory equals itself. */
static bool all_alike(const void *samples, size_t sample_size, size_t count)
{
    return memcmp(samples, (const uint8_t *)samples + sample_size, (count - 1) * sample_size) == 0;
}

static bool is_nodata(double sample, double nodata)
{
    return sample == nodata || (isnan(sample) && isnan(nodata));
}

/* Leaves at the first valid sample, which in a block with data is one of the first, mostly. */
static bool all_nodata(enum dtype dtype, const void *samples, size_t count, double nodata)
{
    if (!is_nodata(dtype_get(dtype, samples, 0), nodata))
        return false;
    if (all_alike(samples, dtype_size(dtype), count))
        return true;
    /* Floats that are not valid may differ in their bytes: 0 and -0, one NaN and another. */
    for (size_t i = 0; dtype_is_float(dtype) && i < count; i++) {
        if (!is_nodata(dtype_get(dtype, samples, i), nodata))
            return false;
    }
    return dtype_is_float(dtype);
}

static bool mask_is(const struct block *block, uint8_t value)
{
    return block->mask && block->mask[0] == value &&
           all_alike(block->mask, 1, (size_t)block->width * block->height);
}

struct block *raster_settle_block(const struct raster_source *source,
                                  const struct block_request *request, struct block *block)
{
    const struct pyramid *pyramid = &source->pyramid;
    size_t pixels = (size_t)block->width * block->height;
    bool empty = mask_is(block, 0);

    if (!empty && pyramid->has_nodata)
        empty = all_nodata(block->dtype, block->samples, pixels * block->bands, pyramid->nodata);
    if (empty) {
        struct block *nothing = raster_empty_block(source, request);

        block_unref(block);
        return nothing;
    }
    if (mask_is(block, UINT8_MAX))
        block->mask = NULL;
    return block;
}
