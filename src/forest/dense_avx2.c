/* Four pixels at a time. */
#if defined(__x86_64__)

#include "base/isa_target.h"
#include "forest/dense.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define DENSE_VECTOR 32
#define DENSE_KERNEL dense_avx2

TARGET_BEGIN("avx2")
#include "forest/dense_kernel.h"
TARGET_END

#else
typedef int dense_avx2_is_for_x86_64;
#endif
