/*
 * Requests, answers and tickets on libh2o 2.2.5.
 *
 * While a request is being answered the library does not read its connection, so it never
 * learns that the client left. Parked connections therefore stand in an epoll of the loop's
 * own (EPOLLRDHUP, one shot), and that epoll is one more socket of the loop.
 */
#include "http/server_h2o.h"

#include "base/blob.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/metric.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>

struct handler {
    h2o_handler_t super;
    struct server *server;
};

struct logger {
    h2o_logger_t super;
    struct server *server;
};

static struct connection *connection_of(h2o_req_t *h2o)
{
    return h2o->conn->callbacks->get_socket(h2o->conn)->on_close.data;
}

static struct connection *connection_of_request(const struct request *request)
{
    union {
        const struct request *given;
        struct connection *wanted;
    } cast = {.given = request};

    return cast.wanted;
}

static struct text text_of_iovec(h2o_iovec_t iovec)
{
    return (struct text){iovec.base, iovec.len};
}

/* A body of any length, also an announced one of length 0: its framing is not trusted, so
 * nothing that follows on this connection is read as a request. */
static bool has_entity(const h2o_req_t *h2o)
{
    return h2o->entity.base || h2o->timestamps.request_body_begin_at.tv_sec != 0;
}

/* The library gives a request without Host the name that is registered. */
static struct text host_of(const h2o_req_t *h2o)
{
    struct text host = text_of_iovec(h2o->input.authority);

    return text_is(host, SERVER_NO_HOST) ? (struct text){NULL, 0} : host;
}

/*
 * The library keeps the last Host alone, so the head is looked at where it was received. That of
 * a request with a body was moved; its connection ends with it.
 */
static bool has_many_hosts(const h2o_req_t *h2o, const h2o_buffer_t *input)
{
    const char *at = h2o->input.method.base, *end = input->bytes + input->size, *line_end;
    unsigned hosts = 0;

    if (at != input->bytes)
        return false;
    while ((line_end = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        at = line_end + 1;
        if (end - at < 5 || *at == '\r' || *at == '\n')
            break;
        hosts += strncasecmp(at, "host:", 5) == 0;
    }
    return hosts > 1;
}

static void begin(struct connection *connection, h2o_req_t *h2o)
{
    struct request *request = &connection->request;

    connection->h2o = h2o;
    connection->replied = false;
    request->method = text_of_iovec(h2o->input.method);
    request->target = text_of_iovec(h2o->input.path);
    request->host = host_of(h2o);
    request->lacks_host = !request->host.at && h2o->version >= 0x101;
    request->many_hosts = has_many_hosts(h2o, connection->sock->input);
    request->start_ns = clock_now_ns();
    request->body_bytes = h2o->entity.len;
    request->id[0] = '\0';
    request->route = NULL;
    request->cache = NULL;
    request->render_ns = 0;
}

/* The library writes an answer's head before h2o_send() returns, so one scratch serves a loop. */
static void lend_scratch(struct connection *connection)
{
    connection->request.scratch = connection->loop->scratch;
    connection->request.scratch_used = 0;
}

static int on_req(h2o_handler_t *self, h2o_req_t *h2o)
{
    struct server *server = ((struct handler *)self)->server;
    struct connection *connection = connection_of(h2o);

    begin(connection, h2o);
    lend_scratch(connection);
    if (has_entity(h2o))
        h2o->http1_is_persistent = 0;
    server->options.on_request(server->options.udata, &connection->request);
    return 0;
}

/* The library's last word on a request: answered, or its connection broke. */
static void log_access(h2o_logger_t *self, h2o_req_t *h2o)
{
    struct server *server = ((struct logger *)self)->server;
    struct connection *connection = connection_of(h2o);

    if (connection->h2o != h2o) {
        /* Refused by the library before it reached us: too large a body, a broken length. */
        begin(connection, h2o);
        connection->replied = true;
    }
    if (connection->ticket)
        connection_leave(connection, LEAVE_GONE);
    struct request_end end = {
        .status = h2o->res.status,
        .bytes = h2o->bytes_sent,
        .end_ns = clock_now_ns(),
        .aborted = !connection->replied || h2o->res.status == 499,
    };
    server->options.on_end(server->options.udata, &connection->request, &end);
    blob_unref(TL_TAKE(connection->body));
    connection->h2o = NULL;
}

void request_register(struct server *server, h2o_pathconf_t *path)
{
    struct handler *handler = (void *)h2o_create_handler(path, sizeof(*handler));
    struct logger *logger = (void *)h2o_create_logger(path, sizeof(*logger));

    handler->super.on_req = on_req;
    handler->server = server;
    logger->super.log_access = log_access;
    logger->server = server;
}

struct text request_header(const struct request *request, const char *name)
{
    const h2o_req_t *h2o = connection_of_request(request)->h2o;
    ssize_t at = h2o_find_header_by_str(&h2o->headers, name, strlen(name), -1);

    if (at < 0)
        return (struct text){NULL, 0};
    return text_of_iovec(h2o->headers.entries[at].value);
}

static void add_headers(h2o_req_t *h2o, const struct reply *reply)
{
    /* Once, so that the vector is not copied at each doubling; more than 16 would not fit into
     * the request's pool and cost a malloc(). */
    h2o_vector_reserve(&h2o->pool, &h2o->res.headers, REPLY_HEADERS);
    for (unsigned i = 0; i < reply->header_count; i++)
        h2o_add_header_by_str(&h2o->pool, &h2o->res.headers, reply->headers[i].name,
                              strlen(reply->headers[i].name), 0, NULL, reply->headers[i].value.at,
                              reply->headers[i].value.size);
}

void request_reply(struct request *request, const struct reply *reply)
{
    static h2o_generator_t whole = {NULL, NULL}; /* all of the body goes out in one h2o_send() */
    struct connection *connection = connection_of_request(request);
    h2o_req_t *h2o = connection->h2o;
    h2o_iovec_t body = h2o_iovec_init(reply->text.at, reply->text.size);

    TL_CHECK(h2o && !connection->replied);
    connection->replied = true;
    connection->body = reply->body;
    if (reply->body)
        body = h2o_iovec_init(blob_bytes(reply->body), blob_size(reply->body));
    h2o->res.status = reply->status;
    h2o->res.reason = status_reason(reply->status);
    /* 204 and 304 carry no length: the first has none, the second's is the other's. */
    bool no_length = reply->status == 204 || reply->status == 304;
    h2o->res.content_length = no_length ? SIZE_MAX : body.len;
    if (reply->close || server_draining(connection->loop->server))
        h2o->http1_is_persistent = 0;
    add_headers(h2o, reply);
    h2o_start_response(h2o, &whole);
    h2o_send(h2o, &body, reply->bodiless || body.len == 0 ? 0 : 1, H2O_SEND_STATE_FINAL);
}

/* Tickets */

static void watch(struct connection *connection)
{
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT, .data.ptr = connection};
    int fd = h2o_socket_get_fd(connection->sock);

    /* Out of kernel memory at worst: then a client that leaves is not noticed, nothing else. */
    (void)epoll_ctl(connection->loop->watch_fd, EPOLL_CTL_ADD, fd, &event);
}

static void unwatch(struct connection *connection)
{
    (void)epoll_ctl(connection->loop->watch_fd, EPOLL_CTL_DEL, h2o_socket_get_fd(connection->sock),
                    NULL);
}

void ticket_bind(struct ticket *ticket, const struct request *request)
{
    ticket->loop = connection_of_request(request)->loop;
    ticket->request = NULL;
}

unsigned ticket_loop(const struct ticket *ticket)
{
    return ticket->loop->index;
}

bool ticket_is_home(const struct ticket *ticket)
{
    return pthread_equal(ticket->loop->thread, pthread_self());
}

void request_park(struct request *request, struct ticket *ticket)
{
    struct connection *connection = connection_of_request(request);

    TL_CHECK(!connection->ticket && !connection->replied);
    ticket->request = request;
    connection->ticket = ticket;
    connection->loop->tickets++;
    watch(connection);
}

void ticket_post(struct ticket *ticket)
{
    struct loop *loop = ticket->loop;
    struct ticket *first = atomic_load_explicit(&loop->arrivals, memory_order_relaxed);

    /* Release: what the poster wrote into its struct is seen by the loop. */
    do
        ticket->next = first;
    while (!atomic_compare_exchange_weak_explicit(&loop->arrivals, &first, ticket,
                                                  memory_order_release, memory_order_relaxed));
    if (!first)
        loop_wake(loop, &loop->arrived);
}

static struct ticket *oldest_first(struct ticket *newest)
{
    struct ticket *list = NULL;

    while (newest) {
        struct ticket *next = newest->next;

        newest->next = list;
        list = newest;
        newest = next;
    }
    return list;
}

void loop_take_arrivals(struct loop *loop)
{
    struct ticket *ticket =
        oldest_first(atomic_exchange_explicit(&loop->arrivals, NULL, memory_order_acquire));

    while (ticket) {
        struct ticket *next = ticket->next;
        struct request *request = ticket->request;

        if (request) {
            struct connection *connection = connection_of_request(request);

            connection->ticket = NULL;
            unwatch(connection);
            lend_scratch(connection);
        }
        loop->tickets--;
        ticket->arrived(ticket, request);
        ticket = next;
    }
}

void connection_leave(struct connection *connection, enum leave_reason why)
{
    struct ticket *ticket = TL_TAKE(connection->ticket);

    unwatch(connection);
    if (why == LEAVE_GONE)
        metric_add(METRIC_CLIENT_GONE, 1);
    ticket->request = NULL;
    lend_scratch(connection);
    if (ticket->leave(ticket, &connection->request, why))
        connection->loop->tickets--;
}

void connection_dismiss(struct connection *connection)
{
    /* Nobody reads this; but answering is how the library is told to close. */
    const struct reply reply = {.status = 499, .close = true};

    connection_leave(connection, LEAVE_GONE);
    request_reply(&connection->request, &reply);
}

void loop_watch_ready(struct loop *loop)
{
    struct epoll_event events[64];
    int count = epoll_wait(loop->watch_fd, events, TL_COUNT(events), 0);

    for (int i = 0; i < count; i++) {
        struct connection *connection = events[i].data.ptr;

        if (connection->ticket)
            connection_dismiss(connection);
    }
}
