/*
 * Sets of categories, compiled into planes of their own, against model_set_holds(), in every
 * kernel: on the ends of runs, one step beside them, and where no category is.
 */
#include "base/arena.h"
#include "base/blob.h"
#include "forest/run.h"
#include "forest/walk.h"
#include "forest_fixture.h"
#include "model/build.h"
#include "tl_test.h"

enum { FEATURES = 3, VALUES = 4000 };

static const char *const names[] = {"a", "b", "c"};
static struct tl_err err;

/* Runs of whole numbers below 60, and now and then no run at all, or one of a single float. */
static void add_runs(uint64_t *random, struct buf *bounds)
{
    double at = fixture_below(random, 3) - 1.0;

    for (uint32_t runs = fixture_below(random, 6); runs > 0; runs--) {
        double from = at + fixture_below(random, 9), to = from + fixture_below(random, 4);

        build_run(bounds, build_below(from), to > from ? build_below(to) : (float)from);
        at = to;
    }
}

/* One tree per set: a leaf for what is in it, and one for the rest. */
static void make_model(struct model_build *build, uint32_t trees, uint32_t different)
{
    uint64_t random = 11;

    assert_ok(build_classes(build, NULL, 2));
    assert_ok(build_features(build, names, FEATURES));
    build->model->output = OUTPUT_BINARY;
    build->model->sigmoid = build->model->divisor = 1;
    build->model->score_count = build->model->leaf_width = 1;
    for (uint32_t t = 0; t < trees; t++) {
        struct model_node nodes[3] = {
            {.left = 1, .right = 2, .missing = MISSING_SET}, {.left = -1}, {.left = -1}};
        double in = 1.0 / (t + 3), out = -1.0 / (t + 7);
        AUTO_BUF bounds = {0};

        if (different)
            build_run(&bounds, (float)(t % different), (float)(t % different) + 0.5F);
        else
            add_runs(&random, &bounds);
        assert_ok(build_set(build, &bounds, &nodes[0].set));
        nodes[0].feature = different ? 0 : (uint16_t)(t % FEATURES);
        nodes[0].default_left = !different && t % 2;
        nodes[1].right = build_leaf(build, &in, 1);
        nodes[2].right = build_leaf(build, &out, 1);
        struct build_source source = {.nodes = nodes, .count = 3};
        assert_ok(build_tree(build, &source, 0));
    }
    assert_ok(build_finish(build));
}

static void fill(float *values, uint64_t *random)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY, -0.0F, 1e-45F, -1e-45F, 3e38F, -1, 0};

    for (size_t i = 0; i < VALUES; i++) {
        float whole = (float)fixture_below(random, 64) - 2;

        values[i] = i % 4 == 0   ? odd[i / 4 % TL_COUNT(odd)]
                    : i % 4 == 1 ? whole
                    : i % 4 == 2 ? nextafterf(whole, -INFINITY)
                                 : whole + 0.5F;
    }
}

TEST(sets_decide_in_every_kernel_as_in_the_oracle)
{
    static float values[FEATURES][VALUES], p[2][VALUES * 2];
    const float *planes[FEATURES] = {values[0], values[1], values[2]};
    AUTO(arena) arena = arena_new();
    struct model model = {0};
    struct model_build build = {.name = "m", .arena = arena, .model = &model, .err = &err};
    struct forest_output walked = {.probability = p[0]}, swept = {.probability = p[1]};
    uint64_t random = 3;
    struct flat flat;

    make_model(&build, 200, 0);
    assert_ok(flat_compile(&model, arena, &flat, &err));
    for (size_t f = 0; f < FEATURES; f++)
        fill(values[f], &random);
    for (size_t i = 0; i < VALUES; i++) {
        double sums[MODEL_MAX_CLASSES];

        walk_sums(&model, planes, i, sums);
        walk_write_sums(&model, sums, i, VALUES, &walked);
    }
    for (enum cpu_isa isa = ISA_SCALAR; isa <= cpu_isa(); isa++) {
        struct run_plan plan = run_plan(&flat, sweep_kernel(isa));
        struct run_task task = {
            .planes = planes, .count = VALUES, .output = &swept, .room = VALUES, .scratch = arena};

        assert_ok(run_flat(&flat, &plan, &task, &err));
        assert_memory_equal(p[0], p[1], sizeof(p[0]));
    }
    build_release(&build);
}

TEST(equal_sets_share_a_plane_and_too_many_are_refused)
{
    AUTO(arena) arena = arena_new();
    struct model few = {0}, many = {0};
    struct model_build build = {.name = "m", .arena = arena, .model = &few, .err = &err};
    struct model_build more = {.name = "m", .arena = arena, .model = &many, .err = &err};
    struct flat flat;

    make_model(&build, FLAT_MAX_SETS + 50, FLAT_MAX_SETS);
    assert_ok(flat_compile(&few, arena, &flat, &err));
    assert_int_equal(flat.plane_count, FLAT_MAX_SETS);
    make_model(&more, FLAT_MAX_SETS + 1, FLAT_MAX_SETS + 1);
    assert_refused(flat_compile(&many, arena, &flat, &err), TL_LIMIT, "4097 different ways");
    build_release(&build);
    build_release(&more);
}

RUN(T(sets_decide_in_every_kernel_as_in_the_oracle),
    T(equal_sets_share_a_plane_and_too_many_are_refused))
