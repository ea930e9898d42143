#include "forest/mix.h"

#include "base/arena.h"
#include "forest/walk.h"
#include "forest_fixture.h"
#include "forest_outputs.h"
#include "model/net.h"
#include "tl_test.h"

enum { FEATURES = 5, CLASSES = 3, MEMBERS = 3, MAX_PX = 70000, CODES = 1000 };

/* Three forests, one whose sums are exact in any order, and one to go on top of them. */
struct setting {
    struct arena *memory;
    struct fixture *fixture[MEMBERS + 1];
    struct model member[MEMBERS + 1];
    struct model linear;
    struct model_layer layer[2];
    struct model_net net;
    struct model_part part[8];
    struct model whole;
    uint32_t pixels;
    float *values;
    const float *planes[FEATURES];
    float table[CODES]; /* the values there are */
    uint16_t *codes;    /* [feature][pixel] */
};

static const uint32_t on_top[] = {5, 6, 8, 12, 2}; /* what the last forest reads */

static void read_member(struct setting *s, uint32_t m, const struct fixture_wish *wish)
{
    struct tl_err err;

    s->fixture[m] = fixture_new(wish);
    AUTO(blob) file = fixture_blob(s->fixture[m]);
    assert_ok(model_read_file("made up", blob_bytes(file), blob_size(file), s->memory,
                              &s->member[m], &err));
}

static struct setting *setting_new(uint32_t pixels)
{
    static const struct fixture_wish wish[MEMBERS + 1] = {
        {.seed = 1, .features = FEATURES, .classes = CLASSES, .trees = 9, .splits = 20},
        {.seed = 2,
         .features = FEATURES,
         .classes = CLASSES,
         .trees = 5,
         .splits = 9,
         .pure_percent = 50,
         .exact_percent = 50},
        {.seed = 3, .features = FEATURES, .classes = CLASSES, .trees = 7, .splits = 30},
        {.seed = 4, .features = FEATURES, .classes = CLASSES, .trees = 11, .splits = 15}};
    struct setting *s = fixture_room(1, sizeof(*s));
    uint64_t random = 77;

    s->memory = arena_new();
    for (uint32_t m = 0; m <= MEMBERS; m++)
        read_member(s, m, &wish[m]);
    s->pixels = pixels;
    s->values = fixture_room((size_t)pixels * FEATURES, sizeof(*s->values));
    s->codes = fixture_room((size_t)pixels * FEATURES, sizeof(*s->codes));
    for (uint32_t i = 0; i < CODES; i++)
        s->table[i] = fixture_value(s->fixture[i % MEMBERS], &random, true);
    for (uint32_t f = 0; f < FEATURES; f++) {
        s->planes[f] = s->values + (size_t)f * pixels;
        for (size_t i = (size_t)f * pixels; i < (f + 1) * (size_t)pixels; i++) {
            s->codes[i] = (uint16_t)fixture_below(&random, CODES);
            s->values[i] = s->table[s->codes[i]];
        }
    }
    s->whole.info = s->member[0].info;
    s->whole.info.tree_count = 0;
    s->whole.info.node_count = 0;
    s->whole.parts = s->part;
    for (uint32_t m = 0; m < MEMBERS; m++)
        s->part[m] = (struct model_part){
            .kind = PART_TREES, .model = &s->member[m], .input_count = FEATURES};
    return s;
}

static void setting_free(struct setting *s)
{
    for (uint32_t m = 0; s && m <= MEMBERS; m++)
        fixture_free(s->fixture[m]);
    if (s) {
        arena_free(s->memory);
        free(s->values);
        free(s->codes);
    }
    free(s);
}
AUTO_DEFINE(setting, setting_free)

/* Adds a part that is the mean of parts, `first` the columns where they start. */
static void add_mean(struct setting *s, uint32_t at, uint32_t count, const uint32_t *first,
                     const double *weights, double divisor)
{
    s->part[at] = (struct model_part){.kind = PART_MEAN,
                                      .input_count = count,
                                      .inputs = first,
                                      .weights = weights,
                                      .divisor = divisor};
    s->whole.part_count = at + 1;
}

/* What a member's own trees say of a pixel. */
static void member_p(const struct setting *s, uint32_t m, size_t at, double *ret_p)
{
    float x[FEATURES];

    for (uint32_t f = 0; f < FEATURES; f++)
        x[f] = s->planes[f][at];
    fixture_predict(s->fixture[m], x, ret_p);
}

/* Every other feature by its codes, for all ensembles of the mix; the rest as planes. */
static void code_features(const struct setting *s, const struct mix *mix,
                          struct forest_codes *ret_codes, const float **ret_planes)
{
    struct table_reader list[2 * MEMBERS];
    struct table_readers readers = {.list = list};

    for (uint32_t f = 0; f < FEATURES; f++) {
        ret_codes[f] = (struct forest_codes){NULL, s->codes + (size_t)f * s->pixels};
        ret_planes[f] = s->planes[f];
        if (f % 2)
            continue;
        assert_true(mix_table_readers(mix, f, list, TL_COUNT(list), &readers.count));
        ret_codes[f].table = table_new(&readers, s->table, CODES);
        ret_planes[f] = NULL;
    }
}

static void check_codes(const struct setting *s, const struct mix *mix,
                        const struct outputs *expected, unsigned set)
{
    struct outputs run = outputs_new(s->pixels, CLASSES, CLASSES);
    const struct forest_output output = outputs_of(&run, set);
    struct forest_codes codes[FEATURES];
    const float *planes[FEATURES];
    AUTO(arena) scratch = arena_new();
    struct run_task task = {.planes = planes,
                            .codes = codes,
                            .count = s->pixels,
                            .output = &output,
                            .room = s->pixels,
                            .scratch = scratch};
    struct tl_err err;

    code_features(s, mix, codes, planes);
    assert_ok(mix_run(mix, &task, &err));
    outputs_assert(&run, expected, set, "by codes");
    for (uint32_t f = 0; f < FEATURES; f++)
        forest_table_free((struct forest_table *)(uintptr_t)codes[f].table);
    outputs_free(&run);
}

/* Kernel and oracle give the same, `set` of outputs.h; the oracle's, for the caller to look at. */
static struct outputs check_set(struct setting *s, unsigned set)
{
    struct outputs walked = outputs_new(s->pixels, CLASSES, CLASSES);
    struct outputs run = outputs_new(s->pixels, CLASSES, CLASSES);
    const struct forest_output from_walk = outputs_of(&walked, set),
                               from_run = outputs_of(&run, set);
    struct forest_pixels pixels = {.planes = s->planes, .count = s->pixels};
    struct tl_err err;
    struct mix mix;

    assert_ok(model_check_parts("made up", &s->whole, &err));
    assert_ok(mix_compile(&s->whole, NULL, s->memory, &mix, &err));
    mix_walk(&s->whole, &pixels, &from_walk);
    for (mix.walk_below = 0; mix.walk_below < 5; mix.walk_below += 4) {
        AUTO(arena) scratch = arena_new();
        struct run_task task = {.planes = s->planes,
                                .count = s->pixels,
                                .output = &from_run,
                                .room = s->pixels,
                                .scratch = scratch};

        outputs_clear(&run);
        assert_ok(mix_run(&mix, &task, &err));
        outputs_assert(&run, &walked, set, mix.walk_below ? "walked" : "swept");
        check_codes(s, &mix, &walked, set);
    }
    outputs_free(&run);
    return walked;
}

static struct outputs check(struct setting *s)
{
    return check_set(s, OUTPUTS_NO_VOTES);
}

/* The output is what p[pixel] says. */
static void check_pixel(const struct setting *s, const struct outputs *outputs, size_t at,
                        const double *p)
{
    const struct forest_output output[] = {outputs_of(outputs, OUTPUTS_ALL)};
    uint32_t best = walk_winner(p, CLASSES);

    for (uint32_t c = 0; c < CLASSES; c++)
        if (output->probability[(size_t)c * s->pixels + at] != (float)p[c])
            fail_msg("pixel %zu, class %u: %.9g, not %.9g", at, c,
                     (double)output->probability[(size_t)c * s->pixels + at], p[c]);
    assert_int_equal(output->label[at], best + 1);
    assert_int_equal(output->confidence[at], forest_percent(p[best]));
}

static const uint32_t members[] = {FEATURES, FEATURES + CLASSES, FEATURES + 2 * CLASSES};

TEST(a_weighted_vote_is_the_weighted_mean_in_the_order_of_its_members)
{
    static const double weights[] = {0.2, 1, 0.7};
    AUTO(setting) s = setting_new(3000);

    add_mean(s, 3, 3, members, weights, 1.9);
    struct outputs output = check(s);
    for (size_t at = 0; at < s->pixels; at++) {
        double p[MEMBERS][CLASSES], mean[CLASSES];

        for (uint32_t m = 0; m < MEMBERS; m++)
            member_p(s, m, at, p[m]);
        for (uint32_t c = 0; c < CLASSES; c++)
            mean[c] = (0.2 * p[0][c] + 1 * p[1][c] + 0.7 * p[2][c]) / 1.9;
        check_pixel(s, &output, at, mean);
        for (uint32_t c = 0; c < CLASSES; c++)
            assert_true(outputs_of(&output, OUTPUTS_ALL).scores[(size_t)c * s->pixels + at] ==
                        0.2 * p[0][c] + 1 * p[1][c] + 0.7 * p[2][c]);
    }
    outputs_free(&output);
}

TEST(a_vote_in_float32_rounds_every_step)
{
    AUTO(setting) s = setting_new(1000);

    add_mean(s, 3, 3, members, NULL, 3);
    s->part[3].narrow = true;
    struct outputs output = check(s);
    for (size_t at = 0; at < s->pixels; at++) {
        double p[MEMBERS][CLASSES], mean[CLASSES];

        for (uint32_t m = 0; m < MEMBERS; m++)
            member_p(s, m, at, p[m]);
        for (uint32_t c = 0; c < CLASSES; c++) {
            float sum = (float)p[0][c] + (float)p[1][c];

            mean[c] = (double)((sum + (float)p[2][c]) / 3.0F);
        }
        check_pixel(s, &output, at, mean);
    }
    outputs_free(&output);
}

TEST(a_vote_of_votes_is_a_vote_over_more_than_one_chunk)
{
    static const uint32_t both[] = {FEATURES + 3 * CLASSES, FEATURES + 2 * CLASSES};
    AUTO(setting) s = setting_new(MAX_PX);

    add_mean(s, 3, 2, members, NULL, 2);
    add_mean(s, 4, 2, both, NULL, 2);
    struct outputs output = check(s);
    for (size_t at = 0; at < s->pixels; at += 97) {
        double p[MEMBERS][CLASSES], mean[CLASSES];

        for (uint32_t m = 0; m < MEMBERS; m++)
            member_p(s, m, at, p[m]);
        for (uint32_t c = 0; c < CLASSES; c++)
            mean[c] = ((p[0][c] + p[1][c]) / 2 + p[2][c]) / 2;
        check_pixel(s, &output, at, mean);
    }
    outputs_free(&output);
}

TEST(a_vote_of_a_model_with_itself_is_that_model)
{
    static const uint32_t twice[] = {FEATURES, FEATURES};
    AUTO(setting) s = setting_new(500);

    add_mean(s, 1, 2, twice, NULL, 2);
    struct outputs output = check(s);
    for (size_t at = 0; at < s->pixels; at++) {
        double p[CLASSES];

        member_p(s, 0, at, p);
        check_pixel(s, &output, at, p);
    }
    outputs_free(&output);
}

TEST(a_forest_on_top_sees_the_members_probabilities_as_float32)
{
    AUTO(setting) s = setting_new(3000);

    s->part[3] = (struct model_part){
        .kind = PART_TREES, .model = &s->member[3], .input_count = FEATURES, .inputs = on_top};
    s->whole.part_count = 4;
    struct outputs output = check_set(s, OUTPUTS_ALL);
    for (size_t at = 0; at < s->pixels; at++) {
        double p[MEMBERS][CLASSES], top[CLASSES];

        for (uint32_t m = 0; m < MEMBERS; m++)
            member_p(s, m, at, p[m]);
        float x[] = {(float)p[0][0], (float)p[0][1], (float)p[1][0], (float)p[2][1],
                     s->planes[2][at]};
        fixture_predict(s->fixture[3], x, top);
        check_pixel(s, &output, at, top);
        uint32_t votes = 0;
        for (uint32_t c = 0; c < CLASSES; c++)
            votes += outputs_of(&output, OUTPUTS_ALL).votes[(size_t)c * s->pixels + at];
        assert_int_equal(votes, s->member[3].info.tree_count);
    }
    outputs_free(&output);
}

static void add_linear(struct setting *s, const double *weights, const double *base)
{
    s->linear = (struct model){.info = s->whole.info,
                               .output = OUTPUT_SOFTMAX,
                               .winner_by_score = true,
                               .divisor = 1,
                               .sigmoid = 1,
                               .score_count = CLASSES};
    s->layer[0] = (struct model_layer){FEATURES, CLASSES, weights, base, ACTIVATION_NONE};
    s->net = (struct model_net){.layer_count = 1, .layers = s->layer};
    s->part[3] = (struct model_part){.kind = PART_NET,
                                     .model = &s->linear,
                                     .net = &s->net,
                                     .input_count = FEATURES,
                                     .inputs = on_top};
    s->whole.part_count = 4;
}

TEST(logistic_regression_on_top_is_softmax_of_its_scores)
{
    static const double weights[CLASSES * FEATURES] = {1,  -2, 0.5, 0.25, 0,  0.1, 3, 1,
                                                       -1, 0,  2,   1,    -3, 0.3, 0};
    static const double base[CLASSES] = {0.1, -0.2, 0.3};
    AUTO(setting) s = setting_new(3000);

    add_linear(s, weights, base);
    struct outputs output = check(s);
    for (size_t at = 0; at < s->pixels; at++) {
        double p[MEMBERS][CLASSES], score[CLASSES], total = 0;

        for (uint32_t m = 0; m < MEMBERS; m++)
            member_p(s, m, at, p[m]);
        double x[] = {p[0][0], p[0][1], p[1][0], p[2][1]};
        for (uint32_t c = 0; c < CLASSES; c++) {
            score[c] = base[c];
            for (uint32_t i = 0; i < TL_COUNT(x); i++)
                score[c] += weights[c * FEATURES + i] * x[i];
        }
        for (uint32_t c = 0; c < CLASSES; c++)
            total += exp(score[c]);
        for (uint32_t c = 0; c < CLASSES && isfinite(s->planes[2][at]); c++)
            assert_near((double)outputs_of(&output, 4).probability[(size_t)c * s->pixels + at],
                        exp(score[c]) / total, 1e-7);
    }
    outputs_free(&output);
}

TEST(a_net_is_a_member_of_a_vote_like_any_other)
{
    static const double weights[] = {0.5, -1, 2, 0, 1, 1, 1, -1, 0.25, 3, 0, 0, 1, 2, -2},
                        bias[] = {1, 0, -1};
    static const uint32_t two[] = {FEATURES + 3 * CLASSES, FEATURES + CLASSES};
    AUTO(setting) s = setting_new(3000);

    add_linear(s, weights, bias);
    add_mean(s, 4, 2, two, NULL, 2);
    struct outputs output = check(s);
    for (size_t at = 0; at < s->pixels; at++) {
        double p[MEMBERS][CLASSES], net[CLASSES], values[NET_MAX_WIDTH], scores[NET_MAX_WIDTH];
        double both[CLASSES];

        for (uint32_t m = 0; m < MEMBERS; m++)
            member_p(s, m, at, p[m]);
        for (uint32_t i = 0; i < FEATURES; i++)
            values[i] = on_top[i] < FEATURES
                            ? (double)s->planes[on_top[i]][at]
                            : p[(on_top[i] - FEATURES) / CLASSES][(on_top[i] - FEATURES) % CLASSES];
        dense_walk(&s->net, values, scores);
        walk_probabilities(&s->linear, scores, net);
        for (uint32_t c = 0; c < CLASSES; c++)
            both[c] = (net[c] + p[1][c]) / 2;
        if (!isnan(both[0]))
            check_pixel(s, &output, at, both);
    }
    outputs_free(&output);
}

TEST(a_net_whose_layers_do_not_fit_is_refused)
{
    static const double weights[CLASSES * FEATURES] = {0}, base[FEATURES] = {0};
    AUTO(setting) s = setting_new(1);
    struct tl_err err;

    add_linear(s, weights, base);
    s->layer[0].input_count = FEATURES - 1;
    assert_refused(model_check_parts("m", &s->whole, &err), TL_CORRUPT, "reads other numbers");
    add_linear(s, weights, base);
    s->layer[0].output_count = CLASSES - 1;
    assert_refused(model_check_parts("m", &s->whole, &err), TL_CORRUPT, "other scores");
    s->layer[0].output_count = NET_MAX_WIDTH + 1;
    assert_refused(model_check_parts("m", &s->whole, &err), TL_LIMIT, "a layer of 1025");
    add_linear(s, weights, base);
    s->net.layer_count = NET_MAX_LAYERS + 1;
    assert_refused(model_check_parts("m", &s->whole, &err), TL_LIMIT, "9 layers");
    s->net.layer_count = 0;
    assert_refused(model_check_parts("m", &s->whole, &err), TL_LIMIT, "0 layers");
    add_linear(s, weights, base);
    s->layer[1] = s->layer[0];
    s->net.layer_count = 2;
    assert_refused(model_check_parts("m", &s->whole, &err), TL_CORRUPT, "reads other numbers");
}

TEST(parts_that_do_not_fit_together_are_refused)
{
    static const double infinite[CLASSES * FEATURES] = {(double)INFINITY}, zeros[CLASSES] = {0};
    static const uint32_t ahead[] = {FEATURES, FEATURES + 3 * CLASSES};
    static const uint32_t feature[] = {FEATURES, 2}, inside[] = {FEATURES, FEATURES + 1};
    AUTO(setting) s = setting_new(1);
    struct tl_err err;

    add_mean(s, 3, 2, ahead, NULL, 2);
    assert_refused(model_check_parts("m", &s->whole, &err), TL_CORRUPT, "no earlier part");
    add_mean(s, 3, 2, feature, NULL, 2);
    assert_refused(model_check_parts("m", &s->whole, &err), TL_CORRUPT, "not a part");
    add_mean(s, 3, 2, inside, NULL, 2);
    assert_refused(model_check_parts("m", &s->whole, &err), TL_CORRUPT, "not a part");
    add_mean(s, 3, 2, members, NULL, 0);
    assert_refused(model_check_parts("m", &s->whole, &err), TL_CORRUPT, "add up");
    add_mean(s, 3, 0, members, NULL, 1);
    assert_refused(model_check_parts("m", &s->whole, &err), TL_CORRUPT, "no column");
    add_linear(s, infinite, zeros);
    assert_refused(model_check_parts("m", &s->whole, &err), TL_CORRUPT, "finite");
    s->part[3].inputs = NULL;
    assert_refused(model_check_parts("m", &s->whole, &err), TL_CORRUPT, "what it reads");
    add_mean(s, 3, 3, members, NULL, 3);
    s->part[1].input_count = FEATURES - 1;
    assert_refused(model_check_parts("m", &s->whole, &err), TL_CORRUPT, "what it reads");
    s->whole.part_count = MODEL_MAX_PARTS + 1;
    assert_refused(model_check_parts("m", &s->whole, &err), TL_LIMIT, "33 parts");
}

RUN(T(a_weighted_vote_is_the_weighted_mean_in_the_order_of_its_members),
    T(a_vote_in_float32_rounds_every_step), T(a_vote_of_votes_is_a_vote_over_more_than_one_chunk),
    T(a_vote_of_a_model_with_itself_is_that_model),
    T(a_forest_on_top_sees_the_members_probabilities_as_float32),
    T(logistic_regression_on_top_is_softmax_of_its_scores),
    T(a_net_is_a_member_of_a_vote_like_any_other), T(a_net_whose_layers_do_not_fit_is_refused),
    T(parts_that_do_not_fit_together_are_refused))
