#include "base/errand.h"

#include "base/check.h"
#include "base/clock.h"

static const char *const stage_names[] = {
#define X(stage, name) [stage] = (name),
    ERRAND_STAGES(X)
#undef X
};

struct errand errand_unbounded(void)
{
    return (struct errand){.deadline_ns = CLOCK_NEVER};
}

enum tl_code errand_check(const struct errand *errand, struct tl_err *err)
{
    /* Relaxed: a late look costs one more block, nothing else. */
    if (errand->cancelled && atomic_load_explicit(errand->cancelled, memory_order_relaxed))
        return tl_fail(err, TL_CANCELLED, "nobody waits for this any more");
    if (errand->deadline_ns != CLOCK_NEVER && clock_now_ns() > errand->deadline_ns)
        return tl_fail(err, TL_TIMEOUT, "the deadline passed while rendering");
    return TL_OK;
}

int64_t errand_lap(struct errand *errand, enum errand_stage stage, int64_t start_ns)
{
    int64_t now = clock_now_ns();

    errand->spent_ns[stage] += now - start_ns;
    return now;
}

const char *errand_stage_name(enum errand_stage stage)
{
    TL_CHECK(stage < STAGE_COUNT);
    return stage_names[stage];
}
