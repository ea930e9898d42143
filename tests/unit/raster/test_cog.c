#include "raster_fixture.h"

static void check(const struct picture *picture)
{
    char path[128];

    picture_write(&fixture, picture, path);
    compare_file(&fixture, path, "tilth");
    unlink(path);
}

static const int block_sizes[] = {64, 128, 256, 512, 1024};
static const char *const compressions[] = {"NONE", "DEFLATE", "ZSTD", "LZW", "PACKBITS", "LERC"};
static const GDALDataType types[] = {
    GDT_Byte,  GDT_Byte /* signed */, GDT_UInt16, GDT_Int16, GDT_UInt32,
    GDT_Int32, GDT_Float32,           GDT_Float64};

static bool predicts(const char *compression)
{
    return strcmp(compression, "DEFLATE") == 0 || strcmp(compression, "ZSTD") == 0 ||
           strcmp(compression, "LZW") == 0;
}

TEST(every_compression_predictor_and_type_reads_as_gdal_does)
{
    unsigned turn = 0;

    for (size_t c = 0; c < TL_COUNT(compressions); c++) {
        for (size_t t = 0; t < TL_COUNT(types); t++) {
            for (int predictor = 1; predictor <= 3; predictor++, turn++) {
                bool is_float = types[t] == GDT_Float32 || types[t] == GDT_Float64;
                char options[200];
                int block = block_sizes[turn % 3];

                if ((predictor > 1 && !predicts(compressions[c])) || (predictor == 3 && !is_float))
                    continue;
                snprintf(options, sizeof(options),
                         "TILED=YES PHOTOMETRIC=MINISBLACK COMPRESS=%s PREDICTOR=%d BLOCKXSIZE=%d "
                         "BLOCKYSIZE=%d "
                         "INTERLEAVE=%s BIGTIFF=%s",
                         compressions[c], predictor, block, block, turn % 2 ? "BAND" : "PIXEL",
                         turn % 5 < 2 ? "YES" : "NO");
                check(&(struct picture){.width = 150 + (int)(turn * 37 % 140),
                                        .height = 131 + (int)(turn * 53 % 150),
                                        .bands = 1 + (int)(turn % 4),
                                        .type = types[t],
                                        .signed_byte = t == 1,
                                        .options = options,
                                        .overviews = turn % 3 ? "AVERAGE" : NULL});
            }
        }
    }
}

TEST(every_block_size_and_layout_reads_as_gdal_does)
{
    for (unsigned turn = 0; turn < 40; turn++) {
        int across = block_sizes[turn % 5], down = block_sizes[turn * 3 % 5];
        char options[200];

        snprintf(options, sizeof(options),
                 "TILED=YES PHOTOMETRIC=MINISBLACK COMPRESS=%s PREDICTOR=%d BLOCKXSIZE=%d "
                 "BLOCKYSIZE=%d INTERLEAVE=%s "
                 "BIGTIFF=%s",
                 turn % 2 ? "DEFLATE" : "ZSTD", 1 + (int)(turn / 2 % 2), across, down,
                 turn / 4 % 2 ? "BAND" : "PIXEL", turn % 3 ? "NO" : "YES");
        check(&(struct picture){.width = across + (int)(turn * 31 % 77),
                                .height = down + (int)(turn * 17 % 99),
                                .bands = 1 + (int)(turn % 5),
                                .type = turn % 2 ? GDT_UInt16 : GDT_Byte,
                                .options = options,
                                .overviews = "NEAREST"});
    }
}

TEST(masks_alpha_nodata_and_palettes_read_as_gdal_does)
{
    static const char *const kinds[] = {"COMPRESS=DEFLATE", "COMPRESS=LZW PREDICTOR=2",
                                        "COMPRESS=ZSTD", "COMPRESS=NONE"};

    for (unsigned turn = 0; turn < 64; turn++) {
        bool alpha = turn / 4 % 4 == 1, palette = turn / 4 % 4 == 3;
        char options[200];

        snprintf(options, sizeof(options),
                 "TILED=YES BLOCKXSIZE=128 BLOCKYSIZE=128 %s SPARSE_OK=%s %s", kinds[turn % 4],
                 turn / 16 % 2 ? "TRUE" : "FALSE",
                 alpha       ? "INTERLEAVE=PIXEL PHOTOMETRIC=RGB"
                 : turn / 32 ? "INTERLEAVE=PIXEL"
                             : "INTERLEAVE=BAND");
        check(&(struct picture){.width = 333,
                                .height = 290,
                                .bands = alpha     ? 4
                                         : palette ? 1
                                                   : 3,
                                .type = palette ? GDT_Byte : types[turn % 3 ? 0 : 2],
                                .options = options,
                                .mask = turn / 4 % 4 == 0,
                                .alpha = alpha,
                                .nodata = turn / 4 % 4 == 2 ? "7" : NULL,
                                .palette = palette,
                                .holes = true,
                                .overviews = "NEAREST"});
    }
}

TEST(jpeg_blocks_read_as_gdal_does)
{
    static const char *const kinds[] = {"PHOTOMETRIC=YCBCR", "PHOTOMETRIC=RGB",
                                        "PHOTOMETRIC=MINISBLACK"};

    for (unsigned turn = 0; turn < 12; turn++) {
        char options[200];
        int bands = turn % 3 == 2 ? 1 + (int)(turn / 3 % 4) : 3;

        snprintf(options, sizeof(options),
                 "TILED=YES COMPRESS=JPEG BLOCKXSIZE=%d BLOCKYSIZE=256 %s INTERLEAVE=%s",
                 block_sizes[1 + turn % 3], kinds[turn % 3],
                 turn % 3 == 2 && turn / 6 ? "BAND" : "PIXEL");
        check(&(struct picture){.width = 400,
                                .height = 301,
                                .bands = bands,
                                .type = GDT_Byte,
                                .options = options,
                                .mask = turn / 3 % 2,
                                .overviews = "AVERAGE"});
    }
}

TEST(webp_blocks_read_as_gdal_does)
{
    for (int bands = 3; bands <= 4; bands++) {
        check(&(struct picture){
            .width = 400,
            .height = 301,
            .bands = bands,
            .alpha = bands == 4,
            .type = GDT_Byte,
            .options = "TILED=YES COMPRESS=WEBP WEBP_LEVEL=60 BLOCKXSIZE=256 BLOCKYSIZE=256",
            .overviews = "AVERAGE"});
    }
}

TEST(lerc_with_a_second_compression_reads_as_gdal_does)
{
    static const char *const kinds[] = {"LERC_DEFLATE", "LERC_ZSTD"};

    for (size_t i = 0; i < TL_COUNT(kinds); i++) {
        char options[200];

        snprintf(options, sizeof(options),
                 "TILED=YES COMPRESS=%s BLOCKXSIZE=256 BLOCKYSIZE=128 MAX_Z_ERROR=0.01", kinds[i]);
        check(&(struct picture){.width = 300,
                                .height = 301,
                                .bands = 2,
                                .type = GDT_Float32,
                                .options = options,
                                .nodata = "-99",
                                .holes = true,
                                .overviews = "AVERAGE"});
    }
}

TEST(files_of_the_cog_driver_read_as_gdal_does)
{
    static const char *const kinds[] = {
        "BLOCKSIZE=128 COMPRESS=DEFLATE OVERVIEW_RESAMPLING=AVERAGE",
        "BLOCKSIZE=128 COMPRESS=LZW PREDICTOR=YES OVERVIEW_RESAMPLING=NEAREST",
        "BLOCKSIZE=128 COMPRESS=ZSTD BIGTIFF=YES OVERVIEW_RESAMPLING=BILINEAR",
        "BLOCKSIZE=128 COMPRESS=JPEG QUALITY=80",
        "BLOCKSIZE=128 COMPRESS=WEBP",
        "BLOCKSIZE=128 COMPRESS=NONE SPARSE_OK=TRUE OVERVIEW_RESAMPLING=NEAREST"};

    for (unsigned turn = 0; turn < 2 * TL_COUNT(kinds); turn++) {
        char from[128], cog[128];
        struct tl_err err;
        struct block_source *source = NULL;

        picture_write(&fixture,
                      &(struct picture){.width = 700,
                                        .height = 513,
                                        .bands = 3,
                                        .type = GDT_Byte,
                                        .options = "TILED=YES",
                                        .mask = turn >= TL_COUNT(kinds),
                                        .holes = true},
                      from);
        picture_to_cog(&fixture, from, kinds[turn % TL_COUNT(kinds)], cog);
        compare_file(&fixture, cog, "tilth");
        assert_ok(raster_open(&fixture.env, cog, NULL, &fixture.errand, &source, &err));
        assert_true(raster_info(source)->ghost_area);
        assert_int_equal(raster_info(source)->has_mask, turn >= TL_COUNT(kinds));
        block_source_free(source);
        unlink(from);
        unlink(cog);
    }
}

TEST(a_block_without_one_valid_pixel_is_empty)
{
    char path[128];

    picture_write(&fixture,
                  &(struct picture){.width = 512,
                                    .height = 512,
                                    .bands = 2,
                                    .type = GDT_Int16,
                                    .options = "TILED=YES COMPRESS=DEFLATE BLOCKXSIZE=128 "
                                               "BLOCKYSIZE=128 INTERLEAVE=PIXEL",
                                    .nodata = "-999",
                                    .holes = true},
                  path);
    assert_int_equal(compare_file(&fixture, path, "tilth"), 4);
    unlink(path);
}

/* GDAL would say that nodata is there and valid: here a pixel needs both to be shown. */
TEST(a_sparse_block_is_nodata_also_where_a_mask_calls_it_valid)
{
    const struct block_request sparse = {.x1 = 128, .y1 = 128}, whole = {.col = 3, .row = 3};
    struct block_source *source = NULL;
    struct block *block;
    struct tl_err err;
    char path[128];

    picture_write(&fixture,
                  &(struct picture){.width = 512,
                                    .height = 512,
                                    .bands = 1,
                                    .type = GDT_Byte,
                                    .options = "TILED=YES COMPRESS=DEFLATE BLOCKXSIZE=128 "
                                               "BLOCKYSIZE=128 SPARSE_OK=TRUE",
                                    .nodata = "7",
                                    .mask = true,
                                    .holes = true},
                  path);
    assert_ok(raster_open(&fixture.env, path, NULL, &fixture.errand, &source, &err));
    assert_ok(source->read(source, &sparse, 1, &fixture.errand, &block, &err));
    assert_true(block->empty);
    block_unref(block);
    assert_ok(source->read(source, &whole, 1, &fixture.errand, &block, &err));
    assert_false(block->empty);
    assert_non_null(block->mask);
    block_unref(block);
    block_source_free(source);
    unlink(path);
}

RUN_IN_FIXTURE(32 << 20, T(every_compression_predictor_and_type_reads_as_gdal_does),
               T(every_block_size_and_layout_reads_as_gdal_does),
               T(masks_alpha_nodata_and_palettes_read_as_gdal_does),
               T(jpeg_blocks_read_as_gdal_does), T(webp_blocks_read_as_gdal_does),
               T(lerc_with_a_second_compression_reads_as_gdal_does),
               T(files_of_the_cog_driver_read_as_gdal_does),
               T(a_block_without_one_valid_pixel_is_empty),
               T(a_sparse_block_is_nodata_also_where_a_mask_calls_it_valid))
