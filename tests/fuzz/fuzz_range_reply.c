/*
 * Header lines and error bodies as a store may send them. Whatever comes, an accepted body
 * is exactly the range that was asked for, of the version that was asked for.
 *
 *   byte 0          flags: opening, conditional, a known validator
 *   bytes 1..8      offset and size of the ask, two 32-bit little-endian numbers
 *   the rest        header lines, parted by newlines; the last one is the body
 */
#include "base/check.h"
#include "store/range_reply.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WHOLE_MAX = 32768, TOTAL = 1000000 };

static const char *feed(struct range_reply *reply, const char *text, size_t size, size_t *ret_left)
{
    for (const char *end; size && (end = memchr(text, '\n', size));) {
        size_t line = (size_t)(end - text) + 1;
        range_reply_line(reply, text, line);
        text += line;
        size -= line;
    }
    *ret_left = size;
    return text;
}

static void check_reply(const struct range_reply *reply)
{
    TL_CHECK(reply->status == 0 || (reply->status >= 100 && reply->status <= 999));
    TL_CHECK(strlen(reply->etag) < sizeof(reply->etag));
    TL_CHECK(!strpbrk(reply->etag, "\r\n") && !strpbrk(reply->last_modified, "\r\n"));
    TL_CHECK(reply->damaged || !reply->has_range ||
             (reply->first <= reply->last && reply->last < reply->total));
}

static void check_verdict(const struct range_reply *reply, const struct range_ask *ask,
                          const struct reply_verdict *verdict)
{
    if (verdict->body == BODY_MESSAGE || verdict->body == BODY_NONE)
        return;
    TL_CHECK(!reply->damaged && range_reply_validator(reply)[0]);
    TL_CHECK(verdict->body_size > 0);
    if (verdict->body == BODY_WHOLE) {
        TL_CHECK(ask->opening && verdict->body_size <= WHOLE_MAX && reply->status == 200);
        return;
    }
    TL_CHECK(reply->status == 206 && reply->first == ask->offset);
    TL_CHECK(verdict->body_size <= ask->size && reply->last < verdict->total);
    TL_CHECK(reply->last - reply->first + 1 == verdict->body_size);
    if (!ask->opening)
        TL_CHECK(verdict->body_size == ask->size && verdict->total == TOTAL &&
                 strcmp(range_reply_validator(reply), ask->validator) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct range_reply reply;
    struct reply_verdict verdict;
    struct tl_err err;
    uint32_t offset, length;
    char code[64];

    if (size < 9)
        return 0;
    memcpy(&offset, data + 1, 4);
    memcpy(&length, data + 5, 4);
    struct range_ask ask = {.offset = offset,
                            .size = (uint64_t)length + 1,
                            .opening = data[0] & 1,
                            .conditional = data[0] & 2,
                            .whole_max = WHOLE_MAX,
                            .total = TOTAL,
                            .validator = data[0] & 4 ? "\"abc\"" : "W/\"abc\""};
    range_reply_reset(&reply);
    size_t left;
    const char *body = feed(&reply, (const char *)data + 9, size - 9, &left);
    check_reply(&reply);
    range_reply_s3_code(body, left, code);
    TL_CHECK(strlen(code) < sizeof(code) && !strchr(code, '<'));
    if (range_reply_judge(&reply, &ask, &verdict, &err) == TL_OK) {
        check_verdict(&reply, &ask, &verdict);
        if (verdict.body == BODY_MESSAGE)
            TL_CHECK(range_reply_explain(&reply, code, &err) != TL_OK);
    }
    return 0;
}
