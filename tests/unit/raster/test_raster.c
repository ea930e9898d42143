#include "raster_fixture.h"

#include "geo/crs.h"
#include "raster/cog.h"

#include <sys/stat.h>

#define DATA TILTH_ROOT "/../shared/data"

static struct block_source *open_as(const char *path, const struct raster_options *options)
{
    struct block_source *source = NULL;
    struct tl_err err;

    assert_ok(raster_open(&fixture.env, path, options, &fixture.errand, &source, &err));
    return source;
}

static void refused(const char *path, enum tl_code code, const char *words)
{
    struct block_source *source = NULL;
    struct tl_err err;

    assert_refused(raster_open(&fixture.env, path, NULL, &fixture.errand, &source, &err), code,
                   words);
}

/* The file is read by GDAL, for this reason. */
static void is_for_gdal(const char *path, const char *reason)
{
    struct block_source *source = open_as(path, NULL);
    const struct raster_info *info = raster_info(source);

    assert_string_equal(info->reader, "gdal");
    if (!strstr(info->reason, reason))
        fail_msg("the reason is \"%s\", not \"%s\"", info->reason, reason);
    block_source_free(source);
}

/* ..and reads as GDAL does. */
static void falls_back(const char *path, const char *reason)
{
    is_for_gdal(path, reason);
    compare_file(&fixture, path, "gdal");
}

TEST(strips_big_endian_and_odd_samples_fall_back_with_a_reason)
{
    static const struct {
        const char *options, *reason;
        GDALDataType type;
    } kinds[] = {
        {"COMPRESS=DEFLATE", "stored in strips", GDT_Byte},
        {"TILED=YES ENDIANNESS=BIG", "big-endian", GDT_UInt16},
        {"TILED=YES NBITS=4", "its samples are not", GDT_Byte},
        {"TILED=YES NBITS=16", "its samples are not", GDT_Float32},
        {"TILED=YES BLOCKXSIZE=32 BLOCKYSIZE=32", "64 to 4096", GDT_Byte},
        {"TILED=YES COMPRESS=LZMA", "its compression", GDT_Byte},
        {"TILED=YES PHOTOMETRIC=MINISWHITE", "photometric", GDT_Byte},
    };

    for (size_t i = 0; i < TL_COUNT(kinds); i++) {
        char path[128];

        picture_write(&fixture,
                      &(struct picture){.width = 700,
                                        .height = 600,
                                        .bands = 1,
                                        .type = kinds[i].type,
                                        .options = kinds[i].options,
                                        .overviews = "NEAREST"},
                      path);
        falls_back(path, kinds[i].reason);
        unlink(path);
    }
}

TEST(masks_and_many_bands_read_through_gdal_too)
{
    char path[128];

    picture_write(&fixture,
                  &(struct picture){
                      .width = 600, .height = 530, .bands = 3, .type = GDT_UInt16, .mask = true},
                  path);
    compare_file(&fixture, path, "gdal");
    picture_write(&fixture,
                  &(struct picture){
                      .width = 600, .height = 100, .bands = 40, .type = GDT_Int16, .nodata = "-1"},
                  path);
    compare_file(&fixture, path, "gdal");
    picture_write(&fixture,
                  &(struct picture){.width = 600,
                                    .height = 100,
                                    .bands = 4,
                                    .alpha = true,
                                    .type = GDT_Byte,
                                    .options = "TILED=YES INTERLEAVE=BAND PHOTOMETRIC=RGB"},
                  path);
    falls_back(path, "alpha band in a plane of its own");
}

/* Changes one thing about a finished file. */
static GDALDatasetH reopen(const char *path)
{
    GDALDatasetH dataset = GDALOpen(path, GA_Update);

    assert_non_null(dataset);
    return dataset;
}

static void write_plain(const char *options, char path[128])
{
    picture_write(&fixture,
                  &(struct picture){.width = 300,
                                    .height = 200,
                                    .bands = 2,
                                    .type = GDT_Int16,
                                    .options = options,
                                    .nodata = "-999"},
                  path);
}

TEST(rotated_and_unplaced_grids_are_refused_and_told_what_to_do)
{
    char path[128];
    double rotated[6] = {500000, 10, 1, 4600000, 1, -10};

    write_plain("TILED=YES", path);
    GDALDatasetH dataset = reopen(path);
    GDALSetGeoTransform(dataset, rotated);
    GDALClose(dataset);
    refused(path, TL_UNSUPPORTED, "gdalwarp");

    GDALDatasetH bare = GDALCreate(GDALGetDriverByName("GTiff"), path, 300, 300, 1, GDT_Byte, NULL);
    GDALClose(bare);
    refused(path, TL_UNSUPPORTED, "no georeference");
}

TEST(a_raster_without_a_coordinate_system_is_refused_and_told_what_to_do)
{
    char path[128];
    double gt[6] = {0, 1, 0, 0, 0, -1};
    char **options = CSLSetNameValue(NULL, "TILED", "YES");

    snprintf(path, sizeof(path), "%s/bare.tif", fixture.dir);
    GDALDatasetH bare =
        GDALCreate(GDALGetDriverByName("GTiff"), path, 300, 300, 1, GDT_Byte, options);
    GDALSetGeoTransform(bare, gt);
    GDALClose(bare);
    CSLDestroy(options);
    refused(path, TL_UNSUPPORTED, "gdal_edit.py -a_srs");
}

TEST(pixel_is_point_is_moved_by_half_a_pixel)
{
    char path[128];

    write_plain("TILED=YES", path);
    GDALDatasetH dataset = reopen(path);
    GDALSetMetadataItem(dataset, "AREA_OR_POINT", "Point", NULL);
    GDALClose(dataset);

    struct block_source *ours = open_as(path, NULL);
    struct block_source *gdals = open_as(path, &(struct raster_options){.force_gdal = true});
    assert_string_equal(raster_info(ours)->reader, "tilth");
    assert_string_equal(raster_info(gdals)->reader, "gdal");
    assert_memory_equal(&ours->pyramid->levels[0].affine, &gdals->pyramid->levels[0].affine,
                        sizeof(struct affine));
    assert_false(hash128_equal(ours->fingerprint, gdals->fingerprint));
    block_source_free(ours);
    block_source_free(gdals);
}

TEST(a_coordinate_system_without_a_code_is_asked_of_gdal_once)
{
    char path[128];
    OGRSpatialReferenceH srs = OSRNewSpatialReference(NULL);

    write_plain("TILED=YES", path);
    assert_int_equal(OSRImportFromProj4(srs, "+proj=laea +lat_0=5 +lon_0=20 +datum=WGS84"),
                     OGRERR_NONE);
    GDALDatasetH dataset = reopen(path);
    GDALSetSpatialRef(dataset, srs);
    GDALClose(dataset);
    OSRDestroySpatialReference(srs);

    struct block_source *source = open_as(path, NULL);
    assert_string_equal(raster_info(source)->reader, "tilth");
    assert_int_equal(crs_epsg(source->pyramid->crs), 0);
    assert_non_null(strstr(crs_name(source->pyramid->crs), "Lambert Azimuthal Equal Area"));
    block_source_free(source);
}

TEST(scales_offsets_and_names_are_told)
{
    char path[128];

    write_plain("TILED=YES COMPRESS=ZSTD", path);
    GDALDatasetH dataset = reopen(path);
    GDALSetRasterScale(GDALGetRasterBand(dataset, 2), 0.0001);
    GDALSetRasterOffset(GDALGetRasterBand(dataset, 2), -0.1);
    GDALSetDescription(GDALGetRasterBand(dataset, 1), "a < b");
    GDALClose(dataset);

    for (int gdal = 0; gdal < 2; gdal++) {
        struct block_source *source = open_as(path, &(struct raster_options){.force_gdal = gdal});
        const struct raster_info *info = raster_info(source);

        assert_near(info->scale[0], 1, 0);
        assert_near(info->scale[1], 0.0001, 0);
        assert_near(info->offset[1], -0.1, 0);
        assert_string_equal(info->band_names[0], "a < b");
        assert_null(info->band_names[1]);
        assert_string_equal(info->href, path);
        if (!gdal)
            assert_string_equal(info->compression, "zstd");
        assert_true(source->pyramid->has_nodata);
        assert_near(source->pyramid->nodata, -999, 0);
        assert_int_equal(crs_epsg(source->pyramid->crs), 32631);
        block_source_free(source);
    }
}

TEST(palettes_are_the_same_by_both_readers)
{
    char path[128];

    picture_write(&fixture,
                  &(struct picture){.width = 100,
                                    .height = 100,
                                    .bands = 1,
                                    .type = GDT_Byte,
                                    .palette = true,
                                    .nodata = "3",
                                    .options = "TILED=YES"},
                  path);
    struct block_source *ours = open_as(path, NULL);
    struct block_source *gdals = open_as(path, &(struct raster_options){.force_gdal = true});
    assert_true(raster_info(ours)->has_palette);
    assert_memory_equal(raster_info(ours)->palette, raster_info(gdals)->palette, 4 * 256);
    assert_int_equal(raster_info(ours)->palette[3][3], 0);
    block_source_free(ours);
    block_source_free(gdals);
}

TEST(nodata_that_no_sample_can_be_is_no_nodata)
{
    static const struct {
        const char *nodata;
        GDALDataType type;
        bool has;
        double value;
    } kinds[] = {
        {"-9999", GDT_Byte, false, 0},
        {"255", GDT_Byte, true, 255},
        {"0.5", GDT_Int16, false, 0},
        {"nan", GDT_Float32, true, (double)NAN},
        {"-32768", GDT_Int16, true, -32768},
        {"-3.4028234663852886e+38", GDT_Float32, true, -3.4028234663852886e+38},
        {"0.1", GDT_Float32, true, (double)0.1f},
        {"0.1", GDT_Float64, true, 0.1},
    };

    for (size_t i = 0; i < TL_COUNT(kinds); i++) {
        for (int gdal = 0; gdal < 2; gdal++) {
            char path[128];

            picture_write(&fixture,
                          &(struct picture){.width = 100,
                                            .height = 100,
                                            .bands = 1,
                                            .type = kinds[i].type,
                                            .nodata = kinds[i].nodata,
                                            .options = "TILED=YES"},
                          path);
            struct block_source *source =
                open_as(path, &(struct raster_options){.force_gdal = gdal});
            assert_int_equal(source->pyramid->has_nodata, kinds[i].has);
            if (kinds[i].has)
                assert_true(same_number(source->pyramid->nodata, kinds[i].value));
            block_source_free(source);
        }
    }
}

TEST(complex_and_64_bit_whole_numbers_are_refused)
{
    static const GDALDataType types[] = {GDT_CFloat32, GDT_Int64};

    for (size_t i = 0; i < TL_COUNT(types); i++) {
        char path[128];

        picture_write(
            &fixture,
            &(struct picture){
                .width = 100, .height = 100, .bands = 1, .type = types[i], .options = "TILED=YES"},
            path);
        refused(path, TL_UNSUPPORTED, "gdal_translate -ot");
    }
}

TEST(what_is_no_raster_is_refused)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/words.txt", fixture.dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("<VRTDataset rasterXSize=\"1\" rasterYSize=\"1\"></VRTDataset>", file);
    fclose(file);
    refused(path, TL_UNSUPPORTED, "GDAL");
    refused("/nowhere/at/all.tif", TL_ABSENT, "/nowhere/at/all.tif");
}

TEST(a_replaced_file_is_noticed)
{
    char path[128];
    struct tl_err err;

    write_plain("TILED=YES", path);
    struct block_source *source = open_as(path, NULL);
    assert_ok(raster_revalidate(source, &fixture.errand, &err));
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    fputc(0, file);
    fclose(file);
    assert_int_equal(raster_revalidate(source, &fixture.errand, &err), TL_CHANGED);
    block_source_free(source);
}

/*
 * 36 bands of float64 in blocks of 512: 75 MB where a block holds all of them. GDAL then gives
 * them one band at a time, and decodes the block for each: slow, so those samples are not compared.
 */
static void write_deep(const char *options, char path[128])
{
    picture_write(
        &fixture,
        &(struct picture){
            .width = 600, .height = 40, .bands = 36, .type = GDT_Float64, .options = options},
        path);
}

TEST(blocks_too_large_for_the_fast_path_go_to_gdal_with_advice)
{
    static const char tiled[] = "TILED=YES BLOCKXSIZE=512 BLOCKYSIZE=512 COMPRESS=DEFLATE";
    char options[128], path[128];

    snprintf(options, sizeof(options), "%s INTERLEAVE=PIXEL", tiled);
    write_deep(options, path);
    is_for_gdal(path, "INTERLEAVE=BAND");
    unlink(path);
    snprintf(options, sizeof(options), "%s INTERLEAVE=BAND", tiled);
    write_deep(options, path);
    compare_file(&fixture, path, "tilth");
    unlink(path);
}

TEST(blocks_that_nobody_should_decode_are_refused_with_advice)
{
    char path[128];

    picture_write(&fixture,
                  &(struct picture){.width = 20,
                                    .height = 20,
                                    .bands = 40,
                                    .type = GDT_Byte,
                                    .options = "TILED=YES BLOCKXSIZE=4096 BLOCKYSIZE=4096 "
                                               "INTERLEAVE=PIXEL COMPRESS=DEFLATE SPARSE_OK=TRUE"},
                  path);
    refused(path, TL_LIMIT, "INTERLEAVE=BAND");
    unlink(path);
}

/* Cuts a file's end off at `part` of its size. */
static long cut(const char *path, double part)
{
    struct stat info;

    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(truncate(path, (off_t)((double)info.st_size * part)), 0);
    return (long)((double)info.st_size * part);
}

TEST(an_index_that_points_past_the_end_is_told)
{
    static const struct {
        const char *options;
        int bands;
        bool mask;
    } kinds[] = {{"INTERLEAVE=PIXEL", 3, false},
                 {"INTERLEAVE=BAND", 3, false},
                 {"INTERLEAVE=PIXEL", 1, true}};

    for (size_t i = 0; i < TL_COUNT(kinds); i++) {
        char from[128], path[128], words[100];
        struct tl_err err;

        picture_write(&fixture,
                      &(struct picture){.width = 700,
                                        .height = 600,
                                        .bands = kinds[i].bands,
                                        .type = GDT_Byte,
                                        .mask = kinds[i].mask,
                                        .options = "TILED=YES"},
                      from);
        snprintf(path, sizeof(path), "%s", from);
        if (strcmp(kinds[i].options, "INTERLEAVE=PIXEL") == 0)
            picture_to_cog(&fixture, from, "BLOCKSIZE=128 COMPRESS=DEFLATE", path);
        struct block_source *source = open_as(path, NULL);
        assert_true(cog_is(source));
        assert_ok(cog_check_index(source, &err));
        block_source_free(source);

        snprintf(words, sizeof(words), "of %ld,", cut(path, 0.7));
        source = open_as(path, NULL);
        assert_refused(cog_check_index(source, &err), TL_CORRUPT, words);
        assert_non_null(strstr(err.msg, "of level 0 ends at byte"));
        assert_non_null(strstr(err.msg, "truncated: "));
        block_source_free(source);
    }
}

static void needs(const char *path)
{
    if (access(path, R_OK) != 0)
        skip();
}

TEST(worldcover_takes_the_fast_path_with_one_request)
{
    const char *path = DATA "/worldcover/ESA_WorldCover_10m_2021_v200_N00E006_Map.tif";
    struct block_request request = {.col = 17, .row = 17, .x1 = 1024, .y1 = 1024};
    struct block *block;
    struct tl_err err;

    needs(path);
    fixture.errand = errand_unbounded();
    struct block_source *source = open_as(path, &(struct raster_options){.classes = true});
    const struct raster_info *info = raster_info(source);
    assert_string_equal(info->reader, "tilth");
    assert_string_equal(info->compression, "deflate");
    assert_true(info->ghost_area);
    assert_true(info->has_palette);
    assert_int_equal(info->tainted_levels, 0);
    assert_true(info->header_bytes <= OBJECT_HEAD_BYTES);
    assert_int_equal(source->pyramid->level_count, 7);
    assert_int_equal(source->pyramid->levels[0].width, 36000);
    assert_near(source->pyramid->levels[0].affine.dx, 3.0 / 36000, 1e-15);
    assert_near(source->pyramid->nodata, 0, 0);
    assert_int_equal(crs_epsg(source->pyramid->crs), 4326);

    GDALDatasetH oracle = GDALOpen(path, GA_ReadOnly);
    for (uint8_t level = 2; level < 7; level++)
        compare_level(&fixture, source, level, oracle);
    assert_ok(source->read(source, &request, 1, &fixture.errand, &block, &err));
    compare_block(source, block, &request, oracle);
    block_unref(block);
    GDALClose(oracle);
    block_source_free(source);
}

TEST(the_calendars_take_the_fast_path)
{
    const char *path = DATA "/calendars/sc_sos_3x3_v2_cog.tiff";

    needs(path);
    compare_file(&fixture, path, "tilth");
}

TEST(striped_products_read_through_gdal)
{
    const char *maize = DATA "/worldcereal/maize_classification_31TCJ.tif";

    needs(maize);
    falls_back(maize, "stored in strips");
    compare_file(&fixture, DATA "/sentinel2/ftw_two_date_8band.tif", "gdal");
}

RUN_IN_FIXTURE(64 << 20, T(strips_big_endian_and_odd_samples_fall_back_with_a_reason),
               T(masks_and_many_bands_read_through_gdal_too),
               T(rotated_and_unplaced_grids_are_refused_and_told_what_to_do),
               T(a_raster_without_a_coordinate_system_is_refused_and_told_what_to_do),
               T(pixel_is_point_is_moved_by_half_a_pixel),
               T(a_coordinate_system_without_a_code_is_asked_of_gdal_once),
               T(scales_offsets_and_names_are_told), T(palettes_are_the_same_by_both_readers),
               T(nodata_that_no_sample_can_be_is_no_nodata),
               T(complex_and_64_bit_whole_numbers_are_refused), T(what_is_no_raster_is_refused),
               T(a_replaced_file_is_noticed),
               T(blocks_too_large_for_the_fast_path_go_to_gdal_with_advice),
               T(blocks_that_nobody_should_decode_are_refused_with_advice),
               T(an_index_that_points_past_the_end_is_told),
               T(worldcover_takes_the_fast_path_with_one_request),
               T(the_calendars_take_the_fast_path), T(striped_products_read_through_gdal))
