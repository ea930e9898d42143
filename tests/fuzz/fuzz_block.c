/*
 * Any bytes as one block of any format: five bytes say how it is stored, the rest is the
 * block. Whatever is in it, exactly the room of a block is written.
 */
#include "base/check.h"
#include "raster/codec.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint16_t compressions[] = {CODEC_NONE,    CODEC_LZW,      CODEC_JPEG,
                                        CODEC_DEFLATE, CODEC_PACKBITS, CODEC_OLD_DEFLATE,
                                        CODEC_LERC,    CODEC_ZSTD,     CODEC_WEBP};
static const uint8_t bits[] = {1, 8, 16, 32, 64};
static const uint16_t photometrics[] = {PHOTO_MIN_IS_BLACK, PHOTO_RGB, PHOTO_YCBCR};

enum { HEADER = 5, TABLES = 32 };

static struct codec_format format_of(const uint8_t *header)
{
    return (struct codec_format){
        .width = 64u << (header[0] & 1),
        .height = 64u << (header[0] >> 1 & 1),
        .compression = compressions[header[1] % TL_COUNT(compressions)],
        .predictor = (uint16_t)(1 + header[2] % 3),
        .photometric = photometrics[header[2] / 3 % TL_COUNT(photometrics)],
        .bands = (uint16_t)(1 + header[3] % 5),
        .bits = bits[header[3] / 5 % TL_COUNT(bits)],
        .sample_format = (uint8_t)(1 + header[4] % 3),
        .subsampling = {(uint16_t)(1 + (header[4] >> 2 & 1)), (uint16_t)(1 + (header[4] >> 3 & 1))},
        .lerc = {4, header[4] >> 4 & 3},
    };
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tl_err err;

    if (size < HEADER)
        return 0;
    struct codec_format format = format_of(data);
    data += HEADER;
    size -= HEADER;
    /* Some JPEG tables, cut from the input. */
    if (format.compression == CODEC_JPEG && size > 2 * TABLES && data[0] & 1) {
        format.jpeg_tables = data;
        format.jpeg_tables_size = TABLES;
        data += TABLES;
        size -= TABLES;
    }
    if (format.bits == 1)
        format.bands = 1;
    if (codec_refusal(&format))
        return 0;
    void *out = malloc(codec_block_size(&format));
    struct codec *codec = codec_new();
    TL_CHECK(out && codec);
    /* Twice with one codec: what a bad block leaves behind must not harm the next. */
    (void)!codec_decode(codec, &format, data, size, out, &err);
    (void)!codec_decode(codec, &format, data, size, out, &err);
    codec_free(codec);
    free(out);
    return 0;
}
