/*
 * pool: worker threads over one bounded queue with lanes. A lane is a layer (or
 * an export job): it has a cap on how many of its jobs wait and on how many run at
 * once, so that a slow cold layer never holds up a warm one.
 *
 *   submit(lane A) --> [A: a3 a4] --\
 *   submit(lane B) --> [B: b7]    ---+--> round robin over lanes that may run --> workers
 *
 * Threads  pool_submit() from any thread, never blocks; jobs run on the workers
 * Memory   pool_new() / pool_free(); a job's argument belongs to the job
 */
#ifndef TILTH_BASE_POOL_H
#define TILTH_BASE_POOL_H

#include "base/attr.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct arena;
struct pool;
struct pool_lane;

/* `arena` is the worker's own, reset after the job. */
typedef void pool_job_fn(void *arg, struct arena *arena);

struct pool_stats {
    uint32_t queued, running, workers;
};

/* 0 workers: one per core that the process may run on. */
TL_MUST_CHECK enum tl_code pool_new(unsigned workers, struct pool **ret_pool, struct tl_err *err);
/* Runs what is queued, joins the workers and frees the lanes that are left. A job that is
 * submitted from now on is refused with TL_BUSY. */
void pool_free(struct pool *pool);

/* At most `max_running` (0: all workers) at once and `max_queued` waiting (16 bytes each). */
TL_MUST_CHECK enum tl_code pool_lane_new(struct pool *pool, unsigned max_running,
                                         unsigned max_queued, struct pool_lane **ret_lane,
                                         struct tl_err *err);
/* Waits until the lane's jobs are done; before pool_free(), never on a worker. NULL is fine. */
void pool_lane_free(struct pool_lane *lane);

/* TL_BUSY when the lane's queue is full: nothing was queued, `arg` is still the caller's. */
TL_MUST_CHECK enum tl_code pool_submit(struct pool_lane *lane, pool_job_fn *run, void *arg,
                                       struct tl_err *err);
struct pool_stats pool_stats(struct pool *pool);

AUTO_DEFINE(pool, pool_free)

#endif
