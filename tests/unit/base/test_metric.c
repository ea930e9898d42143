#include "base/metric.h"

#include "base/buf.h"

#include "tl_test.h"

#include <pthread.h>
#include <string.h>

enum { THREADS = 20, EACH = 1000 };

static void *add_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < EACH; i++) {
        metric_add(METRIC_FETCHES, 1);
        metric_observe_ns(METRIC_RENDER_SECONDS, 2000000);
        metric_add_by(METRIC_TILES, i % 2 ? "hit" : "rendered", 1);
    }
    return NULL;
}

static char *printed(void)
{
    static char text[64 * 1024];
    AUTO_BUF out = {0};

    metric_print(&out);
    assert_false(buf_failed(&out));
    assert_true(out.size < sizeof(text));
    memcpy(text, out.bytes, out.size);
    text[out.size] = '\0';
    return text;
}

TEST(adds_of_more_threads_than_shards_are_all_counted)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(metric_value(METRIC_FETCHES), THREADS * EACH);
    assert_int_equal(metric_value(METRIC_RENDER_SECONDS), THREADS * EACH);
    assert_int_equal(metric_value(METRIC_TILES), THREADS * EACH);
    assert_non_null(strstr(printed(), "tilth_tiles_total{result=\"hit\"} 10000\n"));
}

TEST(a_histogram_is_cumulative_and_in_seconds)
{
    metric_observe_ns(METRIC_HTTP_SECONDS, 100000);
    metric_observe_ns(METRIC_HTTP_SECONDS, 100001);
    metric_observe_ns(METRIC_HTTP_SECONDS, 60000000000);
    const char *text = printed();
    assert_non_null(strstr(text, "tilth_http_request_duration_seconds_bucket{le=\"0.0001\"} 1\n"));
    assert_non_null(strstr(text, "tilth_http_request_duration_seconds_bucket{le=\"0.00025\"} 2\n"));
    assert_non_null(strstr(text, "tilth_http_request_duration_seconds_bucket{le=\"30\"} 2\n"));
    assert_non_null(strstr(text, "tilth_http_request_duration_seconds_bucket{le=\"+Inf\"} 3\n"));
    assert_non_null(strstr(text, "tilth_http_request_duration_seconds_sum 60.000200001\n"));
    assert_non_null(strstr(text, "tilth_http_request_duration_seconds_count 3\n"));
}

TEST(a_gauge_is_set_and_moved)
{
    metric_set(METRIC_HTTP_CONNECTIONS, 5);
    metric_add(METRIC_HTTP_CONNECTIONS, -2);
    assert_int_equal(metric_value(METRIC_HTTP_CONNECTIONS), 3);
    assert_non_null(strstr(printed(), "# TYPE tilth_http_connections gauge\n"
                                      "tilth_http_connections 3\n"));
}

TEST(more_labels_than_slots_count_as_other)
{
    static char words[40][8];

    for (int i = 0; i < 40; i++) {
        snprintf(words[i], sizeof(words[i]), "w%d", i);
        metric_add_by(METRIC_CACHE_HITS, words[i], 1);
    }
    assert_int_equal(metric_value(METRIC_CACHE_HITS), 40);
    assert_non_null(strstr(printed(), "tilth_cache_hits_total{tier=\"other\"} 8\n"));
    assert_non_null(strstr(printed(), "tilth_cache_hits_total{tier=\"w31\"} 1\n"));
}

TEST(equal_words_at_two_addresses_are_one_label)
{
    static const char a[] = "404", b[] = "404";

    metric_add_by(METRIC_HTTP_REQUESTS, a, 1);
    metric_add_by(METRIC_HTTP_REQUESTS, b, 1);
    assert_non_null(strstr(printed(), "tilth_http_requests_total{code=\"404\"} 2\n"));
}

RUN(T(adds_of_more_threads_than_shards_are_all_counted),
    T(a_histogram_is_cumulative_and_in_seconds), T(a_gauge_is_set_and_moved),
    T(more_labels_than_slots_count_as_other), T(equal_words_at_two_addresses_are_one_label))
