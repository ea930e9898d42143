#include "tl_test.h"

#include "fake_model.h"

/* ---- the pyramid, the plain way ---- */

static uint8_t raster_label(const struct raster *raster, uint32_t x, uint32_t y)
{
    bool inside = x < raster->width && y < raster->height;

    return inside ? raster->label[(size_t)y * raster->width + x] : CLASS_NODATA;
}

/* Of band `b` over the pixels of a label in a square. */
static unsigned sum_of(const struct raster *full, uint32_t b, uint32_t x, uint32_t y, uint8_t label)
{
    const uint8_t *percent = full->confidence + (size_t)b * full->width * full->height;
    unsigned sum = 0;

    for (uint32_t k = 0; k < 4; k++)
        if (raster_label(full, x + k % 2, y + k / 2) == label)
            sum += percent[(size_t)(y + k / 2) * full->width + x + k % 2];
    return sum;
}

static struct raster half_of(const struct raster *full)
{
    struct raster half = raster_new((full->width + 1) / 2, (full->height + 1) / 2, full->percents);
    size_t pixels = (size_t)half.width * half.height;

    for (uint32_t y = 0, i = 0; y < half.height; y++) {
        for (uint32_t x = 0; x < half.width; x++, i++) {
            unsigned votes[256] = {0}, best = CLASS_NODATA;

            for (uint32_t k = 0; k < 4; k++) {
                uint32_t cx = 2 * x + k % 2, cy = 2 * y + k / 2;
                uint8_t label = raster_label(full, cx, cy);
                if (label == CLASS_NODATA)
                    continue;
                votes[label]++;
            }
            /* The earliest of the most: go backwards and let equals win. */
            for (uint32_t k = 4; k-- > 0;) {
                uint8_t label = raster_label(full, 2 * x + k % 2, 2 * y + k / 2);
                if (label != CLASS_NODATA && votes[label] >= votes[best])
                    best = label;
            }
            half.label[i] = (uint8_t)best;
            for (uint32_t b = 0; best != CLASS_NODATA && b < full->percents; b++)
                half.confidence[b * pixels + i] = (uint8_t)floor(
                    sum_of(full, b, 2 * x, 2 * y, (uint8_t)best) / (double)votes[best] + 0.5);
        }
    }
    return half;
}

/* Levels 0, 1 and 2. */
struct tower {
    struct raster level[3];
};

static struct tower tower_of(const struct world *w)
{
    struct tower tower = {{world_reference(w)}};

    tower.level[1] = half_of(&tower.level[0]);
    tower.level[2] = half_of(&tower.level[1]);
    return tower;
}

static void tower_release(struct tower *tower)
{
    for (int i = 0; i < 3; i++)
        raster_release(&tower->level[i]);
}

static void assert_read(struct world *w, const struct tower *tower, struct block_request request)
{
    struct block *block = read_block(w->prediction, request);

    assert_false(block->inexact);
    assert_window(block, &request, &tower->level[request.level]);
    block_unref(block);
}

TEST(the_pyramid_halves_until_one_block_holds_everything)
{
    struct world w;

    world_init(&w, 0, false);
    world_open(&w, NULL);
    const struct pyramid *pyramid = w.prediction->pyramid;
    assert_int_equal(pyramid->level_count, 3);
    assert_int_equal(pyramid->levels[1].width, 650);
    assert_int_equal(pyramid->levels[2].height, 275);
    assert_true(pyramid->levels[2].affine.dx == 40 && pyramid->levels[2].affine.x == 100000);
    world_release(&w);
}

static void assert_levels(unsigned majority, unsigned limits, uint32_t seed, uint32_t more)
{
    struct world w;

    world_init(&w, majority, limits & MASK);
    if (limits & AREA)
        world_area(&w);
    w.spec.more_count = more;
    w.spec.more = land_more;
    w.spec.budget_blocks = 100;
    world_open(&w, NULL);
    struct tower tower = tower_of(&w);
    for (int round = 0; round < 30; round++)
        assert_read(&w, &tower,
                    random_request(w.prediction, (uint8_t)(next_random(&seed) % 3), &seed));
    assert_read(&w, &tower, whole_block(2, 0, 0));
    for (size_t i = 0; i < LAND_PIXELS; i++)
        assert_true(atomic_load(&fake.seen[i]) <= 1);
    tower_release(&tower);
    world_release(&w);
}

TEST(every_level_is_the_mode_of_the_one_above_under_any_partition)
{
    assert_levels(0, EVERYWHERE, 1, 0);
    assert_levels(5, EVERYWHERE, 2, 0);
    assert_levels(0, MASK, 3, 0);
    assert_levels(0, AREA, 6, 0);
    assert_levels(5, AREA | MASK, 7, TL_COUNT(land_more));
}

TEST(every_band_comes_down_as_confidence_does)
{
    assert_levels(0, MASK, 4, TL_COUNT(land_more));
    assert_levels(3, MASK, 5, TL_COUNT(land_more));
}

TEST(a_zoomed_out_window_classifies_only_what_is_under_it)
{
    struct world w;
    struct block_request request = {.level = 1, .x0 = 100, .y0 = 100, .x1 = 150, .y1 = 140};

    world_init(&w, 0, false);
    world_open(&w, NULL);
    struct tower tower = tower_of(&w);
    assert_read(&w, &tower, request);
    for (uint32_t y = 0; y < LAND_HEIGHT; y++)
        for (uint32_t x = 0; x < LAND_WIDTH; x++) {
            bool under = x >= 200 && x < 300 && y >= 200 && y < 280 && land_valid(x, y);
            assert_int_equal(atomic_load(&fake.seen[y * LAND_WIDTH + x]), under);
        }
    tower_release(&tower);
    world_release(&w);
}

TEST(a_block_whose_children_are_there_is_built_whole_and_kept)
{
    struct world w;
    struct block_request request = {.level = 2, .x0 = 1, .y0 = 1, .x1 = 2, .y1 = 2};

    world_init(&w, 0, false);
    w.spec.budget_blocks = 0;
    w.spec.policy = POLICY_EXACT;
    world_open(&w, NULL);
    struct tower tower = tower_of(&w);
    for (uint32_t i = 0; i < 9; i++)
        assert_read(&w, &tower, whole_block(0, i % 3, i / 3));
    struct block *first = read_block(w.prediction, request);
    struct block *second = read_block(w.prediction, whole_block(2, 0, 0));
    assert_ptr_equal(first, second);
    request = whole_block(2, 0, 0);
    assert_window(first, &request, &tower.level[2]);
    block_unref(first);
    block_unref(second);
    tower_release(&tower);
    world_release(&w);
}

TEST(beyond_the_budget_the_exact_policy_refuses_and_says_how_to_go_on)
{
    struct world w;
    struct errand errand = errand_unbounded();
    struct block_request request = whole_block(2, 0, 0);
    struct block *block;

    world_init(&w, 0, false);
    w.spec.policy = POLICY_EXACT;
    world_open(&w, NULL);
    block_unref(read_block(w.prediction, whole_block(0, 1, 1)));
    uint64_t before = fake_classified();
    assert_refused(w.prediction->read(w.prediction, &request, 1, &errand, &block, &err), TL_ABSENT,
                   "needs 9 class blocks and 1 are there; at most 4 are classified on demand. Look "
                   "at the area at the native zoom");
    assert_int_equal(fake_classified(), before);
    world_release(&w);
}

TEST(beyond_the_budget_the_approx_policy_classifies_overviews_and_keeps_nothing)
{
    struct world w;
    struct block_request request = {.level = 2, .x0 = 20, .y0 = 30, .x1 = 300, .y1 = 270};

    world_init(&w, 0, false);
    /* The steps are for pixels of level 0, and so is a smoothing. */
    w.spec.post = (struct post){
        .count = 2, .steps = {{.op = POST_SMOOTH, .size = 1}, {.op = POST_MAJORITY, .size = 5}}};
    world_open(&w, NULL);
    for (int i = 0; i < 2; i++) {
        fake_reset();
        struct block *block = read_block(w.prediction, request);
        assert_true(block->inexact);
        assert_true(fake_classified() > 40000); /* the second time again */
        for (uint32_t y = 30; y < 270; y++) {
            for (uint32_t x = 20; x < 300; x++) {
                uint8_t label = ((const uint8_t *)block->samples)[y * CLASS_BLOCK + x];
                uint32_t lx = x * 4, ly = y * 4; /* an overview pixel is one of the land's */
                assert_int_equal(label, land_valid(lx, ly) ? vote_label(land_sample(BAND_A, lx, ly),
                                                                        land_sample(BAND_B, lx, ly))
                                                           : CLASS_NODATA);
            }
        }
        block_unref(block);
    }
    world_release(&w);
}

TEST(an_approximate_block_becomes_exact_when_its_children_are_there)
{
    struct world w;
    struct block_request request = whole_block(2, 0, 0);

    world_init(&w, 3, false);
    world_open(&w, NULL);
    struct tower tower = tower_of(&w);
    struct block *block = read_block(w.prediction, request);
    assert_true(block->inexact);
    block_unref(block);
    for (uint32_t i = 0; i < 5; i++) /* four are left: the budget */
        assert_read(&w, &tower, whole_block(0, i % 3, i / 3));
    assert_read(&w, &tower, request);
    tower_release(&tower);
    world_release(&w);
}

TEST(blocks_outside_the_area_are_never_missing)
{
    struct world w;
    uint32_t present, total;

    world_init(&w, 0, false);
    world_area(&w);
    w.spec.budget_blocks = 4; /* the upper left ones */
    w.spec.policy = POLICY_EXACT;
    world_open(&w, NULL);
    struct tower tower = tower_of(&w);
    prediction_coverage(w.prediction, 2, 0, 0, &present, &total);
    assert_int_equal(present, 5);
    assert_int_equal(total, 9);
    assert_read(&w, &tower, whole_block(1, 1, 0));
    assert_int_equal(fake_classified(), 0);
    assert_read(&w, &tower, whole_block(2, 0, 0));
    prediction_coverage(w.prediction, 2, 0, 0, &present, &total);
    assert_int_equal(present, 9);
    tower_release(&tower);
    world_release(&w);
}

/* An overview pixel is in the area where its own centre is. */
TEST(an_approximate_block_is_masked_outside_the_area)
{
    struct world w;
    const struct block_request request = {.level = 2, .x0 = 0, .y0 = 0, .x1 = 325, .y1 = 275};
    const struct area_window window = {2, 0, 0, 325, 275};
    AUTO(arena) scratch = arena_new();
    uint8_t inside[325 * 275];

    world_init(&w, 0, false);
    world_area(&w);
    w.spec.budget_blocks = 1;
    world_open(&w, NULL);
    struct block *block = read_block(w.prediction, request);
    assert_true(block->inexact);
    assert_ok(area_fill(w.spec.area, &window, scratch, inside, &err));
    for (uint32_t i = 0; i < 325 * 275; i++) {
        uint32_t x = i % 325, y = i / 325;
        uint8_t label = ((const uint8_t *)block->samples)[y * CLASS_BLOCK + x];
        uint8_t voted =
            vote_label(land_sample(BAND_A, x * 4, y * 4), land_sample(BAND_B, x * 4, y * 4));
        assert_int_equal(label, !inside[i]                 ? CLASS_MASKED
                                : land_valid(x * 4, y * 4) ? voted
                                                           : CLASS_NODATA);
    }
    block_unref(block);
    world_release(&w);
}

TEST(coverage_counts_blocks_that_are_there)
{
    struct world w;
    uint32_t present, total;

    world_init(&w, 0, false);
    world_open(&w, NULL);
    prediction_coverage(w.prediction, 2, 0, 0, &present, &total);
    assert_int_equal(present, 0);
    assert_int_equal(total, 9);
    block_unref(read_block(w.prediction, whole_block(0, 2, 1)));
    block_unref(read_block(w.prediction, whole_block(0, 0, 0)));
    prediction_coverage(w.prediction, 2, 0, 0, &present, &total);
    assert_int_equal(present, 2);
    prediction_coverage(w.prediction, 1, 1, 0, &present, &total);
    assert_int_equal(present, 1);
    assert_int_equal(total, 2);
    prediction_coverage(w.prediction, 0, 2, 1, &present, &total);
    assert_int_equal(present, 1);
    assert_int_equal(total, 1);
    prediction_coverage(w.prediction, 0, 3, 0, &present, &total);
    assert_int_equal(total, 0);
    world_release(&w);
}

RUN(T(the_pyramid_halves_until_one_block_holds_everything),
    T(every_level_is_the_mode_of_the_one_above_under_any_partition),
    T(every_band_comes_down_as_confidence_does),
    T(a_zoomed_out_window_classifies_only_what_is_under_it),
    T(a_block_whose_children_are_there_is_built_whole_and_kept),
    T(beyond_the_budget_the_exact_policy_refuses_and_says_how_to_go_on),
    T(beyond_the_budget_the_approx_policy_classifies_overviews_and_keeps_nothing),
    T(an_approximate_block_becomes_exact_when_its_children_are_there),
    T(blocks_outside_the_area_are_never_missing),
    T(an_approximate_block_is_masked_outside_the_area), T(coverage_counts_blocks_that_are_there))
