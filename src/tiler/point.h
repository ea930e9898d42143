/*
 * point: what a layer knows about one place, as JSON:
 *
 *   {"layer", "season", "lon", "lat", "inside", "value", "class": {"value", "name", "title"},
 *    "confidence", "probabilities": {"crop": 0.83, ..}, "features": {"NDVI_S1": 0.41, ..}}
 *
 * Threads  may open sources and fetch: on a worker (tiler_task()), never on a loop
 */
#ifndef TILTH_TILER_POINT_H
#define TILTH_TILER_POINT_H

#include "base/attr.h"
#include "base/err.h"

struct arena;
struct buf;
struct errand;
struct layer;

struct point_query {
    struct layer *layer;
    double lon, lat; /* degrees */
    char season[32];
};

TL_MUST_CHECK enum tl_code point_describe(const struct point_query *query, struct errand *errand,
                                          struct arena *arena, struct buf *out, struct tl_err *err);

#endif
