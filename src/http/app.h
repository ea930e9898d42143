/*
 * app: what the handlers of src/http share. A handler runs on its request's loop, never
 * blocks and answers exactly once, at once or through a ticket.
 */
#ifndef TILTH_HTTP_APP_H
#define TILTH_HTTP_APP_H

#include "http/http.h"
#include "http/route.h"
#include "http/server.h"

struct asset;
struct tile_call;

/* What one loop keeps for itself. */
struct loop_state {
    struct tile_call *free_calls;            /* so that a cached tile costs no allocation */
    uint64_t id_state;                       /* of request ids */
    int64_t clock_asked_ns, clock_offset_us; /* unix time = monotonic + offset */
    int64_t date_s;                          /* the second that `date` shows */
    char date[24];
};

struct http {
    struct http_options options;
    struct server *server;
    unsigned loop_count;
    struct loop_state *loops;
    unsigned asset_count;
    struct asset *assets; /* of the viewer */
    char tile_cache[96];  /* Cache-Control of a tile */
};

/* The handlers, one per line of the route table. */
route_fn on_landing, on_layers, on_layer, on_tile, on_tilejson, on_legend_json, on_legend_png,
    on_point, on_styles, on_style, on_health, on_ready, on_metrics, on_viewer_moved, on_viewer;

/* Every route, most used first. */
extern const struct route http_routes[];
extern const unsigned http_route_count;

/* When an answer is due. */
int64_t http_deadline_ns(const struct http *http, const struct request *request);

#define DOCUMENT_TYPE  "application/json"
#define DOCUMENT_CACHE "public, max-age=60"

/* Frees what `http->loops[].free_calls` holds. */
void tile_calls_free(struct http *http);
TL_MUST_CHECK enum tl_code assets_load(struct http *http, const char *dir, struct tl_err *err);
void assets_free(struct http *http);

/* One JSON line about a request that has ended, and its metrics. */
void access_log_write(struct http *http, const struct request *request,
                      const struct request_end *end);

#endif
