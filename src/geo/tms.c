#include "geo/tms.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

#define TILE_PX 256

struct tms {
    const char *name;
    const char *crs;
    struct bbox extent; /* square: one tile at zoom 0 */
    uint8_t max_zoom;
};

/* Half the circumference of EPSG:3857's sphere: pi x 6378137 m. */
#define MERCATOR_HALF_M 20037508.342789244

const struct tms tms_web_mercator_quad = {
    .name = "WebMercatorQuad",
    .crs = "EPSG:3857",
    .extent = {-MERCATOR_HALF_M, -MERCATOR_HALF_M, MERCATOR_HALF_M, MERCATOR_HALF_M},
    .max_zoom = TMS_MAX_ZOOM,
};

const char *tms_name(const struct tms *tms)
{
    return tms->name;
}

const char *tms_crs(const struct tms *tms)
{
    return tms->crs;
}

/* Division by a power of two is exact, so neighbours share their edge bit for bit. */
static double tile_span(const struct tms *tms, uint8_t z)
{
    return ldexp(tms->extent.xmax - tms->extent.xmin, -(int)z);
}

enum tl_code tms_check(const struct tms *tms, struct tile_id id, struct tl_err *err)
{
    if (id.z > tms->max_zoom)
        return tl_fail(err, TL_ABSENT, "tile %u/%u/%u: %s ends at zoom %u", id.z, id.x, id.y,
                       tms->name, tms->max_zoom);
    uint32_t last = (UINT32_C(1) << id.z) - 1;
    if (id.x > last)
        return tl_fail(err, TL_ABSENT, "tile %u/%u/%u: column %u is past the last, %u, of zoom %u",
                       id.z, id.x, id.y, id.x, last, id.z);
    if (id.y > last)
        return tl_fail(err, TL_ABSENT, "tile %u/%u/%u: row %u is past the last, %u, of zoom %u",
                       id.z, id.x, id.y, id.y, last, id.z);
    return TL_OK;
}

static void tile_must_exist(const struct tms *tms, struct tile_id id)
{
    TL_CHECK(id.z <= tms->max_zoom);
    TL_CHECK(id.x >> id.z == 0 && id.y >> id.z == 0);
}

struct bbox tms_tile_bounds(const struct tms *tms, struct tile_id id)
{
    tile_must_exist(tms, id);
    double span = tile_span(tms, id.z);

    return (struct bbox){
        .xmin = tms->extent.xmin + id.x * span,
        .ymin = tms->extent.ymax - (id.y + 1.0) * span,
        .xmax = tms->extent.xmin + (id.x + 1.0) * span,
        .ymax = tms->extent.ymax - id.y * span,
    };
}

struct affine tms_tile_affine(const struct tms *tms, struct tile_id id, uint32_t size_px)
{
    TL_CHECK(size_px > 0);
    struct bbox bounds = tms_tile_bounds(tms, id);
    double res = tile_span(tms, id.z) / size_px;

    return (struct affine){.x = bounds.xmin, .y = bounds.ymax, .dx = res, .dy = res};
}

/* NaN goes to 0, like everything left of the set. */
static uint32_t clamp_index(double index, uint32_t last)
{
    if (!(index > 0))
        return 0;
    return index >= last ? last : (uint32_t)index;
}

struct tile_id tms_tile_at(const struct tms *tms, double x, double y, uint8_t z)
{
    TL_CHECK(z <= tms->max_zoom);
    double span = tile_span(tms, z);
    uint32_t last = (UINT32_C(1) << z) - 1;

    return (struct tile_id){
        .x = clamp_index((x - tms->extent.xmin) / span, last),
        .y = clamp_index((tms->extent.ymax - y) / span, last),
        .z = z,
    };
}
