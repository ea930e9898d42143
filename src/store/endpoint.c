#include "store/endpoint.h"

#include "base/attr.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double retry_tokens_max = 100, retry_earned = 0.1;
static const double hedge_tokens_max = 10, hedge_earned = 0.03;

/* Quantiles cost 256 additions: not for every request. */
enum { HEDGE_LOOKUP = 16 };

#define OVERLOAD_MEMORY_NS (5 * NS_PER_S)

struct endpoint *endpoint_new(const char *origin, const struct listener *listener)
{
    struct endpoint *endpoint = calloc(1, sizeof(*endpoint));

    if (!endpoint)
        return NULL;
    endpoint->origin = strdup(origin);
    if (!endpoint->origin) {
        free(endpoint);
        return NULL;
    }
    endpoint->listener = listener;
    endpoint->retry_tokens = retry_tokens_max;
    endpoint->hedge_after_ns = INT64_MAX;
    TAILQ_INIT(&endpoint->queue);
    return endpoint;
}

void endpoint_free(struct endpoint *endpoint)
{
    if (!endpoint)
        return;
    free(endpoint->origin);
    free(endpoint);
}

void endpoint_started(struct endpoint *endpoint)
{
    endpoint->hedge_tokens = TL_MIN(endpoint->hedge_tokens + hedge_earned, hedge_tokens_max);
}

void endpoint_succeeded(struct endpoint *endpoint)
{
    if (breaker_is_open(&endpoint->breaker))
        trouble_over(&endpoint->silence, endpoint->listener, "store", "%s answers again",
                     endpoint->origin);
    breaker_succeeded(&endpoint->breaker);
    endpoint->retry_tokens = TL_MIN(endpoint->retry_tokens + retry_earned, retry_tokens_max);
}

void endpoint_failed(struct endpoint *endpoint, const char *why)
{
    breaker_failed(&endpoint->breaker, clock_now_ns());
    snprintf(endpoint->last_failure, sizeof(endpoint->last_failure), "%.150s", why);
    if (breaker_is_open(&endpoint->breaker))
        trouble_met(&endpoint->silence, endpoint->listener, "store",
                    "%s does not answer; until it does, one request a second is tried and the "
                    "others fail at once: %s",
                    endpoint->origin, why);
}

void endpoint_timed(struct endpoint *endpoint, int64_t first_byte_ns)
{
    latency_add(&endpoint->latency, first_byte_ns);
    if (endpoint->latency.total % HEDGE_LOOKUP == 0)
        endpoint->hedge_after_ns = latency_hedge_ns(&endpoint->latency);
}

bool endpoint_may_retry(struct endpoint *endpoint)
{
    if (endpoint->retry_tokens < 1)
        return false;
    endpoint->retry_tokens -= 1;
    return true;
}

bool endpoint_can_hedge(const struct endpoint *endpoint, int64_t now_ns)
{
    bool is_overloaded =
        endpoint->overloaded_ns != 0 && now_ns - endpoint->overloaded_ns < OVERLOAD_MEMORY_NS;

    return endpoint->hedge_tokens >= 1 && !is_overloaded;
}

void endpoint_hedged(struct endpoint *endpoint)
{
    endpoint->hedge_tokens -= 1;
}
