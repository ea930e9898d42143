/*
 * bench_decode: blocks of 512 x 512 of COGs on disk, read and decoded into bands, by tilth and
 * by GDAL (RasterIO of one block window, all bands, into a buffer that is kept).
 *
 *      bench_decode [DIR]      makes its rasters in DIR (default /tmp); prints one JSON line per
 *                              kind of block: microseconds of thread CPU per block
 *
 * Both sides open the file afresh for each round, so that nothing is cached but the file itself;
 * opening is not counted. Alternating rounds, the median counts.
 */
#include "../bench.h"

#include "base/errand.h"
#include "raster/block_pool.h"
#include "raster/raster.h"
#include "store/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cpl_conv.h>
#include <cpl_string.h>
#include <gdal.h>
#include <ogr_srs_api.h>

enum { SIZE_PX = 2048, BLOCK_PX = 512, ACROSS = SIZE_PX / BLOCK_PX, ROUNDS = 11, BANDS_MAX = 9 };

struct kind {
    const char *name;
    GDALDataType type;
    int bands;
    const char *options[4];
};

static const struct kind kinds[] = {
    {"uint8 DEFLATE", GDT_Byte, 1, {"COMPRESS=DEFLATE"}},
    {"uint8 x 3 DEFLATE", GDT_Byte, 3, {"COMPRESS=DEFLATE"}},
    {"uint8 x 3 DEFLATE predictor 2", GDT_Byte, 3, {"COMPRESS=DEFLATE", "PREDICTOR=2"}},
    {"uint8 x 3 JPEG", GDT_Byte, 3, {"COMPRESS=JPEG"}},
    {"uint8 x 3 WEBP", GDT_Byte, 3, {"COMPRESS=WEBP"}},
    {"uint16 DEFLATE predictor 2", GDT_UInt16, 1, {"COMPRESS=DEFLATE", "PREDICTOR=2"}},
    {"uint16 x 9 ZSTD predictor 2", GDT_UInt16, 9, {"COMPRESS=ZSTD", "PREDICTOR=2"}},
    {"uint16 x 9 ZSTD", GDT_UInt16, 9, {"COMPRESS=ZSTD"}},
    {"float32 ZSTD predictor 3", GDT_Float32, 1, {"COMPRESS=ZSTD", "PREDICTOR=3"}},
    {"float32 x 3 ZSTD predictor 3", GDT_Float32, 3, {"COMPRESS=ZSTD", "PREDICTOR=3"}},
};

/* Fields with a texture of some per cent, as reflectances have it. */
static float sample_at(int x, int y, int band)
{
    uint32_t field = (uint32_t)(x / 41) * 2654435761U ^ (uint32_t)(y / 29) * 40503U;
    uint32_t noise =
        ((uint32_t)x * 374761393U ^ (uint32_t)y * 668265263U ^ (uint32_t)band) * 1274126177U;

    field = (field ^ field >> 15) * 2246822519U;
    return (float)(20 + (field >> 8) % 180) + (float)(noise >> 16) / 65536 * 8 + (float)band;
}

static void make_cog(const struct kind *kind, const char *path)
{
    GDALDatasetH mem =
        GDALCreate(GDALGetDriverByName("MEM"), "", SIZE_PX, SIZE_PX, kind->bands, kind->type, NULL);
    double transform[6] = {2960000, 10, 0, -2180000, 0, -10};
    float scale = kind->type == GDT_UInt16 ? 30.0F : 1.0F;
    OGRSpatialReferenceH srs = OSRNewSpatialReference(NULL);
    float *row = malloc(SIZE_PX * sizeof(*row));
    char **options = NULL;

    must(mem && row && OSRSetFromUserInput(srs, "EPSG:6933") == OGRERR_NONE, "no raster");
    GDALSetGeoTransform(mem, transform);
    GDALSetSpatialRef(mem, srs);
    for (int i = 0; i < kind->bands * SIZE_PX; i++) {
        int y = i % SIZE_PX, band = i / SIZE_PX;

        for (int x = 0; x < SIZE_PX; x++)
            row[x] = sample_at(x, y, band) * scale;
        must(GDALRasterIO(GDALGetRasterBand(mem, band + 1), GF_Write, 0, y, SIZE_PX, 1, row,
                          SIZE_PX, 1, GDT_Float32, 0, 0) == CE_None,
             "no row");
    }
    for (int i = 0; i < 4 && kind->options[i]; i++)
        options = CSLAddString(options, kind->options[i]);
    options = CSLAddString(options, "BLOCKSIZE=512");
    options = CSLAddString(options, "OVERVIEWS=NONE");
    GDALDatasetH cog =
        GDALCreateCopy(GDALGetDriverByName("COG"), path, mem, FALSE, options, NULL, NULL);
    must(cog != NULL, "no COG");
    GDALClose(cog);
    GDALClose(mem);
    CSLDestroy(options);
    OSRDestroySpatialReference(srs);
    free(row);
}

/* *ret_bytes: of all blocks, decoded. */
static double ours(const struct raster_env *env, const char *path, uint64_t *ret_bytes)
{
    struct errand errand = errand_unbounded();
    struct raster_options options = {0};
    struct block_source *source = NULL;
    struct tl_err err;

    must(raster_open(env, path, &options, &errand, &source, &err) == TL_OK, err.msg);
    must(strcmp(raster_info(source)->reader, "tilth") == 0, "GDAL reads it");
    double start = thread_us();
    *ret_bytes = 0;
    for (uint32_t i = 0; i < ACROSS * ACROSS; i++) {
        struct block_request request = {
            .col = i % ACROSS, .row = i / ACROSS, .x1 = BLOCK_PX, .y1 = BLOCK_PX};
        struct block *block;

        must(source->read(source, &request, 1, &errand, &block, &err) == TL_OK, err.msg);
        must(!block->empty, "an empty block");
        *ret_bytes +=
            (uint64_t)block->width * block->height * block->bands * dtype_size(block->dtype);
        block_unref(block);
    }
    double us = (thread_us() - start) / (ACROSS * ACROSS);
    block_source_free(source);
    return us;
}

static double theirs(const struct kind *kind, const char *path, void *samples)
{
    GDALDatasetH ds = GDALOpen(path, GA_ReadOnly);

    must(ds != NULL, "GDAL does not open the raster");
    double start = thread_us();
    for (int i = 0; i < ACROSS * ACROSS; i++)
        must(GDALDatasetRasterIO(ds, GF_Read, i % ACROSS * BLOCK_PX, i / ACROSS * BLOCK_PX,
                                 BLOCK_PX, BLOCK_PX, samples, BLOCK_PX, BLOCK_PX, kind->type,
                                 kind->bands, NULL, 0, 0, 0) == CE_None,
             "GDAL does not read");
    double us = (thread_us() - start) / (ACROSS * ACROSS);
    GDALClose(ds);
    return us;
}

static void compare(const struct raster_env *env, const struct kind *kind, const char *dir)
{
    char path[512];
    double our_us[ROUNDS], their_us[ROUNDS];
    size_t block_size = (size_t)BLOCK_PX * BLOCK_PX * BANDS_MAX * sizeof(double);
    void *samples = malloc(block_size);
    uint64_t bytes;

    must(samples != NULL, "no memory");
    memset(samples, 1, block_size);
    snprintf(path, sizeof(path), "%s/tilth-bench-decode.tif", dir);
    make_cog(kind, path);
    /* Until every page of the pool is there. */
    for (int i = 0; i < 5; i++)
        ours(env, path, &bytes);
    theirs(kind, path, samples);
    for (int round = 0; round < ROUNDS; round++) {
        our_us[round] = ours(env, path, &bytes);
        their_us[round] = theirs(kind, path, samples);
    }
    qsort(our_us, ROUNDS, sizeof(double), by_value);
    qsort(their_us, ROUNDS, sizeof(double), by_value);
    double a = our_us[ROUNDS / 2], b = their_us[ROUNDS / 2];
    printf("{\"bench\": \"decode\", \"kind\": \"%s\", \"tilth_us\": %.0f, \"tilth_mb_s\": %.0f, "
           "\"gdal_us\": %.0f, \"ratio\": %.2f}\n",
           kind->name, a, (double)bytes / (ACROSS * ACROSS) / a, b, b / a);
    fflush(stdout);
    unlink(path);
    free(samples);
}

int main(int argc, char **argv)
{
    struct tl_err err;
    struct store_options options = {.max_connections = 4};
    struct raster_env env = {0};

    GDALAllRegister();
    must(store_new(&options, &env.store, &err) == TL_OK, err.msg);
    must(block_pool_new(16 << 20, &env.pool, &err) == TL_OK, err.msg);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        compare(&env, &kinds[i], argc > 1 ? argv[1] : "/tmp");
    block_pool_free(env.pool);
    store_free(env.store);
    return 0;
}
