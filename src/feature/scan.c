#include "feature/scan.h"

#include "feature/functions.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void scan_space(struct scan *scan)
{
    while (scan->text[scan->at] == ' ' || scan->text[scan->at] == '\t' ||
           scan->text[scan->at] == '\n')
        scan->at++;
}

char scan_peek(struct scan *scan)
{
    scan_space(scan);
    return scan->text[scan->at];
}

bool scan_take(struct scan *scan, const char *token)
{
    size_t size = strlen(token);

    scan_space(scan);
    if (strncmp(scan->text + scan->at, token, size) != 0)
        return false;
    scan->at += size;
    return true;
}

enum tl_code scan_expected(struct scan *scan, const char *what)
{
    unsigned char c = (unsigned char)scan_peek(scan);

    if (!c)
        return SCAN_REFUSE(scan, scan->at, TL_INVALID, "expected %s, but the expression ends",
                           what);
    if (!isprint(c))
        return SCAN_REFUSE(scan, scan->at, TL_INVALID, "expected %s, not byte 0x%02x", what, c);
    return SCAN_REFUSE(scan, scan->at, TL_INVALID, "expected %s, not \"%c\"", what, c);
}

/* Digits, at most one point, an exponent: what strtod() would take, without "inf" and hex. */
static size_t number_size(const char *text)
{
    size_t n = strspn(text, "0123456789");
    size_t digits = n;

    if (text[n] == '.') {
        size_t fraction = strspn(text + n + 1, "0123456789");
        n += 1 + fraction;
        digits += fraction;
    }
    if (!digits)
        return 0;
    if (text[n] == 'e' || text[n] == 'E') {
        size_t sign = text[n + 1] == '+' || text[n + 1] == '-';
        size_t exponent = strspn(text + n + 1 + sign, "0123456789");
        if (exponent)
            n += 1 + sign + exponent;
    }
    return n;
}

enum tl_code scan_literal(struct scan *scan, double *ret)
{
    scan_space(scan);
    size_t start = scan->at, size = number_size(scan->text + start);
    char digits[64];

    if (!size)
        return scan_expected(scan, "a number");
    if (size >= sizeof(digits))
        return SCAN_REFUSE(scan, start, TL_LIMIT, "a number of %zu characters; the limit is %zu",
                           size, sizeof(digits) - 1);
    memcpy(digits, scan->text + start, size);
    digits[size] = '\0';
    scan->at += size;
    if (isalnum((unsigned char)scan->text[scan->at]) || scan->text[scan->at] == '_')
        return scan_expected(scan, "an operator after the number");
    /* As numpy.float32(0.1) does it: to double, then to float32. */
    double value = strtod(digits, NULL);
    if (!isfinite((float)value))
        return SCAN_REFUSE(scan, start, TL_INVALID, "%s is too large for float32", digits);
    *ret = value;
    return TL_OK;
}

bool scan_is_number(struct scan *scan)
{
    scan_space(scan);
    return number_size(scan->text + scan->at) > 0;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* "{1..12}": the size of it, 0 when it is not well formed. Numbers of at most 4 digits. */
static size_t range_size(const char *text, struct scan_name *name)
{
    size_t from = strspn(text + 1, "0123456789"), to;

    if (!from || from > 4 || strncmp(text + 1 + from, "..", 2) != 0)
        return 0;
    to = strspn(text + from + 3, "0123456789");
    if (!to || to > 4 || text[from + 3 + to] != '}')
        return 0;
    name->first = (unsigned)strtoul(text + 1, NULL, 10);
    name->last = (unsigned)strtoul(text + from + 3, NULL, 10);
    name->width = (int)from; /* of "01"; what follows "8" is wider by itself */
    return from + to + 4;
}

static enum tl_code take_range(struct scan *scan, size_t start, struct scan_name *name)
{
    size_t at = start + name->size, size = range_size(scan->text + at, name);

    if (!size)
        return SCAN_REFUSE(scan, at, TL_INVALID, "a range of names is written {1..12} or {01..12}");
    if (name->head != SIZE_MAX)
        return SCAN_REFUSE(scan, at, TL_INVALID, "a name has one range at most");
    if (name->first > name->last)
        return SCAN_REFUSE(scan, at, TL_INVALID,
                           "a range goes up; list the names one by one instead");
    if (name->last - name->first >= FEATURE_MAX_SERIES)
        return SCAN_REFUSE(scan, at, TL_LIMIT, "a range of %u names; the limit is %d",
                           name->last - name->first + 1, FEATURE_MAX_SERIES);
    name->head = name->size;
    name->size += size;
    name->tail = name->size; /* where it begins, for now */
    return TL_OK;
}

/* A point between two words. */
static bool is_point(const char *text)
{
    return text[0] == '.' && (is_word(text[1]) || text[1] == '{');
}

enum tl_code scan_name(struct scan *scan, struct scan_name *ret)
{
    const char *text = scan->text + scan->at;
    struct scan_name name = {.text = text, .head = SIZE_MAX};
    bool more = is_word(text[0]) && !isdigit((unsigned char)text[0]);

    while (more) {
        const char *at = text + name.size;

        more = *at == '{' || is_word(*at) || is_point(at);
        if (*at == '{') {
            TL_TRY(take_range(scan, scan->at, &name));
        } else if (more) {
            name.dotted |= *at == '.';
            name.size++;
        }
    }
    name.tail = name.head == SIZE_MAX ? 0 : name.size - name.tail;
    name.head = name.head == SIZE_MAX ? name.size : name.head;
    *ret = name;
    return TL_OK;
}

uint32_t scan_count(const struct scan_name *name)
{
    return name->last - name->first + 1;
}

enum tl_code scan_member(struct scan *scan, const struct scan_name *name, uint32_t i,
                         const char *more, char ret[SCAN_MAX_NAME + 1])
{
    size_t room = SCAN_MAX_NAME + 1, at = TL_MIN(name->head, room);
    const char *tail = name->text + name->size - name->tail;

    if (at < room) {
        memcpy(ret, name->text, at);
        if (name->head < name->size)
            at += (size_t)snprintf(ret + at, room - at, "%0*u", name->width, name->first + i);
    }
    if (at < room)
        at += (size_t)snprintf(ret + at, room - at, "%.*s%s", (int)TL_MIN(name->tail, room), tail,
                               more);
    if (at >= room)
        return SCAN_REFUSE(scan, (size_t)(name->text - scan->text), TL_LIMIT,
                           "a name of more than %d characters", SCAN_MAX_NAME);
    return TL_OK;
}
