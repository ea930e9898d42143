/*
 * server_h2o: what server_h2o.c (loops, listeners, connections) and request_h2o.c (requests,
 * answers, tickets) share. No other file may include this or <h2o.h>.
 *
 * Threads  everything of a loop belongs to its thread, except `arrivals`, `mu` and what it
 *          guards
 */
#ifndef TILTH_HTTP_SERVER_H2O_H
#define TILTH_HTTP_SERVER_H2O_H

#include "http/server.h"

#include <h2o.h>
#include <pthread.h>
#include <stdatomic.h>

/* What a request without Host seems to ask for; no host has a space in its name. */
#define SERVER_NO_HOST "no host"

/* One per accepted socket; holds its one current request (HTTP/1.1 has one at a time). */
struct connection {
    struct request request; /* first: a request is cast back to its connection */
    struct loop *loop;
    struct connection *next, *prev;
    h2o_socket_t *sock;
    h2o_req_t *h2o;        /* NULL between requests */
    struct blob *body;     /* of the answer */
    struct ticket *ticket; /* parked on it */
    bool replied;
};

struct loop {
    struct server *server;
    unsigned index;
    pthread_t thread;
    h2o_context_t ctx;
    h2o_accept_ctx_t accept_ctx;
    int listen_fd;
    h2o_socket_t *listener; /* NULL once draining */
    bool accepting;
    h2o_socket_t *watch; /* the epoll of clients that might leave */
    int watch_fd;
    h2o_socket_t *signals; /* loop 0 */
    h2o_timeout_entry_t tick;
    struct connection *connections;
    unsigned connection_count, cap;
    unsigned tickets; /* parked and not yet home */
    int64_t drain_start_ns;
    char scratch[REQUEST_SCRATCH]; /* of the request that is being handled */

    pthread_mutex_t mu; /* guards: up, sending to `receiver` */
    bool up;            /* from loop_open() to loop_close() */
    h2o_multithread_receiver_t receiver;
    _Atomic(struct ticket *) arrivals; /* any thread pushes, the loop takes all */
    h2o_multithread_message_t arrived; /* linked from the first push until they are taken */
};

struct server {
    struct server_options options;
    h2o_globalconf_t config;
    uint16_t port;
    int signal_fd;
    bool ran;
    atomic_bool draining, at_once;
    unsigned loop_count;
    struct loop loops[];
};

/* Any thread: ends the loop's wait, with a message or (NULL) without. */
void loop_wake(struct loop *loop, h2o_multithread_message_t *message);

/* request_h2o.c: */
void request_register(struct server *server, h2o_pathconf_t *path);
void loop_take_arrivals(struct loop *loop);
void loop_watch_ready(struct loop *loop);
/* Lets go of a ticket because of `why`. */
void connection_leave(struct connection *connection, enum leave_reason why);
/* The same for a client that is gone, and closes its connection. */
void connection_dismiss(struct connection *connection);

#endif
