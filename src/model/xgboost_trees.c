#include "base/arena.h"
#include "model/xgboost_private.h"

#include <math.h>
#include <stdlib.h>

/* The parallel arrays of one tree. */
struct tree_arrays {
    struct doc_value left, right, feature, condition, default_left, split_type;
    struct doc_value leaf_weights, base_weights, param;
    struct doc_value categories, categories_nodes, segments, sizes;
};

/* What belongs to a tree besides its nodes. */
struct tree_more {
    struct arena *scratch;
    uint32_t node_count;
    float *rows; /* leaves of several numbers; NULL: a leaf's number is its condition */
    uint32_t row_count,
        rows_left; /* each row is one leaf's, so that no file costs more than it is */
    bool by_node;  /* row i is node i's; else the leaf says which, as its right child */
    uint32_t *categories, *begin, *size; /* node i's: size[i] from begin[i] on; NULL without */
};

/* A list of the tree's that says nothing sound of one node. */
static enum tl_code corrupt_node(const struct xgboost_reader *reader, uint32_t node,
                                 const char *key, const char *what)
{
    return tl_fail(reader->build->err, TL_CORRUPT,
                   "%s: tree %u, node %u: %s: %s; save the model again", reader->build->name,
                   reader->build->tree, node, key, what);
}

/* ---- one tree ---- */

static void find_arrays(struct doc_value tree, struct tree_arrays *arrays)
{
    const struct doc_wanted wanted[] = {{"left_children", &arrays->left},
                                        {"right_children", &arrays->right},
                                        {"split_indices", &arrays->feature},
                                        {"split_conditions", &arrays->condition},
                                        {"default_left", &arrays->default_left},
                                        {"split_type", &arrays->split_type},
                                        {"leaf_weights", &arrays->leaf_weights},
                                        {"base_weights", &arrays->base_weights},
                                        {"tree_param", &arrays->param},
                                        {"categories", &arrays->categories},
                                        {"categories_nodes", &arrays->categories_nodes},
                                        {"categories_segments", &arrays->segments},
                                        {"categories_sizes", &arrays->sizes}};

    doc_find_all(tree, wanted, TL_COUNT(wanted));
}

/* ---- leaves of several numbers ---- */

/* Up to 3.1 each node has its numbers, from then on each leaf. */
static enum tl_code read_rows(const struct xgboost_reader *reader, const struct tree_arrays *arrays,
                              struct tree_more *more)
{
    uint32_t width = reader->build->model->leaf_width;
    struct doc_value list = arrays->leaf_weights;
    int64_t size = 0;

    (void)doc_int(doc_find(arrays->param, "size_leaf_vector"), 0, INT32_MAX, &size);
    if (size > 1 ? size != width : width > 1)
        return build_corrupt_tree(reader->build, "size_leaf_vector",
                                  "it is not one number per class");
    if (width <= 1)
        return TL_OK;
    more->by_node = doc_count(list) == 0;
    if (more->by_node)
        list = arrays->base_weights;
    uint64_t count = doc_count(list);
    more->rows = arena_alloc(more->scratch, TL_MAX(count, (uint64_t)1), sizeof(*more->rows));
    if (!more->rows)
        return build_no_memory(reader->build);
    if (count % width != 0 || !doc_floats(list, count, more->rows))
        return build_corrupt_tree(reader->build, more->by_node ? "base_weights" : "leaf_weights",
                                  "there is not one number per class for each leaf");
    more->row_count = more->rows_left = (uint32_t)(count / width);
    return TL_OK;
}

/* ---- categories ---- */

static enum tl_code read_categories(const struct xgboost_reader *reader,
                                    const struct tree_arrays *arrays, struct tree_more *more)
{
    uint64_t splits = doc_count(arrays->categories_nodes), all = doc_count(arrays->categories);
    uint64_t unread = all;

    if (splits == 0)
        return TL_OK;
    uint32_t *lists = arena_alloc(more->scratch, splits, 3 * sizeof(*lists));
    uint32_t *segments = lists + splits, *sizes = lists + 2 * splits;
    more->categories = arena_alloc(more->scratch, all + 1, sizeof(*more->categories));
    more->begin = arena_zalloc(more->scratch, more->node_count, sizeof(*more->begin));
    more->size = arena_zalloc(more->scratch, more->node_count, sizeof(*more->size));
    if (!lists || !more->categories || !more->begin || !more->size)
        return build_no_memory(reader->build);
    if (!doc_ints(arrays->categories_nodes, splits, (int64_t)more->node_count - 1, lists) ||
        !doc_ints(arrays->segments, splits, UINT32_MAX, segments) ||
        !doc_ints(arrays->sizes, splits, UINT32_MAX, sizes) ||
        !doc_ints(arrays->categories, all, INT32_MAX, more->categories))
        return build_corrupt_tree(reader->build, "categories_nodes",
                                  "it or another list of categories is no list of as many numbers");
    for (uint64_t i = 0; i < splits; i++) {
        /* Each category belongs to one split, so that no file costs more than its size. */
        if (sizes[i] > unread || segments[i] > all - sizes[i])
            return build_corrupt_tree(reader->build, "categories_segments",
                                      "there are fewer categories");
        unread -= sizes[i];
        more->begin[lists[i]] = segments[i];
        more->size[lists[i]] = sizes[i];
    }
    return TL_OK;
}

static int compare_ints(const void *a, const void *b)
{
    uint32_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

/* The runs of a split's categories. */
static enum tl_code add_runs(const struct xgboost_reader *reader, uint32_t number,
                             struct tree_more *more, const struct model_node *node,
                             struct buf *bounds)
{
    const struct build_values *known = &reader->values[node->feature];
    uint32_t *categories = more->categories + more->begin[number], size = more->size[number];

    if (known->words)
        return build_refuse_words(reader->build, node->feature);
    if (known->count) {
        float *wanted = arena_alloc(more->scratch, size + 1UL, sizeof(*wanted));

        if (!wanted)
            return build_no_memory(reader->build);
        for (uint32_t i = 0; i < size; i++)
            wanted[i] = categories[i] < known->count ? known->values[categories[i]] : NAN;
        build_exact(wanted, size, bounds);
        return TL_OK;
    }
    qsort(categories, size, sizeof(*categories), compare_ints);
    /* A fraction is cut off, -0 is category 0, and from 2^24 on there are none. */
    for (uint32_t i = 0; i < size && categories[i] < 1U << 24; i++)
        build_run(bounds, build_below(categories[i]), build_below(categories[i] + 1.0));
    return TL_OK;
}

/* What is in the set goes right, there; everything else left, be it a category or not. */
static enum tl_code make_set(const struct xgboost_reader *reader, uint32_t number,
                             struct tree_more *more, struct model_node *node)
{
    AUTO_BUF bounds = {0};
    int32_t right = node->right;

    if (!more->categories || more->size[number] == 0)
        return corrupt_node(reader, number, "categories_nodes",
                            "a categorical split has no categories");
    TL_TRY(add_runs(reader, number, more, node, &bounds));
    node->right = node->left;
    node->left = right;
    node->default_left = !node->default_left;
    node->missing = MISSING_SET;
    return build_set(reader->build, &bounds, &node->set);
}

/* ---- nodes ---- */

/* Everything of one node, from its place in each list. */
struct node_items {
    struct doc_items left, right, feature, condition, default_left, split_type;
};

static bool next_int(struct doc_items *items, int64_t min, int64_t max, int64_t *ret_number)
{
    struct doc_value value;
    struct doc_text key;

    return doc_next(items, &key, &value) && doc_int(value, min, max, ret_number);
}

static bool next_float(struct doc_items *items, float *ret_number)
{
    struct doc_value value;
    struct doc_text key;

    return doc_next(items, &key, &value) && doc_float(value, ret_number);
}

static enum tl_code make_leaf(const struct xgboost_reader *reader, uint32_t number,
                              const float *values, struct model_node *node)
{
    uint32_t width = reader->build->model->leaf_width;
    double row[MODEL_MAX_CLASSES];

    for (uint32_t c = 0; c < width; c++) {
        float value = values[c];

        if (reader->weights)
            value *= reader->weights[reader->build->tree];
        row[c] = (double)value;
        if (!(fabs(row[c]) <= BUILD_MAX_FLOAT_LEAF))
            return tl_fail(reader->build->err, TL_CORRUPT,
                           "%s: tree %u, node %u: its leaf is %g, not a number within 1e30; train "
                           "again",
                           reader->build->name, reader->build->tree, number, row[c]);
    }
    node->left = -1;
    node->right = build_leaf(reader->build, row, width);
    return TL_OK;
}

/* A leaf's numbers; NULL when it has none. */
static const float *leaf_values(const struct xgboost_reader *reader, struct tree_more *more,
                                uint32_t number, int64_t right, const float *condition)
{
    uint64_t row = more->by_node ? number : (uint64_t)right; /* of -1 there is none */

    if (!more->rows)
        return condition;
    if (row >= more->row_count || more->rows_left == 0)
        return NULL;
    more->rows_left--;
    return more->rows + row * reader->build->model->leaf_width;
}

static enum tl_code make_split(const struct xgboost_reader *reader, uint32_t number,
                               float condition, struct model_node *node)
{
    /* x < -inf holds for nothing, and has no float32 before it. */
    if (isnan(condition) || condition == -INFINITY)
        return tl_fail(reader->build->err, TL_UNSUPPORTED,
                       "%s: tree %u, node %u: the threshold of feature %s is %g; train without "
                       "infinities",
                       reader->build->name, reader->build->tree, number,
                       reader->build->model->info.features[node->feature], (double)condition);
    node->threshold = (double)nextafterf(condition, -INFINITY);
    node->missing = MISSING_SIDED;
    return TL_OK;
}

static enum tl_code read_node(const struct xgboost_reader *reader, struct node_items *items,
                              uint32_t number, struct tree_more *more, struct model_node *node)
{
    int64_t left, right, feature, side, type = 0;
    float condition;

    if (!next_int(&items->left, -1, INT32_MAX, &left))
        return corrupt_node(reader, number, "left_children", "a child or -1 is needed");
    if (!next_int(&items->right, -1, INT32_MAX, &right))
        return corrupt_node(reader, number, "right_children", "a child or -1 is needed");
    if (!next_int(&items->feature, 0, UINT32_MAX, &feature))
        return corrupt_node(reader, number, "split_indices", "a feature is needed");
    if (!next_int(&items->default_left, 0, 1, &side))
        return corrupt_node(reader, number, "default_left", "0 or 1 is needed");
    if (!next_float(&items->condition, &condition))
        return corrupt_node(reader, number, "split_conditions", "a number is needed");
    if (items->split_type.doc && !next_int(&items->split_type, 0, 1, &type))
        return corrupt_node(reader, number, "split_type", "0 or 1 is needed");
    if (left < 0) {
        const float *values = leaf_values(reader, more, number, right, &condition);

        return values
                   ? make_leaf(reader, number, values, node)
                   : corrupt_node(reader, number, more->by_node ? "base_weights" : "leaf_weights",
                                  "there are fewer rows of numbers than leaves");
    }
    if (right < 0)
        return corrupt_node(reader, number, "right_children", "a split needs two children");
    if (feature >= reader->build->model->info.feature_count)
        return corrupt_node(reader, number, "split_indices",
                            "there is no such feature (num_feature)");
    node->left = (int32_t)left;
    node->right = (int32_t)right;
    node->feature = (uint16_t)feature;
    node->default_left = side;
    return type ? make_set(reader, number, more, node)
                : make_split(reader, number, condition, node);
}

static enum tl_code read_tree(const struct xgboost_reader *reader, struct doc_value tree,
                              struct arena *scratch)
{
    struct tree_arrays arrays = {0};

    find_arrays(tree, &arrays);
    uint64_t count = doc_count(arrays.left);
    if (count == 0)
        return build_corrupt_tree(reader->build, "left_children", "it has no nodes");
    if (count > MODEL_MAX_TREE_NODES)
        return tl_fail(reader->build->err, TL_LIMIT, "%s: tree %u has %ju nodes, at most %u",
                       reader->build->name, reader->build->tree, (uintmax_t)count,
                       MODEL_MAX_TREE_NODES);
    struct node_items items = {doc_items(arrays.left),         doc_items(arrays.right),
                               doc_items(arrays.feature),      doc_items(arrays.condition),
                               doc_items(arrays.default_left), doc_items(arrays.split_type)};
    arena_reset(scratch);
    struct model_node *nodes = arena_zalloc(scratch, count, sizeof(*nodes));
    if (!nodes)
        return build_no_memory(reader->build);
    struct tree_more more = {.scratch = scratch, .node_count = (uint32_t)count};
    TL_TRY(read_rows(reader, &arrays, &more));
    TL_TRY(read_categories(reader, &arrays, &more));
    for (uint32_t i = 0; i < count; i++)
        TL_TRY(read_node(reader, &items, i, &more, &nodes[i]));
    struct build_source source = {.nodes = nodes, .count = (uint32_t)count};
    return build_tree(reader->build, &source, reader->tree_info[reader->build->tree]);
}

enum tl_code xgboost_read_trees(const struct xgboost_reader *reader)
{
    struct doc_items trees = doc_items(doc_find(reader->model, "trees"));
    AUTO(arena) scratch = arena_new();
    struct doc_value tree;
    struct doc_text key;

    if (!scratch)
        return build_no_memory(reader->build);
    while (reader->build->tree < reader->used && doc_next(&trees, &key, &tree))
        TL_TRY(read_tree(reader, tree, scratch));
    return TL_OK;
}
