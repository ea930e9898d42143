/*
 * XGBoost's own model, as Booster.save_model() writes it in JSON or UBJSON (versions 1.x to
 * 3.x): gbtree and dart, objectives that classify. A split is x < t in float32, here
 * x <= the float32 before t.
 *
 * Refused by name: gblinear, categorical splits, trees with several outputs per leaf,
 * objectives that do not classify.
 */
#include "base/arena.h"
#include "base/check.h"
#include "classify/model_build.h"
#include "classify/model_doc.h"

#include <math.h>
#include <string.h>

struct reader {
    struct model_build build;
    struct doc doc;
    struct doc_value learner, booster, model; /* `model` holds the trees */
    struct doc_value weight_drop;             /* dart: a factor per tree */
    uint32_t groups;                          /* scores per row */
    uint64_t tree_count;                      /* in the file */
    uint64_t used;                            /* up to the best iteration */
    uint32_t *tree_info;
    float *weights; /* NULL: none */
};

/* The parallel arrays of one tree. */
struct tree_arrays {
    struct doc_value left, right, feature, condition, default_left, split_type, leaf_weights;
    struct doc_value param, categories;
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
        if (named >= FOREST_MAX_FEATURES || named >= (uint64_t)count)
            return corrupt(reader, "feature_names", "there are more than num_feature");
        if (!made)
            made = arena_alloc(reader->build.arena, (size_t)TL_MIN(count, FOREST_MAX_FEATURES),
                               sizeof(*made));
        if (!made)
            return build_no_memory(&reader->build);
        made[named] = doc_copy(value, reader->build.arena);
        if (!made[named])
            return corrupt(reader, "feature_names", "a name is no text");
    }
    if (made && named != (uint64_t)count && count <= FOREST_MAX_FEATURES)
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

/* dart: a leaf counts weight_drop times. */
static enum tl_code read_weights(struct reader *reader)
{
    struct doc_items items = doc_items(reader->weight_drop);
    struct doc_value value;
    struct doc_text key;
    uint64_t i = 0;

    if (reader->weight_drop.kind != DOC_ARRAY)
        return TL_OK;
    reader->weights =
        arena_alloc(reader->build.arena, reader->tree_count, sizeof(*reader->weights));
    if (!reader->weights)
        return build_no_memory(&reader->build);
    for (; doc_next(&items, &key, &value); i++)
        if (i == reader->tree_count || !doc_float(value, &reader->weights[i]))
            return corrupt(reader, "weight_drop", "it does not give each tree a number");
    if (i == 0) /* a gbtree of 3.x carries an empty one */
        reader->weights = NULL;
    else if (i != reader->tree_count)
        return corrupt(reader, "weight_drop", "it does not give each tree a number");
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
    uint64_t used = (uint64_t)(iteration + 1) * (uint64_t)parallel * reader->groups;
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
    } wanted[] = {
        {"left_children", &arrays->left},         {"right_children", &arrays->right},
        {"split_indices", &arrays->feature},      {"split_conditions", &arrays->condition},
        {"default_left", &arrays->default_left},  {"split_type", &arrays->split_type},
        {"leaf_weights", &arrays->leaf_weights},  {"tree_param", &arrays->param},
        {"categories_nodes", &arrays->categories}};
    struct doc_items items = doc_items(tree);
    struct doc_value value;
    struct doc_text key;

    while (doc_next(&items, &key, &value))
        for (size_t i = 0; i < TL_COUNT(wanted); i++)
            if (doc_equals(key, wanted[i].key))
                *wanted[i].to = value;
}

static enum tl_code refuse_kind(struct reader *reader, const struct tree_arrays *arrays)
{
    struct doc_items nodes = doc_items(arrays->categories);
    struct doc_value value;
    struct doc_text key;
    int64_t size = 0, node = 0;

    (void)doc_int(doc_find(arrays->param, "size_leaf_vector"), 0, INT32_MAX, &size);
    if (size > 1)
        return tl_fail(reader->build.err, TL_UNSUPPORTED,
                       "%s: tree %u has %jd outputs per leaf; train with "
                       "multi_strategy=one_output_per_tree",
                       reader->build.name, reader->build.tree, (intmax_t)size);
    if (!doc_next(&nodes, &key, &value))
        return TL_OK;
    (void)doc_int(value, 0, INT32_MAX, &node);
    return tl_fail(reader->build.err, TL_UNSUPPORTED,
                   "%s: tree %u, node %jd splits a categorical feature; encode it as numbers (one "
                   "column per category) and train again",
                   reader->build.name, reader->build.tree, (intmax_t)node);
}

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

static enum tl_code make_leaf(struct reader *reader, uint32_t number, float value,
                              struct model_node *node)
{
    if (reader->weights)
        value *= reader->weights[reader->build.tree];
    double leaf = (double)value;
    if (!(fabs(leaf) <= BUILD_MAX_FLOAT_LEAF))
        return tl_fail(reader->build.err, TL_CORRUPT, "%s: tree %u, node %u: its leaf is %g",
                       reader->build.name, reader->build.tree, number, leaf);
    node->left = -1;
    node->right = build_leaf(&reader->build, &leaf, 1);
    return TL_OK;
}

static enum tl_code make_split(struct reader *reader, uint32_t number, float condition,
                               struct model_node *node)
{
    /* x < -inf holds for nothing, and has no float32 before it. */
    if (isnan(condition) || condition == -INFINITY)
        return tl_fail(reader->build.err, TL_UNSUPPORTED,
                       "%s: tree %u, node %u: the threshold is %g; train without infinities",
                       reader->build.name, reader->build.tree, number, (double)condition);
    node->threshold = (double)nextafterf(condition, -INFINITY);
    node->missing = MISSING_SIDED;
    return TL_OK;
}

static enum tl_code read_node(struct reader *reader, struct node_items *items, uint32_t number,
                              struct model_node *node)
{
    int64_t left, right, feature, side, type = 0;
    float condition;

    if (!next_int(&items->left, -1, INT32_MAX, &left) ||
        !next_int(&items->right, -1, INT32_MAX, &right) ||
        !next_int(&items->feature, 0, UINT32_MAX, &feature) ||
        !next_int(&items->default_left, 0, 1, &side) || !next_float(&items->condition, &condition))
        return corrupt_tree(reader, "split_conditions",
                            "the lists of its nodes are not equally long, or hold no numbers");
    if (items->split_type.doc && (!next_int(&items->split_type, 0, 1, &type) || type == 1))
        return tl_fail(reader->build.err, TL_UNSUPPORTED,
                       "%s: tree %u, node %u splits a categorical feature", reader->build.name,
                       reader->build.tree, number);
    if (left < 0)
        return make_leaf(reader, number, condition, node);
    if (right < 0 || feature >= reader->build.model->info.feature_count)
        return corrupt_tree(reader, "split_indices", "a feature or a child does not exist");
    node->left = (int32_t)left;
    node->right = (int32_t)right;
    node->feature = (uint16_t)feature;
    node->default_left = side;
    return make_split(reader, number, condition, node);
}

static enum tl_code read_tree(struct reader *reader, struct doc_value tree, struct arena *scratch)
{
    struct tree_arrays arrays = {0};

    find_arrays(tree, &arrays);
    TL_TRY(refuse_kind(reader, &arrays));
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
    for (uint32_t i = 0; i < count; i++)
        TL_TRY(read_node(reader, &items, i, &nodes[i]));
    struct build_source source = {nodes, (uint32_t)count, 0, false};
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
    TL_TRY(read_weights(reader));
    TL_TRY(read_best(reader));
    TL_TRY(read_trees(reader));
    model->info.kind = "xgboost";
    model->arithmetic = ARITHMETIC_XGBOOST;
    model->sigmoid = model->divisor = 1;
    model->score_count = reader->groups;
    model->leaf_width = 1;
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
