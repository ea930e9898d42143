/*
 * taint: do the overviews of a class raster hold classes? The common way to make a COG
 * interpolates its overviews, and between class 10 and class 30 lies class 20, which is
 * not in the picture: up to 59 % of the pixels of an overview are then classes that do not
 * exist. No tag tells, so the pixels are asked.
 *
 * A sampled overview block is compared with the blocks of the level below that cover it:
 * nearest and mode can only repeat what is there. A value that is not there, in more than
 * one pixel of 500, taints the level; and with it the coarser ones, which are made from it.
 *
 * Threads  any
 * Cost     one block of each level, the richest, and the 4 or so below it; what is read stays
 *          in the pool
 */
#ifndef TILTH_RASTER_TAINT_H
#define TILTH_RASTER_TAINT_H

#include "base/attr.h"
#include "base/err.h"

#include <stdint.h>

struct block_source;
struct errand;

/* Bit i of `*ret_levels`: level i is tainted. Rasters of more than 16 bits are never. */
TL_MUST_CHECK enum tl_code taint_find(struct block_source *source, struct errand *errand,
                                      uint32_t *ret_levels, struct tl_err *err);

#endif
