#include "raster/cog_writer.h"

#include "base/file.h"
#include "geo/crs.h"
#include "raster/block.h"
#include "raster/gdal_dataset.h"

#include <cpl_error.h>
#include <errno.h>
#include <fcntl.h>
#include <gdal.h>
#include <ogr_srs_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cog_writer {
    char *path;
    char *tiled, *ordered; /* what it is on its way to that name */
    uint8_t level_count;
    GDALDatasetH gdal; /* of the tiled file */
};

/* Messages of GDAL belong to the calls between these two, on this thread. */
static void begin(void)
{
    CPLPushErrorHandler(CPLQuietErrorHandler);
    CPLErrorReset();
}

static enum tl_code end(const struct cog_writer *writer, bool fine, enum tl_code code,
                        struct tl_err *err)
{
    char words[300];

    snprintf(words, sizeof(words), "%s", CPLGetLastErrorMsg());
    fine = fine && CPLGetLastErrorType() < CE_Failure;
    CPLPopErrorHandler();
    if (fine)
        return TL_OK;
    return tl_fail(err, code, "%s cannot be written: GDAL: %s", writer->path,
                   words[0] ? words : "no reason given");
}

static bool set_place(GDALDatasetH gdal, const struct pyramid *pyramid)
{
    const struct affine *a = &pyramid->levels[0].affine;
    double transform[6] = {a->x, a->dx, 0, a->y, 0, -a->dy};
    OGRSpatialReferenceH srs = OSRNewSpatialReference(NULL);
    bool fine = OSRSetFromUserInput(srs, crs_name(pyramid->crs)) == OGRERR_NONE &&
                GDALSetSpatialRef(gdal, srs) == CE_None &&
                GDALSetGeoTransform(gdal, transform) == CE_None;

    OSRDestroySpatialReference(srs);
    return fine;
}

static bool set_colors(GDALRasterBandH band, const uint32_t *colors, int transparent)
{
    GDALColorTableH table = GDALCreateColorTable(GPI_RGB);

    for (int i = 0; i < 256; i++) {
        const GDALColorEntry entry = {(short)(colors[i] >> 16 & 255), (short)(colors[i] >> 8 & 255),
                                      (short)(colors[i] & 255), i == transparent ? 0 : 255};

        GDALSetColorEntry(table, i, &entry);
    }
    bool fine = GDALSetRasterColorTable(band, table) == CE_None;
    GDALDestroyColorTable(table);
    return fine;
}

static bool describe(GDALDatasetH gdal, const struct cog_spec *spec)
{
    GDALRasterBandH band = GDALGetRasterBand(gdal, 1);
    const struct pyramid *pyramid = spec->pyramid;

    GDALSetDescription(band, spec->band_name);
    for (size_t i = 0; spec->metadata && spec->metadata[i]; i += 2)
        if (GDALSetMetadataItem(gdal, spec->metadata[i], spec->metadata[i + 1], NULL) != CE_None)
            return false;
    if (pyramid->has_nodata && GDALSetRasterNoDataValue(band, pyramid->nodata) != CE_None)
        return false;
    return !spec->colors ||
           set_colors(band, spec->colors, pyramid->has_nodata ? (int)pyramid->nodata : -1);
}

/* Overviews without data, to be put as the rest is. */
static bool add_levels(GDALDatasetH gdal, uint8_t level_count)
{
    int factors[PYRAMID_MAX_LEVELS];

    for (int i = 1; i < level_count; i++)
        factors[i - 1] = 1 << i;
    return level_count == 1 || GDALBuildOverviews(gdal, "NONE", level_count - 1, factors, 0, NULL,
                                                  NULL, NULL) == CE_None;
}

static bool create(struct cog_writer *writer, const struct cog_spec *spec)
{
    static const char *const options[] = {"TILED=YES",
                                          "BLOCKXSIZE=512",
                                          "BLOCKYSIZE=512",
                                          "COMPRESS=DEFLATE",
                                          "ZLEVEL=1",
                                          "BIGTIFF=IF_SAFER",
                                          NULL};
    const struct pyramid_level *full = &spec->pyramid->levels[0];
    GDALDriverH driver = GDALGetDriverByName("GTiff");

    writer->gdal = GDALCreate(driver, writer->tiled, (int)full->width, (int)full->height, 1,
                              GDT_Byte, (char **)(uintptr_t)options);
    return writer->gdal && set_place(writer->gdal, spec->pyramid) && describe(writer->gdal, spec) &&
           add_levels(writer->gdal, writer->level_count);
}

enum tl_code cog_writer_new(const struct cog_spec *spec, struct cog_writer **ret_writer,
                            struct tl_err *err)
{
    AUTO(cog_writer) writer = TL_OWNED(calloc(1, sizeof(*writer)));

    if (!writer)
        return tl_fail(err, TL_NOMEM, "no memory to write %s", spec->path);
    enum tl_code code = file_target(spec->path, &writer->path, err);
    if (code != TL_OK)
        return code == TL_ABSENT ? TL_INVALID : code;
    writer->level_count = spec->pyramid->level_count;
    /* Names that no other run and no user has. */
    if (asprintf(&writer->tiled, "%s.%d.tiled", writer->path, (int)getpid()) < 0 ||
        asprintf(&writer->ordered, "%s.%d.ordered", writer->path, (int)getpid()) < 0)
        return tl_fail(err, TL_NOMEM, "no memory to write %s", spec->path);
    gdal_set_up();
    begin();
    TL_TRY(end(writer, create(writer, spec), TL_INVALID, err));
    *ret_writer = TL_TAKE(writer);
    return TL_OK;
}

void cog_writer_free(struct cog_writer *writer)
{
    if (!writer)
        return;
    begin();
    if (writer->gdal)
        GDALClose(writer->gdal);
    CPLPopErrorHandler();
    if (writer->tiled)
        unlink(writer->tiled);
    if (writer->ordered)
        unlink(writer->ordered);
    free(writer->path);
    free(writer->tiled);
    free(writer->ordered);
    free(writer);
}

static bool move(struct cog_writer *writer, GDALRWFlag way, struct cog_window at, uint8_t *samples,
                 size_t stride)
{
    GDALRasterBandH band = GDALGetRasterBand(writer->gdal, 1);

    if (at.level > 0)
        band = GDALGetOverview(band, at.level - 1);
    return GDALRasterIOEx(band, way, (int)at.x, (int)at.y, (int)at.width, (int)at.height, samples,
                          (int)at.width, (int)at.height, GDT_Byte, 1, (GSpacing)stride,
                          NULL) == CE_None;
}

enum tl_code cog_writer_put(struct cog_writer *writer, struct cog_window window,
                            const uint8_t *samples, size_t stride, struct tl_err *err)
{
    begin();
    /* GDAL takes one pointer for both ways; it only reads here. */
    bool fine = move(writer, GF_Write, window, (uint8_t *)(uintptr_t)samples, stride);
    return end(writer, fine, TL_NOSPACE, err);
}

enum tl_code cog_writer_get(struct cog_writer *writer, struct cog_window window,
                            uint8_t *ret_samples, size_t stride, struct tl_err *err)
{
    begin();
    return end(writer, move(writer, GF_Read, window, ret_samples, stride), TL_NOSPACE, err);
}

static bool order(struct cog_writer *writer)
{
    const char *const options[] = {"COMPRESS=DEFLATE",
                                   "BLOCKSIZE=512",
                                   "BIGTIFF=IF_SAFER",
                                   "NUM_THREADS=ALL_CPUS",
                                   "STATISTICS=NO",
                                   writer->level_count > 1 ? "OVERVIEWS=FORCE_USE_EXISTING"
                                                           : "OVERVIEWS=NONE",
                                   NULL};

    GDALFlushCache(writer->gdal);
    GDALDatasetH cog = GDALCreateCopy(GDALGetDriverByName("COG"), writer->ordered, writer->gdal, 0,
                                      (char **)(uintptr_t)options, NULL, NULL);
    if (cog)
        GDALClose(cog);
    return cog != NULL;
}

enum tl_code cog_writer_order(struct cog_writer *writer, struct tl_err *err)
{
    begin();
    return end(writer, order(writer), TL_NOSPACE, err);
}

enum tl_code cog_writer_publish(struct cog_writer *writer, struct tl_err *err)
{
    char why[128];
    int fd = open(writer->ordered, O_RDONLY | O_CLOEXEC);

    /* The name must not survive a power cut that the bytes did not. */
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    if (rename(writer->ordered, writer->path) == 0)
        return TL_OK;
    return tl_fail(err, TL_INVALID, "%s cannot be written: %s", writer->path,
                   strerror_r(errno, why, sizeof(why)));
}
