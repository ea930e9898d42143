#include "raster/gdal_file.h"

#include "base/errand.h"
#include "store/store.h"

#include <cpl_vsi.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PREFIX "/vsitilth/"

struct gdal_file {
    struct object *object;
    struct errand *errand;
    enum tl_code code; /* of the first read that failed */
    struct tl_err err;
    char path[256];
    struct gdal_file *next;
};

/*
 * GDAL's table of file systems is one per process, and so is this list behind it: names
 * that GDAL hands back are looked up here, never believed to be pointers.
 */
static struct {
    pthread_mutex_t mu; /* guards: the rest */
    struct gdal_file *files;
    uint64_t next_id;
    bool installed;
} files = {.mu = PTHREAD_MUTEX_INITIALIZER};

/* One opening of a file by GDAL. */
struct handle {
    struct gdal_file *file;
    uint64_t at;
    bool eof;
};

static struct gdal_file *find(const char *path)
{
    struct gdal_file *file;

    pthread_mutex_lock(&files.mu);
    for (file = files.files; file; file = file->next) {
        /* GDAL hands names over without the prefix. */
        if (strcmp(file->path, path) == 0 || strcmp(file->path + strlen(PREFIX), path) == 0)
            break;
    }
    pthread_mutex_unlock(&files.mu);
    return file;
}

static int on_stat(void *arg, const char *path, VSIStatBufL *ret_stat, int flags)
{
    const struct gdal_file *file = find(path);

    (void)arg;
    (void)flags;
    if (!file) {
        errno = ENOENT;
        return -1;
    }
    memset(ret_stat, 0, sizeof(*ret_stat));
    ret_stat->st_mode = S_IFREG | S_IRUSR;
    ret_stat->st_size = (off_t)object_size(file->object);
    return 0;
}

static void *on_open(void *arg, const char *path, const char *access)
{
    struct gdal_file *file = find(path);
    struct handle *handle = NULL;

    (void)arg;
    if (file && access[0] == 'r' && !strchr(access, '+'))
        handle = calloc(1, sizeof(*handle));
    if (handle)
        handle->file = file;
    else
        errno = ENOENT;
    return handle;
}

static vsi_l_offset on_tell(void *opened)
{
    return ((struct handle *)opened)->at;
}

static int on_seek(void *opened, vsi_l_offset offset, int whence)
{
    struct handle *handle = opened;

    if (whence == SEEK_CUR)
        offset += handle->at;
    else if (whence == SEEK_END)
        offset += object_size(handle->file->object);
    handle->at = offset;
    handle->eof = false;
    return 0;
}

/* Like fread(): whole elements, and fewer of them at the end of the file. */
static size_t on_read(void *opened, void *out, size_t size, size_t count)
{
    struct handle *handle = opened;
    struct gdal_file *file = handle->file;
    uint64_t file_size = object_size(file->object);
    uint64_t left = handle->at < file_size ? file_size - handle->at : 0;
    size_t wanted;

    if (__builtin_mul_overflow(size, count, &wanted) || !wanted)
        return 0;
    handle->eof = wanted > left;
    size_t step = (size_t)TL_MIN((uint64_t)wanted, left) / size * size;
    if (!step || file->code != TL_OK || !file->errand) /* somebody must be paying */
        return 0;
    file->code = object_read_cached(file->object, (struct range){handle->at, step}, file->errand,
                                    out, &file->err);
    if (file->code != TL_OK)
        return 0;
    handle->at += step;
    return step / size;
}

static int on_eof(void *opened)
{
    return ((struct handle *)opened)->eof;
}

static int on_close(void *opened)
{
    free(opened);
    return 0;
}

/* An empty folder: no sidecar files are looked for. */
static char **on_siblings(void *arg, const char *path)
{
    (void)arg;
    (void)path;
    return calloc(1, sizeof(char *)); /* GDAL frees it with CSLDestroy(), which is free() */
}

/* Call with the lock held. */
static bool install(void)
{
    VSIFilesystemPluginCallbacksStruct *plugin = VSIAllocFilesystemPluginCallbacksStruct();

    if (!plugin)
        return false;
    plugin->stat = on_stat;
    plugin->open = on_open;
    plugin->tell = on_tell;
    plugin->seek = on_seek;
    plugin->read = on_read;
    plugin->eof = on_eof;
    plugin->close = on_close;
    plugin->sibling_files = on_siblings;
    bool installed = VSIInstallPluginHandler(PREFIX, plugin) == 0;
    VSIFreeFilesystemPluginCallbacksStruct(plugin);
    return installed;
}

/* The last part of the href, as far as it is harmless: drivers look at the extension. */
static void make_path(struct gdal_file *file, uint64_t id)
{
    const char *href = object_href(file->object), *slash = strrchr(href, '/');
    const char *name = slash ? slash + 1 : href;
    int used = snprintf(file->path, sizeof(file->path), PREFIX "%llu/", (unsigned long long)id);
    size_t at = (size_t)used;

    for (; *name && *name != '?' && at + 1 < sizeof(file->path); name++) {
        bool plain = (*name >= '0' && *name <= '9') || (*name >= 'A' && *name <= 'Z') ||
                     (*name >= 'a' && *name <= 'z') || *name == '.' || *name == '-';
        file->path[at++] = (char)(plain ? *name : '_');
    }
    file->path[at] = '\0';
}

enum tl_code gdal_file_new(struct object *object, struct gdal_file **ret_file, struct tl_err *err)
{
    struct gdal_file *file = calloc(1, sizeof(*file));

    if (!file)
        return tl_fail(err, TL_NOMEM, "no memory to open %s", object_href(object));
    file->object = object_ref(object);
    pthread_mutex_lock(&files.mu);
    files.installed = files.installed || install();
    bool installed = files.installed;
    make_path(file, ++files.next_id);
    file->next = files.files;
    files.files = file;
    pthread_mutex_unlock(&files.mu);
    if (!installed) {
        gdal_file_free(file);
        return tl_fail(err, TL_INTERNAL, "GDAL refuses our file system " PREFIX);
    }
    *ret_file = file;
    return TL_OK;
}

void gdal_file_free(struct gdal_file *file)
{
    if (!file)
        return;
    pthread_mutex_lock(&files.mu);
    struct gdal_file **slot = &files.files;
    while (*slot != file)
        slot = &(*slot)->next;
    *slot = file->next;
    pthread_mutex_unlock(&files.mu);
    object_unref(file->object);
    free(file);
}

struct object *gdal_file_object(const struct gdal_file *file)
{
    return file->object;
}

const char *gdal_file_path(const struct gdal_file *file)
{
    return file->path;
}

void gdal_file_run_for(struct gdal_file *file, struct errand *errand)
{
    file->errand = errand;
    file->code = TL_OK;
}

enum tl_code gdal_file_failure(const struct gdal_file *file, struct tl_err *err)
{
    if (file->code != TL_OK)
        *err = file->err;
    return file->code;
}
