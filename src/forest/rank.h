/*
 * rank: a float's rank among thresholds, exactly: how many are strictly below it. So
 * x <= thresholds[i] is rank(x) <= i. A table of buckets says where to begin, a search of a few
 * steps does the rest.
 *
 * Threads  immutable once made
 * Memory   everything lives in the arena that rank_make() was given
 */
#ifndef TILTH_FOREST_RANK_H
#define TILTH_FOREST_RANK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct arena;

struct flat_ranker {
    uint32_t count;          /* distinct thresholds */
    const float *thresholds; /* ascending, then 2^steps of +infinity */
    bool linear;             /* bucket by value, else by the float's bits */
    float low, scale;        /* linear: (x - low) * scale */
    uint32_t low_key;        /* bits: (key(x) - low_key) >> shift */
    uint8_t shift;
    uint8_t steps; /* of the search within a bucket */
    uint32_t bucket_count;
    const uint16_t *start; /* thresholds in earlier buckets; one entry more than buckets */
};

/* A whole number that grows with the float, and the float again. */
static inline uint32_t rank_key(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits ^ (bits & 0x80000000U ? 0xFFFFFFFFU : 0x80000000U);
}

static inline float rank_float(uint32_t key)
{
    uint32_t bits = key ^ (key & 0x80000000U ? 0x80000000U : 0xFFFFFFFFU);
    float x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

/* Makes the ranker of `r->count` (1 to 65,535) ascending, different thresholds; the rest of *r is
 * 0. False without memory. */
bool rank_make(struct flat_ranker *r, const float *thresholds, struct arena *arena);

/* ret_ranks[i] = rank of values[i]; of a NaN the highest. */
void flat_rank(const struct flat_ranker *ranker, const float *values, size_t count,
               uint16_t *ret_ranks);

/* The position of a threshold among the ranker's. */
uint32_t rank_of(const struct flat_ranker *r, float threshold);

#endif
