#include "tiler/layer_doc.h"

#include "base/arena.h"
#include "base/json.h"
#include "classify/prediction_band.h"
#include "feature/feature.h"
#include "tiler/aoi_doc.h"
#include "tiler/feature_doc.h"
#include "tiler/post_doc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where a document is read into, and the folder its relative hrefs start from. */
struct reader {
    struct arena *arena;
    struct layer_doc *doc;
    const char *dir;
    size_t dir_size;
};

static enum tl_code no_memory(struct tl_err *err)
{
    return tl_fail(err, TL_NOMEM, "no memory for a layer document");
}

static enum tl_code keep_text(struct reader *r, const char *text, const char **ret,
                              struct tl_err *err)
{
    char *copy = arena_printf(r->arena, "%s", text);

    if (!copy)
        return no_memory(err);
    *ret = copy;
    return TL_OK;
}

static enum tl_code read_string(struct reader *r, struct json_at at, const char *fallback,
                                const char **ret, struct tl_err *err)
{
    const char *text;

    TL_TRY(fallback ? json_read_string_or(at, fallback, &text, err)
                    : json_read_string(at, &text, err));
    return keep_text(r, text, ret, err);
}

static enum tl_code read_href(struct reader *r, struct json_at at, const char **ret,
                              struct tl_err *err)
{
    const char *text;

    TL_TRY(json_read_string(at, &text, err));
    if (text[0] == '\0')
        return json_refuse(&at, err, "an href is needed");
    if (text[0] == '/' || strstr(text, "://"))
        return keep_text(r, text, ret, err);
    char *joined = arena_printf(r->arena, "%.*s%s", (int)r->dir_size, r->dir, text);
    if (!joined)
        return no_memory(err);
    *ret = joined;
    return TL_OK;
}

static bool is_id(const char *text)
{
    size_t size = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

    return size > 0 && size <= 63 && text[size] == '\0' && text[0] != '.';
}

/* What an expression can hold before the point: s1.red */
static bool is_word(const char *text)
{
    return is_id(text) && !strpbrk(text, ".-") && (text[0] < '0' || text[0] > '9');
}

/* A string, or { "env": "NAME" } for what should not stand in a file. */
static enum tl_code read_secret(struct reader *r, struct json_at at, const char **ret,
                                struct tl_err *err)
{
    static const char *const known[] = {"env", NULL};

    if (!json_is_object(at.value))
        return read_string(r, at, "", ret, err);
    TL_TRY(json_known_keys(at, known, err));
    struct json_at env = json_key(&at, "env");
    const char *name;
    TL_TRY(json_read_string(env, &name, err));
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the environment is never written */
    const char *value = getenv(name);
    if (!value)
        return json_refuse(&env, err, "the environment variable %s is not set", name);
    return keep_text(r, value, ret, err);
}

static enum tl_code read_s3(struct reader *r, struct json_at at, struct doc_source *source,
                            struct tl_err *err)
{
    static const char *const known[] = {"endpoint",   "region",        "access_key", "secret_key",
                                        "path_style", "session_token", "anonymous",  NULL};

    if (!at.value)
        return TL_OK;
    TL_TRY(json_read_object(at, err));
    TL_TRY(json_known_keys(at, known, err));
    struct s3_options *s3 = &source->s3;
    TL_TRY(read_string(r, json_key(&at, "endpoint"), "", &s3->endpoint, err));
    TL_TRY(read_string(r, json_key(&at, "region"), "", &s3->region, err));
    TL_TRY(read_secret(r, json_key(&at, "access_key"), &s3->access_key, err));
    TL_TRY(read_secret(r, json_key(&at, "secret_key"), &s3->secret_key, err));
    TL_TRY(read_secret(r, json_key(&at, "session_token"), &s3->session_token, err));
    TL_TRY(json_read_bool_or(json_key(&at, "path_style"), true, &s3->path_style, err));
    TL_TRY(json_read_bool_or(json_key(&at, "anonymous"), false, &s3->anonymous, err));
    source->has_s3 = true;
    return TL_OK;
}

static enum tl_code read_bands(struct reader *r, struct json_at at, struct doc_source *source,
                               struct tl_err *err)
{
    if (!at.value)
        return TL_OK;
    TL_TRY(json_read_object(at, err));
    size_t count = json_object_size(at.value);
    const char **names = arena_alloc(r->arena, count + 1, sizeof(*names));
    uint16_t *index = arena_alloc(r->arena, count + 1, sizeof(*index));
    if (!names || !index)
        return no_memory(err);
    size_t i = 0;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)at.value, name, value)
    {
        int64_t band;

        TL_TRY(json_read_int(json_key(&at, name), 1, PYRAMID_MAX_BANDS, &band, err));
        TL_TRY(keep_text(r, name, &names[i], err));
        index[i++] = (uint16_t)(band - 1);
    }
    source->band_count = (uint16_t)count;
    source->band_names = names;
    source->band_index = index;
    return TL_OK;
}

static enum tl_code read_resampling(struct json_at at, enum resampling fallback,
                                    enum resampling *ret, struct tl_err *err)
{
    const char *name;
    struct tl_err inner;

    TL_TRY(json_read_string_or(at, resampling_name(fallback), &name, err));
    if (resampling_find(name, ret, &inner) != TL_OK)
        return json_refuse(&at, err, "%s", inner.msg);
    return TL_OK;
}

static enum tl_code read_float(struct json_at at, float fallback, float *ret, struct tl_err *err)
{
    double number = (double)fallback;

    if (at.value)
        TL_TRY(json_read_number(at, &number, err));
    if (!isfinite((float)number))
        return json_refuse(&at, err, "%g is too large for float32", number);
    *ret = (float)number;
    return TL_OK;
}

/* "scale" is a number or "file": the tags of the file say scale and offset of each band. */
static enum tl_code read_scale(const struct json_at *at, struct doc_source *source,
                               struct tl_err *err)
{
    struct json_at scale = json_key(at, "scale"), offset = json_key(at, "offset");
    const char *word;

    source->scale = 1;
    if (!json_is_string(scale.value)) {
        TL_TRY(read_float(scale, 1, &source->scale, err));
        if (source->scale == 0)
            return json_refuse(&scale, err, "a scale of 0 makes every sample the same");
        return read_float(offset, 0, &source->offset, err);
    }
    TL_TRY(json_read_string(scale, &word, err));
    if (strcmp(word, "file") != 0)
        return json_refuse(&scale, err, "\"%.32s\" is neither a number nor \"file\"", word);
    if (offset.value)
        return json_refuse(&offset, err, "with a scale of \"file\" the file says the offset, too");
    source->file_scale = true;
    return TL_OK;
}

static enum tl_code read_source(struct reader *r, struct json_at at, const char *id,
                                struct doc_source *source, struct tl_err *err)
{
    static const char *const of_raster[] = {"href", "bands", "s3", NULL};
    static const char *const of_prediction[] = {"href",  "bands",  "resampling", "s3",
                                                "scale", "offset", NULL};

    TL_TRY(json_read_object(at, err));
    TL_TRY(json_known_keys(at, r->doc->kind == LAYER_RASTER ? of_raster : of_prediction, err));
    TL_TRY(keep_text(r, id, &source->id, err));
    TL_TRY(read_href(r, json_key(&at, "href"), &source->href, err));
    TL_TRY(read_bands(r, json_key(&at, "bands"), source, err));
    TL_TRY(read_scale(&at, source, err));
    TL_TRY(
        read_resampling(json_key(&at, "resampling"), RESAMPLE_NEAREST, &source->resampling, err));
    return read_s3(r, json_key(&at, "s3"), source, err);
}

static enum tl_code read_sources(struct reader *r, struct json_at at, struct tl_err *err)
{
    TL_TRY(json_read_object(at, err));
    size_t count = json_object_size(at.value);
    if (count == 0 || count > DOC_MAX_SOURCES)
        return json_refuse(&at, err, "%zu sources; 1 to %d are allowed", count, DOC_MAX_SOURCES);
    r->doc->sources = arena_zalloc(r->arena, count, sizeof(*r->doc->sources));
    if (!r->doc->sources)
        return no_memory(err);
    const char *id;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)at.value, id, value)
    {
        struct json_at item = json_key(&at, id);

        if (!is_word(id))
            return json_refuse(&item, err,
                               "a source is named by letters, digits and _, as its "
                               "bands are written in expressions");
        TL_TRY(read_source(r, item, id, &r->doc->sources[r->doc->source_count++], err));
    }
    return TL_OK;
}

static int source_index(const struct layer_doc *doc, const char *id)
{
    for (uint32_t i = 0; i < doc->source_count; i++)
        if (strcmp(doc->sources[i].id, id) == 0)
            return (int)i;
    return -1;
}

static enum tl_code read_source_id(struct reader *r, struct json_at at, int *ret,
                                   struct tl_err *err)
{
    const char *id;

    TL_TRY(json_read_string(at, &id, err));
    *ret = source_index(r->doc, id);
    if (*ret < 0)
        return json_refuse(&at, err, "there is no source \"%s\"", id);
    return TL_OK;
}

static int days_of_month(int year, int month)
{
    static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

    return days[month - 1] + (month == 2 && leap);
}

static int digits(const char *text, int count)
{
    int number = 0;

    for (int i = 0; i < count; i++)
        number = number * 10 + (text[i] - '0');
    return number;
}

/* A day of the Gregorian calendar as ISO 8601 writes it; such texts sort as their days do. */
static bool is_date(const char *text)
{
    static const char shape[] = "dddd-dd-dd";

    for (int i = 0; i < 10; i++)
        if (shape[i] == 'd' ? text[i] < '0' || text[i] > '9' : text[i] != shape[i])
            return false;
    int year = digits(text, 4), month = digits(text + 5, 2), day = digits(text + 8, 2);
    return text[10] == '\0' && month >= 1 && month <= 12 && day >= 1 &&
           day <= days_of_month(year, month);
}

static enum tl_code read_date(struct reader *r, struct json_at at, const char **ret,
                              struct tl_err *err)
{
    const char *text;

    TL_TRY(json_read_string_or(at, "", &text, err));
    if (text[0] == '\0')
        return TL_OK;
    if (!is_date(text))
        return json_refuse(&at, err, "\"%.32s\" is not a day like 2024-11-01", text);
    return keep_text(r, text, ret, err);
}

static enum tl_code read_season_hrefs(struct reader *r, const struct json_at *at,
                                      const char **hrefs, struct tl_err *err)
{
    static const char *const known[] = {"href", NULL};
    struct json_at one = json_key(at, "href");
    struct json_at many = json_key(at, "sources");

    if (r->doc->kind == LAYER_RASTER)
        return one.value ? read_href(r, one, &hrefs[0], err) : TL_OK;
    if (!many.value)
        return TL_OK;
    TL_TRY(json_read_object(many, err));
    const char *id;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)many.value, id, value)
    {
        struct json_at item = json_key(&many, id);
        int index = source_index(r->doc, id);

        if (index < 0)
            return json_refuse(&item, err, "there is no source \"%s\"", id);
        TL_TRY(json_read_object(item, err));
        TL_TRY(json_known_keys(item, known, err));
        TL_TRY(read_href(r, json_key(&item, "href"), &hrefs[index], err));
    }
    return TL_OK;
}

static enum tl_code read_days(struct reader *r, const struct json_at *at, struct doc_season *season,
                              struct tl_err *err)
{
    struct json_at end = json_key(at, "end");

    TL_TRY(read_date(r, json_key(at, "start"), &season->start, err));
    TL_TRY(read_date(r, end, &season->end, err));
    if (!season->start != !season->end)
        return json_refuse(at, err, "start and end go together; end is the first day after");
    if (season->start && strcmp(season->start, season->end) >= 0)
        return json_refuse(&end, err, "%s is not after the start, %s; end is the first day after",
                           season->end, season->start);
    return TL_OK;
}

static enum tl_code read_season(struct reader *r, struct json_at at, const char *label,
                                struct doc_season *season, struct tl_err *err)
{
    static const char *const of_raster[] = {"start", "end", "href", NULL};
    static const char *const of_prediction[] = {"start", "end", "sources", NULL};
    const char **hrefs = arena_zalloc(r->arena, r->doc->source_count, sizeof(*hrefs));

    if (!hrefs)
        return no_memory(err);
    TL_TRY(json_read_object(at, err));
    TL_TRY(json_known_keys(at, r->doc->kind == LAYER_RASTER ? of_raster : of_prediction, err));
    if (!is_id(label) || strlen(label) > 31)
        return json_refuse(&at, err, "a season is named by up to 31 letters, digits, . _ and -");
    TL_TRY(keep_text(r, label, &season->label, err));
    TL_TRY(read_days(r, &at, season, err));
    season->hrefs = hrefs;
    return read_season_hrefs(r, &at, hrefs, err);
}

static enum tl_code read_seasons(struct reader *r, struct json_at at, struct tl_err *err)
{
    if (!at.value)
        return TL_OK;
    TL_TRY(json_read_object(at, err));
    size_t count = json_object_size(at.value);
    if (count == 0 || count > DOC_MAX_SEASONS)
        return json_refuse(&at, err, "%zu seasons; 1 to %d are allowed", count, DOC_MAX_SEASONS);
    r->doc->seasons = arena_zalloc(r->arena, count, sizeof(*r->doc->seasons));
    if (!r->doc->seasons)
        return no_memory(err);
    const char *label;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)at.value, label, value) TL_TRY(
        read_season(r, json_key(&at, label), label, &r->doc->seasons[r->doc->season_count++], err));
    return TL_OK;
}

/* A list of at most `max` strings. */
static enum tl_code read_list(struct reader *r, struct json_at at, size_t max,
                              const char *const **ret_list, uint32_t *ret_count, struct tl_err *err)
{
    size_t count;

    TL_TRY(json_read_array(at, true, &count, err));
    if (count > max)
        return json_refuse(&at, err, "%zu items; at most %zu are allowed", count, max);
    const char **list = arena_alloc(r->arena, count + 1, sizeof(*list));
    if (!list)
        return no_memory(err);
    for (size_t i = 0; i < count; i++)
        TL_TRY(read_string(r, json_item(&at, i), NULL, &list[i], err));
    *ret_list = list;
    *ret_count = (uint32_t)count;
    return TL_OK;
}

static enum tl_code read_zoom(struct reader *r, struct json_at at, struct tl_err *err)
{
    static const char *const known[] = {"min", "native", "max", NULL};
    int64_t min = 0, native = -1, max = -1;

    if (at.value) {
        TL_TRY(json_read_object(at, err));
        TL_TRY(json_known_keys(at, known, err));
        TL_TRY(json_read_int_or(json_key(&at, "min"), 0, 24, 0, &min, err));
        TL_TRY(json_read_int_or(json_key(&at, "native"), 0, 24, -1, &native, err));
        TL_TRY(json_read_int_or(json_key(&at, "max"), 0, 24, -1, &max, err));
    }
    if (max >= 0 && max < min)
        return json_refuse(&at, err, "max is below min");
    r->doc->min_zoom = (int)min;
    r->doc->native_zoom = (int)native;
    r->doc->max_zoom = (int)max;
    return TL_OK;
}

static enum tl_code read_grid(struct reader *r, struct json_at at, struct tl_err *err)
{
    static const char *const borrowed[] = {"like", NULL};
    static const char *const given[] = {"crs", "origin", "res", "size", NULL};
    struct json_at like = json_key(&at, "like");
    struct json_at origin = json_key(&at, "origin");
    struct json_at size = json_key(&at, "size");
    int64_t width, height;

    TL_TRY(json_read_object(at, err));
    TL_TRY(json_known_keys(at, like.value ? borrowed : given, err));
    if (like.value)
        return read_source_id(r, like, &r->doc->grid_like, err);
    TL_TRY(read_string(r, json_key(&at, "crs"), NULL, &r->doc->grid_crs, err));
    TL_TRY(json_read_number(json_item(&origin, 0), &r->doc->grid_x, err));
    TL_TRY(json_read_number(json_item(&origin, 1), &r->doc->grid_y, err));
    TL_TRY(json_read_number(json_key(&at, "res"), &r->doc->grid_res, err));
    if (!(r->doc->grid_res > 0))
        return json_refuse(&at, err, "res must be above 0");
    TL_TRY(json_read_int(json_item(&size, 0), 1, INT32_MAX, &width, err));
    TL_TRY(json_read_int(json_item(&size, 1), 1, INT32_MAX, &height, err));
    r->doc->grid_width = (uint32_t)width;
    r->doc->grid_height = (uint32_t)height;
    return TL_OK;
}

/* "source.band" as far as the document knows: without "bands" they are named by the file. */
static bool find_band(void *udata, const char *name, size_t size, struct feature_band *ret_band)
{
    const struct layer_doc *doc = udata;

    *ret_band = (struct feature_band){.scale = 1};
    for (uint32_t s = 0; s < doc->source_count; s++) {
        const struct doc_source *source = &doc->sources[s];
        size_t id = strlen(source->id);

        if (size <= id || name[id] != '.' || memcmp(name, source->id, id) != 0)
            continue;
        if (source->band_count == 0)
            return true;
        for (uint16_t b = 0; b < source->band_count; b++)
            if (strlen(source->band_names[b]) == size - id - 1 &&
                memcmp(source->band_names[b], name + id + 1, size - id - 1) == 0)
                return true;
    }
    return false;
}

/* Compiled once more when a source is open; a slip of the pen is told at start. */
static enum tl_code check_expression(struct reader *r, const struct json_at *at, const char *text,
                                     struct tl_err *err)
{
    AUTO(features) features = NULL;
    const struct feature_text one = {.text = text};
    struct tl_err inner;
    enum tl_code code = features_compile(&one, 1, find_band, r->doc, &features, &inner);

    if (code == TL_NOMEM)
        return no_memory(err);
    return code == TL_OK ? TL_OK : json_refuse(at, err, "%s", inner.msg);
}

static enum tl_code read_features(struct reader *r, struct json_at at, struct tl_err *err)
{
    TL_TRY(json_read_object(at, err));
    size_t count = json_object_size(at.value), i = 0;
    const char **names = arena_alloc(r->arena, count + 1, sizeof(*names));
    const char **texts = arena_alloc(r->arena, count + 1, sizeof(*texts));
    struct feature_fill *fills = arena_alloc(r->arena, count + 1, sizeof(*fills));
    if (!names || !texts || !fills)
        return no_memory(err);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)at.value, name, value)
    {
        struct json_at item = json_key(&at, name);

        TL_TRY(keep_text(r, name, &names[i], err));
        TL_TRY(feature_doc_read(item, &texts[i], &fills[i], err));
        TL_TRY(keep_text(r, texts[i], &texts[i], err));
        TL_TRY(check_expression(r, &item, texts[i], err));
        i++;
    }
    r->doc->feature_count = (uint32_t)count;
    r->doc->feature_names = names;
    r->doc->feature_texts = texts;
    r->doc->feature_fills = fills;
    return TL_OK;
}

static enum tl_code read_mask(struct reader *r, struct json_at at, struct tl_err *err)
{
    static const char *const known[] = {"source", "band", "keep", NULL};
    struct json_at keep = json_key(&at, "keep");
    int64_t band;
    size_t count;

    if (!at.value)
        return TL_OK;
    TL_TRY(json_read_object(at, err));
    TL_TRY(json_known_keys(at, known, err));
    TL_TRY(read_source_id(r, json_key(&at, "source"), &r->doc->mask_source, err));
    TL_TRY(json_read_int_or(json_key(&at, "band"), 1, PYRAMID_MAX_BANDS, 1, &band, err));
    TL_TRY(json_read_array(keep, false, &count, err));
    if (count == 0)
        return json_refuse(&keep, err, "nothing is kept, so no pixel would be classified");
    for (size_t i = 0; i < count; i++) {
        int64_t value;

        TL_TRY(json_read_int(json_item(&keep, i), 0, 255, &value, err));
        r->doc->mask_keep[value] = 1;
    }
    r->doc->mask_band = (uint16_t)(band - 1);
    return TL_OK;
}

/* GeoJSON, or where some is. */
static enum tl_code read_aoi(struct reader *r, struct json_at at, struct tl_err *err)
{
    if (!at.value)
        return TL_OK;
    if (json_is_string(at.value))
        return read_href(r, at, &r->doc->aoi_href, err);
    return aoi_doc_read(&at, r->arena, &r->doc->aoi, err);
}

static enum tl_code read_below_native(struct reader *r, struct json_at at, struct tl_err *err)
{
    static const char *const known[] = {"policy", "budget_blocks", NULL};
    struct json_at policy_at = json_key(&at, "policy");
    const char *policy = "approx";
    int64_t budget = 4;

    if (at.value) {
        TL_TRY(json_read_object(at, err));
        TL_TRY(json_known_keys(at, known, err));
        TL_TRY(json_read_string_or(policy_at, policy, &policy, err));
        TL_TRY(json_read_int_or(json_key(&at, "budget_blocks"), 0, 65536, budget, &budget, err));
    }
    bool exact = strcmp(policy, "exact") == 0;
    if (!exact && strcmp(policy, "approx") != 0)
        return json_refuse(&policy_at, err, "\"%s\" is not one of approx, exact", policy);
    r->doc->policy = exact ? POLICY_EXACT : POLICY_APPROX;
    r->doc->budget_blocks = (uint32_t)budget;
    return TL_OK;
}

static enum tl_code read_raster(struct reader *r, const struct json_at *root, struct tl_err *err)
{
    static const char *const known[] = {
        "id",      "title",  "description", "kind", "role",        "classes", "synthetic", "source",
        "seasons", "styles", "resampling",  "zoom", "attribution", "license", NULL};
    struct layer_doc *doc = r->doc;

    TL_TRY(json_known_keys(*root, known, err));
    TL_TRY(json_read_bool_or(json_key(root, "classes"), false, &doc->classes, err));
    doc->sources = arena_zalloc(r->arena, 1, sizeof(*doc->sources));
    if (!doc->sources)
        return no_memory(err);
    doc->source_count = 1;
    TL_TRY(read_source(r, json_key(root, "source"), "", &doc->sources[0], err));
    struct json_at resampling = json_key(root, "resampling");
    TL_TRY(read_resampling(resampling, doc->classes ? RESAMPLE_NEAREST : RESAMPLE_BILINEAR,
                           &doc->resampling, err));
    if (doc->classes && !resampling_keeps_values(doc->resampling))
        return json_refuse(&resampling, err,
                           "%s would invent classes; a class layer takes nearest or mode",
                           resampling_name(doc->resampling));
    return TL_OK;
}

static enum tl_code read_model(struct reader *r, struct json_at at, struct tl_err *err)
{
    static const char *const known[] = {"href", NULL};

    TL_TRY(json_read_object(at, err));
    TL_TRY(json_known_keys(at, known, err));
    return read_href(r, json_key(&at, "href"), &r->doc->model, err);
}

static enum tl_code read_prediction(struct reader *r, const struct json_at *root,
                                    struct tl_err *err)
{
    static const char *const known[] = {
        "id",           "title",   "description", "kind",     "role",        "synthetic",
        "grid",         "sources", "model",       "features", "mask",        "post",
        "below_native", "seasons", "styles",      "zoom",     "attribution", "license",
        "resampling",   "outputs", "aoi",         NULL};
    struct json_at resampling = json_key(root, "resampling");

    TL_TRY(json_known_keys(*root, known, err));
    r->doc->classes = true;
    TL_TRY(read_resampling(resampling, RESAMPLE_NEAREST, &r->doc->resampling, err));
    if (!resampling_keeps_values(r->doc->resampling))
        return json_refuse(&resampling, err, "a prediction takes nearest or mode");
    TL_TRY(read_sources(r, json_key(root, "sources"), err));
    TL_TRY(read_model(r, json_key(root, "model"), err));
    TL_TRY(read_grid(r, json_key(root, "grid"), err));
    TL_TRY(read_features(r, json_key(root, "features"), err));
    TL_TRY(read_mask(r, json_key(root, "mask"), err));
    TL_TRY(read_aoi(r, json_key(root, "aoi"), err));
    TL_TRY(post_doc_read(json_key(root, "post"), &r->doc->post, err));
    TL_TRY(read_list(r, json_key(root, "outputs"), PREDICTION_MAX_MORE, &r->doc->outputs,
                     &r->doc->output_count, err));
    return read_below_native(r, json_key(root, "below_native"), err);
}

static enum tl_code read_common(struct reader *r, const struct json_at *root, struct tl_err *err)
{
    struct layer_doc *doc = r->doc;
    struct json_at id = json_key(root, "id"), kind_at = json_key(root, "kind");
    const char *kind;

    TL_TRY(json_read_object(*root, err));
    TL_TRY(read_string(r, id, NULL, &doc->id, err));
    if (!is_id(doc->id))
        return json_refuse(&id, err, "up to 63 letters, digits, . _ and - are allowed");
    TL_TRY(json_read_string(kind_at, &kind, err));
    bool prediction = strcmp(kind, "prediction") == 0;
    if (!prediction && strcmp(kind, "raster") != 0)
        return json_refuse(&kind_at, err, "\"%s\" is not one of raster, prediction", kind);
    doc->kind = prediction ? LAYER_PREDICTION : LAYER_RASTER;
    TL_TRY(read_string(r, json_key(root, "title"), doc->id, &doc->title, err));
    TL_TRY(read_string(r, json_key(root, "description"), "", &doc->description, err));
    TL_TRY(read_string(r, json_key(root, "attribution"), "", &doc->attribution, err));
    TL_TRY(read_string(r, json_key(root, "license"), "", &doc->license, err));
    TL_TRY(read_string(r, json_key(root, "role"), prediction ? "prediction" : "baseline",
                       &doc->role, err));
    TL_TRY(read_list(r, json_key(root, "styles"), DOC_MAX_STYLES, &doc->styles, &doc->style_count,
                     err));
    TL_TRY(read_zoom(r, json_key(root, "zoom"), err));
    return json_read_bool_or(json_key(root, "synthetic"), false, &doc->synthetic, err);
}

enum tl_code layer_doc_parse(const char *path, const void *bytes, size_t size, struct arena *arena,
                             struct layer_doc *ret_doc, struct tl_err *err)
{
    AUTO_JSON root = NULL;
    struct layer_doc doc = {.grid_like = -1, .mask_source = -1};
    const char *slash = strrchr(path, '/');
    struct reader r = {.arena = arena,
                       .doc = &doc,
                       .dir = path,
                       .dir_size = slash ? (size_t)(slash - path) + 1 : 0};

    TL_TRY(json_parse(path, bytes, size, &root, err));
    struct json_at at = json_root(path, root);
    TL_TRY(read_common(&r, &at, err));
    if (doc.kind == LAYER_RASTER)
        TL_TRY(read_raster(&r, &at, err));
    else
        TL_TRY(read_prediction(&r, &at, err));
    TL_TRY(read_seasons(&r, json_key(&at, "seasons"), err));
    *ret_doc = doc;
    return TL_OK;
}

int layer_doc_season(const struct layer_doc *doc, const char *season)
{
    if (!season || season[0] == '\0')
        return 0;
    for (uint32_t i = 0; i < doc->season_count; i++)
        if (strcmp(doc->seasons[i].label, season) == 0)
            return (int)i;
    if (!is_date(season))
        return -1;
    for (uint32_t i = 0; i < doc->season_count; i++) {
        const struct doc_season *s = &doc->seasons[i];

        if (s->start && s->end && strcmp(season, s->start) >= 0 && strcmp(season, s->end) < 0)
            return (int)i;
    }
    return -1;
}
