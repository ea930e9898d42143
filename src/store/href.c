#include "store/href.h"

#include "base/buf.h"
#include "store/sigv4.h"
#include "store/store.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { BUCKET_MAX = 63, KEY_MAX = 1024, URL_MAX = 8192 };

void href_release(struct href *href)
{
    free(href->text);
    free(href->path);
    free(href->url);
    free(href->origin);
    free(href->host);
    free(href->label);
    *href = (struct href){0};
}

static char *text_of(const char *first, size_t first_size, const char *second)
{
    char *text = NULL;

    return asprintf(&text, "%.*s%s", (int)first_size, first, second) < 0 ? NULL : text;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* "%20" becomes a space; false for a bad escape and for a NUL. */
static bool unescape(char *text)
{
    char *to = text;

    for (const char *from = text; *from; from++) {
        char c = *from;
        if (c == '%') {
            int high = hex_digit(from[1]), low = high < 0 ? -1 : hex_digit(from[2]);
            if (low < 0 || high + low == 0)
                return false;
            c = (char)(high * 16 + low);
            from += 2;
        }
        *to++ = c;
    }
    *to = '\0';
    return true;
}

static enum tl_code parse_file(const char *text, struct href *href, struct tl_err *err)
{
    bool is_url = strncmp(text, "file://", 7) == 0;
    const char *path = is_url ? text + 7 : text;

    href->kind = HREF_FILE;
    href->path = strdup(path);
    href->label = strdup(path);
    if (!href->path || !href->label)
        return tl_fail(err, TL_NOMEM, "no memory for the name of a file");
    if (is_url && (path[0] != '/' || !unescape(href->path)))
        return tl_fail(err, TL_INVALID, "%s: a file URL is file:///absolute/path", text);
    if (path[0] == '\0')
        return tl_fail(err, TL_INVALID, "an empty href names no object");
    return TL_OK;
}

/* Fills origin and host from "scheme://authority..."; `*ret_rest` is what follows. */
static enum tl_code split_origin(const char *url, struct href *href, const char **ret_rest,
                                 struct tl_err *err)
{
    const char *authority = strstr(url, "://") + 3;
    size_t size = strcspn(authority, "/?#");
    const char *port = (url[4] | 0x20) == 's' ? ":443" : ":80";
    size_t port_size = strlen(port), host_size = size;

    if (size == 0 || memchr(authority, '@', size))
        return tl_fail(err, TL_INVALID,
                       "%.60s...: a URL needs a host and may hold no user name or password", url);
    if (size > port_size && memcmp(authority + size - port_size, port, port_size) == 0)
        host_size -= port_size;
    href->host = text_of(authority, host_size, "");
    href->origin = text_of(url, (size_t)(authority - url) + size, "");
    *ret_rest = authority + size;
    return href->host && href->origin ? TL_OK : tl_fail(err, TL_NOMEM, "no memory for a URL");
}

static bool is_http(const char *text)
{
    return strncasecmp(text, "http://", 7) == 0 || strncasecmp(text, "https://", 8) == 0;
}

/* Nothing that could end a header line or that libcurl would have to guess about. */
static bool is_plain(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 0x7F || *text == '#')
            return false;
    return true;
}

static enum tl_code parse_http(const char *text, struct href *href, struct tl_err *err)
{
    const char *rest;

    href->kind = HREF_HTTP;
    if (strlen(text) > URL_MAX || !is_plain(text))
        return tl_fail(err, TL_INVALID,
                       "%.60s...: a URL is at most %d printable ASCII characters without '#'; "
                       "others are written as %%XX",
                       text, URL_MAX);
    TL_TRY(split_origin(text, href, &rest, err));
    href->url = strdup(text);
    href->label = text_of(text, strcspn(text, "?"), "");
    return href->url && href->label ? TL_OK : tl_fail(err, TL_NOMEM, "no memory for a URL");
}

/* "http://127.0.0.1:9000", or AWS of the region; without a slash at the end. */
static char *endpoint_of(const struct s3_options *s3)
{
    char *text = NULL;

    if (s3->endpoint && s3->endpoint[0]) {
        size_t size = strlen(s3->endpoint);
        while (size > 0 && s3->endpoint[size - 1] == '/')
            size--;
        return text_of(s3->endpoint, size, "");
    }
    const char *region = s3->region && s3->region[0] ? s3->region : "us-east-1";
    return asprintf(&text, "https://s3.%s.amazonaws.com", region) < 0 ? NULL : text;
}

/* "http://host:9000" -> "http://bucket.host:9000". */
static enum tl_code put_bucket_in_host(const char *endpoint, const char *bucket, struct href *href,
                                       struct tl_err *err)
{
    const char *authority = strstr(endpoint, "://") + 3;
    char *host = NULL, *origin = NULL;
    bool ok = asprintf(&host, "%s.%s", bucket, href->host) >= 0 &&
              asprintf(&origin, "%.*s%s.%s", (int)(authority - endpoint), endpoint, bucket,
                       authority) >= 0;

    free(href->host);
    free(href->origin);
    href->host = host;
    href->origin = origin;
    return ok ? TL_OK : tl_fail(err, TL_NOMEM, "no memory for a URL");
}

static bool bucket_is_valid(const char *bucket, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)bucket[i]) && !strchr("._-", bucket[i]))
            return false;
    return size >= 3 && size <= BUCKET_MAX;
}

static enum tl_code encode_s3_path(const char *bucket, const char *key, struct href *href,
                                   struct tl_err *err)
{
    AUTO_BUF path = {0};

    if (bucket)
        buf_printf(&path, "/%s", bucket);
    buf_puts(&path, "/");
    sigv4_encode(&path, key, true);
    buf_append(&path, "", 1);
    href->path = buf_failed(&path) ? NULL : strdup((const char *)path.bytes);
    return href->path ? TL_OK : tl_fail(err, TL_NOMEM, "no memory for a URL");
}

/*
 * The bucket goes into the path or into the host name. One with dots stays in the path over
 * TLS: the wildcard certificate of the service covers one label only.
 */
static enum tl_code locate_s3(const char *endpoint, const char *bucket, const char *key,
                              bool path_style, struct href *href, struct tl_err *err)
{
    const char *rest;

    if (!is_http(endpoint) || !is_plain(endpoint))
        return tl_fail(err, TL_INVALID, "s3_endpoint \"%s\": http:// or https:// is needed",
                       endpoint);
    TL_TRY(split_origin(endpoint, href, &rest, err));
    if (*rest)
        return tl_fail(err, TL_INVALID, "s3_endpoint \"%s\": scheme://host[:port] alone is needed",
                       endpoint);
    bool is_tls = (endpoint[4] | 0x20) == 's';
    if (path_style || (is_tls && strchr(bucket, '.')))
        return encode_s3_path(bucket, key, href, err);
    TL_TRY(put_bucket_in_host(endpoint, bucket, href, err));
    return encode_s3_path(NULL, key, href, err);
}

static enum tl_code parse_s3(const char *text, const struct s3_options *s3, struct href *href,
                             struct tl_err *err)
{
    const char *bucket_at = text + strlen("s3://");
    size_t bucket_size = strcspn(bucket_at, "/");
    const char *key = bucket_at + bucket_size + (bucket_at[bucket_size] == '/');
    char bucket[BUCKET_MAX + 1] = "";

    href->kind = HREF_S3;
    if (!bucket_is_valid(bucket_at, bucket_size) || !*key || strlen(key) > KEY_MAX)
        return tl_fail(err, TL_INVALID,
                       "%.80s: an S3 href is s3://bucket/key, the bucket 3 to %d of "
                       "[A-Za-z0-9._-], the key 1 to %d bytes",
                       text, BUCKET_MAX, KEY_MAX);
    memcpy(bucket, bucket_at, bucket_size);
    char *endpoint = endpoint_of(s3);
    enum tl_code code = endpoint ? locate_s3(endpoint, bucket, key, s3->path_style, href, err)
                                 : tl_fail(err, TL_NOMEM, "no memory for a URL");
    free(endpoint);
    TL_TRY(code);
    href->url = text_of(href->origin, strlen(href->origin), href->path);
    if (!href->url || asprintf(&href->label, "%s at %s", text, href->origin) < 0)
        return tl_fail(err, TL_NOMEM, "no memory for a URL");
    return TL_OK;
}

enum tl_code href_parse(const char *text, const struct s3_options *s3, struct href *ret_href,
                        struct tl_err *err)
{
    struct href href = {.text = strdup(text)};
    enum tl_code code;

    if (!href.text)
        code = tl_fail(err, TL_NOMEM, "no memory for an href");
    else if (strncasecmp(text, "s3://", 5) == 0)
        code = parse_s3(text, s3, &href, err);
    else if (is_http(text))
        code = parse_http(text, &href, err);
    else if (!strstr(text, "://") || strncmp(text, "file://", 7) == 0)
        code = parse_file(text, &href, err);
    else
        code = tl_fail(err, TL_INVALID,
                       "%.80s: an href is a path, or starts with file://, http://, https:// or "
                       "s3://",
                       text);
    if (code != TL_OK) {
        href_release(&href);
        return code;
    }
    *ret_href = href;
    return TL_OK;
}
