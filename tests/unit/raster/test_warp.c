#include "raster/warp.h"

#include "test_warp_fixture.h"

#include <math.h>

#define HALF 20037508.342789244

static struct errand errand = {.deadline_ns = INT64_MAX};

/* 400 x 300 pixels of 10 m in UTM 36S, blocks of 64. */
static const struct synth_spec utm = {
    .crs = "EPSG:32736",
    .affine = {300000, 8030000, 10, 10},
    .width = 400,
    .height = 300,
    .block = 64,
    .dtype = DTYPE_U32,
};

static struct planes read_ok(struct synth *synth, struct grid target, enum resampling resampling,
                             struct arena *arena)
{
    struct tl_err err;
    struct planes planes = {0};
    struct warp_request request = {
        .source = &synth->source,
        .target = target,
        .resampling = resampling,
        .level = -1,
    };

    assert_ok(warp_read(&request, &errand, arena, &planes, &err));
    return planes;
}

/* --- names ------------------------------------------------------------------------------ */

TEST(resamplings_have_names_and_two_of_them_keep_values)
{
    struct tl_err err;

    for (int i = 0; i < RESAMPLE_COUNT; i++) {
        enum resampling found;

        assert_ok(resampling_find(resampling_name(i), &found, &err));
        assert_int_equal(found, i);
        assert_int_equal(resampling_keeps_values(i), i == RESAMPLE_NEAREST || i == RESAMPLE_MODE);
    }
    enum resampling found = RESAMPLE_MODE;
    assert_refused(resampling_find("lanczos", &found, &err), TL_INVALID, "lanczos");
    assert_int_equal(found, RESAMPLE_MODE);
}

/* --- the same grid ---------------------------------------------------------------------- */

TEST(a_raster_on_its_own_grid_is_itself)
{
    static const enum resampling all[] = {RESAMPLE_NEAREST, RESAMPLE_BILINEAR, RESAMPLE_CUBIC,
                                          RESAMPLE_AVERAGE, RESAMPLE_MODE};

    for (size_t r = 0; r < TL_COUNT(all); r++) {
        AUTO(synth) synth = synth_new(&utm);
        AUTO(arena) arena = arena_new();
        struct planes p = read_ok(synth, own_grid(synth), all[r], arena);

        assert_false(p.empty);
        assert_null(p.valid);
        assert_int_equal(p.dtype, resampling_keeps_values(all[r]) ? DTYPE_U32 : DTYPE_F32);
        for (uint32_t i = 0; i < 400 * 300; i++)
            assert_near(dtype_get(p.dtype, p.samples, i), (double)i, 0);
        assert_int_equal(synth->reads, 1);
        assert_int_equal(synth->requests, 7 * 5);
        if (all[r] == RESAMPLE_NEAREST)
            assert_int_equal(synth->asked_px, 400 * 300);
    }
}

TEST(an_aligned_window_takes_whole_pixels_though_its_origin_is_a_rounded_number)
{
    AUTO(synth) synth = synth_new(&utm);
    AUTO(arena) arena = arena_new();
    struct grid grid = own_grid(synth);

    grid.affine.x += 37 * 10 + 3e-7; /* less than a millionth of a pixel */
    grid.affine.y -= 21 * 10;
    grid.width = grid.height = 100;
    struct planes p = read_ok(synth, grid, RESAMPLE_BILINEAR, arena);
    for (uint32_t y = 0; y < 100; y++) {
        for (uint32_t x = 0; x < 100; x++)
            assert_near(dtype_get(p.dtype, p.samples, y * 100 + x), (y + 21) * 400 + x + 37, 0);
    }
}

TEST(only_the_touched_part_of_a_block_is_asked_for)
{
    AUTO(synth) synth = synth_new(&utm);
    AUTO(arena) arena = arena_new();
    struct grid grid = own_grid(synth);

    grid.affine.x += 60 * 10;
    grid.affine.y -= 10 * 10;
    grid.width = 10; /* columns 60 to 69: the last four of block 0, the first six of block 1 */
    grid.height = 5;
    struct planes p = read_ok(synth, grid, RESAMPLE_NEAREST, arena);
    assert_int_equal(synth->requests, 2);
    assert_int_equal(synth->asked_px, 50);
    assert_int_equal(synth->last.col, 1);
    assert_int_equal(synth->last.x0, 0);
    assert_int_equal(synth->last.x1, 6);
    assert_int_equal(synth->last.y0, 10);
    assert_int_equal(synth->last.y1, 15);
    assert_near(dtype_get(p.dtype, p.samples, 0), 10 * 400 + 60, 0);
}

TEST(pixels_beyond_the_raster_are_not_valid)
{
    static const enum resampling all[] = {RESAMPLE_NEAREST, RESAMPLE_BILINEAR, RESAMPLE_CUBIC,
                                          RESAMPLE_AVERAGE, RESAMPLE_MODE};

    for (size_t r = 0; r < TL_COUNT(all); r++) {
        AUTO(synth) synth = synth_new(&utm);
        AUTO(arena) arena = arena_new();
        struct grid grid = own_grid(synth);

        grid.affine.x -= 50; /* five columns to the left */
        grid.affine.y += 30; /* three rows above */
        grid.width = 420;    /* fifteen to the right */
        grid.height = 310;   /* seven below */
        struct planes p = read_ok(synth, grid, all[r], arena);
        assert_non_null(p.valid);
        for (uint32_t y = 0; y < 310; y++) {
            for (uint32_t x = 0; x < 420; x++) {
                size_t i = y * 420 + x;
                bool inside = x >= 5 && x < 405 && y >= 3 && y < 303;

                assert_int_equal(p.valid[i], inside);
                if (inside)
                    assert_near(dtype_get(p.dtype, p.samples, i), (y - 3) * 400.0 + x - 5, 0);
            }
        }
    }
}

TEST(a_target_that_misses_the_raster_is_empty_and_reads_nothing)
{
    AUTO(synth) synth = synth_new(&utm);
    AUTO(crs) mercator = NULL;
    struct tl_err err;
    AUTO(arena) arena = arena_new();

    assert_ok(crs_new("EPSG:3857", &mercator, &err));
    struct grid grid = own_grid(synth);
    grid.affine.x += 1e6;
    struct planes p = read_ok(synth, grid, RESAMPLE_NEAREST, arena);
    assert_true(p.empty);
    assert_null(p.samples);
    assert_int_equal(p.width, 400);
    assert_int_equal(p.bands, 1);
    /* And on the other side of the world, where UTM has no image. */
    for (uint32_t i = 0; i < 64; i++) {
        struct tile_id id = {.z = 3, .x = i % 8, .y = i / 8};
        struct bbox b = tms_tile_bounds(&tms_web_mercator_quad, id);
        bool home = b.xmin < 3.5e6 && b.xmax > 3.4e6 && b.ymin < -1.9e6 && b.ymax > -2.1e6;

        p = read_ok(synth, tile_grid(mercator, id, 256), RESAMPLE_NEAREST, arena);
        if (!home)
            assert_true(p.empty);
    }
    assert_true(synth->reads <= 1);
}

static bool block_is_even(uint32_t col, uint32_t row)
{
    return (col + row) % 2 == 0;
}

static bool block_is_any(uint32_t col, uint32_t row)
{
    (void)col, (void)row;
    return true;
}

TEST(empty_blocks_are_holes_and_only_empty_blocks_are_an_empty_target)
{
    AUTO(synth) synth = synth_new(&utm);
    AUTO(arena) arena = arena_new();

    synth->is_empty = block_is_even;
    synth->inexact = true;
    struct planes p = read_ok(synth, own_grid(synth), RESAMPLE_NEAREST, arena);
    assert_true(p.inexact);
    for (uint32_t i = 0; i < 400 * 300; i++)
        assert_int_equal(p.valid[i], ((i % 400) / 64 + (i / 400) / 64) % 2);
    synth->is_empty = block_is_any;
    p = read_ok(synth, own_grid(synth), RESAMPLE_NEAREST, arena);
    assert_true(p.empty);
    assert_true(p.inexact);
}

/* --- nodata and masks ------------------------------------------------------------------- */

static double sevens(const struct synth *synth, uint16_t band, uint32_t col, uint32_t row)
{
    (void)synth, (void)band;
    return (col + row) % 7;
}

TEST(nodata_hides_a_pixel_in_every_type)
{
    for (int dtype = 0; dtype < DTYPE_COUNT; dtype++) {
        struct synth_spec spec = utm;

        spec.dtype = (enum dtype)dtype;
        spec.value = sevens;
        spec.has_nodata = true;
        spec.nodata = 3;
        AUTO(synth) synth = synth_new(&spec);
        AUTO(arena) arena = arena_new();
        struct planes p = read_ok(synth, own_grid(synth), RESAMPLE_NEAREST, arena);
        for (uint32_t i = 0; i < 400 * 300; i++) {
            assert_int_equal(p.valid[i], (i % 400 + i / 400) % 7 != 3);
            assert_near(dtype_get(p.dtype, p.samples, i), (i % 400 + i / 400) % 7, 0);
        }
    }
}

TEST(a_nodata_value_that_the_type_cannot_hold_hides_nothing)
{
    static const double values[] = {-9999, 3.5, 1e300, (double)NAN, HUGE_VAL};

    for (size_t v = 0; v < TL_COUNT(values); v++) {
        struct synth_spec spec = utm;

        spec.dtype = DTYPE_U8;
        spec.value = sevens;
        spec.has_nodata = true;
        spec.nodata = values[v];
        AUTO(synth) synth = synth_new(&spec);
        AUTO(arena) arena = arena_new();
        assert_null(read_ok(synth, own_grid(synth), RESAMPLE_NEAREST, arena).valid);
    }
}

static double some_nan(const struct synth *synth, uint16_t band, uint32_t col, uint32_t row)
{
    return col % 5 == 0 ? (double)NAN : synth_index(synth, band, col, row);
}

TEST(a_nan_is_never_valid_whatever_nodata_says)
{
    static const double nodata[] = {(double)NAN, -9999};
    static const enum dtype types[] = {DTYPE_F32, DTYPE_F64};

    for (int i = 0; i < 6; i++) {
        struct synth_spec spec = utm;

        spec.dtype = types[i % 2];
        spec.value = some_nan;
        spec.has_nodata = i < 4;
        spec.nodata = nodata[i / 2 % 2];
        AUTO(synth) synth = synth_new(&spec);
        AUTO(arena) arena = arena_new();
        struct planes p = read_ok(synth, own_grid(synth), RESAMPLE_NEAREST, arena);
        for (uint32_t k = 0; k < 400 * 300; k++)
            assert_int_equal(p.valid[k], k % 5 != 0);
        p = read_ok(synth, own_grid(synth), RESAMPLE_AVERAGE, arena);
        for (uint32_t k = 0; k < 400 * 300; k++) {
            assert_int_equal(p.valid[k], k % 5 != 0);
            assert_true(isfinite(((float *)p.samples)[k]));
        }
    }
}

static bool ring(uint32_t col, uint32_t row)
{
    return col < 10 || row < 10 || col >= 390 || row >= 290;
}

TEST(a_mask_hides_what_it_covers_in_all_bands)
{
    struct synth_spec spec = utm;

    spec.bands = 3;
    AUTO(synth) synth = synth_new(&spec);
    AUTO(arena) arena = arena_new();
    synth->masked = ring;
    struct planes p = read_ok(synth, own_grid(synth), RESAMPLE_NEAREST, arena);
    for (uint32_t i = 0; i < 400 * 300; i++) {
        assert_int_equal(p.valid[i], !ring(i % 400, i / 400));
        for (uint32_t k = 0; k < 3 && p.valid[i]; k++)
            assert_near(dtype_get(p.dtype, p.samples, k * 120000 + i), i + k, 0);
    }
    p = read_ok(synth, own_grid(synth), RESAMPLE_MODE, arena);
    for (uint32_t i = 0; i < 400 * 300; i++)
        assert_int_equal(p.valid[i], !ring(i % 400, i / 400));
}

TEST(bands_come_in_the_order_asked_for_from_chunky_and_planar_blocks)
{
    static const uint16_t wanted[] = {3, 0, 3};

    for (int planar = 0; planar < 2; planar++) {
        struct synth_spec spec = utm;

        spec.bands = 4;
        spec.planar = planar;
        AUTO(synth) synth = synth_new(&spec);
        AUTO(arena) arena = arena_new();
        struct warp_request request = {.source = &synth->source,
                                       .target = own_grid(synth),
                                       .bands = wanted,
                                       .band_count = 3,
                                       .level = 0};
        struct planes p;
        struct tl_err err;
        for (int r = 0; r < RESAMPLE_COUNT; r++) {
            request.resampling = (enum resampling)r;
            assert_ok(warp_read(&request, &errand, arena, &p, &err));
            assert_int_equal(p.bands, 3);
            for (uint32_t i = 0; i < 120000; i += 77) {
                for (uint32_t k = 0; k < 3; k++)
                    assert_near(dtype_get(p.dtype, p.samples, k * 120000 + i), i + wanted[k], 0);
            }
        }
    }
}

TEST(a_pixel_with_nodata_in_one_band_is_not_valid_in_any)
{
    struct synth_spec spec = utm;

    spec.bands = 2;
    spec.planar = true;
    spec.has_nodata = true;
    spec.nodata = 5000; /* pixel 5000 of band 0, 4999 of band 1 */
    AUTO(synth) synth = synth_new(&spec);
    AUTO(arena) arena = arena_new();
    struct planes p = read_ok(synth, own_grid(synth), RESAMPLE_NEAREST, arena);
    for (uint32_t i = 0; i < 120000; i++)
        assert_int_equal(p.valid[i], i != 5000 && i != 4999);
}

/* --- levels ----------------------------------------------------------------------------- */

static uint8_t level_of(struct synth *synth, double pixel_m)
{
    struct tl_err err;
    uint8_t level = 99;
    struct grid grid = own_grid(synth);

    grid.affine.dx = grid.affine.dy = pixel_m;
    grid.width = grid.height = 10;
    assert_ok(warp_level(&synth->source, &grid, &level, &err));
    return level;
}

TEST(the_level_is_the_coarsest_that_is_not_coarser_than_the_target)
{
    AUTO(synth) synth = synth_new(&utm);

    for (int i = 0; i < 4; i++)
        synth_overview(synth, true); /* 20, 40, 80, 160 m */
    assert_int_equal(level_of(synth, 1), 0);
    assert_int_equal(level_of(synth, 10), 0);
    assert_int_equal(level_of(synth, 19.7), 0);
    assert_int_equal(level_of(synth, 19.9), 1); /* within 1 % of 20 */
    assert_int_equal(level_of(synth, 39), 1);
    assert_int_equal(level_of(synth, 41), 2);
    assert_int_equal(level_of(synth, 1e6), 4);
}

TEST(levels_that_are_not_usable_are_passed_over)
{
    AUTO(synth) synth = synth_new(&utm);

    synth_overview(synth, false); /* 20 */
    synth_overview(synth, true);  /* 40 */
    synth_overview(synth, false); /* 80 */
    assert_int_equal(level_of(synth, 30), 0);
    assert_int_equal(level_of(synth, 40), 2);
    assert_int_equal(level_of(synth, 500), 2);
    synth->pyramid.levels[0].usable = false;
    assert_int_equal(level_of(synth, 5), 2);
    synth->pyramid.levels[2].usable = false;
    struct tl_err err;
    struct grid grid = own_grid(synth);
    uint8_t level = 7;
    assert_refused(warp_level(&synth->source, &grid, &level, &err), TL_UNSUPPORTED, "no level");
    assert_int_equal(level, 7);
}

TEST(an_overview_is_read_on_its_own_grid)
{
    AUTO(synth) synth = synth_new(&utm);
    AUTO(arena) arena = arena_new();
    struct grid grid = own_grid(synth);

    synth_overview(synth, true);
    grid.affine.dx = grid.affine.dy = 20;
    grid.width = 200;
    grid.height = 150;
    struct planes p = read_ok(synth, grid, RESAMPLE_NEAREST, arena);
    assert_int_equal(synth->last.level, 1);
    for (uint32_t i = 0; i < 200 * 150; i++)
        assert_near(dtype_get(p.dtype, p.samples, i), (i / 200) * 400.0 + i % 200, 0);
}

/* --- limits ----------------------------------------------------------------------------- */

static void assert_read_refused(struct warp_request *request, enum tl_code code, const char *text)
{
    AUTO(arena) arena = arena_new();
    struct tl_err err = {{0}};
    struct planes p;

    assert_refused(warp_read(request, &errand, arena, &p, &err), code, text);
}

TEST(bad_requests_are_refused_with_the_limit_they_break)
{
    AUTO(synth) synth = synth_new(&utm);
    const uint16_t fifth = 4;
    struct warp_request good = {.source = &synth->source, .target = own_grid(synth), .level = -1};
    struct warp_request bad = good;

    bad.target.width = 0;
    assert_read_refused(&bad, TL_INVALID, "0 x 300");
    bad.target.width = 4097;
    assert_read_refused(&bad, TL_LIMIT, "4096 x 4096");
    bad = good;
    bad.target.affine.dx = 0;
    assert_read_refused(&bad, TL_INVALID, "no grid");
    bad.target.affine.dx = (double)NAN;
    assert_read_refused(&bad, TL_INVALID, "no grid");
    bad = good;
    bad.bands = &fifth;
    bad.band_count = 1;
    assert_read_refused(&bad, TL_INVALID, "band 5 of a raster of 1");
    bad.band_count = 0;
    assert_read_refused(&bad, TL_INVALID, "no band");
    bad = good;
    bad.level = 1;
    assert_read_refused(&bad, TL_INVALID, "level 1");
    assert_int_equal(synth->reads, 0);
}

TEST(a_raster_without_overviews_is_refused_where_it_would_be_read_whole)
{
    struct synth_spec spec = utm;
    struct tl_err err;
    AUTO(crs) mercator = NULL;

    assert_ok(crs_new("EPSG:3857", &mercator, &err));
    spec.width = spec.height = 36000;
    spec.block = 1024;
    AUTO(synth) synth = synth_new(&spec);
    struct warp_request request = {
        .source = &synth->source,
        .target = tile_grid(mercator, tms_tile_at(&tms_web_mercator_quad, 3.6e6, -2.1e6, 4), 256),
        .level = -1,
    };
    assert_read_refused(&request, TL_LIMIT, "add overviews");
    for (int i = 0; i < 6; i++)
        synth_overview(synth, true);
    AUTO(arena) arena = arena_new();
    struct planes p;
    assert_ok(warp_read(&request, &errand, arena, &p, &err));
    assert_int_equal(synth->last.level, 6);
    assert_false(p.empty);
}

TEST(a_cancelled_or_late_errand_reads_nothing)
{
    AUTO(synth) synth = synth_new(&utm);
    AUTO(arena) arena = arena_new();
    atomic_bool cancelled = true;
    struct errand nobody = {.deadline_ns = INT64_MAX, .cancelled = &cancelled};
    struct errand late = {.deadline_ns = 1};
    struct warp_request request = {.source = &synth->source, .target = own_grid(synth)};
    struct planes p;
    struct tl_err err;

    assert_refused(warp_read(&request, &nobody, arena, &p, &err), TL_CANCELLED, "nobody");
    assert_refused(warp_read(&request, &late, arena, &p, &err), TL_TIMEOUT, "deadline");
    assert_int_equal(synth->reads, 0);
}

static enum tl_code failing_read(struct block_source *source, const struct block_request *requests,
                                 size_t count, struct errand *on, struct block **ret_blocks,
                                 struct tl_err *err)
{
    (void)source, (void)requests, (void)count, (void)on, (void)ret_blocks;
    return tl_fail(err, TL_UPSTREAM, "the store is down");
}

TEST(a_source_that_fails_fails_the_warp_and_leaves_the_result_alone)
{
    AUTO(synth) synth = synth_new(&utm);
    AUTO(arena) arena = arena_new();
    struct warp_request request = {.source = &synth->source, .target = own_grid(synth)};
    struct planes p = {.width = 77};
    struct tl_err err;

    synth->source.read = failing_read;
    assert_refused(warp_read(&request, &errand, arena, &p, &err), TL_UPSTREAM, "the store is down");
    assert_int_equal(p.width, 77);
}

TEST(the_time_of_a_warp_is_booked)
{
    AUTO(synth) synth = synth_new(&utm);
    AUTO(arena) arena = arena_new();
    struct errand mine = errand_unbounded();
    struct warp_request request = {.source = &synth->source, .target = own_grid(synth)};
    struct planes p;
    struct tl_err err;

    assert_ok(warp_read(&request, &mine, arena, &p, &err));
    assert_true(mine.spent_ns[STAGE_WARP] > 0);
}

/* --- worlds ----------------------------------------------------------------------------- */

/* One degree per pixel; the value is the longitude's whole part + 1000. */
static double longitude(const struct synth *synth, uint16_t band, uint32_t col, uint32_t row)
{
    (void)band, (void)row;
    double lon = floor(synth->pyramid.levels[0].affine.x) + col;
    return lon + 1000 - (lon >= 180 ? 360 : 0);
}

static void assert_longitudes(double west, uint32_t width, enum resampling resampling)
{
    const struct synth_spec spec = {.crs = "EPSG:4326",
                                    .affine = {west, 90, 1, 1},
                                    .width = width,
                                    .height = 180,
                                    .block = 128,
                                    .dtype = DTYPE_I16,
                                    .value = longitude};
    AUTO(synth) synth = synth_new(&spec);
    AUTO(arena) arena = arena_new();
    AUTO(crs) mercator = NULL;
    struct tl_err err;

    assert_ok(crs_new("EPSG:3857", &mercator, &err));
    for (uint32_t x = 0; x < 8; x++) {
        struct tile_id id = {.z = 3, .x = x, .y = 3};
        struct planes p = read_ok(synth, tile_grid(mercator, id, 256), resampling, arena);

        for (uint32_t i = 0; i < 256 * 256 && !p.empty; i++) {
            double lon = x * 45.0 - 180 + (i % 256 + 0.5) * 45 / 256;
            double offset = lon < west ? lon + 360 - west : lon - west;
            bool inside = offset < width;

            if (p.valid)
                assert_int_equal(p.valid[i], inside);
            else
                assert_true(inside);
            /* Mode sees the pixels on both sides of an edge and takes the left one. */
            double left = resampling == RESAMPLE_MODE ? lon - 22.5 / 256 + 1e-9 : lon;
            if (inside)
                assert_near(dtype_get(p.dtype, p.samples, i), floor(left) + 1000, 0);
        }
    }
}

TEST(a_world_may_begin_at_greenwich_or_cross_the_antimeridian)
{
    assert_longitudes(-180, 360, RESAMPLE_NEAREST);
    assert_longitudes(0, 360, RESAMPLE_NEAREST);
    assert_longitudes(170, 20, RESAMPLE_NEAREST);
    assert_longitudes(-180, 360, RESAMPLE_MODE);
    assert_longitudes(0, 360, RESAMPLE_MODE);
}

TEST(an_area_across_the_seam_of_a_world_does_not_cover_the_world)
{
    const struct synth_spec spec = {.crs = "EPSG:4326",
                                    .affine = {0, 90, 1, 1},
                                    .width = 360,
                                    .height = 180,
                                    .block = 128,
                                    .dtype = DTYPE_I16,
                                    .value = longitude};
    AUTO(synth) synth = synth_new(&spec);
    AUTO(arena) arena = arena_new();
    AUTO(crs) mercator = NULL;
    struct tl_err err;

    assert_ok(crs_new("EPSG:3857", &mercator, &err));
    struct planes p =
        read_ok(synth, tile_grid(mercator, (struct tile_id){0}, 256), RESAMPLE_AVERAGE, arena);
    for (uint32_t i = 128 * 256; i < 129 * 256; i++) {
        double lon = (i % 256 + 0.5) * 360 / 256 - 180;
        if (fabs(lon) > 2)
            assert_near(dtype_get(DTYPE_F32, p.samples, i), 1000 + lon - 0.5, 1);
    }
}

/* --- anything --------------------------------------------------------------------------- */

static double seven(const struct synth *synth, uint16_t band, uint32_t col, uint32_t row)
{
    (void)synth, (void)band, (void)col, (void)row;
    return 7;
}

static double between(unsigned *seed, double low, double high)
{
    *seed = *seed * 1103515245 + 12345;
    return low + (high - low) * (double)(*seed >> 8) / (1 << 24);
}

/* A raster somewhere, and a tile of some zoom near it or anywhere. */
static void warp_at_random(unsigned *seed, const struct crs *mercator, size_t *ret_valid)
{
    static const char *const codes[] = {"EPSG:4326",  "EPSG:3857", "EPSG:6933", "EPSG:32736",
                                        "EPSG:32601", "EPSG:3413", "EPSG:3035", "EPSG:4222"};
    const char *code = codes[(int)between(seed, 0, 8)];
    bool degrees = strcmp(code, "EPSG:4326") == 0 || strcmp(code, "EPSG:4222") == 0;
    double pixel = exp(between(seed, 0, 9)) * (degrees ? 1e-5 : 1);
    const struct synth_spec spec = {
        .crs = code,
        .affine = {between(seed, -1, 1) * (degrees ? 200 : 6e6),
                   between(seed, -1, 1) * (degrees ? 95 : 9e6), pixel,
                   pixel * between(seed, 0.3, 3)},
        .width = (uint32_t)between(seed, 1, 900),
        .height = (uint32_t)between(seed, 1, 900),
        .block = 16U << (int)between(seed, 0, 5),
        .dtype = (enum dtype)between(seed, 0, DTYPE_COUNT),
        .value = seven,
        .has_nodata = true, /* of no sample, and of no garbage */
        .nodata = 0,
    };
    AUTO(synth) synth = synth_new(&spec);
    AUTO(arena) arena = arena_new();
    struct crs_map *map;
    struct tl_err err;
    double x = affine_x(spec.affine, between(seed, -0.2, 1.2) * spec.width);
    double y = affine_y(spec.affine, between(seed, -0.2, 1.2) * spec.height);

    assert_ok(crs_map_get(synth->pyramid.crs, mercator, &map, &err));
    crs_map_points(map, &x, &y, 1);
    struct tile_id id = tms_tile_at(&tms_web_mercator_quad, x, y, (uint8_t)between(seed, 0, 19));
    struct grid grid = tile_grid(mercator, id, (uint32_t)between(seed, 1, 300));
    struct planes p =
        read_ok(synth, grid, (enum resampling)between(seed, 0, RESAMPLE_COUNT), arena);
    for (uint32_t i = 0; !p.empty && i < p.width * p.height; i++) {
        if (p.valid && !p.valid[i])
            continue;
        assert_near(dtype_get(p.dtype, p.samples, i), 7, 1e-4);
        ++*ret_valid;
    }
}

/* Sevens everywhere, and garbage where nothing was asked for: the result is sevens. */
TEST(no_warp_looks_at_a_sample_that_it_did_not_ask_for)
{
    AUTO(crs) mercator = NULL;
    struct tl_err err;
    unsigned seed = 20240229;
    size_t valid = 0;

    assert_ok(crs_new("EPSG:3857", &mercator, &err));
    for (int i = 0; i < 600; i++)
        warp_at_random(&seed, mercator, &valid);
    assert_true(valid > 100000);
}

RUN(T(resamplings_have_names_and_two_of_them_keep_values), T(a_raster_on_its_own_grid_is_itself),
    T(an_aligned_window_takes_whole_pixels_though_its_origin_is_a_rounded_number),
    T(only_the_touched_part_of_a_block_is_asked_for), T(pixels_beyond_the_raster_are_not_valid),
    T(a_target_that_misses_the_raster_is_empty_and_reads_nothing),
    T(empty_blocks_are_holes_and_only_empty_blocks_are_an_empty_target),
    T(nodata_hides_a_pixel_in_every_type),
    T(a_nodata_value_that_the_type_cannot_hold_hides_nothing),
    T(a_nan_is_never_valid_whatever_nodata_says), T(a_mask_hides_what_it_covers_in_all_bands),
    T(bands_come_in_the_order_asked_for_from_chunky_and_planar_blocks),
    T(a_pixel_with_nodata_in_one_band_is_not_valid_in_any),
    T(the_level_is_the_coarsest_that_is_not_coarser_than_the_target),
    T(levels_that_are_not_usable_are_passed_over), T(an_overview_is_read_on_its_own_grid),
    T(bad_requests_are_refused_with_the_limit_they_break),
    T(a_raster_without_overviews_is_refused_where_it_would_be_read_whole),
    T(a_cancelled_or_late_errand_reads_nothing),
    T(a_source_that_fails_fails_the_warp_and_leaves_the_result_alone),
    T(the_time_of_a_warp_is_booked), T(a_world_may_begin_at_greenwich_or_cross_the_antimeridian),
    T(an_area_across_the_seam_of_a_world_does_not_cover_the_world),
    T(no_warp_looks_at_a_sample_that_it_did_not_ask_for))
