#include "http/reply.h"

#include "base/blob.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/config.h"
#include "base/hash.h"
#include "http/app.h"

#include <stdio.h>

char *reply_scratch(struct request *request, size_t size)
{
    char *at = request->scratch + request->scratch_used;

    TL_CHECK(size <= REQUEST_SCRATCH - request->scratch_used);
    request->scratch_used += size;
    return at;
}

void reply_add(struct reply *reply, const char *name, struct text value)
{
    TL_CHECK(reply->header_count < REPLY_HEADERS);
    reply->headers[reply->header_count].name = name;
    reply->headers[reply->header_count++].value = value;
}

void reply_add_string(struct reply *reply, const char *name, const char *value)
{
    reply_add(reply, name, text_of(value));
}

bool request_is_head(const struct request *request)
{
    return text_is(request->method, "HEAD");
}

void reply_send(struct http *http, struct request *request, struct reply *reply)
{
    const char *origin = http->options.config->cors_origin;

    if (*origin) {
        reply_add_string(reply, "access-control-allow-origin", origin);
        reply_add_string(reply, "access-control-expose-headers", "*");
        reply_add_string(reply, "timing-allow-origin", origin);
    }
    reply_add_string(reply, "x-request-id", request->id);
    reply->bodiless |= request_is_head(request);
    request_reply(request, reply);
}

/* "W/" in front says the same thing here: two tiles are equal or they are not. */
static bool tag_is(struct text tag, struct text etag)
{
    while (tag.size > 0 && (tag.at[0] == ' ' || tag.at[0] == '\t')) {
        tag.at++;
        tag.size--;
    }
    while (tag.size > 0 && (tag.at[tag.size - 1] == ' ' || tag.at[tag.size - 1] == '\t'))
        tag.size--;
    if (text_is(tag, "*"))
        return true;
    if (tag.size > 2 && tag.at[0] == 'W' && tag.at[1] == '/') {
        tag.at += 2;
        tag.size -= 2;
    }
    return tag.size == etag.size && memcmp(tag.at, etag.at, etag.size) == 0;
}

bool reply_is_current(const struct request *request, struct text etag)
{
    struct text list = request_header(request, "if-none-match");

    while (list.size > 0)
        if (tag_is(text_cut(&list, ','), etag))
            return true;
    return false;
}

void reply_problem(struct http *http, struct request *request, int status, const char *key,
                   const char *detail)
{
    /* Also what is said when there is no memory for more. */
    struct reply reply = {.status = status,
                          .text = {"{\"type\":\"about:blank\"}", 22},
                          .close = request->body_bytes > 0};
    AUTO_BUF body = {0};

    buf_printf(&body, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"code\":\"%s\",",
               status_reason(status), status, key);
    buf_puts(&body, "\"detail\":");
    buf_json(&body, detail);
    buf_printf(&body, ",\"request_id\":\"%s\"}\n", request->id);
    reply.body = buf_blob(&body);
    reply_add_string(&reply, "content-type", "application/problem+json");
    reply_add_string(&reply, "cache-control", "no-store");
    if (status == 503)
        reply_add_string(&reply, "retry-after", "2");
    if (status == 405)
        reply_add_string(&reply, "allow", "GET, HEAD, OPTIONS");
    reply_send(http, request, &reply);
}

void reply_error(struct http *http, struct request *request, enum tl_code code,
                 const struct tl_err *err)
{
    reply_problem(http, request, tl_code_http(code), tl_code_key(code),
                  err && *err->msg ? err->msg : tl_code_text(code));
}

void reply_document(struct http *http, struct request *request, struct blob *body, const char *type,
                    const char *cache_control)
{
    if (!body) {
        reply_error(http, request, TL_NOMEM, NULL);
        return;
    }
    char *etag = reply_scratch(request, 18);
    struct reply reply = {.status = 200, .body = body};

    etag[0] = '"';
    put_hex64(etag + 1, hash64(blob_bytes(body), blob_size(body)));
    etag[17] = '"';
    if (reply_is_current(request, (struct text){etag, 18})) {
        reply.status = 304;
        reply.bodiless = true;
    }
    reply_add_string(&reply, "content-type", type);
    reply_add_string(&reply, "cache-control", cache_control);
    reply_add(&reply, "etag", (struct text){etag, 18});
    reply_add_string(&reply, "x-content-type-options", "nosniff");
    reply_send(http, request, &reply);
}

void reply_buf(struct http *http, struct request *request, const struct buf *buf, const char *type,
               const char *cache_control)
{
    reply_document(http, request, buf_blob(buf), type, cache_control);
}

/* A Host header that may be repeated into a document. */
static bool is_plain_host(struct text host)
{
    for (size_t i = 0; i < host.size; i++) {
        char c = host.at[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              char_in(c, ".-:[]")))
            return false;
    }
    return host.size > 0 && host.size < 256;
}

void request_base_url(const struct http *http, const struct request *request,
                      char ret_url[BASE_URL_MAX])
{
    const char *fixed = http->options.config->public_url;
    bool https = text_is_nocase(request_header(request, "x-forwarded-proto"), "https");
    struct text host = request->host;

    if (*fixed) {
        size_t size = strlen(fixed);

        snprintf(ret_url, BASE_URL_MAX, "%.*s", (int)(fixed[size - 1] == '/' ? size - 1 : size),
                 fixed);
        return;
    }
    if (is_plain_host(host))
        snprintf(ret_url, BASE_URL_MAX, "http%s://%.*s", https ? "s" : "", (int)host.size, host.at);
    else
        snprintf(ret_url, BASE_URL_MAX, "http://localhost:%u", server_port(http->server));
}
