#include "tl_test.h"

#include "base/arena.h"
#include "classify/feature.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "feature_golden.h"

/* Bands "a", "b" and "s1.red" are planes 0, 1 and 2. */
static int find_band(void *udata, const char *name, size_t size)
{
    static const char *const names[] = {"a", "b", "s1.red"};

    (void)udata;
    for (int i = 0; i < 3; i++)
        if (strlen(names[i]) == size && memcmp(names[i], name, size) == 0)
            return i;
    return -1;
}

static struct tl_err err;

static struct feature *compiled(const char *text)
{
    struct feature *feature = NULL;

    assert_ok(feature_compile(text, find_band, NULL, &feature, &err));
    return feature;
}

static float value_of(const char *text, float a, float b)
{
    AUTO(arena) arena = arena_new();
    AUTO(feature) feature = compiled(text);
    float red = 3071, result = 0;
    const float *const planes[] = {&a, &b, &red};

    assert_ok(feature_run(feature, planes, 1, arena, &result, &err));
    return result;
}

static enum tl_code refused(const char *text)
{
    struct feature *feature = NULL;
    enum tl_code code = feature_compile(text, find_band, NULL, &feature, &err);

    feature_free(feature);
    return code;
}

static uint32_t bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* NaNs are one: numpy does not promise which. */
static bool same(float value, uint32_t expected)
{
    float number;

    memcpy(&number, &expected, sizeof(number));
    return bits_of(value) == expected || (isnan(value) && isnan(number));
}

TEST(every_operator_gives_the_bits_that_numpy_gives)
{
    AUTO(arena) arena = arena_new();
    float a[GOLDEN_ROWS], b[GOLDEN_ROWS], out[GOLDEN_ROWS];
    const float *const planes[] = {a, b, a};

    memcpy(a, golden_a, sizeof(a));
    memcpy(b, golden_b, sizeof(b));
    for (size_t g = 0; g < TL_COUNT(golden); g++) {
        AUTO(feature) feature = compiled(golden[g].text);
        assert_ok(feature_run(feature, planes, GOLDEN_ROWS, arena, out, &err));
        for (int i = 0; i < GOLDEN_ROWS; i++)
            if (!same(out[i], golden[g].expected[i]))
                fail_msg("%s of %g, %g is %a, not %08x", golden[g].text, (double)a[i], (double)b[i],
                         (double)out[i], golden[g].expected[i]);
    }
}

TEST(a_plane_of_any_length_equals_its_pixels_one_by_one)
{
    enum { MOST = 3 * 1024 + 17 };
    static const size_t sizes[] = {0, 1, 15, 1023, 1024, 1025, MOST};
    static float a[MOST], b[MOST], out[MOST + 1];
    AUTO(arena) arena = arena_new();
    AUTO(feature) feature = compiled("where(a > b, nd(a, b), ln(a) * -2) + s1.red / 3");
    const float *const planes[] = {a, b, a};

    for (int i = 0; i < MOST; i++) {
        a[i] = (float)(i % 97) * 1.25f;
        b[i] = (float)(i % 31) * 2.5f;
    }
    for (size_t s = 0; s < TL_COUNT(sizes); s++) {
        out[sizes[s]] = 42;
        assert_ok(feature_run(feature, planes, sizes[s], arena, out, &err));
        assert_true(out[sizes[s]] == 42);
        for (size_t i = 0; i < sizes[s]; i++) {
            const float *const one[] = {a + i, b + i, a + i};
            float alone;
            assert_ok(feature_run(feature, one, 1, arena, &alone, &err));
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

TEST(text_beyond_the_limit_is_refused_and_at_the_limit_taken)
{
    char *text = repeated("a+", 2047, "a");
    enum tl_code code = refused(text);

    free(text);
    assert_int_equal(code, TL_OK);
    assert_too_large("a+", 2048, "a", "more than 4096 characters");
}

TEST(nesting_beyond_the_limit_is_refused)
{
    assert_too_large("(", 65, "a", "nested deeper than 64");
    assert_too_large("-", 80, "a", "nested deeper than 64");
    assert_too_large("abs(", 65, "a", "nested deeper than 64");
}

RUN(T(every_operator_gives_the_bits_that_numpy_gives),
    T(a_plane_of_any_length_equals_its_pixels_one_by_one),
    T(products_bind_tighter_than_sums_and_sums_than_comparisons),
    T(a_deep_but_legal_nest_keeps_all_its_intermediate_values),
    T(division_by_zero_and_logarithms_of_nothing_follow_ieee),
    T(a_refusal_says_the_column_and_what_was_expected),
    T(text_beyond_the_limit_is_refused_and_at_the_limit_taken),
    T(nesting_beyond_the_limit_is_refused))
