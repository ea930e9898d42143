#include "cache/flight.h"

#include "tl_test.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static const struct cache_key tile = {.ns = 1, .variant = 2, .id = 3};

struct seen {
    unsigned times;
    enum tl_code code;
    const void *result;
    char msg[64];
};

static void note(void *udata, enum tl_code code, const void *result, const struct tl_err *err)
{
    struct seen *seen = udata;

    seen->times++;
    seen->code = code;
    seen->result = result;
    snprintf(seen->msg, sizeof(seen->msg), "%.63s", err ? err->msg : "");
}

struct joined {
    bool first;
    struct flight *flight;
    struct flight_waiter *waiter;
    struct seen seen;
};

static void join(struct flights *flights, const struct cache_key *key, struct joined *joined)
{
    struct flight_place place;

    *joined = (struct joined){0};
    assert_int_equal(flight_join(flights, key, note, &joined->seen, &place), TL_OK);
    joined->first = place.first;
    joined->flight = place.flight;
    joined->waiter = place.waiter;
}

TEST(one_starts_the_work_and_everyone_gets_the_result)
{
    AUTO(flights) flights = flights_new();
    struct joined joined[5];
    int result = 7;

    for (unsigned i = 0; i < 5; i++) {
        join(flights, &tile, &joined[i]);
        assert_int_equal(joined[i].first, i == 0);
        assert_int_equal(joined[i].flight != NULL, i == 0);
    }
    assert_true(flight_begin(joined[0].flight));
    assert_false(*flight_cancelled(joined[0].flight));
    flight_land(joined[0].flight, TL_OK, &result, NULL);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(joined[i].seen.times, 1);
        assert_int_equal(joined[i].seen.code, TL_OK);
        assert_ptr_equal(joined[i].seen.result, &result);
        assert_false(flight_leave(flights, joined[i].waiter));
    }
}

TEST(an_error_goes_to_everyone_with_its_message)
{
    AUTO(flights) flights = flights_new();
    struct tl_err err;
    struct joined a, b;

    join(flights, &tile, &a);
    join(flights, &tile, &b);
    flight_land(a.flight, tl_fail(&err, TL_UPSTREAM, "block 17"), NULL, &err);
    assert_int_equal(a.seen.code, TL_UPSTREAM);
    assert_string_equal(b.seen.msg, "block 17");
}

TEST(different_keys_fly_apart)
{
    AUTO(flights) flights = flights_new();
    struct joined joined[2000];

    for (unsigned i = 0; i < 2000; i++) {
        const struct cache_key key = {.ns = i % 3, .variant = (uint8_t)(i % 5), .id = i / 15};

        join(flights, &key, &joined[i]);
        assert_true(joined[i].first);
    }
    for (unsigned i = 0; i < 2000; i += 2)
        flight_land(joined[i].flight, TL_OK, &joined[i], NULL);
    for (unsigned i = 0; i < 2000; i++)
        assert_ptr_equal(joined[i].seen.result, i % 2 ? NULL : &joined[i]);
    for (unsigned i = 1; i < 2000; i += 2)
        flight_land(joined[i].flight, TL_OK, &joined[i], NULL);
}

TEST(who_leaves_is_not_answered_and_the_others_are)
{
    AUTO(flights) flights = flights_new();
    struct joined joined[6];

    for (unsigned i = 0; i < 6; i++)
        join(flights, &tile, &joined[i]);
    assert_true(flight_leave(flights, joined[0].waiter));
    assert_true(flight_leave(flights, joined[3].waiter));
    assert_true(flight_leave(flights, joined[5].waiter));
    assert_false(flight_leave(flights, joined[3].waiter));
    assert_false(*flight_cancelled(joined[0].flight));
    assert_true(flight_begin(joined[0].flight));
    flight_land(joined[0].flight, TL_OK, NULL, NULL);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(joined[i].seen.times, i == 1 || i == 2 || i == 4);
}

TEST(work_that_nobody_waits_for_does_not_begin)
{
    AUTO(flights) flights = flights_new();
    struct joined a, b;

    join(flights, &tile, &a);
    assert_true(flight_leave(flights, a.waiter));
    join(flights, &tile, &b);
    assert_true(b.first);
    assert_false(flight_begin(a.flight));
    assert_true(flight_begin(b.flight));
    flight_land(b.flight, TL_OK, NULL, NULL);
    assert_int_equal(a.seen.times, 0);
    assert_int_equal(b.seen.times, 1);
}

TEST(the_last_to_leave_cancels_running_work)
{
    AUTO(flights) flights = flights_new();
    struct joined a, b, late;

    join(flights, &tile, &a);
    join(flights, &tile, &b);
    assert_true(flight_begin(a.flight));
    assert_true(flight_leave(flights, a.waiter));
    assert_false(*flight_cancelled(a.flight));
    assert_true(flight_leave(flights, b.waiter));
    assert_true(*flight_cancelled(a.flight));
    join(flights, &tile, &late); /* must not wait for cancelled work */
    assert_true(late.first);
    flight_land(a.flight, TL_CANCELLED, NULL, NULL);
    assert_int_equal(late.seen.times, 0);
    flight_land(late.flight, TL_OK, NULL, NULL);
    assert_int_equal(late.seen.times, 1);
    assert_int_equal(a.seen.times + b.seen.times, 0);
}

TEST(work_that_could_not_be_queued_lands_at_once)
{
    AUTO(flights) flights = flights_new();
    struct joined a;

    join(flights, &tile, &a);
    flight_land(a.flight, TL_BUSY, NULL, NULL);
    assert_int_equal(a.seen.code, TL_BUSY);
    join(flights, &tile, &a);
    assert_true(a.first);
    flight_land(a.flight, TL_OK, NULL, NULL);
}

struct chain {
    struct flights *flights;
    struct joined next;
    struct flight_waiter *other;
    bool left;
};

static void join_again(void *udata, enum tl_code code, const void *result, const struct tl_err *err)
{
    struct chain *chain = udata;

    (void)code;
    (void)result;
    (void)err;
    join(chain->flights, &tile, &chain->next);
    chain->left = flight_leave(chain->flights, chain->other);
}

TEST(done_may_join_again_and_take_back_a_later_waiter)
{
    AUTO(flights) flights = flights_new();
    struct chain chain = {.flights = flights};
    struct joined other;
    struct flight_place first, second;

    assert_int_equal(flight_join(flights, &tile, join_again, &chain, &first), TL_OK);
    assert_int_equal(flight_join(flights, &tile, note, &other.seen, &second), TL_OK);
    chain.other = second.waiter;
    other.seen.times = 0;
    flight_land(first.flight, TL_OK, NULL, NULL);
    assert_true(chain.next.first);
    assert_true(chain.left);
    assert_int_equal(other.seen.times, 0);
    flight_land(chain.next.flight, TL_OK, NULL, NULL);
}

/* ---- many threads ---- */

/*
 * Clients join random keys of few, and leave or wait. Workers begin and land what first
 * joiners queue. Each wait ends exactly once: answered, or left.
 */
enum { CLIENTS = 6, WORKERS = 3, ROUNDS = 4000, RING = 1 << 15, HOT_KEYS = 5 };

struct arena_of_war {
    struct flights *flights;
    pthread_mutex_t mu; /* guards: the ring */
    struct flight *ring[RING];
    size_t head, tail;
    bool closed;
    atomic_uint landed, skipped, started, answered, left, cancelled_seen;
};

struct wait {
    struct arena_of_war *war;
    atomic_uint answers;
    const void *expected;
};

static void on_answer(void *udata, enum tl_code code, const void *result, const struct tl_err *err)
{
    struct wait *wait = udata;

    (void)err;
    if (code != TL_OK || result != wait->war)
        abort();
    atomic_fetch_add(&wait->war->answered, 1);
    atomic_fetch_add(&wait->answers, 1);
}

static void queue_work(struct arena_of_war *war, struct flight *flight)
{
    pthread_mutex_lock(&war->mu);
    if (war->tail - war->head == RING)
        abort();
    war->ring[war->tail++ % RING] = flight;
    pthread_mutex_unlock(&war->mu);
    atomic_fetch_add(&war->started, 1);
}

static struct flight *take_work(struct arena_of_war *war, bool *ret_closed)
{
    struct flight *flight = NULL;

    pthread_mutex_lock(&war->mu);
    if (war->head < war->tail)
        flight = war->ring[war->head++ % RING];
    *ret_closed = war->closed && !flight;
    pthread_mutex_unlock(&war->mu);
    return flight;
}

static void *work(void *arg)
{
    struct arena_of_war *war = arg;
    bool closed = false;

    while (!closed) {
        struct flight *flight = take_work(war, &closed);

        if (!flight) {
            sched_yield();
        } else if (flight_begin(flight)) {
            for (int i = 0; i < 3; i++) {
                sched_yield();
                if (atomic_load(flight_cancelled(flight)))
                    atomic_fetch_add(&war->cancelled_seen, 1);
            }
            flight_land(flight, TL_OK, war, NULL);
            atomic_fetch_add(&war->landed, 1);
        } else {
            atomic_fetch_add(&war->skipped, 1);
        }
    }
    return NULL;
}

/* Leaves, or waits for the answer. When leaving fails the answer has come or is coming. */
static void end_wait(struct arena_of_war *war, struct wait *wait, struct flight_waiter *waiter,
                     bool leave)
{
    if (leave && flight_leave(war->flights, waiter)) {
        if (atomic_load(&wait->answers) != 0)
            abort();
        atomic_fetch_add(&war->left, 1);
        return;
    }
    while (atomic_load(&wait->answers) == 0)
        sched_yield();
    if (flight_leave(war->flights, waiter) || atomic_load(&wait->answers) != 1)
        abort();
}

static void *be_client(void *arg)
{
    struct arena_of_war *war = arg;
    uint64_t x = (uintptr_t)&x;

    for (unsigned round = 0; round < ROUNDS; round++) {
        struct wait *wait = calloc(1, sizeof(*wait));
        struct flight_place place;

        x = x * 6364136223846793005U + 1442695040888963407U;
        const struct cache_key key = {.ns = 1, .id = (x >> 33) % HOT_KEYS};
        wait->war = war;
        if (flight_join(war->flights, &key, on_answer, wait, &place) != TL_OK)
            abort();
        if (place.first)
            queue_work(war, place.flight);
        if (x >> 60 & 1)
            sched_yield();
        end_wait(war, wait, place.waiter, x >> 61 & 1);
        free(wait);
    }
    return NULL;
}

TEST(threads_joining_leaving_and_landing_end_every_wait_once)
{
    struct arena_of_war *war = calloc(1, sizeof(*war));
    pthread_t clients[CLIENTS], workers[WORKERS];

    war->flights = flights_new();
    pthread_mutex_init(&war->mu, NULL);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(pthread_create(&workers[i], NULL, work, war), 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_create(&clients[i], NULL, be_client, war), 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        pthread_join(clients[i], NULL);
    pthread_mutex_lock(&war->mu);
    war->closed = true;
    pthread_mutex_unlock(&war->mu);
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(workers[i], NULL);
    assert_int_equal(war->answered + war->left, CLIENTS * ROUNDS);
    assert_int_equal(war->landed + war->skipped, war->started);
    assert_true(war->left > 0);
    assert_true(war->answered > war->landed / 2);
    flights_free(war->flights); /* checks that no flight is left */
    pthread_mutex_destroy(&war->mu);
    free(war);
}

RUN(T(one_starts_the_work_and_everyone_gets_the_result),
    T(an_error_goes_to_everyone_with_its_message), T(different_keys_fly_apart),
    T(who_leaves_is_not_answered_and_the_others_are), T(work_that_nobody_waits_for_does_not_begin),
    T(the_last_to_leave_cancels_running_work), T(work_that_could_not_be_queued_lands_at_once),
    T(done_may_join_again_and_take_back_a_later_waiter),
    T(threads_joining_leaving_and_landing_end_every_wait_once))
