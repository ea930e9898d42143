/*
 * run: many pixels through the flat form: sort by the guide, rank, sweep, write.
 *
 * Threads  any; scratch is the caller's
 * Memory   all of it from the scratch arena: per pixel of a unit some 20 bytes and one
 *          value per plane, per pixel of a block the sums
 */
#ifndef TILTH_FOREST_RUN_H
#define TILTH_FOREST_RUN_H

#include "forest/sweep.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct errand;
struct forest_times;

/* How a run is done; what it gives does not depend on it. */
struct run_plan {
    const struct sweep_kernel *kernel;
    uint32_t unit_px;  /* sorted together, at most RUN_MAX_UNIT_PX */
    uint32_t block_px; /* swept together; the errand is checked after each */
    bool sorted;
    uint32_t walk_below; /* fewer pixels than this are walked one by one */
    bool shallow;        /* by the kernel of shallow.h, where flat and kernel have it */
};

/* walk_below of run_plan(). */
#define WALK_BELOW_PX    4
#define RUN_MAX_UNIT_PX  65536
#define RUN_MAX_BLOCK_PX 65536

/* The plan that is fastest for this model on this machine. */
struct run_plan run_plan(const struct flat *flat, const struct sweep_kernel *kernel);

/* What is to be done, as forest_run() has it. */
struct run_task {
    const float *const *planes;
    size_t count;
    const struct forest_output *output;
    size_t room; /* number c of pixel i of an output is at [c * room + i]; at least `count` */
    const struct errand *errand; /* NULL: never stopped */
    struct arena *scratch;
    /* For what is made of several models, and then instead of the output: probabilities in
     * double, class c of pixel i at [c * room + i]; NULL when they are not wanted. Only
     * of forests whose sums are exact in any order, and of scores. */
    double *exact;
    const struct forest_codes *codes; /* as in struct forest_pixels */
    struct forest_times *times;       /* NULL: nobody asks what the stages take */
};

TL_MUST_CHECK enum tl_code run_flat(const struct flat *flat, const struct run_plan *plan,
                                    const struct run_task *task, struct tl_err *err);

#endif
