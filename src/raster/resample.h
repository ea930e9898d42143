/*
 * resample: fills the pixels of a target from the blocks of a window, once the map between
 * them is known. One function per family of kernels; warp.c calls one of them.
 *
 * Threads  one
 * Memory   out->samples and out->valid are there; scratch comes from the arena
 * Units    pixels of the level
 */
#ifndef TILTH_RASTER_RESAMPLE_H
#define TILTH_RASTER_RESAMPLE_H

#include "base/attr.h"
#include "base/err.h"
#include "raster/warp.h"
#include "raster/warp_map.h"
#include "raster/warp_window.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct errand;

/* A centre this close left of a pixel's edge is on it; GDAL's kernels round so, too. */
#define NEAREST_SNAP 1e-9
/* An area that reaches less than this into a pixel does not touch it (GDAL: the same). */
#define AREA_SNAP 1e-10

/*
 * The extent of an interpolating kernel along one axis. Where the target is coarser than the
 * level, the kernel is stretched by their ratio so that no source pixel is skipped.
 */
struct kernel_axis {
    double stretch;  /* >= 1 */
    uint32_t radius; /* taps run from 1 - radius to radius around the floor of centre - 0.5 */
};

/* `scale`: source pixels per target pixel. Bilinear and cubic only. */
struct kernel_axis kernel_axis(enum resampling resampling, double scale);

struct resample_job {
    const struct warp_map *map;
    const struct warp_window *window;
    enum resampling resampling;
    const struct errand *errand;
    struct arena *arena;
    struct planes *out; /* every sample and every `valid` is written */
};

TL_MUST_CHECK enum tl_code resample_nearest(const struct resample_job *job, struct tl_err *err);
TL_MUST_CHECK enum tl_code resample_kernel(const struct resample_job *job, struct tl_err *err);
TL_MUST_CHECK enum tl_code resample_area(const struct resample_job *job, struct tl_err *err);

/*
 * valid[i] stays 1 only where samples[i] is neither the pyramid's nodata value nor NaN: a
 * NaN is never a measurement, whatever the nodata value is.
 */
void valid_where_data(const struct pyramid *pyramid, const void *samples, size_t count,
                      uint8_t *valid);

#endif
