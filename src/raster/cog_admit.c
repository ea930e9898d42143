#include "raster/cog_impl.h"
#include "raster/gdal_source.h"

/*
 * Admission: which files the fast path draws, decided once at open. A file that is turned
 * away is not worse served than before, only slower, and `tilth check` says why; so the rules here
 * are narrow, and each refusal is one sentence.
 */

enum { SUBFILE_REDUCED = 1, SUBFILE_MASK = 4 };
enum { PLANAR_CHUNKY = 1, PLANAR_SEPARATE = 2 };
enum { EXTRA_ASSOCIATED_ALPHA = 1, EXTRA_ALPHA = 2 };
enum { BLOCK_MIN = 64, BLOCK_MAX = 4096, BLOCK_STEP = 16 };

/* The one value that all samples share; false when they differ. */
static bool same_for_all(const struct tiff_ifd *ifd, enum tiff_tag tag, uint64_t fallback,
                         uint64_t *ret)
{
    const struct tiff_value *value = &ifd->values[tag];
    uint64_t first = fallback, n;

    if (value->count && !tiff_uint(value, 0, &first))
        return false;
    for (uint64_t i = 1; i < value->count && i < PYRAMID_MAX_BANDS; i++) {
        if (!tiff_uint(value, i, &n) || n != first)
            return false;
    }
    *ret = first;
    return true;
}

static bool dtype_of(uint64_t sample_format, uint64_t bits, enum dtype *ret_dtype)
{
    static const struct {
        uint64_t sample_format, bits;
        enum dtype dtype;
    } types[] = {
        {SAMPLE_UINT, 8, DTYPE_U8},    {SAMPLE_INT, 8, DTYPE_I8},     {SAMPLE_UINT, 16, DTYPE_U16},
        {SAMPLE_INT, 16, DTYPE_I16},   {SAMPLE_UINT, 32, DTYPE_U32},  {SAMPLE_INT, 32, DTYPE_I32},
        {SAMPLE_FLOAT, 32, DTYPE_F32}, {SAMPLE_FLOAT, 64, DTYPE_F64},
    };

    for (size_t i = 0; i < TL_COUNT(types); i++) {
        if (types[i].sample_format == sample_format && types[i].bits == bits) {
            *ret_dtype = types[i].dtype;
            return true;
        }
    }
    return false;
}

static const char *block_shape(const struct tiff_ifd *ifd, struct codec_format *format)
{
    uint64_t width = tiff_uint_or(ifd, TAG_BLOCK_WIDTH, 0);
    uint64_t height = tiff_uint_or(ifd, TAG_BLOCK_HEIGHT, 0);

    if (!width || !height || !ifd->values[TAG_BLOCK_OFFSETS].count)
        return "it is stored in strips, not in blocks: rewrite it with gdal_translate -of COG";
    if (width < BLOCK_MIN || width > BLOCK_MAX || width % BLOCK_STEP || height < BLOCK_MIN ||
        height > BLOCK_MAX || height % BLOCK_STEP)
        return "its blocks are not of 64 to 4096 pixels a side";
    format->width = (uint32_t)width;
    format->height = (uint32_t)height;
    return NULL;
}

/* How the blocks of a directory are stored. `bits` and such may be anything here. */
static const char *format_of(const struct tiff_ifd *ifd, struct codec_format *ret_format)
{
    const struct tiff_value *tables = &ifd->values[TAG_JPEG_TABLES];
    uint64_t bits, sample_format, n;
    struct codec_format format = {
        .compression = (uint16_t)tiff_uint_or(ifd, TAG_COMPRESSION, CODEC_NONE),
        .predictor = (uint16_t)tiff_uint_or(ifd, TAG_PREDICTOR, 1),
        .photometric = (uint16_t)tiff_uint_or(ifd, TAG_PHOTOMETRIC, PHOTO_MIN_IS_BLACK),
    };
    uint64_t bands = tiff_uint_or(ifd, TAG_SAMPLES_PER_PIXEL, 1);
    uint64_t planar = tiff_uint_or(ifd, TAG_PLANAR, PLANAR_CHUNKY);

    const char *reason = block_shape(ifd, &format);
    if (reason)
        return reason;
    if (!bands || bands > PYRAMID_MAX_BANDS)
        return "it has more than 256 bands";
    if (planar != PLANAR_CHUNKY && planar != PLANAR_SEPARATE)
        return "its planar configuration is unknown";
    if (!same_for_all(ifd, TAG_BITS_PER_SAMPLE, 1, &bits) || bits > 64 ||
        !same_for_all(ifd, TAG_SAMPLE_FORMAT, SAMPLE_UINT, &sample_format))
        return "its bands differ in sample type";
    if (tiff_uint_or(ifd, TAG_FILL_ORDER, 1) != 1)
        return "its bits are stored in reverse order";
    format.bits = (uint8_t)bits;
    format.sample_format = (uint8_t)TL_MIN(sample_format, (uint64_t)UINT8_MAX);
    format.bands = planar == PLANAR_CHUNKY ? (uint16_t)bands : 1;
    /* JPEG tables are UNDEFINED or BYTE: bytes either way. */
    format.jpeg_tables = tables->bytes;
    format.jpeg_tables_size = (size_t)TL_MIN(tables->count, (uint64_t)UINT16_MAX);
    for (uint64_t i = 0; i < 2; i++) {
        if (tiff_uint(&ifd->values[TAG_YCBCR_SUBSAMPLING], i, &n))
            format.subsampling[i] = (uint16_t)n;
        if (tiff_uint(&ifd->values[TAG_LERC_PARAMETERS], i, &n))
            format.lerc[i] = (uint32_t)n;
    }
    *ret_format = format;
    return NULL;
}

static const char *image_refusal(const struct tiff_ifd *ifd, const struct codec_format *format)
{
    bool planar = tiff_uint_or(ifd, TAG_PLANAR, PLANAR_CHUNKY) == PLANAR_SEPARATE;
    enum dtype dtype;

    if (!dtype_of(format->sample_format, format->bits, &dtype))
        return "its samples are not uint or int of 8, 16, 32 bits nor float of 32, 64";
    if (format->photometric != PHOTO_MIN_IS_BLACK && format->photometric != PHOTO_RGB &&
        format->photometric != PHOTO_PALETTE && format->photometric != PHOTO_YCBCR)
        return "its photometric interpretation is not grey, RGB, palette or YCbCr";
    if (planar && format->photometric == PHOTO_YCBCR)
        return "it has YCbCr samples in separate planes";
    const char *reason = codec_refusal(format);
    if (!reason && codec_block_size(format) > CODEC_MAX_BLOCK_BYTES)
        return "its blocks with all bands decode to more than 64 MiB: rewrite it with "
               "-co INTERLEAVE=BAND or a smaller -co BLOCKSIZE";
    return reason;
}

static const char *mask_refusal(const struct codec_format *mask, const struct codec_format *image)
{
    if (mask->bits != 1 || mask->bands != 1)
        return "its mask is not one bit per pixel";
    if (mask->width != image->width || mask->height != image->height)
        return "its mask has blocks of another size";
    if (mask->compression == CODEC_JPEG || mask->compression == CODEC_LERC ||
        mask->compression == CODEC_WEBP)
        return "its mask has a compression that is not for bits";
    return codec_refusal(mask);
}

static bool same_size(const struct tiff_ifd *a, const struct tiff_ifd *b)
{
    return tiff_uint_or(a, TAG_WIDTH, 0) == tiff_uint_or(b, TAG_WIDTH, 0) &&
           tiff_uint_or(a, TAG_HEIGHT, 0) == tiff_uint_or(b, TAG_HEIGHT, 0);
}

static const struct tiff_ifd *mask_of(const struct tiff *tiff, const struct tiff_ifd *image)
{
    for (unsigned i = 0; i < tiff->ifd_count; i++) {
        const struct tiff_ifd *ifd = &tiff->ifds[i];

        if (tiff_uint_or(ifd, TAG_SUBFILE_TYPE, 0) & SUBFILE_MASK && same_size(ifd, image))
            return ifd;
    }
    return NULL;
}

/*
 * 1-based; 0: no band is alpha. Only the last one is believed, as GDAL does: GTiff's
 * ALPHA=YES of a grey picture of four bands marks the second, which is data.
 */
static uint16_t alpha_band_of(const struct tiff_ifd *ifd, uint64_t bands)
{
    const struct tiff_value *extra = &ifd->values[TAG_EXTRA_SAMPLES];
    uint64_t kind;

    if (!extra->count || extra->count >= bands || !tiff_uint(extra, extra->count - 1, &kind))
        return 0;
    return kind == EXTRA_ASSOCIATED_ALPHA || kind == EXTRA_ALPHA ? (uint16_t)bands : 0;
}

/* The caps hold for GDAL too: past them a file is refused. */
static enum tl_code check_limits(const struct tiff_ifd *ifd, struct tl_err *err)
{
    uint64_t width = tiff_uint_or(ifd, TAG_WIDTH, 0), height = tiff_uint_or(ifd, TAG_HEIGHT, 0);
    uint64_t block_width = tiff_uint_or(ifd, TAG_BLOCK_WIDTH, 0);
    uint64_t block_height = tiff_uint_or(ifd, TAG_BLOCK_HEIGHT, 0);
    uint64_t bands = tiff_uint_or(ifd, TAG_SAMPLES_PER_PIXEL, 1);
    uint64_t bytes = TL_MAX(tiff_uint_or(ifd, TAG_BITS_PER_SAMPLE, 1) / 8, UINT64_C(1));
    bool planar = tiff_uint_or(ifd, TAG_PLANAR, PLANAR_CHUNKY) == PLANAR_SEPARATE;

    if (width - 1 >= INT32_MAX || height - 1 >= INT32_MAX)
        return tl_fail(err, TL_CORRUPT, "a picture of %llu x %llu pixels",
                       (unsigned long long)width, (unsigned long long)height);
    if (!block_width || !block_height)
        return TL_OK;
    if (block_width > UINT16_MAX || block_height > UINT16_MAX || bands > UINT16_MAX || bytes > 16 ||
        block_width * block_height * bytes * (planar ? 1 : bands) > GDAL_NATIVE_BLOCK_MAX)
        return tl_fail(err, TL_LIMIT,
                       "blocks of %llu x %llu pixels x %llu bands: at most %llu bytes; rewrite it "
                       "with -co INTERLEAVE=BAND or a smaller -co BLOCKSIZE",
                       (unsigned long long)block_width, (unsigned long long)block_height,
                       (unsigned long long)bands, GDAL_NATIVE_BLOCK_MAX);
    uint64_t blocks =
        ((width - 1) / block_width + 1) * ((height - 1) / block_height + 1) * (planar ? bands : 1);
    if (blocks > TIFF_MAX_BLOCKS)
        return tl_fail(err, TL_LIMIT, "%llu blocks, at most %u", (unsigned long long)blocks,
                       TIFF_MAX_BLOCKS);
    return TL_OK;
}

/* Adds the directory as the next level; NULL too where it is no level but does no harm. */
static const char *add_level(struct cog *cog, const struct tiff_ifd *ifd)
{
    struct pyramid *pyramid = &cog->common.pyramid;
    struct cog_level level = {.ifd = ifd, .mask_ifd = mask_of(cog->tiff, ifd)};
    uint64_t width = tiff_uint_or(ifd, TAG_WIDTH, 0), height = tiff_uint_or(ifd, TAG_HEIGHT, 0);
    const char *reason = format_of(ifd, &level.image);

    if (!reason)
        reason = image_refusal(ifd, &level.image);
    if (!reason && level.mask_ifd)
        reason = format_of(level.mask_ifd, &level.mask);
    if (!reason && level.mask_ifd)
        reason = mask_refusal(&level.mask, &level.image);
    if (reason)
        return reason;
    level.cols = (uint32_t)((width - 1) / level.image.width + 1);
    level.rows = (uint32_t)((height - 1) / level.image.height + 1);
    /* Masked pixels must not come back in an overview that lost its mask. */
    if (pyramid->level_count && !level.mask_ifd != !cog->levels[0].mask_ifd)
        return NULL;
    if (pyramid_add_level(pyramid, (uint32_t)width, (uint32_t)height, level.image.width,
                          level.image.height))
        cog->levels[pyramid->level_count - 1] = level;
    return NULL;
}

static bool same_uint(const struct tiff_ifd *a, const struct tiff_ifd *b, enum tiff_tag tag,
                      uint64_t fallback)
{
    return tiff_uint_or(a, tag, fallback) == tiff_uint_or(b, tag, fallback);
}

/* The directory has samples like those of level 0. One band is planar or not, as it likes. */
static bool same_samples(const struct tiff_ifd *a, const struct tiff_ifd *b)
{
    return same_uint(a, b, TAG_SAMPLES_PER_PIXEL, 1) && same_uint(a, b, TAG_BITS_PER_SAMPLE, 1) &&
           same_uint(a, b, TAG_SAMPLE_FORMAT, SAMPLE_UINT) &&
           (same_uint(a, b, TAG_PLANAR, PLANAR_CHUNKY) ||
            tiff_uint_or(a, TAG_SAMPLES_PER_PIXEL, 1) == 1);
}

/* A level of which no block is stored, under a level that has some, was never filled. */
static bool never_filled(const struct tiff_ifd *ifd)
{
    const struct tiff_value *counts = &ifd->values[TAG_BLOCK_BYTE_COUNTS];

    for (uint64_t i = 0; i < counts->count; i++) {
        if (!cog_extent_of(ifd, i).sparse)
            return false;
    }
    return true;
}

static void drop_unfilled(struct cog *cog)
{
    struct pyramid *pyramid = &cog->common.pyramid;

    if (never_filled(cog->levels[0].ifd))
        return;
    for (int i = 1; i < pyramid->level_count; i++)
        pyramid->levels[i].usable = !never_filled(cog->levels[i].ifd);
}

static const char *describe_samples(struct cog *cog, const struct tiff_ifd *ifd)
{
    struct pyramid *pyramid = &cog->common.pyramid;
    uint64_t bits = 0, sample_format = 0, bands = tiff_uint_or(ifd, TAG_SAMPLES_PER_PIXEL, 1);

    if (tiff_uint_or(ifd, TAG_SUBFILE_TYPE, 0) & (SUBFILE_REDUCED | SUBFILE_MASK))
        return "its first directory is not its full picture";
    if (ifd->values[TAG_RPC].count)
        return "it is placed by rational polynomials";
    if (!bands || bands > PYRAMID_MAX_BANDS)
        return "it has more than 256 bands";
    if (!same_for_all(ifd, TAG_BITS_PER_SAMPLE, 1, &bits) ||
        !same_for_all(ifd, TAG_SAMPLE_FORMAT, SAMPLE_UINT, &sample_format) ||
        !dtype_of(sample_format, bits, &pyramid->dtype))
        return "its samples are not uint or int of 8, 16, 32 bits nor float of 32, 64";
    pyramid->bands = (uint16_t)bands;
    pyramid->planar = bands > 1 && tiff_uint_or(ifd, TAG_PLANAR, PLANAR_CHUNKY) == PLANAR_SEPARATE;
    cog->alpha_band = alpha_band_of(ifd, bands);
    if (cog->alpha_band && pyramid->planar)
        return "it has an alpha band in a plane of its own";
    return georef_read(ifd, &cog->georef);
}

static bool is_overview(const struct tiff_ifd *ifd, const struct tiff_ifd *full)
{
    uint64_t kind = tiff_uint_or(ifd, TAG_SUBFILE_TYPE, 0);

    return kind & SUBFILE_REDUCED && !(kind & SUBFILE_MASK) && same_samples(ifd, full);
}

/* Overviews, largest first, in whatever order the file has them. Returns how many. */
static size_t find_overviews(const struct tiff *tiff, const struct tiff_ifd **ret_ifds)
{
    size_t count = 0;

    for (unsigned i = 1; i < tiff->ifd_count; i++) {
        const struct tiff_ifd *ifd = &tiff->ifds[i];
        size_t at = count;

        if (!is_overview(ifd, &tiff->ifds[0]))
            continue;
        for (; at > 0 &&
               tiff_uint_or(ret_ifds[at - 1], TAG_WIDTH, 0) < tiff_uint_or(ifd, TAG_WIDTH, 0);
             at--)
            ret_ifds[at] = ret_ifds[at - 1];
        ret_ifds[at] = ifd;
        count++;
    }
    return count;
}

static const char *admit(struct cog *cog)
{
    const struct tiff_ifd *full = &cog->tiff->ifds[0], *overviews[TIFF_MAX_IFDS];
    const char *reason = describe_samples(cog, full);

    if (reason)
        return reason;
    cog->common.pyramid.levels[0].affine = cog->georef.affine;
    size_t count = find_overviews(cog->tiff, overviews);
    reason = add_level(cog, full);
    for (size_t i = 0; !reason && i < count; i++)
        reason = add_level(cog, overviews[i]);
    if (!reason)
        drop_unfilled(cog);
    return reason;
}

enum tl_code cog_admit(struct cog *cog, struct tl_err *err)
{
    for (unsigned i = 0; i < cog->tiff->ifd_count; i++)
        TL_TRY(check_limits(&cog->tiff->ifds[i], err));
    const char *reason = admit(cog);
    return reason ? tl_fail(err, TL_UNSUPPORTED, "%s", reason) : TL_OK;
}
