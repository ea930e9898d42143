/*
 * check: invariants. A broken one is a bug of ours, never bad input; the process
 * prints where and aborts, because a wrong pixel is worse than no pixel.
 */
#ifndef TILTH_BASE_CHECK_H
#define TILTH_BASE_CHECK_H

#include "base/attr.h"

void tl_check_failed(const char *expr, const char *file, int line) TL_NORETURN TL_COLD;

/* Always on, in release too. */
#define TL_CHECK(expr)                                  \
    do {                                                \
        if (__builtin_expect(!(expr), 0))               \
            tl_check_failed(#expr, __FILE__, __LINE__); \
    } while (0)

/* Inside kernels: on in debug builds only. */
#ifdef NDEBUG
#define TL_DEBUG_CHECK(expr) ((void)0)
#else
#define TL_DEBUG_CHECK(expr) TL_CHECK(expr)
#endif

#endif
