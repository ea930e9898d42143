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
#include <stddef.h>
#include <stdint.h>

struct buf;

/* With the NUL; a longer value is refused. */
#define CONFIG_STRING_MAX 512

struct config {
#define CONFIG_STRING(key, fallback, help)              char key[CONFIG_STRING_MAX];
#define CONFIG_INT(key, fallback, min, max, unit, help) int64_t key;
#define CONFIG_BYTES(key, fallback, min, max, help)     int64_t key;
#define CONFIG_TIME(key, fallback, min, max, help)      int64_t key;
#define CONFIG_BOOL(key, fallback, help)                bool key;
#define CONFIG_SECRET(key, help)                        char key[CONFIG_STRING_MAX];
#include "base/config.def"
#undef CONFIG_STRING
#undef CONFIG_INT
#undef CONFIG_BYTES
#undef CONFIG_TIME
#undef CONFIG_BOOL
#undef CONFIG_SECRET
};

void config_defaults(struct config *config);
/*
 * "key = value" lines; # at the start of a line or after a space begins a comment. Refused
 * with file:line: an unknown key (naming the nearest), a key given twice, a value that is
 * malformed or out of its range. TL_ABSENT where there is no such file.
 */
TL_MUST_CHECK enum tl_code config_read_file(struct config *config, const char *path,
                                            struct tl_err *err);
/* The same from memory; `name` stands for the path in messages. */
TL_MUST_CHECK enum tl_code config_read_text(struct config *config, const char *name,
                                            const void *bytes, size_t size, struct tl_err *err);
/* TILTH_<KEY> of every key. Other TILTH_ variables are left alone: Kubernetes makes some of
 * its own (TILTH_SERVICE_HOST) beside a service of that name. */
TL_MUST_CHECK enum tl_code config_read_environment(struct config *config, struct tl_err *err);
/*
 * Sets one key from text; `where` ("conf/tilth.conf:12", "--port") goes into the message.
 * "cache-size" is "cache_size". Changes nothing when it refuses.
 */
TL_MUST_CHECK enum tl_code config_set(struct config *config, const char *where, const char *key,
                                      const char *value, struct tl_err *err);
/* True when config_set() takes `key`. */
bool config_knows(const char *key);
/* The key that may have been meant, as an option writes it ("cache-size"); "" when none is near. */
void config_nearest(const char *key, char ret_option[64]);
/* A commented file with every key; the text of conf/tilth.conf. What differs from the default
 * is set, the rest is commented out; a secret is never printed. */
void config_print(const struct config *config, struct buf *out);
void config_print_markdown(struct buf *out); /* docs/config.md */

#endif
