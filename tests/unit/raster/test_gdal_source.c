#include "raster/gdal_source.h"

#include "raster_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

static void write_strips(const char *options, char path[128])
{
    picture_write(&fixture,
                  &(struct picture){.width = 1700,
                                    .height = 1100,
                                    .bands = 2,
                                    .type = GDT_Int16,
                                    .options = options,
                                    .nodata = "-5",
                                    .holes = true},
                  path);
}

static struct block_source *open_path(const char *path)
{
    struct block_source *source = NULL;
    struct tl_err err;

    assert_ok(raster_open(&fixture.env, path, NULL, &fixture.errand, &source, &err));
    assert_string_equal(raster_info(source)->reader, "gdal");
    return source;
}

TEST(virtual_blocks_are_cut_at_the_edges_and_empty_ones_are_seen)
{
    char path[128];

    write_strips("COMPRESS=LZW", path);
    /* The holes cover block 0,0 of 4 x 3 wholly. */
    assert_int_equal(compare_file(&fixture, path, "gdal"), 1);
}

TEST(a_picture_that_starts_in_the_south_is_turned)
{
    char path[128];
    double gt[6] = {500000, 10, 0, 4600000, 0, 10};
    struct block_request requests[] = {{.x1 = 512, .y1 = 512}, {.row = 2, .x1 = 512, .y1 = 512}};
    struct block *blocks[2];
    int16_t row[512];
    struct tl_err err;

    write_strips("COMPRESS=LZW", path);
    GDALDatasetH dataset = GDALOpen(path, GA_Update);
    GDALSetGeoTransform(dataset, gt);
    GDALClose(dataset);
    struct block_source *source = open_path(path);
    assert_near(source->pyramid->levels[0].affine.y, 4600000 + 1100 * 10, 0);
    assert_near(source->pyramid->levels[0].affine.dy, 10, 0);
    assert_ok(source->read(source, requests, 2, &fixture.errand, blocks, &err));

    dataset = GDALOpen(path, GA_ReadOnly);
    for (uint32_t y = 0; y < 1100; y++) {
        const struct block *block = y < 512 ? blocks[0] : blocks[1];

        if (y >= 512 && y < 1024)
            continue;
        assert_int_equal(GDALRasterIO(GDALGetRasterBand(dataset, 1), GF_Read, 0, (int)(1099 - y),
                                      512, 1, row, 512, 1, GDT_Int16, 0, 0),
                         CE_None);
        if (!block->empty)
            assert_memory_equal((const int16_t *)block->samples + (size_t)(y % 512) * 512, row,
                                sizeof(row));
    }
    GDALClose(dataset);
    assert_true(blocks[0]->samples || blocks[1]->samples);
    block_unref(blocks[0]);
    block_unref(blocks[1]);
    block_source_free(source);
}

TEST(other_formats_of_one_file_are_read)
{
    static const struct {
        const char *driver, *extension;
    } formats[] = {{"HFA", "img"}, {"JP2OpenJPEG", "jp2"}};
    char from[128], path[128];

    picture_write(&fixture,
                  &(struct picture){.width = 700, .height = 600, .bands = 1, .type = GDT_Byte},
                  from);
    for (size_t i = 0; i < TL_COUNT(formats); i++) {
        GDALDriverH driver = GDALGetDriverByName(formats[i].driver);
        GDALDatasetH source = GDALOpen(from, GA_ReadOnly);
        struct tl_err err;
        struct block_source *opened = NULL;

        if (!driver) {
            GDALClose(source);
            continue;
        }
        snprintf(path, sizeof(path), "%s/other.%s", fixture.dir, formats[i].extension);
        GDALClose(GDALCreateCopy(driver, path, source, FALSE, NULL, NULL, NULL));
        GDALClose(source);
        assert_ok(raster_open(&fixture.env, path, NULL, &fixture.errand, &opened, &err));
        assert_non_null(strstr(raster_info(opened)->reason, "TIFF"));
        GDALDatasetH oracle = GDALOpen(path, GA_ReadOnly);
        compare_level(&fixture, opened, 0, oracle);
        GDALClose(oracle);
        block_source_free(opened);
    }
}

/* A virtual dataset may name any file of the machine: it must not be opened. */
TEST(a_virtual_dataset_is_not_opened_even_where_it_is_valid)
{
    char from[128], path[128];
    struct block_source *source = NULL;
    struct tl_err err;

    write_strips("COMPRESS=LZW", from);
    snprintf(path, sizeof(path), "%s/all.vrt", fixture.dir);
    GDALDatasetH dataset = GDALOpen(from, GA_ReadOnly);
    GDALClose(GDALCreateCopy(GDALGetDriverByName("VRT"), path, dataset, FALSE, NULL, NULL, NULL));
    GDALClose(dataset);
    assert_int_equal(raster_open(&fixture.env, path, NULL, &fixture.errand, &source, &err),
                     TL_UNSUPPORTED);
}

struct reader {
    struct block_source *source;
    uint32_t first;
    unsigned wrong;
};

static void *read_all(void *arg)
{
    struct reader *reader = arg;
    struct errand errand = errand_unbounded();
    struct tl_err err;

    for (uint32_t i = 0; i < 12; i++) {
        uint32_t n = (i + reader->first) % 12;
        struct block_request request = {.col = n % 4, .row = n / 4, .x1 = 512, .y1 = 512};
        struct block *block = NULL;

        if (reader->source->read(reader->source, &request, 1, &errand, &block, &err) != TL_OK)
            reader->wrong++;
        else
            reader->wrong += block->empty != (n == 0);
        block_unref(block);
    }
    return NULL;
}

TEST(more_threads_than_datasets_share_them)
{
    enum { READERS = 12 };
    char path[128];
    struct reader readers[READERS];
    pthread_t threads[READERS];

    _Static_assert((int)READERS > (int)GDAL_HANDLES_MAX, "some must wait");
    write_strips("COMPRESS=DEFLATE", path);
    struct block_source *source = open_path(path);
    for (uint32_t i = 0; i < READERS; i++) {
        readers[i] = (struct reader){source, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, &readers[i]), 0);
    }
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(readers[i].wrong, 0);
    block_source_free(source);
}

/* One strip of the last rows is overwritten: the block over it fails, in GDAL's words. */
TEST(a_damaged_strip_fails_with_gdals_reason)
{
    char path[128];
    struct block_request request = {.col = 2, .row = 2, .x1 = 512, .y1 = 512};
    struct block *block;
    struct tl_err err;

    write_strips("COMPRESS=DEFLATE", path);
    GDALDatasetH dataset = GDALOpen(path, GA_ReadOnly);
    const char *offset =
        GDALGetMetadataItem(GDALGetRasterBand(dataset, 1), "BLOCK_OFFSET_0_1099", "TIFF");
    assert_non_null(offset);
    long at = strtol(offset, NULL, 10);
    GDALClose(dataset);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, at + 2, SEEK_SET);
    fwrite("\xff\xff\xff\xff\xff\xff\xff\xff", 1, 8, file);
    fclose(file);

    struct block_source *source = open_path(path);
    assert_refused(source->read(source, &request, 1, &fixture.errand, &block, &err), TL_CORRUPT,
                   "GDAL");
    request.row = 0;
    assert_ok(source->read(source, &request, 1, &fixture.errand, &block, &err));
    block_unref(block);
    block_source_free(source);
}

TEST(a_cancelled_read_ends_as_cancelled)
{
    char path[128];
    atomic_bool cancelled = true;
    struct errand gone = {.deadline_ns = CLOCK_NEVER, .cancelled = &cancelled};
    struct block_request request = {.col = 1, .row = 1, .x1 = 512, .y1 = 512};
    struct block *block;
    struct tl_err err;

    write_strips("COMPRESS=DEFLATE", path);
    struct block_source *source = open_path(path);
    assert_int_equal(source->read(source, &request, 1, &gone, &block, &err), TL_CANCELLED);
    assert_ok(source->read(source, &request, 1, &fixture.errand, &block, &err));
    block_unref(block);
    block_source_free(source);
}

RUN_IN_FIXTURE(32 << 20, T(virtual_blocks_are_cut_at_the_edges_and_empty_ones_are_seen),
               T(a_picture_that_starts_in_the_south_is_turned),
               T(other_formats_of_one_file_are_read),
               T(a_virtual_dataset_is_not_opened_even_where_it_is_valid),
               T(more_threads_than_datasets_share_them), T(a_damaged_strip_fails_with_gdals_reason),
               T(a_cancelled_read_ends_as_cancelled))
