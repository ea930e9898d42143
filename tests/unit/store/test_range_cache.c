#include "tl_test.h"

#include "store/range_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static void put_page(struct range_cache *cache, uint64_t object, uint64_t page, size_t size)
{
    uint8_t *bytes = malloc(RANGE_PAGE);

    assert_non_null(bytes);
    memset(bytes, (int)(object * 31 + page), RANGE_PAGE);
    range_cache_put(cache, (struct page_key){object, page}, bytes, size);
    free(bytes);
}

/* Whether the page is there; its bytes are right when it is. */
static bool has_page(struct range_cache *cache, uint64_t object, uint64_t page, size_t at)
{
    uint8_t bytes[16];

    if (!range_cache_get(cache, (struct page_key){object, page}, at, sizeof(bytes), bytes))
        return false;
    for (size_t i = 0; i < sizeof(bytes); i++)
        if (bytes[i] != (uint8_t)(object * 31 + page))
            abort();
    return true;
}

TEST(what_was_put_is_got_and_nothing_else)
{
    AUTO(range_cache) cache = range_cache_new(4 * RANGE_PAGE);

    put_page(cache, 1, 5, RANGE_PAGE);
    assert_true(has_page(cache, 1, 5, 0));
    assert_true(has_page(cache, 1, 5, RANGE_PAGE - 16));
    assert_false(has_page(cache, 1, 6, 0));
    assert_false(has_page(cache, 2, 5, 0));
}

TEST(a_short_last_page_gives_no_bytes_past_its_end)
{
    AUTO(range_cache) cache = range_cache_new(4 * RANGE_PAGE);

    put_page(cache, 1, 5, 100);
    assert_true(has_page(cache, 1, 5, 84));
    assert_false(has_page(cache, 1, 5, 85));
    assert_false(has_page(cache, 1, 5, SIZE_MAX));
}

TEST(no_more_pages_are_kept_than_the_budget_holds)
{
    AUTO(range_cache) cache = range_cache_new(20 * RANGE_PAGE + 7);
    int kept = 0;

    for (uint64_t page = 0; page < 1000; page++)
        put_page(cache, 1, page, RANGE_PAGE);
    for (uint64_t page = 0; page < 1000; page++)
        kept += has_page(cache, 1, page, 0);
    assert_in_range(kept, 8, 20);
}

TEST(a_page_in_use_survives_a_scan)
{
    AUTO(range_cache) cache = range_cache_new(8 * RANGE_PAGE);

    for (uint64_t page = 0; page < 8; page++)
        put_page(cache, 1, page, RANGE_PAGE);
    put_page(cache, 1, 8, RANGE_PAGE); /* the hand goes round once and clears every bit */
    for (uint64_t page = 9; page < 15; page++) {
        assert_true(has_page(cache, 1, 7, 0));
        put_page(cache, 1, page, RANGE_PAGE);
    }
    assert_true(has_page(cache, 1, 7, 0));
}

TEST(a_budget_below_one_page_keeps_nothing)
{
    AUTO(range_cache) cache = range_cache_new(RANGE_PAGE - 1);

    put_page(cache, 1, 0, RANGE_PAGE);
    assert_false(has_page(cache, 1, 0, 0));
}

static void *churn(void *udata)
{
    for (uint64_t i = 0; i < 2000; i++) {
        put_page(udata, i % 3, i % 50, RANGE_PAGE);
        (void)has_page(udata, (i + 1) % 3, (i * 7) % 50, 128);
    }
    return NULL;
}

TEST(threads_never_see_half_a_page)
{
    AUTO(range_cache) cache = range_cache_new(40 * RANGE_PAGE);
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, cache), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
}

RUN(T(what_was_put_is_got_and_nothing_else), T(a_short_last_page_gives_no_bytes_past_its_end),
    T(no_more_pages_are_kept_than_the_budget_holds), T(a_page_in_use_survives_a_scan),
    T(a_budget_below_one_page_keeps_nothing), T(threads_never_see_half_a_page))
