/*
 * errand: what a piece of work owes to the people who wait for it - until when,
 * whether anybody still waits, and what it has cost so far. One travels with
 * every render from the queue down to the last range request.
 *
 * Threads  the worker that runs it writes `spent`; anyone may set *cancelled
 * Memory   a plain value; `cancelled` belongs to the flight and outlives the run
 * Units    nanoseconds, bytes
 */
#ifndef TILTH_BASE_ERRAND_H
#define TILTH_BASE_ERRAND_H

#include "base/attr.h"
#include "base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Stages of a render, in order; the names go to Server-Timing and the metrics. */
#define ERRAND_STAGES(X)          \
    X(STAGE_QUEUE, "queue")       \
    X(STAGE_FETCH, "fetch")       \
    X(STAGE_DECODE, "decode")     \
    X(STAGE_CLASSIFY, "classify") \
    X(STAGE_WARP, "warp")         \
    X(STAGE_ENCODE, "encode")

enum errand_stage {
#define X(stage, name) stage,
    ERRAND_STAGES(X)
#undef X
        STAGE_COUNT
};

struct errand {
    int64_t deadline_ns;          /* absolute; CLOCK_NEVER for jobs and tests */
    const atomic_bool *cancelled; /* NULL: nobody can cancel */
    int64_t spent_ns[STAGE_COUNT];
    uint64_t fetched_bytes; /* from the store, this errand's share */
    uint32_t fetches;       /* range requests */
};

/* An errand without deadline or canceller. */
struct errand errand_unbounded(void);

/* TL_OK, TL_TIMEOUT or TL_CANCELLED; asked between stages and every block. */
TL_MUST_CHECK enum tl_code errand_check(const struct errand *errand, struct tl_err *err);

/* Adds the time since `start_ns` to `stage`; returns now. */
int64_t errand_lap(struct errand *errand, enum errand_stage stage, int64_t start_ns);

const char *errand_stage_name(enum errand_stage stage);

#endif
