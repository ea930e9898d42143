#include "http/url.h"

/* What a byte may be. HIDDEN: its escape would mean another path to somebody else. */
enum { IN_PATH = 1, IN_QUERY = 2, HIDDEN = 4 };

static const uint8_t classes[256] = {
    ['0' ... '9'] = IN_PATH | IN_QUERY,
    ['A' ... 'Z'] = IN_PATH | IN_QUERY,
    ['a' ... 'z'] = IN_PATH | IN_QUERY,
    ['_'] = IN_PATH | IN_QUERY,
    ['~'] = IN_PATH | IN_QUERY,
    ['-'] = IN_PATH | IN_QUERY,
    ['@'] = IN_PATH | IN_QUERY,
    [':'] = IN_PATH | IN_QUERY,
    [','] = IN_PATH | IN_QUERY,
    ['='] = IN_PATH | IN_QUERY,
    ['.'] = IN_PATH | IN_QUERY | HIDDEN,
    ['/'] = IN_PATH | IN_QUERY | HIDDEN,
    ['!'] = IN_QUERY,
    ['$'] = IN_QUERY,
    ['\''] = IN_QUERY,
    ['('] = IN_QUERY,
    [')'] = IN_QUERY,
    ['*'] = IN_QUERY,
    [';'] = IN_QUERY,
    ['?'] = IN_QUERY,
    ['%'] = HIDDEN,
    ['\\'] = HIDDEN,
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static enum tl_code refuse_byte(const char *where, unsigned char c, struct tl_err *err)
{
    return tl_fail(err, TL_INVALID, "the %s holds a byte that is not allowed there: 0x%02x", where,
                   c);
}

/* %XX at the front of `raw`; only printable ASCII, in a path no hidden separator. */
static enum tl_code decode_escape(struct text *raw, unsigned where, char *ret, struct tl_err *err)
{
    const char *name = where == IN_PATH ? "path" : "query";
    int high = raw->size >= 3 ? hex_value(raw->at[1]) : -1;
    int low = raw->size >= 3 ? hex_value(raw->at[2]) : -1;

    if (high < 0 || low < 0)
        return tl_fail(err, TL_INVALID, "the %s holds a %% that two hex digits do not follow",
                       name);
    unsigned char c = (unsigned char)(high << 4 | low);
    if (c < 0x20 || c > 0x7e || (where == IN_PATH && (classes[c] & HIDDEN)))
        return tl_fail(err, TL_INVALID, "the %s holds the escape %%%02X, which is not allowed",
                       name, c);
    *ret = (char)c;
    raw->at += 3;
    raw->size -= 3;
    return TL_OK;
}

/* Where the text in front ends: at one of two bytes, or at one that is not plain. */
static size_t plain_size(struct text raw, unsigned where, const char stops[2])
{
    size_t size = 0;

    while (size < raw.size && (classes[(unsigned char)raw.at[size]] & where) &&
           raw.at[size] != stops[0] && raw.at[size] != stops[1])
        size++;
    return size;
}

/* One byte that is not plain: an escape, or a plus in a query. */
static enum tl_code decode_odd(struct text *raw, unsigned where, char *ret, struct tl_err *err)
{
    unsigned char c = (unsigned char)raw->at[0];

    if (c == '%')
        return decode_escape(raw, where, ret, err);
    if (where != IN_QUERY || c != '+')
        return refuse_byte(where == IN_PATH ? "path" : "query", c, err);
    *ret = ' ';
    raw->at++;
    raw->size--;
    return TL_OK;
}

/* Decodes up to one of two stops; *to moves on, *ret is what was decoded. */
static enum tl_code decode(struct text *raw, unsigned where, const char stops[2], char **to,
                           struct text *ret, struct tl_err *err)
{
    char *start = *to;

    for (;;) {
        size_t size = plain_size(*raw, where, stops);

        memcpy(*to, raw->at, size);
        *to += size;
        raw->at += size;
        raw->size -= size;
        if (raw->size == 0 || raw->at[0] == stops[0] || raw->at[0] == stops[1])
            break;
        TL_TRY(decode_odd(raw, where, (*to)++, err));
    }
    *ret = (struct text){start, (size_t)(*to - start)};
    return TL_OK;
}

static enum tl_code add_segment(struct url *url, struct text segment, bool last, struct tl_err *err)
{
    if (segment.size == 0 && !last)
        return tl_fail(err, TL_INVALID, "the path holds an empty segment (//)");
    if (segment.size == 0) {
        url->trailing_slash = true;
        return TL_OK;
    }
    if (text_is(segment, ".") || text_is(segment, ".."))
        return tl_fail(err, TL_INVALID, "the path holds a segment %.*s", (int)segment.size,
                       segment.at);
    if (url->segment_count == URL_SEGMENTS)
        return tl_fail(err, TL_LIMIT, "the path has more than %d segments", URL_SEGMENTS);
    url->segments[url->segment_count++] = segment;
    return TL_OK;
}

static enum tl_code parse_path(struct text raw, struct url *url, char **to, struct tl_err *err)
{
    if (raw.size > URL_PATH_MAX)
        return tl_fail(err, TL_LIMIT, "the path has %zu bytes, at most %d are read", raw.size,
                       URL_PATH_MAX);
    if (raw.size == 0 || raw.at[0] != '/')
        return tl_fail(err, TL_INVALID, "the path does not begin with a slash");
    while (raw.size > 0) {
        struct text segment;

        raw.at++;
        raw.size--;
        TL_TRY(decode(&raw, IN_PATH, "//", to, &segment, err));
        TL_TRY(add_segment(url, segment, raw.size == 0, err));
    }
    return TL_OK;
}

static enum tl_code add_param(struct url *url, struct text key, struct text value,
                              struct tl_err *err)
{
    for (unsigned i = 0; i < url->param_count; i++)
        if (url->params[i].key.size == key.size &&
            memcmp(url->params[i].key.at, key.at, key.size) == 0)
            return tl_fail(err, TL_INVALID, "the query gives %.*s twice", (int)TL_MIN(key.size, 64),
                           key.at);
    if (url->param_count == URL_PARAMS)
        return tl_fail(err, TL_LIMIT, "the query has more than %d parameters", URL_PARAMS);
    url->params[url->param_count++] = (struct url_param){key, value};
    return TL_OK;
}

static enum tl_code parse_query(struct text raw, struct url *url, char **to, struct tl_err *err)
{
    if (raw.size > URL_QUERY_MAX)
        return tl_fail(err, TL_LIMIT, "the query has %zu bytes, at most %d are read", raw.size,
                       URL_QUERY_MAX);
    while (raw.size > 0) {
        struct text key, value = {*to, 0};

        TL_TRY(decode(&raw, IN_QUERY, "=&", to, &key, err));
        if (raw.size > 0 && raw.at[0] == '=') {
            raw.at++;
            raw.size--;
            TL_TRY(decode(&raw, IN_QUERY, "&&", to, &value, err));
        }
        if (raw.size > 0) {
            raw.at++;
            raw.size--;
        }
        if (key.size > 0 || value.size > 0)
            TL_TRY(add_param(url, key, value, err));
    }
    return TL_OK;
}

enum tl_code url_parse(struct text raw, struct url *ret_url, struct tl_err *err)
{
    char *to = ret_url->bytes;
    struct text query = raw;
    struct text path = text_cut(&query, '?');

    ret_url->segment_count = 0;
    ret_url->param_count = 0;
    ret_url->trailing_slash = false;
    TL_TRY(parse_path(path, ret_url, &to, err));
    return parse_query(query, ret_url, &to, err);
}

struct text url_param(const struct url *url, const char *key)
{
    for (unsigned i = 0; i < url->param_count; i++)
        if (text_is(url->params[i].key, key))
            return url->params[i].value;
    return (struct text){NULL, 0};
}
