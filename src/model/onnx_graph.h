/*
 * onnx_graph: the nodes of an ONNX graph that are known, what links them, and its inputs as
 * columns: the features and what Scaler, Imputer, Mul, Add, .. do to each of them.
 *
 * Threads  a graph belongs to one
 * Memory   names in `arena`, the rest in `scratch`; the file's bytes are borrowed
 */
#ifndef TILTH_MODEL_ONNX_GRAPH_H
#define TILTH_MODEL_ONNX_GRAPH_H

#include "base/attr.h"
#include "base/err.h"
#include "model/info.h"
#include "model/onnx_columns.h"
#include "model/onnx_wire.h"

struct arena;
struct buf;

enum onnx_op {
    OP_CLASSIFIER, /* TreeEnsembleClassifier */
    OP_ENSEMBLE,   /* TreeEnsemble */
    OP_IDENTITY,
    OP_CAST,
    OP_ZIPMAP,
    OP_RESHAPE,
    OP_ARGMAX,
    OP_EXTRACT, /* ArrayFeatureExtractor */
    OP_SCALER,
    OP_IMPUTER,
    OP_CONCAT,
    OP_VECTORIZER, /* FeatureVectorizer: the same, to float32 */
    OP_MUL,
    OP_DIV,
    OP_ADD,
    OP_SUB,
    OP_SUM,
    OP_NORMALIZER,
    OP_LINEAR, /* LinearClassifier */
    OP_MATMUL,
    OP_GEMM,
    OP_RELU,
    OP_TANH,
    OP_SIGMOID,
    OP_SOFTMAX,
    OP_LOGSOFTMAX,
    OP_COUNT
};

struct onnx_node {
    struct wire_bytes bytes;
    enum onnx_op op;
};

/* More links than this between an output and what it is made of are a circle. */
enum { ONNX_MAX_LINKS = 64 };

/* A value and where it comes from: a node, or a TensorProto. */
struct onnx_value {
    struct wire_bytes name, constant;
    const struct onnx_node *maker;
};

/* An input of the graph, and its columns among the features. */
struct onnx_input {
    struct wire_bytes name;
    uint64_t type; /* enum wire_type, when it is one */
    uint32_t begin, width;
};

struct onnx_graph {
    const char *name; /* of the file, in messages */
    struct arena *arena, *scratch;
    struct tl_err *err;
    struct wire_bytes bytes;
    struct onnx_node *nodes;
    uint32_t node_count;
    struct onnx_value *values; /* sorted by name, as are the inputs */
    struct onnx_input *inputs;
    uint32_t value_count, input_count;
    bool joining; /* columns of several inputs; once is enough */
    const char *features[MODEL_MAX_FEATURES];
    uint32_t feature_count;
};

/* The columns that a value is. */
struct onnx_table {
    struct onnx_column *columns;
    uint32_t count;
    bool wide;       /* double */
    bool normalized; /* rows are divided by their norm */
};

/* Names of classes; none: 0, 1, .. */
struct onnx_names {
    uint32_t count;
    const char *at[MODEL_MAX_CLASSES];
};

/* What the graph says of the classes. */
struct onnx_answer {
    struct onnx_names names; /* none: as the node has them */
    bool argmax;             /* the label is the greatest probability's */
};

/* `graph` has its first five members; reads the nodes and the inputs. */
TL_MUST_CHECK enum tl_code onnx_open_graph(struct onnx_graph *graph);

/* Input `n` of a node; {NULL, 0} when there are fewer. */
struct wire_bytes onnx_input(const struct onnx_node *node, uint32_t n);
/* The attribute of a node; {NULL, 0} when it has none of that name. */
struct wire_bytes onnx_attribute(struct wire_bytes node, const char *name);
/* The node that makes a value; NULL for none. */
const struct onnx_node *onnx_maker(const struct onnx_graph *graph, struct wire_bytes value);
/* The constant of that name, as a TensorProto; {NULL, 0} for none. */
struct wire_bytes onnx_constant(const struct onnx_graph *graph, struct wire_bytes value);

/* What a value is, for what reads the features; in the scratch arena. */
TL_MUST_CHECK enum tl_code onnx_read_table(struct onnx_graph *graph, struct wire_bytes value,
                                           struct onnx_table *ret_table);

/* The text in the graph's arena, its first 256 bytes; NULL when memory is out. */
const char *onnx_copy(const struct onnx_graph *graph, struct wire_bytes text);
/* Numbers as names, or where there are none the strings of that field of `list`; the first 256.
 * Where there is neither, ret_names stays as it is. */
TL_MUST_CHECK enum tl_code onnx_names(const struct onnx_graph *graph, struct wire_bytes list,
                                      uint32_t strings, const struct buf *numbers,
                                      struct onnx_names *ret_names);

/* Inline, so that analysers see which code comes out. */
static inline enum tl_code onnx_corrupt(const struct onnx_graph *graph, const char *what,
                                        const char *why)
{
    return tl_fail(graph->err, TL_CORRUPT, "%s: ONNX: %s: %s; export the model again", graph->name,
                   what, why);
}

static inline enum tl_code onnx_no_memory(const struct onnx_graph *graph)
{
    return tl_fail(graph->err, TL_NOMEM, "%s: no memory for the model", graph->name);
}

/* The message alone: the node's name, its operator, one of its attributes or NULL, and why. */
void onnx_say(const struct onnx_graph *graph, const struct onnx_node *node, const char *attribute,
              const char *why);

static inline enum tl_code onnx_damaged(const struct onnx_graph *graph,
                                        const struct onnx_node *node, const char *attribute,
                                        const char *why)
{
    onnx_say(graph, node, attribute, why);
    return TL_CORRUPT;
}

static inline enum tl_code onnx_refuse(const struct onnx_graph *graph, const struct onnx_node *node,
                                       const char *why)
{
    onnx_say(graph, node, NULL, why);
    return TL_UNSUPPORTED;
}

#endif
