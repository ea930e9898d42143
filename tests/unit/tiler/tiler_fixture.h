/*
 * tiler_fixture: everything below HTTP over a folder of documents and a scripted object store.
 *
 * The land is 1024 x 1024 class values on the pixels of EPSG:3857 at zoom 12: four tiles wide
 * and high from 12/2048/2044 on. Its first row of tiles is noise of the classes 1 to 8, but
 * for the second tile, which is all 4, and the third, which is nodata (0). The rest is noise.
 */
#ifndef TILTH_TESTS_TILER_FIXTURE_H
#define TILTH_TESTS_TILER_FIXTURE_H

#include "tl_test.h"

#include "fake_s3.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/errand.h"
#include "base/pool.h"
#include "cache/cache.h"
#include "raster/block_pool.h"
#include "store/store.h"
#include "tiler/catalog.h"
#include "tiler/layer.h"
#include "tiler/tiler.h"

#include <gdal/cpl_string.h>
#include <gdal/gdal.h>
#include <gdal/ogr_srs_api.h>
#include <pthread.h>
#include <sys/stat.h>

enum { LAND_SIDE = 1024, LAND_X = 2048, LAND_Y = 2044, LAND_Z = 12, CLASSES = 8 };

/* Tiles of the first row, and one far away. */
static const struct tile_id noise_tile = {.z = LAND_Z, .x = LAND_X, .y = LAND_Y};
static const struct tile_id uniform_tile = {.z = LAND_Z, .x = LAND_X + 1, .y = LAND_Y};
static const struct tile_id nodata_tile = {.z = LAND_Z, .x = LAND_X + 2, .y = LAND_Y};
static const struct tile_id other_tile = {.z = LAND_Z, .x = LAND_X + 3, .y = LAND_Y};
static const struct tile_id far_tile = {.z = LAND_Z, .x = 5, .y = 7};

static inline uint8_t land_value(uint32_t x, uint32_t y, uint32_t seed)
{
    uint32_t noise = (x * 0x9E3779B1u) ^ (y * 0x85EBCA77u) ^ (seed * 0xC2B2AE3Du);

    noise ^= noise >> 15;
    noise *= 0x2C1B3C6Du;
    if (y < 256 && x / 256 == 1)
        return 4;
    if (y < 256 && x / 256 == 2)
        return 0;
    return (uint8_t)(1 + (noise >> 16) % CLASSES);
}

struct world {
    struct helper store_helper;
    char dir[64];
    struct store *store;
    struct block_pool *blocks;
    struct cache *cache;
    struct catalog *catalog;
    struct pool *pool;
    struct tiler *tiler;
};

static inline void world_write(const struct world *w, const char *name, const char *text)
{
    char path[160];

    snprintf(path, sizeof(path), "%s/%s", w->dir, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

/* The land as a COG of uint8, or of uint16 when it is `wide`, at bucket/NAME.tif. */
static inline void world_put_land(const struct world *w, const char *name, uint32_t seed, bool wide)
{
    static uint8_t row[LAND_SIDE];
    char from[160], to[160], key[64];
    const double span = 2 * 20037508.342789244 / (1 << LAND_Z), res = span / 256;
    double place[6] = {LAND_X * span - 20037508.342789244, res, 0,
                       20037508.342789244 - LAND_Y * span, 0,   -res};
    OGRSpatialReferenceH srs = OSRNewSpatialReference(NULL);
    char **options =
        CSLTokenizeString2("COMPRESS=DEFLATE BLOCKSIZE=256 OVERVIEW_RESAMPLING=MODE", " ", 0);
    size_t size;

    snprintf(from, sizeof(from), "%s/plain.tif", w->dir);
    snprintf(to, sizeof(to), "%s/cog.tif", w->dir);
    GDALDatasetH plain = GDALCreate(GDALGetDriverByName("GTiff"), from, LAND_SIDE, LAND_SIDE, 1,
                                    wide ? GDT_UInt16 : GDT_Byte, NULL);
    assert_non_null(plain);
    assert_int_equal(OSRImportFromEPSG(srs, 3857), OGRERR_NONE);
    GDALSetSpatialRef(plain, srs);
    GDALSetGeoTransform(plain, place);
    GDALSetRasterNoDataValue(GDALGetRasterBand(plain, 1), 0);
    for (uint32_t y = 0; y < LAND_SIDE; y++) {
        for (uint32_t x = 0; x < LAND_SIDE; x++)
            row[x] = land_value(x, y, seed);
        assert_int_equal(GDALRasterIO(GDALGetRasterBand(plain, 1), GF_Write, 0, (int)y, LAND_SIDE,
                                      1, row, LAND_SIDE, 1, GDT_Byte, 0, 0),
                         CE_None);
    }
    GDALClose(GDALCreateCopy(GDALGetDriverByName("COG"), to, plain, FALSE, options, NULL, NULL));
    GDALClose(plain);
    OSRDestroySpatialReference(srs);
    CSLDestroy(options);
    FILE *file = fopen(to, "rbe");
    assert_non_null(file);
    void *bytes = malloc(4 << 20);
    assert_non_null(bytes);
    size = fread(bytes, 1, 4 << 20, file);
    fclose(file);
    snprintf(key, sizeof(key), "bucket/%s.tif", name);
    fake_s3_put(&w->store_helper, key, bytes, size);
    free(bytes);
    unlink(from);
    unlink(to);
}

#define LAND_KEY "bucket/land.tif"

/* layers/ID.json: `format` has one %d, the port of the store. */
static inline void world_add_layer(const struct world *w, const char *id, const char *format)
{
    char name[80], text[2048];

    snprintf(name, sizeof(name), "layers/%s.json", id);
    const char *port = strstr(format, "PORT");
    assert_non_null(port);
    snprintf(text, sizeof(text), "%.*s%d%s", (int)(port - format), format, w->store_helper.port,
             port + 4);
    world_write(w, name, text);
}

static inline void world_write_styles(const struct world *w)
{
    static const char *const ids[] = {"plain", "other"};
    char text[2048], name[64];

    for (unsigned s = 0; s < TL_COUNT(ids); s++) {
        int used = snprintf(text, sizeof(text),
                            "{\"id\": \"%s\", \"type\": \"classes\", \"nodata\": 0,"
                            " \"classification:classes\": [",
                            ids[s]);
        for (unsigned c = 1; c <= CLASSES; c++)
            used +=
                snprintf(text + used, sizeof(text) - (size_t)used,
                         "%s{\"value\": %u, \"name\": \"c%u\", \"color_hint\": \"%02X%02X%02X\"}",
                         c > 1 ? "," : "", c, c, c * 20, s * 100 + c, 255 - c * 9);
        snprintf(text + used, sizeof(text) - (size_t)used, "]}");
        snprintf(name, sizeof(name), "styles/%s.json", ids[s]);
        world_write(w, name, text);
    }
}

/* The store, two styles, the land and the layer "land" over it; more layers may be added. */
static inline void world_begin(struct world *w)
{
    char path[128];

    *w = (struct world){.store_helper = fake_s3_start(NULL)};
    GDALAllRegister();
    snprintf(w->dir, sizeof(w->dir), "/tmp/tilth-tiler-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    snprintf(path, sizeof(path), "%s/layers", w->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof(path), "%s/styles", w->dir);
    assert_int_equal(mkdir(path, 0700), 0);
    world_write_styles(w);
    world_put_land(w, "land", 1, false);
    world_add_layer(w, "land",
                    "{\"id\": \"land\", \"kind\": \"raster\", \"classes\": true,"
                    " \"source\": {\"href\": \"http://127.0.0.1:PORT/" LAND_KEY "\"},"
                    " \"zoom\": {\"min\": 2}, \"styles\": [\"plain\", \"other\"]}");
}

static inline void world_complain(void *udata, const char *message)
{
    fail_msg("%s", message);
    (void)udata;
}

/* Puts the rest together: one worker, `lane_queue` places in a layer's line. */
static inline void world_open(struct world *w, uint32_t lane_queue)
{
    const struct store_options store = {.timeout_ns = 20 * NS_PER_S, .max_connections = 8};
    const struct cache_options cache = {.ram_bytes = 16 << 20};
    char layers[96], styles[96];
    struct tl_err err;

    snprintf(layers, sizeof(layers), "%s/layers", w->dir);
    snprintf(styles, sizeof(styles), "%s/styles", w->dir);
    assert_ok(store_new(&store, &w->store, &err));
    assert_ok(block_pool_new(32 << 20, &w->blocks, &err));
    assert_ok(cache_open(&cache, &w->cache, &err));
    const struct catalog_options catalog = {.layers_dir = layers,
                                            .styles_dir = styles,
                                            .store = w->store,
                                            .pool = w->blocks,
                                            .cache = w->cache,
                                            .revalidate_ns = 3600 * NS_PER_S};
    assert_ok(catalog_open(&catalog, world_complain, NULL, &w->catalog, &err));
    assert_ok(pool_new(1, &w->pool, &err));
    const struct tiler_options options = {.catalog = w->catalog,
                                          .cache = w->cache,
                                          .pool = w->pool,
                                          .lane_queue = lane_queue,
                                          .cache_tiles = true};
    assert_ok(tiler_new(&options, &w->tiler, &err));
    fake_s3_reset(&w->store_helper);
}

static inline void world_end(struct world *w)
{
    char command[128];

    tiler_free(w->tiler);
    pool_free(w->pool);
    catalog_close(w->catalog);
    cache_close(w->cache);
    block_pool_free(w->blocks);
    store_free(w->store);
    helper_stop(&w->store_helper);
    snprintf(command, sizeof(command), "rm -r '%s'", w->dir);
    assert_int_equal(system(command), 0);
}

/* Ends with its scope, after the views of its layers that are declared behind it. */
#define AUTO_WORLD struct world __attribute__((cleanup(world_end)))

static inline struct layer *world_layer(struct world *w, const char *id)
{
    struct layer *layer = NULL;
    struct tl_err err;

    assert_ok(catalog_layer(w->catalog, id, &layer, &err));
    return layer;
}

/* GETs since the last reset. */
static inline int world_fetches(const struct world *w)
{
    static struct fake_log log;

    fake_s3_log(&w->store_helper, &log);
    return log.fetches;
}

/* Those of an object's head: how often it was opened. */
static inline int world_opens(const struct world *w)
{
    static struct fake_log log;
    int opens = 0;

    fake_s3_log(&w->store_helper, &log);
    for (const char *at = log.text; (at = strstr(at, "bytes=0-")); at++)
        opens++;
    return opens;
}

static inline struct tile_query query_of(struct layer *layer, struct tile_id id)
{
    return (struct tile_query){.layer = layer,
                               .id = id,
                               .scale = 1,
                               .format = IMAGE_PNG,
                               .deadline_ns = clock_now_ns() + 60 * NS_PER_S};
}

/* What one who asked was told. */
struct told {
    pthread_mutex_t mu;
    pthread_cond_t told;
    int times;
    enum tl_code code;
    struct tile tile; /* holds a reference to its blob */
    struct tl_err err;
    struct tiler_wait *wait;
    bool at_once; /* before tiler_get() returned */
};

static inline void on_told(void *udata, enum tl_code code, const struct tile *tile,
                           const struct tl_err *err)
{
    struct told *told = udata;

    pthread_mutex_lock(&told->mu);
    told->code = code;
    if (code == TL_OK) {
        told->tile = *tile;
        blob_ref(tile->blob);
    } else {
        told->err = *err;
    }
    told->times++;
    pthread_cond_signal(&told->told);
    pthread_mutex_unlock(&told->mu);
}

static inline void ask(struct world *w, const struct tile_query *query, struct told *told)
{
    *told = (struct told){.mu = PTHREAD_MUTEX_INITIALIZER, .told = PTHREAD_COND_INITIALIZER};
    tiler_get(w->tiler, query, on_told, told, &told->wait);
    pthread_mutex_lock(&told->mu);
    told->at_once = told->times > 0;
    pthread_mutex_unlock(&told->mu);
}

/* Waits for the answer and gives the place back. */
static inline enum tl_code hear(struct world *w, struct told *told)
{
    pthread_mutex_lock(&told->mu);
    while (told->times == 0)
        pthread_cond_wait(&told->told, &told->mu);
    pthread_mutex_unlock(&told->mu);
    if (told->wait)
        assert_false(tiler_cancel(w->tiler, told->wait));
    assert_int_equal(told->times, 1);
    return told->code;
}

static inline enum tl_code get(struct world *w, const struct tile_query *query, struct told *told)
{
    ask(w, query, told);
    return hear(w, told);
}

static inline void forget(struct told *told)
{
    blob_unref(told->tile.blob);
    told->tile.blob = NULL;
}

/* Asks for a tile whose answer does not matter. */
static inline void warm_up(struct world *w, struct layer *layer)
{
    const struct tile_query query = query_of(layer, uniform_tile);
    struct told told;

    if (get(w, &query, &told) != TL_OK)
        fail_msg("%s", told.err.msg);
    forget(&told);
}

#endif
