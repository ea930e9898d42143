/*
 * blob: immutable bytes with a reference count. The only thing that crosses
 * threads or outlives a request: an encoded tile on its way from the renderer to
 * the cache and to any number of waiting clients, a fetched range of a COG.
 *
 * Threads  any; the count is atomic, the bytes do not change once shared
 * Memory   blob_new() gives one reference; NULL is fine to blob_unref()
 */
#ifndef TILTH_BASE_BLOB_H
#define TILTH_BASE_BLOB_H

#include "base/attr.h"

#include <stddef.h>
#include <stdint.h>

struct blob;

/* NULL when memory is out. The bytes start uninitialised, 64-byte aligned. */
struct blob *blob_new(size_t size_bytes);
/*
 * The first bytes of a file, as they lie in the page cache; `fd` may be closed. NULL where the
 * file cannot be mapped, of none, or without memory. Only of files that nobody writes to: bytes
 * that are changed change here, and to read what was cut off kills the process.
 */
struct blob *blob_map(int fd, size_t size_bytes);
struct blob *blob_copy(const void *bytes, size_t size_bytes);
struct blob *blob_ref(struct blob *blob);
void blob_unref(struct blob *blob);

const uint8_t *blob_bytes(const struct blob *blob);
size_t blob_size(const struct blob *blob);

/* The one writer, before the blob is shared. */
uint8_t *blob_writable(struct blob *blob);
/* Cuts the tail off, before the blob is shared; the memory is not given back. */
void blob_truncate(struct blob *blob, size_t size_bytes);

AUTO_DEFINE(blob, blob_unref)

#endif
