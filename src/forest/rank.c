#include "forest/rank.h"

#include "base/arena.h"
#include "base/attr.h"

#include <math.h>
#include <string.h>

/* Both maps grow with x (rounding keeps order), which is all that exactness needs. */
static uint32_t linear_bucket(const struct flat_ranker *r, float x)
{
    float at = (x - r->low) * r->scale;
    float last = (float)(r->bucket_count - 1);

    at = at > 0 ? at : 0;
    return (uint32_t)(at < last ? at : last);
}

static uint32_t bits_bucket(const struct flat_ranker *r, float x)
{
    uint32_t key = rank_key(x + 0.0F);
    uint32_t at = key > r->low_key ? (key - r->low_key) >> r->shift : 0;

    return at < r->bucket_count ? at : r->bucket_count - 1;
}

static uint32_t bucket_of(const struct flat_ranker *r, float x)
{
    return r->linear ? linear_bucket(r, x) : bits_bucket(r, x);
}

/* The most thresholds that share a bucket. */
static uint32_t most_in_a_bucket(const struct flat_ranker *r)
{
    uint32_t most = 0, run = 0;

    for (uint32_t i = 0; i < r->count; i++) {
        bool same = i && bucket_of(r, r->thresholds[i]) == bucket_of(r, r->thresholds[i - 1]);

        run = same ? run + 1 : 1;
        most = TL_MAX(most, run);
    }
    return most;
}

static uint8_t search_steps(uint32_t most)
{
    uint8_t steps = 0;

    while ((1U << steps) - 1 < most)
        steps++;
    return steps;
}

/* Tries both maps with about eight buckets per threshold and keeps the evener one. */
static void choose_buckets(struct flat_ranker *r)
{
    float low = r->thresholds[0], high = r->thresholds[r->count - 1];
    uint32_t room = 8 * r->count + 1;
    struct flat_ranker linear = *r;

    r->low_key = rank_key(low);
    while ((rank_key(high) - r->low_key) >> r->shift >= room)
        r->shift++;
    r->bucket_count = ((rank_key(high) - r->low_key) >> r->shift) + 1;
    r->steps = search_steps(most_in_a_bucket(r));
    linear.linear = true;
    linear.low = low;
    linear.bucket_count = room;
    linear.scale = (float)(room - 1) / (high - low);
    if (!isfinite(low) || !isfinite(high) || !isfinite(high - low) || !isfinite(linear.scale))
        return;
    linear.steps = search_steps(most_in_a_bucket(&linear));
    if (linear.steps <= r->steps)
        *r = linear;
}

static bool fill_buckets(struct flat_ranker *r, struct arena *arena)
{
    uint16_t *start = arena_alloc(arena, r->bucket_count + 1, sizeof(*start));
    uint32_t below = 0;

    if (!start)
        return false;
    for (uint32_t b = 0; b < r->bucket_count; b++) {
        while (below < r->count && bucket_of(r, r->thresholds[below]) < b)
            below++;
        start[b] = (uint16_t)below;
    }
    start[r->bucket_count] = (uint16_t)r->count;
    r->start = start;
    return true;
}

/* Adds to ranks[i] what a step of the search finds: `half` where that many more are below. */
static void search_step(const float *thresholds, const float *values, size_t count, uint32_t half,
                        uint16_t *ranks)
{
    for (size_t i = 0; i < count; i++) {
        bool above = thresholds[ranks[i] + half - 1] < values[i];

        ranks[i] = (uint16_t)(ranks[i] + above * half);
    }
}

void flat_rank(const struct flat_ranker *ranker, const float *values, size_t count,
               uint16_t *ret_ranks)
{
    const struct flat_ranker r = *ranker;

    if (r.linear)
        for (size_t i = 0; i < count; i++)
            ret_ranks[i] = r.start[linear_bucket(&r, values[i])];
    else
        for (size_t i = 0; i < count; i++)
            ret_ranks[i] = r.start[bits_bucket(&r, values[i])];
    for (uint32_t step = r.steps; step > 0; step--)
        search_step(r.thresholds, values, count, 1U << (step - 1), ret_ranks);
    for (size_t i = 0; i < count; i++)
        ret_ranks[i] = isnan(values[i]) ? (uint16_t)r.count : ret_ranks[i];
}

bool rank_make(struct flat_ranker *r, const float *thresholds, struct arena *arena)
{
    r->thresholds = thresholds;
    choose_buckets(r);
    size_t pad = (size_t)1 << r->steps;
    float *padded = arena_alloc(arena, r->count + pad, sizeof(*padded));
    if (!padded)
        return false;
    memcpy(padded, thresholds, r->count * sizeof(*padded));
    for (size_t i = 0; i < pad; i++)
        padded[r->count + i] = INFINITY;
    r->thresholds = padded;
    return fill_buckets(r, arena);
}

uint32_t rank_of(const struct flat_ranker *r, float threshold)
{
    uint32_t low = 0, high = r->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (r->thresholds[middle] < threshold)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}
