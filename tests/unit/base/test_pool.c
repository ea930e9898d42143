#include "base/pool.h"

#include "base/arena.h"

#include "fail_alloc.h"
#include "tl_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

static struct tl_err err;

/* A door that jobs wait behind, so that tests decide when they run. */
struct door {
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    bool open;
    unsigned inside, most_inside, passed;
    char order[64];
};

struct knock {
    struct door *door;
    char name;
};

static void door_init(struct door *door)
{
    *door = (struct door){.open = false};
    pthread_mutex_init(&door->mutex, NULL);
    pthread_cond_init(&door->moved, NULL);
}

static void pass(void *arg, struct arena *arena)
{
    struct knock *knock = arg;
    struct door *door = knock->door;

    (void)arena;
    pthread_mutex_lock(&door->mutex);
    door->inside++;
    door->most_inside = door->inside > door->most_inside ? door->inside : door->most_inside;
    pthread_cond_broadcast(&door->moved);
    while (!door->open)
        pthread_cond_wait(&door->moved, &door->mutex);
    door->order[door->passed++] = knock->name;
    door->inside--;
    pthread_cond_broadcast(&door->moved);
    pthread_mutex_unlock(&door->mutex);
}

static void wait_inside(struct door *door, unsigned count)
{
    pthread_mutex_lock(&door->mutex);
    while (door->inside < count)
        pthread_cond_wait(&door->moved, &door->mutex);
    pthread_mutex_unlock(&door->mutex);
}

static void wait_passed(struct door *door, unsigned count)
{
    pthread_mutex_lock(&door->mutex);
    while (door->passed < count)
        pthread_cond_wait(&door->moved, &door->mutex);
    pthread_mutex_unlock(&door->mutex);
}

static void door_open(struct door *door)
{
    pthread_mutex_lock(&door->mutex);
    door->open = true;
    pthread_cond_broadcast(&door->moved);
    pthread_mutex_unlock(&door->mutex);
}

TEST(lanes_take_turns_whatever_their_length)
{
    struct pool *pool = NULL;
    struct pool_lane *a = NULL, *b = NULL;
    struct door door;
    door_init(&door);
    struct knock first = {&door, '.'}, ka = {&door, 'a'}, kb = {&door, 'b'};

    assert_ok(pool_new(1, &pool, &err));
    assert_ok(pool_lane_new(pool, 0, 8, &a, &err));
    assert_ok(pool_lane_new(pool, 0, 8, &b, &err));
    assert_ok(pool_submit(a, pass, &first, &err));
    wait_inside(&door, 1);
    for (int i = 0; i < 4; i++)
        assert_ok(pool_submit(a, pass, &ka, &err));
    for (int i = 0; i < 2; i++)
        assert_ok(pool_submit(b, pass, &kb, &err));
    assert_int_equal(pool_stats(pool).queued, 6);
    assert_int_equal(pool_stats(pool).running, 1);
    door_open(&door);
    pool_free(pool);
    /* Lane a has had its turn with the first job. */
    assert_string_equal(door.order, ".babaaa");
}

TEST(a_slow_lane_at_its_cap_does_not_hold_up_another)
{
    struct pool *pool = NULL;
    struct pool_lane *cold = NULL, *warm = NULL;
    struct door shut, open;
    door_init(&shut);
    door_init(&open);
    door_open(&open);
    struct knock slow = {&shut, 's'}, quick = {&open, 'q'};

    assert_ok(pool_new(2, &pool, &err));
    assert_ok(pool_lane_new(pool, 1, 8, &cold, &err));
    assert_ok(pool_lane_new(pool, 0, 8, &warm, &err));
    for (int i = 0; i < 5; i++)
        assert_ok(pool_submit(cold, pass, &slow, &err));
    wait_inside(&shut, 1);
    for (int i = 0; i < 5; i++)
        assert_ok(pool_submit(warm, pass, &quick, &err));
    wait_passed(&open, 5);
    assert_int_equal(shut.passed, 0);
    door_open(&shut);
    pool_free(pool);
    assert_int_equal(shut.passed, 5);
    assert_int_equal(shut.most_inside, 1);
}

TEST(a_full_lane_says_busy_and_queues_nothing)
{
    struct pool *pool = NULL;
    struct pool_lane *lane = NULL;
    struct door door;
    door_init(&door);
    struct knock knock = {&door, 'k'};

    assert_ok(pool_new(1, &pool, &err));
    assert_ok(pool_lane_new(pool, 0, 2, &lane, &err));
    assert_ok(pool_submit(lane, pass, &knock, &err));
    wait_inside(&door, 1);
    assert_ok(pool_submit(lane, pass, &knock, &err));
    assert_ok(pool_submit(lane, pass, &knock, &err));
    assert_refused(pool_submit(lane, pass, &knock, &err), TL_BUSY, "2 jobs wait already");
    door_open(&door);
    pool_lane_free(lane);
    assert_int_equal(door.passed, 3);
    assert_int_equal(pool_stats(pool).queued, 0);
    pool_free(pool);
}

static void use_arena(void *arg, struct arena *arena)
{
    atomic_uint *used = arg;

    /* Empty at the start of every job: the one before was reset. */
    if (arena_used(arena) == 0 && arena_alloc(arena, 1000, 1))
        atomic_fetch_add(used, 1);
}

TEST(every_job_finds_an_empty_arena)
{
    struct pool *pool = NULL;
    struct pool_lane *lane = NULL;
    atomic_uint used = 0;

    assert_ok(pool_new(2, &pool, &err));
    assert_ok(pool_lane_new(pool, 0, 100, &lane, &err));
    for (int i = 0; i < 100; i++)
        assert_ok(pool_submit(lane, use_arena, &used, &err));
    pool_free(pool);
    assert_int_equal(used, 100);
}

struct resubmit {
    struct pool_lane *lane;
    struct door *door;
    enum tl_code code;
};

static void submit_again(void *arg, struct arena *arena)
{
    struct resubmit *again = arg;
    struct knock knock = {again->door, 'r'};
    struct tl_err why;

    pass(&knock, arena);
    again->code = pool_submit(again->lane, submit_again, again, &why);
}

static void *free_pool(void *pool)
{
    pool_free(pool);
    return NULL;
}

TEST(a_stopping_pool_refuses_new_jobs)
{
    struct pool *pool = NULL;
    struct pool_lane *lane = NULL;
    struct door door;
    pthread_t closer;
    door_init(&door);

    assert_ok(pool_new(1, &pool, &err));
    assert_ok(pool_lane_new(pool, 0, 4, &lane, &err));
    struct resubmit again = {lane, &door, TL_OK};
    assert_ok(pool_submit(lane, submit_again, &again, &err));
    wait_inside(&door, 1);
    assert_int_equal(pthread_create(&closer, NULL, free_pool, pool), 0);
    /* Until pool_free() has begun, a probe is still queued; it runs behind the door. */
    struct knock probe = {&door, 'p'};
    while (pool_submit(lane, pass, &probe, &err) == TL_OK || strstr(err.msg, "wait already"))
        sched_yield();
    door_open(&door);
    pthread_join(closer, NULL);
    assert_int_equal(again.code, TL_BUSY);
}

struct many {
    struct pool_lane *lane;
    atomic_uint *ran, accepted;
};

static void count_one(void *arg, struct arena *arena)
{
    (void)arena;
    atomic_fetch_add((atomic_uint *)arg, 1);
}

static void *submit_many(void *arg)
{
    struct many *many = arg;
    struct tl_err why;

    for (int i = 0; i < 5000; i++)
        if (pool_submit(many->lane, count_one, many->ran, &why) == TL_OK)
            atomic_fetch_add(&many->accepted, 1);
    return NULL;
}

TEST(every_accepted_job_of_many_threads_runs_once)
{
    struct pool *pool = NULL;
    struct many many[4];
    pthread_t threads[4];
    atomic_uint ran = 0;
    unsigned accepted = 0;

    assert_ok(pool_new(3, &pool, &err));
    for (unsigned i = 0; i < 4; i++) {
        many[i] = (struct many){.ran = &ran};
        assert_ok(pool_lane_new(pool, 1 + i % 2, 16, &many[i].lane, &err));
        assert_int_equal(pthread_create(&threads[i], NULL, submit_many, &many[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        accepted += many[i].accepted;
    }
    pool_free(pool);
    assert_int_equal(ran, accepted);
}

TEST(without_memory_no_pool_and_no_lane_is_made)
{
    struct pool *pool = NULL;
    struct pool_lane *lane = NULL;
    unsigned n;

    if (!FAIL_ALLOC)
        skip();
    for (n = 1; n < 50; n++) {
        fail_alloc_at(n);
        enum tl_code code = pool_new(2, &pool, &err);
        if (!fail_alloc_hit())
            break;
        /* glibc's pthread_create() allocates too. */
        assert_int_equal(code, TL_NOMEM);
        assert_null(pool);
    }
    assert_in_range(n, 4, 49);
    for (n = 1; n <= 2; n++) {
        fail_alloc_at(n);
        assert_int_equal(pool_lane_new(pool, 1, 8, &lane, &err), TL_NOMEM);
        assert_true(fail_alloc_hit());
    }
    pool_free(pool);
}

RUN(T(lanes_take_turns_whatever_their_length), T(a_slow_lane_at_its_cap_does_not_hold_up_another),
    T(a_full_lane_says_busy_and_queues_nothing), T(every_job_finds_an_empty_arena),
    T(a_stopping_pool_refuses_new_jobs), T(every_accepted_job_of_many_threads_runs_once),
    T(without_memory_no_pool_and_no_lane_is_made))
