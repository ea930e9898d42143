/*
 * try: how a GET is got. A part waits for a connection slot of its endpoint, runs, and on
 * a failure that may pass comes back after a jittered pause; when its first byte is later
 * than the endpoint's usual, a second transfer races the first.
 */
#include "base/check.h"
#include "base/clock.h"
#include "base/metric.h"
#include "store/endpoint.h"
#include "store/engine_impl.h"
#include "store/target.h"

#include <stdio.h>
#include <string.h>

#define BACKOFF_BASE_NS (50 * NS_PER_MS)
#define BACKOFF_CAP_NS  (2 * NS_PER_S)

/* A longer Retry-After fails now: no tile waits that long. */
enum { RETRY_AFTER_MAX_S = 10, IDLE_TRANSFERS = 64 };

static struct transfer *take_transfer(struct engine *engine)
{
    struct transfer *transfer = SLIST_FIRST(&engine->idle);

    if (!transfer)
        return transfer_new(&engine->limits);
    SLIST_REMOVE_HEAD(&engine->idle, idle_link);
    engine->idle_count--;
    return transfer;
}

static void keep_transfer(struct engine *engine, struct transfer *transfer)
{
    transfer_clear(transfer);
    if (engine->idle_count >= IDLE_TRANSFERS) {
        transfer_free(transfer);
        return;
    }
    SLIST_INSERT_HEAD(&engine->idle, transfer, idle_link);
    engine->idle_count++;
}

static enum headers_kind headers_kind_of(enum request_kind kind)
{
    return kind == REQUEST_READ   ? HEADERS_READ
           : kind == REQUEST_OPEN ? HEADERS_OPEN
                                  : HEADERS_REVALIDATE;
}

static struct range_ask ask_of(const struct part *part)
{
    return (struct range_ask){.offset = part->range.offset,
                              .size = part->range.size,
                              .opening = part->kind != REQUEST_READ,
                              .conditional = part->kind == REQUEST_REVALIDATE,
                              .whole_max = OBJECT_HEAD_BYTES,
                              .total = part->target->size,
                              .validator = part->target->validator};
}

/* Puts one transfer of `part` on the wire. */
static enum tl_code launch(struct engine *engine, struct part *part, unsigned slot,
                           struct tl_err *err)
{
    struct target *target = part->target;
    int64_t now_s = clock_unix_us() / 1000000 + target->endpoint->clock_skew_s;
    struct headers *headers;

    TL_CHECK(!part->transfers[slot]);
    TL_TRY(target_headers(target, headers_kind_of(part->kind), now_s, &headers, err));
    struct transfer *transfer = take_transfer(engine);
    if (!transfer) {
        headers_unref(headers);
        return tl_fail(err, TL_NOMEM, "no memory for a transfer");
    }
    struct transfer_order order = {.url = target->href.url,
                                   .headers = headers,
                                   .ask = ask_of(part),
                                   .is_fresh = part->is_fresh,
                                   .part = part};
    if (!transfer_prepare(transfer, &order, clock_now_ns()) ||
        curl_multi_add_handle(engine->multi, transfer->easy) != CURLM_OK) {
        transfer_clear(transfer);
        transfer_free(transfer);
        return tl_fail(err, TL_NOMEM, "no memory for a transfer");
    }
    part->transfers[slot] = transfer;
    part->fetches++;
    target->endpoint->active++;
    metric_add(METRIC_FETCHES, 1);
    return TL_OK;
}

/* Takes the transfer in `slot` off the wire. */
static void land(struct engine *engine, struct part *part, unsigned slot)
{
    struct transfer *transfer = part->transfers[slot];

    if (!transfer)
        return;
    part->transfers[slot] = NULL;
    part->target->endpoint->active--;
    curl_multi_remove_handle(engine->multi, transfer->easy);
    keep_transfer(engine, transfer);
}

void try_stop(struct engine *engine, struct part *part)
{
    land(engine, part, 0);
    land(engine, part, 1);
}

static void start(struct engine *engine, struct part *part)
{
    struct endpoint *endpoint = part->target->endpoint;
    struct tl_err err;
    enum tl_code code;

    TAILQ_REMOVE(&endpoint->queue, part, queue_link);
    LIST_INSERT_HEAD(&engine->running, part, busy_link);
    part->state = PART_RUNNING;
    /* A retry goes through an open breaker: it was promised to somebody, and is rare. */
    if (part->tries == 0 && !breaker_admits(&endpoint->breaker, clock_now_ns())) {
        code = tl_fail(&err, TL_UPSTREAM,
                       "the endpoint failed %d times in a row (%.120s); until a probe, one "
                       "each second, succeeds, requests fail at once",
                       BREAKER_OPENS_AFTER, endpoint->last_failure);
        part_fail(engine, part, code, &err);
        return;
    }
    code = launch(engine, part, 0, &err);
    if (code != TL_OK) {
        part_fail(engine, part, code, &err);
        return;
    }
    if (part->tries++ == 0)
        endpoint_started(endpoint);
    else
        metric_add(METRIC_FETCH_RETRIES, 1);
}

void try_start_queued(struct engine *engine)
{
    struct endpoint *endpoint;
    struct part *part;

    LIST_FOREACH (endpoint, &engine->endpoints, link) {
        while (endpoint->active < engine->max_connections && (part = TAILQ_FIRST(&endpoint->queue)))
            start(engine, part);
    }
}

/* xorshift64: a number below `bound`. */
static int64_t jitter(struct engine *engine, int64_t bound)
{
    engine->random ^= engine->random << 13;
    engine->random ^= engine->random >> 7;
    engine->random ^= engine->random << 17;
    return (int64_t)(engine->random % (uint64_t)bound);
}

static void back_off(struct engine *engine, struct part *part, int64_t retry_after_s)
{
    unsigned doublings = TL_MIN(part->tries - 1, 10U);
    int64_t cap_ns = TL_MIN(BACKOFF_BASE_NS << doublings, BACKOFF_CAP_NS);
    int64_t pause_ns = jitter(engine, cap_ns);

    if (retry_after_s > 0)
        pause_ns += retry_after_s * NS_PER_S;
    LIST_REMOVE(part, busy_link);
    LIST_INSERT_HEAD(&engine->backoff, part, busy_link);
    part->state = PART_BACKOFF;
    part->due_ns = clock_now_ns() + pause_ns;
}

static void requeue(struct part *part)
{
    LIST_REMOVE(part, busy_link);
    TAILQ_INSERT_TAIL(&part->target->endpoint->queue, part, queue_link);
    part->state = PART_QUEUED;
}

/* What the endpoint is told of a finished transfer. */
static void note_outcome(struct endpoint *endpoint, const struct transfer *transfer,
                         const struct outcome *outcome, const struct tl_err *err)
{
    int64_t now_ns = clock_now_ns();

    if (transfer->first_byte_ns)
        endpoint_timed(endpoint, transfer->first_byte_ns - transfer->started_ns);
    if (outcome->is_overload)
        endpoint->overloaded_ns = now_ns;
    if (outcome->is_alive) {
        endpoint_succeeded(endpoint);
        return;
    }
    endpoint_failed(endpoint, err->msg);
}

static enum tl_code give_up(const struct engine *engine, const struct part *part,
                            const struct outcome *outcome, struct tl_err *err)
{
    char last[300];

    if (outcome->kind != OUTCOME_PASSING)
        return outcome->code;
    snprintf(last, sizeof(last), "%s", err->msg);
    if (outcome->retry_after_s > RETRY_AFTER_MAX_S)
        return tl_fail(err, outcome->code, "%s; the server asks to wait %lld s", last,
                       (long long)outcome->retry_after_s);
    if (part->tries > engine->retries)
        return tl_fail(err, outcome->code, "%s (tried %u times)", last, part->tries);
    return tl_fail(err, outcome->code, "%s (tried %u times; too many requests fail to try again)",
                   last, part->tries);
}

static void tell_waiters(struct part *part, const struct tl_err *err)
{
    struct want *want;

    LIST_FOREACH (want, &part->wants, link)
        request_note(want->request, err);
}

/* No transfer of `part` is left: again, or never. */
static void retry_or_fail(struct engine *engine, struct part *part, const struct outcome *outcome,
                          struct tl_err *err)
{
    struct endpoint *endpoint = part->target->endpoint;

    if (outcome->is_skewed && outcome->skew_s != 0 && !part->was_skewed) {
        endpoint->clock_skew_s = outcome->skew_s;
        target_forget_headers(part->target);
        part->was_skewed = true;
        requeue(part);
        return;
    }
    if (outcome->kind == OUTCOME_PASSING && part->tries <= engine->retries &&
        outcome->retry_after_s <= RETRY_AFTER_MAX_S && endpoint_may_retry(endpoint)) {
        part->is_fresh = !outcome->is_alive && !outcome->is_overload;
        tell_waiters(part, err);
        back_off(engine, part, outcome->retry_after_s);
        return;
    }
    enum tl_code code = give_up(engine, part, outcome, err);
    part_fail(engine, part, code, err);
}

static void finish(struct engine *engine, struct transfer *transfer, CURLcode result)
{
    struct part *part = transfer->part;
    struct endpoint *endpoint = part->target->endpoint;
    unsigned slot = part->transfers[1] == transfer;
    struct transfer *rival = part->transfers[!slot];
    struct tl_err err = {.msg = ""};
    struct outcome outcome = transfer_outcome(transfer, result, &err);

    TL_CHECK(part->transfers[slot] == transfer);
    note_outcome(endpoint, transfer, &outcome, &err);
    if (outcome.kind == OUTCOME_DONE) {
        /* The loser's wait so far is a sample too, or slow answers would look rare. */
        if (rival && !rival->first_byte_ns)
            endpoint_timed(endpoint, clock_now_ns() - rival->started_ns);
        part_deliver(engine, part, transfer);
        return;
    }
    land(engine, part, slot);
    if (rival && outcome.kind == OUTCOME_PASSING)
        return;
    retry_or_fail(engine, part, &outcome, &err);
}

void try_collect(struct engine *engine)
{
    int left = 0;
    CURLMsg *message;

    while ((message = curl_multi_info_read(engine->multi, &left))) {
        char *udata = NULL;
        /* Read first: the message does not outlive the handle's removal. */
        CURLcode result = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &udata);
        finish(engine, (struct transfer *)(void *)udata, result);
    }
}

/* When the second transfer of `part` is due; CLOCK_NEVER when it gets none. */
static int64_t hedge_ns(const struct engine *engine, const struct part *part, int64_t now_ns)
{
    const struct endpoint *endpoint = part->target->endpoint;
    const struct transfer *first = part->transfers[0];

    if (!first || part->transfers[1] || first->first_byte_ns ||
        endpoint->active >= engine->max_connections || !endpoint_can_hedge(endpoint, now_ns))
        return CLOCK_NEVER;
    int64_t after_ns = endpoint->hedge_after_ns;
    return after_ns == INT64_MAX ? CLOCK_NEVER : first->started_ns + after_ns;
}

void try_on_time(struct engine *engine)
{
    int64_t now_ns = clock_now_ns();
    struct tl_err err;
    struct part *part;

    for (struct part *next = LIST_FIRST(&engine->backoff); (part = next);) {
        next = LIST_NEXT(part, busy_link);
        if (part->due_ns <= now_ns)
            requeue(part);
    }
    LIST_FOREACH (part, &engine->running, busy_link) {
        if (hedge_ns(engine, part, now_ns) > now_ns)
            continue;
        /* Without memory for a hedge the first transfer still runs. */
        if (launch(engine, part, 1, &err) == TL_OK)
            endpoint_hedged(part->target->endpoint);
    }
}

int64_t try_next_ns(const struct engine *engine)
{
    int64_t now_ns = clock_now_ns(), next_ns = CLOCK_NEVER;
    const struct part *part;

    LIST_FOREACH (part, &engine->backoff, busy_link)
        next_ns = TL_MIN(next_ns, part->due_ns);
    LIST_FOREACH (part, &engine->running, busy_link) {
        int64_t due_ns = hedge_ns(engine, part, now_ns);
        next_ns = TL_MIN(next_ns, due_ns);
    }
    return next_ns;
}
