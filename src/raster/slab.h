/*
 * slab: one region of address space, reserved once and never given back, handed out in
 * runs of 16 KiB granules. Decoded blocks come and go by the hundred per second, and a
 * fresh page costs as much to fault in as its bytes cost to inflate; here a page is
 * faulted in once per process, 2 MiB at a time.
 *
 * A buddy system keeps the books: free runs are powers of two, aligned to their size.
 * A run of 3 granules is cut from a run of 4 and the fourth goes back at once, so nothing
 * but the last granule of a run is ever wasted.
 *
 *   granule  0   1   2   3   4   5   6   7
 *            [ used 3  ] [1] [ free run of 4 ]
 *
 * Threads  one lock inside; any
 * Memory   slab_heap_new() / slab_heap_free()
 * Units    bytes
 */
#ifndef TILTH_RASTER_SLAB_H
#define TILTH_RASTER_SLAB_H

#include "base/attr.h"

#include <stddef.h>

struct slab_heap;

/* `budget_bytes` is rounded down to whole granules. NULL when memory is out. */
struct slab_heap *slab_heap_new(size_t budget_bytes);
void slab_heap_free(struct slab_heap *heap);

/* Faults it in now, as far as half of the machine's free memory, in place of a run at a time as
 * runs are first handed out. */
void slab_populate(struct slab_heap *heap);

/* 16 KiB aligned; NULL when no free run is long enough. O(log budget). */
void *slab_alloc(struct slab_heap *heap, size_t size) TL_MUST_CHECK;
/* `size` as it was asked for. */
void slab_free(struct slab_heap *heap, void *bytes, size_t size);

/* Bytes in use, in whole granules. */
size_t slab_used(struct slab_heap *heap);
size_t slab_budget(const struct slab_heap *heap);
/* The longest run that an empty heap can hand out. */
size_t slab_largest(const struct slab_heap *heap);

#endif
