/*
 * taint: do the overviews of a class raster hold classes? The common way to make a COG
 * interpolates its overviews, and between class 10 and class 30 lies class 20, which is
 * not in the picture: up to 59 % of the pixels of an overview are then classes that do not
 * exist. No tag tells, so the pixels are asked.
 *
 * A sampled overview block is compared with the blocks of the level below that cover it:
 * nearest and mode can only repeat what is there. So each valid pixel is looked for among the
 * valid ones under it: an average of class 2 and 6 is a 4 where no 4 is, though class 4 occurs
 * all over the picture; and a hole that was filled in has nothing under it. More than one such
 * pixel of 500 taints the level; and with it the coarser ones, which are made from it.
 *
 * Threads  any
 * Cost     one round of reading for all levels: of each the richest block and the richest below
 *          it (all below it where blocks are small); what is read stays in the pool. 1 ms of CPU
 *          for a pair of 1024 x 1024
 */
#ifndef TILTH_RASTER_TAINT_H
#define TILTH_RASTER_TAINT_H

#include "base/attr.h"
#include "base/err.h"

#include <stdint.h>

struct block_source;
struct errand;

/* Raise it when another verdict may come of the same pixels: verdicts are kept. */
#define TAINT_REVISION "1"

/* Bit i of `*ret_levels`: level i is tainted. Rasters of more than 16 bits are never. */
TL_MUST_CHECK enum tl_code taint_find(struct block_source *source, struct errand *errand,
                                      uint32_t *ret_levels, struct tl_err *err);

#endif
