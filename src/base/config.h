/*
 * config: every setting of tilth, from one table (base/config.def): file key,
 * environment variable TILTH_<KEY>, flag --<key>, type, default, range, unit and
 * one sentence. conf/tilth.conf and docs/config.md are printed from the same table.
 *
 * Threads  filled by main before any thread starts, then read-only
 * Units    sizes in bytes, times in nanoseconds; "512 MiB", "5 s" in files
 */
#ifndef TILTH_BASE_CONFIG_H
#define TILTH_BASE_CONFIG_H

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct buf;

#define CONFIG_STRING_MAX 512

struct config {
#define CONFIG_STRING(key, fallback, help)                       char key[CONFIG_STRING_MAX];
#define CONFIG_INT(key, fallback, min, max, unit, help)          int64_t key;
#define CONFIG_BYTES(key, fallback, min, max, help)              int64_t key;
#define CONFIG_TIME(key, fallback, min, max, help)               int64_t key;
#define CONFIG_BOOL(key, fallback, help)                         bool key;
#include "base/config.def"
#undef CONFIG_STRING
#undef CONFIG_INT
#undef CONFIG_BYTES
#undef CONFIG_TIME
#undef CONFIG_BOOL
};

void config_defaults(struct config *config);
/* "key = value" lines, # comments. Unknown key: refused with file:line and the nearest key. */
TL_MUST_CHECK enum tl_code config_read_file(struct config *config, const char *path,
                                            struct tl_err *err);
TL_MUST_CHECK enum tl_code config_read_environment(struct config *config, struct tl_err *err);
/* Sets one key from text; `where` ("conf/tilth.conf:12", "--port") goes into the message. */
TL_MUST_CHECK enum tl_code config_set(struct config *config, const char *where, const char *key,
                                      const char *value, struct tl_err *err);
/* A commented file with every key; the text of conf/tilth.conf. */
void config_print(const struct config *config, struct buf *out);
void config_print_markdown(struct buf *out); /* docs/config.md */

#endif
