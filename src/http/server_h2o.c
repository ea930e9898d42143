/*
 * Loops, listeners and connections on libh2o 2.2.5, HTTP/1.1 only. What that library leaves
 * open is closed here: the number of connections and of file descriptors, heads that grow
 * without end, clients that never read, a drain that ends.
 */
#include "http/server_h2o.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/metric.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

enum {
    ACCEPTS_PER_WAKE = 16,
    BODY_MAX_BYTES = 1 << 20,
    HEAD_MAX_BYTES = 32 << 10, /* the library itself would take 417,792 */
    SPARE_FDS = 128,           /* cache, sources, logs: not for connections */
    UNREAD_MS = 15000,         /* an answer that the client does not take for so long */
    LOOP_WAIT_MS = 1000,
    /* An idle connection may be about to carry a request; after this it is closed. */
    DRAIN_GRACE_MS = 500,
    DRAIN_TICK_MS = 50,
};

void server_block_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

uint16_t server_port(const struct server *server)
{
    return server->port;
}

bool server_draining(const struct server *server)
{
    return atomic_load_explicit(&server->draining, memory_order_relaxed);
}

/* Under the mutex, so that no loop is closed while somebody is still sending to it. */
void loop_wake(struct loop *loop, h2o_multithread_message_t *message)
{
    pthread_mutex_lock(&loop->mu);
    if (loop->up)
        h2o_multithread_send_message(&loop->receiver, message);
    pthread_mutex_unlock(&loop->mu);
}

static void set_up(struct loop *loop, bool up)
{
    pthread_mutex_lock(&loop->mu);
    loop->up = up;
    pthread_mutex_unlock(&loop->mu);
}

void server_drain(struct server *server)
{
    atomic_store_explicit(&server->draining, true, memory_order_relaxed);
    for (unsigned i = 0; i < server->loop_count; i++)
        loop_wake(&server->loops[i], NULL);
}

/* Listening */

/* "host:port", "[v6]:port", ":port" into its two halves. */
static enum tl_code split_address(const char *listen, char host[256], const char **ret_port,
                                  struct tl_err *err)
{
    const char *colon = strrchr(listen, ':');
    size_t size = colon ? (size_t)(colon - listen) : 0;

    if (!colon || size >= 256 || colon[1] == '\0')
        return tl_fail(err, TL_INVALID,
                       "listen = \"%.200s\": an address such as 127.0.0.1:8080 or "
                       "[::]:8080 is needed",
                       listen);
    if (size >= 2 && listen[0] == '[' && listen[size - 1] == ']') {
        listen++;
        size -= 2;
    }
    memcpy(host, listen, size);
    host[size] = '\0';
    *ret_port = colon + 1;
    return TL_OK;
}

static enum tl_code resolve(const char *listen, struct addrinfo **ret, struct tl_err *err)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC,
                                   .ai_socktype = SOCK_STREAM,
                                   .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    char host[256];
    const char *port = NULL;

    TL_TRY(split_address(listen, host, &port, err));
    if (strtol(port, NULL, 10) > UINT16_MAX) /* which getaddrinfo() would wrap around */
        return tl_fail(err, TL_INVALID, "listen = \"%.200s\": ports end at %d", listen, UINT16_MAX);
    int why = getaddrinfo(*host ? host : NULL, port, &hints, ret);
    if (why != 0)
        return tl_fail(err, TL_INVALID, "listen = \"%.200s\": %s", listen, gai_strerror(why));
    return TL_OK;
}

static void set_option(int fd, int level, int name, int value)
{
    /* Every one of these makes a good server better; none is needed to be one. */
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

/* Accepted sockets inherit all of these. */
static void set_options(int fd, int64_t idle_timeout_ns)
{
    int idle_s = (int)(idle_timeout_ns / NS_PER_S);

    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    /* The library has no write timeout: this closes a client that does not read. */
    set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, UNREAD_MS);
    set_option(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, TL_MAX(1, TL_MIN(idle_s, 10)));
}

/* A bound socket or -1 with errno. `shared`: several loops listen on one port. */
static int bind_socket(const struct addrinfo *at, bool shared)
{
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (shared)
        set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
        int why = errno;

        close(fd);
        errno = why;
        return -1;
    }
    return fd;
}

static in_port_t *port_of(struct sockaddr *address)
{
    return address->sa_family == AF_INET6 ? &((struct sockaddr_in6 *)(void *)address)->sin6_port
                                          : &((struct sockaddr_in *)(void *)address)->sin_port;
}

/*
 * One socket per loop on one port. A socket of its own comes first and makes sure that
 * nobody else listens there: SO_REUSEPORT alone would share the port with an older tilth.
 */
static int bind_all(struct server *server, struct addrinfo *at)
{
    struct sockaddr_storage bound = {0};
    socklen_t size = sizeof(bound);
    int *first = &server->loops[0].listen_fd; /* closed with the server */

    *first = bind_socket(at, false);
    if (*first < 0 || getsockname(*first, (struct sockaddr *)&bound, &size) != 0)
        return -1;
    /* NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): getsockname() has written it */
    server->port = ntohs(*port_of((struct sockaddr *)&bound));
    *port_of(at->ai_addr) = htons(server->port);
    if (server->loop_count == 1)
        return 0;
    close(*first);
    for (unsigned i = 0; i < server->loop_count; i++) {
        server->loops[i].listen_fd = bind_socket(at, true);
        if (server->loops[i].listen_fd < 0)
            return -1;
    }
    return 0;
}

static enum tl_code listen_on(struct server *server, struct tl_err *err)
{
    const char *listen = server->options.listen;
    struct addrinfo *at = NULL;
    char text[128];

    TL_TRY(resolve(listen, &at, err));
    int why = bind_all(server, at) == 0 ? 0 : errno;
    freeaddrinfo(at);
    if (why == EADDRINUSE)
        return tl_fail(err, TL_INVALID,
                       "listen = \"%.200s\": somebody listens there already; "
                       "choose another port (port 0 takes a free one)",
                       listen);
    if (why != 0)
        return tl_fail(err, TL_INVALID, "listen = \"%.200s\": %s", listen,
                       strerror_r(why, text, sizeof(text)));
    for (unsigned i = 0; i < server->loop_count; i++)
        set_options(server->loops[i].listen_fd, server->options.idle_timeout_ns);
    return TL_OK;
}

/* As many descriptors as allowed; the connections get what is left after the spare ones. */
static unsigned connection_limit(unsigned wanted)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return wanted;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return wanted;
    rlim_t room =
        limit.rlim_cur > 2 * (rlim_t)SPARE_FDS ? limit.rlim_cur - SPARE_FDS : limit.rlim_cur / 2;
    return (unsigned)TL_MIN((rlim_t)wanted, room);
}

/* Connections */

static void set_accepting(struct loop *loop, bool accepting);

static void on_close(void *data)
{
    struct connection *connection = data;
    struct loop *loop = connection->loop;

    if (connection->next)
        connection->next->prev = connection->prev;
    if (connection->prev)
        connection->prev->next = connection->next;
    else
        loop->connections = connection->next;
    loop->connection_count--;
    metric_add(METRIC_HTTP_CONNECTIONS, -1);
    if (loop->connection_count <= loop->cap - (loop->cap + 19) / 20)
        set_accepting(loop, true);
    free(connection);
}

static void name_peer(struct connection *connection)
{
    struct sockaddr_storage address;
    socklen_t size = h2o_socket_getpeername(connection->sock, (struct sockaddr *)&address);
    char *peer = connection->request.peer;

    if (size == 0 || getnameinfo((struct sockaddr *)&address, size, peer,
                                 sizeof(connection->request.peer), NULL, 0, NI_NUMERICHOST) != 0)
        peer[0] = '\0';
}

static void admit(struct loop *loop, h2o_socket_t *sock)
{
    struct connection *connection = calloc(1, sizeof(*connection));

    if (!connection) {
        h2o_socket_close(sock);
        return;
    }
    connection->loop = loop;
    connection->sock = sock;
    connection->request.loop = loop->index;
    name_peer(connection);
    connection->next = loop->connections;
    if (connection->next)
        connection->next->prev = connection;
    loop->connections = connection;
    loop->connection_count++;
    metric_add(METRIC_HTTP_CONNECTIONS, 1);
    sock->on_close.cb = on_close;
    sock->on_close.data = connection;
    h2o_accept(&loop->accept_ctx, sock);
}

static void on_accept(h2o_socket_t *listener, const char *why)
{
    struct loop *loop = listener->data;

    if (why)
        return;
    for (unsigned i = 0; i < ACCEPTS_PER_WAKE; i++) {
        if (loop->connection_count >= loop->cap) {
            set_accepting(loop, false);
            return;
        }
        h2o_socket_t *sock = h2o_evloop_socket_accept(listener);
        if (!sock) {
            /* Out of descriptors or memory: the listener stays readable, so looking again at
             * once would spin. The next tick or the next closed connection looks again. */
            if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
                set_accepting(loop, false);
            return;
        }
        admit(loop, sock);
    }
}

static void set_accepting(struct loop *loop, bool accepting)
{
    if (!loop->listener || loop->accepting == accepting)
        return;
    loop->accepting = accepting;
    if (accepting)
        h2o_socket_read_start(loop->listener, on_accept);
    else
        h2o_socket_read_stop(loop->listener);
}

/* A head that has grown past the limit and is still not whole. */
static bool head_is_too_long(const struct connection *connection)
{
    const h2o_buffer_t *input = connection->sock->input;

    return !connection->h2o && input->size > HEAD_MAX_BYTES &&
           !memmem(input->bytes, HEAD_MAX_BYTES, "\r\n\r\n", 4);
}

static void hang_up(const struct connection *connection)
{
    /* The library sees the end of input, or its write fails, and closes. */
    (void)shutdown(h2o_socket_get_fd(connection->sock), SHUT_RDWR);
}

static bool is_idle(const struct connection *connection)
{
    return !connection->h2o && connection->sock->input->size == 0;
}

/* Looks at every connection: a few microseconds per hundred. */
static void sweep(struct loop *loop)
{
    int64_t now = clock_now_ns();
    bool hang_up_idle =
        loop->drain_start_ns && now - loop->drain_start_ns > DRAIN_GRACE_MS * NS_PER_MS;

    for (struct connection *at = loop->connections, *next; at; at = next) {
        next = at->next;
        if (head_is_too_long(at) || (hang_up_idle && is_idle(at)))
            hang_up(at);
        else if (at->ticket && now > at->ticket->deadline_ns)
            connection_leave(at, LEAVE_LATE);
    }
}

static void on_tick(h2o_timeout_entry_t *entry)
{
    struct loop *loop = H2O_STRUCT_FROM_MEMBER(struct loop, tick, entry);

    sweep(loop);
    if (loop->connection_count < loop->cap)
        set_accepting(loop, true);
    h2o_timeout_link(loop->ctx.loop, &loop->ctx.one_sec_timeout, &loop->tick);
}

/* Loops */

static void on_watch(h2o_socket_t *sock, const char *why)
{
    if (!why)
        loop_watch_ready(sock->data);
}

static void on_signal(h2o_socket_t *sock, const char *why)
{
    struct server *server = sock->data;
    struct signalfd_siginfo info;

    while (!why && read(server->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGHUP)
            continue; /* nothing to read again; a restart is cheap */
        if (server_draining(server))
            atomic_store_explicit(&server->at_once, true, memory_order_relaxed);
        server_drain(server);
    }
}

/*
 * Tickets came home. They are answered inside the turn: what a write leaves pending is run at
 * its end, while outside of it would wait for the next event.
 */
static void on_arrivals(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    /* Unlinked before the list is taken: who pushes onto the empty list sends it again. */
    for (h2o_linklist_t *first; (first = messages->next) != messages;) {
        TL_CHECK(h2o_linklist_is_linked(first));
        h2o_linklist_unlink(first);
    }
    loop_take_arrivals(H2O_STRUCT_FROM_MEMBER(struct loop, receiver, receiver));
}

static h2o_socket_t *wrap(struct loop *loop, int fd, void *data, h2o_socket_cb ready)
{
    h2o_socket_t *sock = h2o_evloop_socket_create(loop->ctx.loop, fd, H2O_SOCKET_FLAG_DONT_READ);

    sock->data = data;
    h2o_socket_read_start(sock, ready);
    return sock;
}

/* On the loop's own thread: the library keeps free lists per thread, and what a socket reads
 * into comes from the list of the thread that made the socket. */
static void loop_open(struct loop *loop)
{
    struct server *server = loop->server;

    h2o_context_init(&loop->ctx, h2o_evloop_create(), &server->config);
    loop->accept_ctx = (h2o_accept_ctx_t){.ctx = &loop->ctx, .hosts = server->config.hosts};
    h2o_multithread_register_receiver(loop->ctx.queue, &loop->receiver, on_arrivals);
    loop->watch = wrap(loop, loop->watch_fd, loop, on_watch);
    loop->listener = wrap(loop, loop->listen_fd, loop, on_accept);
    loop->accepting = true;
    if (loop->index == 0)
        loop->signals = wrap(loop, server->signal_fd, server, on_signal);
    loop->tick.cb = on_tick;
    h2o_timeout_link(loop->ctx.loop, &loop->ctx.one_sec_timeout, &loop->tick);
    /* A server_drain() from now on wakes this loop; turn() sees an earlier one. */
    set_up(loop, true);
}

static void loop_close(struct loop *loop)
{
    h2o_evloop_t *evloop = loop->ctx.loop;

    set_up(loop, false);
    h2o_timeout_unlink(&loop->tick);
    if (loop->listener)
        h2o_socket_close(loop->listener);
    if (loop->signals)
        h2o_socket_close(loop->signals);
    h2o_socket_close(loop->watch);
    h2o_multithread_unregister_receiver(loop->ctx.queue, &loop->receiver);
    h2o_evloop_run(evloop, 0); /* closed sockets are freed at the end of a turn */
    h2o_context_dispose(&loop->ctx);
    h2o_evloop_destroy(evloop);
}

/* Takes what the kernel has accepted for us already, then closes the door. */
static void begin_drain(struct loop *loop)
{
    loop->drain_start_ns = clock_now_ns();
    loop->ctx.shutdown_requested = 1;
    for (unsigned before = UINT_MAX; loop->accepting && loop->connection_count != before;) {
        before = loop->connection_count;
        on_accept(loop->listener, NULL);
    }
    h2o_socket_close(TL_TAKE(loop->listener));
}

static bool is_drained(struct loop *loop)
{
    const struct server *server = loop->server;

    if (!loop->drain_start_ns)
        return false;
    return loop->connection_count == 0 ||
           atomic_load_explicit(&server->at_once, memory_order_relaxed) ||
           clock_now_ns() - loop->drain_start_ns > server->options.drain_ns;
}

static void turn(struct loop *loop)
{
    if (!loop->drain_start_ns && server_draining(loop->server))
        begin_drain(loop);
    h2o_evloop_run(loop->ctx.loop, loop->drain_start_ns ? DRAIN_TICK_MS : LOOP_WAIT_MS);
    if (loop->drain_start_ns)
        sweep(loop);
}

/* Closes what is still open after the drain gave up; nobody is waited for. */
static void hang_up_all(struct loop *loop)
{
    for (unsigned turns = 0; loop->connections && turns < 20; turns++) {
        for (struct connection *at = loop->connections, *next; at; at = next) {
            next = at->next;
            if (at->ticket)
                connection_dismiss(at);
            hang_up(at);
        }
        h2o_evloop_run(loop->ctx.loop, DRAIN_TICK_MS);
    }
}

static void *loop_run(void *arg)
{
    struct loop *loop = arg;

    loop_open(loop);
    while (!is_drained(loop))
        turn(loop);
    hang_up_all(loop);
    /* Work that others still do for clients that have left comes home first. */
    while (loop->tickets > 0)
        h2o_evloop_run(loop->ctx.loop, DRAIN_TICK_MS);
    loop_close(loop);
    return NULL;
}

/* The server */

static void configure(struct server *server)
{
    h2o_globalconf_t *config = &server->config;

    h2o_config_init(config);
    config->server_name = h2o_iovec_init("", 0);
    config->max_request_entity_size = BODY_MAX_BYTES;
    config->http1.req_timeout = (uint64_t)(server->options.idle_timeout_ns / NS_PER_MS);
    /* HTTP/2 of this version has no defence against rapid resets. */
    config->http1.upgrade_to_http2 = 0;
    h2o_hostconf_t *host =
        h2o_config_register_host(config, h2o_iovec_init(H2O_STRLIT(SERVER_NO_HOST)), 65535);
    request_register(server, h2o_config_register_path(host, "/", 0));
    /* Targets that do not begin with a slash. */
    request_register(server, &host->fallback_path);
}

static enum tl_code open_descriptors(struct server *server, struct tl_err *err)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    server->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (server->signal_fd < 0)
        return tl_fail(err, TL_NOMEM, "no descriptor for signals");
    for (unsigned i = 0; i < server->loop_count; i++) {
        server->loops[i].watch_fd = epoll_create1(EPOLL_CLOEXEC);
        if (server->loops[i].watch_fd < 0)
            return tl_fail(err, TL_NOMEM, "no descriptor for the epoll of loop %u", i);
    }
    return TL_OK;
}

enum tl_code server_new(const struct server_options *options, struct server **ret_server,
                        struct tl_err *err)
{
    unsigned loops = TL_MAX(options->loops, 1);
    AUTO(server) server = calloc(1, sizeof(*server) + loops * sizeof(struct loop));

    if (!server)
        return tl_fail(err, TL_NOMEM, "no memory for %u loops", loops);
    server->options = *options;
    server->loop_count = loops;
    server->signal_fd = -1;
    unsigned connections = connection_limit(options->max_connections);
    for (unsigned i = 0; i < loops; i++) {
        server->loops[i] = (struct loop){.server = server,
                                         .index = i,
                                         .listen_fd = -1,
                                         .watch_fd = -1,
                                         .cap = TL_MAX(connections / loops, 1)};
        pthread_mutex_init(&server->loops[i].mu, NULL);
    }
    TL_TRY(listen_on(server, err));
    TL_TRY(open_descriptors(server, err));
    configure(server);
    *ret_server = TL_TAKE(server);
    return TL_OK;
}

static void close_descriptor(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* Of a loop that never opened; from loop_open() on they belong to its sockets. */
static void close_descriptors(const struct loop *loop)
{
    close_descriptor(loop->listen_fd);
    close_descriptor(loop->watch_fd);
}

static enum tl_code start_thread(struct loop *loop, struct tl_err *err)
{
    char name[16];
    int why = pthread_create(&loop->thread, NULL, loop_run, loop);

    if (why != 0)
        return tl_fail(err, TL_NOMEM, "cannot start the thread of loop %u", loop->index);
    snprintf(name, sizeof(name), "tilth-loop-%u", loop->index % 100);
    pthread_setname_np(loop->thread, name);
    return TL_OK;
}

enum tl_code server_run(struct server *server, struct tl_err *err)
{
    enum tl_code code = TL_OK;
    unsigned started = 1;

    server_block_signals();
    server->ran = true;
    server->loops[0].thread = pthread_self();
    while (started < server->loop_count && code == TL_OK) {
        code = start_thread(&server->loops[started], err);
        started += code == TL_OK;
    }
    if (code != TL_OK)
        server_drain(server);
    loop_run(&server->loops[0]);
    for (unsigned i = 1; i < started; i++)
        pthread_join(server->loops[i].thread, NULL);
    for (unsigned i = started; i < server->loop_count; i++)
        close_descriptors(&server->loops[i]);
    return code;
}

void server_free(struct server *server)
{
    if (!server)
        return;
    /* One that ran has closed its loops, and their sockets with them. */
    if (!server->ran) {
        close_descriptor(server->signal_fd);
        for (unsigned i = 0; i < server->loop_count; i++)
            close_descriptors(&server->loops[i]);
    }
    for (unsigned i = 0; i < server->loop_count; i++)
        pthread_mutex_destroy(&server->loops[i].mu);
    if (server->config.hosts)
        h2o_config_dispose(&server->config);
    free(server);
}
