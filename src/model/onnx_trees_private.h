/*
 * onnx_trees_private: what the files behind onnx_trees.h share.
 *
 *   onnx_trees.c       a node's attributes as lists, of either operator
 *   onnx_classifier.c  TreeEnsembleClassifier: trees of numbered nodes, weights by leaf and class
 *   onnx_ensemble.c    TreeEnsemble: roots into one list of nodes, leaves behind them
 */
#ifndef TILTH_MODEL_ONNX_TREES_PRIVATE_H
#define TILTH_MODEL_ONNX_TREES_PRIVATE_H

#include "base/buf.h"
#include "model/build.h"
#include "model/onnx_split.h"
#include "model/onnx_trees.h"

/* Field numbers of onnx.proto. */
enum { ATTRIBUTE_I = 3, ATTRIBUTE_S = 4, ATTRIBUTE_INTS = 8, ATTRIBUTE_STRINGS = 9 };

/* The attributes of a node, as doubles. */
struct onnx_lists {
    struct buf tree, node, feature, yes, no, missing, values;
    struct buf class_tree, class_node, class_id, weights, base;
    struct buf modes;                             /* uint8, enum onnx_mode */
    struct buf roots, yes_leaf, no_leaf, members; /* TreeEnsemble */
    struct wire_bytes transform;
    struct wire_bytes labels; /* the attribute with the classes */
    bool text_labels, wide_numbers;
};

struct onnx_ensemble {
    const struct onnx_graph *graph;
    const struct onnx_node *node;
    const struct onnx_table *table; /* what it reads */
    const struct onnx_answer *answer;
    struct model_build *build;
    struct arena *scratch;
    struct onnx_lists lists;
    uint32_t node_count; /* of the trees */
};

/* TL_CORRUPT, with the node and its attribute; TL_UNSUPPORTED with the node. */
static inline enum tl_code onnx_bad_list(const struct onnx_ensemble *reader, const char *list,
                                         const char *why)
{
    return onnx_damaged(reader->graph, reader->node, list, why);
}

static inline enum tl_code onnx_bad_trees(const struct onnx_ensemble *reader, const char *why)
{
    return onnx_refuse(reader->graph, reader->node, why);
}

/* Whole numbers come from the file's 64 bits; what is beyond all that is counted is -1. */
int64_t onnx_int(const struct buf *numbers, size_t i);
bool onnx_as_long(const struct buf *numbers, size_t count);
enum onnx_mode onnx_mode(const struct onnx_lists *lists, uint32_t i);
bool onnx_tracks(const struct onnx_lists *lists, uint32_t i);
/* A leaf's numbers stay so small that no sum of them is infinite. */
double onnx_most_leaf(const struct onnx_ensemble *reader);

TL_MUST_CHECK enum tl_code onnx_check_feature(const struct onnx_ensemble *reader,
                                              const struct onnx_split *split, int64_t feature);

/* Leaves of several numbers are for those that have them: no file costs much more than its size.
 * Whether `items` that the file lists may take so many numbers. */
bool onnx_may_be_wide(uint64_t numbers, uint64_t items);
enum tl_code onnx_too_wide(const struct onnx_ensemble *reader, uint32_t width);

/* The list of an attribute's ints or floats, or its tensor, whichever it has. */
bool onnx_read_numbers(struct onnx_ensemble *reader, struct wire_bytes attribute, struct buf *to);

/* The operators, whose lists have been read. */
TL_MUST_CHECK enum tl_code onnx_read_classifier(struct onnx_ensemble *reader);
TL_MUST_CHECK enum tl_code onnx_read_ensemble(struct onnx_ensemble *reader);

#endif
