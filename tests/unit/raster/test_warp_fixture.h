/*
 * A block source whose samples are a function of band, column and row; blocks hold garbage
 * outside the part that was asked for, so that a warp which looks further is found out.
 */
#ifndef TILTH_TESTS_WARP_FIXTURE_H
#define TILTH_TESTS_WARP_FIXTURE_H

#include "base/arena.h"
#include "base/errand.h"
#include "geo/crs.h"
#include "geo/tms.h"
#include "raster/block.h"
#include "raster/block_pool.h"
#include "raster/warp.h"
#include "tl_test.h"

#include <stdlib.h>
#include <string.h>

struct synth;
typedef double synth_value_fn(const struct synth *synth, uint16_t band, uint32_t col, uint32_t row);

struct synth {
    struct block_source source; /* first */
    struct pyramid pyramid;
    struct block_pool *pool;
    synth_value_fn *value;
    bool (*masked)(uint32_t col, uint32_t row);   /* NULL: no mask */
    bool (*is_empty)(uint32_t col, uint32_t row); /* blocks that are sparse; NULL: none */
    bool inexact;
    unsigned seed;
    size_t reads, requests; /* calls and blocks so far */
    struct block_request last;
    uint64_t asked_px; /* area of all parts asked for */
};

/* A value that differs from pixel to pixel and fits 24 bits. */
__attribute__((unused)) static double synth_index(const struct synth *synth, uint16_t band,
                                                  uint32_t col, uint32_t row)
{
    return (double)((size_t)row * synth->pyramid.levels[0].width + col) + band;
}

__attribute__((unused)) static uint32_t synth_mix(uint32_t a, uint32_t b, uint32_t c)
{
    uint64_t h = a * UINT64_C(0x9E3779B97F4A7C15) ^ (b + UINT64_C(0x7F4A7C15)) << 17 ^ c;

    h = (h ^ h >> 31) * UINT64_C(0xBF58476D1CE4E5B9);
    return (uint32_t)(h >> 32);
}

/* Noise in 0..255, the worst case of every kernel. */
__attribute__((unused)) static double synth_noise(const struct synth *synth, uint16_t band,
                                                  uint32_t col, uint32_t row)
{
    return synth_mix(col, row, band + synth->seed) % 256;
}

/* Noise in 1..7: classes. */
__attribute__((unused)) static double synth_classes(const struct synth *synth, uint16_t band,
                                                    uint32_t col, uint32_t row)
{
    return synth_mix(col, row, band + synth->seed) % 7 + 1;
}

static void synth_put(enum dtype dtype, void *samples, size_t i, double value)
{
    switch (dtype) {
    case DTYPE_U8:
        ((uint8_t *)samples)[i] = (uint8_t)value;
        break;
    case DTYPE_I8:
        ((int8_t *)samples)[i] = (int8_t)value;
        break;
    case DTYPE_U16:
        ((uint16_t *)samples)[i] = (uint16_t)value;
        break;
    case DTYPE_I16:
        ((int16_t *)samples)[i] = (int16_t)value;
        break;
    case DTYPE_U32:
        ((uint32_t *)samples)[i] = (uint32_t)value;
        break;
    case DTYPE_I32:
        ((int32_t *)samples)[i] = (int32_t)value;
        break;
    case DTYPE_F32:
        ((float *)samples)[i] = (float)value;
        break;
    case DTYPE_F64:
        ((double *)samples)[i] = value;
        break;
    case DTYPE_COUNT:
    default:
        abort();
    }
}

static void synth_fill(struct synth *synth, const struct block_request *request,
                       struct block *block)
{
    const struct pyramid_level *level = &synth->pyramid.levels[request->level];
    size_t pixels = (size_t)block->width * block->height;
    void *samples = (void *)(uintptr_t)block->samples;
    uint8_t *mask = (void *)(uintptr_t)block->mask;

    memset(samples, 0xA5, pixels * block->bands * dtype_size(block->dtype));
    if (mask)
        memset(mask, 255, pixels);
    for (uint32_t y = request->y0; y < request->y1; y++) {
        for (uint32_t x = request->x0; x < request->x1; x++) {
            uint32_t col = request->col * level->block_width + x;
            uint32_t row = request->row * level->block_height + y;
            size_t at = (size_t)y * block->width + x;

            for (uint16_t k = 0; k < block->bands; k++) {
                uint16_t band = synth->pyramid.planar ? request->band : k;
                synth_put(block->dtype, samples, k * pixels + at,
                          synth->value(synth, band, col, row));
            }
            if (mask)
                mask[at] = synth->masked(col, row) ? 0 : 255;
        }
    }
}

static struct block *synth_block(struct synth *synth, const struct block_request *request)
{
    const struct pyramid_level *level = &synth->pyramid.levels[request->level];
    struct block shape = {
        .width = level->block_width,
        .height = level->block_height,
        .bands = synth->pyramid.planar ? 1 : synth->pyramid.bands,
        .dtype = synth->pyramid.dtype,
        .empty = synth->is_empty && synth->is_empty(request->col, request->row),
        .inexact = synth->inexact,
    };
    struct block *block = block_pool_alloc(synth->pool, &shape, synth->masked != NULL);

    if (block && !shape.empty)
        synth_fill(synth, request, block);
    return block;
}

static enum tl_code synth_read(struct block_source *source, const struct block_request *requests,
                               size_t count, struct errand *errand, struct block **ret_blocks,
                               struct tl_err *err)
{
    struct synth *synth = (struct synth *)source;

    (void)errand;
    synth->reads++;
    synth->requests += count;
    for (size_t i = 0; i < count; i++) {
        const struct block_request *r = &requests[i];

        if (r->x0 >= r->x1 || r->y0 >= r->y1)
            return tl_fail(err, TL_INTERNAL, "block %u,%u is asked for nothing", r->col, r->row);
        synth->asked_px += (uint64_t)(r->x1 - r->x0) * (r->y1 - r->y0);
        synth->last = *r;
        ret_blocks[i] = synth_block(synth, r);
        if (!ret_blocks[i])
            return tl_fail(err, TL_NOMEM, "no memory for block %zu", i);
    }
    return TL_OK;
}

static void synth_free(struct block_source *source)
{
    struct synth *synth = (struct synth *)source;

    crs_unref(synth->pyramid.crs);
    block_pool_free(synth->pool);
    free(synth);
}

static inline void synth_delete(struct synth *synth)
{
    if (synth)
        block_source_free(&synth->source);
}

AUTO_DEFINE(synth, synth_delete)

/* One level; overviews are added by synth_overview(). */
struct synth_spec {
    const char *crs;
    struct affine affine;
    uint32_t width, height, block;
    enum dtype dtype;
    uint16_t bands; /* 0 means 1 */
    bool planar;
    bool has_nodata;
    double nodata;
    synth_value_fn *value; /* NULL: synth_index */
};

__attribute__((unused)) static struct synth *synth_new(const struct synth_spec *spec)
{
    struct tl_err err;
    struct synth *synth = calloc(1, sizeof(*synth));

    assert_non_null(synth);
    assert_ok(crs_new(spec->crs, &synth->pyramid.crs, &err));
    assert_ok(block_pool_new(64 << 20, &synth->pool, &err));
    synth->source = (struct block_source){
        .pyramid = &synth->pyramid,
        .read = synth_read,
        .free = synth_free,
    };
    synth->value = spec->value ? spec->value : synth_index;
    synth->pyramid.dtype = spec->dtype;
    synth->pyramid.bands = spec->bands ? spec->bands : 1;
    synth->pyramid.planar = spec->planar;
    synth->pyramid.has_nodata = spec->has_nodata;
    synth->pyramid.nodata = spec->nodata;
    synth->pyramid.level_count = 1;
    synth->pyramid.levels[0] = (struct pyramid_level){
        .affine = spec->affine,
        .width = spec->width,
        .height = spec->height,
        .block_width = spec->block,
        .block_height = spec->block,
        .usable = true,
    };
    return synth;
}

/* The next level, half the last. Its samples are of its own columns and rows. */
__attribute__((unused)) static void synth_overview(struct synth *synth, bool usable)
{
    struct pyramid_level level = synth->pyramid.levels[synth->pyramid.level_count - 1];

    level.width = (level.width + 1) / 2;
    level.height = (level.height + 1) / 2;
    level.affine.dx *= 2;
    level.affine.dy *= 2;
    level.usable = usable;
    synth->pyramid.levels[synth->pyramid.level_count++] = level;
}

/* A web tile. The caller keeps `mercator`. */
__attribute__((unused)) static struct grid tile_grid(const struct crs *mercator, struct tile_id id,
                                                     uint32_t size_px)
{
    return (struct grid){
        .crs = mercator,
        .affine = tms_tile_affine(&tms_web_mercator_quad, id, size_px),
        .width = size_px,
        .height = size_px,
    };
}

/* The grid of a level itself. */
__attribute__((unused)) static struct grid own_grid(const struct synth *synth)
{
    const struct pyramid_level *level = &synth->pyramid.levels[0];

    return (struct grid){synth->pyramid.crs, level->affine, level->width, level->height};
}

#endif
