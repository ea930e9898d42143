/*
 * request: one caller that waits for ranges of one target, and what it gets. Travels from
 * the caller to the fetch thread through the inbox; both hold a reference, so either may
 * go first.
 *
 * Threads  made and waited for by the caller; between admission and request_finish() the
 *          fetch thread alone writes wants, bytes, fetches and opened
 * Memory   request_new() / request_unref(); slices the caller did not take are released
 */
#ifndef TILTH_STORE_REQUEST_H
#define TILTH_STORE_REQUEST_H

#include "base/attr.h"
#include "base/err.h"
#include "store/range_reply.h"
#include "store/store.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/queue.h>

struct part;
struct request;
struct target;

struct want {
    LIST_ENTRY(want) link; /* in its part's list, or its target's pending or arrived list */
    bool is_listed;
    struct part *part; /* NULL while pending, and when arrived */
    struct request *request;
    struct range range;
    struct slice slice; /* filled on arrival */
};

enum request_kind {
    REQUEST_READ,       /* ranges of a pinned target */
    REQUEST_OPEN,       /* the first bytes; learns size and version */
    REQUEST_REVALIDATE, /* one byte, unless the version is still the same */
};

/* What the answer to an opening request said. */
struct opened {
    uint64_t size;
    char validator[REPLY_TEXT_MAX];
    bool is_unchanged; /* HTTP 304 */
};

struct request {
    atomic_uint refs;
    enum request_kind kind;
    bool is_ahead; /* nobody waits: what arrives is kept for others until the owner leaves */
    struct target *target; /* a reference */
    STAILQ_ENTRY(request) inbox_link, leave_link;

    /* The fetch thread's own until `is_done`. */
    LIST_ENTRY(request) live_link;
    bool is_live;
    size_t missing; /* wants without bytes */
    uint64_t bytes; /* this request's share: every byte is charged to one request */
    uint32_t fetches;
    struct opened opened;

    pthread_mutex_t mutex; /* guards: is_done, code, err */
    pthread_cond_t done;
    bool is_done;
    enum tl_code code;
    struct tl_err err; /* before is_done: why a try failed in passing, or "" */

    size_t count;
    struct want wants[];
};

STAILQ_HEAD(request_queue, request);

/* One reference. NULL when memory is out. The ranges lie inside the target. */
struct request *request_new(struct target *target, enum request_kind kind,
                            const struct range *ranges, size_t count);
struct request *request_ref(struct request *request);
void request_unref(struct request *request);

/* The fetch thread's: wakes the caller. `err` is looked at when `code` is a failure. */
void request_finish(struct request *request, enum tl_code code, const struct tl_err *err);
/* The fetch thread's: leaves the reason of a failed try for a caller that gives up. */
void request_note(struct request *request, const struct tl_err *err);

/*
 * The caller's: waits for request_finish(), the deadline or the canceller. True when it is
 * finished; *ret_code is its code, or why the wait ended, and `err` says so.
 */
bool request_wait(struct request *request, const struct errand *errand, enum tl_code *ret_code,
                  struct tl_err *err);

AUTO_DEFINE(request, request_unref)

#endif
