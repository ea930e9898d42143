/*
 * pack: class indices to pixels of 1, 2, 4 or 8 bits and back, first pixel in the high bits
 * as PNG wants it.
 *
 * Threads  any
 * Memory   the caller's
 */
#ifndef TILTH_IMAGE_PACK_H
#define TILTH_IMAGE_PACK_H

#include <stddef.h>
#include <stdint.h>

/* The largest of `count` indices; 0 for none. 16 at a time. */
uint8_t pack_max(const uint8_t *indices, size_t count);

/* `count` indices below 2^depth to ceil(count * depth / 8) bytes; the last is padded with 0. */
void pack_row(const uint8_t *indices, size_t count, unsigned depth, uint8_t *ret_packed);
void unpack_row(const uint8_t *packed, size_t count, unsigned depth, uint8_t *ret_indices);

#endif
