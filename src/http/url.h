/*
 * url: the path and query of a request, decoded once and strictly. What is not certain
 * to mean the same to every program between the client and us is refused:
 *
 *   path     /seg/seg, bytes A-Z a-z 0-9 . _ ~ - / @ : = , and %XX of other printable ASCII;
 *            no %2E, %2F, %5C, %25, no "." or ".." segment, no empty one but the last
 *   query    key=value&key=value, + is a space, no key twice
 *
 * Threads  any
 * Memory   a plain value of some 6.5 KB; texts point into it
 */
#ifndef TILTH_HTTP_URL_H
#define TILTH_HTTP_URL_H

#include "base/attr.h"
#include "base/err.h"
#include "http/text.h"

enum { URL_PATH_MAX = 2048, URL_QUERY_MAX = 4096, URL_SEGMENTS = 12, URL_PARAMS = 16 };

/* Room for what tile addresses in documents begin with: "https://tiles.example.org". */
enum { BASE_URL_MAX = 600 };

struct url_param {
    struct text key, value;
};

struct url {
    unsigned segment_count, param_count;
    bool trailing_slash; /* "/viewer/": one segment, and this */
    struct text segments[URL_SEGMENTS];
    struct url_param params[URL_PARAMS];
    char bytes[URL_PATH_MAX + URL_QUERY_MAX];
};

/* TL_INVALID or TL_LIMIT (414), saying which byte or limit. */
TL_MUST_CHECK enum tl_code url_parse(struct text raw, struct url *ret_url, struct tl_err *err);
/* The value of a query parameter; at == NULL when it is absent. */
struct text url_param(const struct url *url, const char *key);

#endif
