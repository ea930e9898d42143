/*
 * target: one remote object as the fetch thread sees it - where it is, how its requests
 * are signed, which version is read, what is being fetched of it right now.
 *
 * Threads  made and pinned by the opener, before anybody else has it; then everything
 *          above the line is read-only and everything below it belongs to the fetch thread.
 *          target_ref() and target_unref() from any.
 * Memory   target_new() / target_unref()
 */
#ifndef TILTH_STORE_TARGET_H
#define TILTH_STORE_TARGET_H

#include "base/attr.h"
#include "base/err.h"
#include "store/href.h"
#include "store/range_reply.h"
#include "store/sigv4.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct curl_slist;
struct endpoint;
struct fetch;
struct part;
struct want;

/* Header lines of a request, shared by the transfers that use them. */
struct headers {
    struct curl_slist *list;
    int64_t made_s; /* unix time of the signature */
    unsigned refs;  /* the fetch thread's */
};

enum headers_kind { HEADERS_OPEN, HEADERS_READ, HEADERS_REVALIDATE };

struct target {
    atomic_uint refs;
    struct fetch *fetch; /* the thread that drives it */
    struct href href;
    char *access_key, *secret_key, *region, *session_token; /* "" for none */
    char validator[REPLY_TEXT_MAX];                         /* "" until target_pin() */
    uint64_t size;

    /* The fetch thread's own. */
    struct sigv4_signer signer;
    struct headers *read_headers; /* kept for SIGNATURE_AGE_S: a range is not signed */
    struct endpoint *endpoint;
    LIST_HEAD(, part) parts;   /* queued, running or backing off; wants join these */
    LIST_HEAD(, want) pending; /* to be planned at the end of this turn */
    LIST_HEAD(, want) arrived; /* of requests ahead: their bytes are there for others */
    LIST_ENTRY(target) dirty_link;
    bool is_dirty;
    bool is_replaced; /* a 412 or another ETag was seen: no read succeeds any more */
};

/* `href` becomes the target's on success. */
TL_MUST_CHECK enum tl_code target_new(struct fetch *fetch, struct href *href,
                                      const struct s3_options *s3, struct target **ret_target,
                                      struct tl_err *err);
struct target *target_ref(struct target *target);
void target_unref(struct target *target);

/* Fixes the version that reads demand from now on. */
void target_pin(struct target *target, const char *validator, uint64_t size);

/* One reference to fitting headers, signed for `now_s`; `*ret` to headers_unref(). */
TL_MUST_CHECK enum tl_code target_headers(struct target *target, enum headers_kind kind,
                                          int64_t now_s, struct headers **ret, struct tl_err *err);
void headers_unref(struct headers *headers);
/* The clock was wrong: the next headers are signed anew. */
void target_forget_headers(struct target *target);

AUTO_DEFINE(target, target_unref)

#endif
