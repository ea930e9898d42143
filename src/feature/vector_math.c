#include "feature/vector_math.h"

#include "feature/program.h"

#include <math.h>

static void ln(const float *x, float *restrict ret)
{
    for (int i = 0; i < FEATURE_STRIP; i++)
        ret[i] = (float)log((double)x[i]);
}

static void exponential(const float *x, float *restrict ret)
{
    for (int i = 0; i < FEATURE_STRIP; i++)
        ret[i] = (float)exp((double)x[i]);
}

static const struct feature_math oracle = {ln, exponential};

const struct feature_math *feature_math(enum cpu_isa isa)
{
#if defined(__x86_64__)
    if (isa >= ISA_AVX512)
        return &feature_math_avx512;
    if (isa >= ISA_AVX2)
        return &feature_math_avx2;
#elif defined(__aarch64__)
    if (isa >= ISA_NEON)
        return &feature_math_neon;
#endif
    (void)isa;
    return &oracle;
}
