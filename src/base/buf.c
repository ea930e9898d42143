#include "base/buf.h"

#include "base/blob.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_release(struct buf *buf)
{
    free(buf->bytes);
    *buf = (struct buf){0};
}

void buf_clear(struct buf *buf)
{
    buf->size = 0;
    buf->failed = false;
}

uint8_t *buf_extend(struct buf *buf, size_t size)
{
    if (buf->failed || size > SIZE_MAX / 4 || buf->size > SIZE_MAX / 4) {
        buf->failed = true;
        return NULL;
    }
    if (buf->size + size > buf->room) {
        size_t room = buf->room ? buf->room : 256;
        while (room < buf->size + size)
            room *= 2;
        uint8_t *bytes = realloc(buf->bytes, room);
        if (!bytes) {
            buf->failed = true;
            return NULL;
        }
        buf->bytes = bytes;
        buf->room = room;
    }
    uint8_t *at = buf->bytes + buf->size;
    buf->size += size;
    return at;
}

void buf_append(struct buf *buf, const void *bytes, size_t size)
{
    uint8_t *at = size > 0 ? buf_extend(buf, size) : NULL;

    if (at)
        memcpy(at, bytes, size);
}

void buf_puts(struct buf *buf, const char *text)
{
    buf_append(buf, text, strlen(text));
}

void buf_printf(struct buf *buf, const char *fmt, ...)
{
    va_list ap, again;

    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    /* One byte more for vsnprintf's NUL, given back at once. */
    uint8_t *at = n < 0 ? NULL : buf_extend(buf, (size_t)n + 1);
    if (at) {
        vsnprintf((char *)at, (size_t)n + 1, fmt, again);
        buf->size--;
    }
    va_end(again);
}

/* Bytes of the UTF-8 character at `text`, 0 when it is none (RFC 3629: no overlong forms, no
 * surrogates, nothing past U+10FFFF). */
static unsigned utf8_size(const unsigned char *text)
{
    unsigned size = text[0] < 0x80 ? 1 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;
    unsigned char low = 0x80, high = 0xbf;

    if ((text[0] >= 0x80 && text[0] < 0xc2) || text[0] > 0xf4)
        return 0;
    if (text[0] == 0xe0)
        low = 0xa0;
    else if (text[0] == 0xed)
        high = 0x9f;
    else if (text[0] == 0xf0)
        low = 0x90;
    else if (text[0] == 0xf4)
        high = 0x8f;
    for (unsigned i = 1; i < size; i++) {
        if (text[i] < low || text[i] > high)
            return 0;
        low = 0x80;
        high = 0xbf;
    }
    return size;
}

void buf_json(struct buf *buf, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;

    buf_puts(buf, "\"");
    while (*at) {
        unsigned size = utf8_size(at);

        if (*at == '"' || *at == '\\')
            buf_printf(buf, "\\%c", *at);
        else if (*at < 0x20 || *at == 0x7f)
            buf_printf(buf, "\\u%04x", *at);
        else if (size == 0)
            buf_puts(buf, "\xef\xbf\xbd");
        else
            buf_append(buf, at, size);
        at += size ? size : 1;
    }
    buf_puts(buf, "\"");
}

bool buf_failed(const struct buf *buf)
{
    return buf->failed;
}

struct blob *buf_blob(const struct buf *buf)
{
    return buf->failed ? NULL : blob_copy(buf->bytes, buf->size);
}
