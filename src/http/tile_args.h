/*
 * tile_args: the words of a tile address - "12", "2375", "2210@2x.png", "style=dw" - into
 * values that the tiler takes.
 *
 * Threads  any
 */
#ifndef TILTH_HTTP_TILE_ARGS_H
#define TILTH_HTTP_TILE_ARGS_H

#include "base/attr.h"
#include "base/err.h"
#include "http/url.h"
#include "image/encode.h"

struct catalog;
struct layer;
struct style;
struct tile_query;

/* TL_ABSENT, naming the known layers. */
TL_MUST_CHECK enum tl_code args_layer(const struct catalog *catalog, struct text id,
                                      struct layer **ret_layer, struct tl_err *err);
/* style=, or the default of the layer. */
TL_MUST_CHECK enum tl_code args_style(const struct layer *layer, const struct url *url,
                                      const struct style **ret_style, struct tl_err *err);
/* season= or date=, not both; "" for the default. */
TL_MUST_CHECK enum tl_code args_season(const struct url *url, char ret_season[32],
                                       struct tl_err *err);
/* "{lon},{lat}" in degrees. */
TL_MUST_CHECK enum tl_code args_lonlat(struct text arg, double *ret_lon, double *ret_lat,
                                       struct tl_err *err);
/* z, x and "y[@2x][.png|.webp|.jpg|.jpeg]" (no extension: png) into id, scale and format. */
TL_MUST_CHECK enum tl_code args_address(const struct text zxy[3], struct tile_query *ret_query,
                                        struct tl_err *err);
/*
 * The address, then style=, season= or date= and classes=. Fills everything of the query but
 * the deadline.
 */
TL_MUST_CHECK enum tl_code args_tile(struct layer *layer, const struct text zxy[3],
                                     const struct url *url, struct tile_query *ret_query,
                                     struct tl_err *err);

#endif
