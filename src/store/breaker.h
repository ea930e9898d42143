/*
 * breaker: stops asking an endpoint that does not answer. After five failures in a row it
 * is open: new requests fail at once instead of queueing up behind timeouts. Each second
 * one request is let through as a probe; the first success closes it.
 *
 * Threads  one
 * Units    monotonic nanoseconds, passed in
 */
#ifndef TILTH_STORE_BREAKER_H
#define TILTH_STORE_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#define BREAKER_OPENS_AFTER 5
#define BREAKER_PROBE_NS    INT64_C(1000000000)

struct breaker {
    unsigned failures; /* in a row */
    int64_t probe_ns;  /* the next probe, while open */
};

bool breaker_is_open(const struct breaker *breaker);
/* Whether a request may start; true while open makes it the probe of this second. */
bool breaker_admits(struct breaker *breaker, int64_t now_ns);
void breaker_succeeded(struct breaker *breaker);
void breaker_failed(struct breaker *breaker, int64_t now_ns);

#endif
