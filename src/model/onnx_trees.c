#include "model/onnx_trees.h"

#include "base/arena.h"
#include "model/build.h"
#include "model/onnx_split.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Field numbers of onnx.proto. */
enum {
    NODE_ATTRIBUTE = 5,
    ATTRIBUTE_NAME = 1,
    ATTRIBUTE_I = 3,
    ATTRIBUTE_S = 4,
    ATTRIBUTE_T = 5,
    ATTRIBUTE_FLOATS = 7,
    ATTRIBUTE_INTS = 8,
    ATTRIBUTE_STRINGS = 9
};

/* Chains of equality that become one set may be this many times as long as there are nodes. */
enum { CHAIN_BUDGET = 8 };

/* Its attributes, in columns of doubles. */
struct columns {
    struct buf tree, node, feature, yes, no, missing, values;
    struct buf class_tree, class_node, class_id, weights, base;
    struct buf modes;                             /* uint8, enum onnx_mode */
    struct buf roots, yes_leaf, no_leaf, members; /* TreeEnsemble */
    struct wire_bytes transform;
    struct wire_bytes labels; /* the attribute with the classes */
    bool text_labels, wide_numbers;
};

/* A node's number and where it stands; sorted by number within a tree. */
struct numbered {
    int64_t number;
    uint32_t at;
};

struct tree_range {
    int64_t id;
    uint32_t begin, end;
    int32_t only_class; /* of its leaves; -1 none yet */
};

struct reader {
    struct model_build build;
    const struct onnx_view *view;
    const char *op;
    struct columns columns;
    struct arena *scratch;
    struct numbered *numbers;  /* of all nodes, tree by tree */
    struct tree_range *trees;  /* as listed */
    struct numbered *tree_ids; /* tree id to position, sorted */
    uint32_t node_count, tree_count;
    double *rows; /* [node_count][width] */
    uint8_t *given;
    uint32_t width;
    uint8_t *absorbed; /* [node_count]: equalities that belong to an earlier one's chain */
    uint64_t chain;    /* what is left of the budget */
};

static enum tl_code corrupt(const struct reader *reader, const char *what, const char *why)
{
    return tl_fail(reader->build.err, TL_CORRUPT, "%s: ONNX: %s: %s; export the model again",
                   reader->build.name, what, why);
}

static enum tl_code refuse(const struct reader *reader, const char *what)
{
    return tl_fail(reader->build.err, TL_UNSUPPORTED, "%s: %s: %s", reader->build.name, reader->op,
                   what);
}

/* Whole numbers come from the file's 64 bits; what is beyond all that is counted is -1. */
static int64_t int_at(const struct buf *numbers, size_t i)
{
    double value = wire_real(numbers, i);

    return fabs(value) < 0x1p52 ? (int64_t)value : -1;
}

/* A leaf's numbers stay so small that no sum of them is infinite. */
static double most_leaf(const struct reader *reader)
{
    return reader->view->wide ? BUILD_MAX_LEAF : BUILD_MAX_FLOAT_LEAF;
}

/* ---- attributes ---- */

struct wire_bytes onnx_attribute(struct wire_bytes node, const char *name)
{
    struct wire_field field;

    while (wire_next(&node, &field))
        if (field.number == NODE_ATTRIBUTE && field.wire == WIRE_BYTES &&
            wire_equals(wire_bytes(field.bytes, ATTRIBUTE_NAME), name))
            return field.bytes;
    return (struct wire_bytes){NULL, 0};
}

enum tl_code onnx_count_columns(const char *name, struct wire_bytes node, uint32_t *ret_count,
                                struct tl_err *err)
{
    AUTO_BUF features = {0};
    double most = 0;

    if (!wire_ints(onnx_attribute(node, "nodes_featureids"), ATTRIBUTE_INTS, &features))
        return tl_fail(err, TL_CORRUPT, "%s: ONNX: nodes_featureids: it is no list of numbers",
                       name);
    if (buf_failed(&features))
        return tl_fail(err, TL_NOMEM, "%s: no memory for the model", name);
    for (size_t i = 0; i < wire_count(&features); i++)
        most = fmax(most, wire_real(&features, i));
    if (most >= MODEL_MAX_FEATURES)
        return tl_fail(err, TL_LIMIT, "%s: %.0f features; a model has 1 to %d", name, most + 1,
                       MODEL_MAX_FEATURES);
    *ret_count = (uint32_t)most + 1;
    return TL_OK;
}

static bool read_modes(struct wire_bytes attribute, struct buf *to)
{
    static const char *const known[] = {"BRANCH_LEQ", "BRANCH_LT",  "BRANCH_GTE", "BRANCH_GT",
                                        "BRANCH_EQ",  "BRANCH_NEQ", "(member)",   "LEAF"};
    struct wire_field field;

    while (wire_next(&attribute, &field)) {
        uint8_t mode = 0;

        if (field.number != ATTRIBUTE_STRINGS || field.wire != WIRE_BYTES)
            continue;
        while (mode < MODE_OTHER && (mode == MODE_MEMBER || !wire_equals(field.bytes, known[mode])))
            mode++;
        buf_append(to, &mode, 1);
    }
    return attribute.at != NULL;
}

/* The list of an attribute's ints or floats, or its tensor, whichever it has. */
static bool read_numbers(struct reader *reader, struct wire_bytes attribute, struct buf *to)
{
    struct wire_bytes tensor = wire_bytes(attribute, ATTRIBUTE_T);
    enum wire_type type;

    if (!tensor.at)
        return wire_ints(attribute, ATTRIBUTE_INTS, to) &&
               wire_reals(attribute, ATTRIBUTE_FLOATS, TYPE_FLOAT, to);
    if (!wire_tensor(tensor, &type, to))
        return false;
    reader->columns.wide_numbers |= type == TYPE_DOUBLE;
    return true;
}

static enum tl_code read_attribute(struct reader *reader, struct wire_bytes attribute)
{
    struct columns *c = &reader->columns;
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
            return corrupt(reader, known[i].name, "it is there twice");
        if (!read_numbers(reader, attribute, known[i].to))
            return corrupt(reader, known[i].name, "it is no list of numbers");
        return TL_OK;
    }
    if (wire_equals(name, "post_transform"))
        c->transform = wire_bytes(attribute, ATTRIBUTE_S);
    if (wire_equals(name, "classlabels_strings") || wire_equals(name, "classlabels_int64s")) {
        c->labels = attribute;
        c->text_labels = wire_equals(name, "classlabels_strings");
    }
    return TL_OK;
}

static enum tl_code read_attributes(struct reader *reader, struct wire_bytes node)
{
    struct columns *c = &reader->columns;
    struct wire_field field;

    while (wire_next(&node, &field))
        if (field.number == NODE_ATTRIBUTE && field.wire == WIRE_BYTES)
            TL_TRY(read_attribute(reader, field.bytes));
    if (c->wide_numbers && !reader->view->wide)
        return refuse(reader, "tensors of doubles on an input of float32; export with both alike");
    if (wire_count(&c->feature) > MODEL_MAX_NODES)
        return tl_fail(reader->build.err, TL_LIMIT, "%s: more than %ju nodes", reader->build.name,
                       (uintmax_t)MODEL_MAX_NODES);
    reader->node_count = (uint32_t)wire_count(&c->feature);
    reader->chain = (uint64_t)CHAIN_BUDGET * reader->node_count;
    for (size_t i = 0; i < wire_count(&c->weights); i++)
        if (!(fabs(wire_real(&c->weights, i)) <= most_leaf(reader)))
            return corrupt(reader, "class_weights", "one is not a number");
    return TL_OK;
}

static bool as_long(const struct buf *numbers, size_t count)
{
    return wire_count(numbers) == count;
}

/* ---- classes and the rule for two of them ---- */

static enum tl_code read_classes(struct reader *reader)
{
    const char *names[MODEL_MAX_CLASSES];
    struct wire_bytes rest = reader->columns.labels;
    bool text = reader->columns.text_labels;
    struct arena *arena = reader->build.arena;
    struct wire_field field;
    AUTO_BUF ints = {0};
    uint64_t count = 0;

    if (!text && !wire_ints(rest, ATTRIBUTE_INTS, &ints))
        return corrupt(reader, "classlabels", "they are damaged");
    for (size_t i = 0; i < wire_count(&ints) && count < MODEL_MAX_CLASSES; i++)
        names[count++] = arena_printf(arena, "%.0f", wire_real(&ints, i));
    while (text && wire_next(&rest, &field) && count < MODEL_MAX_CLASSES)
        if (field.number == ATTRIBUTE_STRINGS && field.wire == WIRE_BYTES)
            names[count++] =
                arena_printf(arena, "%.*s", wire_shown(field.bytes), wire_text(field.bytes));
    for (uint64_t i = 0; i < count; i++)
        if (!names[i])
            return build_no_memory(&reader->build);
    TL_TRY(build_classes(&reader->build, names, count));
    if (reader->view->class_count && reader->view->class_count != count)
        return corrupt(reader, "classlabels", "the graph has other classes than its ensemble");
    return reader->view->class_count ? build_classes(&reader->build, reader->view->classes, count)
                                     : TL_OK;
}

/* One column for two classes, as onnxruntime reads it. */
static enum tl_code choose_one_column(struct reader *reader, bool none, bool logistic)
{
    const struct columns *c = &reader->columns;
    bool positive = true;

    for (size_t i = 0; i < wire_count(&c->weights); i++)
        positive &= !(wire_real(&c->weights, i) < 0);
    if (wire_count(&c->base) > 1)
        return refuse(reader, "two base values for one column of weights");
    if (int_at(&c->class_id, 0) != 0)
        return refuse(reader, "two classes, and only the second has weights");
    /* With no weight below zero the sum is taken for the share of the second class. */
    if (!logistic && !(positive && none))
        return refuse(reader, "two classes, one column of scores and no LOGISTIC: that gives no "
                              "probabilities");
    reader->build.model->output = logistic ? OUTPUT_BINARY : OUTPUT_SHARE;
    reader->build.model->winner_above = positive ? 0.5 : 0;
    reader->build.model->score_count = 1;
    return TL_OK;
}

static enum tl_code choose_output(struct reader *reader)
{
    struct model *model = reader->build.model;
    const struct columns *c = &reader->columns;
    uint32_t classes = model->info.class_count;
    bool none = c->transform.size == 0 || wire_equals(c->transform, "NONE");
    bool one_column = classes == 2;
    bool logistic = wire_equals(c->transform, "LOGISTIC"),
         softmax = wire_equals(c->transform, "SOFTMAX");

    if (!none && !logistic && !softmax)
        return tl_fail(reader->build.err, TL_UNSUPPORTED,
                       "%s: TreeEnsembleClassifier: post_transform %.*s; NONE, LOGISTIC and "
                       "SOFTMAX are served",
                       reader->build.name, wire_shown(c->transform), wire_text(c->transform));
    for (size_t i = 0; i < wire_count(&c->class_id); i++) {
        int64_t id = int_at(&c->class_id, i);

        if (id < 0 || id >= classes)
            return corrupt(reader, "class_ids", "one is no class");
        one_column &= id == int_at(&c->class_id, 0);
    }
    model->arithmetic = reader->view->wide ? ARITHMETIC_DOUBLE : ARITHMETIC_ONNX;
    model->winner_by_score = true;
    model->sigmoid = model->divisor = 1;
    if (one_column)
        return choose_one_column(reader, none, logistic);
    if (c->base.size && (classes == 2 || wire_count(&c->base) != classes))
        return refuse(reader, "base_values are served with one column of weights, or one value "
                              "for each of three classes or more");
    model->output = softmax ? OUTPUT_SOFTMAX : logistic ? OUTPUT_SIGMOIDS : OUTPUT_SCORES;
    model->score_count = classes;
    return TL_OK;
}

static enum tl_code read_base(struct reader *reader)
{
    uint32_t count = (uint32_t)wire_count(&reader->columns.base);
    double *base =
        arena_zalloc(reader->build.arena, reader->build.model->score_count, sizeof(*base));

    if (!base)
        return build_no_memory(&reader->build);
    for (uint32_t i = 0; i < count; i++) {
        base[i] = wire_real(&reader->columns.base, i);
        if (!(fabs(base[i]) <= most_leaf(reader)))
            return corrupt(reader, "base_values", "one is not a number");
    }
    if (count)
        reader->build.model->base = base;
    return TL_OK;
}

/* ---- trees ---- */

static int compare_numbers(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;

    return (x->number > y->number) - (x->number < y->number);
}

/* Where a number stands; UINT32_MAX for nowhere. */
static uint32_t look_up(const struct numbered *numbers, uint32_t count, int64_t number)
{
    struct numbered key = {number, 0};
    const struct numbered *found =
        count ? bsearch(&key, numbers, count, sizeof(key), compare_numbers) : NULL;

    return found ? found->at : UINT32_MAX;
}

static bool sort_numbers(struct numbered *numbers, uint32_t count)
{
    qsort(numbers, count, sizeof(*numbers), compare_numbers);
    for (uint32_t i = 1; i < count; i++)
        if (numbers[i].number == numbers[i - 1].number)
            return false;
    return true;
}

/* Runs of nodes with one tree id are the trees, in the order in which they are added up. */
static enum tl_code index_trees(struct reader *reader)
{
    const struct columns *c = &reader->columns;
    uint32_t count = 1;

    for (uint32_t i = 1; i < reader->node_count; i++)
        count += int_at(&c->tree, i) != int_at(&c->tree, i - 1);
    if (count > MODEL_MAX_TREES)
        return tl_fail(reader->build.err, TL_LIMIT, "%s: more than %d trees", reader->build.name,
                       MODEL_MAX_TREES);
    reader->trees = arena_alloc(reader->scratch, count, sizeof(*reader->trees));
    reader->tree_ids = arena_alloc(reader->scratch, count, sizeof(*reader->tree_ids));
    reader->numbers = arena_alloc(reader->scratch, reader->node_count, sizeof(*reader->numbers));
    if (!reader->trees || !reader->tree_ids || !reader->numbers)
        return build_no_memory(&reader->build);
    reader->tree_count = count;
    for (uint32_t i = 0, t = 0; i < reader->node_count; t++) {
        struct tree_range *tree = &reader->trees[t];

        *tree = (struct tree_range){int_at(&c->tree, i), i, i, -1};
        for (; tree->end < reader->node_count && int_at(&c->tree, tree->end) == tree->id;
             tree->end++)
            reader->numbers[tree->end] =
                (struct numbered){int_at(&c->node, tree->end), tree->end - i};
        if (!sort_numbers(reader->numbers + i, tree->end - i))
            return corrupt(reader, "nodes_nodeids", "a tree has a node twice");
        reader->tree_ids[t] = (struct numbered){tree->id, t};
        i = tree->end;
    }
    if (!sort_numbers(reader->tree_ids, count))
        return corrupt(reader, "nodes_treeids", "the nodes of a tree do not stand together");
    return TL_OK;
}

/* The node (of all) that entry `i` of the class lists is about; UINT32_MAX for none. */
static uint32_t entry_node(const struct reader *reader, size_t i, struct tree_range **ret_tree)
{
    const struct columns *c = &reader->columns;
    uint32_t t = look_up(reader->tree_ids, reader->tree_count, int_at(&c->class_tree, i));

    if (t == UINT32_MAX)
        return t;
    struct tree_range *tree = &reader->trees[t];
    uint32_t at =
        look_up(reader->numbers + tree->begin, tree->end - tree->begin, int_at(&c->class_node, i));
    *ret_tree = tree;
    return at == UINT32_MAX ? at : tree->begin + at;
}

/* Whether each tree's leaves are about one class, so that a leaf is one number. */
static enum tl_code choose_width(struct reader *reader)
{
    struct model *model = reader->build.model;
    size_t entries = wire_count(&reader->columns.class_id);
    bool narrow = true;

    for (size_t i = 0; i < entries; i++) {
        int32_t id = (int32_t)int_at(&reader->columns.class_id, i);
        struct tree_range *tree;

        if (entry_node(reader, i, &tree) == UINT32_MAX)
            return corrupt(reader, "class_nodeids", "one is no node of its tree");
        narrow &= tree->only_class == -1 || tree->only_class == id;
        tree->only_class = id;
    }
    reader->width = model->leaf_width = narrow ? 1 : model->score_count;
    /* Wide rows are for leaves that fill them: no file costs much more than its size. */
    if ((uint64_t)reader->node_count * reader->width > 16 * ((uint64_t)entries + 4096))
        return tl_fail(reader->build.err, TL_LIMIT,
                       "%s: leaves of %u classes with weights for a few of them",
                       reader->build.name, reader->width);
    reader->rows = arena_zalloc(reader->scratch, (size_t)reader->node_count * reader->width,
                                sizeof(*reader->rows));
    reader->given = arena_zalloc(reader->scratch, (size_t)reader->node_count * reader->width, 1);
    return reader->rows && reader->given ? TL_OK : build_no_memory(&reader->build);
}

static enum tl_code fill_rows(struct reader *reader)
{
    const struct columns *c = &reader->columns;

    for (size_t i = 0; i < wire_count(&c->class_id); i++) {
        struct tree_range *tree;
        uint32_t node = entry_node(reader, i, &tree);
        uint32_t column = reader->width == 1 ? 0 : (uint32_t)int_at(&c->class_id, i);
        size_t at = (size_t)node * reader->width + column;

        if (reader->given[at])
            return corrupt(reader, "class_nodeids", "a leaf weighs a class twice");
        reader->given[at] = 1;
        reader->rows[at] = wire_real(&c->weights, i);
    }
    return TL_OK;
}

/* The child that the file numbers so; UINT32_MAX for none. */
static uint32_t child_at(const struct reader *reader, const struct tree_range *tree,
                         const struct buf *list, uint32_t i)
{
    return look_up(reader->numbers + tree->begin, tree->end - tree->begin, int_at(list, i));
}

static enum onnx_mode mode_at(const struct reader *reader, uint32_t i)
{
    return (enum onnx_mode)reader->columns.modes.bytes[i];
}

static bool tracks_at(const struct reader *reader, uint32_t i)
{
    return reader->columns.missing.size && int_at(&reader->columns.missing, i) == 1;
}

/* Exporters write a set of categories as x == a or x == b or ..: whether node j goes on so. */
static bool goes_on(const struct reader *reader, uint32_t i, uint32_t j)
{
    const struct columns *c = &reader->columns;

    return mode_at(reader, j) == MODE_EQ && tracks_at(reader, i) == tracks_at(reader, j) &&
           int_at(&c->feature, i) == int_at(&c->feature, j) &&
           int_at(&c->yes, i) == int_at(&c->yes, j);
}

/* Gathers the values of a chain of equalities that begins at node i; where it ends. */
static uint32_t follow_chain(struct reader *reader, const struct tree_range *tree, uint32_t i,
                             struct buf *values)
{
    const struct columns *c = &reader->columns;
    uint32_t no = child_at(reader, tree, &c->no, i);
    double value = wire_real(&c->values, i);

    buf_append(values, &value, sizeof(value));
    while (no != UINT32_MAX && reader->chain > 0 && goes_on(reader, i, tree->begin + no)) {
        reader->chain--;
        reader->absorbed[tree->begin + no] = 1;
        value = wire_real(&c->values, tree->begin + no);
        buf_append(values, &value, sizeof(value));
        no = child_at(reader, tree, &c->no, tree->begin + no);
    }
    return no;
}

static enum tl_code make_split(struct reader *reader, const struct tree_range *tree, uint32_t i,
                               struct model_node *node)
{
    const struct columns *c = &reader->columns;
    uint32_t yes = child_at(reader, tree, &c->yes, i), no = child_at(reader, tree, &c->no, i);
    int64_t feature = int_at(&c->feature, i);
    AUTO_BUF values = {0};
    struct onnx_split split = {.mode = mode_at(reader, i),
                               .value = wire_real(&c->values, i),
                               .tracks = tracks_at(reader, i),
                               .tree = tree->id,
                               .node = int_at(&c->node, i)};

    if (split.mode == MODE_OTHER)
        return tl_fail(reader->build.err, TL_UNSUPPORTED,
                       "%s: tree %jd, node %jd: its mode is not BRANCH_LEQ, LT, GTE, GT, EQ or NEQ",
                       reader->build.name, (intmax_t)split.tree, (intmax_t)split.node);
    if (split.mode == MODE_EQ && !reader->absorbed[i]) {
        no = follow_chain(reader, tree, i, &values);
        if (buf_failed(&values))
            return build_no_memory(&reader->build);
        split.members = (double *)(void *)values.bytes;
        split.member_count = wire_count(&values);
    }
    if (yes == UINT32_MAX || no == UINT32_MAX || feature < 0 ||
        feature >= reader->view->column_count)
        return tl_fail(reader->build.err, TL_CORRUPT,
                       "%s: tree %jd, node %jd: a child or its feature does not exist",
                       reader->build.name, (intmax_t)split.tree, (intmax_t)split.node);
    split.yes = (int32_t)yes;
    split.no = (int32_t)no;
    return onnx_make_split(&reader->build, &reader->view->columns[feature], &split, node);
}

static enum tl_code read_tree(struct reader *reader, const struct tree_range *tree,
                              struct model_node *nodes)
{
    for (uint32_t i = tree->begin; i < tree->end; i++) {
        struct model_node *node = &nodes[i - tree->begin];

        if (mode_at(reader, i) != MODE_LEAF)
            TL_TRY(make_split(reader, tree, i, node));
        else
            *node = (struct model_node){
                .left = -1,
                .right = build_leaf(&reader->build, reader->rows + (size_t)i * reader->width,
                                    reader->width)};
    }
    struct build_source source = {.nodes = nodes, .count = tree->end - tree->begin, .shared = true};
    uint32_t score = reader->build.model->score_count > 1 && tree->only_class > 0
                         ? (uint32_t)tree->only_class
                         : 0;
    return build_tree(&reader->build, &source, score);
}

static enum tl_code read_trees(struct reader *reader)
{
    struct model_node *nodes = NULL;
    uint32_t largest = 0;

    TL_TRY(index_trees(reader));
    TL_TRY(choose_width(reader));
    TL_TRY(fill_rows(reader));
    for (uint32_t t = 0; t < reader->tree_count; t++)
        largest = TL_MAX(largest, reader->trees[t].end - reader->trees[t].begin);
    nodes = arena_alloc(reader->scratch, largest, sizeof(*nodes));
    reader->absorbed = arena_zalloc(reader->scratch, reader->node_count, 1);
    if (!nodes || !reader->absorbed)
        return build_no_memory(&reader->build);
    for (uint32_t t = 0; t < reader->tree_count; t++)
        TL_TRY(read_tree(reader, &reader->trees[t], nodes));
    return TL_OK;
}

static enum tl_code read_classifier(struct reader *reader, struct wire_bytes node)
{
    struct columns *c = &reader->columns;

    TL_TRY(read_attributes(reader, node));
    if (!read_modes(onnx_attribute(node, "nodes_modes"), &c->modes))
        return corrupt(reader, "nodes_modes", "it is no list of words");
    size_t nodes = reader->node_count, entries = wire_count(&c->class_tree);
    if (nodes == 0 || !as_long(&c->tree, nodes) || !as_long(&c->node, nodes) ||
        !as_long(&c->yes, nodes) || !as_long(&c->no, nodes) || !as_long(&c->values, nodes) ||
        c->modes.size != nodes || (c->missing.size && !as_long(&c->missing, nodes)))
        return corrupt(reader, "nodes_*", "the lists are not equally long, or empty");
    if (entries == 0 || !as_long(&c->class_node, entries) || !as_long(&c->class_id, entries) ||
        !as_long(&c->weights, entries))
        return corrupt(reader, "class_*", "the lists are not equally long, or empty");
    TL_TRY(read_classes(reader));
    TL_TRY(choose_output(reader));
    TL_TRY(read_base(reader));
    return read_trees(reader);
}

/* ---- TreeEnsemble, version 5 ---- */

/*
 * Sums or means of targets, each a class. The standard says post_transform 1 is SOFTMAX and 2
 * LOGISTIC, onnxruntime has them the other way round: neither is served.
 */
static enum tl_code choose_targets(struct reader *reader, struct wire_bytes node)
{
    enum { AVERAGE, SUM };
    struct model *model = reader->build.model;
    uint64_t targets = wire_number(onnx_attribute(node, "n_targets"), ATTRIBUTE_I, 0);
    uint64_t aggregate = wire_number(onnx_attribute(node, "aggregate_function"), ATTRIBUTE_I, SUM);

    if (aggregate != SUM && aggregate != AVERAGE)
        return refuse(reader, "only sums and averages of trees are served");
    if (wire_number(onnx_attribute(node, "post_transform"), ATTRIBUTE_I, 0) != 0)
        return refuse(reader, "onnxruntime and the standard do not agree on its post_transform; "
                              "export a TreeEnsembleClassifier");
    if (targets < 2)
        return refuse(reader, "one target gives no class; export one for each class");
    if (reader->view->class_count && reader->view->class_count != targets)
        return corrupt(reader, "n_targets", "there are other classes than targets");
    TL_TRY(build_classes(&reader->build, reader->view->classes, targets));
    model->output = OUTPUT_SCORES;
    model->arithmetic = reader->view->wide ? ARITHMETIC_DOUBLE : ARITHMETIC_ONNX;
    model->score_count = (uint32_t)targets;
    model->sigmoid = model->divisor = 1;
    if (aggregate == AVERAGE)
        model->divisor = (double)wire_count(&reader->columns.roots);
    return TL_OK;
}

/* A child is a node, or a leaf behind all nodes. UINT32_MAX for neither. */
static uint32_t ensemble_child(const struct reader *reader, const struct buf *list,
                               const struct buf *is_leaf, uint32_t i)
{
    int64_t at = int_at(list, i), leaf = int_at(is_leaf, i);
    uint32_t count = leaf ? (uint32_t)wire_count(&reader->columns.class_id) : reader->node_count;

    if (leaf < 0 || leaf > 1 || at < 0 || at >= count)
        return UINT32_MAX;
    return (leaf ? reader->node_count : 0) + (uint32_t)at;
}

/* Members of the sets stand one after the other, a NaN behind each set. */
static enum tl_code take_members(struct reader *reader, size_t *at, struct onnx_split *split)
{
    const struct buf *members = &reader->columns.members;
    size_t end = *at;

    while (end < wire_count(members) && !isnan(wire_real(members, end)))
        end++;
    if (end == wire_count(members))
        return corrupt(reader, "membership_values", "there are fewer sets than splits by them");
    split->members = (double *)(void *)members->bytes + *at;
    split->member_count = end - *at;
    *at = end + 1;
    return TL_OK;
}

static enum tl_code ensemble_node(struct reader *reader, uint32_t i, size_t *member,
                                  struct model_node *node)
{
    const struct columns *c = &reader->columns;
    uint32_t yes = ensemble_child(reader, &c->yes, &c->yes_leaf, i);
    uint32_t no = ensemble_child(reader, &c->no, &c->no_leaf, i);
    int64_t feature = int_at(&c->feature, i);
    struct onnx_split split = {.mode = mode_at(reader, i),
                               .value = wire_real(&c->values, i),
                               .tracks = tracks_at(reader, i),
                               .node = i};

    if (split.mode >= MODE_LEAF)
        return corrupt(reader, "nodes_modes", "one is not 0 to 6");
    if (yes == UINT32_MAX || no == UINT32_MAX || feature < 0 ||
        feature >= reader->view->column_count)
        return tl_fail(reader->build.err, TL_CORRUPT,
                       "%s: node %u: a child or its feature does not exist", reader->build.name, i);
    if (split.mode == MODE_MEMBER) {
        split.value = 0;
        TL_TRY(take_members(reader, member, &split));
    }
    split.yes = (int32_t)yes;
    split.no = (int32_t)no;
    return onnx_make_split(&reader->build, &reader->view->columns[feature], &split, node);
}

/* Nodes of all trees, and behind them the leaves, each with its weight in its target's column. */
static enum tl_code ensemble_nodes(struct reader *reader, struct model_node *nodes)
{
    const struct columns *c = &reader->columns;
    uint32_t targets = reader->build.model->score_count;
    double row[MODEL_MAX_CLASSES] = {0};
    size_t member = 0;

    for (uint32_t i = 0; i < reader->node_count; i++)
        TL_TRY(ensemble_node(reader, i, &member, &nodes[i]));
    for (uint32_t i = 0; i < wire_count(&c->class_id); i++) {
        int64_t target = int_at(&c->class_id, i);

        if (target < 0 || target >= targets)
            return corrupt(reader, "leaf_targetids", "one is no target");
        row[target] = wire_real(&c->weights, i);
        nodes[reader->node_count + i] =
            (struct model_node){.left = -1, .right = build_leaf(&reader->build, row, targets)};
        row[target] = 0;
    }
    return TL_OK;
}

static enum tl_code ensemble_trees(struct reader *reader)
{
    const struct columns *c = &reader->columns;
    uint32_t count = reader->node_count + (uint32_t)wire_count(&c->class_id);
    struct model_node *nodes = arena_alloc(reader->scratch, count, sizeof(*nodes));
    uint32_t roots = (uint32_t)wire_count(&c->roots);

    if (!nodes)
        return build_no_memory(&reader->build);
    TL_TRY(ensemble_nodes(reader, nodes));
    for (uint32_t t = 0; t < roots; t++) {
        int64_t root = int_at(&c->roots, t);

        if (root < 0 || root >= reader->node_count)
            return corrupt(reader, "tree_roots", "one is no node");
        struct build_source source = {.nodes = nodes,
                                      .count = count,
                                      .root = (uint32_t)root,
                                      .shared = true,
                                      .own = count / roots + 1};
        TL_TRY(build_tree(&reader->build, &source, 0));
    }
    return TL_OK;
}

static enum tl_code read_ensemble(struct reader *reader, struct wire_bytes node)
{
    struct columns *c = &reader->columns;

    TL_TRY(read_attributes(reader, node));
    AUTO_BUF modes = {0};
    size_t nodes = reader->node_count, leaves = wire_count(&c->class_id);
    if (!read_numbers(reader, onnx_attribute(node, "nodes_modes"), &modes) || nodes == 0 ||
        !as_long(&modes, nodes) || !as_long(&c->yes, nodes) || !as_long(&c->no, nodes) ||
        !as_long(&c->yes_leaf, nodes) || !as_long(&c->no_leaf, nodes) ||
        !as_long(&c->values, nodes) || (c->missing.size && !as_long(&c->missing, nodes)))
        return corrupt(reader, "nodes_*", "the lists are not equally long, or empty");
    if (leaves == 0 || !as_long(&c->weights, leaves) || c->roots.size == 0)
        return corrupt(reader, "leaf_*", "the lists are not equally long, or empty");
    if (nodes + leaves > MODEL_MAX_NODES || wire_count(&c->roots) > MODEL_MAX_TREES)
        return tl_fail(reader->build.err, TL_LIMIT, "%s: more than %ju nodes or %d trees",
                       reader->build.name, (uintmax_t)MODEL_MAX_NODES, MODEL_MAX_TREES);
    for (size_t i = 0; i < nodes; i++) {
        int64_t mode = int_at(&modes, i);
        uint8_t kept = mode >= 0 && mode <= MODE_MEMBER ? (uint8_t)mode : MODE_OTHER;

        buf_append(&c->modes, &kept, 1);
    }
    if (buf_failed(&c->modes))
        return build_no_memory(&reader->build);
    TL_TRY(choose_targets(reader, node));
    reader->build.model->leaf_width = reader->build.model->score_count;
    if ((uint64_t)leaves * reader->build.model->leaf_width > 16 * ((uint64_t)nodes + 65536))
        return tl_fail(reader->build.err, TL_LIMIT, "%s: too many leaves of too many targets",
                       reader->build.name);
    return ensemble_trees(reader);
}

/* ---- either ---- */

static void release(struct reader *reader)
{
    struct columns *c = &reader->columns;
    struct buf *all[] = {&c->tree,       &c->node,     &c->feature, &c->yes,     &c->no,
                         &c->missing,    &c->values,   &c->modes,   &c->weights, &c->class_tree,
                         &c->class_node, &c->class_id, &c->base,    &c->roots,   &c->yes_leaf,
                         &c->no_leaf,    &c->members};

    for (size_t i = 0; i < TL_COUNT(all); i++)
        buf_release(all[i]);
    build_release(&reader->build);
}

static enum tl_code read(const struct onnx_view *view, struct wire_bytes node,
                         enum tl_code (*how)(struct reader *, struct wire_bytes),
                         struct reader *reader)
{
    AUTO(arena) scratch = arena_new();

    reader->scratch = scratch;
    reader->view = view;
    if (!scratch)
        return build_no_memory(&reader->build);
    TL_TRY(build_features(&reader->build, view->features, view->feature_count));
    reader->build.model->info.kind = "onnx";
    TL_TRY(how(reader, node));
    return build_finish(&reader->build);
}

enum tl_code onnx_read_classifier(const struct onnx_view *view, struct wire_bytes node,
                                  struct arena *arena, struct model *ret_model, struct tl_err *err)
{
    struct model model = {0};
    struct reader reader = {
        .build = {.name = view->name, .arena = arena, .model = &model, .err = err},
        .op = "TreeEnsembleClassifier"};
    enum tl_code code = read(view, node, read_classifier, &reader);

    release(&reader);
    if (code == TL_OK)
        *ret_model = model;
    return code;
}

enum tl_code onnx_read_ensemble(const struct onnx_view *view, struct wire_bytes node,
                                struct arena *arena, struct model *ret_model, struct tl_err *err)
{
    struct model model = {0};
    struct reader reader = {
        .build = {.name = view->name, .arena = arena, .model = &model, .err = err},
        .op = "TreeEnsemble"};
    enum tl_code code = read(view, node, read_ensemble, &reader);

    release(&reader);
    if (code == TL_OK)
        *ret_model = model;
    return code;
}
