#include "classify/class_block.h"

#include "base/check.h"
#include "classify/prediction_band.h"
#include "raster/block.h"
#include "raster/block_pool.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* What a band holds where nothing was classified. */
static uint8_t unsaid(uint16_t band)
{
    static const uint8_t first[CLASS_BANDS] = {CLASS_NODATA, 0};

    return band < CLASS_BANDS ? first[band] : CLASS_UNSAID;
}

struct class_map *class_map_new(uint16_t bands)
{
    struct class_map *map = malloc(sizeof(*map) + bands * CLASS_PIXELS);

    TL_CHECK(bands >= CLASS_BANDS);
    if (!map)
        return NULL;
    map->bands = bands;
    map->label = map->samples;
    map->confidence = map->samples + CLASS_PIXELS;
    for (uint16_t b = 0; b < bands; b++)
        memset(map->samples + b * CLASS_PIXELS, unsaid(b), CLASS_PIXELS);
    return map;
}

void class_map_free(struct class_map *map)
{
    free(map);
}

/* What the other bands say is the same of both. */
void class_map_mask(struct class_map *map, struct class_window window)
{
    for (unsigned y = window.y0; y < window.y1; y++)
        memset(map->label + (size_t)y * CLASS_BLOCK + window.x0, CLASS_MASKED,
               (size_t)(window.x1 - window.x0));
}

/* A block that nobody has seen yet is its maker's to write. */
static uint8_t *writable(const void *bytes)
{
    return (uint8_t *)(uintptr_t)bytes;
}

enum tl_code class_block_new(struct block_pool *pool, const struct class_map *map,
                             struct block **ret_block, struct tl_err *err)
{
    size_t nodata = 0;
    struct block shape = {
        .width = CLASS_BLOCK, .height = CLASS_BLOCK, .bands = map->bands, .dtype = DTYPE_U8};

    for (size_t i = 0; i < CLASS_PIXELS; i++)
        nodata += map->label[i] == CLASS_NODATA;
    shape.empty = nodata == CLASS_PIXELS;

    bool with_mask = nodata && !shape.empty;
    AUTO(block) block = block_pool_alloc(pool, &shape, with_mask);
    if (!block)
        return tl_fail(err, TL_NOMEM, "no memory for a class block");
    if (!shape.empty)
        memcpy(writable(block->samples), map->samples, map->bands * CLASS_PIXELS);
    uint8_t *mask = with_mask ? writable(block->mask) : NULL;
    for (size_t i = 0; with_mask && i < CLASS_PIXELS; i++)
        mask[i] = map->label[i] == CLASS_NODATA ? 0 : 255;
    *ret_block = TL_TAKE(block);
    return TL_OK;
}

static void copy_window(const uint8_t *from, struct class_window w, struct class_room to)
{
    for (size_t y = w.y0; y < w.y1; y++, to.at += to.stride)
        memcpy(to.at, from + y * CLASS_BLOCK + w.x0, (size_t)(w.x1 - w.x0));
}

static void fill_window(uint8_t value, struct class_window w, struct class_room to)
{
    for (size_t y = w.y0; y < w.y1; y++, to.at += to.stride)
        memset(to.at, value, (size_t)(w.x1 - w.x0));
}

void class_block_copy(const struct block *block, struct class_window window, struct class_room to)
{
    const uint8_t *samples = block->samples;

    for (uint16_t b = 0; b < block->bands; b++, to.at += to.plane)
        if (block->empty)
            fill_window(unsaid(b), window, to);
        else
            copy_window(samples + b * CLASS_PIXELS, window, to);
}

void class_map_copy(const struct class_map *map, struct class_window window, struct class_room to)
{
    for (uint16_t b = 0; b < map->bands; b++, to.at += to.plane)
        copy_window(map->samples + b * CLASS_PIXELS, window, to);
}
