/*
 * tilth's own model file, written from a model in memory: docs/model-file.md. What is written is
 * what model_read_file() makes of it again, to the bit; thresholds become the float32 that decides
 * every float32 alike.
 */
#include "model/file_private.h"

#include "base/buf.h"
#include "base/hash.h"
#include "model/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct writer {
    const char *name; /* of the model's source, in messages */
    struct tl_err *err;
    int64_t format; /* the least that holds what is written so far */
    json_t *tensors;
    struct buf data;
    char prefix[8];
    bool failed; /* memory is out */
};

static enum tl_code no_memory(const struct writer *w)
{
    return tl_fail(w->err, TL_NOMEM, "%s: no memory to write the model", w->name);
}

/* What an older tilth does not know must carry a number that it refuses. */
static void need_format(struct writer *w, int64_t format)
{
    w->format = TL_MAX(w->format, format);
}

/* Steals `value`. */
static void set(struct writer *w, json_t *object, const char *key, json_t *value)
{
    w->failed |= json_object_set_new(object, key, value) != 0;
}

static void append(struct writer *w, json_t *array, json_t *value)
{
    w->failed |= json_array_append_new(array, value) != 0;
}

/* ---- tensors ---- */

/*
 * Room for a tensor's `rows` x `columns` numbers of `item` bytes, valid until the next one;
 * columns 0: it has one dimension. NULL without memory, and then nothing more is written.
 */
static void *put(struct writer *w, const char *key, const char *dtype, uint64_t rows,
                 uint64_t columns)
{
    size_t item = file_dtype_bytes(dtype), size = rows * (columns ? columns : 1) * item;
    size_t begin = (w->data.size + 7) / 8 * 8, pad = begin - w->data.size;
    uint8_t *at = buf_extend(&w->data, pad + size);
    json_t *tensor = json_object(), *shape = json_array(), *offsets = json_array();
    char full[64];

    if (!at) {
        w->failed = true;
        json_decref(tensor);
        json_decref(shape);
        json_decref(offsets);
        return NULL;
    }
    memset(at, 0, pad);
    append(w, shape, json_integer((json_int_t)rows));
    if (columns)
        append(w, shape, json_integer((json_int_t)columns));
    append(w, offsets, json_integer((json_int_t)begin));
    append(w, offsets, json_integer((json_int_t)begin + (json_int_t)size));
    set(w, tensor, "dtype", json_string(dtype));
    set(w, tensor, "shape", shape);
    set(w, tensor, "data_offsets", offsets);
    snprintf(full, sizeof(full), "%s%s", w->prefix, key);
    set(w, w->tensors, full, tensor);
    return at + pad;
}

static void put_copy(struct writer *w, const char *key, const char *dtype, const void *numbers,
                     uint64_t rows, uint64_t columns)
{
    void *to = put(w, key, dtype, rows, columns);

    if (to)
        memcpy(to, numbers, rows * (columns ? columns : 1) * file_dtype_bytes(dtype));
}

/* ---- one ensemble ---- */

static bool is_leaf(const struct model_node *node)
{
    return node->left < 0;
}

static uint32_t feature_of(const struct model_node *node)
{
    return is_leaf(node) ? UINT32_MAX : node->feature;
}

static uint32_t threshold_of(const struct model_node *node)
{
    float threshold = is_leaf(node) ? 0 : model_floor(node->threshold);
    uint32_t bits;

    memcpy(&bits, &threshold, sizeof(bits));
    return bits;
}

static uint32_t left_of(const struct model_node *node)
{
    return is_leaf(node) ? UINT32_MAX : (uint32_t)node->left;
}

static uint32_t right_of(const struct model_node *node)
{
    return is_leaf(node) ? UINT32_MAX : (uint32_t)node->right;
}

static uint32_t leaf_of(const struct model_node *node)
{
    if (is_leaf(node))
        return (uint32_t)node->right;
    return node->missing == MISSING_SET ? node->set : 0;
}

static void put_nodes(struct writer *w, const struct model *model)
{
    static const struct {
        const char *key, *dtype;
        uint32_t (*of)(const struct model_node *node);
    } columns[] = {{"feature", "I32", feature_of},
                   {"threshold", "F32", threshold_of},
                   {"left", "I32", left_of},
                   {"right", "I32", right_of},
                   {"leaf", "U32", leaf_of}};
    uint64_t count = model->info.node_count;

    for (size_t c = 0; c < TL_COUNT(columns); c++) {
        uint32_t *to = put(w, columns[c].key, columns[c].dtype, count, 0);

        for (uint64_t i = 0; to && i < count; i++)
            to[i] = columns[c].of(&model->nodes[i]);
    }
}

/* The byte of `missing` of a split. */
static uint8_t missing_of(const struct model_node *node)
{
    uint8_t rule = 0;

    if (is_leaf(node) || node->missing == MISSING_COMPARE)
        return 0;
    while (file_missing[rule] != node->missing)
        rule++;
    return (uint8_t)(rule | (node->default_left ? FILE_DEFAULT_LEFT : 0));
}

static void put_missing(struct writer *w, const struct model *model)
{
    uint64_t count = model->info.node_count;
    bool any = false;

    for (uint64_t i = 0; i < count; i++) {
        const struct model_node *node = &model->nodes[i];

        any |= missing_of(node) != 0;
        if (!is_leaf(node) && (node->missing == MISSING_NONE || node->missing == MISSING_NAN))
            need_format(w, 3);
    }
    uint8_t *to = any ? put(w, "missing", "U8", count, 0) : NULL;
    for (uint64_t i = 0; to && i < count; i++)
        to[i] = missing_of(&model->nodes[i]);
}

static void put_sets(struct writer *w, const struct model *model)
{
    uint32_t all = 0;

    if (model->set_count == 0)
        return;
    uint32_t *offsets = put(w, "set_offsets", "U32", model->set_count + 1UL, 0);
    for (uint32_t i = 0; offsets && i < model->set_count; i++) {
        offsets[i] = all;
        all += model->sets[i].count;
    }
    if (offsets)
        offsets[model->set_count] = all;
    float *bounds = put(w, "set_bounds", "F32", all, 0);
    for (uint32_t i = 0; bounds && i < model->set_count; i++) {
        memcpy(bounds, model->sets[i].bounds, model->sets[i].count * sizeof(*bounds));
        bounds += model->sets[i].count;
    }
}

static void put_tree_scores(struct writer *w, const struct model *model)
{
    bool in_turn = true;

    for (uint32_t t = 0; t < model->info.tree_count; t++)
        in_turn &= model->leaf_width > 1 || model_tree_score(model, t) == t % model->score_count;
    if (in_turn)
        return;
    need_format(w, 3);
    uint32_t *scores = put(w, "tree_scores", "U32", model->info.tree_count, 0);
    for (uint32_t t = 0; scores && t < model->info.tree_count; t++)
        scores[t] = model_tree_score(model, t);
}

static void put_lines(struct writer *w, const struct model *model)
{
    uint64_t count = model->leaf_count, terms = 0;

    if (!model->lines)
        return;
    need_format(w, 3);
    double *constants = put(w, "line_constant", "F64", count, 0);
    for (uint64_t i = 0; constants && i < count; i++)
        constants[i] = model->lines[i].constant;
    uint32_t *offsets = put(w, "line_offsets", "U32", count + 1, 0);
    for (uint64_t i = 0; offsets && i <= count; i++) {
        offsets[i] = (uint32_t)terms; /* below what a file may hold, or put() fails */
        terms += i < count ? model->lines[i].count : 0;
    }
    uint32_t *features = put(w, "term_feature", "U32", terms, 0);
    for (uint64_t i = 0; features && i < count; i++)
        for (uint32_t t = 0; t < model->lines[i].count; t++)
            *features++ = model->terms[model->lines[i].begin + t].feature;
    double *coefficients = put(w, "term_coefficient", "F64", terms, 0);
    for (uint64_t i = 0; coefficients && i < count; i++)
        for (uint32_t t = 0; t < model->lines[i].count; t++)
            *coefficients++ = model->terms[model->lines[i].begin + t].coefficient;
}

static void put_trees(struct writer *w, const struct model *model)
{
    put_copy(w, "tree_offsets", "U32", model->tree_offsets, model->info.tree_count + 1UL, 0);
    put_nodes(w, model);
    put_missing(w, model);
    put_sets(w, model);
    put_copy(w, "leaf_values", "F64", model->leaf_values, model->leaf_count, model->leaf_width);
    put_tree_scores(w, model);
    put_lines(w, model);
}

/* ---- parts ---- */

static void set_number(struct writer *w, json_t *part, const char *key, double number,
                       double fallback)
{
    if (number != fallback)
        set(w, part, key, json_real(number));
}

/* How scores become probabilities and a label; keys that hold their default are left out. */
static void set_output(struct writer *w, json_t *part, const struct model *model)
{
    set(w, part, "output", json_string(file_outputs[model->output]));
    if (model->output == OUTPUT_SHARE || model->output == OUTPUT_SHARED ||
        model->arithmetic == ARITHMETIC_ONNX ||
        (model->output == OUTPUT_SOFTMAX && model->sigmoid != 1))
        need_format(w, 3);
    if (model->arithmetic != ARITHMETIC_DOUBLE)
        set(w, part, "arithmetic", json_string(file_arithmetics[model->arithmetic]));
    if (model->winner_by_score)
        set(w, part, "label", json_string("score"));
    set_number(w, part, "above", model->winner_above, 0);
    set_number(w, part, "slope", model->sigmoid, 1);
    if (model->output != OUTPUT_MEAN) /* there it is the number of trees */
        set_number(w, part, "divisor", model->divisor, 1);
    set_number(w, part, "scale", model->scale, 0);
    if (model->base)
        put_copy(w, "base", "F64", model->base, model->score_count, 0);
}

static void set_inputs(struct writer *w, json_t *object, const struct model_part *part)
{
    json_t *inputs = json_array();

    for (uint32_t i = 0; i < part->input_count; i++)
        append(w, inputs, json_integer(part->inputs[i]));
    set(w, object, "inputs", inputs);
}

static void put_curves(struct writer *w, uint32_t number, const struct model_curve *curves,
                       uint32_t count)
{
    uint32_t all = 0;
    char key[32];

    snprintf(key, sizeof(key), "scaling%u_offsets", number);
    uint32_t *offsets = put(w, key, "U32", count + 1UL, 0);
    for (uint32_t c = 0; offsets && c <= count; c++) {
        offsets[c] = all;
        all += c < count ? curves[c].count : 0;
    }
    snprintf(key, sizeof(key), "scaling%u_x", number);
    double *x = put(w, key, "F64", all, 0);
    for (uint32_t c = 0; x && c < count; c++, x += curves[c - 1].count)
        memcpy(x, curves[c].x, curves[c].count * sizeof(*x));
    snprintf(key, sizeof(key), "scaling%u_y", number);
    double *y = put(w, key, "F64", all, 0);
    for (uint32_t c = 0; y && c < count; c++, y += curves[c - 1].count)
        memcpy(y, curves[c].y, curves[c].count * sizeof(*y));
}

static void put_scalings(struct writer *w, json_t *part, const struct model_part *from)
{
    const struct model_net *net = from->net;
    json_t *list = json_array();
    char key[24];

    for (uint32_t i = 0; i < net->scaling_count; i++) {
        const struct model_scaling *scaling = &net->scalings[i];
        json_t *object = json_object();

        set(w, object, "op", json_string(file_scalings[scaling->kind]));
        if (scaling->narrow)
            set(w, object, "float32", json_true());
        append(w, list, object);
        snprintf(key, sizeof(key), "scaling%u", i);
        if (scaling->numbers)
            put_copy(w, key, "F64", scaling->numbers, from->input_count, 0);
        if (scaling->curves)
            put_curves(w, i, scaling->curves, from->input_count);
    }
    set(w, part, "scaling", list);
}

static void put_layers(struct writer *w, json_t *part, const struct model_net *net)
{
    json_t *list = json_array();
    char key[24];

    for (uint32_t i = 0; i < net->layer_count; i++) {
        const struct model_layer *layer = &net->layers[i];
        json_t *object = json_object();

        set(w, object, "activation", json_string(file_activations[layer->activation]));
        append(w, list, object);
        snprintf(key, sizeof(key), "weights%u", i);
        put_copy(w, key, "F64", layer->weights, layer->output_count, layer->input_count);
        snprintf(key, sizeof(key), "bias%u", i);
        put_copy(w, key, "F64", layer->bias, layer->output_count, 0);
    }
    set(w, part, "layers", list);
    if (net->narrow)
        set(w, part, "float32", json_true());
}

static void put_part(struct writer *w, json_t *parts, uint32_t p, const struct model_part *part)
{
    json_t *object = json_object();

    snprintf(w->prefix, sizeof(w->prefix), "p%u.", p);
    set(w, object, "kind", json_string(file_kinds[part->kind]));
    if (part->inputs)
        set_inputs(w, object, part);
    if (part->gives_label) {
        need_format(w, 3);
        set(w, object, "gives", json_string("label"));
    }
    switch (part->kind) {
    case PART_TREES:
        set_output(w, object, part->model);
        put_trees(w, part->model);
        break;
    case PART_MEAN:
        set(w, object, "divisor", json_real(part->divisor));
        if (part->narrow)
            set(w, object, "float32", json_true());
        if (part->winner_by_score) {
            need_format(w, 3);
            set(w, object, "label", json_string("score"));
        }
        if (part->weights)
            put_copy(w, "weights", "F64", part->weights, part->input_count, 0);
        break;
    case PART_NET:
        need_format(w, 3);
        set_output(w, object, part->model);
        put_scalings(w, object, part);
        put_layers(w, object, part->net);
        break;
    }
    append(w, parts, object);
}

static void put_parts(struct writer *w, json_t *manifest, const struct model *model)
{
    struct model_part only = {
        .kind = PART_TREES, .model = model, .input_count = model->info.feature_count};
    json_t *parts = json_array();

    if (!model->part_count)
        put_part(w, parts, 0, &only);
    for (uint32_t p = 0; p < model->part_count; p++)
        put_part(w, parts, p, &model->parts[p]);
    set(w, manifest, "parts", parts);
    w->prefix[0] = '\0';
}

/* ---- the manifest ---- */

static void set_classes(struct writer *w, json_t *manifest, const struct model_info *info)
{
    json_t *classes = json_array();

    for (uint32_t c = 0; c < info->class_count; c++) {
        const struct model_class *from = &info->classes[c];
        json_t *class = json_object();
        char color[8];

        set(w, class, "value", json_integer(from->value));
        set(w, class, "name", json_string(from->name));
        snprintf(color, sizeof(color), "%06X", from->color & 0xFFFFFF);
        if (from->color != MODEL_NO_COLOR)
            set(w, class, "color", json_string(color));
        append(w, classes, class);
    }
    set(w, manifest, "classes", classes);
}

/* What info.provenance holds as text is keys of the manifest: library and provenance. */
static void set_provenance(struct writer *w, json_t *manifest, const char *text)
{
    AUTO_JSON both = text[0] ? json_loads(text, 0, NULL) : NULL;

    if (both)
        w->failed |= json_object_update(manifest, both) != 0;
}

static void set_manifest(struct writer *w, json_t *manifest, const struct model *model)
{
    const struct model_info *info = &model->info;
    json_t *features = json_array();
    char crc[9];

    set(w, manifest, "format", json_integer(w->format));
    set(w, manifest, "name", json_string(info->name));
    set(w, manifest, "kind", json_string(info->kind));
    for (uint32_t f = 0; f < info->feature_count; f++)
        append(w, features, json_string(info->features[f]));
    set(w, manifest, "features", features);
    set_classes(w, manifest, info);
    set_provenance(w, manifest, info->provenance);
    if (info->golden_own)
        set(w, manifest, "golden", json_string("tilth"));
    snprintf(crc, sizeof(crc), "%08x", hash_crc32(w->data.bytes, w->data.size));
    set(w, manifest, "crc32", json_string(crc));
}

/* The length of the header, the header with the manifest in it, and the tensors. */
static enum tl_code put_together(struct writer *w, const json_t *manifest, struct buf *ret_file)
{
    char *text = json_dumps(manifest, JSON_COMPACT), *header = NULL;
    json_t *metadata = json_object();

    if (text) {
        set(w, metadata, "tilth", json_string(text));
        set(w, w->tensors, "__metadata__", metadata);
        header = json_dumps(w->tensors, JSON_COMPACT);
    } else {
        json_decref(metadata);
    }
    if (header && !w->failed) {
        size_t size = strlen(header), padded = (size + 7) / 8 * 8;
        uint64_t length = padded;

        buf_append(ret_file, &length, sizeof(length));
        buf_append(ret_file, header, size);
        buf_append(ret_file, "        ", padded - size);
        buf_append(ret_file, w->data.bytes, w->data.size);
    }
    w->failed |= !header || buf_failed(ret_file);
    free(text);
    free(header);
    return w->failed ? no_memory(w) : TL_OK;
}

static void put_golden(struct writer *w, const struct model *model)
{
    const struct model_info *info = &model->info;

    put_copy(w, "golden_x", "F32", model->golden_x, info->golden_rows, info->feature_count);
    put_copy(w, "golden_p", "F64", model->golden_p, info->golden_rows, info->class_count);
    put_copy(w, "golden_label", "U8", model->golden_label, info->golden_rows, 0);
}

enum tl_code model_write_file(const char *name, const struct model *model, struct buf *ret_file,
                              struct tl_err *err)
{
    struct writer w = {.name = name, .err = err, .format = 2, .tensors = json_object()};
    AUTO_JSON manifest = json_object();

    put_parts(&w, manifest, model);
    put_golden(&w, model);
    if (!w.failed)
        set_manifest(&w, manifest, model);
    enum tl_code code = w.failed ? no_memory(&w) : put_together(&w, manifest, ret_file);
    if (code == TL_OK && ret_file->size > MODEL_MAX_FILE_BYTES)
        code = tl_fail(err, TL_LIMIT,
                       "%s: as a file of tilth's own it would have %zu bytes; a "
                       "model has at most %zu",
                       name, ret_file->size, MODEL_MAX_FILE_BYTES);
    json_decref(w.tensors);
    buf_release(&w.data);
    return code;
}
