/* Two pixels at a time: SSE2 and NEON, which every processor of its kind has. */
#define DENSE_VECTOR 16
#define DENSE_KERNEL dense_portable
#include "forest/dense_kernel.h"
