/*
 * buf: a growable byte buffer for output whose size is not known before: JSON,
 * Prometheus text, an encoded image.
 *
 * Threads  one at a time
 * Memory   struct buf b = {0}; ... buf_release(&b). After memory ran out every
 *          append does nothing and buf_failed() is true, so callers check once.
 */
#ifndef TILTH_BASE_BUF_H
#define TILTH_BASE_BUF_H

#include "base/attr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blob;

struct buf {
    uint8_t *bytes;
    size_t size;
    size_t room;
    bool failed;
};

void buf_release(struct buf *buf);
void buf_clear(struct buf *buf); /* empties it and keeps the memory */
/* Room for `size` more bytes at the end, or NULL; buf->size grows by it. */
uint8_t *buf_extend(struct buf *buf, size_t size);
void buf_append(struct buf *buf, const void *bytes, size_t size);
void buf_puts(struct buf *buf, const char *text);
void buf_printf(struct buf *buf, const char *fmt, ...) TL_PRINTF(2, 3);
/* `text` as a JSON string with its quotes. Bytes that are no UTF-8 become U+FFFD. */
void buf_json(struct buf *buf, const char *text);
bool buf_failed(const struct buf *buf);
/* A blob with a copy of the bytes; NULL when memory ran out at any time. */
struct blob *buf_blob(const struct buf *buf);

#define AUTO_BUF __attribute__((cleanup(buf_release))) struct buf

#endif
