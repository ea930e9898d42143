/*
 * tilth's own model file: docs/model-file.md. Nothing of it is believed: every tensor is
 * held against the file's size before it is read, every number against its range.
 */
#include "base/arena.h"
#include "base/hash.h"
#include "base/json.h"
#include "classify/model_parsed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensors are copied as they lie in the file, which is little-endian"
#endif

enum { HEADER_MAX_BYTES = 16 << 20, MAX_TENSORS = 64, MAX_NAME_BYTES = 256 };

struct tensor {
    const char *key, *dtype;
    uint32_t rank;
    uint64_t shape[2];
    uint64_t begin, end; /* from the first byte after the header */
};

struct reader {
    const char *name;
    const uint8_t *data; /* the tensors */
    size_t data_size;
    struct arena *arena;
    struct model *model;
    struct tl_err *err;
    bool has_crc;
    uint32_t crc; /* of `data`, as the manifest has it */
    size_t tensor_count;
    struct tensor tensors[MAX_TENSORS];
};

static enum tl_code corrupt(const struct reader *reader, const char *key, const char *what)
{
    return tl_fail(reader->err, TL_CORRUPT, "%s: tensor %s: %s; export the model again",
                   reader->name, key, what);
}

static enum tl_code no_memory(const struct reader *reader)
{
    return tl_fail(reader->err, TL_NOMEM, "%s: no memory for the model", reader->name);
}

static size_t dtype_bytes(const char *dtype)
{
    static const struct {
        const char *dtype;
        size_t bytes;
    } known[] = {{"F64", 8}, {"F32", 4}, {"I32", 4}, {"U32", 4}, {"U8", 1}};

    for (size_t i = 0; i < TL_COUNT(known); i++)
        if (strcmp(dtype, known[i].dtype) == 0)
            return known[i].bytes;
    return 0;
}

/* ---- the container ---- */

static enum tl_code read_shape(struct reader *reader, struct json_at at, struct tensor *tensor)
{
    size_t rank;

    TL_TRY(json_read_array(at, false, &rank, reader->err));
    if (rank < 1 || rank > 2)
        return json_refuse(&at, reader->err, "one or two dimensions are needed, not %zu", rank);
    tensor->rank = (uint32_t)rank;
    tensor->shape[1] = 1;
    for (size_t i = 0; i < rank; i++) {
        int64_t extent;

        TL_TRY(json_read_int(json_item(&at, i), 0, UINT32_MAX, &extent, reader->err));
        tensor->shape[i] = (uint64_t)extent;
    }
    return TL_OK;
}

static enum tl_code read_offsets(struct reader *reader, struct json_at at, struct tensor *tensor)
{
    size_t count;
    int64_t begin, end;

    TL_TRY(json_read_array(at, false, &count, reader->err));
    if (count != 2)
        return json_refuse(&at, reader->err, "[begin, end] is needed");
    TL_TRY(json_read_int(json_item(&at, 0), 0, INT64_MAX, &begin, reader->err));
    TL_TRY(json_read_int(json_item(&at, 1), begin, INT64_MAX, &end, reader->err));
    if ((uint64_t)end > reader->data_size || begin % 8 != 0)
        return json_refuse(&at, reader->err,
                           "the tensor leaves the file (%zu bytes) or does not start at a multiple "
                           "of 8",
                           reader->data_size);
    tensor->begin = (uint64_t)begin;
    tensor->end = (uint64_t)end;
    return TL_OK;
}

static enum tl_code read_tensor(struct reader *reader, struct json_at at, struct tensor *tensor)
{
    static const char *const known[] = {"dtype", "shape", "data_offsets", NULL};
    struct json_at shape = json_key(&at, "shape"), offsets = json_key(&at, "data_offsets");

    TL_TRY(json_read_object(at, reader->err));
    TL_TRY(json_known_keys(at, known, reader->err));
    TL_TRY(json_read_string(json_key(&at, "dtype"), &tensor->dtype, reader->err));
    TL_TRY(read_shape(reader, shape, tensor));
    TL_TRY(read_offsets(reader, offsets, tensor));
    size_t item = dtype_bytes(tensor->dtype);
    if (item == 0)
        return json_refuse(&at, reader->err, "the dtype %s is not one of F64 F32 I32 U32 U8",
                           tensor->dtype);
    uint64_t bytes;
    if (__builtin_mul_overflow(tensor->shape[0], tensor->shape[1], &bytes) ||
        __builtin_mul_overflow(bytes, item, &bytes) || bytes != tensor->end - tensor->begin)
        return json_refuse(&at, reader->err, "the shape does not fill the bytes");
    return TL_OK;
}

static enum tl_code check_overlap(const struct reader *reader)
{
    for (size_t i = 0; i < reader->tensor_count; i++)
        for (size_t j = 0; j < i; j++) {
            const struct tensor *a = &reader->tensors[i], *b = &reader->tensors[j];

            if (a->begin < b->end && b->begin < a->end)
                return corrupt(reader, a->key, "it overlaps another tensor");
        }
    return TL_OK;
}

static enum tl_code read_tensors(struct reader *reader, const struct json_at *root,
                                 json_t *document)
{
    const char *key;
    json_t *value;

    json_object_foreach(document, key, value)
    {
        if (strcmp(key, "__metadata__") == 0)
            continue;
        if (reader->tensor_count == MAX_TENSORS)
            return tl_fail(reader->err, TL_LIMIT, "%s: more than %d tensors", reader->name,
                           MAX_TENSORS);
        struct tensor *tensor = &reader->tensors[reader->tensor_count++];
        tensor->key = key;
        TL_TRY(read_tensor(reader, json_key(root, key), tensor));
    }
    return check_overlap(reader);
}

/* The tensor `key`, still in the file; `columns` 0 means one dimension. */
static enum tl_code take(struct reader *reader, const char *key, const char *dtype,
                         uint64_t columns, const struct tensor **ret_tensor)
{
    for (size_t i = 0; i < reader->tensor_count; i++) {
        const struct tensor *tensor = &reader->tensors[i];

        if (strcmp(tensor->key, key) != 0)
            continue;
        if (strcmp(tensor->dtype, dtype) != 0)
            return corrupt(reader, key, "it has another dtype than docs/model-file.md says");
        if (tensor->rank != (columns ? 2 : 1) || (columns && tensor->shape[1] != columns))
            return corrupt(reader, key, "it has another shape than the manifest asks for");
        *ret_tensor = tensor;
        return TL_OK;
    }
    return corrupt(reader, key, "it is missing");
}

static void *copy_tensor(const struct reader *reader, const struct tensor *tensor)
{
    size_t size = (size_t)(tensor->end - tensor->begin);
    void *copy = arena_alloc(reader->arena, TL_MAX(size, (size_t)1), 1);

    if (copy)
        memcpy(copy, reader->data + tensor->begin, size);
    return copy;
}

/* ---- the manifest ---- */

static char *keep_text(const struct reader *reader, const char *text)
{
    return arena_printf(reader->arena, "%s", text);
}

static enum tl_code read_name(struct reader *reader, struct json_at at, const char **ret_name)
{
    const char *text;

    TL_TRY(json_read_string(at, &text, reader->err));
    size_t size = strlen(text);
    if (size == 0 || size > MAX_NAME_BYTES)
        return json_refuse(&at, reader->err, "a name of 1 to %d bytes is needed, not %zu",
                           MAX_NAME_BYTES, size);
    char *copy = keep_text(reader, text);
    if (!copy)
        return no_memory(reader);
    *ret_name = copy;
    return TL_OK;
}

static enum tl_code read_features(struct reader *reader, struct json_at at)
{
    size_t count;

    TL_TRY(json_read_array(at, false, &count, reader->err));
    if (count < 1 || count > FOREST_MAX_FEATURES)
        return json_refuse(&at, reader->err, "1 to %d features are needed, not %zu",
                           FOREST_MAX_FEATURES, count);
    const char **names = arena_alloc(reader->arena, count, sizeof(*names));
    if (!names)
        return no_memory(reader);
    for (size_t i = 0; i < count; i++) {
        struct json_at item = json_item(&at, i);

        TL_TRY(read_name(reader, item, &names[i]));
        for (size_t j = 0; j < i; j++)
            if (strcmp(names[i], names[j]) == 0)
                return json_refuse(&item, reader->err, "the name %s is there twice", names[i]);
    }
    reader->model->info.features = names;
    reader->model->info.feature_count = (uint32_t)count;
    return TL_OK;
}

static enum tl_code read_color(struct reader *reader, struct json_at at, uint32_t *ret_color)
{
    const char *text;
    uint32_t color = 0;

    if (!at.value || json_is_null(at.value)) {
        *ret_color = FOREST_NO_COLOR;
        return TL_OK;
    }
    TL_TRY(json_read_string(at, &text, reader->err));
    if (strlen(text) != 6 || strspn(text, "0123456789abcdefABCDEF") != 6)
        return json_refuse(&at, reader->err, "six hex digits are needed, not \"%.32s\"", text);
    for (const char *c = text; *c; c++)
        color = color * 16 + (uint32_t)(*c <= '9' ? *c - '0' : (*c | 32) - 'a' + 10);
    *ret_color = color;
    return TL_OK;
}

static enum tl_code read_class(struct reader *reader, struct json_at at, struct forest_class *class)
{
    static const char *const known[] = {"value", "name", "color", NULL};
    struct json_at value = json_key(&at, "value"), name = json_key(&at, "name");
    struct json_at color = json_key(&at, "color");
    int64_t number;

    TL_TRY(json_read_object(at, reader->err));
    TL_TRY(json_known_keys(at, known, reader->err));
    TL_TRY(json_read_int(value, 0, MODEL_MAX_VALUE, &number, reader->err));
    class->value = (uint8_t)number;
    TL_TRY(read_name(reader, name, &class->name));
    return read_color(reader, color, &class->color);
}

static enum tl_code read_classes(struct reader *reader, struct json_at at)
{
    bool used[FOREST_MAX_CLASSES] = {false};
    size_t count;

    TL_TRY(json_read_array(at, false, &count, reader->err));
    if (count < 1 || count > MODEL_MAX_VALUE + 1)
        return json_refuse(&at, reader->err, "1 to %d classes are needed, not %zu",
                           MODEL_MAX_VALUE + 1, count);
    struct forest_class *classes = arena_alloc(reader->arena, count, sizeof(*classes));
    if (!classes)
        return no_memory(reader);
    for (size_t i = 0; i < count; i++) {
        struct json_at item = json_item(&at, i);

        TL_TRY(read_class(reader, item, &classes[i]));
        if (used[classes[i].value])
            return json_refuse(&item, reader->err, "the value %u is there twice", classes[i].value);
        used[classes[i].value] = true;
    }
    reader->model->info.classes = classes;
    reader->model->info.class_count = (uint32_t)count;
    return TL_OK;
}

/* {"library": .., "provenance": ..} as text; both are for people only. */
static enum tl_code read_provenance(struct reader *reader, const json_t *root)
{
    static const char *const keys[] = {"library", "provenance"};
    AUTO_JSON both = json_object();

    for (size_t i = 0; i < TL_COUNT(keys); i++) {
        json_t *value = json_object_get(root, keys[i]);

        if (value && (!both || json_object_set(both, keys[i], value) != 0))
            return no_memory(reader);
    }
    char *text = both ? json_dumps(both, JSON_COMPACT) : NULL;
    if (!text)
        return no_memory(reader);
    reader->model->info.provenance = keep_text(reader, text);
    free(text);
    return reader->model->info.provenance ? TL_OK : no_memory(reader);
}

static enum tl_code read_kind(struct reader *reader, struct json_at at)
{
    const char *kind;

    TL_TRY(json_read_string(at, &kind, reader->err));
    if (strcmp(kind, "random-forest") != 0 && strcmp(kind, "extra-trees") != 0)
        return tl_fail(reader->err, TL_UNSUPPORTED,
                       "%s: a model of kind \"%.64s\" is not served; random-forest, extra-trees "
                       "and LightGBM's own text file are",
                       reader->name, kind);
    reader->model->info.kind = keep_text(reader, kind);
    return reader->model->info.kind ? TL_OK : no_memory(reader);
}

static enum tl_code read_checksum(struct reader *reader, struct json_at at)
{
    const char *text;

    if (!at.value)
        return TL_OK;
    TL_TRY(json_read_string(at, &text, reader->err));
    if (strlen(text) != 8 || strspn(text, "0123456789abcdef") != 8)
        return json_refuse(&at, reader->err, "eight hex digits in small letters are needed");
    reader->crc = (uint32_t)strtoul(text, NULL, 16);
    reader->has_crc = true;
    return TL_OK;
}

static enum tl_code read_manifest(struct reader *reader, const char *text)
{
    static const char *const known[] = {"format",  "name",       "kind",  "features", "classes",
                                        "library", "provenance", "crc32", NULL};
    AUTO_JSON document = NULL;
    int64_t format;

    TL_TRY(json_parse(reader->name, text, strlen(text), &document, reader->err));
    struct json_at root = json_root(reader->name, document);
    TL_TRY(json_read_object(root, reader->err));
    struct json_at at = json_key(&root, "format");
    TL_TRY(json_read_int(at, 0, INT32_MAX, &format, reader->err));
    if (format != 1)
        return tl_fail(reader->err, TL_UNSUPPORTED, "%s: format %d; this tilth reads format 1",
                       reader->name, (int)format);
    TL_TRY(json_known_keys(root, known, reader->err));
    TL_TRY(read_checksum(reader, json_key(&root, "crc32")));
    TL_TRY(read_name(reader, json_key(&root, "name"), &reader->model->info.name));
    TL_TRY(read_kind(reader, json_key(&root, "kind")));
    TL_TRY(read_features(reader, json_key(&root, "features")));
    TL_TRY(read_classes(reader, json_key(&root, "classes")));
    return read_provenance(reader, document);
}

/* ---- the trees ---- */

static enum tl_code read_tree_offsets(struct reader *reader, uint64_t *ret_nodes)
{
    struct forest_info *info = &reader->model->info;
    const struct tensor *tensor;

    TL_TRY(take(reader, "tree_offsets", "U32", 0, &tensor));
    if (tensor->shape[0] < 2)
        return corrupt(reader, "tree_offsets", "there is no tree");
    if (tensor->shape[0] - 1 > MODEL_MAX_TREES)
        return tl_fail(reader->err, TL_LIMIT, "%s: %ju trees, at most %d", reader->name,
                       (uintmax_t)(tensor->shape[0] - 1), MODEL_MAX_TREES);
    uint32_t *offsets = copy_tensor(reader, tensor);
    if (!offsets)
        return no_memory(reader);
    info->tree_count = (uint32_t)(tensor->shape[0] - 1);
    if (offsets[0] != 0)
        return corrupt(reader, "tree_offsets", "the first entry is not 0");
    for (uint32_t t = 0; t < info->tree_count; t++) {
        if (offsets[t + 1] <= offsets[t])
            return corrupt(reader, "tree_offsets", "a tree without nodes");
        if (offsets[t + 1] - offsets[t] > MODEL_MAX_TREE_NODES)
            return tl_fail(reader->err, TL_LIMIT, "%s: tree %u has more than %u nodes",
                           reader->name, t, MODEL_MAX_TREE_NODES);
    }
    reader->model->tree_offsets = offsets;
    *ret_nodes = offsets[info->tree_count];
    return TL_OK;
}

/* The five parallel arrays of nodes, still in the file. */
struct columns {
    const uint8_t *feature, *threshold, *left, *right, *leaf;
};

static enum tl_code find_column(struct reader *reader, const char *key, const char *dtype,
                                const uint8_t **ret_bytes)
{
    const struct tensor *tensor;

    TL_TRY(take(reader, key, dtype, 0, &tensor));
    if (tensor->shape[0] != reader->model->info.node_count)
        return corrupt(reader, key, "its length is not the last entry of tree_offsets");
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

static enum tl_code read_node(struct reader *reader, const struct columns *from, uint64_t i,
                              struct model_node *node)
{
    int32_t feature = i32_at(from->feature, i), leaf = i32_at(from->leaf, i);
    int32_t left = i32_at(from->left, i), right = i32_at(from->right, i);

    *node = (struct model_node){.threshold = (double)f32_at(from->threshold, i),
                                .left = left,
                                .right = right,
                                .missing = MISSING_COMPARE};
    if (feature == -1) {
        if (left != -1 || right != -1 || leaf < 0)
            return tl_fail(reader->err, TL_CORRUPT,
                           "%s: node %ju is a leaf (feature -1) with children, or its row of "
                           "leaf_values is out of range",
                           reader->name, (uintmax_t)i);
        node->right = leaf;
        return TL_OK;
    }
    if (feature < 0 || feature >= FOREST_MAX_FEATURES || left < 0 || right < 0)
        return tl_fail(reader->err, TL_CORRUPT,
                       "%s: node %ju: feature %d, children %d and %d: out of range", reader->name,
                       (uintmax_t)i, feature, left, right);
    node->feature = (uint16_t)feature;
    return TL_OK;
}

static enum tl_code read_nodes(struct reader *reader)
{
    struct model *model = reader->model;
    struct columns from;

    TL_TRY(read_tree_offsets(reader, &model->info.node_count));
    if (model->info.node_count > MODEL_MAX_NODES)
        return tl_fail(reader->err, TL_LIMIT, "%s: %ju nodes, at most %ju", reader->name,
                       (uintmax_t)model->info.node_count, (uintmax_t)MODEL_MAX_NODES);
    TL_TRY(find_column(reader, "feature", "I32", &from.feature));
    TL_TRY(find_column(reader, "threshold", "F32", &from.threshold));
    TL_TRY(find_column(reader, "left", "I32", &from.left));
    TL_TRY(find_column(reader, "right", "I32", &from.right));
    TL_TRY(find_column(reader, "leaf", "U32", &from.leaf));
    model->nodes = arena_alloc(reader->arena, model->info.node_count, sizeof(*model->nodes));
    if (!model->nodes)
        return no_memory(reader);
    for (uint64_t i = 0; i < model->info.node_count; i++)
        TL_TRY(read_node(reader, &from, i, &model->nodes[i]));
    return TL_OK;
}

/* Rows must be probabilities: the sweep's error bound assumes 0..1, and sums of 1. */
static enum tl_code read_leaf_values(struct reader *reader)
{
    struct model *model = reader->model;
    uint32_t width = model->info.class_count;
    const struct tensor *tensor;

    TL_TRY(take(reader, "leaf_values", "F64", width, &tensor));
    double *values = copy_tensor(reader, tensor);
    if (!values)
        return no_memory(reader);
    for (uint64_t row = 0; row < tensor->shape[0]; row++) {
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
    model->leaf_values = values;
    model->leaf_count = tensor->shape[0];
    return TL_OK;
}

static enum tl_code read_golden(struct reader *reader)
{
    struct forest_info *info = &reader->model->info;
    const struct tensor *x, *p, *label;

    TL_TRY(take(reader, "golden_x", "F32", info->feature_count, &x));
    TL_TRY(take(reader, "golden_p", "F64", info->class_count, &p));
    TL_TRY(take(reader, "golden_label", "U8", 0, &label));
    if (x->shape[0] == 0)
        return corrupt(reader, "golden_x", "there is no row to prove the model with");
    if (p->shape[0] != x->shape[0] || label->shape[0] != x->shape[0])
        return corrupt(reader, "golden_x", "golden_p or golden_label has another number of rows");
    reader->model->golden_x = copy_tensor(reader, x);
    reader->model->golden_p = copy_tensor(reader, p);
    reader->model->golden_label = copy_tensor(reader, label);
    if (!reader->model->golden_x || !reader->model->golden_p || !reader->model->golden_label)
        return no_memory(reader);
    info->golden_rows = (uint32_t)x->shape[0];
    return TL_OK;
}

static enum tl_code read_header(struct reader *reader, json_t *document)
{
    struct json_at root = json_root(reader->name, document);
    const char *manifest;

    TL_TRY(json_read_object(root, reader->err));
    struct json_at metadata = json_key(&root, "__metadata__");
    TL_TRY(json_read_object(metadata, reader->err));
    TL_TRY(json_read_string(json_key(&metadata, "tilth"), &manifest, reader->err));
    TL_TRY(read_manifest(reader, manifest));
    return read_tensors(reader, &root, document);
}

/* What the golden rows cannot see: they do not visit every node. */
static enum tl_code check_checksum(const struct reader *reader)
{
    if (!reader->has_crc)
        return TL_OK;
    uint32_t crc = hash_crc32(reader->data, reader->data_size);
    if (crc == reader->crc)
        return TL_OK;
    return tl_fail(reader->err, TL_CORRUPT,
                   "%s: the tensors do not have the checksum of the manifest (crc32 %08x, they "
                   "have %08x): the file is damaged; export it again",
                   reader->name, reader->crc, crc);
}

/*
 * Pickles (protocol 2 and later open with 0x80 and their number), bare or in the containers that
 * joblib and skops use. None of these openings is the length of a header: a pickle goes on with
 * bytes that make it longer than HEADER_MAX_BYTES.
 */
static bool is_pickle(const uint8_t *bytes, size_t size)
{
    static const struct {
        size_t size;
        const char *bytes;
    } archives[] = {{4, "PK\3\4"},
                    {3, "\x1f\x8b\x08"},
                    {2, "x\x01"},
                    {2, "x\x5e"},
                    {2, "x\x9c"},
                    {2, "x\xda"},
                    {3, "BZh"},
                    {6, "\xfd"
                        "7zXZ\0"},
                    {3, "\x5d\0\0"}};

    if (size >= 2 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5)
        return true;
    for (size_t i = 0; i < TL_COUNT(archives); i++)
        if (size >= archives[i].size && memcmp(bytes, archives[i].bytes, archives[i].size) == 0)
            return true;
    return false;
}

static enum tl_code refuse_container(const char *name, const uint8_t *bytes, size_t size,
                                     uint64_t header, struct tl_err *err)
{
    if (is_pickle(bytes, size))
        return tl_fail(err, TL_UNSUPPORTED,
                       "%s: this is a pickle or a compressed one (joblib). tilth never opens "
                       "one, it could run anything: export the model where it was trained, with "
                       "tilth.export(model, \"model.tilth\", features=[...], classes=[...])",
                       name);
    return tl_fail(err, TL_CORRUPT,
                   "%s: neither a tilth model file nor a format of docs/model-formats.md, or cut "
                   "short (header of "
                   "%ju bytes in a file of %zu). tilth.export() writes a model file where it was "
                   "trained",
                   name, (uintmax_t)header, size);
}

enum tl_code model_read_file(const char *name, const uint8_t *bytes, size_t size,
                             struct arena *arena, struct model *ret_model, struct tl_err *err)
{
    struct model model = {.output = OUTPUT_MEAN};
    struct reader reader = {.name = name, .arena = arena, .model = &model, .err = err};
    AUTO_JSON document = NULL;
    uint64_t header;

    if (size < sizeof(header))
        return tl_fail(err, TL_CORRUPT, "%s: %zu bytes are no model file", name, size);
    memcpy(&header, bytes, sizeof(header));
    if (header % 8 != 0 || header > HEADER_MAX_BYTES || header > size - sizeof(header))
        return refuse_container(name, bytes, size, header, err);
    TL_TRY(json_parse(name, bytes + sizeof(header), (size_t)header, &document, err));
    reader.data = bytes + sizeof(header) + header;
    reader.data_size = size - sizeof(header) - (size_t)header;
    TL_TRY(read_header(&reader, document));
    TL_TRY(check_checksum(&reader));
    TL_TRY(read_nodes(&reader));
    TL_TRY(read_leaf_values(&reader));
    TL_TRY(read_golden(&reader));
    model.score_count = model.leaf_width = model.info.class_count;
    model.divisor = (double)model.info.tree_count;
    TL_TRY(model_check_trees(name, &model, err));
    *ret_model = model;
    return TL_OK;
}
