#include "raster/taint.h"

#include "raster/block_pool.h"
#include "raster/cog.h"
#include "raster/raster_notes.h"
#include "raster_fixture.h"

/* How the class raster of a test looks. */
struct scene {
    int width, height, field; /* field: pixels across one of them */
    uint8_t step;             /* classes 0, step, .. 8 * step */
    bool nodata;              /* a corner is nodata, which is 0, and no field is */
};

/* Land cover in fields, with codes that have values between them: 10, 20, .. 80. */
static const struct scene codes = {1500, 1300, 9, 10, true};

static uint8_t class_at(const struct scene *scene, int x, int y)
{
    uint32_t field = picture_noise((uint32_t)(x / scene->field + 1000 * (y / scene->field)));

    if (scene->nodata)
        return (uint8_t)(x < 400 && y < 400 ? 0 : scene->step * (1 + field % 8));
    return (uint8_t)(scene->step * (field % 9));
}

static void write_scene(const struct scene *scene, char ret_path[128])
{
    uint8_t row[5003];

    picture_write(&fixture,
                  &(struct picture){.width = scene->width,
                                    .height = scene->height,
                                    .bands = 1,
                                    .type = GDT_Byte,
                                    .options = "TILED=YES",
                                    .nodata = scene->nodata ? "0" : NULL},
                  ret_path);
    GDALDatasetH dataset = GDALOpen(ret_path, GA_Update);
    for (int y = 0; y < scene->height; y++) {
        for (int x = 0; x < scene->width; x++)
            row[x] = class_at(scene, x, y);
        assert_int_equal(GDALRasterIO(GDALGetRasterBand(dataset, 1), GF_Write, 0, y, scene->width,
                                      1, row, scene->width, 1, GDT_Byte, 0, 0),
                         CE_None);
    }
    GDALClose(dataset);
}

/* As the COG driver makes it. */
static void write_cog(const struct scene *scene, const char *options, char ret_path[128])
{
    char from[128];

    write_scene(scene, from);
    picture_to_cog(&fixture, from, options, ret_path);
    unlink(from);
}

static void write_classes(const char *options, bool cog, const char *overviews, char ret_path[128])
{
    if (cog) {
        write_cog(&codes, options, ret_path);
    } else {
        write_scene(&codes, ret_path);
        picture_overviews(ret_path, &(struct picture){.overviews = overviews});
    }
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

/* 0 to 8, as Dynamic World has them: any value between two classes is a class too. */
static const struct scene contiguous[] = {
    {1500, 1300, 9, 1, true},   {1501, 1303, 9, 1, false}, {1501, 1303, 1, 1, false},
    {1537, 1025, 3, 1, true},   {5001, 259, 7, 1, false},  {5003, 261, 1, 1, true},
    {1024, 1024, 31, 1, false},
};

TEST(interpolated_overviews_of_contiguous_classes_are_tainted)
{
    static const char *const kinds[] = {"AVERAGE", "BILINEAR", "CUBIC"};

    for (size_t i = 0; i < TL_COUNT(contiguous); i++) {
        for (size_t k = 0; k < TL_COUNT(kinds); k++) {
            struct raster_options classes = {.classes = true};
            struct block_source *source = NULL;
            char path[128], options[100];
            struct tl_err err;

            snprintf(options, sizeof(options), "BLOCKSIZE=256 OVERVIEW_RESAMPLING=%s", kinds[k]);
            write_cog(&contiguous[i], options, path);
            assert_ok(raster_open(&fixture.env, path, &classes, &fixture.errand, &source, &err));
            uint32_t all = (1u << source->pyramid->level_count) - 2;
            if (raster_info(source)->tainted_levels != all)
                fail_msg("scene %zu, %s: levels %#x of %#x", i, kinds[k],
                         raster_info(source)->tainted_levels, all);
            block_source_free(source);
            unlink(path);
        }
    }
}

TEST(nearest_and_mode_of_contiguous_classes_are_clean_at_odd_sizes_too)
{
    static const char *const kinds[] = {"NEAREST", "MODE"};

    for (size_t i = 0; i < TL_COUNT(contiguous); i++) {
        for (size_t k = 0; k < TL_COUNT(kinds); k++) {
            char path[128], options[100];

            snprintf(options, sizeof(options), "BLOCKSIZE=256 OVERVIEW_RESAMPLING=%s", kinds[k]);
            write_cog(&contiguous[i], options, path);
            check(path, false, 0);
            unlink(path);
            write_scene(&contiguous[i], path);
            picture_overviews(path, &(struct picture){.overviews = kinds[k]});
            check(path, false, 0);
            unlink(path);
        }
    }
}

/* Two levels in memory, of any size: GDAL makes no overview of 1501 pixels that has 750. */
struct steps {
    struct block_source base; /* first */
    struct pyramid pyramid;
    bool mean;     /* of what lies under the pixel, else one of it */
    double rounds; /* where in its footprint the writer takes a pixel: 0 first, 0.5 middle */
    bool whole;    /* the writer took the step to be a whole number */
    uint8_t apart; /* one class and the next */
};

enum { STEPS_BLOCK = 256 };

static uint8_t steps_at(const struct steps *steps, uint8_t level, uint32_t x, uint32_t y)
{
    const struct scene noise = {.field = 1, .step = steps->apart};
    const struct pyramid_level *levels = steps->pyramid.levels;

    if (level == 0)
        return class_at(&noise, (int)x, (int)y);
    double step = (double)levels[0].width / levels[1].width;
    step = steps->whole ? round(step) : step;
    uint32_t from_x = (uint32_t)((x + steps->rounds) * step);
    uint32_t from_y = (uint32_t)((y + steps->rounds) * step);
    if (!steps->mean)
        return steps_at(steps, 0, from_x, from_y);
    return (uint8_t)((steps_at(steps, 0, from_x, from_y) + steps_at(steps, 0, from_x + 1, from_y) +
                      steps_at(steps, 0, from_x, from_y + 1) + 1) /
                     3);
}

static enum tl_code steps_read(struct block_source *source, const struct block_request *requests,
                               size_t count, struct errand *errand, struct block **ret_blocks,
                               struct tl_err *err)
{
    const struct block shape = {
        .width = STEPS_BLOCK, .height = STEPS_BLOCK, .bands = 1, .dtype = DTYPE_U8};

    (void)errand;
    (void)err;
    for (size_t i = 0; i < count; i++) {
        ret_blocks[i] = block_pool_alloc(fixture.env.pool, &shape, false);
        assert_non_null(ret_blocks[i]);
        uint8_t *samples = (uint8_t *)(uintptr_t)ret_blocks[i]->samples;
        for (uint32_t at = 0; at < STEPS_BLOCK * STEPS_BLOCK; at++)
            samples[at] = steps_at((struct steps *)source, requests[i].level,
                                   requests[i].col * STEPS_BLOCK + at % STEPS_BLOCK,
                                   requests[i].row * STEPS_BLOCK + at / STEPS_BLOCK);
    }
    return TL_OK;
}

static uint32_t taint_of(struct steps *steps, uint32_t full, uint32_t overview)
{
    struct pyramid *pyramid = &steps->pyramid;
    struct tl_err err;
    uint32_t levels = 0;

    *pyramid = (struct pyramid){.bands = 1, .dtype = DTYPE_U8, .level_count = 2};
    for (int i = 0; i < 2; i++)
        pyramid->levels[i] = (struct pyramid_level){.width = i ? overview : full,
                                                    .height = i ? overview : full,
                                                    .block_width = STEPS_BLOCK,
                                                    .block_height = STEPS_BLOCK,
                                                    .usable = true};
    steps->base.pyramid = pyramid;
    steps->base.read = steps_read;
    assert_ok(taint_find(&steps->base, &fixture.errand, &levels, &err));
    return levels;
}

TEST(a_step_beside_a_whole_one_is_clean_wherever_the_writer_takes_its_pixels)
{
    static const uint32_t sizes[][2] = {{1501, 750},    {1501, 751},  {1501, 300},  {1501, 1000},
                                        {1001, 500},    {5001, 2500}, {5001, 2501}, {20001, 10000},
                                        {20001, 10001}, {3072, 1024}, {2048, 1024}, {8192, 512}};
    static const double rounds[] = {0, 0.25, 0.5, 0.75};

    for (size_t i = 0; i < TL_COUNT(sizes); i++) {
        for (size_t k = 0; k < TL_COUNT(rounds); k++) {
            for (int whole = 0; whole < 2; whole++) {
                struct steps steps = {.rounds = rounds[k], .whole = whole, .apart = 1};
                double step = (double)sizes[i][0] / sizes[i][1];

                if (whole && fabs(step - round(step)) > 1e-3)
                    continue;
                if (taint_of(&steps, sizes[i][0], sizes[i][1]))
                    fail_msg("%u to %u from %g, whole %d", sizes[i][0], sizes[i][1], rounds[k],
                             whole);
            }
        }
    }
}

TEST(means_of_noise_taint_at_every_step)
{
    static const uint32_t sizes[][2] = {
        {2048, 1024}, {3072, 1024}, {5001, 2501}, {1501, 750}, {8192, 512}};

    for (size_t i = 0; i < TL_COUNT(sizes); i++) {
        /* Under 16 x 16 pixels of noise lies every class, but nothing between two. */
        struct steps steps = {.mean = true, .apart = sizes[i][0] > 5001 ? 10 : 1};

        assert_int_equal(taint_of(&steps, sizes[i][0], sizes[i][1]), 1 << 1);
    }
}

/* What a source was asked for: taint_find() sees the reader of `counted` replaced by this. */
static struct {
    block_read_fn *read;
    size_t reads, blocks;
} counted;

static enum tl_code count_read(struct block_source *source, const struct block_request *requests,
                               size_t count, struct errand *errand, struct block **ret_blocks,
                               struct tl_err *err)
{
    counted.reads++;
    counted.blocks += count;
    return counted.read(source, requests, count, errand, ret_blocks, err);
}

static uint32_t count_taint(const char *path, uint32_t *ret_all)
{
    struct block_source *source = NULL;
    uint32_t levels = 0;
    struct tl_err err;

    assert_ok(raster_open(&fixture.env, path, NULL, &fixture.errand, &source, &err));
    assert_true(cog_is(source));
    memset(&counted, 0, sizeof(counted));
    counted.read = source->read;
    source->read = count_read;
    assert_ok(taint_find(source, &fixture.errand, &levels, &err));
    source->read = counted.read;
    *ret_all = (1u << source->pyramid->level_count) - 2;
    block_source_free(source);
    return levels;
}

/* Of blocks of 512 the richest of the four below is all that is compared. */
TEST(large_blocks_are_judged_by_their_richest_quarter)
{
    static const struct {
        const char *kind;
        bool tainted;
    } kinds[] = {
        {"AVERAGE", true}, {"BILINEAR", true}, {"CUBIC", true}, {"NEAREST", false}, {"MODE", false},
    };

    for (size_t i = 0; i < TL_COUNT(contiguous); i++) {
        for (size_t k = 0; k < TL_COUNT(kinds); k++) {
            struct scene scene = contiguous[i];
            char path[128], options[100];
            uint32_t all;

            scene.width = TL_MAX(scene.width, 2100);
            scene.height = TL_MAX(scene.height, 2049);
            snprintf(options, sizeof(options),
                     "BLOCKSIZE=512 COMPRESS=DEFLATE OVERVIEW_RESAMPLING=%s", kinds[k].kind);
            write_cog(&scene, options, path);
            uint32_t levels = count_taint(path, &all);
            if (levels != (kinds[k].tainted ? all : 0))
                fail_msg("scene %zu, %s: levels %#x of %#x", i, kinds[k].kind, levels, all);
            unlink(path);
        }
    }
}

TEST(all_levels_are_judged_in_one_round)
{
    static const struct scene scene = {4200, 4100, 9, 10, true};
    char path[128];
    uint32_t all, levels;

    write_cog(&scene, "BLOCKSIZE=512 COMPRESS=DEFLATE OVERVIEW_RESAMPLING=MODE", path);
    assert_int_equal(count_taint(path, &all), 0);
    assert_int_equal(counted.reads, 1);
    /* Of each of four overviews one block and one below; 263 pixels, the last, lie over several. */
    assert_in_range(counted.blocks, 8, 12);
    unlink(path);
    write_cog(&scene, "BLOCKSIZE=256 COMPRESS=DEFLATE OVERVIEW_RESAMPLING=AVERAGE", path);
    levels = count_taint(path, &all);
    assert_int_equal(levels, all);
    assert_int_equal(counted.reads, 1);
    unlink(path);
}

/* One note, and how often it was asked for and made. */
struct notebook {
    struct hash128 key;
    uint32_t finding;
    int recalls, hits, keeps;
};

static bool notebook_recall(void *arg, struct hash128 key, uint32_t *ret_finding)
{
    struct notebook *book = arg;

    book->recalls++;
    if (!book->keeps || !hash128_equal(book->key, key))
        return false;
    book->hits++;
    *ret_finding = book->finding;
    return true;
}

static void notebook_keep(void *arg, struct hash128 key, uint32_t finding)
{
    struct notebook *book = arg;

    book->keeps++;
    book->key = key;
    book->finding = finding;
}

/* Bytes that an open with notes cost. */
static uint64_t open_noted(const char *path, struct notebook *book, uint32_t *ret_tainted)
{
    const struct raster_notes notes = {book, notebook_recall, notebook_keep};
    const struct raster_options options = {.classes = true, .notes = &notes};
    struct errand errand = errand_unbounded();
    struct block_source *source = NULL;
    struct tl_err err;

    assert_ok(raster_open(&fixture.env, path, &options, &errand, &source, &err));
    *ret_tainted = raster_info(source)->tainted_levels;
    for (int i = 0; i < source->pyramid->level_count; i++)
        assert_int_equal(source->pyramid->levels[i].usable, !(*ret_tainted >> i & 1));
    block_source_free(source);
    return errand.fetched_bytes;
}

TEST(a_verdict_is_remembered_for_the_version_of_the_file_and_no_other)
{
    struct notebook book = {.keeps = 0};
    char path[128], other[128];
    uint32_t tainted;

    write_cog(&codes, "BLOCKSIZE=256 COMPRESS=DEFLATE OVERVIEW_RESAMPLING=AVERAGE", path);
    uint64_t probed = open_noted(path, &book, &tainted);
    assert_int_equal(tainted, 1 << 1 | 1 << 2 | 1 << 3);
    assert_int_equal(book.keeps, 1);
    uint64_t recalled = open_noted(path, &book, &tainted);
    assert_int_equal(tainted, 1 << 1 | 1 << 2 | 1 << 3);
    assert_int_equal(book.hits, 1);
    assert_int_equal(book.keeps, 1);
    assert_true(recalled < probed);

    write_cog(&codes, "BLOCKSIZE=256 COMPRESS=DEFLATE OVERVIEW_RESAMPLING=MODE", other);
    assert_int_equal(rename(other, path), 0);
    open_noted(path, &book, &tainted);
    assert_int_equal(tainted, 0);
    assert_int_equal(book.hits, 1);
    assert_int_equal(book.keeps, 2);
    assert_int_equal(book.recalls, 3);
}

/* Nodata under an overview pixel that is valid: GDAL averages what is left, others fill. */
TEST(holes_that_an_overview_filled_taint_it)
{
    static const struct scene scene = {1024, 1024, 30, 1, true};
    uint8_t row[512];
    char path[128];

    write_scene(&scene, path);
    picture_overviews(path, &(struct picture){.overviews = "NEAREST"});
    check(path, false, 0);
    GDALDatasetH dataset = GDALOpen(path, GA_Update);
    GDALRasterBandH overview = GDALGetOverview(GDALGetRasterBand(dataset, 1), 0);
    memset(row, 3, sizeof(row));
    for (int y = 0; y < 200; y++)
        assert_int_equal(
            GDALRasterIO(overview, GF_Write, 0, y, 200, 1, row, 200, 1, GDT_Byte, 0, 0), CE_None);
    GDALClose(dataset);
    check(path, false, 1 << 1 | 1 << 2 | 1 << 3);
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

RUN_IN_FIXTURE(32 << 20, T(the_cog_drivers_defaults_taint_a_class_raster),
               T(averages_taint_a_class_raster), T(nearest_and_mode_do_not),
               T(interpolated_overviews_of_contiguous_classes_are_tainted),
               T(nearest_and_mode_of_contiguous_classes_are_clean_at_odd_sizes_too),
               T(a_step_beside_a_whole_one_is_clean_wherever_the_writer_takes_its_pixels),
               T(means_of_noise_taint_at_every_step),
               T(large_blocks_are_judged_by_their_richest_quarter),
               T(all_levels_are_judged_in_one_round),
               T(a_verdict_is_remembered_for_the_version_of_the_file_and_no_other),
               T(holes_that_an_overview_filled_taint_it),
               T(a_raster_that_is_not_of_classes_is_not_asked),
               T(an_overview_that_was_never_filled_is_not_usable))
