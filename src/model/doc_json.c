#include "model/doc_private.h"

#include <string.h>

bool doc_json_is_space(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static void skip_space(const struct doc *doc, size_t *at)
{
    while (*at < doc->size && doc_json_is_space(doc->bytes[*at]))
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
static bool check_number(const struct doc *doc, size_t *at, struct doc_fault *fault)
{
    size_t first = *at;

    if (byte_at(doc, *at) == '-')
        ++*at;
    if (take_word(doc, at, "Infinity") || take_word(doc, at, "NaN"))
        return true;
    if (take_digits(doc, at) == 0)
        return doc_bad(fault, *at, "a value is expected");
    if (byte_at(doc, *at) == '.') {
        ++*at;
        (void)take_digits(doc, at);
    }
    if ((byte_at(doc, *at) | 32) == 'e') {
        ++*at;
        if (byte_at(doc, *at) == '-' || byte_at(doc, *at) == '+')
            ++*at;
        if (take_digits(doc, at) == 0)
            return doc_bad(fault, *at, "an exponent without digits");
    }
    return *at - first < DOC_MAX_NUMBER || doc_bad(fault, first, "a number of more than 63 bytes");
}

/* `at` behind the opening quote; leaves it behind the closing one. */
static bool check_string(const struct doc *doc, size_t *at, struct doc_fault *fault)
{
    for (; *at < doc->size && doc->bytes[*at] != '"'; ++*at) {
        if (doc->bytes[*at] < ' ')
            return doc_bad(fault, *at, "a control character in a string");
        if (doc->bytes[*at] != '\\')
            continue;
        if (!strchr("\"\\/bfnrtu", byte_at(doc, *at + 1)) || *at + 1 >= doc->size)
            return doc_bad(fault, *at, "an unknown escape in a string");
        ++*at;
    }
    if (*at >= doc->size)
        return doc_bad(fault, *at, "a string without its end");
    ++*at;
    return true;
}

static bool check_json(const struct doc *doc, size_t *at, unsigned depth, struct doc_fault *fault);

static bool check_member(const struct doc *doc, size_t *at, unsigned depth, bool object,
                         struct doc_fault *fault)
{
    skip_space(doc, at);
    if (object) {
        if (byte_at(doc, *at) != '"')
            return doc_bad(fault, *at, "a key is expected");
        ++*at;
        if (!check_string(doc, at, fault))
            return false;
        skip_space(doc, at);
        if (byte_at(doc, *at) != ':')
            return doc_bad(fault, *at, "a colon is expected");
        ++*at;
    }
    return check_json(doc, at, depth, fault);
}

/* `at` behind the opening bracket. */
static bool check_members(const struct doc *doc, size_t *at, unsigned depth, bool object,
                          struct doc_fault *fault)
{
    uint8_t close = object ? '}' : ']';

    if (depth == DOC_MAX_DEPTH)
        return doc_bad(fault, *at, "it is nested more than 64 deep");
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
            return doc_bad(fault, *at, "a comma or the end of a list is expected");
        ++*at;
        if (c == close)
            return true;
    }
}

static bool check_json(const struct doc *doc, size_t *at, unsigned depth, struct doc_fault *fault)
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
               take_word(doc, at, "null") || doc_bad(fault, *at, "a value is expected");
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
            while (at < doc->size && !doc_json_is_space(doc->bytes[at]) &&
                   !strchr(",]}", doc->bytes[at]))
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

bool doc_json_next(struct doc_items *items, struct doc_text *ret_key, struct doc_value *ret_value)
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

struct doc_value doc_json_root(const struct doc *doc)
{
    size_t at = 0;

    skip_space(doc, &at);
    return json_value(doc, at);
}

bool doc_json_check(const struct doc *doc, size_t *ret_end, struct doc_fault *fault)
{
    *ret_end = 0;
    if (!check_json(doc, ret_end, 0, fault))
        return false;
    skip_space(doc, ret_end);
    return true;
}

/* ---- values ---- */

struct doc_text doc_json_string(struct doc_value string)
{
    size_t first = string.at + 1;

    return (struct doc_text){(const char *)string.doc->bytes + first,
                             string_end(string.doc, first) - 1 - first};
}

struct doc_text doc_json_number(struct doc_value number)
{
    return (struct doc_text){(const char *)number.doc->bytes + number.at,
                             json_end(number.doc, number.at) - number.at};
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

char *doc_json_unescape(struct doc_text string, char *to)
{
    for (const char *at = string.at, *end = at + string.size; at < end;) {
        if (*at == '\\')
            at = unescape(at + 1, end, &to);
        else
            *to++ = *at++;
        if (!at)
            return NULL;
    }
    return to;
}
