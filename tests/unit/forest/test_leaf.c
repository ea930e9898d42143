/*
 * Leaves that are kept by number and added up afterwards, in every kernel against the oracle: every
 * width of a leaf and of its number, double and float32, scores one after the other and mixed.
 */
#include "base/arena.h"
#include "base/blob.h"
#include "forest/run.h"
#include "forest/walk.h"
#include "forest_fixture.h"
#include "forest_outputs.h"
#include "tl_test.h"

/* ALL_BUT_VOTES: only forests have those. */
enum { PIXELS = 700, FEATURES = 3, ALL_BUT_VOTES = 63 };

/* A forest of the fixture's shape, and what is made of it. */
struct leafy {
    struct fixture_wish wish;
    uint32_t scores; /* each tree adds one number to one of so many; 0: a row of all classes */
    bool mean;       /* a forest's rows; else scores, */
    bool softmax;    /* and powers of them, with many ties, near ties and sums beyond all numbers */
    bool turning;    /* ..whose percents are at the turn of their rounding; of one tree a score */
    bool pair;       /* ..or a sigmoid of one */
    double slope;    /* of scores; 0: 1 */
    double above;    /* the second class wins by score, above this; 0: XGBoost's so, others' by
                        probability */
    enum model_arithmetic arithmetic;
    const double *row; /* of every leaf; NULL: the fixture's */
    const double *odd; /* of every other leaf; NULL: the same */
    uint32_t shared;   /* so many leaves serve all trees; 0: each has its own */
    uint32_t id_bytes; /* expected */
};

static uint16_t mixed_scores[256];

/* Few different numbers: sums tie, differ in the last place or are infinite, or none at all. */
static void make_odd(uint64_t count, double *values)
{
    static const double odd[] = {0.25, -0.25, 0, 0.5, 0.25, 0x1p-53, 1e-7, 1e308, -1e308};
    uint64_t random = 6;

    for (uint64_t i = 0; i < count; i++)
        values[i] = odd[fixture_below(&random, i % 40 ? 7 : TL_COUNT(odd))];
}

/* The first tree's leaves make the first class, or the second of two, a hair more or less probable
 * than k + 1/2 percent; the other scores are 0. */
static void make_turning(const struct model *model, bool pair, double *values)
{
    static const double hairs[] = {0, 1e-12, 1e-9, 1e-8, 1e-7, 1e-6, 3e-6, 1e-5, 1e-4};
    uint32_t others = pair ? 1 : model->info.class_count - 1;

    memset(values, 0, model->leaf_count * sizeof(*values));
    for (uint32_t n = 0; n < model->tree_offsets[1]; n++) {
        const struct model_node *node = &model->nodes[n];
        uint32_t leaf = (uint32_t)node->right;
        double hair = hairs[leaf / 2 % TL_COUNT(hairs)] * (leaf % 2 ? 1 : -1);
        double p = (leaf % 100 + 0.5) / 100 + (leaf % 100 ? hair : fabs(hair));

        if (node->left < 0)
            values[leaf] = log(others * p / (1 - p));
    }
}

/* Numbers whose sum depends on the order: of all sizes, with either sign. */
static double *make_values(uint64_t count, struct arena *arena)
{
    double *values = arena_alloc(arena, count, sizeof(*values));
    uint64_t random = 5;

    assert_non_null(values);
    for (uint64_t i = 0; i < count; i++)
        values[i] = ldexp((double)fixture_uniform(&random), (int)fixture_below(&random, 12) - 9);
    return values;
}

static void make_model(const struct leafy *wish, struct arena *memory, struct model *model)
{
    AUTO(fixture) f = fixture_new(&wish->wish);

    for (uint32_t r = 0; wish->row && r < f->row_count; r++)
        memcpy(f->rows + (size_t)r * f->wish.classes, wish->odd && r % 2 ? wish->odd : wish->row,
               f->wish.classes * sizeof(*wish->row));
    AUTO(blob) file = fixture_blob(f);
    struct tl_err err;

    assert_ok(model_read_file("made up", blob_bytes(file), blob_size(file), memory, model, &err));
    for (uint64_t i = 0; wish->shared && i < model->info.node_count; i++)
        if (model->nodes[i].left < 0)
            model->nodes[i].right %= (int32_t)wish->shared;
    if (wish->mean)
        return;
    model->output = wish->softmax ? OUTPUT_SOFTMAX : OUTPUT_SCORES;
    model->arithmetic = wish->arithmetic;
    model->divisor = 1;
    model->leaf_values = make_values(model->leaf_count * model->leaf_width, memory);
    if (wish->softmax)
        make_odd(model->leaf_count, (double *)(uintptr_t)model->leaf_values);
    if (wish->turning)
        make_turning(model, wish->pair, (double *)(uintptr_t)model->leaf_values);
    if (wish->slope > 0)
        model->sigmoid = wish->slope;
    if (wish->pair) {
        model->output = OUTPUT_BINARY;
        model->score_count = 1;
        model->winner_by_score = wish->above != 0 || wish->arithmetic == ARITHMETIC_XGBOOST;
        model->winner_above = wish->above;
    }
    if (!wish->scores)
        return;
    model->leaf_width = 1;
    for (uint32_t t = 0; t < TL_COUNT(mixed_scores); t++)
        mixed_scores[t] = (uint16_t)(t * t / 3 % wish->scores);
    model->tree_scores = wish->wish.trees % 2 ? mixed_scores : NULL;
    assert_int_equal(model->score_count, wish->scores);
}

/* What the oracle gives, and what every kernel gives in small and large blocks. */
static void compare(const struct flat *flat, const float *const *planes, unsigned set)
{
    const struct model *model = flat->model;
    struct outputs expected = outputs_new(PIXELS, model->info.class_count, model->score_count);
    struct forest_output want = outputs_of(&expected, set);
    struct tl_err err;

    for (size_t i = 0; i < PIXELS; i++) {
        const struct walk_place place = {planes, i, i, PIXELS};

        walk_write_pixel(model, &place, &want);
    }
    for (enum cpu_isa isa = ISA_SCALAR; isa <= cpu_isa(); isa++)
        for (uint32_t block = 64; block <= 1024; block *= 16) {
            AUTO(arena) scratch = arena_new();
            struct outputs got = outputs_new(PIXELS, model->info.class_count, model->score_count);
            struct forest_output to = outputs_of(&got, set);
            struct run_plan plan = {sweep_kernel(isa), 1024, block, block > 64, 0, false};
            struct run_task task = {.planes = planes,
                                    .count = PIXELS,
                                    .output = &to,
                                    .room = PIXELS,
                                    .scratch = scratch};

            assert_ok(run_flat(flat, &plan, &task, &err));
            outputs_assert(&got, &expected, set, cpu_isa_name(isa));
            outputs_free(&got);
        }
    outputs_free(&expected);
}

static void check(const struct leafy *wish)
{
    static float values[FEATURES][PIXELS];
    const float *const planes[FEATURES] = {values[0], values[1], values[2]};
    AUTO(fixture) f = fixture_new(&wish->wish);
    AUTO(arena) memory = arena_new();
    struct model model = {0};
    uint64_t random = wish->wish.seed;
    struct flat flat;
    struct tl_err err;

    make_model(wish, memory, &model);
    assert_ok(flat_compile(&model, memory, &flat, &err));
    assert_true(flat.by_leaf);
    assert_int_equal(flat.leaves.id_bytes, wish->id_bytes);
    for (size_t i = 0; i < PIXELS; i++)
        for (size_t k = 0; k < FEATURES; k++) {
            bool same = i % 64 && i < PIXELS / 2;

            values[k][i] = same ? values[k][i - 1] : fixture_value(f, &random, true);
        }
    assert_int_equal(flat.fixed.values != NULL,
                     wish->mean && wish->wish.classes >= 5 && wish->wish.trees >= 16);
    for (unsigned label_confidence = 1; label_confidence <= 3; label_confidence++)
        compare(&flat, planes, label_confidence);
    compare(&flat, planes, ALL_BUT_VOTES);
}

TEST(rows_of_every_width_add_up_in_the_order_of_the_trees)
{
    static const uint32_t classes[] = {1, 2, 3, 5, 8, 9, 16, 17, 25, 32};

    for (uint32_t i = 0; i < TL_COUNT(classes); i++)
        for (int kind = 0; kind < 3; kind++)
            check(&(struct leafy){.wish = {.seed = i + 1,
                                           .features = FEATURES,
                                           .classes = classes[i],
                                           .trees = 21,
                                           .splits = 30,
                                           .pure_percent = classes[i] > 1 ? 50 : 100},
                                  .mean = kind == 0 && classes[i] > 1,
                                  .arithmetic = kind == 1 ? ARITHMETIC_XGBOOST : ARITHMETIC_DOUBLE,
                                  .id_bytes = 1});
}

/* Labels and confidences come of fixed point: what it cannot tell apart, the oracle does. */
TEST(sums_nearer_than_fixed_point_can_tell_come_out_as_the_oracle_has_them)
{
    static const double rows[][5] = {{0.3, 0.3 + 1e-10, 0.2, 0.1, 0.1 - 1e-10},
                                     {0.3 + 1e-10, 0.3, 0.2, 0.1, 0.1 - 1e-10},
                                     {0.3, 0.3, 0.2, 0.1, 0.1},
                                     {0.1, 0.3 - 0x1p-27, 0.3 + 0x1p-27, 0.2, 0.1},
                                     {0.1, 0.3 - 0x1p-25, 0.3, 0.2, 0.1},
                                     {0.505, 0.495, 0, 0, 0},
                                     {0.505 - 1e-11, 0.495 + 1e-11, 0, 0, 0},
                                     {0, 0.495 - 1e-11, 0.505 + 1e-11, 0, 0},
                                     {0.25, 0.25, 0.25, 0.25, 0}};

    for (size_t i = 0; i < TL_COUNT(rows); i++)
        for (uint32_t trees = 16; trees <= 1000; trees = trees * 5 - 7)
            check(&(struct leafy){
                .wish =
                    {.seed = 8, .features = FEATURES, .classes = 5, .trees = trees, .splits = 3},
                .mean = true,
                .row = rows[i],
                .id_bytes = 1});
}

/* Units of 2^-20: the first class gains half of one in every tree, which the second, ahead of it,
 * loses in half of them. */
TEST(what_fixed_point_puts_in_another_order_is_put_right)
{
    static const double unit = 0x1p-20;
    const double even[] = {0.25 + 0.51 * unit, 0.25 + 1.49 * unit, 0.25 - 2 * unit, 0.125, 0.125};
    const double odd[] = {0.25 + 0.51 * unit, 0.25, 0.25 - 0.51 * unit, 0.125, 0.125};

    check(&(struct leafy){
        .wish = {.seed = 8, .features = FEATURES, .classes = 5, .trees = 1000, .splits = 3},
        .mean = true,
        .row = even,
        .odd = odd,
        .id_bytes = 1});
}

TEST(numbers_of_leaves_take_the_bytes_they_need)
{
    struct leafy wish = {.wish = {.seed = 3, .features = FEATURES, .classes = 3, .trees = 7},
                         .mean = true};

    for (uint32_t splits = 254; splits <= 256; splits++) {
        wish.wish.splits = splits;
        wish.id_bytes = splits < 256 ? 1 : 2;
        check(&wish);
    }
}

TEST(a_number_per_leaf_is_added_to_the_score_of_its_tree)
{
    static const uint32_t splits[] = {0, 1, 7, 30, 31, 32, 63, 64, 255, 300};
    static const enum model_arithmetic arithmetics[] = {ARITHMETIC_DOUBLE, ARITHMETIC_XGBOOST,
                                                        ARITHMETIC_ONNX};

    for (uint32_t i = 0; i < TL_COUNT(splits); i++)
        for (size_t a = 0; a < TL_COUNT(arithmetics); a++)
            for (uint32_t trees = 1; trees <= 80; trees += 79 - (uint32_t)a)
                check(&(struct leafy){.wish = {.seed = i + 9,
                                               .features = FEATURES,
                                               .classes = 3,
                                               .trees = trees,
                                               .splits = splits[i]},
                                      .scores = 3,
                                      .arithmetic = arithmetics[a],
                                      .id_bytes = splits[i] < 256 ? 1 : 2});
}

/* A label alone is told from the sums where they are far enough apart. */
TEST(labels_of_powers_that_tie_or_are_no_numbers_are_the_oracles)
{
    for (uint32_t trees = 3; trees <= 48; trees *= 2)
        for (int arithmetic = 0; arithmetic < 2; arithmetic++)
            check(&(struct leafy){.wish = {.seed = trees,
                                           .features = FEATURES,
                                           .classes = 3,
                                           .splits = 9,
                                           .trees = trees},
                                  .scores = 3,
                                  .softmax = true,
                                  .arithmetic = arithmetic ? ARITHMETIC_ONNX : ARITHMETIC_DOUBLE,
                                  .id_bytes = 1});
}

/* A percent, too, where the library's powers could not make it another. */
TEST(percents_at_the_turn_of_their_rounding_are_the_librarys)
{
    for (uint32_t classes = 2; classes <= 12; classes += 5)
        for (enum model_arithmetic a = ARITHMETIC_DOUBLE; a <= ARITHMETIC_ONNX; a++)
            for (uint32_t splits = 199; splits <= 255; splits += 56) {
                struct leafy wish = {.wish = {.seed = splits,
                                              .features = FEATURES,
                                              .classes = classes,
                                              .splits = splits,
                                              .trees = classes},
                                     .scores = classes,
                                     .softmax = true,
                                     .turning = true,
                                     .arithmetic = a,
                                     .id_bytes = 1};

                check(&wish);
                wish.slope = 0.75;
                check(&wish);
            }
}

TEST(pairs_have_the_percents_and_the_winner_of_the_library)
{
    static const double slopes[] = {0, 0.5, 2}, above[] = {0, 0x1p-60, -0.5, 0.5};

    for (enum model_arithmetic a = ARITHMETIC_DOUBLE; a <= ARITHMETIC_ONNX; a++)
        for (size_t i = 0; i < TL_COUNT(slopes); i++)
            for (size_t k = 0; k < TL_COUNT(above); k++)
                check(&(struct leafy){
                    .wish =
                        {.seed = 7, .features = FEATURES, .classes = 2, .splits = 199, .trees = 1},
                    .scores = 1,
                    .turning = true,
                    .pair = true,
                    .slope = slopes[i],
                    .above = above[k],
                    .arithmetic = a,
                    .id_bytes = 1});
}

/* More than 32 numbers a leaf: not copied for every tree, numbered as they are in the file. */
TEST(wide_leaves_are_numbered_as_the_file_has_them)
{
    struct leafy wish = {
        .wish = {.seed = 4, .features = FEATURES, .classes = 40, .trees = 18, .splits = 30},
        .mean = true,
        .id_bytes = 2};

    check(&wish);
    wish.wish.trees = 3;
    wish.id_bytes = 1;
    check(&wish);
    wish.mean = false;
    wish.arithmetic = ARITHMETIC_ONNX;
    check(&wish);
    wish.wish = (struct fixture_wish){
        .seed = 5, .features = FEATURES, .classes = 33, .trees = 4, .splits = 17000};
    wish.wish.thresholds = 900;
    wish.id_bytes = 4;
    check(&wish);
}

TEST(leaves_that_trees_and_nodes_share_are_numbered_once_a_tree)
{
    struct leafy wish = {
        .wish = {.seed = 6, .features = FEATURES, .classes = 4, .trees = 20, .splits = 400},
        .mean = true,
        .shared = 150,
        .id_bytes = 1};

    check(&wish);
    wish.mean = false;
    wish.scores = 4;
    wish.shared = 50;
    check(&wish);
}

/* Votes of a forest are what the oracle says: the numbers of leaves are gone. */
TEST(votes_of_forests_of_rows_are_the_oracles)
{
    struct leafy wish = {
        .wish = {.seed = 7, .features = FEATURES, .classes = 4, .trees = 9, .splits = 12},
        .mean = true};
    static float values[FEATURES][PIXELS];
    const float *const planes[FEATURES] = {values[0], values[1], values[2]};
    static uint32_t got[4 * PIXELS], expected[4 * PIXELS];
    struct forest_output to = {.votes = got}, want = {.votes = expected};
    AUTO(arena) memory = arena_new();
    struct model model = {0};
    struct flat flat;
    struct tl_err err;
    uint64_t random = 3;

    make_model(&wish, memory, &model);
    assert_ok(flat_compile(&model, memory, &flat, &err));
    for (size_t i = 0; i < PIXELS * FEATURES; i++)
        values[i % FEATURES][i / FEATURES] = fixture_uniform(&random);
    for (size_t i = 0; i < PIXELS; i++) {
        const struct walk_place place = {planes, i, i, PIXELS};

        walk_write_pixel(&model, &place, &want);
    }
    struct run_plan plan = run_plan(&flat, sweep_kernel(cpu_isa()));
    struct run_task task = {
        .planes = planes, .count = PIXELS, .output = &to, .room = PIXELS, .scratch = memory};
    assert_ok(run_flat(&flat, &plan, &task, &err));
    assert_memory_equal(got, expected, sizeof(got));
}

RUN(T(rows_of_every_width_add_up_in_the_order_of_the_trees),
    T(sums_nearer_than_fixed_point_can_tell_come_out_as_the_oracle_has_them),
    T(what_fixed_point_puts_in_another_order_is_put_right),
    T(numbers_of_leaves_take_the_bytes_they_need),
    T(a_number_per_leaf_is_added_to_the_score_of_its_tree),
    T(labels_of_powers_that_tie_or_are_no_numbers_are_the_oracles),
    T(percents_at_the_turn_of_their_rounding_are_the_librarys),
    T(pairs_have_the_percents_and_the_winner_of_the_library),
    T(wide_leaves_are_numbered_as_the_file_has_them),
    T(leaves_that_trees_and_nodes_share_are_numbered_once_a_tree),
    T(votes_of_forests_of_rows_are_the_oracles))
