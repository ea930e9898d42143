#include "raster_fixture.h"

static struct fixture fixture;

/* Land cover in fields, with codes that have values between them: 10, 20, .. 80. */
static void write_classes(const char *options, bool cog, const char *overviews, char ret_path[128])
{
    char from[128];
    uint8_t row[1500];

    picture_write(&fixture,
                  &(struct picture){.width = 1500,
                                    .height = 1300,
                                    .bands = 1,
                                    .type = GDT_Byte,
                                    .options = "TILED=YES",
                                    .nodata = "0"},
                  from);
    GDALDatasetH dataset = GDALOpen(from, GA_Update);
    for (int y = 0; y < 1300; y++) {
        for (int x = 0; x < 1500; x++) {
            uint32_t field = picture_noise((uint32_t)(x / 9 + 1000 * (y / 7)));

            row[x] = (uint8_t)(x < 400 && y < 400 ? 0 : 10 + field % 8 * 10);
        }
        assert_int_equal(GDALRasterIO(GDALGetRasterBand(dataset, 1), GF_Write, 0, y, 1500, 1, row,
                                      1500, 1, GDT_Byte, 0, 0),
                         CE_None);
    }
    GDALClose(dataset);
    snprintf(ret_path, 128, "%s", from);
    if (cog)
        picture_to_cog(&fixture, from, options, ret_path);
    else
        picture_overviews(from, &(struct picture){.overviews = overviews});
}

static void check(const char *path, bool force_gdal, uint32_t tainted)
{
    struct raster_options options = {.classes = true, .force_gdal = force_gdal};
    struct block_source *source = NULL;
    struct tl_err err;

    assert_ok(raster_open(&fixture.env, path, &options, &fixture.errand, &source, &err));
    assert_int_equal(raster_info(source)->tainted_levels, tainted);
    for (int i = 0; i < source->pyramid->level_count; i++)
        assert_int_equal(source->pyramid->levels[i].usable, !(tainted >> i & 1));
    block_source_free(source);
}

TEST(the_cog_drivers_defaults_taint_a_class_raster)
{
    char path[128];

    write_classes("BLOCKSIZE=256 COMPRESS=DEFLATE", true, NULL, path); /* cubic */
    check(path, false, 1 << 1 | 1 << 2 | 1 << 3);
    check(path, true, 1 << 1 | 1 << 2 | 1 << 3);
}

TEST(averages_taint_a_class_raster)
{
    char path[128];

    write_classes(NULL, false, "AVERAGE", path);
    check(path, false, 1 << 1 | 1 << 2 | 1 << 3);
}

TEST(nearest_and_mode_do_not)
{
    char path[128];

    write_classes("BLOCKSIZE=256 COMPRESS=DEFLATE OVERVIEW_RESAMPLING=MODE", true, NULL, path);
    check(path, false, 0);
    check(path, true, 0);
    write_classes("BLOCKSIZE=256 COMPRESS=LZW OVERVIEW_RESAMPLING=NEAREST", true, NULL, path);
    check(path, false, 0);
    write_classes(NULL, false, "NEAREST", path);
    check(path, false, 0);
}

TEST(a_raster_that_is_not_of_classes_is_not_asked)
{
    char path[128];
    struct block_source *source = NULL;
    struct tl_err err;

    write_classes("BLOCKSIZE=256 COMPRESS=DEFLATE", true, NULL, path);
    assert_ok(raster_open(&fixture.env, path, NULL, &fixture.errand, &source, &err));
    assert_int_equal(raster_info(source)->tainted_levels, 0);
    assert_true(source->pyramid->levels[1].usable);
    block_source_free(source);
}

TEST(an_overview_that_was_never_filled_is_not_usable)
{
    char path[128];
    int factors[] = {2, 4};
    struct block_source *source = NULL;
    struct tl_err err;

    picture_write(&fixture,
                  &(struct picture){.width = 1000,
                                    .height = 900,
                                    .bands = 1,
                                    .type = GDT_Byte,
                                    .options = "TILED=YES COMPRESS=DEFLATE SPARSE_OK=TRUE"},
                  path);
    GDALDatasetH dataset = GDALOpen(path, GA_Update);
    CPLSetConfigOption("SPARSE_OK_OVERVIEW", "ON");
    assert_int_equal(GDALBuildOverviews(dataset, "NONE", 2, factors, 0, NULL, NULL, NULL), CE_None);
    GDALClose(dataset);
    CPLSetConfigOption("SPARSE_OK_OVERVIEW", NULL);
    assert_ok(raster_open(&fixture.env, path, NULL, &fixture.errand, &source, &err));
    assert_int_equal(source->pyramid->level_count, 3);
    assert_true(source->pyramid->levels[0].usable);
    assert_false(source->pyramid->levels[1].usable);
    assert_false(source->pyramid->levels[2].usable);
    block_source_free(source);
}

static int open_fixture(void **state)
{
    (void)state;
    fixture_open(&fixture, 32 << 20);
    return 0;
}

static int close_fixture(void **state)
{
    (void)state;
    fixture_close(&fixture);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_cog_drivers_defaults_taint_a_class_raster),
        T(averages_taint_a_class_raster),
        T(nearest_and_mode_do_not),
        T(a_raster_that_is_not_of_classes_is_not_asked),
        T(an_overview_that_was_never_filled_is_not_usable),
    };
    return cmocka_run_group_tests(tests, open_fixture, close_fixture);
}
