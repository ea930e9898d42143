#include "raster/resample_strip.h"

#include "base/arena.h"
#include "base/check.h"
#include "raster/resample.h"

#include <string.h>

void strip_init(struct strip *strip, const struct warp_window *window, bool as_float)
{
    *strip = (struct strip){
        .window = window,
        .as_float = as_float,
        .size = as_float ? sizeof(float) : dtype_size(window->pyramid->dtype),
    };
}

static enum tl_code strip_reserve(struct strip *strip, struct arena *arena, struct tl_err *err)
{
    size_t bands = strip->window->band_count, pixels = (size_t)strip->width * strip->height;

    if (pixels > WARP_MAX_SOURCE_PX / bands)
        return tl_fail(err, TL_LIMIT,
                       "one row of this window looks at %zu pixels of %zu bands of the raster, the "
                       "limit is %.0f million samples: add overviews, ask for fewer bands or for a "
                       "higher zoom",
                       pixels, bands, (double)WARP_MAX_SOURCE_PX / 1e6);
    if (pixels <= strip->room)
        return TL_OK;
    /* Strips of one target differ little; a third more is enough for the rest of them. */
    size_t room = pixels + pixels / 3;
    strip->samples = arena_alloc(arena, room * bands, strip->size);
    strip->valid = arena_alloc(arena, room, 1);
    strip->room = room;
    if (!strip->samples || !strip->valid)
        return tl_fail(err, TL_NOMEM, "no memory for %zu pixels of a raster", room);
    return TL_OK;
}

#define TO_FLOAT(name, type)                        \
    case name:                                      \
        for (size_t i = 0; i < count; i++)          \
            to[i] = (float)((const type *)from)[i]; \
        return

static void to_float(enum dtype dtype, const void *from, size_t count, float *to)
{
    switch (dtype) {
        TO_FLOAT(DTYPE_U8, uint8_t);
        TO_FLOAT(DTYPE_I8, int8_t);
        TO_FLOAT(DTYPE_U16, uint16_t);
        TO_FLOAT(DTYPE_I16, int16_t);
        TO_FLOAT(DTYPE_U32, uint32_t);
        TO_FLOAT(DTYPE_I32, int32_t);
        TO_FLOAT(DTYPE_F32, float);
        TO_FLOAT(DTYPE_F64, double);
    case DTYPE_COUNT:
    default:
        TL_CHECK(dtype < DTYPE_COUNT);
    }
}

/* `count` samples of one row of a block. */
static void copy_row(const struct strip *strip, const struct band_block *from, size_t at,
                     size_t count, size_t to)
{
    const struct pyramid *pyramid = strip->window->pyramid;
    const uint8_t *samples = (const uint8_t *)from->samples + at * dtype_size(pyramid->dtype);
    size_t in_plane = to % ((size_t)strip->width * strip->height);

    if (strip->as_float)
        to_float(pyramid->dtype, samples, count, (float *)strip->samples + to);
    else
        memcpy((uint8_t *)strip->samples + to * strip->size, samples, count * strip->size);
    for (size_t i = 0; from->mask && i < count; i++)
        strip->valid[in_plane + i] &= (uint8_t)(from->mask[at + i] != 0);
    valid_where_data(pyramid, samples, count, strip->valid + in_plane);
}

static void blank_row(const struct strip *strip, size_t count, size_t to)
{
    memset((uint8_t *)strip->samples + to * strip->size, 0, count * strip->size);
    memset(strip->valid + to % ((size_t)strip->width * strip->height), 0, count);
}

/* One row of the strip, of band k, block by block. `y` is inside the level. */
static void fill_row(const struct strip *strip, uint16_t k, uint32_t y, size_t to)
{
    const struct pyramid_level *level = strip->window->level;
    uint32_t bw = level->block_width, bh = level->block_height;
    int64_t end = strip->x + strip->width;

    for (int64_t x = strip->x; x < end;) {
        size_t at = to + (size_t)(x - strip->x);

        if (x < 0 || x >= level->width) {
            int64_t stop = x < 0 ? TL_MIN(end, 0) : end;
            blank_row(strip, (size_t)(stop - x), at);
            x = stop;
            continue;
        }
        int64_t stop = TL_MIN((x / bw + 1) * bw, TL_MIN(end, level->width));
        struct band_block from = warp_window_band(strip->window, k, (uint32_t)(x / bw), y / bh);
        if (from.samples)
            copy_row(strip, &from, (size_t)(y % bh) * bw + (size_t)(x % bw), (size_t)(stop - x),
                     at);
        else
            blank_row(strip, (size_t)(stop - x), at);
        x = stop;
    }
}

/* A sample that is not valid counts for nothing, but NaN x 0 is NaN. */
static void clear_invalid(struct strip *strip)
{
    size_t pixels = (size_t)strip->width * strip->height;
    uint8_t all = 1;

    for (size_t i = 0; i < pixels; i++)
        all &= strip->valid[i];
    strip->all_valid = all;
    if (strip->all_valid || !strip->as_float)
        return;
    for (uint16_t k = 0; k < strip->window->band_count; k++) {
        float *samples = (float *)strip->samples + k * pixels;
        for (size_t i = 0; i < pixels; i++)
            samples[i] = strip->valid[i] ? samples[i] : 0;
    }
}

enum tl_code strip_fill(struct strip *strip, const int64_t x[2], const int64_t y[2],
                        struct arena *arena, struct tl_err *err)
{
    const struct pyramid_level *level = strip->window->level;

    TL_CHECK(x[1] > x[0] && y[1] > y[0]);
    strip->x = x[0];
    strip->y = y[0];
    strip->width = (uint32_t)(x[1] - x[0]);
    strip->height = (uint32_t)(y[1] - y[0]);
    TL_TRY(strip_reserve(strip, arena, err));
    size_t pixels = (size_t)strip->width * strip->height;
    memset(strip->valid, 1, pixels);
    for (uint16_t k = 0; k < strip->window->band_count; k++) {
        for (uint32_t j = 0; j < strip->height; j++) {
            size_t to = k * pixels + (size_t)j * strip->width;

            if (y[0] + j < 0 || y[0] + j >= level->height)
                blank_row(strip, strip->width, to);
            else
                fill_row(strip, k, (uint32_t)(y[0] + j), to);
        }
    }
    clear_invalid(strip);
    return TL_OK;
}
