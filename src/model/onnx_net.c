#include "model/onnx_net.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"
#include "model/build.h"
#include "model/net.h"
#include "model/onnx_trees.h"

#include <math.h>
#include <string.h>

/* Field numbers of onnx.proto. */
enum {
    TENSOR_DIMS = 1,
    ATTRIBUTE_F = 2,
    ATTRIBUTE_I = 3,
    ATTRIBUTE_S = 4,
    ATTRIBUTE_FLOATS = 7,
    ATTRIBUTE_INTS = 8,
    ATTRIBUTE_STRINGS = 9
};

struct reader {
    struct onnx_graph *graph;
    const struct onnx_answer *answer;
    struct model *model;
    struct model_net *net;
    struct model_layer layers[NET_MAX_LAYERS]; /* the last first */
    struct onnx_table table;
    enum wire_type type;     /* of the weights so far; 0: there are none yet */
    struct onnx_names names; /* a LinearClassifier's own */
};

/* ---- links ---- */

/* The node that makes a value, behind what changes nothing. */
static const struct onnx_node *behind(const struct onnx_graph *graph, struct wire_bytes value)
{
    const struct onnx_node *node = onnx_maker(graph, value);

    for (unsigned links = 0; node && links < ONNX_MAX_LINKS; links++) {
        uint64_t to = wire_number(onnx_attribute(node->bytes, "to"), ATTRIBUTE_I, 0);

        if (node->op != OP_IDENTITY &&
            (node->op != OP_CAST || (to != TYPE_FLOAT && to != TYPE_DOUBLE)))
            return node;
        node = onnx_maker(graph, onnx_input(node, 0));
    }
    return NULL;
}

static bool is_product(const struct onnx_node *node)
{
    return node && (node->op == OP_MATMUL || node->op == OP_GEMM);
}

/* A bias: of its two inputs one is a constant, the other a product. */
static bool is_bias(const struct onnx_graph *graph, const struct onnx_node *node,
                    const struct onnx_node **ret_product, struct wire_bytes *ret_constant)
{
    if (!node || node->op != OP_ADD)
        return false;
    for (uint32_t i = 0; i < 2; i++) {
        const struct onnx_node *product = behind(graph, onnx_input(node, i));

        *ret_constant = onnx_constant(graph, onnx_input(node, 1 - i));
        *ret_product = product;
        if (is_product(product) && ret_constant->at)
            return true;
    }
    return false;
}

static bool is_layer(const struct onnx_graph *graph, const struct onnx_node *node)
{
    const struct onnx_node *product;
    struct wire_bytes constant;

    return is_product(node) || is_bias(graph, node, &product, &constant);
}

static bool bends(const struct onnx_node *node)
{
    return node->op == OP_RELU || node->op == OP_TANH || node->op == OP_SIGMOID;
}

/* Concat of 1 - p and p; p's maker, a Sigmoid, or NULL. */
static const struct onnx_node *complemented(const struct onnx_graph *graph,
                                            const struct onnx_node *node)
{
    struct wire_bytes share = onnx_input(node, 1);
    const struct onnx_node *rest = onnx_maker(graph, onnx_input(node, 0));
    const struct onnx_node *sigmoid = onnx_maker(graph, share);
    AUTO_BUF one = {0};
    enum wire_type type;

    if (!rest || rest->op != OP_SUB || !sigmoid || sigmoid->op != OP_SIGMOID ||
        onnx_input(node, 2).at || !wire_same(onnx_input(rest, 1), share) ||
        !wire_tensor(onnx_constant(graph, onnx_input(rest, 0)), &type, &one) ||
        wire_count(&one) != 1 || wire_real(&one, 0) != 1)
        return NULL;
    return sigmoid;
}

bool onnx_ends_net(const struct onnx_graph *graph, const struct onnx_node *node)
{
    static const bool ends[OP_COUNT] = {[OP_LINEAR] = true,
                                        [OP_SOFTMAX] = true,
                                        [OP_LOGSOFTMAX] = true,
                                        [OP_SIGMOID] = true,
                                        [OP_NORMALIZER] = true};

    return ends[node->op] || is_layer(graph, node) ||
           (node->op == OP_CONCAT && complemented(graph, node));
}

/* ---- layers ---- */

/* The numbers of a constant, of the one type that the net has. */
static enum tl_code read_weights(struct reader *r, const struct onnx_node *node,
                                 struct wire_bytes constant, struct buf *numbers)
{
    enum wire_type type = TYPE_FLOAT;

    if (!constant.at)
        return onnx_refuse(r->graph, node, "its weights are no constant of the file");
    if (!wire_tensor(constant, &type, numbers) || (type != TYPE_FLOAT && type != TYPE_DOUBLE) ||
        (r->type && r->type != type))
        return onnx_refuse(r->graph, node,
                           "its weights are damaged, or not of the one type - float32 or double - "
                           "that the others have");
    if (buf_failed(numbers))
        return onnx_no_memory(r->graph);
    r->type = type;
    return TL_OK;
}

static enum tl_code new_layer(struct reader *r, const struct onnx_node *node,
                              struct model_layer **ret_layer)
{
    if (r->net->layer_count == NET_MAX_LAYERS)
        return onnx_refuse(r->graph, node, "the net has more than 8 layers");
    *ret_layer = &r->layers[r->net->layer_count++];
    **ret_layer = (struct model_layer){0};
    return TL_OK;
}

/* Weights [rows][columns], turned to [outputs][inputs]. */
static enum tl_code keep_weights(struct reader *r, const struct onnx_node *node,
                                 const struct buf *numbers, bool turned, struct model_layer *layer)
{
    uint32_t in = layer->input_count, out = layer->output_count;

    if (in < 1 || in > MODEL_MAX_FEATURES || out < 1 || out > NET_MAX_WIDTH ||
        wire_count(numbers) != (size_t)in * out)
        return onnx_refuse(r->graph, node,
                           "its weights are not the table that its shape says, or one of more than "
                           "4096 inputs and 1024 outputs");
    double *weights = arena_alloc(r->graph->arena, (size_t)in * out, sizeof(*weights));
    double *bias = arena_zalloc(r->graph->arena, out, sizeof(*bias));
    if (!weights || !bias)
        return onnx_no_memory(r->graph);
    for (size_t o = 0; o < out; o++)
        for (size_t i = 0; i < in; i++)
            weights[o * in + i] = wire_real(numbers, turned ? o * in + i : i * out + o);
    layer->weights = weights;
    layer->bias = bias;
    return TL_OK;
}

/* One number for each output, or one for all. */
static enum tl_code keep_bias(struct reader *r, const struct onnx_node *node,
                              const struct buf *numbers, struct model_layer *layer)
{
    size_t given = wire_count(numbers);
    double *bias = arena_alloc(r->graph->arena, layer->output_count, sizeof(*bias));

    if (given != 1 && given != layer->output_count)
        return onnx_refuse(r->graph, node, "it has not one number for each output");
    if (!bias)
        return onnx_no_memory(r->graph);
    for (uint32_t o = 0; o < layer->output_count; o++)
        bias[o] = wire_real(numbers, given == 1 ? 0 : o);
    layer->bias = bias;
    return TL_OK;
}

static enum tl_code read_bias(struct reader *r, const struct onnx_node *node,
                              struct wire_bytes constant, struct model_layer *layer)
{
    AUTO_BUF numbers = {0};

    TL_TRY(read_weights(r, node, constant, &numbers));
    return keep_bias(r, node, &numbers, layer);
}

static enum tl_code check_gemm(const struct reader *r, const struct onnx_node *node,
                               bool *ret_turned)
{
    static const char *const factors[] = {"alpha", "beta"};

    for (size_t i = 0; i < TL_COUNT(factors); i++) {
        struct wire_bytes factor = onnx_attribute(node->bytes, factors[i]);
        AUTO_BUF number = {0};

        if (factor.at && (!wire_reals(factor, ATTRIBUTE_F, TYPE_FLOAT, &number) ||
                          wire_count(&number) != 1 || wire_real(&number, 0) != 1))
            return onnx_refuse(r->graph, node, "its alpha or beta is not 1");
    }
    if (wire_number(onnx_attribute(node->bytes, "transA"), ATTRIBUTE_I, 0) != 0)
        return onnx_refuse(r->graph, node, "it turns its input (transA)");
    *ret_turned = wire_number(onnx_attribute(node->bytes, "transB"), ATTRIBUTE_I, 0) != 0;
    return TL_OK;
}

static enum tl_code read_product(struct reader *r, const struct onnx_node *node,
                                 struct model_layer *layer)
{
    struct wire_bytes constant = onnx_constant(r->graph, onnx_input(node, 1));
    struct wire_bytes bias = {NULL, 0};
    AUTO_BUF numbers = {0}, dims = {0};
    bool turned = false;

    TL_TRY(read_weights(r, node, constant, &numbers));
    if (node->op == OP_GEMM) {
        TL_TRY(check_gemm(r, node, &turned));
        bias = onnx_input(node, 2);
    }
    bool whole = wire_ints(constant, TENSOR_DIMS, &dims);
    if (buf_failed(&dims))
        return onnx_no_memory(r->graph);
    if (!whole || wire_count(&dims) != 2)
        return onnx_refuse(r->graph, node, "its weights have not two dimensions");
    for (size_t i = 0; i < 2; i++)
        if (!(wire_real(&dims, i) >= 1 && wire_real(&dims, i) <= MODEL_MAX_FEATURES))
            return onnx_refuse(r->graph, node, "a layer of nothing, or of more than 4096 numbers");
    layer->input_count = (uint32_t)wire_real(&dims, turned ? 1 : 0);
    layer->output_count = (uint32_t)wire_real(&dims, turned ? 0 : 1);
    TL_TRY(keep_weights(r, node, &numbers, turned, layer));
    return bias.at ? read_bias(r, node, onnx_constant(r->graph, bias), layer) : TL_OK;
}

/* One layer that ends in `node`; *ret_value is what it reads. */
static enum tl_code read_layer(struct reader *r, const struct onnx_node *node,
                               struct wire_bytes *ret_value)
{
    const struct onnx_node *sum = bends(node) ? behind(r->graph, onnx_input(node, 0)) : node;
    const struct onnx_node *product = sum;
    struct wire_bytes bias = {NULL, 0};
    struct model_layer *layer = NULL;
    bool biased = is_bias(r->graph, sum, &product, &bias);

    if (!biased)
        product = sum;
    if (!is_product(product))
        return onnx_refuse(r->graph, sum ? sum : node,
                           "a layer of a net is MatMul or Gemm by weights of the file, Add of "
                           "its bias, and Relu, Tanh, Sigmoid or nothing");
    TL_TRY(new_layer(r, node, &layer));
    TL_TRY(read_product(r, product, layer));
    if (biased)
        TL_TRY(read_bias(r, sum, bias, layer));
    layer->activation = node == sum           ? ACTIVATION_NONE
                        : node->op == OP_RELU ? ACTIVATION_RELU
                        : node->op == OP_TANH ? ACTIVATION_TANH
                                              : ACTIVATION_LOGISTIC;
    *ret_value = onnx_input(product, 0);
    return TL_OK;
}

/* Layers from the last to the first, and the columns that the first reads. */
static enum tl_code read_layers(struct reader *r, const struct onnx_node *node)
{
    struct wire_bytes value = {NULL, 0};

    do {
        TL_TRY(read_layer(r, node, &value));
        node = behind(r->graph, value);
    } while (node && (bends(node) || is_layer(r->graph, node)));
    return onnx_read_table(r->graph, value, &r->table);
}

/* ---- LinearClassifier ---- */

static enum tl_code read_labels(struct reader *r, const struct onnx_node *node)
{
    struct wire_bytes words = onnx_attribute(node->bytes, "classlabels_strings");
    struct wire_bytes numbers = onnx_attribute(node->bytes, "classlabels_ints");
    AUTO_BUF ints = {0};

    if (numbers.at && !wire_ints(numbers, ATTRIBUTE_INTS, &ints))
        return onnx_damaged(r->graph, node, "classlabels_ints", "it is no list of numbers");
    return onnx_names(r->graph, words, ATTRIBUTE_STRINGS, &ints, &r->names);
}

static enum tl_code read_linear(struct reader *r, const struct onnx_node *node)
{
    struct wire_bytes transform =
        wire_bytes(onnx_attribute(node->bytes, "post_transform"), ATTRIBUTE_S);
    struct model_layer *layer = NULL;
    AUTO_BUF weights = {0}, bias = {0};

    TL_TRY(new_layer(r, node, &layer));
    TL_TRY(read_labels(r, node));
    bool whole =
        wire_reals(onnx_attribute(node->bytes, "coefficients"), ATTRIBUTE_FLOATS, TYPE_FLOAT,
                   &weights) &&
        wire_reals(onnx_attribute(node->bytes, "intercepts"), ATTRIBUTE_FLOATS, TYPE_FLOAT, &bias);
    if (buf_failed(&weights) || buf_failed(&bias))
        return onnx_no_memory(r->graph);
    if (!whole || bias.size == 0 || weights.size % bias.size != 0 ||
        wire_count(&bias) > MODEL_MAX_CLASSES)
        return onnx_refuse(r->graph, node,
                           "its coefficients are damaged, or it has no intercepts for its classes");
    r->type = TYPE_FLOAT;
    layer->output_count = (uint32_t)wire_count(&bias);
    layer->input_count =
        (uint32_t)TL_MIN(wire_count(&weights) / wire_count(&bias), (size_t)MODEL_MAX_FEATURES + 1);
    TL_TRY(keep_weights(r, node, &weights, true, layer));
    TL_TRY(keep_bias(r, node, &bias, layer));
    if (wire_equals(transform, "LOGISTIC"))
        r->model->output = OUTPUT_SIGMOIDS;
    else if (wire_equals(transform, "SOFTMAX"))
        r->model->output = OUTPUT_SOFTMAX;
    else
        return onnx_refuse(r->graph, node,
                           "its post_transform is neither LOGISTIC nor SOFTMAX: its scores are no "
                           "probabilities; export the classifier with its probabilities");
    r->model->winner_by_score = !r->answer->argmax;
    return onnx_read_table(r->graph, onnx_input(node, 0), &r->table);
}

/* ---- the end of the net ---- */

static enum tl_code check_axis(const struct reader *r, const struct onnx_node *node)
{
    uint64_t axis = wire_number(onnx_attribute(node->bytes, "axis"), ATTRIBUTE_I, 1);

    return axis == 1 || axis == UINT64_MAX
               ? TL_OK
               : onnx_refuse(r->graph, node, "it is not over the classes");
}

static enum tl_code read_end(struct reader *r, const struct onnx_node *node)
{
    static const enum model_output outputs[OP_COUNT] = {
        [OP_SOFTMAX] = OUTPUT_SOFTMAX,
        [OP_LOGSOFTMAX] = OUTPUT_SOFTMAX, /* logarithms of what tilth gives */
        [OP_SIGMOID] = OUTPUT_SIGMOIDS};
    const struct onnx_node *end = node;

    if (node->op == OP_LINEAR)
        return read_linear(r, node);
    if (is_layer(r->graph, node)) { /* logits */
        r->model->output = OUTPUT_SOFTMAX;
        r->model->winner_by_score = true;
        return read_layers(r, node);
    }
    if (node->op == OP_CONCAT)
        node = complemented(r->graph, node);
    TL_CHECK(node != NULL); /* onnx_ends_net() */
    if (node->op == OP_SOFTMAX || node->op == OP_LOGSOFTMAX)
        TL_TRY(check_axis(r, node));
    r->model->output = end->op == OP_CONCAT ? OUTPUT_BINARY : outputs[node->op];
    node = behind(r->graph, onnx_input(node, 0));
    if (!node || !is_layer(r->graph, node))
        return onnx_refuse(r->graph, end,
                           "in front of it is no MatMul or Gemm by weights of the file");
    return read_layers(r, node);
}

/* The Normalizer behind a classifier makes shares of its numbers. */
static enum tl_code read_shares(struct reader *r, const struct onnx_node *node)
{
    const struct onnx_node *from = behind(r->graph, onnx_input(node, 0));

    if (!wire_equals(wire_bytes(onnx_attribute(node->bytes, "norm"), ATTRIBUTE_S), "L1"))
        return onnx_refuse(r->graph, node,
                           "probabilities are divided by their sum: its norm is L1");
    if (!from || from->op == OP_NORMALIZER || !onnx_ends_net(r->graph, from))
        return onnx_refuse(r->graph, node, "what it divides is no classifier that is served");
    TL_TRY(read_end(r, from));
    if (r->model->output == OUTPUT_SIGMOIDS)
        r->model->output = OUTPUT_NORMALIZED;
    return TL_OK;
}

/* ---- what stands in front ---- */

static bool has_step(const struct onnx_column *column, uint32_t level, enum onnx_step_kind step)
{
    return level < column->step_count && column->steps[level].kind == step;
}

static enum tl_code add_scaling(struct reader *r, struct model_scaling *scalings, uint32_t level,
                                enum onnx_step_kind step)
{
    static const struct {
        enum model_scaling_kind kind;
        double neutral;
    } known[] = {[STEP_ADD] = {SCALING_ADD, 0},
                 [STEP_SUBTRACT] = {SCALING_SUBTRACT, 0},
                 [STEP_MULTIPLY] = {SCALING_MULTIPLY, 1},
                 [STEP_DIVIDE] = {SCALING_DIVIDE, 1},
                 [STEP_IMPUTE] = {SCALING_IMPUTE, (double)NAN},
                 [STEP_L1] = {SCALING_L1, 0},
                 [STEP_L2] = {SCALING_L2, 0},
                 [STEP_MAX] = {SCALING_GREATEST, 0}};
    const struct onnx_column *columns = r->table.columns;
    uint32_t first = 0;

    while (first < r->table.count && !has_step(&columns[first], level, step))
        first++;
    if (first == r->table.count)
        return TL_OK;
    double *numbers = arena_alloc(r->graph->arena, r->table.count, sizeof(*numbers));
    if (!numbers)
        return onnx_no_memory(r->graph);
    for (uint32_t i = 0; i < r->table.count; i++)
        numbers[i] = has_step(&columns[i], level, step) ? (double)columns[i].steps[level].number
                                                        : known[step].neutral;
    scalings[r->net->scaling_count++] =
        (struct model_scaling){.kind = known[step].kind,
                               .narrow = true,
                               .numbers = known[step].kind < SCALING_L1 ? numbers : NULL};
    return TL_OK;
}

/* What the graph does to the columns, step by step. */
static enum tl_code keep_columns(struct reader *r, struct model_part *part)
{
    enum { MOST = ONNX_MAX_STEPS * (STEP_MAX + 1) };
    struct model_scaling *scalings = arena_alloc(r->graph->arena, MOST, sizeof(*scalings));
    uint32_t *inputs = arena_alloc(r->graph->arena, TL_MAX(r->table.count, 1U), sizeof(*inputs));

    if (!scalings || !inputs)
        return onnx_no_memory(r->graph);
    for (uint32_t i = 0; i < r->table.count; i++)
        inputs[i] = r->table.columns[i].feature;
    for (uint32_t level = 0; level < ONNX_MAX_STEPS; level++)
        for (uint32_t step = STEP_ADD; step <= STEP_MAX; step++)
            TL_TRY(add_scaling(r, scalings, level, (enum onnx_step_kind)step));
    r->net->scalings = scalings;
    part->inputs = inputs;
    part->input_count = r->table.count;
    return TL_OK;
}

/* ---- the whole ---- */

static enum tl_code keep_layers(struct reader *r, const struct onnx_node *node)
{
    uint32_t count = r->net->layer_count, width = r->table.count;
    struct model_layer *layers = arena_alloc(r->graph->arena, count, sizeof(*layers));

    if (!layers)
        return onnx_no_memory(r->graph);
    for (uint32_t i = 0; i < count; i++) {
        layers[i] = r->layers[count - 1 - i];
        if (layers[i].input_count != width)
            return tl_fail(r->graph->err, TL_CORRUPT,
                           "%s: layer %u of its net reads %u numbers, there are %u; where the "
                           "graph's input does not say how wide it is, export it with its width",
                           r->graph->name, i, layers[i].input_count, width);
        width = layers[i].output_count;
    }
    r->net->layers = layers;
    r->net->narrow = r->type == TYPE_FLOAT;
    if (r->table.wide && r->net->narrow && node->op != OP_LINEAR)
        return onnx_refuse(r->graph, node, "its weights are float32 and what it reads is double");
    return TL_OK;
}

/* Features, classes and what becomes of the scores. */
static enum tl_code finish_model(struct reader *r)
{
    struct model *model = r->model;
    struct model_build build = {
        .name = r->graph->name, .arena = r->graph->arena, .model = model, .err = r->graph->err};
    uint32_t scores = r->layers[0].output_count, classes = scores == 1 ? 2 : scores;
    const struct onnx_names *graph = &r->answer->names;
    const char *const *names = r->names.count == classes ? r->names.at : NULL;

    if (scores == 1)
        model->output = OUTPUT_BINARY;
    if (graph->count)
        names = graph->at;
    if (graph->count && graph->count != classes)
        return onnx_corrupt(r->graph, "graph", "there are other classes than the net has numbers");
    model->score_count = scores;
    model->divisor = model->sigmoid = 1;
    model->info.kind = "onnx";
    model->info.provenance = "";
    model->info.name = arena_printf(r->graph->arena, "%s", r->graph->name);
    if (!model->info.name)
        return onnx_no_memory(r->graph);
    TL_TRY(build_features(&build, r->graph->features, r->graph->feature_count));
    return build_classes(&build, names, classes);
}

enum tl_code onnx_read_net(struct onnx_graph *graph, const struct onnx_node *node,
                           const struct onnx_answer *answer, struct model_part *ret_part)
{
    struct reader *r = arena_zalloc(graph->scratch, 1, sizeof(*r));
    struct model_part part = {.kind = PART_NET};

    if (!r)
        return onnx_no_memory(graph);
    r->graph = graph;
    r->answer = answer;
    r->model = arena_zalloc(graph->arena, 1, sizeof(*r->model));
    r->net = arena_zalloc(graph->arena, 1, sizeof(*r->net));
    if (!r->model || !r->net)
        return onnx_no_memory(graph);
    TL_TRY(node->op == OP_NORMALIZER ? read_shares(r, node) : read_end(r, node));
    TL_TRY(keep_columns(r, &part));
    TL_TRY(keep_layers(r, node));
    TL_TRY(finish_model(r));
    part.model = r->model;
    part.net = r->net;
    *ret_part = part;
    return TL_OK;
}
