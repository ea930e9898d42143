/*
 * crs: coordinate reference systems and the way between two of them.
 *
 * EPSG:4326, 3857 and 6933 are cylindrical about the equator: x depends on x alone
 * and y on y alone, so a whole tile needs width + height evaluations of a closed
 * form. Every other pair goes through PROJ, point by point.
 *
 * Threads  a crs is immutable and shared; a crs_map belongs to one thread
 *          (crs_map_get() keeps one per thread and pair, so a tile pays no set-up)
 * Memory   crs_new() / crs_ref() / crs_unref()
 * Units    degrees (longitude, latitude: x first) or metres
 */
#ifndef TILTH_GEO_CRS_H
#define TILTH_GEO_CRS_H

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct crs;
struct crs_map;

/*
 * `definition`: "EPSG:32736", "OGC:CRS84", WKT or a PROJ string. WKT that says the same as
 * an EPSG code is that code. TL_INVALID: PROJ cannot read it; TL_UNSUPPORTED: not a map.
 */
TL_MUST_CHECK enum tl_code crs_new(const char *definition, struct crs **ret_crs,
                                   struct tl_err *err);
struct crs *crs_ref(struct crs *crs);
void crs_unref(struct crs *crs);

const char *crs_name(const struct crs *crs); /* the definition as given */
int crs_epsg(const struct crs *crs);         /* 0 when it has no EPSG code */
bool crs_equal(const struct crs *a, const struct crs *b);
/* After how many units x comes round to the same place: 360, the width of a world map, or 0
 * where it does not or nobody knows. */
double crs_period_x(const struct crs *crs);

/* A thread keeps its maps up to this many; then the one not asked for longest goes. */
#define CRS_MAPS_PER_THREAD 64

/*
 * The calling thread's map from `from` to `to`; valid until the thread ends or has asked
 * for CRS_MAPS_PER_THREAD other pairs. O(1) after the first call of a pair on a thread
 * (PROJ set-up costs milliseconds).
 */
TL_MUST_CHECK enum tl_code crs_map_get(const struct crs *from, const struct crs *to,
                                       struct crs_map **ret_map, struct tl_err *err);
/* True when x' depends on x alone and y' on y alone. */
bool crs_map_separable(const struct crs_map *map);
/* In place; a point that has no image becomes (HUGE_VAL, HUGE_VAL). */
void crs_map_points(struct crs_map *map, double *x, double *y, size_t count);
/* Separable maps only. */
void crs_map_xs(struct crs_map *map, double *x, size_t count);
void crs_map_ys(struct crs_map *map, double *y, size_t count);

AUTO_DEFINE(crs, crs_unref)

#endif
