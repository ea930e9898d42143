#include "base/cpu.h"

#include "base/attr.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const isa_names[] = {
    [ISA_SCALAR] = "scalar", [ISA_NEON] = "neon",     [ISA_SSE2] = "sse2",
    [ISA_AVX2] = "avx2",     [ISA_AVX512] = "avx512",
};

static enum cpu_isa best_isa(void)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return ISA_AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2"))
        return ISA_AVX2;
    return ISA_SSE2;
#elif defined(__aarch64__)
    return ISA_NEON;
#else
    return ISA_SCALAR;
#endif
}

/* The wish of TILTH_ISA where this machine can fulfil it. */
static enum cpu_isa lowered(enum cpu_isa best)
{
    const char *wish = getenv("TILTH_ISA"); /* NOLINT(concurrency-mt-unsafe): nobody sets it */

    for (unsigned isa = 0; wish && isa < TL_COUNT(isa_names); isa++) {
        if (strcmp(wish, isa_names[isa]) != 0)
            continue;
        /* Another family's name asks for no SIMD of this one. */
        if ((isa == ISA_NEON) != (best == ISA_NEON))
            return ISA_SCALAR;
        return TL_MIN((enum cpu_isa)isa, best);
    }
    return best;
}

enum cpu_isa cpu_isa(void)
{
    static atomic_int known = -1;
    /* Relaxed: every thread computes the same answer. */
    int isa = atomic_load_explicit(&known, memory_order_relaxed);

    if (isa < 0) {
        isa = (int)lowered(best_isa());
        atomic_store_explicit(&known, isa, memory_order_relaxed);
    }
    return (enum cpu_isa)isa;
}

const char *cpu_isa_name(enum cpu_isa isa)
{
    return isa < TL_COUNT(isa_names) ? isa_names[isa] : "unknown";
}

/* A container's share of processors, rounded up; 0 where there is no limit. */
static unsigned cgroup_cores(void)
{
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    char line[64];

    if (!file)
        return 0;
    bool ok = fgets(line, sizeof(line), file) != NULL;
    fclose(file);
    if (!ok)
        return 0;
    char *rest;
    unsigned long long quota = strtoull(line, &rest, 10); /* "max 100000" gives 0 */
    unsigned long long period = strtoull(rest, NULL, 10);
    if (quota == 0 || period == 0 || quota / period > 100000)
        return 0;
    return (unsigned)((quota + period - 1) / period);
}

unsigned cpu_cores(void)
{
    cpu_set_t set;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned cores = online > 0 ? (unsigned)online : 1;
    unsigned quota = cgroup_cores();

    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
        cores = (unsigned)CPU_COUNT(&set);
    return quota > 0 ? TL_MIN(cores, quota) : cores;
}
