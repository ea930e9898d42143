/*
 * output: what a run of a forest can give, each by itself or all together.
 *
 * Threads  a plain value
 * Memory   the arrays are the caller's
 */
#ifndef TILTH_FOREST_OUTPUT_H
#define TILTH_FOREST_OUTPUT_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>

struct model_info;

/* 0..1 to whole percent, halves up. A transform in float32 may pass 1 by a hair, and a score that
 * is no probability by far. */
static inline uint8_t forest_percent(double p)
{
    return (uint8_t)(100 * fmin(fmax(p, 0), 1) + 0.5);
}

/* Outputs of one run; NULL for what is not wanted. Arrays of `count` pixels; what has several
 * numbers per pixel is class-major: number c of pixel i at [c * count + i]. */
struct forest_output {
    uint8_t *label;      /* class values; of equal probabilities the first class wins */
    uint8_t *confidence; /* forest_percent() of the winner's probability, in double: 0..100 */
    float *probability;
    /* The greatest probability less the next one (of one class: less 0), 0..1. */
    float *margin;
    /* -sum p ln p / ln(classes), in double and in the order of the classes: 0 is certain, 1 is no
     * idea. What is not within 0 < p < 1 adds nothing; of one class it is 0. */
    float *entropy;
    /* info.score_count numbers: what LightGBM, XGBoost (float32 values) and CatBoost call raw,
     * bias and scale included. Of what divides its sums - a forest, a soft vote - the sums before
     * that. Those of a stack are its last model's. */
    double *scores;
    /* Per class, the trees whose leaf has it as its first most probable class. Of a model whose
     * info.has_votes; a forest's pixels with impure leaves are walked for it. */
    uint32_t *votes;
    uint8_t *percent; /* per class, the probability as `confidence` has the winner's */
};

/* Writes what is wanted of pixel `at` of `count` and follows from its probabilities, of which it
 * has class_count. */
void forest_write(const struct model_info *info, const double *p, size_t at, size_t count,
                  const struct forest_output *output);
/* The same of a pixel that is called `best`, an index into the classes, whatever is likeliest. */
void forest_write_label(const struct model_info *info, const double *p, uint32_t best, size_t at,
                        size_t count, const struct forest_output *output);

#endif
