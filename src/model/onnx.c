/*
 * ONNX: a graph that classifies, as skl2onnx, onnxmltools, CatBoost and PyTorch write it:
 * ensembles of trees (onnx_trees) and nets (onnx_net) that read the features, scaled or not
 * (onnx_graph), one of them or a soft vote of several. The label is what the ensemble says, or
 * ArgMax of the probabilities.
 * Anything else is refused with its node and operator.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"
#include "model/model.h"
#include "model/onnx_graph.h"
#include "model/onnx_net.h"
#include "model/onnx_trees.h"

#include <math.h>
#include <string.h>

/* Field numbers of onnx.proto. */
enum {
    MODEL_GRAPH = 7,
    MODEL_OPSET = 8,
    OPSET_DOMAIN = 1,
    OPSET_VERSION = 2,
    GRAPH_OUTPUT = 12,
    NODE_INPUT = 1,
    NODE_DOMAIN = 7,
    ATTRIBUTE_I = 3,
    ATTRIBUTE_INTS = 8,
    ATTRIBUTE_STRINGS = 9,
    INFO_NAME = 1,
    TENSOR_STRINGS = 6
};

enum { MAX_OUTPUTS = 64 };

struct reader {
    struct onnx_graph graph;
    struct onnx_answer answer;
    const struct onnx_node *maker; /* of the probabilities */
    const struct onnx_node *made_by[MODEL_MAX_PARTS];
    struct model_part parts[MODEL_MAX_PARTS];
    uint32_t part_count;
};

static bool asks_for_ml(const struct onnx_graph *graph)
{
    for (uint32_t i = 0; i < graph->node_count; i++)
        if (wire_equals(wire_bytes(graph->nodes[i].bytes, NODE_DOMAIN), "ai.onnx.ml"))
            return true;
    return false;
}

/* The ensemble's operators are those of ai.onnx.ml 1 to 5; a file that was cut has none. */
static enum tl_code check_opset(const struct onnx_graph *graph, struct wire_bytes model)
{
    struct wire_field field;
    bool any = false;

    while (wire_next(&model, &field)) {
        if (field.number != MODEL_OPSET || field.wire != WIRE_BYTES)
            continue;
        any = true;
        if (!wire_equals(wire_bytes(field.bytes, OPSET_DOMAIN), "ai.onnx.ml"))
            continue;
        uint64_t version = wire_number(field.bytes, OPSET_VERSION, 0);

        if (version >= 1 && version <= 5)
            return TL_OK;
        return tl_fail(graph->err, TL_UNSUPPORTED, "%s: version %ju of ai.onnx.ml; 1 to 5 are read",
                       graph->name, (uintmax_t)version);
    }
    if (any && !asks_for_ml(graph))
        return TL_OK;
    return onnx_corrupt(graph, "opset_import", "ai.onnx.ml is not there, or the file is cut short");
}

/* ---- classes ---- */

static enum tl_code name_by_zipmap(struct reader *reader, const struct onnx_node *node)
{
    struct wire_bytes words = onnx_attribute(node->bytes, "classlabels_strings");
    AUTO_BUF ints = {0};

    if (!wire_ints(onnx_attribute(node->bytes, "classlabels_int64s"), ATTRIBUTE_INTS, &ints) &&
        !words.at)
        return onnx_corrupt(&reader->graph, "ZipMap", "its classes are damaged");
    return onnx_names(&reader->graph, words, ATTRIBUTE_STRINGS, &ints, &reader->answer.names);
}

/* ArrayFeatureExtractor takes the label out of a constant list. */
static enum tl_code name_by_list(struct reader *reader, const struct onnx_node *node)
{
    struct wire_bytes list = onnx_constant(&reader->graph, onnx_input(node, 0));
    AUTO_BUF ints = {0};
    enum wire_type type;

    if (!list.at)
        return onnx_refuse(&reader->graph, node, "it takes the label out of no constant list");
    if (!wire_tensor(list, &type, &ints))
        buf_clear(&ints);
    return onnx_names(&reader->graph, list, TENSOR_STRINGS, &ints, &reader->answer.names);
}

/* ---- from the graph's outputs to what they are made of ---- */

static enum tl_code check_argmax(struct reader *reader, const struct onnx_node *node)
{
    uint64_t axis = wire_number(onnx_attribute(node->bytes, "axis"), ATTRIBUTE_I, 0);
    uint64_t last = wire_number(onnx_attribute(node->bytes, "select_last_index"), ATTRIBUTE_I, 0);

    reader->answer.argmax = true;
    return (axis == 1 || axis == UINT64_MAX) && last == 0
               ? TL_OK
               : onnx_refuse(&reader->graph, node, "it is not over the classes, the first first");
}

/* onnxmltools ends a LightGBM model so when it is told to leave ZipMap out. */
static bool by_one(const struct reader *reader, const struct onnx_node *node)
{
    struct wire_bytes factor = onnx_constant(&reader->graph, onnx_input(node, 1));
    AUTO_BUF numbers = {0};
    enum wire_type type;

    return node->op == OP_MUL && factor.at && wire_tensor(factor, &type, &numbers) &&
           wire_count(&numbers) == 1 && wire_real(&numbers, 0) == 1;
}

/* Goes back from a value to the node that makes the probabilities; labels are passed. */
static enum tl_code trace(struct reader *reader, struct wire_bytes value,
                          const struct onnx_node **ret_node)
{
    for (unsigned links = 0; links < ONNX_MAX_LINKS; links++) {
        const struct onnx_node *node = onnx_maker(&reader->graph, value);
        uint32_t input = 0;

        if (!node)
            return onnx_corrupt(&reader->graph, "graph", "an output comes from nowhere");
        if (node->op == OP_ZIPMAP)
            TL_TRY(name_by_zipmap(reader, node));
        else if (node->op == OP_ARGMAX)
            TL_TRY(check_argmax(reader, node));
        else if (node->op == OP_EXTRACT)
            TL_TRY(name_by_list(reader, node));
        else if (node->op != OP_IDENTITY && node->op != OP_CAST && node->op != OP_RESHAPE &&
                 !by_one(reader, node)) {
            *ret_node = node;
            return TL_OK;
        }
        input = node->op == OP_EXTRACT;
        value = onnx_input(node, input);
    }
    return onnx_corrupt(&reader->graph, "graph", "an output comes from itself");
}

/* Whether `shares` divides what `node` makes by its sum: they are one model. */
static bool divides(const struct onnx_graph *graph, const struct onnx_node *shares,
                    const struct onnx_node *node)
{
    return shares->op == OP_NORMALIZER && onnx_maker(graph, onnx_input(shares, 0)) == node;
}

static enum tl_code find_maker(struct reader *reader)
{
    struct wire_bytes rest = reader->graph.bytes;
    struct wire_field field;
    uint32_t outputs = 0;

    while (wire_next(&rest, &field)) {
        const struct onnx_node *node = NULL;

        if (field.number != GRAPH_OUTPUT || field.wire != WIRE_BYTES)
            continue;
        if (outputs++ == MAX_OUTPUTS)
            return tl_fail(reader->graph.err, TL_LIMIT, "%s: its graph has more than %d outputs",
                           reader->graph.name, MAX_OUTPUTS);
        TL_TRY(trace(reader, wire_bytes(field.bytes, INFO_NAME), &node));
        if (!reader->maker || divides(&reader->graph, node, reader->maker))
            reader->maker = node;
        else if (reader->maker != node && !divides(&reader->graph, reader->maker, node))
            return onnx_refuse(&reader->graph, node, "the outputs are of two models");
    }
    return reader->maker ? TL_OK : onnx_corrupt(&reader->graph, "graph", "it has no output");
}

/* ---- parts ---- */

static enum tl_code read_part(struct reader *reader, const struct onnx_node *node, unsigned depth,
                              uint32_t *ret_part);

static enum tl_code take_part(struct reader *reader, const struct onnx_node *node,
                              struct model_part part, uint32_t *ret_part)
{
    if (reader->part_count == MODEL_MAX_PARTS)
        return tl_fail(reader->graph.err, TL_LIMIT, "%s: more than %d models in its graph",
                       reader->graph.name, MODEL_MAX_PARTS);
    *ret_part = reader->part_count;
    reader->made_by[reader->part_count] = node;
    reader->parts[reader->part_count++] = part;
    return TL_OK;
}

static enum tl_code read_trees(struct reader *reader, const struct onnx_node *node,
                               uint32_t *ret_part)
{
    struct onnx_graph *graph = &reader->graph;
    struct model *model = arena_zalloc(graph->arena, 1, sizeof(*model));
    struct onnx_table table;

    if (!model)
        return onnx_no_memory(graph);
    TL_TRY(onnx_read_table(graph, onnx_input(node, 0), &table));
    if (table.normalized)
        return onnx_refuse(graph, node, "a Normalizer in front of trees mixes their features");
    TL_TRY(onnx_read_trees(graph, node, &table, &reader->answer, model));
    struct model_part part = {
        .kind = PART_TREES, .model = model, .input_count = graph->feature_count};
    return take_part(reader, node, part, ret_part);
}

static enum tl_code read_net(struct reader *reader, const struct onnx_node *node,
                             uint32_t *ret_part)
{
    struct model_part part = {0};

    TL_TRY(onnx_read_net(&reader->graph, node, &reader->answer, &part));
    return take_part(reader, node, part, ret_part);
}

/* A member of a sum: what it is, times a number. */
static enum tl_code read_member(struct reader *reader, struct wire_bytes value, unsigned depth,
                                double *ret_weight, uint32_t *ret_part)
{
    struct onnx_graph *graph = &reader->graph;
    const struct onnx_node *node = onnx_maker(graph, value);
    AUTO_BUF numbers = {0};
    enum wire_type type;

    *ret_weight = 1;
    if (node && node->op == OP_MUL) {
        struct wire_bytes left = onnx_input(node, 0), right = onnx_input(node, 1);
        struct wire_bytes weight = onnx_constant(graph, right);
        bool swapped = !weight.at;

        if (swapped)
            weight = onnx_constant(graph, left);
        if (!weight.at || !wire_tensor(weight, &type, &numbers) || type != TYPE_FLOAT ||
            wire_count(&numbers) != 1)
            return onnx_refuse(graph, node, "a member of a vote has one weight, of float32");
        *ret_weight = wire_real(&numbers, 0);
        node = onnx_maker(graph, swapped ? right : left);
    }
    if (!node)
        return onnx_corrupt(graph, "graph", "a member of a vote is no ensemble");
    return read_part(reader, node, depth, ret_part);
}

/* A soft vote: a sum of probabilities, each with its weight, in float32. */
static enum tl_code read_mean(struct reader *reader, const struct onnx_node *node, unsigned depth,
                              uint32_t *ret_part)
{
    struct onnx_graph *graph = &reader->graph;
    uint32_t *members = arena_alloc(graph->arena, MODEL_MAX_PARTS, sizeof(*members));
    double *weights = arena_alloc(graph->arena, MODEL_MAX_PARTS, sizeof(*weights));
    uint32_t count = 0;

    if (!members || !weights)
        return onnx_no_memory(graph);
    for (struct wire_bytes value; (value = onnx_input(node, count)).at; count++) {
        if (count == MODEL_MAX_PARTS)
            return onnx_refuse(graph, node, "it adds up more than 32 models");
        TL_TRY(read_member(reader, value, depth, &weights[count], &members[count]));
    }
    struct model_part part = {.kind = PART_MEAN,
                              .input_count = count,
                              .inputs = members,
                              .weights = weights,
                              .divisor = 1,
                              .narrow = true};
    return take_part(reader, node, part, ret_part);
}

static enum tl_code read_part(struct reader *reader, const struct onnx_node *node, unsigned depth,
                              uint32_t *ret_part)
{
    if (depth == ONNX_MAX_LINKS)
        return onnx_corrupt(&reader->graph, "graph", "a vote is a member of itself");
    for (*ret_part = 0; *ret_part < reader->part_count; (*ret_part)++)
        if (reader->made_by[*ret_part] == node)
            return TL_OK;
    if (node->op == OP_CLASSIFIER || node->op == OP_ENSEMBLE)
        return read_trees(reader, node, ret_part);
    if (onnx_ends_net(&reader->graph, node))
        return read_net(reader, node, ret_part);
    if (node->op == OP_SUM || node->op == OP_ADD)
        return read_mean(reader, node, depth + 1, ret_part);
    return onnx_refuse(&reader->graph, node, "it makes no probabilities that are known");
}

/* ---- the whole ---- */

/* Members are known by their number so far; the parts want the column of their first class. */
static enum tl_code finish_parts(struct reader *reader, struct model *model)
{
    const struct model *first = reader->parts[0].model;
    uint32_t count = reader->part_count;
    struct model_part *parts = arena_alloc(reader->graph.arena, count, sizeof(*parts));

    if (!parts)
        return onnx_no_memory(&reader->graph);
    *model = (struct model){.info = first->info, .part_count = count, .parts = parts};
    model->info.tree_count = 0;
    model->info.node_count = 0;
    memcpy(parts, reader->parts, count * sizeof(*parts));
    for (uint32_t p = 0; p < count; p++) {
        uint32_t *inputs = (uint32_t *)(uintptr_t)parts[p].inputs;
        bool members = parts[p].kind == PART_MEAN;

        for (uint32_t i = 0; members && i < parts[p].input_count; i++)
            inputs[i] = first->info.feature_count + inputs[i] * first->info.class_count;
    }
    return model_check_parts(reader->graph.name, model, reader->graph.err);
}

static enum tl_code read_all(struct reader *reader, struct model *ret_model)
{
    uint32_t last;

    TL_TRY(find_maker(reader));
    TL_TRY(read_part(reader, reader->maker, 0, &last));
    if (reader->part_count > 1 || reader->parts[0].kind == PART_NET)
        return finish_parts(reader, ret_model);
    TL_CHECK(reader->part_count == 1 && reader->parts[0].model); /* a mean has a member */
    *ret_model = *reader->parts[0].model;
    if (reader->answer.argmax)
        ret_model->winner_by_score = false;
    return TL_OK;
}

enum tl_code model_read_onnx(const char *name, const uint8_t *bytes, size_t size,
                             struct arena *arena, struct model *ret_model, struct tl_err *err)
{
    struct wire_bytes whole = {bytes, size};
    AUTO(arena) scratch = arena_new();
    struct reader *reader = scratch ? arena_zalloc(scratch, 1, sizeof(*reader)) : NULL;
    struct model model = {0};

    if (!reader)
        return tl_fail(err, TL_NOMEM, "%s: no memory for the model", name);
    if (!wire_is_whole(whole))
        return tl_fail(err, TL_CORRUPT,
                       "%s: neither a tilth model file, LightGBM text, JSON, UBJSON nor ONNX, or "
                       "cut short",
                       name);
    reader->graph.name = name;
    reader->graph.arena = arena;
    reader->graph.scratch = scratch;
    reader->graph.err = err;
    reader->graph.bytes = wire_bytes(whole, MODEL_GRAPH);
    TL_TRY(onnx_open_graph(&reader->graph));
    TL_TRY(check_opset(&reader->graph, whole));
    TL_TRY(read_all(reader, &model));
    *ret_model = model;
    return TL_OK;
}
