#include "classify/model_file_private.h"

#include "base/arena.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

const char *const file_kinds[] = {"trees", "mean", "linear", NULL};
const char *const file_outputs[] = {"mean",   "binary", "softmax", "sigmoids",
                                    "scores", "share",  NULL};
const char *const file_arithmetics[] = {"double", "xgboost", "onnx", NULL};

/* A part on its way in. */
struct part_reader {
    struct file_reader *file;
    struct json_at at;
    struct model_part *part;
    struct model *model; /* of a part that has one */
};

/* The position of a word in a NULL-terminated list. */
static enum tl_code read_word(const struct part_reader *r, const char *key,
                              const char *const *words, uint32_t *ret_word)
{
    struct json_at at = json_key(&r->at, key);
    const char *text;

    TL_TRY(json_read_string_or(at, words[0], &text, r->file->err));
    for (uint32_t i = 0; words[i]; i++)
        if (strcmp(text, words[i]) == 0) {
            *ret_word = i;
            return TL_OK;
        }
    return json_refuse(&at, r->file->err, "\"%.64s\" is not known to this tilth", text);
}

static enum tl_code read_number_or(const struct part_reader *r, const char *key, double fallback,
                                   double *ret_number)
{
    struct json_at at = json_key(&r->at, key);

    if (at.value)
        return json_read_number(at, ret_number, r->file->err);
    *ret_number = fallback;
    return TL_OK;
}

static enum tl_code read_uints(const struct part_reader *r, const char *key, uint32_t most,
                               const uint32_t **ret_numbers, uint32_t *ret_count)
{
    struct json_at at = json_key(&r->at, key);
    size_t count;
    int64_t number;

    TL_TRY(json_read_array(at, false, &count, r->file->err));
    if (count < 1 || count > FOREST_MAX_FEATURES)
        return json_refuse(&at, r->file->err, "1 to %d numbers are needed, not %zu",
                           FOREST_MAX_FEATURES, count);
    uint32_t *numbers = arena_alloc(r->file->arena, count, sizeof(*numbers));
    if (!numbers)
        return file_no_memory(r->file);
    for (size_t i = 0; i < count; i++) {
        TL_TRY(json_read_int(json_item(&at, i), 0, most, &number, r->file->err));
        numbers[i] = (uint32_t)number;
    }
    *ret_numbers = numbers;
    *ret_count = (uint32_t)count;
    return TL_OK;
}

/* `count` numbers of a tensor; NULL where it may be absent and is. */
static enum tl_code read_doubles(const struct part_reader *r, const char *key, uint64_t count,
                                 bool optional, const double **ret_numbers)
{
    const struct file_tensor *tensor;

    *ret_numbers = NULL;
    if (optional && !file_find(r->file, key))
        return TL_OK;
    TL_TRY(file_take(r->file, key, "F64", 0, &tensor));
    if (tensor->shape[0] != count)
        return file_corrupt(r->file, key, "it has another length than the manifest asks for");
    *ret_numbers = file_copy(r->file, tensor);
    return *ret_numbers ? TL_OK : file_no_memory(r->file);
}

/* How scores become probabilities and a label. */
static enum tl_code read_output(const struct part_reader *r)
{
    static const char *const labels[] = {"probability", "score", NULL};
    struct model *model = r->model;
    struct tl_err *err = r->file->err;
    uint32_t word;

    TL_TRY(read_word(r, "output", file_outputs, &word));
    model->output = (enum model_output)word;
    TL_TRY(read_word(r, "arithmetic", file_arithmetics, &word));
    model->arithmetic = (enum model_arithmetic)word;
    TL_TRY(read_word(r, "label", labels, &word));
    model->winner_by_score = word;
    TL_TRY(read_number_or(r, "above", 0, &model->winner_above));
    TL_TRY(read_number_or(r, "slope", 1, &model->sigmoid));
    TL_TRY(read_number_or(r, "divisor", 1, &model->divisor));
    TL_TRY(read_number_or(r, "scale", 0, &model->scale));
    if (!(model->sigmoid > 0 && model->divisor > 0))
        return json_refuse(&r->at, err, "slope and divisor must be above 0");
    bool one = model->output == OUTPUT_BINARY || model->output == OUTPUT_SHARE;
    if (one && model->info.class_count != 2)
        return json_refuse(&r->at, err, "%s output needs two classes", file_outputs[model->output]);
    model->score_count = one ? 1 : model->info.class_count;
    return TL_OK;
}

/* The base is added to sums that are finite, in float32 where the sums are. */
static enum tl_code read_base(const struct part_reader *r)
{
    double most = r->model->arithmetic == ARITHMETIC_DOUBLE ? DBL_MAX : (double)FLT_MAX;

    TL_TRY(read_doubles(r, "base", r->model->score_count, true, &r->model->base));
    for (uint32_t s = 0; r->model->base && s < r->model->score_count; s++)
        if (!(r->model->base[s] >= -most && r->model->base[s] <= most))
            return file_corrupt(r->file, "base", "it holds what is no finite number");
    return TL_OK;
}

/* A forest's votes are counted: nothing else may be done to them. */
static enum tl_code check_mean(const struct part_reader *r)
{
    const struct model *model = r->model;

    if (model->output == OUTPUT_MEAN &&
        (model->arithmetic != ARITHMETIC_DOUBLE || model->winner_by_score || model->scale != 0 ||
         model->base))
        return json_refuse(&r->at, r->file->err,
                           "the mean of trees has no arithmetic, label, scale or base of its own");
    return TL_OK;
}

static enum tl_code read_trees_part(struct part_reader *r)
{
    static const char *const known[] = {"kind",  "output", "arithmetic", "label",  "above",
                                        "slope", "scale",  "divisor",    "inputs", NULL};

    TL_TRY(json_known_keys(r->at, known, r->file->err));
    TL_TRY(read_output(r));
    TL_TRY(read_base(r));
    TL_TRY(check_mean(r));
    r->part->input_count = r->model->info.feature_count;
    if (json_key(&r->at, "inputs").value)
        TL_TRY(read_uints(r, "inputs", UINT16_MAX, &r->part->inputs, &r->part->input_count));
    r->model->info.feature_count = r->part->input_count;
    TL_TRY(file_read_trees(r->file, r->model));
    if (r->model->output == OUTPUT_MEAN)
        r->model->divisor = (double)r->model->info.tree_count;
    return TL_OK;
}

static enum tl_code read_linear_part(struct part_reader *r)
{
    static const char *const known[] = {"kind",  "output", "label", "above",
                                        "slope", "inputs", NULL};
    const struct file_tensor *weights;

    TL_TRY(json_known_keys(r->at, known, r->file->err));
    TL_TRY(read_output(r));
    TL_TRY(read_base(r));
    TL_TRY(read_uints(r, "inputs", UINT16_MAX, &r->part->inputs, &r->part->input_count));
    TL_TRY(file_take(r->file, "weights", "F64", r->part->input_count, &weights));
    if (weights->shape[0] != r->model->score_count)
        return file_corrupt(r->file, "weights", "it has not one row per score");
    r->part->weights = file_copy(r->file, weights);
    return r->part->weights ? TL_OK : file_no_memory(r->file);
}

static enum tl_code read_mean_part(struct part_reader *r)
{
    static const char *const known[] = {"kind", "inputs", "divisor", "float32", NULL};
    struct tl_err *err = r->file->err;

    TL_TRY(json_known_keys(r->at, known, err));
    TL_TRY(read_uints(r, "inputs", UINT16_MAX, &r->part->inputs, &r->part->input_count));
    TL_TRY(json_read_number(json_key(&r->at, "divisor"), &r->part->divisor, err));
    TL_TRY(json_read_bool_or(json_key(&r->at, "float32"), false, &r->part->narrow, err));
    return read_doubles(r, "weights", r->part->input_count, true, &r->part->weights);
}

static enum tl_code read_part(struct file_reader *file, struct json_at at, uint32_t p,
                              struct model_part *part)
{
    static enum tl_code (*const read[])(struct part_reader *) = {read_trees_part, read_mean_part,
                                                                 read_linear_part};
    struct part_reader r = {.file = file, .at = at, .part = part};
    uint32_t kind = 0;

    snprintf(file->prefix, sizeof(file->prefix), "p%u.", p);
    TL_TRY(json_read_object(at, file->err));
    TL_TRY(read_word(&r, "kind", file_kinds, &kind));
    part->kind = (enum part_kind)kind;
    if (part->kind != PART_MEAN) {
        r.model = arena_zalloc(file->arena, 1, sizeof(*r.model));
        if (!r.model)
            return file_no_memory(file);
        r.model->info = file->model->info;
        part->model = r.model;
    }
    return read[kind](&r);
}

/* One ensemble that reads the features is a model without parts. */
static void become_only(struct model *model)
{
    struct model only = *model->parts[0].model;

    only.golden_x = model->golden_x;
    only.golden_p = model->golden_p;
    only.golden_label = model->golden_label;
    *model = only;
}

enum tl_code file_read_parts(struct file_reader *reader)
{
    struct model *model = reader->model;
    struct json_at root = json_root(reader->name, reader->manifest);
    struct json_at at = json_key(&root, "parts");
    size_t count;

    TL_TRY(json_read_array(at, false, &count, reader->err));
    if (count < 1 || count > MODEL_MAX_PARTS)
        return json_refuse(&at, reader->err, "a model is made of 1 to %d parts, not %zu",
                           MODEL_MAX_PARTS, count);
    struct model_part *parts = arena_zalloc(reader->arena, count, sizeof(*parts));
    if (!parts)
        return file_no_memory(reader);
    for (uint32_t p = 0; p < count; p++)
        TL_TRY(read_part(reader, json_item(&at, p), p, &parts[p]));
    model->parts = parts;
    model->part_count = (uint32_t)count;
    TL_TRY(model_check_parts(reader->name, model, reader->err));
    if (count == 1 && parts[0].kind == PART_TREES && !parts[0].inputs)
        become_only(model);
    return TL_OK;
}
