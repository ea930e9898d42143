#include "tl_test.h"

#include "base/clock.h"
#include "store/breaker.h"

static void fail_times(struct breaker *breaker, int times, int64_t now_ns)
{
    for (int i = 0; i < times; i++)
        breaker_failed(breaker, now_ns);
}

TEST(four_failures_in_a_row_are_tolerated_and_the_fifth_opens)
{
    struct breaker breaker = {0};

    fail_times(&breaker, 4, 0);
    assert_true(breaker_admits(&breaker, 0));
    fail_times(&breaker, 1, 0);
    assert_true(breaker_is_open(&breaker));
    assert_false(breaker_admits(&breaker, 0));
}

TEST(a_success_in_between_starts_the_count_again)
{
    struct breaker breaker = {0};

    fail_times(&breaker, 4, 0);
    breaker_succeeded(&breaker);
    fail_times(&breaker, 4, 0);
    assert_false(breaker_is_open(&breaker));
}

TEST(an_open_breaker_lets_one_probe_through_each_second)
{
    struct breaker breaker = {0};

    fail_times(&breaker, 5, 0);
    assert_false(breaker_admits(&breaker, NS_PER_S - 1));
    assert_true(breaker_admits(&breaker, NS_PER_S));
    assert_false(breaker_admits(&breaker, NS_PER_S));
    assert_true(breaker_admits(&breaker, 2 * NS_PER_S));
}

TEST(failures_of_others_do_not_put_the_probe_off)
{
    struct breaker breaker = {0};

    fail_times(&breaker, 5, 0);
    fail_times(&breaker, 20, NS_PER_S / 2);
    assert_true(breaker_admits(&breaker, NS_PER_S));
}

TEST(one_success_closes_it)
{
    struct breaker breaker = {0};

    fail_times(&breaker, 9, 0);
    breaker_succeeded(&breaker);
    assert_false(breaker_is_open(&breaker));
    assert_true(breaker_admits(&breaker, 0));
}

RUN(T(four_failures_in_a_row_are_tolerated_and_the_fifth_opens),
    T(a_success_in_between_starts_the_count_again),
    T(an_open_breaker_lets_one_probe_through_each_second),
    T(failures_of_others_do_not_put_the_probe_off), T(one_success_closes_it))
