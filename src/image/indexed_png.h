/*
 * indexed_png: our own writer for class tiles: 1, 2, 4 or 8 bits per pixel by the number
 * of palette entries, DEFLATE with only two match distances - one pixel back and one row
 * up - because land cover is runs and rows that repeat (docs/indexed-png.md). As small as
 * zlib level 6, an order of magnitude faster.
 *
 * The palette is written in full (PLTE and tRNS of `count` entries) right after IHDR, so
 * indexed_png_restyle() can swap it in place.
 *
 * Threads  any
 * Memory   results are blobs
 * Source   PNG third edition; RFC 1950, RFC 1951
 */
#ifndef TILTH_IMAGE_INDEXED_PNG_H
#define TILTH_IMAGE_INDEXED_PNG_H

#include "base/attr.h"
#include "base/err.h"
#include "image/palette.h"

#include <stdint.h>

struct arena;
struct blob;

/* width x height, row-major. A plain value. */
struct index_image {
    const uint8_t *indices;
    uint32_t width, height;
};

/*
 * Every index is below palette->count (TL_INVALID names the one that is not). Sides of 1 to 16383
 * pixels, else TL_LIMIT. About 60 us and 5.8 KB for a 256 x 256 tile of 16 classes.
 */
TL_MUST_CHECK enum tl_code indexed_png_encode(const struct index_image *image,
                                              const struct palette *palette, struct arena *scratch,
                                              struct blob **ret_png, struct tl_err *err);
/*
 * The same pixels under another palette of the same count: copies the file with new PLTE
 * and tRNS chunks and their CRCs. O(file size), about 2 us. TL_CORRUPT when `png` is not
 * one of ours.
 */
TL_MUST_CHECK enum tl_code indexed_png_restyle(const struct blob *png,
                                               const struct palette *palette, struct blob **ret_png,
                                               struct tl_err *err);
/*
 * Decodes one of ours back to indices (for WebP/JPEG of a cached class tile). TL_CORRUPT for
 * any other file; no more memory than the file can hold pixels is asked for.
 */
TL_MUST_CHECK enum tl_code indexed_png_decode(const struct blob *png, struct arena *arena,
                                              uint32_t *ret_width, uint32_t *ret_height,
                                              uint8_t **ret_indices, struct tl_err *err);
/*
 * A tile of one single index, made without a pass over pixels: a few microseconds, some
 * 150 bytes besides the palette. Depth and palette are those of indexed_png_encode(), so it
 * restyles and decodes like any other.
 */
TL_MUST_CHECK enum tl_code indexed_png_uniform(uint8_t index, uint32_t width, uint32_t height,
                                               const struct palette *palette, struct blob **ret_png,
                                               struct tl_err *err);

#endif
