#include "base/err.h"

#include "base/clock.h"
#include "base/errand.h"

#include "tl_test.h"

#include <string.h>

static struct tl_err err;

TEST(a_failure_carries_its_code_and_message)
{
    assert_int_equal(tl_fail(&err, TL_CORRUPT, "block %d", 17), TL_CORRUPT);
    assert_string_equal(err.msg, "block 17");
    assert_int_equal(tl_context(&err, TL_CORRUPT, "layer %s: ", "lulc"), TL_CORRUPT);
    assert_string_equal(err.msg, "layer lulc: block 17");
}

TEST(a_message_too_long_is_cut)
{
    static char long_text[2000];

    memset(long_text, 'm', sizeof(long_text) - 1);
    tl_fail(&err, TL_LIMIT, "%s", long_text);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    tl_context(&err, TL_LIMIT, "%s", "before: ");
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    assert_int_equal(strncmp(err.msg, "before: mmm", 11), 0);
    tl_context(&err, TL_LIMIT, "%s", long_text);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
}

TEST(every_code_has_a_status_a_key_and_a_text)
{
    for (unsigned code = 0; code < TL_CODE_COUNT; code++) {
        assert_in_range(tl_code_http((enum tl_code)code), 200, 599);
        assert_true(strlen(tl_code_key((enum tl_code)code)) > 0);
        assert_true(strlen(tl_code_text((enum tl_code)code)) > 0);
    }
    assert_int_equal(tl_code_http(TL_BUSY), 503);
    assert_string_equal(tl_code_key(TL_UPSTREAM), "upstream");
}

TEST(an_errand_ends_with_its_deadline_or_its_last_waiter)
{
    struct errand errand = errand_unbounded();
    atomic_bool cancelled = false;

    assert_ok(errand_check(&errand, &err));
    errand.deadline_ns = clock_now_ns() - 1;
    assert_refused(errand_check(&errand, &err), TL_TIMEOUT, "deadline");
    errand.deadline_ns = clock_now_ns() + 3600 * NS_PER_S;
    errand.cancelled = &cancelled;
    assert_ok(errand_check(&errand, &err));
    cancelled = true;
    assert_refused(errand_check(&errand, &err), TL_CANCELLED, "nobody waits");
}

TEST(a_lap_adds_the_time_of_its_stage)
{
    struct errand errand = errand_unbounded();
    int64_t start = clock_now_ns() - 1000;

    assert_true(errand_lap(&errand, STAGE_WARP, start) > start);
    assert_true(errand.spent_ns[STAGE_WARP] >= 1000);
    assert_int_equal(errand.spent_ns[STAGE_QUEUE], 0);
    assert_string_equal(errand_stage_name(STAGE_CLASSIFY), "classify");
}

RUN(T(a_failure_carries_its_code_and_message), T(a_message_too_long_is_cut),
    T(every_code_has_a_status_a_key_and_a_text),
    T(an_errand_ends_with_its_deadline_or_its_last_waiter), T(a_lap_adds_the_time_of_its_stage))
