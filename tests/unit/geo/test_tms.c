#include "geo/tms.h"
#include "tl_test.h"

#include <string.h>

#define HALF 20037508.342789244
static const struct tms *const quad = &tms_web_mercator_quad;

TEST(web_mercator_quad_has_its_name_and_its_crs)
{
    assert_string_equal(tms_name(quad), "WebMercatorQuad");
    assert_string_equal(tms_crs(quad), "EPSG:3857");
}

static double resolution(uint8_t z)
{
    return tms_tile_affine(quad, (struct tile_id){.z = z}, 256).dx;
}

TEST(resolutions_are_those_of_the_standard)
{
    /* OGC 17-083r4, annex D.1: cell sizes of WebMercatorQuad. */
    assert_near(resolution(0), 156543.033928041, 1e-6);
    assert_near(resolution(14), 9.55462853563415, 1e-9);
    assert_near(resolution(24), 0.0093306919293428, 1e-12);
}

TEST(a_column_past_the_edge_is_absent_and_says_which)
{
    struct tl_err err;

    assert_ok(tms_check(quad, (struct tile_id){.z = 3, .x = 7, .y = 7}, &err));
    assert_refused(tms_check(quad, (struct tile_id){.z = 3, .x = 8, .y = 0}, &err), TL_ABSENT,
                   "column 8 is past the last, 7, of zoom 3");
    assert_refused(tms_check(quad, (struct tile_id){.z = 0, .x = 0, .y = 1}, &err), TL_ABSENT,
                   "row 1 is past the last, 0, of zoom 0");
    assert_refused(tms_check(quad, (struct tile_id){.z = 25}, &err), TL_ABSENT, "zoom 24");
    assert_refused(tms_check(quad, (struct tile_id){.z = 24, .x = UINT32_MAX}, &err), TL_ABSENT,
                   "column 4294967295");
}

TEST(the_tile_of_zoom_zero_is_the_world)
{
    struct bbox world = tms_tile_bounds(quad, (struct tile_id){0});

    assert_near(world.xmin, -HALF, 0);
    assert_near(world.xmax, HALF, 0);
    assert_near(world.ymin, -HALF, 0);
    assert_near(world.ymax, HALF, 0);
}

TEST(neighbours_share_their_edge_bit_for_bit)
{
    for (uint8_t z = 1; z <= TMS_MAX_ZOOM; z++) {
        uint32_t x = (UINT32_C(1) << z) / 3, y = (UINT32_C(1) << z) / 2 - 1;
        struct bbox here = tms_tile_bounds(quad, (struct tile_id){.z = z, .x = x, .y = y});
        struct bbox east = tms_tile_bounds(quad, (struct tile_id){.z = z, .x = x + 1, .y = y});
        struct bbox south = tms_tile_bounds(quad, (struct tile_id){.z = z, .x = x, .y = y + 1});

        assert_true(here.xmax == east.xmin);
        assert_true(here.ymin == south.ymax);
    }
}

TEST(a_tile_grid_starts_at_its_corner_with_the_resolution_of_its_size)
{
    struct tile_id id = {.z = 14, .x = 9467, .y = 8879};
    struct bbox bounds = tms_tile_bounds(quad, id);
    struct affine one = tms_tile_affine(quad, id, 256), two = tms_tile_affine(quad, id, 512);

    assert_near(one.x, bounds.xmin, 0);
    assert_near(one.y, bounds.ymax, 0);
    assert_near(one.dx, 9.55462853563415, 1e-9);
    assert_near(one.dy, one.dx, 0);
    assert_near(two.dx * 2, one.dx, 0);
    assert_near(affine_x(one, 256), bounds.xmax, 1e-8);
    assert_near(affine_y(one, 256), bounds.ymin, 1e-8);
}

TEST(the_tile_at_the_middle_of_a_tile_is_that_tile)
{
    for (uint8_t z = 0; z <= TMS_MAX_ZOOM; z++) {
        struct tile_id id = {.z = z, .x = (UINT32_C(1) << z) * 3 / 5, .y = (UINT32_C(1) << z) / 7};
        struct bbox b = tms_tile_bounds(quad, id);
        struct tile_id at = tms_tile_at(quad, (b.xmin + b.xmax) / 2, (b.ymin + b.ymax) / 2, z);

        assert_int_equal(at.x, id.x);
        assert_int_equal(at.y, id.y);
        assert_int_equal(at.z, z);
    }
}

TEST(points_outside_the_world_get_the_nearest_tile)
{
    struct tile_id at = tms_tile_at(quad, 1e300, -1e300, 4);

    assert_int_equal(at.x, 15);
    assert_int_equal(at.y, 15);
    at = tms_tile_at(quad, -1e300, 1e300, 4);
    assert_int_equal(at.x, 0);
    assert_int_equal(at.y, 0);
    at = tms_tile_at(quad, HALF, -HALF, 24);
    assert_int_equal(at.x, (1 << 24) - 1);
    assert_int_equal(at.y, (1 << 24) - 1);
    at = tms_tile_at(quad, (double)NAN, (double)NAN, 4);
    assert_int_equal(at.x, 0);
    assert_int_equal(at.y, 0);
}

RUN(T(web_mercator_quad_has_its_name_and_its_crs), T(resolutions_are_those_of_the_standard),
    T(a_column_past_the_edge_is_absent_and_says_which), T(the_tile_of_zoom_zero_is_the_world),
    T(neighbours_share_their_edge_bit_for_bit),
    T(a_tile_grid_starts_at_its_corner_with_the_resolution_of_its_size),
    T(the_tile_at_the_middle_of_a_tile_is_that_tile),
    T(points_outside_the_world_get_the_nearest_tile))
