#include "raster/codec.h"

#include "base/check.h"
#include "raster/predictor.h"
#include "raster/tiff_codec.h"

#include <libdeflate.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { PREDICTOR_NONE = 1, PREDICTOR_HORIZONTAL = 2, PREDICTOR_FLOAT = 3 };

struct scratch {
    uint8_t *bytes;
    size_t size;
    bool lent; /* somebody else's */
};

struct codec {
    struct libdeflate_decompressor *deflate;
    ZSTD_DCtx *zstd;
    /* libtiff handles: one for images, one for masks, of the format seen last. */
    struct {
        const struct codec_format *format;
        struct tiff_codec *codec;
    } tiff[2];
    struct scratch raw; /* a block before its bands are taken apart */
    struct scratch row; /* one row, for predictor 3 */
};

static const struct {
    uint16_t number;
    bool predicts; /* libtiff knows predictors for it; elsewhere the tag means nothing */
    bool by_libtiff;
    const char *name;
} compressions[] = {
    {CODEC_NONE, false, false, "none"},         {CODEC_LZW, true, true, "lzw"},
    {CODEC_JPEG, false, true, "jpeg"},          {CODEC_DEFLATE, true, false, "deflate"},
    {CODEC_PACKBITS, false, false, "packbits"}, {CODEC_OLD_DEFLATE, true, false, "deflate"},
    {CODEC_LERC, false, true, "lerc"},          {CODEC_ZSTD, true, false, "zstd"},
    {CODEC_WEBP, false, true, "webp"},
};

/* Its row in the table; TL_COUNT(compressions): unknown. */
static size_t compression_row(uint16_t compression)
{
    size_t i = 0;

    while (i < TL_COUNT(compressions) && compressions[i].number != compression)
        i++;
    return i;
}

const char *compression_name(uint16_t compression)
{
    size_t row = compression_row(compression);

    return row < TL_COUNT(compressions) ? compressions[row].name : "unknown";
}

static uint16_t predictor_of(const struct codec_format *format)
{
    return compressions[compression_row(format->compression)].predicts ? format->predictor
                                                                       : PREDICTOR_NONE;
}

static const char *predictor_refusal(const struct codec_format *format)
{
    uint16_t predictor = predictor_of(format);

    if (predictor < PREDICTOR_NONE || predictor > PREDICTOR_FLOAT)
        return "its predictor is unknown";
    if (predictor != PREDICTOR_NONE && format->bits < 8)
        return "it has a predictor on samples of one bit";
    if (predictor == PREDICTOR_FLOAT && format->sample_format != SAMPLE_FLOAT)
        return "it has a floating point predictor on whole numbers";
    return NULL;
}

static const char *jpeg_refusal(const struct codec_format *format)
{
    if (format->bits != 8 || format->sample_format != SAMPLE_UINT)
        return "it has JPEG blocks of samples that are not uint8";
    if (format->photometric == PHOTO_YCBCR &&
        (format->bands != 3 || !format->subsampling[0] || !format->subsampling[1]))
        return "its YCbCr blocks do not say how they are subsampled";
    return NULL;
}

const char *codec_refusal(const struct codec_format *format)
{
    size_t row = compression_row(format->compression);

    if (row == TL_COUNT(compressions))
        return "its compression is not one of none, deflate, zstd, lzw, packbits, jpeg, webp, lerc";
    if (compressions[row].by_libtiff && !tiff_codec_has(format->compression))
        return "this libtiff has no decoder for its compression";
    if (format->photometric == PHOTO_YCBCR && format->compression != CODEC_JPEG)
        return "it has YCbCr samples outside of JPEG";
    if (format->compression == CODEC_JPEG && jpeg_refusal(format))
        return jpeg_refusal(format);
    if (format->compression == CODEC_WEBP &&
        (format->bits != 8 || format->bands < 3 || format->bands > 4))
        return "it has WebP blocks that are not RGB or RGBA";
    return predictor_refusal(format);
}

size_t codec_block_size(const struct codec_format *format)
{
    size_t pixels = (size_t)format->width * format->height;

    return format->bits == 1 ? pixels : pixels * format->bands * (format->bits / 8);
}

/* Bytes of the block before it was compressed. */
static size_t raw_size(const struct codec_format *format)
{
    if (format->bits == 1)
        return (size_t)format->width / 8 * format->height;
    return codec_block_size(format);
}

static void scratch_release(struct scratch *scratch)
{
    if (!scratch->lent)
        free(scratch->bytes);
    *scratch = (struct scratch){0};
}

static uint8_t *scratch_of(struct scratch *scratch, size_t size)
{
    if (scratch->size < size) {
        scratch_release(scratch);
        scratch->bytes = malloc(size);
        scratch->size = scratch->bytes ? size : 0;
    }
    return scratch->bytes;
}

/* Samples that need nothing after decompression but a predictor go straight to their place. */
static bool is_straight(const struct codec_format *format)
{
    return format->bits != 1 && format->bands == 1;
}

size_t codec_scratch_size(const struct codec_format *format)
{
    return is_straight(format) ? 0 : raw_size(format);
}

void codec_lend_scratch(struct codec *codec, void *bytes, size_t size)
{
    scratch_release(&codec->raw);
    codec->raw = (struct scratch){.bytes = bytes, .size = size, .lent = true};
}

struct codec *codec_new(void)
{
    return calloc(1, sizeof(struct codec));
}

void codec_free(struct codec *codec)
{
    if (!codec)
        return;
    libdeflate_free_decompressor(codec->deflate);
    ZSTD_freeDCtx(codec->zstd);
    tiff_codec_free(codec->tiff[0].codec);
    tiff_codec_free(codec->tiff[1].codec);
    scratch_release(&codec->raw);
    scratch_release(&codec->row);
    free(codec);
}

static enum tl_code undo_none(const uint8_t *bytes, size_t size, void *out, size_t out_size,
                              struct tl_err *err)
{
    if (size < out_size)
        return tl_fail(err, TL_CORRUPT, "%zu bytes of a block that needs %zu", size, out_size);
    memcpy(out, bytes, out_size);
    return TL_OK;
}

static enum tl_code undo_deflate(struct codec *codec, const uint8_t *bytes, size_t size, void *out,
                                 size_t out_size, struct tl_err *err)
{
    if (!codec->deflate)
        codec->deflate = libdeflate_alloc_decompressor();
    if (!codec->deflate)
        return tl_fail(err, TL_NOMEM, "no memory for a block decoder");
    /* Without a place for the actual size, anything but `out_size` bytes is a failure. */
    enum libdeflate_result result =
        libdeflate_zlib_decompress(codec->deflate, bytes, size, out, out_size, NULL);
    if (result == LIBDEFLATE_SUCCESS)
        return TL_OK;
    return tl_fail(err, TL_CORRUPT, "its deflate stream %s",
                   result == LIBDEFLATE_BAD_DATA       ? "is damaged"
                   : result == LIBDEFLATE_SHORT_OUTPUT ? "ends before the block is full"
                                                       : "holds more than a block");
}

static enum tl_code undo_zstd(struct codec *codec, const uint8_t *bytes, size_t size, void *out,
                              size_t out_size, struct tl_err *err)
{
    if (!codec->zstd)
        codec->zstd = ZSTD_createDCtx();
    if (!codec->zstd)
        return tl_fail(err, TL_NOMEM, "no memory for a block decoder");
    size_t got = ZSTD_decompressDCtx(codec->zstd, out, out_size, bytes, size);
    if (ZSTD_isError(got))
        return tl_fail(err, TL_CORRUPT, "its zstd frame: %s", ZSTD_getErrorName(got));
    if (got != out_size)
        return tl_fail(err, TL_CORRUPT, "its zstd frame holds %zu bytes of a block of %zu", got,
                       out_size);
    return TL_OK;
}

/*
 * Runs: n >= 0 is followed by n + 1 bytes as they are, n < 0 by one byte to be repeated
 * 1 - n times, and -128 says nothing.
 */
static enum tl_code undo_packbits(const uint8_t *bytes, size_t size, uint8_t *out, size_t out_size,
                                  struct tl_err *err)
{
    const uint8_t *end = bytes + size, *out_end = out + out_size;

    while (out < out_end) {
        int n = bytes < end ? (int8_t)*bytes++ : INT8_MIN;
        size_t count = (size_t)(n < 0 ? 1 - n : n + 1), needs = n < 0 ? 1 : count;

        if (n == INT8_MIN && bytes < end)
            continue;
        if ((size_t)(end - bytes) < needs || (size_t)(out_end - out) < count)
            return tl_fail(err, TL_CORRUPT, "its packbits runs do not make a block");
        if (n < 0)
            memset(out, *bytes, count);
        else
            memcpy(out, bytes, count);
        bytes += needs;
        out += count;
    }
    return TL_OK;
}

static enum tl_code undo_by_libtiff(struct codec *codec, const struct codec_format *format,
                                    const uint8_t *bytes, size_t size, void *out,
                                    struct tl_err *err)
{
    int slot = format->bits == 1;

    if (codec->tiff[slot].format != format) {
        tiff_codec_free(codec->tiff[slot].codec);
        codec->tiff[slot].codec = NULL;
        codec->tiff[slot].format = NULL;
        TL_TRY(tiff_codec_new(format, &codec->tiff[slot].codec, err));
        codec->tiff[slot].format = format;
    }
    return tiff_codec_decode(codec->tiff[slot].codec, bytes, size, out, raw_size(format), err);
}

static enum tl_code decompress(struct codec *codec, const struct codec_format *format,
                               const uint8_t *bytes, size_t size, void *out, struct tl_err *err)
{
    size_t out_size = raw_size(format);

    switch (format->compression) {
    case CODEC_NONE:
        return undo_none(bytes, size, out, out_size, err);
    case CODEC_DEFLATE:
    case CODEC_OLD_DEFLATE:
        return undo_deflate(codec, bytes, size, out, out_size, err);
    case CODEC_ZSTD:
        return undo_zstd(codec, bytes, size, out, out_size, err);
    case CODEC_PACKBITS:
        return undo_packbits(bytes, size, out, out_size, err);
    default:
        return undo_by_libtiff(codec, format, bytes, size, out, err);
    }
}

/* Undoes the predictor and takes `raw` apart into bands. */
static enum tl_code split(struct codec *codec, const struct codec_format *format, const void *raw,
                          void *out, struct tl_err *err)
{
    struct sample_rows rows = {format->width, format->height, format->bands,
                               (uint8_t)(format->bits / 8)};
    uint16_t predictor = predictor_of(format);

    if (predictor == PREDICTOR_FLOAT) {
        size_t size = (size_t)rows.width * rows.bands * rows.sample_size;
        uint8_t *row = scratch_of(&codec->row, size);

        if (!row)
            return tl_fail(err, TL_NOMEM, "no memory for a row of %zu bytes", size);
        split_float_bands(&rows, raw, out, row);
    } else if (predictor == PREDICTOR_HORIZONTAL || raw != out) {
        split_bands(&rows, predictor == PREDICTOR_HORIZONTAL, raw, out);
    }
    return TL_OK;
}

/*
 * Eight bits to eight bytes of 0 or 255, the highest bit in the first byte. The factor has
 * a one at every ninth bit, so bit 7 - i of `bits` lands on bit 8 i + 7, and no two bits of the
 * product meet.
 */
static uint64_t spread(uint8_t bits)
{
    return (bits * UINT64_C(0x8040201008040201) >> 7 & UINT64_C(0x0101010101010101)) * UINT8_MAX;
}

/* Rows of bits, the first pixel in the highest, to 0 and 255. Widths are multiples of 16. */
static void expand_bits(const struct codec_format *format, const uint8_t *bits, uint8_t *out)
{
    for (size_t i = 0; i < raw_size(format); i++) {
        uint64_t pixels = spread(bits[i]);

        memcpy(out + 8 * i, &pixels, sizeof(pixels));
    }
}

enum tl_code codec_decode(struct codec *codec, const struct codec_format *format,
                          const uint8_t *bytes, size_t size, void *out, struct tl_err *err)
{
    void *raw = is_straight(format) ? out : scratch_of(&codec->raw, raw_size(format));

    TL_CHECK(codec_block_size(format) <= CODEC_MAX_BLOCK_BYTES && format->width % 8 == 0);
    if (!raw)
        return tl_fail(err, TL_NOMEM, "no memory for a block of %zu bytes", raw_size(format));
    TL_TRY(decompress(codec, format, bytes, size, raw, err));
    if (format->bits != 1)
        return split(codec, format, raw, out, err);
    expand_bits(format, raw, out);
    return TL_OK;
}
