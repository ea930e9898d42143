#include "model/file_private.h"

#include "base/arena.h"
#include "base/check.h"
#include "model/build.h"

#include <math.h>
#include <string.h>

static enum tl_code read_tree_offsets(struct file_reader *reader, struct model *model)
{
    struct model_info *info = &model->info;
    const struct file_tensor *tensor;

    TL_TRY(file_take(reader, "tree_offsets", "U32", 0, &tensor));
    if (tensor->shape[0] < 2)
        return file_corrupt(reader, "tree_offsets", "there is no tree");
    if (tensor->shape[0] - 1 > MODEL_MAX_TREES)
        return tl_fail(reader->err, TL_LIMIT, "%s: %ju trees, at most %d", reader->name,
                       (uintmax_t)(tensor->shape[0] - 1), MODEL_MAX_TREES);
    const uint32_t *offsets = file_numbers(reader, tensor);
    if (!offsets)
        return file_no_memory(reader);
    info->tree_count = (uint32_t)(tensor->shape[0] - 1);
    if (offsets[0] != 0)
        return file_corrupt(reader, "tree_offsets", "the first entry is not 0");
    for (uint32_t t = 0; t < info->tree_count; t++) {
        if (offsets[t + 1] <= offsets[t])
            return file_corrupt(reader, "tree_offsets", "a tree without nodes");
        if (offsets[t + 1] - offsets[t] > MODEL_MAX_TREE_NODES)
            return tl_fail(reader->err, TL_LIMIT, "%s: tree %u has more than %u nodes",
                           reader->name, t, MODEL_MAX_TREE_NODES);
    }
    model->tree_offsets = offsets;
    info->node_count = offsets[info->tree_count];
    return TL_OK;
}

/* The parallel arrays of nodes, still in the file. */
struct columns {
    uint64_t count;
    const uint8_t *feature, *threshold, *left, *right, *leaf;
    const uint8_t *missing; /* NULL: compare throughout */
};

const uint8_t file_missing[FILE_MISSING_COUNT] = {MISSING_COMPARE, MISSING_SIDED, MISSING_ZERO,
                                                  MISSING_SET,     MISSING_NONE,  MISSING_NAN};

static enum tl_code find_column(struct file_reader *reader, const char *key, const char *dtype,
                                uint64_t count, const uint8_t **ret_bytes)
{
    const struct file_tensor *tensor;

    TL_TRY(file_take(reader, key, dtype, 0, &tensor));
    if (tensor->shape[0] != count)
        return file_corrupt(reader, key, "its length is not the last entry of tree_offsets");
    *ret_bytes = reader->data + tensor->begin;
    return TL_OK;
}

static int32_t i32_at(const uint8_t *bytes, uint64_t index)
{
    int32_t value;

    memcpy(&value, bytes + 4 * index, sizeof(value));
    return value;
}

static float f32_at(const uint8_t *bytes, uint64_t index)
{
    float value;

    memcpy(&value, bytes + 4 * index, sizeof(value));
    return value;
}

static enum tl_code read_missing(const struct file_reader *reader, const struct columns *from,
                                 uint64_t i, struct model_node *node)
{
    uint8_t byte = from->missing ? from->missing[i] : 0;
    uint8_t rule = byte & (FILE_DEFAULT_LEFT - 1);

    if (rule >= FILE_MISSING_COUNT || (rule == 0 && byte != 0))
        return tl_fail(
            reader->err, TL_CORRUPT,
            "%s: node %ju: %u is no rule for missing values; docs/model-file.md has them",
            reader->name, (uintmax_t)i, byte);
    node->missing = file_missing[rule];
    node->default_left = byte >= FILE_DEFAULT_LEFT;
    if (node->missing == MISSING_SET)
        node->set = (uint32_t)i32_at(from->leaf, i); /* out of range: model_check_trees() */
    return TL_OK;
}

static enum tl_code read_node(const struct file_reader *reader, const struct columns *from,
                              uint64_t i, struct model_node *node)
{
    int32_t feature = i32_at(from->feature, i), leaf = i32_at(from->leaf, i);
    int32_t left = i32_at(from->left, i), right = i32_at(from->right, i);

    *node = (struct model_node){
        .threshold = (double)f32_at(from->threshold, i), .left = left, .right = right};
    if (feature == -1) {
        if (left != -1 || right != -1 || leaf < 0)
            return tl_fail(reader->err, TL_CORRUPT,
                           "%s: node %ju is a leaf (feature -1) with children, or its row of "
                           "leaf_values is out of range",
                           reader->name, (uintmax_t)i);
        node->right = leaf;
        return TL_OK;
    }
    if (feature < 0 || feature >= MODEL_MAX_FEATURES || left < 0 || right < 0)
        return tl_fail(reader->err, TL_CORRUPT,
                       "%s: node %ju: feature %d, children %d and %d: out of range", reader->name,
                       (uintmax_t)i, feature, left, right);
    node->feature = (uint16_t)feature;
    return read_missing(reader, from, i, node);
}

static enum tl_code read_nodes(struct file_reader *reader, struct model *model)
{
    struct columns from = {.count = model->info.node_count};

    if (from.count > MODEL_MAX_NODES)
        return tl_fail(reader->err, TL_LIMIT, "%s: %ju nodes, at most %ju", reader->name,
                       (uintmax_t)from.count, (uintmax_t)MODEL_MAX_NODES);
    TL_TRY(find_column(reader, "feature", "I32", from.count, &from.feature));
    TL_TRY(find_column(reader, "threshold", "F32", from.count, &from.threshold));
    TL_TRY(find_column(reader, "left", "I32", from.count, &from.left));
    TL_TRY(find_column(reader, "right", "I32", from.count, &from.right));
    TL_TRY(find_column(reader, "leaf", "U32", from.count, &from.leaf));
    if (reader->format > 1 && file_find(reader, "missing"))
        TL_TRY(find_column(reader, "missing", "U8", from.count, &from.missing));
    TL_CHECK(from.feature && from.threshold && from.left && from.right && from.leaf);
    model->nodes = arena_alloc(reader->arena, from.count, sizeof(*model->nodes));
    if (!model->nodes)
        return file_no_memory(reader);
    for (uint64_t i = 0; i < from.count; i++)
        TL_TRY(read_node(reader, &from, i, &model->nodes[i]));
    return TL_OK;
}

/* Bounds of one set rise, so that what is in it is a matter of counting them. */
static enum tl_code check_bounds(const struct file_reader *reader, const float *bounds,
                                 uint32_t count)
{
    if (count < 1 || count > MODEL_MAX_BOUNDS)
        return file_corrupt(reader, "set_offsets", "a set has no bounds, or more than 65,535");
    for (uint32_t i = 0; i < count; i++)
        if (isnan(bounds[i]) || (i && !(bounds[i] > bounds[i - 1])))
            return file_corrupt(reader, "set_bounds", "they do not rise within a set");
    return TL_OK;
}

/* Sets of categories; a model without any has neither tensor. */
static enum tl_code read_sets(struct file_reader *reader, struct model *model)
{
    const struct file_tensor *from, *numbers;

    if (!file_find(reader, "set_offsets"))
        return TL_OK;
    TL_TRY(file_take(reader, "set_offsets", "U32", 0, &from));
    TL_TRY(file_take(reader, "set_bounds", "F32", 0, &numbers));
    uint64_t count = from->shape[0], all = numbers->shape[0];
    const uint32_t *offsets = file_numbers(reader, from);
    const float *bounds = file_numbers(reader, numbers);
    struct model_set *sets = arena_alloc(reader->arena, count + 1, sizeof(*sets));
    if (!offsets || !bounds || !sets)
        return file_no_memory(reader);
    if (count < 2 || offsets[0] != 0 || offsets[count - 1] != all)
        return file_corrupt(reader, "set_offsets", "they do not go from 0 to the last bound");
    for (uint64_t i = 0; i + 1 < count; i++) {
        if (offsets[i + 1] < offsets[i] || offsets[i + 1] > all)
            return file_corrupt(reader, "set_offsets", "they do not rise");
        sets[i] = (struct model_set){bounds + offsets[i], offsets[i + 1] - offsets[i]};
        TL_TRY(check_bounds(reader, sets[i].bounds, sets[i].count));
    }
    model->sets = sets;
    model->set_count = (uint32_t)(count - 1);
    return TL_OK;
}

/* Rows must be probabilities: the sweep's error bound assumes 0..1, and sums of 1. */
static enum tl_code check_probabilities(const struct file_reader *reader, const double *values,
                                        uint64_t rows, uint32_t width)
{
    for (uint64_t row = 0; row < rows; row++) {
        double sum = 0;

        for (uint32_t c = 0; c < width; c++) {
            double p = values[row * width + c];

            if (!(p >= 0 && p <= 1))
                return tl_fail(reader->err, TL_CORRUPT,
                               "%s: leaf_values row %ju, class %u: %g is not a probability",
                               reader->name, (uintmax_t)row, c, p);
            sum += p;
        }
        if (fabs(sum - 1) > 1e-6)
            return tl_fail(reader->err, TL_CORRUPT,
                           "%s: leaf_values row %ju adds up to %.9g, not to 1; export the values "
                           "as the library normalises them",
                           reader->name, (uintmax_t)row, sum);
    }
    return TL_OK;
}

/* Scores must add up to something finite. */
static enum tl_code check_scores(const struct file_reader *reader, const struct model *model)
{
    bool narrow = model->arithmetic != ARITHMETIC_DOUBLE;
    double most = narrow ? BUILD_MAX_FLOAT_LEAF : BUILD_MAX_LEAF;

    for (uint64_t i = 0; i < model->leaf_count * model->leaf_width; i++) {
        double value = model->leaf_values[i];

        if (!(fabs(value) <= most) || (narrow && value != (double)(float)value))
            return tl_fail(reader->err, TL_CORRUPT,
                           "%s: leaf_values, number %ju: %g is no score of this arithmetic",
                           reader->name, (uintmax_t)i, value);
    }
    return TL_OK;
}

static enum tl_code read_leaf_values(struct file_reader *reader, struct model *model)
{
    const struct file_tensor *tensor = file_find(reader, "leaf_values");
    bool mean = model->output == OUTPUT_MEAN;

    /* A tree that adds to one of several scores has one number per leaf. */
    model->leaf_width = model->score_count;
    if (!mean && tensor && tensor->rank == 2 && tensor->shape[1] == 1)
        model->leaf_width = 1;
    TL_TRY(file_take(reader, "leaf_values", "F64", model->leaf_width, &tensor));
    model->leaf_values = file_numbers(reader, tensor);
    model->leaf_count = tensor->shape[0];
    if (!model->leaf_values)
        return file_no_memory(reader);
    if (mean)
        return check_probabilities(reader, model->leaf_values, model->leaf_count,
                                   model->leaf_width);
    return check_scores(reader, model);
}

/* Where trees do not add to the scores in turn. */
static enum tl_code read_tree_scores(struct file_reader *reader, struct model *model)
{
    const struct file_tensor *tensor;

    if (!file_find(reader, "tree_scores"))
        return TL_OK;
    TL_TRY(file_take(reader, "tree_scores", "U32", 0, &tensor));
    if (tensor->shape[0] != model->info.tree_count || model->leaf_width != 1)
        return file_corrupt(reader, "tree_scores",
                            "it has not one number per tree, or leaves have several");
    const uint32_t *from = file_numbers(reader, tensor);
    uint16_t *scores = arena_alloc(reader->arena, model->info.tree_count, sizeof(*scores));
    if (!from || !scores)
        return file_no_memory(reader);
    for (uint32_t t = 0; t < model->info.tree_count; t++) {
        if (from[t] >= model->score_count)
            return file_corrupt(reader, "tree_scores", "a tree adds to a score that is not there");
        scores[t] = (uint16_t)from[t];
    }
    model->tree_scores = scores;
    return TL_OK;
}

/* ---- linear trees ---- */

static enum tl_code take_doubles(struct file_reader *reader, const char *key, uint64_t count,
                                 const double **ret_numbers)
{
    const struct file_tensor *tensor;

    TL_TRY(file_take(reader, key, "F64", 0, &tensor));
    const double *numbers = file_numbers(reader, tensor);
    if (!numbers)
        return file_no_memory(reader);
    if (tensor->shape[0] != count)
        return file_corrupt(reader, key, "it has another length than the tensors it goes with");
    for (uint64_t i = 0; i < count; i++)
        if (!(fabs(numbers[i]) <= BUILD_MAX_LEAF))
            return file_corrupt(reader, key, "it holds what is no number within 1e100");
    *ret_numbers = numbers;
    return TL_OK;
}

static enum tl_code read_terms(struct file_reader *reader, struct model *model, uint64_t *ret_count)
{
    const struct file_tensor *tensor;
    const double *coefficients;

    TL_TRY(file_take(reader, "term_feature", "U32", 0, &tensor));
    uint64_t count = tensor->shape[0];
    TL_TRY(take_doubles(reader, "term_coefficient", count, &coefficients));
    const uint32_t *features = file_numbers(reader, tensor);
    struct model_term *terms = arena_alloc(reader->arena, count + 1, sizeof(*terms));
    if (!features || !terms)
        return file_no_memory(reader);
    for (uint64_t i = 0; i < count; i++) {
        if (features[i] >= model->info.feature_count)
            return file_corrupt(reader, "term_feature", "it names a feature that is not there");
        terms[i] = (struct model_term){coefficients[i], features[i]};
    }
    model->terms = terms;
    *ret_count = count;
    return TL_OK;
}

/* What leaves of linear trees add; a model without any has none of these tensors. */
static enum tl_code read_lines(struct file_reader *reader, struct model *model)
{
    const struct file_tensor *tensor;
    const double *constants = NULL;
    uint64_t terms = 0;

    if (!file_find(reader, "line_offsets"))
        return TL_OK;
    if (model->leaf_width != 1 || model->output == OUTPUT_MEAN ||
        model->arithmetic != ARITHMETIC_DOUBLE)
        return file_corrupt(reader, "line_offsets",
                            "only leaves of one score, in double, are lines");
    TL_TRY(read_terms(reader, model, &terms));
    TL_TRY(take_doubles(reader, "line_constant", model->leaf_count, &constants));
    TL_TRY(file_take(reader, "line_offsets", "U32", 0, &tensor));
    const uint32_t *offsets = file_numbers(reader, tensor);
    struct model_line *lines = arena_alloc(reader->arena, model->leaf_count + 1, sizeof(*lines));
    if (!offsets || !lines)
        return file_no_memory(reader);
    if (tensor->shape[0] != model->leaf_count + 1 || offsets[0] != 0 ||
        offsets[model->leaf_count] != terms)
        return file_corrupt(reader, "line_offsets", "they do not go from 0 to the last term");
    for (uint64_t i = 0; i < model->leaf_count; i++) {
        if (offsets[i + 1] < offsets[i] || offsets[i + 1] - offsets[i] > MODEL_MAX_FEATURES)
            return file_corrupt(reader, "line_offsets",
                                "they do not rise, or a line has more than "
                                "4,096 terms");
        lines[i] = (struct model_line){constants[i], offsets[i], offsets[i + 1] - offsets[i]};
    }
    model->lines = lines;
    return TL_OK;
}

enum tl_code file_read_trees(struct file_reader *reader, struct model *model)
{
    TL_TRY(read_tree_offsets(reader, model));
    if (!reader->in_place)
        TL_TRY(read_nodes(reader, model));
    if (!reader->in_place && reader->format > 1)
        TL_TRY(read_sets(reader, model));
    TL_TRY(read_leaf_values(reader, model));
    if (reader->format > 1) {
        TL_TRY(read_tree_scores(reader, model));
        TL_TRY(read_lines(reader, model));
    }
    return reader->in_place ? TL_OK : model_check_trees(reader->name, model, reader->err);
}
