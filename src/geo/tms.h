/*
 * tms: tile matrix sets - one grid of tiles per zoom level (OGC Two Dimensional
 * Tile Matrix Set 2.0, 17-083r4). Built in: WebMercatorQuad.
 *
 * Threads  any; the sets are constants
 * Units    CRS units (metres in EPSG:3857), pixels of 256 px tiles
 */
#ifndef TILTH_GEO_TMS_H
#define TILTH_GEO_TMS_H

#include "base/err.h"
#include "geo/affine.h"
#include "geo/bbox.h"

#include <stdint.h>

#define TMS_MAX_ZOOM 24

struct tile_id {
    uint32_t x, y; /* column from the left, row from the top */
    uint8_t z;
};

struct tms;

extern const struct tms tms_web_mercator_quad;

const char *tms_name(const struct tms *tms);
const char *tms_crs(const struct tms *tms); /* "EPSG:3857" */

/* TL_ABSENT, naming the limit, when z, x or y is outside the set. */
TL_MUST_CHECK enum tl_code tms_check(const struct tms *tms, struct tile_id id, struct tl_err *err);
/* `id` must be inside the set. */
struct bbox tms_tile_bounds(const struct tms *tms, struct tile_id id);
/* The pixel grid of a tile `size_px` wide (256, 512 for @2x). */
struct affine tms_tile_affine(const struct tms *tms, struct tile_id id, uint32_t size_px);
/* The tile that holds a point; clamped to the set. */
struct tile_id tms_tile_at(const struct tms *tms, double x, double y, uint8_t z);

#endif
