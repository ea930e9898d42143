#include "cache/cache.h"

#include "tl_test.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/metric.h"
#include "cache_fixture.h"

#include <fcntl.h>
#include <sys/wait.h>

TEST(a_put_is_visible_at_once_and_on_disk_after_a_flush)
{
    struct tl_err err;
    struct folder folder = folder_new();
    AUTO(cache) cache = open_cache(&folder, 64 * MIB, 4 * MIB);
    uint32_t ns = namespace_of(cache, 1);
    const struct cache_key key = {.ns = ns, .id = 77, .variant = 3};

    assert_false(cache_has(cache, &key));
    put(cache, key, 9, 6000);
    assert_true(cache_has(cache, &key));
    assert_int_equal(look(cache, key, 9, 6000), CACHE_RAM);
    assert_ok(cache_flush(cache, &err));
    cache_close(TL_TAKE(cache));

    cache = open_cache(&folder, 64 * MIB, 4 * MIB);
    assert_int_equal(namespace_of(cache, 1), ns);
    assert_int_equal(look(cache, key, 9, 6000), CACHE_DISK);
    assert_int_equal(look(cache, key, 9, 6000), CACHE_RAM);
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
}

TEST(values_of_every_size_come_back)
{
    static const size_t sizes[] = {0,    1,    2000, 4023,  4024,   4025,   4080,   4081,   8103,
                                   8104, 8105, 9000, 65536, 300000, 524288, 600000, 1 << 20};
    struct tl_err err;
    struct folder folder = folder_new();

    for (int round = 0; round < 2; round++) {
        AUTO(cache) cache = open_cache(&folder, 64 * MIB, 1 * MIB);
        const struct cache_key key = {.ns = namespace_of(cache, 1)};

        for (size_t i = 0; i < TL_COUNT(sizes); i++) {
            struct cache_key at = key;

            at.id = i;
            if (round == 0)
                put(cache, at, i, sizes[i]);
            else
                assert_int_equal(look(cache, at, i, sizes[i]), CACHE_DISK);
        }
        assert_ok(cache_flush(cache, &err));
    }
    folder_remove(&folder);
}

TEST(a_value_too_large_for_the_disk_lives_in_memory)
{
    struct tl_err err;
    struct folder folder = folder_new();
    AUTO(cache) cache = open_cache(&folder, 64 * MIB, 64 * MIB);
    const struct cache_key key = {.ns = namespace_of(cache, 1), .id = 1};
    int64_t dropped = metric_value(METRIC_CACHE_DROPPED);

    put(cache, key, 1, CACHE_VALUE_MAX + 1);
    assert_int_equal(metric_value(METRIC_CACHE_DROPPED), dropped + 1);
    assert_int_equal(look(cache, key, 1, CACHE_VALUE_MAX + 1), CACHE_RAM);
    assert_ok(cache_flush(cache, &err));
    cache_close(TL_TAKE(cache));
    cache = open_cache(&folder, 64 * MIB, 64 * MIB);
    assert_int_equal(look(cache, key, 1, CACHE_VALUE_MAX + 1), CACHE_MISS);
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
}

TEST(the_newer_of_two_values_stays)
{
    struct tl_err err;
    struct folder folder = folder_new();
    AUTO(cache) cache = open_cache(&folder, 64 * MIB, 1 * MIB);
    const struct cache_key key = {.ns = namespace_of(cache, 1), .id = 5};
    struct cache_verdict verdict;

    for (uint64_t version = 0; version < 20; version++) {
        put(cache, key, version, 3000 + version * 999);
        assert_int_equal(look(cache, key, version, 3000 + version * 999), CACHE_RAM);
        if (version % 3 == 0)
            assert_ok(cache_flush(cache, &err));
    }
    assert_ok(cache_flush(cache, &err));
    assert_ok(cache_verify(cache, false, &verdict, &err));
    assert_int_equal(verdict.values, 1);
    assert_int_equal(verdict.orphans, 0);
    cache_close(TL_TAKE(cache));
    cache = open_cache(&folder, 64 * MIB, 1 * MIB);
    assert_int_equal(look(cache, key, 19, 3000 + 19 * 999), CACHE_DISK);
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
}

TEST(namespaces_and_variants_do_not_meet)
{
    struct tl_err err;
    struct folder folder = folder_new();
    AUTO(cache) cache = open_cache(&folder, 64 * MIB, 4 * MIB);
    uint32_t a = namespace_of(cache, 1), b = namespace_of(cache, 2);

    assert_int_not_equal(a, b);
    assert_int_equal(namespace_of(cache, 1), a);
    put(cache, (struct cache_key){.ns = a, .id = 8}, 100, 500);
    put(cache, (struct cache_key){.ns = b, .id = 8}, 200, 700);
    put(cache, (struct cache_key){.ns = b, .id = 8, .variant = 1}, 300, 900);
    assert_ok(cache_flush(cache, &err));
    cache_close(TL_TAKE(cache));

    cache = open_cache(&folder, 64 * MIB, 4 * MIB);
    assert_int_equal(namespace_of(cache, 2), b);
    assert_int_equal(namespace_of(cache, 1), a);
    assert_int_equal(look(cache, (struct cache_key){.ns = a, .id = 8}, 100, 500), CACHE_DISK);
    assert_int_equal(look(cache, (struct cache_key){.ns = b, .id = 8}, 200, 700), CACHE_DISK);
    assert_int_equal(look(cache, (struct cache_key){.ns = b, .id = 8, .variant = 1}, 300, 900),
                     CACHE_DISK);
    assert_int_equal(look(cache, (struct cache_key){.ns = a, .id = 8, .variant = 1}, 0, 0),
                     CACHE_MISS);
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
}

TEST(a_cache_without_a_folder_is_memory_alone)
{
    struct tl_err err;
    AUTO(cache) cache = open_cache(NULL, 0, 4 * MIB);
    uint32_t a = namespace_of(cache, 1), b = namespace_of(cache, 2);
    struct cache_verdict verdict = {.values = 9};
    AUTO_BUF out = {0};

    assert_int_not_equal(a, b);
    assert_int_equal(namespace_of(cache, 1), a);
    put(cache, (struct cache_key){.ns = a, .id = 1}, 1, 1000);
    assert_int_equal(look(cache, (struct cache_key){.ns = a, .id = 1}, 1, 1000), CACHE_RAM);
    assert_int_equal(look(cache, (struct cache_key){.ns = b, .id = 1}, 1, 1000), CACHE_MISS);
    assert_ok(cache_flush(cache, &err));
    assert_ok(cache_verify(cache, true, &verdict, &err));
    assert_int_equal(verdict.values, 0);
    assert_ok(cache_stat(cache, &out, &err));
}

TEST(eviction_keeps_the_file_within_its_budget_and_the_newest_in_it)
{
    enum { BUDGET = 8 * MIB, SIZE = 9000, COUNT = 5000 };
    struct tl_err err;
    struct folder folder = folder_new();
    AUTO(cache) cache = open_cache(&folder, BUDGET, 1);
    struct cache_key key = {.ns = namespace_of(cache, 1)};
    int64_t evicted = metric_value(METRIC_CACHE_EVICTED);
    struct cache_verdict verdict;

    for (key.id = 0; key.id < COUNT; key.id++) {
        put(cache, key, 1, SIZE);
        if (key.id % 50 == 49)
            assert_ok(cache_flush(cache, &err));
    }
    assert_ok(cache_flush(cache, &err));
    assert_true(file_bytes(&folder) <= BUDGET);
    assert_true(metric_value(METRIC_CACHE_EVICTED) > evicted + COUNT / 2);
    key.id = 0;
    assert_int_equal(look(cache, key, 1, SIZE), CACHE_MISS);
    /* A half of the budget is there at least, and it is the youngest half. */
    for (key.id = COUNT - BUDGET / 2 / SIZE; key.id < COUNT; key.id++)
        assert_int_equal(look(cache, key, 1, SIZE), CACHE_DISK);
    assert_ok(cache_verify(cache, false, &verdict, &err));
    assert_int_equal(verdict.corrupt, 0);
    assert_int_equal(verdict.orphans, 0);
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
}

TEST(a_smaller_budget_at_the_next_start_is_reached_by_eviction)
{
    struct tl_err err;
    struct folder folder = folder_new();
    AUTO(cache) cache = open_cache(&folder, 16 * MIB, 1);
    struct cache_key key = {.ns = namespace_of(cache, 1)};
    struct cache_verdict verdict;

    for (key.id = 0; key.id < 1200; key.id++) {
        put(cache, key, 1, 8000);
        if (key.id % 200 == 0)
            assert_ok(cache_flush(cache, &err));
    }
    assert_ok(cache_flush(cache, &err));
    cache_close(TL_TAKE(cache));
    cache = open_cache(&folder, 4 * MIB, 1);
    put(cache, key, 1, 8000);
    assert_ok(cache_flush(cache, &err));
    assert_int_equal(look(cache, key, 1, 8000), CACHE_DISK);
    assert_ok(cache_verify(cache, false, &verdict, &err));
    assert_true(verdict.bytes < 4 * MIB);
    assert_true(verdict.bytes > 1 * MIB);
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
}

TEST(what_is_asked_for_gets_a_second_chance)
{
    enum { HOT = 20, SIZE = 6000 };
    struct tl_err err;
    struct folder folder = folder_new();
    AUTO(cache) cache = open_cache(&folder, 8 * MIB, 1);
    struct cache_key key = {.ns = namespace_of(cache, 1)};

    for (key.id = 0; key.id < 2 * HOT; key.id++)
        put(cache, key, 1, SIZE);
    assert_ok(cache_flush(cache, &err));
    for (uint64_t id = 1000; id < 5000; id++) {
        key.id = id;
        put(cache, key, 1, SIZE);
        if (id % 100 != 0)
            continue;
        assert_ok(cache_flush(cache, &err));
        for (key.id = 0; key.id < HOT; key.id++)
            assert_int_equal(look(cache, key, 1, SIZE), CACHE_DISK);
    }
    for (key.id = HOT; key.id < 2 * HOT; key.id++)
        assert_int_equal(look(cache, key, 1, SIZE), CACHE_MISS);
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
}

/* Turns over one bit in every copy of the value's last bytes that the file has. */
static unsigned damage(const struct folder *folder, const struct cache_key *key, uint64_t version,
                       size_t size)
{
    enum { TAIL = 24 };
    struct blob *value = value_of(key, version, size);
    const uint8_t *tail = blob_bytes(value) + size - TAIL;
    size_t length = (size_t)file_bytes(folder);
    uint8_t *file = malloc(length);
    unsigned found = 0;
    char path[128];

    snprintf(path, sizeof(path), "%s/data.mdb", folder->path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pread(fd, file, length, 0), (ssize_t)length);
    for (size_t at = 0; at + TAIL <= length; at++) {
        if (memcmp(file + at, tail, TAIL) != 0)
            continue;
        uint8_t bad = file[at + 7] ^ 0x20;
        assert_int_equal(pwrite(fd, &bad, 1, (off_t)at + 7), 1);
        found++;
    }
    close(fd);
    free(file);
    blob_unref(value);
    return found;
}

TEST(a_damaged_value_is_a_miss_and_is_deleted_and_counted)
{
    static const size_t sizes[] = {60, 1500, 5000, 20000, 200000};
    struct tl_err err;
    struct folder folder = folder_new();
    AUTO(cache) cache = open_cache(&folder, 64 * MIB, 1);
    struct cache_key key = {.ns = namespace_of(cache, 1)};
    struct cache_verdict verdict;

    for (key.id = 0; key.id < 2 * TL_COUNT(sizes); key.id++)
        put(cache, key, 4, sizes[key.id / 2]);
    assert_ok(cache_flush(cache, &err));
    cache_close(TL_TAKE(cache));
    for (key.id = 0; key.id < 2 * TL_COUNT(sizes); key.id += 2)
        assert_true(damage(&folder, &key, 4, sizes[key.id / 2]) > 0);

    cache = open_cache(&folder, 64 * MIB, 1);
    assert_ok(cache_verify(cache, false, &verdict, &err));
    assert_int_equal(verdict.values, 2 * TL_COUNT(sizes));
    assert_int_equal(verdict.corrupt, TL_COUNT(sizes));
    int64_t counted = metric_value(METRIC_CACHE_CORRUPT);
    for (key.id = 0; key.id < 2 * TL_COUNT(sizes); key.id++)
        assert_int_equal(look(cache, key, 4, sizes[key.id / 2]),
                         key.id % 2 ? CACHE_DISK : CACHE_MISS);
    assert_int_equal(metric_value(METRIC_CACHE_CORRUPT), counted + (int64_t)TL_COUNT(sizes));
    assert_ok(cache_flush(cache, &err));
    assert_ok(cache_verify(cache, false, &verdict, &err));
    assert_int_equal(verdict.values, TL_COUNT(sizes));
    assert_int_equal(verdict.corrupt, 0);
    assert_int_equal(verdict.orphans, 0);
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
}

TEST(repair_deletes_what_is_broken_and_counts_again)
{
    struct tl_err err;
    struct folder folder = folder_new();
    AUTO(cache) cache = open_cache(&folder, 64 * MIB, 1);
    struct cache_key key = {.ns = namespace_of(cache, 1)};
    struct cache_verdict verdict;
    AUTO_BUF out = {0};

    for (key.id = 0; key.id < 2500; key.id++)
        put(cache, key, 4, 1200);
    assert_ok(cache_flush(cache, &err));
    cache_close(TL_TAKE(cache));
    for (key.id = 0; key.id < 2500; key.id += 500)
        assert_true(damage(&folder, &key, 4, 1200) > 0);
    cache = open_cache(&folder, 64 * MIB, 1);
    assert_ok(cache_verify(cache, true, &verdict, &err));
    assert_int_equal(verdict.corrupt, 5);
    assert_ok(cache_verify(cache, false, &verdict, &err));
    assert_int_equal(verdict.corrupt, 0);
    assert_int_equal(verdict.orphans, 0);
    assert_int_equal(verdict.values, 2495);
    assert_ok(cache_stat(cache, &out, &err));
    buf_append(&out, "", 1);
    assert_non_null(strstr((const char *)out.bytes, "\"values\":2495,\"bytes\":2994000"));
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
}

TEST(statistics_are_json_with_a_line_per_namespace)
{
    struct tl_err err;
    struct folder folder = folder_new();
    AUTO(cache) cache = open_cache(&folder, 64 * MIB, 4 * MIB);
    const struct hash128 fingerprint = {.hi = 1, .lo = 2};
    uint32_t ns = 0;
    AUTO_BUF out = {0};
    AUTO_JSON root = NULL;

    assert_ok(cache_namespace(cache, fingerprint, "zw \"crops\"\n\\ tiles", &ns, &err));
    put(cache, (struct cache_key){.ns = ns, .id = 1}, 1, 1000);
    put(cache, (struct cache_key){.ns = ns, .id = 2}, 1, 500);
    assert_ok(cache_flush(cache, &err));
    assert_ok(cache_stat(cache, &out, &err));
    assert_ok(json_parse("stat", out.bytes, out.size, &root, &err));
    const json_t *one = json_array_get(json_object_get(root, "namespaces"), 0);
    assert_string_equal(json_string_value(json_object_get(one, "label")), "zw \"crops\"\n\\ tiles");
    assert_int_equal(json_integer_value(json_object_get(one, "values")), 2);
    assert_int_equal(json_integer_value(json_object_get(one, "bytes")), 1500);
    assert_int_equal(json_integer_value(json_object_get(root, "budget_bytes")), 64 * MIB);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(root, "ram"), "values")),
                     2);
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
}

/* The child, which opens no cache of its own before: 0 when it saw all it should. */
static int read_beside(const struct folder *folder, int ready)
{
    struct tl_err err;
    struct cache *cache = NULL;
    struct cache_verdict verdict;
    const struct cache_options options = {.dir = folder->path, .ram_bytes = 1, .read_only = true};
    uint64_t one = 1, two = 2;
    uint32_t ns = 0, other = 0;
    char go;

    if (read(ready, &go, 1) != 1 || cache_open(&options, &cache, &err) != TL_OK)
        return 1;
    if (cache_namespace(cache, hash128(&one, sizeof(one)), "", &ns, &err) != TL_OK ||
        cache_namespace(cache, hash128(&two, sizeof(two)), "", &other, &err) != TL_ABSENT)
        return 2;
    if (look(cache, (struct cache_key){.ns = ns, .id = 3}, 5, 7000) != CACHE_DISK)
        return 3;
    if (cache_verify(cache, true, &verdict, &err) != TL_INVALID ||
        cache_verify(cache, false, &verdict, &err) != TL_OK || verdict.values != 1)
        return 4;
    put(cache, (struct cache_key){.ns = ns, .id = 4}, 5, 100);
    if (cache_flush(cache, &err) != TL_OK)
        return 5;
    cache_close(cache);
    return 0;
}

TEST(another_process_may_read_beside_the_writer)
{
    struct tl_err err;
    struct folder folder = folder_new();
    int ready[2], status = -1;

    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0)
        _exit(read_beside(&folder, ready[0]));
    AUTO(cache) cache = open_cache(&folder, 64 * MIB, 4 * MIB);
    uint32_t ns = namespace_of(cache, 1);

    put(cache, (struct cache_key){.ns = ns, .id = 3}, 5, 7000);
    assert_ok(cache_flush(cache, &err));
    assert_int_equal(write(ready[1], "g", 1), 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(ready[0]);
    close(ready[1]);
    assert_int_equal(look(cache, (struct cache_key){.ns = ns, .id = 4}, 5, 100), CACHE_MISS);
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
}

TEST(reading_a_cache_that_is_not_there_says_so)
{
    struct tl_err err;
    struct folder folder = folder_new();
    AUTO(cache) cache = NULL;
    const struct cache_options options = {.dir = folder.path, .ram_bytes = 1, .read_only = true};

    assert_refused(cache_open(&options, &cache, &err), TL_ABSENT, folder.path);
    assert_null(cache);
    folder_remove(&folder);
}

TEST(a_file_that_is_no_cache_steps_aside)
{
    struct tl_err err;
    struct folder folder = folder_new();
    char path[128];
    uint8_t noise[20000];

    fill(&(struct cache_key){.ns = 1}, 1, noise, sizeof(noise));
    snprintf(path, sizeof(path), "%s/data.mdb", folder.path);
    FILE *file = fopen(path, "wb");
    assert_int_equal(fwrite(noise, 1, sizeof(noise), file), sizeof(noise));
    fclose(file);
    AUTO(cache) cache = open_cache(&folder, 64 * MIB, 1);
    assert_non_null(cache);
    put(cache, (struct cache_key){.ns = namespace_of(cache, 1), .id = 3}, 5, 7000);
    assert_ok(cache_flush(cache, &err));
    snprintf(path, sizeof(path), "%s/data.mdb.broken", folder.path);
    assert_int_equal(access(path, F_OK), 0);
    cache_close(TL_TAKE(cache));
    folder_remove(&folder);
}

TEST(a_budget_too_small_for_anything_is_refused)
{
    struct tl_err err;
    struct folder folder = folder_new();
    AUTO(cache) cache = NULL;
    const struct cache_options options = {.dir = folder.path, .disk_bytes = 1000, .ram_bytes = 1};

    assert_refused(cache_open(&options, &cache, &err), TL_INVALID, "cache_size");
    assert_null(cache);
    folder_remove(&folder);
}

RUN(T(a_put_is_visible_at_once_and_on_disk_after_a_flush), T(values_of_every_size_come_back),
    T(a_value_too_large_for_the_disk_lives_in_memory), T(the_newer_of_two_values_stays),
    T(namespaces_and_variants_do_not_meet), T(a_cache_without_a_folder_is_memory_alone),
    T(eviction_keeps_the_file_within_its_budget_and_the_newest_in_it),
    T(a_smaller_budget_at_the_next_start_is_reached_by_eviction),
    T(what_is_asked_for_gets_a_second_chance),
    T(a_damaged_value_is_a_miss_and_is_deleted_and_counted),
    T(repair_deletes_what_is_broken_and_counts_again),
    T(statistics_are_json_with_a_line_per_namespace), T(another_process_may_read_beside_the_writer),
    T(reading_a_cache_that_is_not_there_says_so), T(a_file_that_is_no_cache_steps_aside),
    T(a_budget_too_small_for_anything_is_refused))
