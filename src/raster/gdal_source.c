#include "raster/gdal_source.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/errand.h"
#include "geo/crs.h"
#include "raster/gdal_dataset.h"
#include "raster/raster_source.h"
#include "store/store.h"

#include <cpl_string.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Virtual blocks with all bands are at most this large; beyond, one block is one band. */
#define CHUNKY_MAX (16ull << 20)

enum { FULL_PICTURE = -1 };

struct gdal_source {
    struct raster_source common; /* first */
    GDALDataType type;
    bool masked;                      /* GDAL has a mask band: internal mask or alpha */
    bool south_up;                    /* rows are read from the bottom */
    int overview[PYRAMID_MAX_LEVELS]; /* GDAL's number of it, or FULL_PICTURE */
    pthread_mutex_t mu;               /* guards: idle, opened */
    pthread_cond_t returned;
    struct gdal_dataset *idle;
    unsigned opened;
};

static GDALDataType gdal_type_of(enum dtype dtype)
{
    static const GDALDataType types[DTYPE_COUNT] = {
        /* GDAL before 3.7 has no int8: it says byte and PIXELTYPE=SIGNEDBYTE. */
        [DTYPE_U8] = GDT_Byte,     [DTYPE_I8] = GDT_Byte,     [DTYPE_U16] = GDT_UInt16,
        [DTYPE_I16] = GDT_Int16,   [DTYPE_U32] = GDT_UInt32,  [DTYPE_I32] = GDT_Int32,
        [DTYPE_F32] = GDT_Float32, [DTYPE_F64] = GDT_Float64,
    };

    return types[dtype];
}

static void gdal_source_free(struct block_source *source)
{
    struct gdal_source *gdal = (struct gdal_source *)source;

    while (gdal->idle) {
        struct gdal_dataset *next = gdal->idle->next;

        gdal_dataset_close(gdal->idle);
        gdal->idle = next;
    }
    pthread_cond_destroy(&gdal->returned);
    pthread_mutex_destroy(&gdal->mu);
    raster_source_release(&gdal->common);
    free(gdal);
}

/* Waits a little for a dataset, with the lock held; wakes to look at the errand. */
static void wait_for_return(struct gdal_source *gdal)
{
    enum { NOTICE_MS = 20 };
    int64_t until = clock_now_ns() + NOTICE_MS * NS_PER_MS;
    struct timespec when = {.tv_sec = until / NS_PER_S, .tv_nsec = until % NS_PER_S};

    pthread_cond_timedwait(&gdal->returned, &gdal->mu, &when);
}

/* An idle dataset, or NULL and the right to open one more. */
static enum tl_code borrow(struct gdal_source *gdal, struct errand *errand,
                           struct gdal_dataset **ret_dataset, struct tl_err *err)
{
    enum tl_code code = TL_OK;

    pthread_mutex_lock(&gdal->mu);
    while (!gdal->idle && gdal->opened >= GDAL_HANDLES_MAX && code == TL_OK) {
        wait_for_return(gdal);
        code = errand_check(errand, err);
    }
    if (code == TL_OK) {
        *ret_dataset = gdal->idle;
        if (gdal->idle)
            gdal->idle = gdal->idle->next;
        else
            gdal->opened++;
    }
    pthread_mutex_unlock(&gdal->mu);
    return code;
}

/* NULL: the right to open one more goes back. */
static void give_back(struct gdal_source *gdal, struct gdal_dataset *dataset)
{
    pthread_mutex_lock(&gdal->mu);
    if (dataset) {
        dataset->next = gdal->idle;
        gdal->idle = dataset;
    } else {
        gdal->opened--;
    }
    pthread_cond_signal(&gdal->returned);
    pthread_mutex_unlock(&gdal->mu);
}

/* Part of the picture that a virtual block covers, in pixels of its level. */
struct span {
    int x, y, width, height;
};

static struct span span_of(const struct pyramid_level *level, const struct block_request *request)
{
    uint32_t x = request->col * level->block_width, y = request->row * level->block_height;

    return (struct span){(int)x, (int)y, (int)TL_MIN(level->block_width, level->width - x),
                         (int)TL_MIN(level->block_height, level->height - y)};
}

static GDALRasterBandH band_of(const struct gdal_source *gdal, struct gdal_dataset *dataset,
                               uint8_t level, int band)
{
    GDALRasterBandH handle = GDALGetRasterBand(dataset->gdal, band + 1);

    return gdal->overview[level] == FULL_PICTURE ? handle
                                                 : GDALGetOverview(handle, gdal->overview[level]);
}

/* Rows that GDAL has read top down, of a picture whose first row is the southernmost. */
static void flip_rows(uint8_t *rows, int count, size_t stride)
{
    for (int top = 0, bottom = count - 1; top < bottom; top++, bottom--) {
        for (size_t i = 0; i < stride; i++) {
            uint8_t byte = rows[(size_t)top * stride + i];

            rows[(size_t)top * stride + i] = rows[(size_t)bottom * stride + i];
            rows[(size_t)bottom * stride + i] = byte;
        }
    }
}

static bool read_span(const struct gdal_source *gdal, GDALRasterBandH band, GDALDataType type,
                      const struct pyramid_level *level, struct span span, uint8_t *out)
{
    int size = GDALGetDataTypeSizeBytes(type);
    GSpacing stride = (GSpacing)level->block_width * size;
    int y = gdal->south_up ? (int)level->height - span.y - span.height : span.y;

    if (!band || GDALRasterIOEx(band, GF_Read, span.x, y, span.width, span.height, out, span.width,
                                span.height, type, size, stride, NULL) != CE_None)
        return false;
    if (gdal->south_up)
        flip_rows(out, span.height, (size_t)stride);
    return true;
}

static void mask_to_0_and_255(struct block *block)
{
    uint8_t *mask = block_mask_mut(block);

    for (size_t i = 0; i < (size_t)block->width * block->height; i++)
        mask[i] = (uint8_t) - (mask[i] != 0);
}

/* What lies outside of the picture: nodata, so that an empty block can be seen to be one. */
static void fill_outside(const struct pyramid *pyramid, struct block *block)
{
    size_t count = (size_t)block->width * block->height * block->bands;

    memset(block_samples_mut(block), 0, count * dtype_size(block->dtype));
    /* int8 is byte to GDAL, which would clamp negative values: there it stays 0. */
    if (pyramid->has_nodata && pyramid->nodata != 0 && block->dtype != DTYPE_I8)
        GDALCopyWords64(&pyramid->nodata, GDT_Float64, 0, block_samples_mut(block),
                        gdal_type_of(block->dtype), (int)dtype_size(block->dtype),
                        (GPtrDiff_t)count);
    if (block->mask)
        memset(block_mask_mut(block), 0, (size_t)block->width * block->height);
}

static enum tl_code read_block(struct gdal_source *gdal, struct gdal_dataset *dataset,
                               const struct block_request *request, struct errand *errand,
                               struct block **ret_block, struct tl_err *err)
{
    const struct pyramid_level *level = &gdal->common.pyramid.levels[request->level];
    AUTO(block) block = raster_new_block(&gdal->common, request, gdal->masked);
    bool fine = true;

    if (!block)
        return tl_fail(err, TL_NOMEM, "no memory for a block");
    size_t plane = (size_t)block->width * block->height * dtype_size(block->dtype);
    struct span span = span_of(level, request);
    fill_outside(&gdal->common.pyramid, block);
    gdal_begin(dataset, errand);
    for (int b = 0; fine && b < block->bands; b++)
        fine =
            read_span(gdal, band_of(gdal, dataset, request->level, request->band + b), gdal->type,
                      level, span, (uint8_t *)block_samples_mut(block) + (size_t)b * plane);
    GDALRasterBandH first = band_of(gdal, dataset, request->level, request->band);
    if (fine && block->mask && first)
        fine =
            read_span(gdal, GDALGetMaskBand(first), GDT_Byte, level, span, block_mask_mut(block));
    TL_TRY(gdal_end(dataset, fine, TL_CORRUPT, "a block does not read", err));
    if (block->mask)
        mask_to_0_and_255(block);
    *ret_block = TL_TAKE(block);
    return TL_OK;
}

static enum tl_code make_all(struct gdal_source *gdal, struct gdal_dataset *dataset,
                             struct raster_batch *batch, struct errand *errand, struct tl_err *err)
{
    for (size_t i = 0; i < batch->count; i++) {
        struct block *block = NULL;

        TL_TRY(errand_check(errand, err));
        TL_TRY(read_block(gdal, dataset, batch->requests[i], errand, &block, err));
        TL_TRY(raster_batch_put(&gdal->common, batch, i, block, err));
    }
    return TL_OK;
}

static enum tl_code gdal_make_blocks(struct raster_source *source, struct raster_batch *batch,
                                     struct errand *errand, struct tl_err *err)
{
    struct gdal_source *gdal = (struct gdal_source *)source;
    struct gdal_dataset *dataset = NULL;
    enum tl_code code = TL_OK;

    TL_TRY(borrow(gdal, errand, &dataset, err));
    if (!dataset)
        code = gdal_dataset_open(source->object, errand, &dataset, err);
    int64_t start = clock_now_ns(), fetched = errand->spent_ns[STAGE_FETCH];
    if (code == TL_OK)
        code = make_all(gdal, dataset, batch, errand, err);
    /* GDAL fetches while it decodes: what the store has booked is not decoding. */
    errand_lap(errand, STAGE_DECODE, start + (errand->spent_ns[STAGE_FETCH] - fetched));
    give_back(gdal, dataset);
    return code;
}

static enum tl_code describe_type(struct gdal_source *gdal, GDALDatasetH dataset,
                                  struct tl_err *err)
{
    struct pyramid *pyramid = &gdal->common.pyramid;
    GDALRasterBandH first = GDALGetRasterBand(dataset, 1);
    const char *pixel_type = GDALGetMetadataItem(first, "PIXELTYPE", "IMAGE_STRUCTURE");

    gdal->type = GDALGetRasterDataType(first);
    for (int b = 2; b <= pyramid->bands; b++) {
        if (GDALGetRasterDataType(GDALGetRasterBand(dataset, b)) != gdal->type)
            return tl_fail(err, TL_UNSUPPORTED, "its bands differ in type");
    }
    for (pyramid->dtype = 0; pyramid->dtype < DTYPE_COUNT; pyramid->dtype++) {
        bool is_signed = pixel_type && strcmp(pixel_type, "SIGNEDBYTE") == 0;

        if (gdal_type_of(pyramid->dtype) == gdal->type &&
            (gdal->type != GDT_Byte || is_signed == (pyramid->dtype == DTYPE_I8)))
            return TL_OK;
    }
    return tl_fail(err, TL_UNSUPPORTED,
                   "samples of type %s: 8 to 32 bit whole numbers and 32 or "
                   "64 bit floats are read; convert it with gdal_translate -ot",
                   GDALGetDataTypeName(gdal->type));
}

static enum tl_code describe_grid(struct gdal_source *gdal, GDALDatasetH dataset,
                                  struct tl_err *err)
{
    struct affine *affine = &gdal->common.pyramid.levels[0].affine;
    double gt[6];

    if (GDALGetGeoTransform(dataset, gt) != CE_None)
        return tl_fail(err, TL_UNSUPPORTED, "%s: place it with gdalwarp",
                       GDALGetGCPCount(dataset) ? "it is placed by ground control points"
                                                : "it has no georeference");
    for (int i = 0; i < 6; i++) {
        if (!isfinite(gt[i]))
            return tl_fail(err, TL_UNSUPPORTED, "its georeference is not finite");
    }
    if (gt[2] != 0 || gt[4] != 0 || !(gt[1] > 0) || gt[5] == 0)
        return tl_fail(err, TL_UNSUPPORTED,
                       "its grid is rotated or mirrored: make it north-up with gdalwarp");
    gdal->south_up = gt[5] > 0;
    *affine = (struct affine){.x = gt[0], .y = gt[3], .dx = gt[1], .dy = fabs(gt[5])};
    if (gdal->south_up)
        affine->y += GDALGetRasterYSize(dataset) * gt[5];
    return TL_OK;
}

static enum tl_code describe_nodata(struct gdal_source *gdal, GDALDatasetH dataset,
                                    struct tl_err *err)
{
    struct pyramid *pyramid = &gdal->common.pyramid;
    int has_first, has;
    double first = GDALGetRasterNoDataValue(GDALGetRasterBand(dataset, 1), &has_first);
    int flags = GDALGetMaskFlags(GDALGetRasterBand(dataset, 1));

    for (int b = 2; b <= pyramid->bands; b++) {
        double other = GDALGetRasterNoDataValue(GDALGetRasterBand(dataset, b), &has);

        if (has != has_first || (has && other != first && !(isnan(other) && isnan(first))))
            return tl_fail(err, TL_UNSUPPORTED, "its bands differ in nodata");
    }
    if (has_first)
        pyramid->has_nodata = nodata_for(pyramid->dtype, first, &pyramid->nodata);
    gdal->masked = flags & (GMF_PER_DATASET | GMF_ALPHA) && !(flags & GMF_NODATA);
    gdal->common.info.has_mask = gdal->masked && !(flags & GMF_ALPHA);
    return TL_OK;
}

static enum tl_code describe_levels(struct gdal_source *gdal, GDALDatasetH dataset,
                                    struct tl_err *err)
{
    struct pyramid *pyramid = &gdal->common.pyramid;
    GDALRasterBandH first = GDALGetRasterBand(dataset, 1);
    int width, height;

    GDALGetBlockSize(first, &width, &height);
    if ((uint64_t)width * (uint64_t)height * pyramid->bands * dtype_size(pyramid->dtype) >
        GDAL_NATIVE_BLOCK_MAX)
        return tl_fail(err, TL_LIMIT,
                       "strips or blocks of %d x %d pixels x %u bands: at most %llu bytes; rewrite "
                       "it with gdal_translate -of COG",
                       width, height, pyramid->bands, GDAL_NATIVE_BLOCK_MAX);
    pyramid->planar = pyramid->bands > 1 && (uint64_t)GDAL_BLOCK_SIZE * GDAL_BLOCK_SIZE *
                                                    pyramid->bands * dtype_size(pyramid->dtype) >
                                                CHUNKY_MAX;
    gdal->overview[0] = FULL_PICTURE;
    pyramid_add_level(pyramid, (uint32_t)GDALGetRasterXSize(dataset),
                      (uint32_t)GDALGetRasterYSize(dataset), GDAL_BLOCK_SIZE, GDAL_BLOCK_SIZE);
    for (int i = 0; i < GDALGetOverviewCount(first); i++) {
        GDALRasterBandH overview = GDALGetOverview(first, i);

        if (overview && GDALGetRasterBandXSize(overview) > 0 &&
            GDALGetRasterBandYSize(overview) > 0 &&
            pyramid_add_level(pyramid, (uint32_t)GDALGetRasterBandXSize(overview),
                              (uint32_t)GDALGetRasterBandYSize(overview), GDAL_BLOCK_SIZE,
                              GDAL_BLOCK_SIZE))
            gdal->overview[pyramid->level_count - 1] = i;
    }
    return TL_OK;
}

static void describe_palette(struct raster_info *info, GDALDatasetH dataset)
{
    GDALColorTableH table = GDALGetRasterColorTable(GDALGetRasterBand(dataset, 1));

    for (int i = 0; table && i < GDALGetColorEntryCount(table) && i < 256; i++) {
        const GDALColorEntry *colour = GDALGetColorEntry(table, i);

        info->palette[i][0] = (uint8_t)colour->c1;
        info->palette[i][1] = (uint8_t)colour->c2;
        info->palette[i][2] = (uint8_t)colour->c3;
        info->palette[i][3] = (uint8_t)colour->c4;
    }
    info->has_palette = table != NULL;
}

static void describe_bands(struct gdal_source *gdal, GDALDatasetH dataset)
{
    struct raster_info *info = &gdal->common.info;
    struct arena *strings = gdal->common.strings;
    const char *compression = GDALGetMetadataItem(dataset, "COMPRESSION", "IMAGE_STRUCTURE");

    info->compression = arena_printf(strings, "%s", compression ? compression : "none");
    for (int b = 0; b < gdal->common.pyramid.bands; b++) {
        GDALRasterBandH band = GDALGetRasterBand(dataset, b + 1);
        const char *name = GDALGetDescription(band);
        int has;
        double value = GDALGetRasterScale(band, &has);

        info->scale[b] = has ? value : 1;
        value = GDALGetRasterOffset(band, &has);
        info->offset[b] = has ? value : 0;
        if (name && name[0])
            info->band_names[b] = arena_printf(strings, "%s", name);
        if (GDALGetRasterColorInterpretation(band) == GCI_AlphaBand)
            info->alpha_band = (uint16_t)(b + 1);
    }
    describe_palette(info, dataset);
}

static enum tl_code describe(struct gdal_source *gdal, struct gdal_dataset *dataset,
                             struct tl_err *err)
{
    int bands = GDALGetRasterCount(dataset->gdal);

    if (bands < 1 || bands > PYRAMID_MAX_BANDS)
        return tl_fail(err, TL_UNSUPPORTED, "%d bands: 1 to %d are read", bands, PYRAMID_MAX_BANDS);
    gdal->common.pyramid.bands = (uint16_t)bands;
    TL_TRY(describe_type(gdal, dataset->gdal, err));
    TL_TRY(describe_grid(gdal, dataset->gdal, err));
    TL_TRY(describe_nodata(gdal, dataset->gdal, err));
    TL_TRY(describe_levels(gdal, dataset->gdal, err));
    TL_TRY(gdal_dataset_crs(dataset, &gdal->common.pyramid.crs, err));
    describe_bands(gdal, dataset->gdal);
    return TL_OK;
}

static struct gdal_source *gdal_source_new(void)
{
    struct gdal_source *gdal = calloc(1, sizeof(*gdal));
    pthread_condattr_t attr;

    if (!gdal)
        return NULL;
    pthread_mutex_init(&gdal->mu, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&gdal->returned, &attr);
    pthread_condattr_destroy(&attr);
    gdal->common.base.free = gdal_source_free;
    gdal->common.make = gdal_make_blocks;
    return gdal;
}

enum tl_code gdal_source_open(const struct raster_env *env, struct object *object,
                              const char *reason, struct errand *errand,
                              struct block_source **ret_source, struct tl_err *err)
{
    struct gdal_source *gdal = gdal_source_new();

    if (!gdal)
        return tl_fail(err, TL_NOMEM, "no memory to open %s", object_href(object));
    AUTO(block_source) source = &gdal->common.base;
    TL_TRY(raster_source_init(&gdal->common, env, object, "gdal", reason, err));
    TL_TRY(gdal_dataset_open(object, errand, &gdal->idle, err));
    gdal->opened = 1;
    gdal_begin(gdal->idle, errand);
    enum tl_code code = describe(gdal, gdal->idle, err);
    struct tl_err ignored;
    (void)gdal_end(gdal->idle, true, TL_OK, "", &ignored);
    TL_TRY(code);
    *ret_source = TL_TAKE(source);
    return TL_OK;
}

enum tl_code gdal_read_crs(struct object *object, struct errand *errand, struct crs **ret_crs,
                           struct tl_err *err)
{
    AUTO(gdal_dataset) dataset = NULL;

    TL_TRY(gdal_dataset_open(object, errand, &dataset, err));
    return gdal_dataset_crs(dataset, ret_crs, err);
}
