/*
 * raster_notes: where findings on a raster that cost reads are kept from one process to the next.
 * The raster layer asks and tells; who opens it says how to keep. What was kept may be lost.
 *
 * Threads  both functions from any
 */
#ifndef TILTH_RASTER_RASTER_NOTES_H
#define TILTH_RASTER_RASTER_NOTES_H

#include "base/hash.h"

#include <stdbool.h>
#include <stdint.h>

/* A key names the version of an object and the way of finding. */
struct raster_notes {
    void *arg;
    bool (*recall)(void *arg, struct hash128 key, uint32_t *ret_finding);
    void (*keep)(void *arg, struct hash128 key, uint32_t finding);
};

#endif
