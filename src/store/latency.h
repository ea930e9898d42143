/*
 * latency: how long an endpoint takes to its first byte, as a histogram that forgets.
 * Four buckets per octave, so a quantile is right to within 25 %; counts are halved after
 * 1,024 samples, so the last few thousand requests decide.
 *
 * Threads  one
 * Units    nanoseconds
 */
#ifndef TILTH_STORE_LATENCY_H
#define TILTH_STORE_LATENCY_H

#include <stdint.h>

struct latency {
    uint32_t counts[128]; /* bucket of microseconds */
    uint32_t total;
};

void latency_add(struct latency *latency, int64_t elapsed_ns);
/* The upper edge of the bucket that holds the quantile; 0 without samples. */
int64_t latency_quantile_ns(const struct latency *latency, double quantile);

/*
 * How long to wait before a second request is sent beside the first:
 * max(3 x p50, p95, 20 ms). INT64_MAX until 20 samples say what is normal.
 */
int64_t latency_hedge_ns(const struct latency *latency);

#endif
