/*
 * Namespaces, statistics, verify. None of it is on the path of a tile.
 */
#include "base/blob.h"
#include "base/buf.h"
#include "cache/disk.h"
#include "cache/disk_env.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- namespaces ---- */

/* The number of a fingerprint: 0 when there is none, or MDB's code. */
static int find_namespace(struct disk *disk, MDB_txn *txn, struct hash128 *fingerprint,
                          uint32_t *ret_ns)
{
    MDB_val key = val_of(fingerprint, sizeof(*fingerprint)), value;
    int rc = mdb_get(txn, disk->tables[TABLE_NSNAME], &key, &value);

    *ret_ns = 0;
    if (rc == 0 && value.mv_size == sizeof(*ret_ns))
        memcpy(ret_ns, value.mv_data, sizeof(*ret_ns));
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int next_namespace(struct disk *disk, MDB_txn *txn, uint32_t *ret_ns)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc = mdb_cursor_open(txn, disk->tables[TABLE_NS], &cursor);

    if (rc != 0)
        return rc;
    rc = mdb_cursor_get(cursor, &key, &value, MDB_LAST);
    *ret_ns = rc == 0 && key.mv_size == 4 ? get_be32(key.mv_data) + 1 : 1;
    mdb_cursor_close(cursor);
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int make_namespace(struct disk *disk, MDB_txn *txn, struct hash128 *fingerprint,
                          const char *label, uint32_t *ret_ns)
{
    struct ns_record record = {.fingerprint = *fingerprint, .created_s = (int64_t)time(NULL)};
    uint8_t number[4];
    MDB_val key = val_of(number, sizeof(number)), value = val_of(&record, sizeof(record));
    int rc = next_namespace(disk, txn, ret_ns);

    if (rc != 0)
        return rc;
    if (*ret_ns >= NS_VOLATILE)
        return MDB_MAP_FULL;
    snprintf(record.label, sizeof(record.label), "%s", label);
    put_be32(number, *ret_ns);
    rc = mdb_put(txn, disk->tables[TABLE_NS], &key, &value, 0);
    if (rc != 0)
        return rc;
    key = val_of(fingerprint, sizeof(*fingerprint));
    value = val_of(ret_ns, sizeof(*ret_ns));
    return mdb_put(txn, disk->tables[TABLE_NSNAME], &key, &value, 0);
}

static int find_or_make(struct disk *disk, struct hash128 *fingerprint, const char *label,
                        uint32_t *ret_ns)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(disk->env, NULL, 0, &txn);

    if (rc != 0)
        return rc;
    rc = find_namespace(disk, txn, fingerprint, ret_ns);
    if (rc == 0 && *ret_ns == 0)
        rc = make_namespace(disk, txn, fingerprint, label, ret_ns);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

enum tl_code disk_namespace(struct disk *disk, struct hash128 fingerprint, const char *label,
                            uint32_t *ret_ns, struct tl_err *err)
{
    struct reader *reader = disk_reader_take(disk);
    uint32_t ns = 0;

    if (reader) {
        find_namespace(disk, reader->txn, &fingerprint, &ns);
        disk_reader_give(reader);
    }
    if (ns == 0 && disk->read_only)
        return tl_fail(err, TL_ABSENT, "%s has nothing of \"%s\"", disk->dir, label);
    if (ns == 0) {
        int rc = find_or_make(disk, &fingerprint, label, &ns);

        if (rc != 0)
            return disk_fail(disk, rc, "a new namespace", err);
    }
    *ret_ns = ns;
    return TL_OK;
}

/* ---- statistics ---- */

/* A JSON string; a label is anything the operator wrote. */
static void put_string(struct buf *out, const char *text)
{
    buf_puts(out, "\"");
    for (const char *p = text; *p; p++) {
        if (*p == '"' || *p == '\\')
            buf_printf(out, "\\%c", *p);
        else if ((unsigned char)*p < 0x20)
            buf_printf(out, "\\u%04x", (unsigned)*p);
        else
            buf_append(out, p, 1);
    }
    buf_puts(out, "\"");
}

static void put_namespace(struct buf *out, uint32_t ns, const struct ns_record *record)
{
    char hex[33];

    hash128_hex(record->fingerprint, hex);
    buf_printf(out, "{\"ns\":%u,\"label\":", ns);
    put_string(out, record->label);
    buf_printf(out, ",\"fingerprint\":\"%s\",\"values\":%llu,\"bytes\":%llu,\"created_s\":%lld}",
               hex, (unsigned long long)record->values, (unsigned long long)record->bytes,
               (long long)record->created_s);
}

static void put_namespaces(struct disk *disk, MDB_txn *txn, struct buf *out)
{
    MDB_cursor *cursor;
    MDB_val key, value;
    const char *comma = "";

    buf_puts(out, "\"namespaces\":[");
    if (mdb_cursor_open(txn, disk->tables[TABLE_NS], &cursor) == 0) {
        while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
            struct ns_record record;

            if (key.mv_size != 4 || value.mv_size != sizeof(record))
                continue;
            memcpy(&record, value.mv_data, sizeof(record));
            record.label[sizeof(record.label) - 1] = '\0';
            buf_puts(out, comma);
            put_namespace(out, get_be32(key.mv_data), &record);
            comma = ",";
        }
        mdb_cursor_close(cursor);
    }
    buf_puts(out, "],");
}

static uint64_t count_entries(struct disk *disk, MDB_txn *txn, enum disk_table which)
{
    MDB_stat stat;

    return mdb_stat(txn, disk->tables[which], &stat) == 0 ? stat.ms_entries : 0;
}

enum tl_code disk_stat(struct disk *disk, struct buf *out, struct tl_err *err)
{
    MDB_envinfo info;
    struct reader *reader = disk_reader_take(disk);

    if (!reader)
        return tl_fail(err, TL_CORRUPT, "%s: the cache on disk cannot be read", disk->dir);
    mdb_env_info(disk->env, &info);
    buf_puts(out, "\"dir\":");
    put_string(out, disk->dir);
    buf_printf(
        out,
        ",\"budget_bytes\":%llu,\"file_bytes\":%llu,\"used_bytes\":%llu,\"values\":%llu,"
        "\"chunks\":%llu,\"readers\":%u,",
        (unsigned long long)disk->budget, (unsigned long long)(info.me_last_pgno + 1) * disk->page,
        (unsigned long long)disk_used_pages(disk, reader->txn) * disk->page,
        (unsigned long long)count_entries(disk, reader->txn, TABLE_IDX),
        (unsigned long long)count_entries(disk, reader->txn, TABLE_BLOB), info.me_numreaders);
    put_namespaces(disk, reader->txn, out);
    disk_reader_give(reader);
    return TL_OK;
}

/* ---- verify ---- */

/* Broken things found under one snapshot, deleted after it has ended. */
struct findings {
    struct disk_op broken[VERIFY_STRIDE]; /* records whose value is not there or not right */
    uint64_t orphans[VERIFY_STRIDE];      /* sequences that no record names */
    size_t broken_count, orphan_count;
};

/* Checks up to VERIFY_STRIDE records from *from on. False: there are no more. */
static bool verify_records(struct disk *disk, struct reader *reader, struct cache_key *from,
                           struct findings *findings, struct cache_verdict *verdict)
{
    uint8_t bytes[IDX_KEY_BYTES];
    MDB_cursor *cursor;
    MDB_val key = val_of(bytes, sizeof(bytes)), value;
    bool more = false;

    idx_key_put(from, bytes);
    if (mdb_cursor_open(reader->txn, disk->tables[TABLE_IDX], &cursor) != 0)
        return false;
    for (int rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE), i = 0; rc == 0;
         rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT), i++) {
        struct record record = {0};
        AUTO(blob) blob = NULL;

        *from = key.mv_size == IDX_KEY_BYTES ? idx_key_get(key.mv_data) : *from;
        more = i == VERIFY_STRIDE;
        if (more)
            break;
        memcpy(&record, value.mv_data, TL_MIN(value.mv_size, sizeof(record)));
        verdict->values++;
        verdict->bytes += record.len;
        if (value.mv_size == sizeof(record) && disk_load(disk, reader->blobs, from, &record, &blob))
            continue;
        verdict->corrupt++;
        findings->broken[findings->broken_count++] =
            (struct disk_op){.key = *from, .seq = record.seq};
    }
    mdb_cursor_close(cursor);
    return more;
}

/* Whether the first chunk of `seq` leads to a record that leads back. */
static bool is_named(struct disk *disk, MDB_txn *txn, uint64_t seq, uint64_t part,
                     const MDB_val *chunk)
{
    struct chunk_head head;
    struct record record;

    if (part != 0 || chunk->mv_size < sizeof(head))
        return false;
    memcpy(&head, chunk->mv_data, sizeof(head));
    const struct cache_key key = {.ns = head.ns, .variant = head.variant, .id = head.id};
    return disk_find_record(disk, txn, &key, &record) && record.seq == seq;
}

/*
 * Looks at up to VERIFY_STRIDE sequences from *from on: all chunks of a sequence stand or
 * fall with its first. False: there are no more.
 */
static bool verify_chunks(struct disk *disk, struct reader *reader, uint64_t *from,
                          struct findings *findings, struct cache_verdict *verdict)
{
    uint64_t at = *from << PART_BITS, seq = 0;
    MDB_val key = val_of(&at, sizeof(at)), chunk;
    bool named = true;
    int sequences = 0;

    for (int rc = mdb_cursor_get(reader->blobs, &key, &chunk, MDB_SET_RANGE); rc == 0;
         rc = mdb_cursor_get(reader->blobs, &key, &chunk, MDB_NEXT)) {
        memcpy(&at, key.mv_data, sizeof(at));
        if (at >> PART_BITS != seq) {
            seq = at >> PART_BITS;
            if (sequences++ == VERIFY_STRIDE) {
                *from = seq;
                return true;
            }
            named = is_named(disk, reader->txn, seq, at & ((1U << PART_BITS) - 1), &chunk);
            if (!named)
                findings->orphans[findings->orphan_count++] = seq;
        }
        verdict->orphans += !named;
    }
    return false;
}

/* Under the write transaction the question is asked again: numbers may be used twice. */
static int delete_if_orphan(struct disk *disk, MDB_txn *txn, uint64_t seq)
{
    MDB_cursor *blobs;
    uint64_t at = seq << PART_BITS;
    MDB_val key = val_of(&at, sizeof(at)), chunk;
    int rc = mdb_cursor_open(txn, disk->tables[TABLE_BLOB], &blobs);

    if (rc != 0)
        return rc;
    bool named = mdb_cursor_get(blobs, &key, &chunk, MDB_SET_KEY) == 0 &&
                 is_named(disk, txn, seq, 0, &chunk);
    mdb_cursor_close(blobs);
    return named ? 0 : disk_delete_chunks(disk, txn, seq);
}

static int put_totals(struct disk *disk, MDB_txn *txn, uint32_t ns, uint64_t values, uint64_t bytes)
{
    uint8_t number[4];
    MDB_val key = val_of(number, sizeof(number)), value;
    struct ns_record record;

    put_be32(number, ns);
    if (mdb_get(txn, disk->tables[TABLE_NS], &key, &value) != 0 || value.mv_size != sizeof(record))
        return 0;
    memcpy(&record, value.mv_data, sizeof(record));
    record.values = values;
    record.bytes = bytes;
    value = val_of(&record, sizeof(record));
    return mdb_put(txn, disk->tables[TABLE_NS], &key, &value, 0);
}

/* Counts the records of one namespace again. */
static int recount_one(struct disk *disk, MDB_txn *txn, uint32_t ns)
{
    const struct cache_key first = {.ns = ns};
    uint8_t bytes[IDX_KEY_BYTES];
    MDB_cursor *cursor;
    MDB_val key = val_of(bytes, sizeof(bytes)), value;
    uint64_t values = 0, total = 0;
    int rc = mdb_cursor_open(txn, disk->tables[TABLE_IDX], &cursor);

    if (rc != 0)
        return rc;
    idx_key_put(&first, bytes);
    for (rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
         rc == 0 && get_be32(key.mv_data) == ns;
         rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
        struct record record = {0};

        memcpy(&record, value.mv_data, TL_MIN(value.mv_size, sizeof(record)));
        values++;
        total += record.len;
    }
    mdb_cursor_close(cursor);
    return put_totals(disk, txn, ns, values, total);
}

static int recount_all(struct disk *disk, MDB_txn *txn)
{
    uint32_t last;
    int rc = next_namespace(disk, txn, &last);

    for (uint32_t ns = 1; rc == 0 && ns < last; ns++)
        rc = recount_one(disk, txn, ns);
    return rc;
}

/* Deletes the orphans, or, at the end, makes the counters right. */
static int repair_chunks(struct disk *disk, const struct findings *findings, bool at_end)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(disk->env, NULL, 0, &txn);

    if (rc != 0)
        return rc;
    for (size_t i = 0; rc == 0 && i < findings->orphan_count; i++)
        rc = delete_if_orphan(disk, txn, findings->orphans[i]);
    if (rc == 0 && at_end)
        rc = recount_all(disk, txn);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

static enum tl_code repair_findings(struct disk *disk, struct findings *findings, bool at_end,
                                    struct tl_err *err)
{
    int rc = 0;

    if (findings->broken_count > 0)
        TL_TRY(disk_write(disk, findings->broken, findings->broken_count, err));
    if (findings->orphan_count > 0 || at_end)
        rc = repair_chunks(disk, findings, at_end);
    return rc == 0 ? TL_OK : disk_fail(disk, rc, "repairing", err);
}

/* One snapshot after the other, so that pages freed meanwhile can be used again. */
static enum tl_code verify_all(struct disk *disk, bool repair, struct findings *findings,
                               struct cache_verdict *verdict, struct tl_err *err)
{
    struct cache_key key = {0};
    uint64_t seq = 0;

    for (int pass = 0; pass < 2;) {
        struct reader *reader = disk_reader_take(disk);

        if (!reader)
            return tl_fail(err, TL_CORRUPT, "%s: the cache on disk cannot be read", disk->dir);
        bool more = pass == 0 ? verify_records(disk, reader, &key, findings, verdict)
                              : verify_chunks(disk, reader, &seq, findings, verdict);
        disk_reader_give(reader);
        if (repair)
            TL_TRY(repair_findings(disk, findings, pass == 1 && !more, err));
        findings->broken_count = findings->orphan_count = 0;
        pass += !more;
    }
    return TL_OK;
}

enum tl_code disk_verify(struct disk *disk, bool repair, struct cache_verdict *ret_verdict,
                         struct tl_err *err)
{
    struct cache_verdict verdict = {0};
    struct findings *findings = calloc(1, sizeof(*findings));

    if (!findings)
        return tl_fail(err, TL_NOMEM, "no memory to verify the cache");
    enum tl_code code = verify_all(disk, repair, findings, &verdict, err);
    free(findings);
    if (code == TL_OK)
        *ret_verdict = verdict;
    return code;
}
