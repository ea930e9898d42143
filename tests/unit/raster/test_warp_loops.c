#include "raster/warp_loops.h"

#include "base/attr.h"
#include "tl_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COUNT = 301 }; /* no multiple of any vector */

static const enum cpu_isa isas[] = {ISA_SCALAR, ISA_NEON, ISA_SSE2, ISA_AVX2, ISA_AVX512};

static unsigned seed = 1;

static double rough(double low, double high)
{
    seed = seed * 1103515245 + 12345;
    return low + (high - low) * (double)(seed >> 8) / (1 << 24);
}

TEST(a_line_is_its_parabola_bit_for_bit_on_every_processor)
{
    for (size_t k = 0; k < TL_COUNT(isas); k++) {
        const struct warp_loops *loops = warp_loops_for(isas[k]);

        for (int round = 0; loops && round < 50; round++) {
            struct parabola p = {rough(-1e5, 1e5), rough(-3, 3), rough(-1e-4, 1e-4)};
            double offset = round % 2 ? 0.5 : 0, to[COUNT];

            loops->line(&p, offset, COUNT, to);
            for (int i = 0; i < COUNT; i++) {
                double x = i + offset, want = p.c0 + x * (p.c1 + x * p.c2);
                assert_true(to[i] == want);
            }
        }
    }
}

TEST(pixels_hold_their_points_and_the_rest_is_outside_on_every_processor)
{
    static const double odd[] = {0,      -1e-10,      -1e-8,    99.999999999, 100,
                                 99.9,   (double)NAN, HUGE_VAL, 1e300,        -HUGE_VAL,
                                 -1e300, -0.5,        5,        4.9999999999};
    static const int32_t want[] = {0, 0, -1, 100, 100, 99, -1, 100, 100, -1, -1, -1, 5, 5};
    double at[COUNT];

    for (int i = 0; i < COUNT; i++)
        at[i] = i < (int)TL_COUNT(odd) ? odd[i] : rough(-20, 120);
    for (size_t k = 0; k < TL_COUNT(isas); k++) {
        const struct warp_loops *loops = warp_loops_for(isas[k]);
        int32_t to[COUNT];

        if (!loops)
            continue;
        loops->pixels(at, COUNT, 100, to);
        for (int i = 0; i < (int)TL_COUNT(odd); i++)
            assert_int_equal(to[i], want[i]);
        for (int i = TL_COUNT(odd); i < COUNT; i++) {
            double pixel = floor(at[i] + 1e-9);
            assert_int_equal(to[i], pixel < 0 ? -1 : pixel >= 100 ? 100 : (int32_t)pixel);
        }
    }
}

TEST(a_run_ends_where_the_block_ends_on_every_processor)
{
    const struct block_frame frame = {64, 128, 64, 32, 80};
    int32_t x[COUNT], y[COUNT];
    const int32_t *const at[2] = {x, y};

    for (size_t k = 0; k < TL_COUNT(isas); k++) {
        const struct warp_loops *loops = warp_loops_for(isas[k]);

        for (uint32_t end = 0; loops && end <= COUNT; end++) {
            static const int32_t beyond[][2] = {{63, 130}, {128, 130}, {70, 127},       {70, 160},
                                                {-1, 130}, {70, -1},   {INT32_MAX, 130}};

            for (int i = 0; i < COUNT; i++) {
                x[i] = 64 + i % 64;
                y[i] = 128 + i % 32;
            }
            if (end < COUNT) {
                x[end] = beyond[end % 7][0];
                y[end] = beyond[end % 7][1];
            }
            assert_int_equal(loops->run(at, COUNT, &frame), end);
        }
    }
}

TEST(offsets_count_rows_by_the_stride_on_every_processor)
{
    const struct block_frame frame = {64, 128, 64, 32, 80};
    int32_t x[COUNT], y[COUNT];
    const int32_t *const at[2] = {x, y};

    for (size_t k = 0; k < TL_COUNT(isas); k++) {
        const struct warp_loops *loops = warp_loops_for(isas[k]);
        uint32_t to[COUNT];

        for (int i = 0; i < COUNT; i++) {
            x[i] = 64 + i % 64;
            y[i] = 128 + i % 32;
        }
        if (!loops)
            continue;
        loops->offsets(at, COUNT, &frame, to);
        for (int i = 0; i < COUNT; i++)
            assert_int_equal(to[i], i % 32 * 80 + i % 64);
    }
}

TEST(there_is_always_a_build_and_it_is_one_this_processor_runs)
{
    const struct warp_loops *loops = warp_loops();

    assert_non_null(loops);
    assert_non_null(warp_loops_for(ISA_SCALAR));
    assert_true(loops == warp_loops_for(ISA_SCALAR) || loops == warp_loops_for(ISA_AVX2));
    if (cpu_isa() < ISA_AVX2)
        assert_null(warp_loops_for(ISA_AVX2));
}

RUN(T(a_line_is_its_parabola_bit_for_bit_on_every_processor),
    T(pixels_hold_their_points_and_the_rest_is_outside_on_every_processor),
    T(a_run_ends_where_the_block_ends_on_every_processor),
    T(offsets_count_rows_by_the_stride_on_every_processor),
    T(there_is_always_a_build_and_it_is_one_this_processor_runs))
