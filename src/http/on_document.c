/*
 * Documents about layers and styles, legends, and points. What only reads the catalog is
 * written on the loop; what may open a source (TileJSON has the bounds, a point the pixels)
 * or takes a worker's arena goes through tiler_task() with its request parked.
 */
#include "base/blob.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/errand.h"
#include "http/app.h"
#include "http/reply.h"
#include "http/tile_args.h"
#include "tiler/catalog.h"
#include "tiler/describe.h"
#include "tiler/layer.h"
#include "tiler/point.h"
#include "tiler/style.h"
#include "tiler/tiler.h"

#include <stdlib.h>

static const char json_type[] = "application/json";
static const char document_cache[] = "public, max-age=60";

/* A document that a worker writes. The loop owns it before and after the worker does. */
struct document_call {
    struct ticket ticket; /* first: a ticket is cast back to its call */
    struct http *http;
    enum tl_code (*write)(struct document_call *call, struct errand *errand, struct arena *arena,
                          struct blob **ret_body, struct tl_err *err);
    const char *type, *cache_control;

    struct layer *layer;
    const struct style *style;
    char season[32];
    double lon, lat;
    char base_url[BASE_URL_MAX];
    char query_string[256];
    int64_t deadline_ns;
    atomic_bool cancelled; /* the loop sets it, the worker looks */

    enum tl_code code;
    struct blob *body;
    struct tl_err err;
};

static enum tl_code whole(const struct buf *buf, struct blob **ret_body, struct tl_err *err)
{
    *ret_body = buf_blob(buf);
    return *ret_body ? TL_OK : tl_fail(err, TL_NOMEM, "no memory for the document");
}

static enum tl_code write_tilejson(struct document_call *call, struct errand *errand,
                                   struct arena *arena, struct blob **ret_body, struct tl_err *err)
{
    AUTO(layer_view) view = NULL;
    AUTO_BUF out = {0};

    (void)arena;
    TL_TRY(layer_view_get(call->layer, call->season, errand, &view, err));
    TL_TRY(describe_tilejson(view, call->base_url, call->query_string, &out, err));
    return whole(&out, ret_body, err);
}

static enum tl_code write_legend(struct document_call *call, struct errand *errand,
                                 struct arena *arena, struct blob **ret_body, struct tl_err *err)
{
    (void)errand;
    return describe_legend_png(call->style, arena, ret_body, err);
}

static enum tl_code write_point(struct document_call *call, struct errand *errand,
                                struct arena *arena, struct blob **ret_body, struct tl_err *err)
{
    struct point_query query = {.layer = call->layer, .lon = call->lon, .lat = call->lat};
    AUTO_BUF out = {0};

    memcpy(query.season, call->season, sizeof(query.season));
    TL_TRY(point_describe(&query, errand, arena, &out, err));
    return whole(&out, ret_body, err);
}

/* A worker. */
static void run(void *udata, struct arena *arena)
{
    struct document_call *call = udata;
    struct errand errand = {.deadline_ns = call->deadline_ns, .cancelled = &call->cancelled};

    call->code = errand_check(&errand, &call->err);
    if (call->code == TL_OK)
        call->code = call->write(call, &errand, arena, &call->body, &call->err);
    ticket_post(&call->ticket);
}

static void call_free(struct document_call *call)
{
    blob_unref(call->body);
    free(call);
}

static void on_arrived(struct ticket *ticket, struct request *request)
{
    struct document_call *call = (struct document_call *)ticket;

    if (request && call->code == TL_OK)
        reply_document(call->http, request, TL_TAKE(call->body), call->type, call->cache_control);
    else if (request)
        reply_error(call->http, request, call->code, &call->err);
    call_free(call);
}

static bool on_leave(struct ticket *ticket, struct request *request, enum leave_reason why)
{
    struct document_call *call = (struct document_call *)ticket;

    /* Relaxed: a late look costs the worker one more block. */
    atomic_store_explicit(&call->cancelled, true, memory_order_relaxed);
    if (why == LEAVE_LATE)
        reply_error(call->http, request, TL_TIMEOUT, NULL);
    return false;
}

static struct document_call *call_new(struct http *http, const struct request *request)
{
    struct document_call *call = calloc(1, sizeof(*call));

    if (!call)
        return NULL;
    call->http = http;
    call->deadline_ns = request->start_ns + http->options.config->render_deadline;
    call->ticket.deadline_ns = call->deadline_ns + NS_PER_S;
    call->ticket.arrived = on_arrived;
    call->ticket.leave = on_leave;
    ticket_bind(&call->ticket, request);
    return call;
}

/* Layer, style and season of an address under /layers/{layer}. */
static enum tl_code read_args(struct document_call *call, const struct route_args *args,
                              struct tl_err *err)
{
    TL_TRY(args_layer(call->http->options.catalog, args->args[0], &call->layer, err));
    TL_TRY(args_style(call->layer, args->url, &call->style, err));
    if (!call->style)
        TL_TRY(layer_style(call->layer, NULL, &call->style, err));
    return args_season(args->url, call->season, err);
}

/* Parks the request and hands the call to a worker, or answers why not. */
static void submit(struct http *http, struct request *request, struct document_call *call,
                   enum tl_code code, struct tl_err *err)
{
    if (code == TL_OK)
        code = tiler_task(http->options.tiler, call->layer, run, call, err);
    if (code == TL_OK) {
        request_park(request, &call->ticket);
        return;
    }
    reply_error(http, request, code, err);
    call_free(call);
}

/* Makes a call, or answers 503. */
static struct document_call *begin(struct http *http, struct request *request)
{
    struct document_call *call = call_new(http, request);

    if (!call)
        reply_error(http, request, TL_NOMEM, NULL);
    return call;
}

/* What the tile addresses of a TileJSON repeat: what url_parse() let through, escaped again. */
static enum tl_code put_param(struct text value, const char *key, char *to, size_t room,
                              struct tl_err *err)
{
    size_t used = strlen(to);

    if (value.size == 0)
        return TL_OK;
    if (used + strlen(key) + 3 + 3 * value.size > room)
        return tl_fail(err, TL_LIMIT, "the query is too long to be repeated in tile addresses");
    used += (size_t)snprintf(to + used, room - used, "%s%s=", used ? "&" : "", key);
    for (size_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char)value.at[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     char_in((char)c, "-._~,");

        used += (size_t)snprintf(to + used, room - used, plain ? "%c" : "%%%02X", c);
    }
    return TL_OK;
}

static enum tl_code put_params(struct document_call *call, const struct url *url,
                               struct tl_err *err)
{
    static const char *const keys[] = {"style", "season", "date", "classes"};

    for (unsigned i = 0; i < TL_COUNT(keys); i++)
        TL_TRY(put_param(url_param(url, keys[i]), keys[i], call->query_string,
                         sizeof(call->query_string), err));
    return TL_OK;
}

void on_tilejson(struct http *http, struct request *request, const struct route_args *args)
{
    struct document_call *call = begin(http, request);
    struct tl_err err;

    if (!call)
        return;
    call->write = write_tilejson;
    call->type = json_type;
    call->cache_control = document_cache;
    request_base_url(http, request, call->base_url);
    enum tl_code code = read_args(call, args, &err);
    if (code == TL_OK)
        code = put_params(call, args->url, &err);
    submit(http, request, call, code, &err);
}

void on_legend_png(struct http *http, struct request *request, const struct route_args *args)
{
    struct document_call *call = begin(http, request);
    struct tl_err err;

    if (!call)
        return;
    call->write = write_legend;
    call->type = "image/png";
    call->cache_control = document_cache;
    enum tl_code code = read_args(call, args, &err);
    submit(http, request, call, code, &err);
}

void on_point(struct http *http, struct request *request, const struct route_args *args)
{
    struct document_call *call = begin(http, request);
    struct tl_err err;

    if (!call)
        return;
    call->write = write_point;
    call->type = json_type;
    call->cache_control = document_cache;
    enum tl_code code = read_args(call, args, &err);
    if (code == TL_OK)
        code = args_lonlat(args->args[1], &call->lon, &call->lat, &err);
    submit(http, request, call, code, &err);
}

/* What only reads the catalog. */

static void finish(struct http *http, struct request *request, enum tl_code code,
                   const struct buf *out, const struct tl_err *err)
{
    if (code == TL_OK)
        reply_buf(http, request, out, json_type, document_cache);
    else
        reply_error(http, request, code, err);
}

void on_layers(struct http *http, struct request *request, const struct route_args *args)
{
    char base_url[BASE_URL_MAX];
    AUTO_BUF out = {0};
    struct tl_err err;

    (void)args;
    request_base_url(http, request, base_url);
    enum tl_code code = describe_layers(http->options.catalog, base_url, &out, &err);
    finish(http, request, code, &out, &err);
}

void on_layer(struct http *http, struct request *request, const struct route_args *args)
{
    char base_url[BASE_URL_MAX];
    struct layer *layer;
    AUTO_BUF out = {0};
    struct tl_err err;

    request_base_url(http, request, base_url);
    enum tl_code code = args_layer(http->options.catalog, args->args[0], &layer, &err);
    if (code == TL_OK)
        code = describe_layer(layer, base_url, &out, &err);
    finish(http, request, code, &out, &err);
}

void on_legend_json(struct http *http, struct request *request, const struct route_args *args)
{
    const struct style *style = NULL;
    struct layer *layer;
    AUTO_BUF out = {0};
    struct tl_err err;

    enum tl_code code = args_layer(http->options.catalog, args->args[0], &layer, &err);
    if (code == TL_OK)
        code = args_style(layer, args->url, &style, &err);
    if (code == TL_OK && !style)
        code = layer_style(layer, NULL, &style, &err);
    if (code == TL_OK)
        code = describe_style(style, &out, &err);
    finish(http, request, code, &out, &err);
}

void on_styles(struct http *http, struct request *request, const struct route_args *args)
{
    AUTO_BUF out = {0};
    struct tl_err err;

    (void)args;
    enum tl_code code = describe_styles(http->options.catalog, &out, &err);
    finish(http, request, code, &out, &err);
}

void on_style(struct http *http, struct request *request, const struct route_args *args)
{
    const struct style *style;
    AUTO_BUF out = {0};
    struct tl_err err;
    char id[64];

    enum tl_code code = TL_OK;
    if (!text_copy(args->args[0], id, sizeof(id)))
        code = tl_fail(&err, TL_ABSENT, "no style has an id of %zu bytes", args->args[0].size);
    if (code == TL_OK)
        code = catalog_style(http->options.catalog, id, &style, &err);
    if (code == TL_OK)
        code = describe_style(style, &out, &err);
    finish(http, request, code, &out, &err);
}
