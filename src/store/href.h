/*
 * href: what a source's text means on the wire.
 *
 *   /data/a.tif, data/a.tif, file:///data/a%20b.tif   a local file
 *   https://host/path?query                           taken as it is, pre-signed or not
 *   s3://bucket/key                                   endpoint + bucket + key, RFC 3986 encoded
 *
 * Threads  a plain value
 * Memory   href_parse() / href_release()
 */
#ifndef TILTH_STORE_HREF_H
#define TILTH_STORE_HREF_H

#include "base/attr.h"
#include "base/err.h"

struct s3_options;

enum href_kind { HREF_FILE, HREF_HTTP, HREF_S3 };

struct href {
    enum href_kind kind;
    char *text;   /* as it was written */
    char *path;   /* HREF_FILE: for open(2). HREF_S3: the encoded path that is signed */
    char *url;    /* remote: what libcurl is given */
    char *origin; /* remote: "https://host:port", one breaker and one connection limit */
    char *host;   /* remote: the Host header, without a default port */
    char *label;  /* for messages: no query, where a pre-signed URL keeps its signature */
};

/* TL_INVALID for a scheme or a form that is not in the list above. */
TL_MUST_CHECK enum tl_code href_parse(const char *text, const struct s3_options *s3,
                                      struct href *ret_href, struct tl_err *err);
void href_release(struct href *href);

#endif
