/*
 * raster: opens whatever an href names as a block source and says what it is. A tiled
 * GeoTIFF within the limits of cog.h takes the fast path; anything else that GDAL can
 * read takes the second path, through the same byte cache, with the reason recorded.
 *
 * Threads  raster_open() from any thread; the source is shared
 * Memory   block_source_free() closes it
 */
#ifndef TILTH_RASTER_RASTER_H
#define TILTH_RASTER_RASTER_H

#include "base/attr.h"
#include "base/err.h"
#include "raster/block.h"

#include <stddef.h>
#include <stdint.h>

struct blob;
struct block_pool;
struct raster_notes;
struct s3_options;
struct store;

/* What all rasters of a process share. Borrowed; outlives every source. */
struct raster_env {
    struct store *store;
    struct block_pool *pool;
};

struct raster_options {
    const struct s3_options *s3;      /* NULL: the store's own */
    bool classes;                     /* samples are class values: look for tainted overviews */
    bool force_gdal;                  /* the oracle, in tests */
    const struct raster_notes *notes; /* on tainted overviews; NULL: none are kept */
};

/* What a person wants to know about a raster; all strings live as long as the source. */
struct raster_info {
    const char *href;
    const char *reader;  /* "tilth" or "gdal" */
    const char *reason;  /* why GDAL, NULL on the fast path */
    const char *version; /* of the object */
    const char *compression;
    uint64_t size_bytes;
    uint64_t header_bytes; /* header, directories and block index */
    bool ghost_area;       /* GDAL's COG layout marker is present and not invalidated */
    bool has_palette;      /* 8-bit palette, RGBA */
    uint8_t palette[256][4];
    double scale[PYRAMID_MAX_BANDS];           /* per band, 1 where the file says nothing */
    double offset[PYRAMID_MAX_BANDS];          /* per band, 0 */
    const char *band_names[PYRAMID_MAX_BANDS]; /* NULL where there is none */
    uint16_t alpha_band;                       /* 1-based; 0: none */
    bool has_mask;                             /* an internal mask */
    uint32_t tainted_levels; /* bit i: level i holds classes that are not under them */
};

TL_MUST_CHECK enum tl_code raster_open(const struct raster_env *env, const char *href,
                                       const struct raster_options *options, struct errand *errand,
                                       struct block_source **ret_source, struct tl_err *err);
/* Of a source that raster_open() made. */
const struct raster_info *raster_info(const struct block_source *source);
/*
 * Asks whether the object is still the version that was opened. TL_CHANGED: open again.
 */
TL_MUST_CHECK enum tl_code raster_revalidate(struct block_source *source, struct errand *errand,
                                             struct tl_err *err);

/*
 * A whole small object from wherever rasters come from: a model. More than `max_bytes` is
 * TL_LIMIT.
 */
TL_MUST_CHECK enum tl_code raster_read_object(const struct raster_env *env, const char *href,
                                              size_t max_bytes, struct errand *errand,
                                              struct blob **ret_blob, struct tl_err *err);

#endif
