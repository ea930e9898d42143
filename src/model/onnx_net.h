/*
 * onnx_net: nets in an ONNX graph, as skl2onnx writes MLPClassifier (MatMul, Add) and linear models
 * (LinearClassifier), and as PyTorch and others write dense layers (Gemm). What is known is a
 * chain: columns (onnx_graph), layers, and at its end Softmax, LogSoftmax, Sigmoid, its complement
 * beside it, Normalizer, or nothing: then the numbers are taken for logits.
 *
 * Threads  any
 * Memory   the part's in the graph's arena; the rest in its scratch
 */
#ifndef TILTH_MODEL_ONNX_NET_H
#define TILTH_MODEL_ONNX_NET_H

#include "model/model.h"
#include "model/onnx_graph.h"

/* Whether a net can end in this node; a sum of other things is none. */
bool onnx_ends_net(const struct onnx_graph *graph, const struct onnx_node *node);

/* The net that ends in it; TL_UNSUPPORTED with the node that cannot be served. */
TL_MUST_CHECK enum tl_code onnx_read_net(struct onnx_graph *graph, const struct onnx_node *node,
                                         const struct onnx_answer *answer,
                                         struct model_part *ret_part);

#endif
