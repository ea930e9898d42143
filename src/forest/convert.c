#include "forest/convert.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/buf.h"
#include "base/hash.h"
#include "forest/load.h"
#include "forest/output.h"
#include "model/file_private.h"
#include "model/rows.h"
#include "model/section.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Seeds of the golden rows, and of those that source and result are compared on. */
enum { GOLDEN_SEED = 1, COMPARED_SEED = 2, COMPARED_SIDE = 64 };

struct conversion {
    const char *name;
    const struct blob *file;
    const struct convert_wish *wish;
    struct forest *source; /* as it is served: gives the golden rows, and is compared with */
    struct arena *arena;
    struct model model;
    struct tl_err *err;
};

static enum tl_code no_memory(const struct conversion *c)
{
    return tl_fail(c->err, TL_NOMEM, "%s: no memory to convert the model", c->name);
}

/* ---- names ---- */

/* "a/b/crops.v2.txt" is "crops.v2". */
static char *name_of_file(const struct conversion *c)
{
    const char *slash = strrchr(c->name, '/'), *base = slash ? slash + 1 : c->name;
    const char *dot = strrchr(base, '.');
    size_t size = dot && dot > base ? (size_t)(dot - base) : strlen(base);

    size = TL_MIN(size, (size_t)FILE_MAX_NAME_BYTES);
    return arena_printf(c->arena, "%.*s", (int)size, size ? base : "model");
}

static enum tl_code set_name(struct conversion *c)
{
    struct model_info *info = &c->model.info;

    if (c->wish->name)
        info->name = arena_printf(c->arena, "%s", c->wish->name);
    else if (info->name == c->name || strcmp(info->name, c->name) == 0)
        info->name = name_of_file(c); /* the readers of other formats know no better name */
    return info->name ? TL_OK : no_memory(c);
}

static enum tl_code set_features(struct conversion *c)
{
    uint32_t count = c->model.info.feature_count, found = 0;
    const char *rest = c->wish->features;

    if (!rest)
        return TL_OK;
    const char **names = arena_alloc(c->arena, count, sizeof(*names));
    if (!names)
        return no_memory(c);
    while (*rest) {
        size_t line = strcspn(rest, "\n"), size = line;

        if (size && rest[size - 1] == '\r')
            size--;
        if (size && found < count) {
            names[found] = arena_printf(c->arena, "%.*s", (int)size, rest);
            if (!names[found])
                return no_memory(c);
        }
        found += size > 0;
        rest += line + (rest[line] == '\n');
    }
    if (found != count)
        return tl_fail(c->err, TL_INVALID, "the list of features has %u names, %s has %u features",
                       found, c->name, count);
    c->model.info.features = names;
    return TL_OK;
}

/* A list of names keeps the values; a list of objects brings its own. */
static enum tl_code classes_of_names(struct conversion *c, const json_t *list)
{
    uint32_t count = c->model.info.class_count;
    struct model_class *classes = arena_alloc(c->arena, count, sizeof(*classes));

    if (!classes)
        return no_memory(c);
    for (uint32_t i = 0; i < count; i++) {
        const char *name = json_string_value(json_array_get(list, i));

        if (!name)
            return tl_fail(c->err, TL_INVALID, "classes[%u]: text is needed, as before it", i);
        classes[i] = c->model.info.classes[i];
        classes[i].name = arena_printf(c->arena, "%s", name);
        if (!classes[i].name)
            return no_memory(c);
    }
    c->model.info.classes = classes;
    return TL_OK;
}

static enum tl_code set_classes(struct conversion *c)
{
    struct model named = {0};
    AUTO_JSON list = NULL;

    if (!c->wish->classes)
        return TL_OK;
    TL_TRY(json_parse("classes", c->wish->classes, strlen(c->wish->classes), &list, c->err));
    if (json_array_size(list) != c->model.info.class_count)
        return tl_fail(c->err, TL_INVALID,
                       "the list of classes has %zu entries, %s has %u classes; they go in the "
                       "order of the model's",
                       json_array_size(list), c->name, c->model.info.class_count);
    if (json_is_string(json_array_get(list, 0)))
        return classes_of_names(c, list);
    struct file_reader *reader = arena_zalloc(c->arena, 1, sizeof(*reader));
    if (!reader)
        return no_memory(c);
    reader->name = "classes";
    reader->arena = c->arena;
    reader->model = &named;
    reader->err = c->err;
    TL_TRY(file_read_classes(reader, json_root("classes", list)));
    c->model.info.classes = named.info.classes;
    return TL_OK;
}

/* The class of the source that is called so, else the one of this value; -1 when there is none. */
static int find_class(const struct model_info *source, const char *key, size_t size)
{
    int of_value = -1;

    for (uint32_t i = 0; i < source->class_count; i++) {
        const struct model_class *class = &source->classes[i];
        char value[8];

        if (strlen(class->name) == size && memcmp(class->name, key, size) == 0)
            return (int)i;
        snprintf(value, sizeof(value), "%u", class->value);
        if (strlen(value) == size && memcmp(value, key, size) == 0)
            of_value = (int)i;
    }
    return of_value;
}

/* "0=maize:#FFCC00" */
static enum tl_code name_class(struct conversion *c, struct model_class *classes, const char *item,
                               size_t size)
{
    const char *equals = memchr(item, '=', size), *end = item + size, *colon = NULL;
    int which = equals ? find_class(&c->model.info, item, (size_t)(equals - item)) : -1;

    if (which < 0)
        return tl_fail(
            c->err, TL_INVALID,
            "\"%.*s\" names no class of %s; WHICH=NAME or WHICH=NAME:#RRGGBB, where WHICH "
            "is what `tilth model info` calls it, or its value",
            (int)TL_MIN(size, (size_t)64), item, c->name);
    struct model_class *class = &classes[which];
    for (const char *at = equals; at < end; at++)
        if (*at == ':')
            colon = at;
    const char *name_end = colon ? colon : end;
    if (colon) {
        const char *hex = colon + 1 + (colon + 1 < end && colon[1] == '#');
        char *stop = NULL;

        class->color = (uint32_t)strtoul(hex, &stop, 16);
        if (end - hex != 6 || stop != end || strspn(hex, "0123456789abcdefABCDEF") < 6)
            return tl_fail(c->err, TL_INVALID, "\"%.*s\": a colour is six hex digits, #FFCC00",
                           (int)TL_MIN(size, (size_t)64), item);
    }
    class->name = arena_printf(c->arena, "%.*s", (int)(name_end - equals - 1), equals + 1);
    return class->name ? TL_OK : no_memory(c);
}

static enum tl_code set_class_names(struct conversion *c)
{
    uint32_t count = c->model.info.class_count;
    const char *rest = c->wish->class_names;

    if (!rest)
        return TL_OK;
    struct model_class *classes = arena_alloc(c->arena, count, sizeof(*classes));
    if (!classes)
        return no_memory(c);
    memcpy(classes, c->model.info.classes, count * sizeof(*classes));
    while (*rest) {
        size_t size = strcspn(rest, ",");

        TL_TRY(name_class(c, classes, rest, size));
        rest += size + (rest[size] == ',');
    }
    c->model.info.classes = classes;
    return TL_OK;
}

static bool is_utf8(const char *text)
{
    AUTO_JSON string = json_string(text);

    return string != NULL;
}

static enum tl_code check_names(const struct conversion *c)
{
    const struct model_info *info = &c->model.info;

    for (uint32_t f = 0; f < info->feature_count; f++)
        if (!is_utf8(info->features[f]))
            return tl_fail(c->err, TL_UNSUPPORTED,
                           "%s: the name of feature %u is not UTF-8; name the features anew",
                           c->name, f);
    for (uint32_t i = 0; i < info->class_count; i++)
        if (!is_utf8(info->classes[i].name))
            return tl_fail(c->err, TL_UNSUPPORTED,
                           "%s: the name of class %u is not UTF-8; name the classes anew", c->name,
                           i);
    for (uint32_t i = 1; i < info->class_count; i++)
        for (uint32_t before = 0; before < i; before++)
            if (strcmp(info->classes[before].name, info->classes[i].name) == 0)
                return tl_fail(c->err, TL_INVALID,
                               "%s: classes %u and %u would both be \"%.64s\"; name one anew",
                               c->name, info->classes[before].value, info->classes[i].value,
                               info->classes[i].name);
    return is_utf8(info->name) ? TL_OK
                               : tl_fail(c->err, TL_INVALID, "%s: the name is not UTF-8", c->name);
}

/* ---- provenance ---- */

/* What is known of the library: what the file said, else its kind. */
static json_t *library_of(const struct conversion *c, const json_t *known)
{
    json_t *library = json_object_get(known, "library");

    return library ? json_incref(library) : json_pack("{s:s}", "name", c->model.info.kind);
}

static enum tl_code set_provenance(struct conversion *c)
{
    const char *slash = strrchr(c->name, '/'), *text = c->model.info.provenance;
    AUTO_JSON known = text[0] ? json_loads(text, 0, NULL) : json_object();
    json_t *before = json_object_get(known, "provenance");
    char hash[33];

    hash128_hex(hash128(blob_bytes(c->file), blob_size(c->file)), hash);
    AUTO_JSON converted = json_pack("{s:s, s:s, s:I, s:s}", "file", slash ? slash + 1 : c->name,
                                    "format", model_format(blob_bytes(c->file), blob_size(c->file)),
                                    "bytes", (json_int_t)blob_size(c->file), "fingerprint", hash);
    AUTO_JSON all = json_is_object(before) ? json_copy(before) : json_object();
    if (before && !json_is_object(before) && json_object_set(all, "source", before) != 0)
        return no_memory(c);
    if (!converted || json_object_set(all, "converted", converted) != 0)
        return no_memory(c);
    AUTO_JSON both = json_pack("{s:o, s:O}", "library", library_of(c, known), "provenance", all);
    char *made = both ? json_dumps(both, JSON_COMPACT) : NULL;
    if (!made)
        return no_memory(c);
    c->model.info.provenance = arena_printf(c->arena, "%s", made);
    free(made);
    return c->model.info.provenance ? TL_OK : no_memory(c);
}

/* ---- golden rows ---- */

/* Rows as planes, and what the oracle says of them. */
struct probe {
    uint32_t rows;
    float **planes;
    uint8_t *label;
    float *probability;
};

static bool make_probe(const struct conversion *c, uint32_t rows, struct probe *probe)
{
    uint32_t features = c->model.info.feature_count;
    float *values = arena_alloc(c->arena, features, rows * sizeof(*values));
    float *row = arena_alloc(c->arena, features, sizeof(*row));
    struct model_rows made;

    probe->rows = rows;
    probe->planes = arena_alloc(c->arena, features, sizeof(*probe->planes));
    probe->label = arena_alloc(c->arena, rows, 1);
    probe->probability =
        arena_alloc(c->arena, rows, c->model.info.class_count * sizeof(*probe->probability));
    if (!values || !row || !probe->planes || !probe->label || !probe->probability ||
        !model_rows_open(&c->model, GOLDEN_SEED, c->arena, &made))
        return false;
    for (uint32_t f = 0; f < features; f++)
        probe->planes[f] = values + (size_t)f * rows;
    for (uint32_t r = 0; r < rows; r++) {
        model_rows_probe(&made, row);
        for (uint32_t f = 0; f < features; f++)
            probe->planes[f][r] = row[f];
    }
    struct forest_pixels pixels = {(const float *const *)probe->planes, rows, NULL};
    struct forest_output output = {.label = probe->label, .probability = probe->probability};
    forest_run_scalar(c->source, &pixels, &output);
    return true;
}

struct golden {
    uint32_t rows;
    float *x;
    double *p;
    uint8_t *label;
};

/* Keeps row `r`, unless a probability of it is not finite: then it proves nothing. */
static void keep_row(const struct probe *probe, uint32_t r, const struct model_info *info,
                     struct golden *golden)
{
    uint32_t features = info->feature_count, classes = info->class_count;
    double *p = golden->p + (size_t)golden->rows * classes;
    bool finite = true;

    for (uint32_t k = 0; k < classes; k++) {
        p[k] = (double)probe->probability[(size_t)k * probe->rows + r];
        finite &= isfinite(p[k]) != 0;
    }
    for (uint32_t f = 0; f < features; f++)
        golden->x[(size_t)golden->rows * features + f] = probe->planes[f][r];
    golden->label[golden->rows] = probe->label[r];
    golden->rows += finite;
}

static enum tl_code make_golden(struct conversion *c)
{
    struct model_info *info = &c->model.info;
    uint32_t rows = TL_MAX(c->wish->golden_rows, 1U);
    struct golden made = {.x = arena_alloc(c->arena, rows, info->feature_count * sizeof(*made.x)),
                          .p = arena_alloc(c->arena, rows, info->class_count * sizeof(*made.p)),
                          .label = arena_alloc(c->arena, rows, 1)};
    struct probe probe;

    if (!made.x || !made.p || !made.label || !make_probe(c, rows, &probe))
        return no_memory(c);
    for (uint32_t r = 0; r < rows; r++)
        keep_row(&probe, r, info, &made);
    if (made.rows == 0)
        return tl_fail(c->err, TL_UNSUPPORTED,
                       "%s: it gives no finite probability on any of %u rows of its thresholds",
                       c->name, rows);
    c->model.golden_x = made.x;
    c->model.golden_p = made.p;
    c->model.golden_label = made.label;
    info->golden_rows = made.rows;
    info->golden_own = true;
    return TL_OK;
}

/* What each class's value became; a class keeps its place. */
static void map_values(const struct conversion *c, const struct model_info *before,
                       uint8_t ret_values[MODEL_MAX_CLASSES])
{
    memset(ret_values, 0, MODEL_MAX_CLASSES);
    for (uint32_t k = 0; k < before->class_count; k++)
        ret_values[before->classes[k].value] = c->model.info.classes[k].value;
}

/* Labels are values of classes, which a trainer may have changed. */
static enum tl_code set_golden_labels(struct conversion *c, const struct model_info *before)
{
    uint32_t rows = c->model.info.golden_rows;
    uint8_t *label = arena_alloc(c->arena, rows, 1), values[MODEL_MAX_CLASSES];

    if (!label)
        return no_memory(c);
    map_values(c, before, values);
    for (uint32_t r = 0; r < rows; r++)
        label[r] = values[c->model.golden_label[r]];
    c->model.golden_label = label;
    return TL_OK;
}

/* ---- proof ---- */

static enum tl_code run_tile(const struct conversion *c, const struct forest *forest,
                             const float *const *planes, struct forest_output *ret_output)
{
    size_t count = (size_t)COMPARED_SIDE * COMPARED_SIDE;
    struct forest_pixels pixels = {planes, count, NULL};
    AUTO(arena) scratch = arena_new();

    ret_output->label = arena_alloc(c->arena, count, 1);
    ret_output->confidence = arena_alloc(c->arena, count, 1);
    ret_output->probability =
        arena_alloc(c->arena, count, c->model.info.class_count * sizeof(*ret_output->probability));
    ret_output->scores = arena_alloc(
        c->arena, count, forest_info(forest)->score_count * sizeof(*ret_output->scores));
    if (!scratch || !ret_output->label || !ret_output->confidence || !ret_output->probability ||
        !ret_output->scores)
        return no_memory(c);
    return forest_run(forest, &pixels, NULL, scratch, ret_output, c->err);
}

static bool same_outputs(const struct conversion *c, const struct model_info *from,
                         const struct forest_output *a, const struct forest_output *b)
{
    size_t count = (size_t)COMPARED_SIDE * COMPARED_SIDE;
    uint8_t as[MODEL_MAX_CLASSES];

    map_values(c, from, as);
    for (size_t i = 0; i < count; i++)
        if (as[a->label[i]] != b->label[i])
            return false;
    return memcmp(a->confidence, b->confidence, count) == 0 &&
           memcmp(a->scores, b->scores, count * from->score_count * sizeof(*a->scores)) == 0 &&
           memcmp(a->probability, b->probability,
                  count * from->class_count * sizeof(*a->probability)) == 0;
}

/* Loads what was written, which replays its golden rows, and holds it against the source. */
static enum tl_code prove(struct conversion *c, const struct buf *made, enum forest_form form)
{
    uint32_t features = c->model.info.feature_count;
    size_t count = (size_t)COMPARED_SIDE * COMPARED_SIDE;
    float **planes = arena_alloc(c->arena, features, sizeof(*planes));
    float *values = arena_alloc(c->arena, features, count * sizeof(*values));
    AUTO(blob) blob = buf_blob(made);
    AUTO(forest) result = NULL;
    struct forest_output from = {0}, to = {0};
    struct model_rows rows;

    if (!blob || !planes || !values || !model_rows_open(&c->model, COMPARED_SEED, c->arena, &rows))
        return no_memory(c);
    enum tl_code code = forest_load_as(c->name, blob, form, &result, c->err);
    if (code != TL_OK)
        return tl_context(c->err, code, "as %s, ", form == FOREST_MODEL ? "converted" : "compiled");
    for (uint32_t f = 0; f < features; f++)
        planes[f] = values + f * count;
    model_rows_tile(&rows, TILE_NOISY, COMPARED_SIDE, COMPARED_SIDE, planes);
    TL_TRY(run_tile(c, c->source, (const float *const *)planes, &from));
    TL_TRY(run_tile(c, result, (const float *const *)planes, &to));
    if (same_outputs(c, forest_info(c->source), &from, &to))
        return TL_OK;
    return tl_fail(c->err, TL_INTERNAL,
                   "%s: the new file gives other outputs than its source; please report it "
                   "with the model",
                   c->name);
}

/* ---- the whole ---- */

static enum tl_code convert(struct conversion *c, struct buf *ret_file)
{
    AUTO_BUF made = {0};

    TL_TRY(
        model_read(c->name, blob_bytes(c->file), blob_size(c->file), c->arena, &c->model, c->err));
    const struct model_info before = c->model.info;
    if (before.golden_rows == 0)
        TL_TRY(make_golden(c));
    TL_TRY(set_name(c));
    TL_TRY(set_features(c));
    TL_TRY(set_classes(c));
    TL_TRY(set_class_names(c));
    TL_TRY(check_names(c));
    TL_TRY(set_golden_labels(c, &before));
    TL_TRY(set_provenance(c));
    TL_TRY(model_write_file(c->name, &c->model, &made, c->err));
    TL_TRY(prove(c, &made, FOREST_MODEL));
    buf_append(ret_file, made.bytes, made.size);
    return buf_failed(ret_file) ? no_memory(c) : TL_OK;
}

/* What `make` makes of a model that is loaded as its file has it. */
static enum tl_code with_source(const char *name, const struct blob *file,
                                const struct convert_wish *wish, struct buf *ret_file,
                                enum tl_code (*make)(struct conversion *, struct buf *),
                                struct tl_err *err)
{
    AUTO(arena) arena = arena_new();
    struct conversion c = {.name = name, .file = file, .wish = wish, .arena = arena, .err = err};

    if (!arena)
        return no_memory(&c);
    TL_TRY(forest_load_as(name, file, FOREST_MODEL, &c.source, err));
    enum tl_code code = make(&c, ret_file);
    forest_unref(c.source);
    return code;
}

enum tl_code model_convert(const char *name, const struct blob *file,
                           const struct convert_wish *wish, struct buf *ret_file,
                           struct tl_err *err)
{
    return with_source(name, file, wish, ret_file, convert, err);
}

/* ---- compiled ---- */

/* A file of tilth's own, with a section. */
static enum tl_code compile(struct conversion *c, struct buf *ret_file)
{
    AUTO_BUF section = {0};
    AUTO_BUF made = {0};
    struct hash128 tensors;

    TL_TRY(
        model_read(c->name, blob_bytes(c->file), blob_size(c->file), c->arena, &c->model, c->err));
    TL_TRY(model_hash_tensors(c->name, c->file, &tensors, c->err));
    forest_write_section(c->source, tensors, &section);
    if (buf_failed(&section))
        return no_memory(c);
    TL_TRY(model_write_section(c->name, c->file, &section, &made, c->err));
    TL_TRY(prove(c, &made, FOREST_SECTION));
    buf_append(ret_file, made.bytes, made.size);
    return buf_failed(ret_file) ? no_memory(c) : TL_OK;
}

enum tl_code model_compile(const char *name, const struct blob *file,
                           const struct convert_wish *wish, struct buf *ret_file,
                           struct tl_err *err)
{
    bool as_it_is = model_is_file(blob_bytes(file), blob_size(file)) && !wish->name &&
                    !wish->features && !wish->classes && !wish->class_names;
    AUTO(blob) converted = NULL;
    AUTO_BUF made = {0};

    if (!as_it_is) {
        TL_TRY(model_convert(name, file, wish, &made, err));
        converted = buf_blob(&made);
        if (!converted)
            return tl_fail(err, TL_NOMEM, "%s: no memory to compile the model", name);
        file = converted;
    }
    return with_source(name, file, wish, ret_file, compile, err);
}
