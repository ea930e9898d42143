/*
 * json: reading documents people write - layers, styles, models - with errors
 * that name the place. A thin front of jansson, so that every reader says
 * "styles/dw.json: classes[3].value: a whole number from 0 to 255 is needed"
 * in the same words.
 *
 * Threads  one document, one thread
 * Memory   json_doc owns everything read from it; strings live as long as it
 */
#ifndef TILTH_BASE_JSON_H
#define TILTH_BASE_JSON_H

#include "base/attr.h"
#include "base/err.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A value and the way to it: "conf/layers/a.json: features[2].expr". */
struct json_at {
    const json_t *value; /* borrowed; NULL when the key is absent */
    const struct json_at *parent;
    const char *key; /* NULL for an array element and for the root */
    size_t index;
    const char *document; /* the root's name: a path, usually */
};

/*
 * Parses a whole document: UTF-8, no duplicate keys, nothing after the end, depth
 * within jansson's limit. `*ret_root` is the caller's, to json_decref().
 */
TL_MUST_CHECK enum tl_code json_parse(const char *name, const void *bytes, size_t size,
                                      json_t **ret_root, struct tl_err *err);

struct json_at json_root(const char *document, const json_t *root);
struct json_at json_key(const struct json_at *parent, const char *key);
struct json_at json_item(const struct json_at *parent, size_t index);

/* Fails with TL_INVALID and "<place>: <what>", naming the whole path of `at`. */
#define json_refuse(at, err, ...) ((void)json_say((at), (err), __VA_ARGS__), tl_same(TL_INVALID))
/* The message alone, where another code goes with it. */
void json_say(const struct json_at *at, struct tl_err *err, const char *fmt, ...) TL_PRINTF(3, 4)
    TL_COLD;

/* Typed reads (jansson has json_string() and its like for making values). Absent keys are refused;
 * the *_or forms take a default instead. */
TL_MUST_CHECK enum tl_code json_read_string(struct json_at at, const char **ret,
                                            struct tl_err *err);
TL_MUST_CHECK enum tl_code json_read_string_or(struct json_at at, const char *fallback,
                                               const char **ret, struct tl_err *err);
TL_MUST_CHECK enum tl_code json_read_int(struct json_at at, int64_t min, int64_t max, int64_t *ret,
                                         struct tl_err *err);
TL_MUST_CHECK enum tl_code json_read_int_or(struct json_at at, int64_t min, int64_t max,
                                            int64_t fallback, int64_t *ret, struct tl_err *err);
TL_MUST_CHECK enum tl_code json_read_number(struct json_at at, double *ret, struct tl_err *err);
TL_MUST_CHECK enum tl_code json_read_bool_or(struct json_at at, bool fallback, bool *ret,
                                             struct tl_err *err);
/* The number of elements; `at` must be an array (or absent where `optional`: 0). */
TL_MUST_CHECK enum tl_code json_read_array(struct json_at at, bool optional, size_t *ret_count,
                                           struct tl_err *err);
TL_MUST_CHECK enum tl_code json_read_object(struct json_at at, struct tl_err *err);

/* Refuses the first key of `at` that is not in the NULL-terminated list `known`. */
TL_MUST_CHECK enum tl_code json_known_keys(struct json_at at, const char *const *known,
                                           struct tl_err *err);

/* jansson's own destructor under our AUTO() convention: AUTO_JSON root = NULL. */
void json_auto_decref(json_t **root);
#define AUTO_JSON __attribute__((cleanup(json_auto_decref))) json_t *

#endif
