/*
 * tiff_codec: libtiff as a pure codec, for compressions that are not worth a decoder of
 * our own. libtiff wants a file: it is given one of a header and a directory, in memory,
 * that describes a single block, and blocks come in by TIFFReadFromUserBuffer().
 *
 * Threads  one; a handle is not shared
 * Memory   tiff_codec_new() / tiff_codec_free()
 */
#ifndef TILTH_RASTER_TIFF_CODEC_H
#define TILTH_RASTER_TIFF_CODEC_H

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct codec_format;
struct tiff_codec;

/* This libtiff was built with a decoder for it. */
bool tiff_codec_has(uint16_t compression);

TL_MUST_CHECK enum tl_code tiff_codec_new(const struct codec_format *format,
                                          struct tiff_codec **ret_codec, struct tl_err *err);
void tiff_codec_free(struct tiff_codec *codec);

/* Pixel-interleaved samples as they were before compression; predictors are not undone. */
TL_MUST_CHECK enum tl_code tiff_codec_decode(struct tiff_codec *codec, const uint8_t *bytes,
                                             size_t size, void *out, size_t out_size,
                                             struct tl_err *err);

AUTO_DEFINE(tiff_codec, tiff_codec_free)

#endif
