/*
 * vector_math: ln and exp of a strip, as the features have them: (float)log((double)x) and
 * (float)exp((double)x), to the last bit, on every processor.
 *
 * The vector builds compute in double to about 2^-51 and look whether the float could come out
 * otherwise anywhere within 2^-48: then, and where x is not ordinary, the C library is asked.
 * That is one pixel in eight million.
 *
 * Threads  any
 * Units    strips of FEATURE_STRIP
 */
#ifndef TILTH_FEATURE_VECTOR_MATH_H
#define TILTH_FEATURE_VECTOR_MATH_H

#include "base/cpu.h"

struct feature_math {
    void (*ln)(const float *x, float *restrict ret);
    void (*exp)(const float *x, float *restrict ret);
};

/* The best up to `isa`; ISA_SCALAR is the C library, the oracle. */
const struct feature_math *feature_math(enum cpu_isa isa);

#if defined(__x86_64__)
extern const struct feature_math feature_math_avx2, feature_math_avx512;
#elif defined(__aarch64__)
extern const struct feature_math feature_math_neon;
#endif

#endif
