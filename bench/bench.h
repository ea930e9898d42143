/*
 * bench: what the micro benchmarks share: they end at the first thing that is wrong and
 * measure their own thread alone, so that a shared machine disturbs less.
 */
#ifndef TILTH_BENCH_BENCH_H
#define TILTH_BENCH_BENCH_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static inline void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(EXIT_FAILURE);
}

static inline void must(bool ok, const char *what)
{
    if (!ok)
        die(what);
}

/* Microseconds of this thread. */
static inline double thread_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* For qsort() of doubles. */
static inline int by_value(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

#endif
