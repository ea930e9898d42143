#include "model/onnx_graph.h"

#include "base/arena.h"
#include "base/buf.h"
#include "model/onnx_trees.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Field numbers of onnx.proto. */
enum {
    GRAPH_NODE = 1,
    GRAPH_INITIALIZER = 5,
    GRAPH_INPUT = 11,
    NODE_INPUT = 1,
    NODE_OUTPUT = 2,
    NODE_NAME = 3,
    NODE_OP = 4,
    NODE_ATTRIBUTE = 5,
    NODE_DOMAIN = 7,
    ATTRIBUTE_NAME = 1,
    ATTRIBUTE_F = 2,
    ATTRIBUTE_I = 3,
    ATTRIBUTE_S = 4,
    ATTRIBUTE_FLOATS = 7,
    INFO_NAME = 1,
    INFO_TYPE = 2,
    TENSOR_NAME = 8
};

enum {
    MAX_NAME = 256,
    MAX_GRAPH_NODES = 256,
    MAX_VALUES = 2048,
    MAX_FIELDS = 8192 /* of a node */
};

static const char *const operators[OP_COUNT] = {
    [OP_CLASSIFIER] = "TreeEnsembleClassifier",
    [OP_ENSEMBLE] = "TreeEnsemble",
    [OP_IDENTITY] = "Identity",
    [OP_CAST] = "Cast",
    [OP_ZIPMAP] = "ZipMap",
    [OP_RESHAPE] = "Reshape",
    [OP_ARGMAX] = "ArgMax",
    [OP_EXTRACT] = "ArrayFeatureExtractor",
    [OP_SCALER] = "Scaler",
    [OP_IMPUTER] = "Imputer",
    [OP_CONCAT] = "Concat",
    [OP_VECTORIZER] = "FeatureVectorizer",
    [OP_MUL] = "Mul",
    [OP_DIV] = "Div",
    [OP_ADD] = "Add",
    [OP_SUB] = "Sub",
    [OP_SUM] = "Sum",
    [OP_NORMALIZER] = "Normalizer",
    [OP_LINEAR] = "LinearClassifier",
    [OP_MATMUL] = "MatMul",
    [OP_GEMM] = "Gemm",
    [OP_RELU] = "Relu",
    [OP_TANH] = "Tanh",
    [OP_SIGMOID] = "Sigmoid",
    [OP_SOFTMAX] = "Softmax",
    [OP_LOGSOFTMAX] = "LogSoftmax",
};

/* Exporters need not name a node: then its output's name stands for it. */
static struct wire_bytes name_of(const struct onnx_node *node)
{
    struct wire_bytes name = wire_bytes(node->bytes, NODE_NAME);

    return name.size ? name : wire_bytes(node->bytes, NODE_OUTPUT);
}

void onnx_say(const struct onnx_graph *graph, const struct onnx_node *node, const char *attribute,
              const char *why)
{
    struct wire_bytes name = name_of(node), op = wire_bytes(node->bytes, NODE_OP);

    tl_err_set(graph->err, "%s: node \"%.*s\", operator %.*s: %s%s%s%s", graph->name,
               wire_shown(name), wire_text(name), wire_shown(op), wire_text(op),
               attribute ? attribute : "", attribute ? ": " : "", why,
               attribute ? "; export the model again" : "");
}

const char *onnx_copy(const struct onnx_graph *graph, struct wire_bytes text)
{
    return arena_printf(graph->arena, "%.*s", (int)TL_MIN(text.size, (size_t)MAX_NAME),
                        wire_text(text));
}

enum tl_code onnx_names(const struct onnx_graph *graph, struct wire_bytes list, uint32_t strings,
                        const struct buf *numbers, struct onnx_names *ret_names)
{
    struct onnx_names names = {.count = 0};
    struct wire_field field;

    if (buf_failed(numbers))
        return onnx_no_memory(graph);
    for (; names.count < wire_count(numbers) && names.count < MODEL_MAX_CLASSES; names.count++)
        names.at[names.count] = arena_printf(graph->arena, "%.0f", wire_real(numbers, names.count));
    while (!numbers->size && names.count < MODEL_MAX_CLASSES && wire_next(&list, &field))
        if (field.number == strings && field.wire == WIRE_BYTES)
            names.at[names.count++] = onnx_copy(graph, field.bytes);
    for (uint32_t i = 0; i < names.count; i++)
        if (!names.at[i])
            return onnx_no_memory(graph);
    if (names.count)
        *ret_names = names;
    return TL_OK;
}

static bool is_trees(const struct onnx_node *node)
{
    return node->op == OP_CLASSIFIER || node->op == OP_ENSEMBLE;
}

/* ---- nodes ---- */

static enum tl_code add_value(struct onnx_graph *graph, struct onnx_value value)
{
    if (value.name.size == 0) /* an output that nobody wants */
        return TL_OK;
    if (graph->value_count == MAX_VALUES)
        return tl_fail(graph->err, TL_LIMIT, "%s: more than %d values in its graph", graph->name,
                       MAX_VALUES);
    graph->values[graph->value_count++] = value;
    return TL_OK;
}

/* Its outputs among the values; a node has no more fields than can be looked through often. */
static enum tl_code add_outputs(struct onnx_graph *graph, const struct onnx_node *node)
{
    struct wire_bytes rest = node->bytes;
    struct wire_field field;

    for (uint32_t fields = 0; wire_next(&rest, &field); fields++) {
        if (fields == MAX_FIELDS)
            return tl_fail(graph->err, TL_LIMIT, "%s: a node with more than %d fields", graph->name,
                           MAX_FIELDS);
        if (field.number == NODE_OUTPUT && field.wire == WIRE_BYTES)
            TL_TRY(add_value(graph, (struct onnx_value){.name = field.bytes, .maker = node}));
    }
    return TL_OK;
}

static enum tl_code add_node(struct onnx_graph *graph, struct wire_bytes bytes)
{
    struct wire_bytes op = wire_bytes(bytes, NODE_OP), domain = wire_bytes(bytes, NODE_DOMAIN);

    if (!wire_is_whole(bytes))
        return onnx_corrupt(graph, "graph", "a node is damaged");
    if (graph->node_count == MAX_GRAPH_NODES)
        return tl_fail(graph->err, TL_LIMIT, "%s: more than %d nodes in its graph", graph->name,
                       MAX_GRAPH_NODES);
    struct onnx_node node = {bytes, 0};
    while (node.op < OP_COUNT && !wire_equals(op, operators[node.op]))
        node.op++;
    if (node.op == OP_COUNT)
        return onnx_refuse(
            graph, &node,
            "served are ensembles of trees, linear classifiers and small nets (MatMul "
            "or Gemm, Relu, Tanh, Sigmoid, Softmax), scalers and casts of what they "
            "read, and soft votes of them; export such a classifier alone");
    if ((is_trees(&node) || node.op == OP_LINEAR) && !wire_equals(domain, "ai.onnx.ml"))
        return onnx_refuse(graph, &node, "it is not the one of ai.onnx.ml");
    graph->nodes[graph->node_count] = node;
    return add_outputs(graph, &graph->nodes[graph->node_count++]);
}

/* Of what begins with its name, a struct wire_bytes. */
static int compare_names(const void *a, const void *b)
{
    const struct wire_bytes *x = a, *y = b;
    size_t both = TL_MIN(x->size, y->size);
    int order = both ? memcmp(x->at, y->at, both) : 0;

    return order ? order : (x->size > y->size) - (x->size < y->size);
}

/* By name, so that links are found at once. A graph gives every name once. */
static enum tl_code refuse_twins(const struct onnx_graph *graph, struct wire_bytes name)
{
    return tl_fail(graph->err, TL_CORRUPT,
                   "%s: ONNX: two values of the graph are called \"%.*s\"; export the model again",
                   graph->name, wire_shown(name), wire_text(name));
}

static enum tl_code sort_values(const struct onnx_graph *graph)
{
    struct onnx_value *values = graph->values;

    if (graph->value_count)
        qsort(values, graph->value_count, sizeof(*values), compare_names);
    for (uint32_t i = 1; i < graph->value_count; i++)
        if (wire_same(values[i - 1].name, values[i].name))
            return refuse_twins(graph, values[i].name);
    return TL_OK;
}

static enum tl_code read_nodes(struct onnx_graph *graph)
{
    struct wire_bytes rest = graph->bytes;
    struct wire_field field;

    graph->nodes = arena_alloc(graph->scratch, MAX_GRAPH_NODES, sizeof(*graph->nodes));
    graph->values = arena_alloc(graph->scratch, MAX_VALUES, sizeof(*graph->values));
    if (!graph->nodes || !graph->values)
        return onnx_no_memory(graph);
    while (wire_next(&rest, &field))
        if (field.number == GRAPH_NODE && field.wire == WIRE_BYTES)
            TL_TRY(add_node(graph, field.bytes));
        else if (field.number == GRAPH_INITIALIZER && field.wire == WIRE_BYTES)
            TL_TRY(add_value(graph, (struct onnx_value){wire_bytes(field.bytes, TENSOR_NAME),
                                                        field.bytes, NULL}));
    return rest.at ? sort_values(graph) : onnx_corrupt(graph, "graph", "it is damaged");
}

struct wire_bytes onnx_input(const struct onnx_node *node, uint32_t n)
{
    struct wire_bytes rest = node->bytes;
    struct wire_field field;

    while (wire_next(&rest, &field))
        if (field.number == NODE_INPUT && field.wire == WIRE_BYTES && n-- == 0)
            return field.bytes;
    return (struct wire_bytes){NULL, 0};
}

struct wire_bytes onnx_attribute(struct wire_bytes node, const char *name)
{
    struct wire_field field;

    while (wire_next(&node, &field))
        if (field.number == NODE_ATTRIBUTE && field.wire == WIRE_BYTES &&
            wire_equals(wire_bytes(field.bytes, ATTRIBUTE_NAME), name))
            return field.bytes;
    return (struct wire_bytes){NULL, 0};
}

static const struct onnx_value *find_value(const struct onnx_graph *graph, struct wire_bytes name)
{
    return name.size && graph->value_count ? bsearch(&name, graph->values, graph->value_count,
                                                     sizeof(*graph->values), compare_names)
                                           : NULL;
}

const struct onnx_node *onnx_maker(const struct onnx_graph *graph, struct wire_bytes value)
{
    const struct onnx_value *found = find_value(graph, value);

    return found ? found->maker : NULL;
}

struct wire_bytes onnx_constant(const struct onnx_graph *graph, struct wire_bytes value)
{
    const struct onnx_value *found = find_value(graph, value);

    return found ? found->constant : (struct wire_bytes){NULL, 0};
}

/* ---- the graph's inputs ---- */

/* The second dimension; 0 when it is not given. */
static uint64_t input_width(struct wire_bytes type)
{
    struct wire_bytes shape = wire_bytes(type, 2);
    struct wire_field field;
    uint64_t width = 0;

    for (uint32_t i = 0; wire_next(&shape, &field);)
        if (field.number == 1 && field.wire == WIRE_BYTES && i++ == 1)
            width = wire_number(field.bytes, 1, 0);
    return width;
}

/* What an ensemble asks for where the input does not say how wide it is. */
static enum tl_code count_columns(const struct onnx_graph *graph, uint64_t *ret_width)
{
    *ret_width = 0;
    for (uint32_t i = 0; i < graph->node_count; i++) {
        uint32_t count = 0;

        if (is_trees(&graph->nodes[i]))
            TL_TRY(onnx_count_columns(graph, &graph->nodes[i], &count));
        *ret_width = TL_MAX(*ret_width, count);
    }
    return TL_OK;
}

/* Inputs of one column have their features' names, a table of many does not. */
static enum tl_code name_features(struct onnx_graph *graph, struct wire_bytes input, uint64_t width)
{
    if (width > MODEL_MAX_FEATURES - graph->feature_count)
        return tl_fail(graph->err, TL_LIMIT, "%s: %ju features; a model has 1 to %d", graph->name,
                       (uintmax_t)width + graph->feature_count, MODEL_MAX_FEATURES);
    for (uint64_t i = 0; i < width; i++) {
        const char *name = width == 1 ? onnx_copy(graph, input)
                                      : arena_printf(graph->arena, "f%u", graph->feature_count);
        if (!name)
            return onnx_no_memory(graph);
        graph->features[graph->feature_count++] = name;
    }
    return TL_OK;
}

/* One of the graph's inputs; its columns are the next features. */
static enum tl_code add_input(struct onnx_graph *graph, struct wire_bytes info, uint64_t most)
{
    struct wire_bytes type = wire_bytes(wire_bytes(info, INFO_TYPE), 1);
    struct onnx_input input = {wire_bytes(info, INFO_NAME), wire_number(type, 1, 0),
                               graph->feature_count, 0};
    uint64_t width = input_width(type);

    if (graph->input_count == MODEL_MAX_FEATURES)
        return tl_fail(graph->err, TL_LIMIT, "%s: more than %d inputs of its graph", graph->name,
                       MODEL_MAX_FEATURES);
    TL_TRY(name_features(graph, input.name, width ? width : most));
    input.width = graph->feature_count - input.begin;
    graph->inputs[graph->input_count++] = input;
    return TL_OK;
}

/* The graph's inputs are the features, one behind the other; old files list their constants among
 * them. */
static enum tl_code read_inputs(struct onnx_graph *graph)
{
    struct wire_bytes rest = graph->bytes;
    struct wire_field field;
    uint64_t most;

    graph->inputs = arena_alloc(graph->scratch, MODEL_MAX_FEATURES, sizeof(*graph->inputs));
    if (!graph->inputs)
        return onnx_no_memory(graph);
    TL_TRY(count_columns(graph, &most));
    while (wire_next(&rest, &field))
        if (field.number == GRAPH_INPUT && field.wire == WIRE_BYTES &&
            !onnx_constant(graph, wire_bytes(field.bytes, INFO_NAME)).at)
            TL_TRY(add_input(graph, field.bytes, most));
    if (graph->input_count)
        qsort(graph->inputs, graph->input_count, sizeof(*graph->inputs), compare_names);
    for (uint32_t i = 1; i < graph->input_count; i++)
        if (wire_same(graph->inputs[i - 1].name, graph->inputs[i].name))
            return refuse_twins(graph, graph->inputs[i].name);
    return TL_OK;
}

static enum tl_code input_table(struct onnx_graph *graph, struct wire_bytes value,
                                struct onnx_table *ret_table)
{
    const struct onnx_input *input = value.size && graph->input_count
                                         ? bsearch(&value, graph->inputs, graph->input_count,
                                                   sizeof(*graph->inputs), compare_names)
                                         : NULL;

    if (!input)
        return onnx_corrupt(graph, "graph", "the model does not read an input of the graph");
    if (input->type != TYPE_FLOAT && input->type != TYPE_DOUBLE)
        return tl_fail(graph->err, TL_UNSUPPORTED,
                       "%s: the input \"%.*s\" is neither float32 nor double; export with float "
                       "inputs",
                       graph->name, wire_shown(value), wire_text(value));
    struct onnx_table table = {
        arena_zalloc(graph->scratch, TL_MAX(input->width, 1U), sizeof(*table.columns)),
        input->width, input->type == TYPE_DOUBLE, false};
    if (!table.columns)
        return onnx_no_memory(graph);
    for (uint32_t i = 0; i < table.count; i++)
        table.columns[i].feature = (uint16_t)(input->begin + i);
    *ret_table = table;
    return TL_OK;
}

/* ---- columns ---- */

static enum tl_code read_table(struct onnx_graph *graph, struct wire_bytes value, unsigned depth,
                               struct onnx_table *ret_table);

/* One more step for every column; there is one number for each, or one for all. */
static enum tl_code add_steps(struct onnx_graph *graph, const struct onnx_node *node,
                              enum onnx_step_kind kind, const struct buf *numbers,
                              struct onnx_table *table)
{
    size_t given = wire_count(numbers);
    bool scales = kind == STEP_MULTIPLY || kind == STEP_DIVIDE;

    if (buf_failed(numbers))
        return onnx_no_memory(graph);
    if (table->wide)
        return onnx_refuse(graph, node, "it works on doubles; export with float inputs");
    if (given != 1 && given != table->count)
        return onnx_refuse(graph, node, "it has not one number for each column");
    for (uint32_t i = 0; i < table->count; i++) {
        struct onnx_column *column = &table->columns[i];
        float number = (float)wire_real(numbers, given == 1 ? 0 : i);

        if (!isfinite(number) || (scales && number == 0))
            return onnx_refuse(graph, node, "a number of it is infinite, NaN or no factor");
        if (column->step_count == ONNX_MAX_STEPS)
            return onnx_refuse(graph, node, "too many steps before the model");
        column->steps[column->step_count++] = (struct onnx_step){kind, number};
    }
    return TL_OK;
}

/* (x - offset) * scale */
static enum tl_code scale_columns(struct onnx_graph *graph, const struct onnx_node *node,
                                  struct onnx_table *table)
{
    AUTO_BUF offset = {0}, scale = {0};

    if (!wire_reals(onnx_attribute(node->bytes, "offset"), ATTRIBUTE_FLOATS, TYPE_FLOAT, &offset) ||
        !wire_reals(onnx_attribute(node->bytes, "scale"), ATTRIBUTE_FLOATS, TYPE_FLOAT, &scale))
        return onnx_corrupt(graph, "Scaler", "its offset or scale is no list of numbers");
    /* It makes float32 of doubles; that is what they were before they were features. */
    table->wide = false;
    TL_TRY(add_steps(graph, node, STEP_SUBTRACT, &offset, table));
    return add_steps(graph, node, STEP_MULTIPLY, &scale, table);
}

/* The row divided by its norm, in the same place of every column. */
static enum tl_code normalize_columns(struct onnx_graph *graph, const struct onnx_node *node,
                                      struct onnx_table *table)
{
    static const char *const norms[] = {"L1", "L2", "MAX"};
    struct wire_bytes norm = wire_bytes(onnx_attribute(node->bytes, "norm"), ATTRIBUTE_S);
    enum onnx_step_kind kind = STEP_L1;
    uint32_t most = 0;

    while (kind <= STEP_MAX && !wire_equals(norm, norms[kind - STEP_L1]))
        kind++;
    if (kind > STEP_MAX)
        return onnx_refuse(graph, node, "its norm is not L1, L2 or MAX");
    for (uint32_t i = 0; i < table->count; i++)
        most = TL_MAX(most, (uint32_t)table->columns[i].step_count);
    if (most == ONNX_MAX_STEPS)
        return onnx_refuse(graph, node, "too many steps before the model");
    for (uint32_t i = 0; i < table->count; i++) {
        struct onnx_column *column = &table->columns[i];

        while (column->step_count < most)
            column->steps[column->step_count++] = (struct onnx_step){STEP_ADD, 0};
        column->steps[column->step_count++] = (struct onnx_step){kind, 0};
    }
    table->wide = false; /* it makes float32 of everything */
    table->normalized = true;
    return TL_OK;
}

static enum tl_code impute_columns(struct onnx_graph *graph, const struct onnx_node *node,
                                   struct onnx_table *table)
{
    struct wire_bytes replaced = onnx_attribute(node->bytes, "replaced_value_float");
    AUTO_BUF numbers = {0}, what = {0};

    if (!wire_reals(onnx_attribute(node->bytes, "imputed_value_floats"), ATTRIBUTE_FLOATS,
                    TYPE_FLOAT, &numbers) ||
        !wire_reals(replaced, ATTRIBUTE_F, TYPE_FLOAT, &what))
        return onnx_corrupt(graph, "Imputer", "it does not say what it puts in place of NaN");
    if (buf_failed(&what))
        return onnx_no_memory(graph);
    if (wire_count(&what) != 1 || !isnan(wire_real(&what, 0)))
        return onnx_refuse(graph, node, "it puts a number in place of something but NaN");
    return add_steps(graph, node, STEP_IMPUTE, &numbers, table);
}

/* A number on the right side, or on either where the order does not matter. */
static enum tl_code compute_columns(struct onnx_graph *graph, const struct onnx_node *node,
                                    unsigned depth, struct onnx_table *table)
{
    static const enum onnx_step_kind kinds[OP_COUNT] = {[OP_MUL] = STEP_MULTIPLY,
                                                        [OP_ADD] = STEP_ADD,
                                                        [OP_SUB] = STEP_SUBTRACT,
                                                        [OP_DIV] = STEP_DIVIDE};
    struct wire_bytes left = onnx_input(node, 0), right = onnx_input(node, 1);
    bool either = node->op == OP_MUL || node->op == OP_ADD;
    bool first = either && onnx_constant(graph, left).at;
    struct wire_bytes constant = onnx_constant(graph, first ? left : right);
    AUTO_BUF numbers = {0};
    enum wire_type type;

    if (!constant.at || !wire_tensor(constant, &type, &numbers) || type != TYPE_FLOAT)
        return onnx_refuse(graph, node, "it needs a constant of float32");
    TL_TRY(read_table(graph, first ? right : left, depth, table));
    return add_steps(graph, node, kinds[node->op], &numbers, table);
}

/* Columns of several inputs, side by side. */
static enum tl_code join_tables(struct onnx_graph *graph, const struct onnx_node *node,
                                unsigned depth, struct onnx_table *ret_table)
{
    struct onnx_table all = {arena_alloc(graph->scratch, MODEL_MAX_FEATURES, sizeof(*all.columns)),
                             0, false, false};
    struct wire_bytes rest = node->bytes;
    struct wire_field field;

    if (!all.columns)
        return onnx_no_memory(graph);
    if (graph->joining)
        return onnx_refuse(graph, node, "it joins what has been joined");
    graph->joining = true;
    while (wire_next(&rest, &field)) {
        struct onnx_table one = {0};

        if (field.number != NODE_INPUT || field.wire != WIRE_BYTES)
            continue;
        TL_TRY(read_table(graph, field.bytes, depth, &one));
        if (one.count > MODEL_MAX_FEATURES - all.count || (all.count && one.wide != all.wide))
            return onnx_refuse(graph, node, "its inputs are too many, or of two types");
        if (one.normalized)
            return onnx_refuse(graph, node, "it joins columns of which some rows are normalised");
        for (uint32_t i = 0; i < one.count; i++)
            all.columns[all.count + i] = one.columns[i];
        all.count += one.count;
        all.wide = one.wide;
    }
    graph->joining = false;
    all.wide &= node->op == OP_CONCAT;
    *ret_table = all;
    return TL_OK;
}

static enum tl_code cast_columns(struct onnx_graph *graph, const struct onnx_node *node,
                                 struct onnx_table *table)
{
    uint64_t to = wire_number(onnx_attribute(node->bytes, "to"), ATTRIBUTE_I, 0);

    if (to != TYPE_FLOAT && to != TYPE_DOUBLE)
        return onnx_refuse(graph, node, "the features are cast to another type than float32");
    table->wide = to == TYPE_DOUBLE;
    return TL_OK;
}

static enum tl_code read_table(struct onnx_graph *graph, struct wire_bytes value, unsigned depth,
                               struct onnx_table *ret_table)
{
    const struct onnx_node *node = onnx_maker(graph, value);
    enum onnx_op op = node ? node->op : OP_COUNT;
    struct onnx_table table = {0};

    if (!node)
        return input_table(graph, value, ret_table);
    if (depth == ONNX_MAX_LINKS)
        return onnx_corrupt(graph, "graph", "the model's input comes from itself");
    if (op == OP_CONCAT || op == OP_VECTORIZER)
        return join_tables(graph, node, depth + 1, ret_table);
    if (op == OP_MUL || op == OP_ADD || op == OP_SUB || op == OP_DIV) {
        TL_TRY(compute_columns(graph, node, depth + 1, &table));
    } else if (op == OP_IDENTITY || op == OP_CAST || op == OP_SCALER || op == OP_IMPUTER ||
               op == OP_NORMALIZER) {
        TL_TRY(read_table(graph, onnx_input(node, 0), depth + 1, &table));
        TL_TRY(op == OP_SCALER       ? scale_columns(graph, node, &table)
               : op == OP_IMPUTER    ? impute_columns(graph, node, &table)
               : op == OP_NORMALIZER ? normalize_columns(graph, node, &table)
               : op == OP_CAST       ? cast_columns(graph, node, &table)
                                     : TL_OK);
    } else {
        return onnx_refuse(graph, node, "a model cannot read what it makes");
    }
    *ret_table = table;
    return TL_OK;
}

enum tl_code onnx_read_table(struct onnx_graph *graph, struct wire_bytes value,
                             struct onnx_table *ret_table)
{
    return read_table(graph, value, 0, ret_table);
}

enum tl_code onnx_open_graph(struct onnx_graph *graph)
{
    TL_TRY(read_nodes(graph));
    return read_inputs(graph);
}
