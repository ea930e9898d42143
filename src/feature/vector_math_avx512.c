/* ln and exp on eight pixels at a time. */
#if defined(__x86_64__)

#include "base/isa_target.h"
#include "feature/vector_math.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
#include "feature/vector_math_body.h"
TARGET_END

const struct feature_math feature_math_avx512 = {ln, exponential};

#else
typedef int feature_math_avx512_is_for_x86_64;
#endif
