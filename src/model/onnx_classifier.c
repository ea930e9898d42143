#include "model/onnx_trees_private.h"

#include "base/arena.h"

#include <math.h>
#include <stdlib.h>

/* Chains of equality that become one set may be this many times as long as there are nodes. */
enum { CHAIN_BUDGET = 8 };

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

/* The node's lists on their way to trees. */
struct trees {
    const struct onnx_ensemble *reader;
    struct model_build *build;
    const struct onnx_lists *lists;
    struct arena *scratch;
    uint32_t node_count, tree_count;
    struct numbered *numbers;  /* of all nodes, tree by tree */
    struct tree_range *ranges; /* as listed */
    struct numbered *tree_ids; /* tree id to position, sorted */
    double *rows;              /* [node_count][width] */
    uint8_t *given;
    uint32_t width;
    uint8_t *absorbed; /* [node_count]: equalities that belong to an earlier one's chain */
    uint64_t chain;    /* what is left of the budget */
};

/* ---- classes and the rule for two of them ---- */

static enum tl_code read_classes(struct onnx_ensemble *reader)
{
    const struct onnx_names *graph = &reader->answer->names;
    struct wire_bytes list = reader->lists.labels;
    struct onnx_names names = {.count = 0};
    AUTO_BUF ints = {0};

    if (!reader->lists.text_labels && !wire_ints(list, ATTRIBUTE_INTS, &ints))
        return onnx_bad_list(reader, "classlabels_int64s", "it is no list of numbers");
    TL_TRY(onnx_names(reader->graph, list, ATTRIBUTE_STRINGS, &ints, &names));
    if (graph->count && graph->count != names.count)
        return onnx_bad_list(reader, "classlabels_*",
                             "the graph has other classes than its ensemble");
    return build_classes(reader->build, graph->count ? graph->at : names.at, names.count);
}

/* One column for two classes, as onnxruntime reads it. */
static enum tl_code choose_one_column(struct onnx_ensemble *reader, bool none, bool logistic)
{
    const struct onnx_lists *c = &reader->lists;
    bool positive = true;

    for (size_t i = 0; i < wire_count(&c->weights); i++)
        positive &= !(wire_real(&c->weights, i) < 0);
    if (wire_count(&c->base) > 1)
        return onnx_bad_trees(reader, "two base values for one column of weights");
    if (onnx_int(&c->class_id, 0) != 0)
        return onnx_bad_trees(reader, "two classes, and only the second has weights");
    /* With no weight below zero the sum is taken for the share of the second class. */
    if (!logistic && !(positive && none))
        return onnx_bad_trees(reader,
                              "two classes, one column of scores and no LOGISTIC: that gives no "
                              "probabilities");
    reader->build->model->output = logistic ? OUTPUT_BINARY : OUTPUT_SHARE;
    reader->build->model->winner_above = positive ? 0.5 : 0;
    reader->build->model->score_count = 1;
    return TL_OK;
}

static enum tl_code choose_output(struct onnx_ensemble *reader)
{
    struct model *model = reader->build->model;
    const struct onnx_lists *c = &reader->lists;
    uint32_t classes = model->info.class_count;
    bool none = c->transform.size == 0 || wire_equals(c->transform, "NONE");
    bool one_column = classes == 2;
    bool logistic = wire_equals(c->transform, "LOGISTIC"),
         softmax = wire_equals(c->transform, "SOFTMAX");

    if (!none && !logistic && !softmax)
        return tl_fail(reader->build->err, TL_UNSUPPORTED,
                       "%s: TreeEnsembleClassifier: post_transform %.*s; NONE, LOGISTIC and "
                       "SOFTMAX are served",
                       reader->build->name, wire_shown(c->transform), wire_text(c->transform));
    for (size_t i = 0; i < wire_count(&c->class_id); i++) {
        int64_t id = onnx_int(&c->class_id, i);

        if (id < 0 || id >= classes)
            return onnx_bad_list(reader, "class_ids", "one is no class");
        one_column &= id == onnx_int(&c->class_id, 0);
    }
    model->arithmetic = reader->table->wide ? ARITHMETIC_DOUBLE : ARITHMETIC_ONNX;
    model->winner_by_score = true;
    model->sigmoid = model->divisor = 1;
    if (one_column)
        return choose_one_column(reader, none, logistic);
    if (c->base.size && (classes == 2 || wire_count(&c->base) != classes))
        return onnx_bad_trees(reader,
                              "base_values are served with one column of weights, or one value "
                              "for each of three classes or more");
    model->output = softmax ? OUTPUT_SOFTMAX : logistic ? OUTPUT_SIGMOIDS : OUTPUT_SCORES;
    model->score_count = classes;
    return TL_OK;
}

static enum tl_code read_base(struct onnx_ensemble *reader)
{
    uint32_t count = (uint32_t)wire_count(&reader->lists.base);
    double *base =
        arena_zalloc(reader->build->arena, reader->build->model->score_count, sizeof(*base));

    if (!base)
        return build_no_memory(reader->build);
    for (uint32_t i = 0; i < count; i++) {
        base[i] = wire_real(&reader->lists.base, i);
        if (!(fabs(base[i]) <= onnx_most_leaf(reader)))
            return onnx_bad_list(reader, "base_values", "one is not a number");
    }
    if (count)
        reader->build->model->base = base;
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
static enum tl_code index_trees(struct trees *trees)
{
    const struct onnx_lists *c = trees->lists;
    uint32_t count = 1;

    for (uint32_t i = 1; i < trees->node_count; i++)
        count += onnx_int(&c->tree, i) != onnx_int(&c->tree, i - 1);
    trees->ranges = arena_alloc(trees->scratch, count, sizeof(*trees->ranges));
    trees->tree_ids = arena_alloc(trees->scratch, count, sizeof(*trees->tree_ids));
    trees->numbers = arena_alloc(trees->scratch, trees->node_count, sizeof(*trees->numbers));
    if (!trees->ranges || !trees->tree_ids || !trees->numbers)
        return build_no_memory(trees->build);
    trees->tree_count = count;
    for (uint32_t i = 0, t = 0; i < trees->node_count; t++) {
        struct tree_range *tree = &trees->ranges[t];

        *tree = (struct tree_range){onnx_int(&c->tree, i), i, i, -1};
        for (; tree->end < trees->node_count && onnx_int(&c->tree, tree->end) == tree->id;
             tree->end++)
            trees->numbers[tree->end] =
                (struct numbered){onnx_int(&c->node, tree->end), tree->end - i};
        if (!sort_numbers(trees->numbers + i, tree->end - i))
            return onnx_bad_list(trees->reader, "nodes_nodeids", "a tree has a node twice");
        trees->tree_ids[t] = (struct numbered){tree->id, t};
        i = tree->end;
    }
    if (!sort_numbers(trees->tree_ids, count))
        return onnx_bad_list(trees->reader, "nodes_treeids",
                             "the nodes of a tree do not stand together");
    return TL_OK;
}

/* The node (of all) that entry `i` of the class lists is about; UINT32_MAX for none. */
static uint32_t entry_node(const struct trees *trees, size_t i, struct tree_range **ret_tree)
{
    const struct onnx_lists *c = trees->lists;
    uint32_t t = look_up(trees->tree_ids, trees->tree_count, onnx_int(&c->class_tree, i));

    if (t == UINT32_MAX)
        return t;
    struct tree_range *tree = &trees->ranges[t];
    uint32_t at =
        look_up(trees->numbers + tree->begin, tree->end - tree->begin, onnx_int(&c->class_node, i));
    *ret_tree = tree;
    return at == UINT32_MAX ? at : tree->begin + at;
}

/* Whether each tree's leaves are about one class, so that a leaf is one number. */
static enum tl_code choose_width(struct trees *trees)
{
    struct model *model = trees->build->model;
    size_t entries = wire_count(&trees->lists->class_id);
    bool narrow = true;

    for (size_t i = 0; i < entries; i++) {
        int32_t id = (int32_t)onnx_int(&trees->lists->class_id, i);
        struct tree_range *tree;

        if (entry_node(trees, i, &tree) == UINT32_MAX)
            return onnx_bad_list(trees->reader, "class_nodeids", "one is no node of its tree");
        narrow &= tree->only_class == -1 || tree->only_class == id;
        tree->only_class = id;
    }
    trees->width = model->leaf_width = narrow ? 1 : model->score_count;
    if (!onnx_may_be_wide((uint64_t)trees->node_count * trees->width, trees->node_count + entries))
        return onnx_too_wide(trees->reader, trees->width);
    trees->rows = arena_zalloc(trees->scratch, (size_t)trees->node_count * trees->width,
                               sizeof(*trees->rows));
    trees->given = arena_zalloc(trees->scratch, (size_t)trees->node_count * trees->width, 1);
    return trees->rows && trees->given ? TL_OK : build_no_memory(trees->build);
}

static enum tl_code fill_rows(struct trees *trees)
{
    const struct onnx_lists *c = trees->lists;

    for (size_t i = 0; i < wire_count(&c->class_id); i++) {
        struct tree_range *tree;
        uint32_t node = entry_node(trees, i, &tree);
        uint32_t column = trees->width == 1 ? 0 : (uint32_t)onnx_int(&c->class_id, i);
        size_t at = (size_t)node * trees->width + column;

        if (trees->given[at])
            return onnx_bad_list(trees->reader, "class_nodeids", "a leaf weighs a class twice");
        trees->given[at] = 1;
        trees->rows[at] = wire_real(&c->weights, i);
    }
    return TL_OK;
}

/* The child that the file numbers so; UINT32_MAX for none. */
static uint32_t child_at(const struct trees *trees, const struct tree_range *tree,
                         const struct buf *list, uint32_t i)
{
    return look_up(trees->numbers + tree->begin, tree->end - tree->begin, onnx_int(list, i));
}

/* Exporters write a set of categories as x == a or x == b or ..: whether node j goes on so. */
static bool goes_on(const struct trees *trees, uint32_t i, uint32_t j)
{
    const struct onnx_lists *c = trees->lists;

    return onnx_mode(c, j) == MODE_EQ && onnx_tracks(c, i) == onnx_tracks(c, j) &&
           onnx_int(&c->feature, i) == onnx_int(&c->feature, j) &&
           onnx_int(&c->yes, i) == onnx_int(&c->yes, j);
}

/* Gathers the values of a chain of equalities that begins at node i; where it ends. */
static uint32_t follow_chain(struct trees *trees, const struct tree_range *tree, uint32_t i,
                             struct buf *values)
{
    const struct onnx_lists *c = trees->lists;
    uint32_t no = child_at(trees, tree, &c->no, i);
    double value = wire_real(&c->values, i);

    buf_append(values, &value, sizeof(value));
    while (no != UINT32_MAX && trees->chain > 0 && goes_on(trees, i, tree->begin + no)) {
        trees->chain--;
        trees->absorbed[tree->begin + no] = 1;
        value = wire_real(&c->values, tree->begin + no);
        buf_append(values, &value, sizeof(value));
        no = child_at(trees, tree, &c->no, tree->begin + no);
    }
    return no;
}

static enum tl_code make_split(struct trees *trees, const struct tree_range *tree, uint32_t i,
                               struct model_node *node)
{
    const struct onnx_lists *c = trees->lists;
    uint32_t yes = child_at(trees, tree, &c->yes, i), no = child_at(trees, tree, &c->no, i);
    int64_t feature = onnx_int(&c->feature, i);
    AUTO_BUF values = {0};
    struct onnx_split split = {.mode = onnx_mode(c, i),
                               .value = wire_real(&c->values, i),
                               .tracks = onnx_tracks(c, i),
                               .tree = tree->id,
                               .node = onnx_int(&c->node, i)};

    if (split.mode == MODE_OTHER)
        return tl_fail(trees->build->err, TL_UNSUPPORTED,
                       "%s: tree %jd, node %jd: its mode is not BRANCH_LEQ, LT, GTE, GT, EQ, NEQ "
                       "or LEAF",
                       trees->build->name, (intmax_t)split.tree, (intmax_t)split.node);
    if (split.mode == MODE_EQ && !trees->absorbed[i]) {
        no = follow_chain(trees, tree, i, &values);
        if (buf_failed(&values))
            return build_no_memory(trees->build);
        split.members = (double *)(void *)values.bytes;
        split.member_count = wire_count(&values);
    }
    if (yes == UINT32_MAX || no == UINT32_MAX)
        return tl_fail(trees->build->err, TL_CORRUPT,
                       "%s: tree %jd, node %jd: its %s branch is no node of the tree; export the "
                       "model again",
                       trees->build->name, (intmax_t)split.tree, (intmax_t)split.node,
                       yes == UINT32_MAX ? "true" : "false");
    TL_TRY(onnx_check_feature(trees->reader, &split, feature));
    split.yes = (int32_t)yes;
    split.no = (int32_t)no;
    return onnx_make_split(trees->build, &trees->reader->table->columns[feature], &split, node);
}

static enum tl_code read_tree(struct trees *trees, const struct tree_range *tree,
                              struct model_node *nodes)
{
    for (uint32_t i = tree->begin; i < tree->end; i++) {
        struct model_node *node = &nodes[i - tree->begin];

        if (onnx_mode(trees->lists, i) != MODE_LEAF)
            TL_TRY(make_split(trees, tree, i, node));
        else
            *node = (struct model_node){
                .left = -1,
                .right =
                    build_leaf(trees->build, trees->rows + (size_t)i * trees->width, trees->width)};
    }
    struct build_source source = {.nodes = nodes, .count = tree->end - tree->begin, .shared = true};
    uint32_t score = trees->build->model->score_count > 1 && tree->only_class > 0
                         ? (uint32_t)tree->only_class
                         : 0;
    return build_tree(trees->build, &source, score);
}

static enum tl_code read_trees(const struct onnx_ensemble *reader)
{
    struct trees made = {.reader = reader,
                         .build = reader->build,
                         .lists = &reader->lists,
                         .scratch = reader->scratch,
                         .node_count = reader->node_count,
                         .chain = (uint64_t)CHAIN_BUDGET * reader->node_count};
    struct trees *trees = &made;
    struct model_node *nodes = NULL;
    uint32_t largest = 0;

    TL_TRY(index_trees(trees));
    TL_TRY(choose_width(trees));
    TL_TRY(fill_rows(trees));
    for (uint32_t t = 0; t < trees->tree_count; t++)
        largest = TL_MAX(largest, trees->ranges[t].end - trees->ranges[t].begin);
    nodes = arena_alloc(trees->scratch, largest, sizeof(*nodes));
    trees->absorbed = arena_zalloc(trees->scratch, trees->node_count, 1);
    if (!nodes || !trees->absorbed)
        return build_no_memory(trees->build);
    for (uint32_t t = 0; t < trees->tree_count; t++)
        TL_TRY(read_tree(trees, &trees->ranges[t], nodes));
    return TL_OK;
}

/* ---- the whole ---- */

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

enum tl_code onnx_read_classifier(struct onnx_ensemble *reader)
{
    struct onnx_lists *c = &reader->lists;

    if (!read_modes(onnx_attribute(reader->node->bytes, "nodes_modes"), &c->modes))
        return onnx_bad_list(reader, "nodes_modes", "it is no list of words");
    if (buf_failed(&c->modes))
        return onnx_no_memory(reader->graph);
    size_t nodes = reader->node_count, entries = wire_count(&c->class_tree);
    if (nodes == 0 || !onnx_as_long(&c->tree, nodes) || !onnx_as_long(&c->node, nodes) ||
        !onnx_as_long(&c->yes, nodes) || !onnx_as_long(&c->no, nodes) ||
        !onnx_as_long(&c->values, nodes) || c->modes.size != nodes ||
        (c->missing.size && !onnx_as_long(&c->missing, nodes)))
        return onnx_bad_list(reader, "nodes_*", "the lists are not equally long, or empty");
    if (entries == 0 || !onnx_as_long(&c->class_node, entries) ||
        !onnx_as_long(&c->class_id, entries) || !onnx_as_long(&c->weights, entries))
        return onnx_bad_list(reader, "class_*", "the lists are not equally long, or empty");
    TL_TRY(read_classes(reader));
    TL_TRY(choose_output(reader));
    TL_TRY(read_base(reader));
    return read_trees(reader);
}
