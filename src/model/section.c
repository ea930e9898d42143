#include "model/section.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/buf.h"
#include "model/file_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char section_key[] = "compiled";

/* The section's tensor; NULL where there is none, and the end of the others. */
static const struct file_tensor *find_section(const struct file_reader *reader,
                                              uint64_t *ret_others_end)
{
    const struct file_tensor *found = file_find(reader, section_key);

    *ret_others_end = 0;
    for (size_t i = 0; i < reader->tensor_count; i++)
        if (&reader->tensors[i] != found)
            *ret_others_end = TL_MAX(*ret_others_end, reader->tensors[i].end);
    return found;
}

static enum tl_code read_section(struct file_reader *reader, const uint8_t *bytes,
                                 struct model_section *ret_section)
{
    uint64_t others;
    const struct file_tensor *tensor = find_section(reader, &others);

    if (!tensor || strcmp(tensor->dtype, "U8") != 0 || tensor->begin < others ||
        (uintptr_t)(reader->data + tensor->begin) % SECTION_ALIGN != 0)
        return tl_fail(reader->err, TL_ABSENT, "%s: no compiled section", reader->name);
    *ret_section = (struct model_section){
        .bytes = reader->data + tensor->begin,
        .size = (size_t)(tensor->end - tensor->begin),
        .header = hash128(bytes, (size_t)(reader->data - bytes)),
        .tensors = hash128(reader->data, (size_t)others),
    };
    reader->in_place = true;
    return file_read_model(reader);
}

enum tl_code model_read_section(const char *name, const struct blob *file, struct arena *arena,
                                struct model *ret_model, struct model_section *ret_section,
                                struct tl_err *err)
{
    struct model model = {0};
    struct model_section section;
    struct file_reader *reader = file_reader_new(name, arena, &model, err);

    if (!reader)
        return tl_fail(err, TL_NOMEM, "%s: no memory for the model", name);
    enum tl_code code = file_open(reader, blob_bytes(file), blob_size(file));
    if (code == TL_OK)
        code = read_section(reader, blob_bytes(file), &section);
    file_close(reader);
    if (code != TL_OK)
        return code;
    *ret_model = model;
    *ret_section = section;
    return TL_OK;
}

enum tl_code model_hash_tensors(const char *name, const struct blob *file, struct hash128 *ret_hash,
                                struct tl_err *err)
{
    AUTO(arena) arena = arena_new();
    struct model model = {0};
    struct file_reader *reader = arena ? file_reader_new(name, arena, &model, err) : NULL;
    uint64_t others = 0;

    if (!reader)
        return tl_fail(err, TL_NOMEM, "%s: no memory for the model", name);
    enum tl_code code = file_open(reader, blob_bytes(file), blob_size(file));
    if (code == TL_OK) {
        find_section(reader, &others);
        *ret_hash = hash128(reader->data, (size_t)others);
    }
    file_close(reader);
    return code;
}

/* ---- writing ---- */

/* The tensors as they are, then the section. */
static bool put_data(const struct file_reader *reader, uint64_t others, const struct buf *section,
                     struct buf *data)
{
    static const uint8_t zeros[SECTION_ALIGN] = {0};
    size_t begin = ((size_t)others + SECTION_ALIGN - 1) / SECTION_ALIGN * SECTION_ALIGN;

    buf_append(data, reader->data, (size_t)others);
    buf_append(data, zeros, begin - (size_t)others);
    buf_append(data, section->bytes, section->size);
    return !buf_failed(data);
}

/* The document, naming the section and with the checksum of what is now behind it. */
static char *make_header(struct file_reader *reader, const struct buf *section,
                         const struct buf *data)
{
    json_int_t end = (json_int_t)data->size, begin = end - (json_int_t)section->size;
    char crc[9];

    snprintf(crc, sizeof(crc), "%08x", hash_crc32(data->bytes, data->size));
    json_t *tensor = json_pack("{s:s, s:[I], s:[I, I]}", "dtype", "U8", "shape",
                               (json_int_t)section->size, "data_offsets", begin, end);
    json_object_del(reader->document, section_key);
    if (json_object_set_new(reader->document, section_key, tensor) != 0 ||
        json_object_set_new(reader->manifest, "crc32", json_string(crc)) != 0)
        return NULL;
    char *manifest = json_dumps(reader->manifest, JSON_COMPACT);
    int failed = !manifest || json_object_set_new(json_object_get(reader->document, "__metadata__"),
                                                  "tilth", json_string(manifest)) != 0;
    free(manifest);
    return failed ? NULL : json_dumps(reader->document, JSON_COMPACT);
}

static enum tl_code write_section(struct file_reader *reader, const struct buf *section,
                                  struct buf *ret_file)
{
    AUTO_BUF data = {0};
    uint64_t others, length;

    find_section(reader, &others);
    char *header =
        put_data(reader, others, section, &data) ? make_header(reader, section, &data) : NULL;
    if (!header)
        return file_no_memory(reader);
    size_t size = strlen(header), pad = SECTION_ALIGN - (sizeof(length) + size) % SECTION_ALIGN;
    length = size + pad;
    buf_append(ret_file, &length, sizeof(length));
    buf_append(ret_file, header, size);
    free(header);
    for (size_t i = 0; i < pad; i++)
        buf_append(ret_file, " ", 1);
    buf_append(ret_file, data.bytes, data.size);
    return buf_failed(ret_file) ? file_no_memory(reader) : TL_OK;
}

enum tl_code model_write_section(const char *name, const struct blob *file,
                                 const struct buf *section, struct buf *ret_file,
                                 struct tl_err *err)
{
    AUTO(arena) arena = arena_new();
    struct model model = {0};
    struct file_reader *reader = arena ? file_reader_new(name, arena, &model, err) : NULL;

    if (!reader)
        return tl_fail(err, TL_NOMEM, "%s: no memory for the model", name);
    enum tl_code code = file_open(reader, blob_bytes(file), blob_size(file));
    if (code == TL_OK)
        code = write_section(reader, section, ret_file);
    file_close(reader);
    if (code == TL_OK && ret_file->size > MODEL_MAX_FILE_BYTES)
        return tl_fail(err, TL_LIMIT,
                       "%s: compiled it would have %zu bytes; a model has at most %zu", name,
                       ret_file->size, MODEL_MAX_FILE_BYTES);
    return code;
}
