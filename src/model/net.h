/*
 * model/net: a small net of a model, as its file says it: columns, each scaled by itself, then
 * layers of sums. docs/dense.md has the arithmetic; forest/dense.h computes it.
 *
 * Threads  immutable once loaded
 * Memory   the arena of the model
 */
#ifndef TILTH_MODEL_NET_H
#define TILTH_MODEL_NET_H

#include <stdbool.h>
#include <stdint.h>

enum model_activation {
    ACTIVATION_NONE,
    ACTIVATION_RELU,
    ACTIVATION_TANH,
    ACTIVATION_LOGISTIC,
    ACTIVATION_SQUARE,
    ACTIVATION_COUNT
};

/* bias + weights x inputs, added up as docs/dense.md says. */
struct model_layer {
    uint32_t input_count, output_count;
    const double *weights; /* [output_count][input_count] */
    const double *bias;    /* [output_count] */
    enum model_activation activation;
};

/* What is done to the columns of a net, one step after the other. */
enum model_scaling_kind {
    SCALING_ADD,
    SCALING_SUBTRACT,
    SCALING_MULTIPLY,
    SCALING_DIVIDE,
    SCALING_IMPUTE,   /* in place of NaN; NaN: it stays */
    SCALING_AT_LEAST, /* what is below becomes it */
    SCALING_AT_MOST,
    SCALING_CURVE,    /* follows the column's curve */
    SCALING_L1,       /* the row divided by the sum of its absolute values, unless that is 0 */
    SCALING_L2,       /* by the root of the sum of its squares */
    SCALING_MAX,      /* by its greatest absolute value */
    SCALING_GREATEST, /* by its greatest number, as onnxruntime has it */
    SCALING_COUNT
};

/* Straight from point to point, and level before the first and behind the last: what calibrates by
 * isotonic regression. */
struct model_curve {
    uint32_t count;      /* of the points, at least 1 */
    const double *x, *y; /* finite; x rises */
};

struct model_scaling {
    enum model_scaling_kind kind;
    bool narrow;                      /* rounded to float32 */
    const double *numbers;            /* one per column; NULL from SCALING_CURVE on */
    const struct model_curve *curves; /* SCALING_CURVE: one per column */
};

#define NET_MAX_LAYERS   8
#define NET_MAX_SCALINGS 32
#define NET_MAX_WIDTH    1024 /* outputs of a layer */
#define NET_MAX_WEIGHTS  (1U << 22)

struct model_net {
    bool narrow; /* sums and what becomes of them are rounded to float32, of every layer */
    uint32_t scaling_count, layer_count;
    const struct model_scaling *scalings;
    const struct model_layer *layers; /* the last gives the scores */
};

#endif
