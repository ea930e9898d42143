#include "store/object.h"

#include "base/blob.h"
#include "base/check.h"
#include "base/errand.h"
#include "store/href.h"
#include "store/s3_environment.h"

#include <stdlib.h>
#include <string.h>

/* A block of a sane file is a few MiB; an index that asks for more is damaged. */
#define RANGE_SIZE_MAX ((size_t)1 << 30)

enum tl_code object_init(struct object *object, struct store *store, const struct object_ops *ops,
                         const char *href, struct tl_err *err)
{
    char *copy = strdup(href);

    if (!copy)
        return tl_fail(err, TL_NOMEM, "no memory to open an object");
    object->ops = ops;
    object->store = store;
    object->href = copy;
    object->id = atomic_fetch_add_explicit(&store->next_id, 1, memory_order_relaxed);
    atomic_init(&object->refs, 1);
    atomic_fetch_add_explicit(&store->objects, 1, memory_order_relaxed);
    return TL_OK;
}

void object_release(struct object *object)
{
    /* Release: store_free() sees everything that was done to the object. */
    atomic_fetch_sub_explicit(&object->store->objects, 1, memory_order_release);
    free(object->href);
}

enum tl_code object_open(struct store *store, const char *href, const struct s3_options *s3,
                         struct errand *errand, struct object **ret_object, struct tl_err *err)
{
    __attribute__((cleanup(href_release))) struct href parsed = {0};

    TL_TRY(errand_check(errand, err));
    const struct s3_options complete = s3_complete(s3 ? s3 : &store->s3);
    TL_TRY(href_parse(href, &complete, &parsed, err));
    if (parsed.kind == HREF_FILE)
        return file_object_open(store, &parsed, ret_object, err);
    return remote_object_open(store, &parsed, &complete, errand, ret_object, err);
}

struct object *object_ref(struct object *object)
{
    /* Relaxed: the pointer came with its own ordering. */
    atomic_fetch_add_explicit(&object->refs, 1, memory_order_relaxed);
    return object;
}

void object_unref(struct object *object)
{
    if (object && atomic_fetch_sub_explicit(&object->refs, 1, memory_order_acq_rel) == 1)
        object->ops->close(object);
}

const char *object_href(const struct object *object)
{
    return object->href;
}

uint64_t object_size(const struct object *object)
{
    return object->size;
}

const char *object_version(const struct object *object)
{
    return object->version;
}

static enum tl_code check_range(const struct object *object, struct range range, struct tl_err *err)
{
    if (range.offset > object->size || range.size > object->size - range.offset)
        return tl_fail(err, TL_CORRUPT,
                       "%.300s: %zu bytes at %llu lie past the end of the object (%llu bytes)",
                       object->href, range.size, (unsigned long long)range.offset,
                       (unsigned long long)object->size);
    if (range.size > RANGE_SIZE_MAX)
        return tl_fail(err, TL_LIMIT, "%.300s: one range of %zu bytes; at most %zu are read",
                       object->href, range.size, RANGE_SIZE_MAX);
    return TL_OK;
}

enum tl_code object_read(struct object *object, const struct range *ranges, size_t count,
                         struct errand *errand, struct slice *ret_slices, struct tl_err *err)
{
    for (size_t i = 0; i < count; i++) {
        TL_TRY(check_range(object, ranges[i], err));
        if (ranges[i].size == 0)
            return tl_fail(err, TL_INVALID, "%.300s: an empty range was asked for", object->href);
    }
    if (count == 0)
        return TL_OK;
    return object->ops->read(object, ranges, count, errand, ret_slices, err);
}

bool object_is_distant(const struct object *object)
{
    return object->ops->ahead != NULL;
}

struct ahead *object_read_ahead(struct object *object, const struct range *ranges, size_t count)
{
    struct tl_err ignored;

    if (!object->ops->ahead)
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (ranges[i].size == 0 || check_range(object, ranges[i], &ignored) != TL_OK)
            return NULL;
    return count ? object->ops->ahead(object, ranges, count) : NULL;
}

enum tl_code object_read_cached(struct object *object, struct range range, struct errand *errand,
                                void *dst, struct tl_err *err)
{
    TL_TRY(check_range(object, range, err));
    if (range.size == 0)
        return TL_OK;
    return object->ops->copy(object, range, errand, dst, err);
}

enum tl_code object_revalidate(struct object *object, struct errand *errand, struct tl_err *err)
{
    return object->ops->revalidate(object, errand, err);
}
