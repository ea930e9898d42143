/*
 * dense_math: the numbers of a net that are not sums. One source for the oracle and for every
 * kernel, of nothing but IEEE operations in a fixed order: the same bits everywhere.
 *
 * Units  poly_exp() to 2^-51 of its value, tanh and the logistic function to 2^-51 absolute
 */
#ifndef TILTH_FOREST_DENSE_MATH_H
#define TILTH_FOREST_DENSE_MATH_H

#include "base/poly_exp.h"
#include "model/net.h"

#include <math.h>

/* A layer as it runs; outputs are filled up with zeros to tiles. */
struct dense_layer {
    uint32_t inputs, tiles;
    const double *weights; /* [tiles][inputs][DENSE_TILE] */
    const double *bias;    /* [tiles * DENSE_TILE] */
    enum model_activation activation;
};

/* What poly_exp() takes of a number that is not above 0. */
static inline double dense_floor(double x)
{
    return x < -708 ? -708 : x;
}

/*
 * tanh and the logistic function are made of e^-size. That is a step of its own, so that compilers
 * make vectors of each: the power, its exponential, and what is made of that.
 */
static inline double dense_power(enum model_activation activation, double x)
{
    return dense_floor((activation == ACTIVATION_TANH ? -2 : -1) * fabs(x));
}

static inline double dense_curve(enum model_activation activation, double x, double e)
{
    double top = activation == ACTIVATION_TANH ? 1 - e : x < 0 ? e : 1, y = top / (1 + e);

    return activation == ACTIVATION_TANH ? copysign(y, x) : y;
}

static inline double dense_activate(enum model_activation activation, double x)
{
    switch (activation) {
    case ACTIVATION_RELU:
        return x < 0 ? 0 : x; /* NaN stays */
    case ACTIVATION_TANH:
    case ACTIVATION_LOGISTIC:
        return dense_curve(activation, x, poly_exp(dense_power(activation, x)));
    case ACTIVATION_SQUARE:
        return x * x;
    case ACTIVATION_NONE:
    case ACTIVATION_COUNT:
        break;
    }
    return x;
}

/* A step that looks at one number, `by`. */
static inline double dense_scale(enum model_scaling_kind kind, double x, double by)
{
    switch (kind) {
    case SCALING_ADD:
        return x + by;
    case SCALING_SUBTRACT:
        return x - by;
    case SCALING_MULTIPLY:
        return x * by;
    case SCALING_DIVIDE:
        return x / by;
    case SCALING_IMPUTE:
        return x != x ? by : x;
    case SCALING_AT_LEAST:
        return x < by ? by : x;
    case SCALING_AT_MOST:
        return x > by ? by : x;
    case SCALING_CURVE:
    case SCALING_L1:
    case SCALING_L2:
    case SCALING_MAX:
    case SCALING_GREATEST:
    case SCALING_COUNT:
        break;
    }
    return x;
}

/* The number on a curve, as numpy's interp has it; NaN stays. */
static inline double dense_follow(const struct model_curve *curve, double x)
{
    const double *at = curve->x, *y = curve->y;
    uint32_t low = 0, high = curve->count - 1;

    if (x != x)
        return x;
    if (x <= at[0] || x >= at[high])
        return x <= at[0] ? y[0] : y[high];
    while (high - low > 1) { /* at[low] <= x < at[high] */
        uint32_t middle = low + (high - low) / 2;

        if (at[middle] <= x)
            low = middle;
        else
            high = middle;
    }
    if (x == at[low])
        return y[low];
    return (y[high] - y[low]) / (at[high] - at[low]) * (x - at[low]) + y[low];
}

/* A norm before any number is seen. */
static inline double dense_start(enum model_scaling_kind kind)
{
    return kind == SCALING_GREATEST ? (double)-INFINITY : 0;
}

/* What a norm becomes when one more number of the row is seen. */
static inline double dense_norm(enum model_scaling_kind kind, double norm, double x)
{
    double size = kind == SCALING_GREATEST ? x : fabs(x);

    if (kind == SCALING_L1)
        return norm + size;
    if (kind == SCALING_L2)
        return norm + x * x;
    return size > norm ? size : norm;
}

/* What the row is divided by. */
static inline double dense_divisor(enum model_scaling_kind kind, double norm)
{
    if (norm == 0)
        return 1;
    return kind == SCALING_L2 ? sqrt(norm) : norm;
}

#endif
