#include "raster/warp_loops.h"

#include "base/attr.h"
#include "raster/warp_loops_impl.h"

#include "raster/warp_loops_body.h"

static const struct warp_loops baseline = {line, pixels, run, offsets};

const struct warp_loops *warp_loops_for(enum cpu_isa isa)
{
    if (isa == ISA_SCALAR)
        return &baseline;
#if defined(__x86_64__)
    if (isa == ISA_AVX2 && cpu_isa() >= ISA_AVX2)
        return &warp_loops_avx2;
#endif
    return NULL;
}

const struct warp_loops *warp_loops(void)
{
    const struct warp_loops *loops = warp_loops_for(ISA_AVX2);

    return loops ? loops : &baseline;
}
