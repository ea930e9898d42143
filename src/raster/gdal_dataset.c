#include "raster/gdal_dataset.h"

#include "geo/crs.h"
#include "raster/gdal_file.h"
#include "store/store.h"

#include <cpl_error.h>
#include <cpl_string.h>
#include <ogr_srs_api.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Formats of one file that names no other. VRT, WMS and their like are not here on purpose. */
static const char *const drivers[] = {"GTiff", "JP2OpenJPEG", "HFA", "PNG", "JPEG", NULL};

/* GDAL's own cache of decoded strips; the pool keeps what is made of them. */
enum { GDAL_CACHE_BYTES = 64 * 1024 * 1024 };

static void set_up(void)
{
    GDALAllRegister();
    GDALSetCacheMax64(GDAL_CACHE_BYTES);
}

void gdal_set_up(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, set_up);
}

void gdal_begin(struct gdal_dataset *dataset, struct errand *errand)
{
    gdal_file_run_for(dataset->file, errand);
    CPLPushErrorHandler(CPLQuietErrorHandler);
    CPLErrorReset();
}

enum tl_code gdal_end(struct gdal_dataset *dataset, bool fine, enum tl_code code, const char *what,
                      struct tl_err *err)
{
    char words[300];

    snprintf(words, sizeof(words), "%s", CPLGetLastErrorMsg());
    CPLPopErrorHandler();
    enum tl_code cause = fine ? TL_OK : gdal_file_failure(dataset->file, err);
    gdal_file_run_for(dataset->file, NULL);
    if (fine || cause != TL_OK)
        return cause;
    return tl_fail(err, code, "%s: GDAL: %s", what, words[0] ? words : "no reason given");
}

enum tl_code gdal_dataset_open(struct object *object, struct errand *errand,
                               struct gdal_dataset **ret_dataset, struct tl_err *err)
{
    const char *const no_siblings[] = {NULL};
    AUTO(gdal_dataset) dataset = calloc(1, sizeof(*dataset));

    if (!dataset)
        return tl_fail(err, TL_NOMEM, "no memory to open %s", object_href(object));
    gdal_set_up();
    TL_TRY(gdal_file_new(object, &dataset->file, err));
    gdal_begin(dataset, errand);
    dataset->gdal = GDALOpenEx(gdal_file_path(dataset->file),
                               GDAL_OF_RASTER | GDAL_OF_READONLY | GDAL_OF_VERBOSE_ERROR, drivers,
                               NULL, no_siblings);
    TL_TRY(gdal_end(dataset, dataset->gdal != NULL, TL_UNSUPPORTED, "no raster that can be read",
                    err));
    *ret_dataset = TL_TAKE(dataset);
    return TL_OK;
}

void gdal_dataset_close(struct gdal_dataset *dataset)
{
    if (!dataset)
        return;
    if (dataset->gdal)
        GDALClose(dataset->gdal);
    gdal_file_free(dataset->file);
    free(dataset);
}

static enum tl_code crs_of_wkt(OGRSpatialReferenceH srs, struct crs **ret_crs, struct tl_err *err)
{
    static const char *const options[] = {"FORMAT=WKT2_2019", NULL};
    char *wkt = NULL;
    enum tl_code code = TL_UNSUPPORTED;

    if (OSRExportToWktEx(srs, &wkt, options) == OGRERR_NONE && wkt && wkt[0])
        code = crs_new(wkt, ret_crs, err);
    else
        tl_fail(err, code, "its coordinate system cannot be written as WKT");
    CPLFree(wkt);
    return code;
}

enum tl_code gdal_dataset_crs(struct gdal_dataset *dataset, struct crs **ret_crs,
                              struct tl_err *err)
{
    OGRSpatialReferenceH srs = GDALGetSpatialRef(dataset->gdal);
    char definition[32];

    if (!srs)
        return tl_fail(err, TL_UNSUPPORTED,
                       "%s has no coordinate system: give it one with gdal_edit.py -a_srs",
                       object_href(gdal_file_object(dataset->file)));
    const char *authority = OSRGetAuthorityName(srs, NULL),
               *number = OSRGetAuthorityCode(srs, NULL);
    if (authority && number && strcmp(authority, "EPSG") == 0) {
        snprintf(definition, sizeof(definition), "EPSG:%s", number);
        return crs_new(definition, ret_crs, err);
    }
    return crs_of_wkt(srs, ret_crs, err);
}
