/*
 * disk_env: what the three files of disk share. Private to them.
 */
#ifndef TILTH_CACHE_DISK_ENV_H
#define TILTH_CACHE_DISK_ENV_H

#include "cache/disk.h"
#include "cache/record.h"

#include <lmdb.h>
#include <stdatomic.h>

enum {
    READERS = 64,       /* parked read transactions; a read holds one for microseconds */
    REF_BITS = 1 << 23, /* second chances: 1 MiB of bits for 8 M keys */
    VICTIMS_MAX = 2048, /* evicted by one transaction */
    VICTIMS_PER_CREDIT = 3,
    /* In victims. A neighbourhood is written together and asked for together. */
    CREDITS_MAX = 512 * VICTIMS_PER_CREDIT,
    VERIFY_STRIDE = 1000, /* records read under one snapshot: an old one stops page reuse */
};

enum disk_table { TABLE_META, TABLE_NS, TABLE_NSNAME, TABLE_IDX, TABLE_BLOB, TABLE_COUNT };

struct reader {
    atomic_bool busy;
    MDB_txn *txn; /* reset between uses */
    MDB_cursor *blobs;
} __attribute__((aligned(64)));

struct disk {
    MDB_env *env;
    MDB_dbi tables[TABLE_COUNT];
    size_t page, chunk; /* bytes: a page, and the largest value that takes exactly one */
    uint64_t budget;
    size_t target_pages; /* eviction begins above it */
    bool read_only;
    atomic_bool broken; /* LMDB gave up; set once */
    atomic_uchar *refs;
    unsigned credits; /* for second chances; LMDB's write transaction guards it */
    char dir[512];
    struct reader readers[READERS];
};

/* LMDB's verdict in our words: `what` is "commit", "put". Marks the disk broken where it is. */
enum tl_code disk_fail(struct disk *disk, int rc, const char *what, struct tl_err *err);

/* A snapshot for this thread, or NULL; give it back within microseconds. */
struct reader *disk_reader_take(struct disk *disk);
void disk_reader_give(struct reader *reader);

/* Under any transaction: looks a record up. False: absent. */
bool disk_find_record(struct disk *disk, MDB_txn *txn, const struct cache_key *key,
                      struct record *ret_record);
/*
 * Copies the value of `record` through a cursor on `blob`. False: a chunk is missing or of
 * the wrong size, or a checksum fails. *ret_blob NULL and true: memory is out.
 */
bool disk_load(const struct disk *disk, MDB_cursor *blobs, const struct cache_key *key,
               const struct record *record, struct blob **ret_blob);

/* Pages of all tables. */
size_t disk_used_pages(struct disk *disk, MDB_txn *txn);

/* Deletes every chunk of a sequence; MDB's code, 0 also when there was none. */
int disk_delete_chunks(struct disk *disk, MDB_txn *txn, uint64_t seq);

/* Whether `bits` at the key's place in the bit table are set; clears them. */
bool disk_take_ref(struct disk *disk, const struct cache_key *key);

static inline MDB_val val_of(void *bytes, size_t size)
{
    return (MDB_val){.mv_size = size, .mv_data = bytes};
}

#endif
