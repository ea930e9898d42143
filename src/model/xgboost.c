/*
 * XGBoost's own model, as Booster.save_model() writes it in JSON or UBJSON (versions 1.x to
 * 3.x): gbtree and dart, objectives that classify. A split is x < t in float32, here
 * x <= the float32 before t; one by categories sends those of its set right. A category is what is
 * left of a value without its fraction, unless the file says which values of a table were numbered
 * 0, 1, ..: then it is that value.
 *
 * Refused by name: gblinear, categories that are words, objectives that do not classify.
 */
#include "base/arena.h"
#include "base/check.h"
#include "model/build.h"
#include "model/doc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What the categories 0, 1, .. of a feature were in the training table. */
struct known_values {
    bool words;
    uint32_t count; /* 0: they are numbers by themselves */
    float *values;  /* NaN where no float32 is the number */
};

struct reader {
    struct model_build build;
    struct doc doc;
    struct doc_value learner, booster, model; /* `model` holds the trees */
    struct doc_value weight_drop;             /* dart: a factor per tree */
    uint32_t groups;                          /* scores per row */
    uint64_t tree_count;                      /* in the file */
    uint64_t used;                            /* up to the best iteration */
    uint32_t *tree_info;
    float *weights;              /* NULL: none */
    struct known_values *values; /* [feature_count] */
};

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
    uint32_t row_count;
    bool by_node; /* row i is node i's; else the leaf says which, as its right child */
    uint32_t *categories, *begin, *size; /* node i's: size[i] from begin[i] on; NULL without */
};

static enum tl_code corrupt(const struct reader *reader, const char *key, const char *what)
{
    return tl_fail(reader->build.err, TL_CORRUPT, "%s: %s: %s; save the model again",
                   reader->build.name, key, what);
}

static enum tl_code corrupt_tree(const struct reader *reader, const char *key, const char *what)
{
    return tl_fail(reader->build.err, TL_CORRUPT, "%s: tree %u: %s: %s; save the model again",
                   reader->build.name, reader->build.tree, key, what);
}

/* A list of the tree's that says nothing sound of one node. */
static enum tl_code corrupt_node(const struct reader *reader, uint32_t node, const char *key,
                                 const char *what)
{
    return tl_fail(reader->build.err, TL_CORRUPT,
                   "%s: tree %u, node %u: %s: %s; save the model again", reader->build.name,
                   reader->build.tree, node, key, what);
}

/* Whole numbers of a list, exactly `count` of them. */
static bool read_ints(struct doc_value list, uint64_t count, int64_t max, uint32_t *ret_numbers)
{
    struct doc_items items = doc_items(list);
    struct doc_value value;
    struct doc_text key;
    uint64_t i = 0;
    int64_t number;

    for (; doc_next(&items, &key, &value); i++) {
        if (i == count || !doc_int(value, 0, max, &number))
            return false;
        ret_numbers[i] = (uint32_t)number;
    }
    return i == count;
}

/* Floats of a list, exactly `count` of them. */
static bool read_floats(struct doc_value list, uint64_t count, float *ret_numbers)
{
    struct doc_items items = doc_items(list);
    struct doc_value value;
    struct doc_text key;
    uint64_t i = 0;

    for (; doc_next(&items, &key, &value); i++)
        if (i == count || !doc_float(value, &ret_numbers[i]))
            return false;
    return i == count;
}

/* ---- the head ---- */

static enum tl_code find_trees(struct reader *reader)
{
    struct doc_value root = doc_root(&reader->doc), inner;
    struct doc_text name;

    reader->learner = doc_find(root, "learner");
    reader->booster = doc_find(reader->learner, "gradient_booster");
    if (!doc_string(doc_find(reader->booster, "name"), &name))
        return corrupt(reader, "learner.gradient_booster.name", "it is missing");
    if (!doc_equals(name, "gbtree") && !doc_equals(name, "dart"))
        return tl_fail(reader->build.err, TL_UNSUPPORTED,
                       "%s: the booster \"%.*s\" has no trees; train with booster=gbtree or dart",
                       reader->build.name, (int)TL_MIN(name.size, (size_t)64), name.at);
    /* dart of older versions wraps a gbtree. */
    inner = doc_find(reader->booster, "gbtree");
    reader->model = doc_find(inner.kind == DOC_OBJECT ? inner : reader->booster, "model");
    if (reader->model.kind != DOC_OBJECT)
        return corrupt(reader, "learner.gradient_booster.model", "it is missing");
    reader->weight_drop = doc_find(reader->booster, "weight_drop");
    if (reader->weight_drop.kind == DOC_NONE)
        reader->weight_drop = doc_find(reader->model, "weight_drop");
    return TL_OK;
}

static enum tl_code read_objective(struct reader *reader, uint64_t *ret_classes)
{
    static const struct {
        const char *name;
        enum model_output output;
        bool by_score;
    } known[] = {{"binary:logistic", OUTPUT_BINARY, false},
                 {"multi:softprob", OUTPUT_SOFTMAX, false},
                 {"multi:softmax", OUTPUT_SOFTMAX, true}};
    struct doc_value param = doc_find(reader->learner, "learner_model_param");
    struct doc_text name = {"(none)", 6};
    int64_t classes = 0, targets = 1;

    (void)doc_string(doc_find(doc_find(reader->learner, "objective"), "name"), &name);
    if (!doc_int(doc_find(param, "num_class"), 0, INT32_MAX, &classes))
        return corrupt(reader, "learner_model_param.num_class", "it is not a number");
    (void)doc_int(doc_find(param, "num_target"), 0, INT32_MAX, &targets);
    if (targets > 1)
        return tl_fail(reader->build.err, TL_UNSUPPORTED,
                       "%s: it predicts %jd targets at once; train one model per target",
                       reader->build.name, (intmax_t)targets);
    for (size_t i = 0; i < TL_COUNT(known); i++) {
        if (!doc_equals(name, known[i].name))
            continue;
        bool binary = known[i].output == OUTPUT_BINARY;

        if (binary ? classes > 1 : classes < 2)
            return corrupt(reader, "learner_model_param.num_class",
                           "it does not go with the objective");
        reader->build.model->output = known[i].output;
        reader->build.model->winner_by_score = known[i].by_score;
        *ret_classes = binary ? 2 : (uint64_t)classes;
        reader->groups = binary ? 1 : (uint32_t)classes;
        return TL_OK;
    }
    return tl_fail(reader->build.err, TL_UNSUPPORTED,
                   "%s: the objective \"%.*s\" does not give class probabilities; "
                   "binary:logistic, multi:softprob and multi:softmax do",
                   reader->build.name, (int)TL_MIN(name.size, (size_t)64), name.at);
}

static enum tl_code read_features(struct reader *reader)
{
    struct doc_value param = doc_find(reader->learner, "learner_model_param"), value;
    struct doc_items names = doc_items(doc_find(reader->learner, "feature_names"));
    const char **made = NULL;
    struct doc_text key;
    int64_t count;
    uint64_t named = 0;

    if (!doc_int(doc_find(param, "num_feature"), 1, INT32_MAX, &count))
        return corrupt(reader, "learner_model_param.num_feature", "it is not a number");
    for (; doc_next(&names, &key, &value); named++) {
        if (named >= MODEL_MAX_FEATURES || named >= (uint64_t)count)
            return corrupt(reader, "feature_names", "there are more than num_feature");
        if (!made)
            made = arena_alloc(reader->build.arena, (size_t)TL_MIN(count, MODEL_MAX_FEATURES),
                               sizeof(*made));
        if (!made)
            return build_no_memory(&reader->build);
        made[named] = doc_copy(value, reader->build.arena);
        if (!made[named])
            return corrupt(reader, "feature_names", "a name is no text");
    }
    if (made && named != (uint64_t)count && count <= MODEL_MAX_FEATURES)
        return corrupt(reader, "feature_names", "there are fewer than num_feature");
    return build_features(&reader->build, made, (uint64_t)count);
}

/* What the trees are added to. The file keeps a probability; a binary margin is its logit. */
static enum tl_code set_base(struct reader *reader, double *base, uint32_t group, float score)
{
    if (reader->build.model->output == OUTPUT_BINARY) {
        if (!(score > 0 && score < 1))
            return corrupt(reader, "base_score", "it is not a probability");
        score = -logf(1.0F / score - 1.0F);
    }
    if (!(fabsf(score) <= (float)BUILD_MAX_FLOAT_LEAF))
        return corrupt(reader, "base_score", "it is not a number");
    base[group] = (double)(score + 0.0F); /* no sum starts at -0 */
    return TL_OK;
}

/* "5E-1", or from 3.1 on "[5E-1,..]": one for all, or one per group. */
static enum tl_code read_base(struct reader *reader)
{
    struct doc_value param = doc_find(reader->learner, "learner_model_param");
    struct model *model = reader->build.model;
    double *base = arena_zalloc(reader->build.arena, reader->groups, sizeof(*base));
    struct doc_text text;
    uint32_t count = 0;

    if (!base)
        return build_no_memory(&reader->build);
    if (!doc_string(doc_find(param, "base_score"), &text))
        return corrupt(reader, "learner_model_param.base_score", "it is missing");
    if (text.size >= 2 && *text.at == '[' && text.at[text.size - 1] == ']')
        text = (struct doc_text){text.at + 1, text.size - 2};
    for (bool more = true; more; count++) {
        const char *comma = memchr(text.at, ',', text.size);
        struct doc_text one = {text.at, comma ? (size_t)(comma - text.at) : text.size};
        float score;

        if (count >= reader->groups || !doc_text_float(&reader->doc, one, &score))
            return corrupt(reader, "learner_model_param.base_score",
                           "it is not one number, nor one per class");
        TL_TRY(set_base(reader, base, count, score));
        more = comma != NULL;
        text.at += one.size + more;
        text.size -= one.size + more;
    }
    if (count != 1 && count != reader->groups)
        return corrupt(reader, "learner_model_param.base_score",
                       "it is not one number, nor one per class");
    for (uint32_t g = count; g < reader->groups; g++)
        base[g] = base[0];
    model->base = base;
    return TL_OK;
}

static enum tl_code read_tree_info(struct reader *reader)
{
    struct doc_value trees = doc_find(reader->model, "trees");

    reader->tree_count = doc_count(trees);
    if (trees.kind != DOC_ARRAY || reader->tree_count == 0)
        return corrupt(reader, "trees", "there is no tree");
    if (reader->tree_count > MODEL_MAX_TREES)
        return tl_fail(reader->build.err, TL_LIMIT, "%s: %ju trees, at most %d", reader->build.name,
                       (uintmax_t)reader->tree_count, MODEL_MAX_TREES);
    reader->tree_info =
        arena_alloc(reader->build.arena, reader->tree_count, sizeof(*reader->tree_info));
    if (!reader->tree_info)
        return build_no_memory(&reader->build);
    if (!read_ints(doc_find(reader->model, "tree_info"), reader->tree_count,
                   (int64_t)reader->groups - 1, reader->tree_info))
        return corrupt(reader, "tree_info", "it does not give each tree a class");
    return TL_OK;
}

/* dart: a leaf counts weight_drop times. A gbtree of 3.x carries an empty one. */
static enum tl_code read_weights(struct reader *reader)
{
    if (doc_count(reader->weight_drop) == 0)
        return TL_OK;
    reader->weights =
        arena_alloc(reader->build.arena, reader->tree_count, sizeof(*reader->weights));
    if (!reader->weights)
        return build_no_memory(&reader->build);
    return read_floats(reader->weight_drop, reader->tree_count, reader->weights)
               ? TL_OK
               : corrupt(reader, "weight_drop", "it does not give each tree a number");
}

/* From 3.1 on: what the numbers of a feature's categories stand for. */
static enum tl_code read_values(struct reader *reader, struct doc_value encoding,
                                struct known_values *values)
{
    struct doc_value list = doc_find(encoding, "values"), item;
    struct doc_items items = doc_items(list);
    uint64_t count = doc_count(list);
    struct doc_text key;
    double number;

    values->words = doc_count(doc_find(encoding, "offsets")) > 0;
    if (values->words || count == 0)
        return TL_OK;
    values->values = arena_alloc(reader->build.arena, count, sizeof(*values->values));
    if (!values->values)
        return build_no_memory(&reader->build);
    values->count = (uint32_t)count;
    for (uint64_t i = 0; i < count; i++) {
        if (!doc_next(&items, &key, &item) || !doc_double(item, &number))
            return corrupt(reader, "cats.enc", "a category is not a number");
        float near = (float)number;
        values->values[i] = (double)near == number ? near : NAN;
    }
    return TL_OK;
}

static enum tl_code read_all_values(struct reader *reader)
{
    uint32_t count = reader->build.model->info.feature_count;
    struct doc_items items = doc_items(doc_find(doc_find(reader->model, "cats"), "enc"));
    struct doc_value encoding;
    struct doc_text key;

    reader->values = arena_zalloc(reader->build.arena, count, sizeof(*reader->values));
    if (!reader->values)
        return build_no_memory(&reader->build);
    for (uint32_t f = 0; f < count && doc_next(&items, &key, &encoding); f++)
        TL_TRY(read_values(reader, encoding, &reader->values[f]));
    return TL_OK;
}

/* Trees after the best iteration are not used, as scikit-learn's wrapper has it. */
static enum tl_code read_best(struct reader *reader)
{
    struct doc_value attributes = doc_find(reader->learner, "attributes");
    struct doc_value param = doc_find(reader->model, "gbtree_model_param");
    struct doc_items ends = doc_items(doc_find(reader->model, "iteration_indptr"));
    struct doc_value best = doc_find(attributes, "best_iteration"), value;
    struct doc_text key;
    int64_t iteration, parallel = 1, end;

    reader->used = reader->tree_count;
    if (best.kind == DOC_NONE)
        return TL_OK;
    if (!doc_int(best, 0, MODEL_MAX_TREES, &iteration))
        return corrupt(reader, "attributes.best_iteration", "it is not a number");
    (void)doc_int(doc_find(param, "num_parallel_tree"), 1, MODEL_MAX_TREES, &parallel);
    uint64_t per_tree = reader->build.model->leaf_width > 1 ? 1 : reader->groups;
    uint64_t used = (uint64_t)(iteration + 1) * (uint64_t)parallel * per_tree;
    for (int64_t i = 0; doc_next(&ends, &key, &value); i++) {
        if (!doc_int(value, 0, (int64_t)reader->tree_count, &end))
            return corrupt(reader, "iteration_indptr", "it counts trees that are not there");
        if (i == iteration + 1)
            used = (uint64_t)end;
    }
    if (used == 0 || used > reader->tree_count)
        return corrupt(reader, "attributes.best_iteration", "there are fewer trees");
    reader->used = used;
    return TL_OK;
}

/* ---- one tree ---- */

static void find_arrays(struct doc_value tree, struct tree_arrays *arrays)
{
    const struct {
        const char *key;
        struct doc_value *to;
    } wanted[] = {{"left_children", &arrays->left},
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
    struct doc_items items = doc_items(tree);
    struct doc_value value;
    struct doc_text key;

    while (doc_next(&items, &key, &value))
        for (size_t i = 0; i < TL_COUNT(wanted); i++)
            if (doc_equals(key, wanted[i].key))
                *wanted[i].to = value;
}

/* ---- leaves of several numbers ---- */

/* How many numbers the leaves of the first tree have is what those of all have. */
static void read_width(struct reader *reader)
{
    struct doc_items trees = doc_items(doc_find(reader->model, "trees"));
    struct doc_value tree;
    struct doc_text key;
    int64_t size = 0;

    if (doc_next(&trees, &key, &tree))
        (void)doc_int(doc_find(doc_find(tree, "tree_param"), "size_leaf_vector"), 0, INT32_MAX,
                      &size);
    reader->build.model->leaf_width = size > 1 ? reader->groups : 1;
}

/* Up to 3.1 each node has its numbers, from then on each leaf. */
static enum tl_code read_rows(struct reader *reader, const struct tree_arrays *arrays,
                              struct tree_more *more)
{
    uint32_t width = reader->build.model->leaf_width;
    struct doc_value list = arrays->leaf_weights;
    int64_t size = 0;

    (void)doc_int(doc_find(arrays->param, "size_leaf_vector"), 0, INT32_MAX, &size);
    if (size > 1 ? size != width : width > 1)
        return corrupt_tree(reader, "size_leaf_vector", "it is not one number per class");
    if (width <= 1)
        return TL_OK;
    more->by_node = doc_count(list) == 0;
    if (more->by_node)
        list = arrays->base_weights;
    uint64_t count = doc_count(list);
    more->rows = arena_alloc(more->scratch, TL_MAX(count, (uint64_t)1), sizeof(*more->rows));
    if (!more->rows)
        return build_no_memory(&reader->build);
    if (count % width != 0 || !read_floats(list, count, more->rows))
        return corrupt_tree(reader, more->by_node ? "base_weights" : "leaf_weights",
                            "there is not one number per class for each leaf");
    more->row_count = (uint32_t)(count / width);
    return TL_OK;
}

/* ---- categories ---- */

static enum tl_code read_categories(struct reader *reader, const struct tree_arrays *arrays,
                                    struct tree_more *more)
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
        return build_no_memory(&reader->build);
    if (!read_ints(arrays->categories_nodes, splits, (int64_t)more->node_count - 1, lists) ||
        !read_ints(arrays->segments, splits, UINT32_MAX, segments) ||
        !read_ints(arrays->sizes, splits, UINT32_MAX, sizes) ||
        !read_ints(arrays->categories, all, INT32_MAX, more->categories))
        return corrupt_tree(reader, "categories_nodes",
                            "it or another list of categories is no list of as many numbers");
    for (uint64_t i = 0; i < splits; i++) {
        /* Each category belongs to one split, so that no file costs more than its size. */
        if (sizes[i] > unread || segments[i] > all - sizes[i])
            return corrupt_tree(reader, "categories_segments", "there are fewer categories");
        unread -= sizes[i];
        more->begin[lists[i]] = segments[i];
        more->size[lists[i]] = sizes[i];
    }
    return TL_OK;
}

static enum tl_code refuse_categories(const struct reader *reader, uint32_t number,
                                      uint32_t feature, const char *what)
{
    return tl_fail(reader->build.err, TL_UNSUPPORTED,
                   "%s: tree %u, node %u: the categories of feature %s are %s; a raster has "
                   "numbers: encode them before training",
                   reader->build.name, reader->build.tree, number,
                   reader->build.model->info.features[feature], what);
}

static int compare_ints(const void *a, const void *b)
{
    uint32_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

/* The runs of a split's categories. */
static enum tl_code add_runs(struct reader *reader, uint32_t number, struct tree_more *more,
                             const struct model_node *node, struct buf *bounds)
{
    const struct known_values *known = &reader->values[node->feature];
    uint32_t *categories = more->categories + more->begin[number], size = more->size[number];

    if (known->words)
        return refuse_categories(reader, number, node->feature, "words");
    if (known->count) {
        float *wanted = arena_alloc(more->scratch, size + 1UL, sizeof(*wanted));

        if (!wanted)
            return build_no_memory(&reader->build);
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
static enum tl_code make_set(struct reader *reader, uint32_t number, struct tree_more *more,
                             struct model_node *node)
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
    return build_set(&reader->build, &bounds, &node->set);
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

static enum tl_code make_leaf(struct reader *reader, uint32_t number, const float *values,
                              struct model_node *node)
{
    uint32_t width = reader->build.model->leaf_width;
    double row[MODEL_MAX_CLASSES];

    for (uint32_t c = 0; c < width; c++) {
        float value = values[c];

        if (reader->weights)
            value *= reader->weights[reader->build.tree];
        row[c] = (double)value;
        if (!(fabs(row[c]) <= BUILD_MAX_FLOAT_LEAF))
            return tl_fail(reader->build.err, TL_CORRUPT, "%s: tree %u, node %u: its leaf is %g",
                           reader->build.name, reader->build.tree, number, row[c]);
    }
    node->left = -1;
    node->right = build_leaf(&reader->build, row, width);
    return TL_OK;
}

/* A leaf's numbers; NULL when it has none. */
static const float *leaf_values(const struct reader *reader, const struct tree_more *more,
                                uint32_t number, int64_t right, const float *condition)
{
    uint64_t row = more->by_node ? number : (uint64_t)right; /* of -1 there is none */

    if (!more->rows)
        return condition;
    return row < more->row_count ? more->rows + row * reader->build.model->leaf_width : NULL;
}

static enum tl_code make_split(struct reader *reader, uint32_t number, float condition,
                               struct model_node *node)
{
    /* x < -inf holds for nothing, and has no float32 before it. */
    if (isnan(condition) || condition == -INFINITY)
        return tl_fail(reader->build.err, TL_UNSUPPORTED,
                       "%s: tree %u, node %u: the threshold of feature %s is %g; train without "
                       "infinities",
                       reader->build.name, reader->build.tree, number,
                       reader->build.model->info.features[node->feature], (double)condition);
    node->threshold = (double)nextafterf(condition, -INFINITY);
    node->missing = MISSING_SIDED;
    return TL_OK;
}

static enum tl_code read_node(struct reader *reader, struct node_items *items, uint32_t number,
                              struct tree_more *more, struct model_node *node)
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

        return values ? make_leaf(reader, number, values, node)
                      : corrupt_node(reader, number, "leaf_weights", "there are fewer leaves");
    }
    if (right < 0 || feature >= reader->build.model->info.feature_count)
        return corrupt_node(reader, number, "split_indices",
                            "the feature, or a child, does not exist");
    node->left = (int32_t)left;
    node->right = (int32_t)right;
    node->feature = (uint16_t)feature;
    node->default_left = side;
    return type ? make_set(reader, number, more, node)
                : make_split(reader, number, condition, node);
}

static enum tl_code read_tree(struct reader *reader, struct doc_value tree, struct arena *scratch)
{
    struct tree_arrays arrays = {0};

    find_arrays(tree, &arrays);
    uint64_t count = doc_count(arrays.left);
    if (count == 0)
        return corrupt_tree(reader, "left_children", "it has no nodes");
    if (count > MODEL_MAX_TREE_NODES)
        return tl_fail(reader->build.err, TL_LIMIT, "%s: tree %u has %ju nodes, at most %u",
                       reader->build.name, reader->build.tree, (uintmax_t)count,
                       MODEL_MAX_TREE_NODES);
    struct node_items items = {doc_items(arrays.left),         doc_items(arrays.right),
                               doc_items(arrays.feature),      doc_items(arrays.condition),
                               doc_items(arrays.default_left), doc_items(arrays.split_type)};
    arena_reset(scratch);
    struct model_node *nodes = arena_zalloc(scratch, count, sizeof(*nodes));
    if (!nodes)
        return build_no_memory(&reader->build);
    struct tree_more more = {.scratch = scratch, .node_count = (uint32_t)count};
    TL_TRY(read_rows(reader, &arrays, &more));
    TL_TRY(read_categories(reader, &arrays, &more));
    for (uint32_t i = 0; i < count; i++)
        TL_TRY(read_node(reader, &items, i, &more, &nodes[i]));
    struct build_source source = {.nodes = nodes, .count = (uint32_t)count};
    return build_tree(&reader->build, &source, reader->tree_info[reader->build.tree]);
}

static enum tl_code read_trees(struct reader *reader)
{
    struct doc_items trees = doc_items(doc_find(reader->model, "trees"));
    AUTO(arena) scratch = arena_new();
    struct doc_value tree;
    struct doc_text key;

    if (!scratch)
        return build_no_memory(&reader->build);
    while (reader->build.tree < reader->used && doc_next(&trees, &key, &tree))
        TL_TRY(read_tree(reader, tree, scratch));
    return TL_OK;
}

/* What is predicted, and from what. */
static enum tl_code read_head(struct reader *reader)
{
    uint64_t classes = 0;

    TL_TRY(find_trees(reader));
    TL_TRY(read_objective(reader, &classes));
    TL_TRY(build_classes(&reader->build, NULL, classes));
    TL_TRY(read_features(reader));
    return read_base(reader);
}

static enum tl_code read_all(struct reader *reader)
{
    struct model *model = reader->build.model;

    TL_TRY(read_head(reader));
    TL_TRY(read_tree_info(reader));
    read_width(reader);
    TL_TRY(read_all_values(reader));
    TL_TRY(read_weights(reader));
    TL_TRY(read_best(reader));
    TL_TRY(read_trees(reader));
    model->info.kind = "xgboost";
    model->arithmetic = ARITHMETIC_XGBOOST;
    model->sigmoid = model->divisor = 1;
    model->score_count = reader->groups;
    return build_finish(&reader->build);
}

enum tl_code model_read_xgboost(const char *name, const uint8_t *bytes, size_t size,
                                struct arena *arena, struct model *ret_model, struct tl_err *err)
{
    struct model model = {0};
    struct reader reader = {.build = {.name = name, .arena = arena, .model = &model, .err = err}};

    TL_TRY(doc_open(name, bytes, size, &reader.doc, err));
    enum tl_code code = read_all(&reader);
    doc_close(&reader.doc);
    build_release(&reader.build);
    if (code == TL_OK)
        *ret_model = model;
    return code;
}
