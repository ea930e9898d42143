/*
 * area_impl: what the files behind area.h share.
 *
 *   area.c        edges in bins; rows of pixels from them
 *   area_trace.c  rings become edges on a grid
 */
#ifndef TILTH_GEO_AREA_IMPL_H
#define TILTH_GEO_AREA_IMPL_H

#include "base/attr.h"
#include "base/err.h"

#include <stdint.h>

struct area_outline;
struct buf;
struct grid;

/* From its upper end to its lower one, in pixels of level 0; never horizontal. */
struct area_edge {
    double x0, y0, x1, y1;
    uint32_t polygon;
};

/* Appends the edges that matter to pixels of the grid, those of one polygon side by side. */
TL_MUST_CHECK enum tl_code area_trace(const struct area_outline *outline, const struct grid *grid,
                                      struct buf *edges, struct tl_err *err);

#endif
