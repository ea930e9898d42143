/*
 * notes: what was found out about rasters at some cost, kept in the tile cache under the version of
 * the object, so that a restart need not find it out again. A note that is lost, broken or evicted
 * is found out again.
 *
 * Threads  any
 * Memory   the caller's; the cache outlives it
 */
#ifndef TILTH_TILER_NOTES_H
#define TILTH_TILER_NOTES_H

#include "base/attr.h"
#include "base/err.h"
#include "raster/raster_notes.h"

#include <stdint.h>

struct cache;

struct notes {
    struct cache *cache;
    uint32_t ns;
    struct raster_notes face; /* what raster_open() is given */
};

/* Fills `notes`, which stays where it is. TL_ABSENT: a read-only cache without notes. */
TL_MUST_CHECK enum tl_code notes_open(struct cache *cache, struct notes *notes, struct tl_err *err);

#endif
