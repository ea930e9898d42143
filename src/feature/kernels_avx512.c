/* The operations of features on sixteen pixels at a time. */
#if defined(__x86_64__)

#include "base/isa_target.h"
#include "feature/kernels.h"
#include "feature/vector_math.h"

#include <float.h>
#include <math.h>

TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
#include "feature/kernels_body.h"
TARGET_END

const struct feature_kernels feature_kernels_avx512 = FEATURE_KERNELS;

#else
typedef int feature_kernels_avx512_is_for_x86_64;
#endif
