/*
 * arena: bump memory for one request or one window, freed at once.
 *
 * Threads  one at a time
 * Memory   arena_new() / arena_free(); arena_reset() keeps all chunks, so that a
 *          worker's next tile pays no page faults
 */
#ifndef TILTH_BASE_ARENA_H
#define TILTH_BASE_ARENA_H

#include "base/attr.h"

#include <stddef.h>

struct arena;

/* NULL when memory is out. */
struct arena *arena_new(void);
void arena_free(struct arena *arena);
void arena_reset(struct arena *arena);

/* How far an arena is used. What was allocated after the mark is gone with arena_rewind(). */
struct arena_mark {
    struct chunk *chunk;
    size_t chunk_used, used;
};

struct arena_mark arena_mark(const struct arena *arena);
void arena_rewind(struct arena *arena, struct arena_mark mark);

/*
 * `count` x `size` bytes, 64-byte aligned (a cache line; enough for any vector),
 * uninitialised. NULL when memory is out or the product overflows.
 */
void *arena_alloc(struct arena *arena, size_t count, size_t size) TL_MUST_CHECK;
void *arena_zalloc(struct arena *arena, size_t count, size_t size) TL_MUST_CHECK;
char *arena_printf(struct arena *arena, const char *fmt, ...) TL_PRINTF(2, 3) TL_MUST_CHECK;

/* Bytes handed out since the last reset. */
size_t arena_used(const struct arena *arena);

AUTO_DEFINE(arena, arena_free)

#endif
