/*
 * hash: fingerprints of everything that changes pixels, checksums of cached
 * values, ETags. XXH3 (xxhash library): fast and stable across machines; not a
 * defence against somebody who wants a collision. And CRC-32, for files that
 * other programs write.
 *
 * Threads  any
 */
#ifndef TILTH_BASE_HASH_H
#define TILTH_BASE_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash128 {
    uint64_t hi, lo;
};

uint64_t hash64(const void *bytes, size_t size);
struct hash128 hash128(const void *bytes, size_t size);
bool hash128_equal(struct hash128 a, struct hash128 b);
/* The hash of `a` then `b`; order matters. */
struct hash128 hash128_join(struct hash128 a, struct hash128 b);

/* 32 lower-case hex digits and a NUL. */
void hash128_hex(struct hash128 hash, char ret_hex[33]);

/*
 * The CRC-32 of zlib, PNG and gzip (ISO 3309, reflected polynomial EDB88320): every change of
 * up to 32 neighbouring bits is seen. Eight bytes at a time, 2.5 GB/s: for what is read once.
 */
uint32_t hash_crc32(const void *bytes, size_t size);

#endif
