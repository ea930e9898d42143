#include "base/arena.h"

#include "fail_alloc.h"
#include "tl_test.h"

#include <string.h>

TEST(every_allocation_starts_a_cache_line_and_keeps_its_bytes)
{
    AUTO(arena) arena = arena_new();
    uint8_t *blocks[64];

    for (unsigned i = 0; i < 64; i++) {
        blocks[i] = arena_alloc(arena, i * 700, 3);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 64, 0);
        memset(blocks[i], (int)i, i * 2100);
    }
    for (unsigned i = 0; i < 64; i++)
        for (unsigned k = 0; k < i * 2100; k++)
            assert_int_equal(blocks[i][k], i);
}

TEST(a_reset_keeps_the_memory_of_the_next_round)
{
    AUTO(arena) arena = arena_new();

    assert_non_null(arena_alloc(arena, 1 << 20, 1));
    assert_int_equal(arena_used(arena), 1 << 20);
    arena_reset(arena);
    assert_int_equal(arena_used(arena), 0);
    fail_alloc_at(1);
    void *again = arena_zalloc(arena, 1 << 20, 1);
    if (FAIL_ALLOC)
        assert_false(fail_alloc_hit());
    assert_non_null(again);
    for (unsigned i = 0; i < 1 << 20; i++)
        assert_int_equal(((uint8_t *)again)[i], 0);
}

TEST(a_rewind_gives_back_what_came_after_the_mark_and_nothing_else)
{
    AUTO(arena) arena = arena_new();
    struct arena_mark empty = arena_mark(arena);
    uint8_t *kept = arena_alloc(arena, 100, 1);
    struct arena_mark mark = arena_mark(arena);

    assert_non_null(kept);
    memset(kept, 7, 100);
    uint8_t *next = arena_alloc(arena, 300, 1);
    assert_non_null(arena_alloc(arena, 10 << 20, 1)); /* a chunk of its own */
    arena_rewind(arena, mark);
    assert_int_equal(arena_used(arena), 128);
    assert_ptr_equal(arena_alloc(arena, 300, 1), next);
    assert_int_equal(kept[99], 7);
    arena_rewind(arena, empty);
    assert_int_equal(arena_used(arena), 0);
    assert_ptr_equal(arena_alloc(arena, 100, 1), kept);
}

TEST(a_round_like_the_last_one_asks_for_no_memory)
{
    if (!FAIL_ALLOC)
        skip();
    AUTO(arena) arena = arena_new();
    for (unsigned round = 0; round < 3; round++) {
        if (round > 0)
            fail_alloc_at(1);
        for (unsigned i = 0; i < 40; i++) {
            uint8_t *bytes = arena_alloc(arena, 100000, 1);
            assert_non_null(bytes);
            memset(bytes, (int)i, 100000);
        }
        assert_non_null(arena_alloc(arena, 3 << 20, 1));
        assert_non_null(arena_alloc(arena, 1, 1));
        if (round > 0)
            assert_false(fail_alloc_hit());
        arena_reset(arena);
    }
}

TEST(products_that_overflow_are_refused)
{
    AUTO(arena) arena = arena_new();

    assert_null(arena_alloc(arena, SIZE_MAX / 2, 3));
    assert_null(arena_alloc(arena, SIZE_MAX, 1));
    assert_null(arena_zalloc(arena, SIZE_MAX, SIZE_MAX));
    assert_non_null(arena_alloc(arena, 0, 8));
}

TEST(printed_text_lives_in_the_arena)
{
    AUTO(arena) arena = arena_new();

    assert_string_equal(arena_printf(arena, "%s %d", "z", 12), "z 12");
}

TEST(without_memory_it_returns_null)
{
    if (!FAIL_ALLOC)
        skip();
    fail_alloc_at(1);
    assert_null(arena_new());
    assert_true(fail_alloc_hit());
    AUTO(arena) arena = arena_new();
    fail_alloc_at(1);
    assert_null(arena_alloc(arena, 1, 1));
    assert_true(fail_alloc_hit());
    fail_alloc_at(1);
    assert_null(arena_printf(arena, "x"));
    assert_true(fail_alloc_hit());
    arena_free(NULL);
}

RUN(T(every_allocation_starts_a_cache_line_and_keeps_its_bytes),
    T(a_reset_keeps_the_memory_of_the_next_round),
    T(a_rewind_gives_back_what_came_after_the_mark_and_nothing_else),
    T(a_round_like_the_last_one_asks_for_no_memory), T(products_that_overflow_are_refused),
    T(printed_text_lives_in_the_arena), T(without_memory_it_returns_null))
