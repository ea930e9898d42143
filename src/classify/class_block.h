/*
 * class_block: what a prediction makes - 512 x 512 pixels of label and confidence - as plain
 * arrays while it is being made, and as a block of the pool once it is handed out.
 *
 * Threads  a class_map belongs to one thread
 * Memory   class_map_new() / class_map_free()
 * Units    pixels; confidence in percent
 */
#ifndef TILTH_CLASSIFY_CLASS_BLOCK_H
#define TILTH_CLASSIFY_CLASS_BLOCK_H

#include "base/attr.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct block;
struct block_pool;

#define CLASS_BLOCK  512
#define CLASS_PIXELS ((size_t)CLASS_BLOCK * CLASS_BLOCK)

/* A rectangle of pixels [x0, x1) x [y0, y1) of one block. */
struct class_window {
    uint16_t x0, y0, x1, y1;
};

struct class_map {
    uint8_t label[CLASS_PIXELS];
    uint8_t confidence[CLASS_PIXELS]; /* 0 where the label is CLASS_NODATA or CLASS_MASKED */
};

/* All nodata; NULL when memory is out. */
struct class_map *class_map_new(void);
void class_map_free(struct class_map *map);

/* A block of the pool (one reference) with a copy of the map; its mask says what is nodata. */
TL_MUST_CHECK enum tl_code class_block_new(struct block_pool *pool, const struct class_map *map,
                                           struct block **ret_block, struct tl_err *err);
/* Copies a window out of a block; `stride` and the pointers are the destination's. */
void class_block_copy(const struct block *block, struct class_window window, uint8_t *ret_label,
                      uint8_t *ret_confidence, size_t stride);
/* The same from plain arrays of a block's size. */
void class_map_copy(const struct class_map *map, struct class_window window, uint8_t *ret_label,
                    uint8_t *ret_confidence, size_t stride);

AUTO_DEFINE(class_map, class_map_free)

#endif
