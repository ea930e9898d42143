/*
 * Oblivious trees in every kernel against the oracle, bit for bit: leaves of every width, values
 * on cuts, one step beside them, zeros, NaN and infinities, and trees that are only nearly
 * oblivious.
 */
#include "forest/oblivious.h"

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
enum { MAX_PX = 130 };
#else
enum { MAX_PX = 500 };
#endif
enum { MAX_FEATURES = 6, MAX_SCORES = 40 };

static const char *const names[MAX_FEATURES] = {"a", "b", "c", "d", "e", "f"};
static struct tl_err err;

struct wish {
    uint64_t seed;
    uint32_t features, scores, trees;
    uint32_t least_depth, most_depth;
    uint32_t thresholds; /* distinct ones of a feature; 0: every split its own */
    enum model_output output;
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

static struct model_node make_level(const struct wish *wish, uint64_t *random)
{
    float threshold = wish->thresholds ? (float)fixture_below(random, wish->thresholds) / 16 - 3
                                       : fixture_uniform(random);
    uint16_t feature = (uint16_t)fixture_below(random, wish->features);

    /* A feature has one rule, and what it is says its number. */
    return (struct model_node){.threshold = (double)threshold,
                               .feature = feature,
                               .missing = feature % 3 == 0 ? MISSING_COMPARE : MISSING_SIDED,
                               .default_left = feature % 3 == 1};
}

static int32_t make_leaf(struct model_build *build, uint32_t width, uint64_t *random)
{
    double row[MAX_SCORES];

    for (uint32_t s = 0; s < width; s++)
        row[s] = (double)fixture_uniform(random) / (3 + s);
    return build_leaf(build, row, width);
}

/* Node i has the children 2i + 1 and 2i + 2. */
static void make_tree(struct model_build *build, const struct wish *wish, uint64_t *random)
{
    uint32_t depth =
        wish->least_depth + fixture_below(random, wish->most_depth - wish->least_depth + 1);
    uint32_t inner = (1U << depth) - 1;
    struct model_node *nodes = fixture_room(2 * inner + 1, sizeof(*nodes));

    for (uint32_t level = 0; level < depth; level++) {
        struct model_node asks = make_level(wish, random);

        for (uint32_t i = (1U << level) - 1; i < (2U << level) - 1; i++) {
            nodes[i] = asks;
            nodes[i].left = (int32_t)(2 * i + 1);
            nodes[i].right = (int32_t)(2 * i + 2);
        }
    }
    for (uint32_t i = inner; i <= 2 * inner; i++)
        nodes[i] = (struct model_node){.left = -1, .right = make_leaf(build, wish->scores, random)};
    struct build_source source = {.nodes = nodes, .count = 2 * inner + 1};
    assert_ok(build_tree(build, &source, 0));
    free(nodes);
}

static void make_values(const struct wish *wish, struct made *made);

/* Not compiled yet. */
static void make_model(const struct wish *wish, struct made *made)
{
    struct model *model = &made->model;
    struct model_build build = {.name = "m", .model = model, .err = &err};
    double *base;

    *made = (struct made){.arena = arena_new(), .random = wish->seed * 7919 + 1};
    build.arena = made->arena;
    base = arena_alloc(made->arena, wish->scores, sizeof(*base));
    assert_non_null(base);
    assert_ok(build_classes(&build, NULL, wish->output == OUTPUT_BINARY ? 2 : wish->scores));
    assert_ok(build_features(&build, names, wish->features));
    for (uint32_t s = 0; s < wish->scores; s++)
        base[s] = 0.125 * s - 0.5;
    model->output = wish->output;
    model->winner_by_score = true;
    model->sigmoid = model->divisor = 1;
    model->score_count = model->leaf_width = wish->scores;
    model->base = base;
    model->scale = 0.75;
    for (uint32_t t = 0; t < wish->trees; t++)
        make_tree(&build, wish, &made->random);
    assert_ok(build_finish(&build));
    build_release(&build);
    make_values(wish, made);
}

static void compile(struct made *made, bool oblivious)
{
    assert_ok(flat_compile(&made->model, made->arena, &made->flat, &err));
    assert_int_equal(made->flat.oblivious != NULL, oblivious);
}

/* ---- pixels ---- */

static float make_value(struct made *made)
{
    static const float odd[] = {NAN, -NAN, INFINITY, -INFINITY, 0.0F, -0.0F, 0x1p-149F, 3e38F};
    uint64_t *random = &made->random;
    uint32_t node = fixture_below(random, (uint32_t)made->model.info.node_count);
    float near = (float)made->model.nodes[node].threshold;

    switch (fixture_below(random, 6)) {
    case 0:
        return near;
    case 1:
        return nextafterf(near, -INFINITY);
    case 2:
        return nextafterf(near, INFINITY);
    case 3:
        return odd[fixture_below(random, TL_COUNT(odd))];
    default:
        return 4 * fixture_uniform(random);
    }
}

static void make_values(const struct wish *wish, struct made *made)
{
    for (uint32_t f = 0; f < wish->features; f++) {
        made->planes[f] = made->values[f];
        for (size_t i = 0; i < MAX_PX; i++)
            made->values[f][i] = make_value(made);
    }
}

/* ---- what comes out ---- */

/* Of the first `count` pixels, by the oracle: every output, and what a model made of several is
 * given. */
struct expected {
    struct outputs outputs;
    double *exact;
};

static struct expected walk(const struct made *made, size_t count)
{
    uint32_t classes = made->model.info.class_count;
    struct expected e = {outputs_new(count, classes, made->model.score_count),
                         fixture_room(count * classes, sizeof(*e.exact))};
    struct forest_output all = outputs_of(&e.outputs, OUTPUTS_NO_VOTES);
    double sums[MODEL_MAX_CLASSES], p[MODEL_MAX_CLASSES];

    for (size_t i = 0; i < count; i++) {
        walk_sums(&made->model, made->planes, i, sums);
        walk_write_sums(&made->model, sums, i, count, &all);
        walk_probabilities(&made->model, sums, p);
        for (uint32_t c = 0; c < classes; c++)
            e.exact[c * count + i] = p[c];
    }
    return e;
}

static void expected_free(struct expected *expected)
{
    outputs_free(&expected->outputs);
    free(expected->exact);
}

static void check_run(const struct made *made, const struct run_plan *plan,
                      const struct expected *expected, const struct forest_codes *codes)
{
    static const unsigned sets[] = {1, OUTPUTS_NO_VOTES}; /* labels alone, and everything */
    uint32_t classes = made->model.info.class_count;
    size_t count = expected->outputs.count;
    struct outputs got = outputs_new(count, classes, made->model.score_count);
    double *exact = fixture_room(count * classes, sizeof(*exact));
    AUTO(arena) scratch = arena_new();
    struct forest_output output = {0};
    struct run_task task = {.planes = made->planes,
                            .count = count,
                            .output = &output,
                            .room = count,
                            .scratch = scratch,
                            .codes = codes};

    for (size_t s = 0; s < TL_COUNT(sets); s++) {
        output = outputs_of(&got, sets[s]);
        outputs_clear(&got);
        assert_ok(run_flat(&made->flat, plan, &task, &err));
        outputs_assert(&got, &expected->outputs, sets[s], cpu_isa_name(plan->kernel->isa));
    }
    output = (struct forest_output){0};
    task.exact = exact;
    assert_ok(run_flat(&made->flat, plan, &task, &err));
    assert_memory_equal(exact, expected->exact, count * classes * sizeof(*exact));
    outputs_free(&got);
    free(exact);
}

static void check_ways(const struct made *made, const struct expected *expected,
                       const struct forest_codes *codes)
{
    static const uint32_t blocks[] = {64, 192, 4096};

    for (enum cpu_isa isa = ISA_SCALAR; isa <= cpu_isa(); isa++)
        for (size_t b = 0; b < TL_COUNT(blocks); b++)
            for (int sorted = 0; sorted < 2; sorted++) {
                struct run_plan plan = {
                    sweep_kernel(isa), b % 2 ? 65536 : 400, blocks[b], sorted, 0, false};

                check_run(made, &plan, expected, codes);
            }
}

static void check(const struct wish *wish, enum flat_type type, bool oblivious)
{
    static const size_t counts[] = {1, 65, MAX_PX};
    struct made made;

    make_model(wish, &made);
    compile(&made, oblivious);
    assert_int_equal(made.flat.type, type);
    for (size_t i = 0; i < TL_COUNT(counts); i++) {
        struct expected expected = walk(&made, counts[i]);

        check_ways(&made, &expected, NULL);
        expected_free(&expected);
    }
    arena_free(made.arena);
}

TEST(leaves_of_every_width_add_up_as_in_the_oracle)
{
    static const uint32_t widths[] = {2, 3, 4, 5, 8, 9, 10, 11, 12, 13, 16, 17, 20, 33};

    for (size_t w = 0; w < TL_COUNT(widths); w++) {
        uint32_t width = widths[w];

        check(&(struct wish){.seed = width,
                             .features = 5,
                             .scores = width,
                             .trees = 3 + width % 11,
                             .least_depth = 1,
                             .most_depth = 6,
                             .thresholds = 90,
                             .output = width % 3 == 0   ? OUTPUT_SOFTMAX
                                       : width % 3 == 1 ? OUTPUT_SCORES
                                                        : OUTPUT_SIGMOIDS},
              FLAT_U8, true);
    }
}

TEST(a_binary_model_adds_up_as_in_the_oracle)
{
    check(&(struct wish){.seed = 50,
                         .features = 5,
                         .scores = 1,
                         .trees = 100,
                         .most_depth = 8,
                         .thresholds = 90,
                         .output = OUTPUT_BINARY},
          FLAT_U8, true);
}

/* Depths from 0 to 16, in whatever order; the numbers of leaves take one byte, or two. */
TEST(trees_of_any_depth_stand_side_by_side)
{
    struct wish wish = {.seed = 51,
                        .features = 6,
                        .scores = 3,
                        .trees = 10,
                        .most_depth = OBLIVIOUS_MAX_DEPTH,
                        .thresholds = 60,
                        .output = OUTPUT_SOFTMAX};

    check(&wish, FLAT_U8, true);
    wish.scores = 20;
    wish.trees = 3;
    wish.most_depth = 12;
    check(&wish, FLAT_U8, true);
}

TEST(ranks_of_two_bytes_and_floats_answer_too)
{
    check(&(struct wish){.seed = 52,
                         .features = 1,
                         .scores = 10,
                         .trees = 80,
                         .most_depth = 10,
                         .output = OUTPUT_SOFTMAX},
          FLAT_U16, true);
    check(&(struct wish){.seed = 53,
                         .features = 1,
                         .scores = 2,
                         .trees = 17500,
                         .least_depth = 4,
                         .most_depth = 4,
                         .output = OUTPUT_SOFTMAX},
          FLAT_F32, true);
}

TEST(every_number_of_pixels_is_classified)
{
    struct made made;

    make_model(&(struct wish){.seed = 54,
                              .features = 4,
                              .scores = 5,
                              .trees = 17,
                              .most_depth = 7,
                              .thresholds = 50,
                              .output = OUTPUT_SOFTMAX},
               &made);
    compile(&made, true);
    struct run_plan plan = run_plan(&made.flat, sweep_kernel(cpu_isa()));
    for (size_t count = 1; count <= 200; count++) {
        struct expected expected = walk(&made, count);

        check_run(&made, &plan, &expected, NULL);
        expected_free(&expected);
    }
    arena_free(made.arena);
}

TEST(codes_answer_as_their_values_do)
{
    static uint16_t codes[MAX_PX];
    static float values[FOREST_MAX_CODES];
    struct forest_codes from[MAX_FEATURES] = {0};
    struct made made;

    make_model(&(struct wish){.seed = 55,
                              .features = 4,
                              .scores = 10,
                              .trees = 30,
                              .most_depth = 6,
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
    struct expected expected = walk(&made, MAX_PX);
    made.planes[1] = NULL;
    check_ways(&made, &expected, from);
    expected_free(&expected);
    arena_free(made.arena);
}

/* ---- what is not oblivious ---- */

/* A model that is no longer oblivious, or never was as it adds up, is left to the sweep. */
static void check_not(void (*change)(struct model *model), uint32_t scores)
{
    struct made made;

    make_model(&(struct wish){.seed = 56,
                              .features = 4,
                              .scores = scores,
                              .trees = 2,
                              .least_depth = 3,
                              .most_depth = 3,
                              .thresholds = 20,
                              .output = OUTPUT_SCORES},
               &made);
    change(&made.model);
    compile(&made, false);
    struct expected expected = walk(&made, MAX_PX);
    check_ways(&made, &expected, NULL);
    expected_free(&expected);
    arena_free(made.arena);
}

static void change_threshold(struct model *model)
{
    model->nodes[1].threshold += 1;
}

static void change_feature(struct model *model)
{
    model->nodes[1].feature = (uint16_t)(model->nodes[1].feature + 1) % 4;
}

static void change_missing(struct model *model)
{
    model->nodes[1].missing = MISSING_SIDED;
    model->nodes[1].default_left = !model->nodes[1].default_left;
}

static void cut_branch(struct model *model)
{
    model->nodes[1].left = -1;
    model->nodes[1].right = 0;
}

static void add_in_float(struct model *model)
{
    model->arithmetic = ARITHMETIC_ONNX;
}

static void one_class_each(struct model *model)
{
    model->leaf_width = 1;
}

/* What a small file may do; of its own rows it would become large. */
static void share_leaves(struct model *model)
{
    for (uint64_t n = 0; n < model->info.node_count; n++)
        if (model->nodes[n].left < 0)
            model->nodes[n].right = 0;
    model->leaf_count = 1;
}

TEST(what_is_nearly_oblivious_is_swept)
{
    check_not(change_threshold, 3);
    check_not(change_feature, 3);
    check_not(change_missing, 3);
    check_not(cut_branch, 3);
    check_not(add_in_float, 3);
    check_not(one_class_each, 3);
    check_not(share_leaves, 3);
}

TEST(a_tree_of_seventeen_levels_is_swept)
{
    struct made made;

    make_model(&(struct wish){.seed = 57,
                              .features = 4,
                              .scores = 2,
                              .trees = 1,
                              .least_depth = OBLIVIOUS_MAX_DEPTH + 1,
                              .most_depth = OBLIVIOUS_MAX_DEPTH + 1,
                              .thresholds = 20,
                              .output = OUTPUT_SCORES},
               &made);
    compile(&made, false);
    struct run_plan plan = run_plan(&made.flat, sweep_kernel(cpu_isa()));
    struct expected expected = walk(&made, 65);
    check_run(&made, &plan, &expected, NULL);
    expected_free(&expected);
    arena_free(made.arena);
}

RUN(T(leaves_of_every_width_add_up_as_in_the_oracle), T(a_binary_model_adds_up_as_in_the_oracle),
    T(trees_of_any_depth_stand_side_by_side), T(ranks_of_two_bytes_and_floats_answer_too),
    T(every_number_of_pixels_is_classified), T(codes_answer_as_their_values_do),
    T(what_is_nearly_oblivious_is_swept), T(a_tree_of_seventeen_levels_is_swept))
