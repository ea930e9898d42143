/*
 * Tiles. A cached one is answered before tiler_get() returns; any other parks its request:
 *
 *   loop     on_tile -> tiler_get -> request_park               arrived -> answer
 *   worker                   on_tile_done -> ticket_post --------^
 *   loop     client gone, or the deadline passed: leave -> tiler_cancel
 */
#include "base/blob.h"
#include "base/check.h"
#include "base/clock.h"
#include "http/app.h"
#include "http/reply.h"
#include "http/tile_args.h"
#include "tiler/tiler.h"

#include <stdlib.h>

/* One wish on its way. Its loop owns it, except while on_tile_done() fills the second half. */
struct tile_call {
    struct ticket ticket; /* first: a ticket is cast back to its call */
    struct http *http;
    struct request *request; /* while tiler_get() runs */
    struct tile_call *next_free;
    struct tiler_wait *wait;
    enum image_format format;
    bool in_get;

    enum tl_code code;
    struct tile tile; /* holds a reference to its blob */
    struct tl_err err;
};

static struct tile_call *call_new(struct http *http, unsigned loop)
{
    struct tile_call *call = http->loops[loop].free_calls;

    if (!call)
        return calloc(1, sizeof(*call));
    http->loops[loop].free_calls = call->next_free;
    return call;
}

static void call_free(struct tile_call *call, unsigned loop)
{
    struct loop_state *state = &call->http->loops[loop];

    blob_unref(TL_TAKE(call->tile.blob));
    call->next_free = state->free_calls;
    state->free_calls = call;
}

void tile_calls_free(struct http *http)
{
    for (unsigned i = 0; i < http->loop_count; i++) {
        while (http->loops[i].free_calls) {
            struct tile_call *call = http->loops[i].free_calls;

            http->loops[i].free_calls = call->next_free;
            free(call);
        }
    }
}

static const char *cache_word(enum tile_source from)
{
    static const char *const words[] = {
        [TILE_HIT_RAM] = "HIT",
        [TILE_HIT_DISK] = "HIT",
        [TILE_RENDERED] = "MISS",
        [TILE_JOINED] = "COALESCED",
    };

    return words[from];
}

/* "3f..a0-91..7c" in quotes: what the pixels depend on, and the bytes. */
static struct text put_etag(struct request *request, const struct tile *tile)
{
    char *start = reply_scratch(request, 35), *to = start;

    *to++ = '"';
    to = put_hex64(to, tile->etag[0]);
    *to++ = '-';
    to = put_hex64(to, tile->etag[1]);
    *to++ = '"';
    return (struct text){start, (size_t)(to - start)};
}

/* cache;desc=MISS, queue;dur=0.412, fetch;dur=18.204, .., total;dur=30.100 */
static struct text put_timing(struct request *request, const struct tile *tile)
{
    char *start = reply_scratch(request, 64 + 40 * STAGE_COUNT), *to = start;

    to = put_text(to, "cache;desc=");
    to = put_text(to, request->cache);
    for (unsigned stage = 0; stage < STAGE_COUNT; stage++) {
        if (tile->spent_ns[stage] <= 0)
            continue;
        to = put_text(to, ", ");
        to = put_text(to, errand_stage_name((enum errand_stage)stage));
        to = put_text(to, ";dur=");
        to = put_ms(to, tile->spent_ns[stage]);
    }
    to = put_text(to, ", total;dur=");
    to = put_ms(to, tile->total_ns);
    return (struct text){start, (size_t)(to - start)};
}

static void answer_tile(struct http *http, struct request *request, const struct tile *tile,
                        enum image_format format)
{
    struct text etag = put_etag(request, tile);
    struct reply reply = {.status = 200};

    request->cache = cache_word(tile->from);
    request->render_ns = tile->from == TILE_RENDERED ? tile->total_ns : 0;
    if (reply_is_current(request, etag))
        reply.status = 304;
    else
        reply.body = blob_ref(tile->blob);
    reply_add_string(&reply, "content-type", image_format_type(format));
    reply_add_string(&reply, "cache-control",
                     tile->inexact ? "public, max-age=10" : http->tile_cache);
    reply_add(&reply, "etag", etag);
    reply_add_string(&reply, "x-cache", request->cache);
    reply_add(&reply, "server-timing", put_timing(request, tile));
    if (tile->inexact)
        reply_add_string(&reply, "x-tilth-exact", "0");
    reply_send(http, request, &reply);
}

static void answer(struct http *http, struct request *request, const struct tile_call *call)
{
    if (call->code == TL_OK)
        answer_tile(http, request, &call->tile, call->format);
    else
        reply_error(http, request, call->code, &call->err);
}

/* The loop inside tiler_get(), or any worker. */
static void on_tile_done(void *udata, enum tl_code code, const struct tile *tile,
                         const struct tl_err *err)
{
    struct tile_call *call = udata;

    /* A worker may be here while the loop is still inside tiler_get(): the thread decides. */
    if (ticket_is_home(&call->ticket) && call->in_get) {
        struct request *request = TL_TAKE(call->request);

        if (code == TL_OK)
            answer_tile(call->http, request, tile, call->format);
        else
            reply_error(call->http, request, code, err);
        return;
    }
    call->code = code;
    if (code == TL_OK) {
        call->tile = *tile;
        call->tile.blob = blob_ref(tile->blob);
    } else {
        call->err = *err;
    }
    ticket_post(&call->ticket);
}

static void on_arrived(struct ticket *ticket, struct request *request)
{
    struct tile_call *call = (struct tile_call *)ticket;

    if (call->wait)
        (void)tiler_cancel(call->http->options.tiler, TL_TAKE(call->wait));
    if (request)
        answer(call->http, request, call);
    call_free(call, ticket_loop(ticket));
}

static bool on_leave(struct ticket *ticket, struct request *request, enum leave_reason why)
{
    struct tile_call *call = (struct tile_call *)ticket;
    /* A call without a wait has been answered by a worker: it is on its way home. */
    bool over = call->wait && tiler_cancel(call->http->options.tiler, TL_TAKE(call->wait));

    if (why == LEAVE_LATE)
        reply_error(call->http, request, TL_TIMEOUT,
                    &(struct tl_err){"the tile was not ready by the deadline (render_deadline)"});
    if (over)
        call_free(call, ticket_loop(ticket));
    return over;
}

static void get(struct http *http, struct request *request, struct tile_call *call,
                const struct tile_query *query)
{
    struct tiler_wait *wait = NULL;

    call->http = http;
    call->request = request;
    call->wait = NULL;
    call->format = query->format;
    call->in_get = true;
    call->ticket.arrived = on_arrived;
    call->ticket.leave = on_leave;
    /* The tiler answers in time where it can; this is for one whose workers all hang. */
    call->ticket.deadline_ns = query->deadline_ns + NS_PER_S;
    ticket_bind(&call->ticket, request);
    tiler_get(http->options.tiler, query, on_tile_done, call, &wait);
    call->in_get = false;
    if (!call->request) { /* answered */
        if (wait)
            (void)tiler_cancel(http->options.tiler, wait);
        call_free(call, request->loop);
        return;
    }
    call->request = NULL;
    call->wait = wait;
    request_park(request, &call->ticket);
}

static enum tl_code check_matrix_set(struct text name, struct tl_err *err)
{
    if (text_is(name, tms_name(&tms_web_mercator_quad)))
        return TL_OK;
    return tl_fail(err, TL_ABSENT, "no tile matrix set \"%.*s\"; known: %s",
                   (int)TL_MIN(name.size, 64), name.at, tms_name(&tms_web_mercator_quad));
}

/* /layers/{layer}/tiles/{tms}/{z}/{x}/{y} and /tiles/{layer}/{z}/{x}/{y} */
void on_tile(struct http *http, struct request *request, const struct route_args *args)
{
    struct tile_query query;
    struct layer *layer;
    struct tl_err err;

    enum tl_code code = args_layer(http->options.catalog, args->args[0], &layer, &err);
    if (code == TL_OK && args->count == 5)
        code = check_matrix_set(args->args[1], &err);
    if (code == TL_OK)
        code = args_tile(layer, &args->args[args->count - 3], args->url, &query, &err);
    if (code != TL_OK) {
        reply_error(http, request, code, &err);
        return;
    }
    struct tile_call *call = call_new(http, request->loop);
    if (!call) {
        reply_error(http, request, TL_NOMEM, NULL);
        return;
    }
    query.deadline_ns = http_deadline_ns(http, request);
    get(http, request, call, &query);
}
