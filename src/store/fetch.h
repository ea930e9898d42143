/*
 * fetch: ranges of remote objects, from any thread. The caller leaves its request in the
 * inbox and sleeps; one thread drives libcurl for everybody (engine.h), so that ranges
 * which several callers want travel once.
 *
 * Threads  any; calls block until the bytes are there, the deadline or the canceller
 * Memory   fetch_new() / fetch_free(); no call may be running then
 */
#ifndef TILTH_STORE_FETCH_H
#define TILTH_STORE_FETCH_H

#include "base/attr.h"
#include "base/err.h"
#include "store/request.h"

#include <stddef.h>

struct ahead;
struct errand;
struct fetch;
struct range;
struct slice;
struct store_options;
struct target;

TL_MUST_CHECK enum tl_code fetch_new(const struct store_options *options, struct fetch **ret_fetch,
                                     struct tl_err *err);
void fetch_free(struct fetch *fetch);

/* All ranges lie inside the pinned target and are not empty. */
TL_MUST_CHECK enum tl_code fetch_read(struct target *target, const struct range *ranges,
                                      size_t count, struct errand *errand, struct slice *ret_slices,
                                      struct tl_err *err);

/*
 * Starts the same and returns; until ahead_free() reads of these ranges take what arrived.
 * NULL when memory is out.
 */
struct ahead *fetch_ahead(struct target *target, const struct range *ranges, size_t count);

struct fetch_head {
    struct opened opened;
    struct slice bytes; /* from offset 0; owner NULL for an empty object and for a 304 */
};

/*
 * REQUEST_OPEN: the first OBJECT_HEAD_BYTES. REQUEST_REVALIDATE of a pinned target: its
 * first byte, unless it is unchanged. Nothing is pinned by either.
 */
TL_MUST_CHECK enum tl_code fetch_first(struct target *target, enum request_kind kind,
                                       struct errand *errand, struct fetch_head *ret_head,
                                       struct tl_err *err);

AUTO_DEFINE(fetch, fetch_free)

#endif
