#include "tl_test.h"

#include "store/fetch_plan.h"

#include <string.h>

enum { MANY = 200 };

static const struct plan_limits limits = {.gap = 64, .span_size = 1 << 20};

static size_t plan(struct plan_item *items, const struct range *ranges, size_t count,
                   struct range *ret_spans)
{
    for (size_t i = 0; i < count; i++)
        items[i] = (struct plan_item){.range = ranges[i]};
    return fetch_plan(items, count, &limits, ret_spans);
}

static void assert_range(struct range range, uint64_t offset, size_t size)
{
    assert_int_equal(range.offset, offset);
    assert_int_equal(range.size, size);
}

TEST(neighbours_within_the_gap_become_one_request)
{
    const struct range ranges[] = {{2008, 1000}, {1000, 1000}, {3072, 10}};
    struct plan_item items[3];
    struct range spans[3];

    assert_int_equal(plan(items, ranges, 3, spans), 1);
    assert_range(spans[0], 1000, 2082);
}

TEST(a_gap_of_65_bytes_parts_two_requests)
{
    const struct range ranges[] = {{1000, 1000}, {2065, 10}};
    struct plan_item items[2];
    struct range spans[2];

    assert_int_equal(plan(items, ranges, 2, spans), 2);
    assert_range(spans[0], 1000, 1000);
    assert_range(spans[1], 2065, 10);
}

TEST(equal_and_contained_ranges_share_a_request)
{
    const struct range ranges[] = {{500, 100}, {0, 1000}, {500, 100}, {0, 10}, {990, 10}};
    struct plan_item items[5];
    struct range spans[5];

    assert_int_equal(plan(items, ranges, 5, spans), 1);
    assert_range(spans[0], 0, 1000);
}

TEST(merging_stops_at_the_largest_request)
{
    const struct range ranges[] = {{0, 600000}, {600000, 400000}, {1000000, 48576}, {1048576, 1}};
    struct plan_item items[4];
    struct range spans[4];

    assert_int_equal(plan(items, ranges, 4, spans), 2);
    assert_range(spans[0], 0, 1048576);
    assert_range(spans[1], 1048576, 1);
}

TEST(one_range_beyond_the_largest_request_is_still_one_request)
{
    const struct range ranges[] = {{100, 5 << 20}, {200, 50}, {100 + (5 << 20), 50}};
    struct plan_item items[3];
    struct range spans[3];

    assert_int_equal(plan(items, ranges, 3, spans), 2);
    assert_range(spans[0], 100, 5 << 20);
    assert_range(spans[1], 100 + (5 << 20), 50);
}

TEST(offsets_near_the_end_of_64_bits_do_not_wrap)
{
    const struct range ranges[] = {{UINT64_MAX - 20, 10}, {UINT64_MAX - 10, 10}, {0, 5}};
    struct plan_item items[3];
    struct range spans[3];

    assert_int_equal(plan(items, ranges, 3, spans), 2);
    assert_range(spans[0], 0, 5);
    assert_range(spans[1], UINT64_MAX - 20, 20);
}

static uint32_t next_random(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

/* What any plan must keep, whatever the ranges. */
static void check_plan(const struct plan_item *items, size_t count, const struct range *spans,
                       size_t span_count)
{
    for (size_t i = 0; i < count; i++) {
        const struct range *range = &items[i].range;
        assert_true(items[i].span < span_count);
        const struct range *span = &spans[items[i].span];
        assert_true(range->offset >= span->offset);
        assert_true(range->offset + range->size <= span->offset + span->size);
    }
    for (size_t s = 1; s < span_count; s++) {
        uint64_t before_end = spans[s - 1].offset + spans[s - 1].size;
        uint64_t end = spans[s].offset + spans[s].size;
        /* None holds another, and only the cap keeps near ones apart. */
        assert_true(spans[s].offset > spans[s - 1].offset);
        assert_true(end > before_end);
        if (spans[s].offset <= before_end + limits.gap)
            assert_true(end - spans[s - 1].offset > limits.span_size);
    }
}

TEST(random_sets_are_covered_by_requests_that_only_the_cap_keeps_apart)
{
    uint32_t seed = 7;

    for (int round = 0; round < 500; round++) {
        struct range ranges[MANY], spans[MANY];
        struct plan_item items[MANY];
        size_t count = 1 + next_random(&seed) % MANY;
        uint32_t area = 1 + next_random(&seed) % 8000000;
        for (size_t i = 0; i < count; i++)
            ranges[i] = (struct range){next_random(&seed) % area, 1 + next_random(&seed) % 70000};
        size_t span_count = plan(items, ranges, count, spans);
        check_plan(items, count, spans, span_count);
    }
}

RUN(T(neighbours_within_the_gap_become_one_request), T(a_gap_of_65_bytes_parts_two_requests),
    T(equal_and_contained_ranges_share_a_request), T(merging_stops_at_the_largest_request),
    T(one_range_beyond_the_largest_request_is_still_one_request),
    T(offsets_near_the_end_of_64_bits_do_not_wrap),
    T(random_sets_are_covered_by_requests_that_only_the_cap_keeps_apart))
