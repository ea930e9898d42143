/*
 * model: a trained model - trees, nets, what is made of both - as its file says it, validated,
 * before anything is made fast. Every reader fills it, forest/walk.h is its oracle, forest/flat.h
 * compiles it.
 *
 * Threads  immutable once loaded
 * Memory   everything lives in the arena that the loader was given
 * Units    thresholds in the library's own precision (double); features are float32
 */
#ifndef TILTH_MODEL_MODEL_H
#define TILTH_MODEL_MODEL_H

#include "base/attr.h"
#include "base/err.h"
#include "model/info.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct buf;

#define MODEL_MAX_TREES      100000
#define MODEL_MAX_NODES      ((uint64_t)1 << 28)
#define MODEL_MAX_TREE_NODES ((uint32_t)1 << 24)
#define MODEL_MAX_DEPTH      4096
#define MODEL_MAX_VALUE      253 /* 254 is masked, 255 nodata in a class block */

/* What a NaN or a zero does at a split. */
enum model_missing {
    MISSING_COMPARE, /* scikit-learn: x <= t as IEEE says, so NaN goes right */
    MISSING_NONE,    /* LightGBM: NaN is taken for 0 */
    MISSING_ZERO,    /* LightGBM: NaN and |x| <= 1e-35 go the default way */
    MISSING_NAN,     /* LightGBM: NaN goes the default way */
    MISSING_SIDED,   /* XGBoost, CatBoost, ONNX: the same, and nothing near zero becomes zero */
    MISSING_SET, /* nothing is compared: what is in the node's set goes left, NaN the default way */
    MISSING_COUNT
};

/* LightGBM's kZeroThreshold: what is nearer to zero is zero. */
#define MODEL_ZERO ((double)1e-35f)

/* Goes left when x <= threshold. A leaf has left < 0 and its leaf in `right`. */
struct model_node {
    double threshold;    /* 0 for MISSING_SET */
    int32_t left, right; /* counted from the tree's first node, both greater than this node's */
    uint32_t set;        /* MISSING_SET: which of the model's */
    uint16_t feature;
    uint8_t missing; /* enum model_missing */
    bool default_left;
};

/*
 * Values of a feature, as runs of float32 (above, up to and with]: a category that the library
 * finds by cutting off the fraction is one run, so is a number that it compares for equality.
 * bounds[0] < bounds[1] < ..; in the set is what has an odd number of bounds below it.
 */
struct model_set {
    const float *bounds;
    uint32_t count; /* of the bounds, at least 1 */
};

#define MODEL_MAX_BOUNDS 65535

/* What a leaf of a linear tree adds: a constant and terms, or its number where one is NaN. */
struct model_line {
    double constant;
    uint64_t begin; /* of its terms */
    uint32_t count;
};

struct model_term {
    double coefficient;
    uint32_t feature;
};

/* How sums over trees become probabilities. */
enum model_output {
    OUTPUT_MEAN,       /* forests: leaf rows of class_count, divided by the number of trees */
    OUTPUT_BINARY,     /* one score; p1 = sigmoid, p0 = 1 - p1 */
    OUTPUT_SOFTMAX,    /* a score per class */
    OUTPUT_SIGMOIDS,   /* a score per class, each its own sigmoid, not normalised */
    OUTPUT_SCORES,     /* a score per class, taken as it is */
    OUTPUT_SHARE,      /* one score; p1 = score, p0 = 1 - p1 */
    OUTPUT_NORMALIZED, /* a score per class, each its own sigmoid, divided by their sum */
    OUTPUT_SHARED      /* a score per class, divided by their sum; of nothing at all even shares */
};

/* In whose arithmetic scores are added and become probabilities. */
enum model_arithmetic {
    ARITHMETIC_DOUBLE,  /* LightGBM, CatBoost, scikit-learn */
    ARITHMETIC_XGBOOST, /* float32: margins start at the base, then the trees in order */
    ARITHMETIC_ONNX     /* onnxruntime, float32: the trees in order, then the base */
};

struct model_net;
struct model_part;

struct model {
    struct model_info info;
    /* A model made of models has parts, and nothing below but the golden rows. */
    uint32_t part_count;
    const struct model_part *parts;
    enum model_output output;
    enum model_arithmetic arithmetic;
    bool winner_by_score; /* the label is the greatest score's, whatever the transform rounds */
    double winner_above;  /* by score, and there is one: the second class wins above it */
    double sigmoid; /* slope of scores on their way to BINARY, SOFTMAX, SIGMOIDS, NORMALIZED */
    double divisor; /* of the sums: trees for OUTPUT_MEAN, iterations for average_output */
    uint32_t score_count; /* sums per pixel */
    uint32_t leaf_width;  /* doubles per leaf: class_count for MEAN, else 1 or score_count */
    /* Not MEAN, leaf_width 1: the score that each tree adds to; NULL: tree i adds to score
     * i % score_count. */
    const uint16_t *tree_scores;
    const double *base;  /* [score_count], added to the sums; NULL: zeros */
    double scale;        /* the sums are multiplied by it before the base; 0: they are not */
    uint64_t leaf_count; /* rows of leaf_values */
    const double *leaf_values;
    const struct model_line *lines; /* [leaf_count], leaf_width 1; NULL: no tree is linear */
    const struct model_term *terms;
    const uint32_t *tree_offsets; /* tree_count + 1 */
    struct model_node *nodes;
    const struct model_set *sets;
    uint32_t set_count;
    const float *golden_x;       /* [golden_rows][feature_count] */
    const double *golden_p;      /* [golden_rows][class_count] */
    const uint8_t *golden_label; /* class values */
};

#define MODEL_MAX_PARTS 32

enum part_kind {
    PART_TREES, /* an ensemble, on columns cast to float32 */
    PART_MEAN,  /* a vote: the weighted mean of what parts give */
    PART_NET    /* layers of sums: a small neural network, or with one layer a linear model */
};

/*
 * One of the models that a model is made of (a vote, a stack, stacks of votes). Parts are in
 * order: each reads columns, which are the features (column f is feature f) and behind them
 * class_count probabilities of every part before it, in double: part k's class c is column
 * feature_count + k * class_count + c. The last part answers. forest/mix.h runs them.
 * A part that gives its label has, in place of probabilities, 1 for the class that it names and
 * 0 for the others: what a hard vote counts.
 */
struct model_part {
    enum part_kind kind;
    /* TREES: the ensemble, without parts, whose feature f is the column inputs[f]. NET: no
     * trees; output and score_count say what becomes of the scores. */
    const struct model *model;
    const struct model_net *net; /* NET */
    uint32_t input_count;
    /* MEAN: the column of each member's first class. TREES: NULL when the features are its own. */
    const uint32_t *inputs;
    /* MEAN: one per member, NULL: all are 1. */
    const double *weights;
    double divisor;       /* MEAN: of the sum over members, in their order */
    bool narrow;          /* MEAN: products, sums and quotient in float32 */
    bool winner_by_score; /* MEAN: the label is the greatest sum's, whatever the quotients are */
    bool gives_label;     /* not the last */
};

/* The score that a tree's leaves of one number add to. */
static inline uint32_t model_tree_score(const struct model *model, uint32_t tree)
{
    if (model->leaf_width > 1)
        return 0;
    return model->tree_scores ? model->tree_scores[tree] : tree % model->score_count;
}

/* The largest float32 not above x: x <= threshold decides every float32 alike. */
float model_floor(double x);

/* Whether the set holds x, which is not NaN. */
bool model_set_holds(const struct model_set *set, float x);

/* A model of any format, told by its first bytes. `name` goes into messages. */
TL_MUST_CHECK enum tl_code model_read(const char *name, const uint8_t *bytes, size_t size,
                                      struct arena *arena, struct model *ret_model,
                                      struct tl_err *err);
/* "LightGBM text": the format that model_read() takes the bytes for. */
const char *model_format(const uint8_t *bytes, size_t size);
/* Whether that is model_read_file()'s. */
bool model_is_file(const uint8_t *bytes, size_t size);

/* The file formats. */
TL_MUST_CHECK enum tl_code model_read_file(const char *name, const uint8_t *bytes, size_t size,
                                           struct arena *arena, struct model *ret_model,
                                           struct tl_err *err);
TL_MUST_CHECK enum tl_code model_read_lightgbm(const char *name, const uint8_t *bytes, size_t size,
                                               struct arena *arena, struct model *ret_model,
                                               struct tl_err *err);
TL_MUST_CHECK enum tl_code model_read_xgboost(const char *name, const uint8_t *bytes, size_t size,
                                              struct arena *arena, struct model *ret_model,
                                              struct tl_err *err);
TL_MUST_CHECK enum tl_code model_read_catboost(const char *name, const uint8_t *bytes, size_t size,
                                               struct arena *arena, struct model *ret_model,
                                               struct tl_err *err);
TL_MUST_CHECK enum tl_code model_read_onnx(const char *name, const uint8_t *bytes, size_t size,
                                           struct arena *arena, struct model *ret_model,
                                           struct tl_err *err);

/*
 * Appends the model as a file of tilth's own, which model_read_file() reads to the same outputs
 * bit for bit. It needs golden rows; info.provenance is "" or a JSON object whose keys `library`
 * and `provenance` are kept.
 */
TL_MUST_CHECK enum tl_code model_write_file(const char *name, const struct model *model,
                                            struct buf *ret_file, struct tl_err *err);

/*
 * Checks that every tree is a tree: children greater than their parent and inside, each
 * reached at most once, features, sets and leaves in range, no NaN threshold, depth within
 * the cap. Sets info.max_depth. The caps on trees and nodes are the reader's.
 */
TL_MUST_CHECK enum tl_code model_check_trees(const char *name, struct model *model,
                                             struct tl_err *err);

/*
 * Checks that every part reads columns that are there before it, as many as it needs, and
 * that its numbers are finite; sums up trees, nodes and depth into info.
 */
TL_MUST_CHECK enum tl_code model_check_parts(const char *name, struct model *model,
                                             struct tl_err *err);

#endif
