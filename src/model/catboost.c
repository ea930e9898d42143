/*
 * CatBoost's JSON model (save_model(format="json")): oblivious trees, spread out into the
 * nodes they stand for, and trees grown leaf by leaf. A split sends x > border right; what a
 * NaN does is the feature's. Sums are double, in the order of the trees.
 *
 * Refused by name: categorical, text and embedding features with their splits (one-hot, CTR),
 * losses that do not classify.
 */
#include "base/arena.h"
#include "base/check.h"
#include "model/build.h"
#include "model/doc.h"

#include <math.h>
#include <string.h>

enum { MAX_LEVELS = 20 };

struct feature {
    bool known, nan_left;
    uint16_t flat; /* its column */
};

struct reader {
    struct model_build *build;
    struct doc_value root;
    uint32_t width;           /* numbers per leaf */
    struct feature *features; /* by float_feature_index */
    struct arena *scratch;    /* of the tree at hand */
};

/* ---- the head ---- */

static enum tl_code refuse_other_features(const struct reader *reader, struct doc_value info)
{
    static const char *const kinds[] = {"categorical_features", "text_features",
                                        "embedding_features"};

    for (size_t i = 0; i < TL_COUNT(kinds); i++)
        if (doc_count(doc_find(info, kinds[i])) > 0)
            return tl_fail(reader->build->err, TL_UNSUPPORTED,
                           "%s: it has %s; encode them as numbers and train again",
                           reader->build->name, kinds[i]);
    return TL_OK;
}

static bool read_nan_rule(struct doc_value feature, bool *ret_left)
{
    struct doc_text rule;

    if (!doc_string(doc_find(feature, "nan_value_treatment"), &rule))
        return false;
    /* As it is, NaN is above no border; AsFalse makes it the lowest, AsTrue the highest. */
    *ret_left = !doc_equals(rule, "AsTrue");
    return doc_equals(rule, "AsIs") || doc_equals(rule, "AsFalse") || doc_equals(rule, "AsTrue");
}

/* The feature's name; NULL when it has none. */
static const char *feature_name(const struct reader *reader, struct doc_value feature)
{
    static const char *const keys[] = {"feature_name", "feature_id"};
    struct doc_text text;

    for (size_t i = 0; i < TL_COUNT(keys); i++) {
        struct doc_value name = doc_find(feature, keys[i]);

        if (doc_string(name, &text) && text.size > 0)
            return doc_copy(name, reader->build->arena);
    }
    return NULL;
}

static enum tl_code read_feature(struct reader *reader, struct doc_value item, const char **names,
                                 int64_t *last)
{
    int64_t index, flat;
    bool nan_left;

    if (!doc_int(doc_find(item, "feature_index"), 0, MODEL_MAX_FEATURES - 1, &index) ||
        !doc_int(doc_find(item, "flat_feature_index"), 0, MODEL_MAX_FEATURES - 1, &flat))
        return build_corrupt(reader->build, "features_info.float_features",
                             "an index is not 0 to 4095");
    if (!read_nan_rule(item, &nan_left))
        return build_corrupt(reader->build, "nan_value_treatment",
                             "it is not AsIs, AsFalse or AsTrue");
    reader->features[index] = (struct feature){true, nan_left, (uint16_t)flat};
    names[flat] = feature_name(reader, item);
    *last = TL_MAX(*last, flat);
    return TL_OK;
}

static enum tl_code read_features(struct reader *reader)
{
    struct doc_value info = doc_find(reader->root, "features_info"), item;
    struct doc_value list = doc_find(info, "float_features");
    const char **names = arena_zalloc(reader->build->arena, MODEL_MAX_FEATURES, sizeof(*names));
    struct doc_text key;
    int64_t last = -1;

    reader->features =
        arena_zalloc(reader->build->arena, MODEL_MAX_FEATURES, sizeof(*reader->features));
    if (!names || !reader->features)
        return build_no_memory(reader->build);
    TL_TRY(refuse_other_features(reader, info));
    for (struct doc_items items = doc_items(list); doc_next(&items, &key, &item);)
        TL_TRY(read_feature(reader, item, names, &last));
    for (int64_t f = 0; f <= last; f++) {
        if (!names[f])
            names[f] = arena_printf(reader->build->arena, "f%jd", (intmax_t)f);
        if (!names[f])
            return build_no_memory(reader->build);
    }
    return build_features(reader->build, names, (uint64_t)(last + 1));
}

static enum tl_code read_loss(struct reader *reader)
{
    static const struct {
        const char *name;
        enum model_output output;
    } known[] = {{"Logloss", OUTPUT_BINARY},
                 {"CrossEntropy", OUTPUT_BINARY},
                 {"MultiClass", OUTPUT_SOFTMAX},
                 {"MultiClassOneVsAll", OUTPUT_SIGMOIDS}};
    struct doc_value params = doc_find(doc_find(reader->root, "model_info"), "params");
    struct doc_text name = {"(none)", 6};

    (void)doc_string(doc_find(doc_find(params, "loss_function"), "type"), &name);
    for (size_t i = 0; i < TL_COUNT(known); i++) {
        if (!doc_equals(name, known[i].name))
            continue;
        reader->build->model->output = known[i].output;
        return TL_OK;
    }
    return tl_fail(reader->build->err, TL_UNSUPPORTED,
                   "%s: the loss \"%.*s\" does not classify; Logloss, CrossEntropy, MultiClass and "
                   "MultiClassOneVsAll do",
                   reader->build->name, (int)TL_MIN(name.size, (size_t)64), name.at);
}

/* [scale, [bias, ..]]; there is a bias per number of a leaf. */
static enum tl_code read_scale(struct reader *reader)
{
    struct model *model = reader->build->model;
    struct doc_items both = doc_items(doc_find(reader->root, "scale_and_bias")), items;
    struct doc_value value, list;
    struct doc_text key;
    double scale = 1;

    if (!doc_next(&both, &key, &value) || !doc_double(value, &scale) ||
        !doc_next(&both, &key, &list))
        return build_corrupt(reader->build, "scale_and_bias", "it is not a number and a list");
    uint64_t width = doc_count(list);
    if (width < 1 || width > MODEL_MAX_CLASSES || !(fabs(scale) <= BUILD_MAX_LEAF) || scale == 0)
        return build_corrupt(reader->build, "scale_and_bias",
                             "there are not 1 to 256 biases, or no scale");
    double *base = arena_zalloc(reader->build->arena, width, sizeof(*base));
    if (!base)
        return build_no_memory(reader->build);
    items = doc_items(list);
    for (uint64_t i = 0; i < width; i++)
        if (!doc_next(&items, &key, &value) || !doc_double(value, &base[i]) ||
            !(fabs(base[i]) <= BUILD_MAX_LEAF))
            return build_corrupt(reader->build, "scale_and_bias", "a bias is not a number");
    if ((model->output == OUTPUT_BINARY) != (width == 1))
        return build_corrupt(reader->build, "scale_and_bias", "the biases do not go with the loss");
    model->base = base;
    model->scale = scale;
    reader->width = (uint32_t)width;
    return TL_OK;
}

static enum tl_code read_classes(struct reader *reader)
{
    struct doc_value params = doc_find(doc_find(reader->root, "model_info"), "class_params");
    struct doc_items items = doc_items(doc_find(params, "class_names"));
    uint32_t count = reader->width == 1 ? 2 : reader->width, i = 0;
    const char *names[MODEL_MAX_CLASSES];
    struct doc_value value;
    struct doc_text key;

    for (; doc_next(&items, &key, &value); i++) {
        if (i == count)
            return build_corrupt(reader->build, "class_params.class_names",
                                 "there are more than classes");
        names[i] = doc_copy(value, reader->build->arena);
        if (!names[i])
            return build_corrupt(reader->build, "class_params.class_names",
                                 "one is neither text nor a number");
    }
    if (i != 0 && i != count)
        return build_corrupt(reader->build, "class_params.class_names",
                             "there are fewer than classes");
    return build_classes(reader->build, i ? names : NULL, count);
}

/* ---- trees ---- */

static enum tl_code read_split(struct reader *reader, struct doc_value split,
                               struct model_node *node)
{
    struct doc_text type;
    int64_t index;
    float border;

    if (doc_string(doc_find(split, "split_type"), &type) && !doc_equals(type, "FloatFeature"))
        return tl_fail(reader->build->err, TL_UNSUPPORTED,
                       "%s: tree %u has a split of type %.*s; train on numbers alone",
                       reader->build->name, reader->build->tree, (int)TL_MIN(type.size, (size_t)64),
                       type.at);
    if (!doc_int(doc_find(split, "float_feature_index"), 0, MODEL_MAX_FEATURES - 1, &index) ||
        !reader->features[index].known)
        return build_corrupt_tree(reader->build, "float_feature_index", "there is no such feature");
    if (!doc_float(doc_find(split, "border"), &border) || isnan(border))
        return tl_fail(
            reader->build->err, TL_CORRUPT,
            "%s: tree %u: border: of feature %s it is not a number; save the model again",
            reader->build->name, reader->build->tree,
            reader->build->model->info.features[reader->features[index].flat]);
    *node = (struct model_node){.threshold = (double)border,
                                .feature = reader->features[index].flat,
                                .missing = MISSING_SIDED,
                                .default_left = reader->features[index].nan_left};
    return TL_OK;
}

/* The splits of an oblivious tree, one per level. */
static enum tl_code read_levels(struct reader *reader, struct doc_value list,
                                struct model_node levels[MAX_LEVELS], uint32_t *ret_count)
{
    struct doc_items items = doc_items(list);
    struct doc_value split;
    struct doc_text key;
    uint32_t count = 0;

    for (; doc_next(&items, &key, &split); count++) {
        if (count == MAX_LEVELS)
            return tl_fail(reader->build->err, TL_LIMIT,
                           "%s: tree %u is deeper than %d; train with a smaller depth",
                           reader->build->name, reader->build->tree, MAX_LEVELS);
        TL_TRY(read_split(reader, split, &levels[count]));
    }
    *ret_count = count;
    return TL_OK;
}

/* Takes `width` numbers as one leaf. */
static enum tl_code take_leaf(struct reader *reader, struct doc_items *values, int32_t *ret_row)
{
    double row[MODEL_MAX_CLASSES];
    struct doc_value value;
    struct doc_text key;

    for (uint32_t c = 0; c < reader->width; c++)
        if (!doc_next(values, &key, &value) || !doc_double(value, &row[c]) ||
            !(fabs(row[c]) <= BUILD_MAX_LEAF))
            return build_corrupt_tree(reader->build, "leaf_values",
                                      "a leaf has not a number per class");
    *ret_row = build_leaf(reader->build, row, reader->width);
    return TL_OK;
}

/*
 * Node i of the inner ones has the children 2i + 1 and 2i + 2; on level l the split is l. Of
 * leaf j, bit l says whether the split of level l held: the first level is the lowest bit.
 */
static void spread(const struct model_node *levels, uint32_t depth, int32_t first_row,
                   struct model_node *nodes)
{
    uint32_t inner = (1U << depth) - 1;

    for (uint32_t level = 0; level < depth; level++)
        for (uint32_t i = (1U << level) - 1; i < (2U << level) - 1; i++) {
            nodes[i] = levels[level];
            nodes[i].left = (int32_t)(2 * i + 1);
            nodes[i].right = (int32_t)(2 * i + 2);
        }
    for (uint32_t i = 0; i <= inner; i++) {
        uint32_t leaf = 0;

        /* Bits of the path, the first turn highest, turned round. */
        for (uint32_t level = 0; level < depth; level++)
            leaf |= (i >> (depth - 1 - level) & 1) << level;
        nodes[inner + i] = (struct model_node){.left = -1, .right = first_row + (int32_t)leaf};
    }
}

static enum tl_code read_oblivious(struct reader *reader, struct doc_value tree)
{
    struct doc_value list = doc_find(tree, "leaf_values");
    struct doc_items values = doc_items(list);
    struct model_node levels[MAX_LEVELS];
    uint32_t depth;
    int32_t first = 0, row;

    TL_TRY(read_levels(reader, doc_find(tree, "splits"), levels, &depth));
    uint32_t leaves = 1U << depth;
    if (doc_count(list) != (uint64_t)leaves * reader->width)
        return build_corrupt_tree(reader->build, "leaf_values", "there are not 2^splits leaves");
    for (uint32_t i = 0; i < leaves; i++) {
        TL_TRY(take_leaf(reader, &values, &row));
        first = i ? first : row;
    }
    arena_reset(reader->scratch);
    struct model_node *nodes = arena_alloc(reader->scratch, 2 * leaves - 1, sizeof(*nodes));
    if (!nodes)
        return build_no_memory(reader->build);
    spread(levels, depth, first, nodes);
    struct build_source source = {.nodes = nodes, .count = 2 * leaves - 1};
    return build_tree(reader->build, &source, 0);
}

/* A tree of {"split", "left", "right"} and {"value"}. Appends to `nodes`; its own number. */
static enum tl_code read_branch(struct reader *reader, struct doc_value branch, struct buf *nodes,
                                uint32_t *ret_number)
{
    struct doc_value split = {0}, value = {0}, below = {0}, above = {0};
    const struct doc_wanted wanted[] = {
        {"split", &split}, {"value", &value}, {"left", &below}, {"right", &above}};
    struct model_node node = {.left = -1};
    uint32_t here = (uint32_t)(nodes->size / sizeof(node)), left, right;

    doc_find_all(branch, wanted, TL_COUNT(wanted));
    if (split.kind != DOC_OBJECT) {
        struct doc_items items = doc_items(value);
        double one;

        if (value.kind == DOC_ARRAY) {
            TL_TRY(take_leaf(reader, &items, &node.right));
        } else {
            if (reader->width != 1 || !doc_double(value, &one) || !(fabs(one) <= BUILD_MAX_LEAF))
                return build_corrupt_tree(reader->build, "value", "it is not a number per class");
            node.right = build_leaf(reader->build, &one, 1);
        }
        buf_append(nodes, &node, sizeof(node));
        *ret_number = here;
        return TL_OK;
    }
    TL_TRY(read_split(reader, split, &node));
    buf_append(nodes, &node, sizeof(node));
    /* As deep as the document nests: 64 at most. */
    TL_TRY(read_branch(reader, below, nodes, &left));
    TL_TRY(read_branch(reader, above, nodes, &right));
    if (buf_failed(nodes))
        return build_no_memory(reader->build);
    struct model_node *kept = (struct model_node *)(void *)nodes->bytes + here;
    kept->left = (int32_t)left;
    kept->right = (int32_t)right;
    *ret_number = here;
    return TL_OK;
}

static enum tl_code read_grown(struct reader *reader, struct doc_value tree)
{
    AUTO_BUF nodes = {0};
    uint32_t root;

    TL_TRY(read_branch(reader, tree, &nodes, &root));
    if (buf_failed(&nodes))
        return build_no_memory(reader->build);
    struct build_source source = {.nodes = (const struct model_node *)(const void *)nodes.bytes,
                                  .count = (uint32_t)(nodes.size / sizeof(struct model_node)),
                                  .root = root};
    return build_tree(reader->build, &source, 0);
}

static enum tl_code read_trees(struct reader *reader)
{
    struct doc_value oblivious = doc_find(reader->root, "oblivious_trees"), tree;
    struct doc_items even = doc_items(oblivious);
    struct doc_items grown = doc_items(doc_find(reader->root, "trees"));
    AUTO(arena) scratch = arena_new();
    struct doc_text key;

    if (!scratch)
        return build_no_memory(reader->build);
    reader->scratch = scratch;
    while (doc_next(&even, &key, &tree))
        TL_TRY(read_oblivious(reader, tree));
    while (oblivious.kind == DOC_NONE && doc_next(&grown, &key, &tree))
        TL_TRY(read_grown(reader, tree));
    return TL_OK;
}

static enum tl_code read_all(struct reader *reader)
{
    struct model *model = reader->build->model;

    if (doc_find(reader->root, "features_info").kind != DOC_OBJECT)
        return tl_fail(reader->build->err, TL_UNSUPPORTED,
                       "%s: JSON that is neither XGBoost's (learner.gradient_booster) nor "
                       "CatBoost's (features_info)",
                       reader->build->name);
    TL_TRY(read_features(reader));
    TL_TRY(read_loss(reader));
    TL_TRY(read_scale(reader));
    TL_TRY(read_classes(reader));
    model->info.kind = "catboost";
    model->winner_by_score = true;
    model->sigmoid = model->divisor = 1;
    model->score_count = model->leaf_width = reader->width;
    TL_TRY(read_trees(reader));
    return build_finish(reader->build);
}

enum tl_code model_read_catboost(const char *name, const uint8_t *bytes, size_t size,
                                 struct arena *arena, struct model *ret_model, struct tl_err *err)
{
    struct model model = {0};
    AUTO_BUILD build = {.name = name, .arena = arena, .model = &model, .err = err};
    AUTO_DOC doc = {0};

    TL_TRY(doc_open(name, bytes, size, &doc, err));
    struct reader reader = {.build = &build, .root = doc_root(&doc)};
    TL_TRY(read_all(&reader));
    *ret_model = model;
    return TL_OK;
}
