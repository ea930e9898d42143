/*
 * store: byte ranges of objects that are too large to read whole - local files,
 * http(s) and S3.
 *
 *   object_open  one GET of the first 32 KiB: size, ETag and, usually, the whole
 *                COG header, in one round trip
 *   object_read  many ranges at once; the fetch thread merges and de-duplicates the
 *                ranges of everybody who waits, demands 206 + Content-Range + the
 *                full length, sends If-Match after the first, retries with jitter
 *
 * Hrefs: "/path", "file:///path", "http://host/key", "https://...", "s3://bucket/key".
 *
 * Threads  all calls from any thread; object_read() blocks its caller until the last
 *          range is there. One fetch thread drives libcurl multi for all remote objects.
 * Memory   store_new() / store_free(); object_open() / object_unref()
 * Units    bytes, nanoseconds
 */
#ifndef TILTH_STORE_STORE_H
#define TILTH_STORE_STORE_H

#include "base/attr.h"
#include "base/err.h"
#include "store/s3_options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ahead;
struct blob;
struct errand;
struct listener;
struct object;
struct store;

struct store_options {
    struct s3_options s3;            /* for s3:// hrefs that bring no options of their own */
    unsigned max_connections;        /* to one host; 0: 32 */
    unsigned retries;                /* further tries after a passing failure */
    int64_t timeout_ns;              /* one try of one range; 0: 8 s */
    int64_t connect_timeout_ns;      /* 0: 1 s */
    uint32_t merge_gap;              /* ranges this near become one request; 0: 64 */
    size_t range_cache_bytes;        /* object_read_cached() keeps up to this much */
    const struct listener *listener; /* hears of stores that do not answer; may be NULL */
};

TL_MUST_CHECK enum tl_code store_new(const struct store_options *options, struct store **ret_store,
                                     struct tl_err *err);
/* Every object must be gone. Cancels what is in flight. */
void store_free(struct store *store);

/* The first bytes every open asks for: header and index of most COGs. */
#define OBJECT_HEAD_BYTES 32768

/*
 * Opens `href` with one ranged GET. `s3`: NULL for the store's own options; copied. The
 * head is kept with the object; reads inside it cost nothing. A server without ranges is
 * refused unless the whole object fits into the head.
 * TL_ABSENT when there is no such object, TL_UPSTREAM with the HTTP status otherwise.
 */
TL_MUST_CHECK enum tl_code object_open(struct store *store, const char *href,
                                       const struct s3_options *s3, struct errand *errand,
                                       struct object **ret_object, struct tl_err *err);
struct object *object_ref(struct object *object);
void object_unref(struct object *object);

const char *object_href(const struct object *object);
uint64_t object_size(const struct object *object);
/*
 * Version of the bytes: the ETag with its quotes, Last-Modified where a web server has no
 * ETag, or inode-size-mtime of a file.
 */
const char *object_version(const struct object *object);

struct range {
    uint64_t offset;
    size_t size;
};

/* Bytes of one range: a slice of a blob that several ranges may share. */
struct slice {
    struct blob *owner; /* one reference, the caller's: blob_unref() */
    const uint8_t *bytes;
    size_t size;
};

/*
 * Reads `count` ranges, all or nothing; adds time, bytes and requests to `errand`, where
 * bytes that several callers share are charged to one of them. Ranges within merge_gap of
 * each other come in one request of at most 1 MiB. A range past the end of the object is
 * TL_CORRUPT (the index lies), an empty one TL_INVALID, one beyond 1 GiB TL_LIMIT.
 * TL_CHANGED when the object was replaced or is gone: the caller opens it again; of a
 * replaced one no read succeeds any more. TL_UPSTREAM when the tries are used up,
 * TL_TIMEOUT and TL_CANCELLED as soon as the errand says so. Never returns bytes of two
 * versions.
 */
TL_MUST_CHECK enum tl_code object_read(struct object *object, const struct range *ranges,
                                       size_t count, struct errand *errand,
                                       struct slice *ret_slices, struct tl_err *err);

/* True when a read costs a round trip: starting it early is worth something. */
bool object_is_distant(const struct object *object);

/*
 * Starts to fetch ranges that object_read() will be asked for soon, and returns at once. Until
 * ahead_free() such reads, whoever makes them, find their bytes on the way or arrived, and pay
 * for them. NULL when nothing was started: all is near, a range is not inside of the object, or
 * memory is out. What fails is left to object_read() to tell. To be freed before the object.
 */
struct ahead *object_read_ahead(struct object *object, const struct range *ranges, size_t count);
/* Gives up what has not arrived and nobody reads, and forgets the rest. */
void ahead_free(struct ahead *ahead);

/*
 * Copies one range to `dst` through the store's cache of 64 KiB pages: for readers
 * that ask for small pieces in an order of their own (GDAL).
 */
TL_MUST_CHECK enum tl_code object_read_cached(struct object *object, struct range range,
                                              struct errand *errand, void *dst, struct tl_err *err);

/*
 * Asks the store whether the version is still the same: one conditional GET of one
 * byte, or one stat. TL_CHANGED when it is not.
 */
TL_MUST_CHECK enum tl_code object_revalidate(struct object *object, struct errand *errand,
                                             struct tl_err *err);

/* Whole small objects: models and documents. More than `max_bytes` is TL_LIMIT. A local file that
 * nobody has permission to write to is mapped, not read: it is replaced by renaming another. */
TL_MUST_CHECK enum tl_code store_read_all(struct store *store, const char *href, size_t max_bytes,
                                          struct errand *errand, struct blob **ret_blob,
                                          struct tl_err *err);

AUTO_DEFINE(store, store_free)
AUTO_DEFINE(object, object_unref)
AUTO_DEFINE(ahead, ahead_free)

#endif
