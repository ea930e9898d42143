/*
 * remote_object: an object of a web server or an S3 service. The first GET brings size,
 * version and the head, which is kept: a COG's index usually needs nothing more.
 */
#include "base/blob.h"
#include "base/check.h"
#include "base/errand.h"
#include "store/fetch.h"
#include "store/href.h"
#include "store/object.h"
#include "store/range_cache.h"
#include "store/target.h"

#include <stdlib.h>
#include <string.h>

struct remote_object {
    struct object object;
    struct target *target;
    struct slice head;
};

static struct remote_object *remote_of(struct object *object)
{
    return (struct remote_object *)(void *)object; /* the first member */
}

static bool in_head(const struct remote_object *remote, struct range range)
{
    return range.offset <= remote->head.size && range.size <= remote->head.size - range.offset;
}

/* How many of the first bytes of a range are in the head. */
static size_t head_part(const struct remote_object *remote, struct range range)
{
    if (range.offset >= remote->head.size)
        return 0;
    return (size_t)TL_MIN((uint64_t)range.size, remote->head.size - range.offset);
}

static struct slice slice_of_head(const struct remote_object *remote, struct range range)
{
    return (struct slice){.owner = blob_ref(remote->head.owner),
                          .bytes = remote->head.bytes + range.offset,
                          .size = range.size};
}

/* What the head does not hold is fetched, also of a range that begins in it: no byte comes
 * twice. `places` says where each of it goes. */
struct missing {
    struct range *ranges;
    struct slice *slices;
    size_t *places;
    size_t count;
};

static bool missing_init(struct missing *missing, size_t room)
{
    missing->ranges = TL_OWNED(calloc(room, sizeof(*missing->ranges)));
    missing->slices = TL_OWNED(calloc(room, sizeof(*missing->slices)));
    missing->places = TL_OWNED(calloc(room, sizeof(*missing->places)));
    missing->count = 0;
    return missing->ranges && missing->slices && missing->places;
}

static void missing_release(struct missing *missing)
{
    free(missing->ranges);
    free(missing->slices);
    free(missing->places);
}

/* Puts the bytes of a range that are in the head before the fetched rest. */
static enum tl_code join_head(const struct remote_object *remote, struct range range,
                              struct slice *rest, struct tl_err *err)
{
    size_t part = head_part(remote, range);

    if (part == 0)
        return TL_OK;
    AUTO(blob) whole = blob_new(range.size);
    if (!whole)
        return tl_fail(err, TL_NOMEM, "no memory for %zu bytes of %.300s", range.size,
                       remote->object.href);
    memcpy(blob_writable(whole), remote->head.bytes + range.offset, part);
    memcpy(blob_writable(whole) + part, rest->bytes, range.size - part);
    blob_unref(rest->owner);
    *rest = (struct slice){.bytes = blob_bytes(whole), .size = range.size};
    rest->owner = TL_TAKE(whole);
    return TL_OK;
}

/* An object that was there when it was opened, and is not any more, has changed. */
static enum tl_code gone_is_changed(enum tl_code code, struct tl_err *err)
{
    return code == TL_ABSENT ? tl_context(err, TL_CHANGED, "the object is gone: ") : code;
}

static enum tl_code fetch_pinned(struct remote_object *remote, const struct range *ranges,
                                 size_t count, struct errand *errand, struct slice *ret_slices,
                                 struct tl_err *err)
{
    return gone_is_changed(fetch_read(remote->target, ranges, count, errand, ret_slices, err), err);
}

static enum tl_code fetch_missing(struct remote_object *remote, const struct range *ranges,
                                  struct missing *missing, struct errand *errand,
                                  struct tl_err *err)
{
    enum tl_code code = TL_OK;

    if (missing->count == 0)
        return TL_OK;
    TL_TRY(fetch_pinned(remote, missing->ranges, missing->count, errand, missing->slices, err));
    for (size_t i = 0; i < missing->count && code == TL_OK; i++)
        code = join_head(remote, ranges[missing->places[i]], &missing->slices[i], err);
    for (size_t i = 0; i < missing->count && code != TL_OK; i++)
        blob_unref(missing->slices[i].owner);
    return code;
}

static void find_missing(const struct remote_object *remote, const struct range *ranges,
                         size_t count, struct missing *missing)
{
    for (size_t i = 0; i < count; i++) {
        if (in_head(remote, ranges[i]))
            continue;
        size_t part = head_part(remote, ranges[i]);
        missing->ranges[missing->count] =
            (struct range){.offset = ranges[i].offset + part, .size = ranges[i].size - part};
        missing->places[missing->count++] = i;
    }
}

static struct ahead *remote_ahead(struct object *object, const struct range *ranges, size_t count)
{
    struct remote_object *remote = remote_of(object);
    __attribute__((cleanup(missing_release))) struct missing missing;

    if (!missing_init(&missing, count))
        return NULL;
    find_missing(remote, ranges, count, &missing);
    return missing.count ? fetch_ahead(remote->target, missing.ranges, missing.count) : NULL;
}

static enum tl_code remote_read(struct object *object, const struct range *ranges, size_t count,
                                struct errand *errand, struct slice *ret_slices, struct tl_err *err)
{
    struct remote_object *remote = remote_of(object);
    __attribute__((cleanup(missing_release))) struct missing missing;

    if (!missing_init(&missing, count))
        return tl_fail(err, TL_NOMEM, "no memory to read %zu ranges", count);
    find_missing(remote, ranges, count, &missing);
    TL_TRY(fetch_missing(remote, ranges, &missing, errand, err));
    for (size_t i = 0, next = 0; i < count; i++) {
        if (next < missing.count && missing.places[next] == i)
            ret_slices[i] = missing.slices[next++];
        else
            ret_slices[i] = slice_of_head(remote, ranges[i]);
    }
    return TL_OK;
}

/* Pages that one call may fetch at once: 4 MiB of memory. */
enum { PAGES_AT_ONCE = 64 };

static struct range page_range(const struct object *object, uint64_t page)
{
    uint64_t offset = page * RANGE_PAGE;
    uint64_t left = object->size - offset;

    return (struct range){.offset = offset, .size = (size_t)TL_MIN(left, (uint64_t)RANGE_PAGE)};
}

/* The part of `page` that `range` covers: where in the page, where in the range, how much. */
struct overlap {
    size_t in_page, in_range, size;
};

static struct overlap overlap_of(struct range page, struct range range)
{
    uint64_t from = TL_MAX(page.offset, range.offset);
    uint64_t to = TL_MIN(page.offset + page.size, range.offset + range.size);

    return (struct overlap){.in_page = (size_t)(from - page.offset),
                            .in_range = (size_t)(from - range.offset),
                            .size = (size_t)(to - from)};
}

/* Copies what `range` wants of a page out of the cache; false when it is not there. */
static bool copy_kept(struct object *object, struct range page, struct range range, uint8_t *dst)
{
    struct overlap part = overlap_of(page, range);
    struct page_key key = {object->id, page.offset / RANGE_PAGE};

    return range_cache_get(object->store->range_cache, key, part.in_page, part.size,
                           dst + part.in_range);
}

/* Fetches whole pages, keeps them, and copies what `range` wants of them. */
static enum tl_code fetch_pages(struct remote_object *remote, const struct range *pages,
                                size_t count, struct errand *errand, struct slice *slices,
                                struct tl_err *err)
{
    struct store *store = remote->object.store;

    TL_TRY(fetch_pinned(remote, pages, count, errand, slices, err));
    for (size_t i = 0; i < count; i++) {
        struct page_key key = {remote->object.id, pages[i].offset / RANGE_PAGE};
        range_cache_put(store->range_cache, key, slices[i].bytes, slices[i].size);
    }
    return TL_OK;
}

static void hand_over(const struct range *pages, struct slice *slices, size_t count,
                      struct range range, uint8_t *dst)
{
    for (size_t i = 0; i < count; i++) {
        struct overlap part = overlap_of(pages[i], range);
        memcpy(dst + part.in_range, slices[i].bytes + part.in_page, part.size);
        blob_unref(slices[i].owner);
    }
}

static enum tl_code remote_copy(struct object *object, struct range range, struct errand *errand,
                                void *dst, struct tl_err *err)
{
    struct remote_object *remote = remote_of(object);
    struct range pages[PAGES_AT_ONCE];
    struct slice slices[PAGES_AT_ONCE];
    uint64_t last = (range.offset + range.size - 1) / RANGE_PAGE;
    size_t count = 0;

    if (in_head(remote, range)) {
        memcpy(dst, remote->head.bytes + range.offset, range.size);
        return TL_OK;
    }
    for (uint64_t page = range.offset / RANGE_PAGE; page <= last; page++) {
        struct range whole = page_range(object, page);
        if (!copy_kept(object, whole, range, dst))
            pages[count++] = whole;
        if (count == PAGES_AT_ONCE || (page == last && count > 0)) {
            TL_TRY(fetch_pages(remote, pages, count, errand, slices, err));
            hand_over(pages, slices, count, range, dst);
            count = 0;
        }
    }
    return TL_OK;
}

static enum tl_code remote_revalidate(struct object *object, struct errand *errand,
                                      struct tl_err *err)
{
    struct remote_object *remote = remote_of(object);
    struct fetch_head now;

    TL_TRY(
        gone_is_changed(fetch_first(remote->target, REQUEST_REVALIDATE, errand, &now, err), err));
    blob_unref(now.bytes.owner);
    if (now.opened.is_unchanged || (strcmp(now.opened.validator, remote->target->validator) == 0 &&
                                    now.opened.size == object->size))
        return TL_OK;
    return tl_fail(err, TL_CHANGED, "%.300s: the object was replaced: version %.80s, not %.80s",
                   object->href, now.opened.validator, object->version);
}

static void remote_close(struct object *object)
{
    struct remote_object *remote = remote_of(object);

    blob_unref(remote->head.owner);
    target_unref(remote->target);
    object_release(object);
    free(remote);
}

static const struct object_ops remote_ops = {
    .read = remote_read,
    .ahead = remote_ahead,
    .copy = remote_copy,
    .revalidate = remote_revalidate,
    .close = remote_close,
};

/* Reads the head and fixes size and version. */
static enum tl_code read_head(struct remote_object *remote, struct errand *errand,
                              struct tl_err *err)
{
    struct object *object = &remote->object;
    struct fetch_head first;

    TL_TRY(fetch_first(remote->target, REQUEST_OPEN, errand, &first, err));
    TL_CHECK(first.bytes.size <= first.opened.size);
    remote->head = first.bytes;
    object->size = first.opened.size;
    memcpy(object->version, first.opened.validator, sizeof(object->version));
    target_pin(remote->target, first.opened.validator, first.opened.size);
    return TL_OK;
}

enum tl_code remote_object_open(struct store *store, struct href *href, const struct s3_options *s3,
                                struct errand *errand, struct object **ret_object,
                                struct tl_err *err)
{
    struct remote_object *remote = calloc(1, sizeof(*remote));

    if (!remote || object_init(&remote->object, store, &remote_ops, href->text, err) != TL_OK) {
        free(remote);
        return tl_fail(err, TL_NOMEM, "no memory to open %.300s", href->text);
    }
    AUTO(object) object = &remote->object;
    TL_TRY(target_new(store->fetch, href, s3, &remote->target, err));
    TL_TRY(read_head(remote, errand, err));
    *ret_object = TL_TAKE(object);
    return TL_OK;
}
