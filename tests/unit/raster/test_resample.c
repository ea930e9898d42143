/* The kernels on rasters small enough to check by hand. */
#include "raster/resample.h"

#include "test_warp_fixture.h"

#include <math.h>

static struct errand errand = {.deadline_ns = INT64_MAX};

static const double *table; /* of the source's samples, row by row */

static double from_table(const struct synth *synth, uint16_t band, uint32_t col, uint32_t row)
{
    (void)band;
    return table[row * synth->pyramid.levels[0].width + col];
}

static struct synth *raster_of(const double *samples, uint32_t width, uint32_t height,
                               enum dtype dtype)
{
    const struct synth_spec spec = {
        .crs = "EPSG:32736",
        .affine = {0, height, 1, 1},
        .width = width,
        .height = height,
        .block = 4,
        .dtype = dtype,
        .value = from_table,
        .has_nodata = true,
        .nodata = 0,
    };

    table = samples;
    return synth_new(&spec);
}

/* One pixel: the square from (x, y) of the source's pixels, `size` wide. -999: not valid. */
static double pixel_at(struct synth *synth, const double at[3], enum resampling resampling)
{
    AUTO(arena) arena = arena_new();
    const struct pyramid_level *level = &synth->pyramid.levels[0];
    struct planes planes;
    struct tl_err err;
    struct warp_request request = {
        .source = &synth->source,
        .target = {.crs = synth->pyramid.crs,
                   .affine = {at[0], level->height - at[1], at[2], at[2]},
                   .width = 1,
                   .height = 1},
        .resampling = resampling,
        .level = 0,
    };

    assert_ok(warp_read(&request, &errand, arena, &planes, &err));
    if (planes.empty)
        return -999;
    return dtype_get(planes.dtype, planes.samples, 0);
}

/* clang-format off */
static const double ramp[] = {
    1,  2,  3,  4,  5,  6,
    11, 12, 13, 14, 15, 16,
    21, 22, 23, 24, 25, 26,
    31, 32, 33, 34, 35, 36,
    41, 42, 43, 44, 45, 46,
    51, 52, 53, 54, 55, 56,
};
static const double holes[] = {
    1,  2,  3,
    4,  0,  6,
    7,  8,  9,
};
static const double classes[] = {
    7, 7, 3, 3,
    3, 0, 9, 3,
    0, 0, 5, 6,
    0, 0, 7, 8,
};
/* clang-format on */

TEST(nearest_takes_the_pixel_that_holds_the_centre)
{
    AUTO(synth) synth = raster_of(ramp, 6, 6, DTYPE_U8);

    assert_near(pixel_at(synth, (double[]){0, 0, 1}, RESAMPLE_NEAREST), 1, 0);
    assert_near(pixel_at(synth, (double[]){0.49, 0, 1}, RESAMPLE_NEAREST), 1, 0);
    assert_near(pixel_at(synth, (double[]){0.51, 0, 1}, RESAMPLE_NEAREST), 2, 0);
    assert_near(pixel_at(synth, (double[]){0.5, 0.5, 1}, RESAMPLE_NEAREST), 12, 0); /* a tie */
    assert_near(pixel_at(synth, (double[]){5.4, 5.4, 1}, RESAMPLE_NEAREST), 56, 0);
    assert_near(pixel_at(synth, (double[]){5.6, 5.4, 1}, RESAMPLE_NEAREST), -999, 0);
    assert_near(pixel_at(synth, (double[]){-0.6, 0, 1}, RESAMPLE_NEAREST), -999, 0);
}

TEST(bilinear_and_cubic_reproduce_a_plane)
{
    AUTO(synth) synth = raster_of(ramp, 6, 6, DTYPE_F32);
    static const enum resampling both[] = {RESAMPLE_BILINEAR, RESAMPLE_CUBIC};

    for (int r = 0; r < 2; r++) {
        for (double d = 0; d < 1; d += 0.125) {
            assert_near(pixel_at(synth, (double[]){2 + d, 2, 1}, both[r]), 23 + d, 1e-5);
            assert_near(pixel_at(synth, (double[]){2, 2 + d, 1}, both[r]), 23 + 10 * d, 1e-5);
        }
    }
}

TEST(cubic_is_catmull_rom)
{
    static const double step[] = {1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2,
                                  1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2, 1, 1, 1, 2, 2, 2};
    AUTO(synth) synth = raster_of(step, 6, 6, DTYPE_F32);

    /* Weights at t = 1/2 are -1/16, 9/16, 9/16, -1/16; at t = 1/4 the last two 0.2266, -0.0234. */
    assert_near(pixel_at(synth, (double[]){2.5, 2, 1}, RESAMPLE_CUBIC), 1.5, 1e-6);
    assert_near(pixel_at(synth, (double[]){2.25, 2, 1}, RESAMPLE_CUBIC), 1 + 0.203125, 1e-6);
    assert_near(pixel_at(synth, (double[]){1.5, 2, 1}, RESAMPLE_CUBIC), 1 - 0.0625, 1e-6);
}

TEST(kernels_renormalise_over_what_is_valid)
{
    AUTO(synth) synth = raster_of(holes, 3, 3, DTYPE_U8);

    /* Centre at (1, 0.75): pixels 1 and 2 above weigh 3/8 each, 4 below weighs 1/8, 0 nothing. */
    assert_near(pixel_at(synth, (double[]){0.5, 0.25, 1}, RESAMPLE_BILINEAR),
                (0.375 * 1 + 0.375 * 2 + 0.125 * 4) / 0.875, 1e-6);
    /* A cubic with a tap missing is bilinear. */
    assert_near(pixel_at(synth, (double[]){0.5, 0.25, 1}, RESAMPLE_CUBIC),
                (0.375 * 1 + 0.375 * 2 + 0.125 * 4) / 0.875, 1e-6);
    /* The pixel that holds the centre has no value, whatever is around it. */
    assert_near(pixel_at(synth, (double[]){0.8, 0.8, 1}, RESAMPLE_BILINEAR), -999, 0);
    assert_near(pixel_at(synth, (double[]){0.8, 0.8, 1}, RESAMPLE_CUBIC), -999, 0);
    /* At the corner of the raster three of four taps are outside. */
    assert_near(pixel_at(synth, (double[]){-0.25, -0.25, 1}, RESAMPLE_BILINEAR), 1, 1e-6);
}

TEST(a_coarser_target_stretches_the_kernel_so_that_no_pixel_is_skipped)
{
    AUTO(synth) synth = raster_of(ramp, 6, 6, DTYPE_F32);
    struct kernel_axis axis;

    /* Twice as coarse, centred on (3, 3): weights 1/8, 3/8, 3/8, 1/8 of columns 1 to 4. */
    assert_near(pixel_at(synth, (double[]){2, 2, 2}, RESAMPLE_BILINEAR), 28.5, 1e-5);
    axis = kernel_axis(RESAMPLE_BILINEAR, 1.0);
    assert_near(axis.stretch, 1, 0);
    assert_int_equal(axis.radius, 1);
    axis = kernel_axis(RESAMPLE_CUBIC, 1.05);
    assert_near(axis.stretch, 1, 0);
    assert_int_equal(axis.radius, 2);
    axis = kernel_axis(RESAMPLE_CUBIC, 1.5);
    assert_near(axis.stretch, 1.5, 0);
    assert_int_equal(axis.radius, 3);
    axis = kernel_axis(RESAMPLE_BILINEAR, 1.96);
    assert_near(axis.stretch, 2, 0);
    assert_int_equal(axis.radius, 2);
    axis = kernel_axis(RESAMPLE_BILINEAR, 0.1);
    assert_near(axis.stretch, 1, 0);
}

TEST(average_weighs_a_pixel_by_the_part_that_is_covered)
{
    AUTO(synth) synth = raster_of(ramp, 6, 6, DTYPE_U16);

    assert_near(pixel_at(synth, (double[]){0, 0, 2}, RESAMPLE_AVERAGE), 6.5, 1e-6);
    /* From 0.5 to 2.5 in x: half of column 0, all of 1, half of 2. */
    assert_near(pixel_at(synth, (double[]){0.5, 0, 2}, RESAMPLE_AVERAGE), 7, 1e-6);
    assert_near(pixel_at(synth, (double[]){0, 0, 6}, RESAMPLE_AVERAGE), 28.5, 1e-5);
    /* Inside one pixel it is that pixel, over the edge it is what is inside. */
    assert_near(pixel_at(synth, (double[]){3.25, 1.25, 0.5}, RESAMPLE_AVERAGE), 14, 1e-6);
    assert_near(pixel_at(synth, (double[]){-5, -5, 6}, RESAMPLE_AVERAGE), 1, 1e-6);
    assert_near(pixel_at(synth, (double[]){-6, -6, 6}, RESAMPLE_AVERAGE), -999, 0);
}

TEST(average_leaves_out_what_is_not_valid)
{
    AUTO(synth) synth = raster_of(holes, 3, 3, DTYPE_U8);

    assert_near(pixel_at(synth, (double[]){0, 0, 3}, RESAMPLE_AVERAGE), 5, 1e-6);
    assert_near(pixel_at(synth, (double[]){0, 0, 2}, RESAMPLE_AVERAGE), 7.0 / 3, 1e-6);
    assert_near(pixel_at(synth, (double[]){1.2, 1.2, 0.5}, RESAMPLE_AVERAGE), -999, 0);
}

TEST(mode_takes_the_most_frequent_value_and_of_equals_the_first_to_get_there)
{
    static const enum dtype types[] = {DTYPE_U8,  DTYPE_I8,  DTYPE_U16, DTYPE_I16,
                                       DTYPE_U32, DTYPE_I32, DTYPE_F32, DTYPE_F64};

    for (size_t i = 0; i < TL_COUNT(types); i++) {
        AUTO(synth) synth = raster_of(classes, 4, 4, types[i]);

        assert_near(pixel_at(synth, (double[]){0, 0, 2}, RESAMPLE_MODE), 7, 0);
        assert_near(pixel_at(synth, (double[]){2, 0, 2}, RESAMPLE_MODE), 3, 0);
        /* Four 3 against three 7; nodata does not vote. */
        assert_near(pixel_at(synth, (double[]){0, 0, 4}, RESAMPLE_MODE), 3, 0);
        /* 5, 6, 7, 8 once each. */
        assert_near(pixel_at(synth, (double[]){2, 2, 2}, RESAMPLE_MODE), 5, 0);
        assert_near(pixel_at(synth, (double[]){0, 2, 2}, RESAMPLE_MODE), -999, 0);
    }
}

static double all_different(const struct synth *synth, uint16_t band, uint32_t col, uint32_t row)
{
    return synth_index(synth, band, col, row) + 1;
}

TEST(mode_of_measurements_is_refused_before_it_costs)
{
    const struct synth_spec spec = {.crs = "EPSG:32736",
                                    .affine = {0, 300, 1, 1},
                                    .width = 300,
                                    .height = 300,
                                    .block = 128,
                                    .dtype = DTYPE_F32,
                                    .value = all_different};
    AUTO(synth) synth = synth_new(&spec);
    AUTO(arena) arena = arena_new();
    struct planes planes;
    struct tl_err err;
    struct warp_request request = {
        .source = &synth->source,
        .target = {synth->pyramid.crs, {0, 300, 300, 300}, 1, 1},
        .resampling = RESAMPLE_MODE,
        .level = 0,
    };

    assert_refused(warp_read(&request, &errand, arena, &planes, &err), TL_LIMIT, "65536");
    request.target.affine.dx = request.target.affine.dy = 200; /* 40 000 values are few enough */
    assert_ok(warp_read(&request, &errand, arena, &planes, &err));
    assert_near(dtype_get(planes.dtype, planes.samples, 0), 1, 0);
}

/* A column that every strip of the target below holds. */
enum { NOISE_PX = 300, MASKED_COL = 12, TARGET_PX = 61 };

static bool is_masked(uint32_t col, uint32_t row)
{
    (void)row;
    return col == MASKED_COL;
}

static struct planes read_noise(struct synth *synth, enum resampling resampling, double scale,
                                struct arena *arena)
{
    struct planes planes;
    struct tl_err err;
    const struct warp_request request = {
        .source = &synth->source,
        .target = {.crs = synth->pyramid.crs,
                   .affine = {10.3, NOISE_PX - 17.6, scale, scale},
                   .width = TARGET_PX,
                   .height = TARGET_PX},
        .resampling = resampling,
        .level = 0,
    };

    assert_ok(warp_read(&request, &errand, arena, &planes, &err));
    assert_false(planes.empty);
    return planes;
}

static bool is_valid(const struct planes *planes, size_t i)
{
    return !planes->valid || planes->valid[i % (TARGET_PX * TARGET_PX)];
}

/* Strips without a hole are summed along x first, others point by point. */
static void assert_alike_beyond_mask(enum resampling resampling, double scale, const double *shift)
{
    const struct synth_spec spec = {.crs = "EPSG:32736",
                                    .affine = {0, NOISE_PX, 1, 1},
                                    .width = NOISE_PX,
                                    .height = NOISE_PX,
                                    .block = 64,
                                    .dtype = DTYPE_F32,
                                    .bands = 2,
                                    .value = synth_noise};
    AUTO(synth) whole = synth_new(&spec);
    AUTO(synth) holed = synth_new(&spec);
    AUTO(arena) arena = arena_new();
    size_t compared = 0;

    whole->pyramid.levels[0].affine.x -= shift[0];
    whole->pyramid.levels[0].affine.y += shift[1];
    holed->pyramid.levels[0].affine = whole->pyramid.levels[0].affine;
    holed->masked = is_masked;
    struct planes a = read_noise(whole, resampling, scale, arena);
    struct planes b = read_noise(holed, resampling, scale, arena);
    for (size_t i = 0; i < 2 * TARGET_PX * TARGET_PX; i++) {
        double col = 10.3 + shift[0] + ((double)(i % TARGET_PX) + 0.5) * scale;

        if (col - 2 * fmax(scale, 1) - 1 <= MASKED_COL + 1)
            continue;
        assert_memory_equal((const float *)a.samples + i, (const float *)b.samples + i,
                            sizeof(float));
        assert_int_equal(is_valid(&a, i), is_valid(&b, i));
        compared++;
    }
    assert_true(compared > TARGET_PX * TARGET_PX / 4);
}

TEST(a_hole_changes_no_bit_of_what_lies_far_from_it)
{
    static const double scales[] = {0.27, 0.96, 1, 1.3, 2, 3.7};
    static const double shifts[][2] = {{0, 0}, {0.25, 0.5}};

    for (size_t i = 0; i < TL_COUNT(scales); i++)
        for (size_t k = 0; k < TL_COUNT(shifts); k++) {
            assert_alike_beyond_mask(RESAMPLE_BILINEAR, scales[i], shifts[k]);
            assert_alike_beyond_mask(RESAMPLE_CUBIC, scales[i], shifts[k]);
        }
}

RUN(T(nearest_takes_the_pixel_that_holds_the_centre), T(bilinear_and_cubic_reproduce_a_plane),
    T(cubic_is_catmull_rom), T(kernels_renormalise_over_what_is_valid),
    T(a_coarser_target_stretches_the_kernel_so_that_no_pixel_is_skipped),
    T(average_weighs_a_pixel_by_the_part_that_is_covered), T(average_leaves_out_what_is_not_valid),
    T(mode_takes_the_most_frequent_value_and_of_equals_the_first_to_get_there),
    T(mode_of_measurements_is_refused_before_it_costs),
    T(a_hole_changes_no_bit_of_what_lies_far_from_it))
