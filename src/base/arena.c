#include "base/arena.h"

#include "base/poison.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64, FIRST_CHUNK = 256 * 1024 };

struct chunk {
    struct chunk *next;
    size_t size;
    size_t used;
    alignas(ALIGN) uint8_t bytes[];
};

struct arena {
    struct chunk *first;
    struct chunk *at; /* allocation happens here; chunks behind it are empty */
    size_t used;
};

static struct chunk *chunk_new(size_t size)
{
    struct chunk *chunk = aligned_alloc(ALIGN, sizeof(struct chunk) + size);

    if (!chunk)
        return NULL;
    *chunk = (struct chunk){.size = size};
    POISON(chunk->bytes, size);
    return chunk;
}

static void chunk_free(struct chunk *chunk)
{
    UNPOISON(chunk->bytes, chunk->size);
    free(chunk);
}

struct arena *arena_new(void)
{
    return calloc(1, sizeof(struct arena));
}

void arena_free(struct arena *arena)
{
    if (!arena)
        return;
    for (struct chunk *chunk = arena->first, *next; chunk; chunk = next) {
        next = chunk->next;
        chunk_free(chunk);
    }
    free(arena);
}

void arena_reset(struct arena *arena)
{
    for (struct chunk *chunk = arena->first; chunk; chunk = chunk->next) {
        chunk->used = 0;
        POISON(chunk->bytes, chunk->size);
    }
    arena->at = arena->first;
    arena->used = 0;
}

struct arena_mark arena_mark(const struct arena *arena)
{
    return (struct arena_mark){
        .chunk = arena->at, .chunk_used = arena->at ? arena->at->used : 0, .used = arena->used};
}

void arena_rewind(struct arena *arena, struct arena_mark mark)
{
    struct chunk *at = mark.chunk;

    if (!at) {
        arena_reset(arena);
        return;
    }
    at->used = mark.chunk_used;
    POISON(at->bytes + at->used, at->size - at->used);
    for (struct chunk *chunk = at->next; chunk; chunk = chunk->next) {
        chunk->used = 0;
        POISON(chunk->bytes, chunk->size);
    }
    arena->at = at;
    arena->used = mark.used;
}

/* Each chunk doubles the last, so a window of any size costs O(log size) mallocs once. */
static bool arena_grow(struct arena *arena, size_t need)
{
    struct chunk *last = arena->at;
    size_t size = last ? last->size * 2 : FIRST_CHUNK;

    while (size < need)
        size *= 2;
    struct chunk *chunk = chunk_new(size);
    if (!chunk)
        return false;
    *(last ? &last->next : &arena->first) = chunk;
    arena->at = chunk;
    return true;
}

/* Where `bytes` fit: here, in a chunk of an earlier round, or in a new one. */
static struct chunk *chunk_for(struct arena *arena, size_t bytes)
{
    while (arena->at && arena->at->size - arena->at->used < bytes && arena->at->next)
        arena->at = arena->at->next;
    if (arena->at && arena->at->size - arena->at->used >= bytes)
        return arena->at;
    return arena_grow(arena, bytes) ? arena->at : NULL;
}

void *arena_alloc(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 4)
        return NULL;
    bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    struct chunk *chunk = chunk_for(arena, bytes);
    if (!chunk)
        return NULL;
    void *at = chunk->bytes + chunk->used;
    chunk->used += bytes;
    arena->used += bytes;
    UNPOISON(at, count * size);
    return at;
}

void *arena_zalloc(struct arena *arena, size_t count, size_t size)
{
    void *at = arena_alloc(arena, count, size);

    if (at)
        memset(at, 0, count * size);
    return at;
}

char *arena_printf(struct arena *arena, const char *fmt, ...)
{
    va_list ap, again;

    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *text = n < 0 ? NULL : arena_alloc(arena, (size_t)n + 1, 1);
    if (text)
        vsnprintf(text, (size_t)n + 1, fmt, again);
    va_end(again);
    return text;
}

size_t arena_used(const struct arena *arena)
{
    return arena->used;
}
