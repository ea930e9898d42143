/* What an object store can do wrong, one fault at a time. */
#include "remote.h"

#include "base/metric.h"

#include <pthread.h>

/* An open object with a fault waiting for its next GETs. */
struct bench {
    struct store *store;
    struct object *object;
    struct errand errand;
};

static struct bench bench_with(const struct store_options *options, const char *faults)
{
    struct bench bench = {.store = store_with(options), .errand = errand_unbounded()};

    fake_s3_reset(&fake);
    bench.object = opened(bench.store, &fake, "b/scene");
    fake_s3_fault(&fake, "b/scene", faults);
    return bench;
}

static struct bench bench_new(const char *faults)
{
    struct store_options options = usual_options();

    return bench_with(&options, faults);
}

static void bench_free(struct bench *bench)
{
    object_unref(bench->object);
    store_free(bench->store);
}

#define AUTO_BENCH __attribute__((cleanup(bench_free))) struct bench

static int fetches_so_far(void)
{
    struct fake_log log;

    fake_s3_log(&fake, &log);
    return log.fetches;
}

/* A read that fails for good with the first answer: the open's GET and one more. */
static void assert_fatal(const char *faults, enum tl_code code, const char *says)
{
    AUTO_BENCH bench = bench_new(faults);
    struct tl_err err;

    assert_refused(try_read(bench.object, 500000, 1000, &bench.errand, &err), code, says);
    assert_non_null(strstr(err.msg, "/b/scene bytes 500000-500999: "));
    assert_int_equal(fetches_so_far(), 2);
}

/* A read that succeeds after `fetches` GETs. */
static void assert_survived(const char *faults, int fetches)
{
    AUTO_BENCH bench = bench_new(faults);
    struct tl_err err;

    assert_ok(try_read(bench.object, 500000, 1000, &bench.errand, &err));
    assert_int_equal(fetches_so_far(), 1 + fetches);
}

TEST(a_200_for_a_range_is_refused_without_reading_the_object)
{
    assert_fatal("[{\"kind\": \"ignore_range\"}]", TL_UPSTREAM, "ignores ranges");
}

TEST(a_large_object_of_a_server_without_ranges_is_not_opened)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    struct tl_err err;

    fake_s3_fault(&fake, "b/scene", "[{\"kind\": \"ignore_range\"}]");
    assert_refused(try_open(store, &fake, "b/scene", &err), TL_UPSTREAM, "ignores ranges");
}

TEST(a_wrong_content_range_is_refused)
{
    assert_fatal("[{\"kind\": \"content_range\", \"value\": \"bytes 500001-501000/1000000\"}]",
                 TL_UPSTREAM, "were asked for");
    assert_fatal("[{\"kind\": \"content_range\", \"value\": \"bytes 0-999/*\"}]", TL_UPSTREAM,
                 "malformed Content-Range");
    assert_fatal("[{\"kind\": \"content_range\", \"value\": \"\"}]", TL_UPSTREAM,
                 "without a Content-Range");
    assert_fatal("[{\"kind\": \"content_range\", \"value\": \"bytes 500000-500999/999\"}]",
                 TL_UPSTREAM, "malformed Content-Range");
}

TEST(another_etag_means_changed_even_when_if_match_was_ignored)
{
    assert_fatal("[{\"kind\": \"etag\", \"value\": \"\\\"other\\\"\"}]", TL_CHANGED, "other");
}

TEST(an_answer_that_lost_its_etag_is_refused)
{
    assert_fatal("[{\"kind\": \"etag\", \"value\": \"\"}]", TL_UPSTREAM, "ETag");
}

TEST(a_412_means_changed)
{
    assert_fatal("[{\"kind\": \"status\", \"status\": 412}]", TL_CHANGED, "HTTP 412");
}

TEST(more_bytes_than_the_range_are_refused)
{
    assert_fatal("[{\"kind\": \"extra\", \"bytes\": 1}]", TL_UPSTREAM, "Content-Length 1001");
    assert_fatal("[{\"kind\": \"chunked_extra\", \"bytes\": 1}]", TL_UPSTREAM, "more than");
}

TEST(an_html_page_is_refused_for_a_read_and_for_an_open)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    struct tl_err err;

    assert_fatal("[{\"kind\": \"html\"}]", TL_UPSTREAM, "HTML page");
    fake_s3_fault(&fake, "b/scene", "[{\"kind\": \"html\"}]");
    assert_refused(try_open(store, &fake, "b/scene", &err), TL_UPSTREAM, "HTML page");
}

TEST(a_redirect_is_refused_and_its_target_named)
{
    assert_fatal("[{\"kind\": \"redirect\", \"location\": \"http://127.0.0.1:1/steal\"}]",
                 TL_UPSTREAM, "http://127.0.0.1:1/steal");
}

TEST(client_errors_are_not_tried_again)
{
    assert_fatal("[{\"kind\": \"status\", \"status\": 400, "
                 "\"body\": \"<Error><Code>AuthorizationHeaderMalformed</Code></Error>\"}]",
                 TL_UPSTREAM, "HTTP 400 AuthorizationHeaderMalformed");
    assert_fatal("[{\"kind\": \"status\", \"status\": 403, "
                 "\"body\": \"<Error><Code>AccessDenied</Code></Error>\"}]",
                 TL_UPSTREAM, "credentials");
    assert_fatal("[{\"kind\": \"status\", \"status\": 404}]", TL_CHANGED, "the object is gone");
}

TEST(a_compressed_answer_is_refused)
{
    assert_fatal("[{\"kind\": \"header\", \"name\": \"Content-Encoding\", \"value\": \"gzip\"}]",
                 TL_UPSTREAM, "Content-Encoding");
}

TEST(two_503_are_survived)
{
    int64_t before = metric_value(METRIC_FETCH_RETRIES);

    assert_survived("[{\"kind\": \"status\", \"status\": 503, \"times\": 2}]", 3);
    assert_int_equal(metric_value(METRIC_FETCH_RETRIES) - before, 2);
}

TEST(passing_statuses_are_tried_again)
{
    static const int statuses[] = {408, 429, 500, 502, 504};
    char faults[80];

    for (size_t i = 0; i < TL_COUNT(statuses); i++) {
        snprintf(faults, sizeof(faults), "[{\"kind\": \"status\", \"status\": %d}]", statuses[i]);
        assert_survived(faults, 2);
    }
}

TEST(a_short_body_a_reset_and_a_dropped_connection_are_survived)
{
    assert_survived("[{\"kind\": \"short\", \"bytes\": 999}]", 2);
    assert_survived("[{\"kind\": \"chunked_short\", \"bytes\": 999}]", 2);
    /* The first reset hits a kept connection: libcurl replaces that by itself. */
    assert_survived("[{\"kind\": \"reset\"}, {\"kind\": \"reset\"}]", 3);
    assert_survived("[{\"kind\": \"drop\"}, {\"kind\": \"drop\"}]", 3);
}

TEST(a_keep_alive_connection_that_was_closed_is_replaced)
{
    AUTO_BENCH bench = bench_new("[{\"kind\": \"close_after\", \"times\": 3}]");
    struct tl_err err;

    for (uint64_t i = 0; i < 5; i++)
        assert_ok(try_read(bench.object, 100000 * (i + 1), 1000, &bench.errand, &err));
    assert_int_equal(fetches_so_far(), 6);
}

TEST(connections_are_kept_alive)
{
    AUTO_BENCH bench = bench_new("[]");
    struct fake_log log;
    struct tl_err err;
    char port[32];
    int same = 0;

    for (uint64_t i = 0; i < 10; i++)
        assert_ok(try_read(bench.object, 50000 * (i + 1), 1000, &bench.errand, &err));
    fake_s3_log(&fake, &log);
    const char *at = strstr(log.text, "\"port\": ");
    snprintf(port, sizeof(port), "%.20s", at);
    *strchr(port, ',') = '\0';
    for (; (at = strstr(at, port)); at++)
        same++;
    assert_int_equal(same, 11);
}

TEST(a_503_storm_fails_after_the_last_try_and_says_so)
{
    AUTO_BENCH bench = bench_new("[{\"kind\": \"status\", \"status\": 503, \"times\": -1}]");
    struct tl_err err;

    assert_refused(try_read(bench.object, 500000, 1000, &bench.errand, &err), TL_UPSTREAM,
                   "HTTP 503 SlowDown (tried 4 times)");
    assert_int_equal(fetches_so_far(), 5);
}

TEST(retry_after_is_waited_for)
{
    AUTO_BENCH bench = bench_new("[{\"kind\": \"status\", \"status\": 503, "
                                 "\"headers\": {\"Retry-After\": \"1\"}}]");
    int64_t start_ns = clock_now_ns();
    struct tl_err err;

    assert_ok(try_read(bench.object, 500000, 1000, &bench.errand, &err));
    /* Not a speed: the server asked for at least this. */
    assert_true(clock_now_ns() - start_ns >= NS_PER_S);
}

TEST(a_retry_after_beyond_ten_seconds_fails_at_once)
{
    assert_fatal("[{\"kind\": \"status\", \"status\": 503, "
                 "\"headers\": {\"Retry-After\": \"120\"}}]",
                 TL_UPSTREAM, "asks to wait 120 s");
}

TEST(a_trickle_ends_at_the_deadline)
{
    AUTO_BENCH bench = bench_new("[{\"kind\": \"trickle\", \"rate\": 1, \"times\": -1}]");
    struct tl_err err;

    bench.errand.deadline_ns = clock_now_ns() + 300 * NS_PER_MS;
    assert_refused(try_read(bench.object, 500000, 1000, &bench.errand, &err), TL_TIMEOUT,
                   "/b/scene");
}

TEST(a_trickle_ends_at_the_time_limit_of_a_try_and_is_tried_again)
{
    struct store_options options = usual_options();

    options.timeout_ns = 300 * NS_PER_MS;
    AUTO_BENCH bench = bench_with(&options, "[{\"kind\": \"trickle\", \"rate\": 1}]");
    struct tl_err err;
    assert_ok(try_read(bench.object, 500000, 1000, &bench.errand, &err));
    assert_true(bench.errand.fetches >= 2);
}

TEST(a_deadline_during_retries_names_the_last_failure)
{
    AUTO_BENCH bench = bench_new("[{\"kind\": \"status\", \"status\": 503, \"times\": -1, "
                                 "\"headers\": {\"Retry-After\": \"5\"}}]");
    struct tl_err err;

    bench.errand.deadline_ns = clock_now_ns() + 300 * NS_PER_MS;
    assert_refused(try_read(bench.object, 500000, 1000, &bench.errand, &err), TL_TIMEOUT,
                   "HTTP 503");
}

static void *cancel_soon(void *udata)
{
    struct timespec pause = {.tv_nsec = 100 * NS_PER_MS};

    nanosleep(&pause, NULL);
    atomic_store((atomic_bool *)udata, true);
    return NULL;
}

TEST(a_cancelled_read_returns_and_the_store_goes_on)
{
    AUTO_BENCH bench = bench_new("[{\"kind\": \"stall\", \"seconds\": 5}]");
    atomic_bool cancelled = false;
    pthread_t thread;
    struct tl_err err;

    bench.errand.cancelled = &cancelled;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, &cancelled), 0);
    enum tl_code code = try_read(bench.object, 500000, 1000, &bench.errand, &err);
    pthread_join(thread, NULL);
    assert_int_equal(code, TL_CANCELLED);

    struct errand errand = errand_unbounded();
    assert_ok(try_read(bench.object, 500000, 1000, &errand, &err));
}

TEST(a_cancelled_errand_asks_for_nothing)
{
    AUTO_BENCH bench = bench_new("[]");
    atomic_bool cancelled = true;
    struct tl_err err;

    bench.errand.cancelled = &cancelled;
    assert_int_equal(try_read(bench.object, 500000, 1000, &bench.errand, &err), TL_CANCELLED);
    assert_int_equal(fetches_so_far(), 1);
}

/* A second caller of the same bytes, with patience. */
struct companion {
    struct object *object;
    struct errand errand;
    enum tl_code code;
    struct tl_err err;
};

static void *read_along(void *udata)
{
    struct companion *companion = udata;

    companion->code =
        try_read(companion->object, 500000, 1000, &companion->errand, &companion->err);
    return NULL;
}

TEST(who_leaves_does_not_take_the_bytes_from_who_stays)
{
    AUTO_BENCH bench = bench_new("[{\"kind\": \"stall\", \"seconds\": 1.0}]");
    struct companion companion = {.object = bench.object, .errand = errand_unbounded()};
    pthread_t thread;
    struct tl_err err;

    bench.errand.deadline_ns = clock_now_ns() + 500 * NS_PER_MS;
    assert_int_equal(pthread_create(&thread, NULL, read_along, &companion), 0);
    enum tl_code code = try_read(bench.object, 500000, 1000, &bench.errand, &err);
    pthread_join(thread, NULL);
    assert_int_equal(code, TL_TIMEOUT);
    err = companion.err;
    assert_ok(companion.code);
    assert_int_equal(fetches_so_far(), 2);
}

/* Whether a stalled read was answered by its second request. */
static bool is_overtaken(struct bench *bench)
{
    struct tl_err err;

    /* 3 % of 100 requests: the budget holds three hedges. */
    for (uint64_t i = 0; i < 100; i++)
        assert_ok(try_read(bench->object, 40000 + 1000 * i, 500, &bench->errand, &err));
    fake_s3_fault(&fake, "b/scene", "[{\"kind\": \"stall\", \"seconds\": 1.5}]");
    bench->errand.fetches = 0;
    assert_ok(try_read(bench->object, 500000, 1000, &bench->errand, &err));
    return bench->errand.fetches == 2;
}

TEST(a_stalled_answer_is_overtaken_by_a_second_request)
{
    struct store_options options = usual_options();
    bool overtaken = false;

    options.retries = 0;
    AUTO_BENCH bench = bench_with(&options, "[]");
    /* On a busy machine the budget may go to answers that are slow by themselves. */
    for (int round = 0; round < 5 && !overtaken; round++)
        overtaken = is_overtaken(&bench);
    assert_true(overtaken);
}

TEST(the_hedge_budget_ends)
{
    struct store_options options = usual_options();
    AUTO_BENCH bench = bench_with(&options, "[]");
    struct tl_err err;

    for (uint64_t i = 0; i < 40; i++)
        assert_ok(try_read(bench.object, 40000 + 1000 * i, 500, &bench.errand, &err));
    fake_s3_fault(&fake, "b/scene", "[{\"kind\": \"stall\", \"seconds\": 0.3, \"times\": -1}]");
    bench.errand.fetches = 0;
    for (uint64_t i = 0; i < 4; i++)
        assert_ok(try_read(bench.object, 500000 + 1000 * i, 500, &bench.errand, &err));
    /* At most one for the 40 requests and one that was saved up. */
    assert_in_range(bench.errand.fetches, 4, 6);
}

TEST(five_failures_in_a_row_open_the_breaker_and_a_probe_closes_it)
{
    struct store_options options = usual_options();
    struct timespec pause = {.tv_sec = 1, .tv_nsec = 100 * NS_PER_MS};

    options.retries = 0;
    AUTO_BENCH bench =
        bench_with(&options, "[{\"kind\": \"status\", \"status\": 500, \"times\": 5}]");
    struct tl_err err;
    for (uint64_t i = 0; i < 5; i++)
        assert_refused(try_read(bench.object, 500000 + 1000 * i, 500, &bench.errand, &err),
                       TL_UPSTREAM, "HTTP 500");
    assert_refused(try_read(bench.object, 600000, 500, &bench.errand, &err), TL_UPSTREAM,
                   "failed 5 times in a row (HTTP 500");
    assert_int_equal(fetches_so_far(), 6);
    nanosleep(&pause, NULL);
    assert_ok(try_read(bench.object, 600000, 500, &bench.errand, &err));
    assert_ok(try_read(bench.object, 700000, 500, &bench.errand, &err));
}

TEST(a_host_that_refuses_connections_is_upstream_and_named)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    struct errand errand = errand_unbounded();
    struct object *object;
    struct tl_err err;

    assert_refused(object_open(store, "http://127.0.0.1:1/x", NULL, &errand, &object, &err),
                   TL_UPSTREAM, "http://127.0.0.1:1/x");
    assert_non_null(strstr(err.msg, "tried 4 times"));
}

TEST(one_lost_range_of_many_fails_the_read_and_leaks_none)
{
    struct store_options options = usual_options();
    const struct range ranges[] = {{100000, 1000}, {300000, 1000}, {500000, 1000}, {900000, 1000}};
    struct slice slices[4];
    struct tl_err err;

    options.retries = 0;
    AUTO_BENCH bench = bench_with(&options, "[{\"kind\": \"pass\", \"times\": 2}, "
                                            "{\"kind\": \"status\", \"status\": 500}]");
    assert_refused(object_read(bench.object, ranges, 4, &bench.errand, slices, &err), TL_UPSTREAM,
                   "HTTP 500");
}

TEST(the_connection_limit_is_kept_and_everything_still_comes)
{
    struct store_options options = usual_options();
    struct range ranges[60];
    struct slice slices[60];
    struct tl_err err;

    options.max_connections = 3;
    AUTO_BENCH bench = bench_with(&options, "[]");
    for (uint64_t i = 0; i < 60; i++)
        ranges[i] = (struct range){40000 + 10000 * i, 100};
    assert_ok(object_read(bench.object, ranges, 60, &bench.errand, slices, &err));
    for (uint64_t i = 0; i < 60; i++) {
        assert_true(is_scene(slices[i].bytes, ranges[i].offset, 100));
        blob_unref(slices[i].owner);
    }
    /* The head, 60 ranges, and on a busy machine the hedges that 3 % of them may cost. */
    assert_in_range(fetches_so_far(), 61, 63);
}

RUN_WITH_SCENE(
    T(a_200_for_a_range_is_refused_without_reading_the_object),
    T(a_large_object_of_a_server_without_ranges_is_not_opened), T(a_wrong_content_range_is_refused),
    T(another_etag_means_changed_even_when_if_match_was_ignored),
    T(an_answer_that_lost_its_etag_is_refused), T(a_412_means_changed),
    T(more_bytes_than_the_range_are_refused), T(an_html_page_is_refused_for_a_read_and_for_an_open),
    T(a_redirect_is_refused_and_its_target_named), T(client_errors_are_not_tried_again),
    T(a_compressed_answer_is_refused), T(two_503_are_survived), T(passing_statuses_are_tried_again),
    T(a_short_body_a_reset_and_a_dropped_connection_are_survived),
    T(a_keep_alive_connection_that_was_closed_is_replaced), T(connections_are_kept_alive),
    T(a_503_storm_fails_after_the_last_try_and_says_so), T(retry_after_is_waited_for),
    T(a_retry_after_beyond_ten_seconds_fails_at_once), T(a_trickle_ends_at_the_deadline),
    T(a_trickle_ends_at_the_time_limit_of_a_try_and_is_tried_again),
    T(a_deadline_during_retries_names_the_last_failure),
    T(a_cancelled_read_returns_and_the_store_goes_on), T(a_cancelled_errand_asks_for_nothing),
    T(who_leaves_does_not_take_the_bytes_from_who_stays),
    T(a_stalled_answer_is_overtaken_by_a_second_request), T(the_hedge_budget_ends),
    T(five_failures_in_a_row_open_the_breaker_and_a_probe_closes_it),
    T(a_host_that_refuses_connections_is_upstream_and_named),
    T(one_lost_range_of_many_fails_the_read_and_leaks_none),
    T(the_connection_limit_is_kept_and_everything_still_comes))
