/*
 * One JSON line per request, built by hand: it is written for every tile, and printf would
 * cost more than finding the tile.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/metric.h"
#include "http/app.h"

#include <time.h>

enum { PATH_SHOWN = 1200 };

/* Label values live as long as the process. */
static const char *status_word(int status)
{
    static const struct {
        int status;
        const char *word;
    } words[] = {{200, "200"}, {304, "304"}, {404, "404"}, {400, "400"}, {204, "204"}, {301, "301"},
                 {405, "405"}, {413, "413"}, {414, "414"}, {415, "415"}, {499, "499"}, {500, "500"},
                 {502, "502"}, {503, "503"}, {504, "504"}, {507, "507"}};

    for (unsigned i = 0; i < TL_COUNT(words); i++)
        if (words[i].status == status)
            return words[i].word;
    return "other";
}

/* Wall clock at a monotonic time: the difference of the two clocks is asked once a second. */
static int64_t unix_us_at(struct loop_state *loop, int64_t now_ns)
{
    if (now_ns - loop->clock_asked_ns > NS_PER_S || loop->clock_asked_ns == 0) {
        loop->clock_asked_ns = now_ns;
        loop->clock_offset_us = clock_unix_us() - clock_now_ns() / 1000;
    }
    return now_ns / 1000 + loop->clock_offset_us;
}

/* "2026-11-23T14:44:43.123456Z"; the part before the point changes once a second. */
static char *put_time(struct loop_state *loop, int64_t now_ns, char *to)
{
    int64_t us = unix_us_at(loop, now_ns);
    int64_t second = us / 1000000;

    if (second != loop->date_s) {
        char whole[LOG_TIME_SIZE];

        log_time(us, whole);
        memcpy(loop->date, whole, 19);
        loop->date_s = second;
    }
    memcpy(to, loop->date, 19);
    to += 19;
    *to++ = '.';
    uint64_t rest = (uint64_t)(us % 1000000);
    for (uint64_t unit = 100000; unit > 0; unit /= 10)
        *to++ = (char)('0' + rest / unit % 10);
    *to++ = 'Z';
    return to;
}

static char *put_escaped(char *to, struct text text, size_t room)
{
    return to + log_escape(to, room, text.at, text.size);
}

void access_log_write(struct http *http, const struct request *request,
                      const struct request_end *end)
{
    char line[LOG_LINE_MAX], *to = line;
    int64_t elapsed = end->end_ns - request->start_ns;

    metric_add_by(METRIC_HTTP_REQUESTS, status_word(end->status), 1);
    metric_observe_ns(METRIC_HTTP_SECONDS, elapsed);
    metric_add(METRIC_HTTP_BYTES, (int64_t)end->bytes);

    to = put_text(to, "{\"ts\":\"");
    to = put_time(&http->loops[request->loop], end->end_ns, to);
    to = put_text(to, "\",\"id\":\"");
    to = put_text(to, request->id);
    to = put_text(to, "\",\"peer\":\"");
    to = put_text(to, request->peer);
    to = put_text(to, "\",\"method\":\"");
    to = put_escaped(to, request->method, 32);
    to = put_text(to, "\",\"path\":\"");
    to = put_escaped(to, request->target, PATH_SHOWN);
    to = put_text(to, "\",\"status\":");
    to = put_uint(to, (uint64_t)end->status);
    to = put_text(to, ",\"bytes\":");
    to = put_uint(to, end->bytes);
    to = put_text(to, ",\"ms\":");
    to = put_ms(to, elapsed);
    to = put_text(to, ",\"route\":\"");
    to = put_text(to, request->route ? request->route : "none");
    *to++ = '"';
    if (request->cache) {
        to = put_text(to, ",\"cache\":\"");
        to = put_text(to, request->cache);
        *to++ = '"';
    }
    if (request->render_ns > 0) {
        to = put_text(to, ",\"render_ms\":");
        to = put_ms(to, request->render_ns);
    }
    if (end->aborted)
        to = put_text(to, ",\"aborted\":true");
    *to++ = '}';
    log_line(http->options.log, line, (size_t)(to - line));
}
