#include "model/onnx_trees_private.h"

#include "base/arena.h"

#include <math.h>

enum { PER_ITEM = 16, FREE = 1 << 14 };

/* Field numbers of onnx.proto. */
enum { NODE_ATTRIBUTE = 5, ATTRIBUTE_NAME = 1, ATTRIBUTE_T = 5, ATTRIBUTE_FLOATS = 7 };

int64_t onnx_int(const struct buf *numbers, size_t i)
{
    double value = wire_real(numbers, i);

    return fabs(value) < 0x1p52 ? (int64_t)value : -1;
}

bool onnx_as_long(const struct buf *numbers, size_t count)
{
    return wire_count(numbers) == count;
}

enum onnx_mode onnx_mode(const struct onnx_lists *lists, uint32_t i)
{
    return (enum onnx_mode)lists->modes.bytes[i];
}

bool onnx_tracks(const struct onnx_lists *lists, uint32_t i)
{
    return lists->missing.size && onnx_int(&lists->missing, i) == 1;
}

double onnx_most_leaf(const struct onnx_ensemble *reader)
{
    return reader->table->wide ? BUILD_MAX_LEAF : BUILD_MAX_FLOAT_LEAF;
}

bool onnx_may_be_wide(uint64_t numbers, uint64_t items)
{
    return numbers <= PER_ITEM * items + FREE;
}

enum tl_code onnx_too_wide(const struct onnx_ensemble *reader, uint32_t width)
{
    return tl_fail(reader->graph->err, TL_LIMIT,
                   "%s: its leaves have weights for few of %u classes, which takes more than %d "
                   "numbers for each that the file lists; export a weight for every class",
                   reader->graph->name, width, PER_ITEM);
}

enum tl_code onnx_check_feature(const struct onnx_ensemble *reader, const struct onnx_split *split,
                                int64_t feature)
{
    if (feature >= 0 && feature < reader->table->count)
        return TL_OK;
    return tl_fail(
        reader->build->err, TL_CORRUPT,
        "%s: tree %jd, node %jd: it splits column %jd, and there are %u; export the model "
        "again",
        reader->build->name, (intmax_t)split->tree, (intmax_t)split->node, (intmax_t)feature,
        reader->table->count);
}

/* ---- attributes ---- */

bool onnx_read_numbers(struct onnx_ensemble *reader, struct wire_bytes attribute, struct buf *to)
{
    struct wire_bytes tensor = wire_bytes(attribute, ATTRIBUTE_T);
    enum wire_type type;

    if (!tensor.at)
        return wire_ints(attribute, ATTRIBUTE_INTS, to) &&
               wire_reals(attribute, ATTRIBUTE_FLOATS, TYPE_FLOAT, to);
    if (!wire_tensor(tensor, &type, to))
        return false;
    reader->lists.wide_numbers |= type == TYPE_DOUBLE;
    return true;
}

static enum tl_code read_attribute(struct onnx_ensemble *reader, struct wire_bytes attribute)
{
    struct onnx_lists *c = &reader->lists;
    const struct {
        const char *name;
        struct buf *to;
    } known[] = {{"nodes_treeids", &c->tree},
                 {"nodes_nodeids", &c->node},
                 {"nodes_featureids", &c->feature},
                 {"nodes_truenodeids", &c->yes},
                 {"nodes_falsenodeids", &c->no},
                 {"nodes_missing_value_tracks_true", &c->missing},
                 {"nodes_values", &c->values},
                 {"nodes_values_as_tensor", &c->values},
                 {"nodes_splits", &c->values},
                 {"class_treeids", &c->class_tree},
                 {"class_nodeids", &c->class_node},
                 {"class_ids", &c->class_id},
                 {"leaf_targetids", &c->class_id},
                 {"class_weights", &c->weights},
                 {"class_weights_as_tensor", &c->weights},
                 {"leaf_weights", &c->weights},
                 {"base_values", &c->base},
                 {"base_values_as_tensor", &c->base},
                 {"tree_roots", &c->roots},
                 {"nodes_trueleafs", &c->yes_leaf},
                 {"nodes_falseleafs", &c->no_leaf},
                 {"membership_values", &c->members}};
    struct wire_bytes name = wire_bytes(attribute, ATTRIBUTE_NAME);

    for (size_t i = 0; i < TL_COUNT(known); i++) {
        if (!wire_equals(name, known[i].name))
            continue;
        if (known[i].to->size)
            return onnx_bad_list(reader, known[i].name, "it is there twice");
        if (!onnx_read_numbers(reader, attribute, known[i].to))
            return onnx_bad_list(reader, known[i].name, "it is no list of numbers");
        return buf_failed(known[i].to) ? onnx_no_memory(reader->graph) : TL_OK;
    }
    if (wire_equals(name, "post_transform"))
        c->transform = wire_bytes(attribute, ATTRIBUTE_S);
    if (wire_equals(name, "classlabels_strings") || wire_equals(name, "classlabels_int64s")) {
        c->labels = attribute;
        c->text_labels = wire_equals(name, "classlabels_strings");
    }
    return TL_OK;
}

static enum tl_code read_lists(struct onnx_ensemble *reader)
{
    struct wire_bytes node = reader->node->bytes;
    struct onnx_lists *c = &reader->lists;
    struct wire_field field;

    while (wire_next(&node, &field))
        if (field.number == NODE_ATTRIBUTE && field.wire == WIRE_BYTES)
            TL_TRY(read_attribute(reader, field.bytes));
    if (c->wide_numbers && !reader->table->wide)
        return onnx_bad_trees(reader,
                              "tensors of doubles on an input of float32; export with both alike");
    reader->node_count = (uint32_t)wire_count(&c->feature);
    for (size_t i = 0; i < wire_count(&c->weights); i++)
        if (!(fabs(wire_real(&c->weights, i)) <= onnx_most_leaf(reader)))
            return onnx_bad_list(reader, "class_weights", "one is not a number");
    return TL_OK;
}

enum tl_code onnx_count_columns(const struct onnx_graph *graph, const struct onnx_node *node,
                                uint32_t *ret_count)
{
    AUTO_BUF features = {0};
    double most = 0;

    if (!wire_ints(onnx_attribute(node->bytes, "nodes_featureids"), ATTRIBUTE_INTS, &features))
        return onnx_damaged(graph, node, "nodes_featureids", "it is no list of numbers");
    if (buf_failed(&features))
        return onnx_no_memory(graph);
    for (size_t i = 0; i < wire_count(&features); i++)
        most = fmax(most, wire_real(&features, i));
    if (most >= MODEL_MAX_FEATURES)
        return tl_fail(graph->err, TL_LIMIT, "%s: %.0f features; a model has 1 to %d", graph->name,
                       most + 1, MODEL_MAX_FEATURES);
    *ret_count = (uint32_t)most + 1;
    return TL_OK;
}

/* ---- the whole ---- */

static void release(struct onnx_lists *c)
{
    struct buf *all[] = {&c->tree,       &c->node,     &c->feature, &c->yes,     &c->no,
                         &c->missing,    &c->values,   &c->modes,   &c->weights, &c->class_tree,
                         &c->class_node, &c->class_id, &c->base,    &c->roots,   &c->yes_leaf,
                         &c->no_leaf,    &c->members};

    for (size_t i = 0; i < TL_COUNT(all); i++)
        buf_release(all[i]);
}

static enum tl_code read_trees(struct onnx_ensemble *reader)
{
    const struct onnx_graph *graph = reader->graph;

    TL_TRY(build_features(reader->build, graph->features, graph->feature_count));
    reader->build->model->info.kind = "onnx";
    TL_TRY(read_lists(reader));
    if (reader->node->op == OP_CLASSIFIER)
        TL_TRY(onnx_read_classifier(reader));
    else
        TL_TRY(onnx_read_ensemble(reader));
    return build_finish(reader->build);
}

enum tl_code onnx_read_trees(const struct onnx_graph *graph, const struct onnx_node *node,
                             const struct onnx_table *table, const struct onnx_answer *answer,
                             struct model *ret_model)
{
    struct model model = {0};
    AUTO_BUILD build = {
        .name = graph->name, .arena = graph->arena, .model = &model, .err = graph->err};
    AUTO(arena) scratch = arena_new();
    struct onnx_ensemble reader = {.graph = graph,
                                   .node = node,
                                   .table = table,
                                   .answer = answer,
                                   .build = &build,
                                   .scratch = scratch};

    if (!scratch)
        return build_no_memory(&build);
    enum tl_code code = read_trees(&reader);
    release(&reader.lists);
    if (code == TL_OK)
        *ret_model = model;
    return code;
}
