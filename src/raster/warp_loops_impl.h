/* warp_loops_impl: the builds of the loops that only some processors can run. */
#ifndef TILTH_RASTER_WARP_LOOPS_IMPL_H
#define TILTH_RASTER_WARP_LOOPS_IMPL_H

#include "raster/warp_loops.h"

#if defined(__x86_64__)
extern const struct warp_loops warp_loops_avx2;
#endif

/* Functions between BEGIN and END are compiled for an ISA that the rest may not use. */
#define LOOPS_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define LOOPS_BEGIN(isa) \
    LOOPS_PRAGMA(clang attribute push(__attribute__((target(isa))), apply_to = function))
#define LOOPS_END LOOPS_PRAGMA(clang attribute pop)
#else
#define LOOPS_BEGIN(isa) _Pragma("GCC push_options") LOOPS_PRAGMA(GCC target(isa))
#define LOOPS_END        _Pragma("GCC pop_options")
#endif

#endif
