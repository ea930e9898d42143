#include "image/pack.h"

#include "tl_test.h"

#include "base/attr.h"
#include "image_fixture.h"

TEST(packed_pixels_stand_first_in_the_high_bits)
{
    static const unsigned depths[] = {1, 2, 4, 8};
    uint64_t seed = 21;
    uint8_t indices[100], packed[101], back[100];

    for (unsigned d = 0; d < TL_COUNT(depths); d++) {
        for (size_t count = 1; count <= sizeof(indices); count++) {
            unsigned depth = depths[d];
            size_t size = (count * depth + 7) / 8;

            for (size_t i = 0; i < count; i++)
                indices[i] = (uint8_t)(next_random(&seed) & ((1U << depth) - 1));
            memset(packed, 0xee, sizeof(packed));
            pack_row(indices, count, depth, packed);
            for (size_t i = 0; i < size * 8 / depth; i++) {
                size_t bit = i * depth;
                unsigned shift = 8 - depth - (unsigned)(bit % 8);

                assert_int_equal(packed[bit / 8] >> shift & ((1U << depth) - 1),
                                 i < count ? indices[i] : 0);
            }
            assert_int_equal(packed[size], 0xee);
            unpack_row(packed, count, depth, back);
            assert_memory_equal(back, indices, count);
        }
    }
}

TEST(the_largest_index_is_found_wherever_it_is)
{
    uint8_t indices[70] = {0};

    assert_int_equal(pack_max(indices, 0), 0);
    for (size_t count = 1; count <= sizeof(indices); count++) {
        for (size_t at = 0; at < count; at++) {
            memset(indices, 3, sizeof(indices));
            indices[at] = 200;
            assert_int_equal(pack_max(indices, count), 200);
            assert_int_equal(pack_max(indices, at), at ? 3 : 0);
        }
    }
}

RUN(T(packed_pixels_stand_first_in_the_high_bits), T(the_largest_index_is_found_wherever_it_is))
