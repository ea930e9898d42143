/*
 * bench: what a forest costs: runs that are timed stage by stage, with any kernel, on
 * tiles made of the model's own thresholds.
 *
 * Threads  any
 * Units    nanoseconds of processor time
 */
#ifndef TILTH_FOREST_BENCH_H
#define TILTH_FOREST_BENCH_H

#include "forest/forest.h"
#include "forest/times.h"
#include "model/rows.h"

/* forest_run() with the kernels of times->isa; adds to times->ns. */
TL_MUST_CHECK enum tl_code forest_run_timed(const struct forest *forest,
                                            const struct forest_pixels *pixels,
                                            struct arena *scratch,
                                            const struct forest_output *output,
                                            struct forest_times *times, struct tl_err *err);

/* Planes of `width` x `height` pixels between the thresholds of the model itself, the same for
 * the same seed. False without memory. */
TL_MUST_CHECK bool forest_make_tile(const struct forest *forest, enum model_tile tile,
                                    uint64_t seed, uint32_t width, uint32_t height,
                                    float *const *ret_planes);

/* Bytes of the model and its compiled form. */
size_t forest_memory(const struct forest *forest);

#endif
