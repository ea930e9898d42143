#include "raster/cog.h"

#include "base/arena.h"
#include "base/errand.h"
#include "geo/crs.h"
#include "raster/cog_impl.h"
#include "raster/gdal_metadata.h"
#include "raster/gdal_source.h"
#include "store/store.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* tiff_input over an object of the store. */
struct object_input {
    struct object *object;
    struct errand *errand;
};

static enum tl_code read_object(void *arg, const struct range *ranges, size_t count,
                                struct slice *ret_slices, struct tl_err *err)
{
    struct object_input *input = arg;

    return object_read(input->object, ranges, count, input->errand, ret_slices, err);
}

static void cog_free(struct block_source *source)
{
    struct cog *cog = (struct cog *)source;

    raster_source_release(&cog->common);
    tiff_close(cog->tiff);
    free(cog);
}

static struct cog *cog_new(void)
{
    struct cog *cog = calloc(1, sizeof(*cog));

    if (cog) {
        cog->common.base.free = cog_free;
        cog->common.make = cog_make_blocks;
    }
    return cog;
}

bool cog_is(const struct block_source *source)
{
    return source->free == cog_free;
}

static enum tl_code read_tiff(struct cog *cog, struct object *object, struct errand *errand,
                              struct tl_err *err)
{
    struct object_input from = {object, errand};
    struct tiff_input input = {.read = read_object, .arg = &from, .size = object_size(object)};

    return tiff_open(&input, &cog->tiff, err);
}

/* "-9999", "nan", "3.4e+38", sometimes with spaces around. One value for all bands. */
static void read_nodata(const struct tiff_ifd *ifd, struct pyramid *pyramid)
{
    char digits[64], *end;
    size_t size;
    const char *text = tiff_text(&ifd->values[TAG_GDAL_NODATA], &size);

    if (!text || !size || size >= sizeof(digits))
        return;
    memcpy(digits, text, size);
    digits[size] = '\0';
    double nodata = strtod(digits, &end);
    if (end != digits)
        pyramid->has_nodata = nodata_for(pyramid->dtype, nodata, &pyramid->nodata);
}

/* Three planes of 2^bits uint16: all reds, all greens, all blues; 8 bits are in the high byte. */
static void read_palette(const struct tiff_ifd *ifd, struct raster_info *info)
{
    const struct tiff_value *map = &ifd->values[TAG_COLOR_MAP];
    uint64_t intensity;

    if (tiff_uint_or(ifd, TAG_PHOTOMETRIC, 0) != PHOTO_PALETTE || map->count != UINT64_C(3) * 256)
        return;
    for (uint64_t i = 0; i < 256; i++) {
        for (uint64_t channel = 0; channel < 3; channel++) {
            if (!tiff_uint(map, channel * 256 + i, &intensity))
                return;
            info->palette[i][channel] = (uint8_t)(intensity >> 8);
        }
        info->palette[i][3] = UINT8_MAX;
    }
    info->has_palette = true;
}

void cog_describe(struct cog *cog)
{
    const struct tiff_ifd *ifd = &cog->tiff->ifds[0];
    struct pyramid *pyramid = &cog->common.pyramid;
    struct raster_info *info = &cog->common.info;
    size_t size;
    const char *xml = tiff_text(&ifd->values[TAG_GDAL_METADATA], &size);

    read_nodata(ifd, pyramid);
    read_palette(ifd, info);
    if (xml)
        gdal_metadata_read(xml, size, pyramid->bands, cog->common.strings, info);
    info->compression = compression_name(cog->levels[0].image.compression);
    info->header_bytes = cog->tiff->header_bytes;
    info->ghost_area = cog->tiff->ghost_area;
    info->alpha_band = cog->alpha_band;
    info->has_mask = cog->levels[0].mask_ifd != NULL;
    /* A nodata colour is not a colour. */
    if (info->has_palette && pyramid->has_nodata && pyramid->dtype == DTYPE_U8)
        info->palette[(uint8_t)pyramid->nodata][3] = 0;
}

/* The EPSG code that the keys name; what has none, GDAL reads from the keys once. */
static enum tl_code find_crs(struct cog *cog, struct object *object, struct errand *errand,
                             struct tl_err *err)
{
    char definition[32];
    struct tl_err ignored;

    snprintf(definition, sizeof(definition), "EPSG:%u", cog->georef.epsg);
    if (cog->georef.epsg && crs_new(definition, &cog->common.pyramid.crs, &ignored) == TL_OK)
        return TL_OK;
    return gdal_read_crs(object, errand, &cog->common.pyramid.crs, err);
}

enum tl_code cog_open(const struct raster_env *env, struct object *object, struct errand *errand,
                      struct block_source **ret_source, struct tl_err *err)
{
    struct cog *cog = cog_new();

    if (!cog)
        return tl_fail(err, TL_NOMEM, "no memory to open %s", object_href(object));
    AUTO(block_source) source = &cog->common.base;
    TL_TRY(raster_source_init(&cog->common, env, object, "tilth", NULL, err));
    source->ahead = object_is_distant(object) ? cog_read_ahead : NULL;
    TL_TRY(read_tiff(cog, object, errand, err));
    TL_TRY(cog_admit(cog, err));
    TL_TRY(find_crs(cog, object, errand, err));
    cog_describe(cog);
    *ret_source = TL_TAKE(source);
    return TL_OK;
}

bool cog_richest_block(const struct block_source *source, uint8_t level, struct block_rect rect,
                       struct block_request *ret_request)
{
    const struct cog_level *of = &((const struct cog *)source)->levels[level];
    uint64_t most = 0;

    for (uint32_t row = rect.row0; row < rect.row0 + rect.rows; row++) {
        for (uint32_t col = rect.col0; col < rect.col0 + rect.cols; col++) {
            struct cog_extent extent = cog_extent_of(of->ifd, (uint64_t)row * of->cols + col);

            if (extent.sparse || extent.size <= most)
                continue;
            most = extent.size;
            *ret_request = (struct block_request){.level = level, .col = col, .row = row};
        }
    }
    return most > 0;
}

/* What of an index lies behind the end of the object. */
struct missing {
    uint64_t count;
    uint64_t end;   /* of the first such block */
    uint64_t block; /* its number in its directory */
    uint8_t level;
    const char *what; /* "block" or "mask block" */
};

static void find_missing(const struct cog *cog, const struct tiff_ifd *ifd, uint8_t level,
                         struct missing *missing)
{
    uint64_t size = cog->common.info.size_bytes, blocks = ifd->values[TAG_BLOCK_OFFSETS].count;

    for (uint64_t i = 0; i < blocks; i++) {
        struct cog_extent extent = cog_extent_of(ifd, i);
        uint64_t end = 0;

        if (extent.sparse)
            continue;
        if (__builtin_add_overflow(extent.offset, extent.size, &end))
            end = UINT64_MAX;
        if (end <= size || missing->count++)
            continue;
        missing->end = end;
        missing->block = i;
        missing->level = level;
        missing->what = ifd == cog->levels[level].ifd ? "block" : "mask block";
    }
}

enum tl_code cog_check_index(const struct block_source *source, struct tl_err *err)
{
    const struct cog *cog = (const struct cog *)source;
    struct missing missing = {0};

    for (uint8_t i = 0; i < cog->common.pyramid.level_count; i++) {
        find_missing(cog, cog->levels[i].ifd, i, &missing);
        if (cog->levels[i].mask_ifd)
            find_missing(cog, cog->levels[i].mask_ifd, i, &missing);
    }
    if (!missing.count)
        return TL_OK;
    const struct cog_level *level = &cog->levels[missing.level];
    return tl_fail(err, TL_CORRUPT,
                   "truncated: %s %llu,%llu of level %u ends at byte %llu of %llu, and %llu other "
                   "blocks beyond it too: copy the file again",
                   missing.what, (unsigned long long)(missing.block % level->cols),
                   (unsigned long long)(missing.block / level->cols % level->rows), missing.level,
                   (unsigned long long)missing.end, (unsigned long long)cog->common.info.size_bytes,
                   (unsigned long long)(missing.count - 1));
}
