/*
 * fail_alloc: makes the n-th allocation of this program fail, to walk every error path:
 *
 *   for (unsigned n = 1; fail_alloc_at(n), code = f(..), fail_alloc_hit(); n++)
 *       assert_int_equal(code, TL_NOMEM);
 *
 * Include it in one test file. Under a sanitizer, which brings an allocator of its own,
 * FAIL_ALLOC is 0 and the tests that need it skip().
 */
#ifndef TILTH_TESTS_FAIL_ALLOC_H
#define TILTH_TESTS_FAIL_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

#define FAIL_ALLOC 1
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#undef FAIL_ALLOC
#define FAIL_ALLOC 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#undef FAIL_ALLOC
#define FAIL_ALLOC 0
#endif
#endif

static unsigned fail_alloc_countdown; /* 0: off. The test's own thread allocates alone. */
static bool fail_alloc_done;
static size_t fail_alloc_bytes; /* asked for since fail_alloc_at(), whatever was given back */

/* Arms the n-th allocation from now; 0 disarms. */
static inline void fail_alloc_at(unsigned n)
{
    fail_alloc_countdown = n;
    fail_alloc_done = false;
    fail_alloc_bytes = 0;
}

/* Whether it was reached; disarms. */
static inline bool fail_alloc_hit(void)
{
    fail_alloc_countdown = 0;
    return fail_alloc_done;
}

#if FAIL_ALLOC

static bool fail_alloc_now(size_t size)
{
    fail_alloc_bytes += size;
    if (fail_alloc_countdown == 0 || --fail_alloc_countdown > 0)
        return false;
    fail_alloc_done = true;
    return true;
}

/* Exported, so that libraries allocate here too. */
#define FAIL_ALLOC_PUBLIC __attribute__((visibility("default")))

/* glibc's own names for what is replaced here. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

FAIL_ALLOC_PUBLIC void *malloc(size_t size)
{
    return fail_alloc_now(size) ? NULL : __libc_malloc(size);
}

FAIL_ALLOC_PUBLIC void *calloc(size_t count, size_t size)
{
    return fail_alloc_now(count * size) ? NULL : __libc_calloc(count, size);
}

FAIL_ALLOC_PUBLIC void *realloc(void *old, size_t size)
{
    return fail_alloc_now(size) ? NULL : __libc_realloc(old, size);
}

FAIL_ALLOC_PUBLIC void *aligned_alloc(size_t alignment, size_t size)
{
    return fail_alloc_now(size) ? NULL : __libc_memalign(alignment, size);
}

#endif

#endif
