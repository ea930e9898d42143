/*
 * feature: what a model wants to know about a pixel, as expressions over the bands of
 * sources, compiled once and run over whole planes. Evaluated exactly as numpy float32
 * does the same operations in the same order.
 *
 *   "s1.red / 10000"      "-ln(s1.edev / 10000)"      "nd(s1.nir, s1.red)"
 *
 * Grammar: + - * / ( ) numbers, band names, unary minus; functions abs min max sqrt ln exp
 * clamp(x,lo,hi) nd(a,b) = (a-b)/(a+b); comparisons < <= > >= == != giving 0 or 1;
 * where(cond, a, b).
 *
 * Threads  a compiled feature is immutable
 * Memory   feature_compile() / feature_free()
 */
#ifndef TILTH_CLASSIFY_FEATURE_H
#define TILTH_CLASSIFY_FEATURE_H

#include "base/attr.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct arena;
struct feature;

/* Resolves a band name to its plane; -1 when there is none. */
typedef int feature_band_fn(void *udata, const char *name, size_t name_size);

/* A refusal points at the column of `text` and, for an unknown band, names it. */
TL_MUST_CHECK enum tl_code feature_compile(const char *text, feature_band_fn *band, void *udata,
                                           struct feature **ret_feature, struct tl_err *err);
void feature_free(struct feature *feature);
/* The distinct planes it reads, as feature_band_fn named them. */
const int *feature_bands(const struct feature *feature, size_t *ret_count);

/* ret_plane[i] from planes[band][i]; IEEE rules: 0/0 is NaN, ln(-1) is NaN. */
TL_MUST_CHECK enum tl_code feature_run(const struct feature *feature, const float *const *planes,
                                       size_t count, struct arena *scratch, float *ret_plane,
                                       struct tl_err *err);

AUTO_DEFINE(feature, feature_free)

#endif
