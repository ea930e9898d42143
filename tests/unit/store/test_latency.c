#include "tl_test.h"

#include "base/clock.h"
#include "store/latency.h"

TEST(a_quantile_is_at_most_a_quarter_above_the_truth)
{
    for (int64_t us = 1; us < 100000000; us = us * 9 / 8 + 1) {
        struct latency latency = {0};
        latency_add(&latency, us * 1000);
        int64_t found_ns = latency_quantile_ns(&latency, 0.5);
        assert_true(found_ns > us * 1000);
        assert_true(found_ns <= us * 1250 + 1000);
    }
}

TEST(the_median_and_the_95th_percentile_are_told_apart)
{
    struct latency latency = {0};

    for (int i = 0; i < 90; i++)
        latency_add(&latency, NS_PER_MS);
    for (int i = 0; i < 10; i++)
        latency_add(&latency, 100 * NS_PER_MS);
    assert_in_range(latency_quantile_ns(&latency, 0.5), NS_PER_MS, NS_PER_MS * 5 / 4);
    assert_in_range(latency_quantile_ns(&latency, 0.95), 100 * NS_PER_MS, 125 * NS_PER_MS);
}

TEST(old_samples_are_forgotten)
{
    struct latency latency = {0};

    for (int i = 0; i < 1000; i++)
        latency_add(&latency, NS_PER_S);
    for (int i = 0; i < 4000; i++)
        latency_add(&latency, NS_PER_MS);
    assert_in_range(latency_quantile_ns(&latency, 0.8), NS_PER_MS, 2 * NS_PER_MS);
}

TEST(nobody_hedges_before_20_samples_nor_earlier_than_20_ms)
{
    struct latency latency = {0};

    for (int i = 0; i < 19; i++)
        latency_add(&latency, NS_PER_MS);
    assert_true(latency_hedge_ns(&latency) == INT64_MAX);
    latency_add(&latency, NS_PER_MS);
    assert_int_equal(latency_hedge_ns(&latency), 20 * NS_PER_MS);
}

TEST(a_hedge_waits_for_three_medians)
{
    struct latency latency = {0};

    for (int i = 0; i < 100; i++)
        latency_add(&latency, 40 * NS_PER_MS);
    assert_in_range(latency_hedge_ns(&latency), 120 * NS_PER_MS, 150 * NS_PER_MS);
}

TEST(absurd_times_land_in_the_last_bucket)
{
    struct latency latency = {0};

    latency_add(&latency, INT64_MAX);
    latency_add(&latency, -5);
    assert_true(latency_quantile_ns(&latency, 1) > 1000 * NS_PER_S);
}

RUN(T(a_quantile_is_at_most_a_quarter_above_the_truth),
    T(the_median_and_the_95th_percentile_are_told_apart), T(old_samples_are_forgotten),
    T(nobody_hedges_before_20_samples_nor_earlier_than_20_ms), T(a_hedge_waits_for_three_medians),
    T(absurd_times_land_in_the_last_bucket))
