/*
 * raster_fixture: test rasters, made by GDAL when the test runs, and GDAL's own reading of
 * them to compare with. GDAL is the oracle: a pixel that differs from it is wrong.
 */
#ifndef TILTH_TESTS_RASTER_FIXTURE_H
#define TILTH_TESTS_RASTER_FIXTURE_H

#include "base/clock.h"
#include "base/errand.h"
#include "raster/block.h"
#include "raster/block_pool.h"
#include "raster/raster.h"
#include "store/store.h"
#include "tl_test.h"

#include <gdal/cpl_conv.h>
#include <gdal/cpl_string.h>
#include <gdal/gdal.h>
#include <gdal/ogr_srs_api.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    struct store *store;
    struct block_pool *pool;
    struct raster_env env;
    struct errand errand;
    char dir[64];
    unsigned files;
};

static inline void fixture_open(struct fixture *fixture, size_t pool_bytes)
{
    struct tl_err err;
    struct store_options options = {
        .max_connections = 4, .timeout_ns = 5 * NS_PER_S, .range_cache_bytes = 8 << 20};

    memset(fixture, 0, sizeof(*fixture));
    snprintf(fixture->dir, sizeof(fixture->dir), "/tmp/tilth-raster-XXXXXX");
    assert_non_null(mkdtemp(fixture->dir));
    assert_ok(store_new(&options, &fixture->store, &err));
    assert_ok(block_pool_new(pool_bytes, &fixture->pool, &err));
    fixture->env = (struct raster_env){fixture->store, fixture->pool};
    fixture->errand = errand_unbounded();
    GDALAllRegister();
}

static inline void fixture_close(struct fixture *fixture)
{
    char **names = CPLReadDir(fixture->dir);

    block_pool_free(fixture->pool);
    store_free(fixture->store);
    for (int i = 0; names && names[i]; i++) {
        if (names[i][0] != '.')
            unlink(CPLFormFilename(fixture->dir, names[i], NULL));
    }
    CSLDestroy(names);
    rmdir(fixture->dir);
}

/* What a test file is like. */
struct picture {
    int width, height, bands;
    GDALDataType type;
    const char *options;   /* creation options of GTiff, separated by spaces */
    const char *overviews; /* resampling; NULL: none are built */
    bool mask, alpha, palette, signed_byte;
    const char *nodata; /* NULL: none */
    bool holes;         /* a quarter of the picture is nodata, or 0 */
    int srs;            /* EPSG; 0: 32631 */
};

static inline uint32_t picture_noise(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

/* Fields with some noise, so that every compression has something to do. */
static inline double picture_value(const struct picture *picture, int band, int x, int y)
{
    uint32_t field = picture_noise((uint32_t)(x / 23 + 1000 * (y / 17) + 77777 * band));
    uint32_t noise = picture_noise((uint32_t)(x + 4099 * y + 9999991 * band));
    double value = field % 200 + (noise % 11 == 0 ? noise / 11 % 50 : 0);

    if (picture->holes && x < picture->width / 2 && y < picture->height / 2)
        return picture->nodata ? CPLAtof(picture->nodata) : 0;
    if (picture->type == GDT_Int16 || picture->type == GDT_Int32)
        value -= 100;
    if (picture->type == GDT_UInt16)
        value *= 250;
    if (picture->type == GDT_Float32 || picture->type == GDT_Float64)
        value = (value - 60) * 1.0625 + noise % 1000 / 1024.0;
    return value;
}

static inline void picture_fill(const struct picture *picture, GDALDatasetH dataset)
{
    double *row = malloc(sizeof(double) * (size_t)picture->width);
    uint8_t *mask = malloc((size_t)picture->width);

    assert_non_null(row);
    assert_non_null(mask);
    for (int b = 0; b < picture->bands; b++) {
        GDALRasterBandH band = GDALGetRasterBand(dataset, b + 1);

        for (int y = 0; y < picture->height; y++) {
            for (int x = 0; x < picture->width; x++)
                row[x] = picture->alpha && b == picture->bands - 1
                             ? (x / 50 + y / 40) % 3 * 127.0
                             : picture_value(picture, b, x, y);
            assert_int_equal(GDALRasterIO(band, GF_Write, 0, y, picture->width, 1, row,
                                          picture->width, 1, GDT_Float64, 0, 0),
                             CE_None);
        }
    }
    for (int y = 0; picture->mask && y < picture->height; y++) {
        for (int x = 0; x < picture->width; x++)
            mask[x] = (x / 37 + y / 29) % 3 ? 255 : 0;
        assert_int_equal(GDALRasterIO(GDALGetMaskBand(GDALGetRasterBand(dataset, 1)), GF_Write, 0,
                                      y, picture->width, 1, mask, picture->width, 1, GDT_Byte, 0,
                                      0),
                         CE_None);
    }
    free(row);
    free(mask);
}

static inline void picture_place(GDALDatasetH dataset, int epsg)
{
    double gt[6] = {500000, 10, 0, 4600000, 0, -10};
    OGRSpatialReferenceH srs = OSRNewSpatialReference(NULL);

    if (epsg == 4326) {
        gt[0] = 30;
        gt[3] = -17;
        gt[1] = 0.0001;
        gt[5] = -0.0001;
    }
    assert_int_equal(OSRImportFromEPSG(srs, epsg), OGRERR_NONE);
    GDALSetSpatialRef(dataset, srs);
    OSRDestroySpatialReference(srs);
    GDALSetGeoTransform(dataset, gt);
}

static inline void picture_colours(GDALRasterBandH band)
{
    GDALColorTableH table = GDALCreateColorTable(GPI_RGB);

    for (int i = 0; i < 256; i++) {
        GDALColorEntry entry = {(short)i, (short)(255 - i), (short)(i * 7 % 256), 255};
        GDALSetColorEntry(table, i, &entry);
    }
    GDALSetRasterColorTable(band, table);
    GDALDestroyColorTable(table);
}

static inline void picture_overviews(const char *path, const struct picture *picture)
{
    int factors[] = {2, 4, 8};
    GDALDatasetH dataset = GDALOpen(path, GA_Update);

    assert_non_null(dataset);
    assert_int_equal(
        GDALBuildOverviews(dataset, picture->overviews, 3, factors, 0, NULL, NULL, NULL), CE_None);
    GDALClose(dataset);
}

/* Writes the picture as a GTiff; `ret_path` has room for 128 bytes. */
static inline void picture_write(struct fixture *fixture, const struct picture *picture,
                                 char ret_path[128])
{
    char **options = CSLTokenizeString2(picture->options ? picture->options : "", " ", 0);

    snprintf(ret_path, 128, "%s/%u.tif", fixture->dir, fixture->files++);
    if (picture->alpha)
        options = CSLAddNameValue(options, "ALPHA", "YES");
    if (picture->signed_byte)
        options = CSLAddNameValue(options, "PIXELTYPE", "SIGNEDBYTE");
    GDALDatasetH dataset = GDALCreate(GDALGetDriverByName("GTiff"), ret_path, picture->width,
                                      picture->height, picture->bands, picture->type, options);
    assert_non_null(dataset);
    CSLDestroy(options);
    picture_place(dataset, picture->srs ? picture->srs : 32631);
    if (picture->palette)
        picture_colours(GDALGetRasterBand(dataset, 1));
    for (int b = 0; picture->nodata && b < picture->bands; b++)
        GDALSetRasterNoDataValue(GDALGetRasterBand(dataset, b + 1), CPLAtof(picture->nodata));
    CPLSetConfigOption("GDAL_TIFF_INTERNAL_MASK", "YES");
    if (picture->mask)
        assert_int_equal(GDALCreateDatasetMaskBand(dataset, GMF_PER_DATASET), CE_None);
    picture_fill(picture, dataset);
    GDALClose(dataset);
    if (picture->overviews)
        picture_overviews(ret_path, picture);
}

/* GDAL's COG driver over a GTiff that is there already. */
static inline void picture_to_cog(struct fixture *fixture, const char *from, const char *options,
                                  char ret_path[128])
{
    char **list = CSLTokenizeString2(options, " ", 0);
    GDALDatasetH source = GDALOpen(from, GA_ReadOnly);

    snprintf(ret_path, 128, "%s/%u.tif", fixture->dir, fixture->files++);
    assert_non_null(source);
    GDALDatasetH cog =
        GDALCreateCopy(GDALGetDriverByName("COG"), ret_path, source, FALSE, list, NULL, NULL);
    assert_non_null(cog);
    GDALClose(cog);
    GDALClose(source);
    CSLDestroy(list);
}

static inline GDALRasterBandH oracle_band(GDALDatasetH dataset, int level, int band)
{
    GDALRasterBandH handle = GDALGetRasterBand(dataset, band + 1);

    return level ? GDALGetOverview(handle, level - 1) : handle;
}

/* The part of a block that lies in the picture. */
struct inside {
    int x, y, width, height;
};

static inline struct inside inside_of(const struct pyramid_level *level,
                                      const struct block_request *request)
{
    int x = (int)(request->col * level->block_width), y = (int)(request->row * level->block_height);

    return (struct inside){x, y, (int)TL_MIN(level->block_width, level->width - (uint32_t)x),
                           (int)TL_MIN(level->block_height, level->height - (uint32_t)y)};
}

static inline bool same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

/* Every sample of one band of a block is GDAL's; of an empty one GDAL has nodata or 0. */
static inline void compare_band(const struct pyramid *pyramid, const struct block *block,
                                const struct block_request *request, int band,
                                GDALRasterBandH oracle)
{
    struct inside in = inside_of(&pyramid->levels[request->level], request);
    double *expected = malloc(sizeof(double) * (size_t)in.width * (size_t)in.height);
    size_t pixels = (size_t)block->width * block->height;

    assert_non_null(expected);
    assert_int_equal(GDALRasterIO(oracle, GF_Read, in.x, in.y, in.width, in.height, expected,
                                  in.width, in.height, GDT_Float64, 0, 0),
                     CE_None);
    for (int y = 0; y < in.height; y++) {
        for (int x = 0; x < in.width; x++) {
            double want = expected[(size_t)y * (size_t)in.width + (size_t)x];
            size_t i = (size_t)band * pixels + (size_t)y * block->width + (size_t)x;

            if (pyramid->dtype == DTYPE_I8 && want > 127)
                want -= 256; /* GDAL 3.6 has no int8 */
            if (block->empty && !pyramid->has_nodata)
                continue; /* the mask says so, which compare_mask() looks at */
            double got =
                block->empty ? pyramid->nodata : dtype_get(block->dtype, block->samples, i);
            if (!same_number(got, want))
                fail_msg("level %u block %u,%u band %d pixel %d,%d: %.17g, GDAL reads %.17g",
                         request->level, request->col, request->row, band, x, y, got, want);
        }
    }
    free(expected);
}

/* Only where GDAL has a mask of its own: nodata is compared by its samples. */
static inline void compare_mask(const struct pyramid *pyramid, const struct block *block,
                                const struct block_request *request, GDALRasterBandH oracle)
{
    struct inside in = inside_of(&pyramid->levels[request->level], request);
    size_t count = (size_t)in.width * (size_t)in.height;
    uint8_t *expected = malloc(count);

    assert_non_null(expected);
    assert_int_equal(GDALRasterIO(GDALGetMaskBand(oracle), GF_Read, in.x, in.y, in.width, in.height,
                                  expected, in.width, in.height, GDT_Byte, 0, 0),
                     CE_None);
    for (size_t i = 0; i < count; i++) {
        size_t at = i / (size_t)in.width * block->width + i % (size_t)in.width;
        bool valid = !block->empty && (!block->mask || block->mask[at]);

        if (valid != (expected[i] != 0))
            fail_msg("level %u block %u,%u pixel %zu: valid %d, GDAL's mask %d", request->level,
                     request->col, request->row, i, valid, expected[i]);
        if (block->mask && block->mask[at] != 0 && block->mask[at] != 255)
            fail_msg("a mask holds %u", block->mask[at]);
    }
    free(expected);
}

static inline void compare_block(struct block_source *source, const struct block *block,
                                 const struct block_request *request, GDALDatasetH oracle)
{
    const struct pyramid *pyramid = source->pyramid;
    int flags = GDALGetMaskFlags(GDALGetRasterBand(oracle, 1));

    assert_int_equal(block->width, pyramid->levels[request->level].block_width);
    assert_int_equal(block->height, pyramid->levels[request->level].block_height);
    assert_int_equal(block->bands, pyramid->planar ? 1 : pyramid->bands);
    for (int b = 0; b < block->bands; b++)
        compare_band(pyramid, block, request, b,
                     oracle_band(oracle, request->level, request->band + b));
    if (flags & (GMF_PER_DATASET | GMF_ALPHA) && !(flags & GMF_NODATA))
        compare_mask(pyramid, block, request, oracle_band(oracle, request->level, request->band));
    else if (!pyramid->has_nodata)
        if (block->mask)
            fail_msg("a mask where GDAL says %d: %s", flags, raster_info(source)->href);
}

/* Reads all blocks of a level in one call. Returns how many were empty. */
static inline size_t compare_level(struct fixture *fixture, struct block_source *source,
                                   uint8_t level, GDALDatasetH oracle)
{
    const struct pyramid_level *of = &source->pyramid->levels[level];
    uint32_t cols = (of->width - 1) / of->block_width + 1;
    uint32_t rows = (of->height - 1) / of->block_height + 1;
    uint32_t planes = source->pyramid->planar ? source->pyramid->bands : 1;
    size_t count = (size_t)cols * rows * planes, empty = 0;
    struct block_request *requests = calloc(count, sizeof(*requests));
    struct block **blocks = calloc(count, sizeof(struct block *));
    struct tl_err err;

    for (size_t i = 0; i < count; i++)
        requests[i] = (struct block_request){.level = level,
                                             .band = (uint16_t)(i / ((size_t)cols * rows)),
                                             .col = (uint32_t)(i % cols),
                                             .row = (uint32_t)(i / cols % rows),
                                             .x1 = (uint16_t)of->block_width,
                                             .y1 = (uint16_t)of->block_height};
    assert_ok(source->read(source, requests, count, &fixture->errand, blocks, &err));
    for (size_t i = 0; i < count; i++) {
        compare_block(source, blocks[i], &requests[i], oracle);
        empty += blocks[i]->empty;
        block_unref(blocks[i]);
    }
    free(requests);
    free(blocks);
    return empty;
}

/* Opens `path` and holds every pixel of every level against GDAL; returns empty blocks. */
static inline size_t compare_file(struct fixture *fixture, const char *path, const char *reader)
{
    struct tl_err err;
    struct block_source *source = NULL;
    size_t empty = 0;

    assert_ok(raster_open(&fixture->env, path, NULL, &fixture->errand, &source, &err));
    const struct raster_info *info = raster_info(source);
    if (strcmp(info->reader, reader) != 0)
        fail_msg("%s is read by %s: %s", path, info->reader, info->reason ? info->reason : "");
    GDALDatasetH oracle = GDALOpen(path, GA_ReadOnly);
    assert_non_null(oracle);
    int overviews = GDALGetOverviewCount(GDALGetRasterBand(oracle, 1));
    assert_int_equal(source->pyramid->level_count, overviews + 1);
    for (uint8_t level = 0; level < source->pyramid->level_count; level++)
        empty += compare_level(fixture, source, level, oracle);
    GDALClose(oracle);
    block_source_free(source);
    return empty;
}

/* The program's own, open from its first test to its last. */
static struct fixture fixture __attribute__((unused));

#define RUN_IN_FIXTURE(pool_bytes, ...)       \
    static int open_fixture(void **state)     \
    {                                         \
        (void)state;                          \
        fixture_open(&fixture, (pool_bytes)); \
        return 0;                             \
    }                                         \
                                              \
    static int close_fixture(void **state)    \
    {                                         \
        (void)state;                          \
        fixture_close(&fixture);              \
        return 0;                             \
    }                                         \
                                              \
    RUN_BETWEEN(open_fixture, close_fixture, __VA_ARGS__)

#endif
