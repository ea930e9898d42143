#include "raster/warp_loops_impl.h"

#if defined(__x86_64__)

#include "raster/resample.h"

LOOPS_BEGIN("avx2")
#include "raster/warp_loops_body.h"
LOOPS_END

const struct warp_loops warp_loops_avx2 = {line, pixels, run, offsets};

#endif
