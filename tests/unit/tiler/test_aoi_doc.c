#include "tiler/aoi_doc.h"

#include "base/arena.h"
#include "base/buf.h"
#include "geo/area_outline.h"
#include "tl_test.h"

#include <string.h>

static struct arena *arena;
static struct tl_err err;
static const struct area_outline *outline;

static enum tl_code parse_bytes(const void *bytes, size_t size)
{
    arena_free(arena);
    arena = arena_new();
    outline = NULL;
    return aoi_doc_parse("aoi.geojson", bytes, size, arena, &outline, &err);
}

static enum tl_code parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

#define RING_A  "[[30,-17],[31,-17],[31,-18.5],[30,-17]]"
#define RING_B  "[[30.2,-17.1,900],[30.4,-17.1,900],[30.4,-17.2,900],[30.2,-17.1,900]]"
#define POLYGON "{\"type\":\"Polygon\",\"coordinates\":[" RING_A "," RING_B "]}"
#define MULTI   "{\"type\":\"MultiPolygon\",\"coordinates\":[[" RING_A "],[" RING_B "]]}"
#define FEATURE "{\"type\":\"Feature\",\"properties\":{\"name\":\"x\"},\"geometry\":" POLYGON "}"

static void assert_rings(const char *text, uint32_t first_polygon, uint32_t second_polygon)
{
    assert_ok(parse(text));
    assert_int_equal(outline->ring_count, 2);
    assert_int_equal(outline->rings[0].polygon, first_polygon);
    assert_int_equal(outline->rings[1].polygon, second_polygon);
    assert_int_equal(outline->rings[0].count, 4);
    assert_int_equal(outline->rings[1].first, 4);
    assert_int_equal(outline->rings[1].count, 4);
    assert_true(outline->points[2].lon == 31 && outline->points[2].lat == -18.5);
    assert_true(outline->points[5].lon == 30.4 && outline->points[5].lat == -17.1);
}

TEST(every_kind_of_area_is_read)
{
    assert_rings(POLYGON, 0, 0);
    assert_rings(MULTI, 0, 1);
    assert_rings(FEATURE, 0, 0);
    assert_rings("{\"type\":\"FeatureCollection\",\"name\":\"x\",\"features\":[" FEATURE "]}", 0,
                 0);
    assert_rings("{\"type\":\"GeometryCollection\",\"geometries\":[" MULTI "]}", 0, 1);
    assert_rings("{\"type\":\"FeatureCollection\",\"crs\":{\"type\":\"name\",\"properties\":"
                 "{\"name\":\"urn:ogc:def:crs:OGC:1.3:CRS84\"}},\"features\":[" FEATURE "]}",
                 0, 0);
    assert_rings("{\"type\":\"FeatureCollection\",\"crs\":{\"type\":\"name\",\"properties\":"
                 "{\"name\":\"EPSG:4326\"}},\"features\":[" FEATURE "]}",
                 0, 0);
}

#define BAD_RING(ring) "{\"type\":\"Polygon\",\"coordinates\":[" RING_A "," ring "]}"

TEST(a_refusal_says_where)
{
    assert_refused(
        parse("{\"type\":\"FeatureCollection\",\"features\":[" FEATURE ",{\"type\":"
              "\"Feature\",\"geometry\":" BAD_RING("[[1,2],[2,2],[2,\"x\"],[1,2]]") "}]}"),
        TL_INVALID, "aoi.geojson: features[1].geometry.coordinates[1][2][1]: a number is needed");
    assert_refused(parse(BAD_RING("[[1,2],[2,2],[2,-91],[1,2]]")), TL_INVALID,
                   "coordinates[1][2][1]: a latitude of -91");
    assert_refused(parse(BAD_RING("[[1,2],[200,2],[2,-9],[1,2]]")), TL_INVALID,
                   "coordinates[1][1][0]: a longitude of 200");
    assert_refused(parse(BAD_RING("[[1,2],[2],[2,-9],[1,2]]")), TL_INVALID,
                   "coordinates[1][1]: a position is [longitude, latitude]");
    assert_refused(parse(BAD_RING("[[1,2],[2,2],[1,2]]")), TL_INVALID, "coordinates[1]: 3 points");
    assert_refused(parse(BAD_RING("[[1,2],[2,2],[2,3],[1,3]]")), TL_INVALID,
                   "coordinates[1]: a ring ends where it begins, at 1, 2; this is 1, 3");
    assert_refused(parse(BAD_RING("[[179,2],[-179,2],[-179,3],[179,2]]")), TL_INVALID,
                   "coordinates[1][1]: from longitude 179 to -179: cut polygons");
    assert_refused(parse(BAD_RING("[[179,2],[179,4],[-179,3],[179,2]]")), TL_INVALID,
                   "coordinates[1][2]: from longitude 179 to -179");
    assert_refused(parse(BAD_RING("[[179,2],[0,4],[-1.5,3],[179,2]]")), TL_INVALID,
                   "coordinates[1][3]: from longitude -1.5 to 179");
    assert_refused(parse(BAD_RING("[[1,2],[2,2],[2,1e999],[1,2]]")), TL_INVALID, "aoi.geojson:1:");
    assert_refused(parse(BAD_RING("7")), TL_INVALID, "coordinates[1]");
}

TEST(what_is_no_area_is_refused)
{
    assert_refused(parse("{\"type\":\"Point\",\"coordinates\":[1,2]}"), TL_INVALID,
                   "type: \"Point\" has no area");
    assert_refused(parse("{\"type\":\"Feature\",\"geometry\":null}"), TL_INVALID, "geometry");
    assert_refused(parse("{\"type\":\"FeatureCollection\",\"features\":[]}"), TL_INVALID,
                   "features: there is nothing in it");
    assert_refused(parse("{\"type\":\"Polygon\",\"coordinates\":[]}"), TL_INVALID,
                   "there is nothing in it");
    assert_refused(parse("{\"type\":\"MultiPolygon\",\"coordinates\":[[]]}"), TL_INVALID,
                   "coordinates[0]: there is nothing in it");
    assert_refused(parse("{\"type\":\"Polygon\"}"), TL_INVALID, "coordinates");
    assert_refused(parse("[1]"), TL_INVALID, "object");
    assert_refused(parse(""), TL_INVALID, "not valid JSON");
    assert_refused(
        parse("{\"type\":\"FeatureCollection\",\"crs\":{\"type\":\"name\",\"properties\":"
              "{\"name\":\"urn:ogc:def:crs:EPSG::32736\"}},\"features\":[" FEATURE "]}"),
        TL_INVALID, "crs.properties.name");
}

TEST(collections_in_collections_have_an_end)
{
    AUTO_BUF deep = {0};

    for (int i = 0; i < 200; i++)
        buf_puts(&deep, "{\"type\":\"GeometryCollection\",\"geometries\":[");
    buf_puts(&deep, POLYGON);
    for (int i = 0; i < 200; i++)
        buf_puts(&deep, "]}");
    assert_refused(parse_bytes(deep.bytes, deep.size), TL_LIMIT, "more than 4 deep");
}

TEST(a_million_points_are_the_most)
{
    AUTO_BUF many = {0};

    buf_puts(&many, "{\"type\":\"Polygon\",\"coordinates\":[[[0,1]");
    for (int i = 0; i < AREA_MAX_POINTS - 2; i++)
        buf_puts(&many, ",[2,1]");
    size_t before_last = many.size;
    buf_puts(&many, ",[0,1]]]}");
    assert_ok(parse_bytes(many.bytes, many.size));
    assert_int_equal(outline->rings[0].count, AREA_MAX_POINTS);
    many.size = before_last;
    buf_puts(&many, ",[1,1],[0,1]]]}");
    assert_refused(parse_bytes(many.bytes, many.size), TL_LIMIT, "more than 1000000 points");
    many.size = before_last;
    buf_puts(&many, ",[0,1]],[[0,0],[1,0],[1,1],[0,0]]]}");
    assert_refused(parse_bytes(many.bytes, many.size), TL_LIMIT, "more than 1000000 points");
}

TEST(a_file_that_ends_anywhere_is_refused)
{
    static const char whole[] = FEATURE;

    for (size_t size = 0; size + 1 < sizeof(whole); size++)
        assert_refused(parse_bytes(whole, size), TL_INVALID, "aoi.geojson");
    arena_free(arena);
    arena = NULL;
}

RUN(T(every_kind_of_area_is_read), T(a_refusal_says_where), T(what_is_no_area_is_refused),
    T(collections_in_collections_have_an_end), T(a_million_points_are_the_most),
    T(a_file_that_ends_anywhere_is_refused))
