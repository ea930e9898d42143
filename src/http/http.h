/*
 * http: the web server of tilth: tiles, documents, points, the viewer page.
 *
 *   main: http_block_signals() .. http_new() .. http_run() .. http_free()
 *
 * Threads  http_run() serves on its caller's thread and on config->loops - 1 more
 * Memory   http_new() / http_free(); everything in the options is borrowed and must outlive
 *          it (free the http before the tiler and the pool)
 */
#ifndef TILTH_HTTP_HTTP_H
#define TILTH_HTTP_HTTP_H

#include "base/attr.h"
#include "base/err.h"

#include <stdint.h>

struct catalog;
struct config;
struct http;
struct log;
struct tiler;

struct http_options {
    const struct config *config; /* listen, loops, max_connections, the timeouts, .. */
    struct catalog *catalog;
    struct tiler *tiler;
    struct log *log;        /* access log */
    const char *viewer_dir; /* files of /viewer, read once; NULL or absent: no viewer */
};

/* First thing in main: SIGTERM, SIGINT and SIGHUP stay for http_run(), SIGPIPE is ignored. */
void http_block_signals(void);

/* Listens (connections wait) but does not serve yet. */
TL_MUST_CHECK enum tl_code http_new(const struct http_options *options, struct http **ret_http,
                                    struct tl_err *err);
/* The port in use, also when the configuration asked for port 0. */
uint16_t http_port(const struct http *http);
/* Serves until it has drained after SIGTERM or SIGINT; a second signal ends it at once. */
TL_MUST_CHECK enum tl_code http_run(struct http *http, struct tl_err *err);
void http_free(struct http *http);

AUTO_DEFINE(http, http_free)

#endif
