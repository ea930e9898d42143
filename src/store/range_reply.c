#include "store/range_reply.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Sizes and offsets stay where off_t and curl_off_t can follow. */
#define SIZE_LIMIT ((uint64_t)INT64_MAX)

void range_reply_reset(struct range_reply *reply)
{
    *reply = (struct range_reply){.retry_after_s = -1};
}

/* A piece of a header line. */
struct text {
    const char *at;
    size_t size;
};

static struct text trimmed(const char *at, size_t size)
{
    const char *end = at + size;

    while (at < end && (*at == ' ' || *at == '\t'))
        at++;
    while (at < end && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r' || end[-1] == '\n'))
        end--;
    return (struct text){at, (size_t)(end - at)};
}

static bool text_is(struct text text, const char *word)
{
    return text.size == strlen(word) && strncasecmp(text.at, word, text.size) == 0;
}

/* Takes digits off the front; false without any, and beyond SIZE_LIMIT. */
static bool take_number(struct text *text, uint64_t *ret)
{
    uint64_t value = 0;
    size_t n = 0;

    for (; n < text->size && text->at[n] >= '0' && text->at[n] <= '9'; n++) {
        uint64_t digit = (uint64_t)(text->at[n] - '0');
        if (value > (SIZE_LIMIT - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    text->at += n;
    text->size -= n;
    *ret = value;
    return n > 0;
}

static bool take_char(struct text *text, char c)
{
    if (text->size == 0 || *text->at != c)
        return false;
    text->at++;
    text->size--;
    return true;
}

static bool whole_number(struct text text, uint64_t *ret)
{
    return take_number(&text, ret) && text.size == 0;
}

/* Keeps printable ASCII that fits; anything else leaves `ret` empty. */
static bool keep_text(struct text text, char *ret, size_t room)
{
    ret[0] = '\0';
    if (text.size >= room)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (text.at[i] < ' ' || text.at[i] > '~')
            return false;
    memcpy(ret, text.at, text.size);
    ret[text.size] = '\0';
    return true;
}

/* "bytes 0-99/1234" or, with 416, "bytes * / 1234" without the blanks. */
static bool read_content_range(struct range_reply *reply, struct text text)
{
    if (reply->has_range || reply->is_unsatisfied)
        return false;
    if (text.size < 6 || strncasecmp(text.at, "bytes ", 6) != 0)
        return false;
    text = (struct text){text.at + 6, text.size - 6};
    if (take_char(&text, '*')) {
        reply->is_unsatisfied = true;
        return take_char(&text, '/') && whole_number(text, &reply->total);
    }
    reply->has_range = true;
    return take_number(&text, &reply->first) && take_char(&text, '-') &&
           take_number(&text, &reply->last) && take_char(&text, '/') &&
           whole_number(text, &reply->total) && reply->first <= reply->last &&
           reply->last < reply->total;
}

/* W/"..." or "...": kept as it is, it goes back in If-Match. */
static bool read_etag(struct range_reply *reply, struct text text)
{
    struct text inner = text;

    if (reply->etag[0])
        return false;
    if (inner.size >= 2 && inner.at[0] == 'W' && inner.at[1] == '/')
        inner = (struct text){inner.at + 2, inner.size - 2};
    if (inner.size < 2 || inner.at[0] != '"' || inner.at[inner.size - 1] != '"' ||
        memchr(inner.at + 1, '"', inner.size - 2) || memchr(inner.at, ' ', inner.size))
        return false;
    return keep_text(text, reply->etag, sizeof(reply->etag));
}

static bool read_length(struct range_reply *reply, struct text text)
{
    uint64_t before = reply->length;
    bool again = reply->has_length;

    reply->has_length = true;
    return whole_number(text, &reply->length) && (!again || before == reply->length);
}

/* Seconds only; a date is as good as nothing said, the usual backoff follows. */
static void read_retry_after(struct range_reply *reply, struct text text)
{
    uint64_t seconds;

    if (whole_number(text, &seconds))
        reply->retry_after_s = (int64_t)(seconds < 86400 ? seconds : 86400);
}

static void read_header(struct range_reply *reply, struct text name, struct text value)
{
    if (text_is(name, "content-range") && !read_content_range(reply, value))
        reply->damaged = "Content-Range";
    else if (text_is(name, "content-length") && !read_length(reply, value))
        reply->damaged = "Content-Length";
    else if (text_is(name, "etag") && !read_etag(reply, value))
        reply->damaged = "ETag";
    else if (text_is(name, "content-encoding"))
        reply->is_encoded = !text_is(value, "identity") && value.size > 0;
    else if (text_is(name, "content-type"))
        reply->is_html = value.size >= 9 && strncasecmp(value.at, "text/html", 9) == 0;
    else if (text_is(name, "last-modified"))
        keep_text(value, reply->last_modified, sizeof(reply->last_modified));
    else if (text_is(name, "date"))
        keep_text(value, reply->date, sizeof(reply->date));
    else if (text_is(name, "location"))
        keep_text(value, reply->location, sizeof(reply->location));
    else if (text_is(name, "retry-after"))
        read_retry_after(reply, value);
}

/* "HTTP/1.1 206 Partial Content": a new answer; 1xx ones come before the real one. */
static void read_status(struct range_reply *reply, struct text line)
{
    range_reply_reset(reply);
    for (size_t i = 0; i + 3 < line.size; i++) {
        if (line.at[i] != ' ')
            continue;
        struct text digits = {line.at + i + 1, 3};
        uint64_t status;
        if (whole_number(digits, &status) && status >= 100)
            reply->status = (int)status;
        return;
    }
}

void range_reply_line(struct range_reply *reply, const char *line, size_t size)
{
    if (size >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        read_status(reply, trimmed(line, size));
        return;
    }
    const char *colon = size ? memchr(line, ':', size) : NULL;
    if (!colon)
        return;
    size_t name_size = (size_t)(colon - line);
    read_header(reply, (struct text){line, name_size}, trimmed(colon + 1, size - name_size - 1));
}

const char *range_reply_validator(const struct range_reply *reply)
{
    return reply->etag[0] ? reply->etag : reply->last_modified;
}

static enum tl_code check_version(const struct range_reply *reply, const struct range_ask *ask,
                                  struct tl_err *err)
{
    const char *validator = range_reply_validator(reply);

    if (!validator[0])
        return tl_fail(err, TL_UPSTREAM,
                       "the answer has neither ETag nor Last-Modified, so a replaced object "
                       "could not be noticed");
    if (ask->opening)
        return TL_OK;
    if (strcmp(validator, ask->validator) != 0)
        return tl_fail(err, TL_CHANGED, "the object was replaced: version %s, not %s", validator,
                       ask->validator);
    if (reply->total != ask->total)
        return tl_fail(err, TL_CHANGED, "the object was replaced: %llu bytes, not %llu",
                       (unsigned long long)reply->total, (unsigned long long)ask->total);
    return TL_OK;
}

static enum tl_code judge_partial(const struct range_reply *reply, const struct range_ask *ask,
                                  struct reply_verdict *ret_verdict, struct tl_err *err)
{
    if (!reply->has_range)
        return tl_fail(err, TL_UPSTREAM, "HTTP 206 without a Content-Range of one range");
    TL_TRY(check_version(reply, ask, err));

    uint64_t want_last = ask->offset + ask->size - 1;
    if (ask->opening && want_last >= reply->total)
        want_last = reply->total - 1;
    if (reply->first != ask->offset || reply->last != want_last)
        return tl_fail(err, TL_UPSTREAM, "bytes %llu-%llu were asked for, %llu-%llu came",
                       (unsigned long long)ask->offset, (unsigned long long)want_last,
                       (unsigned long long)reply->first, (unsigned long long)reply->last);
    uint64_t size = want_last - ask->offset + 1;
    if (reply->has_length && reply->length != size)
        return tl_fail(err, TL_UPSTREAM, "Content-Length %llu for a range of %llu bytes",
                       (unsigned long long)reply->length, (unsigned long long)size);
    *ret_verdict =
        (struct reply_verdict){.body = BODY_RANGE, .body_size = size, .total = reply->total};
    return TL_OK;
}

/* 200 to a ranged GET: fine for an object that is read whole when it is opened, else not. */
static enum tl_code judge_whole(const struct range_reply *reply, const struct range_ask *ask,
                                struct reply_verdict *ret_verdict, struct tl_err *err)
{
    if (reply->is_html)
        return tl_fail(err, TL_UPSTREAM,
                       "an HTML page came instead of the object: a login page or a proxy "
                       "answers at this address");
    if (!ask->opening || !reply->has_length || reply->length > ask->whole_max)
        return tl_fail(err, TL_UPSTREAM,
                       "the server ignores ranges (HTTP 200 instead of 206): tilth needs one "
                       "that serves them, or a local copy of the file");
    TL_TRY(check_version(reply, ask, err));
    *ret_verdict = (struct reply_verdict){.body = reply->length ? BODY_WHOLE : BODY_NONE,
                                          .body_size = reply->length,
                                          .total = reply->length};
    return TL_OK;
}

enum tl_code range_reply_judge(const struct range_reply *reply, const struct range_ask *ask,
                               struct reply_verdict *ret_verdict, struct tl_err *err)
{
    bool is_answer = reply->status == 200 || reply->status == 206;
    bool is_empty =
        reply->status == 416 && reply->is_unsatisfied && !reply->damaged && reply->total == 0;

    if (is_answer && reply->damaged)
        return tl_fail(err, TL_UPSTREAM, "a malformed %s header came", reply->damaged);
    if (is_answer && reply->is_encoded)
        return tl_fail(err, TL_UPSTREAM,
                       "the body is compressed in transit (Content-Encoding), so byte offsets "
                       "mean nothing: switch that off for this path");
    if (reply->status == 206)
        return judge_partial(reply, ask, ret_verdict, err);
    if (reply->status == 200)
        return judge_whole(reply, ask, ret_verdict, err);
    if ((reply->status == 304 && ask->conditional) || (is_empty && ask->opening)) {
        *ret_verdict = (struct reply_verdict){.body = BODY_NONE};
        return TL_OK;
    }
    if (reply->status == 416 && !ask->opening && reply->is_unsatisfied && !reply->damaged &&
        reply->total != ask->total)
        return tl_fail(err, TL_CHANGED, "the object was replaced: %llu bytes, not %llu",
                       (unsigned long long)reply->total, (unsigned long long)ask->total);
    *ret_verdict = (struct reply_verdict){.body = BODY_MESSAGE};
    return TL_OK;
}

void range_reply_s3_code(const char *body, size_t size, char ret_code[64])
{
    static const char tag[] = "<Code>";
    const char *at = size ? memmem(body, size, tag, sizeof(tag) - 1) : NULL;
    size_t n = 0;

    ret_code[0] = '\0';
    if (!at)
        return;
    at += sizeof(tag) - 1;
    size_t left = size - (size_t)(at - body);
    while (n < left && n < 63 && ((at[n] | 0x20) >= 'a' && (at[n] | 0x20) <= 'z'))
        n++;
    if (n < left && at[n] == '<') {
        memcpy(ret_code, at, n);
        ret_code[n] = '\0';
    }
}

bool range_reply_passes(int status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

enum tl_code range_reply_explain(const struct range_reply *reply, const char *s3_code,
                                 struct tl_err *err)
{
    char what[96];

    snprintf(what, sizeof(what), "HTTP %d%s%s", reply->status, s3_code[0] ? " " : "", s3_code);
    switch (reply->status) {
    case 0:
        return tl_fail(err, TL_UPSTREAM, "the answer has no HTTP status");
    case 404:
    case 410:
        return tl_fail(err, TL_ABSENT, "%s: there is no such object", what);
    case 412:
        return tl_fail(err, TL_CHANGED, "%s: the object was replaced while it was read", what);
    case 401:
    case 403:
        return tl_fail(err, TL_UPSTREAM,
                       "%s: access was refused; check the credentials (s3_access_key, "
                       "s3_secret_key, s3_session_token, or AWS_* of the environment), s3_region "
                       "and the bucket's policy",
                       what);
    default:
        break;
    }
    if (reply->status >= 300 && reply->status < 400)
        return tl_fail(err, TL_UPSTREAM,
                       "%s: a redirect to \"%.160s\", which is not followed; use the final "
                       "address (for S3: the bucket's own region)",
                       what, reply->location);
    return tl_fail(err, TL_UPSTREAM, "%s", what);
}
