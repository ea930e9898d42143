/*
 * Statistics are expanded into elementary operations on strips of pixels; there is no loop over
 * the dates of one pixel anywhere. Sorting is a network (Batcher's merge exchange): a fixed list
 * of pairs to put in order, whatever the values. Whatever a statistic does not look at is never
 * computed - the median needs the middle of the network only - and what several statistics of a
 * series share is computed once.
 *
 * NaN wins, as in numpy. The pairs are compared as if there were none (one instruction per
 * half instead of four) and what comes out is replaced where some member is NaN.
 */
#include "base/check.h"
#include "feature/functions.h"

#include <math.h>
#include <string.h>

#define NUMBER(n)    feature_number(b, n)
#define OP(op, x, y) feature_op2(b, FEATURE_##op, x, y)

/* The members, one after the other from the first. */
static uint32_t fold(struct feature_builder *b, enum feature_op op, const struct feature_series *x)
{
    uint32_t all = x->nodes[0];

    for (uint32_t i = 1; i < x->count; i++)
        all = feature_op2(b, op, all, x->nodes[i]);
    return all;
}

uint32_t feature_sum(struct feature_builder *b, const struct feature_series *x, double percent)
{
    (void)percent;
    return fold(b, FEATURE_ADD, x);
}

uint32_t feature_mean(struct feature_builder *b, const struct feature_series *x, double percent)
{
    (void)percent;
    return OP(DIV, fold(b, FEATURE_ADD, x), NUMBER((float)x->count));
}

uint32_t feature_min(struct feature_builder *b, const struct feature_series *x, double percent)
{
    (void)percent;
    return fold(b, FEATURE_MIN, x);
}

uint32_t feature_max(struct feature_builder *b, const struct feature_series *x, double percent)
{
    (void)percent;
    return fold(b, FEATURE_MAX, x);
}

uint32_t feature_amplitude(struct feature_builder *b, const struct feature_series *x,
                           double percent)
{
    (void)percent;
    return OP(SUB, fold(b, FEATURE_MAX, x), fold(b, FEATURE_MIN, x));
}

uint32_t feature_std(struct feature_builder *b, const struct feature_series *x, double percent)
{
    uint32_t mean = feature_mean(b, x, percent), sum = 0;

    for (uint32_t i = 0; i < x->count; i++) {
        uint32_t off = OP(SUB, x->nodes[i], mean), square = OP(MUL, off, off);
        sum = i ? OP(ADD, sum, square) : square;
    }
    return feature_op1(b, FEATURE_SQRT, OP(DIV, sum, NUMBER((float)x->count)));
}

/*
 * Least squares over steps 0, 1, ...: the sum of (t - middle) * x[t], in order, divided by the
 * sum of (t - middle)^2 = n (n^2 - 1) / 12. Both are exact in float32 for 128 steps.
 */
uint32_t feature_slope(struct feature_builder *b, const struct feature_series *x, double percent)
{
    float n = (float)x->count;
    uint32_t sum = 0;

    (void)percent;
    for (uint32_t t = 0; t < x->count; t++) {
        uint32_t term = OP(MUL, NUMBER((float)t - (n - 1) / 2), x->nodes[t]);
        sum = t ? OP(ADD, sum, term) : term;
    }
    return OP(DIV, sum, NUMBER(n * (n * n - 1) / 12));
}

/* ---- order ---- */

/*
 * A series in ascending order, into `sorted`; no member may be NaN. D. E. Knuth, The Art of
 * Computer Programming 3, algorithm 5.2.2M: about n (log2 n)^2 / 4 pairs, 41 for 12.
 */
static void sort(struct feature_builder *b, const struct feature_series *x, uint32_t *sorted)
{
    uint32_t n = x->count, top = 1;

    memcpy(sorted, x->nodes, n * sizeof(*sorted));
    while (top * 2 < n)
        top *= 2;
    for (uint32_t p = n > 1 ? top : 0; p > 0; p /= 2) {
        for (uint32_t q = top, r = 0, d = p;; d = q - p, q /= 2, r = p) {
            for (uint32_t i = 0; i + d < n; i++) {
                uint32_t low = sorted[i], high = sorted[i + d];

                if ((i & p) != r)
                    continue;
                sorted[i] = OP(LESSER, low, high);
                sorted[i + d] = OP(GREATER, low, high);
            }
            if (q == p)
                break;
        }
    }
}

/* numpy.median: the middle one, or the mean of the middle two. */
static uint32_t median_of(struct feature_builder *b, const uint32_t *sorted, uint32_t n,
                          double percent)
{
    (void)percent;
    if (n % 2)
        return sorted[n / 2];
    return OP(DIV, OP(ADD, sorted[n / 2 - 1], sorted[n / 2]), NUMBER(2));
}

/* numpy.percentile, method linear: from the nearer neighbour, with a float32 weight. */
static uint32_t percentile_of(struct feature_builder *b, const uint32_t *sorted, uint32_t n,
                              double percent)
{
    double place = (n - 1) * (percent / 100);
    uint32_t below = (uint32_t)place, above = TL_MIN(below + 1, n - 1);
    double weight = place - below;
    uint32_t step = OP(SUB, sorted[above], sorted[below]);

    if (weight >= 0.5)
        return OP(SUB, sorted[above], OP(MUL, step, NUMBER((float)(1 - weight))));
    return OP(ADD, sorted[below], OP(MUL, step, NUMBER((float)weight)));
}

typedef uint32_t rank_fn(struct feature_builder *b, const uint32_t *sorted, uint32_t n,
                         double percent);

static uint32_t ranked(struct feature_builder *b, const struct feature_series *x, rank_fn *rank,
                       double percent)
{
    uint32_t sorted[FEATURE_MAX_SERIES];

    sort(b, x, sorted);
    return OP(NAN_OR, fold(b, FEATURE_NAN_OR, x), rank(b, sorted, x->count, percent));
}

uint32_t feature_median(struct feature_builder *b, const struct feature_series *x, double percent)
{
    return ranked(b, x, median_of, percent);
}

uint32_t feature_percentile(struct feature_builder *b, const struct feature_series *x,
                            double percent)
{
    return ranked(b, x, percentile_of, percent);
}

uint32_t feature_iqr(struct feature_builder *b, const struct feature_series *x, double percent)
{
    (void)percent;
    return OP(SUB, feature_percentile(b, x, 75), feature_percentile(b, x, 25));
}

/* ---- without what is NaN ---- */

static uint32_t is_number(struct feature_builder *b, uint32_t x)
{
    return OP(EQ, x, x);
}

uint32_t feature_count(struct feature_builder *b, const struct feature_series *x, double percent)
{
    uint32_t count = is_number(b, x->nodes[0]);

    (void)percent;
    for (uint32_t i = 1; i < x->count; i++)
        count = OP(ADD, count, is_number(b, x->nodes[i]));
    return count;
}

/* NaN replaced, as numpy's nan functions begin. */
static struct feature_series replaced(struct feature_builder *b, const struct feature_series *x,
                                      float by, uint32_t *nodes)
{
    for (uint32_t i = 0; i < x->count; i++)
        nodes[i] = feature_where(b, is_number(b, x->nodes[i]), x->nodes[i], NUMBER(by));
    return (struct feature_series){nodes, x->count};
}

uint32_t feature_nanmean(struct feature_builder *b, const struct feature_series *x, double percent)
{
    uint32_t nodes[FEATURE_MAX_SERIES];
    struct feature_series numbers = replaced(b, x, 0, nodes);

    return OP(DIV, fold(b, FEATURE_ADD, &numbers), feature_count(b, x, percent));
}

uint32_t feature_nanmin(struct feature_builder *b, const struct feature_series *x, double percent)
{
    (void)percent;
    return fold(b, FEATURE_FMIN, x);
}

uint32_t feature_nanmax(struct feature_builder *b, const struct feature_series *x, double percent)
{
    (void)percent;
    return fold(b, FEATURE_FMAX, x);
}

/*
 * NaN goes to the end as infinity; then the answer for every number of members that there may
 * be, of which the pixel's own count picks one. Twice the cost of a whole series, and no branch.
 */
static uint32_t nanranked(struct feature_builder *b, const struct feature_series *x, rank_fn *rank,
                          double percent)
{
    uint32_t nodes[FEATURE_MAX_SERIES], sorted[FEATURE_MAX_SERIES];
    struct feature_series numbers = replaced(b, x, INFINITY, nodes);
    uint32_t count = feature_count(b, x, percent), result = NUMBER(NAN);

    sort(b, &numbers, sorted);
    for (uint32_t n = 1; n <= x->count; n++)
        result =
            feature_where(b, OP(EQ, count, NUMBER((float)n)), rank(b, sorted, n, percent), result);
    return result;
}

uint32_t feature_nanmedian(struct feature_builder *b, const struct feature_series *x,
                           double percent)
{
    return nanranked(b, x, median_of, percent);
}

uint32_t feature_nanpercentile(struct feature_builder *b, const struct feature_series *x,
                               double percent)
{
    return nanranked(b, x, percentile_of, percent);
}
