#include "tl_test.h"

#include "base/blob.h"
#include "cache/cache.h"
#include "classify/class_store.h"
#include "fake_model.h"
#include "geo/curve.h"

#include <dirent.h>
#include <unistd.h>

static char dir[64];

static void make_dir(void)
{
    snprintf(dir, sizeof(dir), "/tmp/tilth-class-store-XXXXXX");
    assert_non_null(mkdtemp(dir));
}

static void remove_dir(void)
{
    DIR *open = opendir(dir);

    for (struct dirent *entry; open && (entry = readdir(open));) {
        char path[400];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
        assert_int_equal(unlink(path), 0);
    }
    closedir(open);
    assert_int_equal(rmdir(dir), 0);
}

static struct cache *open_cache(void)
{
    const struct cache_options options = {.dir = dir, .disk_bytes = 64 << 20, .ram_bytes = 8 << 20};
    struct cache *cache = NULL;

    assert_ok(cache_open(&options, &cache, &err));
    return cache;
}

/* ---- through the prediction ---- */

TEST(class_blocks_survive_a_restart)
{
    struct world w;
    const struct block_request requests[] = {whole_block(0, 0, 0), whole_block(0, 2, 1),
                                             whole_block(1, 0, 0), whole_block(2, 0, 0)};

    make_dir();
    world_init(&w, 3, false);
    w.spec.budget_blocks = 9;
    for (int life = 0; life < 2; life++) {
        AUTO(cache) cache = open_cache();
        world_open(&w, cache);
        struct raster raster = world_reference(&w);
        for (size_t i = 0; i < TL_COUNT(requests); i++) {
            struct block *block = read_block(w.prediction, requests[i]);
            if (!requests[i].level)
                assert_window(block, &requests[i], &raster);
            assert_false(block->inexact);
            block_unref(block);
        }
        assert_true(life ? !fake_classified() : fake_classified() > LAND_PIXELS / 2);
        raster_release(&raster);
        assert_ok(cache_flush(cache, &err));
        world_close(&w);
        fake_reset();
    }
    remove_dir();
    world_release(&w);
}

TEST(another_filter_over_the_same_votes_classifies_nothing_again)
{
    struct world w;
    const struct block_request request = whole_block(0, 1, 1);

    make_dir();
    world_init(&w, 0, false);
    AUTO(cache) cache = open_cache();
    world_open(&w, cache);
    for (uint32_t i = 0; i < 9; i++)
        block_unref(read_block(w.prediction, whole_block(0, i % 3, i / 3)));
    world_close(&w);
    fake_reset();
    w.spec.post = majority_of(7);
    world_open(&w, cache);
    struct raster raster = world_reference(&w);
    struct block *block = read_block(w.prediction, request);
    assert_window(block, &request, &raster);
    assert_int_equal(fake_classified(), 0);
    block_unref(block);
    raster_release(&raster);
    world_close(&w);
    cache_close(TL_TAKE(cache));
    remove_dir();
    world_release(&w);
}

TEST(bands_that_are_kept_survive_a_restart_and_have_blocks_of_their_own)
{
    struct world w;

    make_dir();
    world_init(&w, 0, true);
    AUTO(cache) cache = open_cache();
    world_open(&w, cache);
    block_unref(read_block(w.prediction, whole_block(0, 0, 0)));
    uint64_t once = fake_classified();
    world_close(&w);
    w.spec.more = land_more;
    w.spec.more_count = TL_COUNT(land_more);
    for (int i = 0; i < 3; i++) {
        const struct block_request request = whole_block(0, 0, 0);

        world_open(&w, cache);
        struct raster raster = world_reference(&w);
        struct block *block = read_block(w.prediction, request);
        assert_window(block, &request, &raster);
        assert_int_equal(fake_classified(), 2 * once);
        block_unref(block);
        raster_release(&raster);
        world_close(&w);
    }
    w.spec.more_count--;
    world_open(&w, cache);
    block_unref(read_block(w.prediction, whole_block(0, 0, 0)));
    assert_int_equal(fake_classified(), 3 * once);
    world_close(&w);
    cache_close(TL_TAKE(cache));
    remove_dir();
    world_release(&w);
}

TEST(another_model_sees_none_of_the_blocks)
{
    struct world w;

    make_dir();
    world_init(&w, 0, false);
    AUTO(cache) cache = open_cache();
    world_open(&w, cache);
    block_unref(read_block(w.prediction, whole_block(0, 0, 0)));
    world_close(&w);
    fake_reset();
    fake.info.fingerprint.hi = 77;
    world_open(&w, cache);
    block_unref(read_block(w.prediction, whole_block(0, 0, 0)));
    assert_true(fake_classified() > 200000);
    world_close(&w);
    cache_close(TL_TAKE(cache));
    remove_dir();
    world_release(&w);
}

/* ---- by itself ---- */

static const struct hash128 fingerprints[CLASS_STAGES] = {{5, 6}, {7, 8}};

static const struct pyramid three_levels = {.level_count = 3, .bands = CLASS_BANDS};

static struct class_store *open_store(struct block_pool *pool, struct cache *cache)
{
    const struct prediction_env env = {pool, cache};
    struct class_store *store = NULL;

    assert_ok(class_store_new(&env, "test", fingerprints, &three_levels, &store, &err));
    return store;
}

TEST(a_damaged_block_is_as_good_as_absent)
{
    static const struct class_key key = {CLASS_RAW, 1, 1, 0};
    AUTO(class_map) map = class_map_new(CLASS_BANDS);
    struct block *block = NULL;

    make_dir();
    AUTO(cache) cache = open_cache();
    AUTO(block_pool) pool = NULL;
    assert_ok(block_pool_new(8 << 20, &pool, &err));
    struct class_store *store = open_store(pool, cache);
    map->label[3] = 9;
    assert_null(class_store_load(store, key));
    assert_ok(class_store_keep(store, key, map, &block, &err));
    block_unref(block);
    class_store_free(store);

    store = open_store(pool, cache); /* a source id of its own: not in the pool */
    assert_true(class_store_has(store, key));
    block = class_store_load(store, key);
    assert_int_equal(((const uint8_t *)block->samples)[3], 9);
    block_unref(block);
    class_store_free(store);

    struct cache_key at = {.variant = CLASS_RAW, .id = curve_id(1, 1, 0)};
    assert_ok(cache_namespace(cache, fingerprints[CLASS_RAW], "", &at.ns, &err));
    AUTO(blob) damaged = blob_copy("\1\3nonsense", 10);
    cache_put(cache, &at, damaged, 0);
    store = open_store(pool, cache);
    assert_null(class_store_load(store, key));
    class_store_free(store);
    cache_close(TL_TAKE(cache));
    remove_dir();
}

TEST(stages_and_levels_are_kept_apart)
{
    AUTO(class_map) map = class_map_new(CLASS_BANDS);
    AUTO(block_pool) pool = NULL;
    struct block *block = NULL;

    assert_ok(block_pool_new(8 << 20, &pool, &err));
    AUTO(class_store) store = open_store(pool, NULL);
    memset(map->label, 1, CLASS_PIXELS);
    assert_ok(class_store_keep(store, (struct class_key){CLASS_RAW, 0, 0, 0}, map, &block, &err));
    assert_true(class_store_has(store, (struct class_key){CLASS_RAW, 0, 0, 0}));
    assert_false(class_store_has(store, (struct class_key){CLASS_FINAL, 0, 0, 0}));
    assert_false(class_store_has(store, (struct class_key){CLASS_RAW, 1, 0, 0}));
    assert_false(class_store_has(store, (struct class_key){CLASS_RAW, 0, 1, 0}));
    block_unref(block);
}

TEST(the_first_of_two_equal_blocks_is_the_one_that_stays)
{
    static const struct class_key key = {CLASS_FINAL, 0, 2, 1};
    AUTO(class_map) map = class_map_new(CLASS_BANDS);
    AUTO(block_pool) pool = NULL;
    struct block *first = NULL, *second = NULL;

    assert_ok(block_pool_new(8 << 20, &pool, &err));
    AUTO(class_store) store = open_store(pool, NULL);
    assert_ok(class_store_keep(store, key, map, &first, &err));
    assert_ok(class_store_keep(store, key, map, &second, &err));
    assert_ptr_equal(first, second);
    block_unref(first);
    block_unref(second);
}

RUN(T(bands_that_are_kept_survive_a_restart_and_have_blocks_of_their_own),
    T(class_blocks_survive_a_restart),
    T(another_filter_over_the_same_votes_classifies_nothing_again),
    T(another_model_sees_none_of_the_blocks), T(a_damaged_block_is_as_good_as_absent),
    T(stages_and_levels_are_kept_apart), T(the_first_of_two_equal_blocks_is_the_one_that_stays))
