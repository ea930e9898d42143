#include "forest/forest.h"

#include "base/arena.h"
#include "base/blob.h"
#include "forest/mix.h"
#include "forest/walk.h"
#include "forest_fixture.h"
#include "forest_outputs.h"
#include "library_rows.h"
#include "tl_test.h"

/* Fixtures of pure leaves, of mixed ones, of sums that tie but for rounding, of one class, and of
 * more trees than a byte counts. */
static const struct fixture_wish wishes[] = {
    {.seed = 1, .features = 4, .classes = 5, .trees = 20, .splits = 30, .pure_percent = 100},
    {.seed = 2, .features = 4, .classes = 7, .trees = 15, .splits = 40, .pure_percent = 60},
    {.seed = 3, .features = 3, .classes = 4, .trees = 9, .splits = 30, .exact_percent = 50},
    {.seed = 4, .features = 2, .classes = 2, .trees = 10, .splits = 2, .pure_percent = 30},
    {.seed = 5, .features = 2, .classes = 1, .trees = 3, .splits = 5},
    {.seed = 6, .features = 2, .classes = 3, .trees = 300, .splits = 4, .pure_percent = 98},
};

enum { PIXELS = 700, MAX_FEATURES = 4 };

struct scene {
    struct fixture *fixture;
    struct forest *forest;
    float values[MAX_FEATURES][PIXELS];
    const float *planes[MAX_FEATURES];
    struct outputs expected; /* the oracle's */
};

static struct scene *scene_new(const struct fixture_wish *wish)
{
    struct scene *s = fixture_room(1, sizeof(*s));
    uint64_t random = 99;
    struct tl_err err;

    s->fixture = fixture_new(wish);
    AUTO(blob) file = fixture_blob(s->fixture);
    assert_ok(forest_load("made up", file, &s->forest, &err));
    for (uint32_t f = 0; f < wish->features; f++) {
        s->planes[f] = s->values[f];
        for (size_t i = 0; i < PIXELS; i++)
            s->values[f][i] = fixture_value(s->fixture, &random, true);
    }
    const struct forest_pixels pixels = {.planes = s->planes, .count = PIXELS};
    s->expected = outputs_new(PIXELS, wish->classes, forest_info(s->forest)->score_count);
    const struct forest_output all = outputs_of(&s->expected, OUTPUTS_ALL);
    forest_run_scalar(s->forest, &pixels, &all);
    return s;
}

static void scene_free(struct scene *s)
{
    if (s) {
        outputs_free(&s->expected);
        forest_unref(s->forest);
        fixture_free(s->fixture);
    }
    free(s);
}
AUTO_DEFINE(scene, scene_free)

TEST(any_subset_of_outputs_is_what_the_oracle_says)
{
    for (size_t w = 0; w < TL_COUNT(wishes); w++) {
        AUTO(scene) s = scene_new(&wishes[w]);
        const struct forest_pixels pixels = {.planes = s->planes, .count = PIXELS};
        struct outputs got = outputs_new(PIXELS, wishes[w].classes, wishes[w].classes);
        struct tl_err err;

        for (unsigned set = 0; set <= OUTPUTS_ALL; set++) {
            AUTO(arena) scratch = arena_new();
            const struct forest_output output = outputs_of(&got, set);

            outputs_clear(&got);
            assert_ok(forest_run(s->forest, &pixels, NULL, scratch, &output, &err));
            outputs_assert(&got, &s->expected, set, "forest_run()");
        }
        const struct forest_pixels none = {.planes = s->planes};
        const struct forest_output all = outputs_of(&got, OUTPUTS_ALL);
        outputs_clear(&got);
        assert_ok(forest_run(s->forest, &none, NULL, NULL, &all, &err));
        outputs_assert(&got, &s->expected, 0, "no pixels");
        outputs_free(&got);
    }
}

TEST(every_kernel_gives_every_output)
{
    for (size_t w = 0; w < TL_COUNT(wishes); w++) {
        AUTO(scene) s = scene_new(&wishes[w]);
        AUTO(arena) arena = arena_new();
        AUTO(blob) file = fixture_blob(s->fixture);
        struct outputs got = outputs_new(PIXELS, wishes[w].classes, wishes[w].classes);
        const struct forest_output output = outputs_of(&got, OUTPUTS_ALL);
        struct model model;
        struct flat flat;
        struct tl_err err;

        assert_ok(model_read_file("m", blob_bytes(file), blob_size(file), arena, &model, &err));
        assert_ok(flat_compile(&model, arena, &flat, &err));
        for (enum cpu_isa isa = ISA_SCALAR; isa <= cpu_isa(); isa++) {
            AUTO(arena) scratch = arena_new();
            struct run_plan plan = run_plan(&flat, sweep_kernel(isa));
            struct run_task task = {.planes = s->planes,
                                    .count = PIXELS,
                                    .output = &output,
                                    .room = PIXELS,
                                    .scratch = scratch};

            outputs_clear(&got);
            assert_ok(run_flat(&flat, &plan, &task, &err));
            outputs_assert(&got, &s->expected, OUTPUTS_ALL, cpu_isa_name(isa));
        }
        outputs_free(&got);
    }
}

/*
 * Trees of one leaf whose row is a hair below a number where the rounding turns: the kernel, which
 * adds what a row is short of a vote, comes to another side than the library's order of sums.
 */
static void check_hairs(double value, unsigned set)
{
    const float zero[64] = {0}, *const planes[] = {zero};
    const struct forest_pixels pixels = {.planes = planes, .count = TL_COUNT(zero)};
    struct tl_err err;

    for (uint32_t trees = 3; trees < 60; trees++) {
        AUTO(fixture)
        f = fixture_new(&(struct fixture_wish){
            .seed = trees, .features = 1, .classes = 2, .trees = trees, .pure_percent = 100});
        for (uint32_t i = 0; i < f->row_count; i++) {
            f->rows[2 * (size_t)i] = value - (double)(i % 3) * 0x1p-53;
            f->rows[2 * (size_t)i + 1] = value < 0.9 ? 1 - value : 0;
        }
        fixture_golden(f);
        AUTO(blob) file = fixture_blob(f);
        AUTO(arena) scratch = arena_new();
        struct forest *forest = NULL;
        assert_ok(forest_load("hairs", file, &forest, &err));
        struct outputs walked = outputs_new(pixels.count, 2, 2);
        struct outputs run = outputs_new(pixels.count, 2, 2);
        const struct forest_output to[] = {outputs_of(&walked, set), outputs_of(&run, set)};
        forest_run_scalar(forest, &pixels, &to[0]);
        assert_ok(forest_run(forest, &pixels, NULL, scratch, &to[1], &err));
        outputs_assert(&run, &walked, set, "hairs");
        outputs_free(&walked);
        outputs_free(&run);
        forest_unref(forest);
    }
}

TEST(what_only_rounding_decides_is_decided_as_the_library_does)
{
    enum { MARGIN = 8, ENTROPY = 16, SCORES = 32, PERCENT = 128 };

    check_hairs(1 - 0x1p-25, MARGIN);
    check_hairs(1, ENTROPY);
    check_hairs(1, SCORES);
    check_hairs(0.125, PERCENT);
}

/* ---- what the outputs mean, worked out by other means ---- */

static int falling(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x < *y) - (*x > *y);
}

static void check_meaning(const struct scene *s, size_t at)
{
    const struct forest_output all = outputs_of(&s->expected, OUTPUTS_ALL);
    uint32_t classes = s->fixture->wish.classes;
    double p[FIXTURE_MAX_CLASSES + 1] = {0}, nats = 0;
    float x[MAX_FEATURES];

    for (uint32_t f = 0; f < s->fixture->wish.features; f++)
        x[f] = s->planes[f][at];
    fixture_predict(s->fixture, x, p);
    for (uint32_t c = 0; c < classes; c++) {
        nats += p[c] > 0 ? p[c] * log(1 / p[c]) : 0;
        assert_near(all.scores[c * PIXELS + at], p[c] * s->fixture->wish.trees, 1e-12);
        assert_true(all.scores[c * PIXELS + at] / s->fixture->wish.trees == p[c]);
    }
    assert_near((double)all.entropy[at], classes > 1 ? nats / log(classes) : 0, 1e-7);
    qsort(p, classes, sizeof(*p), falling);
    assert_true(all.margin[at] == (float)(p[0] - (classes > 1 ? p[1] : 0)));
}

TEST(margin_entropy_and_scores_are_of_the_librarys_probabilities)
{
    for (size_t w = 0; w < TL_COUNT(wishes); w++) {
        AUTO(scene) s = scene_new(&wishes[w]);

        for (size_t at = 0; at < PIXELS; at++)
            check_meaning(s, at);
    }
}

TEST(every_tree_has_one_vote_for_the_first_of_its_most_probable_classes)
{
    for (size_t w = 0; w < TL_COUNT(wishes); w++) {
        AUTO(scene) s = scene_new(&wishes[w]);
        const struct fixture *f = s->fixture;
        const uint32_t *votes = outputs_of(&s->expected, OUTPUTS_ALL).votes;
        uint32_t classes = f->wish.classes;

        for (size_t at = 0; at < PIXELS; at++) {
            uint32_t expected[FIXTURE_MAX_CLASSES] = {0};

            for (uint32_t t = 0; t < f->wish.trees; t++) {
                uint32_t node = f->offsets[t], best = 0;

                while (f->feature[node] >= 0)
                    node = f->offsets[t] +
                           (uint32_t)(s->planes[f->feature[node]][at] <= f->threshold[node]
                                          ? f->left[node]
                                          : f->right[node]);
                const double *row = f->rows + (size_t)f->leaf[node] * classes;
                for (uint32_t c = 1; c < classes; c++)
                    best = row[c] > row[best] ? c : best;
                expected[best]++;
            }
            for (uint32_t c = 0; c < classes; c++)
                assert_int_equal(votes[c * PIXELS + at], expected[c]);
        }
    }
}

TEST(certainty_has_no_entropy_and_no_idea_has_all_of_it)
{
    static const double certain[] = {0, 1, 0}, none[] = {0.25, 0.25, 0.25, 0.25},
                        hair[] = {1 + 1e-16};
    static const double falling_p[] = {0.5, 0.2, 0.3}, tied[] = {0.4, 0.2, 0.4};
    double first, second;

    assert_true(walk_entropy(certain, 3) == 0);
    assert_true(walk_entropy(none, 4) == 1);
    assert_true(walk_entropy(hair, 1) == 0);
    walk_two_greatest(falling_p, 3, &first, &second);
    assert_true(first == 0.5 && second == 0.3);
    walk_two_greatest(tied, 3, &first, &second);
    assert_true(first == 0.4 && second == 0.4);
    walk_two_greatest(hair, 1, &first, &second);
    assert_true(second == 0);
}

TEST(models_without_votes_say_so)
{
    static const char *const without[] = {"lightgbm_multiclass.txt", "catboost_ova.json",
                                          "tilth_vote.tilth", "tilth_stack.tilth"};

    for (size_t i = 0; i < TL_COUNT(without); i++) {
        AUTO(blob) file = library_file(without[i]);
        AUTO(arena) scratch = arena_new();
        const struct forest_pixels none = {0};
        uint32_t votes;
        const struct forest_output output = {.votes = &votes};
        struct forest *forest = NULL;
        struct tl_err err;

        assert_ok(forest_load(without[i], file, &forest, &err));
        assert_false(forest_info(forest)->has_votes);
        assert_refused(forest_run(forest, &none, NULL, scratch, &output, &err), TL_UNSUPPORTED,
                       "votes are of forests");
        forest_unref(forest);
    }
}

/* A boosted model's every output, and that of what is made of models. */
TEST(other_models_give_every_output_but_votes)
{
    static const char *const files[] = {"lightgbm_multiclass.txt", "xgboost3_binary.json",
                                        "catboost_plain.json",     "onnx_boosted.onnx",
                                        "tilth_vote.tilth",        "tilth_stack.tilth",
                                        "tilth_stack_forest.tilth"};
    float values[LIBRARY_MAX_FEATURES][PIXELS];
    const float *planes[LIBRARY_MAX_FEATURES];
    uint64_t random = 5;

    for (size_t f = 0; f < LIBRARY_MAX_FEATURES; f++) {
        planes[f] = values[f];
        for (size_t i = 0; i < PIXELS; i++)
            values[f][i] = (float)fixture_below(&random, 4000) / 1000 - 2;
    }
    for (size_t i = 0; i < TL_COUNT(files); i++) {
        AUTO(blob) file = library_file(files[i]);
        AUTO(arena) scratch = arena_new();
        const struct forest_pixels pixels = {.planes = planes, .count = PIXELS};
        struct forest *forest = NULL;
        struct tl_err err;

        assert_ok(forest_load(files[i], file, &forest, &err));
        const struct model_info *info = forest_info(forest);
        unsigned set = info->has_votes ? OUTPUTS_ALL : OUTPUTS_NO_VOTES;
        struct outputs walked = outputs_new(PIXELS, info->class_count, info->score_count);
        struct outputs run = outputs_new(PIXELS, info->class_count, info->score_count);
        const struct forest_output to[] = {outputs_of(&walked, set), outputs_of(&run, set)};
        forest_run_scalar(forest, &pixels, &to[0]);
        assert_ok(forest_run(forest, &pixels, NULL, scratch, &to[1], &err));
        outputs_assert(&run, &walked, set, files[i]);
        outputs_free(&walked);
        outputs_free(&run);
        forest_unref(forest);
    }
}

RUN(T(any_subset_of_outputs_is_what_the_oracle_says), T(every_kernel_gives_every_output),
    T(what_only_rounding_decides_is_decided_as_the_library_does),
    T(margin_entropy_and_scores_are_of_the_librarys_probabilities),
    T(every_tree_has_one_vote_for_the_first_of_its_most_probable_classes),
    T(certainty_has_no_entropy_and_no_idea_has_all_of_it), T(models_without_votes_say_so),
    T(other_models_give_every_output_but_votes))
