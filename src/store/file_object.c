/*
 * file_object: a local file, read with pread() in the caller's thread. The descriptor
 * stays open, so what is read is one inode; its size, mtime and link count are looked at
 * after every read, so bytes of a file that was written to or replaced are never handed
 * out. A whole file of some size that nobody may write to is mapped instead.
 */
#include "base/blob.h"
#include "base/clock.h"
#include "base/errand.h"
#include "store/href.h"
#include "store/object.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Less is read as fast. */
enum { MAPPED_BYTES = 64 * 1024 };

struct file_object {
    struct object object;
    int fd;
    char *path;
    dev_t device;
    ino_t inode;
    struct timespec modified;
};

static struct file_object *file_of(struct object *object)
{
    return (struct file_object *)(void *)object; /* the first member */
}

static const char *errno_text(char room[static 128])
{
    int number = errno;

    return strerror_r(number, room, 128); /* GNU's: returns the text */
}

static bool is_same(const struct file_object *file, const struct stat *st)
{
    return st->st_nlink > 0 && st->st_dev == file->device && st->st_ino == file->inode &&
           (uint64_t)st->st_size == file->object.size &&
           st->st_mtim.tv_sec == file->modified.tv_sec &&
           st->st_mtim.tv_nsec == file->modified.tv_nsec;
}

static enum tl_code check_same(struct file_object *file, struct tl_err *err)
{
    struct stat st;

    if (fstat(file->fd, &st) == 0 && is_same(file, &st))
        return TL_OK;
    return tl_fail(err, TL_CHANGED, "%.300s: the file was changed, replaced or removed",
                   file->path);
}

static enum tl_code read_fully(struct file_object *file, struct range range, uint8_t *dst,
                               struct tl_err *err)
{
    char room[128];

    for (size_t got = 0; got < range.size;) {
        ssize_t n = pread(file->fd, dst + got, range.size - got, (off_t)(range.offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return tl_fail(err, TL_UPSTREAM, "%.300s: reading %zu bytes at %llu: %s", file->path,
                           range.size, (unsigned long long)range.offset, errno_text(room));
        if (n == 0)
            return tl_fail(err, TL_CHANGED, "%.300s: the file became shorter", file->path);
        got += (size_t)n;
    }
    return TL_OK;
}

static void charge(struct errand *errand, uint64_t bytes, int64_t start_ns)
{
    errand->fetched_bytes += bytes;
    errand->fetches++;
    errand_lap(errand, STAGE_FETCH, start_ns);
}

static enum tl_code file_copy(struct object *object, struct range range, struct errand *errand,
                              void *dst, struct tl_err *err)
{
    struct file_object *file = file_of(object);
    int64_t start_ns = clock_now_ns();

    TL_TRY(errand_check(errand, err));
    TL_TRY(read_fully(file, range, dst, err));
    charge(errand, range.size, start_ns);
    return check_same(file, err);
}

static enum tl_code read_slice(struct file_object *file, struct range range,
                               struct slice *ret_slice, struct tl_err *err)
{
    AUTO(blob) blob = blob_new(range.size);

    if (!blob)
        return tl_fail(err, TL_NOMEM, "no memory for %zu bytes of %.300s", range.size, file->path);
    TL_TRY(read_fully(file, range, blob_writable(blob), err));
    ret_slice->bytes = blob_bytes(blob);
    ret_slice->size = range.size;
    ret_slice->owner = TL_TAKE(blob);
    return TL_OK;
}

static enum tl_code read_slices(struct file_object *file, const struct range *ranges, size_t count,
                                struct errand *errand, struct slice *slices, struct tl_err *err)
{
    for (size_t i = 0; i < count; i++) {
        int64_t start_ns = clock_now_ns();
        TL_TRY(errand_check(errand, err));
        TL_TRY(read_slice(file, ranges[i], &slices[i], err));
        charge(errand, ranges[i].size, start_ns);
    }
    return check_same(file, err);
}

static enum tl_code file_read_ranges(struct object *object, const struct range *ranges,
                                     size_t count, struct errand *errand, struct slice *ret_slices,
                                     struct tl_err *err)
{
    struct slice *slices = calloc(count, sizeof(*slices));

    if (!slices)
        return tl_fail(err, TL_NOMEM, "no memory to read %zu ranges", count);
    enum tl_code code = read_slices(file_of(object), ranges, count, errand, slices, err);
    if (code == TL_OK)
        memcpy(ret_slices, slices, count * sizeof(*slices));
    for (size_t i = 0; i < count && code != TL_OK; i++)
        blob_unref(slices[i].owner);
    free(slices);
    return code;
}

/* By name, unlike every read: a new file under the old name is another version. */
static enum tl_code file_revalidate(struct object *object, struct errand *errand,
                                    struct tl_err *err)
{
    struct file_object *file = file_of(object);
    struct stat st;

    TL_TRY(errand_check(errand, err));
    if (stat(file->path, &st) == 0 && is_same(file, &st))
        return TL_OK;
    return tl_fail(err, TL_CHANGED, "%.300s: the file was changed, replaced or removed",
                   file->path);
}

/* Where a mapped page is the page cache's, and stays while the file is there. Other machines, and
 * programs that are file systems, may take it away. */
static bool is_near(const struct file_object *file)
{
    static const unsigned long kinds[] = {
        EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,       BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC,
        TMPFS_MAGIC,      OVERLAYFS_SUPER_MAGIC, SQUASHFS_MAGIC,    EROFS_SUPER_MAGIC_V1};
    struct statfs fs;

    if (fstatfs(file->fd, &fs) != 0)
        return false;
    for (size_t i = 0; i < TL_COUNT(kinds); i++)
        if ((unsigned long)fs.f_type == kinds[i])
            return true;
    return false;
}

/*
 * Permission to write is what tells a file that is replaced from one that is written to: who
 * truncates a mapped file kills whoever reads on. `tilth model compile` gives none.
 */
static struct blob *file_map(struct object *object)
{
    struct file_object *file = file_of(object);
    struct stat st;

    if (object->size < MAPPED_BYTES || fstat(file->fd, &st) != 0 || !is_same(file, &st) ||
        (st.st_mode & (S_IWUSR | S_IWGRP | S_IWOTH)) || !is_near(file))
        return NULL;
    return blob_map(file->fd, (size_t)object->size);
}

static void file_close(struct object *object)
{
    struct file_object *file = file_of(object);

    if (file->fd >= 0)
        close(file->fd);
    free(file->path);
    object_release(object);
    free(file);
}

static const struct object_ops file_ops = {
    .read = file_read_ranges,
    .copy = file_copy,
    .map = file_map,
    .revalidate = file_revalidate,
    .close = file_close,
};

static enum tl_code look(struct file_object *file, struct tl_err *err)
{
    struct stat st;
    char room[128];

    if (fstat(file->fd, &st) != 0)
        return tl_fail(err, TL_UPSTREAM, "%.300s: %s", file->path, errno_text(room));
    if (!S_ISREG(st.st_mode))
        return tl_fail(err, TL_INVALID, "%.300s: not a regular file", file->path);
    file->device = st.st_dev;
    file->inode = st.st_ino;
    file->modified = st.st_mtim;
    file->object.size = (uint64_t)st.st_size;
    snprintf(file->object.version, sizeof(file->object.version), "%llu-%llu-%lld.%09ld",
             (unsigned long long)st.st_ino, (unsigned long long)st.st_size,
             (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    return TL_OK;
}

static enum tl_code open_file(struct file_object *file, struct tl_err *err)
{
    char room[128];

    /* O_NONBLOCK: opening a FIFO must not wait for a writer. */
    file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file->fd >= 0)
        return look(file, err);
    enum tl_code code = errno == ENOENT || errno == ENOTDIR ? TL_ABSENT : TL_UPSTREAM;
    return tl_fail(err, code, "%.300s: %s", file->path, errno_text(room));
}

enum tl_code file_object_open(struct store *store, const struct href *href,
                              struct object **ret_object, struct tl_err *err)
{
    struct file_object *file = calloc(1, sizeof(*file));
    char *path = strdup(href->path);

    if (!file || !path || object_init(&file->object, store, &file_ops, href->text, err) != TL_OK) {
        free(file);
        free(path);
        return tl_fail(err, TL_NOMEM, "no memory to open %.300s", href->text);
    }
    file->path = path;
    file->fd = -1;
    AUTO(object) object = &file->object;
    TL_TRY(open_file(file, err));
    *ret_object = TL_TAKE(object);
    return TL_OK;
}
