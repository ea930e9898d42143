#include "remote.h"

#include <pthread.h>

/* More than the eight pieces of 1 MiB that are read at once. */
enum { MODEL_SIZE = 11000000 };

TEST(a_cold_open_is_one_get_and_reads_in_the_head_cost_nothing)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    struct errand errand = errand_unbounded();
    struct fake_log log;
    struct tl_err err;

    fake_s3_reset(&fake);
    AUTO(object) object = opened(store, &fake, "b/scene");
    assert_int_equal(object_size(object), SCENE_SIZE);
    assert_int_equal(object_version(object)[0], '"');
    assert_ok(try_read(object, 0, 16, &errand, &err));
    assert_ok(try_read(object, 32000, 768, &errand, &err));
    fake_s3_log(&fake, &log);
    assert_int_equal(log.fetches, 1);
    assert_int_equal(log.bytes, OBJECT_HEAD_BYTES);
    assert_non_null(strstr(log.text, "bytes=0-32767"));
    assert_int_equal(errand.fetches, 0);
}

TEST(blocks_of_one_row_come_in_one_get_and_as_slices_of_one_blob)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    struct errand errand = errand_unbounded();
    const struct range ranges[] = {{100000, 20000}, {120008, 20000}, {500000, 10}, {16, 16}};
    struct slice slices[4];
    struct fake_log log;
    struct tl_err err;

    AUTO(object) object = opened(store, &fake, "b/scene");
    fake_s3_reset(&fake);
    assert_ok(object_read(object, ranges, 4, &errand, slices, &err));
    assert_ptr_equal(slices[0].owner, slices[1].owner);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(slices[i].size, ranges[i].size);
        assert_true(is_scene(slices[i].bytes, ranges[i].offset, ranges[i].size));
        blob_unref(slices[i].owner);
    }
    fake_s3_log(&fake, &log);
    assert_int_equal(log.fetches, 2);
    assert_non_null(strstr(log.text, "bytes=100000-140007"));
    assert_int_equal(errand.fetches, 2);
    assert_int_equal(errand.fetched_bytes, 40018);
    assert_true(errand.spent_ns[STAGE_FETCH] > 0);
}

/* A GET passes only when `count` of them are on their way together. */
static void gather(const char *const *keys, int count)
{
    char faults[64];

    snprintf(faults, sizeof(faults), "[{\"kind\": \"gather\", \"count\": %d, \"times\": -1}]",
             count);
    fake_s3_reset(&fake);
    for (int i = 0; i < count; i++)
        fake_s3_fault(&fake, keys[i], faults);
}

TEST(reads_ahead_of_several_objects_are_one_round_and_the_readers_pay)
{
    static const char *const keys[] = {"b/scene", "b/second", "b/third"};
    enum { OBJECTS = TL_COUNT(keys) };
    static const struct range block = {300000, 5000};
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    struct object *objects[OBJECTS];
    struct ahead *aheads[OBJECTS];
    struct fake_log log;
    struct tl_err err;

    put_scene(&fake, "b/second", SCENE_SIZE);
    put_scene(&fake, "b/third", SCENE_SIZE);
    for (int i = 0; i < OBJECTS; i++)
        objects[i] = opened(store, &fake, keys[i]);
    gather(keys, OBJECTS);
    for (int i = 0; i < OBJECTS; i++) {
        assert_true(object_is_distant(objects[i]));
        aheads[i] = object_read_ahead(objects[i], &block, 1);
        assert_non_null(aheads[i]);
    }
    for (int i = 0; i < OBJECTS; i++) {
        struct errand errand = errand_unbounded();

        /* Of a part of it, twice: the second finds it arrived for certain. */
        assert_ok(try_read(objects[i], 301000, 2000, &errand, &err));
        assert_ok(try_read(objects[i], 303000, 2000, &errand, &err));
        assert_int_equal(errand.fetches, 1);
        assert_int_equal(errand.fetched_bytes, block.size);
        ahead_free(aheads[i]);
    }
    fake_s3_log(&fake, &log);
    assert_int_equal(log.fetches, OBJECTS);
    assert_int_equal(log.bytes, OBJECTS * block.size);
    for (int i = 0; i < OBJECTS; i++)
        object_unref(objects[i]);
}

TEST(what_was_read_ahead_is_forgotten_with_its_owner)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    const struct range block = {300000, 5000};
    struct errand errand = errand_unbounded();
    struct fake_log log;
    struct tl_err err;

    AUTO(object) object = opened(store, &fake, "b/scene");
    fake_s3_reset(&fake);
    struct ahead *ahead = object_read_ahead(object, &block, 1);
    assert_ok(try_read(object, 300000, 5000, &errand, &err));
    ahead_free(ahead);
    /* The fetch thread has heard of it by the time it has answered something else. */
    assert_ok(try_read(object, 700000, 10, &errand, &err));
    assert_ok(try_read(object, 300000, 5000, &errand, &err));
    fake_s3_log(&fake, &log);
    assert_int_equal(log.fetches, 3);
    assert_int_equal(errand.fetches, 3);
}

TEST(nothing_is_read_ahead_of_the_head_of_a_damaged_range_or_of_a_file)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    const struct range head = {100, 200}, past = {SCENE_SIZE - 10, 11}, none = {300000, 0};
    struct errand errand = errand_unbounded();
    struct tl_err err;

    AUTO(object) object = opened(store, &fake, "b/scene");
    assert_null(object_read_ahead(object, &head, 1));
    assert_null(object_read_ahead(object, &past, 1));
    assert_null(object_read_ahead(object, &none, 1));
    assert_null(object_read_ahead(object, &head, 0));
    AUTO(object) file = NULL;
    assert_ok(object_open(store, TILTH_ROOT "/README.md", NULL, &errand, &file, &err));
    assert_false(object_is_distant(file));
    assert_null(object_read_ahead(file, &head, 1));
}

/* A read ahead that fails leaves its reader to try again, and one given up leaves its reader. */
TEST(a_failed_or_abandoned_read_ahead_harms_no_reader)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    const struct range block = {300000, 5000}, other = {600000, 5000};
    struct errand errand = errand_unbounded();
    struct tl_err err;

    options.retries = 0;
    AUTO(store) hasty = store_with(&options);
    AUTO(object) object = opened(hasty, &fake, "b/scene");
    fake_s3_fault(&fake, "b/scene", "[{\"kind\": \"status\", \"status\": 500}]");
    AUTO(ahead) ahead = object_read_ahead(object, &block, 1);
    assert_non_null(ahead);
    while (try_read(object, 300000, 5000, &errand, &err) != TL_OK)
        assert_non_null(strstr(err.msg, "500")); /* it was the same GET */
    AUTO(object) steady = opened(store, &fake, "b/scene");
    for (int i = 0; i < 20; i++) {
        ahead_free(object_read_ahead(steady, &other, 1));
        assert_ok(try_read(steady, 600000, 5000, &errand, &err));
    }
}

TEST(every_range_after_the_first_demands_the_version)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    struct errand errand = errand_unbounded();
    struct fake_log log;
    struct tl_err err;

    AUTO(object) object = opened(store, &fake, "b/scene");
    fake_s3_reset(&fake);
    assert_ok(try_read(object, 700000, 100, &errand, &err));
    fake_s3_log(&fake, &log);
    /* The log is JSON: the quotes of the ETag are escaped. */
    assert_non_null(strstr(log.text, "\"if_match\": \"\\\""));
}

TEST(a_range_past_the_end_is_corrupt_and_costs_no_request)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    struct errand errand = errand_unbounded();
    struct fake_log log;
    struct tl_err err;

    AUTO(object) object = opened(store, &fake, "b/scene");
    fake_s3_reset(&fake);
    assert_refused(try_read(object, SCENE_SIZE - 1, 2, &errand, &err), TL_CORRUPT, "past the end");
    assert_refused(try_read(object, UINT64_MAX, 2, &errand, &err), TL_CORRUPT, "past the end");
    assert_refused(try_read(object, 5, SIZE_MAX, &errand, &err), TL_CORRUPT, "past the end");
    assert_refused(try_read(object, 5, 0, &errand, &err), TL_INVALID, "empty range");
    fake_s3_log(&fake, &log);
    assert_int_equal(log.fetches, 0);
}

TEST(small_and_empty_objects_are_read_when_they_are_opened)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    struct errand errand = errand_unbounded();
    struct tl_err err;

    put_scene(&fake, "b/small", 700);
    put_scene(&fake, "b/empty", 0);
    AUTO(object) small = opened(store, &fake, "b/small");
    AUTO(object) empty = opened(store, &fake, "b/empty");
    assert_int_equal(object_size(small), 700);
    assert_ok(try_read(small, 600, 100, &errand, &err));
    assert_int_equal(object_size(empty), 0);
    assert_refused(try_read(empty, 0, 1, &errand, &err), TL_CORRUPT, "past the end");
    assert_ok(object_revalidate(empty, &errand, &err));
}

TEST(a_small_object_of_a_server_without_ranges_can_be_used_whole)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    struct errand errand = errand_unbounded();
    struct tl_err err;

    put_scene(&fake, "b/plain", 5000);
    fake_s3_fault(&fake, "b/plain", "[{\"kind\": \"ignore_range\", \"times\": -1}]");
    AUTO(object) object = opened(store, &fake, "b/plain");
    assert_int_equal(object_size(object), 5000);
    assert_ok(try_read(object, 4000, 1000, &errand, &err));
    assert_ok(object_revalidate(object, &errand, &err));
}

TEST(an_absent_object_is_absent_at_once)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    struct fake_log log;
    struct tl_err err;

    fake_s3_reset(&fake);
    assert_refused(try_open(store, &fake, "b/nothing", &err), TL_ABSENT, "NoSuchKey");
    fake_s3_log(&fake, &log);
    assert_int_equal(log.fetches, 1);
}

TEST(revalidation_notices_a_new_version_and_costs_no_body_before)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    struct errand errand = errand_unbounded();
    struct fake_log log;
    struct tl_err err;

    put_scene(&fake, "b/changing", 50000);
    AUTO(object) object = opened(store, &fake, "b/changing");
    fake_s3_reset(&fake);
    assert_ok(object_revalidate(object, &errand, &err));
    fake_s3_log(&fake, &log);
    assert_int_equal(log.fetches, 1);
    assert_int_equal(log.bytes, 0);
    put_scene(&fake, "b/changing", 50001);
    assert_refused(object_revalidate(object, &errand, &err), TL_CHANGED, "replaced");
}

TEST(a_replaced_object_is_changed_for_every_later_read)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    struct errand errand = errand_unbounded();
    struct fake_log log;
    struct tl_err err;

    put_scene(&fake, "b/moving", 80000);
    AUTO(object) object = opened(store, &fake, "b/moving");
    put_scene(&fake, "b/moving", 80001);
    assert_refused(try_read(object, 40000, 100, &errand, &err), TL_CHANGED, "replaced");
    fake_s3_reset(&fake);
    assert_refused(try_read(object, 50000, 100, &errand, &err), TL_CHANGED, "opened again");
    fake_s3_log(&fake, &log);
    assert_int_equal(log.fetches, 0);
    AUTO(object) again = opened(store, &fake, "b/moving");
    assert_int_equal(object_size(again), 80001);
}

TEST(small_reads_in_any_order_fetch_each_page_once)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    struct errand errand = errand_unbounded();
    struct fake_log log;
    struct tl_err err;
    uint8_t bytes[70000];

    AUTO(object) object = opened(store, &fake, "b/scene");
    fake_s3_reset(&fake);
    for (int i = 0; i < 100; i++) {
        uint64_t offset = 100000 + (uint64_t)(i * 7919) % 300000;
        size_t size = 1 + (size_t)(i * 997) % 5000;
        assert_ok(object_read_cached(object, (struct range){offset, size}, &errand, bytes, &err));
        assert_true(is_scene(bytes, offset, size));
    }
    assert_ok(object_read_cached(object, (struct range){SCENE_SIZE - 70000, 70000}, &errand, bytes,
                                 &err));
    assert_true(is_scene(bytes, SCENE_SIZE - 70000, 70000));
    fake_s3_log(&fake, &log);
    assert_true(log.bytes <= 8 * 65536);
    assert_int_equal(errand.fetched_bytes, log.bytes);
}

TEST(a_whole_document_is_read_and_a_large_one_is_refused)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    struct errand errand = errand_unbounded();
    AUTO(blob) blob = NULL;
    struct tl_err err;
    char href[128];

    put_scene(&fake, "b/model", MODEL_SIZE);
    snprintf(href, sizeof(href), "http://127.0.0.1:%d/b/model", fake.port);
    assert_ok(store_read_all(store, href, MODEL_SIZE, &errand, &blob, &err));
    assert_int_equal(blob_size(blob), MODEL_SIZE);
    assert_true(is_scene(blob_bytes(blob), 0, MODEL_SIZE));
    assert_refused(store_read_all(store, href, MODEL_SIZE - 1, &errand, &blob, &err), TL_LIMIT,
                   "at most 10999999");
}

/* One of eight callers that want overlapping sets of blocks at the same time. */
struct reader {
    pthread_t thread;
    pthread_barrier_t *start;
    struct object *object;
    uint64_t first_block;
    uint64_t fetched_bytes;
    enum tl_code code;
    struct tl_err err;
};

enum { READERS = 8, BLOCKS_EACH = 6, BLOCK_SIZE = 20000 };

static void *read_blocks(void *udata)
{
    struct reader *reader = udata;
    struct errand errand = errand_unbounded();
    struct range ranges[BLOCKS_EACH];
    struct slice slices[BLOCKS_EACH];

    for (int i = 0; i < BLOCKS_EACH; i++)
        ranges[i] = (struct range){40000 + (reader->first_block + (uint64_t)i) * BLOCK_SIZE,
                                   BLOCK_SIZE - 8};
    pthread_barrier_wait(reader->start);
    reader->code = object_read(reader->object, ranges, BLOCKS_EACH, &errand, slices, &reader->err);
    for (int i = 0; i < BLOCKS_EACH && reader->code == TL_OK; i++) {
        if (!is_scene(slices[i].bytes, ranges[i].offset, slices[i].size))
            reader->code = tl_fail(&reader->err, TL_INTERNAL, "wrong bytes");
        blob_unref(slices[i].owner);
    }
    reader->fetched_bytes = errand.fetched_bytes;
    return NULL;
}

TEST(eight_threads_with_overlapping_ranges_fetch_no_block_twice)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    struct reader readers[READERS];
    pthread_barrier_t start;
    struct fake_log log;
    uint64_t charged = 0;

    AUTO(object) object = opened(store, &fake, "b/scene");
    fake_s3_reset(&fake);
    /* Slow answers: everybody has asked long before the first bytes come. */
    fake_s3_fault(&fake, "b/scene", "[{\"kind\": \"stall\", \"seconds\": 0.7, \"times\": -1}]");
    pthread_barrier_init(&start, NULL, READERS);
    for (uint64_t i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.start = &start, .object = object, .first_block = i};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_blocks, &readers[i]), 0);
    }
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i].thread, NULL);
    pthread_barrier_destroy(&start);
    for (int i = 0; i < READERS; i++) {
        struct tl_err err = readers[i].err;
        assert_ok(readers[i].code);
        charged += readers[i].fetched_bytes;
    }
    fake_s3_log(&fake, &log);
    /* 13 blocks in all, with at most the 8 bytes between them. */
    assert_in_range(log.bytes, 13 * (BLOCK_SIZE - 8), 13 * BLOCK_SIZE);
    assert_int_equal(charged, log.bytes);
    fake_s3_reset(&fake);
}

static void *read_forever(void *udata)
{
    struct reader *reader = udata;
    struct errand errand = errand_unbounded();
    uint32_t state = (uint32_t)reader->first_block;

    for (int i = 0; i < 150 && reader->code == TL_OK; i++) {
        state = state * 1664525 + 1013904223;
        uint64_t offset = (state >> 8) % (SCENE_SIZE - 20000);
        uint8_t copy[500];
        reader->code = try_read(reader->object, offset, 1 + offset % 20000, &errand, &reader->err);
        if (reader->code == TL_OK)
            reader->code = object_read_cached(reader->object, (struct range){offset, sizeof(copy)},
                                              &errand, copy, &reader->err);
        if (reader->code == TL_OK && !is_scene(copy, offset, sizeof(copy)))
            reader->code = tl_fail(&reader->err, TL_INTERNAL, "wrong bytes");
    }
    return NULL;
}

TEST(many_threads_read_one_object_through_both_doors)
{
    struct store_options options = usual_options();
    AUTO(store) store = store_with(&options);
    struct reader readers[READERS];

    AUTO(object) object = opened(store, &fake, "b/scene");
    for (uint64_t i = 0; i < READERS; i++) {
        readers[i] = (struct reader){.object = object, .first_block = i};
        assert_int_equal(pthread_create(&readers[i].thread, NULL, read_forever, &readers[i]), 0);
    }
    for (int i = 0; i < READERS; i++)
        pthread_join(readers[i].thread, NULL);
    for (int i = 0; i < READERS; i++) {
        struct tl_err err = readers[i].err;
        assert_ok(readers[i].code);
    }
}

RUN_WITH_SCENE(T(a_cold_open_is_one_get_and_reads_in_the_head_cost_nothing),
               T(blocks_of_one_row_come_in_one_get_and_as_slices_of_one_blob),
               T(reads_ahead_of_several_objects_are_one_round_and_the_readers_pay),
               T(what_was_read_ahead_is_forgotten_with_its_owner),
               T(nothing_is_read_ahead_of_the_head_of_a_damaged_range_or_of_a_file),
               T(a_failed_or_abandoned_read_ahead_harms_no_reader),
               T(every_range_after_the_first_demands_the_version),
               T(a_range_past_the_end_is_corrupt_and_costs_no_request),
               T(small_and_empty_objects_are_read_when_they_are_opened),
               T(a_small_object_of_a_server_without_ranges_can_be_used_whole),
               T(an_absent_object_is_absent_at_once),
               T(revalidation_notices_a_new_version_and_costs_no_body_before),
               T(a_replaced_object_is_changed_for_every_later_read),
               T(small_reads_in_any_order_fetch_each_page_once),
               T(a_whole_document_is_read_and_a_large_one_is_refused),
               T(eight_threads_with_overlapping_ranges_fetch_no_block_twice),
               T(many_threads_read_one_object_through_both_doors))
