#include "geo/curve.h"
#include "tl_test.h"

#include <stdlib.h>

TEST(ids_are_those_of_the_pmtiles_specification)
{
    /* PMTiles v3, "tile id" examples. */
    assert_int_equal(curve_id(0, 0, 0), 0);
    assert_int_equal(curve_id(1, 0, 0), 1);
    assert_int_equal(curve_id(1, 0, 1), 2);
    assert_int_equal(curve_id(1, 1, 1), 3);
    assert_int_equal(curve_id(1, 1, 0), 4);
    assert_int_equal(curve_id(2, 0, 0), 5);
    assert_int_equal(curve_id(12, 3423, 1763), 19078479);
}

TEST(the_curve_walks_from_a_tile_to_its_neighbour)
{
    uint32_t last_x = 0, last_y = 0;

    for (uint64_t id = curve_id(6, 0, 0); id < curve_id(7, 0, 0); id++) {
        uint8_t z;
        uint32_t x, y;

        curve_tile(id, &z, &x, &y);
        assert_int_equal(z, 6);
        if (id > curve_id(6, 0, 0))
            assert_int_equal(abs((int)x - (int)last_x) + abs((int)y - (int)last_y), 1);
        last_x = x;
        last_y = y;
    }
}

TEST(a_tile_comes_back_from_its_id_on_every_zoom)
{
    for (uint8_t z = 0; z <= 26; z++) {
        uint32_t last = (UINT32_C(1) << z) - 1;
        const uint32_t xs[] = {0, last, last / 3, last / 2};

        for (int i = 0; i < 16; i++) {
            uint8_t back_z;
            uint32_t x = xs[i % 4], y = xs[i / 4], back_x, back_y;

            curve_tile(curve_id(z, x, y), &back_z, &back_x, &back_y);
            assert_int_equal(back_z, z);
            assert_int_equal(back_x, x);
            assert_int_equal(back_y, y);
        }
    }
}

RUN(T(ids_are_those_of_the_pmtiles_specification), T(the_curve_walks_from_a_tile_to_its_neighbour),
    T(a_tile_comes_back_from_its_id_on_every_zoom))
