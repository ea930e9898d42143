/*
 * object: what local and remote objects have in common; store.h is their face.
 *
 * Threads  reference count and id are safe from any; the rest is read-only once open
 */
#ifndef TILTH_STORE_OBJECT_H
#define TILTH_STORE_OBJECT_H

#include "store/store.h"

#include "base/attr.h"
#include "store/range_reply.h"

#include <stdatomic.h>

struct blob;
struct fetch;
struct href;
struct range_cache;

struct store {
    struct s3_options s3; /* the strings are the store's copies */
    struct fetch *fetch;
    struct range_cache *range_cache;
    atomic_uint objects; /* open */
    atomic_ullong next_id;
};

/* Ranges come checked: not empty, inside the object. */
struct object_ops {
    enum tl_code (*read)(struct object *object, const struct range *ranges, size_t count,
                         struct errand *errand, struct slice *ret_slices, struct tl_err *err);
    /* NULL where bytes are near. Returns NULL when there is nothing to start. */
    struct ahead *(*ahead)(struct object *object, const struct range *ranges, size_t count);
    /* One range into `dst`, by whatever cache suits. */
    enum tl_code (*copy)(struct object *object, struct range range, struct errand *errand,
                         void *dst, struct tl_err *err);
    /* All of it where it lies, of a file that nobody writes to; NULL where it is to be read. May be
     * NULL itself. */
    struct blob *(*map)(struct object *object);
    enum tl_code (*revalidate)(struct object *object, struct errand *errand, struct tl_err *err);
    void (*close)(struct object *object); /* frees the object itself too */
};

struct object {
    const struct object_ops *ops;
    struct store *store;
    atomic_uint refs;
    uint64_t id; /* never used twice in a store: key of the range cache */
    uint64_t size;
    char *href;
    char version[REPLY_TEXT_MAX];
};

/* Fills what is common; the rest of `object` is zero. TL_NOMEM leaves it untouched. */
TL_MUST_CHECK enum tl_code object_init(struct object *object, struct store *store,
                                       const struct object_ops *ops, const char *href,
                                       struct tl_err *err);
/* The opposite; does not free `object`. */
void object_release(struct object *object);

/* Both take what they need out of `href`; the caller releases it. */
TL_MUST_CHECK enum tl_code file_object_open(struct store *store, const struct href *href,
                                            struct object **ret_object, struct tl_err *err);
TL_MUST_CHECK enum tl_code remote_object_open(struct store *store, struct href *href,
                                              const struct s3_options *s3, struct errand *errand,
                                              struct object **ret_object, struct tl_err *err);

#endif
