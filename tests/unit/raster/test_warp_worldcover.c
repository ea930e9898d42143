/* ESA WorldCover, 36000 x 36000 real classes in EPSG:4326, through the whole raster path. */
#include "raster/raster.h"
#include "raster/warp.h"

#include "base/arena.h"
#include "geo/crs.h"
#include "geo/tms.h"
#include "raster_fixture.h"

#include <gdal/gdal_alg.h>
#include <gdal/gdalwarper.h>

#define FILE_NAME \
    TILTH_ROOT "/../shared/data/worldcover/ESA_WorldCover_10m_2021_v200_N00E006_Map.tif"

struct world {
    struct fixture fixture;
    struct block_source *source;
    struct crs *mercator;
};

static void world_open(struct world *world)
{
    struct raster_options options = {.classes = true};
    struct tl_err err;

    if (access(FILE_NAME, R_OK) != 0) {
        print_message("skipped: no shared/data/worldcover beside the project\n");
        skip();
    }
    fixture_open(&world->fixture, 256 << 20);
    assert_ok(crs_new("EPSG:3857", &world->mercator, &err));
    assert_ok(raster_open(&world->fixture.env, FILE_NAME, &options, &world->fixture.errand,
                          &world->source, &err));
}

static void world_close(struct world *world)
{
    block_source_free(world->source);
    crs_unref(world->mercator);
    fixture_close(&world->fixture);
}

/* GDAL's warp of one level with its exact transformer; 0 is nodata. */
static uint8_t *gdal_tile(const struct grid *grid, uint8_t level)
{
    char option[64];
    const char *options[] = {option, NULL};

    snprintf(option, sizeof(option), "OVERVIEW_LEVEL=%d", level - 1);
    GDALDatasetH from = GDALOpenEx(FILE_NAME, GDAL_OF_RASTER, NULL, level ? options : NULL, NULL);
    GDALDatasetH to = GDALCreate(GDALGetDriverByName("MEM"), "", (int)grid->width,
                                 (int)grid->height, 1, GDT_Byte, NULL);
    double transform[6] = {grid->affine.x, grid->affine.dx, 0, grid->affine.y, 0, -grid->affine.dy};
    OGRSpatialReferenceH srs = OSRNewSpatialReference(NULL);
    uint8_t *pixels = calloc((size_t)grid->width * grid->height, 1);

    assert_non_null(from);
    assert_int_equal(OSRImportFromEPSG(srs, 3857), OGRERR_NONE);
    GDALSetGeoTransform(to, transform);
    GDALSetSpatialRef(to, srs);
    assert_int_equal(
        GDALReprojectImage(from, NULL, to, NULL, GRA_NearestNeighbour, 0, 0, NULL, NULL, NULL),
        CE_None);
    assert_int_equal(GDALRasterIO(GDALGetRasterBand(to, 1), GF_Read, 0, 0, (int)grid->width,
                                  (int)grid->height, pixels, (int)grid->width, (int)grid->height,
                                  GDT_Byte, 0, 0),
                     CE_None);
    OSRDestroySpatialReference(srs);
    GDALClose(to);
    GDALClose(from);
    return pixels;
}

static bool is_class(uint8_t value)
{
    static const uint8_t classes[] = {10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100};

    return memchr(classes, value, sizeof(classes)) != NULL;
}

struct tally {
    size_t valid, differing, invented;
};

static void compare_tile(struct world *world, struct tile_id id, enum resampling resampling,
                         struct tally *tally)
{
    AUTO(arena) arena = arena_new();
    struct planes planes;
    struct tl_err err;
    uint8_t level;
    struct warp_request request = {
        .source = world->source,
        .target = {world->mercator, tms_tile_affine(&tms_web_mercator_quad, id, 256), 256, 256},
        .resampling = resampling,
        .level = -1,
    };

    assert_ok(warp_level(world->source, &request.target, &level, &err));
    assert_ok(warp_read(&request, &world->fixture.errand, arena, &planes, &err));
    uint8_t *want = gdal_tile(&request.target, level);
    for (size_t i = 0; i < 256 * 256; i++) {
        bool valid = !planes.empty && (!planes.valid || planes.valid[i]);
        uint8_t ours = valid ? ((const uint8_t *)planes.samples)[i] : 0;

        tally->valid += valid;
        tally->invented += valid && !is_class(ours);
        tally->differing += ours != want[i];
    }
    free(want);
}

/* Sao Tome, at 6.6 E 0.2 N: the island, its coast and the sea. */
TEST(every_zoom_of_worldcover_is_gdals_exact_warp)
{
    struct world world;
    struct tally all = {0};

    world_open(&world);
    for (uint8_t z = 0; z <= 16; z++) {
        struct tally tally = {0};

        for (int i = 0; i < 5; i++) {
            static const double spots[5][2] = {
                {6.61, 0.25}, {6.735, 0.345}, {6.50, 0.02}, {6.0, 3.0}, {7.40, 1.63}};
            double x = spots[i][0], y = spots[i][1];
            AUTO(crs) lonlat = NULL;
            struct crs_map *map;
            struct tl_err err;

            assert_ok(crs_new("EPSG:4326", &lonlat, &err));
            assert_ok(crs_map_get(lonlat, world.mercator, &map, &err));
            crs_map_points(map, &x, &y, 1);
            compare_tile(&world, tms_tile_at(&tms_web_mercator_quad, x, y, z), RESAMPLE_NEAREST,
                         &tally);
        }
        print_message("    z%-2u %6zu px with a class, %zu differ from GDAL, %zu invented\n", z,
                      tally.valid, tally.differing, tally.invented);
        all.valid += tally.valid;
        all.differing += tally.differing;
        all.invented += tally.invented;
    }
    assert_true(all.valid > 100000);
    assert_int_equal(all.invented, 0);
    assert_true((double)all.differing <= 0.0002 * (double)all.valid);
    world_close(&world);
}

TEST(mode_of_worldcover_invents_no_class)
{
    struct world world;
    struct tally tally = {0};

    world_open(&world);
    for (uint8_t z = 6; z <= 14; z += 2) {
        struct tile_id id = tms_tile_at(&tms_web_mercator_quad, 735800, 27800, z);
        compare_tile(&world, id, RESAMPLE_MODE, &tally);
    }
    assert_true(tally.valid > 10000);
    assert_int_equal(tally.invented, 0);
    world_close(&world);
}

RUN(T(every_zoom_of_worldcover_is_gdals_exact_warp), T(mode_of_worldcover_invents_no_class))
