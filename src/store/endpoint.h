/*
 * endpoint: what the fetch thread knows about one host - whether it answers, how fast,
 * how many requests run, and how many extra ones it may still be sent.
 *
 * Budgets are token buckets, so that trouble does not multiply load: a retry costs one
 * token and every success earns a tenth of one back; a hedge costs one and every request
 * earns 0.03.
 *
 * Threads  the fetch thread
 */
#ifndef TILTH_STORE_ENDPOINT_H
#define TILTH_STORE_ENDPOINT_H

#include "base/trouble.h"
#include "store/breaker.h"
#include "store/latency.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct part;
TAILQ_HEAD(part_queue, part);

struct endpoint {
    LIST_ENTRY(endpoint) link;
    char *origin; /* "https://host:port" */
    struct breaker breaker;
    struct trouble silence; /* the breaker is open */
    const struct listener *listener;
    struct latency latency;  /* to the first byte */
    int64_t hedge_after_ns;  /* latency_hedge_ns(), looked up every 16 samples */
    struct part_queue queue; /* parts that wait for a connection, in order */
    unsigned active;         /* transfers running, hedges included */
    double retry_tokens, hedge_tokens;
    int64_t overloaded_ns;  /* the last 429 or 503; 0: never */
    char last_failure[160]; /* what opened the breaker */
    int64_t clock_skew_s;   /* server minus ours, learnt from RequestTimeTooSkewed */
};

/* NULL when memory is out. */
struct endpoint *endpoint_new(const char *origin, const struct listener *listener);
void endpoint_free(struct endpoint *endpoint);

void endpoint_started(struct endpoint *endpoint); /* a request, not a retry or a hedge */
void endpoint_succeeded(struct endpoint *endpoint);
void endpoint_failed(struct endpoint *endpoint, const char *why);
void endpoint_timed(struct endpoint *endpoint, int64_t first_byte_ns);

/* Takes the token; false when the budget is spent. */
bool endpoint_may_retry(struct endpoint *endpoint);
/* Hedging makes an overload worse: not within five seconds of a 429 or 503. */
bool endpoint_can_hedge(const struct endpoint *endpoint, int64_t now_ns);
void endpoint_hedged(struct endpoint *endpoint);

#endif
