/*
 * tilth's own model file: docs/model-file.md. Nothing of it is believed: every tensor is
 * held against the file's size before it is read, every number against its range.
 */
#include "model/file_private.h"

#include "base/arena.h"
#include "base/hash.h"

#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensors are copied as they lie in the file, which is little-endian"
#endif

enum { HEADER_MAX_BYTES = 16 << 20 };

size_t file_dtype_bytes(const char *dtype)
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

static enum tl_code read_shape(struct file_reader *reader, struct json_at at,
                               struct file_tensor *tensor)
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

static enum tl_code read_offsets(struct file_reader *reader, struct json_at at,
                                 struct file_tensor *tensor)
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

static enum tl_code read_tensor(struct file_reader *reader, struct json_at at,
                                struct file_tensor *tensor)
{
    static const char *const known[] = {"dtype", "shape", "data_offsets", NULL};
    struct json_at shape = json_key(&at, "shape"), offsets = json_key(&at, "data_offsets");

    TL_TRY(json_read_object(at, reader->err));
    TL_TRY(json_known_keys(at, known, reader->err));
    TL_TRY(json_read_string(json_key(&at, "dtype"), &tensor->dtype, reader->err));
    TL_TRY(read_shape(reader, shape, tensor));
    TL_TRY(read_offsets(reader, offsets, tensor));
    size_t item = file_dtype_bytes(tensor->dtype);
    if (item == 0)
        return json_refuse(&at, reader->err, "the dtype %s is not one of F64 F32 I32 U32 U8",
                           tensor->dtype);
    uint64_t bytes;
    if (__builtin_mul_overflow(tensor->shape[0], tensor->shape[1], &bytes) ||
        __builtin_mul_overflow(bytes, item, &bytes) || bytes != tensor->end - tensor->begin)
        return json_refuse(&at, reader->err, "the shape does not fill the bytes");
    return TL_OK;
}

static enum tl_code check_overlap(const struct file_reader *reader)
{
    for (size_t i = 0; i < reader->tensor_count; i++)
        for (size_t j = 0; j < i; j++) {
            const struct file_tensor *a = &reader->tensors[i], *b = &reader->tensors[j];

            if (a->begin < b->end && b->begin < a->end)
                return file_corrupt(reader, a->key, "it overlaps another tensor");
        }
    return TL_OK;
}

static enum tl_code read_tensors(struct file_reader *reader, const struct json_at *root,
                                 json_t *document)
{
    const char *key;
    json_t *value;

    json_object_foreach(document, key, value)
    {
        if (strcmp(key, "__metadata__") == 0)
            continue;
        if (reader->tensor_count == FILE_MAX_TENSORS)
            return tl_fail(reader->err, TL_LIMIT, "%s: more than %d tensors", reader->name,
                           FILE_MAX_TENSORS);
        struct file_tensor *tensor = &reader->tensors[reader->tensor_count++];
        tensor->key = key;
        TL_TRY(read_tensor(reader, json_key(root, key), tensor));
    }
    return check_overlap(reader);
}

const struct file_tensor *file_find(const struct file_reader *reader, const char *key)
{
    size_t prefix = strlen(reader->prefix);

    for (size_t i = 0; i < reader->tensor_count; i++) {
        const char *own = reader->tensors[i].key;

        if (strncmp(own, reader->prefix, prefix) == 0 && strcmp(own + prefix, key) == 0)
            return &reader->tensors[i];
    }
    return NULL;
}

enum tl_code file_take(struct file_reader *reader, const char *key, const char *dtype,
                       uint64_t columns, const struct file_tensor **ret_tensor)
{
    const struct file_tensor *tensor = file_find(reader, key);

    if (!tensor)
        return file_corrupt(reader, key, "it is missing");
    if (strcmp(tensor->dtype, dtype) != 0)
        return file_corrupt(reader, key, "it has another dtype than docs/model-file.md says");
    if (tensor->rank != (columns ? 2 : 1) || (columns && tensor->shape[1] != columns))
        return file_corrupt(reader, key, "it has another shape than the manifest asks for");
    *ret_tensor = tensor;
    return TL_OK;
}

const void *file_numbers(const struct file_reader *reader, const struct file_tensor *tensor)
{
    size_t size = (size_t)(tensor->end - tensor->begin);

    if (reader->in_place)
        return reader->data + tensor->begin;
    void *copy = arena_alloc(reader->arena, TL_MAX(size, (size_t)1), 1);

    if (copy)
        memcpy(copy, reader->data + tensor->begin, size);
    return copy;
}

/* ---- the whole ---- */

static enum tl_code read_golden(struct file_reader *reader)
{
    struct model_info *info = &reader->model->info;
    const struct file_tensor *x, *p, *label;

    TL_TRY(file_take(reader, "golden_x", "F32", info->feature_count, &x));
    TL_TRY(file_take(reader, "golden_p", "F64", info->class_count, &p));
    TL_TRY(file_take(reader, "golden_label", "U8", 0, &label));
    if (x->shape[0] == 0)
        return file_corrupt(reader, "golden_x", "there is no row to prove the model with");
    if (p->shape[0] != x->shape[0] || label->shape[0] != x->shape[0])
        return file_corrupt(reader, "golden_x",
                            "golden_p or golden_label has another number of rows");
    reader->model->golden_x = file_numbers(reader, x);
    reader->model->golden_p = file_numbers(reader, p);
    reader->model->golden_label = file_numbers(reader, label);
    if (!reader->model->golden_x || !reader->model->golden_p || !reader->model->golden_label)
        return file_no_memory(reader);
    info->golden_rows = (uint32_t)x->shape[0];
    return TL_OK;
}

static enum tl_code read_header(struct file_reader *reader, json_t *document)
{
    struct json_at root = json_root(reader->name, document);
    const char *manifest;

    TL_TRY(json_read_object(root, reader->err));
    struct json_at metadata = json_key(&root, "__metadata__");
    TL_TRY(json_read_object(metadata, reader->err));
    TL_TRY(json_read_string(json_key(&metadata, "tilth"), &manifest, reader->err));
    TL_TRY(file_read_manifest(reader, manifest));
    return read_tensors(reader, &root, document);
}

/* What the golden rows cannot see: they do not visit every node. */
static enum tl_code check_checksum(const struct file_reader *reader)
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

/* The length of a header and, where the file goes on, the JSON that it is of. */
static bool is_begun(const uint8_t *bytes, size_t size, uint64_t header)
{
    return header % 8 == 0 && header <= HEADER_MAX_BYTES &&
           (size == sizeof(header) || bytes[sizeof(header)] == '{');
}

static bool is_tiff(const uint8_t *bytes)
{
    return memcmp(bytes, "II*\0", 4) == 0 || memcmp(bytes, "MM\0*", 4) == 0 ||
           memcmp(bytes, "II+\0", 4) == 0 || memcmp(bytes, "MM\0+", 4) == 0;
}

static enum tl_code refuse_container(const char *name, const uint8_t *bytes, size_t size,
                                     uint64_t header, struct tl_err *err)
{
    if (is_pickle(bytes, size))
        return tl_fail(err, TL_UNSUPPORTED,
                       "%s: this is a pickle or a compressed one (joblib). tilth never opens "
                       "one, it could run anything: export the model where it was trained, with "
                       "python3 -m tilth export model.pkl -o model.tilth",
                       name);
    if (is_begun(bytes, size, header))
        return tl_fail(err, TL_CORRUPT,
                       "%s: a tilth model file that was cut short: its header alone has %ju bytes, "
                       "the file %zu",
                       name, (uintmax_t)header, size);
    return tl_fail(err, TL_CORRUPT,
                   "%s: %s: neither a tilth model file nor one of LightGBM (text), XGBoost or "
                   "CatBoost (JSON) or ONNX (docs/model-formats.md). `python3 -m tilth export` "
                   "writes a model file where it was trained",
                   name, is_tiff(bytes) ? "this is a TIFF, not a model" : "this is no model");
}

/* Format 1 is one forest. */
static enum tl_code read_forest(struct file_reader *reader)
{
    struct model *model = reader->model;

    model->output = OUTPUT_MEAN;
    model->score_count = model->info.class_count;
    model->sigmoid = 1;
    TL_TRY(file_read_trees(reader, model));
    model->divisor = (double)model->info.tree_count;
    return TL_OK;
}

enum tl_code file_open(struct file_reader *reader, const uint8_t *bytes, size_t size)
{
    uint64_t header;

    if (size < sizeof(header))
        return tl_fail(reader->err, TL_CORRUPT, "%s: %zu bytes are no model file", reader->name,
                       size);
    memcpy(&header, bytes, sizeof(header));
    if (header % 8 != 0 || header > HEADER_MAX_BYTES || header > size - sizeof(header))
        return refuse_container(reader->name, bytes, size, header, reader->err);
    TL_TRY(json_parse(reader->name, bytes + sizeof(header), (size_t)header, &reader->document,
                      reader->err));
    reader->data = bytes + sizeof(header) + header;
    reader->data_size = size - sizeof(header) - (size_t)header;
    return read_header(reader, reader->document);
}

void file_close(struct file_reader *reader)
{
    json_decref(reader->document);
    json_decref(reader->manifest);
}

enum tl_code file_read_model(struct file_reader *reader)
{
    TL_TRY(read_golden(reader));
    return reader->format == 1 ? read_forest(reader) : file_read_parts(reader);
}

struct file_reader *file_reader_new(const char *name, struct arena *arena, struct model *model,
                                    struct tl_err *err)
{
    struct file_reader *reader = arena_zalloc(arena, 1, sizeof(*reader));

    if (!reader)
        return NULL;
    reader->name = name;
    reader->arena = arena;
    reader->model = model;
    reader->err = err;
    return reader;
}

enum tl_code model_read_file(const char *name, const uint8_t *bytes, size_t size,
                             struct arena *arena, struct model *ret_model, struct tl_err *err)
{
    struct model model = {0};
    struct file_reader *reader = file_reader_new(name, arena, &model, err);

    if (!reader)
        return tl_fail(err, TL_NOMEM, "%s: no memory for the model", name);
    enum tl_code code = file_open(reader, bytes, size);
    if (code == TL_OK)
        code = check_checksum(reader);
    if (code == TL_OK)
        code = file_read_model(reader);
    file_close(reader);
    if (code == TL_OK)
        *ret_model = model;
    return code;
}
