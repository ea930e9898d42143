#include "tl_test.h"

#include "base/blob.h"
#include "base/errand.h"
#include "store/store.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[64], path[128];

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(name, "w");

    assert_non_null(file);
    assert_int_equal(fputs(text, file) >= 0, 1);
    assert_int_equal(fclose(file), 0);
}

static struct store *any_store(void)
{
    struct store_options options = {.range_cache_bytes = 1 << 20};
    struct store *store;
    struct tl_err err;

    assert_ok(store_new(&options, &store, &err));
    return store;
}

static struct object *opened(struct store *store, const char *href)
{
    struct errand errand = errand_unbounded();
    struct object *object;
    struct tl_err err;

    assert_ok(object_open(store, href, NULL, &errand, &object, &err));
    return object;
}

static enum tl_code read_some(struct object *object, struct tl_err *err)
{
    struct errand errand = errand_unbounded();
    struct range range = {2, 3};
    struct slice slice = {0};
    enum tl_code code = object_read(object, &range, 1, &errand, &slice, err);

    if (code == TL_OK)
        assert_memory_equal(slice.bytes, "234", 3);
    blob_unref(slice.owner);
    return code;
}

TEST(ranges_of_a_file_are_read_and_charged)
{
    AUTO(store) store = any_store();
    struct errand errand = errand_unbounded();
    const struct range ranges[] = {{0, 10}, {9, 1}, {3, 4}};
    struct slice slices[3];
    struct tl_err err;
    char copy[4];

    write_file(path, "0123456789");
    AUTO(object) object = opened(store, path);
    assert_int_equal(object_size(object), 10);
    assert_string_equal(object_href(object), path);
    assert_ok(object_read(object, ranges, 3, &errand, slices, &err));
    assert_memory_equal(slices[0].bytes, "0123456789", 10);
    assert_memory_equal(slices[1].bytes, "9", 1);
    assert_memory_equal(slices[2].bytes, "3456", 4);
    for (int i = 0; i < 3; i++)
        blob_unref(slices[i].owner);
    assert_int_equal(errand.fetches, 3);
    assert_int_equal(errand.fetched_bytes, 15);
    assert_ok(object_read_cached(object, (struct range){6, 4}, &errand, copy, &err));
    assert_memory_equal(copy, "6789", 4);
}

TEST(a_file_url_is_opened_like_its_path)
{
    AUTO(store) store = any_store();
    char href[160];

    write_file(path, "0123456789");
    snprintf(href, sizeof(href), "file://%s", path);
    AUTO(object) by_url = opened(store, href);
    AUTO(object) by_path = opened(store, path);
    assert_string_equal(object_version(by_url), object_version(by_path));
}

TEST(a_range_past_the_end_is_corrupt)
{
    AUTO(store) store = any_store();
    struct errand errand = errand_unbounded();
    struct range range = {8, 3};
    struct slice slice;
    struct tl_err err;

    write_file(path, "0123456789");
    AUTO(object) object = opened(store, path);
    assert_refused(object_read(object, &range, 1, &errand, &slice, &err), TL_CORRUPT,
                   "past the end");
}

TEST(a_file_written_to_is_changed)
{
    AUTO(store) store = any_store();
    struct errand errand = errand_unbounded();
    struct tl_err err;

    write_file(path, "0123456789");
    AUTO(object) object = opened(store, path);
    assert_ok(read_some(object, &err));
    write_file(path, "0123456789ABC");
    assert_refused(read_some(object, &err), TL_CHANGED, path);
    assert_refused(object_revalidate(object, &errand, &err), TL_CHANGED, path);
}

TEST(a_touched_file_is_changed)
{
    AUTO(store) store = any_store();
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1, .tv_nsec = 5}};
    struct tl_err err;

    write_file(path, "0123456789");
    AUTO(object) object = opened(store, path);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_refused(read_some(object, &err), TL_CHANGED, "changed");
}

TEST(a_file_renamed_over_is_changed)
{
    AUTO(store) store = any_store();
    char other[160];
    struct tl_err err;

    snprintf(other, sizeof(other), "%s.new", path);
    write_file(path, "0123456789");
    AUTO(object) object = opened(store, path);
    write_file(other, "9876543210");
    assert_int_equal(rename(other, path), 0);
    assert_refused(read_some(object, &err), TL_CHANGED, "replaced");
    AUTO(object) again = opened(store, path);
    assert_string_not_equal(object_version(again), object_version(object));
}

TEST(a_renamed_file_with_another_link_is_noticed_by_revalidation)
{
    AUTO(store) store = any_store();
    struct errand errand = errand_unbounded();
    char kept[160], other[160];
    struct tl_err err;

    snprintf(kept, sizeof(kept), "%s.kept", path);
    snprintf(other, sizeof(other), "%s.new", path);
    write_file(path, "0123456789");
    AUTO(object) object = opened(store, path);
    assert_int_equal(link(path, kept), 0);
    write_file(other, "9876543210");
    assert_int_equal(rename(other, path), 0);
    assert_ok(read_some(object, &err)); /* the old bytes, all of one version */
    assert_refused(object_revalidate(object, &errand, &err), TL_CHANGED, "replaced");
    assert_int_equal(unlink(kept), 0);
}

TEST(a_shortened_file_never_gives_short_bytes)
{
    AUTO(store) store = any_store();
    struct tl_err err;

    write_file(path, "0123456789");
    AUTO(object) object = opened(store, path);
    assert_int_equal(truncate(path, 3), 0);
    assert_refused(read_some(object, &err), TL_CHANGED, "shorter");
}

static void assert_not_opened(const char *href, enum tl_code code, const char *says)
{
    AUTO(store) store = any_store();
    struct errand errand = errand_unbounded();
    struct object *object;
    struct tl_err err;

    assert_refused(object_open(store, href, NULL, &errand, &object, &err), code, says);
}

TEST(what_is_no_readable_file_is_refused_by_name)
{
    char fifo[160], below[160];

    write_file(path, "x");
    snprintf(fifo, sizeof(fifo), "%s.fifo", path);
    snprintf(below, sizeof(below), "%s/below", path);
    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_not_opened("/nonexistent/file.tif", TL_ABSENT, "/nonexistent/file.tif");
    assert_not_opened(below, TL_ABSENT, below);
    assert_not_opened(folder, TL_INVALID, "not a regular file");
    assert_not_opened(fifo, TL_INVALID, "not a regular file");
    assert_int_equal(unlink(fifo), 0);
}

TEST(a_whole_file_is_read_up_to_the_limit)
{
    AUTO(store) store = any_store();
    struct errand errand = errand_unbounded();
    AUTO(blob) blob = NULL;
    AUTO(blob) empty = NULL;
    struct tl_err err;

    write_file(path, "0123456789");
    assert_ok(store_read_all(store, path, 10, &errand, &blob, &err));
    assert_int_equal(blob_size(blob), 10);
    assert_memory_equal(blob_bytes(blob), "0123456789", 10);
    assert_refused(store_read_all(store, path, 9, &errand, &blob, &err), TL_LIMIT, "at most 9");
    write_file(path, "");
    assert_ok(store_read_all(store, path, 10, &errand, &empty, &err));
    assert_int_equal(blob_size(empty), 0);
}

TEST(an_errand_past_its_deadline_reads_nothing)
{
    AUTO(store) store = any_store();
    struct errand errand = {.deadline_ns = 1};
    struct range range = {0, 1};
    struct slice slice;
    struct tl_err err;

    write_file(path, "0123456789");
    AUTO(object) object = opened(store, path);
    assert_int_equal(object_read(object, &range, 1, &errand, &slice, &err), TL_TIMEOUT);
    assert_int_equal(errand.fetches, 0);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/tilth-file-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof(path), "%s/a.tif", folder);
    return 0;
}

static bool is_mapped(const char *name)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    bool found = false;

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps))
        found |= strstr(line, name) != NULL;
    fclose(maps);
    return found;
}

static struct blob *read_whole(struct store *store, const char *name)
{
    struct errand errand = errand_unbounded();
    struct blob *blob = NULL;
    struct tl_err err;

    assert_ok(store_read_all(store, name, 1 << 20, &errand, &blob, &err));
    return blob;
}

static void write_many(const char *name, int byte, size_t size)
{
    FILE *file = fopen(name, "w");

    assert_non_null(file);
    for (size_t i = 0; i < size; i++)
        fputc(byte, file);
    assert_int_equal(fclose(file), 0);
}

TEST(a_large_file_that_nobody_may_write_to_is_mapped_and_outlives_its_name)
{
    enum { SIZE = 128 * 1024 };
    AUTO(store) store = any_store();
    char sealed[160], other[160];

    snprintf(sealed, sizeof(sealed), "%s/sealed", folder);
    snprintf(other, sizeof(other), "%s/other", folder);
    write_many(sealed, 'a', SIZE);
    AUTO(blob) copied = read_whole(store, sealed);
    assert_false(is_mapped(sealed));
    assert_int_equal(chmod(sealed, 0444), 0);
    AUTO(blob) mapped = read_whole(store, sealed);
    bool near = is_mapped(sealed);
    write_many(other, 'b', SIZE / 2);
    assert_int_equal(rename(other, sealed), 0);
    assert_int_equal(blob_size(mapped), SIZE);
    assert_memory_equal(blob_bytes(mapped), blob_bytes(copied), SIZE);
    unlink(sealed);
    if (!near)
        skip(); /* a file system that is not known to be near */
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

RUN_BETWEEN(make_folder, remove_folder, T(ranges_of_a_file_are_read_and_charged),
            T(a_file_url_is_opened_like_its_path), T(a_range_past_the_end_is_corrupt),
            T(a_file_written_to_is_changed), T(a_touched_file_is_changed),
            T(a_file_renamed_over_is_changed),
            T(a_renamed_file_with_another_link_is_noticed_by_revalidation),
            T(a_shortened_file_never_gives_short_bytes),
            T(what_is_no_readable_file_is_refused_by_name), T(a_whole_file_is_read_up_to_the_limit),
            T(an_errand_past_its_deadline_reads_nothing),
            T(a_large_file_that_nobody_may_write_to_is_mapped_and_outlives_its_name))
