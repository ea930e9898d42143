/*
 * cog_impl: the inside of an opened COG, for the files that open it (cog.c), admit it
 * (cog_admit.c) and read it (cog_read.c).
 */
#ifndef TILTH_RASTER_COG_IMPL_H
#define TILTH_RASTER_COG_IMPL_H

#include "raster/codec.h"
#include "raster/cog.h"
#include "raster/georef.h"
#include "raster/raster_source.h"
#include "raster/tiff.h"

struct cog_level {
    const struct tiff_ifd *ifd, *mask_ifd; /* mask_ifd NULL: no mask */
    struct codec_format image, mask;
    uint32_t cols, rows; /* of blocks */
};

struct cog {
    struct raster_source common; /* first */
    struct tiff *tiff;
    struct cog_level levels[PYRAMID_MAX_LEVELS];
    struct georef georef;
    uint16_t alpha_band; /* 1-based, 0: none */
};

/*
 * Fills pyramid (but for CRS and nodata), levels, georef and alpha_band from the
 * directories. TL_UNSUPPORTED: the file is for GDAL.
 */
TL_MUST_CHECK enum tl_code cog_admit(struct cog *cog, struct tl_err *err);

/* Fills nodata and common.info from the directories of an admitted file. */
void cog_describe(struct cog *cog);

/* Where the compressed bytes of one block lie. */
struct cog_extent {
    uint64_t offset, size;
    bool sparse;
};

/* `index` is what a directory with these tags says about its block `i`. */
struct cog_extent cog_extent_of(const struct tiff_ifd *ifd, uint64_t i);

/* The raster_make_fn of a COG, and the block_ahead_fn of one that is distant. */
raster_make_fn cog_make_blocks;
block_ahead_fn cog_read_ahead;

#endif
