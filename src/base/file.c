#include "base/file.h"

#include "base/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What an errno of the file system means to whoever asked for `path`. */
static enum tl_code refuse(struct tl_err *err, const char *verb, const char *path, int why)
{
    char text[128];
    enum tl_code code = TL_UPSTREAM;

    if (why == ENOENT || why == ENOTDIR)
        code = TL_ABSENT;
    else if (why == ENOSPC || why == EDQUOT)
        code = TL_NOSPACE;
    else if (why == ENOMEM)
        code = TL_NOMEM;
    else if (why == EACCES || why == EPERM || why == EISDIR || why == EROFS)
        code = TL_INVALID;
    return tl_fail(err, code, "%s: cannot be %s: %s", path, verb,
                   strerror_r(why, text, sizeof(text)));
}

/* Up to `size` bytes; fewer at the end of the file; -1 with errno set. */
static ssize_t read_all(int fd, uint8_t *bytes, size_t size)
{
    size_t done = 0;

    while (done < size) {
        ssize_t n = read(fd, bytes + done, size - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static enum tl_code read_open(int fd, const char *path, size_t max_bytes, struct blob **ret_blob,
                              struct tl_err *err)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return refuse(err, "read", path, errno);
    if (!S_ISREG(st.st_mode))
        return tl_fail(err, TL_INVALID, "%s: is not a regular file", path);
    if (st.st_size < 0 || (uintmax_t)st.st_size > max_bytes)
        return tl_fail(err, TL_LIMIT, "%s: has %jd bytes, at most %zu are read", path,
                       (intmax_t)st.st_size, max_bytes);
    AUTO(blob) blob = blob_new((size_t)st.st_size);
    if (!blob)
        return tl_fail(err, TL_NOMEM, "%s: no memory for its %jd bytes", path,
                       (intmax_t)st.st_size);
    ssize_t n = read_all(fd, blob_writable(blob), (size_t)st.st_size);
    if (n < 0)
        return refuse(err, "read", path, errno);
    blob_truncate(blob, (size_t)n);
    *ret_blob = TL_TAKE(blob);
    return TL_OK;
}

enum tl_code file_read(const char *path, size_t max_bytes, struct blob **ret_blob,
                       struct tl_err *err)
{
    /* O_NONBLOCK: a FIFO under this name is refused below instead of waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return refuse(err, "read", path, errno);
    enum tl_code code = read_open(fd, path, max_bytes, ret_blob, err);
    close(fd);
    return code;
}

static bool write_all(int fd, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, bytes, size);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes += n;
        size -= (size_t)n;
    }
    return true;
}

/* The new name survives a power cut only once its folder is on disk too. */
static void sync_folder(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t size = slash ? (size_t)(slash - path) : 0;

    if (size >= sizeof(folder))
        return;
    memcpy(folder, path, size);
    folder[size] = '\0';
    if (size == 0)
        snprintf(folder, sizeof(folder), "%s", slash ? "/" : ".");
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

/* 0 or an errno; `fd` is closed. */
static int fill(int fd, const void *bytes, size_t size)
{
    int why = 0;

    /* mkostemp() makes it private; these files are no secrets. */
    if (!write_all(fd, bytes, size) || fchmod(fd, 0644) != 0 || fsync(fd) != 0)
        why = errno;
    if (close(fd) != 0 && why == 0)
        why = errno;
    return why;
}

/* The one name of a file that is not there yet: its folder resolved. NULL with errno. */
static char *resolve_new(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    char *given = slash ? strndup(path, (size_t)(name - path)) : strdup(".");
    char *folder = given ? realpath(given, NULL) : NULL, *whole = NULL;

    if (folder && asprintf(&whole, "%s/%s", folder, name) < 0)
        whole = NULL;
    int why = errno;
    free(given);
    free(folder);
    errno = why;
    return whole;
}

enum tl_code file_target(const char *path, char **ret_path, struct tl_err *err)
{
    struct stat info;
    bool exists = stat(path, &info) == 0;

    if (exists && !S_ISREG(info.st_mode))
        return tl_fail(err, TL_INVALID,
                       "%.300s: cannot be written: it is not a file, and what is there would be "
                       "lost",
                       path);
    char *target = exists ? realpath(path, NULL) : resolve_new(path);
    if (!target)
        return refuse(err, "written", path, errno);
    *ret_path = target;
    return TL_OK;
}

bool file_same(const char *a, const char *b)
{
    struct stat one, other;

    return a && b && stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev &&
           one.st_ino == other.st_ino;
}

static enum tl_code replace(const char *path, const void *bytes, size_t size, struct tl_err *err)
{
    char beside[PATH_MAX];
    int n = snprintf(beside, sizeof(beside), "%s.XXXXXX", path);

    if (n < 0 || (size_t)n >= sizeof(beside))
        return tl_fail(err, TL_INVALID, "%.80s...: a path has at most %d bytes", path, PATH_MAX);
    int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return refuse(err, "written", path, errno);
    int why = fill(fd, bytes, size);
    if (why == 0 && rename(beside, path) != 0)
        why = errno;
    if (why != 0) {
        unlink(beside);
        return refuse(err, "written", path, why);
    }
    sync_folder(path);
    return TL_OK;
}

enum tl_code file_write(const char *path, const void *bytes, size_t size, struct tl_err *err)
{
    char *target = NULL;

    TL_TRY(file_target(path, &target, err));
    enum tl_code code = replace(target, bytes, size, err);
    free(target);
    return code;
}

enum tl_code file_seal(const char *path, struct tl_err *err)
{
    return chmod(path, 0444) == 0 ? TL_OK : refuse(err, "made read-only", path, errno);
}
