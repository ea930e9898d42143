/*
 * smooth: class probabilities, each a mean of the 3 x 3 pixels around its own, weighing
 *
 *     1 2 1
 *     2 3 2
 *     1 2 1
 *
 * where a pixel without probabilities - masked, nodata, outside of the grid - weighs nothing. Done
 * once or several times; in between they are float32, as they come from the forest, so a mean adds
 * up products that double holds exactly, in one order. A pixel then depends on what lies within its
 * reach and on nothing else: not on who asked for it, nor with what.
 *
 * Threads  any
 * Memory   all of a field is in the caller's arena: per cell of its box 5 bytes, per pixel within
 *          reach 4, besides what probabilities the caller has
 * Units    pixels of a window; the reach, one for each time, is in pixels too
 */
#ifndef TILTH_CLASSIFY_SMOOTH_H
#define TILTH_CLASSIFY_SMOOTH_H

#include "base/attr.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct arena;

/* Times; each reaches one pixel farther. */
#define SMOOTH_MAX 8

/* A column that is none: the pixel weighs nothing. */
#define SMOOTH_NOTHING UINT32_MAX

/* Pixels of a window that are wanted, by their index in it; at least one. */
struct smooth_want {
    uint32_t width, height; /* of the window */
    const uint32_t *pixels;
    size_t count;
    unsigned reach; /* 1..SMOOTH_MAX */
};

/* What is within reach of them, in the smallest box around it. */
struct smooth_field {
    uint32_t left, top, width, height; /* the box, in the window */
    uint32_t stride;                   /* of the window */
    unsigned reach;
    uint8_t *away;    /* of each cell of the box: how far the next wanted pixel is */
    uint32_t *column; /* and its column of the planes; SMOOTH_NOTHING until the caller writes it */
    uint32_t *pixels; /* all cells within reach, by their index in the window */
    size_t pixel_count;
};

/* [class][column]: float32 as the forest gives it, of all pixels of a field that have any. */
struct smooth_planes {
    float *p;
    size_t columns;
    uint32_t class_count;
};

/* O(cells of the box x reach). TL_NOMEM. */
TL_MUST_CHECK enum tl_code smooth_field_new(const struct smooth_want *want, struct arena *arena,
                                            struct smooth_field *ret_field, struct tl_err *err);

/* The cell of a pixel of the window that lies in the box. */
size_t smooth_cell(const struct smooth_field *field, uint32_t pixel);

/* All times but the last, for every pixel that the last will look at: the planes are replaced,
 * by memory of the arena. TL_NOMEM. */
TL_MUST_CHECK enum tl_code smooth_but_once(const struct smooth_field *field,
                                           struct smooth_planes *planes, struct arena *arena,
                                           struct tl_err *err);

/* Once, at a cell that has a column: class_count means. */
void smooth_mean(const struct smooth_field *field, const struct smooth_planes *planes, size_t cell,
                 double *ret_p);

#endif
