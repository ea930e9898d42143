/*
 * rows: feature rows made of a model's own thresholds, where no data is at hand: to prove a
 * model with, and to measure it. The same seed gives the same rows on every machine.
 *
 * Threads  a struct belongs to one
 * Memory   the edges live in the arena that model_rows_open() was given: at most 1 KB per feature
 */
#ifndef TILTH_MODEL_ROWS_H
#define TILTH_MODEL_ROWS_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct model;

/* How a made-up tile's pixels are alike. */
enum model_tile {
    TILE_SMOOTH,       /* fields with smooth texture and 2 % noise */
    TILE_NOISY,        /* the same with 8 % */
    TILE_STRUCTURELESS /* every feature of every pixel on its own */
};

struct model_rows {
    uint32_t feature_count;
    float *edges;    /* [feature][ROWS_EDGES]: a sample of the feature's thresholds, ascending */
    uint32_t *count; /* [feature], at least 1 */
    bool missing;    /* some split says where a NaN goes */
    uint64_t random;
};

#define ROWS_EDGES 256

/* O(nodes). False without memory. */
TL_MUST_CHECK bool model_rows_open(const struct model *model, uint64_t seed, struct arena *arena,
                                   struct model_rows *ret_rows);

/*
 * One row to prove a model with: each value is a threshold of its feature or a float32 beside it,
 * in every fourth row now and then NaN where the model says what that means, a zero of either sign
 * or an infinity.
 */
void model_rows_probe(struct model_rows *rows, float *ret_row);

/* `width` x `height` pixels, one plane per feature. */
void model_rows_tile(struct model_rows *rows, enum model_tile tile, uint32_t width, uint32_t height,
                     float *const *ret_planes);

#endif
