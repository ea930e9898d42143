#include "model/onnx_trees_private.h"

#include "base/arena.h"

#include <math.h>

/*
 * Sums or means of targets, each a class. The standard says post_transform 1 is SOFTMAX and 2
 * LOGISTIC, onnxruntime has them the other way round: neither is served.
 */
static enum tl_code choose_targets(struct onnx_ensemble *reader)
{
    enum { AVERAGE, SUM };
    struct wire_bytes node = reader->node->bytes;
    struct model *model = reader->build->model;
    uint64_t targets = wire_number(onnx_attribute(node, "n_targets"), ATTRIBUTE_I, 0);
    uint64_t aggregate = wire_number(onnx_attribute(node, "aggregate_function"), ATTRIBUTE_I, SUM);

    if (aggregate != SUM && aggregate != AVERAGE)
        return onnx_bad_trees(reader, "only sums and averages of trees are served");
    if (wire_number(onnx_attribute(node, "post_transform"), ATTRIBUTE_I, 0) != 0)
        return onnx_bad_trees(reader,
                              "onnxruntime and the standard do not agree on its post_transform; "
                              "export a TreeEnsembleClassifier");
    if (targets < 2)
        return onnx_bad_trees(reader, "one target gives no class; export one for each class");
    if (reader->answer->names.count && reader->answer->names.count != targets)
        return onnx_bad_list(reader, "n_targets", "there are other classes than targets");
    TL_TRY(build_classes(reader->build,
                         reader->answer->names.count ? reader->answer->names.at : NULL, targets));
    model->output = OUTPUT_SCORES;
    model->arithmetic = reader->table->wide ? ARITHMETIC_DOUBLE : ARITHMETIC_ONNX;
    model->score_count = (uint32_t)targets;
    model->sigmoid = model->divisor = 1;
    if (aggregate == AVERAGE)
        model->divisor = (double)wire_count(&reader->lists.roots);
    return TL_OK;
}

/* A child is a node, or a leaf behind all nodes. UINT32_MAX for neither. */
static uint32_t ensemble_child(const struct onnx_ensemble *reader, const struct buf *list,
                               const struct buf *is_leaf, uint32_t i)
{
    int64_t at = onnx_int(list, i), leaf = onnx_int(is_leaf, i);
    uint32_t count = leaf ? (uint32_t)wire_count(&reader->lists.class_id) : reader->node_count;

    if (leaf < 0 || leaf > 1 || at < 0 || at >= count)
        return UINT32_MAX;
    return (leaf ? reader->node_count : 0) + (uint32_t)at;
}

/* Members of the sets stand one after the other, a NaN behind each set. */
static enum tl_code take_members(struct onnx_ensemble *reader, size_t *at, struct onnx_split *split)
{
    const struct buf *members = &reader->lists.members;
    size_t end = *at;

    while (end < wire_count(members) && !isnan(wire_real(members, end)))
        end++;
    if (end == wire_count(members))
        return onnx_bad_list(reader, "membership_values",
                             "there are fewer sets than splits by them");
    split->members = (double *)(void *)members->bytes + *at;
    split->member_count = end - *at;
    *at = end + 1;
    return TL_OK;
}

static enum tl_code ensemble_node(struct onnx_ensemble *reader, uint32_t i, size_t *member,
                                  struct model_node *node)
{
    const struct onnx_lists *c = &reader->lists;
    uint32_t yes = ensemble_child(reader, &c->yes, &c->yes_leaf, i);
    uint32_t no = ensemble_child(reader, &c->no, &c->no_leaf, i);
    int64_t feature = onnx_int(&c->feature, i);
    struct onnx_split split = {.mode = onnx_mode(c, i),
                               .value = wire_real(&c->values, i),
                               .tracks = onnx_tracks(c, i),
                               .node = i};

    if (split.mode >= MODE_LEAF)
        return onnx_bad_list(reader, "nodes_modes", "one is not 0 to 6");
    if (yes == UINT32_MAX || no == UINT32_MAX)
        return tl_fail(reader->build->err, TL_CORRUPT,
                       "%s: node %u: its %s branch is neither a node nor a leaf; export the model "
                       "again",
                       reader->build->name, i, yes == UINT32_MAX ? "true" : "false");
    TL_TRY(onnx_check_feature(reader, &split, feature));
    if (split.mode == MODE_MEMBER) {
        split.value = 0;
        TL_TRY(take_members(reader, member, &split));
    }
    split.yes = (int32_t)yes;
    split.no = (int32_t)no;
    return onnx_make_split(reader->build, &reader->table->columns[feature], &split, node);
}

/* Nodes of all trees, and behind them the leaves, each with its weight in its target's column. */
static enum tl_code ensemble_nodes(struct onnx_ensemble *reader, struct model_node *nodes)
{
    const struct onnx_lists *c = &reader->lists;
    uint32_t targets = reader->build->model->score_count;
    double row[MODEL_MAX_CLASSES] = {0};
    size_t member = 0;

    for (uint32_t i = 0; i < reader->node_count; i++)
        TL_TRY(ensemble_node(reader, i, &member, &nodes[i]));
    for (uint32_t i = 0; i < wire_count(&c->class_id); i++) {
        int64_t target = onnx_int(&c->class_id, i);

        if (target < 0 || target >= targets)
            return onnx_bad_list(reader, "leaf_targetids", "one is no target");
        row[target] = wire_real(&c->weights, i);
        nodes[reader->node_count + i] =
            (struct model_node){.left = -1, .right = build_leaf(reader->build, row, targets)};
        row[target] = 0;
    }
    return TL_OK;
}

static enum tl_code ensemble_trees(struct onnx_ensemble *reader)
{
    const struct onnx_lists *c = &reader->lists;
    uint32_t count = reader->node_count + (uint32_t)wire_count(&c->class_id);
    struct model_node *nodes = arena_alloc(reader->scratch, count, sizeof(*nodes));
    uint32_t roots = (uint32_t)wire_count(&c->roots);

    if (!nodes)
        return build_no_memory(reader->build);
    TL_TRY(ensemble_nodes(reader, nodes));
    for (uint32_t t = 0; t < roots; t++) {
        int64_t root = onnx_int(&c->roots, t);

        if (root < 0 || root >= reader->node_count)
            return onnx_bad_list(reader, "tree_roots", "one is no node");
        struct build_source source = {.nodes = nodes,
                                      .count = count,
                                      .root = (uint32_t)root,
                                      .shared = true,
                                      .own = count / roots + 1};
        TL_TRY(build_tree(reader->build, &source, 0));
    }
    return TL_OK;
}

enum tl_code onnx_read_ensemble(struct onnx_ensemble *reader)
{
    struct onnx_lists *c = &reader->lists;

    AUTO_BUF modes = {0};
    size_t nodes = reader->node_count, leaves = wire_count(&c->class_id);
    bool whole =
        onnx_read_numbers(reader, onnx_attribute(reader->node->bytes, "nodes_modes"), &modes);
    if (buf_failed(&modes))
        return onnx_no_memory(reader->graph);
    if (!whole || nodes == 0 || !onnx_as_long(&modes, nodes) || !onnx_as_long(&c->yes, nodes) ||
        !onnx_as_long(&c->no, nodes) || !onnx_as_long(&c->yes_leaf, nodes) ||
        !onnx_as_long(&c->no_leaf, nodes) || !onnx_as_long(&c->values, nodes) ||
        (c->missing.size && !onnx_as_long(&c->missing, nodes)))
        return onnx_bad_list(reader, "nodes_*", "the lists are not equally long, or empty");
    if (leaves == 0 || !onnx_as_long(&c->weights, leaves) || c->roots.size == 0)
        return onnx_bad_list(reader, "leaf_*", "the lists are not equally long, or empty");
    for (size_t i = 0; i < nodes; i++) {
        int64_t mode = onnx_int(&modes, i);
        uint8_t kept = mode >= 0 && mode <= MODE_MEMBER ? (uint8_t)mode : MODE_OTHER;

        buf_append(&c->modes, &kept, 1);
    }
    if (buf_failed(&c->modes))
        return build_no_memory(reader->build);
    TL_TRY(choose_targets(reader));
    reader->build->model->leaf_width = reader->build->model->score_count;
    if (!onnx_may_be_wide((uint64_t)leaves * reader->build->model->leaf_width, nodes + leaves))
        return onnx_too_wide(reader, reader->build->model->leaf_width);
    return ensemble_trees(reader);
}
