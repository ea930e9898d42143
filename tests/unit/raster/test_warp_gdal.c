/*
 * The warp against GDAL's own, with its exact transformer (-et 0), on the same pixels. Where
 * the two differ it is shown why: nearest, by how far the point is from a pixel's edge.
 */
#include "raster/warp.h"

#include "test_warp_fixture.h"

#include <gdal/cpl_conv.h>
#include <gdal/cpl_string.h>
#include <gdal/gdal.h>
#include <gdal/gdal_alg.h>
#include <gdal/gdalwarper.h>
#include <gdal/ogr_srs_api.h>

static struct errand errand = {.deadline_ns = INT64_MAX};

#define BAND_NODATA -1.0

/* Rasters over land people look at; every zoom is asked for tiles at their corners, on their
 * edges and inside. */
static const struct place {
    const char *crs;
    struct affine affine;
    uint32_t width, height;
} places[] = {
    {"EPSG:4326", {30.9, -17.5, 0.0001, 0.0001}, 2000, 1500},
    {"EPSG:4326", {-10.0, 70.0, 0.01, 0.01}, 2500, 2000},
    {"EPSG:3857", {3440000, -1980000, 9.554628535634155, 9.554628535634155}, 1500, 1500},
    {"EPSG:3857", {3440003, -1980007, 10, 10}, 1500, 1500},
    {"EPSG:6933", {2985000, -2200000, 10, 10}, 2000, 1500},
    {"EPSG:32735", {700000, 8030000, 10, 10}, 2000, 1500},
    {"EPSG:32736", {290000, 8030000, 10, 10}, 2000, 1500},
    {"EPSG:32633", {300000, 6680000, 20, 20}, 2000, 2500},
    {"EPSG:32601", {160000, 7700000, 30, 30}, 1500, 1500}, /* on the antimeridian */
    {"EPSG:3035", {4300000, 3200000, 25, 25}, 1800, 1600},
};

/* --- GDAL's side ------------------------------------------------------------------------ */

static OGRSpatialReferenceH srs_of(const char *code)
{
    OGRSpatialReferenceH srs = OSRNewSpatialReference(NULL);

    assert_int_equal(OSRSetFromUserInput(srs, code), OGRERR_NONE);
    OSRSetAxisMappingStrategy(srs, OAMS_TRADITIONAL_GIS_ORDER);
    return srs;
}

static GDALDatasetH dataset_new(const char *crs, struct affine a, uint32_t width, uint32_t height)
{
    GDALDatasetH ds =
        GDALCreate(GDALGetDriverByName("MEM"), "", (int)width, (int)height, 1, GDT_Float64, NULL);
    double transform[6] = {a.x, a.dx, 0, a.y, 0, -a.dy};
    OGRSpatialReferenceH srs = srs_of(crs);

    assert_non_null(ds);
    GDALSetGeoTransform(ds, transform);
    GDALSetSpatialRef(ds, srs);
    OSRDestroySpatialReference(srs);
    return ds;
}

/* Level 0 of a source as GDAL sees it. */
static GDALDatasetH dataset_of(const struct synth *synth, const struct place *place)
{
    GDALDatasetH ds = dataset_new(place->crs, place->affine, place->width, place->height);
    double *row = calloc(place->width, sizeof(double));

    for (uint32_t y = 0; y < place->height; y++) {
        for (uint32_t x = 0; x < place->width; x++)
            row[x] = synth->value(synth, 0, x, y);
        assert_int_equal(GDALRasterIO(GDALGetRasterBand(ds, 1), GF_Write, 0, (int)y,
                                      (int)place->width, 1, row, (int)place->width, 1, GDT_Float64,
                                      0, 0),
                         CE_None);
    }
    free(row);
    if (synth->pyramid.has_nodata)
        GDALSetRasterNoDataValue(GDALGetRasterBand(ds, 1), synth->pyramid.nodata);
    return ds;
}

static const GDALResampleAlg gdal_names[RESAMPLE_COUNT] = {
    [RESAMPLE_NEAREST] = GRA_NearestNeighbour,
    [RESAMPLE_BILINEAR] = GRA_Bilinear,
    [RESAMPLE_CUBIC] = GRA_Cubic,
    [RESAMPLE_AVERAGE] = GRA_Average,
    [RESAMPLE_MODE] = GRA_Mode,
};

static GDALWarpOptions *options_for(GDALDatasetH from, GDALDatasetH to, enum resampling resampling,
                                    const double scale[2])
{
    GDALWarpOptions *o = GDALCreateWarpOptions();
    int has_nodata = 0;
    double nodata = GDALGetRasterNoDataValue(GDALGetRasterBand(from, 1), &has_nodata);

    o->hSrcDS = from;
    o->hDstDS = to;
    o->eResampleAlg = gdal_names[resampling];
    o->eWorkingDataType = GDT_Float64;
    o->nBandCount = 1;
    o->panSrcBands = CPLCalloc(1, sizeof(int));
    o->panDstBands = CPLCalloc(1, sizeof(int));
    o->panSrcBands[0] = o->panDstBands[0] = 1;
    o->padfDstNoDataReal = CPLCalloc(1, sizeof(double));
    o->padfDstNoDataReal[0] = -999;
    if (has_nodata) {
        o->padfSrcNoDataReal = CPLCalloc(1, sizeof(double));
        o->padfSrcNoDataReal[0] = nodata;
    }
    o->papszWarpOptions = CSLSetNameValue(o->papszWarpOptions, "INIT_DEST", "NO_DATA");
    /* GDAL takes the ratio of the windows that it reads; the same number is asked of both. */
    o->papszWarpOptions =
        CSLSetNameValue(o->papszWarpOptions, "XSCALE", CPLSPrintf("%.17g", 1 / scale[0]));
    o->papszWarpOptions =
        CSLSetNameValue(o->papszWarpOptions, "YSCALE", CPLSPrintf("%.17g", 1 / scale[1]));
    o->pTransformerArg = GDALCreateGenImgProjTransformer2(from, to, NULL);
    o->pfnTransformer = GDALGenImgProjTransform;
    assert_non_null(o->pTransformerArg);
    return o;
}

/* -999 where nothing is valid. */
static double *gdal_warp(GDALDatasetH from, const struct grid *grid, enum resampling resampling,
                         const double scale[2])
{
    GDALDatasetH to = dataset_new("EPSG:3857", grid->affine, grid->width, grid->height);
    GDALWarpOptions *o = options_for(from, to, resampling, scale);
    double *pixels = calloc((size_t)grid->width * grid->height, sizeof(double));

    GDALSetRasterNoDataValue(GDALGetRasterBand(to, 1), -999);
    GDALWarpOperationH operation = GDALCreateWarpOperation(o);
    assert_non_null(operation);
    assert_int_equal(GDALChunkAndWarpImage(operation, 0, 0, (int)grid->width, (int)grid->height),
                     CE_None);
    GDALDestroyWarpOperation(operation);
    GDALDestroyGenImgProjTransformer(o->pTransformerArg);
    GDALDestroyWarpOptions(o);
    assert_int_equal(GDALRasterIO(GDALGetRasterBand(to, 1), GF_Read, 0, 0, (int)grid->width,
                                  (int)grid->height, pixels, (int)grid->width, (int)grid->height,
                                  GDT_Float64, 0, 0),
                     CE_None);
    GDALClose(to);
    return pixels;
}

/* --- tiles ------------------------------------------------------------------------------ */

/* The tile over the point (u, v) of a raster, u and v in 0..1. */
static struct tile_id tile_over(const struct place *place, const struct crs *from,
                                const struct crs *mercator, const double uv[2], uint8_t z)
{
    struct crs_map *map;
    struct tl_err err;
    double x = affine_x(place->affine, uv[0] * place->width);
    double y = affine_y(place->affine, uv[1] * place->height);

    assert_ok(crs_map_get(from, mercator, &map, &err));
    crs_map_points(map, &x, &y, 1);
    return tms_tile_at(&tms_web_mercator_quad, x, y, z);
}

static const double spots[][2] = {{0.5, 0.5}, {0, 0}, {1, 0.4}, {0.3, 1}};

typedef void tile_fn(struct synth *synth, GDALDatasetH ds, const struct place *place,
                     const struct grid *grid, void *udata);

static void each_tile(const struct place *place, struct synth *synth, const int zooms[3],
                      tile_fn *fn, void *udata)
{
    AUTO(crs) mercator = NULL;
    struct tl_err err;
    GDALDatasetH ds = dataset_of(synth, place);

    assert_ok(crs_new("EPSG:3857", &mercator, &err));
    for (int z = zooms[0]; z <= zooms[1]; z += zooms[2]) {
        struct tile_id seen[TL_COUNT(spots)];

        for (size_t s = 0; s < TL_COUNT(spots); s++) {
            bool again = false;

            seen[s] = tile_over(place, synth->pyramid.crs, mercator, spots[s], (uint8_t)z);
            for (size_t k = 0; k < s; k++)
                again |= seen[k].x == seen[s].x && seen[k].y == seen[s].y;
            struct grid grid = tile_grid(mercator, seen[s], 256);
            if (!again)
                fn(synth, ds, place, &grid, udata);
        }
    }
    GDALClose(ds);
}

static struct synth *synth_of(const struct place *place, synth_value_fn *value, bool nodata)
{
    struct synth_spec spec = {
        .crs = place->crs,
        .affine = place->affine,
        .width = place->width,
        .height = place->height,
        .block = 256,
        .dtype = DTYPE_F64,
        .value = value,
        .has_nodata = nodata,
        .nodata = BAND_NODATA,
    };

    return synth_new(&spec);
}

static struct planes warp(struct synth *synth, const struct grid *grid, enum resampling resampling,
                          struct arena *arena)
{
    struct tl_err err;
    struct planes planes = {0};
    struct warp_request request = {
        .source = &synth->source,
        .target = *grid,
        .resampling = resampling,
        .level = 0,
    };

    assert_ok(warp_read(&request, &errand, arena, &planes, &err));
    return planes;
}

/* -999 where not valid, as GDAL has it. */
static double value_of(const struct planes *planes, size_t i)
{
    if (planes->empty || (planes->valid && !planes->valid[i]))
        return -999;
    return dtype_get(planes->dtype, planes->samples, i);
}

/* --- nearest ---------------------------------------------------------------------------- */

struct picks {
    size_t pixels, differing;
    double worst_px; /* distance from the edge between the two picks */
};

/* How far the exact image of pixel i is from the nearest edge of a source pixel. */
static double distance_from_edge(const struct place *place, const struct synth *synth,
                                 const struct grid *grid, size_t i)
{
    struct crs_map *map;
    struct tl_err err;
    double x = affine_x(grid->affine, (double)(i % grid->width) + 0.5);
    double y = affine_y(grid->affine, (double)(i / grid->width) + 0.5);

    assert_ok(crs_map_get(grid->crs, synth->pyramid.crs, &map, &err));
    crs_map_points(map, &x, &y, 1);
    x = affine_col(place->affine, x);
    y = affine_row(place->affine, y);
    return fmin(fabs(x - round(x)), fabs(y - round(y)));
}

static void compare_picks(struct synth *synth, GDALDatasetH ds, const struct place *place,
                          const struct grid *grid, void *udata)
{
    struct picks *picks = udata;
    AUTO(arena) arena = arena_new();
    const double scale[2] = {1, 1};
    struct planes planes = warp(synth, grid, RESAMPLE_NEAREST, arena);
    double *want = gdal_warp(ds, grid, RESAMPLE_NEAREST, scale);

    for (size_t i = 0; i < (size_t)grid->width * grid->height; i++) {
        double ours = value_of(&planes, i);

        picks->pixels += want[i] != -999 || ours != -999;
        if (ours == want[i])
            continue;
        picks->differing++;
        picks->worst_px = fmax(picks->worst_px, distance_from_edge(place, synth, grid, i));
    }
    free(want);
}

static void assert_picks(const struct place *place, synth_value_fn *value, bool nodata)
{
    static const int zooms[3] = {0, 18, 2};
    AUTO(synth) synth = synth_of(place, value, nodata);
    struct picks picks = {0};
    struct crs_map *map;
    struct tl_err err;

    each_tile(place, synth, zooms, compare_picks, &picks);
    assert_ok(crs_map_get(synth->pyramid.crs, synth->pyramid.crs, &map, &err));
    print_message("    %-10s %8zu px, %4zu other picks (%.4f %%), at most %.2g px from an edge\n",
                  place->crs, picks.pixels, picks.differing,
                  100.0 * (double)picks.differing / (double)picks.pixels, picks.worst_px);
    assert_true(picks.pixels > 250000);
    assert_true((double)picks.differing <= 0.0002 * (double)picks.pixels);
    assert_true(picks.worst_px <= 0.001);
}

TEST(nearest_picks_the_pixels_that_gdal_picks)
{
    for (size_t i = 0; i < TL_COUNT(places); i++)
        assert_picks(&places[i], synth_index, false);
}

static double holes(const struct synth *synth, uint16_t band, uint32_t col, uint32_t row)
{
    return synth_mix(col / 9, row / 7, 3) % 5 == 0 ? BAND_NODATA
                                                   : synth_index(synth, band, col, row);
}

TEST(nearest_leaves_the_holes_that_gdal_leaves)
{
    assert_picks(&places[0], holes, true);
    assert_picks(&places[6], holes, true);
}

/* --- kernels ---------------------------------------------------------------------------- */

struct values {
    enum resampling resampling;
    size_t pixels, differing;
    size_t missing, extra; /* valid there and not here, valid here and not there */
    double worst, range;
};

static bool is_area(enum resampling resampling)
{
    return resampling == RESAMPLE_AVERAGE || resampling == RESAMPLE_MODE;
}

/*
 * Where an area reaches over the raster's edge, GDAL 3.6 shows pixels up to one pixel beyond
 * it and weighs the outermost one by what of the area lies outside. Ours ends at the edge and
 * weighs what is inside, so there is nothing to compare at the rim.
 */
static bool is_rim(const struct synth *synth, const struct grid *grid, size_t i)
{
    const struct pyramid_level *level = &synth->pyramid.levels[0];
    struct crs_map *map;
    struct tl_err err;
    double x[2], y[2];

    for (int k = 0; k < 2; k++) {
        x[k] = affine_x(grid->affine, (double)(i % grid->width) + k);
        y[k] = affine_y(grid->affine, (double)(i / grid->width) + k);
    }
    assert_ok(crs_map_get(grid->crs, synth->pyramid.crs, &map, &err));
    crs_map_points(map, x, y, 2);
    for (int k = 0; k < 2; k++) {
        double col = affine_col(level->affine, x[k]), row = affine_row(level->affine, y[k]);

        if (col < 0 || row < 0 || col > level->width || row > level->height)
            return true;
    }
    return false;
}

static double ratio_of(struct synth *synth, const struct grid *grid, int axis)
{
    /* The same central difference that the warp takes. */
    struct crs_map *map;
    struct tl_err err;
    struct affine a = synth->pyramid.levels[0].affine;
    double x[4] = {grid->width / 2.0 - 0.5, grid->width / 2.0 + 0.5, grid->width / 2.0,
                   grid->width / 2.0};
    double y[4] = {grid->height / 2.0, grid->height / 2.0, grid->height / 2.0 - 0.5,
                   grid->height / 2.0 + 0.5};

    assert_ok(crs_map_get(grid->crs, synth->pyramid.crs, &map, &err));
    for (int i = 0; i < 4; i++) {
        x[i] = affine_x(grid->affine, x[i]);
        y[i] = affine_y(grid->affine, y[i]);
    }
    crs_map_points(map, x, y, 4);
    if (axis == 0)
        return hypot(x[1] - x[0], x[3] - x[2]) / a.dx;
    return hypot(y[1] - y[0], y[3] - y[2]) / a.dy;
}

static void compare_value(struct values *values, double ours, double theirs)
{
    values->pixels++;
    if (ours == -999 || theirs == -999) {
        values->missing += ours == -999;
        values->extra += theirs == -999;
        return;
    }
    double error = fabs(ours - theirs);
    values->differing += error > 1e-3 * values->range;
    values->worst = fmax(values->worst, error);
}

static void compare_values(struct synth *synth, GDALDatasetH ds, const struct place *place,
                           const struct grid *grid, void *udata)
{
    struct values *values = udata;
    AUTO(arena) arena = arena_new();
    double scale[2] = {ratio_of(synth, grid, 0), ratio_of(synth, grid, 1)};

    (void)place;
    for (int i = 0; i < 2; i++) { /* GDAL rounds its own ratio so, but not a given one */
        if (scale[i] <= 1 / 0.95)
            scale[i] = 1;
        else if (fabs(scale[i] - round(scale[i])) < 0.05)
            scale[i] = round(scale[i]);
    }
    struct planes planes = warp(synth, grid, values->resampling, arena);
    double *want = gdal_warp(ds, grid, values->resampling, scale);
    for (size_t i = 0; i < (size_t)grid->width * grid->height; i++) {
        double ours = value_of(&planes, i);

        if (ours == want[i] && ours == -999)
            continue;
        if (is_area(values->resampling) && ours != want[i] && is_rim(synth, grid, i))
            continue;
        compare_value(values, ours, want[i]);
    }
    free(want);
}

static struct values compare_kernel(const struct place *place, enum resampling resampling,
                                    synth_value_fn *value, const int zooms[3])
{
    AUTO(synth) synth = synth_of(place, value, true);
    struct values values = {
        .resampling = resampling,
        .range = 255,
    };

    each_tile(place, synth, zooms, compare_values, &values);
    print_message(
        "    %-10s %-8s %7zu px, %zu off by over 1e-3 of the range, %zu missing, %zu extra, "
        "worst %.2g of 255\n",
        place->crs, resampling_name(resampling), values.pixels, values.differing, values.missing,
        values.extra, values.worst);
    return values;
}

static double noise_with_holes(const struct synth *synth, uint16_t band, uint32_t col, uint32_t row)
{
    return synth_mix(col / 9, row / 7, 3) % 5 == 0 ? BAND_NODATA
                                                   : synth_noise(synth, band, col, row);
}

static void assert_kernel(size_t place, enum resampling resampling, synth_value_fn *value)
{
    static const int zooms[3] = {10, 15, 5}; /* coarser and finer than the pixels */
    struct values v = compare_kernel(&places[place], resampling, value, zooms);

    assert_true(v.pixels > 50000);
    assert_true((double)v.differing <= 0.0002 * (double)v.pixels);
    /* Points on the very edge of a pixel with data. */
    assert_true((double)(v.missing + v.extra) <= 0.00001 * (double)v.pixels);
}

/* Data everywhere for one place of each kind of map, and data with holes for all. */
static void assert_kernel_everywhere(enum resampling resampling)
{
    assert_kernel(0, resampling, synth_noise);
    assert_kernel(3, resampling, synth_noise);
    assert_kernel(8, resampling, synth_noise);
    for (size_t i = 0; i < TL_COUNT(places); i++)
        assert_kernel(i, resampling, noise_with_holes);
}

TEST(bilinear_is_gdals)
{
    assert_kernel_everywhere(RESAMPLE_BILINEAR);
}

TEST(cubic_is_gdals)
{
    assert_kernel_everywhere(RESAMPLE_CUBIC);
}

TEST(average_is_gdals)
{
    assert_kernel_everywhere(RESAMPLE_AVERAGE);
}

TEST(mode_is_gdals)
{
    for (size_t i = 0; i < TL_COUNT(places); i++)
        assert_kernel(i, RESAMPLE_MODE, synth_classes);
}

static int gdal_open(void **state)
{
    (void)state;
    GDALAllRegister();
    return 0;
}

RUN_BETWEEN(gdal_open, NULL, T(nearest_picks_the_pixels_that_gdal_picks),
            T(nearest_leaves_the_holes_that_gdal_leaves), T(bilinear_is_gdals), T(cubic_is_gdals),
            T(average_is_gdals), T(mode_is_gdals))
