#include "raster/georef.h"

#include "raster/tiff.h"

#include <math.h>
#include <stdbool.h>

enum {
    KEY_MODEL_TYPE = 1024,
    KEY_RASTER_TYPE = 1025,
    KEY_GEODETIC_CRS = 2048,
    KEY_PROJECTED_CRS = 3072,
    MODEL_PROJECTED = 1,
    MODEL_GEOGRAPHIC = 2,
    RASTER_PIXEL_IS_POINT = 2,
    USER_DEFINED = 32767,
    IN_TAG_ITSELF = 0, /* the key's value, not a place in another tag */
};

/* GeoKeyDirectory: u16 version, revision, minor, n; then n x (id, where, count, value). */
static uint32_t geo_key(const struct tiff_ifd *ifd, uint32_t wanted)
{
    const struct tiff_value *keys = &ifd->values[TAG_GEO_KEYS];
    uint64_t n = 0, id, where, value;

    tiff_uint(keys, 3, &n);
    for (uint64_t i = 4; i < 4 + 4 * n; i += 4) {
        if (!tiff_uint(keys, i, &id) || !tiff_uint(keys, i + 1, &where) ||
            !tiff_uint(keys, i + 3, &value))
            return 0;
        if (id == wanted && where == IN_TAG_ITSELF)
            return (uint32_t)value;
    }
    return 0;
}

static uint32_t epsg_of(const struct tiff_ifd *ifd)
{
    uint32_t model = geo_key(ifd, KEY_MODEL_TYPE), code = 0;

    if (model == MODEL_PROJECTED)
        code = geo_key(ifd, KEY_PROJECTED_CRS);
    else if (model == MODEL_GEOGRAPHIC)
        code = geo_key(ifd, KEY_GEODETIC_CRS);
    return code == USER_DEFINED ? 0 : code;
}

/* ModelTransformation, row-major 4 x 4: x = m0 col + m1 row + m3, y = m4 col + m5 row + m7. */
static const char *from_matrix(const struct tiff_value *matrix, struct affine *ret_affine)
{
    double m[8];

    for (uint64_t i = 0; i < 8; i++) {
        if (!tiff_double(matrix, i, &m[i]))
            return "its ModelTransformation is not a matrix";
    }
    if (m[1] != 0 || m[4] != 0)
        return "its grid is rotated or sheared";
    if (!(m[0] > 0 && m[5] < 0))
        return "its grid is not north-up";
    *ret_affine = (struct affine){.x = m[3], .y = m[7], .dx = m[0], .dy = -m[5]};
    return NULL;
}

/* ModelPixelScale (sx, sy, sz) and one ModelTiepoint (col, row, -, x, y, -). */
static const char *from_scale(const struct tiff_ifd *ifd, struct affine *ret_affine)
{
    const struct tiff_value *tie = &ifd->values[TAG_TIEPOINT];
    double sx, sy, col, row, x, y;

    if (!tiff_double(&ifd->values[TAG_PIXEL_SCALE], 0, &sx) ||
        !tiff_double(&ifd->values[TAG_PIXEL_SCALE], 1, &sy))
        return tie->count > 6 ? "it is placed by ground control points" : "it has no georeference";
    if (!tiff_double(tie, 0, &col) || !tiff_double(tie, 1, &row) || !tiff_double(tie, 3, &x) ||
        !tiff_double(tie, 4, &y))
        return "it has a pixel size but no tie point";
    if (tie->count > 6)
        return "it is placed by several tie points";
    if (!(sx > 0 && sy > 0))
        return "its grid is not north-up";
    *ret_affine = (struct affine){.x = x - col * sx, .y = y + row * sy, .dx = sx, .dy = sy};
    return NULL;
}

static bool finite_affine(struct affine a)
{
    return isfinite(a.x) && isfinite(a.y) && isfinite(a.dx) && isfinite(a.dy);
}

const char *georef_read(const struct tiff_ifd *ifd, struct georef *ret_georef)
{
    struct georef georef = {.epsg = epsg_of(ifd)};
    const struct tiff_value *matrix = &ifd->values[TAG_TRANSFORMATION];
    const char *reason = ifd->values[TAG_PIXEL_SCALE].count || !matrix->count
                             ? from_scale(ifd, &georef.affine)
                             : from_matrix(matrix, &georef.affine);

    if (!reason && !finite_affine(georef.affine))
        reason = "its georeference is not finite";
    if (reason)
        return reason;
    if (geo_key(ifd, KEY_RASTER_TYPE) == RASTER_PIXEL_IS_POINT) {
        georef.affine.x -= georef.affine.dx / 2;
        georef.affine.y += georef.affine.dy / 2;
    }
    *ret_georef = georef;
    return NULL;
}
