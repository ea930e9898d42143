/*
 * engine_impl: what engine.c (who waits for which GET) and try.c (how a GET is got) share.
 *
 * Threads  the fetch thread
 */
#ifndef TILTH_STORE_ENGINE_IMPL_H
#define TILTH_STORE_ENGINE_IMPL_H

#include "store/engine.h"
#include "store/fetch_plan.h"
#include "store/request.h"
#include "store/transfer.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct endpoint;
struct target;

enum part_state { PART_QUEUED, PART_RUNNING, PART_BACKOFF, PART_SETTLED };

/* One GET that somebody waits for. */
struct part {
    enum part_state state;
    enum request_kind kind;
    struct target *target; /* a reference */
    struct range range;
    LIST_HEAD(, want) wants;
    LIST_ENTRY(part) target_link;  /* target->parts */
    TAILQ_ENTRY(part) queue_link;  /* QUEUED: endpoint->queue */
    LIST_ENTRY(part) busy_link;    /* RUNNING, BACKOFF: the engine's list of that name */
    struct transfer *transfers[2]; /* RUNNING: the try and its hedge */
    unsigned tries;
    uint32_t fetches; /* tries and hedges so far */
    int64_t due_ns;   /* BACKOFF */
    bool is_fresh;    /* the next try opens a new connection */
    bool was_skewed;
};

LIST_HEAD(part_list, part);

struct engine {
    CURLM *multi;
    struct transfer_limits limits;
    struct plan_limits plan;
    unsigned max_connections, retries;
    const struct listener *listener;
    LIST_HEAD(, request) live;
    LIST_HEAD(, endpoint) endpoints;
    LIST_HEAD(, target) dirty; /* with wants to plan; each holds a reference */
    struct part_list running, backoff;
    struct transfer_list idle;
    unsigned idle_count;
    uint64_t random;         /* jitter needs spread, not secrecy */
    struct plan_item *items; /* scratch of the planner */
    struct range *spans;
    size_t scratch_count;
};

/* engine.c: the end of a part; it is gone afterwards. */
void part_deliver(struct engine *engine, struct part *part, struct transfer *transfer);
void part_fail(struct engine *engine, struct part *part, enum tl_code code,
               const struct tl_err *err);

/* try.c */
void try_start_queued(struct engine *engine);
void try_collect(struct engine *engine);
void try_on_time(struct engine *engine);
int64_t try_next_ns(const struct engine *engine); /* CLOCK_NEVER: nothing is timed */
/* Ends its transfers; they go back to the pool. */
void try_stop(struct engine *engine, struct part *part);

#endif
