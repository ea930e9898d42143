#include "raster/slab.h"

#include "tl_test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { KIB = 1024, MIB = 1024 * 1024, RUNS = 64 };

TEST(an_empty_heap_hands_out_all_of_its_budget)
{
    struct slab_heap *heap = slab_heap_new(5 * MIB);
    void *first = slab_alloc(heap, 4 * MIB), *second = slab_alloc(heap, 1 * MIB);

    assert_non_null(first);
    assert_non_null(second);
    assert_null(slab_alloc(heap, 1));
    assert_int_equal(slab_used(heap), 5 * MIB);
    assert_int_equal(slab_largest(heap), 4 * MIB);
    slab_free(heap, first, 4 * MIB);
    slab_free(heap, second, 1 * MIB);
    assert_int_equal(slab_used(heap), 0);
    slab_heap_free(heap);
}

/* Of `size` bytes from `bytes` on, which begin a page. */
static size_t resident_bytes(void *bytes, size_t size)
{
    unsigned char pages[4 * MIB / 4096];
    size_t resident = 0;

    assert_true(size / 4096 <= sizeof(pages));
    assert_int_equal(mincore(bytes, size, pages), 0);
    for (size_t i = 0; i < size / 4096; i++)
        resident += pages[i] & 1 ? 4096 : 0;
    return resident;
}

TEST(a_populated_heap_has_its_pages_before_they_are_asked_for)
{
    struct slab_heap *heap = slab_heap_new(8 * MIB);
    /* Its own two pages at most are faulted in with the first run. */
    uint8_t *first = slab_alloc(heap, 16 * KIB);

    if (sysconf(_SC_PAGESIZE) != 4096 || sysconf(_SC_AVPHYS_PAGES) < 8 * MIB / 4096)
        skip();
    assert_int_equal(resident_bytes(first + 4 * MIB, 4 * MIB), 0);
    slab_populate(heap);
#ifdef MADV_POPULATE_WRITE
    assert_int_equal(resident_bytes(first + 4 * MIB, 4 * MIB), 4 * MIB);
#endif
    slab_free(heap, first, 16 * KIB);
    slab_heap_free(heap);
}

TEST(three_quarters_of_a_power_of_two_leave_the_last_quarter_free)
{
    struct slab_heap *heap = slab_heap_new(1 * MIB);
    void *three = slab_alloc(heap, 768 * KIB), *one = slab_alloc(heap, 256 * KIB);

    assert_non_null(three);
    assert_non_null(one);
    slab_free(heap, three, 768 * KIB);
    slab_free(heap, one, 256 * KIB);
    slab_heap_free(heap);
}

TEST(a_request_beyond_the_budget_or_of_nothing_is_refused)
{
    struct slab_heap *heap = slab_heap_new(1 * MIB), *none = slab_heap_new(0);

    assert_null(slab_alloc(heap, 2 * MIB));
    assert_null(slab_alloc(heap, SIZE_MAX));
    assert_null(slab_alloc(heap, 0));
    assert_null(slab_alloc(none, 1));
    assert_int_equal(slab_largest(none), 0);
    slab_heap_free(heap);
    slab_heap_free(none);
}

/* Fills every run with its number; a run that overlaps another would show. */
TEST(runs_never_overlap_and_all_come_together_again)
{
    struct slab_heap *heap = slab_heap_new(8 * MIB);
    uint8_t *runs[RUNS] = {0};
    size_t sizes[RUNS];
    uint32_t seed = 1;

    for (int step = 0; step < 4000; step++) {
        seed = seed * 1664525 + 1013904223;
        unsigned i = seed >> 20 & (RUNS - 1);

        if (runs[i]) {
            for (size_t at = 0; at < sizes[i]; at += 997)
                assert_int_equal(runs[i][at], i);
            slab_free(heap, runs[i], sizes[i]);
            runs[i] = NULL;
            continue;
        }
        sizes[i] = 1 + (seed >> 4) % (300 * KIB);
        runs[i] = slab_alloc(heap, sizes[i]);
        if (runs[i])
            memset(runs[i], (int)i, sizes[i]);
    }
    for (unsigned i = 0; i < RUNS; i++) {
        if (runs[i])
            slab_free(heap, runs[i], sizes[i]);
    }
    void *all = slab_alloc(heap, 8 * MIB);
    assert_non_null(all);
    slab_free(heap, all, 8 * MIB);
    slab_heap_free(heap);
}

RUN(T(an_empty_heap_hands_out_all_of_its_budget),
    T(a_populated_heap_has_its_pages_before_they_are_asked_for),
    T(three_quarters_of_a_power_of_two_leave_the_last_quarter_free),
    T(a_request_beyond_the_budget_or_of_nothing_is_refused),
    T(runs_never_overlap_and_all_come_together_again))
