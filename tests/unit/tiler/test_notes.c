#include "tiler/notes.h"

#include "cache/cache.h"
#include "tl_test.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct tl_err err;

static struct cache *open_in(const char *dir, bool read_only)
{
    const struct cache_options options = {
        .dir = dir, .disk_bytes = 8 << 20, .ram_bytes = 1 << 20, .read_only = read_only};
    struct cache *cache = NULL;

    assert_ok(cache_open(&options, &cache, &err));
    return cache;
}

static void folder_remove(const char *dir)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/lock.mdb", dir);
    unlink(path);
    rmdir(dir);
}

TEST(a_note_outlives_the_process_that_made_it_and_is_found_by_its_whole_key)
{
    char dir[] = "/tmp/tilth-notes-XXXXXX";
    const struct hash128 key = {1, 2}, half = {3, 2}, other = {1, 4};
    uint32_t finding = 0;
    struct notes notes;

    assert_non_null(mkdtemp(dir));
    for (int process = 0; process < 2; process++) {
        AUTO(cache) cache = open_in(dir, false);

        assert_ok(notes_open(cache, &notes, &err));
        const struct raster_notes of = notes.face;
        if (process == 0) {
            assert_false(of.recall(of.arg, key, &finding));
            of.keep(of.arg, key, 0xabcdef01);
        }
        assert_true(of.recall(of.arg, key, &finding));
        assert_int_equal(finding, 0xabcdef01);
        assert_false(of.recall(of.arg, half, &finding)); /* the same id in the cache */
        assert_false(of.recall(of.arg, other, &finding));
    }
    folder_remove(dir);
}

TEST(notes_are_absent_from_a_read_only_cache_that_has_none)
{
    char dir[] = "/tmp/tilth-notes-XXXXXX";
    struct notes notes;

    assert_non_null(mkdtemp(dir));
    cache_close(open_in(dir, false));
    AUTO(cache) cache = open_in(dir, true);
    assert_int_equal(notes_open(cache, &notes, &err), TL_ABSENT);
    folder_remove(dir);
}

RUN(T(a_note_outlives_the_process_that_made_it_and_is_found_by_its_whole_key),
    T(notes_are_absent_from_a_read_only_cache_that_has_none))
