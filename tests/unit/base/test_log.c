#include "base/log.h"

#include "base/metric.h"

#include "fail_alloc.h"
#include "tl_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct tl_err err;
static char path[64];

static char *slurp(size_t *ret_size)
{
    int fd = open(path, O_RDONLY);
    struct stat st;

    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    char *text = calloc(1, (size_t)st.st_size + 1);
    assert_int_equal(read(fd, text, (size_t)st.st_size), st.st_size);
    close(fd);
    *ret_size = (size_t)st.st_size;
    return text;
}

TEST(lines_arrive_whole_and_in_order)
{
    struct log *log = NULL;
    size_t size;

    assert_ok(log_open(path, &log, &err));
    log_line(log, "{\"a\":1}", 7);
    log_line(log, "{\"b\":22}", 8);
    log_close(log);
    char *text = slurp(&size);
    assert_string_equal(text, "{\"a\":1}\n{\"b\":22}\n");
    free(text);
}

enum { WRITERS = 4, LINES = 30000 };

static void *write_lines(void *arg)
{
    struct log *log = ((void **)arg)[0];
    int writer = *(int *)((void **)arg)[1];
    char line[512];

    for (int i = 0; i < LINES; i++) {
        int n =
            snprintf(line, sizeof(line), "%d %d %0*d", writer, i, 1 + (i * 7 + writer) % 300, 0);

        log_line(log, line, (size_t)n);
    }
    return NULL;
}

/* 18 MB through a ring of 1 MB: every line is there, or counted as dropped. */
TEST(many_threads_lose_nothing_but_what_is_counted)
{
    struct log *log = NULL;
    pthread_t threads[WRITERS];
    int names[WRITERS];
    void *args[WRITERS][2];
    int next[WRITERS] = {0};
    int64_t dropped = metric_value(METRIC_LOG_DROPPED), seen = 0;
    size_t size;

    assert_ok(log_open(path, &log, &err));
    for (int i = 0; i < WRITERS; i++) {
        names[i] = i;
        args[i][0] = log;
        args[i][1] = &names[i];
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, args[i]), 0);
    }
    for (int i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    log_close(log);
    char *text = slurp(&size);
    for (char *line = text; *line; seen++) {
        char *rest, *end = strchr(line, '\n');
        long writer = strtol(line, &rest, 10), i = strtol(rest, &rest, 10);

        assert_non_null(end);
        assert_in_range(writer, 0, WRITERS - 1);
        assert_true(i >= next[writer]);
        next[writer] = (int)i + 1;
        assert_int_equal(end - rest - 1, 1 + (i * 7 + writer) % 300);
        line = end + 1;
    }
    free(text);
    assert_int_equal(seen + metric_value(METRIC_LOG_DROPPED) - dropped, WRITERS * LINES);
    assert_true(seen > 0);
}

TEST(a_stuck_reader_stops_nobody_and_drops_are_counted)
{
    struct log *log = NULL;
    int64_t before = metric_value(METRIC_LOG_DROPPED);
    char line[1000];

    memset(line, 'x', sizeof(line));
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(reader >= 0);
    assert_ok(log_open(path, &log, &err));
    for (int i = 0; i < 10000; i++)
        log_line(log, line, sizeof(line));
    assert_true(metric_value(METRIC_LOG_DROPPED) - before > 5000);
    log_close(log);
    close(reader);
}

TEST(a_reader_that_left_is_no_signal)
{
    struct log *log = NULL;

    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_ok(log_open(path, &log, &err));
    close(reader);
    log_line(log, "{}", 2);
    log_close(log);
}

TEST(lines_too_long_are_dropped_and_counted)
{
    struct log *log = NULL;
    int64_t before = metric_value(METRIC_LOG_DROPPED);
    char line[LOG_LINE_MAX + 1];
    size_t size;

    memset(line, 'y', sizeof(line));
    assert_ok(log_open(path, &log, &err));
    log_line(log, line, LOG_LINE_MAX);
    log_line(log, line, LOG_LINE_MAX + 1);
    log_line(log, line, 0);
    log_close(log);
    free(slurp(&size));
    assert_int_equal(size, LOG_LINE_MAX + 1);
    assert_int_equal(metric_value(METRIC_LOG_DROPPED) - before, 2);
}

TEST(an_event_is_one_json_object)
{
    struct log *log = NULL;
    size_t size;

    assert_ok(log_open(path, &log, &err));
    log_event(log, "warn", "http/on_tile", "say \"%s\"\n\x01 \xff", "hi");
    log_close(log);
    char *text = slurp(&size);
    assert_non_null(strstr(text, "Z\",\"level\":\"warn\",\"at\":\"http/on_tile\",\"msg\":\"say "
                                 "\\\"hi\\\"\\u000a\\u0001 \\u00ff\"}\n"));
    free(text);
}

TEST(a_long_event_is_cut_and_still_whole_json)
{
    struct log *log = NULL;
    static char message[5000];
    size_t size;

    memset(message, '\x01', sizeof(message) - 1);
    assert_ok(log_open(path, &log, &err));
    log_event(log, "info", "here", "%s", message);
    log_close(log);
    char *text = slurp(&size);
    assert_in_range(size, 1900, LOG_LINE_MAX + 1);
    assert_string_equal(text + size - 9, "\\u0001\"}\n");
    free(text);
}

TEST(time_is_rfc_3339_in_utc)
{
    char text[LOG_TIME_SIZE];

    log_time(INT64_C(1700000000000042), text);
    assert_string_equal(text, "2023-11-14T22:13:20.000042Z");
}

TEST(the_empty_path_swallows_everything)
{
    struct log *log = NULL;

    assert_ok(log_open("", &log, &err));
    log_line(log, "{}", 2);
    log_event(log, "info", "here", "x");
    log_close(log);
    assert_refused(log_open("/no/such/dir/log", &log, &err), TL_INVALID, "/no/such/dir/log");
}

TEST(without_memory_no_log_is_made)
{
    struct log *log = NULL;
    unsigned n;

    if (!FAIL_ALLOC)
        skip();
    for (n = 1; n < 20; n++) {
        fail_alloc_at(n);
        enum tl_code code = log_open(path, &log, &err);
        if (!fail_alloc_hit())
            break;
        assert_int_equal(code, TL_NOMEM);
        assert_null(log);
    }
    assert_in_range(n, 4, 19);
    log_close(log);
}

static int setup(void **state)
{
    (void)state;
    snprintf(path, sizeof(path), "/tmp/tilth-log-XXXXXX");
    int fd = mkstemp(path);
    close(fd);
    return fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

#define WITH_FILE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
RUN(WITH_FILE(lines_arrive_whole_and_in_order),
    WITH_FILE(many_threads_lose_nothing_but_what_is_counted),
    WITH_FILE(a_stuck_reader_stops_nobody_and_drops_are_counted),
    WITH_FILE(a_reader_that_left_is_no_signal), WITH_FILE(lines_too_long_are_dropped_and_counted),
    WITH_FILE(an_event_is_one_json_object), WITH_FILE(a_long_event_is_cut_and_still_whole_json),
    T(time_is_rfc_3339_in_utc), T(the_empty_path_swallows_everything),
    WITH_FILE(without_memory_no_log_is_made))
