/*
 * text: words, numbers and "key=value" lines of a text that is read where it lies.
 *
 * Threads  any
 * Memory   a text is borrowed and not terminated
 */
#ifndef TILTH_MODEL_TEXT_H
#define TILTH_MODEL_TEXT_H

#include <locale.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct text {
    const char *at;
    size_t size;
};

/* The next line, without its end, or word; false when there is none. */
bool text_line(struct text *rest, struct text *ret_line);
bool text_word(struct text *rest, struct text *ret_word);
bool text_at_end(struct text rest); /* no more words */

bool text_starts(struct text text, const char *prefix);
bool text_equals(struct text text, const char *word);
/* When `line` is "<key>=..", keeps what follows. */
bool text_value(struct text line, const char *key, struct text *ret_value);

/* A whole word as a number; at most 63 bytes. `plain` has a point for its point. */
bool text_double(locale_t plain, struct text word, double *ret_value);
bool text_int(struct text word, int64_t min, int64_t max, int64_t *ret_value);
bool text_next_int(struct text *rest, int64_t min, int64_t max, int64_t *ret_value);
bool text_next_double(locale_t plain, struct text *rest, double *ret_value);

#endif
