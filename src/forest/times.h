/*
 * times: what the stages of a run take.
 *
 * Threads  a plain value
 * Units    nanoseconds of processor time
 */
#ifndef TILTH_FOREST_TIMES_H
#define TILTH_FOREST_TIMES_H

#include "base/cpu.h"

#include <stdint.h>

/* What the ensembles of a run do with its pixels. */
enum forest_stage {
    FOREST_RANK,  /* floats to ranks */
    FOREST_ORDER, /* like pixels side by side */
    FOREST_SWEEP, /* the trees */
    FOREST_WRITE, /* sums to outputs */
    FOREST_STAGES
};

struct forest_times {
    enum cpu_isa isa; /* wanted: its kernels, or the best below it that the machine has */
    /* Nets, votes, linear trees and runs of a few pixels have no stages. */
    int64_t ns[FOREST_STAGES];
};

#endif
