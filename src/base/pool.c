#include "base/pool.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/cpu.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct job {
    pool_job_fn *run;
    void *arg;
};

/*
 * A lane is *ready* when it has a job and may run one more; ready lanes stand in line, the
 * front one gives one job and goes to the back. So a worker finds its job in O(1), and a
 * lane with a thousand jobs gets as many turns as one with two.
 */
struct pool_lane {
    struct pool *pool;
    struct pool_lane *next_ready;
    struct pool_lane *next; /* of all lanes, for pool_free() */
    bool in_line;
    unsigned max_running, max_queued;
    unsigned running, queued;
    unsigned first; /* ring index of the oldest job */
    struct job *jobs;
};

struct worker {
    struct pool *pool;
    struct arena *arena;
    pthread_t thread;
};

struct pool {
    pthread_mutex_t mutex; /* guards everything below and in the lanes */
    pthread_cond_t work;   /* a lane became ready, or the pool stops */
    pthread_cond_t idle;   /* a lane ran dry */
    struct pool_lane *ready_front, *ready_back;
    struct pool_lane *lanes;
    unsigned queued, running;
    bool stopping;
    unsigned worker_count;
    struct worker workers[];
};

static void line_up(struct pool_lane *lane)
{
    struct pool *pool = lane->pool;

    if (lane->in_line || lane->queued == 0 || lane->running >= lane->max_running)
        return;
    lane->in_line = true;
    lane->next_ready = NULL;
    if (pool->ready_back)
        pool->ready_back->next_ready = lane;
    else
        pool->ready_front = lane;
    pool->ready_back = lane;
    pthread_cond_signal(&pool->work);
}

static struct pool_lane *front_of_line(struct pool *pool)
{
    struct pool_lane *lane = pool->ready_front;

    pool->ready_front = lane->next_ready;
    if (!pool->ready_front)
        pool->ready_back = NULL;
    lane->in_line = false;
    return lane;
}

/* Takes the oldest job of the front lane; the caller holds the mutex. */
static struct pool_lane *take_job(struct pool *pool, struct job *ret_job)
{
    struct pool_lane *lane = front_of_line(pool);

    *ret_job = lane->jobs[lane->first];
    lane->first = (lane->first + 1) % lane->max_queued;
    lane->queued--;
    pool->queued--;
    lane->running++;
    pool->running++;
    line_up(lane);
    return lane;
}

static void finish_job(struct pool *pool, struct pool_lane *lane)
{
    lane->running--;
    pool->running--;
    line_up(lane);
    if (lane->running == 0 && lane->queued == 0)
        pthread_cond_broadcast(&pool->idle);
    /* The others may be waiting for this last job alone. */
    if (pool->stopping && pool->queued == 0)
        pthread_cond_broadcast(&pool->work);
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    struct pool *pool = worker->pool;

    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        struct job job;

        while (!pool->ready_front && !(pool->stopping && pool->queued == 0))
            pthread_cond_wait(&pool->work, &pool->mutex);
        if (!pool->ready_front)
            break;
        struct pool_lane *lane = take_job(pool, &job);
        pthread_mutex_unlock(&pool->mutex);
        job.run(job.arg, worker->arena);
        arena_reset(worker->arena);
        pthread_mutex_lock(&pool->mutex);
        finish_job(pool, lane);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

/* Signals belong to the loop that reads them; no worker may catch one. */
static int start_without_signals(struct worker *worker)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int why = pthread_create(&worker->thread, NULL, work, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (why == 0)
        pthread_setname_np(worker->thread, "tilth-worker");
    return why;
}

static enum tl_code start_worker(struct pool *pool, struct tl_err *err)
{
    struct worker *worker = &pool->workers[pool->worker_count];
    char text[128];

    *worker = (struct worker){.pool = pool, .arena = arena_new()};
    if (!worker->arena)
        return tl_fail(err, TL_NOMEM, "no memory for the arena of a worker");
    int why = start_without_signals(worker);
    if (why != 0) {
        arena_free(worker->arena);
        return tl_fail(err, TL_NOMEM, "cannot start worker thread %u: %s", pool->worker_count + 1,
                       strerror_r(why, text, sizeof(text)));
    }
    /* Nobody but pool_new() and pool_free() reads the count. */
    pool->worker_count++;
    return TL_OK;
}

enum tl_code pool_new(unsigned workers, struct pool **ret_pool, struct tl_err *err)
{
    workers = workers ? workers : cpu_cores();
    AUTO(pool) pool = calloc(1, sizeof(struct pool) + workers * sizeof(struct worker));
    if (!pool)
        return tl_fail(err, TL_NOMEM, "no memory for a pool of %u workers", workers);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->idle, NULL);
    for (unsigned i = 0; i < workers; i++)
        TL_TRY(start_worker(pool, err));
    *ret_pool = TL_TAKE(pool);
    return TL_OK;
}

static void lane_release(struct pool_lane *lane)
{
    free(lane->jobs);
    free(lane);
}

void pool_free(struct pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < pool->worker_count; i++) {
        pthread_join(pool->workers[i].thread, NULL);
        arena_free(pool->workers[i].arena);
    }
    while (pool->lanes) {
        struct pool_lane *lane = pool->lanes;

        pool->lanes = lane->next;
        lane_release(lane);
    }
    pthread_cond_destroy(&pool->idle);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
    free(pool);
}

enum tl_code pool_lane_new(struct pool *pool, unsigned max_running, unsigned max_queued,
                           struct pool_lane **ret_lane, struct tl_err *err)
{
    struct pool_lane *lane = calloc(1, sizeof(*lane));
    struct job *jobs = calloc(max_queued, sizeof(*jobs));

    TL_CHECK(max_queued > 0);
    if (!lane || !jobs) {
        free(lane);
        free(jobs);
        return tl_fail(err, TL_NOMEM, "no memory for a queue of %u jobs", max_queued);
    }
    *lane = (struct pool_lane){
        .pool = pool,
        .max_running = max_running ? max_running : pool->worker_count,
        .max_queued = max_queued,
        .jobs = jobs,
    };
    pthread_mutex_lock(&pool->mutex);
    lane->next = pool->lanes;
    pool->lanes = lane;
    pthread_mutex_unlock(&pool->mutex);
    *ret_lane = lane;
    return TL_OK;
}

void pool_lane_free(struct pool_lane *lane)
{
    if (!lane)
        return;
    struct pool *pool = lane->pool;
    struct pool_lane **at = &pool->lanes;

    pthread_mutex_lock(&pool->mutex);
    while (lane->queued > 0 || lane->running > 0)
        pthread_cond_wait(&pool->idle, &pool->mutex);
    while (*at != lane)
        at = &(*at)->next;
    *at = lane->next;
    pthread_mutex_unlock(&pool->mutex);
    lane_release(lane);
}

/* The caller holds the mutex. */
static enum tl_code enqueue(struct pool_lane *lane, struct job job, struct tl_err *err)
{
    if (lane->pool->stopping)
        return tl_fail(err, TL_BUSY, "the server is stopping");
    if (lane->queued == lane->max_queued)
        return tl_fail(err, TL_BUSY, "%u jobs wait already, the limit of this layer (lane_queue)",
                       lane->queued);
    lane->jobs[(lane->first + lane->queued) % lane->max_queued] = job;
    lane->queued++;
    lane->pool->queued++;
    line_up(lane);
    return TL_OK;
}

enum tl_code pool_submit(struct pool_lane *lane, pool_job_fn *run, void *arg, struct tl_err *err)
{
    pthread_mutex_lock(&lane->pool->mutex);
    enum tl_code code = enqueue(lane, (struct job){run, arg}, err);
    pthread_mutex_unlock(&lane->pool->mutex);
    return code;
}

struct pool_stats pool_stats(struct pool *pool)
{
    pthread_mutex_lock(&pool->mutex);
    struct pool_stats stats = {
        .queued = pool->queued,
        .running = pool->running,
        .workers = pool->worker_count,
    };
    pthread_mutex_unlock(&pool->mutex);
    return stats;
}
