/*
 * disk: the LMDB tier, the only code that knows LMDB. docs/cache.md has the layout and why.
 *
 *   disk.c        open, close, read transactions, get
 *   disk_write.c  batches: insert, replace, delete, evict
 *   disk_check.c  namespaces, statistics, verify
 *
 * Threads  disk_get(), disk_has(), disk_touch() any; the writing functions one at a time
 *          in effect: LMDB has one write transaction, across processes too
 * Memory   disk_open() / disk_close(). A folder may be open once in a process (LMDB's file
 *          locks belong to the process), and never in a child after fork()
 */
#ifndef TILTH_CACHE_DISK_H
#define TILTH_CACHE_DISK_H

#include "base/attr.h"
#include "base/err.h"
#include "base/hash.h"
#include "cache/cache.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct disk;

TL_MUST_CHECK enum tl_code disk_open(const struct cache_options *options, struct disk **ret_disk,
                                     struct tl_err *err);
void disk_close(struct disk *disk);
bool disk_read_only(const struct disk *disk);

enum disk_found { DISK_MISS, DISK_HIT, DISK_BROKEN };

/*
 * DISK_BROKEN: the key is there and its value is not what was written; *ret_seq is for a
 * deleting disk_op.
 */
enum disk_found disk_get(struct disk *disk, const struct cache_key *key,
                         struct cache_value *ret_value, uint64_t *ret_seq);
bool disk_has(struct disk *disk, const struct cache_key *key);
/* Somebody asked for the key: it gets a second chance when its turn to be evicted comes. */
void disk_touch(struct disk *disk, const struct cache_key *key);

struct disk_op {
    struct cache_key key;
    struct blob *blob; /* NULL: delete what is at the key, if its sequence still is `seq` */
    uint64_t hash, tag, seq;
    uint32_t order; /* disk_write()'s own: the place in the order given */
};

/* At most so many bytes of values in one disk_write(), and in one value. */
size_t disk_batch_bytes(const struct disk *disk);
size_t disk_value_max(const struct disk *disk);
/*
 * One transaction: room is made, then the ops run, in order of key and for one key in the
 * order given. All or nothing. TL_NOSPACE: the disk is full; TL_CORRUPT: LMDB gave up on
 * the file, which is not used again before the next start.
 */
TL_MUST_CHECK enum tl_code disk_write(struct disk *disk, struct disk_op *ops, size_t count,
                                      struct tl_err *err);
/* Clears the read slots of dead processes; call it every few seconds. */
void disk_housekeep(struct disk *disk);

/* TL_ABSENT: the file is read-only and does not have it. */
TL_MUST_CHECK enum tl_code disk_namespace(struct disk *disk, struct hash128 fingerprint,
                                          const char *label, uint32_t *ret_ns, struct tl_err *err);
/* Members of a JSON object, with a comma behind the last. */
TL_MUST_CHECK enum tl_code disk_stat(struct disk *disk, struct buf *out, struct tl_err *err);
TL_MUST_CHECK enum tl_code disk_verify(struct disk *disk, bool repair,
                                       struct cache_verdict *ret_verdict, struct tl_err *err);

#endif
