/*
 * feature: what a model wants to know about a pixel, as expressions over the bands of
 * sources, compiled together once and run over whole planes. Evaluated exactly as numpy
 * float32 does the same operations in the same order (docs/features.md).
 *
 *   "s1.red / 10000"      "-ln(s1.edev / 10000)"      "ndvi(s1)"
 *   "p90(ndvi(t{1..12}))"
 *
 * Grammar: + - * / ( ) numbers, band names, unary minus, comparisons giving 0 or 1, functions.
 * A name with a range is a series, operators and functions work on it member by member, and a
 * statistic (min, median, slope, ...) makes one value of it. What several expressions have in
 * common is computed once.
 *
 * Threads  compiled features are immutable
 * Memory   features_compile() / features_free()
 */
#ifndef TILTH_FEATURE_FEATURE_H
#define TILTH_FEATURE_FEATURE_H

#include "base/attr.h"
#include "base/err.h"
#include "feature/fill.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct features;

/* The plane that a band name stands for; the band's value is sample * scale + offset. */
struct feature_band {
    int plane;
    float scale, offset; /* 1 and 0: the sample */
};

/* False when there is no such band. */
typedef bool feature_band_fn(void *udata, const char *name, size_t name_size,
                             struct feature_band *ret_band);

struct feature_text {
    const char *name; /* for refusals; NULL: none */
    const char *text;
    struct feature_fill fill;
};

/* A refusal points at the column of the text and, for an unknown band, names it. */
TL_MUST_CHECK enum tl_code features_compile(const struct feature_text *texts, size_t count,
                                            feature_band_fn *band, void *udata,
                                            struct features **ret_features, struct tl_err *err);
void features_free(struct features *features);
/* The distinct planes they read, as feature_band_fn named them. */
const int *features_bands(const struct features *features, size_t *ret_count);

/*
 * ret_planes[f][i] from planes[plane][i], for every text f. IEEE rules: 0/0 is NaN, ln(-1) is
 * NaN. Scratch: 1 KiB per intermediate value, number and band.
 */
TL_MUST_CHECK enum tl_code features_run(const struct features *features, const float *const *planes,
                                        size_t count, struct arena *scratch,
                                        float *const *ret_planes, struct tl_err *err);

AUTO_DEFINE(features, features_free)

#endif
