/*
 * file: whole small files (configuration, styles, models) into memory, and out
 * again without ever leaving half a file behind.
 *
 * Threads  any
 */
#ifndef TILTH_BASE_FILE_H
#define TILTH_BASE_FILE_H

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct blob;

/* The whole file; more than `max_bytes` is refused with TL_LIMIT before it is read. */
TL_MUST_CHECK enum tl_code file_read(const char *path, size_t max_bytes, struct blob **ret_blob,
                                     struct tl_err *err);
/*
 * Where a file that is to replace `path` goes, as the one absolute name it has: links are
 * followed. The caller frees it. TL_INVALID when something is there that is not a file: a
 * device, a pipe, a folder; TL_ABSENT when its folder is not there.
 */
TL_MUST_CHECK enum tl_code file_target(const char *path, char **ret_path, struct tl_err *err);
/* Whether two names, NULL of nothing, are of one file that exists. */
bool file_same(const char *a, const char *b);
/* Writes beside `path` (its file_target()) and renames over it. */
TL_MUST_CHECK enum tl_code file_write(const char *path, const void *bytes, size_t size,
                                      struct tl_err *err);
/* Takes everybody's permission to write: the file is only ever replaced from now on. */
TL_MUST_CHECK enum tl_code file_seal(const char *path, struct tl_err *err);

#endif
