#include "model/file_private.h"

#include "base/arena.h"
#include "base/check.h"

#include <stdlib.h>
#include <string.h>

static char *keep_text(const struct file_reader *reader, const char *text)
{
    return arena_printf(reader->arena, "%s", text);
}

static enum tl_code read_name(struct file_reader *reader, struct json_at at, const char **ret_name)
{
    const char *text;

    TL_TRY(json_read_string(at, &text, reader->err));
    size_t size = strlen(text);
    if (size == 0 || size > FILE_MAX_NAME_BYTES)
        return json_refuse(&at, reader->err, "a name of 1 to %d bytes is needed, not %zu",
                           FILE_MAX_NAME_BYTES, size);
    char *copy = keep_text(reader, text);
    if (!copy)
        return file_no_memory(reader);
    *ret_name = copy;
    return TL_OK;
}

enum tl_code file_read_features(struct file_reader *reader, struct json_at at)
{
    size_t count;

    TL_TRY(json_read_array(at, false, &count, reader->err));
    if (count < 1 || count > MODEL_MAX_FEATURES)
        return json_refuse(&at, reader->err, "1 to %d features are needed, not %zu",
                           MODEL_MAX_FEATURES, count);
    const char **names = arena_alloc(reader->arena, count, sizeof(*names));
    if (!names)
        return file_no_memory(reader);
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

static enum tl_code read_color(struct file_reader *reader, struct json_at at, uint32_t *ret_color)
{
    const char *text;
    uint32_t color = 0;

    if (!at.value || json_is_null(at.value)) {
        *ret_color = MODEL_NO_COLOR;
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

static enum tl_code read_class(struct file_reader *reader, struct json_at at,
                               struct model_class *class)
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

enum tl_code file_read_classes(struct file_reader *reader, struct json_at at)
{
    bool used[MODEL_MAX_CLASSES] = {false};
    size_t count;

    TL_TRY(json_read_array(at, false, &count, reader->err));
    if (count < 1 || count > MODEL_MAX_VALUE + 1)
        return json_refuse(&at, reader->err, "1 to %d classes are needed, not %zu",
                           MODEL_MAX_VALUE + 1, count);
    struct model_class *classes = arena_alloc(reader->arena, count, sizeof(*classes));
    if (!classes)
        return file_no_memory(reader);
    for (size_t i = 0; i < count; i++) {
        struct json_at item = json_item(&at, i);

        TL_TRY(read_class(reader, item, &classes[i]));
        if (used[classes[i].value])
            return json_refuse(&item, reader->err, "the value %u is there twice", classes[i].value);
        for (size_t before = 0; before < i; before++)
            if (strcmp(classes[before].name, classes[i].name) == 0)
                return json_refuse(&item, reader->err, "the name \"%.64s\" is there twice",
                                   classes[i].name);
        used[classes[i].value] = true;
    }
    reader->model->info.classes = classes;
    reader->model->info.class_count = (uint32_t)count;
    return TL_OK;
}

/* {"library": .., "provenance": ..} as text; both are for people only. */
static enum tl_code read_provenance(struct file_reader *reader, const json_t *root)
{
    static const char *const keys[] = {"library", "provenance"};
    AUTO_JSON both = json_object();

    for (size_t i = 0; i < TL_COUNT(keys); i++) {
        json_t *value = json_object_get(root, keys[i]);

        if (value && (!both || json_object_set(both, keys[i], value) != 0))
            return file_no_memory(reader);
    }
    char *text = both ? json_dumps(both, JSON_COMPACT) : NULL;
    if (!text)
        return file_no_memory(reader);
    reader->model->info.provenance = keep_text(reader, text);
    free(text);
    return reader->model->info.provenance ? TL_OK : file_no_memory(reader);
}

static enum tl_code read_kind(struct file_reader *reader, struct json_at at)
{
    const char *kind = NULL;

    TL_TRY(read_name(reader, at, &kind));
    TL_CHECK(kind != NULL);
    if (reader->format == 1 && strcmp(kind, "random-forest") != 0 &&
        strcmp(kind, "extra-trees") != 0)
        return tl_fail(reader->err, TL_UNSUPPORTED,
                       "%s: a model of kind \"%.64s\" is not served; random-forest, extra-trees "
                       "and LightGBM's own text file are",
                       reader->name, kind);
    reader->model->info.kind = kind;
    return TL_OK;
}

/* Whose word the golden rows are. */
static enum tl_code read_golden_origin(struct file_reader *reader, struct json_at at)
{
    const char *whose;

    TL_TRY(json_read_string_or(at, "library", &whose, reader->err));
    reader->model->info.golden_own = strcmp(whose, "tilth") == 0;
    if (!reader->model->info.golden_own && strcmp(whose, "library") != 0)
        return json_refuse(&at, reader->err, "\"library\" or \"tilth\" is needed, not \"%.32s\"",
                           whose);
    return TL_OK;
}

static enum tl_code read_checksum(struct file_reader *reader, struct json_at at)
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

enum tl_code file_read_manifest(struct file_reader *reader, const char *text)
{
    static const char *const known[] = {"format",  "name",    "kind",       "features",
                                        "classes", "library", "provenance", "crc32",
                                        "parts",   "golden",  NULL};

    TL_TRY(json_parse(reader->name, text, strlen(text), &reader->manifest, reader->err));
    struct json_at root = json_root(reader->name, reader->manifest);
    TL_TRY(json_read_object(root, reader->err));
    struct json_at at = json_key(&root, "format");
    TL_TRY(json_read_int(at, 0, INT32_MAX, &reader->format, reader->err));
    if (reader->format < 1 || reader->format > FILE_LAST_FORMAT)
        return tl_fail(reader->err, TL_UNSUPPORTED,
                       "%s: format %d; this tilth reads formats 1 to %d", reader->name,
                       (int)reader->format, FILE_LAST_FORMAT);
    TL_TRY(json_known_keys(root, known, reader->err));
    TL_TRY(read_checksum(reader, json_key(&root, "crc32")));
    TL_TRY(read_golden_origin(reader, json_key(&root, "golden")));
    TL_TRY(read_name(reader, json_key(&root, "name"), &reader->model->info.name));
    TL_TRY(read_kind(reader, json_key(&root, "kind")));
    TL_TRY(file_read_features(reader, json_key(&root, "features")));
    TL_TRY(file_read_classes(reader, json_key(&root, "classes")));
    return read_provenance(reader, reader->manifest);
}
