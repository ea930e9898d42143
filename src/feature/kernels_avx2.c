/* The operations of features on eight pixels at a time. */
#if defined(__x86_64__)

#include "base/isa_target.h"
#include "feature/kernels.h"
#include "feature/vector_math.h"

#include <float.h>
#include <math.h>

TARGET_BEGIN("avx2")
#include "feature/kernels_body.h"
TARGET_END

const struct feature_kernels feature_kernels_avx2 = FEATURE_KERNELS;

#else
typedef int feature_kernels_avx2_is_for_x86_64;
#endif
