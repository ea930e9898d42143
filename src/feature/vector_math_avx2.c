/* ln and exp on four pixels at a time. */
#if defined(__x86_64__)

#include "base/isa_target.h"
#include "feature/vector_math.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

TARGET_BEGIN("avx2")
#include "feature/vector_math_body.h"
TARGET_END

const struct feature_math feature_math_avx2 = {ln, exponential};

#else
typedef int feature_math_avx2_is_for_x86_64;
#endif
