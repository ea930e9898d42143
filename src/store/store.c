#include "store/store.h"

#include "base/blob.h"
#include "base/check.h"
#include "store/fetch.h"
#include "store/object.h"
#include "store/range_cache.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

static bool copy_text(const char *text, const char **ret_copy)
{
    *ret_copy = strdup(text ? text : "");
    return *ret_copy != NULL;
}

static bool copy_s3(const struct s3_options *from, struct s3_options *to)
{
    to->path_style = from->path_style;
    to->anonymous = from->anonymous;
    return copy_text(from->endpoint, &to->endpoint) && copy_text(from->region, &to->region) &&
           copy_text(from->access_key, &to->access_key) &&
           copy_text(from->secret_key, &to->secret_key) &&
           copy_text(from->session_token, &to->session_token);
}

/* The copies are ours; the struct shows them const because callers' are. */
static void free_text(const char *text)
{
    union {
        const char *in;
        char *out;
    } ours = {.in = text};

    free(ours.out);
}

static void release_s3(struct s3_options *s3)
{
    free_text(s3->endpoint);
    free_text(s3->region);
    free_text(s3->access_key);
    free_text(s3->secret_key);
    free_text(s3->session_token);
}

void store_free(struct store *store)
{
    if (!store)
        return;
    fetch_free(store->fetch);
    TL_CHECK(atomic_load_explicit(&store->objects, memory_order_acquire) == 0);
    range_cache_free(store->range_cache);
    release_s3(&store->s3);
    curl_global_cleanup();
    free(store);
}

enum tl_code store_new(const struct store_options *options, struct store **ret_store,
                       struct tl_err *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return tl_fail(err, TL_INTERNAL, "libcurl cannot be initialised");
    struct store *fresh = calloc(1, sizeof(*fresh));
    if (!fresh) {
        curl_global_cleanup();
        return tl_fail(err, TL_NOMEM, "no memory for the object store");
    }
    AUTO(store) store = fresh;
    atomic_init(&store->objects, 0);
    atomic_init(&store->next_id, 1);
    store->range_cache = range_cache_new(options->range_cache_bytes);
    if (!store->range_cache || !copy_s3(&options->s3, &store->s3))
        return tl_fail(err, TL_NOMEM, "no memory for the object store");
    TL_TRY(fetch_new(options, &store->fetch, err));
    *ret_store = TL_TAKE(store);
    return TL_OK;
}

/*
 * A document is read in pieces of 1 MiB, eight at once, so that neither one slow
 * connection nor the time limit of one request decides over a model of 100 MB.
 */
enum { PIECE = 1 << 20, PIECES_AT_ONCE = 8 };

static size_t cut_pieces(uint64_t from, uint64_t size, struct range *ret_pieces)
{
    size_t count = 0;

    for (; count < PIECES_AT_ONCE && from < size; count++) {
        size_t piece = (size_t)TL_MIN(size - from, (uint64_t)PIECE);
        ret_pieces[count] = (struct range){.offset = from, .size = piece};
        from += piece;
    }
    return count;
}

static enum tl_code read_pieces(struct object *object, struct errand *errand, uint8_t *dst,
                                struct tl_err *err)
{
    struct range pieces[PIECES_AT_ONCE];
    struct slice slices[PIECES_AT_ONCE];
    size_t count;

    for (uint64_t at = 0; (count = cut_pieces(at, object->size, pieces)) > 0;) {
        TL_TRY(object_read(object, pieces, count, errand, slices, err));
        for (size_t i = 0; i < count; i++) {
            memcpy(dst + pieces[i].offset, slices[i].bytes, slices[i].size);
            at += slices[i].size;
            blob_unref(slices[i].owner);
        }
    }
    return TL_OK;
}

static enum tl_code read_once(struct store *store, const char *href, size_t max_bytes,
                              struct errand *errand, struct blob **ret_blob, struct tl_err *err)
{
    AUTO(object) object = NULL;

    TL_TRY(object_open(store, href, NULL, errand, &object, err));
    if (object->size > max_bytes)
        return tl_fail(err, TL_LIMIT, "%.300s: %llu bytes, at most %zu are read here", href,
                       (unsigned long long)object->size, max_bytes);
    AUTO(blob) blob = object->ops->map ? object->ops->map(object) : NULL;
    if (blob) {
        *ret_blob = TL_TAKE(blob);
        return TL_OK;
    }
    blob = blob_new((size_t)object->size);
    if (!blob)
        return tl_fail(err, TL_NOMEM, "no memory for %.300s", href);
    TL_TRY(read_pieces(object, errand, blob_writable(blob), err));
    *ret_blob = TL_TAKE(blob);
    return TL_OK;
}

enum tl_code store_read_all(struct store *store, const char *href, size_t max_bytes,
                            struct errand *errand, struct blob **ret_blob, struct tl_err *err)
{
    enum tl_code code = read_once(store, href, max_bytes, errand, ret_blob, err);

    /* Replaced while it was read: the second reading sees the new one whole. */
    if (code == TL_CHANGED)
        code = read_once(store, href, max_bytes, errand, ret_blob, err);
    return code;
}
