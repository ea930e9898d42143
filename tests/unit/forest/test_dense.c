#include "forest/dense.h"

#include "base/arena.h"
#include "forest/dense_math.h"
#include "forest/walk.h"
#include "tl_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double random_one(uint64_t *state)
{
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return (double)(int64_t)*state / 0x1p63;
}

static const double *random_numbers(struct arena *arena, size_t count, double reach,
                                    uint64_t *state)
{
    double *numbers = arena_alloc(arena, count, sizeof(*numbers));

    assert_non_null(numbers);
    for (size_t i = 0; i < count; i++)
        numbers[i] = reach * random_one(state);
    return numbers;
}

/* Of one point, two, three, .. with steps up and down. */
static const struct model_curve *random_curves(struct arena *arena, uint32_t count, uint64_t *state)
{
    struct model_curve *curves = arena_alloc(arena, count, sizeof(*curves));

    for (uint32_t c = 0; c < count; c++) {
        uint32_t points = c % 40 + 1;
        double *x = arena_alloc(arena, points, sizeof(*x));

        for (uint32_t i = 0; i < points; i++)
            x[i] = i == 0 ? -5 : x[i - 1] + fabs(random_one(state)) + 1e-300;
        curves[c] = (struct model_curve){points, x, random_numbers(arena, points, 3, state)};
    }
    return curves;
}

enum { LAYERS = 4 };

struct shape {
    uint32_t width[LAYERS + 1]; /* of the columns, then of each layer; 0: no such layer */
    enum model_activation activation;
    bool narrow, scaled;
};

static struct model_net *net_new(const struct shape *shape, struct arena *arena, uint64_t *state)
{
    struct model_net *net = arena_zalloc(arena, 1, sizeof(*net));
    struct model_layer *layers = arena_zalloc(arena, LAYERS, sizeof(*layers));
    struct model_scaling *scalings = arena_zalloc(arena, SCALING_COUNT, sizeof(*scalings));

    for (uint32_t l = 0; l < LAYERS && shape->width[l + 1]; l++) {
        uint32_t in = shape->width[l], out = shape->width[l + 1];

        layers[l] = (struct model_layer){in, out, random_numbers(arena, (size_t)in * out, 1, state),
                                         random_numbers(arena, out, 0.5, state),
                                         l + 1 < LAYERS && shape->width[l + 2] ? shape->activation
                                                                               : ACTIVATION_NONE};
        net->layer_count++;
    }
    for (uint32_t s = 0; shape->scaled && s < SCALING_COUNT; s++) {
        scalings[s] =
            (struct model_scaling){.kind = (enum model_scaling_kind)s, .narrow = shape->narrow};
        if (s == SCALING_CURVE)
            scalings[s].curves = random_curves(arena, shape->width[0], state);
        else if (s < SCALING_L1)
            scalings[s].numbers =
                random_numbers(arena, shape->width[0], s == SCALING_AT_LEAST ? -9 : 9, state);
        net->scaling_count++;
    }
    net->layers = layers;
    net->scalings = scalings;
    net->narrow = shape->narrow;
    return net;
}

static bool same(double a, double b)
{
    return memcmp(&a, &b, sizeof(a)) == 0 || (isnan(a) && isnan(b));
}

/* Every build of the kernel, on pixels with what is odd among them, against the oracle. */
static void check(const struct shape *shape)
{
    static const double odd[] = {
        0.0,        -0.0, 1e-310, 1e30, -1e30, 800, -800, 1e-9, (double)INFINITY, -(double)INFINITY,
        (double)NAN};
    AUTO(arena) arena = arena_new();
    uint64_t state = 42;
    struct model_net *net = net_new(shape, arena, &state);
    uint32_t inputs = shape->width[0], outputs = net->layers[net->layer_count - 1].output_count;
    struct dense dense;
    struct tl_err err;

    assert_ok(dense_compile(net, arena, &dense, &err));
    double *pixels = arena_alloc(arena, (size_t)inputs * DENSE_STRIP, sizeof(*pixels));
    double *in = arena_alloc(arena, dense.room, sizeof(*in));
    double *spare = arena_alloc(arena, dense.room, sizeof(*spare));
    double *row = arena_alloc(arena, NET_MAX_WIDTH, sizeof(*row));
    double *expected = arena_alloc(arena, NET_MAX_WIDTH, sizeof(*expected));
    for (size_t i = 0; i < (size_t)inputs * DENSE_STRIP; i++)
        pixels[i] = i % 37 == 0 ? odd[i / 37 % TL_COUNT(odd)] : 3 * random_one(&state);
    for (enum cpu_isa isa = ISA_SCALAR; isa <= cpu_isa(); isa++) {
        memcpy(in, pixels, (size_t)inputs * DENSE_STRIP * sizeof(*in));
        const double *got = dense_choose(isa)->run(&dense, in, spare);
        for (uint32_t i = 0; i < DENSE_STRIP; i++) {
            for (uint32_t c = 0; c < inputs; c++)
                row[c] = pixels[(size_t)c * DENSE_STRIP + i];
            dense_walk(net, row, expected);
            for (uint32_t o = 0; o < outputs; o++)
                if (!same(got[(size_t)o * DENSE_STRIP + i], expected[o]))
                    fail_msg("%s: pixel %u, score %u: %a, not %a", cpu_isa_name(isa), i, o,
                             got[(size_t)o * DENSE_STRIP + i], expected[o]);
        }
    }
}

TEST(every_kernel_gives_the_bits_of_the_oracle)
{
    static const struct shape shapes[] = {
        {{24, 64, 32, 10}, ACTIVATION_RELU, false, false},
        {{24, 64, 32, 10}, ACTIVATION_RELU, true, false},
        {{5, 7, 3}, ACTIVATION_TANH, false, true},
        {{5, 7, 3}, ACTIVATION_TANH, true, true},
        {{3, 9, 2, 5, 1}, ACTIVATION_LOGISTIC, false, true},
        {{3, 9, 2, 5, 1}, ACTIVATION_LOGISTIC, true, false},
        {{4, 30, 6}, ACTIVATION_SQUARE, false, false},
        {{1, 1}, ACTIVATION_NONE, false, true},
        {{200, 255}, ACTIVATION_NONE, true, true},
        {{2, 1024, 254}, ACTIVATION_NONE, false, false},
    };

    for (size_t i = 0; i < TL_COUNT(shapes); i++)
        check(&shapes[i]);
}

/* Two columns, two hidden numbers, one score, by hand. */
TEST(a_net_is_sums_biases_and_activations)
{
    static const double w0[] = {2, -1, 0.5, 4}, b0[] = {1, -3}, w1[] = {3, -2}, b1[] = {0.25};
    static const double mean[] = {10, 20}, size[] = {2, 4};
    static const struct model_scaling scalings[] = {{.kind = SCALING_SUBTRACT, .numbers = mean},
                                                    {.kind = SCALING_DIVIDE, .numbers = size}};
    struct model_layer layers[] = {{2, 2, w0, b0, ACTIVATION_RELU},
                                   {2, 1, w1, b1, ACTIVATION_NONE}};
    struct model_net net = {false, 2, 2, scalings, layers};
    double values[NET_MAX_WIDTH] = {14, 16}, scores[NET_MAX_WIDTH];

    /* (2, -1) -> (6, -6) -> (6, 0) */
    dense_walk(&net, values, scores);
    assert_true(scores[0] == 18.25);
    layers[0].activation = ACTIVATION_SQUARE;
    values[0] = 14;
    values[1] = 16;
    dense_walk(&net, values, scores);
    assert_true(scores[0] == 3.0 * 36 - 2.0 * 36 + 0.25);
    layers[0].activation = ACTIVATION_TANH;
    values[0] = 14;
    values[1] = 16;
    dense_walk(&net, values, scores);
    assert_near(scores[0], 5 * tanh(6) + 0.25, 1e-14);
}

/* A product of float32 numbers is exact in double: what is lost is lost in sums alone. */
TEST(a_narrow_net_rounds_every_layer_once)
{
    static const double w[] = {0.1, 0.7}, b[] = {(double)0.3F}, one[] = {1}, none[] = {0};
    struct model_layer layers[] = {{2, 1, w, b, ACTIVATION_NONE},
                                   {1, 1, one, none, ACTIVATION_NONE}};
    struct model_net net = {true, 0, 2, NULL, layers};
    double values[NET_MAX_WIDTH] = {(double)1.7F, (double)2.9F}, scores[NET_MAX_WIDTH];
    double sum = (0.1 * values[0] + 0.7 * values[1]) + b[0];

    dense_walk(&net, values, scores);
    assert_true(scores[0] == (double)(float)sum && scores[0] != sum);
}

TEST(a_curve_is_followed_from_point_to_point_and_level_beyond)
{
    static const double x[] = {-1, 0.25, 0.75, 4}, y[] = {0.5, 0, 1, 7}, one[] = {1}, none[] = {0};
    static const double cases[][2] = {{-9, 0.5}, {-1, 0.5},  {0.25, 0}, {0.375, 0.25}, {0.5, 0.5},
                                      {0.75, 1}, {2.375, 4}, {4, 7},    {1e300, 7}};
    static const struct model_layer layer = {1, 1, one, none, ACTIVATION_NONE};
    struct model_curve curve = {4, x, y};
    struct model_scaling scaling = {.kind = SCALING_CURVE, .curves = &curve};
    struct model_net net = {false, 1, 1, &scaling, &layer};
    double values[NET_MAX_WIDTH], scores[NET_MAX_WIDTH];

    for (size_t i = 0; i < TL_COUNT(cases); i++) {
        values[0] = cases[i][0];
        dense_walk(&net, values, scores);
        assert_true(scores[0] == cases[i][1]);
    }
    values[0] = (double)NAN;
    dense_walk(&net, values, scores);
    assert_true(isnan(scores[0]));
    curve.count = 1;
    values[0] = 3;
    dense_walk(&net, values, scores);
    assert_true(scores[0] == 0.5);
}

TEST(rows_are_divided_by_their_norm_unless_it_is_zero)
{
    static const double one[] = {1, 0, 0, 1}, none[] = {0, 0};
    static const struct model_layer layer = {2, 2, one, none, ACTIVATION_NONE};
    static const struct {
        enum model_scaling_kind kind;
        double expected;
    } cases[] = {
        {SCALING_L1, 3.0 / 7}, {SCALING_L2, 0.6}, {SCALING_MAX, 0.75}, {SCALING_GREATEST, 1}};

    for (size_t i = 0; i < TL_COUNT(cases); i++) {
        struct model_scaling scaling = {.kind = cases[i].kind};
        struct model_net net = {false, 1, 1, &scaling, &layer};
        double values[NET_MAX_WIDTH] = {3, -4}, scores[NET_MAX_WIDTH];

        dense_walk(&net, values, scores);
        assert_true(scores[0] == cases[i].expected && scores[1] < 0);
        values[0] = values[1] = 0;
        dense_walk(&net, values, scores);
        assert_true(scores[0] == 0 && scores[1] == 0);
    }
}

/* Every build's softmax and winner, against one pixel's, of scores with what is odd among them. */
TEST(shares_and_winners_are_those_of_one_pixel)
{
    enum { CLASSES = 5 };
    static const double odd[] = {0, -800, 900, (double)INFINITY, -(double)INFINITY, (double)NAN};
    _Alignas(64) double scores[CLASSES * DENSE_STRIP], p[CLASSES * DENSE_STRIP], got[DENSE_STRIP];
    _Alignas(64) double best[DENSE_STRIP];
    uint64_t random = 7;

    for (size_t i = 0; i < TL_COUNT(scores); i++)
        scores[i] = i % 11 == 0 ? odd[i / 11 % TL_COUNT(odd)] : floor(20 * random_one(&random)) / 2;
    for (enum cpu_isa isa = ISA_SCALAR; isa <= cpu_isa(); isa++) {
        dense_choose(isa)->shares(CLASSES, scores, p);
        dense_choose(isa)->pick(CLASSES, scores, p, got, best);
        for (uint32_t i = 0; i < DENSE_STRIP; i++) {
            double one[CLASSES], share[CLASSES];

            for (uint32_t c = 0; c < CLASSES; c++)
                one[c] = scores[c * DENSE_STRIP + i];
            dense_softmax(CLASSES, one, share);
            for (uint32_t c = 0; c < CLASSES; c++)
                if (!same(p[c * DENSE_STRIP + i], share[c]))
                    fail_msg("%s: pixel %u, class %u: %a, not %a", cpu_isa_name(isa), i, c,
                             p[c * DENSE_STRIP + i], share[c]);
            assert_int_equal((uint32_t)got[i], walk_winner(one, CLASSES));
            assert_true(same(best[i], share[(uint32_t)got[i]]));
        }
    }
}

static double tanh_of(double x)
{
    return dense_activate(ACTIVATION_TANH, x);
}

static double logistic_of(double x)
{
    return dense_activate(ACTIVATION_LOGISTIC, x);
}

TEST(exp_and_what_is_made_of_it_are_near_the_c_librarys)
{
    for (int i = -80000; i <= 80000; i++) {
        double x = i / 100.0 + i * 1e-7, e = poly_exp(-fabs(x)), wanted = exp(-fabs(x));

        if (fabs(x) <= 708 && !(fabs(e - wanted) <= 0x1p-51 * wanted))
            fail_msg("exp of %.17g: %.17g, not %.17g", -fabs(x), e, wanted);
        if (!(fabs(tanh_of(x / 20) - tanh(x / 20)) <= 0x1p-51))
            fail_msg("tanh of %.17g: %.17g", x / 20, tanh_of(x / 20));
        if (!(fabs(logistic_of(x) - 1 / (1 + exp(-x))) <= 0x1p-51))
            fail_msg("logistic of %.17g: %.17g", x, logistic_of(x));
    }
    assert_true(poly_exp(-0.0) == 1 && isnan(poly_exp((double)NAN)));
    assert_true(logistic_of(-1e300) < 1e-300 && logistic_of(-(double)INFINITY) < 1e-300);
    assert_true(logistic_of(1e300) == 1 && logistic_of((double)INFINITY) == 1);
    assert_true(tanh_of((double)INFINITY) == 1 && tanh_of(-(double)INFINITY) == -1);
    assert_true(isnan(tanh_of((double)NAN)) && isnan(logistic_of((double)NAN)));
    assert_true(isnan(dense_activate(ACTIVATION_RELU, (double)NAN)));
}

RUN(T(every_kernel_gives_the_bits_of_the_oracle), T(a_net_is_sums_biases_and_activations),
    T(a_narrow_net_rounds_every_layer_once),
    T(a_curve_is_followed_from_point_to_point_and_level_beyond),
    T(rows_are_divided_by_their_norm_unless_it_is_zero),
    T(shares_and_winners_are_those_of_one_pixel),
    T(exp_and_what_is_made_of_it_are_near_the_c_librarys))
