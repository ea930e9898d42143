#include "model/doc_private.h"

#include "base/arena.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool check_document(const struct doc *doc, struct doc_fault *fault)
{
    size_t end;

    if (!(doc->binary ? doc_ubjson_check : doc_json_check)(doc, &end, fault))
        return false;
    return end == doc->size || doc_bad(fault, end, "something is behind its end");
}

enum tl_code doc_open(const char *name, const uint8_t *bytes, size_t size, struct doc *ret_doc,
                      struct tl_err *err)
{
    /* A brace and a key's length open UBJSON; in JSON a quote or space comes next. */
    bool binary = size > 1 && bytes[0] == '{' && strchr("iUIlL$#", bytes[1]) && bytes[1];
    struct doc doc = {name, bytes, size, binary, (locale_t)0};
    struct doc_fault fault = {0, "it is empty"};

    if (!check_document(&doc, &fault))
        return tl_fail(err, TL_CORRUPT, "%s: %s, byte %zu: %s; save the model again", name,
                       binary ? "UBJSON" : "JSON", fault.at, fault.what);
    doc.plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!doc.plain)
        return tl_fail(err, TL_NOMEM, "%s: no memory for the model", name);
    *ret_doc = doc;
    return TL_OK;
}

void doc_close(struct doc *doc)
{
    if (doc->plain)
        freelocale(doc->plain);
    doc->plain = (locale_t)0;
}

struct doc_value doc_root(const struct doc *doc)
{
    return doc->binary ? doc_ubjson_root(doc) : doc_json_root(doc);
}

struct doc_items doc_items(struct doc_value container)
{
    if (container.kind != DOC_ARRAY && container.kind != DOC_OBJECT)
        return (struct doc_items){0};
    if (container.doc->binary)
        return doc_ubjson_items(container);
    return (struct doc_items){
        .doc = container.doc, .at = container.at + 1, .object = container.kind == DOC_OBJECT};
}

bool doc_next(struct doc_items *items, struct doc_text *ret_key, struct doc_value *ret_value)
{
    if (!items->doc)
        return false;
    return items->doc->binary ? doc_ubjson_next(items, ret_key, ret_value)
                              : doc_json_next(items, ret_key, ret_value);
}

uint64_t doc_count(struct doc_value container)
{
    struct doc_items items = doc_items(container);
    struct doc_text key;
    struct doc_value value;
    uint64_t count = 0;

    if (items.counted)
        return items.left;
    while (doc_next(&items, &key, &value))
        count++;
    return count;
}

void doc_find_all(struct doc_value object, const struct doc_wanted *wanted, size_t count)
{
    struct doc_items items = {0};
    struct doc_value value;
    struct doc_text here;

    if (object.kind == DOC_OBJECT)
        items = doc_items(object);
    while (doc_next(&items, &here, &value))
        for (size_t i = 0; i < count; i++)
            if (doc_equals(here, wanted[i].key))
                *wanted[i].to = value;
}

struct doc_value doc_find(struct doc_value object, const char *key)
{
    struct doc_value found = {0};

    doc_find_all(object, &(struct doc_wanted){key, &found}, 1);
    return found;
}

bool doc_equals(struct doc_text text, const char *word)
{
    return text.size == strlen(word) && memcmp(text.at, word, text.size) == 0;
}
/* ---- values ---- */

bool doc_string(struct doc_value value, struct doc_text *ret_text)
{
    if (value.kind != DOC_STRING)
        return false;
    if (value.doc->binary)
        return doc_ubjson_string(value, ret_text);
    *ret_text = doc_json_string(value);
    return true;
}

/* The bytes of a number in text: a JSON number, or a string that should hold one. */
static bool number_text(struct doc_value value, struct doc_text *ret_text)
{
    if (value.kind == DOC_STRING)
        return doc_string(value, ret_text);
    if (value.kind != DOC_NUMBER || value.doc->binary)
        return false;
    *ret_text = doc_json_number(value);
    return true;
}

static bool terminate(struct doc_text text, char token[DOC_MAX_NUMBER])
{
    if (text.size == 0 || text.size >= DOC_MAX_NUMBER || doc_json_is_space((uint8_t)*text.at))
        return false;
    memcpy(token, text.at, text.size);
    token[text.size] = '\0';
    return true;
}

bool doc_text_float(const struct doc *doc, struct doc_text text, float *ret_number)
{
    char token[DOC_MAX_NUMBER], *end;

    if (!terminate(text, token))
        return false;
    *ret_number = strtof_l(token, &end, doc->plain);
    return end == token + text.size;
}

static bool text_double(const struct doc *doc, struct doc_text text, double *ret_number)
{
    char token[DOC_MAX_NUMBER], *end;

    if (!terminate(text, token))
        return false;
    *ret_number = strtod_l(token, &end, doc->plain);
    return end == token + text.size;
}

/* Numbers and bools of UBJSON, and bools of JSON. */
static bool plain_double(struct doc_value value, double *ret_number)
{
    if (value.kind == DOC_BOOL) {
        *ret_number = value.doc->binary ? value.marker == 'T' : value.doc->bytes[value.at] == 't';
        return true;
    }
    if (value.kind != DOC_NUMBER || !value.doc->binary)
        return false;
    *ret_number = doc_ubjson_number(value);
    return true;
}

bool doc_double(struct doc_value value, double *ret_number)
{
    struct doc_text text;

    if (number_text(value, &text))
        return text_double(value.doc, text, ret_number);
    return plain_double(value, ret_number);
}

bool doc_float(struct doc_value value, float *ret_number)
{
    struct doc_text text;
    double number;

    if (number_text(value, &text))
        return doc_text_float(value.doc, text, ret_number);
    if (!plain_double(value, &number))
        return false;
    *ret_number = (float)number;
    return true;
}

bool doc_int(struct doc_value value, int64_t min, int64_t max, int64_t *ret_number)
{
    double number;

    /* Whole numbers of models are below 2^53. */
    if (!doc_double(value, &number) || !(number >= (double)min && number <= (double)max) ||
        number != floor(number))
        return false;
    *ret_number = (int64_t)number;
    return true;
}

bool doc_ints(struct doc_value list, uint64_t count, int64_t max, uint32_t *ret_numbers)
{
    struct doc_items items = doc_items(list);
    struct doc_value value;
    struct doc_text key;
    uint64_t i = 0;
    int64_t number;

    for (; doc_next(&items, &key, &value); i++) {
        if (i == count || !doc_int(value, 0, max, &number))
            return false;
        ret_numbers[i] = (uint32_t)number;
    }
    return i == count;
}

bool doc_floats(struct doc_value list, uint64_t count, float *ret_numbers)
{
    struct doc_items items = doc_items(list);
    struct doc_value value;
    struct doc_text key;
    uint64_t i = 0;

    for (; doc_next(&items, &key, &value); i++)
        if (i == count || !doc_float(value, &ret_numbers[i]))
            return false;
    return i == count;
}

char *doc_copy(struct doc_value value, struct arena *arena)
{
    struct doc_text text;
    bool known = number_text(value, &text);
    char *copy = known ? arena_alloc(arena, text.size + 1, 1) : NULL;
    char *end;

    if (!copy)
        return NULL;
    if (value.doc->binary)
        end = mempcpy(copy, text.at, text.size);
    else
        end = doc_json_unescape(text, copy);
    if (!end)
        return NULL;
    *end = '\0';
    return memchr(copy, '\0', (size_t)(end - copy)) ? NULL : copy;
}
