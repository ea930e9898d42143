/*
 * remote: what the tests of remote objects share - a fake S3, a store that is patient with
 * nobody, and objects whose every byte is known.
 */
#ifndef TILTH_TESTS_UNIT_STORE_REMOTE_H
#define TILTH_TESTS_UNIT_STORE_REMOTE_H

#include "tl_test.h"

#include "fake_s3.h"

#include "base/blob.h"
#include "base/clock.h"
#include "base/errand.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

enum { SCENE_SIZE = 1000000 };

/* Byte i of every object: no two nearby offsets look alike. */
static inline uint8_t scene_byte(uint64_t i)
{
    return (uint8_t)((i * UINT64_C(0x9E3779B97F4A7C15)) >> 56);
}

static inline void put_scene(const struct helper *fake, const char *key, size_t size)
{
    uint8_t *bytes = malloc(size + 1);

    for (size_t i = 0; bytes && i < size; i++)
        bytes[i] = scene_byte(i);
    fake_s3_put(fake, key, bytes, size);
    free(bytes);
}

static inline bool is_scene(const uint8_t *bytes, uint64_t offset, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != scene_byte(offset + i))
            return false;
    return true;
}

static inline struct store *store_with(const struct store_options *options)
{
    struct store *store;
    struct tl_err err;

    assert_ok(store_new(options, &store, &err));
    return store;
}

/* Four tries, two seconds each. */
static inline struct store_options usual_options(void)
{
    return (struct store_options){.retries = 3,
                                  .timeout_ns = 2 * NS_PER_S,
                                  .max_connections = 32,
                                  .range_cache_bytes = 8 << 20};
}

static inline struct object *opened(struct store *store, const struct helper *fake, const char *key)
{
    struct errand errand = errand_unbounded();
    struct object *object;
    struct tl_err err;
    char href[256];

    snprintf(href, sizeof(href), "http://127.0.0.1:%d/%s", fake->port, key);
    assert_ok(object_open(store, href, NULL, &errand, &object, &err));
    return object;
}

static inline enum tl_code try_open(struct store *store, const struct helper *fake, const char *key,
                                    struct tl_err *err)
{
    struct errand errand = errand_unbounded();
    struct object *object = NULL;
    char href[256];

    snprintf(href, sizeof(href), "http://127.0.0.1:%d/%s", fake->port, key);
    enum tl_code code = object_open(store, href, NULL, &errand, &object, err);
    object_unref(object);
    return code;
}

/* Reads one range and looks at every byte of it. */
static inline enum tl_code try_read(struct object *object, uint64_t offset, size_t size,
                                    struct errand *errand, struct tl_err *err)
{
    struct range range = {offset, size};
    struct slice slice = {0};
    enum tl_code code = object_read(object, &range, 1, errand, &slice, err);

    if (code == TL_OK && (slice.size != size || !is_scene(slice.bytes, offset, size)))
        code = tl_fail(err, TL_INTERNAL, "wrong bytes at %llu", (unsigned long long)offset);
    blob_unref(slice.owner);
    return code;
}

/* The program's own, with the object b/scene, from its first test to its last. */
static struct helper fake __attribute__((unused));

static inline int start_fake(void **state)
{
    (void)state;
    fake = fake_s3_start(NULL);
    put_scene(&fake, "b/scene", SCENE_SIZE);
    return 0;
}

static inline int stop_fake(void **state)
{
    (void)state;
    helper_stop(&fake);
    return 0;
}

#define RUN_WITH_SCENE(...) RUN_BETWEEN(start_fake, stop_fake, __VA_ARGS__)

#endif
