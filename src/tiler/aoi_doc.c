#include "tiler/aoi_doc.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/check.h"
#include "base/json.h"
#include "geo/area_outline.h"

#include <string.h>

/* Of collections in collections. */
enum { DEEPEST = 4 };

struct reader {
    struct buf points, rings; /* struct area_point, struct area_ring */
    uint32_t polygons;
};

static enum tl_code no_memory(struct tl_err *err)
{
    return tl_fail(err, TL_NOMEM, "no memory for an area");
}

static uint32_t point_count(const struct reader *r)
{
    return (uint32_t)(r->points.size / sizeof(struct area_point));
}

/* "0" or "1" of a position, within what the Earth has. */
static enum tl_code read_degrees(const struct json_at *position, size_t index, double most,
                                 double *ret, struct tl_err *err)
{
    static const char *const names[] = {"longitude", "latitude"};
    struct json_at at = json_item(position, index);

    TL_TRY(json_read_number(at, ret, err));
    if (!(*ret >= -most && *ret <= most))
        return json_refuse(&at, err, "a %s of %.9g; it is -%g to %g, and longitude comes first",
                           names[index], *ret, most, most);
    return TL_OK;
}

static enum tl_code read_position(struct json_at at, struct area_point *ret, struct tl_err *err)
{
    size_t count;

    TL_TRY(json_read_array(at, false, &count, err));
    if (count < 2)
        return json_refuse(&at, err, "a position is [longitude, latitude]");
    TL_TRY(read_degrees(&at, 0, 180, &ret->lon, err));
    return read_degrees(&at, 1, 90, &ret->lat, err);
}

static enum tl_code read_points(struct reader *r, const struct json_at *at, size_t count,
                                struct tl_err *err)
{
    if (point_count(r) + count > AREA_MAX_POINTS) {
        json_say(at, err, "more than %d points; take a simpler outline", AREA_MAX_POINTS);
        return TL_LIMIT;
    }
    uint8_t *room = buf_extend(&r->points, count * sizeof(struct area_point));
    if (!room)
        return no_memory(err);
    struct area_point *points = (struct area_point *)(void *)room;
    for (size_t i = 0; i < count; i++)
        TL_TRY(read_position(json_item(at, i), &points[i], err));
    if (points[0].lon != points[count - 1].lon || points[0].lat != points[count - 1].lat)
        return json_refuse(
            at, err, "a ring ends where it begins, at %.9g, %.9g; this is %.9g, %.9g",
            points[0].lon, points[0].lat, points[count - 1].lon, points[count - 1].lat);
    for (size_t i = 0; i + 1 < count; i++) {
        struct json_at item = json_item(at, i + 1);

        if (points[i].lon - points[i + 1].lon > 180 || points[i + 1].lon - points[i].lon > 180)
            return json_refuse(&item, err,
                               "from longitude %.9g to %.9g: cut polygons where they cross the "
                               "antimeridian (RFC 7946, 3.1.9), or put points between",
                               points[i].lon, points[i + 1].lon);
    }
    return TL_OK;
}

static enum tl_code read_ring(struct reader *r, struct json_at at, struct tl_err *err)
{
    struct area_ring ring = {.polygon = r->polygons, .first = point_count(r)};
    size_t count;

    TL_TRY(json_read_array(at, false, &count, err));
    if (count < 4)
        return json_refuse(&at, err, "%zu points; a ring has 4 or more, the last as the first",
                           count);
    TL_TRY(read_points(r, &at, count, err));
    ring.count = (uint32_t)count;
    buf_append(&r->rings, &ring, sizeof(ring));
    return buf_failed(&r->rings) ? no_memory(err) : TL_OK;
}

/* A list with something in it. */
static enum tl_code read_some(const struct json_at *at, size_t *ret_count, struct tl_err *err)
{
    TL_TRY(json_read_array(*at, false, ret_count, err));
    return *ret_count ? TL_OK : json_refuse(at, err, "there is nothing in it");
}

static enum tl_code read_polygon(struct reader *r, struct json_at at, struct tl_err *err)
{
    size_t count;

    TL_TRY(read_some(&at, &count, err));
    for (size_t i = 0; i < count; i++)
        TL_TRY(read_ring(r, json_item(&at, i), err));
    r->polygons++;
    return TL_OK;
}

static enum tl_code read_multi(struct reader *r, struct json_at at, struct tl_err *err)
{
    size_t count;

    TL_TRY(read_some(&at, &count, err));
    for (size_t i = 0; i < count; i++)
        TL_TRY(read_polygon(r, json_item(&at, i), err));
    return TL_OK;
}

static enum tl_code read_object(struct reader *r, struct json_at at, int depth, struct tl_err *err);

static enum tl_code read_collection(struct reader *r, struct json_at at, int depth,
                                    struct tl_err *err)
{
    size_t count;

    if (depth == 0) {
        json_say(&at, err, "collections in collections, more than %d deep", DEEPEST);
        return TL_LIMIT;
    }
    TL_TRY(read_some(&at, &count, err));
    for (size_t i = 0; i < count; i++)
        TL_TRY(read_object(r, json_item(&at, i), depth - 1, err));
    return TL_OK;
}

/* Of GeoJSON as it was before RFC 7946: writers still name what is now the only one. */
static enum tl_code check_crs(const struct json_at *object, struct tl_err *err)
{
    struct json_at crs = json_key(object, "crs"), properties = json_key(&crs, "properties");
    struct json_at name = json_key(&properties, "name");
    const char *text;

    if (!crs.value || json_is_null(crs.value))
        return TL_OK;
    TL_TRY(json_read_string(name, &text, err));
    if (!strstr(text, "CRS84") && strcmp(text, "EPSG:4326") != 0)
        return json_refuse(&name, err,
                           "\"%.64s\"; positions are longitude and latitude (RFC 7946, 4): "
                           "ogr2ogr -t_srs OGC:CRS84 makes them",
                           text);
    return TL_OK;
}

static enum tl_code read_object(struct reader *r, struct json_at at, int depth, struct tl_err *err)
{
    struct json_at type_at = json_key(&at, "type");
    const char *type;

    TL_TRY(json_read_object(at, err));
    TL_TRY(json_read_string(type_at, &type, err));
    TL_TRY(check_crs(&at, err));
    if (strcmp(type, "Polygon") == 0)
        return read_polygon(r, json_key(&at, "coordinates"), err);
    if (strcmp(type, "MultiPolygon") == 0)
        return read_multi(r, json_key(&at, "coordinates"), err);
    if (strcmp(type, "GeometryCollection") == 0)
        return read_collection(r, json_key(&at, "geometries"), depth, err);
    if (strcmp(type, "FeatureCollection") == 0)
        return read_collection(r, json_key(&at, "features"), depth, err);
    if (strcmp(type, "Feature") != 0)
        return json_refuse(&type_at, err,
                           "\"%.32s\" has no area; it is a Polygon, MultiPolygon, Feature, "
                           "FeatureCollection or GeometryCollection",
                           type);
    if (depth == 0) {
        json_say(&at, err, "features and collections in one another, more than %d deep", DEEPEST);
        return TL_LIMIT;
    }
    return read_object(r, json_key(&at, "geometry"), depth - 1, err);
}

/* Copies what the reader has into the arena. */
static enum tl_code keep(const struct reader *r, struct arena *arena,
                         const struct area_outline **ret_outline, struct tl_err *err)
{
    struct area_outline *outline = arena_alloc(arena, 1, sizeof(*outline));
    void *points = arena_alloc(arena, r->points.size, 1);
    void *rings = arena_alloc(arena, r->rings.size, 1);

    if (!outline || !points || !rings)
        return no_memory(err);
    TL_CHECK(r->points.bytes && r->rings.bytes); /* read_some() has refused what is empty */
    memcpy(points, r->points.bytes, r->points.size);
    memcpy(rings, r->rings.bytes, r->rings.size);
    *outline =
        (struct area_outline){.ring_count = (uint32_t)(r->rings.size / sizeof(struct area_ring)),
                              .rings = rings,
                              .points = points};
    *ret_outline = outline;
    return TL_OK;
}

enum tl_code aoi_doc_read(const struct json_at *at, struct arena *arena,
                          const struct area_outline **ret_outline, struct tl_err *err)
{
    struct reader r = {0};
    enum tl_code code = read_object(&r, *at, DEEPEST, err);

    if (code == TL_OK)
        code = keep(&r, arena, ret_outline, err);
    buf_release(&r.points);
    buf_release(&r.rings);
    return code;
}

enum tl_code aoi_doc_parse(const char *name, const void *bytes, size_t size, struct arena *arena,
                           const struct area_outline **ret_outline, struct tl_err *err)
{
    AUTO_JSON root = NULL;

    TL_TRY(json_parse(name, bytes, size, &root, err));
    struct json_at at = json_root(name, root);
    return aoi_doc_read(&at, arena, ret_outline, err);
}
