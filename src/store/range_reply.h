/*
 * range_reply: what an answer to a ranged GET really says. Header lines come from the
 * network; this is the only place that reads them, strictly, and decides whether the
 * body may be taken for the bytes that were asked for.
 *
 *   range_reply_reset, range_reply_line*, range_reply_judge -> what the body is
 *
 * Threads  pure values
 * Units    bytes, seconds
 */
#ifndef TILTH_STORE_RANGE_REPLY_H
#define TILTH_STORE_RANGE_REPLY_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REPLY_TEXT_MAX 256

struct range_reply {
    int status; /* 0: no status line yet */
    bool has_length, has_range;
    bool is_unsatisfied; /* Content-Range is "bytes *" + "/total" */
    bool is_encoded;     /* a Content-Encoding other than identity */
    bool is_html;
    const char *damaged;         /* the name of a header that is malformed or contradicts itself */
    uint64_t length;             /* Content-Length */
    uint64_t first, last, total; /* Content-Range */
    int64_t retry_after_s;       /* -1: not said */
    char etag[REPLY_TEXT_MAX];   /* with its quotes and W/; "" when absent */
    char last_modified[64];      /* "" when absent */
    char date[64];
    char location[REPLY_TEXT_MAX];
};

/* What was asked, and what is known of the object. */
struct range_ask {
    uint64_t offset;
    uint64_t size;         /* > 0; the last byte lies inside the object unless `opening` */
    bool opening;          /* size and version are to be learned */
    bool conditional;      /* opening, and 304 is a fine answer */
    uint64_t whole_max;    /* opening: a 200 with a body up to this is the whole object */
    uint64_t total;        /* not opening: size of the object */
    const char *validator; /* not opening: its range_reply_validator() */
};

enum reply_body {
    BODY_RANGE,   /* `body_size` bytes from `ask.offset` on */
    BODY_WHOLE,   /* the whole object, from offset 0 */
    BODY_NONE,    /* 304, or an object of no bytes */
    BODY_MESSAGE, /* an error status; the body may say why */
};

struct reply_verdict {
    enum reply_body body;
    uint64_t body_size; /* BODY_RANGE, BODY_WHOLE: exactly this many bytes follow */
    uint64_t total;     /* size of the object; not for BODY_MESSAGE nor for a 304 */
};

void range_reply_reset(struct range_reply *reply);
/* One line as it came, status line included, with or without CR LF. */
void range_reply_line(struct range_reply *reply, const char *line, size_t size);

/* "" or the ETag or, without one, Last-Modified: equal text means equal bytes. */
const char *range_reply_validator(const struct range_reply *reply);

/*
 * TL_OK and a verdict, or TL_UPSTREAM / TL_CHANGED for an answer that must not be used.
 * Error statuses are TL_OK with BODY_MESSAGE: range_reply_explain() has the last word.
 */
enum tl_code range_reply_judge(const struct range_reply *reply, const struct range_ask *ask,
                               struct reply_verdict *ret_verdict, struct tl_err *err);

/* The <Code> of an S3 error document, letters only, or "". */
void range_reply_s3_code(const char *body, size_t size, char ret_code[64]);

/* The failure that an error status means; `s3_code` may be "". */
enum tl_code range_reply_explain(const struct range_reply *reply, const char *s3_code,
                                 struct tl_err *err);

/* 408, 429, 500, 502, 503, 504: the same request may succeed later. */
bool range_reply_passes(int status);

#endif
