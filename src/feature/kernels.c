#include "feature/kernels.h"

#include "feature/vector_math.h"

#include <float.h>
#include <math.h>

#include "feature/kernels_body.h"

static const struct feature_kernels plain = FEATURE_KERNELS;

const struct feature_kernels *feature_kernels(enum cpu_isa isa)
{
#if defined(__x86_64__)
    if (isa >= ISA_AVX512)
        return &feature_kernels_avx512;
    if (isa >= ISA_AVX2)
        return &feature_kernels_avx2;
#endif
    (void)isa;
    return &plain;
}
