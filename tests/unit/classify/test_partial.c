#include "tl_test.h"

#include "base/errand.h"
#include "classify/partial.h"

#include <stdbool.h>
#include <string.h>

static const struct class_window all = {0, 0, CLASS_BLOCK, CLASS_BLOCK};
static const struct partial_region everywhere = {0, 0, 1 << 20, 1 << 20};
static struct partial_run runs[PARTIAL_UNIT];
static struct tl_err err;

static struct partial_want joined(struct partials *partials, uint32_t col, uint32_t row,
                                  struct class_window window)
{
    struct partial_want want = {.col = col, .row = row, .window = window};

    assert_ok(partials_join(partials, &want, all, partials_generation(partials), &err));
    assert_non_null(want.partial);
    return want;
}

static uint32_t pixels_of(const struct partial_run *run, size_t count)
{
    uint32_t pixels = 0;

    for (size_t i = 0; i < count; i++)
        pixels += (uint32_t)(run[i].x1 - run[i].x0);
    return pixels;
}

static bool in_table(struct partials *partials, uint32_t col)
{
    struct partial *partial = partials_find(partials, col, 0);

    if (partial)
        partials_leave(partials, partial);
    return partial != NULL;
}

TEST(a_claim_takes_open_pixels_of_the_window_and_no_others)
{
    AUTO(partials) partials = partials_new(4, CLASS_BANDS);
    struct partial_want want = joined(partials, 0, 0, (struct class_window){60, 7, 140, 9});
    bool seen[2][CLASS_BLOCK] = {{false}};

    size_t count = partials_claim(partials, &want, 1, &everywhere, runs);
    assert_int_equal(pixels_of(runs, count), 160);
    for (size_t i = 0; i < count; i++)
        for (unsigned x = runs[i].x0; x < runs[i].x1; x++) {
            assert_false(seen[runs[i].y - 7][x]);
            assert_true(x >= 60 && x < 140);
            seen[runs[i].y - 7][x] = true;
        }
    assert_int_equal(partials_claim(partials, &want, 1, &everywhere, runs + count), 0);
    partials_abandon(partials, &want, runs, count);
    assert_int_equal(partials_claim(partials, &want, 1, &everywhere, runs), count);
    partials_publish(partials, &want, runs, count);
    assert_int_equal(partials_claim(partials, &want, 1, &everywhere, runs), 0);
    partials_leave(partials, want.partial);
}

TEST(a_claim_is_no_larger_than_a_unit_and_the_units_make_the_block)
{
    AUTO(partials) partials = partials_new(4, CLASS_BANDS);
    struct partial_want want = joined(partials, 0, 0, all);
    size_t count, units = 0;

    while ((count = partials_claim(partials, &want, 1, &everywhere, runs))) {
        assert_int_equal(pixels_of(runs, count), PARTIAL_UNIT);
        assert_false(partial_take_complete(partials, want.partial));
        partials_publish(partials, &want, runs, count);
        units++;
    }
    assert_int_equal(units, CLASS_PIXELS / PARTIAL_UNIT);
    assert_true(partials_complete(partials, 0, 0));
    assert_true(partial_take_complete(partials, want.partial));
    assert_false(partial_take_complete(partials, want.partial)); /* one taker */
    partials_leave(partials, want.partial);
}

TEST(a_retired_block_is_gone_and_whoever_looked_before_must_look_again)
{
    AUTO(partials) partials = partials_new(4, CLASS_BANDS);
    struct partial_want want = {.window = all}, late = {.window = all};
    uint64_t before = partials_generation(partials);
    size_t count;

    assert_ok(partials_join(partials, &want, all, before, &err));
    while ((count = partials_claim(partials, &want, 1, &everywhere, runs)))
        partials_publish(partials, &want, runs, count);
    assert_true(partial_take_complete(partials, want.partial));
    partials_retire(partials, want.partial);
    assert_false(in_table(partials, 0));
    assert_ok(partials_join(partials, &late, all, before, &err));
    assert_null(late.partial);
    partials_leave(partials, want.partial);
}

TEST(the_budget_forgets_the_least_recently_used_and_never_what_is_in_use)
{
    AUTO(partials) partials = partials_new(2, CLASS_BANDS);
    struct partial_want used = joined(partials, 0, 0, all);

    for (uint32_t col = 1; col < 4; col++) {
        struct partial_want want = joined(partials, col, 0, all);
        partials_leave(partials, want.partial);
    }
    assert_true(in_table(partials, 0));
    assert_false(in_table(partials, 1) || in_table(partials, 2));
    assert_true(in_table(partials, 3));
    partials_leave(partials, used.partial);
}

TEST(a_look_sees_what_is_open_claimed_and_done)
{
    AUTO(partials) partials = partials_new(4, CLASS_BANDS);
    struct partial_want want = joined(partials, 2, 1, (struct class_window){10, 20, 30, 40});
    struct partial_region region;

    assert_int_equal(partials_look(partials, &want, 1, 1 << 20, &region), PARTIAL_OPEN);
    assert_int_equal(region.x0, 2 * CLASS_BLOCK + 10);
    assert_int_equal(region.y0, CLASS_BLOCK + 20);
    assert_int_equal(region.x1, 2 * CLASS_BLOCK + 30);
    assert_int_equal(region.y1, CLASS_BLOCK + 40);
    size_t count = partials_claim(partials, &want, 1, &region, runs);
    assert_int_equal(partials_look(partials, &want, 1, 1 << 20, &region), PARTIAL_OTHERS);
    partials_publish(partials, &want, runs, count);
    assert_int_equal(partials_look(partials, &want, 1, 1 << 20, &region), PARTIAL_DONE);
    partials_leave(partials, want.partial);
}

TEST(a_region_is_cut_to_what_may_be_read_at_a_time)
{
    AUTO(partials) partials = partials_new(4, CLASS_BANDS);
    struct partial_want want = joined(partials, 0, 0, all);
    struct partial_region region;

    assert_int_equal(partials_look(partials, &want, 1, 512 * 100 + 7, &region), PARTIAL_OPEN);
    assert_int_equal(region.x1, 512);
    assert_int_equal(region.y1, 100);
    assert_int_equal(partials_look(partials, &want, 1, 100, &region), PARTIAL_OPEN);
    assert_int_equal(region.x1, 100);
    assert_int_equal(region.y1, 1);
    partials_leave(partials, want.partial);
}

TEST(neighbours_share_a_region_and_distant_blocks_do_not)
{
    AUTO(partials) partials = partials_new(4, CLASS_BANDS);
    struct partial_want wants[3] = {
        joined(partials, 0, 0, (struct class_window){400, 0, 512, 200}),
        joined(partials, 1, 0, (struct class_window){0, 0, 100, 200}),
        joined(partials, 9, 9, (struct class_window){0, 0, 100, 100}),
    };
    struct partial_region region;

    assert_int_equal(partials_look(partials, wants, 3, 1 << 20, &region), PARTIAL_OPEN);
    assert_int_equal(region.x0, 400);
    assert_int_equal(region.x1, 612);
    assert_int_equal(region.y1, 200);
    for (int i = 0; i < 3; i++)
        partials_leave(partials, wants[i].partial);
}

TEST(what_lies_outside_the_grid_is_done_from_the_start)
{
    AUTO(partials) partials = partials_new(4, CLASS_BANDS);
    struct partial_want want = {.window = all};
    const struct class_window inside = {0, 0, 70, 3};

    assert_ok(partials_join(partials, &want, inside, partials_generation(partials), &err));
    size_t count = partials_claim(partials, &want, 1, &everywhere, runs);
    assert_int_equal(pixels_of(runs, count), 210);
    partials_publish(partials, &want, runs, count);
    assert_true(partials_complete(partials, 0, 0));
    partials_leave(partials, want.partial);
}

RUN(T(a_claim_takes_open_pixels_of_the_window_and_no_others),
    T(a_claim_is_no_larger_than_a_unit_and_the_units_make_the_block),
    T(a_retired_block_is_gone_and_whoever_looked_before_must_look_again),
    T(the_budget_forgets_the_least_recently_used_and_never_what_is_in_use),
    T(a_look_sees_what_is_open_claimed_and_done), T(a_region_is_cut_to_what_may_be_read_at_a_time),
    T(neighbours_share_a_region_and_distant_blocks_do_not),
    T(what_lies_outside_the_grid_is_done_from_the_start))
