/*
 * text: a piece of somebody else's bytes, with its length; and the few ways in which
 * answers are written without printf.
 *
 * A plain value; borrowed for as long as the request lives.
 */
#ifndef TILTH_HTTP_TEXT_H
#define TILTH_HTTP_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct text {
    const char *at;
    size_t size;
};

static inline struct text text_of(const char *string)
{
    return (struct text){string, strlen(string)};
}

static inline bool text_is(struct text text, const char *string)
{
    size_t size = strlen(string);

    return text.size == size && (size == 0 || memcmp(text.at, string, size) == 0);
}

/* The same, letters in any case. */
bool text_is_nocase(struct text text, const char *string);
/* Copies with a NUL; false, and nothing written, when it does not fit. */
bool text_copy(struct text text, char *to, size_t room);
/* Takes the part before the next `separator` off the front of `rest`. */
struct text text_cut(struct text *rest, char separator);
/* The reason phrase of a status that tilth answers with, "Bad Gateway". */
const char *status_reason(int status);
/* Whether `c` is one of `set`; a NUL is in none. */
static inline bool char_in(char c, const char *set)
{
    return c != '\0' && strchr(set, c) != NULL;
}

/* A number of digits alone, at most `max`. */
bool text_uint(struct text text, uint64_t max, uint64_t *ret);

/* These write without a NUL and return the end. */
static inline char *put_text(char *to, const char *string)
{
    size_t size = strlen(string); /* of a constant: known to the compiler */

    memcpy(to, string, size); /* NOLINT(bugprone-not-null-terminated-result): no NUL is wanted */
    return to + size;
}

char *put_hex64(char *to, uint64_t value); /* 16 lower-case digits */
char *put_uint(char *to, uint64_t value);  /* at most 20 digits */
char *put_ms(char *to, int64_t ns);        /* "12.345": milliseconds; at most 20 bytes */

#endif
