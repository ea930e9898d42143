/*
 * onnx_trees: the ensembles of an ONNX graph: TreeEnsembleClassifier (ai.onnx.ml 1 and 3) and
 * TreeEnsemble (5). What counts is what onnxruntime makes of them: float32 sums in the order of
 * the trees, its rules for two classes; sums in double where the input is double.
 *
 * Threads  any
 * Memory   the model's in the arena that is given; scratch for twice the node's lists
 */
#ifndef TILTH_MODEL_ONNX_TREES_H
#define TILTH_MODEL_ONNX_TREES_H

#include "base/attr.h"
#include "base/err.h"
#include "model/onnx_columns.h"
#include "model/onnx_wire.h"

struct arena;
struct model;

/* The graph's input as an ensemble sees it, and the names that the graph gives. */
struct onnx_view {
    const char *name; /* of the file, in messages */
    const struct onnx_column *columns;
    uint32_t column_count;
    bool wide; /* double */
    const char *const *features;
    uint32_t feature_count;
    const char *const *classes; /* NULL: as the ensemble has them, or 0, 1, .. */
    uint32_t class_count;
};

/* The attribute of a node; {NULL, 0} when it has none of that name. */
struct wire_bytes onnx_attribute(struct wire_bytes node, const char *name);

/* The columns that the node's splits ask for at least. */
TL_MUST_CHECK enum tl_code onnx_count_columns(const char *name, struct wire_bytes node,
                                              uint32_t *ret_count, struct tl_err *err);

/* ret_model: features, classes, trees and what becomes of the scores. */
TL_MUST_CHECK enum tl_code onnx_read_classifier(const struct onnx_view *view,
                                                struct wire_bytes node, struct arena *arena,
                                                struct model *ret_model, struct tl_err *err);
TL_MUST_CHECK enum tl_code onnx_read_ensemble(const struct onnx_view *view, struct wire_bytes node,
                                              struct arena *arena, struct model *ret_model,
                                              struct tl_err *err);

#endif
