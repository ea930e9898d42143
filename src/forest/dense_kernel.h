/*
 * The loops of dense. Included once by each build of it, which has said how many bytes its
 * vectors have (DENSE_VECTOR) and what it is called (DENSE_KERNEL).
 *
 * The sums are made in tiles of four outputs by two vectors of pixels: eight accumulators, so
 * that no addition waits for the one before. Every sum is one lane, from the first input to the
 * last, and the bias comes last: no order depends on the width of a vector.
 */
#include "forest/dense.h"
#include "forest/dense_math.h"

typedef double lanes __attribute__((vector_size(DENSE_VECTOR)));
typedef int64_t lane_marks __attribute__((vector_size(DENSE_VECTOR)));

enum { LANES = DENSE_VECTOR / sizeof(double), STEP = 2 * LANES };
_Static_assert(DENSE_STRIP % STEP == 0, "a strip is whole steps");

/* Two vectors of one sum, with their bias. */
static inline void land(double *out, lanes first, lanes second, double bias)
{
    lanes *to = (lanes *)(void *)out;

    to[0] = first + bias;
    to[1] = second + bias;
}

static inline void add_tile(const double *weights, const double *bias, uint32_t inputs,
                            const double *in, double *out)
{
    lanes a0 = {0}, a1 = {0}, b0 = {0}, b1 = {0}, c0 = {0}, c1 = {0}, d0 = {0}, d1 = {0};

    for (uint32_t i = 0; i < inputs; i++, weights += DENSE_TILE, in += DENSE_STRIP) {
        const lanes *from = (const lanes *)(const void *)in;
        lanes x0 = from[0], x1 = from[1];

        a0 += weights[0] * x0;
        a1 += weights[0] * x1;
        b0 += weights[1] * x0;
        b1 += weights[1] * x1;
        c0 += weights[2] * x0;
        c1 += weights[2] * x1;
        d0 += weights[3] * x0;
        d1 += weights[3] * x1;
    }
    land(out, a0, a1, bias[0]);
    land(out + DENSE_STRIP, b0, b1, bias[1]);
    land(out + (size_t)2 * DENSE_STRIP, c0, c1, bias[2]);
    land(out + (size_t)3 * DENSE_STRIP, d0, d1, bias[3]);
}

static inline void add_up(const struct dense_layer *layer, const double *in, double *out)
{
    for (uint32_t t = 0; t < layer->tiles; t++)
        for (uint32_t at = 0; at < DENSE_STRIP; at += STEP)
            add_tile(layer->weights + (size_t)t * layer->inputs * DENSE_TILE,
                     layer->bias + (size_t)t * DENSE_TILE, layer->inputs, in + at,
                     out + (size_t)t * DENSE_TILE * DENSE_STRIP + at);
}

static inline void round_strip(double *x)
{
    for (uint32_t i = 0; i < DENSE_STRIP; i++)
        x[i] = (double)(float)x[i];
}

/* dense_activate() of tanh and the logistic function. */
static inline void bend(enum model_activation activation, double *x)
{
    double e[DENSE_STRIP];

    for (uint32_t i = 0; i < DENSE_STRIP; i++)
        e[i] = dense_power(activation, x[i]);
    for (uint32_t i = 0; i < DENSE_STRIP; i++)
        e[i] = poly_exp(e[i]);
    for (uint32_t i = 0; i < DENSE_STRIP; i++)
        x[i] = dense_curve(activation, x[i], e[i]);
}

/* One loop for every activation, so that each is made into vectors. */
static inline void activate(enum model_activation activation, double *x)
{
#define LOOP(which)                                \
    case which:                                    \
        for (uint32_t i = 0; i < DENSE_STRIP; i++) \
            x[i] = dense_activate(which, x[i]);    \
        break
    switch (activation) {
        LOOP(ACTIVATION_RELU);
        LOOP(ACTIVATION_SQUARE);
    case ACTIVATION_TANH:
        bend(ACTIVATION_TANH, x);
        break;
    case ACTIVATION_LOGISTIC:
        bend(ACTIVATION_LOGISTIC, x);
        break;
    case ACTIVATION_NONE:
    case ACTIVATION_COUNT:
        break;
    }
#undef LOOP
}

static inline void scale_column(enum model_scaling_kind kind, double by, double *x)
{
#define LOOP(which)                                \
    case which:                                    \
        for (uint32_t i = 0; i < DENSE_STRIP; i++) \
            x[i] = dense_scale(which, x[i], by);   \
        break
    switch (kind) {
        LOOP(SCALING_ADD);
        LOOP(SCALING_SUBTRACT);
        LOOP(SCALING_MULTIPLY);
        LOOP(SCALING_DIVIDE);
        LOOP(SCALING_IMPUTE);
        LOOP(SCALING_AT_LEAST);
        LOOP(SCALING_AT_MOST);
    case SCALING_CURVE:
    case SCALING_L1:
    case SCALING_L2:
    case SCALING_MAX:
    case SCALING_GREATEST:
    case SCALING_COUNT:
        break;
    }
#undef LOOP
}

static inline void follow_column(const struct model_curve *curve, double *x)
{
    for (uint32_t i = 0; i < DENSE_STRIP; i++)
        x[i] = dense_follow(curve, x[i]);
}

static inline void divide_rows(enum model_scaling_kind kind, uint32_t columns, double *x)
{
    double norm[DENSE_STRIP];

    for (uint32_t i = 0; i < DENSE_STRIP; i++)
        norm[i] = dense_start(kind);
    for (uint32_t c = 0; c < columns; c++)
        for (uint32_t i = 0; i < DENSE_STRIP; i++)
            norm[i] = dense_norm(kind, norm[i], x[(size_t)c * DENSE_STRIP + i]);
    for (uint32_t i = 0; i < DENSE_STRIP; i++)
        norm[i] = dense_divisor(kind, norm[i]);
    for (uint32_t c = 0; c < columns; c++)
        for (uint32_t i = 0; i < DENSE_STRIP; i++)
            x[(size_t)c * DENSE_STRIP + i] /= norm[i];
}

static inline void scale(const struct model_scaling *scaling, uint32_t columns, double *x)
{
    if (scaling->kind >= SCALING_L1)
        divide_rows(scaling->kind, columns, x);
    for (uint32_t c = 0; c < columns; c++) {
        double *column = x + (size_t)c * DENSE_STRIP;

        if (scaling->numbers)
            scale_column(scaling->kind, scaling->numbers[c], column);
        if (scaling->curves)
            follow_column(&scaling->curves[c], column);
        if (scaling->narrow)
            round_strip(column);
    }
}

static const double *run(const struct dense *dense, double *in, double *spare)
{
    const struct model_net *net = dense->net;

    for (uint32_t s = 0; s < net->scaling_count; s++)
        scale(&net->scalings[s], dense->inputs, in);
    for (uint32_t l = 0; l < net->layer_count; l++) {
        const struct dense_layer *layer = &dense->layers[l];
        double *out = l % 2 ? in : spare;

        add_up(layer, l % 2 ? spare : in, out);
        for (uint32_t o = 0; o < layer->tiles * DENSE_TILE; o++) {
            double *column = out + (size_t)o * DENSE_STRIP;

            if (net->narrow)
                round_strip(column);
            activate(layer->activation, column);
            if (net->narrow && layer->activation != ACTIVATION_NONE)
                round_strip(column);
        }
    }
    return net->layer_count % 2 ? spare : in;
}

static void shares(uint32_t classes, const double *scores, double *ret_p)
{
    double most[DENSE_STRIP], total[DENSE_STRIP] = {0};

    memcpy(most, scores, sizeof(most));
    for (uint32_t c = 1; c < classes; c++)
        for (uint32_t i = 0; i < DENSE_STRIP; i++) {
            double score = scores[(size_t)c * DENSE_STRIP + i];

            most[i] = score > most[i] ? score : most[i];
        }
    for (uint32_t c = 0; c < classes; c++) {
        double *p = ret_p + (size_t)c * DENSE_STRIP;

        for (uint32_t i = 0; i < DENSE_STRIP; i++)
            p[i] = dense_floor(scores[(size_t)c * DENSE_STRIP + i] - most[i]);
        for (uint32_t i = 0; i < DENSE_STRIP; i++)
            p[i] = poly_exp(p[i]);
        for (uint32_t i = 0; i < DENSE_STRIP; i++)
            total[i] += p[i];
    }
    for (uint32_t c = 0; c < classes; c++)
        for (uint32_t i = 0; i < DENSE_STRIP; i++)
            ret_p[(size_t)c * DENSE_STRIP + i] /= total[i];
}

/* `now` where `x` takes the place of the best, `was` where it does not; a NaN stays the best. */
static inline double taken(double x, double best, double now, double was)
{
    double either = x <= best ? was : now;

    return best == best ? either : was;
}

static void pick(uint32_t classes, const double *restrict by, const double *restrict p,
                 double *restrict ret_class, double *restrict ret_p)
{
    double best[DENSE_STRIP];

    memcpy(best, by, sizeof(best));
    memcpy(ret_p, p, DENSE_STRIP * sizeof(*ret_p));
    memset(ret_class, 0, DENSE_STRIP * sizeof(*ret_class));
    for (uint32_t c = 1; c < classes; c++) {
        const double *x = by + (size_t)c * DENSE_STRIP, *share = p + (size_t)c * DENSE_STRIP;

        for (uint32_t i = 0; i < DENSE_STRIP; i++)
            ret_p[i] = taken(x[i], best[i], share[i], ret_p[i]);
        for (uint32_t i = 0; i < DENSE_STRIP; i++)
            ret_class[i] = taken(x[i], best[i], (double)c, ret_class[i]);
        for (uint32_t i = 0; i < DENSE_STRIP; i++)
            best[i] = taken(x[i], best[i], x[i], best[i]);
    }
}

/* Adds e^(x - most). */
static inline void add_powers(const double *restrict x, const double *restrict most,
                              double *restrict ret_total)
{
    double power[DENSE_STRIP];

    for (uint32_t i = 0; i < DENSE_STRIP; i++)
        power[i] = dense_floor(x[i] - most[i]);
    for (uint32_t i = 0; i < DENSE_STRIP; i++)
        power[i] = poly_exp(power[i]);
    for (uint32_t i = 0; i < DENSE_STRIP; i++)
        ret_total[i] += power[i];
}

static inline lanes either(lane_marks when, lanes now, lanes other)
{
    return (lanes)(((lane_marks)now & when) | ((lane_marks)other & ~when));
}

/* A vector of pixels. */
static inline void lead_lanes(uint32_t classes, const double *scores, struct dense_lead *ret_lead,
                              uint32_t at)
{
    lanes best = {0}, first = *(const lanes *)(const void *)(scores + at);
    lanes second = best - (double)INFINITY;

    for (uint32_t c = 1; c < classes; c++) {
        lanes x = *(const lanes *)(const void *)(scores + (size_t)c * DENSE_STRIP + at);
        lane_marks ahead = x > first;
        lanes less = either(ahead, first, x);

        best = either(ahead, (lanes){0} + (double)c, best);
        second = either(less > second, less, second);
        first = either(ahead, x, first);
    }
    *(lanes *)(void *)(ret_lead->best + at) = best;
    *(lanes *)(void *)(ret_lead->first + at) = first;
    *(lanes *)(void *)(ret_lead->second + at) = second;
}

static void lead(uint32_t classes, const double *scores, bool totals, struct dense_lead *ret_lead)
{
    for (uint32_t at = 0; at < DENSE_STRIP; at += LANES)
        lead_lanes(classes, scores, ret_lead, at);
    memset(ret_lead->total, 0, sizeof(ret_lead->total));
    for (uint32_t c = 0; totals && c < classes; c++)
        add_powers(scores + (size_t)c * DENSE_STRIP, ret_lead->first, ret_lead->total);
}

const struct dense_kernel DENSE_KERNEL = {run, shares, pick, lead};
