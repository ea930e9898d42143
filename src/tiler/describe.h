/*
 * describe: layers and styles as documents - JSON for programs, a legend for people.
 *
 * Threads  any; the ones that take a view or a layer with seasons never open anything
 * Memory   appended to the caller's buf
 */
#ifndef TILTH_TILER_DESCRIBE_H
#define TILTH_TILER_DESCRIBE_H

#include "base/attr.h"
#include "base/err.h"

struct arena;
struct blob;
struct buf;
struct catalog;
struct layer;
struct layer_view;
struct style;

/* `base_url`: "http://host:port" or a prefix behind a proxy, without a slash at the end. */

/* {"layers": [{"id", "title", "kind": "baseline|prediction|...", ...}]} */
TL_MUST_CHECK enum tl_code describe_layers(const struct catalog *catalog, const char *base_url,
                                           struct buf *out, struct tl_err *err);
/* One of those, with model, features, classes and seasons. */
TL_MUST_CHECK enum tl_code describe_layer(const struct layer *layer, const char *base_url,
                                          struct buf *out, struct tl_err *err);
/* TileJSON 3.0.0. `query_string`: "" or "season=2024-25&style=x", goes into the tile URLs. */
TL_MUST_CHECK enum tl_code describe_tilejson(const struct layer_view *view, const char *base_url,
                                             const char *query_string, struct buf *out,
                                             struct tl_err *err);
/* {"styles": [...]} */
TL_MUST_CHECK enum tl_code describe_styles(const struct catalog *catalog, struct buf *out,
                                           struct tl_err *err);
/* One style; also the answer of legend.json. */
TL_MUST_CHECK enum tl_code describe_style(const struct style *style, struct buf *out,
                                          struct tl_err *err);
/* Swatches beside names, in a font of our own (5 x 7). */
TL_MUST_CHECK enum tl_code describe_legend_png(const struct style *style, struct arena *arena,
                                               struct blob **ret_png, struct tl_err *err);

#endif
