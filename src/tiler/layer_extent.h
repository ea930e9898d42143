/*
 * layer_extent: where on earth a layer or a raster lies, and the zoom that shows a layer's own
 * pixels.
 *
 * Threads  any
 * Memory   none is kept
 * Units    degrees, metres of EPSG:3857, zooms of WebMercatorQuad
 */
#ifndef TILTH_TILER_LAYER_EXTENT_H
#define TILTH_TILER_LAYER_EXTENT_H

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>

struct bbox;
struct layer_view;
struct pyramid;

/*
 * Fills `lonlat`, `mercator` and `native_zoom` of a view whose source is open; a negative
 * `native_zoom` is worked out from the size of a pixel. Boxes may reach beyond the
 * antimeridian. Errors are those of the coordinate system.
 */
TL_MUST_CHECK enum tl_code layer_extent_find(struct layer_view *view, int native_zoom,
                                             struct tl_err *err);
/* Longitudes and latitudes of level 0, a little generous; the whole world where nobody knows. */
TL_MUST_CHECK enum tl_code layer_extent_lonlat(const struct pyramid *pyramid, struct bbox *ret_box,
                                               struct tl_err *err);
/* Of two such, however often one went round the Earth. */
bool layer_extents_meet(struct bbox a, struct bbox b);

#endif
