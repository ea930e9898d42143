/*
 * server: the seam to the HTTP library. Everything tilth wants of an HTTP/1.1 server is on
 * this page; server_h2o.c and request_h2o.c give it with libh2o 2.2.5 and close that library's
 * holes: no notice of clients that leave, no write timeout, no cap on connections, heads of
 * 400 KB, lax framing, HTTP/2. Another library would replace those two files.
 *
 *   loop thread: accept, read --> on_request() --> request_reply()            at once, or
 *                                      \--> request_park() ... work elsewhere
 *   any thread:                                    ticket_post() --\
 *   loop thread:                            ticket->arrived() <----/ --> request_reply()
 *                client left, or too late:  ticket->leave()
 *
 * Threads  a request belongs to its loop's thread; only ticket_post() and server_drain() are
 *          for any thread
 * Memory   server_new() / server_free(); a request is borrowed between on_request() and
 *          on_end(); a ticket is the handler's
 * Units    nanoseconds, bytes
 */
#ifndef TILTH_HTTP_SERVER_H
#define TILTH_HTTP_SERVER_H

#include "base/attr.h"
#include "base/err.h"
#include "http/text.h"

#include <stdbool.h>
#include <stdint.h>

struct blob;
struct loop;
struct server;
struct ticket;

#define REQUEST_ID_MAX  64
#define REQUEST_SCRATCH 1024
#define REPLY_HEADERS   16

/* One request. The server fills the first half before on_request(). */
struct request {
    struct text method;
    struct text target; /* as it came: path and query, nothing decoded */
    struct text host;   /* as it came; may be empty */
    bool lacks_host;    /* HTTP/1.1 without Host: RFC 9112, 3.2 wants a 400.. */
    bool many_hosts;    /* ..and so it does here; not known of a request with a body */
    int64_t start_ns;
    unsigned loop;     /* 0 .. loops - 1 */
    size_t body_bytes; /* what came with it; the connection will be closed after any body */
    char peer[48];     /* address of the client, no port */

    /* The handlers' own, for headers, log and metrics. */
    char id[REQUEST_ID_MAX + 1];
    const char *route; /* a constant */
    const char *cache; /* "HIT", .. or NULL: a constant */
    int64_t render_ns; /* 0: nothing was rendered */
    size_t scratch_used;
    char *scratch; /* REQUEST_SCRATCH bytes of the loop, for header values; good until the
                    * handler returns */
};

struct request_end {
    int status;
    uint64_t bytes; /* of the body, handed to the kernel */
    int64_t end_ns;
    bool aborted; /* the client left before its answer */
};

struct server_options {
    const char *listen; /* "127.0.0.1:8080", "[::1]:8080", ":8080"; port 0: any free one */
    unsigned loops, max_connections;
    int64_t idle_timeout_ns; /* also the longest a request may take to arrive */
    int64_t drain_ns;        /* after this a drain no longer waits for answers */
    void (*on_request)(void *udata, struct request *request);
    /* Also for what was refused before on_request(). */
    void (*on_end)(void *udata, const struct request *request, const struct request_end *end);
    void *udata;
};

/* Keeps SIGTERM and SIGINT for server_run() and ignores SIGPIPE. Call it in main before the
 * first thread starts: threads inherit the mask. */
void server_block_signals(void);

/* Binds and listens; refuses an address that somebody listens on. */
TL_MUST_CHECK enum tl_code server_new(const struct server_options *options,
                                      struct server **ret_server, struct tl_err *err);
uint16_t server_port(const struct server *server);
/* Serves until it has drained: after server_drain(), SIGTERM or SIGINT (twice: at once). */
TL_MUST_CHECK enum tl_code server_run(struct server *server, struct tl_err *err);
/* No new connections; every answer closes its connection. */
void server_drain(struct server *server);
bool server_draining(const struct server *server);
/* Waits for tickets that are still out; what answers them must still be alive. */
void server_free(struct server *server);

/* A request header, name in lower case; size 0 and NULL when it is absent; the first of several. */
struct text request_header(const struct request *request, const char *name);

struct reply {
    int status;
    unsigned header_count;
    struct {
        const char *name; /* a constant in lower case */
        struct text value;
    } headers[REPLY_HEADERS];
    struct blob *body; /* one reference, taken over; NULL: `text` */
    struct text text;  /* a constant */
    bool bodiless;     /* HEAD, 304: the body's length is said, the body is not sent */
    bool close;
};

/* Answers. Exactly once per request. Header values must live until it returns. */
void request_reply(struct request *request, const struct reply *reply);

enum leave_reason { LEAVE_GONE, LEAVE_LATE };

/* A request that waits for another thread; the handler embeds it in what it waits for. */
struct ticket {
    /* Set by the handler before request_park(). */
    int64_t deadline_ns;
    /* Loop thread, after ticket_post(); `request` is NULL when leave() was called before. */
    void (*arrived)(struct ticket *ticket, struct request *request);
    /*
     * Loop thread: the client is gone (nothing is to be answered), or the deadline has passed
     * (answer now). True: ticket_post() will not be called, the ticket may be freed. False:
     * arrived() will still come.
     */
    bool (*leave)(struct ticket *ticket, struct request *request, enum leave_reason why);

    /* The server's. */
    struct loop *loop;
    struct request *request;
    struct ticket *next;
};

void request_park(struct request *request, struct ticket *ticket);
/* Any thread, once; also before request_park() has been called for it, when ticket_bind() was. */
void ticket_post(struct ticket *ticket);
/* Names the loop that a ticket will go home to. */
void ticket_bind(struct ticket *ticket, const struct request *request);
unsigned ticket_loop(const struct ticket *ticket);
/* Whether the caller runs on the ticket's loop. */
bool ticket_is_home(const struct ticket *ticket);

AUTO_DEFINE(server, server_free)

#endif
