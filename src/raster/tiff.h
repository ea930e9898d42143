/*
 * tiff: the directories of a TIFF file, classic or BigTIFF, little-endian, read in as few
 * range requests as its layout allows: the first 32 KiB, then what is missing of
 * directories and index, in one go.
 *
 *   classic  "II" 42 u32 first       IFD: u16 n, n x 12 bytes (tag, type, u32 count, value), u32
 * next Big      "II" 43 8 0 u64 first   IFD: u64 n, n x 20 bytes (tag, type, u64 count, value), u64
 * next
 *
 * Values are not copied: a tag points into the bytes that were read, and numbers are
 * taken out of them when somebody asks, so that the index of a country-wide file costs
 * its own size and no parsing.
 *
 * Nothing in the file is believed: offsets and counts are checked against the size of the
 * object before anything is read or reserved, a directory is visited once, and there are
 * caps on directories and index bytes.
 *
 * Threads  tiff_open() on one; read-only afterwards
 * Memory   tiff_open() / tiff_close()
 * Units    bytes
 * Source   TIFF 6.0; BigTIFF; GDAL's COG driver page for the ghost area
 */
#ifndef TILTH_RASTER_TIFF_H
#define TILTH_RASTER_TIFF_H

#include "base/attr.h"
#include "base/err.h"
#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The tags that are looked at, by number; all others are skipped. */
#define TIFF_TAGS(X)              \
    X(TAG_SUBFILE_TYPE, 254)      \
    X(TAG_WIDTH, 256)             \
    X(TAG_HEIGHT, 257)            \
    X(TAG_BITS_PER_SAMPLE, 258)   \
    X(TAG_COMPRESSION, 259)       \
    X(TAG_PHOTOMETRIC, 262)       \
    X(TAG_FILL_ORDER, 266)        \
    X(TAG_SAMPLES_PER_PIXEL, 277) \
    X(TAG_PLANAR, 284)            \
    X(TAG_PREDICTOR, 317)         \
    X(TAG_COLOR_MAP, 320)         \
    X(TAG_BLOCK_WIDTH, 322)       \
    X(TAG_BLOCK_HEIGHT, 323)      \
    X(TAG_BLOCK_OFFSETS, 324)     \
    X(TAG_BLOCK_BYTE_COUNTS, 325) \
    X(TAG_EXTRA_SAMPLES, 338)     \
    X(TAG_SAMPLE_FORMAT, 339)     \
    X(TAG_JPEG_TABLES, 347)       \
    X(TAG_YCBCR_SUBSAMPLING, 530) \
    X(TAG_PIXEL_SCALE, 33550)     \
    X(TAG_TIEPOINT, 33922)        \
    X(TAG_TRANSFORMATION, 34264)  \
    X(TAG_GEO_KEYS, 34735)        \
    X(TAG_GDAL_METADATA, 42112)   \
    X(TAG_GDAL_NODATA, 42113)     \
    X(TAG_RPC, 50844)             \
    X(TAG_LERC_PARAMETERS, 50674)

enum tiff_tag {
#define X(tag, number) tag,
    TIFF_TAGS(X)
#undef X
        TAG_COUNT
};

#define TIFF_MAX_IFDS    64
#define TIFF_MAX_ENTRIES 4096       /* of one directory; real ones have about 20 */
#define TIFF_MAX_BLOCKS  (1u << 26) /* of one directory: 16.7 million km2 at 10 m and 512 */
#define TIFF_MAX_INDEX_BYTES \
    (1ull << 30) /* 2^26 blocks x (8 byte offset + 4 byte count), and room */

/* One tag's array, as it lies in the file. count 0: the directory does not have the tag. */
struct tiff_value {
    uint16_t type;
    uint64_t count;
    uint64_t offset; /* where in the file the array lies */
    const uint8_t *bytes;
};

struct tiff_ifd {
    uint64_t offset;
    struct tiff_value values[TAG_COUNT];
};

struct tiff {
    bool big;
    unsigned ifd_count;
    struct tiff_ifd *ifds;
    /* GDAL's ghost area between header and first directory. */
    bool ghost_area;       /* present, and not invalidated by a later edit */
    bool block_leader;     /* each block has its size in the 4 bytes before it */
    bool mask_interleaved; /* the block of the mask follows the block of the image */
    uint64_t header_bytes; /* read for all of this */
    unsigned further_gets; /* after the first 32 KiB */

    struct slice *slices; /* what the values point into */
    uint64_t *slice_offsets;
    size_t slice_count, slice_room;
};

/* Where the bytes come from: an object of the store, or memory in a test. */
struct tiff_input {
    enum tl_code (*read)(void *arg, const struct range *ranges, size_t count,
                         struct slice *ret_slices, struct tl_err *err);
    void *arg;
    uint64_t size;
};

/* TL_UNSUPPORTED: not a TIFF, or one that GDAL must read; TL_CORRUPT, TL_LIMIT: what it says. */
TL_MUST_CHECK enum tl_code tiff_open(const struct tiff_input *input, struct tiff **ret_tiff,
                                     struct tl_err *err);
void tiff_close(struct tiff *tiff);

/* True when these first bytes are of a TIFF of any kind, big-endian too. */
bool tiff_looks_like(const uint8_t *bytes, size_t size);

/* Element `i` as a whole number; false when there is none or the type holds no such numbers. */
bool tiff_uint(const struct tiff_value *value, uint64_t i, uint64_t *ret);
/* Element 0 of a tag, or `fallback` where the directory lacks the tag. */
uint64_t tiff_uint_or(const struct tiff_ifd *ifd, enum tiff_tag tag, uint64_t fallback);
/* Element `i` of a DOUBLE array. */
bool tiff_double(const struct tiff_value *value, uint64_t i, double *ret);
/* An ASCII (or BYTE) value as `*ret_size` bytes, without the NUL at the end; NULL: none. */
const char *tiff_text(const struct tiff_value *value, size_t *ret_size);

AUTO_DEFINE(tiff, tiff_close)

#endif
