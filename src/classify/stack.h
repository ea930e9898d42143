/*
 * stack: the feature stack of a prediction. Knows which bands of which sources the features
 * use, reads those onto a window of the layer's grid, says of every pixel whether there is
 * anything to classify, and computes the features of the pixels that are left.
 *
 * A pixel of the window is, first that holds:
 *   CLASS_MASKED  it lies outside the area
 *   CLASS_NODATA  the baseline mask has no data there
 *   CLASS_MASKED  the baseline's class is not one to keep
 *   CLASS_NODATA  a used band of some source is invalid (nodata, mask)
 *   STACK_CLASSIFY otherwise; it may still turn out to be nodata when a feature is not finite
 *
 * At level 0 nothing is read of cells of the grid where no pixel is left to classify.
 *
 * Threads  a stack is immutable; windows belong to whoever read them
 * Memory   stack_new() / stack_free(); windows and features live in the caller's arena
 * Units    pixels of a level of the layer's grid
 */
#ifndef TILTH_CLASSIFY_STACK_H
#define TILTH_CLASSIFY_STACK_H

#include "base/attr.h"
#include "base/err.h"
#include "forest/forest.h"
#include "raster/resampling.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct errand;
struct prediction_spec;
struct stack;

/* Not a class value: those are 0..253. */
#define STACK_CLASSIFY 0

/* A rectangle of a level. */
struct stack_place {
    uint8_t level;
    uint32_t x, y, width, height;
};

/* What was read of a place. `at` is the caller's, the rest is written by stack_read(). */
struct stack_window {
    struct stack_place at;
    const struct stack *stack;
    struct planes *sources; /* one per source; unused ones are zero */
    uint8_t *verdict;       /* CLASS_NODATA, CLASS_MASKED or STACK_CLASSIFY of every pixel */
    size_t classify_count;
};

/* Compiles the features; a refusal names the feature, the column and what there is. */
TL_MUST_CHECK enum tl_code stack_new(const struct prediction_spec *spec, struct stack **ret_stack,
                                     struct tl_err *err);
void stack_free(struct stack *stack);

/* Whether the area leaves anything of a place; false: all of it is CLASS_MASKED. */
bool stack_touches(const struct stack *stack, struct stack_place place);

/* Bytes that a window costs per pixel, for whoever decides how large one may be. */
size_t stack_bytes_per_pixel(const struct stack *stack);

/*
 * Reads the bands of features and mask at `window->at`. At level 0 a pixel's values do not depend
 * on the window it was read in: sources that are not aligned with the grid are read in whole class
 * blocks. TL_ABSENT when a source knows its own pixels there only approximately (a prediction over
 * a prediction).
 */
TL_MUST_CHECK enum tl_code stack_read(const struct stack *stack, struct stack_window *window,
                                      struct errand *errand, struct arena *arena,
                                      struct tl_err *err);

/* What the model is to see of some pixels. */
struct stack_features {
    struct forest_pixels pixels;
    uint8_t *unknown; /* 1: some feature of the pixel is not finite; NULL: all are */
    /* What pixels points to. Each feature has one of the two. */
    float **planes;
    uint16_t **codes;
};

/* Features of `count` pixels of a window, given by their index in it. */
TL_MUST_CHECK enum tl_code stack_features(const struct stack_window *window, const uint32_t *pixels,
                                          size_t count, struct arena *arena,
                                          struct stack_features *ret_features, struct tl_err *err);

/* Moves the pixels together that are not unknown. */
void stack_drop_unknown(const struct stack *stack, struct stack_features *features);

AUTO_DEFINE(stack, stack_free)

#endif
