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
    struct chunk *head; /* the newest and largest; allocation happens here */
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

static void free_all_but(struct arena *arena, struct chunk *keep)
{
    for (struct chunk *chunk = arena->head; chunk;) {
        struct chunk *next = chunk->next;

        if (chunk != keep)
            chunk_free(chunk);
        chunk = next;
    }
    arena->head = keep;
    arena->used = 0;
}

void arena_free(struct arena *arena)
{
    if (!arena)
        return;
    free_all_but(arena, NULL);
    free(arena);
}

void arena_reset(struct arena *arena)
{
    struct chunk *keep = arena->head;

    free_all_but(arena, keep);
    if (!keep)
        return;
    keep->next = NULL;
    keep->used = 0;
    POISON(keep->bytes, keep->size);
}

/* Each chunk doubles the last, so a window of any size costs O(log size) mallocs once. */
static bool arena_grow(struct arena *arena, size_t need)
{
    size_t size = arena->head ? arena->head->size * 2 : FIRST_CHUNK;

    while (size < need)
        size *= 2;
    struct chunk *chunk = chunk_new(size);
    if (!chunk)
        return false;
    chunk->next = arena->head;
    arena->head = chunk;
    return true;
}

void *arena_alloc(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;

    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 4)
        return NULL;
    bytes = (bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if ((!arena->head || arena->head->size - arena->head->used < bytes) &&
        !arena_grow(arena, bytes))
        return NULL;
    void *at = arena->head->bytes + arena->head->used;
    arena->head->used += bytes;
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
