/*
 * LightGBM's text model: "key=value" lines, a header and then one paragraph per tree, as
 * Booster.save_model() writes it. Inner node i of a tree keeps its number; leaf i is node
 * num_leaves - 1 + i.
 *
 * A category is what is left of a value without its fraction, unless the file says which pandas
 * values were numbered 0, 1, ..: then it is that value and nothing near it.
 *
 * Refused by name: objectives that do not classify, categories that are words.
 */
#include "base/arena.h"
#include "base/check.h"
#include "model/build.h"
#include "model/doc.h"
#include "model/text.h"

#include <math.h>
#include <string.h>

enum { SHOWN = 64, CATEGORICAL = 1, DEFAULT_LEFT = 2 };

struct reader {
    struct model_build build;
    struct text whole, rest;
    size_t paragraph; /* where the header, or the tree at hand, begins; before that is no tree */
    bool in_tree;
    locale_t plain; /* numbers have a point, whatever the process speaks */
    struct text feature_infos, tree_sizes;
    struct doc pandas; /* the values of pandas's categories, a list per column; open if .bytes */
    uint64_t columns, lists;     /* categorical features; such lists */
    struct build_values *values; /* [feature_count]; NULL without pandas */
    bool linear;                 /* some tree is */
};

/* Values of the keys of one paragraph; absent ones have size 0. */
struct tree_text {
    struct text num_leaves, split_feature, threshold, decision_type;
    struct text left_child, right_child, leaf_value;
    struct text num_cat, cat_boundaries, cat_threshold;
    struct text is_linear, leaf_const, num_features, leaf_features, leaf_coeff;
};

/* The sets of a tree's categorical splits: set i has the bits of words[begin[i]..begin[i + 1]). */
struct categories {
    uint32_t *begin, *words;
    uint32_t count, unread; /* words that no split has asked for yet */
};

struct header_text {
    struct text version, num_class, per_iteration, max_feature, objective, feature_names;
    bool average;
};

/* The line of the paragraph at hand that has the key, or where the paragraph begins; from 1. */
static size_t line_of(const struct reader *reader, const char *key)
{
    struct text rest = reader->whole, line, value;
    size_t number = 0, begins = 1;

    while (text_line(&rest, &line)) {
        size_t at = (size_t)(line.at - reader->whole.at);

        number++;
        if (at == reader->paragraph)
            begins = number;
        if (at >= reader->paragraph && text_value(line, key, &value))
            return number;
        if (at > reader->paragraph && text_starts(line, "Tree="))
            break;
    }
    return begins;
}

static enum tl_code corrupt(const struct reader *reader, const char *key, const char *what)
{
    size_t line = line_of(reader, key);

    if (!reader->in_tree)
        return tl_fail(reader->build.err, TL_CORRUPT, "%s: line %zu: %s: %s; save the model again",
                       reader->build.name, line, key, what);
    return tl_fail(reader->build.err, TL_CORRUPT,
                   "%s: tree %u, line %zu: %s: %s; save the model again", reader->build.name,
                   reader->build.tree, line, key, what);
}

/* One number of a list of the tree at hand, from 0. */
static enum tl_code corrupt_item(const struct reader *reader, const char *key, uint32_t number,
                                 const char *what)
{
    return tl_fail(
        reader->build.err, TL_CORRUPT,
        "%s: tree %u, line %zu: %s: number %u of it is missing, or not %s; save the model "
        "again",
        reader->build.name, reader->build.tree, line_of(reader, key), key, number, what);
}

/* ---- the header ---- */

static void read_header_line(struct text line, struct header_text *header)
{
    if (text_equals(line, "average_output"))
        header->average = true;
    else
        (void)(text_value(line, "version", &header->version) ||
               text_value(line, "num_class", &header->num_class) ||
               text_value(line, "num_tree_per_iteration", &header->per_iteration) ||
               text_value(line, "max_feature_idx", &header->max_feature) ||
               text_value(line, "objective", &header->objective) ||
               text_value(line, "feature_names", &header->feature_names));
}

static enum tl_code read_features(struct reader *reader, const struct header_text *header)
{
    struct text names = header->feature_names, word;
    int64_t last;

    if (!text_int(header->max_feature, 0, INT32_MAX, &last))
        return corrupt(reader, "max_feature_idx", "it is not a number");
    uint32_t count = (uint32_t)last + 1;
    if (count > MODEL_MAX_FEATURES)
        return build_features(&reader->build, NULL, count);
    const char **features = arena_alloc(reader->build.arena, count, sizeof(*features));
    if (!features)
        return build_no_memory(&reader->build);
    for (uint32_t f = 0; f < count; f++) {
        if (!text_word(&names, &word) || word.size > (size_t)4 * SHOWN)
            return corrupt(reader, "feature_names", "there are not max_feature_idx + 1 of them");
        features[f] = arena_printf(reader->build.arena, "%.*s", (int)word.size, word.at);
        if (!features[f])
            return build_no_memory(&reader->build);
    }
    if (!text_at_end(names))
        return corrupt(reader, "feature_names", "there are more than max_feature_idx + 1");
    return build_features(&reader->build, features, count);
}

/* "sigmoid:1" among the words after the objective's name; 1 when it is not there. */
static enum tl_code read_sigmoid(struct reader *reader, struct text words)
{
    struct text word;

    reader->build.model->sigmoid = 1;
    while (text_word(&words, &word)) {
        if (!text_starts(word, "sigmoid:"))
            continue;
        struct text number = {word.at + 8, word.size - 8};
        double slope;

        if (!text_double(reader->plain, number, &slope) || !(slope > 0) || isinf(slope))
            return corrupt(reader, "objective", "the sigmoid is not a positive number");
        reader->build.model->sigmoid = slope;
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

    (void)text_word(&words, &name);
    for (size_t i = 0; i < TL_COUNT(known); i++) {
        if (!text_equals(name, known[i].name))
            continue;
        reader->build.model->output = known[i].output;
        reader->build.model->sigmoid = 1;
        return known[i].slope ? read_sigmoid(reader, words) : TL_OK;
    }
    return tl_fail(
        reader->build.err, TL_UNSUPPORTED,
        "%s: the objective \"%.*s\" does not classify; binary, cross_entropy, multiclass "
        "and multiclassova do",
        reader->build.name, (int)TL_MIN(name.size, (size_t)SHOWN), name.at);
}

static enum tl_code read_classes(struct reader *reader, const struct header_text *header)
{
    struct model *model = reader->build.model;
    bool binary = model->output == OUTPUT_BINARY;
    struct text per_iteration =
        header->per_iteration.size ? header->per_iteration : header->num_class;
    int64_t classes, scores;

    if (!text_int(header->num_class, 1, INT32_MAX, &classes) ||
        !text_int(per_iteration, 1, INT32_MAX, &scores) || classes != scores ||
        (binary ? classes != 1 : classes < 2))
        return corrupt(reader, "num_class", "it does not go with the objective");
    model->score_count = (uint32_t)scores;
    return build_classes(&reader->build, NULL, binary ? 2 : (uint64_t)classes);
}

/* Leaves the reader in front of the first "Tree=". */
static enum tl_code read_header(struct reader *reader, bool *ret_average)
{
    struct header_text header = {0};
    struct text line;

    for (struct text ahead = reader->rest;
         text_line(&ahead, &line) && !text_starts(line, "Tree=");) {
        read_header_line(line, &header);
        (void)(text_value(line, "feature_infos", &reader->feature_infos) ||
               text_value(line, "tree_sizes", &reader->tree_sizes));
        reader->rest = ahead;
    }
    if (!text_equals(header.version, "v2") && !text_equals(header.version, "v3") &&
        !text_equals(header.version, "v4"))
        return tl_fail(reader->build.err, TL_UNSUPPORTED,
                       "%s: LightGBM text of version \"%.*s\"; v2 to v4 are read",
                       reader->build.name, (int)TL_MIN(header.version.size, (size_t)SHOWN),
                       header.version.size ? header.version.at : "");
    *ret_average = header.average;
    TL_TRY(read_objective(reader, &header));
    TL_TRY(read_features(reader, &header));
    return read_classes(reader, &header);
}

static bool is_categorical(struct text info)
{
    return !text_starts(info, "[") && !text_equals(info, "none");
}

/* The lists are of the categorical columns in their order, without their names. */
static enum tl_code assign_lists(struct reader *reader)
{
    struct doc_items lists = doc_items(doc_root(&reader->pandas));
    uint32_t count = reader->build.model->info.feature_count;
    struct text infos = reader->feature_infos, info;
    struct doc_value list;
    struct doc_text key;

    reader->lists = doc_count(doc_root(&reader->pandas));
    reader->values = arena_zalloc(reader->build.arena, count, sizeof(*reader->values));
    if (!reader->values)
        return build_no_memory(&reader->build);
    for (uint32_t f = 0; f < count && text_word(&infos, &info); f++)
        if (is_categorical(info)) {
            reader->columns++;
            if (doc_next(&lists, &key, &list))
                TL_TRY(build_values(&reader->build, list, &reader->values[f]));
        }
    return TL_OK;
}

/* "pandas_categorical:[[..], ..]" is the last line; null or [] where there was no such column. */
static enum tl_code read_pandas(struct reader *reader, struct text text)
{
    static const char key[] = "pandas_categorical:";
    const char *found = text.size ? memmem(text.at, text.size, key, sizeof(key) - 1) : NULL;
    struct text line;

    if (!found)
        return TL_OK;
    text.size -= (size_t)(found - text.at) + sizeof(key) - 1;
    text.at = found + sizeof(key) - 1;
    if (!text_line(&text, &line))
        return corrupt(reader, "pandas_categorical", "it is cut short");
    TL_TRY(doc_open(reader->build.name, (const uint8_t *)line.at, line.size, &reader->pandas,
                    reader->build.err));
    return assign_lists(reader);
}

/* ---- categories ---- */

/* Which columns the lists of pandas are of is only known when there are as many. */
static enum tl_code check_lists(const struct reader *reader)
{
    if (reader->lists == 0 || reader->lists == reader->columns)
        return TL_OK;
    return tl_fail(reader->build.err, TL_UNSUPPORTED,
                   "%s: %ju features are categorical, and pandas had %ju such columns: the file "
                   "does not say which; encode categories as numbers before training",
                   reader->build.name, (uintmax_t)reader->columns, (uintmax_t)reader->lists);
}

/* The runs of the values that the bits number. Values that are no float32 no pixel has. */
static enum tl_code add_values(struct reader *reader, const struct build_values *known,
                               const uint32_t *words, uint32_t word_count, struct buf *bounds)
{
    AUTO_BUF wanted = {0};

    for (uint32_t i = 0; i / 32 < word_count && i < known->count; i++)
        if (words[i / 32] >> i % 32 & 1)
            buf_append(&wanted, &known->values[i], sizeof(*known->values));
    if (buf_failed(&wanted))
        return build_no_memory(&reader->build);
    build_exact((float *)(void *)wanted.bytes, wanted.size / sizeof(float), bounds);
    return TL_OK;
}

/* (int)x == category: what is cut off leads towards zero from both sides. */
static void add_numbers(const uint32_t *words, uint32_t word_count, struct buf *bounds)
{
    for (uint32_t word = 0; word < word_count; word++)
        for (uint32_t bits = words[word]; bits; bits &= bits - 1) {
            double category = 32.0 * word + __builtin_ctz(bits);

            build_run(bounds, category > 0 ? build_below(category) : -1, build_below(category + 1));
        }
}

static enum tl_code read_set(struct reader *reader, struct categories *categories,
                             struct model_node *node)
{
    AUTO_BUF bounds = {0};
    const struct build_values *known = reader->values ? &reader->values[node->feature] : NULL;

    if (!(node->threshold >= 0 && node->threshold < categories->count))
        return corrupt(reader, "threshold", "a categorical split has no set");
    uint32_t c = (uint32_t)node->threshold;
    const uint32_t *words = categories->words + categories->begin[c];
    uint32_t count = categories->begin[c + 1] - categories->begin[c];
    if (count > categories->unread)
        return corrupt(reader, "threshold", "two splits have the same set");
    categories->unread -= count;
    TL_TRY(check_lists(reader));
    if (known && known->words)
        return build_refuse_words(&reader->build, node->feature);
    if (known && known->values)
        TL_TRY(add_values(reader, known, words, count, &bounds));
    else
        add_numbers(words, count, &bounds);
    node->threshold = 0;
    node->missing = MISSING_SET;
    node->default_left = false;
    return build_set(&reader->build, &bounds, &node->set);
}

/* Numbers of a list, in the scratch arena. */
static uint32_t *read_list(struct text list, int64_t max, struct arena *scratch,
                           uint32_t *ret_count)
{
    uint32_t *numbers = arena_alloc(scratch, list.size / 2 + 1, sizeof(*numbers));
    int64_t number;

    for (*ret_count = 0; numbers && !text_at_end(list); (*ret_count)++) {
        if (!text_next_int(&list, 0, max, &number))
            return NULL;
        numbers[*ret_count] = (uint32_t)number;
    }
    return numbers;
}

static enum tl_code read_categories(struct reader *reader, const struct tree_text *tree,
                                    struct arena *scratch, struct categories *ret_categories)
{
    struct categories made = {0};
    uint32_t ends = 0;
    int64_t count;

    if (!text_int(tree->num_cat, 0, MODEL_MAX_TREE_NODES, &count))
        return corrupt(reader, "num_cat", "it is not a number");
    made.count = (uint32_t)count;
    if (count) {
        made.words = read_list(tree->cat_threshold, UINT32_MAX, scratch, &made.unread);
        made.begin = read_list(tree->cat_boundaries, UINT32_MAX, scratch, &ends);
        if (!made.words || !made.begin || ends != made.count + 1)
            return corrupt(reader, "cat_boundaries", "there are not num_cat + 1 numbers");
        for (uint32_t i = 0; i < made.count; i++)
            if (made.begin[i] > made.begin[i + 1] || made.begin[i + 1] > made.unread)
                return corrupt(reader, "cat_boundaries", "they are not within cat_threshold");
    }
    *ret_categories = made;
    return TL_OK;
}

/* ---- one tree ---- */

static bool read_tree_text(struct reader *reader, struct tree_text *tree)
{
    const struct {
        const char *key;
        struct text *to;
    } wanted[] = {
        {"num_leaves", &tree->num_leaves},         {"split_feature", &tree->split_feature},
        {"threshold", &tree->threshold},           {"decision_type", &tree->decision_type},
        {"left_child", &tree->left_child},         {"right_child", &tree->right_child},
        {"leaf_value", &tree->leaf_value},         {"num_cat", &tree->num_cat},
        {"cat_boundaries", &tree->cat_boundaries}, {"cat_threshold", &tree->cat_threshold},
        {"is_linear", &tree->is_linear},           {"leaf_const", &tree->leaf_const},
        {"num_features", &tree->num_features},     {"leaf_features", &tree->leaf_features},
        {"leaf_coeff", &tree->leaf_coeff}};
    struct text line;

    for (struct text ahead = reader->rest; text_line(&ahead, &line) &&
                                           !text_starts(line, "Tree=") &&
                                           !text_equals(line, "end of trees");) {
        for (size_t i = 0; i < TL_COUNT(wanted); i++)
            if (text_value(line, wanted[i].key, wanted[i].to))
                break;
        reader->rest = ahead;
    }
    return tree->num_leaves.size != 0;
}

/* The terms of one leaf; the lists hold those of all leaves one after the other. */
static enum tl_code read_terms(struct reader *reader, struct tree_text *lists, int64_t count)
{
    int64_t last = (int64_t)reader->build.model->info.feature_count - 1, feature;
    struct model_term term;

    for (int64_t i = 0; i < count; i++) {
        if (!text_next_int(&lists->leaf_features, 0, last, &feature) ||
            !text_next_double(reader->plain, &lists->leaf_coeff, &term.coefficient) ||
            !(fabs(term.coefficient) <= BUILD_MAX_LEAF))
            return corrupt(reader, "leaf_coeff",
                           "there is not a feature and a number for each of num_features");
        term.feature = (uint32_t)feature;
        buf_append(&reader->build.terms, &term, sizeof(term));
    }
    return TL_OK;
}

/* One line per leaf: of trees that are not linear, the leaf's number alone. */
static enum tl_code read_lines(struct reader *reader, struct tree_text lists, uint32_t leaves,
                               bool linear)
{
    struct text *constants = linear ? &lists.leaf_const : &lists.leaf_value;
    int64_t count = 0;

    reader->linear |= linear;
    for (uint32_t i = 0; i < leaves; i++) {
        struct model_line line = {.begin = reader->build.terms.size / sizeof(struct model_term)};

        if (!text_next_double(reader->plain, constants, &line.constant) ||
            !(fabs(line.constant) <= BUILD_MAX_LEAF))
            return corrupt_item(reader, "leaf_const", i, "a number within 1e100");
        if (linear && !text_next_int(&lists.num_features, 0, MODEL_MAX_FEATURES, &count))
            return corrupt_item(reader, "num_features", i, "a number of features");
        TL_TRY(read_terms(reader, &lists, count));
        line.count = (uint32_t)count;
        buf_append(&reader->build.lines, &line, sizeof(line));
    }
    if (linear && (!text_at_end(lists.leaf_const) || !text_at_end(lists.leaf_features) ||
                   !text_at_end(lists.leaf_coeff)))
        return corrupt(reader, "leaf_coeff", "it or another list has more than num_features");
    return TL_OK;
}

static enum tl_code read_leaves(struct reader *reader, struct text values, uint32_t count,
                                struct model_node *leaves)
{
    for (uint32_t i = 0; i < count; i++) {
        double value;

        if (!text_next_double(reader->plain, &values, &value) || !(fabs(value) <= BUILD_MAX_LEAF))
            return corrupt_item(reader, "leaf_value", i, "a number within 1e100");
        leaves[i] = (struct model_node){.left = -1, .right = build_leaf(&reader->build, &value, 1)};
    }
    return text_at_end(values) ? TL_OK
                               : corrupt(reader, "leaf_value", "there are more than num_leaves");
}

/* A child as written: >= 0 an inner node, < 0 the complement of a leaf. */
static int32_t child_node(int64_t child, uint32_t leaves)
{
    return (int32_t)(child >= 0 ? child : (int64_t)leaves - 1 + ~child);
}

static enum tl_code read_decision(struct reader *reader, struct text *types,
                                  struct categories *categories, struct model_node *node)
{
    static const uint8_t missing[] = {MISSING_NONE, MISSING_ZERO, MISSING_NAN};
    int64_t type = 0;

    if (types->size && !text_next_int(types, 0, 255, &type))
        return corrupt(reader, "decision_type", "there are not num_leaves - 1 numbers");
    if (type >> 2 >= (int64_t)TL_COUNT(missing))
        return corrupt(reader, "decision_type", "the missing type is unknown");
    node->missing = missing[type >> 2];
    node->default_left = type & DEFAULT_LEFT;
    return type & CATEGORICAL ? read_set(reader, categories, node) : TL_OK;
}

static enum tl_code read_splits(struct reader *reader, struct tree_text tree, uint32_t leaves,
                                struct categories *categories, struct model_node *nodes)
{
    int64_t last_feature = (int64_t)reader->build.model->info.feature_count - 1;

    for (uint32_t i = 0; i + 1 < leaves; i++) {
        struct model_node node = {0};
        int64_t feature, left, right;

        if (!text_next_int(&tree.split_feature, 0, last_feature, &feature))
            return corrupt_item(reader, "split_feature", i, "the number of a feature");
        if (!text_next_int(&tree.left_child, -(int64_t)leaves, leaves - 2, &left))
            return corrupt_item(reader, "left_child", i, "a node of the tree");
        if (!text_next_int(&tree.right_child, -(int64_t)leaves, leaves - 2, &right))
            return corrupt_item(reader, "right_child", i, "a node of the tree");
        if (!text_next_double(reader->plain, &tree.threshold, &node.threshold))
            return corrupt_item(reader, "threshold", i, "a number");
        node.feature = (uint16_t)feature;
        TL_TRY(read_decision(reader, &tree.decision_type, categories, &node));
        node.left = child_node(left, leaves);
        node.right = child_node(right, leaves);
        nodes[i] = node;
    }
    if (!text_at_end(tree.split_feature) || !text_at_end(tree.threshold) ||
        !text_at_end(tree.left_child) || !text_at_end(tree.right_child) ||
        !text_at_end(tree.decision_type))
        return corrupt(reader, "split_feature", "it or another list has more than num_leaves - 1");
    return TL_OK;
}

static enum tl_code read_tree(struct reader *reader, const struct tree_text *tree,
                              struct arena *scratch)
{
    struct categories categories = {0};
    int64_t count, linear = 0;

    if (!text_int(tree->num_leaves, 1, MODEL_MAX_TREE_NODES / 2, &count))
        return corrupt(reader, "num_leaves", "it is not a number from 1 to 8388608");
    if (tree->is_linear.size && !text_int(tree->is_linear, 0, 1, &linear))
        return corrupt(reader, "is_linear", "it is not 0 or 1");
    /* Each leaf takes two bytes of the file, at least. */
    if ((size_t)count > tree->leaf_value.size)
        return corrupt(reader, "leaf_value", "there are not num_leaves numbers");
    arena_reset(scratch);
    uint32_t leaves = (uint32_t)count;
    struct model_node *nodes = arena_alloc(scratch, 2 * (size_t)leaves - 1, sizeof(*nodes));
    if (!nodes)
        return build_no_memory(&reader->build);
    TL_TRY(read_leaves(reader, tree->leaf_value, leaves, nodes + leaves - 1));
    TL_TRY(read_lines(reader, *tree, leaves, linear));
    TL_TRY(read_categories(reader, tree, scratch, &categories));
    TL_TRY(read_splits(reader, *tree, leaves, &categories, nodes));
    struct build_source source = {.nodes = nodes, .count = 2 * leaves - 1};
    return build_tree(&reader->build, &source,
                      reader->build.tree % reader->build.model->score_count);
}

/* The header has the size of each tree. */
static enum tl_code check_count(const struct reader *reader)
{
    struct text rest = reader->tree_sizes, word;
    uint32_t count = 0;

    while (text_word(&rest, &word))
        count++;
    return count == 0 || count == reader->build.tree
               ? TL_OK
               : corrupt(reader, "tree_sizes", "there are other trees than it has sizes");
}

/* Leaves the reader behind the trees. */
static enum tl_code read_trees(struct reader *reader)
{
    AUTO(arena) scratch = arena_new();
    struct text line, number;
    int64_t same;

    if (!scratch)
        return build_no_memory(&reader->build);
    while (text_line(&reader->rest, &line)) {
        struct tree_text tree = {0};

        if (text_equals(line, "end of trees")) {
            reader->in_tree = false;
            return check_count(reader);
        }
        if (!text_starts(line, "Tree="))
            continue;
        reader->in_tree = true;
        reader->paragraph = (size_t)(line.at - reader->whole.at);
        if (!text_value(line, "Tree", &number) ||
            !text_int(number, reader->build.tree, reader->build.tree, &same))
            return corrupt(reader, "Tree", "the trees are not numbered 0, 1, ..: one is missing");
        if (!read_tree_text(reader, &tree))
            return corrupt(reader, "num_leaves", "it is missing");
        TL_TRY(read_tree(reader, &tree, scratch));
    }
    reader->in_tree = false;
    return corrupt(reader, "end of trees", "it is missing: the file is cut short");
}

/* ---- the whole ---- */

static struct text behind_trees(struct text text)
{
    static const char end[] = "\nend of trees";
    const char *found = memmem(text.at, text.size, end, sizeof(end) - 1);

    return found ? (struct text){found, text.size - (size_t)(found - text.at)} : (struct text){0};
}

static enum tl_code read_all(struct reader *reader)
{
    struct model *model = reader->build.model;
    bool average = false;

    TL_TRY(read_header(reader, &average));
    TL_TRY(read_pandas(reader, behind_trees(reader->rest)));
    model->leaf_width = 1;
    TL_TRY(read_trees(reader));
    if (reader->build.tree == 0 || reader->build.tree % model->score_count != 0)
        return corrupt(reader, "Tree", "the trees are no whole number of iterations");
    if (!reader->linear)
        buf_release(&reader->build.lines);
    model->info.kind = "lightgbm";
    model->divisor = average ? reader->build.tree / model->score_count : 1;
    return build_finish(&reader->build);
}

enum tl_code model_read_lightgbm(const char *name, const uint8_t *bytes, size_t size,
                                 struct arena *arena, struct model *ret_model, struct tl_err *err)
{
    struct model model = {0};
    struct reader reader = {.build = {.name = name, .arena = arena, .model = &model, .err = err},
                            .whole = {(const char *)bytes, size},
                            .rest = {(const char *)bytes, size},
                            .plain = newlocale(LC_ALL_MASK, "C", (locale_t)0)};

    if (!reader.plain)
        return build_no_memory(&reader.build);
    enum tl_code code = read_all(&reader);
    freelocale(reader.plain);
    if (reader.pandas.bytes)
        doc_close(&reader.pandas);
    build_release(&reader.build);
    if (code == TL_OK)
        *ret_model = model;
    return code;
}
