#include "classify/class_block.h"

#include "classify/prediction.h"
#include "raster/block.h"
#include "raster/block_pool.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct class_map *class_map_new(void)
{
    struct class_map *map = malloc(sizeof(*map));

    if (!map)
        return NULL;
    memset(map->label, CLASS_NODATA, sizeof(map->label));
    memset(map->confidence, 0, sizeof(map->confidence));
    return map;
}

void class_map_free(struct class_map *map)
{
    free(map);
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
        .width = CLASS_BLOCK, .height = CLASS_BLOCK, .bands = 2, .dtype = DTYPE_U8};

    for (size_t i = 0; i < CLASS_PIXELS; i++)
        nodata += map->label[i] == CLASS_NODATA;
    shape.empty = nodata == CLASS_PIXELS;

    bool with_mask = nodata && !shape.empty;
    AUTO(block) block = block_pool_alloc(pool, &shape, with_mask);
    if (!block)
        return tl_fail(err, TL_NOMEM, "no memory for a class block");
    if (!shape.empty)
        memcpy(writable(block->samples), map, sizeof(*map));
    uint8_t *mask = with_mask ? writable(block->mask) : NULL;
    for (size_t i = 0; with_mask && i < CLASS_PIXELS; i++)
        mask[i] = map->label[i] == CLASS_NODATA ? 0 : 255;
    *ret_block = TL_TAKE(block);
    return TL_OK;
}

static void copy_window(const uint8_t *from, struct class_window w, uint8_t *to, size_t stride)
{
    for (size_t y = w.y0; y < w.y1; y++, to += stride)
        memcpy(to, from + y * CLASS_BLOCK + w.x0, (size_t)(w.x1 - w.x0));
}

static void fill_window(uint8_t value, struct class_window w, uint8_t *to, size_t stride)
{
    for (size_t y = w.y0; y < w.y1; y++, to += stride)
        memset(to, value, (size_t)(w.x1 - w.x0));
}

void class_block_copy(const struct block *block, struct class_window window, uint8_t *ret_label,
                      uint8_t *ret_confidence, size_t stride)
{
    const uint8_t *samples = block->samples;

    if (block->empty) {
        fill_window(CLASS_NODATA, window, ret_label, stride);
        fill_window(0, window, ret_confidence, stride);
        return;
    }
    copy_window(samples, window, ret_label, stride);
    copy_window(samples + CLASS_PIXELS, window, ret_confidence, stride);
}

void class_map_copy(const struct class_map *map, struct class_window window, uint8_t *ret_label,
                    uint8_t *ret_confidence, size_t stride)
{
    copy_window(map->label, window, ret_label, stride);
    copy_window(map->confidence, window, ret_confidence, stride);
}
