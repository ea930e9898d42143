/*
 * kernels: what each operation does to a strip, in the builds there are for a
 * processor. The same loops for all; nothing in them may be fused or reordered, so the bits
 * are the same.
 *
 * Threads  any
 * Units    strips of FEATURE_STRIP
 */
#ifndef TILTH_FEATURE_KERNELS_H
#define TILTH_FEATURE_KERNELS_H

#include "base/cpu.h"
#include "feature/program.h"

/* in[k] is only there for as many operands as the operation has; none of them is `out`. */
typedef void feature_kernel_fn(const float *const *in, float *restrict out);

struct feature_kernels {
    feature_kernel_fn *of[FEATURE_STORE]; /* every operation before it */
};

/* The best up to `isa`. */
const struct feature_kernels *feature_kernels(enum cpu_isa isa);

#if defined(__x86_64__)
extern const struct feature_kernels feature_kernels_avx2, feature_kernels_avx512;
#endif

#endif
