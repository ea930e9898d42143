/*
 *             join (first)            begin                land
 *   (none) ----------------> queued ---------> running -----------> (freed)
 *                              |                  |
 *                              | last leave       | last leave: *cancelled
 *                              v                  v
 *                          abandoned          abandoned, land frees it
 *                          begin frees it
 *
 * An abandoned flight is out of its table: whoever joins then starts a new one.
 *
 * A waiter may be taken back at any time, also after it is gone, so a flight_waiter is not
 * an address but a number that is never used twice, in the clothes of a pointer:
 * 58 bits that count up and 6 that say which shard knows it.
 */
#include "cache/flight.h"

#include "base/check.h"
#include "cache/record.h"

#include <pthread.h>
#include <stdlib.h>

enum {
    SHARDS = 64,
    BUCKETS = 64,         /* of flights in a shard: as many as render at once, spread out */
    WAITER_BUCKETS = 256, /* a thousand clients may wait for one tile */
};

_Static_assert(sizeof(void *) == 8, "a ticket needs 64 bits");

struct waiter {
    struct waiter *chain;        /* in its bucket */
    struct waiter *next, **link; /* in its flight, in order of joining */
    struct flight *flight;
    uint64_t ticket;
    flight_done_fn *done;
    void *udata;
};

struct shard {
    pthread_mutex_t mu; /* guards: everything below, and every flight of the shard */
    uint64_t next_ticket;
    struct flight *flights[BUCKETS];
    struct waiter *waiters[WAITER_BUCKETS];
} __attribute__((aligned(64)));

struct flights {
    atomic_uint alive; /* flights, abandoned ones too */
    struct shard shards[SHARDS];
};

struct flight {
    struct flights *flights;
    struct shard *shard;
    struct flight *chain; /* in its bucket, while in the table */
    struct cache_key key;
    struct waiter *first, **last;
    atomic_bool cancelled; /* the work asks without the mutex */
    bool abandoned;        /* out of the table */
};

struct flights *flights_new(void)
{
    struct flights *flights = aligned_alloc(64, sizeof(*flights));

    if (!flights)
        return NULL;
    *flights = (struct flights){0};
    for (unsigned i = 0; i < SHARDS; i++)
        pthread_mutex_init(&flights->shards[i].mu, NULL);
    return flights;
}

void flights_free(struct flights *flights)
{
    if (!flights)
        return;
    /* Whoever still has a flight to land would write into freed memory. */
    TL_CHECK(atomic_load(&flights->alive) == 0);
    for (unsigned i = 0; i < SHARDS; i++)
        pthread_mutex_destroy(&flights->shards[i].mu);
    free(flights);
}

/* ---- under the mutex of the shard ---- */

static struct flight **find_flight(struct shard *shard, uint64_t hash, const struct cache_key *key)
{
    struct flight **at = &shard->flights[hash / SHARDS % BUCKETS];

    while (*at && !cache_key_equal(&(*at)->key, key))
        at = &(*at)->chain;
    return at;
}

static struct waiter **find_waiter(struct shard *shard, uint64_t ticket)
{
    struct waiter **at = &shard->waiters[ticket / SHARDS % WAITER_BUCKETS];

    while (*at && (*at)->ticket != ticket)
        at = &(*at)->chain;
    return at;
}

static void abandon(struct flight *flight)
{
    struct flight **at = find_flight(flight->shard, cache_key_hash(&flight->key), &flight->key);

    TL_CHECK(*at == flight);
    *at = flight->chain;
    flight->abandoned = true;
}

static void add_waiter(struct shard *shard, struct flight *flight, struct waiter *waiter)
{
    struct waiter **bucket;

    waiter->ticket = ++shard->next_ticket * SHARDS + (uint64_t)(shard - flight->flights->shards);
    bucket = &shard->waiters[waiter->ticket / SHARDS % WAITER_BUCKETS];
    waiter->chain = *bucket;
    *bucket = waiter;
    waiter->flight = flight;
    waiter->next = NULL;
    waiter->link = flight->last;
    *flight->last = waiter;
    flight->last = &waiter->next;
}

/* Out of the table of tickets and of its flight: it is the caller's alone. */
static void remove_waiter(struct shard *shard, struct waiter *waiter)
{
    struct waiter **at = find_waiter(shard, waiter->ticket);

    *at = waiter->chain;
    *waiter->link = waiter->next;
    if (waiter->next)
        waiter->next->link = waiter->link;
    else
        waiter->flight->last = waiter->link;
}

/* ---- the public part ---- */

static struct flight *new_flight(struct flights *flights, struct shard *shard,
                                 const struct cache_key *key)
{
    struct flight *flight = calloc(1, sizeof(*flight));

    if (!flight)
        return NULL;
    flight->flights = flights;
    flight->shard = shard;
    flight->key = *key;
    flight->last = &flight->first;
    atomic_fetch_add(&flights->alive, 1);
    return flight;
}

static void free_flight(struct flight *flight)
{
    atomic_fetch_sub(&flight->flights->alive, 1);
    free(flight);
}

enum tl_code flight_join(struct flights *flights, const struct cache_key *key, flight_done_fn *done,
                         void *udata, struct flight_place *ret_place)
{
    uint64_t hash = cache_key_hash(key);
    struct shard *shard = &flights->shards[hash % SHARDS];
    struct waiter *waiter = malloc(sizeof(*waiter));

    if (!waiter)
        return TL_NOMEM;
    pthread_mutex_lock(&shard->mu);
    struct flight **at = find_flight(shard, hash, key);
    bool first = !*at;
    if (first)
        *at = new_flight(flights, shard, key);
    struct flight *flight = *at;
    if (flight) {
        *waiter = (struct waiter){.done = done, .udata = udata};
        add_waiter(shard, flight, waiter);
        *ret_place =
            (struct flight_place){.first = first,
                                  .flight = first ? flight : NULL,
                                  .waiter = (struct flight_waiter *)(uintptr_t)waiter->ticket};
    }
    pthread_mutex_unlock(&shard->mu);
    if (flight)
        return TL_OK;
    free(waiter);
    return TL_NOMEM;
}

const atomic_bool *flight_cancelled(const struct flight *flight)
{
    return &flight->cancelled;
}

bool flight_begin(struct flight *flight)
{
    struct shard *shard = flight->shard;

    pthread_mutex_lock(&shard->mu);
    bool wanted = !flight->abandoned;
    pthread_mutex_unlock(&shard->mu);
    if (!wanted)
        free_flight(flight);
    return wanted;
}

/*
 * Waiters are taken one by one, so that each can leave until it is its turn. The flight is
 * out of the table by then, and nobody else reaches it but through its waiters.
 */
void flight_land(struct flight *flight, enum tl_code code, const void *result,
                 const struct tl_err *err)
{
    struct shard *shard = flight->shard;

    pthread_mutex_lock(&shard->mu);
    if (!flight->abandoned)
        abandon(flight);
    for (struct waiter *waiter; (waiter = flight->first);) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): `first` is the next one by then */
        remove_waiter(shard, waiter);
        pthread_mutex_unlock(&shard->mu);
        waiter->done(waiter->udata, code, result, err);
        free(waiter);
        pthread_mutex_lock(&shard->mu);
    }
    pthread_mutex_unlock(&shard->mu);
    free_flight(flight);
}

bool flight_leave(struct flights *flights, struct flight_waiter *waiter)
{
    uint64_t ticket = (uintptr_t)waiter;
    struct shard *shard = &flights->shards[ticket % SHARDS];

    pthread_mutex_lock(&shard->mu);
    struct waiter *left = *find_waiter(shard, ticket);
    bool waited = left;
    if (waited) {
        struct flight *flight = left->flight;

        remove_waiter(shard, left);
        if (!flight->first && !flight->abandoned) {
            abandon(flight);
            /* Relaxed: the work only has to see it soon. */
            atomic_store_explicit(&flight->cancelled, true, memory_order_relaxed);
        }
    }
    pthread_mutex_unlock(&shard->mu);
    free(left);
    return waited;
}
