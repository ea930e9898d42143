#include "base/blob.h"

#include "base/check.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ALIGN = 64 };

struct blob {
    atomic_uint refs;
    size_t size;
    uint8_t *bytes; /* behind this, or mapped */
    size_t mapped;  /* bytes of the mapping; 0: there is none */
};

struct blob *blob_new(size_t size_bytes)
{
    size_t all;

    if (__builtin_add_overflow(size_bytes, sizeof(struct blob) + ALIGN - 1, &all))
        return NULL;
    struct blob *blob = malloc(all);
    if (!blob)
        return NULL;
    atomic_init(&blob->refs, 1);
    blob->size = size_bytes;
    blob->bytes = (uint8_t *)(((uintptr_t)(blob + 1) + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1));
    blob->mapped = 0;
    return blob;
}

struct blob *blob_map(int fd, size_t size_bytes)
{
    struct blob *blob = size_bytes ? malloc(sizeof(*blob)) : NULL;

    if (!blob)
        return NULL;
    atomic_init(&blob->refs, 1);
    blob->size = blob->mapped = size_bytes;
    blob->bytes = mmap(NULL, size_bytes, PROT_READ, MAP_SHARED, fd, 0);
    if (blob->bytes != MAP_FAILED)
        return blob;
    free(blob);
    return NULL;
}

struct blob *blob_copy(const void *bytes, size_t size_bytes)
{
    struct blob *blob = blob_new(size_bytes);

    if (blob && size_bytes > 0)
        memcpy(blob->bytes, bytes, size_bytes);
    return blob;
}

struct blob *blob_ref(struct blob *blob)
{
    /* Relaxed: whoever hands us the pointer already ordered the bytes. */
    atomic_fetch_add_explicit(&blob->refs, 1, memory_order_relaxed);
    return blob;
}

void blob_unref(struct blob *blob)
{
    if (!blob || atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel) > 1)
        return;
    if (blob->mapped)
        munmap(blob->bytes, blob->mapped);
    free(blob);
}

const uint8_t *blob_bytes(const struct blob *blob)
{
    return blob->bytes;
}

size_t blob_size(const struct blob *blob)
{
    return blob->size;
}

uint8_t *blob_writable(struct blob *blob)
{
    TL_CHECK(!blob->mapped && atomic_load_explicit(&blob->refs, memory_order_relaxed) == 1);
    return blob->bytes;
}

void blob_truncate(struct blob *blob, size_t size_bytes)
{
    TL_CHECK(size_bytes <= blob->size);
    blob->size = size_bytes;
}
