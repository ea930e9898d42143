/*
 * doc_private: what the files behind doc.h share.
 *
 *   doc.c         opening, finding; values as numbers and as text
 *   doc_json.c    the syntax of JSON
 *   doc_ubjson.c  the syntax of UBJSON
 */
#ifndef TILTH_MODEL_DOC_PRIVATE_H
#define TILTH_MODEL_DOC_PRIVATE_H

#include "model/doc.h"

/* Where a document stops to be one. */
struct doc_fault {
    size_t at;
    const char *what;
};

static inline bool doc_bad(struct doc_fault *fault, size_t at, const char *what)
{
    *fault = (struct doc_fault){at, what};
    return false;
}

/* Checks the whole syntax; *ret_end is behind the value and the space that follows it. All
 * below is for documents that have passed. */
bool doc_json_check(const struct doc *doc, size_t *ret_end, struct doc_fault *fault);
bool doc_ubjson_check(const struct doc *doc, size_t *ret_end, struct doc_fault *fault);

struct doc_value doc_json_root(const struct doc *doc);
struct doc_value doc_ubjson_root(const struct doc *doc);

/* The items of a container; without `doc` when its head is damaged. */
struct doc_items doc_ubjson_items(struct doc_value container);
bool doc_json_next(struct doc_items *items, struct doc_text *ret_key, struct doc_value *ret_value);
bool doc_ubjson_next(struct doc_items *items, struct doc_text *ret_key,
                     struct doc_value *ret_value);

/* The bytes of a string, with its escapes. */
struct doc_text doc_json_string(struct doc_value string);
bool doc_ubjson_string(struct doc_value string, struct doc_text *ret_text);

bool doc_json_is_space(uint8_t c);
/* A number as it is written. */
struct doc_text doc_json_number(struct doc_value number);
double doc_ubjson_number(struct doc_value value);

/* Appends a string without its escapes at `to`, which is as long; where it ends, or NULL. */
char *doc_json_unescape(struct doc_text string, char *to);

#endif
