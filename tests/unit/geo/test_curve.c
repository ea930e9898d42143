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

TEST(the_curve_walks_over_every_tile_from_neighbour_to_neighbour)
{
    enum { ZOOM = 6, SIDE = 1 << ZOOM, TILES = SIDE * SIDE };
    int at[TILES] = {0}; /* 1 + y * SIDE + x of each position */

    for (int i = 0; i < TILES; i++) {
        uint64_t id = curve_id(ZOOM, (uint32_t)(i % SIDE), (uint32_t)(i / SIDE));

        assert_in_range(id, curve_id(ZOOM, 0, 0), curve_id(ZOOM + 1, 0, 0) - 1);
        at[id - curve_id(ZOOM, 0, 0)] = i + 1;
    }
    for (int i = 0; i < TILES; i++) {
        int here = at[i] - 1, last = at[i > 0 ? i - 1 : 0] - 1;

        assert_true(here >= 0); /* as many positions as tiles, so no two share one */
        if (i > 0)
            assert_int_equal(abs(here % SIDE - last % SIDE) + abs(here / SIDE - last / SIDE), 1);
    }
}

TEST(every_zoom_begins_where_the_one_above_ends)
{
    /* A Hilbert curve begins at one end of an edge of its square and ends at the other. */
    for (uint8_t z = 1; z < 26; z++) {
        uint32_t last = (UINT32_C(1) << z) - 1;

        assert_int_equal(curve_id(z, last, 0) + 1, curve_id((uint8_t)(z + 1), 0, 0));
    }
}

RUN(T(ids_are_those_of_the_pmtiles_specification),
    T(the_curve_walks_over_every_tile_from_neighbour_to_neighbour),
    T(every_zoom_begins_where_the_one_above_ends))
