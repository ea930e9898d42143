#include "raster/tiff_codec.h"

#include "base/buf.h"
#include "raster/codec.h"

#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

/* libtiff asks for no more than this at once, whatever a block makes it believe. */
enum { MAX_ALLOCATION = 256 * 1024 * 1024 };

struct tiff_codec {
    TIFF *tiff;
    struct buf file; /* header and directory */
    uint64_t at;     /* where libtiff reads */
    char message[200];
};

static tmsize_t on_read(thandle_t handle, void *out, tmsize_t size)
{
    struct tiff_codec *codec = handle;
    size_t left = codec->at < codec->file.size ? codec->file.size - (size_t)codec->at : 0;
    size_t step = TL_MIN((size_t)size, left);

    if (step)
        memcpy(out, codec->file.bytes + codec->at, step);
    codec->at += step;
    return (tmsize_t)step;
}

static tmsize_t on_write(thandle_t handle, void *bytes, tmsize_t size)
{
    (void)handle;
    (void)bytes;
    (void)size;
    return 0;
}

static toff_t on_seek(thandle_t handle, toff_t offset, int whence)
{
    struct tiff_codec *codec = handle;

    if (whence == SEEK_CUR)
        offset += codec->at;
    else if (whence == SEEK_END)
        offset += codec->file.size;
    codec->at = offset;
    return offset;
}

static int on_close(thandle_t handle)
{
    (void)handle;
    return 0;
}

static toff_t on_size(thandle_t handle)
{
    return ((struct tiff_codec *)handle)->file.size;
}

static int on_error(TIFF *tiff, void *arg, const char *module, const char *fmt, va_list args)
    TL_PRINTF(4, 0);
static int on_warning(TIFF *tiff, void *arg, const char *module, const char *fmt, va_list args)
    TL_PRINTF(4, 0);

/* The first error of a block is the cause; what follow are its consequences. */
static int on_error(TIFF *tiff, void *arg, const char *module, const char *fmt, va_list args)
{
    struct tiff_codec *codec = arg;

    (void)tiff;
    (void)module;
    if (!codec->message[0])
        vsnprintf(codec->message, sizeof(codec->message), fmt, args);
    return 1;
}

static int on_warning(TIFF *tiff, void *arg, const char *module, const char *fmt, va_list args)
{
    (void)tiff;
    (void)arg;
    (void)module;
    (void)fmt;
    (void)args;
    return 1;
}

static void put(struct buf *buf, uint64_t n, unsigned size)
{
    buf_append(buf, &n, size);
}

/*
 * A directory under construction. Arrays that do not fit into an entry go to `tail`,
 * which will lie behind the directory.
 */
struct directory {
    struct buf entries, tail;
    uint32_t tail_at;
    uint16_t count;
};

static void entry(struct directory *dir, uint16_t tag, uint16_t type, uint32_t count,
                  const void *values)
{
    size_t size = (size_t)count * (type == TIFF_SHORT ? 2 : type == TIFF_LONG ? 4 : 1);
    uint32_t field = 0;

    if (size <= sizeof(field)) {
        memcpy(&field, values, size);
    } else {
        field = dir->tail_at + (uint32_t)dir->tail.size;
        buf_append(&dir->tail, values, size);
    }
    put(&dir->entries, tag, 2);
    put(&dir->entries, type, 2);
    put(&dir->entries, count, 4);
    put(&dir->entries, field, 4);
    dir->count++;
}

static void entry_short(struct directory *dir, uint16_t tag, uint16_t n)
{
    entry(dir, tag, TIFF_SHORT, 1, &n);
}

static void entry_long(struct directory *dir, uint16_t tag, uint32_t n)
{
    entry(dir, tag, TIFF_LONG, 1, &n);
}

/* One SHORT per sample, all the same. */
static void entry_per_sample(struct directory *dir, uint16_t tag, uint16_t n, uint16_t samples)
{
    uint16_t values[UINT8_MAX + 1];

    for (unsigned i = 0; i < samples && i < TL_COUNT(values); i++)
        values[i] = n;
    entry(dir, tag, TIFF_SHORT, samples, values);
}

/* Entries in ascending order, as libtiff wants them. */
static void describe(const struct codec_format *format, struct directory *dir)
{
    entry_long(dir, TIFFTAG_IMAGEWIDTH, format->width);
    entry_long(dir, TIFFTAG_IMAGELENGTH, format->height);
    entry_per_sample(dir, TIFFTAG_BITSPERSAMPLE, format->bits, format->bands);
    entry_short(dir, TIFFTAG_COMPRESSION, format->compression);
    entry_short(dir, TIFFTAG_PHOTOMETRIC, format->photometric);
    entry_short(dir, TIFFTAG_SAMPLESPERPIXEL, format->bands);
    entry_short(dir, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    entry_long(dir, TIFFTAG_TILEWIDTH, format->width);
    entry_long(dir, TIFFTAG_TILELENGTH, format->height);
    entry_long(dir, TIFFTAG_TILEOFFSETS, 8);
    entry_long(dir, TIFFTAG_TILEBYTECOUNTS, 8);
    entry_per_sample(dir, TIFFTAG_SAMPLEFORMAT, format->sample_format, format->bands);
    if (format->compression == CODEC_JPEG && format->jpeg_tables_size)
        entry(dir, TIFFTAG_JPEGTABLES, TIFF_UNDEFINED, (uint32_t)format->jpeg_tables_size,
              format->jpeg_tables);
    if (format->photometric == PHOTO_YCBCR)
        entry(dir, TIFFTAG_YCBCRSUBSAMPLING, TIFF_SHORT, 2, format->subsampling);
    if (format->compression == CODEC_LERC)
        entry(dir, TIFFTAG_LERC_PARAMETERS, TIFF_LONG, 2, format->lerc);
}

static bool write_file(const struct codec_format *format, struct buf *file)
{
    enum { ENTRIES_MAX = 15, HEADER = 8, ENTRY = 12 };
    struct directory dir = {.tail_at = HEADER + 2 + ENTRIES_MAX * ENTRY + 4};

    describe(format, &dir);
    buf_append(file, "II*", 4);
    put(file, HEADER, 4);
    put(file, dir.count, 2);
    buf_append(file, dir.entries.bytes, dir.entries.size);
    put(file, 0, 4); /* no next directory */
    while (!file->failed && file->size < dir.tail_at)
        put(file, 0, 1);
    if (dir.tail.size)
        buf_append(file, dir.tail.bytes, dir.tail.size);
    bool whole = !buf_failed(&dir.entries) && !buf_failed(&dir.tail) && !buf_failed(file);
    buf_release(&dir.entries);
    buf_release(&dir.tail);
    return whole;
}

static TIFF *open_handle(struct tiff_codec *codec)
{
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();

    if (!options)
        return NULL;
    TIFFOpenOptionsSetErrorHandlerExtR(options, on_error, codec);
    TIFFOpenOptionsSetWarningHandlerExtR(options, on_warning, codec);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, MAX_ALLOCATION);
    /* "m": no memory mapping, the reads above are copies already. */
    TIFF *tiff = TIFFClientOpenExt("block", "rm", codec, on_read, on_write, on_seek, on_close,
                                   on_size, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    return tiff;
}

bool tiff_codec_has(uint16_t compression)
{
    return TIFFIsCODECConfigured(compression) == 1;
}

enum tl_code tiff_codec_new(const struct codec_format *format, struct tiff_codec **ret_codec,
                            struct tl_err *err)
{
    AUTO(tiff_codec) codec = calloc(1, sizeof(*codec));

    if (!codec || !write_file(format, &codec->file))
        return tl_fail(err, TL_NOMEM, "no memory for a block decoder");
    codec->tiff = open_handle(codec);
    if (!codec->tiff)
        return tl_fail(err, TL_CORRUPT, "libtiff refuses blocks like these: %s",
                       codec->message[0] ? codec->message : "it does not say why");
    /* As GDAL does: YCbCr comes out as RGB. */
    if (format->compression == CODEC_JPEG && format->photometric == PHOTO_YCBCR)
        TIFFSetField(codec->tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    *ret_codec = TL_TAKE(codec);
    return TL_OK;
}

void tiff_codec_free(struct tiff_codec *codec)
{
    if (!codec)
        return;
    if (codec->tiff)
        TIFFClose(codec->tiff);
    buf_release(&codec->file);
    free(codec);
}

enum tl_code tiff_codec_decode(struct tiff_codec *codec, const uint8_t *bytes, size_t size,
                               void *out, size_t out_size, struct tl_err *err)
{
    codec->message[0] = '\0';
    if ((size_t)TIFFTileSize(codec->tiff) != out_size)
        return tl_fail(err, TL_CORRUPT, "libtiff takes a block for %lld bytes, not %zu",
                       (long long)TIFFTileSize(codec->tiff), out_size);
    /* Of no bytes libtiff would believe the directory, which says that there are some. */
    if (!size)
        return tl_fail(err, TL_CORRUPT, "a block of no bytes");
    /* libtiff only reads them: it reverses bits for fill order 2, which is not admitted. */
    void *in = (void *)(uintptr_t)bytes;
    if (!TIFFReadFromUserBuffer(codec->tiff, 0, in, (tmsize_t)size, out, (tmsize_t)out_size))
        return tl_fail(err, TL_CORRUPT, "%s",
                       codec->message[0] ? codec->message : "the block does not decompress");
    return TL_OK;
}
