/*
 * CPU and wall time of the cache's verbs on values like tiles (0.3 to 12.5 KB, mean 6 KB).
 *
 * usage: bench_cache DIR VALUES DISK_MIB      DIR: an empty folder on the disk to measure
 *
 * Prints a JSON line per verb: microseconds of the calling thread's CPU, and of the wall.
 */
#include "../bench.h"

#include "base/blob.h"
#include "base/clock.h"
#include "cache/cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct cache *cache;
static uint64_t values;
static uint32_t ns;

static struct cache_key key_of(uint64_t id)
{
    return (struct cache_key){.ns = ns, .id = id};
}

static size_t size_of(uint64_t id)
{
    uint64_t x = id * UINT64_C(0x9e3779b97f4a7c15) >> 40;

    return x % 7 == 0 ? 300 + x % 400 : 1500 + x % 11000;
}

/* Visits every value in an order that jumps about: 7919 is prime to any count in use. */
static uint64_t nth(uint64_t i)
{
    return i * 7919 % values;
}

typedef void verb_fn(uint64_t id);

static void put(uint64_t id)
{
    static uint8_t bytes[32768];
    struct cache_key key = key_of(id);

    memcpy(bytes, &id, sizeof(id));
    struct blob *blob = blob_copy(bytes, size_of(id));
    if (!blob)
        die("out of memory");
    cache_put(cache, &key, blob, 0);
    blob_unref(blob);
}

static void put_paced(uint64_t id)
{
    struct tl_err err;

    put(id);
    if (id % 512 == 511 && cache_flush(cache, &err) != TL_OK)
        die(err.msg);
}

static void get(uint64_t id)
{
    struct cache_key key = key_of(id);
    struct cache_value value;

    if (cache_get(cache, &key, &value) != CACHE_MISS)
        blob_unref(value.blob);
}

static void has(uint64_t id)
{
    struct cache_key key = key_of(id);

    if (cache_has(cache, &key) != (id < values))
        die("a key is not where it should be");
}

static void miss(uint64_t id)
{
    has(id + values);
}

static void measure(const char *name, verb_fn *verb, uint64_t count, bool jump)
{
    int64_t wall = clock_now_ns();
    double cpu = thread_us();

    for (uint64_t i = 0; i < count; i++)
        verb(jump ? nth(i) : i);
    cpu = thread_us() - cpu;
    printf("{\"verb\":\"%s\",\"count\":%llu,\"cpu_us\":%.2f,\"wall_us\":%.2f}\n", name,
           (unsigned long long)count, cpu / (double)count,
           (double)(clock_now_ns() - wall) / 1e3 / (double)count);
}

static void reopen(const char *dir, uint64_t disk_bytes, uint64_t ram_bytes)
{
    struct tl_err err;
    const struct cache_options options = {
        .dir = dir, .disk_bytes = disk_bytes, .ram_bytes = ram_bytes};

    cache_close(cache);
    if (cache_open(&options, &cache, &err) != TL_OK ||
        cache_namespace(cache, (struct hash128){.hi = 1}, "bench", &ns, &err) != TL_OK)
        die(err.msg);
}

int main(int argc, char **argv)
{
    struct tl_err err;

    if (argc != 4)
        die("usage: bench_cache DIR VALUES DISK_MIB");
    values = strtoull(argv[2], NULL, 10);
    uint64_t disk_bytes = strtoull(argv[3], NULL, 10) << 20;

    reopen(argv[1], disk_bytes, UINT64_C(128) << 20);
    measure("put, flushed every 512", put_paced, values, false);
    reopen(argv[1], disk_bytes, 1);
    measure("has, on disk", has, values, true);
    measure("has, absent", miss, values, true);
    measure("get, from disk", get, values, true);
    reopen(argv[1], disk_bytes, UINT64_C(1) << 30);
    measure("get, from disk into memory", get, values, true);
    measure("get, from memory", get, values, true);
    values *= 4; /* the budget should be smaller than that: now it evicts */
    reopen(argv[1], disk_bytes, UINT64_C(128) << 20);
    measure("put, flushed every 512, evicting", put_paced, values, false);
    if (cache_flush(cache, &err) != TL_OK)
        die(err.msg);
    cache_close(cache);
    return EXIT_SUCCESS;
}
