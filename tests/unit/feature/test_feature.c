#include "tl_test.h"

#include "base/arena.h"
#include "feature/feature.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "feature_golden.h"

/* Bands "a", "b" and "s1.red" are planes 0, 1 and 2; those of "scaled" are half of them and 1. */
static bool find_band(void *udata, const char *name, size_t size, struct feature_band *ret_band)
{
    static const char *const names[] = {"a", "b", "s1.red", "scaled.a", "scaled.b"};

    (void)udata;
    for (int i = 0; i < 5; i++)
        if (strlen(names[i]) == size && memcmp(names[i], name, size) == 0) {
            *ret_band =
                i < 3 ? (struct feature_band){i, 1, 0} : (struct feature_band){i - 3, .5F, 1};
            return true;
        }
    return false;
}

/* The rows of golden_x are t1.v to t12.v, and the first of them the bands of s. */
static bool find_step(void *udata, const char *name, size_t size, struct feature_band *ret_band)
{
    char full[32];

    (void)udata;
    for (int i = 0; i < GOLDEN_STEPS + (int)TL_COUNT(golden_bands); i++) {
        if (i < GOLDEN_STEPS)
            snprintf(full, sizeof(full), "t%d.v", i + 1);
        else
            snprintf(full, sizeof(full), "s.%s", golden_bands[i - GOLDEN_STEPS]);
        *ret_band = (struct feature_band){i % GOLDEN_STEPS, 1, 0};
        if (strlen(full) == size && memcmp(full, name, size) == 0)
            return true;
    }
    return false;
}

static struct tl_err err;

static enum tl_code compile(const char *text, feature_band_fn *band, struct features **ret_features)
{
    const struct feature_text one = {.text = text};

    return features_compile(&one, 1, band, NULL, ret_features, &err);
}

static struct features *compiled(const char *text)
{
    struct features *features = NULL;

    assert_ok(compile(text, find_band, &features));
    return features;
}

static float value_of(const char *text, float a, float b)
{
    AUTO(arena) arena = arena_new();
    AUTO(features) features = compiled(text);
    float red = 3071, result = 0, *results[] = {&result};
    const float *const planes[] = {&a, &b, &red};

    assert_ok(features_run(features, planes, 1, arena, results, &err));
    return result;
}

static enum tl_code refused_with(const char *text, feature_band_fn *band)
{
    struct features *features = NULL;
    enum tl_code code = compile(text, band, &features);

    features_free(features);
    return code;
}

static enum tl_code refused(const char *text)
{
    return refused_with(text, find_band);
}

static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static float of_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

/* NaNs are one: numpy does not promise which. */
static bool same(float value, uint32_t expected)
{
    return bits_of(value) == expected || (isnan(value) && isnan(of_bits(expected)));
}

TEST(every_operator_gives_the_bits_that_numpy_gives)
{
    AUTO(arena) arena = arena_new();
    float a[GOLDEN_ROWS], b[GOLDEN_ROWS], out[GOLDEN_ROWS], *outs[] = {out};
    const float *const planes[] = {a, b, a};

    memcpy(a, golden_a, sizeof(a));
    memcpy(b, golden_b, sizeof(b));
    for (size_t g = 0; g < TL_COUNT(golden); g++) {
        AUTO(features) features = compiled(golden[g].text);
        assert_ok(features_run(features, planes, GOLDEN_ROWS, arena, outs, &err));
        for (int i = 0; i < GOLDEN_ROWS; i++)
            if (!same(out[i], golden[g].expected[i]))
                fail_msg("%s of %g, %g is %a, not %08x", golden[g].text, (double)a[i], (double)b[i],
                         (double)out[i], golden[g].expected[i]);
    }
}

static const float *golden_plane(int step)
{
    static float planes[GOLDEN_STEPS][GOLDEN_PIXELS];

    memcpy(planes, golden_x, sizeof(planes));
    return planes[step];
}

static void assert_series(size_t g, const float *out)
{
    for (int i = 0; i < GOLDEN_PIXELS; i++)
        if (!same(out[i], golden_series[g].expected[i]) &&
            out[i] != of_bits(golden_series[g].expected[i])) /* either zero */
            fail_msg("%s of pixel %d is %a, not %a", golden_series[g].text, i, (double)out[i],
                     (double)of_bits(golden_series[g].expected[i]));
}

TEST(indices_and_statistics_give_the_bits_that_numpy_gives)
{
    AUTO(arena) arena = arena_new();
    const float *planes[GOLDEN_STEPS];
    float out[GOLDEN_PIXELS], *outs[] = {out};

    for (int step = 0; step < GOLDEN_STEPS; step++)
        planes[step] = golden_plane(step);
    for (size_t g = 0; g < TL_COUNT(golden_series); g++) {
        AUTO(features) features = NULL;
        assert_ok(compile(golden_series[g].text, find_step, &features));
        assert_ok(features_run(features, planes, GOLDEN_PIXELS, arena, outs, &err));
        assert_series(g, out);
    }
}

TEST(expressions_compiled_together_give_what_each_gives_alone)
{
    enum { COUNT = TL_COUNT(golden_series) };
    AUTO(arena) arena = arena_new();
    AUTO(features) features = NULL;
    struct feature_text texts[COUNT];
    static float out[COUNT][GOLDEN_PIXELS];
    const float *planes[GOLDEN_STEPS];
    float *outs[COUNT];

    for (int step = 0; step < GOLDEN_STEPS; step++)
        planes[step] = golden_plane(step);
    for (int g = 0; g < COUNT; g++) {
        texts[g] = (struct feature_text){.text = golden_series[g].text};
        outs[g] = out[g];
    }
    assert_ok(features_compile(texts, COUNT, find_step, NULL, &features, &err));
    assert_ok(features_run(features, planes, GOLDEN_PIXELS, arena, outs, &err));
    for (int g = 0; g < COUNT; g++)
        assert_series((size_t)g, out[g]);
}

TEST(a_plane_of_any_length_equals_its_pixels_one_by_one)
{
    enum { MOST = 3 * 1024 + 17 };
    static const size_t sizes[] = {0, 1, 15, 255, 256, 257, 1025, MOST};
    static float a[MOST], b[MOST], out[MOST + 1];
    float *outs[] = {out};
    AUTO(arena) arena = arena_new();
    AUTO(features) features = compiled("where(a > b, nd(a, b), ln(a) * -2) + s1.red / 3");
    const float *const planes[] = {a, b, a};

    for (int i = 0; i < MOST; i++) {
        a[i] = (float)(i % 97) * 1.25f;
        b[i] = (float)(i % 31) * 2.5f;
    }
    for (size_t s = 0; s < TL_COUNT(sizes); s++) {
        out[sizes[s]] = 42;
        assert_ok(features_run(features, planes, sizes[s], arena, outs, &err));
        assert_true(out[sizes[s]] == 42);
        for (size_t i = 0; i < sizes[s]; i++) {
            const float *const one[] = {a + i, b + i, a + i};
            float alone, *alones[] = {&alone};
            assert_ok(features_run(features, one, 1, arena, alones, &err));
            assert_true(same(out[i], bits_of(alone)));
        }
    }
}

TEST(products_bind_tighter_than_sums_and_sums_than_comparisons)
{
    assert_true(value_of("1 + 2 * 3", 0, 0) == 7);
    assert_true(value_of("(1 + 2) * 3", 0, 0) == 9);
    assert_true(value_of("8 - 2 - 1", 0, 0) == 5);
    assert_true(value_of("16 / 4 / 2", 0, 0) == 2);
    assert_true(value_of("-2 * 3 - -1", 0, 0) == -5);
    assert_true(value_of("1 + 1 > 1 * 1", 0, 0) == 1);
    assert_true(value_of("a - b", 5, 3) == 2);
    assert_true(value_of("-a", 5, 3) == -5);
    assert_true(value_of(" s1.red\t", 0, 0) == 3071);
    assert_true(value_of(".5 + 5. + 1e1 + 1E-1", 0, 0) == 15.6f);
}

TEST(a_deep_but_legal_nest_keeps_all_its_intermediate_values)
{
    assert_true(value_of("where(a>b, min(a+b, max(a*b, a-b)), nd(a+1, clamp(b, a, 9)))", 3, 2) ==
                5);
    assert_true(value_of("((((((((((a+b)*2)+b)*2)+b)*2)+b)*2)+b)*2)", 1, 1) == 94);
}

TEST(division_by_zero_and_logarithms_of_nothing_follow_ieee)
{
    assert_true(isnan(value_of("a / b", 0, 0)));
    assert_true(isinf(value_of("a / b", 1, 0)));
    assert_true(isnan(value_of("ln(a)", -1, 0)));
    assert_true(isnan(value_of("nd(a, b)", 0, 0)));
    assert_true(isnan(value_of("min(a, b)", NAN, 1)) && isnan(value_of("max(a, b)", 1, NAN)));
}

TEST(a_refusal_says_the_column_and_what_was_expected)
{
    assert_refused(refused(""), TL_INVALID, "column 1: expected a number, a band or \"(\"");
    assert_refused(refused("a +"), TL_INVALID, "column 4: expected a number");
    assert_refused(refused("a b"), TL_INVALID, "column 3: expected an operator, not \"b\"");
    assert_refused(refused("(a"), TL_INVALID, "column 3: expected \")\"");
    assert_refused(refused("a + s1.redd"), TL_INVALID, "column 5: there is no band \"s1.redd\"");
    assert_refused(refused("log(a)"), TL_INVALID, "column 1: there is no function \"log\"");
    assert_refused(refused("nd(a)"), TL_INVALID, "column 5: expected \",\" and one more argument");
    assert_refused(refused("ln(a, b)"), TL_INVALID, "column 5: ln() takes 1 argument");
    assert_refused(refused("a < b < a"), TL_INVALID, "column 7: comparisons do not chain");
    assert_refused(refused("1e99"), TL_INVALID, "column 1: 1e99 is too large for float32");
    assert_refused(refused("2a"), TL_INVALID, "column 2: expected an operator after the number");
    assert_refused(refused("2_"), TL_INVALID, "column 2: expected an operator after the number");
    assert_refused(refused("a = b"), TL_INVALID, "column 3: expected an operator, not \"=\"");
    assert_refused(refused("a + \x01"), TL_INVALID,
                   "column 5: expected a number, a band or \"(\", "
                   "not byte 0x01");
    assert_refused(refused("0x10"), TL_INVALID, "column 2");
    assert_refused(refused("inf"), TL_INVALID, "no band \"inf\"");
}

/* `count` times `piece`, then `end`. */
static char *repeated(const char *piece, size_t count, const char *end)
{
    size_t size = strlen(piece);
    char *text = malloc(size * count + strlen(end) + 1);

    for (size_t i = 0; i < count; i++)
        memcpy(text + i * size, piece, size);
    memcpy(text + size * count, end, strlen(end) + 1);
    return text;
}

static void assert_too_large(const char *piece, size_t count, const char *end, const char *says)
{
    char *text = repeated(piece, count, end);
    enum tl_code code = refused(text);

    free(text);
    assert_refused(code, TL_LIMIT, says);
}

TEST(a_name_with_a_range_is_a_series)
{
    assert_true(value_of("sum(scaled.a, scaled.b)", 4, 8) == 3 + 5);
    assert_refused(refused_with("t{1..12}.v", find_step), TL_INVALID,
                   "column 1: a series of 12 values; a statistic");
    assert_refused(refused_with("max(t{1..3}.v - t{1..4}.v)", find_step), TL_INVALID,
                   "column 15: a series of 3 values and one of 4");
    assert_refused(refused_with("max(t{10..13}.v)", find_step), TL_INVALID,
                   "column 5: there is no band \"t13.v\"");
    assert_refused(refused_with("max(t{01..12}.v)", find_step), TL_INVALID, "no band \"t01.v\"");
    assert_refused(refused_with("max(t{3..1}.v)", find_step), TL_INVALID,
                   "column 6: a range goes up");
    assert_refused(refused_with("max(t{1..3.v)", find_step), TL_INVALID,
                   "column 6: a range of names is written {1..12}");
    assert_refused(refused_with("max(t{1..2}.v{1..2})", find_step), TL_INVALID,
                   "column 14: a name has one range");
    assert_refused(refused_with("max(t{1..129}.v)", find_step), TL_LIMIT,
                   "a range of 129 names; the limit is 128");
    assert_refused(refused_with("max(t{9990..10005}.v)", find_step), TL_INVALID,
                   "column 6: a range of names is written {1..12}");
    assert_refused(refused_with("slope(t1.v)", find_step), TL_INVALID,
                   "column 1: slope() is of at least 2 values");
    assert_refused(refused("{1..2}"), TL_INVALID, "expected a number");
}

TEST(an_index_of_a_source_says_which_band_is_missing)
{
    assert_refused(
        refused("ndvi(s1)"), TL_INVALID,
        "column 6: source \"s1\" has no band for near infrared: none of nir, nir_1, B08, "
        "nir08");
    assert_refused(refused_with("p90(ndvi(t{3..4}))", find_step), TL_INVALID,
                   "source \"t3\" has no band for near infrared");
    assert_refused(refused_with("evi(s)", find_step), TL_INVALID,
                   "column 6: evi() has constants for reflectances of 0 to 1; say what 1 is in the "
                   "source: evi(s, 10000) or evi(s, 1)");
    assert_refused(refused_with("evi(s, 0)", find_step), TL_INVALID, "column 8: what 1 is");
    assert_refused(refused_with("ndvi(s, 10000)", find_step), TL_INVALID, "column 7: ndvi() takes");
    assert_refused(refused("evi(a, b)"), TL_INVALID,
                   "column 9: expected \",\" and one more argument");
}

TEST(a_percentile_is_of_0_to_100)
{
    assert_refused(refused("percentile(101, a)"), TL_INVALID,
                   "column 12: a percentile is 0 to 100");
    assert_refused(refused("percentile(a, b)"), TL_INVALID, "column 12: expected a number");
    assert_refused(refused("p0(a)"), TL_INVALID, "no function \"p0\"");
    assert_refused(refused("p100(a)"), TL_INVALID, "no function \"p100\"");
    assert_true(value_of("P05(a)", 3, 4) == 3 && value_of("nanp5(b)", 3, 4) == 4);
}

TEST(a_band_of_a_scaled_source_is_scaled)
{
    assert_true(value_of("scaled.a", 7, 0) == 4.5F);
    assert_true(value_of("scaled.b - b", 0, 10) == -4);
}

TEST(a_fill_stands_where_a_feature_is_not_finite)
{
    static const float a[] = {1, NAN, INFINITY, -INFINITY, 0};
    const float *const planes[] = {a, a, a};
    struct feature_text texts[] = {{.text = "a", .fill = {true, -1}},
                                   {.text = "a", .fill = {true, NAN}},
                                   {.text = "1 / a", .fill = {true, 0}}};
    AUTO(arena) arena = arena_new();
    AUTO(features) features = NULL;
    float out[3][5], *outs[] = {out[0], out[1], out[2]};

    assert_ok(features_compile(texts, 3, find_band, NULL, &features, &err));
    assert_ok(features_run(features, planes, 5, arena, outs, &err));
    for (int i = 0; i < 5; i++) {
        assert_true(out[0][i] == (isfinite(a[i]) ? a[i] : -1));
        assert_true(isfinite(a[i]) ? out[1][i] == a[i] : isnan(out[1][i]));
    }
    assert_true(out[2][0] == 1 && out[2][1] == 0 && out[2][2] == 0 && out[2][4] == 0);
}

/* A text cut anywhere is refused or means something; it is never read beyond its end. */
TEST(a_text_may_end_anywhere)
{
    static const char text[] =
        "where(p90(ndvi(t{1..12}.v, t{01..02}.v), 1e-3) <= -.5, evi(s, 1e4), 2)";

    for (size_t size = 0; size <= sizeof(text); size++) {
        char *part = strndup(text, size);
        assert_true(refused_with(part, find_step) != TL_NOMEM);
        free(part);
    }
}

/* "b{1..128}" of any source. */
static bool find_any(void *udata, const char *name, size_t size, struct feature_band *ret_band)
{
    (void)udata;
    (void)size;
    *ret_band = (struct feature_band){(int)strtol(name + 3, NULL, 10), 1, 0};
    return true;
}

/* A sort of 128 values is a network of 1,471 pairs. */
TEST(what_a_document_may_cost_is_bounded)
{
    enum { COUNT = 40 };
    struct feature_text texts[COUNT];
    char text[COUNT][64];
    struct features *features = NULL;

    for (int i = 0; i < COUNT; i++) {
        snprintf(text[i], sizeof(text[i]), "median(s.b{1..128} * %d)", i + 1);
        texts[i] = (struct feature_text){.name = "many", .text = text[i]};
    }
    assert_ok(features_compile(texts, 10, find_any, NULL, &features, &err));
    features_free(features);
    assert_refused(
        features_compile(texts, COUNT, find_any, NULL, &features, &err), TL_LIMIT,
        "feature \"many\": \"median(s.b{1..128} * 21)\", column 1: the features take more "
        "than 65536 operations");
}

/* Products that are needed again after all others were made. */
TEST(what_is_alive_at_a_time_is_bounded)
{
    enum { COUNT = 80 };
    struct feature_text texts[COUNT];
    char text[COUNT][64];
    struct features *features = NULL;

    for (int i = 0; i < COUNT; i++) {
        snprintf(text[i], sizeof(text[i]), "%s(s.b{1..128} * %d)", i < COUNT / 2 ? "sum" : "min",
                 i % (COUNT / 2) + 1);
        texts[i] = (struct feature_text){.text = text[i]};
    }
    assert_ok(features_compile(texts, COUNT / 2, find_any, NULL, &features, &err));
    features_free(features);
    assert_refused(features_compile(texts, COUNT, find_any, NULL, &features, &err), TL_LIMIT,
                   "more than 4096 intermediate values at a time");
}

TEST(text_beyond_the_limit_is_refused_and_at_the_limit_taken)
{
    char *text = repeated("a+", 2047, "a");
    enum tl_code code = refused(text);

    free(text);
    assert_int_equal(code, TL_OK);
    assert_too_large("a+", 2048, "a", "more than 4096 characters");
}

/* Of numbers and of the names of a range: one character decides. */
TEST(a_number_of_63_characters_and_a_name_of_255_are_the_longest)
{
    assert_too_large("0", 62, ".5", "a number of 64 characters; the limit is 63");
    for (size_t more = 0; more < 2; more++) {
        char *number = repeated("0", 60 + more, ".5"), *name = repeated("n", 253 + more, "");
        char series[300];

        snprintf(series, sizeof(series), "max(%s.{1..2})", name);
        enum tl_code of_number = refused(number), of_name = refused_with(series, find_any);
        free(number);
        free(name);
        assert_int_equal(of_number, TL_OK);
        assert_int_equal(of_name, more ? TL_LIMIT : TL_OK);
    }
}

TEST(nesting_beyond_the_limit_is_refused)
{
    assert_too_large("(", 65, "a", "nested deeper than 64");
    assert_too_large("-", 80, "a", "nested deeper than 64");
    assert_too_large("abs(", 65, "a", "nested deeper than 64");
}

RUN(T(every_operator_gives_the_bits_that_numpy_gives),
    T(indices_and_statistics_give_the_bits_that_numpy_gives),
    T(expressions_compiled_together_give_what_each_gives_alone),
    T(a_plane_of_any_length_equals_its_pixels_one_by_one),
    T(products_bind_tighter_than_sums_and_sums_than_comparisons),
    T(a_deep_but_legal_nest_keeps_all_its_intermediate_values),
    T(division_by_zero_and_logarithms_of_nothing_follow_ieee),
    T(a_refusal_says_the_column_and_what_was_expected), T(a_name_with_a_range_is_a_series),
    T(an_index_of_a_source_says_which_band_is_missing), T(a_percentile_is_of_0_to_100),
    T(a_band_of_a_scaled_source_is_scaled), T(a_fill_stands_where_a_feature_is_not_finite),
    T(a_text_may_end_anywhere), T(what_a_document_may_cost_is_bounded),
    T(what_is_alive_at_a_time_is_bounded),
    T(text_beyond_the_limit_is_refused_and_at_the_limit_taken),
    T(a_number_of_63_characters_and_a_name_of_255_are_the_longest),
    T(nesting_beyond_the_limit_is_refused))
