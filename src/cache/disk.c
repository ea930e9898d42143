#include "cache/disk.h"

#include "base/blob.h"
#include "base/trouble.h"
#include "cache/disk_env.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum {
    PAGE_HEADER = 16, /* LMDB keeps so much of a page that one value has to itself */
    PROCESSES_READERS = 512,
    DISK_BYTES_MIN = 1 << 20,
};

enum tl_code disk_fail(struct disk *disk, int rc, const char *what, struct tl_err *err)
{
    switch (rc) {
    case MDB_MAP_FULL:
    case MDB_TXN_FULL:
        return tl_fail(err, TL_NOSPACE, "%s: %s: the cache file is full (%s)", disk->dir, what,
                       mdb_strerror(rc));
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EIO: /* LMDB's word for a short write */
        return tl_fail(err, TL_NOSPACE, "%s: %s: the disk is full (%s)", disk->dir, what,
                       mdb_strerror(rc));
    case ENOMEM:
        return tl_fail(err, TL_NOMEM, "%s: %s: out of memory", disk->dir, what);
    default:
        atomic_store(&disk->broken, true);
        return tl_fail(err, TL_CORRUPT, "%s: %s: %s. The cache on disk is off until the next start",
                       disk->dir, what, mdb_strerror(rc));
    }
}

/* ---- open ---- */

static enum tl_code make_dir(const char *dir, struct tl_err *err)
{
    if (mkdir(dir, 0750) == 0 || errno == EEXIST)
        return TL_OK;
    return tl_fail(err, errno == ENOSPC ? TL_NOSPACE : TL_INVALID, "cache folder %s: %s", dir,
                   mdb_strerror(errno));
}

/* lmdb.h: "Do not use LMDB databases on remote filesystems". Magics: statfs(2). */
static enum tl_code refuse_remote(const char *dir, struct tl_err *err)
{
    static const struct {
        uint32_t magic;
        const char *name;
    } remote[] = {{0x6969, "NFS"}, {0x517b, "SMB"}, {0xff534d42, "CIFS"}, {0xfe534d42, "SMB2"}};
    struct statfs fs;

    if (statfs(dir, &fs) != 0)
        return tl_fail(err, TL_INVALID, "cache folder %s: %s", dir, mdb_strerror(errno));
    for (size_t i = 0; i < TL_COUNT(remote); i++)
        if ((uint32_t)fs.f_type == remote[i].magic)
            return tl_fail(err, TL_UNSUPPORTED,
                           "cache folder %s is on %s: a local disk is needed (cache_dir)", dir,
                           remote[i].name);
    return TL_OK;
}

/* Read-ahead helps while the file fits in memory and hurts beyond. */
static unsigned env_flags(const struct cache_options *options)
{
    uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    unsigned flags = MDB_NOTLS | MDB_NOMETASYNC;

    if (options->disk_bytes > memory / 2)
        flags |= MDB_NORDAHEAD;
    return options->read_only ? flags | MDB_RDONLY : flags;
}

/*
 * The budget; after it was lowered, room beside what the file has, or eviction could not
 * even begin: LMDB copies every page it changes.
 */
static size_t map_bytes(const struct disk *disk, uint64_t budget)
{
    char path[600];
    struct stat file;

    snprintf(path, sizeof(path), "%s/data.mdb", disk->dir);
    uint64_t size = stat(path, &file) == 0 ? (uint64_t)file.st_size : 0;
    if (size > budget)
        budget = size + size / 8 + (1 << 20);
    return (size_t)budget & ~(size_t)4095;
}

static int open_env(struct disk *disk, const struct cache_options *options)
{
    int rc = mdb_env_create(&disk->env);

    if (rc == 0)
        rc = mdb_env_set_maxdbs(disk->env, TABLE_COUNT);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(disk->env, PROCESSES_READERS);
    /* A reader takes the size the file was made with. */
    if (rc == 0 && !options->read_only)
        rc = mdb_env_set_mapsize(disk->env, map_bytes(disk, options->disk_bytes));
    if (rc == 0)
        rc = mdb_env_open(disk->env, disk->dir, env_flags(options), 0640);
    return rc;
}

/*
 * A file that was cut off, by a copy or a file system, is a SIGBUS behind its end. Pages that
 * LMDB took and gave back in one transaction may be missing there and nobody misses them:
 * those few are made up for. Where they were more, the reader finds zeros, which LMDB refuses.
 */
static int check_length(const struct disk *disk)
{
    enum { NEVER_WRITTEN_MAX = 64 };
    MDB_stat stat;
    MDB_envinfo info;
    struct stat file;
    int fd;
    int rc = mdb_env_stat(disk->env, &stat);

    if (rc == 0)
        rc = mdb_env_info(disk->env, &info);
    if (rc == 0)
        rc = mdb_env_get_fd(disk->env, &fd);
    if (rc == 0 && fstat(fd, &file) != 0)
        rc = errno;
    if (rc != 0)
        return rc;
    off_t page = (off_t)stat.ms_psize, length = ((off_t)info.me_last_pgno + 1) * page;
    if (file.st_size >= length)
        return 0;
    if (disk->read_only || length - file.st_size > NEVER_WRITTEN_MAX * page)
        return MDB_CORRUPTED;
    return ftruncate(fd, length) == 0 ? 0 : errno;
}

/* The number in `meta`, written when the file is new. */
static int check_format(struct disk *disk, MDB_txn *txn)
{
    uint32_t format = CACHE_FORMAT, found;
    char name[] = "format";
    MDB_val key = val_of(name, sizeof(name) - 1), value;
    int rc = mdb_get(txn, disk->tables[TABLE_META], &key, &value);

    if (rc == MDB_NOTFOUND && !disk->read_only) {
        value = val_of(&format, sizeof(format));
        return mdb_put(txn, disk->tables[TABLE_META], &key, &value, 0);
    }
    if (rc != 0)
        return rc;
    if (value.mv_size != sizeof(found))
        return MDB_INCOMPATIBLE;
    memcpy(&found, value.mv_data, sizeof(found));
    return found == CACHE_FORMAT ? 0 : MDB_INCOMPATIBLE;
}

static int open_tables(struct disk *disk)
{
    static const struct {
        const char *name;
        unsigned flags;
    } tables[TABLE_COUNT] = {
        [TABLE_META] = {"meta", 0},
        [TABLE_NS] = {"ns", 0},
        [TABLE_NSNAME] = {"nsname", 0},
        [TABLE_IDX] = {"idx", 0},
        [TABLE_BLOB] = {"blob", MDB_INTEGERKEY},
    };
    unsigned create = disk->read_only ? 0 : MDB_CREATE;
    MDB_txn *txn;
    int rc = mdb_txn_begin(disk->env, NULL, disk->read_only ? MDB_RDONLY : 0, &txn);

    if (rc != 0)
        return rc;
    for (unsigned i = 0; rc == 0 && i < TABLE_COUNT; i++)
        rc = mdb_dbi_open(txn, tables[i].name, tables[i].flags | create, &disk->tables[i]);
    if (rc == 0)
        rc = check_format(disk, txn);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

size_t disk_batch_bytes(const struct disk *disk)
{
    return (size_t)TL_MIN(disk->budget / 16, (uint64_t)(8 << 20));
}

size_t disk_value_max(const struct disk *disk)
{
    return TL_MIN(disk_batch_bytes(disk), (size_t)CACHE_VALUE_MAX);
}

/*
 * Where eviction begins. Above it must fit what transactions write before they may reuse
 * what they freed (pages freed by transaction N are used again from N + 2 on): three
 * batches, some pages of trees, and a seventh of the file because free pages are never all
 * in use.
 */
static size_t eviction_target(const struct disk *disk)
{
    size_t pages = (size_t)(disk->budget / disk->page);

    return pages - pages / 7 - 3 * disk_batch_bytes(disk) / disk->page - 16;
}

/* The first read shows whether LMDB's lock file can tell this process from the others. */
static int try_reading(struct disk *disk)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(disk->env, NULL, MDB_RDONLY, &txn);

    if (rc == 0)
        mdb_txn_abort(txn);
    return rc;
}

static int open_file(struct disk *disk, const struct cache_options *options)
{
    MDB_stat stat;
    MDB_envinfo info;
    int rc = open_env(disk, options);

    if (rc == 0)
        rc = check_length(disk);
    if (rc == 0)
        rc = open_tables(disk);
    if (rc == 0)
        rc = try_reading(disk);
    if (rc == 0)
        rc = mdb_env_stat(disk->env, &stat);
    if (rc == 0)
        rc = mdb_env_info(disk->env, &info);
    if (rc != 0) {
        if (disk->env)
            mdb_env_close(disk->env);
        disk->env = NULL;
        return rc;
    }
    disk->page = stat.ms_psize;
    disk->chunk = disk->page - PAGE_HEADER;
    disk->budget = disk->read_only ? info.me_mapsize : options->disk_bytes;
    disk->target_pages = eviction_target(disk);
    return 0;
}

/*
 * A file that is not ours, of another version or damaged steps aside: it is a cache. Its
 * lock file goes with it, so that a process that still has the pair open keeps it whole.
 */
static bool set_aside(const struct disk *disk)
{
    static const char *const files[] = {"data.mdb", "lock.mdb"};
    bool moved = true;

    for (size_t i = 0; i < TL_COUNT(files); i++) {
        char from[600], to[600];

        snprintf(from, sizeof(from), "%s/%s", disk->dir, files[i]);
        snprintf(to, sizeof(to), "%s/%s.broken", disk->dir, files[i]);
        if (rename(from, to) != 0 && errno != ENOENT)
            moved = false;
    }
    return moved;
}

static bool is_unusable(int rc)
{
    return rc == MDB_INVALID || rc == MDB_VERSION_MISMATCH || rc == MDB_CORRUPTED ||
           rc == MDB_INCOMPATIBLE || rc == MDB_PAGE_NOTFOUND || rc == MDB_PANIC;
}

static enum tl_code open_failed(struct disk *disk, int rc, struct tl_err *err)
{
    /* Both processes have, say, pid 1; LMDB's locks tell readers apart by pid. */
    if (rc == EAGAIN)
        return tl_fail(err, TL_BUSY,
                       "cache %s is in use by a process with the same pid in another container: "
                       "give each its own cache_dir",
                       disk->dir);
    if (rc == ENOENT || (rc == MDB_NOTFOUND && disk->read_only))
        return tl_fail(err, TL_ABSENT, "there is no cache in %s", disk->dir);
    if (rc == EACCES || rc == EROFS || rc == ENOTDIR)
        return tl_fail(err, TL_INVALID, "cache %s: %s", disk->dir, mdb_strerror(rc));
    return disk_fail(disk, rc, "opening the cache", err);
}

static enum tl_code open_or_replace(struct disk *disk, const struct cache_options *options,
                                    struct tl_err *err)
{
    int rc = open_file(disk, options);

    if (is_unusable(rc) && !options->read_only && set_aside(disk)) {
        listener_tell(options->listener, "warn", "cache",
                      "%s/data.mdb is no cache that can be used (%s): it is data.mdb.broken now, "
                      "and a new one begins",
                      disk->dir, mdb_strerror(rc));
        rc = open_file(disk, options);
    }
    if (rc != 0)
        return open_failed(disk, rc, err);
    disk_housekeep(disk);
    return TL_OK;
}

enum tl_code disk_open(const struct cache_options *options, struct disk **ret_disk,
                       struct tl_err *err)
{
    if (!options->read_only && options->disk_bytes < DISK_BYTES_MIN)
        return tl_fail(err, TL_INVALID, "cache_size of %llu bytes: at least %d are needed",
                       (unsigned long long)options->disk_bytes, DISK_BYTES_MIN);
    if (!options->read_only)
        TL_TRY(make_dir(options->dir, err));
    TL_TRY(refuse_remote(options->dir, err));

    struct disk *disk = aligned_alloc(64, sizeof(*disk));
    if (!disk)
        return tl_fail(err, TL_NOMEM, "no memory for the cache on disk");
    memset(disk, 0, sizeof(*disk));
    disk->read_only = options->read_only;
    disk->refs = calloc(REF_BITS / 8, 1);
    disk->credits = CREDITS_MAX;
    int length = snprintf(disk->dir, sizeof(disk->dir), "%s", options->dir);
    enum tl_code code = !disk->refs ? tl_fail(err, TL_NOMEM, "no memory for the cache on disk")
                        : length >= (int)sizeof(disk->dir)
                            ? tl_fail(err, TL_LIMIT, "cache folder: a path of %d bytes", length)
                            : open_or_replace(disk, options, err);
    if (code != TL_OK) {
        disk_close(disk);
        return code;
    }
    *ret_disk = disk;
    return TL_OK;
}

void disk_close(struct disk *disk)
{
    if (!disk)
        return;
    for (unsigned i = 0; i < READERS; i++) {
        if (disk->readers[i].blobs)
            mdb_cursor_close(disk->readers[i].blobs);
        if (disk->readers[i].txn)
            mdb_txn_abort(disk->readers[i].txn);
    }
    if (disk->env) {
        if (!disk->read_only)
            mdb_env_sync(disk->env, 1); /* the meta page that NOMETASYNC left to the next commit */
        mdb_env_close(disk->env);
    }
    free(disk->refs);
    free(disk);
}

bool disk_read_only(const struct disk *disk)
{
    return disk->read_only;
}

void disk_housekeep(struct disk *disk)
{
    int dead;

    mdb_reader_check(disk->env, &dead);
}

/* ---- read transactions ---- */

static bool reader_begin(struct disk *disk, struct reader *reader)
{
    int rc;

    if (reader->txn) {
        if (mdb_txn_renew(reader->txn) != 0)
            return false;
        rc = mdb_cursor_renew(reader->txn, reader->blobs);
        if (rc != 0)
            mdb_txn_reset(reader->txn);
        return rc == 0;
    }
    rc = mdb_txn_begin(disk->env, NULL, MDB_RDONLY, &reader->txn);
    if (rc == MDB_READERS_FULL) {
        disk_housekeep(disk);
        rc = mdb_txn_begin(disk->env, NULL, MDB_RDONLY, &reader->txn);
    }
    if (rc == 0 && mdb_cursor_open(reader->txn, disk->tables[TABLE_BLOB], &reader->blobs) == 0)
        return true;
    if (rc == 0)
        mdb_txn_abort(reader->txn);
    reader->txn = NULL;
    reader->blobs = NULL;
    return false;
}

struct reader *disk_reader_take(struct disk *disk)
{
    /* Threads start at different places, so they rarely meet. */
    unsigned at = (unsigned)(((uintptr_t)pthread_self() * UINT64_C(0x9e3779b97f4a7c15)) >> 32);

    if (atomic_load_explicit(&disk->broken, memory_order_relaxed))
        return NULL;
    for (unsigned tries = 1;; tries++, at++) {
        struct reader *reader = &disk->readers[at % READERS];

        /* Acquire: the transaction inside was left by another thread. */
        if (!atomic_exchange_explicit(&reader->busy, true, memory_order_acquire)) {
            if (reader_begin(disk, reader))
                return reader;
            atomic_store_explicit(&reader->busy, false, memory_order_release);
            return NULL;
        }
        if (tries % READERS == 0)
            sched_yield();
    }
}

void disk_reader_give(struct reader *reader)
{
    mdb_txn_reset(reader->txn);
    atomic_store_explicit(&reader->busy, false, memory_order_release);
}

/* ---- get ---- */

bool disk_find_record(struct disk *disk, MDB_txn *txn, const struct cache_key *key,
                      struct record *ret_record)
{
    uint8_t bytes[IDX_KEY_BYTES];
    MDB_val idx = val_of(bytes, sizeof(bytes)), value;

    idx_key_put(key, bytes);
    if (mdb_get(txn, disk->tables[TABLE_IDX], &idx, &value) != 0 ||
        value.mv_size != sizeof(*ret_record))
        return false;
    memcpy(ret_record, value.mv_data, sizeof(*ret_record));
    return true;
}

static bool head_fits(const struct chunk_head *head, const struct cache_key *key,
                      const struct record *record)
{
    return head->check == hash64(&head->seq, sizeof(*head) - sizeof(head->check)) &&
           head->seq == record->seq && head->len == record->len && head->hash == record->hash &&
           head->tag == record->tag && head->id == key->id && head->ns == key->ns &&
           head->variant == key->variant;
}

/* Copies the chunks behind the first; each is full but the last. */
static bool load_rest(const struct disk *disk, MDB_cursor *blobs, uint64_t seq, uint8_t *to,
                      size_t left)
{
    for (uint64_t part = 1; left > 0; part++) {
        size_t want = TL_MIN(left, disk->chunk);
        MDB_val key, chunk;
        uint64_t at;

        if (mdb_cursor_get(blobs, &key, &chunk, MDB_NEXT) != 0)
            return false;
        memcpy(&at, key.mv_data, sizeof(at));
        if (at != (seq << PART_BITS | part) || chunk.mv_size != want)
            return false;
        memcpy(to, chunk.mv_data, want);
        to += want;
        left -= want;
    }
    return true;
}

bool disk_load(const struct disk *disk, MDB_cursor *blobs, const struct cache_key *key,
               const struct record *record, struct blob **ret_blob)
{
    struct chunk_head head;
    uint64_t at = record->seq << PART_BITS;
    MDB_val seq = val_of(&at, sizeof(at)), chunk;

    if (record->len > CACHE_VALUE_MAX || mdb_cursor_get(blobs, &seq, &chunk, MDB_SET_KEY) != 0)
        return false;
    size_t first = TL_MIN(record->len, disk->chunk - sizeof(head));
    if (chunk.mv_size != sizeof(head) + first)
        return false;
    memcpy(&head, chunk.mv_data, sizeof(head));
    if (!head_fits(&head, key, record))
        return false;

    AUTO(blob) blob = blob_new(record->len);
    if (!blob) {
        *ret_blob = NULL;
        return true;
    }
    uint8_t *bytes = blob_writable(blob);
    memcpy(bytes, (const uint8_t *)chunk.mv_data + sizeof(head), first);
    if (!load_rest(disk, blobs, record->seq, bytes + first, record->len - first) ||
        hash64(bytes, record->len) != record->hash)
        return false;
    *ret_blob = TL_TAKE(blob);
    return true;
}

enum disk_found disk_get(struct disk *disk, const struct cache_key *key,
                         struct cache_value *ret_value, uint64_t *ret_seq)
{
    struct record record = {0};
    struct blob *blob = NULL;
    struct reader *reader = disk_reader_take(disk);

    if (!reader)
        return DISK_MISS;
    bool found = disk_find_record(disk, reader->txn, key, &record);
    bool whole = found && disk_load(disk, reader->blobs, key, &record, &blob);
    disk_reader_give(reader);
    if (found && !whole) {
        *ret_seq = record.seq;
        return DISK_BROKEN;
    }
    if (!blob)
        return DISK_MISS;
    *ret_value = (struct cache_value){.blob = blob, .hash = record.hash, .tag = record.tag};
    return DISK_HIT;
}

bool disk_has(struct disk *disk, const struct cache_key *key)
{
    struct record record;
    struct reader *reader = disk_reader_take(disk);

    if (!reader)
        return false;
    bool found = disk_find_record(disk, reader->txn, key, &record);
    disk_reader_give(reader);
    return found;
}

/* ---- second chances ---- */

static unsigned char ref_mask(uint64_t hash)
{
    return (unsigned char)(1U << (hash & 7));
}

static atomic_uchar *ref_byte(struct disk *disk, uint64_t hash)
{
    return &disk->refs[(hash >> 3) % (REF_BITS / 8)];
}

/* Relaxed: a hint. Reads first, so that a hot tile's byte stays shared between cores. */
void disk_touch(struct disk *disk, const struct cache_key *key)
{
    uint64_t hash = cache_key_hash(key);
    atomic_uchar *byte = ref_byte(disk, hash);

    if (!(atomic_load_explicit(byte, memory_order_relaxed) & ref_mask(hash)))
        atomic_fetch_or_explicit(byte, ref_mask(hash), memory_order_relaxed);
}

bool disk_take_ref(struct disk *disk, const struct cache_key *key)
{
    uint64_t hash = cache_key_hash(key);
    unsigned char mask = ref_mask(hash);

    return atomic_fetch_and_explicit(ref_byte(disk, hash), (unsigned char)~mask,
                                     memory_order_relaxed) &
           mask;
}
