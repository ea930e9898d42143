/*
 * Trees of few levels by the kernel that asks everything at once, on every machine that has it,
 * against the oracle, bit for bit: full trees and gaps, leaves of every width and arithmetic, sets
 * of categories, values on cuts, one step beside them, zeros, NaN and infinities.
 */
#include "forest/shallow.h"

#include "base/arena.h"
#include "base/blob.h"
#include "forest/run.h"
#include "forest/table.h"
#include "forest/walk.h"
#include "forest_fixture.h"
#include "forest_outputs.h"
#include "model/build.h"
#include "tl_test.h"

#ifdef TILTH_EMULATED
enum { MAX_PX = 600 };
#else
enum { MAX_PX = 1300 };
#endif
enum { MAX_FEATURES = 6, MAX_WIDTH = 40 };

static const char *const names[MAX_FEATURES] = {"a", "b", "c", "d", "e", "f"};
static struct tl_err err;

struct wish {
    uint64_t seed;
    uint32_t features, trees;
    uint32_t depth, gaps; /* of a hundred splits that could be, so many are leaves */
    uint32_t width;       /* numbers of a leaf; 0: one, of one score of three, */
    bool mixed;           /* the next tree's being another */
    uint32_t thresholds;  /* distinct ones of a feature; 0: every split its own */
    bool sets;            /* the last feature's splits are sets of categories */
    enum model_output output;
    enum model_arithmetic arithmetic;
};

/* A made model, its flat form, and pixels. */
struct made {
    struct arena *arena;
    struct model model;
    struct flat flat;
    uint64_t random;
    float values[MAX_FEATURES][MAX_PX];
    const float *planes[MAX_FEATURES];
};

/* ---- models ---- */

static uint32_t width_of(const struct wish *wish)
{
    return TL_MAX(wish->width, 1U);
}

static int32_t make_leaf(struct model_build *build, const struct wish *wish, uint64_t *random)
{
    double row[MAX_WIDTH], sum = 0;

    for (uint32_t c = 0; c < width_of(wish); c++) {
        row[c] = (double)fixture_uniform(random) / (3 + c);
        if (wish->output == OUTPUT_MEAN)
            row[c] = fabs(row[c]) + 0.01;
        sum += row[c];
    }
    for (uint32_t c = 0; wish->output == OUTPUT_MEAN && c < wish->width; c++)
        row[c] /= sum;
    return build_leaf(build, row, width_of(wish));
}

/* A few runs of whole numbers. */
static uint32_t make_set(struct model_build *build, uint64_t *random)
{
    double at = fixture_below(random, 3);
    AUTO_BUF bounds = {0};
    uint32_t set;

    for (uint32_t runs = 1 + fixture_below(random, 3); runs > 0; runs--) {
        double from = at + 1 + fixture_below(random, 4), to = from + 1 + fixture_below(random, 4);

        build_run(&bounds, build_below(from), build_below(to));
        at = to;
    }
    assert_ok(build_set(build, &bounds, &set));
    return set;
}

static struct model_node make_split(struct model_build *build, const struct wish *wish,
                                    uint64_t *random)
{
    float threshold = wish->thresholds ? (float)fixture_below(random, wish->thresholds) / 16 - 3
                                       : fixture_uniform(random);
    uint16_t feature = (uint16_t)fixture_below(random, wish->features);
    struct model_node split = {.threshold = (double)threshold, .feature = feature};

    if (wish->sets && feature + 1U == wish->features) {
        split.missing = MISSING_SET;
        split.set = make_set(build, random);
        split.threshold = 0;
    } else if (feature % 3) {
        split.missing = MISSING_SIDED;
    }
    split.default_left = split.missing != MISSING_COMPARE && fixture_below(random, 2);
    return split;
}

/* Appends the nodes of a tree of at most `depth` levels; the first one's number. */
static int32_t make_nodes(struct model_build *build, const struct wish *wish, uint32_t depth,
                          struct made *made, struct model_node *nodes, uint32_t *count)
{
    uint32_t at = (*count)++;

    if (depth == 0 || fixture_below(&made->random, 100) < wish->gaps) {
        nodes[at] = (struct model_node){.left = -1, .right = make_leaf(build, wish, &made->random)};
        return (int32_t)at;
    }
    nodes[at] = make_split(build, wish, &made->random);
    nodes[at].left = make_nodes(build, wish, depth - 1, made, nodes, count);
    nodes[at].right = make_nodes(build, wish, depth - 1, made, nodes, count);
    return (int32_t)at;
}

static float make_value(struct made *made)
{
    static const float odd[] = {NAN, -NAN, INFINITY, -INFINITY, 0.0F, -0.0F, 0x1p-149F, 3e38F};
    uint64_t *random = &made->random;
    uint32_t node = fixture_below(random, (uint32_t)made->model.info.node_count);
    float near = (float)made->model.nodes[node].threshold;

    switch (fixture_below(random, 7)) {
    case 0:
        return near;
    case 1:
        return nextafterf(near, -INFINITY);
    case 2:
        return nextafterf(near, INFINITY);
    case 3:
        return odd[fixture_below(random, TL_COUNT(odd))];
    case 4:
        return (float)fixture_below(random, 20);
    default:
        return 4 * fixture_uniform(random);
    }
}

static uint32_t scores_of(const struct wish *wish)
{
    return wish->width ? wish->width : 3;
}

static void make_trees(struct model_build *build, const struct wish *wish, struct made *made)
{
    struct model_node *nodes = fixture_room((2U << wish->depth) - 1, sizeof(*nodes));

    for (uint32_t t = 0; t < wish->trees; t++) {
        uint32_t count = 0, score = wish->width ? 0 : wish->mixed ? t % 3 : t * 3 / wish->trees;

        make_nodes(build, wish, wish->depth, made, nodes, &count);
        struct build_source source = {.nodes = nodes, .count = count};
        assert_ok(build_tree(build, &source, score));
    }
    free(nodes);
}

/* Not compiled yet. */
static void make_model(const struct wish *wish, struct made *made)
{
    struct model *model = &made->model;
    struct model_build build = {.name = "m", .model = model, .err = &err};
    double *base;

    *made = (struct made){.arena = arena_new(), .random = wish->seed * 7919 + 1};
    build.arena = made->arena;
    base = arena_alloc(made->arena, scores_of(wish), sizeof(*base));
    assert_non_null(base);
    assert_ok(build_classes(&build, NULL, wish->output == OUTPUT_BINARY ? 2 : scores_of(wish)));
    assert_ok(build_features(&build, names, wish->features));
    for (uint32_t s = 0; s < scores_of(wish); s++)
        base[s] = 0.125 * s - 0.5;
    model->output = wish->output;
    model->arithmetic = wish->arithmetic;
    model->sigmoid = model->divisor = 1;
    model->score_count = scores_of(wish);
    model->leaf_width = width_of(wish);
    if (wish->output == OUTPUT_MEAN)
        model->divisor = wish->trees;
    else if (wish->arithmetic == ARITHMETIC_XGBOOST)
        model->base = base;
    make_trees(&build, wish, made);
    assert_ok(build_finish(&build));
    build_release(&build);
    for (uint32_t f = 0; f < wish->features; f++) {
        made->planes[f] = made->values[f];
        for (size_t i = 0; i < MAX_PX; i++)
            made->values[f][i] = make_value(made);
    }
}

static void compile(struct made *made, bool shallow)
{
    assert_ok(flat_compile(&made->model, made->arena, &made->flat, &err));
    assert_int_equal(made->flat.shallow != NULL, shallow);
}

/* ---- what comes out ---- */

static void walk(const struct made *made, size_t count, unsigned set, struct outputs *expected)
{
    struct forest_output all = outputs_of(expected, set);

    for (size_t i = 0; i < count; i++) {
        const struct walk_place place = {made->planes, i, i, count};

        walk_write_pixel(&made->model, &place, &all);
    }
}

static void check_run(const struct made *made, const struct run_plan *plan, unsigned set,
                      const struct outputs *expected, const struct run_task *like)
{
    uint32_t classes = made->model.info.class_count;
    struct outputs got = outputs_new(expected->count, classes, made->model.score_count);
    struct forest_output output = outputs_of(&got, set);
    AUTO(arena) scratch = arena_new();
    struct run_task task = *like;

    task.count = task.room = expected->count;
    task.output = &output;
    task.scratch = scratch;
    assert_ok(run_flat(&made->flat, plan, &task, &err));
    outputs_assert(&got, expected, set, cpu_isa_name(plan->kernel->isa));
    outputs_free(&got);
}

/* Labels alone, labels and confidences, everything; in blocks of whole slices and of others. */
static void check_ways(const struct made *made, size_t count, const struct run_task *like)
{
    static const uint32_t blocks[] = {64, 640, 4096};
    bool mean = made->model.output == OUTPUT_MEAN;
    const unsigned sets[] = {1, 3, mean ? OUTPUTS_ALL : OUTPUTS_NO_VOTES};

    for (size_t s = 0; s < TL_COUNT(sets); s++) {
        struct outputs expected =
            outputs_new(count, made->model.info.class_count, made->model.score_count);

        walk(made, count, sets[s], &expected);
        for (enum cpu_isa isa = ISA_SCALAR; isa <= cpu_isa(); isa++)
            for (size_t b = 0; b < TL_COUNT(blocks); b++) {
                struct run_plan plan = run_plan(&made->flat, sweep_kernel(isa));

                /* Where it pays is not asked: what it gives is. */
                plan.shallow = made->flat.shallow && plan.kernel->shallow[made->flat.type];
                assert_int_equal(plan.shallow,
                                 made->flat.shallow && plan.kernel->isa != ISA_SCALAR);
                plan.sorted = b % 2;
                plan.block_px = blocks[b];
                plan.unit_px = b % 2 ? 65536 : 1000;
                plan.walk_below = 0;
                check_run(made, &plan, sets[s], &expected, like);
            }
        outputs_free(&expected);
    }
}

static void check(const struct wish *wish, enum flat_type type)
{
    static const size_t counts[] = {1, 65, 512, MAX_PX};
    struct made made;

    make_model(wish, &made);
    compile(&made, true);
    assert_int_equal(made.flat.type, type);
    for (size_t i = 0; i < TL_COUNT(counts); i++)
        check_ways(&made, counts[i], &(struct run_task){.planes = made.planes});
    arena_free(made.arena);
}

TEST(trees_of_every_depth_lead_where_the_oracle_goes)
{
    for (uint32_t depth = 1; depth <= SHALLOW_DEPTH; depth++)
        for (uint32_t gaps = 0; gaps <= 20; gaps += 10)
            check(&(struct wish){.seed = 10 * depth + gaps,
                                 .features = 5,
                                 .trees = 40,
                                 .depth = depth,
                                 .gaps = gaps,
                                 .mixed = depth % 2,
                                 .thresholds = 90,
                                 .output = OUTPUT_SOFTMAX,
                                 .arithmetic = ARITHMETIC_XGBOOST},
                  FLAT_U8);
}

TEST(leaves_of_every_width_are_added_in_the_order_of_the_trees)
{
    static const uint32_t widths[] = {2, 3, 4, 5, 8, 9, 16, 17, 33};
    static const enum model_arithmetic arithmetics[] = {ARITHMETIC_DOUBLE, ARITHMETIC_XGBOOST,
                                                        ARITHMETIC_ONNX};

    for (size_t w = 0; w < TL_COUNT(widths); w++)
        check(&(struct wish){.seed = 100 + w,
                             .features = 4,
                             .trees = 21,
                             .depth = 4,
                             .gaps = 5,
                             .width = widths[w],
                             .thresholds = 60,
                             .output = w % 2 ? OUTPUT_SCORES : OUTPUT_SOFTMAX,
                             .arithmetic = arithmetics[w % 3]},
              FLAT_U8);
}

/* A score has trees on both sides of 16, and of a group's end. */
TEST(one_number_per_leaf_goes_to_the_score_of_its_tree)
{
    for (uint32_t trees = 1; trees <= 101; trees += 25)
        for (int arithmetic = 0; arithmetic < 3; arithmetic++)
            check(&(struct wish){.seed = 200 + trees,
                                 .features = 4,
                                 .trees = trees,
                                 .depth = 5,
                                 .gaps = 8,
                                 .mixed = trees % 2,
                                 .thresholds = 60,
                                 .output = OUTPUT_SCORES,
                                 .arithmetic = (enum model_arithmetic)arithmetic},
                  FLAT_U8);
}

/* With rows of more than four classes labels and confidences come of fixed point. */
TEST(forests_of_rows_are_asked_everything_at_once_too)
{
    for (uint32_t width = 2; width <= 10; width += 4)
        check(&(struct wish){.seed = 300 + width,
                             .features = 5,
                             .trees = 60,
                             .depth = 6,
                             .gaps = 4,
                             .width = width,
                             .output = OUTPUT_MEAN},
              FLAT_U16);
}

TEST(sets_of_categories_are_questions_like_others)
{
    check(&(struct wish){.seed = 400,
                         .features = 3,
                         .trees = 30,
                         .depth = 5,
                         .gaps = 5,
                         .thresholds = 50,
                         .sets = true,
                         .output = OUTPUT_SOFTMAX},
          FLAT_U8);
}

TEST(more_questions_than_a_group_has_room_for_are_asked_in_several)
{
    struct wish wish = {.seed = 500,
                        .features = 2,
                        .trees = 120,
                        .depth = 8,
                        .mixed = true,
                        .output = OUTPUT_SOFTMAX,
                        .arithmetic = ARITHMETIC_XGBOOST};
    struct made made;

    make_model(&wish, &made);
    compile(&made, true);
    const struct shallow *shallow = made.flat.shallow;
    assert_true(shallow->group_count >= 3);
    assert_true(shallow->most_tests <= SHALLOW_TESTS);
    uint32_t trees = 0;
    for (uint32_t g = 0; g < shallow->group_count; g++)
        trees += shallow->groups[g].tree_count;
    assert_int_equal(trees, wish.trees);
    assert_false(run_plan(&made.flat, sweep_kernel(cpu_isa())).shallow);
    check_ways(&made, MAX_PX, &(struct run_task){.planes = made.planes});
    arena_free(made.arena);
}

TEST(a_question_that_many_trees_ask_is_answered_once)
{
    struct made made;

    make_model(&(struct wish){.seed = 600,
                              .features = 3,
                              .trees = 50,
                              .depth = 6,
                              .thresholds = 20,
                              .output = OUTPUT_SOFTMAX},
               &made);
    compile(&made, true);
    uint32_t thresholds = 0;
    for (uint32_t p = 0; p < made.flat.plane_count; p++)
        thresholds += made.flat.rankers[p].count;
    assert_int_equal(made.flat.shallow->group_count, 1);
    assert_int_equal(made.flat.shallow->most_tests, thresholds);
    for (enum cpu_isa isa = ISA_SCALAR; isa <= cpu_isa(); isa++)
        assert_int_equal(run_plan(&made.flat, sweep_kernel(isa)).shallow,
                         sweep_kernel(isa)->isa != ISA_SCALAR);
    arena_free(made.arena);
}

TEST(every_number_of_pixels_is_classified)
{
    struct made made;

    make_model(&(struct wish){.seed = 700,
                              .features = 4,
                              .trees = 18,
                              .depth = 4,
                              .gaps = 5,
                              .thresholds = 50,
                              .output = OUTPUT_SOFTMAX},
               &made);
    compile(&made, true);
    struct run_plan plan = run_plan(&made.flat, sweep_kernel(cpu_isa()));
    plan.shallow = plan.kernel->shallow[made.flat.type];
    for (size_t count = 1; count <= 600; count += count < 140 ? 1 : 23) {
        struct outputs expected = outputs_new(count, 3, 3);

        walk(&made, count, OUTPUTS_NO_VOTES, &expected);
        check_run(&made, &plan, OUTPUTS_NO_VOTES, &expected,
                  &(struct run_task){.planes = made.planes});
        outputs_free(&expected);
    }
    arena_free(made.arena);
}

TEST(codes_answer_as_their_values_do)
{
    static uint16_t codes[MAX_PX];
    static float values[FOREST_MAX_CODES];
    struct forest_codes from[MAX_FEATURES] = {0};
    const float *planes[MAX_FEATURES];
    struct made made;

    make_model(&(struct wish){.seed = 800,
                              .features = 4,
                              .trees = 30,
                              .depth = 5,
                              .thresholds = 100,
                              .output = OUTPUT_SOFTMAX},
               &made);
    compile(&made, true);
    for (size_t k = 0; k < FOREST_MAX_CODES; k++)
        values[k] = make_value(&made);
    const struct table_reader reader = {&made.flat, 1};
    AUTO(forest_table)
    table = table_new(&(struct table_readers){&reader, 1}, values, FOREST_MAX_CODES);
    assert_non_null(table);
    for (size_t i = 0; i < MAX_PX; i++) {
        codes[i] = (uint16_t)fixture_below(&made.random, FOREST_MAX_CODES);
        made.values[1][i] = values[codes[i]];
    }
    from[1] = (struct forest_codes){table, codes};
    memcpy(planes, made.planes, sizeof(planes));
    planes[1] = NULL;
    check_ways(&made, MAX_PX, &(struct run_task){.planes = planes, .codes = from});
    arena_free(made.arena);
}

/* ---- what is not shallow ---- */

/* Left to the sweep, which is right about it. */
static void check_swept(const struct wish *wish, void (*change)(struct model *model))
{
    struct made made;

    make_model(wish, &made);
    if (change)
        change(&made.model);
    compile(&made, false);
    check_ways(&made, 200, &(struct run_task){.planes = made.planes});
    arena_free(made.arena);
}

/* Every leaf of the forest votes. */
static void make_pure(struct model *model)
{
    double *values = (double *)(uintptr_t)model->leaf_values;

    for (uint64_t i = 0; i < model->leaf_count * model->leaf_width; i++)
        values[i] = i % model->leaf_width == i / model->leaf_width % model->leaf_width;
}

/* All leaves are the first. */
static void share_leaves(struct model *model)
{
    model->leaf_count = 1;
    for (uint64_t i = 0; i < model->info.node_count; i++)
        if (model->nodes[i].left < 0)
            model->nodes[i].right = 0;
}

TEST(what_is_too_deep_or_has_too_many_gaps_is_swept)
{
    struct wish wish = {.seed = 900, .features = 3, .trees = 10, .depth = 9, .thresholds = 60};

    wish.output = OUTPUT_SOFTMAX;
    check_swept(&wish, NULL);
    wish.depth = 8;
    check_swept(&wish, share_leaves);
    wish.gaps = 40;
    check_swept(&wish, NULL);
    wish.gaps = 0;
    wish.width = 3;
    wish.output = OUTPUT_MEAN;
    check_swept(&wish, make_pure);
}

/* More thresholds than ranks: floats are compared. */
TEST(floats_that_are_not_ranked_are_swept)
{
    check_swept(
        &(struct wish){
            .seed = 901, .features = 1, .trees = 1100, .depth = 6, .output = OUTPUT_SOFTMAX},
        NULL);
}

RUN(T(trees_of_every_depth_lead_where_the_oracle_goes),
    T(leaves_of_every_width_are_added_in_the_order_of_the_trees),
    T(one_number_per_leaf_goes_to_the_score_of_its_tree),
    T(forests_of_rows_are_asked_everything_at_once_too),
    T(sets_of_categories_are_questions_like_others),
    T(more_questions_than_a_group_has_room_for_are_asked_in_several),
    T(a_question_that_many_trees_ask_is_answered_once), T(every_number_of_pixels_is_classified),
    T(codes_answer_as_their_values_do), T(what_is_too_deep_or_has_too_many_gaps_is_swept),
    T(floats_that_are_not_ranked_are_swept))
