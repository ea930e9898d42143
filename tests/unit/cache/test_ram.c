#include "cache/ram.h"

#include "tl_test.h"

#include "cache_fixture.h"

static bool ram_holds(struct ram *ram, uint64_t id)
{
    return ram_has(ram, &(struct cache_key){.ns = 1, .id = id});
}

static void ram_fill(struct ram *ram, uint64_t from, uint64_t to, size_t size, bool unwritten)
{
    for (uint64_t id = from; id < to; id++) {
        const struct cache_key key = {.ns = 1, .id = id};
        struct cache_value value = {.blob = value_of(&key, 0, size), .hash = id, .tag = id};

        assert_true(ram_put(ram, &key, &value, unwritten));
        blob_unref(value.blob);
    }
}

TEST(memory_stays_within_its_budget)
{
    static const uint64_t budgets[] = {0, 1000, 1 << 20, 5 << 20, 40 << 20};

    for (unsigned i = 0; i < TL_COUNT(budgets); i++) {
        struct ram *ram = ram_new(budgets[i]);

        ram_fill(ram, 0, 8000, 6000, false);
        struct ram_stats stats = ram_stats(ram);
        assert_true(stats.bytes <= budgets[i]);
        /* Shards fill unevenly, but none stays half empty. */
        assert_true(stats.bytes >= budgets[i] / 2 || budgets[i] < 6000);
        ram_free(ram);
    }
}

TEST(what_is_asked_for_outlives_a_crawler)
{
    struct ram *ram = ram_new(1 << 20);
    struct cache_value value;

    ram_fill(ram, 0, 20, 5000, false);
    for (uint64_t id = 0; id < 20; id++) {
        assert_true(ram_get(ram, &(struct cache_key){.ns = 1, .id = id}, &value));
        assert_int_equal(value.tag, id);
        blob_unref(value.blob);
    }
    ram_fill(ram, 1000, 21000, 5000, false);
    unsigned left = 0;
    for (uint64_t id = 0; id < 20; id++)
        left += ram_holds(ram, id);
    assert_int_equal(left, 20);
    assert_false(ram_holds(ram, 1000));
    assert_true(ram_holds(ram, 20999));
    ram_free(ram);
}

TEST(what_is_not_on_disk_yet_is_never_evicted)
{
    struct ram *ram = ram_new(1 << 20);
    struct cache_value value;

    ram_fill(ram, 0, 400, 5000, true);
    ram_fill(ram, 1000, 1400, 5000, false);
    for (uint64_t id = 0; id < 400; id++)
        assert_true(ram_holds(ram, id));
    for (uint64_t id = 0; id < 400; id++) {
        const struct cache_key key = {.ns = 1, .id = id};

        assert_true(ram_get(ram, &key, &value));
        ram_settle(ram, &key, value.blob);
        blob_unref(value.blob);
    }
    assert_true(ram_stats(ram).bytes <= 1 << 20);
    ram_free(ram);
}

TEST(a_replaced_value_is_not_settled_by_the_old_one)
{
    struct ram *ram = ram_new(1000);
    const struct cache_key key = {.ns = 1, .id = 1};
    struct blob *old = value_of(&key, 1, 5000), *new = value_of(&key, 2, 5000);

    assert_true(ram_put(ram, &key, &(struct cache_value){.blob = old}, true));
    assert_true(ram_put(ram, &key, &(struct cache_value){.blob = new}, true));
    ram_settle(ram, &key, old);
    assert_true(ram_has(ram, &key));
    ram_settle(ram, &key, new);
    assert_false(ram_has(ram, &key)); /* larger than all of the budget */
    blob_unref(old);
    blob_unref(new);
    ram_free(ram);
}

TEST(a_value_from_disk_does_not_replace_a_newer_one)
{
    struct ram *ram = ram_new(1 << 20);
    const struct cache_key key = {.ns = 1, .id = 1};
    struct blob *old = value_of(&key, 1, 500), *new = value_of(&key, 2, 500);
    struct cache_value value;

    assert_true(ram_put(ram, &key, &(struct cache_value){.blob = new, .tag = 2}, true));
    ram_adopt(ram, &key, &(struct cache_value){.blob = old, .tag = 1});
    assert_true(ram_get(ram, &key, &value));
    assert_int_equal(value.tag, 2);
    assert_ptr_equal(value.blob, new);
    blob_unref(value.blob);
    blob_unref(old);
    blob_unref(new);
    ram_free(ram);
}

RUN(T(memory_stays_within_its_budget), T(what_is_asked_for_outlives_a_crawler),
    T(what_is_not_on_disk_yet_is_never_evicted), T(a_replaced_value_is_not_settled_by_the_old_one),
    T(a_value_from_disk_does_not_replace_a_newer_one))
