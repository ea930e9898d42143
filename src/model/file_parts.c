#include "model/file_private.h"

#include "base/arena.h"
#include "model/net.h"

#include <float.h>
#include <stdio.h>
#include <string.h>

/* A linear part is a net that older files have. */
const char *const file_kinds[] = {"trees", "mean", "net", "linear", NULL};
const char *const file_outputs[] = {"mean",  "binary",     "softmax", "sigmoids", "scores",
                                    "share", "normalized", "shared",  NULL};
const char *const file_arithmetics[] = {"double", "xgboost", "onnx", NULL};
const char *const file_activations[] = {"none", "relu", "tanh", "logistic", "square", NULL};
const char *const file_scalings[] = {"add",      "subtract", "multiply", "divide", "impute",
                                     "at_least", "at_most",  "curve",    "l1",     "l2",
                                     "max",      "greatest", NULL};

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
    if (count < 1 || count > MODEL_MAX_FEATURES)
        return json_refuse(&at, r->file->err, "1 to %d numbers are needed, not %zu",
                           MODEL_MAX_FEATURES, count);
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
    *ret_numbers = file_numbers(r->file, tensor);
    return *ret_numbers ? TL_OK : file_no_memory(r->file);
}

/* What the label is that of the greatest of. */
static enum tl_code read_label(const struct part_reader *r, bool *ret_by_score)
{
    static const char *const labels[] = {"probability", "score", NULL};
    uint32_t word = 0;

    TL_TRY(read_word(r, "label", labels, &word));
    *ret_by_score = word;
    return TL_OK;
}

/* What parts behind this one read of it. */
static enum tl_code read_gives(const struct part_reader *r)
{
    static const char *const given[] = {"probabilities", "label", NULL};
    uint32_t word = 0;

    TL_TRY(read_word(r, "gives", given, &word));
    r->part->gives_label = word;
    return TL_OK;
}

/* How scores become probabilities and a label. */
static enum tl_code read_output(const struct part_reader *r)
{
    struct model *model = r->model;
    struct tl_err *err = r->file->err;
    uint32_t word;

    TL_TRY(read_word(r, "output", file_outputs, &word));
    model->output = (enum model_output)word;
    TL_TRY(read_word(r, "arithmetic", file_arithmetics, &word));
    model->arithmetic = (enum model_arithmetic)word;
    TL_TRY(read_label(r, &model->winner_by_score));
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
    static const char *const known[] = {"kind",  "output",  "arithmetic", "label", "above", "slope",
                                        "scale", "divisor", "inputs",     "gives", NULL};

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

static enum tl_code read_mean_part(struct part_reader *r)
{
    static const char *const known[] = {"kind",  "inputs", "divisor", "float32",
                                        "label", "gives",  NULL};
    struct tl_err *err = r->file->err;

    TL_TRY(json_known_keys(r->at, known, err));
    TL_TRY(read_uints(r, "inputs", UINT16_MAX, &r->part->inputs, &r->part->input_count));
    TL_TRY(json_read_number(json_key(&r->at, "divisor"), &r->part->divisor, err));
    TL_TRY(json_read_bool_or(json_key(&r->at, "float32"), false, &r->part->narrow, err));
    TL_TRY(read_label(r, &r->part->winner_by_score));
    return read_doubles(r, "weights", r->part->input_count, true, &r->part->weights);
}

/* ---- nets ---- */

/* What reads its own columns and gives one score for each output. */
static enum tl_code read_scores(struct part_reader *r, struct model_net **ret_net)
{
    struct model_net *net = arena_zalloc(r->file->arena, 1, sizeof(*net));

    if (!net)
        return file_no_memory(r->file);
    r->part->net = net;
    TL_TRY(read_output(r));
    if (r->model->output == OUTPUT_MEAN)
        return json_refuse(&r->at, r->file->err, "its output cannot be the mean of trees");
    *ret_net = net;
    return read_uints(r, "inputs", UINT16_MAX, &r->part->inputs, &r->part->input_count);
}

/* `key` and `bias_key`: [outputs][inputs] and [outputs] of F64. */
static enum tl_code read_layer(const struct part_reader *r, const char *key, const char *bias_key,
                               struct model_layer *layer)
{
    const struct file_tensor *weights;

    TL_TRY(file_take(r->file, key, "F64", layer->input_count, &weights));
    if (weights->shape[0] < 1 || weights->shape[0] > NET_MAX_WIDTH)
        return file_corrupt(r->file, key, "it has no row, or more than 1024");
    layer->output_count = (uint32_t)weights->shape[0];
    layer->weights = file_numbers(r->file, weights);
    if (!layer->weights)
        return file_no_memory(r->file);
    return read_doubles(r, bias_key, layer->output_count, false, &layer->bias);
}

static enum tl_code read_linear_part(struct part_reader *r)
{
    static const char *const known[] = {"kind",  "output", "label", "above",
                                        "slope", "inputs", "gives", NULL};
    struct model_net *net = NULL;

    TL_TRY(json_known_keys(r->at, known, r->file->err));
    TL_TRY(read_scores(r, &net));
    struct model_layer *layer = arena_zalloc(r->file->arena, 1, sizeof(*layer));
    if (!layer)
        return file_no_memory(r->file);
    layer->input_count = r->part->input_count;
    net->layers = layer;
    net->layer_count = 1;
    return read_layer(r, "weights", "base", layer);
}

/* The words of a list; *ret_items is NULL for none. */
static enum tl_code read_list(const struct part_reader *r, const char *key, size_t most,
                              struct json_at *ret_at, uint32_t *ret_count)
{
    struct json_at at = json_key(&r->at, key);
    size_t count = 0;

    if (at.value)
        TL_TRY(json_read_array(at, true, &count, r->file->err));
    if (count > most)
        return json_refuse(&at, r->file->err, "at most %zu are served, not %zu", most, count);
    *ret_at = at;
    *ret_count = (uint32_t)count;
    return TL_OK;
}

/* The curves of step `number`: `offsets` say where the points of each column begin. */
static enum tl_code read_curves(const struct part_reader *r, uint32_t number,
                                const struct model_curve **ret_curves)
{
    uint32_t count = r->part->input_count;
    char offsets_key[32], x_key[32], y_key[32];
    const double *x = NULL, *y = NULL;
    const struct file_tensor *tensor;

    snprintf(offsets_key, sizeof(offsets_key), "scaling%u_offsets", number);
    snprintf(x_key, sizeof(x_key), "scaling%u_x", number);
    snprintf(y_key, sizeof(y_key), "scaling%u_y", number);
    TL_TRY(file_take(r->file, offsets_key, "U32", 0, &tensor));
    if (tensor->shape[0] != count + UINT64_C(1))
        return file_corrupt(r->file, offsets_key,
                            "it has another length than one per column and 1");
    const uint32_t *offsets = file_numbers(r->file, tensor);
    struct model_curve *curves = arena_alloc(r->file->arena, count, sizeof(*curves));
    if (!offsets || !curves)
        return file_no_memory(r->file);
    TL_TRY(read_doubles(r, x_key, offsets[count], false, &x));
    TL_TRY(read_doubles(r, y_key, offsets[count], false, &y));
    for (uint32_t c = 0; c < count; c++) {
        if (offsets[0] != 0 || offsets[c + 1] <= offsets[c] || offsets[c + 1] > offsets[count])
            return file_corrupt(r->file, offsets_key, "they do not rise from 0 to the last point");
        curves[c] =
            (struct model_curve){offsets[c + 1] - offsets[c], x + offsets[c], y + offsets[c]};
    }
    *ret_curves = curves;
    return TL_OK;
}

static enum tl_code read_scaling(const struct part_reader *r, struct json_at at, uint32_t number,
                                 struct model_scaling *scaling)
{
    static const char *const known[] = {"op", "float32", NULL};
    struct part_reader step = *r;
    uint32_t kind = SCALING_ADD;
    char key[24];

    step.at = at;
    TL_TRY(json_read_object(at, r->file->err));
    TL_TRY(json_known_keys(at, known, r->file->err));
    TL_TRY(read_word(&step, "op", file_scalings, &kind));
    TL_TRY(json_read_bool_or(json_key(&at, "float32"), false, &scaling->narrow, r->file->err));
    scaling->kind = (enum model_scaling_kind)kind;
    if (scaling->kind >= SCALING_L1)
        return TL_OK;
    if (scaling->kind == SCALING_CURVE)
        return read_curves(r, number, &scaling->curves);
    snprintf(key, sizeof(key), "scaling%u", number);
    return read_doubles(r, key, r->part->input_count, false, &scaling->numbers);
}

static enum tl_code read_net_layers(struct part_reader *r, struct model_net *net)
{
    struct json_at at;
    uint32_t width = r->part->input_count;

    TL_TRY(read_list(r, "layers", NET_MAX_LAYERS, &at, &net->layer_count));
    struct model_layer *layers =
        arena_zalloc(r->file->arena, net->layer_count + 1, sizeof(*layers));
    if (!layers)
        return file_no_memory(r->file);
    net->layers = layers;
    for (uint32_t i = 0; i < net->layer_count; i++) {
        static const char *const known[] = {"activation", NULL};
        struct part_reader layer = *r;
        char weights[24], bias[24];
        uint32_t word = 0;

        layer.at = json_item(&at, i);
        TL_TRY(json_read_object(layer.at, r->file->err));
        TL_TRY(json_known_keys(layer.at, known, r->file->err));
        TL_TRY(read_word(&layer, "activation", file_activations, &word));
        layers[i].activation = (enum model_activation)word;
        layers[i].input_count = width;
        snprintf(weights, sizeof(weights), "weights%u", i);
        snprintf(bias, sizeof(bias), "bias%u", i);
        TL_TRY(read_layer(r, weights, bias, &layers[i]));
        width = layers[i].output_count;
    }
    return TL_OK;
}

static enum tl_code read_net_part(struct part_reader *r)
{
    static const char *const known[] = {"kind",   "output",  "arithmetic", "label",
                                        "above",  "slope",   "inputs",     "scaling",
                                        "layers", "float32", "gives",      NULL};
    struct tl_err *err = r->file->err;
    struct model_net *net = NULL;
    struct json_at at;

    TL_TRY(json_known_keys(r->at, known, err));
    TL_TRY(read_scores(r, &net));
    TL_TRY(json_read_bool_or(json_key(&r->at, "float32"), false, &net->narrow, err));
    TL_TRY(read_list(r, "scaling", NET_MAX_SCALINGS, &at, &net->scaling_count));
    struct model_scaling *scalings =
        arena_zalloc(r->file->arena, net->scaling_count + 1, sizeof(*scalings));
    if (!scalings)
        return file_no_memory(r->file);
    net->scalings = scalings;
    for (uint32_t i = 0; i < net->scaling_count; i++)
        TL_TRY(read_scaling(r, json_item(&at, i), i, &scalings[i]));
    return read_net_layers(r, net);
}

static enum tl_code read_part(struct file_reader *file, struct json_at at, uint32_t p,
                              struct model_part *part)
{
    static const struct {
        enum part_kind kind;
        enum tl_code (*read)(struct part_reader *);
    } known[] = {{PART_TREES, read_trees_part},
                 {PART_MEAN, read_mean_part},
                 {PART_NET, read_net_part},
                 {PART_NET, read_linear_part}};
    struct part_reader r = {.file = file, .at = at, .part = part};
    uint32_t kind = 0;

    snprintf(file->prefix, sizeof(file->prefix), "p%u.", p);
    TL_TRY(json_read_object(at, file->err));
    TL_TRY(read_word(&r, "kind", file_kinds, &kind));
    part->kind = known[kind].kind;
    if (part->kind != PART_MEAN) {
        r.model = arena_zalloc(file->arena, 1, sizeof(*r.model));
        if (!r.model)
            return file_no_memory(file);
        r.model->info = file->model->info;
        part->model = r.model;
    }
    TL_TRY(read_gives(&r));
    return known[kind].read(&r);
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
