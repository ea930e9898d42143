/*
 * bench_warp: class tiles out of a COG on disk, warm, by tilth's warp and by GDAL's C API as
 * one would use it at best: dataset open, overview chosen, operation and transformer kept
 * from tile to tile, approximate transformer at GDAL's usual 0.125 px, block cache warm.
 *
 *      bench_warp [DIR]      makes its rasters in DIR (default /tmp); prints one JSON line
 *                            per CRS and zoom: microseconds of thread CPU per tile
 *
 * Both sides do the same tiles in alternating rounds; the median round counts.
 */
#include "../bench.h"

#include "base/arena.h"
#include "base/errand.h"
#include "geo/crs.h"
#include "geo/tms.h"
#include "raster/block_pool.h"
#include "raster/raster.h"
#include "raster/warp.h"
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
#include <gdal_alg.h>
#include <gdal_utils.h>
#include <gdalwarper.h>
#include <ogr_srs_api.h>

enum { SIZE_PX = 8192, TILES = 48, ROUNDS = 15, NODATA = 0 };

struct subject {
    const char *crs;
    double x, y, pixel;
};

/* Around Harare, 10 m or its like. */
static const struct subject subjects[] = {
    {"EPSG:4326", 30.6, -17.4, 0.00009},
    {"EPSG:32736", 240000, 8070000, 10},
    {"EPSG:6933", 2960000, -2180000, 10},
    {"EPSG:3857", 3404086.2, -1963516.8, 9.554628535634155},
};

struct bench {
    struct store *store;
    struct block_pool *pool;
    struct arena *arena;
    struct crs *mercator;
    struct errand errand;
};

static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), by_value);
    return values[count / 2];
}

/* --- the raster ------------------------------------------------------------------------- */

/* Fields of 20 to 60 pixels with ragged edges, in nine classes; a tenth of it is nodata. */
static uint8_t class_at(int x, int y)
{
    double u = x + 6 * sin(y / 17.0), v = y + 6 * sin(x / 23.0);
    uint32_t h = (uint32_t)floor(u / 37) * 2654435761U ^ (uint32_t)floor(v / 29) * 40503U;

    h ^= h >> 15;
    h *= 2246822519U;
    return (uint8_t)((h >> 13) % 10);
}

static void make_cog(const struct subject *subject, const char *path)
{
    GDALDatasetH mem =
        GDALCreate(GDALGetDriverByName("MEM"), "", SIZE_PX, SIZE_PX, 1, GDT_Byte, NULL);
    double transform[6] = {subject->x, subject->pixel, 0, subject->y, 0, -subject->pixel};
    OGRSpatialReferenceH srs = OSRNewSpatialReference(NULL);
    uint8_t *row = malloc(SIZE_PX);

    must(mem && row && OSRSetFromUserInput(srs, subject->crs) == OGRERR_NONE, "no raster");
    OSRSetAxisMappingStrategy(srs, OAMS_TRADITIONAL_GIS_ORDER);
    GDALSetGeoTransform(mem, transform);
    GDALSetSpatialRef(mem, srs);
    GDALSetRasterNoDataValue(GDALGetRasterBand(mem, 1), NODATA);
    for (int y = 0; y < SIZE_PX; y++) {
        for (int x = 0; x < SIZE_PX; x++)
            row[x] = class_at(x, y);
        must(GDALRasterIO(GDALGetRasterBand(mem, 1), GF_Write, 0, y, SIZE_PX, 1, row, SIZE_PX, 1,
                          GDT_Byte, 0, 0) == CE_None,
             "no row");
    }
    const char *const options[] = {"COMPRESS=DEFLATE", "BLOCKSIZE=512", "OVERVIEW_RESAMPLING=MODE",
                                   NULL};
    GDALDatasetH cog = GDALCreateCopy(GDALGetDriverByName("COG"), path, mem, FALSE,
                                      (char **)(uintptr_t)options, NULL, NULL);
    must(cog != NULL, "no COG");
    GDALClose(cog);
    GDALClose(mem);
    OSRDestroySpatialReference(srs);
    free(row);
}

/* --- tiles ------------------------------------------------------------------------------ */

/* Tiles that lie inside the raster, spread over it; fewer where there are fewer. */
static size_t choose_tiles(const struct bench *bench, const struct pyramid *pyramid, uint8_t z,
                           struct tile_id ret_tiles[TILES])
{
    struct tl_err err;
    struct crs_map *map;
    const struct pyramid_level *full = &pyramid->levels[0];
    double x[2] = {affine_x(full->affine, full->width * 0.03),
                   affine_x(full->affine, full->width * 0.97)};
    double y[2] = {affine_y(full->affine, full->height * 0.03),
                   affine_y(full->affine, full->height * 0.97)};

    must(crs_map_get(pyramid->crs, bench->mercator, &map, &err) == TL_OK, "no map");
    crs_map_points(map, x, y, 2);
    struct tile_id a = tms_tile_at(&tms_web_mercator_quad, x[0], y[0], z);
    struct tile_id b = tms_tile_at(&tms_web_mercator_quad, x[1], y[1], z);
    uint32_t across = b.x - a.x + 1, down = b.y - a.y + 1;
    size_t count = 0, all = (size_t)across * down, step = all / TILES + 1;
    /* Whole rows of neighbours, as a viewport asks for them. */
    for (size_t i = 0; i < all && count<TILES; i += all> TILES ? step : 1)
        ret_tiles[count++] = (struct tile_id){
            .x = a.x + (uint32_t)(i % across), .y = a.y + (uint32_t)(i / across), .z = z};
    return count;
}

static struct grid grid_of(const struct bench *bench, struct tile_id id)
{
    return (struct grid){
        .crs = bench->mercator,
        .affine = tms_tile_affine(&tms_web_mercator_quad, id, 256),
        .width = 256,
        .height = 256,
    };
}

/* --- tilth ------------------------------------------------------------------------------ */

static double ours(struct bench *bench, struct block_source *source, const struct tile_id *tiles,
                   size_t count, uint8_t *ret_level)
{
    double start = thread_us();
    struct tl_err err;

    for (size_t i = 0; i < count; i++) {
        struct planes planes;
        struct warp_request request = {
            .source = source,
            .target = grid_of(bench, tiles[i]),
            .resampling = RESAMPLE_NEAREST,
            .level = -1,
        };

        must(warp_read(&request, &bench->errand, bench->arena, &planes, &err) == TL_OK, err.msg);
        arena_reset(bench->arena);
    }
    double us = (thread_us() - start) / (double)count;
    struct grid grid = grid_of(bench, tiles[0]);
    must(warp_level(source, &grid, ret_level, &err) == TL_OK, err.msg);
    return us;
}

/* --- GDAL ------------------------------------------------------------------------------- */

/* Left alone, GDAL 3.6 reads a whole level of EPSG:4326 for some tiles. It is given the window. */
struct window {
    int x, y, width, height;
};

static struct window window_of(const struct bench *bench, const struct pyramid *pyramid,
                               uint8_t level, struct tile_id id)
{
    const struct pyramid_level *on = &pyramid->levels[level];
    struct affine a = grid_of(bench, id).affine;
    struct crs_map *map;
    struct tl_err err;
    double x0 = HUGE_VAL, x1 = 0, y0 = HUGE_VAL, y1 = 0;

    must(crs_map_get(bench->mercator, pyramid->crs, &map, &err) == TL_OK, err.msg);
    for (int i = 0; i < 25; i++) {
        double x = affine_x(a, i % 5 * 64), y = affine_y(a, i / 5 * 64);

        crs_map_points(map, &x, &y, 1);
        x0 = fmin(x0, affine_col(on->affine, x));
        x1 = fmax(x1, affine_col(on->affine, x));
        y0 = fmin(y0, affine_row(on->affine, y));
        y1 = fmax(y1, affine_row(on->affine, y));
    }
    x0 = fmax(0, floor(x0) - 2);
    y0 = fmax(0, floor(y0) - 2);
    x1 = fmin(on->width, ceil(x1) + 2);
    y1 = fmin(on->height, ceil(y1) + 2);
    return (struct window){(int)x0, (int)y0, (int)(x1 - x0), (int)(y1 - y0)};
}

struct peer {
    GDALDatasetH from, to;
    void *exact;
    GDALWarpOptions *options;
    GDALWarpOperationH operation;
};

static GDALDatasetH open_level(const char *path, uint8_t level)
{
    char option[64];
    const char *options[] = {option, NULL};

    snprintf(option, sizeof(option), "OVERVIEW_LEVEL=%d", level - 1);
    return GDALOpenEx(path, GDAL_OF_RASTER, NULL, level ? options : NULL, NULL);
}

static GDALDatasetH tile_dataset(void)
{
    GDALDatasetH ds = GDALCreate(GDALGetDriverByName("MEM"), "", 256, 256, 1, GDT_Byte, NULL);
    OGRSpatialReferenceH srs = OSRNewSpatialReference(NULL);
    double transform[6] = {0, 1, 0, 0, 0, -1};

    must(ds && OSRSetFromUserInput(srs, "EPSG:3857") == OGRERR_NONE, "no target");
    GDALSetSpatialRef(ds, srs);
    GDALSetGeoTransform(ds, transform);
    OSRDestroySpatialReference(srs);
    return ds;
}

static void peer_open(struct peer *peer, const char *path, uint8_t level)
{
    GDALWarpOptions *o = GDALCreateWarpOptions();

    *peer = (struct peer){.from = open_level(path, level), .to = tile_dataset(), .options = o};
    must(peer->from != NULL, "GDAL does not open the raster");
    peer->exact = GDALCreateGenImgProjTransformer2(peer->from, peer->to, NULL);
    o->hSrcDS = peer->from;
    o->hDstDS = peer->to;
    o->eResampleAlg = GRA_NearestNeighbour;
    o->nBandCount = 1;
    o->panSrcBands = CPLCalloc(1, sizeof(int));
    o->panDstBands = CPLCalloc(1, sizeof(int));
    o->panSrcBands[0] = o->panDstBands[0] = 1;
    o->padfSrcNoDataReal = CPLCalloc(1, sizeof(double));
    o->padfDstNoDataReal = CPLCalloc(1, sizeof(double));
    o->papszWarpOptions = CSLSetNameValue(o->papszWarpOptions, "INIT_DEST", "NO_DATA");
    o->pTransformerArg = GDALCreateApproxTransformer(GDALGenImgProjTransform, peer->exact, 0.125);
    o->pfnTransformer = GDALApproxTransform;
    peer->operation = GDALCreateWarpOperation(o);
    must(peer->operation != NULL, "no warp operation");
}

static void peer_close(struct peer *peer)
{
    GDALDestroyWarpOperation(peer->operation);
    GDALDestroyApproxTransformer(peer->options->pTransformerArg);
    GDALDestroyGenImgProjTransformer(peer->exact);
    GDALDestroyWarpOptions(peer->options);
    GDALClose(peer->to);
    GDALClose(peer->from);
}

static double theirs(const struct bench *bench, struct peer *peer, const struct tile_id *tiles,
                     const struct window *windows, size_t count)
{
    static uint8_t pixels[256 * 256];
    double start = thread_us();

    for (size_t i = 0; i < count; i++) {
        struct affine a = grid_of(bench, tiles[i]).affine;
        double transform[6] = {a.x, a.dx, 0, a.y, 0, -a.dy};

        GDALSetGenImgProjTransformerDstGeoTransform(peer->exact, transform);
        memset(pixels, NODATA, sizeof(pixels));
        must(GDALWarpRegionToBuffer(peer->operation, 0, 0, 256, 256, pixels, GDT_Byte, windows[i].x,
                                    windows[i].y, windows[i].width, windows[i].height) == CE_None,
             "GDAL does not warp");
    }
    return (thread_us() - start) / (double)count;
}

/* --- rounds ----------------------------------------------------------------------------- */

static void compare(struct bench *bench, struct block_source *source, const char *path,
                    const char *crs, uint8_t z)
{
    struct tile_id tiles[TILES];
    struct window windows[TILES];
    size_t count = choose_tiles(bench, source->pyramid, z, tiles);
    double our_us[ROUNDS], their_us[ROUNDS];
    struct peer peer;
    uint8_t level;

    ours(bench, source, tiles, count, &level); /* warms the pool and says which level */
    for (size_t i = 0; i < count; i++)
        windows[i] = window_of(bench, source->pyramid, level, tiles[i]);
    peer_open(&peer, path, level);
    theirs(bench, &peer, tiles, windows, count);
    for (int round = 0; round < ROUNDS; round++) {
        our_us[round] = ours(bench, source, tiles, count, &level);
        their_us[round] = theirs(bench, &peer, tiles, windows, count);
    }
    peer_close(&peer);
    double a = median(our_us, ROUNDS), b = median(their_us, ROUNDS);
    printf("{\"bench\": \"warp\", \"crs\": \"%s\", \"z\": %u, \"level\": %u, \"tiles\": %zu, "
           "\"tilth_us\": %.1f, \"tilth_best_us\": %.1f, \"gdal_us\": %.1f, \"ratio\": %.1f}\n",
           crs, z, level, count, a, our_us[0], b, b / a);
    fflush(stdout);
}

static void bench_subject(struct bench *bench, const struct subject *subject, const char *dir)
{
    char path[512];
    struct tl_err err;
    struct raster_env env = {bench->store, bench->pool};
    struct raster_options options = {0};
    AUTO(block_source) source = NULL;

    snprintf(path, sizeof(path), "%s/tilth-bench-warp-%s.tif", dir, subject->crs + 5);
    make_cog(subject, path);
    must(raster_open(&env, path, &options, &bench->errand, &source, &err) == TL_OK, err.msg);
    for (uint8_t z = 10; z <= 16; z++)
        compare(bench, source, path, subject->crs, z);
    unlink(path);
}

int main(int argc, char **argv)
{
    struct tl_err err;
    struct store_options options = {.max_connections = 4, .range_cache_bytes = 64 << 20};
    struct bench bench = {.arena = arena_new(), .errand = errand_unbounded()};

    GDALAllRegister();
    GDALSetCacheMax64(512 << 20);
    must(store_new(&options, &bench.store, &err) == TL_OK, err.msg);
    must(block_pool_new(512 << 20, &bench.pool, &err) == TL_OK, err.msg);
    must(crs_new("EPSG:3857", &bench.mercator, &err) == TL_OK, err.msg);
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++)
        bench_subject(&bench, &subjects[i], argc > 1 ? argv[1] : "/tmp");
    crs_unref(bench.mercator);
    block_pool_free(bench.pool);
    store_free(bench.store);
    arena_free(bench.arena);
    return 0;
}
