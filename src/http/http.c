#include "http/http.h"

#include "base/clock.h"
#include "base/config.h"
#include "base/hash.h"
#include "http/app.h"
#include "http/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* A stopped server waits this much longer than its slowest answer may take. */
#define DRAIN_EXTRA_NS (2 * NS_PER_S)

static const char *const no_params[] = {NULL};
static const char *const landing_params[] = {"f", NULL};
static const char *const tile_params[] = {"style", "band", "season", "date", "classes", NULL};
static const char *const legend_params[] = {"style", "band", NULL};
static const char *const point_params[] = {"season", "date", NULL};
/* What the page itself reads out of its address. */
static const char *const viewer_params[] = {"layer", "style", "season", "date", "v", NULL};

const struct route http_routes[] = {
    {"tile", "layers/{}/tiles/{}/{}/{}/{}", tile_params, on_tile},
    {"tile", "tiles/{}/{}/{}/{}", tile_params, on_tile},
    {"point", "layers/{}/point/{}", point_params, on_point},
    {"tilejson", "layers/{}/tilejson.json", tile_params, on_tilejson},
    {"legend", "layers/{}/legend.json", legend_params, on_legend_json},
    {"legend", "layers/{}/legend.png", legend_params, on_legend_png},
    {"layers", "layers", no_params, on_layers},
    {"layer", "layers/{}", no_params, on_layer},
    {"styles", "styles", no_params, on_styles},
    {"style", "styles/{}", no_params, on_style},
    {"health", "healthz", no_params, on_health},
    {"ready", "readyz", no_params, on_ready},
    {"metrics", "metrics", no_params, on_metrics},
    {"landing", "", landing_params, on_landing},
    {"viewer", "viewer", viewer_params, on_viewer_moved},
    {"viewer", "viewer/", viewer_params, on_viewer},
    {"viewer", "viewer/{}", viewer_params, on_viewer},
    {"viewer", "viewer/images/{}", no_params, on_viewer},
};

const unsigned http_route_count = TL_COUNT(http_routes);

/* The client's id where it is a plain word, else one of our own: 64 bits that no other request
 * of this process has and that cannot be guessed from the last (splitmix64). */
static void name_request(struct http *http, struct request *request)
{
    struct text given = request_header(request, "x-request-id");
    bool plain = given.size > 0 && given.size <= REQUEST_ID_MAX;

    for (size_t i = 0; plain && i < given.size; i++) {
        char c = given.at[i];

        plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '-' || c == '_' || c == '.';
    }
    if (plain && text_copy(given, request->id, sizeof(request->id)))
        return;
    uint64_t z = http->loops[request->loop].id_state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    *put_hex64(request->id, z ^ z >> 31) = '\0';
}

static void reply_options(struct http *http, struct request *request)
{
    struct reply reply = {.status = 204};

    reply_add_string(&reply, "allow", "GET, HEAD, OPTIONS");
    if (*http->options.config->cors_origin) {
        reply_add_string(&reply, "access-control-allow-methods", "GET, HEAD, OPTIONS");
        reply_add_string(&reply, "access-control-allow-headers", "If-None-Match, X-Request-Id");
        reply_add_string(&reply, "access-control-max-age", "86400");
    }
    reply_send(http, request, &reply);
}

static void run_route(struct http *http, struct request *request, const struct route *route,
                      const struct route_args *args)
{
    bool reads = text_is(request->method, "GET") || text_is(request->method, "HEAD");
    struct tl_err err;

    if (text_is(request->method, "OPTIONS")) {
        reply_options(http, request);
        return;
    }
    if (!reads) {
        reply_problem(http, request, 405, "method", "this address takes GET, HEAD and OPTIONS");
        return;
    }
    if (request->body_bytes > 0) {
        reply_problem(http, request, 400, "invalid", "a GET or HEAD request carries no body");
        return;
    }
    enum tl_code code = route_check_params(route, args->url, &err);
    if (code == TL_OK)
        route->run(http, request, args);
    else
        reply_error(http, request, code, &err);
}

static void on_request(void *udata, struct request *request)
{
    struct http *http = udata;
    struct route_args args;
    struct url url;
    struct tl_err err;

    name_request(http, request);
    if (request->lacks_host || request->many_hosts) {
        reply_problem(http, request, 400, "invalid",
                      request->many_hosts ? "more than one Host header"
                                          : "HTTP/1.1 asks for a Host header");
        return;
    }
    enum tl_code code = url_parse(request->target, &url, &err);
    if (code == TL_LIMIT) {
        reply_problem(http, request, 414, tl_code_key(code), err.msg);
        return;
    }
    if (code != TL_OK) {
        reply_error(http, request, code, &err);
        return;
    }
    const struct route *route = route_find(http_routes, http_route_count, &url, &args);
    if (!route) {
        reply_problem(http, request, 404, "absent",
                      "no such address; / lists what there is to ask");
        return;
    }
    request->route = route->name;
    run_route(http, request, route, &args);
}

static void on_end(void *udata, const struct request *request, const struct request_end *end)
{
    access_log_write(udata, request, end);
}

int64_t http_deadline_ns(const struct http *http, const struct request *request)
{
    return request->start_ns + http->options.config->render_deadline;
}

void http_block_signals(void)
{
    server_block_signals();
}

uint16_t http_port(const struct http *http)
{
    return server_port(http->server);
}

enum tl_code http_run(struct http *http, struct tl_err *err)
{
    return server_run(http->server, err);
}

static enum tl_code start_loops(struct http *http, struct tl_err *err)
{
    http->loops = calloc(http->loop_count, sizeof(*http->loops));
    if (!http->loops)
        return tl_fail(err, TL_NOMEM, "no memory for %u loops", http->loop_count);
    for (unsigned i = 0; i < http->loop_count; i++) {
        uint64_t *state = &http->loops[i].id_state;

        /* Without entropy ids still differ within the process, which is what they are for. */
        if (getrandom(state, sizeof(*state), GRND_NONBLOCK) != sizeof(*state))
            *state = (uint64_t)clock_unix_us() << 8 | i;
    }
    return TL_OK;
}

static enum tl_code start_server(struct http *http, struct tl_err *err)
{
    const struct config *config = http->options.config;
    const struct server_options options = {
        .listen = config->listen,
        .loops = http->loop_count,
        .max_connections = (unsigned)config->max_connections,
        .idle_timeout_ns = config->idle_timeout,
        .drain_ns = config->render_deadline + DRAIN_EXTRA_NS,
        .on_request = on_request,
        .on_end = on_end,
        .udata = http,
    };

    return server_new(&options, &http->server, err);
}

enum tl_code http_new(const struct http_options *options, struct http **ret_http,
                      struct tl_err *err)
{
    AUTO(http) http = calloc(1, sizeof(*http));

    if (!http)
        return tl_fail(err, TL_NOMEM, "no memory for the web server");
    http->options = *options;
    http->loop_count = (unsigned)options->config->loops;
    snprintf(http->tile_cache, sizeof(http->tile_cache), "public, max-age=%lld",
             (long long)(options->config->tile_max_age / NS_PER_S));
    TL_TRY(start_loops(http, err));
    if (options->viewer_dir && *options->viewer_dir)
        TL_TRY(assets_load(http, options->viewer_dir, err));
    TL_TRY(start_server(http, err));
    *ret_http = TL_TAKE(http);
    return TL_OK;
}

void http_free(struct http *http)
{
    if (!http)
        return;
    server_free(http->server);
    if (http->loops)
        tile_calls_free(http);
    free(http->loops);
    assets_free(http);
    free(http);
}
