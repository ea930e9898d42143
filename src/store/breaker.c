#include "store/breaker.h"

bool breaker_is_open(const struct breaker *breaker)
{
    return breaker->failures >= BREAKER_OPENS_AFTER;
}

bool breaker_admits(struct breaker *breaker, int64_t now_ns)
{
    if (!breaker_is_open(breaker))
        return true;
    if (now_ns < breaker->probe_ns)
        return false;
    breaker->probe_ns = now_ns + BREAKER_PROBE_NS;
    return true;
}

void breaker_succeeded(struct breaker *breaker)
{
    breaker->failures = 0;
}

void breaker_failed(struct breaker *breaker, int64_t now_ns)
{
    if (breaker->failures < BREAKER_OPENS_AFTER && ++breaker->failures == BREAKER_OPENS_AFTER)
        breaker->probe_ns = now_ns + BREAKER_PROBE_NS;
}
