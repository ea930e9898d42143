#include "model/doc_private.h"

#include <string.h>

/* Bytes of a number by its marker; 0 for what is none. */
static size_t number_bytes(uint8_t marker)
{
    switch (marker) {
    case 'i':
    case 'U':
    case 'C':
        return 1;
    case 'I':
        return 2;
    case 'l':
    case 'd':
        return 4;
    case 'L':
    case 'D':
        return 8;
    default:
        return 0;
    }
}

static uint8_t byte_at(const struct doc *doc, size_t at)
{
    return at < doc->size ? doc->bytes[at] : 0;
}

static uint64_t big_endian(const struct doc *doc, size_t at, size_t bytes)
{
    uint64_t bits = 0;

    for (size_t i = 0; i < bytes; i++)
        bits = bits << 8 | doc->bytes[at + i];
    return bits;
}

static int64_t whole(const struct doc *doc, size_t at, uint8_t marker)
{
    uint64_t bits = big_endian(doc, at, number_bytes(marker));

    switch (marker) {
    case 'i':
        return (int8_t)bits;
    case 'I':
        return (int16_t)bits;
    case 'l':
        return (int32_t)bits;
    default: /* eight bytes, or one without a sign */
        return (int64_t)bits;
    }
}

/* A length: marker and number, of things of at least one byte each. */
static bool take_length(const struct doc *doc, size_t *at, size_t *ret_length)
{
    uint8_t marker = byte_at(doc, *at);
    size_t bytes = number_bytes(marker);

    if (bytes == 0 || strchr("dDC", marker) || *at + 1 > doc->size || doc->size - *at - 1 < bytes)
        return false;
    int64_t length = whole(doc, *at + 1, marker);
    *at += 1 + bytes;
    if (length < 0 || (uint64_t)length > doc->size - *at)
        return false;
    *ret_length = (size_t)length;
    return true;
}

/* The head of a container: "$<type>#<length>", "#<length>" or nothing. */
static bool open_container(struct doc_items *items)
{
    const struct doc *doc = items->doc;
    size_t length;

    if (byte_at(doc, items->at) == '$') {
        items->type = byte_at(doc, items->at + 1);
        /* Only items that take bytes: a count then never costs more than the file. */
        if (number_bytes(items->type) == 0 && items->type != 'S')
            return false;
        items->at += 2;
        if (byte_at(doc, items->at) != '#')
            return false;
    }
    if (byte_at(doc, items->at) != '#')
        return true;
    items->at++;
    if (!take_length(doc, &items->at, &length))
        return false;
    items->counted = true;
    items->left = length;
    return true;
}

struct doc_items doc_ubjson_items(struct doc_value container)
{
    struct doc_items items = {
        .doc = container.doc, .at = container.at, .object = container.kind == DOC_OBJECT};

    return open_container(&items) ? items : (struct doc_items){0};
}

static enum doc_kind marker_kind(uint8_t marker)
{
    switch (marker) {
    case 'Z':
        return DOC_NULL;
    case 'T':
    case 'F':
        return DOC_BOOL;
    case 'S':
        return DOC_STRING;
    case '[':
        return DOC_ARRAY;
    case '{':
        return DOC_OBJECT;
    default:
        return number_bytes(marker) ? DOC_NUMBER : DOC_NONE;
    }
}

static bool ubj_end(struct doc_value value, unsigned depth, size_t *ret_end,
                    struct doc_fault *fault);

/* The end of the container, or the next item with its key. */
static bool ubj_step(struct doc_items *items, struct doc_text *ret_key, struct doc_value *ret_value,
                     struct doc_fault *fault)
{
    const struct doc *doc = items->doc;
    size_t length = 0;

    fault->what = NULL;
    if (items->counted ? items->left == 0
                       : byte_at(doc, items->at) == (items->object ? '}' : ']')) {
        items->at += !items->counted;
        return false;
    }
    items->left -= items->counted;
    *ret_key = (struct doc_text){"", 0};
    if (items->object) {
        if (!take_length(doc, &items->at, &length))
            return doc_bad(fault, items->at, "a key's length is expected");
        *ret_key = (struct doc_text){(const char *)doc->bytes + items->at, length};
        items->at += length;
    }
    uint8_t marker = items->type;
    if (!marker)
        marker = byte_at(doc, items->at++);
    *ret_value = (struct doc_value){doc, items->at, marker_kind(marker), marker};
    if (ret_value->kind == DOC_NONE)
        return doc_bad(fault, items->at, "an unknown marker, or the end of the file");
    return true;
}

static bool container_end(struct doc_value value, unsigned depth, size_t *ret_end,
                          struct doc_fault *fault)
{
    struct doc_items items = doc_ubjson_items(value);
    struct doc_text key;
    struct doc_value item;

    if (depth == DOC_MAX_DEPTH)
        return doc_bad(fault, value.at, "it is nested more than 64 deep");
    if (!items.doc)
        return doc_bad(fault, value.at, "a container's type or length is damaged");
    if (!items.object && number_bytes(items.type)) {
        size_t bytes = number_bytes(items.type);

        if (items.left > (items.doc->size - items.at) / bytes)
            return doc_bad(fault, items.at, "an array is longer than the file");
        *ret_end = items.at + items.left * bytes;
        return true;
    }
    while (ubj_step(&items, &key, &item, fault))
        if (!ubj_end(item, depth + 1, &items.at, fault))
            return false;
    *ret_end = items.at;
    return fault->what == NULL;
}

/* Behind the value. Checks all that it passes. */
static bool ubj_end(struct doc_value value, unsigned depth, size_t *ret_end,
                    struct doc_fault *fault)
{
    size_t at = value.at, bytes = 0;

    fault->what = NULL;
    switch (value.kind) {
    case DOC_ARRAY:
    case DOC_OBJECT:
        return container_end(value, depth, ret_end, fault);
    case DOC_STRING:
        if (!take_length(value.doc, &at, &bytes))
            return doc_bad(fault, at, "a string's length is damaged");
        break;
    case DOC_NUMBER:
        bytes = number_bytes(value.marker);
        break;
    case DOC_NONE:
    case DOC_NULL:
    case DOC_BOOL:
        break;
    }
    if (at > value.doc->size || value.doc->size - at < bytes)
        return doc_bad(fault, at, "it ends in the middle of a value");
    *ret_end = at + bytes;
    return true;
}

bool doc_ubjson_check(const struct doc *doc, size_t *ret_end, struct doc_fault *fault)
{
    return ubj_end(doc_ubjson_root(doc), 0, ret_end, fault);
}

struct doc_value doc_ubjson_root(const struct doc *doc)
{
    return (struct doc_value){doc, 1, marker_kind(doc->bytes[0]), doc->bytes[0]};
}

bool doc_ubjson_next(struct doc_items *items, struct doc_text *ret_key, struct doc_value *ret_value)
{
    struct doc_fault fault;

    return ubj_step(items, ret_key, ret_value, &fault) &&
           ubj_end(*ret_value, 0, &items->at, &fault);
}

/* ---- values ---- */

bool doc_ubjson_string(struct doc_value string, struct doc_text *ret_text)
{
    size_t at = string.at, size;

    if (!take_length(string.doc, &at, &size))
        return false;
    *ret_text = (struct doc_text){(const char *)string.doc->bytes + at, size};
    return true;
}

double doc_ubjson_number(struct doc_value value)
{
    uint64_t bits = big_endian(value.doc, value.at, number_bytes(value.marker));
    uint32_t low = (uint32_t)bits;
    float single;
    double number;

    if (value.marker == 'd') {
        memcpy(&single, &low, sizeof(single));
        return (double)single;
    }
    if (value.marker == 'D') {
        memcpy(&number, &bits, sizeof(number));
        return number;
    }
    return (double)whole(value.doc, value.at, value.marker);
}
