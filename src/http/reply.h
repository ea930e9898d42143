/*
 * reply: answers in the form that all of tilth's answers have: CORS, a request id, an ETag
 * where it helps, errors as application/problem+json (RFC 9457) that nobody caches.
 *
 * Threads  the request's loop
 */
#ifndef TILTH_HTTP_REPLY_H
#define TILTH_HTTP_REPLY_H

#include "base/attr.h"
#include "http/server.h"
#include "http/url.h"

struct buf;
struct http;

/* Room for `size` bytes until the handler returns; an answer needs a few hundred. */
char *reply_scratch(struct request *request, size_t size);
void reply_add(struct reply *reply, const char *name, struct text value);
void reply_add_string(struct reply *reply, const char *name, const char *value);

/* Adds what every answer carries, and sends. */
void reply_send(struct http *http, struct request *request, struct reply *reply);

/* If-None-Match against a quoted ETag: a list, W/ in front of any, or *. */
bool reply_is_current(const struct request *request, struct text etag);

/* An error with the status of its code. */
void reply_error(struct http *http, struct request *request, enum tl_code code,
                 const struct tl_err *err);
/* One with a status of its own; `key` is one word for programs. */
void reply_problem(struct http *http, struct request *request, int status, const char *key,
                   const char *detail);

/*
 * A whole document: 200, or 304 when the client has it. `cache_control` is a constant. NULL
 * body: out of memory.
 */
void reply_document(struct http *http, struct request *request, struct blob *body, const char *type,
                    const char *cache_control);
/* The same for text that was being built; TL_NOMEM when the buf failed. */
void reply_buf(struct http *http, struct request *request, const struct buf *buf, const char *type,
               const char *cache_control);

/* GET or HEAD. */
bool request_is_head(const struct request *request);

/* "https://tiles.example.org": config's public_url, or what the request says of itself. */
void request_base_url(const struct http *http, const struct request *request,
                      char ret_url[BASE_URL_MAX]);

#endif
