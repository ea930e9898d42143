/*
 * LightGBM's text model: "key=value" lines, a header and then one paragraph per tree, as
 * Booster.save_model() writes it. Inner node i of a tree keeps its number; leaf i becomes
 * node num_leaves - 1 + i, so that children are greater than their parents.
 *
 * Refused by name: categorical splits, linear trees, objectives that do not classify.
 */
#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"
#include "classify/model_parsed.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TOKEN = 64, CATEGORICAL = 1, DEFAULT_LEFT = 2 };

/* Sums over all trees stay finite, so that a probability is never NaN. */
#define MAX_LEAF 1e100

/* A piece of the file; not terminated. */
struct text {
    const char *at;
    size_t size;
};

struct reader {
    const char *name;
    struct text rest;
    uint32_t tree;  /* being read */
    locale_t plain; /* numbers have a point, whatever the process speaks */
    struct arena *arena;
    struct model *model;
    struct tl_err *err;
    struct buf nodes, leaves, offsets;
};

/* Values of the keys of one paragraph; absent ones have size 0. */
struct tree_text {
    struct text num_leaves, split_feature, threshold, decision_type;
    struct text left_child, right_child, leaf_value, is_linear;
};

struct header_text {
    struct text version, num_class, per_iteration, max_feature, objective, feature_names;
    bool average;
};

static enum tl_code corrupt(const struct reader *reader, const char *key, const char *what)
{
    return tl_fail(reader->err, TL_CORRUPT, "%s: tree %u: %s: %s; save the model again",
                   reader->name, reader->tree, key, what);
}

static enum tl_code no_memory(const struct reader *reader)
{
    return tl_fail(reader->err, TL_NOMEM, "%s: no memory for the model", reader->name);
}

/* ---- lines and numbers ---- */

static bool next_line(struct text *rest, struct text *ret_line)
{
    if (rest->size == 0)
        return false;
    const char *end = memchr(rest->at, '\n', rest->size);
    size_t size = end ? (size_t)(end - rest->at) : rest->size;
    size_t used = end ? size + 1 : size;

    *ret_line = (struct text){rest->at, size};
    if (size && rest->at[size - 1] == '\r')
        ret_line->size--;
    rest->at += used;
    rest->size -= used;
    return true;
}

static bool starts(struct text text, const char *prefix)
{
    size_t size = strlen(prefix);

    return text.size >= size && memcmp(text.at, prefix, size) == 0;
}

static bool equals(struct text text, const char *word)
{
    return text.size == strlen(word) && starts(text, word);
}

/* When `line` is "<key>=..", keeps what follows. */
static bool keep_value(struct text line, const char *key, struct text *ret_value)
{
    size_t size = strlen(key);

    if (!starts(line, key) || line.size == size || line.at[size] != '=')
        return false;
    *ret_value = (struct text){line.at + size + 1, line.size - size - 1};
    return true;
}

static bool next_word(struct text *rest, struct text *ret_word)
{
    while (rest->size && *rest->at == ' ') {
        rest->at++;
        rest->size--;
    }
    if (rest->size == 0)
        return false;
    const char *end = memchr(rest->at, ' ', rest->size);
    size_t size = end ? (size_t)(end - rest->at) : rest->size;

    *ret_word = (struct text){rest->at, size};
    rest->at += size;
    rest->size -= size;
    return true;
}

static bool parse_double(const struct reader *reader, struct text word, double *ret_value)
{
    char token[MAX_TOKEN], *end;

    if (word.size == 0 || word.size >= sizeof(token))
        return false;
    memcpy(token, word.at, word.size);
    token[word.size] = '\0';
    *ret_value = strtod_l(token, &end, reader->plain);
    return end == token + word.size && *token != ' ';
}

static bool parse_int(struct text word, int64_t min, int64_t max, int64_t *ret_value)
{
    int64_t value = 0;
    bool minus = word.size && *word.at == '-';
    size_t digits = word.size - minus;

    if (digits == 0 || digits > 12)
        return false;
    for (size_t i = minus; i < word.size; i++) {
        if (word.at[i] < '0' || word.at[i] > '9')
            return false;
        value = value * 10 + (word.at[i] - '0');
    }
    *ret_value = minus ? -value : value;
    return *ret_value >= min && *ret_value <= max;
}

static bool next_int(struct text *rest, int64_t min, int64_t max, int64_t *ret_value)
{
    struct text word;

    return next_word(rest, &word) && parse_int(word, min, max, ret_value);
}

static bool next_double(const struct reader *reader, struct text *rest, double *ret_value)
{
    struct text word;

    return next_word(rest, &word) && parse_double(reader, word, ret_value);
}

static bool at_end(struct text rest)
{
    struct text word;

    return !next_word(&rest, &word);
}

/* ---- the header ---- */

static void read_header_line(struct text line, struct header_text *header)
{
    if (equals(line, "average_output"))
        header->average = true;
    else
        (void)(keep_value(line, "version", &header->version) ||
               keep_value(line, "num_class", &header->num_class) ||
               keep_value(line, "num_tree_per_iteration", &header->per_iteration) ||
               keep_value(line, "max_feature_idx", &header->max_feature) ||
               keep_value(line, "objective", &header->objective) ||
               keep_value(line, "feature_names", &header->feature_names));
}

static enum tl_code read_features(struct reader *reader, const struct header_text *header)
{
    struct text names = header->feature_names, word;
    int64_t last;

    if (!parse_int(header->max_feature, 0, INT32_MAX, &last))
        return corrupt(reader, "max_feature_idx", "it is not a number");
    if (last >= FOREST_MAX_FEATURES)
        return tl_fail(reader->err, TL_LIMIT, "%s: %jd features, at most %d", reader->name,
                       (intmax_t)last + 1, FOREST_MAX_FEATURES);
    uint32_t count = (uint32_t)last + 1;
    const char **features = arena_alloc(reader->arena, count, sizeof(*features));
    if (!features)
        return no_memory(reader);
    for (uint32_t f = 0; f < count; f++) {
        if (!next_word(&names, &word) || word.size > (size_t)4 * MAX_TOKEN)
            return corrupt(reader, "feature_names", "there are not max_feature_idx + 1 of them");
        features[f] = arena_printf(reader->arena, "%.*s", (int)word.size, word.at);
        if (!features[f])
            return no_memory(reader);
    }
    if (!at_end(names))
        return corrupt(reader, "feature_names", "there are more than max_feature_idx + 1");
    reader->model->info.features = features;
    reader->model->info.feature_count = count;
    return TL_OK;
}

/* "sigmoid:1" among the words after the objective's name; 1 when it is not there. */
static enum tl_code read_sigmoid(struct reader *reader, struct text words)
{
    struct text word;

    reader->model->sigmoid = 1;
    while (next_word(&words, &word)) {
        if (!starts(word, "sigmoid:"))
            continue;
        struct text number = {word.at + 8, word.size - 8};
        double slope;

        if (!parse_double(reader, number, &slope) || !(slope > 0) || isinf(slope))
            return corrupt(reader, "objective", "the sigmoid is not a positive number");
        reader->model->sigmoid = slope;
    }
    return TL_OK;
}

static enum tl_code read_objective(struct reader *reader, const struct header_text *header)
{
    static const struct {
        const char *name;
        enum model_output output;
        bool slope;
    } known[] = {{"binary", OUTPUT_BINARY, true},
                 {"cross_entropy", OUTPUT_BINARY, false},
                 {"multiclass", OUTPUT_SOFTMAX, false},
                 {"multiclassova", OUTPUT_SIGMOIDS, true}};
    struct text words = header->objective, name = {"(none)", 6};

    (void)next_word(&words, &name);
    for (size_t i = 0; i < TL_COUNT(known); i++) {
        if (!equals(name, known[i].name))
            continue;
        reader->model->output = known[i].output;
        reader->model->sigmoid = 1;
        return known[i].slope ? read_sigmoid(reader, words) : TL_OK;
    }
    return tl_fail(
        reader->err, TL_UNSUPPORTED,
        "%s: the objective \"%.*s\" does not classify; binary, cross_entropy, multiclass "
        "and multiclassova do",
        reader->name, (int)TL_MIN(name.size, (size_t)MAX_TOKEN), name.at);
}

static enum tl_code read_classes(struct reader *reader, const struct header_text *header)
{
    struct model *model = reader->model;
    bool binary = model->output == OUTPUT_BINARY;
    struct text per_iteration =
        header->per_iteration.size ? header->per_iteration : header->num_class;
    int64_t classes, scores;

    if (!parse_int(header->num_class, 1, INT32_MAX, &classes) ||
        !parse_int(per_iteration, 1, INT32_MAX, &scores) || classes != scores ||
        (binary ? classes != 1 : classes < 2))
        return corrupt(reader, "num_class", "it does not go with the objective");
    if (classes > MODEL_MAX_VALUE + 1)
        return tl_fail(reader->err, TL_LIMIT, "%s: %jd classes, at most %d", reader->name,
                       (intmax_t)classes, MODEL_MAX_VALUE + 1);
    uint32_t count = binary ? 2 : (uint32_t)classes;
    struct forest_class *made = arena_alloc(reader->arena, count, sizeof(*made));
    if (!made)
        return no_memory(reader);
    for (uint32_t c = 0; c < count; c++) {
        made[c] = (struct forest_class){(uint8_t)c, arena_printf(reader->arena, "%u", c),
                                        FOREST_NO_COLOR};
        if (!made[c].name)
            return no_memory(reader);
    }
    model->info.classes = made;
    model->info.class_count = count;
    model->score_count = (uint32_t)scores;
    return TL_OK;
}

/* Leaves the reader in front of the first "Tree=". */
static enum tl_code read_header(struct reader *reader, bool *ret_average)
{
    struct header_text header = {0};
    struct text line;

    for (struct text ahead = reader->rest; next_line(&ahead, &line) && !starts(line, "Tree=");) {
        read_header_line(line, &header);
        reader->rest = ahead;
    }
    if (!equals(header.version, "v2") && !equals(header.version, "v3") &&
        !equals(header.version, "v4"))
        return tl_fail(reader->err, TL_UNSUPPORTED,
                       "%s: LightGBM text of version \"%.*s\"; v2 to v4 are read", reader->name,
                       (int)TL_MIN(header.version.size, (size_t)MAX_TOKEN),
                       header.version.size ? header.version.at : "");
    *ret_average = header.average;
    TL_TRY(read_objective(reader, &header));
    TL_TRY(read_features(reader, &header));
    return read_classes(reader, &header);
}

/* ---- one tree ---- */

static bool read_tree_text(struct reader *reader, struct tree_text *tree)
{
    struct text line;
    bool any = false;

    for (struct text ahead = reader->rest;
         next_line(&ahead, &line) && !starts(line, "Tree=") && !equals(line, "end of trees");) {
        any |= keep_value(line, "num_leaves", &tree->num_leaves);
        (void)(keep_value(line, "split_feature", &tree->split_feature) ||
               keep_value(line, "threshold", &tree->threshold) ||
               keep_value(line, "decision_type", &tree->decision_type) ||
               keep_value(line, "left_child", &tree->left_child) ||
               keep_value(line, "right_child", &tree->right_child) ||
               keep_value(line, "leaf_value", &tree->leaf_value) ||
               keep_value(line, "is_linear", &tree->is_linear));
        reader->rest = ahead;
    }
    return any;
}

static enum tl_code read_leaves(struct reader *reader, struct text values, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        double value;

        if (!next_double(reader, &values, &value) || !(fabs(value) <= MAX_LEAF))
            return corrupt(reader, "leaf_value", "there are not num_leaves numbers within 1e100");
        buf_append(&reader->leaves, &value, sizeof(value));
    }
    return at_end(values) ? TL_OK : corrupt(reader, "leaf_value", "there are more than num_leaves");
}

/* A child as written: >= 0 an inner node, < 0 the complement of a leaf. */
static int32_t child_node(int64_t child, uint32_t leaves)
{
    return (int32_t)(child >= 0 ? child : (int64_t)leaves - 1 + ~child);
}

static enum tl_code read_decision(struct reader *reader, struct text *types,
                                  struct model_node *node)
{
    static const uint8_t missing[] = {MISSING_NONE, MISSING_ZERO, MISSING_NAN};
    int64_t type = 0;

    if (types->size && !next_int(types, 0, 255, &type))
        return corrupt(reader, "decision_type", "there are not num_leaves - 1 numbers");
    if (type & CATEGORICAL)
        return tl_fail(reader->err, TL_UNSUPPORTED,
                       "%s: tree %u splits the categorical feature %s; encode it as numbers (one "
                       "column per category) and train again",
                       reader->name, reader->tree, reader->model->info.features[node->feature]);
    if (type >> 2 >= (int64_t)TL_COUNT(missing))
        return corrupt(reader, "decision_type", "the missing type is unknown");
    node->missing = missing[type >> 2];
    node->default_left = type & DEFAULT_LEFT;
    return TL_OK;
}

static enum tl_code read_splits(struct reader *reader, struct tree_text tree, uint32_t leaves)
{
    int64_t last_feature = (int64_t)reader->model->info.feature_count - 1;

    for (uint32_t i = 0; i + 1 < leaves; i++) {
        struct model_node node = {0};
        int64_t feature, left, right;

        if (!next_int(&tree.split_feature, 0, last_feature, &feature))
            return corrupt(reader, "split_feature", "there are not num_leaves - 1 features");
        if (!next_int(&tree.left_child, -(int64_t)leaves, leaves - 2, &left) ||
            !next_int(&tree.right_child, -(int64_t)leaves, leaves - 2, &right))
            return corrupt(reader, "children", "there are not num_leaves - 1 that exist");
        if (!next_double(reader, &tree.threshold, &node.threshold))
            return corrupt(reader, "threshold", "there are not num_leaves - 1 numbers");
        node.feature = (uint16_t)feature;
        TL_TRY(read_decision(reader, &tree.decision_type, &node));
        node.left = child_node(left, leaves);
        node.right = child_node(right, leaves);
        buf_append(&reader->nodes, &node, sizeof(node));
    }
    if (!at_end(tree.split_feature) || !at_end(tree.threshold) || !at_end(tree.left_child) ||
        !at_end(tree.right_child) || !at_end(tree.decision_type))
        return corrupt(reader, "split_feature", "it or another list has more than num_leaves - 1");
    return TL_OK;
}

static enum tl_code read_tree(struct reader *reader, const struct tree_text *tree)
{
    uint32_t first_leaf = (uint32_t)(reader->leaves.size / sizeof(double));
    int64_t count, linear = 0;

    if (!parse_int(tree->num_leaves, 1, MODEL_MAX_TREE_NODES / 2, &count))
        return corrupt(reader, "num_leaves", "it is not a number from 1 to 8388608");
    if (tree->is_linear.size && !parse_int(tree->is_linear, 0, 1, &linear))
        return corrupt(reader, "is_linear", "it is not 0 or 1");
    if (linear)
        return tl_fail(reader->err, TL_UNSUPPORTED,
                       "%s: tree %u is a linear tree; train with linear_tree=false", reader->name,
                       reader->tree);
    uint32_t leaves = (uint32_t)count;
    TL_TRY(read_leaves(reader, tree->leaf_value, leaves));
    TL_TRY(read_splits(reader, *tree, leaves));
    for (uint32_t i = 0; i < leaves; i++) {
        struct model_node leaf = {.left = -1, .right = (int32_t)(first_leaf + i)};

        buf_append(&reader->nodes, &leaf, sizeof(leaf));
    }
    if (reader->nodes.size / sizeof(struct model_node) > MODEL_MAX_NODES)
        return tl_fail(reader->err, TL_LIMIT, "%s: more than %ju nodes", reader->name,
                       (uintmax_t)MODEL_MAX_NODES);
    return TL_OK;
}

static enum tl_code read_trees(struct reader *reader)
{
    struct text line;
    uint32_t end = 0;

    buf_append(&reader->offsets, &end, sizeof(end));
    for (struct text ahead = reader->rest; next_line(&ahead, &line); ahead = reader->rest) {
        struct tree_text tree = {0};

        reader->rest = ahead;
        if (equals(line, "end of trees"))
            return TL_OK;
        if (!starts(line, "Tree="))
            continue;
        if (reader->tree == MODEL_MAX_TREES)
            return tl_fail(reader->err, TL_LIMIT, "%s: more than %d trees", reader->name,
                           MODEL_MAX_TREES);
        if (!read_tree_text(reader, &tree))
            return corrupt(reader, "num_leaves", "it is missing");
        TL_TRY(read_tree(reader, &tree));
        end = (uint32_t)(reader->nodes.size / sizeof(struct model_node));
        buf_append(&reader->offsets, &end, sizeof(end));
        reader->tree++;
    }
    return corrupt(reader, "end of trees", "it is missing: the file is cut short");
}

/* ---- the whole ---- */

static void *keep(const struct reader *reader, const struct buf *buf)
{
    void *copy =
        buf_failed(buf) ? NULL : arena_alloc(reader->arena, TL_MAX(buf->size, (size_t)1), 1);

    if (copy)
        memcpy(copy, buf->bytes, buf->size);
    return copy;
}

static enum tl_code finish(struct reader *reader, bool average)
{
    struct model *model = reader->model;
    struct forest_info *info = &model->info;

    if (reader->tree == 0 || reader->tree % model->score_count != 0)
        return corrupt(reader, "Tree", "the trees are no whole number of iterations");
    model->nodes = keep(reader, &reader->nodes);
    model->leaf_values = keep(reader, &reader->leaves);
    model->tree_offsets = keep(reader, &reader->offsets);
    info->name = arena_printf(reader->arena, "%s", reader->name);
    if (!model->nodes || !model->leaf_values || !model->tree_offsets || !info->name)
        return no_memory(reader);
    info->kind = "lightgbm";
    info->provenance = "";
    info->tree_count = reader->tree;
    info->node_count = reader->nodes.size / sizeof(struct model_node);
    model->leaf_count = reader->leaves.size / sizeof(double);
    model->leaf_width = 1;
    uint32_t iterations = reader->tree / model->score_count;
    model->divisor = average ? iterations : 1;
    return model_check_trees(reader->name, model, reader->err);
}

static enum tl_code read_all(struct reader *reader)
{
    bool average = false;

    TL_TRY(read_header(reader, &average));
    TL_TRY(read_trees(reader));
    return finish(reader, average);
}

enum tl_code model_read_lightgbm(const char *name, const uint8_t *bytes, size_t size,
                                 struct arena *arena, struct model *ret_model, struct tl_err *err)
{
    struct model model = {0};
    struct reader reader = {.name = name,
                            .rest = {(const char *)bytes, size},
                            .plain = newlocale(LC_ALL_MASK, "C", (locale_t)0),
                            .arena = arena,
                            .model = &model,
                            .err = err};

    if (!reader.plain)
        return no_memory(&reader);
    enum tl_code code = read_all(&reader);
    freelocale(reader.plain);
    buf_release(&reader.nodes);
    buf_release(&reader.leaves);
    buf_release(&reader.offsets);
    if (code == TL_OK)
        *ret_model = model;
    return code;
}
