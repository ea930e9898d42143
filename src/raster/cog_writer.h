/*
 * cog_writer: a raster of one uint8 band, written window by window and closed as a COG with
 * the overviews that the writer was given: none is interpolated behind anybody's back. GDAL
 * writes the file: first tiled, beside its final name, then ordered as a COG and renamed.
 *
 * Threads  one at a time
 * Memory   cog_writer_new() / cog_writer_free(), which removes what was not finished
 * Units    pixels of a level
 */
#ifndef TILTH_RASTER_COG_WRITER_H
#define TILTH_RASTER_COG_WRITER_H

#include "base/attr.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct cog_writer;
struct pyramid;

/* What is written. Borrowed until cog_writer_new() returns. */
struct cog_spec {
    const char *path;              /* of a file (file_target()), replaced at the end */
    const struct pyramid *pyramid; /* grid and levels, each half of the one before; nodata */
    const char *band_name;         /* "label" */
    const uint32_t *colors;        /* 0xRRGGBB of the 256 values; NULL: no palette */
    const char *const *metadata;   /* name, value, name, value, ..., NULL */
};

/* A rectangle inside of a level. */
struct cog_window {
    uint8_t level;
    uint32_t x, y, width, height;
};

/* TL_INVALID where no such file can be made. */
TL_MUST_CHECK enum tl_code cog_writer_new(const struct cog_spec *spec,
                                          struct cog_writer **ret_writer, struct tl_err *err);
void cog_writer_free(struct cog_writer *writer);
/* Rows of `samples` are `stride` apart. TL_NOSPACE: it was not written. */
TL_MUST_CHECK enum tl_code cog_writer_put(struct cog_writer *writer, struct cog_window window,
                                          const uint8_t *samples, size_t stride,
                                          struct tl_err *err);
/* What was put there. */
TL_MUST_CHECK enum tl_code cog_writer_get(struct cog_writer *writer, struct cog_window window,
                                          uint8_t *ret_samples, size_t stride, struct tl_err *err);
/* Once every level has been put: makes the COG, beside its name. */
TL_MUST_CHECK enum tl_code cog_writer_order(struct cog_writer *writer, struct tl_err *err);
/* Gives it its name; when several belong together, after all of them are ordered. */
TL_MUST_CHECK enum tl_code cog_writer_publish(struct cog_writer *writer, struct tl_err *err);

AUTO_DEFINE(cog_writer, cog_writer_free)

#endif
