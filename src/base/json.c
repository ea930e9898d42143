#include "base/json.h"

#include "base/nearest.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum tl_code json_parse(const char *name, const void *bytes, size_t size, json_t **ret_root,
                        struct tl_err *err)
{
    json_error_t why;
    /* jansson refuses a NULL buffer, even of no bytes. */
    json_t *root = json_loadb(size ? bytes : "", size, JSON_REJECT_DUPLICATES, &why);

    if (root) {
        *ret_root = root;
        return TL_OK;
    }
    if (json_error_code(&why) == json_error_out_of_memory)
        return tl_fail(err, TL_NOMEM, "%s: no memory to parse %zu bytes of JSON", name, size);
    return tl_fail(err, TL_INVALID, "%s:%d:%d: not valid JSON: %s", name, why.line, why.column,
                   why.text);
}

struct json_at json_root(const char *document, const json_t *root)
{
    return (struct json_at){.value = root, .document = document};
}

struct json_at json_key(const struct json_at *parent, const char *key)
{
    return (struct json_at){
        .value = json_object_get(parent->value, key),
        .parent = parent,
        .key = key,
    };
}

struct json_at json_item(const struct json_at *parent, size_t index)
{
    return (struct json_at){
        .value = json_array_get(parent->value, index),
        .parent = parent,
        .index = index,
    };
}

/* Appends what fits; `ret_used` stays below `room`. */
static void append(char *text, size_t room, size_t *used, const char *fmt, ...) TL_PRINTF(4, 5);

static void append(char *text, size_t room, size_t *used, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(text + *used, room - *used, fmt, ap);
    va_end(ap);
    if (n > 0)
        *used = TL_MIN(*used + (size_t)n, room - 1);
}

static void append_place(const struct json_at *at, char *text, size_t room, size_t *used)
{
    if (!at->parent) {
        append(text, room, used, "%s:", at->document);
        return;
    }
    append_place(at->parent, text, room, used);
    if (at->key)
        append(text, room, used, "%s%s", at->parent->parent ? "." : " ", at->key);
    else
        append(text, room, used, "%s[%zu]", at->parent->parent ? "" : " ", at->index);
}

void json_say(const struct json_at *at, struct tl_err *err, const char *fmt, ...)
{
    char text[sizeof(err->msg)] = "";
    size_t used = 0;
    va_list ap;

    append_place(at, text, sizeof(text), &used);
    append(text, sizeof(text), &used, at->parent ? ": " : " ");
    va_start(ap, fmt);
    /* The caller's format string has been checked by its own attribute. */
    vsnprintf(text + used, sizeof(text) - used, fmt, ap);
    va_end(ap);
    memcpy(err->msg, text, sizeof(text));
}

static const char *type_name(const json_t *value)
{
    static const char *const names[] = {
        [JSON_OBJECT] = "an object",
        [JSON_ARRAY] = "an array",
        [JSON_STRING] = "a string",
        [JSON_INTEGER] = "a whole number",
        [JSON_REAL] = "a number with a fraction",
        [JSON_TRUE] = "true",
        [JSON_FALSE] = "false",
        [JSON_NULL] = "null",
    };

    return value ? names[json_typeof(value)] : "absent";
}

/* "classes[3].value: a whole number from 0 to 255 is needed, this is a string" */
static enum tl_code refuse_type(const struct json_at *at, const char *needed, struct tl_err *err)
{
    const struct json_at *parent = at->parent;

    if (!at->value && parent && parent->value && at->key && !json_is_object(parent->value))
        return json_refuse(parent, err, "an object with the key \"%s\" is needed, this is %s",
                           at->key, type_name(parent->value));
    if (!at->value)
        return json_refuse(at, err, "%s is needed and the key is absent", needed);
    return json_refuse(at, err, "%s is needed, this is %s", needed, type_name(at->value));
}

enum tl_code json_read_string(struct json_at at, const char **ret, struct tl_err *err)
{
    if (!json_is_string(at.value))
        return refuse_type(&at, "a string", err);
    *ret = json_string_value(at.value);
    return TL_OK;
}

enum tl_code json_read_string_or(struct json_at at, const char *fallback, const char **ret,
                                 struct tl_err *err)
{
    if (at.value)
        return json_read_string(at, ret, err);
    *ret = fallback;
    return TL_OK;
}

enum tl_code json_read_int(struct json_at at, int64_t min, int64_t max, int64_t *ret,
                           struct tl_err *err)
{
    char needed[96];

    snprintf(needed, sizeof(needed), "a whole number from %lld to %lld", (long long)min,
             (long long)max);
    if (!json_is_integer(at.value))
        return refuse_type(&at, needed, err);
    int64_t value = json_integer_value(at.value);
    if (value < min || value > max)
        return json_refuse(&at, err, "%s is needed, this is %lld", needed, (long long)value);
    *ret = value;
    return TL_OK;
}

enum tl_code json_read_int_or(struct json_at at, int64_t min, int64_t max, int64_t fallback,
                              int64_t *ret, struct tl_err *err)
{
    if (at.value)
        return json_read_int(at, min, max, ret, err);
    *ret = fallback;
    return TL_OK;
}

enum tl_code json_read_number(struct json_at at, double *ret, struct tl_err *err)
{
    if (!json_is_number(at.value))
        return refuse_type(&at, "a number", err);
    *ret = json_number_value(at.value);
    return TL_OK;
}

enum tl_code json_read_bool_or(struct json_at at, bool fallback, bool *ret, struct tl_err *err)
{
    if (!at.value) {
        *ret = fallback;
        return TL_OK;
    }
    if (!json_is_boolean(at.value))
        return refuse_type(&at, "true or false", err);
    *ret = json_is_true(at.value);
    return TL_OK;
}

enum tl_code json_read_array(struct json_at at, bool optional, size_t *ret_count,
                             struct tl_err *err)
{
    if (!at.value && optional) {
        *ret_count = 0;
        return TL_OK;
    }
    if (!json_is_array(at.value))
        return refuse_type(&at, "an array", err);
    *ret_count = json_array_size(at.value);
    return TL_OK;
}

enum tl_code json_read_object(struct json_at at, struct tl_err *err)
{
    return json_is_object(at.value) ? TL_OK : refuse_type(&at, "an object", err);
}

static bool is_known(const char *key, const char *const *known)
{
    for (; *known; known++)
        if (strcmp(key, *known) == 0)
            return true;
    return false;
}

static enum tl_code refuse_key(const struct json_at *at, const char *key, const char *const *known,
                               struct tl_err *err)
{
    const char *guess = nearest_word(key, known);
    char list[256] = "";
    size_t used = 0;

    if (guess)
        return json_refuse(at, err, "unknown key \"%s\"; did you mean \"%s\"?", key, guess);
    for (const char *const *word = known; *word; word++)
        append(list, sizeof(list), &used, "%s%s", word == known ? "" : ", ", *word);
    return json_refuse(at, err, "unknown key \"%s\"; known are: %s", key, list);
}

enum tl_code json_known_keys(struct json_at at, const char *const *known, struct tl_err *err)
{
    /* jansson's iterators want a mutable object although they only read. */
    union {
        const json_t *given;
        json_t *wanted;
    } object = {.given = at.value};

    TL_TRY(json_read_object(at, err));
    for (void *i = json_object_iter(object.wanted); i;
         i = json_object_iter_next(object.wanted, i)) {
        const char *key = json_object_iter_key(i);

        if (!is_known(key, known))
            return refuse_key(&at, key, known, err);
    }
    return TL_OK;
}

void json_auto_decref(json_t **root)
{
    json_decref(*root);
}
