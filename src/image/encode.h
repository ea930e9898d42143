/*
 * encode: RGBA pixels to PNG, JPEG or WebP, through libpng, libjpeg-turbo and libwebp.
 * For continuous rasters and for class tiles that somebody wants as WebP or JPEG.
 *
 * Threads  any
 * Memory   results are blobs
 */
#ifndef TILTH_IMAGE_ENCODE_H
#define TILTH_IMAGE_ENCODE_H

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct blob;

enum image_format { IMAGE_PNG, IMAGE_JPEG, IMAGE_WEBP, IMAGE_FORMAT_COUNT };

const char *image_format_type(enum image_format format); /* "image/png" */
/* "png", "jpg", "jpeg", "webp". */
TL_MUST_CHECK enum tl_code image_format_find(const char *extension, enum image_format *ret_format,
                                             struct tl_err *err);

/* 8-bit RGBA, straight alpha, row-major. */
struct image {
    uint32_t width, height;
    const uint8_t *rgba;
};

struct encode_options {
    enum image_format format;
    int quality;   /* 1..100, checked for every format; JPEG and lossy WebP heed it */
    bool lossless; /* WebP */
};

/*
 * Sides of 1 to 16383 pixels, else TL_LIMIT. JPEG has no alpha: transparent pixels become
 * white. An opaque image is written as a PNG without alpha. Lossless WebP keeps the colour
 * of visible pixels only. 256 x 256 Sentinel-2 pixels: PNG 2 ms, JPEG 0.3 ms, WebP 2 ms.
 */
TL_MUST_CHECK enum tl_code image_encode(const struct image *image,
                                        const struct encode_options *options,
                                        struct blob **ret_blob, struct tl_err *err);

#endif
