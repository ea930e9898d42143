/*
 * onnx_split: a split of an ONNX tree, as a node that goes left when the feature is not above
 * a threshold, or in a set.
 *
 * Threads  a build belongs to one
 */
#ifndef TILTH_MODEL_ONNX_SPLIT_H
#define TILTH_MODEL_ONNX_SPLIT_H

#include "model/build.h"
#include "model/onnx_columns.h"

/* As TreeEnsemble numbers them. */
enum onnx_mode {
    MODE_LEQ,
    MODE_LT,
    MODE_GTE,
    MODE_GT,
    MODE_EQ,
    MODE_NEQ,
    MODE_MEMBER,
    MODE_LEAF,
    MODE_OTHER
};

struct onnx_split {
    enum onnx_mode mode;
    double value;
    double *members; /* MEMBER; sorted here */
    size_t member_count;
    bool tracks; /* NaN goes to `yes` */
    int32_t yes, no;
    int64_t tree, node; /* in messages */
};

TL_MUST_CHECK enum tl_code onnx_make_split(struct model_build *build,
                                           const struct onnx_column *column,
                                           const struct onnx_split *split,
                                           struct model_node *ret_node);

#endif
