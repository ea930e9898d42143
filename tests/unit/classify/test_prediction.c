#include "tl_test.h"

#include "base/clock.h"
#include "fake_model.h"

/* ---- what comes out ---- */

static void assert_any_partition_of(const struct post *post, unsigned limits, uint32_t seed,
                                    uint32_t more)
{
    struct world w;
    struct block_request requests[5];
    struct block *blocks[5];

    world_init(&w, 0, limits & MASK);
    if (limits & AREA)
        world_area(&w);
    w.spec.post = *post;
    w.spec.more_count = more;
    w.spec.more = land_more;
    world_open(&w, NULL);
    struct raster raster = world_reference(&w);
    for (int round = 0; round < 24; round++) {
        struct errand errand = errand_unbounded();
        size_t count = 1 + next_random(&seed) % TL_COUNT(requests);

        for (size_t i = 0; i < count; i++)
            requests[i] = random_request(w.prediction, 0, &seed);
        assert_ok(w.prediction->read(w.prediction, requests, count, &errand, blocks, &err));
        for (size_t i = 0; i < count; i++) {
            assert_window(blocks[i], &requests[i], &raster);
            block_unref(blocks[i]);
        }
    }
    raster_release(&raster);
    world_release(&w);
}

static void assert_any_partition(const struct post *post, unsigned limits, uint32_t seed)
{
    assert_any_partition_of(post, limits, seed, 0);
}

TEST(any_partition_gives_the_whole_raster_without_a_filter)
{
    assert_any_partition(&(struct post){0}, EVERYWHERE, 1);
}

TEST(any_partition_gives_the_whole_raster_with_a_filter)
{
    const struct post narrow = majority_of(3), wide = majority_of(25);

    assert_any_partition(&narrow, EVERYWHERE, 2);
    assert_any_partition(&wide, EVERYWHERE, 3);
}

TEST(any_partition_gives_the_whole_raster_behind_a_mask)
{
    const struct post post = majority_of(7);

    assert_any_partition(&(struct post){0}, MASK, 4);
    assert_any_partition(&post, MASK, 5);
}

TEST(any_partition_gives_the_whole_raster_within_an_area)
{
    const struct post post = {.count = 3,
                              .steps = {{.op = POST_UNSURE, .below = 40, .value = 200},
                                        {.op = POST_MAJORITY, .size = 7},
                                        {.op = POST_SIEVE, .size = 60, .connect = 8}}};

    assert_any_partition(&(struct post){0}, AREA, 11);
    assert_any_partition(&post, AREA, 12);
    assert_any_partition(&(struct post){0}, AREA | MASK, 13);
    assert_any_partition_of(&post, AREA | MASK, 14, TL_COUNT(land_more));
}

TEST(any_partition_gives_every_band_that_is_kept)
{
    const struct post post = majority_of(7);

    assert_any_partition_of(&(struct post){0}, MASK, 8, TL_COUNT(land_more));
    assert_any_partition_of(&post, MASK, 9, TL_COUNT(land_more));
    assert_any_partition_of(&post, EVERYWHERE, 10, 1);
}

TEST(more_bands_than_a_block_may_have_are_refused)
{
    static const struct prediction_band many[PREDICTION_MAX_MORE + 1];
    const struct prediction_env env = {0};
    struct world w;

    world_init(&w, 0, false);
    w.spec.more = many;
    w.spec.more_count = TL_COUNT(many);
    assert_refused(prediction_new(&env, &w.spec, &w.prediction, &err), TL_LIMIT, "65 bands");
    world_release(&w);
}

/* Each step has something to do, or the test below would say nothing. */
static void assert_each_step_changes_labels(const struct post *post)
{
    struct world w;

    world_init(&w, 0, false);
    struct raster before = world_reference(&w);
    while (w.spec.post.count < post->count) {
        w.spec.post.steps[w.spec.post.count] = post->steps[w.spec.post.count];
        w.spec.post.count++;
        struct raster after = world_reference(&w);
        assert_memory_not_equal(before.label, after.label, LAND_PIXELS);
        raster_release(&before);
        before = after;
    }
    raster_release(&before);
    world_release(&w);
}

TEST(any_partition_gives_the_whole_raster_after_a_chain_of_steps)
{
    const struct post post = {.count = 4,
                              .steps = {{.op = POST_UNSURE, .below = 40, .value = 200},
                                        {.op = POST_SIEVE, .size = 9, .connect = 4},
                                        {.op = POST_MAJORITY, .size = 5},
                                        {.op = POST_SIEVE, .size = 60, .connect = 8}}};

    assert_each_step_changes_labels(&post);
    assert_any_partition(&post, EVERYWHERE, 6);
    assert_any_partition(&post, MASK, 7);
}

/* ---- smoothed ---- */

static struct post smoothed(unsigned times)
{
    return (struct post){.count = 1, .steps = {{.op = POST_SMOOTH, .size = (uint8_t)times}}};
}

TEST(any_partition_gives_the_whole_raster_smoothed)
{
    const struct post once = smoothed(1), often = smoothed(8);

    assert_any_partition(&once, false, 12);
    assert_any_partition_of(&once, true, 13, TL_COUNT(land_more));
    assert_any_partition_of(&often, true, 14, TL_COUNT(land_more));
}

TEST(any_partition_gives_the_whole_raster_smoothed_before_other_steps)
{
    const struct post post = {.count = 4,
                              .steps = {{.op = POST_SMOOTH, .size = 3},
                                        {.op = POST_UNSURE, .below = 24, .value = 200},
                                        {.op = POST_MAJORITY, .size = 5},
                                        {.op = POST_SIEVE, .size = 20, .connect = 8}}};

    assert_each_step_changes_labels(&post);
    assert_any_partition(&post, false, 15);
    assert_any_partition(&post, true, 16);
}

TEST(any_partition_gives_the_whole_raster_smoothed_within_an_area)
{
    const struct post often = smoothed(8);
    const struct post post = {.count = 3,
                              .steps = {{.op = POST_SMOOTH, .size = 2},
                                        {.op = POST_MAJORITY, .size = 5},
                                        {.op = POST_SIEVE, .size = 20, .connect = 8}}};

    assert_any_partition_of(&often, AREA, 17, TL_COUNT(land_more));
    assert_any_partition_of(&post, AREA | MASK, 18, TL_COUNT(land_more));
}

TEST(single_pixels_and_lines_of_them_are_the_whole_rasters_smoothed)
{
    static const uint32_t corners[] = {0, 1, 510, 511, 512, 513, 1023, 1024, 1098, 1099, 1299};
    const struct post twice = smoothed(2);
    struct world w;

    world_init(&w, 0, true);
    w.spec.post = twice;
    world_open(&w, NULL);
    struct raster raster = world_reference(&w);
    for (size_t i = 0; i < TL_COUNT(corners) * TL_COUNT(corners); i++) {
        uint32_t x = corners[i % TL_COUNT(corners)], y = corners[i / TL_COUNT(corners)];
        uint16_t left = (uint16_t)(x % CLASS_BLOCK), top = (uint16_t)(y % CLASS_BLOCK);
        const struct block_request request = {.col = x / CLASS_BLOCK,
                                              .row = y / CLASS_BLOCK,
                                              .x0 = left,
                                              .y0 = top,
                                              .x1 = (uint16_t)(left + 1),
                                              .y1 = (uint16_t)(i % 7 ? top + 1 : CLASS_BLOCK)};

        if (y >= LAND_HEIGHT)
            continue;
        struct block *block = read_block(w.prediction, request);
        assert_window(block, &request, &raster);
        block_unref(block);
    }
    raster_release(&raster);
    world_release(&w);
}

TEST(a_smoothed_feature_that_is_not_a_number_weighs_nothing)
{
    static const char *const features[] = {"s.a + 0 * s.b", "s.b + ln(s.b != 5)", "s.id"};
    struct world w;

    world_init(&w, 0, false);
    w.spec.features = features;
    w.spec.post = smoothed(1);
    world_open(&w, NULL);
    struct block *block = read_block(w.prediction, whole_block(0, 0, 0));
    const uint8_t *labels = block->samples;
    unsigned silent = 0;
    for (uint32_t y = 0; y < CLASS_BLOCK; y++)
        for (uint32_t x = 0; x < CLASS_BLOCK; x++) {
            bool unknown = !land_valid(x, y) || land_sample(BAND_B, x, y) == 5;

            assert_int_equal(labels[y * CLASS_BLOCK + x] == CLASS_NODATA, unknown);
            silent += unknown;
        }
    assert_true(silent > 4000);
    block_unref(block);
    world_release(&w);
}

TEST(a_smoothing_classifies_what_it_reaches_and_no_more)
{
    struct world w;
    const struct block_request request = {.col = 1, .row = 0, .x0 = 0, .y0 = 1, .x1 = 80, .y1 = 14};

    world_init(&w, 0, false);
    w.spec.post = smoothed(3);
    world_open(&w, NULL);
    for (int i = 0; i < 2; i++)
        block_unref(read_block(w.prediction, request));
    for (uint32_t y = 0; y < LAND_HEIGHT; y++)
        for (uint32_t x = 0; x < LAND_WIDTH; x++)
            assert_int_equal(atomic_load(&fake.seen[y * LAND_WIDTH + x]),
                             x >= 509 && x < 595 && y < 17 && land_valid(x, y));
    world_release(&w);
}

TEST(a_smoothing_reaches_nothing_outside_of_the_area)
{
    struct world w;
    unsigned seen = 0;

    world_init(&w, 0, false);
    world_area(&w);
    w.spec.post = smoothed(3);
    world_open(&w, NULL);
    uint8_t *inside = world_inside(&w);
    for (uint32_t i = 0; i < 9; i++)
        block_unref(read_block(w.prediction, whole_block(0, i % 3, i / 3)));
    for (uint32_t i = 0; i < LAND_PIXELS; i++) {
        bool valid = inside[i] && land_valid(i % LAND_WIDTH, i / LAND_WIDTH);

        assert_int_equal(atomic_load(&fake.seen[i]) > 0, valid);
        seen += valid;
    }
    assert_true(seen > 10000);
    free(inside);
    world_release(&w);
}

TEST(only_pixels_that_were_asked_for_are_classified_and_only_once)
{
    struct world w;
    const struct block_request request = {
        .col = 1, .row = 0, .x0 = 10, .y0 = 20, .x1 = 90, .y1 = 33};
    unsigned valid = 0;

    world_init(&w, 0, false);
    world_open(&w, NULL);
    for (int i = 0; i < 2; i++)
        block_unref(read_block(w.prediction, request));
    for (uint32_t y = 0; y < LAND_HEIGHT; y++) {
        for (uint32_t x = 0; x < LAND_WIDTH; x++) {
            bool asked = x >= 522 && x < 602 && y >= 20 && y < 33 && land_valid(x, y);
            valid += asked;
            assert_int_equal(atomic_load(&fake.seen[y * LAND_WIDTH + x]), asked);
        }
    }
    assert_true(valid > 500);
    assert_int_equal(atomic_load(&fake.runs), 1);
    world_release(&w);
}

TEST(masked_pixels_and_nodata_never_reach_the_forest)
{
    struct world w;

    world_init(&w, 0, true);
    world_open(&w, NULL);
    block_unref(read_block(w.prediction, whole_block(0, 1, 1)));
    for (uint32_t y = 512; y < 1024; y++)
        for (uint32_t x = 512; x < 1024; x++)
            assert_int_equal(atomic_load(&fake.seen[y * LAND_WIDTH + x]),
                             land_valid(x, y) && land_baseline(x, y) == 4);
    world_release(&w);
}

TEST(what_is_outside_the_area_is_neither_fetched_nor_classified)
{
    struct world w;

    world_init(&w, 0, false);
    world_area(&w);
    world_open(&w, NULL);
    const struct land_source *land = (const struct land_source *)w.land;
    uint8_t *inside = world_inside(&w);
    struct block *block = read_block(w.prediction, whole_block(0, 2, 0));
    const uint8_t *label = block->samples;
    for (size_t i = 0; i < 512; i++)
        assert_int_equal(label[i * 512], CLASS_MASKED);
    block_unref(block);
    assert_int_equal(atomic_load(&land->reads), 0);
    for (uint32_t i = 0; i < 9; i++)
        block_unref(read_block(w.prediction, whole_block(0, i % 3, i / 3)));
    for (uint32_t i = 0; i < LAND_PIXELS; i++)
        assert_int_equal(atomic_load(&fake.seen[i]),
                         inside[i] && land_valid(i % LAND_WIDTH, i / LAND_WIDTH));
    /* Of the 6 x 5 blocks of the source, those that have a pixel of the area. */
    bool used[5][6] = {{false}};
    int needed = 0;
    for (uint32_t i = 0; i < LAND_PIXELS; i++)
        used[i / LAND_WIDTH / 256][i % LAND_WIDTH / 256] |= inside[i];
    for (int i = 0; i < 30; i++)
        needed += used[i / 6][i % 6];
    assert_int_equal(atomic_load(&land->reads), needed);
    assert_true(needed < 16);
    free(inside);
    world_release(&w);
}

TEST(a_feature_that_is_not_a_number_makes_its_pixel_nodata)
{
    static const char *const features[] = {"s.a / (s.b != 5)", "s.b + ln(s.b >= 3)", "s.id"};
    struct world w;

    world_init(&w, 0, false);
    w.spec.features = features;
    world_open(&w, NULL);
    struct raster raster = classify_land(&w);
    for (uint32_t i = 0; i < LAND_PIXELS; i++) {
        float b = land_sample(BAND_B, i % LAND_WIDTH, i / LAND_WIDTH);
        if (b == 5 || b < 3) {
            raster.label[i] = CLASS_NODATA;
            raster.confidence[i] = 0;
        }
    }
    const struct block_request request = whole_block(0, 0, 0);
    struct block *block = read_block(w.prediction, request);
    assert_window(block, &request, &raster);
    assert_non_null(block->mask);
    block_unref(block);
    raster_release(&raster);
    world_release(&w);
}

/* As u16, and as the other small types: what is made of one band comes as codes. */
static void assert_integers(enum dtype dtype, int bias, const char *const *features)
{
    struct world w;
    uint32_t seed = 11 + dtype;

    world_init(&w, 3, true);
    struct land_source *land = (struct land_source *)w.land;
    land->pyramid.dtype = dtype;
    land->bias = bias;
    w.spec.features = features;
    world_open(&w, NULL);
    struct raster raster = world_reference(&w);
    for (int round = 0; round < 6; round++) {
        const struct block_request request = random_request(w.prediction, 0, &seed);
        struct block *block = read_block(w.prediction, request);
        assert_window(block, &request, &raster);
        block_unref(block);
    }
    assert_true(atomic_load(&fake.coded) >= 2 * fake_classified());
    raster_release(&raster);
    world_release(&w);
}

TEST(features_of_one_small_integer_come_as_codes_and_are_the_same)
{
    static const char *const below_zero[] = {"s.a + 50 + 0 * s.b", "s.b + 50", "s.id"};

    assert_integers(DTYPE_U8, 0, land_features);
    assert_integers(DTYPE_U16, 0, land_features);
    assert_integers(DTYPE_I8, 50, below_zero);
    assert_integers(DTYPE_I16, 50, below_zero);
}

TEST(a_coded_feature_that_is_not_a_number_makes_its_pixel_nodata)
{
    static const char *const features[] = {"s.a + 0 * s.b", "s.b + ln(s.b >= 3)", "s.id"};
    struct world w;

    world_init(&w, 0, false);
    ((struct land_source *)w.land)->pyramid.dtype = DTYPE_U16;
    w.spec.features = features;
    world_open(&w, NULL);
    struct raster raster = classify_land(&w);
    for (uint32_t i = 0; i < LAND_PIXELS; i++) {
        if (land_sample(BAND_B, i % LAND_WIDTH, i / LAND_WIDTH) < 3) {
            raster.label[i] = CLASS_NODATA;
            raster.confidence[i] = 0;
        }
    }
    const struct block_request request = whole_block(0, 1, 0);
    struct block *block = read_block(w.prediction, request);
    assert_window(block, &request, &raster);
    assert_true(atomic_load(&fake.coded) >= 2 * fake_classified());
    block_unref(block);
    raster_release(&raster);
    world_release(&w);
}

TEST(a_warped_integer_is_no_code)
{
    struct world w;

    world_init(&w, 0, false);
    ((struct land_source *)w.land)->pyramid.dtype = DTYPE_U16;
    w.source.resampling = RESAMPLE_BILINEAR;
    w.spec.grid.affine.x += 3;
    world_open(&w, NULL);
    block_unref(read_block(w.prediction, whole_block(0, 0, 0)));
    assert_true(fake_classified() > 1000);
    assert_int_equal(atomic_load(&fake.coded), 0);
    world_release(&w);
}

/* ---- fills ---- */

static const struct feature_fill fills_all[] = {{true, 1}, {true, 92}, {false, 0}};
static const struct feature_fill fills_b[] = {{false, 0}, {true, 92}, {false, 0}};

/* Whether a band of the land has no sample there. */
static bool is_gap(const struct land_source *land, uint32_t band, uint32_t x, uint32_t y)
{
    return !land_valid(x, y) ||
           (land->pyramid.has_nodata && (double)land_sample(band, x, y) == land->pyramid.nodata);
}

/* What the model is to see with these fills: the plain way. */
static struct raster filled_reference(struct world *w)
{
    const struct land_source *land = (const struct land_source *)w->land;
    struct raster raster = classify_land(w);

    for (uint32_t i = 0; i < LAND_PIXELS; i++) {
        uint32_t x = i % LAND_WIDTH, y = i / LAND_WIDTH;
        bool no_a = is_gap(land, BAND_A, x, y), no_b = is_gap(land, BAND_B, x, y);
        float a = no_a ? w->spec.fills[0].value : land_sample(BAND_A, x, y);
        float b = no_b ? w->spec.fills[1].value : land_sample(BAND_B, x, y);
        bool known = !no_a || w->spec.fills[0].fills;

        raster.label[i] = known ? vote_label(a, b) : CLASS_NODATA;
        raster.confidence[i] = known ? vote_confidence(b) : 0;
    }
    return raster;
}

static void assert_filled(enum dtype dtype, int nodata, const struct feature_fill *fills,
                          unsigned coded)
{
    static const char *const features[] = {"s.a", "s.b", "0"};
    struct world w;
    uint32_t seed = 5 + dtype;

    world_init(&w, 0, false);
    struct land_source *land = (struct land_source *)w.land;
    land->pyramid.dtype = dtype;
    land->pyramid.has_nodata = nodata >= 0;
    land->pyramid.nodata = nodata;
    w.spec.features = features;
    w.spec.fills = fills;
    world_open(&w, NULL);
    struct raster raster = filled_reference(&w);
    for (int round = 0; round < 4; round++) {
        const struct block_request request = random_request(w.prediction, 0, &seed);
        struct block *block = read_block(w.prediction, request);
        assert_window(block, &request, &raster);
        block_unref(block);
    }
    assert_int_equal(atomic_load(&fake.coded), coded * fake_classified());
    raster_release(&raster);
    world_release(&w);
}

TEST(a_filled_feature_is_its_fill_where_its_band_is_invalid)
{
    assert_filled(DTYPE_F32, -1, fills_all, 0);
    assert_filled(DTYPE_F32, 3, fills_all, 0);
    assert_filled(DTYPE_F32, 3, fills_b, 0);
}

TEST(a_filled_feature_of_one_small_integer_is_a_code_where_there_is_one_for_nothing)
{
    assert_filled(DTYPE_U8, -1, fills_all, 2);
    assert_filled(DTYPE_U8, 3, fills_all, 2);
    assert_filled(DTYPE_U16, 3, fills_all, 2);
    assert_filled(DTYPE_U16, 3, fills_b, 2);
    assert_filled(DTYPE_U16, -1, fills_b, 1);
}

TEST(a_filled_feature_settles_nothing_and_a_plain_one_with_its_band_does)
{
    static const char *const features[] = {"s.a", "s.b + 0 * s.a", "0"};
    struct world w;

    world_init(&w, 0, false);
    w.spec.features = features;
    w.spec.fills = fills_b;
    world_open(&w, NULL);
    struct raster raster = classify_land(&w);
    const struct block_request request = whole_block(0, 1, 1);
    struct block *block = read_block(w.prediction, request);
    assert_window(block, &request, &raster);
    block_unref(block);
    raster_release(&raster);
    world_release(&w);
}

TEST(a_feature_that_is_not_finite_is_its_fill)
{
    static const char *const features[] = {"s.a", "s.b + ln(s.b >= 3)", "0"};
    struct world w;

    world_init(&w, 0, false);
    w.spec.features = features;
    w.spec.fills = fills_b;
    world_open(&w, NULL);
    struct raster raster = classify_land(&w);
    for (uint32_t i = 0; i < LAND_PIXELS; i++) {
        uint32_t x = i % LAND_WIDTH, y = i / LAND_WIDTH;
        if (land_valid(x, y) && land_sample(BAND_B, x, y) < 3) {
            raster.label[i] = vote_label(land_sample(BAND_A, x, y), 92);
            raster.confidence[i] = vote_confidence(92);
        }
    }
    const struct block_request request = whole_block(0, 0, 1);
    struct block *block = read_block(w.prediction, request);
    assert_window(block, &request, &raster);
    block_unref(block);
    raster_release(&raster);
    world_release(&w);
}

TEST(a_scaled_source_is_scaled_before_its_expressions)
{
    static const char *const features[] = {"(s.a - 7) * 4", "s.b", "0"};
    static const float scale[] = {0.25F, 1, 1}, offset[] = {7, 0, 0};
    struct world w;

    world_init(&w, 0, false);
    w.spec.features = features;
    w.source.band_scale = scale;
    w.source.band_offset = offset;
    world_open(&w, NULL);
    struct raster raster = classify_land(&w);
    const struct block_request request = whole_block(0, 0, 1);
    struct block *block = read_block(w.prediction, request);
    assert_window(block, &request, &raster);
    block_unref(block);
    raster_release(&raster);
    world_release(&w);
}

TEST(a_block_without_any_data_is_empty)
{
    struct world w;

    world_init(&w, 3, false);
    w.spec.grid.affine.x += 1e6;
    world_open(&w, NULL);
    struct block *block = read_block(w.prediction, whole_block(0, 0, 0));
    assert_true(block->empty);
    assert_int_equal(atomic_load(&fake.runs), 0);
    block_unref(block);
    world_release(&w);
}

TEST(a_finished_block_is_one_block_for_everybody)
{
    struct world w;

    world_init(&w, 0, false);
    world_open(&w, NULL);
    struct block *first = read_block(w.prediction, whole_block(0, 2, 2));
    struct block *second =
        read_block(w.prediction, random_request(w.prediction, 0, &(uint32_t){3}));
    struct block *third = read_block(w.prediction, whole_block(0, 2, 2));
    assert_ptr_equal(first, third);
    assert_ptr_not_equal(first, second);
    block_unref(first);
    block_unref(second);
    block_unref(third);
    world_release(&w);
}

TEST(the_padding_of_an_edge_block_is_nodata)
{
    struct world w;
    struct block_request request = {.col = 2, .row = 2, .x0 = 400, .y0 = 400, .x1 = 512, .y1 = 512};

    world_init(&w, 0, false);
    world_open(&w, NULL);
    struct block *block = read_block(w.prediction, request);
    assert_true(block->empty);
    block_unref(block);
    assert_int_equal(atomic_load(&fake.runs), 0);
    world_release(&w);
}

TEST(a_block_beyond_the_grid_is_absent)
{
    struct world w;
    struct errand errand = errand_unbounded();
    struct block *block;

    world_init(&w, 0, false);
    world_open(&w, NULL);
    struct block_request request = whole_block(0, 3, 0);
    assert_refused(w.prediction->read(w.prediction, &request, 1, &errand, &block, &err), TL_ABSENT,
                   "no block 3,0 of level 0");
    request = whole_block(9, 0, 0);
    assert_refused(w.prediction->read(w.prediction, &request, 1, &errand, &block, &err), TL_ABSENT,
                   "level 9");
    world_release(&w);
}

/* Both blocks hold the same in the window. */
static void assert_same(const struct block *a, const struct block *b,
                        const struct block_request *request)
{
    static uint8_t samples[2][2 * CLASS_PIXELS];
    const struct class_window window = {request->x0, request->y0, request->x1, request->y1};

    memset(samples, 0, sizeof(samples));
    class_block_copy(a, window, (struct class_room){samples[0], CLASS_PIXELS, CLASS_BLOCK});
    class_block_copy(b, window, (struct class_room){samples[1], CLASS_PIXELS, CLASS_BLOCK});
    assert_memory_equal(samples[0], samples[1], sizeof(samples[0]));
}

/* Parts of block 1,1, each classified by a prediction that has seen nothing else. */
static void assert_parts_equal_the_whole(struct world *w, uint32_t seed)
{
    world_open(w, NULL);
    struct block *whole = read_block(w->prediction, whole_block(0, 1, 1));
    assert_false(whole->empty);
    for (int i = 0; i < 12; i++) {
        world_close(w);
        world_open(w, NULL);
        struct block_request request = random_request(w->prediction, 0, &seed);
        request.col = request.row = 1;
        struct block *part = read_block(w->prediction, request);
        assert_same(part, whole, &request);
        block_unref(part);
    }
    block_unref(whole);
    world_close(w);
}

/* Coarser by four, shifted by a fraction of a pixel, interpolated. */
TEST(a_source_on_another_grid_gives_the_same_pixels_under_any_partition)
{
    struct world w;

    world_init(&w, 0, false);
    struct block_source *coarse = land_new(w.pool, w.crs, false, 4);
    w.source.source = coarse;
    w.source.resampling = RESAMPLE_BILINEAR;
    w.spec.grid.affine.x += 3.7;
    w.spec.grid.affine.y -= 1.3;
    w.spec.features = (const char *const[]){"s.a", "s.b", "0 * s.id"};
    assert_parts_equal_the_whole(&w, 6);
    block_source_free(coarse);
    world_release(&w);
}

/* The warp may be off by a twentieth of a pixel, but by the same for everybody. */
TEST(a_source_in_another_projection_gives_the_same_pixels_under_any_partition)
{
    struct world w;
    AUTO(crs) utm = NULL;

    world_init(&w, 0, false);
    assert_ok(crs_new("EPSG:32631", &utm, &err));
    w.spec.grid = (struct grid){utm, {281600, 173350, 10, 10}, LAND_WIDTH, LAND_HEIGHT};
    w.source.resampling = RESAMPLE_BILINEAR;
    w.spec.features = (const char *const[]){"s.a", "s.b", "0 * s.id"};
    assert_parts_equal_the_whole(&w, 7);
    world_release(&w);
}

/* ---- many at once ---- */

struct client {
    pthread_t thread;
    struct world *world;
    const struct raster *raster; /* NULL: nobody compares */
    uint32_t seed;
    int rounds;
    struct block_request request; /* of those that ask once */
    struct errand errand;
    struct block *block;
    enum tl_code code;
    struct tl_err err;
    uint32_t wrong; /* cmocka's asserts belong to the main thread */
};

static uint32_t count_wrong(const struct block *block, const struct block_request *r,
                            const struct raster *raster)
{
    uint32_t wrong = 0;

    for (uint32_t y = r->y0; y < r->y1; y++) {
        for (uint32_t x = r->x0; x < r->x1; x++) {
            uint32_t gx = r->col * CLASS_BLOCK + x, gy = r->row * CLASS_BLOCK + y;
            size_t in = (size_t)y * CLASS_BLOCK + x;
            bool inside = gx < raster->width && gy < raster->height;
            uint8_t label = inside ? raster->label[(size_t)gy * raster->width + gx] : CLASS_NODATA;
            wrong += (block->empty ? CLASS_NODATA : ((const uint8_t *)block->samples)[in]) != label;
        }
    }
    return wrong;
}

static void *ask_randomly(void *arg)
{
    struct client *client = arg;
    struct block_source *source = client->world->prediction;

    for (int i = 0; i < client->rounds && client->code == TL_OK; i++) {
        struct block_request requests[2];
        struct block *blocks[2] = {NULL};

        requests[0] = random_request(source, 0, &client->seed);
        requests[1] = random_request(source, 0, &client->seed);
        client->code = source->read(source, requests, 2, &client->errand, blocks, &client->err);
        for (int k = 0; k < 2 && client->code == TL_OK; k++) {
            client->wrong += count_wrong(blocks[k], &requests[k], client->raster);
            block_unref(blocks[k]);
        }
    }
    return NULL;
}

static void *ask_once(void *arg)
{
    struct client *client = arg;
    struct block_source *source = client->world->prediction;

    client->code =
        source->read(source, &client->request, 1, &client->errand, &client->block, &client->err);
    return NULL;
}

static void assert_each_pixel_once(unsigned majority)
{
    enum { CLIENTS = 6 };
    struct world w;
    struct client clients[CLIENTS];
    uint64_t twice = 0;

    world_init(&w, majority, false);
    world_open(&w, NULL);
    struct raster raster = world_reference(&w);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.world = &w,
                                     .raster = &raster,
                                     .seed = (uint32_t)i * 77 + majority,
                                     .rounds = 12,
                                     .errand = errand_unbounded()};
        pthread_create(&clients[i].thread, NULL, ask_randomly, &clients[i]);
    }
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(clients[i].thread, NULL);
    for (int i = 0; i < CLIENTS; i++) {
        err = clients[i].err;
        assert_ok(clients[i].code);
        assert_int_equal(clients[i].wrong, 0);
    }
    for (size_t i = 0; i < LAND_PIXELS; i++)
        twice += atomic_load(&fake.seen[i]) > 1;
    assert_int_equal(twice, 0);
    assert_true(fake_classified() > LAND_PIXELS / 4);
    raster_release(&raster);
    world_release(&w);
}

TEST(many_threads_classify_each_pixel_once)
{
    assert_each_pixel_once(0);
    assert_each_pixel_once(5);
}

TEST(a_corner_of_a_block_that_another_classifies_is_taken_not_waited_for)
{
    struct world w;
    struct client slow = {.errand = errand_unbounded(), .request = whole_block(0, 0, 0)};
    struct client quick = {.errand = errand_unbounded(),
                           .request = {.x0 = 300, .y0 = 400, .x1 = 380, .y1 = 420}};

    world_init(&w, 0, false);
    world_open(&w, NULL);
    slow.world = quick.world = &w;
    fake_gate(true);
    pthread_create(&slow.thread, NULL, ask_once, &slow);
    fake_await(1);
    pthread_create(&quick.thread, NULL, ask_once, &quick);
    fake_await(2); /* the second is in the forest too: it did not wait for the first */
    fake_gate(false);
    pthread_join(slow.thread, NULL);
    pthread_join(quick.thread, NULL);
    assert_int_equal(slow.code, TL_OK);
    assert_int_equal(quick.code, TL_OK);
    for (size_t i = 0; i < LAND_PIXELS; i++)
        assert_true(atomic_load(&fake.seen[i]) <= 1);
    block_unref(slow.block);
    block_unref(quick.block);
    world_release(&w);
}

TEST(what_a_cancelled_client_had_claimed_goes_to_whoever_waits)
{
    struct world w;
    atomic_bool cancelled = false;
    struct client leaver = {.errand = errand_unbounded(), .request = whole_block(0, 1, 0)};
    struct client waiter = {.errand = errand_unbounded(),
                            .request = {.col = 1, .x0 = 5, .y0 = 5, .x1 = 60, .y1 = 60}};

    world_init(&w, 0, false);
    world_open(&w, NULL);
    struct raster raster = world_reference(&w);
    leaver.world = waiter.world = &w;
    leaver.errand.cancelled = &cancelled;
    fake_gate(true);
    pthread_create(&leaver.thread, NULL, ask_once, &leaver);
    fake_await(1); /* the upper rows are claimed */
    pthread_create(&waiter.thread, NULL, ask_once, &waiter);
    atomic_store(&cancelled, true);
    fake_gate(false);
    pthread_join(leaver.thread, NULL);
    pthread_join(waiter.thread, NULL);
    assert_int_equal(leaver.code, TL_CANCELLED);
    assert_int_equal(waiter.code, TL_OK);
    assert_window(waiter.block, &waiter.request, &raster);
    block_unref(waiter.block);
    raster_release(&raster);
    world_release(&w);
}

TEST(a_waiter_leaves_at_its_deadline_and_when_it_is_cancelled)
{
    struct world w;
    atomic_bool cancelled = true;
    struct client slow = {.errand = errand_unbounded(), .request = whole_block(0, 0, 0)};
    struct client late = {.errand = errand_unbounded(), .request = {.x1 = 9, .y1 = 9}};
    struct client gone = {.errand = errand_unbounded(), .request = {.x1 = 9, .y1 = 9}};

    world_init(&w, 0, false);
    world_open(&w, NULL);
    slow.world = late.world = gone.world = &w;
    fake_gate(true);
    pthread_create(&slow.thread, NULL, ask_once, &slow);
    fake_await(1);
    late.errand.deadline_ns = clock_now_ns() + 30 * NS_PER_MS;
    gone.errand.cancelled = &cancelled;
    pthread_create(&late.thread, NULL, ask_once, &late);
    pthread_create(&gone.thread, NULL, ask_once, &gone);
    pthread_join(late.thread, NULL);
    pthread_join(gone.thread, NULL);
    fake_gate(false);
    pthread_join(slow.thread, NULL);
    assert_int_equal(late.code, TL_TIMEOUT);
    assert_int_equal(gone.code, TL_CANCELLED);
    assert_int_equal(slow.code, TL_OK);
    block_unref(slow.block);
    world_release(&w);
}

TEST(a_failure_in_the_middle_keeps_what_was_done_and_loses_nothing)
{
    struct world w;
    struct errand errand = errand_unbounded();
    struct block_request request = whole_block(0, 0, 0);
    struct block *block = NULL;

    world_init(&w, 0, false);
    world_open(&w, NULL);
    struct raster raster = world_reference(&w);
    atomic_store(&fake.fail_after, 2);
    assert_refused(w.prediction->read(w.prediction, &request, 1, &errand, &block, &err), TL_NOMEM,
                   "out of memory");
    assert_null(block);
    assert_true(fake_classified() > 100000);
    atomic_store(&fake.fail_after, -1);
    block = read_block(w.prediction, request);
    assert_window(block, &request, &raster);
    for (size_t i = 0; i < LAND_PIXELS; i++)
        assert_true(atomic_load(&fake.seen[i]) <= 1);
    block_unref(block);
    raster_release(&raster);
    world_release(&w);
}

/* ---- making one ---- */

static enum tl_code opened(struct world *w)
{
    const struct prediction_env env = {w->pool, NULL};

    return prediction_new(&env, &w->spec, &w->prediction, &err);
}

TEST(a_prediction_that_cannot_work_says_why)
{
    struct world w;

    world_init(&w, 0, false);
    w.spec.features = (const char *const[]){"s.a", "s.bb * 2", "s.id"};
    assert_refused(opened(&w), TL_INVALID,
                   "prediction test: feature \"b\": \"s.bb * 2\", column 1");
    assert_refused(opened(&w), TL_INVALID, "there are s.a, s.b, s.id");
    w.spec.features = (const char *const[]){"s.a", "s.b", NULL};
    assert_refused(opened(&w), TL_INVALID, "the model has 3 features and there is no expression");
    w.spec.features = land_features;
    w.spec.post = majority_of(4);
    assert_refused(opened(&w), TL_INVALID, "a majority filter of 4 pixels");
    w.spec.post = majority_of(27);
    assert_refused(opened(&w), TL_INVALID, "a majority filter of 27 pixels");
    w.spec.post = smoothed(9);
    assert_refused(opened(&w), TL_INVALID, "probabilities smoothed 9 times; it is 1 to 8");
    w.spec.post = majority_of(3);
    w.spec.post.steps[w.spec.post.count++] = smoothed(1).steps[0];
    assert_refused(opened(&w), TL_INVALID, "step 2 smooths probabilities");
    w.spec.post.count = 0;
    w.spec.grid.width = 0;
    assert_refused(opened(&w), TL_INVALID, "a grid of 0 x 1100 pixels");
    w.spec.grid.width = LAND_WIDTH;
    w.spec.grid.affine.dx = (double)NAN;
    assert_refused(opened(&w), TL_INVALID, "a grid with pixels of");
    w.spec.grid.affine.dx = 10;
    w.source.band_index = (const uint16_t[]){0, 1, 3};
    assert_refused(opened(&w), TL_INVALID, "\"id\" is said to be band 4 and there are 3");
    w.source.band_index = land_index;
    fake.classes[2].value = 254;
    assert_refused(opened(&w), TL_INVALID, "has the value 254");
    fake.classes[2].value = 6;
    w.spec.fills = (const struct feature_fill[]){{false, 0}, {true, NAN}, {false, 0}};
    assert_refused(opened(&w), TL_INVALID,
                   "feature \"b\": filled with NaN, and this model (random-forest) has no rule");
    fake.info.takes_nan = true;
    assert_ok(opened(&w));
    fake.info.takes_nan = false;
    world_release(&w);
}

static struct hash128 fingerprint_of(struct world *w)
{
    world_close(w);
    world_open(w, NULL);
    return w->prediction->fingerprint;
}

TEST(the_fingerprint_changes_with_everything_that_changes_pixels)
{
    struct world w;
    struct hash128 seen[22];
    size_t count = 0;

    world_init(&w, 0, false);
    seen[count++] = fingerprint_of(&w);
    w.spec.policy = POLICY_EXACT;
    w.spec.budget_blocks = 99;
    assert_true(hash128_equal(fingerprint_of(&w), seen[0])); /* these do not */
    w.spec.post = majority_of(5);
    seen[count++] = fingerprint_of(&w);
    w.spec.post.steps[0] = (struct post_step){.op = POST_SIEVE, .size = 5, .connect = 4};
    seen[count++] = fingerprint_of(&w);
    w.spec.post.steps[0].connect = 8;
    seen[count++] = fingerprint_of(&w);
    w.spec.post.steps[0] = (struct post_step){.op = POST_UNSURE, .below = 5, .value = 200};
    seen[count++] = fingerprint_of(&w);
    w.spec.post = smoothed(1);
    seen[count++] = fingerprint_of(&w);
    w.spec.post = smoothed(2);
    seen[count++] = fingerprint_of(&w);
    w.spec.features = (const char *const[]){"s.a + 1", "s.b", "s.id"};
    seen[count++] = fingerprint_of(&w);
    w.spec.mask.source = w.baseline;
    seen[count++] = fingerprint_of(&w);
    w.spec.mask.keep[9] = 1;
    seen[count++] = fingerprint_of(&w);
    w.source.resampling = RESAMPLE_BILINEAR;
    seen[count++] = fingerprint_of(&w);
    w.source.band_index = (const uint16_t[]){1, 0, 2};
    seen[count++] = fingerprint_of(&w);
    w.land->fingerprint.hi ^= 1;
    seen[count++] = fingerprint_of(&w);
    fake.info.fingerprint.lo ^= 1;
    seen[count++] = fingerprint_of(&w);
    w.source.band_scale = (const float[]){2, 1, 1};
    seen[count++] = fingerprint_of(&w);
    w.source.band_offset = (const float[]){2, 1, 1};
    seen[count++] = fingerprint_of(&w);
    w.spec.fills = fills_b;
    seen[count++] = fingerprint_of(&w);
    w.spec.grid.affine.x += 10;
    seen[count++] = fingerprint_of(&w);
    w.spec.grid.width--;
    seen[count++] = fingerprint_of(&w);
    world_area(&w);
    seen[count++] = fingerprint_of(&w);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            assert_false(hash128_equal(seen[i], seen[k]));
    world_release(&w);
}

/* ---- one pixel ---- */

TEST(a_point_outside_the_area_is_masked)
{
    struct world w;
    struct prediction_point point;
    struct errand errand = errand_unbounded();
    AUTO(arena) arena = arena_new();

    world_init(&w, 5, false);
    world_area(&w);
    world_open(&w, NULL);
    for (uint32_t col = 0; col < 2; col++) { /* in a block that has some of it, and far away */
        assert_ok(prediction_point(w.prediction, (struct prediction_cell){20 + col * 1200, 20},
                                   &errand, arena, &point, &err));
        assert_true(point.inside && !point.features);
        assert_int_equal(point.label, CLASS_MASKED);
        assert_int_equal(point.confidence, 0);
    }
    assert_ok(prediction_point(w.prediction, (struct prediction_cell){150, 500}, &errand, arena,
                               &point, &err));
    assert_true(point.features && point.label < CLASS_MASKED);
    world_release(&w);
}

TEST(a_point_tells_label_confidence_probabilities_and_features)
{
    struct world w;
    struct prediction_point point;
    struct errand errand = errand_unbounded();
    AUTO(arena) arena = arena_new();

    world_init(&w, 5, false);
    world_open(&w, NULL);
    struct raster raster = world_reference(&w);
    assert_ok(prediction_point(w.prediction, (struct prediction_cell){801, 303}, &errand, arena,
                               &point, &err));
    assert_true(point.inside && point.valid);
    assert_int_equal(point.label, raster.label[303 * LAND_WIDTH + 801]);
    assert_int_equal(point.confidence, raster.confidence[303 * LAND_WIDTH + 801]);
    assert_true(point.features[1] == land_sample(BAND_B, 801, 303));
    for (unsigned c = 0; c < 8; c++)
        assert_true(point.probability[c] == vote_probability(c, land_sample(BAND_A, 801, 303),
                                                             land_sample(BAND_B, 801, 303)));
    assert_true(fake_classified() <= 25);

    assert_ok(prediction_point(w.prediction, (struct prediction_cell){730, 600}, &errand, arena,
                               &point, &err));
    assert_true(point.inside && !point.valid && !point.features && !point.probability);
    assert_int_equal(point.label, CLASS_NODATA);
    assert_ok(prediction_point(w.prediction, (struct prediction_cell){LAND_WIDTH, 0}, &errand,
                               arena, &point, &err));
    assert_false(point.inside);
    raster_release(&raster);
    world_release(&w);
}

TEST(a_point_of_a_layer_that_smooths_tells_what_its_block_shows)
{
    static const struct prediction_cell cells[] = {{0, 0},     {511, 511},   {512, 512},
                                                   {801, 303}, {1299, 1099}, {389, 270}};
    struct world w;
    struct prediction_point point;
    struct errand errand = errand_unbounded();
    AUTO(arena) arena = arena_new();
    uint32_t classified = 0;

    world_init(&w, 0, true);
    w.spec.post = smoothed(2);
    w.spec.more_count = TL_COUNT(land_more);
    w.spec.more = land_more;
    world_open(&w, NULL);
    struct raster raster = world_reference(&w);
    for (size_t i = 0; i < TL_COUNT(cells); i++) {
        uint32_t x = cells[i].col, y = cells[i].row;
        size_t at = (size_t)y * LAND_WIDTH + x;
        float greatest = 0;

        assert_ok(prediction_point(w.prediction, cells[i], &errand, arena, &point, &err));
        assert_int_equal(point.label, raster.label[at]);
        assert_int_equal(point.confidence, raster.confidence[at]);
        assert_int_equal(point.probability != NULL, land_valid(x, y) && land_baseline(x, y) == 4);
        if (!point.probability)
            continue;
        classified++;
        for (unsigned c = 0; c < 8; c++)
            greatest = fmaxf(greatest, point.probability[c]);
        assert_int_equal(forest_percent((double)greatest), point.confidence);
        assert_int_equal(forest_percent((double)point.entropy),
                         raster.confidence[LAND_PIXELS + at]);
        assert_int_equal(forest_percent((double)point.probability[5]),
                         raster.confidence[2 * LAND_PIXELS + at]);
        assert_int_equal(forest_percent((double)point.margin),
                         raster.confidence[3 * LAND_PIXELS + at]);
        assert_true(point.features[1] == land_sample(BAND_B, x, y));
    }
    assert_true(classified >= 3);
    raster_release(&raster);
    world_release(&w);
}

RUN(T(any_partition_gives_the_whole_raster_within_an_area),
    T(any_partition_gives_every_band_that_is_kept), T(more_bands_than_a_block_may_have_are_refused),
    T(any_partition_gives_the_whole_raster_without_a_filter),
    T(any_partition_gives_the_whole_raster_with_a_filter),
    T(any_partition_gives_the_whole_raster_behind_a_mask),
    T(any_partition_gives_the_whole_raster_after_a_chain_of_steps),
    T(any_partition_gives_the_whole_raster_smoothed),
    T(any_partition_gives_the_whole_raster_smoothed_before_other_steps),
    T(any_partition_gives_the_whole_raster_smoothed_within_an_area),
    T(single_pixels_and_lines_of_them_are_the_whole_rasters_smoothed),
    T(a_smoothed_feature_that_is_not_a_number_weighs_nothing),
    T(a_smoothing_classifies_what_it_reaches_and_no_more),
    T(a_smoothing_reaches_nothing_outside_of_the_area),
    T(only_pixels_that_were_asked_for_are_classified_and_only_once),
    T(masked_pixels_and_nodata_never_reach_the_forest),
    T(what_is_outside_the_area_is_neither_fetched_nor_classified),
    T(a_feature_that_is_not_a_number_makes_its_pixel_nodata),
    T(features_of_one_small_integer_come_as_codes_and_are_the_same),
    T(a_coded_feature_that_is_not_a_number_makes_its_pixel_nodata), T(a_warped_integer_is_no_code),
    T(a_filled_feature_is_its_fill_where_its_band_is_invalid),
    T(a_filled_feature_of_one_small_integer_is_a_code_where_there_is_one_for_nothing),
    T(a_filled_feature_settles_nothing_and_a_plain_one_with_its_band_does),
    T(a_feature_that_is_not_finite_is_its_fill),
    T(a_scaled_source_is_scaled_before_its_expressions), T(a_block_without_any_data_is_empty),
    T(a_finished_block_is_one_block_for_everybody), T(the_padding_of_an_edge_block_is_nodata),
    T(a_block_beyond_the_grid_is_absent),
    T(a_source_on_another_grid_gives_the_same_pixels_under_any_partition),
    T(a_source_in_another_projection_gives_the_same_pixels_under_any_partition),
    T(many_threads_classify_each_pixel_once),
    T(a_corner_of_a_block_that_another_classifies_is_taken_not_waited_for),
    T(what_a_cancelled_client_had_claimed_goes_to_whoever_waits),
    T(a_waiter_leaves_at_its_deadline_and_when_it_is_cancelled),
    T(a_failure_in_the_middle_keeps_what_was_done_and_loses_nothing),
    T(a_prediction_that_cannot_work_says_why),
    T(the_fingerprint_changes_with_everything_that_changes_pixels),
    T(a_point_outside_the_area_is_masked),
    T(a_point_tells_label_confidence_probabilities_and_features),
    T(a_point_of_a_layer_that_smooths_tells_what_its_block_shows))
