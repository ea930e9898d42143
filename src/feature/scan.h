/*
 * scan: the words of an expression: tokens, numbers, and names, which may stand for
 * several by a range. Private to feature*.c.
 */
#ifndef TILTH_FEATURE_SCAN_H
#define TILTH_FEATURE_SCAN_H

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SCAN_MAX_NAME 255

/* A text, and how far it has been read. */
struct scan {
    const char *text;
    size_t at;
    struct tl_err *err;
};

/* Every refusal has the same shape: the text, the column (from 1, in bytes), the reason. */
#define SCAN_REFUSE(scan, at, code, fmt, ...)                                                  \
    tl_fail((scan)->err, code, "\"%.200s\", column %zu: " fmt, (scan)->text, (size_t)(at) + 1, \
            ##__VA_ARGS__)

void scan_space(struct scan *scan);
/* The next character that is not space; it stays. */
char scan_peek(struct scan *scan);
/* Takes `token` when it is next. */
bool scan_take(struct scan *scan, const char *token);
/* The refusal of what is next. */
enum tl_code scan_expected(struct scan *scan, const char *what);

bool scan_is_number(struct scan *scan);
TL_MUST_CHECK enum tl_code scan_literal(struct scan *scan, double *ret);

/* "s1.red", or "t{1..12}.nir": a text before the range, one behind it. */
struct scan_name {
    const char *text;
    size_t size;
    size_t head, tail; /* bytes before and behind the range; head is size when there is none */
    bool dotted;       /* a point outside of the range */
    unsigned first, last;
    int width; /* digits that the numbers are filled up to */
};

/* A name when there is one here, else of size 0; it stays. Words joined by points; the first does
 * not begin with a digit. */
TL_MUST_CHECK enum tl_code scan_name(struct scan *scan, struct scan_name *ret);
/* How many names it stands for. */
uint32_t scan_count(const struct scan_name *name);
/* Number `i` of them, with `more` behind it. */
TL_MUST_CHECK enum tl_code scan_member(struct scan *scan, const struct scan_name *name, uint32_t i,
                                       const char *more, char ret[SCAN_MAX_NAME + 1]);

#endif
