/*
 * document: what is said about a layer that takes opening its sources or a worker's arena:
 * TileJSON, the picture of a legend, a point.
 *
 * Threads  a worker: these may wait for a store
 * Memory   results are blobs, one reference for the caller
 */
#ifndef TILTH_HTTP_DOCUMENT_H
#define TILTH_HTTP_DOCUMENT_H

#include "base/attr.h"
#include "base/err.h"
#include "http/url.h"

struct arena;
struct blob;
struct errand;
struct layer;
struct style;

enum { DOCUMENT_QUERY_MAX = 256 };

/* What was asked: values only. A document takes what it needs. */
struct document_query {
    struct layer *layer;
    const struct style *style;
    char season[32];
    double lon, lat; /* degrees */
    char base_url[BASE_URL_MAX];
    char query_string[DOCUMENT_QUERY_MAX]; /* repeated in tile addresses */
};

typedef enum tl_code document_fn(const struct document_query *query, struct errand *errand,
                                 struct arena *arena, struct blob **ret_body, struct tl_err *err);

document_fn document_tilejson, document_legend, document_point;

#endif
