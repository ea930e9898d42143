/*
 * class_block: what a prediction makes - 512 x 512 pixels of label, confidence and whatever else
 * its layer keeps - as plain arrays while it is being made, and as a block of the pool once it is
 * handed out.
 *
 * Threads  a class_map belongs to one thread
 * Memory   class_map_new() / class_map_free()
 * Units    pixels; all bands but the label in percent
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

/* Label and confidence, which every class block has. */
#define CLASS_BANDS 2
/* A percent of a further band where the label is CLASS_NODATA or CLASS_MASKED. */
#define CLASS_UNSAID 255

struct class_map {
    uint16_t bands;      /* at least CLASS_BANDS */
    uint8_t *label;      /* band 0 */
    uint8_t *confidence; /* band 1; 0 where the label is CLASS_NODATA or CLASS_MASKED */
    uint8_t samples[];   /* [band][CLASS_PIXELS] */
};

/* All nodata; NULL when memory is out. */
struct class_map *class_map_new(uint16_t bands);
void class_map_free(struct class_map *map);
/* A window of pixels that are still nodata becomes CLASS_MASKED. */
void class_map_mask(struct class_map *map, struct class_window window);

/* A block of the pool (one reference) with a copy of the map; its mask says what is nodata. */
TL_MUST_CHECK enum tl_code class_block_new(struct block_pool *pool, const struct class_map *map,
                                           struct block **ret_block, struct tl_err *err);
/* Where bands are copied to: the window's first pixel, the same one of the next band, rows. */
struct class_room {
    uint8_t *at;
    size_t plane, stride;
};

/* Copies a window of all bands out of a block. */
void class_block_copy(const struct block *block, struct class_window window, struct class_room to);
/* The same from plain arrays. */
void class_map_copy(const struct class_map *map, struct class_window window, struct class_room to);

AUTO_DEFINE(class_map, class_map_free)

#endif
