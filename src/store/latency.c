#include "store/latency.h"

#include "base/attr.h"
#include "base/clock.h"

enum { FORGET_AT = 1024, ENOUGH = 20 };

/* 0 1 2 3 | 4 5 6 7 | 8 10 12 14 | 16 20 24 28 | ... microseconds */
static uint32_t bucket_of(uint64_t us)
{
    if (us < 4)
        return (uint32_t)us;
    uint32_t octave = 63 - (uint32_t)__builtin_clzll(us);
    uint32_t bucket = (octave - 1) * 4 + (uint32_t)((us >> (octave - 2)) & 3);
    return TL_MIN(bucket, (uint32_t)TL_COUNT(((struct latency *)0)->counts) - 1);
}

static int64_t upper_edge_ns(uint32_t bucket)
{
    uint64_t us = bucket < 4 ? bucket + 1 : (uint64_t)(5 + (bucket & 3)) << (bucket / 4 - 1);

    return (int64_t)us * 1000;
}

void latency_add(struct latency *latency, int64_t elapsed_ns)
{
    latency->counts[bucket_of(elapsed_ns < 0 ? 0 : (uint64_t)elapsed_ns / 1000)]++;
    if (++latency->total < FORGET_AT)
        return;
    latency->total = 0;
    for (uint32_t i = 0; i < TL_COUNT(latency->counts); i++)
        latency->total += latency->counts[i] /= 2;
}

int64_t latency_quantile_ns(const struct latency *latency, double quantile)
{
    uint32_t below = 0;

    for (uint32_t i = 0; i < TL_COUNT(latency->counts); i++) {
        below += latency->counts[i];
        if (below > 0 && below >= quantile * latency->total)
            return upper_edge_ns(i);
    }
    return 0;
}

int64_t latency_hedge_ns(const struct latency *latency)
{
    if (latency->total < ENOUGH)
        return INT64_MAX;
    int64_t median = latency_quantile_ns(latency, 0.5);
    int64_t slow = latency_quantile_ns(latency, 0.95);
    return TL_MAX(TL_MAX(3 * median, slow), 20 * NS_PER_MS);
}
