/*
 * One transaction of the writer:
 *
 *      oldest                                              newest
 *   <- evict |v1|v2|v3|                          |v97|v98|v99| <- insert
 *              ^ hand: the first key of `blob`             ^ MDB_APPEND
 *
 * The first and the last key of `blob` are the FIFO's two ends, so nothing about it is
 * stored besides. What was asked for since it was written goes from the left end to the
 * right one, as long as there are credits: three victims earn one, so that when everything
 * is asked for the file is rewritten at a third of the rate at which it is evicted.
 */
#include "cache/disk.h"

#include "base/blob.h"
#include "base/check.h"
#include "base/metric.h"
#include "cache/disk_env.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    DELTAS = 16,          /* namespaces whose counters change in one go */
    RELIEF_PER_MILLE = 20 /* of the pages in use, evicted when the file is full after all */
};

/* What changed in a namespace since its record was last written. */
struct delta {
    uint32_t ns;
    int64_t values, bytes;
};

struct write_txn {
    struct disk *disk;
    MDB_txn *txn;
    uint64_t next_seq;
    uint32_t now_s;
    unsigned delta_count;
    struct delta deltas[DELTAS];
    uint64_t inserted, evicted;
};

static MDB_dbi table(const struct write_txn *txn, enum disk_table which)
{
    return txn->disk->tables[which];
}

/* ---- counters of namespaces ---- */

static int apply_delta(struct write_txn *txn, const struct delta *delta)
{
    uint8_t bytes[4];
    MDB_val key = val_of(bytes, sizeof(bytes)), value;
    struct ns_record record;

    put_be32(bytes, delta->ns);
    int rc = mdb_get(txn->txn, table(txn, TABLE_NS), &key, &value);
    if (rc != 0 || value.mv_size != sizeof(record))
        return rc == MDB_NOTFOUND ? 0 : rc; /* statistics alone */
    memcpy(&record, value.mv_data, sizeof(record));
    record.values += (uint64_t)delta->values;
    record.bytes += (uint64_t)delta->bytes;
    value = val_of(&record, sizeof(record));
    return mdb_put(txn->txn, table(txn, TABLE_NS), &key, &value, 0);
}

static int apply_deltas(struct write_txn *txn)
{
    int rc = 0;

    for (unsigned i = 0; rc == 0 && i < txn->delta_count; i++)
        rc = apply_delta(txn, &txn->deltas[i]);
    txn->delta_count = 0;
    return rc;
}

static int count(struct write_txn *txn, uint32_t ns, int values, int64_t bytes)
{
    unsigned at = 0;
    int rc = 0;

    while (at < txn->delta_count && txn->deltas[at].ns != ns)
        at++;
    if (at == DELTAS) {
        rc = apply_deltas(txn);
        at = 0;
    }
    if (at == txn->delta_count) {
        txn->deltas[at] = (struct delta){.ns = ns};
        txn->delta_count++;
    }
    txn->deltas[at].values += values;
    txn->deltas[at].bytes += bytes;
    return rc;
}

/* ---- one value ---- */

int disk_delete_chunks(struct disk *disk, MDB_txn *txn, uint64_t seq)
{
    MDB_cursor *blobs;
    int rc = mdb_cursor_open(txn, disk->tables[TABLE_BLOB], &blobs);

    if (rc != 0)
        return rc;
    for (;;) {
        uint64_t at = seq << PART_BITS;
        MDB_val key = val_of(&at, sizeof(at)), chunk;

        rc = mdb_cursor_get(blobs, &key, &chunk, MDB_SET_RANGE);
        if (rc != 0)
            break;
        memcpy(&at, key.mv_data, sizeof(at));
        if (at >> PART_BITS != seq)
            break;
        rc = mdb_cursor_del(blobs, 0);
        if (rc != 0)
            break;
    }
    mdb_cursor_close(blobs);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

/* The chunks of one value, behind all others. */
static int append_chunks(struct write_txn *txn, const struct chunk_head *head, const uint8_t *bytes)
{
    size_t left = head->len, lead = sizeof(*head);

    for (uint64_t part = 0; part == 0 || left > 0; part++, lead = 0) {
        uint64_t at = head->seq << PART_BITS | part;
        size_t take = TL_MIN(left, txn->disk->chunk - lead);
        MDB_val key = val_of(&at, sizeof(at)), chunk = {.mv_size = lead + take};
        int rc = mdb_put(txn->txn, table(txn, TABLE_BLOB), &key, &chunk, MDB_APPEND | MDB_RESERVE);

        if (rc != 0)
            return rc;
        memcpy(chunk.mv_data, head, lead);
        memcpy((uint8_t *)chunk.mv_data + lead, bytes, take);
        bytes += take;
        left -= take;
    }
    return 0;
}

static int put_record(struct write_txn *txn, const struct cache_key *key, struct record *record)
{
    uint8_t bytes[IDX_KEY_BYTES];
    MDB_val idx = val_of(bytes, sizeof(bytes)), value = val_of(record, sizeof(*record));

    idx_key_put(key, bytes);
    return mdb_put(txn->txn, table(txn, TABLE_IDX), &idx, &value, 0);
}

static int append_value(struct write_txn *txn, const struct cache_key *key, struct record *record,
                        const uint8_t *bytes)
{
    struct chunk_head head = {
        .seq = txn->next_seq++,
        .id = key->id,
        .hash = record->hash,
        .tag = record->tag,
        .ns = key->ns,
        .len = record->len,
        .variant = key->variant,
    };
    head.check = hash64(&head.seq, sizeof(head) - sizeof(head.check));
    record->seq = head.seq;
    int rc = append_chunks(txn, &head, bytes);
    return rc ? rc : put_record(txn, key, record);
}

/* The record and the chunks of a key. */
static int delete_value(struct write_txn *txn, const struct cache_key *key,
                        const struct record *record)
{
    uint8_t bytes[IDX_KEY_BYTES];
    MDB_val idx = val_of(bytes, sizeof(bytes));

    idx_key_put(key, bytes);
    int rc = mdb_del(txn->txn, table(txn, TABLE_IDX), &idx, NULL);
    if (rc == 0)
        rc = disk_delete_chunks(txn->disk, txn->txn, record->seq);
    return rc ? rc : count(txn, key->ns, -1, -(int64_t)record->len);
}

static int run_op(struct write_txn *txn, const struct disk_op *op)
{
    struct record old, record = {.time_s = txn->now_s, .hash = op->hash, .tag = op->tag};
    bool there = disk_find_record(txn->disk, txn->txn, &op->key, &old);
    int rc = 0;

    if (!op->blob)
        return there && old.seq == op->seq ? delete_value(txn, &op->key, &old) : 0;
    record.len = (uint32_t)blob_size(op->blob);
    if (there && old.len == record.len && old.hash == record.hash && old.tag == record.tag) {
        disk_touch(txn->disk, &op->key); /* the same again, from another process say */
        return 0;
    }
    if (there)
        rc = delete_value(txn, &op->key, &old);
    if (rc == 0)
        rc = append_value(txn, &op->key, &record, blob_bytes(op->blob));
    txn->inserted++;
    return rc ? rc : count(txn, op->key.ns, 1, (int64_t)record.len);
}

/* ---- eviction ---- */

size_t disk_used_pages(struct disk *disk, MDB_txn *txn)
{
    size_t pages = 0;

    for (unsigned i = 0; i < TABLE_COUNT; i++) {
        MDB_stat stat;

        if (mdb_stat(txn, disk->tables[i], &stat) == 0)
            pages += stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages;
    }
    return pages;
}

/* Pages that a value takes: whole chunks, and a share of a leaf for the rest and the record. */
static size_t pages_of(const struct disk *disk, size_t size)
{
    return (size + sizeof(struct chunk_head)) / disk->chunk + 1;
}

/* The value at the hand again, behind all others. */
static int keep_value(struct write_txn *txn, const struct cache_key *key, struct record *record)
{
    MDB_cursor *blobs;
    AUTO(blob) blob = NULL;
    int rc = mdb_cursor_open(txn->txn, table(txn, TABLE_BLOB), &blobs);

    if (rc != 0)
        return rc;
    disk_load(txn->disk, blobs, key, record, &blob);
    mdb_cursor_close(blobs);
    if (!blob) /* damaged, or no memory: it goes */
        return delete_value(txn, key, record);
    rc = disk_delete_chunks(txn->disk, txn->txn, record->seq);
    return rc ? rc : append_value(txn, key, record, blob_bytes(blob));
}

/* Deals with the value at the hand. Chunks that no record names go unseen by the counters. */
static int evict_one(struct write_txn *txn, uint64_t seq, const MDB_val *chunk)
{
    struct chunk_head head;
    struct record record;

    if (chunk->mv_size < sizeof(head))
        return disk_delete_chunks(txn->disk, txn->txn, seq);
    memcpy(&head, chunk->mv_data, sizeof(head));
    struct cache_key key = {.ns = head.ns, .variant = head.variant, .id = head.id};
    if (!disk_find_record(txn->disk, txn->txn, &key, &record) || record.seq != seq)
        return disk_delete_chunks(txn->disk, txn->txn, seq);
    unsigned *credits = &txn->disk->credits;
    if (disk_take_ref(txn->disk, &key) && *credits >= VICTIMS_PER_CREDIT) {
        *credits -= VICTIMS_PER_CREDIT;
        return keep_value(txn, &key, &record);
    }
    *credits = TL_MIN(*credits + 1, CREDITS_MAX);
    txn->evicted++;
    return delete_value(txn, &key, &record);
}

static int find_hand(struct write_txn *txn, MDB_cursor_op end, uint64_t *ret_seq,
                     MDB_val *ret_chunk)
{
    MDB_cursor *blobs;
    MDB_val key;
    uint64_t at;
    int rc = mdb_cursor_open(txn->txn, table(txn, TABLE_BLOB), &blobs);

    if (rc != 0)
        return rc;
    rc = mdb_cursor_get(blobs, &key, ret_chunk, end);
    mdb_cursor_close(blobs);
    if (rc != 0)
        return rc;
    memcpy(&at, key.mv_data, sizeof(at));
    *ret_seq = at >> PART_BITS;
    return 0;
}

static int evict_to(struct write_txn *txn, size_t pages)
{
    for (unsigned i = 0; i < VICTIMS_MAX && disk_used_pages(txn->disk, txn->txn) > pages; i++) {
        MDB_val chunk;
        uint64_t seq;
        int rc = find_hand(txn, MDB_FIRST, &seq, &chunk);

        if (rc == MDB_NOTFOUND)
            return 0;
        if (rc == 0)
            rc = evict_one(txn, seq, &chunk);
        if (rc != 0)
            return rc;
    }
    return 0;
}

/* ---- transactions ---- */

static int begin(struct disk *disk, struct write_txn *ret_txn)
{
    MDB_val chunk;
    uint64_t last = 0;

    *ret_txn = (struct write_txn){.disk = disk, .now_s = (uint32_t)time(NULL)};
    int rc = mdb_txn_begin(disk->env, NULL, 0, &ret_txn->txn);
    if (rc != 0)
        return rc;
    rc = find_hand(ret_txn, MDB_LAST, &last, &chunk);
    if (rc != 0 && rc != MDB_NOTFOUND) {
        mdb_txn_abort(ret_txn->txn);
        return rc;
    }
    ret_txn->next_seq = last + 1;
    return 0;
}

static int finish(struct write_txn *txn, int rc)
{
    if (rc == 0)
        rc = apply_deltas(txn);
    if (rc != 0) {
        mdb_txn_abort(txn->txn);
        return rc;
    }
    size_t used = disk_used_pages(txn->disk, txn->txn);
    rc = mdb_txn_commit(txn->txn);
    if (rc != 0)
        return rc;
    metric_add(METRIC_CACHE_WRITTEN, (int64_t)txn->inserted);
    metric_add(METRIC_CACHE_EVICTED, (int64_t)txn->evicted);
    metric_set(METRIC_CACHE_BYTES, (int64_t)(used * txn->disk->page));
    return 0;
}

static int write_once(struct disk *disk, const struct disk_op *ops, size_t op_count)
{
    struct write_txn txn;
    size_t need = 0;
    int rc = begin(disk, &txn);

    if (rc != 0)
        return rc;
    for (size_t i = 0; i < op_count; i++)
        need += ops[i].blob ? pages_of(disk, blob_size(ops[i].blob)) : 0;
    rc = evict_to(&txn, disk->target_pages - TL_MIN(need, disk->target_pages));
    for (size_t i = 0; rc == 0 && i < op_count; i++)
        rc = run_op(&txn, &ops[i]);
    return finish(&txn, rc);
}

/*
 * The file is full although eviction keeps room: somebody holds an old snapshot open, and
 * what was freed since cannot be used. Perhaps it is a dead process; else a little more is
 * freed, for when the snapshot has gone.
 */
static int relieve(struct disk *disk)
{
    struct write_txn txn;

    disk_housekeep(disk);
    int rc = begin(disk, &txn);

    if (rc != 0)
        return rc;
    size_t used = disk_used_pages(disk, txn.txn);
    return finish(&txn, evict_to(&txn, used - used * RELIEF_PER_MILLE / 1000));
}

static int by_key(const void *left, const void *right)
{
    const struct disk_op *a = left, *b = right;

    if (a->key.ns != b->key.ns)
        return a->key.ns < b->key.ns ? -1 : 1;
    if (a->key.id != b->key.id)
        return a->key.id < b->key.id ? -1 : 1;
    if (a->key.variant != b->key.variant)
        return a->key.variant - b->key.variant;
    return a->order < b->order ? -1 : 1;
}

enum tl_code disk_write(struct disk *disk, struct disk_op *ops, size_t count_ops,
                        struct tl_err *err)
{
    TL_CHECK(!disk->read_only);
    if (atomic_load_explicit(&disk->broken, memory_order_relaxed))
        return tl_fail(err, TL_CORRUPT, "%s: the cache on disk is off", disk->dir);
    for (size_t i = 0; i < count_ops; i++)
        ops[i].order = (uint32_t)i;
    qsort(ops, count_ops, sizeof(*ops), by_key);
    int rc = write_once(disk, ops, count_ops);
    if (rc == MDB_MAP_FULL || rc == MDB_TXN_FULL) {
        rc = relieve(disk);
        if (rc == 0)
            rc = write_once(disk, ops, count_ops);
    }
    return rc == 0 ? TL_OK : disk_fail(disk, rc, "writing a batch", err);
}
