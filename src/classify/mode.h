/*
 * mode: one level of the class pyramid from the level above it. A pixel is the commonest
 * label of its 2 x 2 children, the earliest in row order among equals; nodata has no vote
 * and masked is a label like any other. Its confidence, and every other band, is the mean of the
 * winners', rounded half up.
 *
 * Threads  any
 * Memory   none
 */
#ifndef TILTH_CLASSIFY_MODE_H
#define TILTH_CLASSIFY_MODE_H

#include <stddef.h>
#include <stdint.h>

struct class_map;

/*
 * Halves `width` x `height` pixels of a child: as many bands as the parent has, CLASS_PIXELS
 * apart, rows CLASS_BLOCK apart. What is odd at the right or the bottom counts as nodata. `at` is
 * where the result begins in the parent's bands.
 */
void mode_halve(const uint8_t *samples, uint32_t width, uint32_t height, struct class_map *parent,
                size_t at);

#endif
