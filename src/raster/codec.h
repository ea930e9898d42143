/*
 * codec: the bytes of one block of a TIFF, decompressed, un-predicted and taken apart
 * into bands.
 *
 *   DEFLATE, ZSTD          libdeflate, libzstd
 *   none, PackBits         a few lines here
 *   LZW, JPEG, WebP, LERC  libtiff as a pure codec: a directory of one block is made in
 *                          memory, and blocks are fed through TIFFReadFromUserBuffer()
 *
 * A block must decompress to exactly its size: a decompression bomb fills what is
 * reserved for the block and no more.
 *
 * Threads  a codec belongs to one thread; make one for each batch of blocks
 * Memory   codec_new() / codec_free(); keeps its scratch from block to block
 * Units    bytes, samples
 */
#ifndef TILTH_RASTER_CODEC_H
#define TILTH_RASTER_CODEC_H

#include "base/attr.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct codec;

enum codec_number {
    CODEC_NONE = 1,
    CODEC_LZW = 5,
    CODEC_JPEG = 7,
    CODEC_DEFLATE = 8,
    CODEC_PACKBITS = 32773,
    CODEC_OLD_DEFLATE = 32946,
    CODEC_LERC = 34887,
    CODEC_ZSTD = 50000,
    CODEC_WEBP = 50001,
};

enum { SAMPLE_UINT = 1, SAMPLE_INT = 2, SAMPLE_FLOAT = 3 };
enum { PHOTO_MIN_IS_BLACK = 1, PHOTO_RGB = 2, PHOTO_PALETTE = 3, PHOTO_MASK = 4, PHOTO_YCBCR = 6 };

/* The largest block that is decoded. 4096 x 4096 of uint16 x 2, 1024 x 1024 of float32 x 16. */
#define CODEC_MAX_BLOCK_BYTES (64u << 20)

/* How the blocks of one directory are stored. Must not move while a codec uses it. */
struct codec_format {
    uint32_t width, height; /* of the padded block; width a multiple of 16 */
    uint16_t compression;   /* as the tag says: unknown numbers too */
    uint16_t predictor;
    uint16_t photometric;
    uint16_t bands; /* samples of one pixel inside a block */
    uint8_t bits;   /* of a sample; 1: a mask */
    uint8_t sample_format;
    uint16_t subsampling[2]; /* of YCbCr; 0: the file does not say */
    uint32_t lerc[2];        /* LercParameters: version, what its output is compressed with */
    const uint8_t *jpeg_tables;
    size_t jpeg_tables_size;
};

/* NULL, or why blocks like this are for GDAL: a sentence without a full stop. */
const char *codec_refusal(const struct codec_format *format);
/* "deflate"; "tiff-12345" cannot be: unknown ones are "unknown". */
const char *compression_name(uint16_t compression);
/* Bytes of the decoded block: width x height x bands x sample size; of a mask width x height. */
size_t codec_block_size(const struct codec_format *format);

/* NULL when memory is out. */
struct codec *codec_new(void);
void codec_free(struct codec *codec);

/* What codec_decode() needs besides `out` for blocks like these; 0: nothing. */
size_t codec_scratch_size(const struct codec_format *format);
/* Lends memory for that, so that none is reserved; borrowed until the codec is freed. */
void codec_lend_scratch(struct codec *codec, void *bytes, size_t size);

/*
 * Decodes into `out` of codec_block_size() bytes: band after band, or 0 and 255 for a
 * mask. TL_CORRUPT when the bytes are not exactly one block. O(size + pixels).
 */
TL_MUST_CHECK enum tl_code codec_decode(struct codec *codec, const struct codec_format *format,
                                        const uint8_t *bytes, size_t size, void *out,
                                        struct tl_err *err);

AUTO_DEFINE(codec, codec_free)

#endif
