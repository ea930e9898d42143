/*
 * layer_extent: where on earth a layer lies, and the zoom that shows its own pixels. Private
 * to tiler/.
 *
 * Threads  any
 * Memory   none is kept
 * Units    degrees, metres of EPSG:3857, zooms of WebMercatorQuad
 */
#ifndef TILTH_TILER_LAYER_EXTENT_H
#define TILTH_TILER_LAYER_EXTENT_H

#include "base/attr.h"
#include "base/err.h"

struct layer_view;

/*
 * Fills `lonlat`, `mercator` and `native_zoom` of a view whose source is open; a negative
 * `native_zoom` is worked out from the size of a pixel. Boxes may reach beyond the
 * antimeridian. Errors are those of the coordinate system.
 */
TL_MUST_CHECK enum tl_code layer_extent_find(struct layer_view *view, int native_zoom,
                                             struct tl_err *err);

#endif
