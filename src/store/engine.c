#include "store/engine.h"

#include "base/blob.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/metric.h"
#include "store/endpoint.h"
#include "store/engine_impl.h"
#include "store/target.h"

#include <stdlib.h>
#include <string.h>

enum { DEFAULT_GAP = 64, SPAN_SIZE = 1 << 20, DEFAULT_CONNECTIONS = 32, IDLE_TURN_MS = 10000 };

enum tl_code engine_new(const struct store_options *options, struct engine **ret_engine,
                        struct tl_err *err)
{
    AUTO(engine) engine = TL_OWNED(calloc(1, sizeof(*engine)));

    if (!engine)
        return tl_fail(err, TL_NOMEM, "no memory for the fetch thread");
    engine->multi = curl_multi_init();
    if (!engine->multi)
        return tl_fail(err, TL_NOMEM, "no memory for the fetch thread");
    engine->limits.timeout_ns = options->timeout_ns > 0 ? options->timeout_ns : 8 * NS_PER_S;
    engine->limits.connect_timeout_ns =
        options->connect_timeout_ns > 0 ? options->connect_timeout_ns : NS_PER_S;
    engine->max_connections =
        options->max_connections ? options->max_connections : DEFAULT_CONNECTIONS;
    engine->retries = options->retries;
    engine->listener = options->listener;
    engine->plan.gap = options->merge_gap ? options->merge_gap : DEFAULT_GAP;
    engine->plan.span_size = SPAN_SIZE;
    engine->random = (uint64_t)clock_unix_us() | 1;
    /* Idle connections are kept for every slot of two hosts; more hosts reconnect. */
    long kept = 2 * (long)engine->max_connections;
    if (curl_multi_setopt(engine->multi, CURLMOPT_MAXCONNECTS, kept) != CURLM_OK)
        return tl_fail(err, TL_INTERNAL, "libcurl refused CURLMOPT_MAXCONNECTS %ld", kept);
    *ret_engine = TL_TAKE(engine);
    return TL_OK;
}

CURLM *engine_multi(const struct engine *engine)
{
    return engine->multi;
}

/* Takes a part out of every list but that of its wants. */
static void part_unlink(struct engine *engine, struct part *part)
{
    try_stop(engine, part);
    switch (part->state) {
    case PART_QUEUED:
        TAILQ_REMOVE(&part->target->endpoint->queue, part, queue_link);
        break;
    case PART_RUNNING:
    case PART_BACKOFF:
        LIST_REMOVE(part, busy_link);
        break;
    case PART_SETTLED:
        TL_CHECK(part->state != PART_SETTLED); /* once */
    }
    part->state = PART_SETTLED;
    LIST_REMOVE(part, target_link);
}

static void part_free(struct part *part)
{
    TL_CHECK(LIST_EMPTY(&part->wants) && part->state == PART_SETTLED);
    target_unref(part->target);
    free(part);
}

static void want_detach(struct engine *engine, struct want *want)
{
    struct part *part = want->part;

    if (!want->is_listed)
        return;
    LIST_REMOVE(want, link);
    want->is_listed = false;
    want->part = NULL;
    if (part && LIST_EMPTY(&part->wants) && part->state != PART_SETTLED) {
        part_unlink(engine, part);
        part_free(part);
    }
}

/* Gives the engine's reference back; the caller is told unless it has left. */
static void request_over(struct engine *engine, struct request *request, enum tl_code code,
                         const struct tl_err *err)
{
    LIST_REMOVE(request, live_link);
    request->is_live = false;
    for (size_t i = 0; i < request->count && code != TL_OK; i++)
        want_detach(engine, &request->wants[i]);
    request_finish(request, code, err);
    request_unref(request);
}

/*
 * Bytes and GETs are charged to one of those who wait, so that shares add up; to who is ahead
 * only until a reader comes.
 */
static void charge(struct part *part, uint64_t bytes)
{
    struct want *payer = NULL, *want;

    LIST_FOREACH (want, &part->wants, link)
        if (!payer || payer->request->is_ahead)
            payer = want;
    if (payer) {
        payer->request->bytes += bytes;
        payer->request->fetches += part->fetches;
    }
}

static void learn(struct request *request, const struct transfer *transfer)
{
    const char *validator = range_reply_validator(&transfer->reply);

    request->opened.size = transfer->verdict.total;
    request->opened.is_unchanged = transfer->reply.status == 304;
    memcpy(request->opened.validator, validator, strlen(validator) + 1);
}

static bool holds(const struct range *outer, const struct range *inner)
{
    return inner->offset >= outer->offset && inner->size <= outer->size &&
           inner->offset - outer->offset <= outer->size - inner->size;
}

/* `from` holds the bytes at `offset` and what follows. */
static void want_fill(struct want *want, const struct slice *from, uint64_t offset)
{
    size_t at = (size_t)(want->range.offset - offset);

    TL_CHECK(at + want->range.size <= from->size);
    want->slice = (struct slice){
        .owner = blob_ref(from->owner), .bytes = from->bytes + at, .size = want->range.size};
    want->request->missing--;
    if (!want->request->is_ahead)
        return;
    LIST_INSERT_HEAD(&want->request->target->arrived, want, link);
    want->is_listed = true;
}

static bool is_complete(const struct request *request)
{
    return request->missing == 0 && !request->is_ahead;
}

void part_deliver(struct engine *engine, struct part *part, struct transfer *transfer)
{
    struct blob *body = transfer->body; /* owned from here */
    struct want *want;

    transfer->body = NULL;
    charge(part, transfer->got);
    metric_add(METRIC_FETCH_BYTES, (int64_t)transfer->got);
    if (part->kind != REQUEST_READ) {
        want = LIST_FIRST(&part->wants);
        learn(want->request, transfer);
        want->range.size = body ? blob_size(body) : 0;
    }
    const struct slice bytes = {body, body ? blob_bytes(body) : NULL, body ? blob_size(body) : 0};
    part_unlink(engine, part);
    while ((want = LIST_FIRST(&part->wants))) {
        LIST_REMOVE(want, link);
        want->is_listed = false;
        want->part = NULL;
        if (body)
            want_fill(want, &bytes, part->range.offset);
        else
            want->request->missing--;
        if (is_complete(want->request))
            request_over(engine, want->request, TL_OK, NULL);
    }
    blob_unref(body);
    part_free(part);
}

void part_fail(struct engine *engine, struct part *part, enum tl_code code,
               const struct tl_err *err)
{
    struct tl_err said = *err;
    struct want *want;

    if (part->kind == REQUEST_READ)
        tl_context(&said, code, "%.200s bytes %llu-%llu: ", part->target->href.label,
                   (unsigned long long)part->range.offset,
                   (unsigned long long)(part->range.offset + part->range.size - 1));
    else
        tl_context(&said, code, "%.200s: ", part->target->href.label);
    if (code == TL_CHANGED)
        part->target->is_replaced = true;
    if (code != TL_ABSENT)
        metric_add(METRIC_FETCH_FAILURES, 1);
    charge(part, 0);
    part_unlink(engine, part);
    while ((want = LIST_FIRST(&part->wants)))
        request_over(engine, want->request, code, &said);
    part_free(part);
}

static struct endpoint *endpoint_of(struct engine *engine, const char *origin)
{
    struct endpoint *endpoint;

    LIST_FOREACH (endpoint, &engine->endpoints, link)
        if (strcmp(endpoint->origin, origin) == 0)
            return endpoint;
    endpoint = endpoint_new(origin, engine->listener);
    if (endpoint)
        LIST_INSERT_HEAD(&engine->endpoints, endpoint, link);
    return endpoint;
}

static struct part *part_new(struct target *target, enum request_kind kind, struct range range)
{
    struct part *part = calloc(1, sizeof(*part));

    if (!part)
        return NULL;
    part->kind = kind;
    part->target = target_ref(target);
    part->range = range;
    part->state = PART_QUEUED;
    LIST_INIT(&part->wants);
    LIST_INSERT_HEAD(&target->parts, part, target_link);
    TAILQ_INSERT_TAIL(&target->endpoint->queue, part, queue_link);
    return part;
}

static void part_add(struct part *part, struct want *want)
{
    LIST_INSERT_HEAD(&part->wants, want, link);
    want->is_listed = true;
    want->part = part;
}

/* The reader pays for what was fetched ahead of it. */
static void take_arrived(const struct want *arrived, struct want *want)
{
    want_fill(want, &arrived->slice, arrived->range.offset);
    want->request->bytes += arrived->request->bytes;
    want->request->fetches += arrived->request->fetches;
    arrived->request->bytes = 0;
    arrived->request->fetches = 0;
}

/* A range inside a GET that is queued or running, or was made ahead, costs nothing. */
static bool join(struct target *target, struct want *want)
{
    struct want *arrived;
    struct part *part;

    LIST_FOREACH (part, &target->parts, target_link) {
        if (part->kind == REQUEST_READ && holds(&part->range, &want->range)) {
            part_add(part, want);
            return true;
        }
    }
    LIST_FOREACH (arrived, &target->arrived, link) {
        if (holds(&arrived->range, &want->range)) {
            take_arrived(arrived, want);
            return true;
        }
    }
    return false;
}

static void mark_dirty(struct engine *engine, struct target *target)
{
    if (target->is_dirty)
        return;
    target->is_dirty = true;
    target_ref(target);
    LIST_INSERT_HEAD(&engine->dirty, target, dirty_link);
}

static bool place_wants(struct engine *engine, struct request *request)
{
    struct target *target = request->target;

    if (request->kind != REQUEST_READ) {
        struct part *part = part_new(target, request->kind, request->wants[0].range);
        if (part)
            part_add(part, &request->wants[0]);
        return part != NULL;
    }
    for (size_t i = 0; i < request->count; i++) {
        struct want *want = &request->wants[i];
        if (join(target, want))
            continue;
        LIST_INSERT_HEAD(&target->pending, want, link);
        want->is_listed = true;
    }
    if (!LIST_EMPTY(&target->pending))
        mark_dirty(engine, target);
    return true;
}

void engine_admit(struct engine *engine, struct request *request)
{
    struct target *target = request->target;
    struct tl_err err;

    request->is_live = true;
    LIST_INSERT_HEAD(&engine->live, request, live_link);
    if (request->kind == REQUEST_READ && target->is_replaced) {
        tl_fail(&err, TL_CHANGED, "%.200s: the object was replaced; it must be opened again",
                target->href.label);
        request_over(engine, request, TL_CHANGED, &err);
        return;
    }
    if (!target->endpoint)
        target->endpoint = endpoint_of(engine, target->href.origin);
    if (!target->endpoint || !place_wants(engine, request)) {
        tl_fail(&err, TL_NOMEM, "no memory to fetch %.200s", target->href.label);
        request_over(engine, request, TL_NOMEM, &err);
    } else if (is_complete(request)) {
        request_over(engine, request, TL_OK, NULL);
    }
}

void engine_leave(struct engine *engine, struct request *request)
{
    struct tl_err err;

    if (request->is_live) {
        tl_fail(&err, TL_CANCELLED, "the caller left");
        request_over(engine, request, TL_CANCELLED, &err);
    }
    request_unref(request);
}

static bool scratch_for(struct engine *engine, size_t count)
{
    if (count <= engine->scratch_count)
        return true;
    size_t room = TL_MAX(count, (size_t)64) * 2;
    struct plan_item *items = realloc(engine->items, room * sizeof(*items));
    if (items)
        engine->items = items;
    struct range *spans = realloc(engine->spans, room * sizeof(*spans));
    if (spans)
        engine->spans = spans;
    if (items && spans)
        engine->scratch_count = room;
    return items && spans;
}

/* Parts for all spans, or none: wants are handed over only when nothing can fail. */
static bool make_parts(struct engine *engine, struct target *target, size_t span_count,
                       struct part **ret_parts)
{
    for (size_t i = 0; i < span_count; i++) {
        ret_parts[i] = part_new(target, REQUEST_READ, engine->spans[i]);
        if (ret_parts[i])
            continue;
        while (i-- > 0) {
            part_unlink(engine, ret_parts[i]);
            part_free(ret_parts[i]);
        }
        return false;
    }
    return true;
}

static bool plan_target(struct engine *engine, struct target *target)
{
    size_t count = 0;
    struct want *want;

    LIST_FOREACH (want, &target->pending, link)
        count++;
    if (count == 0)
        return true;
    if (!scratch_for(engine, count))
        return false;
    size_t n = 0;
    LIST_FOREACH (want, &target->pending, link)
        engine->items[n++] = (struct plan_item){.range = want->range, .want = want};
    size_t span_count = fetch_plan(engine->items, count, &engine->plan, engine->spans);
    struct part **parts = calloc(span_count, sizeof(struct part *));
    if (!parts || !make_parts(engine, target, span_count, parts)) {
        free(parts);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        LIST_REMOVE(engine->items[i].want, link);
        part_add(parts[engine->items[i].span], engine->items[i].want);
    }
    free(parts);
    return true;
}

static void plan_dirty(struct engine *engine)
{
    struct target *target;
    struct want *want;
    struct tl_err err;

    while ((target = LIST_FIRST(&engine->dirty))) {
        LIST_REMOVE(target, dirty_link);
        target->is_dirty = false;
        if (!plan_target(engine, target)) {
            tl_fail(&err, TL_NOMEM, "no memory to fetch %.200s", target->href.label);
            while ((want = LIST_FIRST(&target->pending)))
                request_over(engine, want->request, TL_NOMEM, &err);
        }
        target_unref(target);
    }
}

int engine_turn(struct engine *engine)
{
    int running = 0;

    plan_dirty(engine);
    try_start_queued(engine);
    curl_multi_perform(engine->multi, &running);
    try_collect(engine);
    try_on_time(engine);
    try_start_queued(engine);

    int64_t next_ns = try_next_ns(engine);
    if (next_ns == CLOCK_NEVER)
        return IDLE_TURN_MS;
    int64_t wait_ns = next_ns - clock_now_ns();
    if (wait_ns <= 0)
        return 0;
    /* Rounded up: a turn before the time is a turn for nothing. */
    return (int)TL_MIN(wait_ns / NS_PER_MS + 1, (int64_t)IDLE_TURN_MS);
}

void engine_free(struct engine *engine)
{
    struct request *request;
    struct endpoint *endpoint;
    struct transfer *transfer;
    struct target *target;
    struct tl_err err;

    if (!engine)
        return;
    tl_fail(&err, TL_CANCELLED, "the store was closed");
    while ((request = LIST_FIRST(&engine->live)))
        request_over(engine, request, TL_CANCELLED, &err);
    while ((target = LIST_FIRST(&engine->dirty))) {
        LIST_REMOVE(target, dirty_link);
        target_unref(target);
    }
    while ((endpoint = LIST_FIRST(&engine->endpoints))) {
        LIST_REMOVE(endpoint, link);
        endpoint_free(endpoint);
    }
    while ((transfer = SLIST_FIRST(&engine->idle))) {
        SLIST_REMOVE_HEAD(&engine->idle, idle_link);
        transfer_free(transfer);
    }
    curl_multi_cleanup(engine->multi);
    free(engine->items);
    free(engine->spans);
    free(engine);
}
