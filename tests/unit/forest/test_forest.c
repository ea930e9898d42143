#include "forest/forest.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/errand.h"
#include "forest/run.h"
#include "forest/table.h"
#include "forest/walk.h"
#include "forest_fixture.h"
#include "tl_test.h"

/* Pixels as planes, and room for what comes out. */
struct pixels {
    size_t count;
    uint32_t features, classes;
    float *values;
    const float **planes;
    struct forest_codes *codes; /* NULL: planes alone */
    struct forest_output got, expected;
};

static void pixels_free(struct pixels *px)
{
    void *all[] = {px->values,
                   px->codes,
                   (void *)(uintptr_t)px->planes,
                   px->got.label,
                   px->got.confidence,
                   px->got.probability,
                   px->expected.label,
                   px->expected.confidence,
                   px->expected.probability};

    for (uint32_t i = 0; px->codes && i < px->features; i++) {
        forest_table_free((struct forest_table *)(uintptr_t)px->codes[i].table);
        free((uint16_t *)(uintptr_t)px->codes[i].codes);
    }
    for (size_t i = 0; i < TL_COUNT(all); i++)
        free(all[i]);
}

static struct forest_output output_new(size_t count, uint32_t classes)
{
    struct forest_output output = {.label = fixture_room(count, 1),
                                   .confidence = fixture_room(count, 1),
                                   .probability = fixture_room(count * classes, sizeof(float))};

    memset(output.label, 0xEE, count);
    memset(output.confidence, 0xEE, count);
    memset(output.probability, 0xEE, count * classes * sizeof(float));
    return output;
}

/* Half of the pixels are alike in runs, half are not alike at all. */
static struct pixels pixels_new(const struct fixture *f, size_t count, uint64_t seed, bool nan_too)
{
    struct pixels px = {.count = count, .features = f->wish.features, .classes = f->wish.classes};
    uint64_t random = seed * 7919 + 1;

    px.values = fixture_room(count * px.features, sizeof(float));
    px.planes = fixture_room(px.features, sizeof(*px.planes));
    for (uint32_t i = 0; i < px.features; i++) {
        px.planes[i] = px.values + i * count;
        for (size_t p = 0; p < count; p++) {
            bool same = p % 64 != 0 && p < count / 2;

            px.values[i * count + p] =
                same ? px.values[i * count + p - 1] : fixture_value(f, &random, nan_too);
        }
    }
    px.got = output_new(count, px.classes);
    px.expected = output_new(count, px.classes);
    return px;
}

static void assert_equal_output(const struct pixels *px, const char *how)
{
    for (size_t p = 0; p < px->count; p++) {
        if (px->got.label[p] != px->expected.label[p])
            fail_msg("%s: pixel %zu: label %u, not %u", how, p, px->got.label[p],
                     px->expected.label[p]);
        if (px->got.confidence[p] != px->expected.confidence[p])
            fail_msg("%s: pixel %zu: confidence %u, not %u", how, p, px->got.confidence[p],
                     px->expected.confidence[p]);
    }
    assert_memory_equal(px->got.probability, px->expected.probability,
                        px->count * px->classes * sizeof(float));
}

/* A model and its flat form, without the forest around them. */
struct compiled {
    struct arena *memory;
    struct model model;
    struct flat flat;
};

static void compile(const struct fixture *f, struct compiled *ret)
{
    AUTO(blob) file = fixture_blob(f);
    struct tl_err err;

    ret->memory = arena_new();
    assert_non_null(ret->memory);
    assert_ok(model_read_file("made up", blob_bytes(file), blob_size(file), ret->memory,
                              &ret->model, &err));
    assert_ok(flat_compile(&ret->model, ret->memory, &ret->flat, &err));
}

static void run_as(const struct compiled *c, const struct run_plan *plan, struct pixels *px)
{
    AUTO(arena) scratch = arena_new();
    struct run_task task = {.planes = px->planes,
                            .count = px->count,
                            .output = &px->got,
                            .room = px->count,
                            .scratch = scratch,
                            .codes = px->codes};
    struct tl_err err;

    assert_ok(run_flat(&c->flat, plan, &task, &err));
}

static void walk_pixel(const struct model *model, const float *const *planes, size_t at,
                       double *ret_p)
{
    double sums[MODEL_MAX_CLASSES];

    walk_sums(model, planes, at, sums);
    walk_probabilities(model, sums, ret_p);
}

/* The oracle against the fixture's own walk, bit for bit. */
static void check_oracle(const struct fixture *f, const struct compiled *c, const struct pixels *px)
{
    for (size_t p = 0; p < px->count; p += 7) {
        double expected[FIXTURE_MAX_CLASSES], got[MODEL_MAX_CLASSES];
        float x[64];

        for (uint32_t i = 0; i < px->features; i++)
            x[i] = px->planes[i][p];
        fixture_predict(f, x, expected);
        walk_pixel(&c->model, px->planes, p, got);
        assert_memory_equal(got, expected, px->classes * sizeof(double));
    }
}

static void check_every_way(const struct compiled *c, struct pixels *px)
{
    static const uint32_t blocks[] = {64, 192, 1024, 65536};

    for (enum cpu_isa isa = ISA_SCALAR; isa <= cpu_isa(); isa++)
        for (size_t b = 0; b < TL_COUNT(blocks); b++)
            for (int sorted = 0; sorted < 2; sorted++) {
                struct run_plan plan = {
                    sweep_kernel(isa), b % 2 ? 65536 : 1000, blocks[b], sorted, 0, false};
                char how[80];

                snprintf(how, sizeof(how), "%s, blocks of %u, %s", cpu_isa_name(isa), blocks[b],
                         sorted ? "sorted" : "as they lie");
                run_as(c, &plan, px);
                assert_equal_output(px, how);
            }
}

static void walk_expected(const struct compiled *c, struct pixels *px)
{
    double p[MODEL_MAX_CLASSES];

    for (size_t i = 0; i < px->count; i++) {
        walk_pixel(&c->model, px->planes, i, p);
        forest_write(&c->model.info, p, i, px->count, &px->expected);
    }
}

static void check_forest(const struct fixture_wish *wish, enum flat_type type, bool nan_too)
{
    static const size_t counts[] = {1, 2, 63, 64, 65, 300, 1500};
    AUTO(fixture) f = fixture_new(wish);
    struct compiled c;

    compile(f, &c);
    assert_int_equal(c.flat.type, type);
    for (size_t i = 0; i < TL_COUNT(counts); i++) {
        struct pixels px = pixels_new(f, counts[i], wish->seed + i, nan_too);

        walk_expected(&c, &px);
        check_oracle(f, &c, &px);
        check_every_way(&c, &px);
        pixels_free(&px);
    }
    arena_free(c.memory);
}

static struct forest *load(const struct fixture *f)
{
    AUTO(blob) file = fixture_blob(f);
    struct forest *forest = NULL;
    struct tl_err err;

    assert_ok(forest_load("made up", file, &forest, &err));
    return forest;
}

/* ---- features that come as codes ---- */

/* Tables of values that are on, beside and far from thresholds, or no numbers. */
static void code_pixels(const struct fixture *f, const struct compiled *c, struct pixels *px,
                        uint64_t *random)
{
    float *values = fixture_room(FOREST_MAX_CODES, sizeof(*values));

    px->codes = fixture_room(px->features, sizeof(*px->codes));
    for (uint32_t i = 0; i < px->features; i += 2) {
        size_t count = i % 4 ? 256 : FOREST_MAX_CODES;
        uint16_t *codes = fixture_room(px->count, sizeof(*codes));

        for (size_t k = 0; k < count; k++)
            values[k] = fixture_value(f, random, true);
        const struct table_reader reader = {&c->flat, i};
        px->codes[i].table = table_new(&(struct table_readers){&reader, 1}, values, count);
        px->codes[i].codes = codes;
        assert_non_null(px->codes[i].table);
        for (size_t p = 0; p < px->count; p++) {
            codes[p] = (uint16_t)fixture_below(random, (uint32_t)count);
            px->values[i * px->count + p] = values[codes[p]];
        }
    }
    free(values);
}

/* Expected from the floats; then the planes of what is coded are gone. */
static void check_codes(const struct fixture_wish *wish, enum flat_type type)
{
    static const size_t counts[] = {1, 3, 64, 700, 1500};
    AUTO(fixture) f = fixture_new(wish);
    uint64_t random = wish->seed;
    struct compiled c;

    compile(f, &c);
    assert_int_equal(c.flat.type, type);
    for (size_t i = 0; i < TL_COUNT(counts); i++) {
        struct pixels px = pixels_new(f, counts[i], wish->seed + i, true);

        code_pixels(f, &c, &px, &random);
        walk_expected(&c, &px);
        for (uint32_t k = 0; k < px.features; k += 2)
            px.planes[k] = NULL;
        check_every_way(&c, &px);
        struct run_plan walked = run_plan(&c.flat, sweep_kernel(cpu_isa()));
        walked.walk_below = RUN_MAX_UNIT_PX;
        run_as(&c, &walked, &px);
        assert_equal_output(&px, "walked");
        pixels_free(&px);
    }
    arena_free(c.memory);
}

TEST(codes_give_what_their_values_give)
{
    check_codes(&(struct fixture_wish){.seed = 31,
                                       .features = 5,
                                       .classes = 3,
                                       .trees = 9,
                                       .splits = 60,
                                       .thresholds = 200,
                                       .pure_percent = 60,
                                       .exact_percent = 20},
                FLAT_U8);
    check_codes(
        &(struct fixture_wish){
            .seed = 32, .features = 3, .classes = 2, .trees = 5, .splits = 800, .pure_percent = 70},
        FLAT_U16);
}

/* Its rows tie but for rounding, so that the oracle decides, from the codes. */
TEST(ties_among_codes_are_broken_as_the_library_breaks_them)
{
    check_codes(
        &(struct fixture_wish){
            .seed = 33, .features = 2, .classes = 2, .trees = 10, .splits = 2, .pure_percent = 30},
        FLAT_U8);
}

TEST(a_forest_with_too_many_thresholds_has_no_tables)
{
    AUTO(fixture)
    f = fixture_new(&(struct fixture_wish){
        .seed = 34, .features = 1, .classes = 3, .trees = 4, .splits = 20000});
    AUTO(forest) forest = load(f);
    struct forest_table *table = NULL;
    const float value = 1;
    struct tl_err err;

    assert_ok(forest_table_new(forest, 0, &value, 1, &table, &err));
    assert_null(table);
}

/* ---- every kernel ---- */

TEST(every_kernel_equals_the_oracle_where_ranks_fit_bytes)
{
    static const uint32_t classes[] = {1, 2, 3, 20};

    for (uint32_t i = 0; i < TL_COUNT(classes); i++)
        check_forest(&(struct fixture_wish){.seed = i + 1,
                                            .features = 5,
                                            .classes = classes[i],
                                            .trees = 9,
                                            .splits = 60,
                                            .thresholds = 200,
                                            .pure_percent = 60,
                                            .exact_percent = 20},
                     FLAT_U8, true);
}

TEST(every_kernel_equals_the_oracle_where_ranks_need_words)
{
    for (uint32_t seed = 1; seed <= 3; seed++)
        check_forest(&(struct fixture_wish){.seed = seed,
                                            .features = 3,
                                            .classes = 2 + seed,
                                            .trees = 5,
                                            .splits = 800,
                                            .pure_percent = 70,
                                            .exact_percent = 10},
                     FLAT_U16, true);
}

TEST(every_kernel_equals_the_oracle_where_thresholds_are_too_many_to_rank)
{
    check_forest(&(struct fixture_wish){.seed = 4,
                                        .features = 1,
                                        .classes = 3,
                                        .trees = 4,
                                        .splits = 20000,
                                        .pure_percent = 50,
                                        .exact_percent = 25},
                 FLAT_F32, true);
}

TEST(every_kernel_equals_the_oracle_in_forests_of_pure_leaves)
{
    check_forest(
        &(struct fixture_wish){
            .seed = 5, .features = 4, .classes = 2, .trees = 30, .splits = 40, .pure_percent = 100},
        FLAT_U16, false);
    check_forest(
        &(struct fixture_wish){
            .seed = 6, .features = 4, .classes = 7, .trees = 30, .splits = 20, .pure_percent = 100},
        FLAT_U8, false);
}

TEST(every_kernel_equals_the_oracle_in_forests_of_mixed_leaves)
{
    check_forest(
        &(struct fixture_wish){.seed = 7, .features = 4, .classes = 5, .trees = 25, .splits = 15},
        FLAT_U8, false);
}

/* Few leaves have rows: pure ones are counted, the rows added beside. */
TEST(every_kernel_equals_the_oracle_in_forests_of_nearly_pure_leaves)
{
    static const uint32_t classes[] = {2, 3, 5, 20};

    for (uint32_t i = 0; i < TL_COUNT(classes); i++) {
        struct fixture_wish wish = {.seed = i + 40,
                                    .features = 4,
                                    .classes = classes[i],
                                    .trees = i % 2 ? 40 : 300,
                                    .splits = 60,
                                    .thresholds = i % 2 ? 0 : 200,
                                    .pure_percent = 98,
                                    .exact_percent = 1};
        AUTO(fixture) f = fixture_new(&wish);
        struct compiled c;

        compile(f, &c);
        assert_true(c.flat.has_rows && !c.flat.by_leaf);
        arena_free(c.memory);
        check_forest(&wish, i % 2 ? FLAT_U16 : FLAT_U8, true);
    }
}

/* One leaf in 33 has a row, and all pixels come to them: sums tie, or nearly, and only the order
 * of the additions tells. */
TEST(ties_among_few_rows_are_broken_as_the_library_breaks_them)
{
    static const double parts[] = {3, 7, 3, 7, 11, 3, 11, 3};

    for (uint32_t apart = 0; apart < 2; apart++) {
        AUTO(fixture)
        f = fixture_new(&(struct fixture_wish){.seed = 50,
                                               .features = 1,
                                               .classes = 2,
                                               .trees = 8,
                                               .splits = 32,
                                               .chain = true,
                                               .pure_percent = 100});
        struct pixels px = pixels_new(f, 130, 1, false);
        struct compiled c;

        for (uint32_t i = 0; i < f->node_count; i++)
            f->threshold[i] = 0.5F + (float)(i % 17);
        for (uint32_t t = 0; t < 8; t++) {
            double *row = f->rows + (size_t)f->leaf[f->offsets[t] + 1] * 2;

            row[t % 2] = 1 / parts[t / 2];
            row[!(t % 2)] = 1 - row[t % 2] + (t == 7 && apart ? 0x1p-53 : 0);
        }
        for (size_t p = 0; p < px.count; p++)
            px.values[p] = 0;
        compile(f, &c);
        assert_true(c.flat.has_rows && !c.flat.by_leaf);
        walk_expected(&c, &px);
        check_every_way(&c, &px);
        pixels_free(&px);
        arena_free(c.memory);
    }
}

TEST(chains_and_trees_of_one_leaf_are_trees_too)
{
    check_forest(&(struct fixture_wish){.seed = 8,
                                        .features = 2,
                                        .classes = 3,
                                        .trees = 3,
                                        .splits = 300,
                                        .chain = true,
                                        .pure_percent = 50},
                 FLAT_U16, true);
    check_forest(
        &(struct fixture_wish){
            .seed = 9, .features = 2, .classes = 3, .trees = 4, .pure_percent = 50},
        FLAT_U8, true);
}

TEST(more_than_255_trees_overflow_no_counter)
{
    check_forest(
        &(struct fixture_wish){
            .seed = 10, .features = 2, .classes = 2, .trees = 700, .splits = 3, .pure_percent = 95},
        FLAT_U16, true);
}

/* All 700 trees vote for the class that is not the base: the left leaf of three. */
TEST(a_class_that_every_tree_votes_for_gets_every_vote)
{
    AUTO(fixture)
    f = fixture_new(&(struct fixture_wish){.seed = 13,
                                           .features = 1,
                                           .classes = 2,
                                           .trees = 700,
                                           .splits = 2,
                                           .chain = true,
                                           .pure_percent = 100});
    struct pixels px = pixels_new(f, 130, 1, false);
    struct compiled c;

    for (uint32_t i = 0; i < f->node_count; i++) {
        bool left = i % 5 == 1;

        f->threshold[i] = 0.5F;
        f->rows[(size_t)f->leaf[i] * 2] = !left;
        f->rows[(size_t)f->leaf[i] * 2 + 1] = left;
    }
    f->rows[0] = 1; /* the row that splits point at, and nobody uses */
    f->rows[1] = 0;
    for (size_t p = 0; p < px.count; p++)
        px.values[p] = p % 2 ? 0.25F : 0.75F;
    compile(f, &c);
    walk_expected(&c, &px);
    assert_int_equal(px.expected.label[1], 2);
    assert_int_equal(px.expected.confidence[1], 100);
    check_every_way(&c, &px);
    pixels_free(&px);
    arena_free(c.memory);
}

/* The box test sees the least and the greatest of a block; NaN is neither. */
TEST(a_nan_among_small_values_still_goes_right)
{
    static const struct fixture_wish wishes[] = {
        {.seed = 14, .features = 1, .classes = 3, .trees = 4, .splits = 50, .thresholds = 40},
        {.seed = 15, .features = 1, .classes = 3, .trees = 4, .splits = 500, .thresholds = 2000},
        {.seed = 16,
         .features = 1,
         .classes = 3,
         .trees = 4,
         .splits = 20000,
         .thresholds = 1U << 20},
    };

    for (size_t i = 0; i < TL_COUNT(wishes); i++) {
        AUTO(fixture) f = fixture_new(&wishes[i]);
        struct pixels px = pixels_new(f, 200, 1, false);
        struct compiled c;

        for (size_t p = 0; p < px.count; p++)
            px.values[p] = p % 3 ? -2 : NAN;
        compile(f, &c);
        assert_int_equal(c.flat.type, i);
        walk_expected(&c, &px);
        bool differ = false;
        for (size_t k = 0; k < px.classes; k++) {
            const float *p = px.expected.probability + k * px.count;

            differ = differ || p[0] > p[1] || p[0] < p[1];
        }
        assert_true(differ);
        check_every_way(&c, &px);
        pixels_free(&px);
        arena_free(c.memory);
    }
}

/* Ten trees of thirds and sevenths that tie but for rounding: the order of the sums decides. */
TEST(ties_that_only_rounding_breaks_come_out_as_the_library_has_them)
{
    check_forest(
        &(struct fixture_wish){
            .seed = 11, .features = 2, .classes = 2, .trees = 10, .splits = 2, .pure_percent = 30},
        FLAT_U8, false);
}

TEST(more_pixels_than_a_unit_come_out_in_their_own_order)
{
    AUTO(fixture)
    f = fixture_new(&(struct fixture_wish){
        .seed = 12, .features = 3, .classes = 3, .trees = 3, .splits = 20, .pure_percent = 80});
    struct pixels px = pixels_new(f, 2 * RUN_MAX_UNIT_PX + 77, 3, false);
    struct compiled c;

    compile(f, &c);
    walk_expected(&c, &px);
    for (enum cpu_isa isa = ISA_SCALAR; isa <= cpu_isa(); isa++) {
        struct run_plan plan = run_plan(&c.flat, sweep_kernel(isa));

        assert_int_equal(plan.block_px, RUN_MAX_BLOCK_PX / 4);
        run_as(&c, &plan, &px);
        assert_equal_output(&px, cpu_isa_name(isa));
    }
    pixels_free(&px);
    arena_free(c.memory);
}

static const struct fixture_wish small = {
    .seed = 20, .features = 3, .classes = 3, .trees = 5, .splits = 9, .pure_percent = 50};

TEST(a_forest_tells_what_it_is)
{
    AUTO(fixture) f = fixture_new(&small);
    AUTO(forest) forest = load(f);
    const struct model_info *info = forest_info(forest);

    assert_string_equal(info->name, "made up");
    assert_string_equal(info->kind, "random-forest");
    assert_int_equal(info->feature_count, 3);
    assert_string_equal(info->features[2], "f2");
    assert_int_equal(info->class_count, 3);
    assert_int_equal(info->classes[2].value, 3);
    assert_int_equal(info->classes[2].color, 0x0002FF);
    assert_int_equal(info->tree_count, 5);
    assert_int_equal(info->node_count, 5 * 19);
    assert_in_range(info->max_depth, 3, 9);
    assert_int_equal(info->golden_rows, FIXTURE_GOLDEN);
    assert_non_null(strstr(info->provenance, "\"rows\":1"));
    forest_unref(forest_ref(forest));
}

TEST(confidence_rounds_halves_up)
{
    assert_int_equal(forest_percent(0), 0);
    assert_int_equal(forest_percent(0.005), 1);
    assert_int_equal(forest_percent(0.125), 13);
    assert_int_equal(forest_percent(0.0049), 0);
    assert_int_equal(forest_percent(1), 100);
}

TEST(a_run_stops_when_nobody_waits_any_more)
{
    AUTO(fixture) f = fixture_new(&small);
    AUTO(forest) forest = load(f);
    AUTO(arena) scratch = arena_new();
    struct pixels px = pixels_new(f, 100, 1, false);
    atomic_bool cancelled = true;
    struct errand errand = errand_unbounded();
    struct tl_err err;

    struct forest_pixels pixels = {.planes = px.planes, .count = px.count};
    errand.cancelled = &cancelled;
    assert_int_equal(forest_run(forest, &pixels, &errand, scratch, &px.got, &err), TL_CANCELLED);
    pixels_free(&px);
}

TEST(a_golden_row_that_does_not_come_out_is_named)
{
    AUTO(fixture) f = fixture_new(&small);
    struct forest *forest = NULL;
    struct tl_err err;

    f->golden_p[5 * 3 + 1] += 2e-6;
    AUTO(blob) wrong_p = fixture_blob(f);
    assert_refused(forest_load("m.tilth", wrong_p, &forest, &err), TL_CORRUPT,
                   "m.tilth: golden row 5, class 2: the library says");
    f->golden_p[5 * 3 + 1] -= 2e-6;
    f->golden_label[7] = (uint8_t)(f->golden_label[7] % 3 + 1);
    AUTO(blob) wrong_label = fixture_blob(f);
    assert_refused(forest_load("m.tilth", wrong_label, &forest, &err), TL_CORRUPT,
                   "m.tilth: golden row 7: the library says class");
    assert_null(forest);
}

TEST(a_double_threshold_decides_floats_as_its_floor_does)
{
    static const double thresholds[] = {0.1,
                                        -0.1,
                                        1e-46,
                                        -1e-46,
                                        1e300,
                                        -1e300,
                                        0.0,
                                        -0.0,
                                        1.0,
                                        0x1.000001p0,
                                        0x1.0000008p0,
                                        (double)INFINITY,
                                        -(double)INFINITY,
                                        3.4028235677973366e38};

    for (size_t i = 0; i < TL_COUNT(thresholds); i++) {
        float floored = model_floor(thresholds[i]);
        float near[] = {floored,
                        nextafterf(floored, INFINITY),
                        nextafterf(floored, -INFINITY),
                        0.0F,
                        -0.0F,
                        INFINITY,
                        -INFINITY};

        for (size_t n = 0; n < TL_COUNT(near); n++)
            assert_int_equal(near[n] <= floored, (double)near[n] <= thresholds[i]);
    }
}

RUN(T(codes_give_what_their_values_give), T(ties_among_codes_are_broken_as_the_library_breaks_them),
    T(a_forest_with_too_many_thresholds_has_no_tables),
    T(every_kernel_equals_the_oracle_where_ranks_fit_bytes),
    T(every_kernel_equals_the_oracle_where_ranks_need_words),
    T(every_kernel_equals_the_oracle_where_thresholds_are_too_many_to_rank),
    T(every_kernel_equals_the_oracle_in_forests_of_pure_leaves),
    T(every_kernel_equals_the_oracle_in_forests_of_mixed_leaves),
    T(every_kernel_equals_the_oracle_in_forests_of_nearly_pure_leaves),
    T(ties_among_few_rows_are_broken_as_the_library_breaks_them),
    T(chains_and_trees_of_one_leaf_are_trees_too), T(more_than_255_trees_overflow_no_counter),
    T(a_class_that_every_tree_votes_for_gets_every_vote),
    T(a_nan_among_small_values_still_goes_right),
    T(ties_that_only_rounding_breaks_come_out_as_the_library_has_them),
    T(more_pixels_than_a_unit_come_out_in_their_own_order), T(a_forest_tells_what_it_is),
    T(confidence_rounds_halves_up), T(a_run_stops_when_nobody_waits_any_more),
    T(a_golden_row_that_does_not_come_out_is_named),
    T(a_double_threshold_decides_floats_as_its_floor_does))
