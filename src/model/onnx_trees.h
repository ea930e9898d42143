/*
 * onnx_trees: the ensembles of an ONNX graph: TreeEnsembleClassifier (ai.onnx.ml 1 and 3) and
 * TreeEnsemble (5). What counts is what onnxruntime makes of them: float32 sums in the order of
 * the trees, its rules for two classes; sums in double where the input is double.
 *
 * Threads  any
 * Memory   the model's in the graph's arena; scratch for twice the node's lists
 */
#ifndef TILTH_MODEL_ONNX_TREES_H
#define TILTH_MODEL_ONNX_TREES_H

#include "model/onnx_graph.h"

struct model;

/* The columns that the node's splits ask for at least. */
TL_MUST_CHECK enum tl_code onnx_count_columns(const struct onnx_graph *graph,
                                              const struct onnx_node *node, uint32_t *ret_count);

/* ret_model: features, classes, trees and what becomes of the scores. */
TL_MUST_CHECK enum tl_code onnx_read_trees(const struct onnx_graph *graph,
                                           const struct onnx_node *node,
                                           const struct onnx_table *table,
                                           const struct onnx_answer *answer,
                                           struct model *ret_model);

#endif
