/*
 * transfer: one GET on one libcurl handle. Headers are judged when the last one is there,
 * so a body that may not be used is never read; a body that may lands in a blob of exactly
 * its size. Transfers are kept and reused: an easy handle is expensive to make.
 *
 * Threads  the fetch thread
 * Memory   transfer_new() / transfer_free()
 */
#ifndef TILTH_STORE_TRANSFER_H
#define TILTH_STORE_TRANSFER_H

#include "base/attr.h"
#include "base/err.h"
#include "store/range_reply.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct blob;
struct headers;
struct part;

struct transfer_limits {
    int64_t timeout_ns, connect_timeout_ns;
};

struct transfer {
    SLIST_ENTRY(transfer) idle_link;
    CURL *easy;
    struct part *part; /* who uses it */
    struct headers *headers;
    struct range_ask ask;
    struct range_reply reply;

    bool is_judged;
    enum tl_code code; /* of the judgement, `err` with it */
    struct tl_err err;
    struct reply_verdict verdict;
    struct blob *body; /* verdict.body_size bytes */
    size_t got;
    bool is_overrun;
    char message[1024]; /* the start of an error body */
    size_t message_size;
    char curl_error[CURL_ERROR_SIZE];
    int64_t started_ns, first_byte_ns; /* 0: no byte yet */
};

SLIST_HEAD(transfer_list, transfer);

/* NULL when memory is out. */
struct transfer *transfer_new(const struct transfer_limits *limits);
void transfer_free(struct transfer *transfer);

struct transfer_order {
    const char *url;
    struct headers *headers; /* the transfer's when prepared */
    struct range_ask ask;    /* its strings live until the transfer is cleared */
    bool is_fresh;           /* on a new connection */
    struct part *part;
};

/* Makes it ready for curl_multi_add_handle(); false when memory is out. */
TL_MUST_CHECK bool transfer_prepare(struct transfer *transfer, const struct transfer_order *order,
                                    int64_t now_ns);
/* Lets go of headers and body; the handle stays for the next order. */
void transfer_clear(struct transfer *transfer);

enum outcome_kind { OUTCOME_DONE, OUTCOME_PASSING, OUTCOME_FINAL };

struct outcome {
    enum outcome_kind kind;
    enum tl_code code;
    bool is_alive;    /* the endpoint works: an answer came that is not its failure */
    bool is_overload; /* 429 or 503 */
    bool is_skewed;   /* our clock is off by skew_s */
    int64_t skew_s;
    int64_t retry_after_s; /* -1: not said */
};

/* What became of it once libcurl is done with it; `err` unless OUTCOME_DONE. */
struct outcome transfer_outcome(const struct transfer *transfer, CURLcode result,
                                struct tl_err *err);

#endif
