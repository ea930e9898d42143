/* Eight pixels at a time. */
#if defined(__x86_64__)

#include "base/isa_target.h"
#include "forest/dense.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define DENSE_VECTOR 64
#define DENSE_KERNEL dense_avx512

TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl")
#include "forest/dense_kernel.h"
TARGET_END

#else
typedef int dense_avx512_is_for_x86_64;
#endif
