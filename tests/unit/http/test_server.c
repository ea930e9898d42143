/* The seam alone, with handlers of the test's own and real sockets on loopback. */
#include "http/server.h"

#include "base/blob.h"
#include "base/clock.h"

#include "tl_test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct tl_err err;

struct parked {
    struct ticket ticket;
    struct request *request;
};

/* What the handlers saw; one server runs per test. */
static struct {
    struct server *server;
    pthread_t thread;
    atomic_uint requests, ends, aborted, gone, late, arrived;
    _Atomic(struct parked *) parked;
    struct parked place;
    bool leave_is_last; /* what leave() returns */
} seen;

static void reply_text(struct request *request, int status, const char *text)
{
    struct reply reply = {.status = status, .text = text_of(text)};

    reply.headers[0].name = "x-test";
    reply.headers[0].value = text_of("yes");
    reply.header_count = 1;
    reply.bodiless = text_is(request->method, "HEAD");
    request_reply(request, &reply);
}

static void on_arrived(struct ticket *ticket, struct request *request)
{
    (void)ticket;
    atomic_fetch_add(&seen.arrived, 1);
    if (request)
        reply_text(request, 200, "late but here");
}

static bool on_leave(struct ticket *ticket, struct request *request, enum leave_reason why)
{
    (void)ticket;
    if (why == LEAVE_LATE) {
        reply_text(request, 504, "too late");
        atomic_fetch_add(&seen.late, 1);
    } else {
        atomic_fetch_add(&seen.gone, 1);
    }
    return seen.leave_is_last;
}

static void park(struct request *request, int64_t deadline_ns)
{
    seen.place = (struct parked){
        .ticket = {.deadline_ns = deadline_ns, .arrived = on_arrived, .leave = on_leave}};
    ticket_bind(&seen.place.ticket, request);
    assert_true(ticket_is_home(&seen.place.ticket));
    request_park(request, &seen.place.ticket);
    atomic_store(&seen.parked, &seen.place);
}

static void on_request(void *udata, struct request *request)
{
    (void)udata;
    atomic_fetch_add(&seen.requests, 1);
    if (text_is(request->target, "/park")) {
        park(request, CLOCK_NEVER);
    } else if (text_is(request->target, "/late")) {
        park(request, clock_now_ns());
    } else if (text_is(request->target, "/304")) {
        reply_text(request, 304, "");
    } else if (text_is(request->target, "/204")) {
        reply_text(request, 204, "");
    } else if (text_is(request->target, "/big")) {
        struct reply reply = {.status = 200, .body = blob_new(8 << 20)};

        memset(blob_writable(reply.body), 'x', 8 << 20);
        request_reply(request, &reply);
    } else if (text_is(request->target, "/header")) {
        struct text value = request_header(request, "x-given");
        static char copy[64];

        assert_true(text_copy(value, copy, sizeof(copy)));
        reply_text(request, 200, copy);
    } else {
        reply_text(request, 200, "hello");
    }
}

static void on_end(void *udata, const struct request *request, const struct request_end *end)
{
    (void)udata;
    (void)request;
    atomic_fetch_add(&seen.aborted, end->aborted);
    atomic_fetch_add(&seen.ends, 1);
}

static void *run(void *arg)
{
    struct tl_err why;

    return server_run(arg, &why) == TL_OK ? NULL : arg;
}

static struct server_options plain_options(void)
{
    return (struct server_options){.listen = "127.0.0.1:0",
                                   .loops = 1,
                                   .max_connections = 64,
                                   .idle_timeout_ns = 5 * NS_PER_S,
                                   .drain_ns = 5 * NS_PER_S,
                                   .on_request = on_request,
                                   .on_end = on_end};
}

static void start(const struct server_options *options)
{
    memset(&seen, 0, sizeof(seen));
    assert_ok(server_new(options, &seen.server, &err));
    assert_int_equal(pthread_create(&seen.thread, NULL, run, seen.server), 0);
}

static void stop(void)
{
    void *failed;

    server_drain(seen.server);
    pthread_join(seen.thread, &failed);
    assert_null(failed);
    server_free(seen.server);
}

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(server_port(seen.server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads until `count` bytes of `mark` ends were seen, or the end. */
static char *hear(int fd, const char *mark, unsigned count)
{
    static char text[65536];
    size_t used = 0;

    for (;;) {
        unsigned found = 0;
        text[used] = '\0';
        for (const char *at = text; (at = strstr(at, mark)); at += strlen(mark))
            found++;
        if (found >= count && count > 0)
            return text;
        ssize_t n = recv(fd, text + used, sizeof(text) - 1 - used, 0);
        if (n <= 0)
            return text;
        used += (size_t)n;
    }
}

static void assert_closed(int fd)
{
    char byte;

    assert_true(recv(fd, &byte, 1, 0) <= 0);
    close(fd);
}

static void wait_for(const atomic_uint *count, unsigned value)
{
    for (unsigned i = 0; i < 20000 && atomic_load(count) < value; i++)
        usleep(1000);
    assert_int_equal(atomic_load(count), value);
}

static void wait_parked(void)
{
    for (unsigned i = 0; i < 20000 && !atomic_load(&seen.parked); i++)
        usleep(1000);
    assert_non_null(atomic_load(&seen.parked));
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

TEST(pipelined_requests_are_answered_in_order)
{
    const struct server_options options = plain_options();

    start(&options);
    int fd = dial();
    say(fd, GET("/a") "HEAD /b HTTP/1.1\r\nHost: h\r\n\r\n" GET("/304") GET("/204") GET("/c"));
    const char *text = hear(fd, "hello", 2);
    const char *a = strstr(text, "200 OK"), *b = strstr(a + 1, "200 OK");
    const char *c = strstr(b + 1, "304 Not Modified"), *d = strstr(c + 1, "204 No Content");
    assert_true(a && b && c && d && strstr(d + 1, "200 OK"));
    assert_non_null(strstr(text, "x-test: yes"));
    /* HEAD says the length of the body it does not send; 304 and 204 say none. */
    assert_memory_equal(strstr(b, "Content-Length: "), "Content-Length: 5\r\n", 19);
    assert_true(strstr(c, "Content-Length: ") > strstr(d + 1, "200 OK"));
    assert_null(strstr(text, "chunked"));
    assert_int_equal(seen.requests, 5);
    close(fd);
    stop();
    assert_int_equal(seen.ends, 5);
    assert_int_equal(seen.aborted, 0);
}

TEST(a_request_header_is_found_in_any_case)
{
    const struct server_options options = plain_options();

    start(&options);
    int fd = dial();
    say(fd, "GET /header HTTP/1.1\r\nHost: h\r\nX-GIVEN: some value\r\n\r\n");
    assert_non_null(strstr(hear(fd, "some value", 1), "some value"));
    close(fd);
    stop();
}

TEST(any_body_closes_the_connection_after_the_answer)
{
    static const char *const smuggled[] = {
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcde" GET("/evil"),
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n" GET("/evil"),
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 6\r\n\r\nabcdef" GET(
            "/evil"),
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
        "0\r\n\r\n" GET("/evil"),
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n"
        "0\r\n\r\n" GET("/evil"),
    };
    const struct server_options options = plain_options();

    start(&options);
    for (unsigned i = 0; i < TL_COUNT(smuggled); i++) {
        int fd = dial();
        say(fd, smuggled[i]);
        const char *text = hear(fd, "\xff", 1);
        assert_non_null(strstr(text, "onnection: close"));
        const char *first = strstr(text, "HTTP/1.1 ");
        if (strstr(first + 1, "HTTP/1.1 "))
            fail_msg("request %u got two answers: %s", i, text);
        assert_closed(fd);
    }
    stop();
}

TEST(a_parked_request_is_answered_from_another_thread)
{
    const struct server_options options = plain_options();

    start(&options);
    int fd = dial();
    say(fd, GET("/park"));
    wait_parked();
    assert_false(ticket_is_home(&seen.place.ticket));
    ticket_post(&seen.place.ticket);
    assert_non_null(strstr(hear(fd, "but here", 1), "200 OK"));
    /* The connection goes on. */
    say(fd, GET("/"));
    assert_non_null(strstr(hear(fd, "hello", 1), "200 OK"));
    close(fd);
    stop();
    assert_int_equal(seen.gone, 0);
    assert_int_equal(seen.arrived, 1);
}

TEST(a_client_that_leaves_is_noticed_at_once)
{
    const struct server_options options = plain_options();

    start(&options);
    seen.leave_is_last = true;
    int fd = dial();
    say(fd, GET("/park"));
    wait_parked();
    close(fd);
    wait_for(&seen.gone, 1);
    wait_for(&seen.ends, 1);
    assert_int_equal(seen.aborted, 1);
    stop();
    assert_int_equal(seen.arrived, 0);
}

TEST(work_that_cannot_be_stopped_still_comes_home)
{
    const struct server_options options = plain_options();

    start(&options);
    int fd = dial();
    say(fd, GET("/park"));
    wait_parked();
    close(fd);
    wait_for(&seen.gone, 1);
    ticket_post(&seen.place.ticket);
    wait_for(&seen.arrived, 1);
    stop();
    assert_int_equal(seen.late, 0);
}

TEST(a_parked_request_past_its_deadline_is_answered)
{
    const struct server_options options = plain_options();

    start(&options);
    seen.leave_is_last = true;
    int fd = dial();
    say(fd, GET("/late"));
    assert_non_null(strstr(hear(fd, "too late", 1), "504 Gateway Timeout"));
    close(fd);
    stop();
    assert_int_equal(seen.late, 1);
}

TEST(at_the_cap_a_connection_waits_for_another_to_close)
{
    struct server_options options = plain_options();
    int fds[5];

    options.max_connections = 4;
    start(&options);
    for (int i = 0; i < 4; i++) {
        fds[i] = dial();
        say(fds[i], GET("/"));
        assert_non_null(strstr(hear(fds[i], "hello", 1), "200 OK"));
    }
    fds[4] = dial();
    say(fds[4], GET("/"));
    usleep(200000);
    assert_int_equal(seen.requests, 4);
    close(fds[0]);
    assert_non_null(strstr(hear(fds[4], "hello", 1), "200 OK"));
    for (int i = 1; i < 5; i++)
        close(fds[i]);
    stop();
}

TEST(a_head_without_end_is_cut_off)
{
    const struct server_options options = plain_options();
    static char line[40000];

    start(&options);
    memset(line, 'a', sizeof(line) - 1);
    int fd = dial();
    say(fd, "GET / HTTP/1.1\r\nHost: h\r\nX-Long: ");
    say(fd, line);
    assert_closed(fd);
    assert_int_equal(seen.requests, 0);
    stop();
}

TEST(an_idle_connection_is_closed_in_time)
{
    struct server_options options = plain_options();

    options.idle_timeout_ns = NS_PER_S;
    start(&options);
    int fd = dial();
    say(fd, GET("/"));
    hear(fd, "hello", 1);
    assert_closed(fd);
    fd = dial();
    say(fd, "GET / HT");
    assert_closed(fd);
    stop();
}

TEST(a_drain_answers_what_is_parked_and_closes_what_is_idle)
{
    const struct server_options options = plain_options();

    start(&options);
    int idle = dial(), parked = dial();
    say(idle, GET("/"));
    hear(idle, "hello", 1);
    say(parked, GET("/park"));
    wait_parked();
    server_drain(seen.server);
    assert_closed(idle);
    assert_true(server_draining(seen.server));
    ticket_post(&seen.place.ticket);
    const char *text = hear(parked, "but here", 1);
    assert_non_null(strstr(text, "200 OK"));
    assert_non_null(strstr(text, "onnection: close"));
    close(parked);
    stop();
    assert_int_equal(seen.aborted, 0);
}

TEST(a_drain_does_not_wait_for_ever)
{
    struct server_options options = plain_options();

    options.drain_ns = NS_PER_S / 5;
    start(&options);
    seen.leave_is_last = true;
    int parked = dial(), reader = dial();
    say(parked, GET("/park"));
    wait_parked();
    say(reader, GET("/big")); /* and never reads it */
    wait_for(&seen.requests, 2);
    stop();
    assert_int_equal(seen.gone, 1);
    close(parked);
    close(reader);
}

TEST(a_port_in_use_is_refused)
{
    struct server_options options = plain_options();
    struct server *second = NULL;
    char address[32];

    options.loops = 2;
    start(&options);
    snprintf(address, sizeof(address), "127.0.0.1:%u", server_port(seen.server));
    options.listen = address;
    assert_refused(server_new(&options, &second, &err), TL_INVALID, "somebody listens there");
    stop();
}

TEST(an_address_that_is_none_is_refused)
{
    struct server_options options = plain_options();
    struct server *server = NULL;

    options.listen = "nonsense";
    assert_refused(server_new(&options, &server, &err), TL_INVALID, "is needed");
    options.listen = "127.0.0.1:";
    assert_refused(server_new(&options, &server, &err), TL_INVALID, "is needed");
    options.listen = "256.0.0.1:80";
    assert_refused(server_new(&options, &server, &err), TL_INVALID, "256.0.0.1:80");
    options.listen = "203.0.113.1:0";
    assert_refused(server_new(&options, &server, &err), TL_INVALID, "203.0.113.1:0");
}

TEST(several_loops_share_one_port)
{
    struct server_options options = plain_options();

    options.loops = 3;
    start(&options);
    for (int i = 0; i < 24; i++) {
        int fd = dial();
        say(fd, GET("/"));
        assert_non_null(strstr(hear(fd, "hello", 1), "200 OK"));
        close(fd);
    }
    stop();
    assert_int_equal(seen.ends, 24);
}

TEST(http_2_is_not_spoken)
{
    const struct server_options options = plain_options();

    start(&options);
    int fd = dial();
    say(fd, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_null(strstr(hear(fd, "\xff", 1), "HTTP/2"));
    close(fd);
    fd = dial();
    say(fd, "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\n"
            "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n");
    assert_null(strstr(hear(fd, "hello", 1), "101"));
    close(fd);
    stop();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(pipelined_requests_are_answered_in_order),
        T(a_request_header_is_found_in_any_case),
        T(any_body_closes_the_connection_after_the_answer),
        T(a_parked_request_is_answered_from_another_thread),
        T(a_client_that_leaves_is_noticed_at_once),
        T(work_that_cannot_be_stopped_still_comes_home),
        T(a_parked_request_past_its_deadline_is_answered),
        T(at_the_cap_a_connection_waits_for_another_to_close),
        T(a_head_without_end_is_cut_off),
        T(an_idle_connection_is_closed_in_time),
        T(a_drain_answers_what_is_parked_and_closes_what_is_idle),
        T(a_drain_does_not_wait_for_ever),
        T(a_port_in_use_is_refused),
        T(an_address_that_is_none_is_refused),
        T(several_loops_share_one_port),
        T(http_2_is_not_spoken),
    };

    server_block_signals();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
