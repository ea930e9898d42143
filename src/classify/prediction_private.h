/*
 * prediction_private: what the files behind prediction.h share.
 *
 *   prediction.c   making one, the read that sorts requests, coverage, point queries
 *   fingerprint.c  what decides its pixels
 *   native.c       level 0: claims, units of work, post-processing
 *   levels.c       coarser levels: mode of children, or an approximation from overviews
 *   vote.c         pixels of a stack window through the forest, smoothed where the layer is
 */
#ifndef TILTH_CLASSIFY_PREDICTION_PRIVATE_H
#define TILTH_CLASSIFY_PREDICTION_PRIVATE_H

#include "base/attr.h"
#include "base/err.h"
#include "classify/class_block.h"
#include "classify/class_store.h"
#include "classify/prediction.h"
#include "classify/prediction_band.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct arena;
struct errand;
struct forest_output;
struct partial_region;
struct partials;
struct stack;
struct stack_place;
struct stack_window;

/* Arenas kept warm for the next read; one read uses two. */
#define PREDICTION_ARENAS 8

struct prediction {
    struct block_source base;
    struct pyramid pyramid;
    char *id;
    struct forest *forest;
    struct stack *stack;
    struct class_store *store;
    struct partials *partials;
    struct block_pool *pool;
    unsigned smooth;  /* times; a vote at level 0 looks so many pixels far */
    struct post post; /* without the smoothing */
    struct prediction_band bands[PREDICTION_MAX_BANDS]; /* as many as the pyramid has */
    enum prediction_policy policy;
    uint32_t budget_blocks;
    pthread_mutex_t mu; /* guards: idle, idle_count */
    struct arena *idle[PREDICTION_ARENAS];
    unsigned idle_count;
};

/* Scratch memory that has its pages already, or new. NULL when memory is out. */
struct arena *prediction_scratch(struct prediction *prediction);
void prediction_give_back(struct prediction *prediction, struct arena *arena);

/* The part of a block that lies inside the grid, from its upper left corner on. */
struct class_window prediction_inside(const struct prediction *prediction, uint8_t level,
                                      uint32_t col, uint32_t row);
/* The request with its window cut to the grid; it may become empty. */
struct block_request prediction_clip(const struct prediction *prediction,
                                     const struct block_request *request);
/* Whether a clipped request is all beyond the layer's area: CLASS_MASKED, at no cost. */
bool prediction_outside(const struct prediction *prediction, const struct block_request *request);
/* Whether a clipped request asks for all of its block that is inside the grid. */
bool prediction_is_whole(const struct prediction *prediction, const struct block_request *request);
/* Rows of a window of this width that may be read from the sources at a time. */
size_t prediction_region_pixels(const struct prediction *prediction);
/* Where the final block of a level is kept. */
struct class_key prediction_key(const struct prediction *prediction, uint8_t level, uint32_t col,
                                uint32_t row);

/* Of raw and of final blocks. */
TL_MUST_CHECK enum tl_code prediction_fingerprints(const struct prediction_spec *spec,
                                                   struct hash128 ret_fingerprints[CLASS_STAGES],
                                                   struct tl_err *err);

/* [x0, x1) x [y0, y1) of level 0 with what votes there look at. */
struct stack_place prediction_reach(const struct prediction *prediction,
                                    const struct partial_region *region);

/* Level 0, final labels, requests clipped. All or nothing. */
TL_MUST_CHECK enum tl_code native_read(struct prediction *prediction,
                                       const struct block_request *requests, size_t count,
                                       struct errand *errand, struct block **ret_blocks,
                                       struct tl_err *err);
/* Whether every pixel of a level-0 block is classified. */
bool native_has(struct prediction *prediction, uint32_t col, uint32_t row);

/* One block of a coarser level, request clipped. */
TL_MUST_CHECK enum tl_code levels_read(struct prediction *prediction,
                                       const struct block_request *request, struct errand *errand,
                                       struct block **ret_block, struct tl_err *err);
/* Level-0 blocks under a window that are not there; stops counting beyond `limit`. */
uint32_t levels_missing(struct prediction *prediction, const struct block_request *window,
                        uint32_t limit);

/* A window of the stack, of level 0 with what votes look at, on its way through the forest. */
struct vote {
    const struct prediction *prediction;
    const struct stack_window *window;
    struct errand *errand;
    struct arena *arena;
};

/* All bands of `count` pixels, given by their index in the window: [band][count]. */
TL_MUST_CHECK enum tl_code vote_pixels(const struct vote *vote, const uint32_t *pixels,
                                       size_t count, uint8_t *ret_samples, struct tl_err *err);
/* What is wanted of a pixel that can be classified, smoothed; of a layer that smooths, at level 0.
 */
TL_MUST_CHECK enum tl_code vote_smoothed_pixel(const struct vote *vote, uint32_t pixel,
                                               const struct forest_output *ret_output,
                                               struct tl_err *err);

#endif
