#include "model/doc.h"

#include "base/arena.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where a document stops to be one. */
struct fault {
    size_t at;
    const char *what;
};

static bool bad(struct fault *fault, size_t at, const char *what)
{
    *fault = (struct fault){at, what};
    return false;
}

/* ---- JSON ---- */

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static void skip_space(const struct doc *doc, size_t *at)
{
    while (*at < doc->size && is_space(doc->bytes[*at]))
        ++*at;
}

static uint8_t byte_at(const struct doc *doc, size_t at)
{
    return at < doc->size ? doc->bytes[at] : 0;
}

static bool take_word(const struct doc *doc, size_t *at, const char *word)
{
    size_t size = strlen(word);

    if (doc->size - *at < size || memcmp(doc->bytes + *at, word, size) != 0)
        return false;
    *at += size;
    return true;
}

static size_t take_digits(const struct doc *doc, size_t *at)
{
    size_t first = *at;

    while (is_digit(byte_at(doc, *at)))
        ++*at;
    return *at - first;
}

/* A JSON number, and the words that XGBoost writes besides. */
static bool check_number(const struct doc *doc, size_t *at, struct fault *fault)
{
    size_t first = *at;

    if (byte_at(doc, *at) == '-')
        ++*at;
    if (take_word(doc, at, "Infinity") || take_word(doc, at, "NaN"))
        return true;
    if (take_digits(doc, at) == 0)
        return bad(fault, *at, "a value is expected");
    if (byte_at(doc, *at) == '.') {
        ++*at;
        (void)take_digits(doc, at);
    }
    if ((byte_at(doc, *at) | 32) == 'e') {
        ++*at;
        if (byte_at(doc, *at) == '-' || byte_at(doc, *at) == '+')
            ++*at;
        if (take_digits(doc, at) == 0)
            return bad(fault, *at, "an exponent without digits");
    }
    return *at - first < DOC_MAX_NUMBER || bad(fault, first, "a number of more than 63 bytes");
}

/* `at` behind the opening quote; leaves it behind the closing one. */
static bool check_string(const struct doc *doc, size_t *at, struct fault *fault)
{
    for (; *at < doc->size && doc->bytes[*at] != '"'; ++*at) {
        if (doc->bytes[*at] < ' ')
            return bad(fault, *at, "a control character in a string");
        if (doc->bytes[*at] != '\\')
            continue;
        if (!strchr("\"\\/bfnrtu", byte_at(doc, *at + 1)) || *at + 1 >= doc->size)
            return bad(fault, *at, "an unknown escape in a string");
        ++*at;
    }
    if (*at >= doc->size)
        return bad(fault, *at, "a string without its end");
    ++*at;
    return true;
}

static bool check_json(const struct doc *doc, size_t *at, unsigned depth, struct fault *fault);

static bool check_member(const struct doc *doc, size_t *at, unsigned depth, bool object,
                         struct fault *fault)
{
    skip_space(doc, at);
    if (object) {
        if (byte_at(doc, *at) != '"')
            return bad(fault, *at, "a key is expected");
        ++*at;
        if (!check_string(doc, at, fault))
            return false;
        skip_space(doc, at);
        if (byte_at(doc, *at) != ':')
            return bad(fault, *at, "a colon is expected");
        ++*at;
    }
    return check_json(doc, at, depth, fault);
}

/* `at` behind the opening bracket. */
static bool check_members(const struct doc *doc, size_t *at, unsigned depth, bool object,
                          struct fault *fault)
{
    uint8_t close = object ? '}' : ']';

    if (depth == DOC_MAX_DEPTH)
        return bad(fault, *at, "it is nested more than 64 deep");
    skip_space(doc, at);
    if (byte_at(doc, *at) == close) {
        ++*at;
        return true;
    }
    for (;;) {
        if (!check_member(doc, at, depth + 1, object, fault))
            return false;
        skip_space(doc, at);
        uint8_t c = byte_at(doc, *at);
        if (c != ',' && c != close)
            return bad(fault, *at, "a comma or the end of a list is expected");
        ++*at;
        if (c == close)
            return true;
    }
}

static bool check_json(const struct doc *doc, size_t *at, unsigned depth, struct fault *fault)
{
    skip_space(doc, at);
    switch (byte_at(doc, *at)) {
    case '{':
        ++*at;
        return check_members(doc, at, depth, true, fault);
    case '[':
        ++*at;
        return check_members(doc, at, depth, false, fault);
    case '"':
        ++*at;
        return check_string(doc, at, fault);
    case 't':
    case 'f':
    case 'n':
        return take_word(doc, at, "true") || take_word(doc, at, "false") ||
               take_word(doc, at, "null") || bad(fault, *at, "a value is expected");
    default:
        return check_number(doc, at, fault);
    }
}

/* Behind the string whose opening quote is before `at`. Syntax has been checked. */
static size_t string_end(const struct doc *doc, size_t at)
{
    while (at < doc->size && doc->bytes[at] != '"')
        at += doc->bytes[at] == '\\' ? 2 : 1;
    return at + 1;
}

/* Behind the JSON value at `at`. Syntax has been checked. */
static size_t json_end(const struct doc *doc, size_t at)
{
    size_t depth = 0;

    do {
        uint8_t c = byte_at(doc, at++);

        if (c == '"')
            at = string_end(doc, at);
        else if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        else if (depth == 0)
            while (at < doc->size && !is_space(doc->bytes[at]) && !strchr(",]}", doc->bytes[at]))
                at++;
    } while (depth > 0 && at < doc->size);
    return at;
}

static struct doc_value json_value(const struct doc *doc, size_t at)
{
    struct doc_value value = {doc, at, DOC_NUMBER, 0};

    switch (byte_at(doc, at)) {
    case '{':
        value.kind = DOC_OBJECT;
        break;
    case '[':
        value.kind = DOC_ARRAY;
        break;
    case '"':
        value.kind = DOC_STRING;
        break;
    case 't':
    case 'f':
        value.kind = DOC_BOOL;
        break;
    case 'n':
        value.kind = DOC_NULL;
        break;
    default:
        break;
    }
    return value;
}

static bool json_next(struct doc_items *items, struct doc_text *ret_key,
                      struct doc_value *ret_value)
{
    const struct doc *doc = items->doc;

    skip_space(doc, &items->at);
    if (byte_at(doc, items->at) == ',') {
        items->at++;
        skip_space(doc, &items->at);
    }
    if (strchr("]}", byte_at(doc, items->at)))
        return false;
    *ret_key = (struct doc_text){"", 0};
    if (items->object) {
        size_t first = items->at + 1, end = string_end(doc, first);

        *ret_key = (struct doc_text){(const char *)doc->bytes + first, end - 1 - first};
        skip_space(doc, &end);
        items->at = end + 1; /* the colon */
        skip_space(doc, &items->at);
    }
    *ret_value = json_value(doc, items->at);
    items->at = json_end(doc, items->at);
    return true;
}

/* ---- UBJSON ---- */

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

static bool ubj_end(struct doc_value value, unsigned depth, size_t *ret_end, struct fault *fault);

/* The end of the container, or the next item with its key. */
static bool ubj_step(struct doc_items *items, struct doc_text *ret_key, struct doc_value *ret_value,
                     struct fault *fault)
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
            return bad(fault, items->at, "a key's length is expected");
        *ret_key = (struct doc_text){(const char *)doc->bytes + items->at, length};
        items->at += length;
    }
    uint8_t marker = items->type;
    if (!marker)
        marker = byte_at(doc, items->at++);
    *ret_value = (struct doc_value){doc, items->at, marker_kind(marker), marker};
    if (ret_value->kind == DOC_NONE)
        return bad(fault, items->at, "an unknown marker, or the end of the file");
    return true;
}

static bool container_end(struct doc_value value, unsigned depth, size_t *ret_end,
                          struct fault *fault)
{
    struct doc_items items = doc_items(value);
    struct doc_text key;
    struct doc_value item;

    if (depth == DOC_MAX_DEPTH)
        return bad(fault, value.at, "it is nested more than 64 deep");
    if (!items.doc)
        return bad(fault, value.at, "a container's type or length is damaged");
    if (!items.object && number_bytes(items.type)) {
        size_t bytes = number_bytes(items.type);

        if (items.left > (items.doc->size - items.at) / bytes)
            return bad(fault, items.at, "an array is longer than the file");
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
static bool ubj_end(struct doc_value value, unsigned depth, size_t *ret_end, struct fault *fault)
{
    size_t at = value.at, bytes = 0;

    fault->what = NULL;
    switch (value.kind) {
    case DOC_ARRAY:
    case DOC_OBJECT:
        return container_end(value, depth, ret_end, fault);
    case DOC_STRING:
        if (!take_length(value.doc, &at, &bytes))
            return bad(fault, at, "a string's length is damaged");
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
        return bad(fault, at, "it ends in the middle of a value");
    *ret_end = at + bytes;
    return true;
}

/* ---- the whole ---- */

static bool check_document(const struct doc *doc, struct fault *fault)
{
    size_t at = 0;

    if (!doc->binary) {
        if (!check_json(doc, &at, 0, fault))
            return false;
        skip_space(doc, &at);
    } else if (!ubj_end(doc_root(doc), 0, &at, fault)) {
        return false;
    }
    return at == doc->size || bad(fault, at, "something is behind its end");
}

enum tl_code doc_open(const char *name, const uint8_t *bytes, size_t size, struct doc *ret_doc,
                      struct tl_err *err)
{
    /* A brace and a key's length open UBJSON; in JSON a quote or space comes next. */
    bool binary = size > 1 && bytes[0] == '{' && strchr("iUIlL$#", bytes[1]) && bytes[1];
    struct doc doc = {name, bytes, size, binary, (locale_t)0};
    struct fault fault = {0, "it is empty"};

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
    size_t at = 0;

    if (doc->binary)
        return (struct doc_value){doc, 1, marker_kind(doc->bytes[0]), doc->bytes[0]};
    skip_space(doc, &at);
    return json_value(doc, at);
}

struct doc_items doc_items(struct doc_value container)
{
    struct doc_items items = {
        .doc = container.doc, .at = container.at, .object = container.kind == DOC_OBJECT};

    if (container.kind != DOC_ARRAY && container.kind != DOC_OBJECT)
        return (struct doc_items){0};
    if (container.doc->binary)
        return open_container(&items) ? items : (struct doc_items){0};
    items.at++;
    return items;
}

bool doc_next(struct doc_items *items, struct doc_text *ret_key, struct doc_value *ret_value)
{
    struct fault fault;

    if (!items->doc)
        return false;
    if (!items->doc->binary)
        return json_next(items, ret_key, ret_value);
    return ubj_step(items, ret_key, ret_value, &fault) &&
           ubj_end(*ret_value, 0, &items->at, &fault);
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

struct doc_value doc_find(struct doc_value object, const char *key)
{
    struct doc_value found = {0}, value;
    struct doc_text here;

    if (object.kind != DOC_OBJECT)
        return found;
    for (struct doc_items items = doc_items(object); doc_next(&items, &here, &value);)
        if (doc_equals(here, key))
            found = value;
    return found;
}

bool doc_equals(struct doc_text text, const char *word)
{
    return text.size == strlen(word) && memcmp(text.at, word, text.size) == 0;
}

/* ---- values ---- */

bool doc_string(struct doc_value value, struct doc_text *ret_text)
{
    size_t at = value.at, size = 0;

    if (value.kind != DOC_STRING)
        return false;
    if (value.doc->binary) {
        if (!take_length(value.doc, &at, &size))
            return false;
    } else {
        at++;
        size = string_end(value.doc, at) - 1 - at;
    }
    *ret_text = (struct doc_text){(const char *)value.doc->bytes + at, size};
    return true;
}

/* The bytes of a number in text: a JSON number, or a string that should hold one. */
static bool number_text(struct doc_value value, struct doc_text *ret_text)
{
    if (value.kind == DOC_STRING)
        return doc_string(value, ret_text);
    if (value.kind != DOC_NUMBER || value.doc->binary)
        return false;
    *ret_text = (struct doc_text){(const char *)value.doc->bytes + value.at,
                                  json_end(value.doc, value.at) - value.at};
    return true;
}

static bool terminate(struct doc_text text, char token[DOC_MAX_NUMBER])
{
    if (text.size == 0 || text.size >= DOC_MAX_NUMBER || is_space((uint8_t)*text.at))
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
    size_t bytes = number_bytes(value.marker);

    if (value.kind == DOC_BOOL) {
        *ret_number = value.doc->binary ? value.marker == 'T' : value.doc->bytes[value.at] == 't';
        return true;
    }
    if (value.kind != DOC_NUMBER || !value.doc->binary)
        return false;
    uint64_t bits = big_endian(value.doc, value.at, bytes);
    if (value.marker == 'd') {
        uint32_t low = (uint32_t)bits;
        float number;

        memcpy(&number, &low, sizeof(number));
        *ret_number = (double)number;
    } else if (value.marker == 'D') {
        memcpy(ret_number, &bits, sizeof(*ret_number));
    } else {
        *ret_number = (double)whole(value.doc, value.at, value.marker);
    }
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

/* Four hex digits of an escape; -1 when they are none. */
static int escape_code(const char *at, const char *end)
{
    int code = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int c = at[i] | 32;
        bool letter = c >= 'a' && c <= 'f';

        if (!letter && !is_digit((uint8_t)at[i]))
            return -1;
        code = code * 16 + (letter ? c - 'a' + 10 : at[i] - '0');
    }
    return code;
}

static char *put_utf8(char *to, int code)
{
    uint8_t bytes[3];
    size_t size = 0;

    if (code < 0x80) {
        bytes[size++] = (uint8_t)code;
    } else if (code < 0x800) {
        bytes[size++] = (uint8_t)(0xC0 | code >> 6);
        bytes[size++] = (uint8_t)(0x80 | (code & 0x3F));
    } else {
        bytes[size++] = (uint8_t)(0xE0 | code >> 12);
        bytes[size++] = (uint8_t)(0x80 | (code >> 6 & 0x3F));
        bytes[size++] = (uint8_t)(0x80 | (code & 0x3F));
    }
    memcpy(to, bytes, size);
    return to + size;
}

/* One escape, behind its backslash; an escape is never shorter than what it stands for. */
static const char *unescape(const char *at, const char *end, char **to)
{
    static const char from[] = "bfnrt", meant[] = "\b\f\n\r\t";
    const char *known = strchr(from, *at);

    if (*at != 'u') {
        char plain = *at;

        if (known)
            plain = meant[known - from];
        *(*to)++ = plain;
        return at + 1;
    }
    int code = escape_code(at + 1, end);
    if (code < 0)
        return NULL;
    *to = put_utf8(*to, code);
    return at + 5;
}

char *doc_copy(struct doc_value value, struct arena *arena)
{
    struct doc_text text;
    bool known = number_text(value, &text);
    char *copy = known ? arena_alloc(arena, text.size + 1, 1) : NULL;
    char *to = copy;

    if (!copy)
        return NULL;
    for (const char *at = text.at, *end = at + text.size; at < end;) {
        if (*at == '\\' && !value.doc->binary)
            at = unescape(at + 1, end, &to);
        else
            *to++ = *at++;
        if (!at)
            return NULL;
    }
    *to = '\0';
    return memchr(copy, '\0', (size_t)(to - copy)) ? NULL : copy;
}
