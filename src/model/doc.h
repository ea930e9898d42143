/*
 * doc: a JSON or UBJSON document that is read where it lies. doc_open() checks the
 * whole syntax once (depth, lengths, nothing behind the end); after that nothing is
 * copied and no tree is built: values are places in the bytes, containers are walked.
 * Numbers keep their text, so that a float32 is read as a float32.
 *
 * Threads  a document belongs to one
 * Memory   the bytes are borrowed; doc_close() releases the rest
 */
#ifndef TILTH_MODEL_DOC_H
#define TILTH_MODEL_DOC_H

#include "base/attr.h"
#include "base/err.h"

#include <locale.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

enum { DOC_MAX_DEPTH = 64, DOC_MAX_NUMBER = 64 /* bytes of a number in JSON */ };

enum doc_kind {
    DOC_NONE, /* there is no such value */
    DOC_NULL,
    DOC_BOOL,
    DOC_NUMBER,
    DOC_STRING,
    DOC_ARRAY,
    DOC_OBJECT
};

struct doc {
    const char *name; /* in messages */
    const uint8_t *bytes;
    size_t size;
    bool binary;    /* UBJSON */
    locale_t plain; /* numbers have a point, whatever the process speaks */
};

struct doc_value {
    const struct doc *doc;
    size_t at; /* JSON: the first byte; UBJSON: behind the marker */
    enum doc_kind kind;
    uint8_t marker; /* UBJSON */
};

/* Not terminated; a JSON string with its escapes. */
struct doc_text {
    const char *at;
    size_t size;
};

/* A walk through a container. */
struct doc_items {
    const struct doc *doc;
    size_t at;
    bool object, counted;
    uint8_t type;  /* UBJSON: of all items, or 0 */
    uint64_t left; /* items when counted */
};

/* TL_CORRUPT with the byte where it stops to be a document. */
TL_MUST_CHECK enum tl_code doc_open(const char *name, const uint8_t *bytes, size_t size,
                                    struct doc *ret_doc, struct tl_err *err);
void doc_close(struct doc *doc);
#define AUTO_DOC __attribute__((cleanup(doc_close))) struct doc

struct doc_value doc_root(const struct doc *doc);
/* No items unless `container` is one. An array's keys are empty. */
struct doc_items doc_items(struct doc_value container);
bool doc_next(struct doc_items *items, struct doc_text *ret_key, struct doc_value *ret_value);
uint64_t doc_count(struct doc_value container);
/* Of an object; of keys that are there twice the last. O(bytes of the object). */
struct doc_value doc_find(struct doc_value object, const char *key);
/* Several keys in one walk; what is not there is left alone. */
struct doc_wanted {
    const char *key;
    struct doc_value *to;
};
void doc_find_all(struct doc_value object, const struct doc_wanted *wanted, size_t count);
bool doc_equals(struct doc_text text, const char *word);

/* False unless it is a number; a string that holds one counts too, and a bool as 0 or 1. */
bool doc_double(struct doc_value value, double *ret_number);
bool doc_float(struct doc_value value, float *ret_number); /* rounded once, from the text */
bool doc_int(struct doc_value value, int64_t min, int64_t max, int64_t *ret_number);
/* The numbers of a list; false unless there are exactly `count`, whole ones up to `max`. */
bool doc_ints(struct doc_value list, uint64_t count, int64_t max, uint32_t *ret_numbers);
bool doc_floats(struct doc_value list, uint64_t count, float *ret_numbers);
bool doc_string(struct doc_value value, struct doc_text *ret_text);
/* A number's or a string's bytes as a float32. */
bool doc_text_float(const struct doc *doc, struct doc_text text, float *ret_number);
/* The string without its escapes, or a JSON number as written, in the arena; NULL when it is
 * neither (or holds a NUL). */
char *doc_copy(struct doc_value value, struct arena *arena);

#endif
