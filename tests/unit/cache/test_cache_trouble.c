/*
 * What a server meets in its life: kill -9, a full disk, a reader that will not go away,
 * many threads.
 */
#include "cache/cache.h"

#include "tl_test.h"

#include "base/clock.h"
#include "base/metric.h"
#include "cache_fixture.h"

#include <lmdb.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static void sleep_ms(long ms)
{
    const struct timespec pause = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * NS_PER_MS};

    nanosleep(&pause, NULL);
}

static size_t size_of(uint64_t id)
{
    return id * 2654435761U % 23 * 700 + id % 97;
}

/* ---- kill -9 ---- */

/* Writes until it is killed, replacing and evicting too; tells of every flush. */
static void write_for_ever(const struct folder *folder, uint64_t round, int progress)
{
    struct tl_err err;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    struct cache *cache = open_cache(folder, 4 * MIB, 1);
    if (!cache)
        _exit(1);
    struct cache_key key = {.ns = namespace_of(cache, 1)};

    for (uint64_t i = 0;; i++) {
        key.id = (round * 131 + i * 7) % 3000;
        key.variant = (uint8_t)(i % 2);
        put(cache, key, key.id, size_of(key.id));
        if (i % 37 != 0)
            continue;
        if (cache_flush(cache, &err) != TL_OK || write(progress, "f", 1) != 1)
            _exit(2);
    }
}

TEST(a_killed_writer_leaves_no_bad_value)
{
    enum { ROUNDS = 40 };
    struct tl_err err;
    struct folder folder = folder_new();
    uint64_t seen = 0;

    for (uint64_t round = 0; round < ROUNDS; round++) {
        int progress[2], status = 0;
        char flushed;

        assert_int_equal(pipe(progress), 0);
        pid_t child = fork();
        if (child == 0)
            write_for_ever(&folder, round, progress[1]);
        assert_int_equal(read(progress[0], &flushed, 1), 1);
        sleep_ms((long)(round * 7 % 40));
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        close(progress[0]);
        close(progress[1]);

        AUTO(cache) cache = open_cache(&folder, 4 * MIB, 1);
        struct cache_key key = {.ns = namespace_of(cache, 1)};
        struct cache_verdict verdict;
        assert_ok(cache_verify(cache, false, &verdict, &err));
        assert_true(verdict.values > 0);
        assert_int_equal(verdict.corrupt, 0);
        assert_int_equal(verdict.orphans, 0);
        for (key.id = 0; key.id < 3000; key.id++) /* look() aborts at a wrong value */
            seen += look(cache, key, key.id, size_of(key.id)) == CACHE_DISK;
    }
    assert_true(seen > ROUNDS * 10);
    folder_remove(&folder);
}

/* ---- a full disk ---- */

/* Puts values until one flush fails; returns how many went in before. */
static uint64_t put_until_full(struct cache *cache, uint32_t ns)
{
    struct tl_err err;

    for (uint64_t id = 0; id < 10000; id++) {
        put(cache, (struct cache_key){.ns = ns, .id = id}, 1, 5000);
        if (id % 40 == 39 && cache_flush(cache, &err) != TL_OK)
            return id + 1;
    }
    return 0;
}

/* Tries a new value until the writer's pause is over; false after ten seconds. */
static bool heals(struct cache *cache, struct cache_key key)
{
    struct tl_err err;

    for (int tries = 0; tries < 100; tries++) {
        put(cache, key, 2, 5000);
        if (cache_flush(cache, &err) == TL_OK)
            return true;
        sleep_ms(100);
    }
    return false;
}

TEST(a_full_disk_fails_no_request_and_heals)
{
    struct tl_err err;
    struct rlimit before, small = {.rlim_cur = 3 * MIB};
    struct folder folder = folder_new();
    struct cache_verdict verdict;
    AUTO(cache) cache = open_cache(&folder, 64 * MIB, 64 * MIB);
    uint32_t ns = namespace_of(cache, 1);
    int64_t dropped = metric_value(METRIC_CACHE_DROPPED);

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    uint64_t put_in = put_until_full(cache, ns);
    assert_int_not_equal(put_in, 0);
    assert_true(metric_value(METRIC_CACHE_DROPPED) > dropped);
    for (uint64_t id = 0; id < put_in; id++)
        assert_int_equal(look(cache, (struct cache_key){.ns = ns, .id = id}, 1, 5000), CACHE_RAM);
    assert_ok(cache_verify(cache, false, &verdict, &err));
    assert_true(verdict.values > 100);
    assert_int_equal(verdict.corrupt, 0);

    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(heals(cache, (struct cache_key){.ns = ns, .id = 99999}));
    cache_close(TL_TAKE(cache));
    cache = open_cache(&folder, 64 * MIB, 1);
    assert_int_equal(look(cache, (struct cache_key){.ns = ns, .id = 99999}, 2, 5000), CACHE_DISK);
    assert_int_equal(look(cache, (struct cache_key){.ns = ns, .id = 0}, 1, 5000), CACHE_DISK);
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
}

TEST(a_namespace_on_a_full_disk_lives_in_memory)
{
    struct rlimit before, none = {.rlim_cur = 4096};
    struct folder folder = folder_new();
    AUTO(cache) cache = open_cache(&folder, 64 * MIB, 1 * MIB);

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    uint32_t a = namespace_of(cache, 1), b = namespace_of(cache, 2);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_not_equal(a, 0);
    assert_int_not_equal(a, b);
    put(cache, (struct cache_key){.ns = a, .id = 1}, 1, 5000);
    assert_int_equal(look(cache, (struct cache_key){.ns = a, .id = 1}, 1, 5000), CACHE_RAM);
    assert_int_equal(look(cache, (struct cache_key){.ns = b, .id = 1}, 1, 5000), CACHE_MISS);
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
}

/* ---- a full file ---- */

/* Another process that opens a snapshot and keeps it. */
static void hold_snapshot(const struct folder *folder, int go, int held)
{
    MDB_env *env;
    MDB_txn *txn;
    char byte;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (read(go, &byte, 1) != 1 || mdb_env_create(&env) || mdb_env_set_maxdbs(env, 8) ||
        mdb_env_open(env, folder->path, MDB_RDONLY | MDB_NOTLS, 0640) ||
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) || write(held, "h", 1) != 1)
        _exit(1);
    pause();
    _exit(0);
}

TEST(a_snapshot_held_elsewhere_fills_the_file_and_its_end_heals_it)
{
    struct tl_err err;
    struct folder folder = folder_new();
    int go[2], held[2], status;
    char byte;

    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(held), 0);
    pid_t child = fork();
    if (child == 0)
        hold_snapshot(&folder, go[0], held[1]);
    AUTO(cache) cache = open_cache(&folder, 4 * MIB, 16 * MIB);
    uint32_t ns = namespace_of(cache, 1);
    put(cache, (struct cache_key){.ns = ns, .id = 70000}, 1, 5000);
    assert_ok(cache_flush(cache, &err));
    assert_int_equal(write(go[1], "g", 1), 1);
    assert_int_equal(read(held[0], &byte, 1), 1);

    uint64_t put_in = put_until_full(cache, ns);
    assert_int_not_equal(put_in, 0);
    assert_int_equal(look(cache, (struct cache_key){.ns = ns, .id = 0}, 1, 5000), CACHE_RAM);
    assert_true(file_bytes(&folder) <= 4 * MIB);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(heals(cache, (struct cache_key){.ns = ns, .id = 80000}));
    assert_true(file_bytes(&folder) <= 4 * MIB);
    cache_close(TL_TAKE(cache));
    cache = open_cache(&folder, 4 * MIB, 1);
    assert_int_equal(look(cache, (struct cache_key){.ns = ns, .id = 80000}, 2, 5000), CACHE_DISK);
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
    close(go[0]);
    close(go[1]);
    close(held[0]);
    close(held[1]);
}

/* ---- many threads ---- */

enum { THREADS = 6, KEYS = 400, STEPS = 4000 };

struct user {
    struct cache *cache;
    uint32_t ns;
    unsigned number;
    uint64_t hits;
};

static void *use_cache(void *arg)
{
    struct user *user = arg;
    uint64_t x = user->number * 7919 + 1;

    for (unsigned step = 0; step < STEPS; step++) {
        x = x * 6364136223846793005U + 1442695040888963407U;
        struct cache_key key = {.ns = user->ns, .id = x >> 33 & 0x1ff};

        if (key.id >= KEYS)
            key.id -= KEYS;
        if (look(user->cache, key, key.id, size_of(key.id)) != CACHE_MISS)
            user->hits++;
        else
            put(user->cache, key, key.id, size_of(key.id));
        if (step % 512 == user->number) {
            struct tl_err err;
            enum tl_code code = cache_flush(user->cache, &err);

            if (code != TL_OK && code != TL_NOSPACE)
                abort();
        }
    }
    return NULL;
}

TEST(many_threads_get_and_put_the_same_keys)
{
    struct tl_err err;
    struct folder folder = folder_new();
    AUTO(cache) cache = open_cache(&folder, 2 * MIB, 200000);
    struct user users[THREADS];
    pthread_t threads[THREADS];
    struct cache_verdict verdict;
    uint64_t hits = 0;

    for (unsigned i = 0; i < THREADS; i++) {
        users[i] = (struct user){.cache = cache, .ns = namespace_of(cache, 1), .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, use_cache, &users[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        hits += users[i].hits;
    }
    assert_true(hits > STEPS);
    assert_ok(cache_verify(cache, false, &verdict, &err));
    assert_int_equal(verdict.corrupt, 0);
    assert_int_equal(verdict.orphans, 0);
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
}

TEST(closing_writes_what_is_queued)
{
    struct folder folder = folder_new();
    AUTO(cache) cache = open_cache(&folder, 64 * MIB, 64 * MIB);
    struct cache_key key = {.ns = namespace_of(cache, 1)};

    for (key.id = 0; key.id < 2000; key.id++)
        put(cache, key, 3, 1000);
    cache_close(TL_TAKE(cache));
    cache = open_cache(&folder, 64 * MIB, 1);
    for (key.id = 0; key.id < 2000; key.id++)
        assert_int_equal(look(cache, key, 3, 1000), CACHE_DISK);
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
}

TEST(values_reach_the_disk_without_a_flush)
{
    struct folder folder = folder_new();
    AUTO(cache) cache = open_cache(&folder, 64 * MIB, 1);
    const struct cache_key key = {.ns = namespace_of(cache, 1), .id = 1};
    enum cache_tier tier = CACHE_MISS;

    put(cache, key, 3, 1000);
    for (int tries = 0; tries < 200 && tier != CACHE_DISK; tries++) {
        sleep_ms(50);
        tier = look(cache, key, 3, 1000); /* in memory until it is written: RAM has one byte */
    }
    assert_int_equal(tier, CACHE_DISK);
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
}

RUN(T(a_killed_writer_leaves_no_bad_value), T(a_full_disk_fails_no_request_and_heals),
    T(a_namespace_on_a_full_disk_lives_in_memory),
    T(a_snapshot_held_elsewhere_fills_the_file_and_its_end_heals_it),
    T(many_threads_get_and_put_the_same_keys), T(closing_writes_what_is_queued),
    T(values_reach_the_disk_without_a_flush))
