#include "base/hash.h"

#include <stdio.h>
#include <xxhash.h>

uint64_t hash64(const void *bytes, size_t size)
{
    return XXH3_64bits(bytes, size);
}

struct hash128 hash128(const void *bytes, size_t size)
{
    XXH128_hash_t h = XXH3_128bits(bytes, size);

    return (struct hash128){.hi = h.high64, .lo = h.low64};
}

bool hash128_equal(struct hash128 a, struct hash128 b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

struct hash128 hash128_join(struct hash128 a, struct hash128 b)
{
    struct hash128 both[2] = {a, b};

    return hash128(both, sizeof(both));
}

void hash128_hex(struct hash128 hash, char ret_hex[33])
{
    snprintf(ret_hex, 33, "%016llx%016llx", (unsigned long long)hash.hi,
             (unsigned long long)hash.lo);
}
