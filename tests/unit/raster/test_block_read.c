#include "raster_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

enum { SIDE = 700, BLOCK = 128, COLS = 6 };

/* A COG of GDAL's driver: ghost area, leaders, one mask. */
static void write_cog(const char *options, bool mask, char ret_path[128])
{
    char from[128];

    picture_write(&fixture,
                  &(struct picture){.width = SIDE,
                                    .height = SIDE,
                                    .bands = 1,
                                    .type = GDT_Byte,
                                    .options = "TILED=YES",
                                    .mask = mask},
                  from);
    picture_to_cog(&fixture, from, options, ret_path);
    unlink(from);
}

static struct block_source *open_path(const char *path)
{
    struct block_source *source = NULL;
    struct tl_err err;

    assert_ok(raster_open(&fixture.env, path, NULL, &fixture.errand, &source, &err));
    assert_string_equal(raster_info(source)->reader, "tilth");
    return source;
}

static struct block_request whole(uint32_t col, uint32_t row)
{
    return (struct block_request){.col = col, .row = row, .x1 = BLOCK, .y1 = BLOCK};
}

TEST(blocks_of_one_call_come_in_one_read_and_once)
{
    char path[128];
    struct block_request requests[] = {whole(0, 0), whole(1, 0), whole(0, 0), whole(1, 1)};
    struct block *blocks[4];
    struct tl_err err;

    write_cog("BLOCKSIZE=128 COMPRESS=DEFLATE", true, path);
    struct block_source *source = open_path(path);
    struct block_pool_stats before = block_pool_stats(fixture.pool);
    struct errand errand = errand_unbounded();
    assert_ok(source->read(source, requests, 4, &errand, blocks, &err));
    assert_ptr_equal(blocks[0], blocks[2]);
    assert_int_equal(block_pool_stats(fixture.pool).misses - before.misses, 3);
    assert_true(errand.spent_ns[STAGE_DECODE] > 0);
    uint64_t fetched = errand.fetched_bytes;
    for (int i = 0; i < 4; i++)
        block_unref(blocks[i]);

    assert_ok(source->read(source, requests, 4, &errand, blocks, &err));
    assert_int_equal(errand.fetched_bytes, fetched);
    for (int i = 0; i < 4; i++)
        block_unref(blocks[i]);
    assert_ok(source->read(source, requests, 0, &errand, blocks, &err));
    block_source_free(source);
}

struct reader {
    struct block_source *source;
    pthread_barrier_t *start;
    enum tl_code code;
};

static void *read_all(void *arg)
{
    struct reader *reader = arg;
    struct block_request requests[COLS * COLS];
    struct block *blocks[COLS * COLS];
    struct errand errand = errand_unbounded();
    struct tl_err err;

    for (uint32_t i = 0; i < COLS * COLS; i++)
        requests[i] = whole(i % COLS, i / COLS);
    pthread_barrier_wait(reader->start);
    reader->code =
        reader->source->read(reader->source, requests, COLS * COLS, &errand, blocks, &err);
    for (int i = 0; reader->code == TL_OK && i < COLS * COLS; i++)
        block_unref(blocks[i]);
    return NULL;
}

TEST(readers_at_the_same_time_decode_each_block_once)
{
    enum { READERS = 8 };
    char path[128];
    struct reader readers[READERS];
    pthread_t threads[READERS];
    pthread_barrier_t start;

    write_cog("BLOCKSIZE=128 COMPRESS=LZW", false, path);
    struct block_source *source = open_path(path);
    struct block_pool_stats before = block_pool_stats(fixture.pool);
    pthread_barrier_init(&start, NULL, READERS);
    for (int i = 0; i < READERS; i++) {
        readers[i] = (struct reader){source, &start, TL_INTERNAL};
        assert_int_equal(pthread_create(&threads[i], NULL, read_all, &readers[i]), 0);
    }
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(readers[i].code, TL_OK);
    assert_int_equal(block_pool_stats(fixture.pool).misses - before.misses, COLS * COLS);
    block_source_free(source);
}

TEST(a_cancelled_read_leaves_the_blocks_to_the_next)
{
    char path[128];
    struct block_request request = whole(2, 2);
    struct block *block;
    struct tl_err err;
    atomic_bool cancelled = true;
    struct errand gone = {.deadline_ns = CLOCK_NEVER, .cancelled = &cancelled};

    write_cog("BLOCKSIZE=128 COMPRESS=DEFLATE", false, path);
    struct block_source *source = open_path(path);
    assert_int_equal(source->read(source, &request, 1, &gone, &block, &err), TL_CANCELLED);
    assert_ok(source->read(source, &request, 1, &fixture.errand, &block, &err));
    block_unref(block);
    block_source_free(source);
}

/* Where the bytes of block (col, row) of level 0 lie, from GDAL's own mouth. */
static long offset_of(const char *path, int col, int row)
{
    char item[64];
    GDALDatasetH dataset = GDALOpen(path, GA_ReadOnly);

    snprintf(item, sizeof(item), "BLOCK_OFFSET_%d_%d", col, row);
    const char *offset = GDALGetMetadataItem(GDALGetRasterBand(dataset, 1), item, "TIFF");
    assert_non_null(offset);
    long at = strtol(offset, NULL, 10);
    GDALClose(dataset);
    return at;
}

static void overwrite(const char *path, long at, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "r+b");

    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

TEST(a_damaged_block_fails_with_its_place_and_its_neighbours_do_not)
{
    static const char *const kinds[] = {"BLOCKSIZE=128 COMPRESS=DEFLATE",
                                        "BLOCKSIZE=128 COMPRESS=ZSTD",
                                        "BLOCKSIZE=128 COMPRESS=LZW"};

    for (size_t i = 0; i < TL_COUNT(kinds); i++) {
        char path[128];
        struct block_request requests[] = {whole(0, 1), whole(1, 1), whole(2, 1)};
        struct block *blocks[3];
        struct tl_err err;

        write_cog(kinds[i], false, path);
        overwrite(path, offset_of(path, 1, 1) + 2, "\xff\xff\xff\xff\xff\xff", 6);
        struct block_source *source = open_path(path);
        assert_refused(source->read(source, requests, 3, &fixture.errand, blocks, &err), TL_CORRUPT,
                       "block 1,1 of level 0");
        assert_non_null(strstr(err.msg, path));
        requests[1] = requests[2];
        assert_ok(source->read(source, requests, 2, &fixture.errand, blocks, &err));
        block_unref(blocks[0]);
        block_unref(blocks[1]);
        block_source_free(source);
    }
}

TEST(a_leader_that_disagrees_with_the_index_is_corrupt)
{
    char path[128];
    struct block_request request = whole(1, 1);
    struct block *block;
    struct tl_err err;

    write_cog("BLOCKSIZE=128 COMPRESS=NONE", false, path);
    overwrite(path, offset_of(path, 1, 1) - 4, "\1\2\3\4", 4);
    struct block_source *source = open_path(path);
    assert_refused(source->read(source, &request, 1, &fixture.errand, &block, &err), TL_CORRUPT,
                   "edited in place");
    block_source_free(source);
}

TEST(a_file_edited_by_gdal_is_read_without_its_ghost_area)
{
    char path[128];
    static uint8_t noise[SIDE * BLOCK];

    write_cog("BLOCKSIZE=128 COMPRESS=DEFLATE", false, path);
    /* Blocks that compress worse than before do not fit into their old places. */
    for (uint32_t i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)picture_noise(i);
    CPLPushErrorHandler(CPLQuietErrorHandler);
    GDALDatasetH dataset = GDALOpen(path, GA_Update);
    assert_non_null(dataset);
    assert_int_equal(GDALRasterIO(GDALGetRasterBand(dataset, 1), GF_Write, 0, 300, SIDE, BLOCK,
                                  noise, SIDE, BLOCK, GDT_Byte, 0, 0),
                     CE_None);
    GDALClose(dataset);
    CPLPopErrorHandler();
    struct block_source *source = open_path(path);
    assert_false(raster_info(source)->ghost_area);
    block_source_free(source);
    compare_file(&fixture, path, "tilth");
}

TEST(bytes_behind_the_end_of_the_file_are_corrupt)
{
    char path[128];
    struct block_request request = whole(5, 5); /* the last of the file */
    struct block *block;
    struct tl_err err;

    write_cog("BLOCKSIZE=128 COMPRESS=DEFLATE", false, path);
    assert_int_equal(truncate(path, offset_of(path, 5, 5) + 10), 0);
    struct block_source *source = open_path(path);
    assert_refused(source->read(source, &request, 1, &fixture.errand, &block, &err), TL_CORRUPT,
                   "end behind the file's");
    block_source_free(source);
}

TEST(a_file_replaced_while_it_is_read_is_changed)
{
    char path[128], other[128];
    struct block_request request = whole(1, 1);
    struct block *block;
    struct tl_err err;

    write_cog("BLOCKSIZE=128 COMPRESS=DEFLATE", false, path);
    write_cog("BLOCKSIZE=128 COMPRESS=LZW", true, other);
    struct block_source *source = open_path(path);
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    fputs("more", file);
    fclose(file);
    enum tl_code code = source->read(source, &request, 1, &fixture.errand, &block, &err);
    assert_int_equal(code, TL_CHANGED);
    block_source_free(source);
}

RUN_IN_FIXTURE(16 << 20, T(blocks_of_one_call_come_in_one_read_and_once),
               T(readers_at_the_same_time_decode_each_block_once),
               T(a_cancelled_read_leaves_the_blocks_to_the_next),
               T(a_damaged_block_fails_with_its_place_and_its_neighbours_do_not),
               T(a_leader_that_disagrees_with_the_index_is_corrupt),
               T(a_file_edited_by_gdal_is_read_without_its_ghost_area),
               T(bytes_behind_the_end_of_the_file_are_corrupt),
               T(a_file_replaced_while_it_is_read_is_changed))
