/*
 * Documents that take a worker: TileJSON (it has the bounds, so the sources must be open),
 * the picture of a legend, points. The request is parked while the worker writes.
 */
#include "base/blob.h"
#include "base/clock.h"
#include "base/errand.h"
#include "http/app.h"
#include "http/document.h"
#include "http/reply.h"
#include "http/tile_args.h"
#include "tiler/tiler.h"

#include <stdlib.h>

/* A document that a worker writes. The loop owns it before and after the worker does. */
struct document_call {
    struct ticket ticket; /* first: a ticket is cast back to its call */
    struct http *http;
    document_fn *write;
    const char *type;
    struct document_query query;
    int64_t deadline_ns;
    atomic_bool cancelled; /* the loop sets it, the worker looks */

    enum tl_code code;
    struct blob *body;
    struct tl_err err;
};

/* A worker. */
static void run(void *udata, struct arena *arena)
{
    struct document_call *call = udata;
    struct errand errand = {.deadline_ns = call->deadline_ns, .cancelled = &call->cancelled};

    call->code = errand_check(&errand, &call->err);
    if (call->code == TL_OK)
        call->code = call->write(&call->query, &errand, arena, &call->body, &call->err);
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
        reply_document(call->http, request, TL_TAKE(call->body), call->type, DOCUMENT_CACHE);
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
    call->deadline_ns = http_deadline_ns(http, request);
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
    struct document_query *query = &call->query;

    TL_TRY(args_layer(call->http->options.catalog, args->args[0], &query->layer, err));
    TL_TRY(args_style(query->layer, args->url, &query->style, err));
    return args_season(args->url, query->season, err);
}

/* Parks the request and hands the call to a worker, or answers why not. */
static void submit(struct http *http, struct request *request, struct document_call *call,
                   enum tl_code code, struct tl_err *err)
{
    if (code == TL_OK)
        code = tiler_task(http->options.tiler, call->query.layer, run, call, err);
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
    static const char *const keys[] = {"style", "band", "season", "date", "classes"};

    for (unsigned i = 0; i < TL_COUNT(keys); i++)
        TL_TRY(put_param(url_param(url, keys[i]), keys[i], call->query.query_string,
                         sizeof(call->query.query_string), err));
    return TL_OK;
}

void on_tilejson(struct http *http, struct request *request, const struct route_args *args)
{
    struct document_call *call = begin(http, request);
    struct tl_err err;

    if (!call)
        return;
    call->write = document_tilejson;
    call->type = DOCUMENT_TYPE;
    request_base_url(http, request, call->query.base_url);
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
    call->write = document_legend;
    call->type = "image/png";
    enum tl_code code = read_args(call, args, &err);
    submit(http, request, call, code, &err);
}

void on_point(struct http *http, struct request *request, const struct route_args *args)
{
    struct document_call *call = begin(http, request);
    struct tl_err err;

    if (!call)
        return;
    call->write = document_point;
    call->type = DOCUMENT_TYPE;
    enum tl_code code = read_args(call, args, &err);
    if (code == TL_OK)
        code = args_lonlat(args->args[1], &call->query.lon, &call->query.lat, &err);
    submit(http, request, call, code, &err);
}
