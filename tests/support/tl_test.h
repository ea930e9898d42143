/*
 * tl_test: cmocka with our own names. A test's name is a sentence:
 *
 *   TEST(a_column_past_the_edge_is_absent_and_says_which) { ... }
 *   RUN(cmocka_unit_test(a_column_past_the_edge_is_absent_and_says_which))
 *
 * assert_float_equal() of cmocka 1.1.5 compares as float: use assert_near().
 */
#ifndef TILTH_TESTS_TL_TEST_H
#define TILTH_TESTS_TL_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/err.h"

#define TEST(name) static void name(void **state __attribute__((unused)))
#define T(name)    cmocka_unit_test(name)
#define RUN(...)   RUN_BETWEEN(NULL, NULL, __VA_ARGS__)
/* `before` and `after` all tests: int f(void **state), 0 when it went well. */
#define RUN_BETWEEN(before, after, ...)                      \
    int main(void)                                           \
    {                                                        \
        const struct CMUnitTest tests[] = {__VA_ARGS__};     \
        return cmocka_run_group_tests(tests, before, after); \
    }

#define assert_near(a, b, tolerance)                                                           \
    do {                                                                                       \
        double near_a_ = (a), near_b_ = (b);                                                   \
        if (!(fabs(near_a_ - near_b_) <= (tolerance)))                                         \
            fail_msg("%s = %.17g is not within %g of %.17g", #a, near_a_, (double)(tolerance), \
                     near_b_);                                                                 \
    } while (0)

/* The call succeeds; its message is shown when it does not. Needs `struct tl_err err`. */
#define assert_ok(expr)                                               \
    do {                                                              \
        enum tl_code ok_ = (expr);                                    \
        if (ok_ != TL_OK)                                             \
            fail_msg("%s: %s: %s", #expr, tl_code_key(ok_), err.msg); \
    } while (0)

/* The call fails with `code` and a message that holds `text`. */
#define assert_refused(expr, code, text)                                                     \
    do {                                                                                     \
        enum tl_code refused_ = (expr);                                                      \
        if (refused_ != (code))                                                              \
            fail_msg("%s: got %s, not %s", #expr, tl_code_key(refused_), tl_code_key(code)); \
        if (!strstr(err.msg, (text)))                                                        \
            fail_msg("%s: \"%s\" does not say \"%s\"", #expr, err.msg, (text));              \
    } while (0)

#endif
