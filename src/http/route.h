/*
 * route: from a path to its handler. A pattern is a path with {} for one segment of any text;
 * "viewer/" wants the slash at the end.
 *
 * Threads  any; tables are constants
 */
#ifndef TILTH_HTTP_ROUTE_H
#define TILTH_HTTP_ROUTE_H

#include "base/attr.h"
#include "base/err.h"
#include "http/url.h"

struct http;
struct request;

enum { ROUTE_ARGS = 6 };

struct route_args {
    unsigned count;
    struct text args[ROUTE_ARGS]; /* what stood at each {} */
    const struct url *url;
};

typedef void route_fn(struct http *http, struct request *request, const struct route_args *args);

struct route {
    const char *name; /* in log and metrics */
    const char *pattern;
    const char *const *params; /* NULL-terminated; others are refused */
    route_fn *run;
};

/* The first route of a table that fits, or NULL. */
const struct route *route_find(const struct route *routes, unsigned count, const struct url *url,
                               struct route_args *ret_args);
/* TL_INVALID for the first query parameter that the route does not know, naming those it does. */
TL_MUST_CHECK enum tl_code route_check_params(const struct route *route, const struct url *url,
                                              struct tl_err *err);

#endif
