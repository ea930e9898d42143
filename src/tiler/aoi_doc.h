/*
 * aoi_doc: an area of interest as people write it - GeoJSON, RFC 7946: a Polygon or MultiPolygon,
 * a Feature of one, or a FeatureCollection or GeometryCollection of those. Positions are longitude
 * and latitude; what follows them (altitude) is not looked at.
 *
 * Memory   the outline lives in the arena
 */
#ifndef TILTH_TILER_AOI_DOC_H
#define TILTH_TILER_AOI_DOC_H

#include "base/attr.h"
#include "base/err.h"

#include <stddef.h>

struct area_outline;
struct arena;
struct json_at;

/* What a file of it may have: about ten times that is in memory while it is read. */
#define AOI_MAX_BYTES ((size_t)32 << 20)

/*
 * TL_INVALID where it is no area, with the place; TL_LIMIT: more than AREA_MAX_POINTS points, or
 * collections in collections in collections. Every other key is somebody else's.
 */
TL_MUST_CHECK enum tl_code aoi_doc_read(const struct json_at *at, struct arena *arena,
                                        const struct area_outline **ret_outline,
                                        struct tl_err *err);
/* The same of a file's bytes; `name` is what a refusal calls it. */
TL_MUST_CHECK enum tl_code aoi_doc_parse(const char *name, const void *bytes, size_t size,
                                         struct arena *arena,
                                         const struct area_outline **ret_outline,
                                         struct tl_err *err);

#endif
