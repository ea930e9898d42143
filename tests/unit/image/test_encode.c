#include "image/encode.h"

#include "tl_test.h"

#include "base/blob.h"
#include "image_fixture.h"

#include <turbojpeg.h>
#include <webp/decode.h>

enum { SIDE = 61 };

/* A smooth picture; alpha: 255 everywhere, or a quarter that cannot be seen. */
static void paint(uint8_t *rgba, bool opaque)
{
    for (unsigned y = 0; y < SIDE; y++) {
        for (unsigned x = 0; x < SIDE; x++) {
            uint8_t *p = rgba + 4 * (y * SIDE + x);

            p[0] = (uint8_t)(4 * x);
            p[1] = (uint8_t)(4 * y);
            p[2] = (uint8_t)(2 * (x + y));
            p[3] = opaque || x > SIDE / 2 || y > SIDE / 2 ? 255 : 0;
        }
    }
}

static struct blob *encode(const uint8_t *rgba, enum image_format format, int quality,
                           bool lossless)
{
    struct tl_err err;
    struct image image = {.width = SIDE, .height = SIDE, .rgba = rgba};
    struct encode_options options = {.format = format, .quality = quality, .lossless = lossless};
    struct blob *blob = NULL;

    assert_ok(image_encode(&image, &options, &blob, &err));
    return blob;
}

TEST(png_keeps_every_pixel_and_drops_alpha_only_where_there_is_none)
{
    for (int opaque = 0; opaque < 2; opaque++) {
        uint8_t rgba[SIDE * SIDE * 4];
        struct seen seen;

        paint(rgba, opaque);
        AUTO(blob) png = encode(rgba, IMAGE_PNG, 80, false);
        assert_true(see(png, &seen));
        assert_int_equal(seen.channels, opaque ? 3 : 4);
        for (unsigned i = 0; i < SIDE * SIDE; i++)
            assert_memory_equal(seen.pixels + (size_t)(seen.channels * (int)i), rgba + 4 * i,
                                (size_t)seen.channels);
        free(seen.pixels);
    }
}

static void decode_jpeg(const struct blob *jpeg, uint8_t *ret_rgba, int *ret_subsampling)
{
    int width = 0, height = 0, space = 0;
    tjhandle tj = tjInitDecompress();

    assert_int_equal(tjDecompressHeader3(tj, blob_bytes(jpeg), blob_size(jpeg), &width, &height,
                                         ret_subsampling, &space),
                     0);
    assert_int_equal(width, SIDE);
    assert_int_equal(height, SIDE);
    assert_int_equal(
        tjDecompress2(tj, blob_bytes(jpeg), blob_size(jpeg), ret_rgba, SIDE, 0, SIDE, TJPF_RGBA, 0),
        0);
    tjDestroy(tj);
}

TEST(jpeg_is_close_and_transparent_pixels_are_white)
{
    uint8_t rgba[SIDE * SIDE * 4], got[SIDE * SIDE * 4];
    int subsampling = -1;

    paint(rgba, false);
    AUTO(blob) jpeg = encode(rgba, IMAGE_JPEG, 95, false);
    decode_jpeg(jpeg, got, &subsampling);
    assert_int_equal(subsampling, TJSAMP_420);
    for (unsigned c = 0; c < 3; c++) {
        assert_near(got[4 * (10 * SIDE + 10) + c], 255, 3);
        assert_near(got[4 * (50 * SIDE + 50) + c], rgba[4 * (50 * SIDE + 50) + c], 6);
    }
}

TEST(jpeg_of_higher_quality_is_larger)
{
    uint8_t rgba[SIDE * SIDE * 4];
    uint64_t seed = 4;

    for (unsigned i = 0; i < sizeof(rgba); i++)
        rgba[i] = i % 4 == 3 ? 255 : (uint8_t)next_random(&seed);
    AUTO(blob) low = encode(rgba, IMAGE_JPEG, 20, false);
    AUTO(blob) high = encode(rgba, IMAGE_JPEG, 95, false);
    assert_true(blob_size(high) > 2 * blob_size(low));
    AUTO(blob) low_webp = encode(rgba, IMAGE_WEBP, 20, false);
    AUTO(blob) high_webp = encode(rgba, IMAGE_WEBP, 95, false);
    assert_true(blob_size(high_webp) > 2 * blob_size(low_webp));
}

TEST(lossless_webp_keeps_alpha_and_every_visible_pixel)
{
    for (int opaque = 0; opaque < 2; opaque++) {
        uint8_t rgba[SIDE * SIDE * 4];
        int width = 0, height = 0;

        paint(rgba, opaque);
        AUTO(blob) webp = encode(rgba, IMAGE_WEBP, 1, true);
        uint8_t *got = WebPDecodeRGBA(blob_bytes(webp), blob_size(webp), &width, &height);
        assert_non_null(got);
        assert_int_equal(width, SIDE);
        assert_int_equal(height, SIDE);
        for (unsigned i = 0; i < SIDE * SIDE; i++) {
            assert_int_equal(got[4 * i + 3], rgba[4 * i + 3]);
            if (rgba[4 * i + 3])
                assert_memory_equal(got + 4 * i, rgba + 4 * i, 3);
        }
        WebPFree(got);
    }
}

TEST(lossy_webp_is_close_and_keeps_alpha)
{
    uint8_t rgba[SIDE * SIDE * 4];
    int width = 0, height = 0;
    double difference = 0;

    paint(rgba, false);
    AUTO(blob) webp = encode(rgba, IMAGE_WEBP, 90, false);
    uint8_t *got = WebPDecodeRGBA(blob_bytes(webp), blob_size(webp), &width, &height);
    assert_non_null(got);
    assert_int_equal(width, SIDE);
    assert_int_equal(height, SIDE);
    for (unsigned i = 0; i < SIDE * SIDE; i++) {
        assert_int_equal(got[4 * i + 3], rgba[4 * i + 3]);
        for (unsigned c = 0; c < 3 && rgba[4 * i + 3]; c++)
            difference += fabs((double)got[4 * i + c] - rgba[4 * i + c]);
    }
    assert_true(difference / (3 * SIDE * SIDE) < 4);
    WebPFree(got);
}

TEST(one_pixel_is_enough_for_every_format)
{
    static const uint8_t pixel[4] = {10, 200, 30, 255};
    struct tl_err err;
    struct image image = {.width = 1, .height = 1, .rgba = pixel};

    for (unsigned format = 0; format < IMAGE_FORMAT_COUNT; format++) {
        struct encode_options options = {.format = (enum image_format)format, .quality = 75};
        AUTO(blob) blob = NULL;

        assert_ok(image_encode(&image, &options, &blob, &err));
        assert_true(blob_size(blob) > 0);
    }
}

TEST(impossible_sizes_and_qualities_are_refused)
{
    static const uint8_t pixel[4] = {0};
    struct tl_err err;
    struct image none = {.width = 0, .height = 1, .rgba = pixel};
    struct image wide = {.width = 16384, .height = 1, .rgba = pixel};
    struct image one = {.width = 1, .height = 1, .rgba = pixel};
    struct encode_options good = {.format = IMAGE_WEBP, .quality = 75};
    struct encode_options bad = {.format = IMAGE_JPEG, .quality = 101};
    AUTO(blob) blob = NULL;

    assert_refused(image_encode(&none, &good, &blob, &err), TL_LIMIT, "0x1");
    assert_refused(image_encode(&wide, &good, &blob, &err), TL_LIMIT, "16383");
    assert_refused(image_encode(&one, &bad, &blob, &err), TL_INVALID, "quality 101");
    assert_null(blob);
}

TEST(formats_are_found_by_their_extension)
{
    struct tl_err err;
    enum image_format format = IMAGE_PNG;

    assert_ok(image_format_find("jpeg", &format, &err));
    assert_int_equal(format, IMAGE_JPEG);
    assert_ok(image_format_find("jpg", &format, &err));
    assert_int_equal(format, IMAGE_JPEG);
    assert_ok(image_format_find("webp", &format, &err));
    assert_int_equal(format, IMAGE_WEBP);
    assert_ok(image_format_find("png", &format, &err));
    assert_int_equal(format, IMAGE_PNG);
    assert_string_equal(image_format_type(IMAGE_WEBP), "image/webp");
    assert_refused(image_format_find("gif", &format, &err), TL_UNSUPPORTED, "\"gif\"");
}

RUN(T(png_keeps_every_pixel_and_drops_alpha_only_where_there_is_none),
    T(jpeg_is_close_and_transparent_pixels_are_white), T(jpeg_of_higher_quality_is_larger),
    T(lossless_webp_keeps_alpha_and_every_visible_pixel), T(lossy_webp_is_close_and_keeps_alpha),
    T(one_pixel_is_enough_for_every_format), T(impossible_sizes_and_qualities_are_refused),
    T(formats_are_found_by_their_extension))
