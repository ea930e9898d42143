#include "raster/block_pool.h"

#include "base/clock.h"
#include "base/errand.h"
#include "tl_test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { KIB = 1024, MIB = 1024 * 1024, SIDE = 128, BLOCK_BYTES = SIDE * SIDE };

static const struct block shape = {.width = SIDE, .height = SIDE, .bands = 1, .dtype = DTYPE_U8};

static struct block_pool *new_pool(size_t budget)
{
    struct block_pool *pool = NULL;
    struct tl_err err;

    assert_ok(block_pool_new(budget, &pool, &err));
    return pool;
}

static struct block_key key_of(uint32_t n)
{
    return (struct block_key){.source = 1, .col = n};
}

static void stamp(struct block *block, uint32_t n)
{
    uint32_t *samples = (void *)(uintptr_t)block->samples;

    samples[0] = n;
    samples[BLOCK_BYTES / 4 - 1] = ~n;
}

static bool is_stamped(const struct block *block, uint32_t n)
{
    const uint32_t *samples = block->samples;

    return samples[0] == n && samples[BLOCK_BYTES / 4 - 1] == ~n;
}

/* Makes block `n` as its claimer would. */
static void make(struct block_pool *pool, uint32_t n)
{
    struct block_key key = key_of(n);
    struct block *block = block_pool_alloc(pool, &shape, false);

    assert_non_null(block);
    stamp(block, n);
    block_pool_land(pool, &key, block);
    block_unref(block);
}

TEST(the_first_to_claim_a_block_makes_it_and_the_next_finds_it)
{
    struct block_pool *pool = new_pool(4 * MIB);
    struct block_key key = key_of(7);
    struct block *block = NULL;

    assert_int_equal(block_pool_claim(pool, &key, &block), BLOCK_MINE);
    assert_int_equal(block_pool_claim(pool, &key, &block), BLOCK_OTHERS);
    make(pool, 7);
    assert_int_equal(block_pool_claim(pool, &key, &block), BLOCK_FOUND);
    assert_true(is_stamped(block, 7));
    block_unref(block);

    struct block_pool_stats stats = block_pool_stats(pool);
    assert_int_equal(stats.misses, 1);
    assert_int_equal(stats.hits, 2);
    assert_int_equal(stats.bytes, BLOCK_BYTES);
    assert_int_equal(stats.budget, 4 * MIB);
    block_pool_free(pool);
}

TEST(keys_that_differ_in_one_field_are_different_blocks)
{
    struct block_pool *pool = new_pool(1 * MIB);
    struct block_key keys[] = {{1, 2, 3, 4, 5}, {2, 2, 3, 4, 5}, {1, 3, 3, 4, 5},
                               {1, 2, 4, 4, 5}, {1, 2, 3, 5, 5}, {1, 2, 3, 4, 6}};
    struct block *block;

    for (size_t i = 0; i < TL_COUNT(keys); i++)
        assert_int_equal(block_pool_claim(pool, &keys[i], &block), BLOCK_MINE);
    for (size_t i = 0; i < TL_COUNT(keys); i++)
        block_pool_abandon(pool, &keys[i]);
    assert_int_not_equal(block_pool_source_id(pool), block_pool_source_id(pool));
    block_pool_free(pool);
}

TEST(an_abandoned_block_is_absent_and_can_be_claimed_again)
{
    struct block_pool *pool = new_pool(1 * MIB);
    struct block_key key = key_of(1);
    struct errand errand = errand_unbounded();
    struct block *block;
    struct tl_err err;

    assert_int_equal(block_pool_claim(pool, &key, &block), BLOCK_MINE);
    block_pool_abandon(pool, &key);
    assert_refused(block_pool_wait(pool, &key, &errand, &block, &err), TL_ABSENT, "gave up");
    assert_int_equal(block_pool_claim(pool, &key, &block), BLOCK_MINE);
    block_pool_abandon(pool, &key);
    block_pool_free(pool);
}

TEST(waiting_ends_at_the_deadline_and_when_it_is_cancelled)
{
    struct block_pool *pool = new_pool(1 * MIB);
    struct block_key key = key_of(1);
    atomic_bool cancelled = true;
    struct errand late = {.deadline_ns = clock_now_ns() + NS_PER_MS};
    struct errand gone = {.deadline_ns = CLOCK_NEVER, .cancelled = &cancelled};
    struct block *block;
    struct tl_err err;

    assert_int_equal(block_pool_claim(pool, &key, &block), BLOCK_MINE);
    assert_refused(block_pool_wait(pool, &key, &late, &block, &err), TL_TIMEOUT, "deadline");
    assert_refused(block_pool_wait(pool, &key, &gone, &block, &err), TL_CANCELLED, "nobody");
    block_pool_abandon(pool, &key);
    block_pool_free(pool);
}

TEST(the_budget_holds_and_what_was_used_again_stays)
{
    enum { BUDGET = 2 * MIB, MANY = 2000 };
    struct block_pool *pool = new_pool(BUDGET);
    struct block *block;
    unsigned kept = 0;

    for (uint32_t n = 0; n < MANY; n++) {
        struct block_key key = key_of(n), favourite = key_of(n % 8);

        if (block_pool_claim(pool, &key, &block) == BLOCK_MINE)
            make(pool, n);
        else
            block_unref(block);
        if (n >= 8 && block_pool_claim(pool, &favourite, &block) == BLOCK_FOUND) {
            kept++;
            block_unref(block);
        } else if (n >= 8) {
            make(pool, n % 8);
        }
        assert_true(block_pool_stats(pool).bytes <= BUDGET);
    }
    assert_true(block_pool_stats(pool).evictions > MANY / 2);
    assert_true(kept > MANY * 9 / 10);
    block_pool_free(pool);
}

TEST(blocks_in_use_are_never_evicted_and_may_exceed_the_budget)
{
    enum { BUDGET = 4 * BLOCK_BYTES, HELD = 20 };
    struct block_pool *pool = new_pool(BUDGET);
    struct block *held[HELD], *block;

    for (uint32_t n = 0; n < HELD; n++) {
        struct block_key key = key_of(n);

        assert_int_equal(block_pool_claim(pool, &key, &block), BLOCK_MINE);
        make(pool, n);
        if (block_pool_claim(pool, &key, &held[n]) != BLOCK_FOUND) {
            /* Beyond the budget it went with its maker's reference. */
            held[n] = block_pool_alloc(pool, &shape, false);
            stamp(held[n], n);
            block_pool_land(pool, &key, held[n]);
        }
    }
    assert_int_equal(block_pool_stats(pool).bytes, HELD * BLOCK_BYTES);
    for (uint32_t n = 0; n < HELD; n++) {
        assert_true(is_stamped(held[n], n));
        block_unref(held[n]);
    }
    assert_true(block_pool_stats(pool).bytes <= BUDGET);
    block_pool_free(pool);
}

TEST(a_block_larger_than_the_budget_lives_as_long_as_its_readers)
{
    struct block_pool *pool = new_pool(64 * KIB);
    struct block large = {.width = 512, .height = 512, .bands = 3, .dtype = DTYPE_F32};
    struct block *block = block_pool_alloc(pool, &large, true), *again;
    struct block_key key = key_of(1);

    assert_non_null(block);
    memset((void *)(uintptr_t)block->samples, 1, 512 * 512 * 12);
    memset((void *)(uintptr_t)block->mask, 1, 512 * 512);
    block_pool_land(pool, &key, block);
    assert_int_equal(block_pool_claim(pool, &key, &again), BLOCK_FOUND);
    assert_ptr_equal(block, again);
    block_unref(block);
    block_unref(again);
    assert_int_equal(block_pool_claim(pool, &key, &again), BLOCK_MINE);
    block_pool_abandon(pool, &key);
    assert_int_equal(block_pool_stats(pool).bytes, 0);
    block_pool_free(pool);
}

TEST(empty_blocks_cost_no_slab_and_their_number_is_bounded)
{
    struct block_pool *pool = new_pool(1 * MIB);
    struct block nothing = shape;

    nothing.empty = true;
    for (uint32_t n = 0; n < 5000; n++) {
        struct block_key key = key_of(n);
        struct block *block = block_pool_alloc(pool, &nothing, false);

        assert_non_null(block);
        assert_null(block->samples);
        assert_true(block->empty);
        block_pool_land(pool, &key, block);
        block_unref(block);
    }
    assert_int_equal(block_pool_stats(pool).bytes, 0);
    assert_true(block_pool_stats(pool).evictions > 4000);
    block_pool_free(pool);
}

TEST(a_shape_that_overflows_is_refused)
{
    struct block_pool *pool = new_pool(1 * MIB);
    struct block absurd = {
        .width = UINT32_MAX, .height = UINT32_MAX, .bands = UINT16_MAX, .dtype = DTYPE_F64};

    assert_null(block_pool_alloc(pool, &absurd, false));
    block_pool_free(pool);
}

/* Threads that read a few hot blocks and many cold ones, in orders of their own. */
enum { THREADS = 8, ROUNDS = 3000, KEYS = 400 };

struct reader {
    struct block_pool *pool;
    uint32_t seed;
    unsigned wrong, abandoned;
};

static struct block *read_one(struct reader *reader, uint32_t n, uint32_t dice)
{
    struct block_key key = key_of(n);
    struct errand errand = errand_unbounded();
    struct block *block;
    struct tl_err err;

    for (;;) {
        switch (block_pool_claim(reader->pool, &key, &block)) {
        case BLOCK_FOUND:
            return block;
        case BLOCK_OTHERS:
            if (block_pool_wait(reader->pool, &key, &errand, &block, &err) == TL_OK)
                return block;
            break;
        case BLOCK_MINE:
            if (dice % 16 == 0) {
                block_pool_abandon(reader->pool, &key);
                reader->abandoned++;
                dice++;
                break;
            }
            block = block_pool_alloc(reader->pool, &shape, false);
            stamp(block, n);
            block_pool_land(reader->pool, &key, block);
            return block;
        }
    }
}

static void *read_many(void *arg)
{
    struct reader *reader = arg;
    struct block *held[4] = {0};

    for (int i = 0; i < ROUNDS; i++) {
        reader->seed = reader->seed * 1664525 + 1013904223;
        uint32_t n = reader->seed >> 8 & 1 ? reader->seed >> 16 & 15 : (reader->seed >> 10) % KEYS;
        struct block *block = read_one(reader, n, reader->seed >> 24);

        reader->wrong += !is_stamped(block, n);
        block_unref(held[i & 3]);
        held[i & 3] = block;
    }
    for (int i = 0; i < 4; i++)
        block_unref(held[i]);
    return NULL;
}

TEST(many_threads_read_what_was_made_for_their_key)
{
    struct block_pool *pool = new_pool(40 * BLOCK_BYTES);
    struct reader readers[THREADS];
    pthread_t threads[THREADS];

    for (unsigned i = 0; i < THREADS; i++) {
        readers[i] = (struct reader){.pool = pool, .seed = i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, read_many, &readers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(readers[i].wrong, 0);
        assert_true(readers[i].abandoned > 0);
    }
    assert_true(block_pool_stats(pool).bytes <= 40 * BLOCK_BYTES);
    assert_true(block_pool_stats(pool).hits > 0);
    block_pool_free(pool);
}

RUN(T(the_first_to_claim_a_block_makes_it_and_the_next_finds_it),
    T(keys_that_differ_in_one_field_are_different_blocks),
    T(an_abandoned_block_is_absent_and_can_be_claimed_again),
    T(waiting_ends_at_the_deadline_and_when_it_is_cancelled),
    T(the_budget_holds_and_what_was_used_again_stays),
    T(blocks_in_use_are_never_evicted_and_may_exceed_the_budget),
    T(a_block_larger_than_the_budget_lives_as_long_as_its_readers),
    T(empty_blocks_cost_no_slab_and_their_number_is_bounded), T(a_shape_that_overflows_is_refused),
    T(many_threads_read_what_was_made_for_their_key))
