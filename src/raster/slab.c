#include "raster/slab.h"

#include "base/check.h"
#include "base/poison.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    GRANULE = 16 * 1024,
    HUGE = 2 * 1024 * 1024, /* one huge page on x86-64 and on arm64 with 4 KiB pages */
    ORDERS = 32,
};

#define NO_RUN UINT32_MAX

struct run {
    uint32_t next, prev; /* in the list of free runs of one order */
    int8_t order;        /* of the free run that starts here; -1: none does */
};

struct slab_heap {
    uint8_t *base;
    void *map; /* base is map, rounded up to a huge page */
    size_t map_size;
    uint32_t granules;
    atomic_uchar *faulted; /* one per huge page: it has been populated */
    pthread_mutex_t mu;    /* guards: everything below */
    struct run *runs;      /* one per granule */
    uint32_t free_runs[ORDERS];
    uint32_t used;
};

static void list_push(struct slab_heap *heap, uint32_t at, int order)
{
    uint32_t first = heap->free_runs[order];

    heap->runs[at] = (struct run){.next = first, .prev = NO_RUN, .order = (int8_t)order};
    if (first != NO_RUN)
        heap->runs[first].prev = at;
    heap->free_runs[order] = at;
}

static void list_remove(struct slab_heap *heap, uint32_t at)
{
    struct run *run = &heap->runs[at];

    if (run->prev != NO_RUN)
        heap->runs[run->prev].next = run->next;
    else
        heap->free_runs[run->order] = run->next;
    if (run->next != NO_RUN)
        heap->runs[run->next].prev = run->prev;
    run->order = -1;
}

/* Joins the run with its buddy for as long as that one is free and whole. */
static void give_run(struct slab_heap *heap, uint32_t at, int order)
{
    for (; order + 1 < ORDERS; order++) {
        uint64_t buddy = at ^ (UINT64_C(1) << order);

        if (buddy + (UINT64_C(1) << order) > heap->granules || heap->runs[buddy].order != order)
            break;
        list_remove(heap, (uint32_t)buddy);
        at = (uint32_t)TL_MIN((uint64_t)at, buddy);
    }
    list_push(heap, at, order);
}

static int floor_log2(uint32_t n)
{
    return 31 - __builtin_clz(n);
}

/* Cuts [from, to) into the longest aligned powers of two and frees each. */
static void give_granules(struct slab_heap *heap, uint32_t from, uint32_t to)
{
    while (from < to) {
        int order = floor_log2(to - from);

        if (from)
            order = TL_MIN(order, __builtin_ctz(from));
        give_run(heap, from, order);
        from += UINT32_C(1) << order;
    }
}

static uint32_t take_granules(struct slab_heap *heap, uint32_t count)
{
    int order = count > 1 ? floor_log2(count - 1) + 1 : 0;

    while (order < ORDERS && heap->free_runs[order] == NO_RUN)
        order++;
    if (order >= ORDERS)
        return NO_RUN;
    uint32_t at = heap->free_runs[order];
    list_remove(heap, at);
    give_granules(heap, at + count, at + (UINT32_C(1) << order));
    heap->used += count;
    return at;
}

static bool reserve(struct slab_heap *heap)
{
    size_t size = (size_t)heap->granules * GRANULE;

    heap->map_size = size + HUGE;
    heap->map = mmap(NULL, heap->map_size, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (heap->map == MAP_FAILED) {
        heap->map = NULL;
        return false;
    }
    heap->base = (uint8_t *)heap->map + (-(uintptr_t)heap->map & (HUGE - 1));
    /* Advice: without huge pages everything still works, at a few more faults. */
    (void)madvise(heap->base, size, MADV_HUGEPAGE);
    POISON(heap->base, size);
    return true;
}

struct slab_heap *slab_heap_new(size_t budget_bytes)
{
    struct slab_heap *heap = calloc(1, sizeof(*heap));

    if (!heap)
        return NULL;
    pthread_mutex_init(&heap->mu, NULL);
    heap->granules = (uint32_t)TL_MIN(budget_bytes / GRANULE, (size_t)INT32_MAX);
    heap->runs = calloc((size_t)heap->granules + 1, sizeof(*heap->runs));
    heap->faulted = calloc((size_t)heap->granules * GRANULE / HUGE + 2, sizeof(*heap->faulted));
    if (!heap->runs || !heap->faulted || !reserve(heap)) {
        slab_heap_free(heap);
        return NULL;
    }
    for (int order = 0; order < ORDERS; order++)
        heap->free_runs[order] = NO_RUN;
    for (uint32_t at = 0; at < heap->granules; at++)
        heap->runs[at].order = -1;
    give_granules(heap, 0, heap->granules);
    return heap;
}

void slab_heap_free(struct slab_heap *heap)
{
    if (!heap)
        return;
    if (heap->map) {
        UNPOISON(heap->base, (size_t)heap->granules * GRANULE);
        munmap(heap->map, heap->map_size);
    }
    pthread_mutex_destroy(&heap->mu);
    free(heap->runs);
    free(heap->faulted);
    free(heap);
}

/*
 * Populates the huge pages under a run that nobody has used before: one call in place of
 * up to 512 page faults. Two threads may do the same page; that is harmless.
 */
static void fault_in(struct slab_heap *heap, size_t offset, size_t size)
{
    for (size_t page = offset / HUGE; page <= (offset + size - 1) / HUGE; page++) {
        if (atomic_load_explicit(&heap->faulted[page], memory_order_relaxed))
            continue;
        atomic_store_explicit(&heap->faulted[page], 1, memory_order_relaxed);
#ifdef MADV_POPULATE_WRITE
        size_t end = TL_MIN((page + 1) * HUGE, (size_t)heap->granules * GRANULE);

        /* Fails on kernels before 5.14; then the pages fault one by one. */
        (void)madvise(heap->base + page * HUGE, end - page * HUGE, MADV_POPULATE_WRITE);
#endif
    }
}

void slab_populate(struct slab_heap *heap)
{
    size_t spare = (size_t)sysconf(_SC_AVPHYS_PAGES) / 2 * (size_t)sysconf(_SC_PAGESIZE);
    size_t size = TL_MIN(spare, (size_t)heap->granules * GRANULE);

    if (size)
        fault_in(heap, 0, size);
}

static size_t granules_of(size_t size)
{
    return size / GRANULE + (size % GRANULE != 0);
}

void *slab_alloc(struct slab_heap *heap, size_t size)
{
    size_t count = granules_of(size);

    if (!count || count > heap->granules)
        return NULL;
    pthread_mutex_lock(&heap->mu);
    uint32_t at = take_granules(heap, (uint32_t)count);
    pthread_mutex_unlock(&heap->mu);
    if (at == NO_RUN)
        return NULL;
    fault_in(heap, (size_t)at * GRANULE, size);
    UNPOISON(heap->base + (size_t)at * GRANULE, size);
    return heap->base + (size_t)at * GRANULE;
}

void slab_free(struct slab_heap *heap, void *bytes, size_t size)
{
    size_t offset = (size_t)((uint8_t *)bytes - heap->base), count = granules_of(size);

    TL_CHECK(offset % GRANULE == 0 && offset / GRANULE + count <= heap->granules);
    POISON(bytes, size);
    pthread_mutex_lock(&heap->mu);
    heap->used -= (uint32_t)count;
    give_granules(heap, (uint32_t)(offset / GRANULE), (uint32_t)(offset / GRANULE + count));
    pthread_mutex_unlock(&heap->mu);
}

size_t slab_used(struct slab_heap *heap)
{
    pthread_mutex_lock(&heap->mu);
    size_t used = (size_t)heap->used * GRANULE;
    pthread_mutex_unlock(&heap->mu);
    return used;
}

size_t slab_budget(const struct slab_heap *heap)
{
    return (size_t)heap->granules * GRANULE;
}

size_t slab_largest(const struct slab_heap *heap)
{
    return heap->granules ? (size_t)GRANULE << floor_log2(heap->granules) : 0;
}
