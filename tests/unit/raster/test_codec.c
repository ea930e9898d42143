#include "raster/codec.h"

#include "tl_test.h"

#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { SIDE = 64, PIXELS = SIDE * SIDE };

static const struct codec_format grey = {.width = SIDE,
                                         .height = SIDE,
                                         .compression = CODEC_DEFLATE,
                                         .predictor = 1,
                                         .photometric = PHOTO_MIN_IS_BLACK,
                                         .bands = 1,
                                         .bits = 8,
                                         .sample_format = SAMPLE_UINT};

static size_t deflate(const void *bytes, size_t size, uint8_t *out, size_t room)
{
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(6);
    size_t made = libdeflate_zlib_compress(compressor, bytes, size, out, room);

    libdeflate_free_compressor(compressor);
    assert_true(made > 0);
    return made;
}

static enum tl_code decode(const struct codec_format *format, const uint8_t *bytes, size_t size,
                           void *out, struct tl_err *err)
{
    struct codec *codec = codec_new();
    enum tl_code code = codec_decode(codec, format, bytes, size, out, err);

    codec_free(codec);
    return code;
}

TEST(a_stream_of_one_byte_more_or_less_than_a_block_is_corrupt)
{
    uint8_t samples[PIXELS + 1], stream[2 * PIXELS], out[PIXELS];
    struct codec_format format = grey;
    struct tl_err err;

    for (size_t i = 0; i < sizeof(samples); i++)
        samples[i] = (uint8_t)(i * 7);
    assert_ok(decode(&format, stream, deflate(samples, PIXELS, stream, sizeof(stream)), out, &err));
    assert_memory_equal(out, samples, PIXELS);
    assert_refused(
        decode(&format, stream, deflate(samples, PIXELS - 1, stream, sizeof(stream)), out, &err),
        TL_CORRUPT, "before the block is full");
    assert_refused(
        decode(&format, stream, deflate(samples, PIXELS + 1, stream, sizeof(stream)), out, &err),
        TL_CORRUPT, "more than a block");

    format.compression = CODEC_ZSTD;
    size_t size = ZSTD_compress(stream, sizeof(stream), samples, PIXELS - 1, 3);
    assert_refused(decode(&format, stream, size, out, &err), TL_CORRUPT, "zstd");
    size = ZSTD_compress(stream, sizeof(stream), samples, PIXELS + 1, 3);
    assert_refused(decode(&format, stream, size, out, &err), TL_CORRUPT, "zstd");

    format.compression = CODEC_NONE;
    assert_ok(decode(&format, samples, PIXELS, out, &err));
    assert_refused(decode(&format, samples, PIXELS - 1, out, &err), TL_CORRUPT, "needs");
}

/* 64 MB of zeros in 64 KB of deflate, said to be a block of 4 KB. */
TEST(a_decompression_bomb_fills_one_block_and_no_more)
{
    size_t size = 64 << 20;
    uint8_t *zeros = calloc(1, size), *stream = malloc(size / 8), out[PIXELS + 64];
    struct codec_format format = grey;
    struct tl_err err;

    memset(out, 0xaa, sizeof(out));
    size_t made = deflate(zeros, size, stream, size / 8);
    assert_true(made < 100000);
    assert_refused(decode(&format, stream, made, out, &err), TL_CORRUPT, "more than a block");
    format.compression = CODEC_ZSTD;
    made = ZSTD_compress(stream, size / 8, zeros, size, 3);
    assert_refused(decode(&format, stream, made, out, &err), TL_CORRUPT, "zstd");
    for (size_t i = PIXELS; i < sizeof(out); i++)
        assert_int_equal(out[i], 0xaa);
    free(zeros);
    free(stream);
}

TEST(bits_become_0_and_255_with_the_first_pixel_in_the_highest)
{
    uint8_t bits[SIDE / 8 * SIDE] = {0x81, 0x01}, out[PIXELS];
    struct codec_format format = grey;
    struct tl_err err;

    format.bits = 1;
    format.compression = CODEC_NONE;
    assert_int_equal(codec_block_size(&format), PIXELS);
    assert_ok(decode(&format, bits, sizeof(bits), out, &err));
    for (int i = 0; i < PIXELS; i++)
        assert_int_equal(out[i], i == 0 || i == 7 || i == 15 ? 255 : 0);
}

TEST(truncated_streams_of_every_codec_are_corrupt_or_whole)
{
    static const uint16_t by_libtiff[] = {CODEC_LZW, CODEC_PACKBITS, CODEC_JPEG, CODEC_LERC,
                                          CODEC_WEBP};
    uint8_t noise[500], *out = malloc((size_t)PIXELS * 4);
    struct tl_err err;

    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)(i * 2654435761u >> 13);
    for (size_t c = 0; c < TL_COUNT(by_libtiff); c++) {
        struct codec_format format = grey;

        format.compression = by_libtiff[c];
        format.bands = 3;
        format.photometric = PHOTO_RGB;
        format.lerc[0] = 4;
        assert_null(codec_refusal(&format));
        for (size_t size = 0; size < sizeof(noise); size += 7) {
            /* An exact copy, so that one byte too far is found. */
            uint8_t *bytes = malloc(size ? size : 1);

            memcpy(bytes, noise, size);
            assert_int_equal(decode(&format, bytes, size, out, &err), TL_CORRUPT);
            free(bytes);
        }
    }
    free(out);
}

TEST(formats_that_are_not_for_the_fast_path_have_a_reason)
{
    static const struct {
        uint16_t compression, predictor, photometric, bands;
        uint8_t bits, sample_format;
        const char *words;
    } formats[] = {
        {34712, 1, 1, 1, 8, 1, "compression"},       {CODEC_DEFLATE, 4, 1, 1, 8, 1, "predictor"},
        {CODEC_DEFLATE, 0, 1, 1, 8, 1, "predictor"}, {CODEC_ZSTD, 3, 1, 1, 16, 1, "predictor"},
        {CODEC_LZW, 2, 1, 1, 1, 1, "one bit"},       {CODEC_JPEG, 1, 1, 1, 16, 1, "uint8"},
        {CODEC_JPEG, 1, 6, 3, 8, 1, "subsampled"},   {CODEC_DEFLATE, 1, 6, 3, 8, 1, "YCbCr"},
        {CODEC_WEBP, 1, 1, 1, 8, 1, "RGB"},
    };

    assert_null(codec_refusal(&grey));
    for (size_t i = 0; i < TL_COUNT(formats); i++) {
        struct codec_format format = {.width = SIDE,
                                      .height = SIDE,
                                      .compression = formats[i].compression,
                                      .predictor = formats[i].predictor,
                                      .photometric = formats[i].photometric,
                                      .bands = formats[i].bands,
                                      .bits = formats[i].bits,
                                      .sample_format = formats[i].sample_format};
        const char *reason = codec_refusal(&format);

        assert_non_null(reason);
        if (!strstr(reason, formats[i].words))
            fail_msg("\"%s\" does not say \"%s\"", reason, formats[i].words);
    }
    /* Where the codec knows no predictors the tag means nothing. */
    struct codec_format packbits = grey;
    packbits.compression = CODEC_PACKBITS;
    packbits.predictor = 2;
    assert_null(codec_refusal(&packbits));
    assert_string_equal(compression_name(CODEC_LERC), "lerc");
    assert_string_equal(compression_name(12345), "unknown");
}

RUN(T(a_stream_of_one_byte_more_or_less_than_a_block_is_corrupt),
    T(a_decompression_bomb_fills_one_block_and_no_more),
    T(bits_become_0_and_255_with_the_first_pixel_in_the_highest),
    T(truncated_streams_of_every_codec_are_corrupt_or_whole),
    T(formats_that_are_not_for_the_fast_path_have_a_reason))
