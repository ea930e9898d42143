/* ln and exp on two pixels at a time. */
#if defined(__aarch64__)

#include "feature/vector_math.h"

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "feature/vector_math_body.h"

const struct feature_math feature_math_neon = {ln, exponential};

#else
typedef int feature_math_neon_is_for_aarch64;
#endif
