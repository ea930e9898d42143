/*
 * err: what can go wrong, and how a failure travels.
 *
 * A function that can fail returns enum tl_code and says why in its last
 * parameter. `ret_*` parameters are written only on success; `err` only on
 * failure. Library folders never log: the place that knows the request does.
 */
#ifndef TILTH_BASE_ERR_H
#define TILTH_BASE_ERR_H

#include "base/attr.h"

/*
 * Every failure is one of these. This table is the only place that knows the
 * HTTP status of a code; http/, cli/ and the metrics are generated from it.
 *
 *      code            HTTP  key            what the user reads
 */
#define TL_CODES(X)                                                                   \
    X(TL_OK, 200, "ok", "ok")                                                         \
    X(TL_ABSENT, 404, "absent", "no such tile, layer or object")                      \
    X(TL_INVALID, 400, "invalid", "the request is not well formed")                   \
    X(TL_UNSUPPORTED, 415, "unsupported", "this format or feature is not supported")  \
    X(TL_LIMIT, 413, "limit", "the request or the file is larger than a limit")       \
    X(TL_CORRUPT, 502, "corrupt", "the source data is damaged")                       \
    X(TL_CHANGED, 502, "changed", "the source object was replaced while it was read") \
    X(TL_UPSTREAM, 502, "upstream", "the object store failed")                        \
    X(TL_TIMEOUT, 504, "timeout", "the deadline passed")                              \
    X(TL_CANCELLED, 499, "cancelled", "every client is gone")                         \
    X(TL_BUSY, 503, "busy", "too much work is queued")                                \
    X(TL_NOSPACE, 507, "nospace", "the disk or the cache map is full")                \
    X(TL_NOMEM, 503, "nomem", "out of memory")                                        \
    X(TL_INTERNAL, 500, "internal", "a bug in tilth")

enum tl_code {
#define X(code, http, key, text) code,
    TL_CODES(X)
#undef X
        TL_CODE_COUNT
};

/*
 * What went wrong, for people: what, where, which limit, what to do. Written by
 * the callee only when it fails; control flow never depends on the message.
 */
struct tl_err {
    char msg[480];
};

void tl_err_set(struct tl_err *err, const char *fmt, ...) TL_PRINTF(2, 3) TL_COLD;
void tl_err_prefix(struct tl_err *err, const char *fmt, ...) TL_PRINTF(2, 3) TL_COLD;

/* A value, so that a caller who knows its code may ignore it. */
static inline enum tl_code tl_same(enum tl_code code)
{
    return code;
}

/*
 * Sets the message and hands `code` back: return tl_fail(err, TL_CORRUPT, ...). Macros, so that
 * compilers and analysers see which code comes out.
 */
#define tl_fail(err, code, ...) ((void)tl_err_set((err), __VA_ARGS__), tl_same(code))

/* Puts context before the message that is there: "layer lulc: " + "block 17: HTTP 503". */
#define tl_context(err, code, ...) ((void)tl_err_prefix((err), __VA_ARGS__), tl_same(code))

int tl_code_http(enum tl_code code);
const char *tl_code_key(enum tl_code code);  /* "upstream": one word, for logs and metrics */
const char *tl_code_text(enum tl_code code); /* a sentence for a person */

/* The one macro with a hidden return. AUTO() makes leaving early safe. */
#define TL_TRY(expr)                    \
    do {                                \
        enum tl_code tl_code_ = (expr); \
        if (tl_code_ != TL_OK)          \
            return tl_code_;            \
    } while (0)

#endif
