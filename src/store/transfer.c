#include "store/transfer.h"

#include "base/blob.h"
#include "base/check.h"
#include "base/clock.h"
#include "store/target.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An error body up to this is read to its end, so that the connection can be used again. */
enum { ERROR_BODY_MAX = 65536, CURL_BUFFER_SIZE = 131072, IDLE_CONNECTION_S = 25 };

static void judge(struct transfer *transfer)
{
    transfer->is_judged = true;
    transfer->code =
        range_reply_judge(&transfer->reply, &transfer->ask, &transfer->verdict, &transfer->err);
    if (transfer->code != TL_OK || transfer->verdict.body == BODY_MESSAGE ||
        transfer->verdict.body == BODY_NONE)
        return;
    transfer->body = blob_new((size_t)transfer->verdict.body_size);
    if (!transfer->body)
        transfer->code = tl_fail(&transfer->err, TL_NOMEM, "no memory for %llu bytes",
                                 (unsigned long long)transfer->verdict.body_size);
}

/* libcurl's callback: one header line. Anything but `size` ends the transfer. */
static size_t on_header(char *line, size_t one, size_t size, void *udata)
{
    struct transfer *transfer = udata;
    bool is_end = size == 0 || line[0] == '\r' || line[0] == '\n';

    (void)one; /* always 1 */
    if (transfer->first_byte_ns == 0)
        transfer->first_byte_ns = clock_now_ns();
    if (transfer->is_judged) /* trailers of a chunked body */
        return size;
    if (!is_end) {
        range_reply_line(&transfer->reply, line, size);
        return size;
    }
    if (transfer->reply.status >= 100 && transfer->reply.status < 200)
        return size;
    judge(transfer);
    return transfer->code == TL_OK ? size : 0;
}

static size_t keep_message(struct transfer *transfer, const char *bytes, size_t size)
{
    size_t room = sizeof(transfer->message) - transfer->message_size;
    size_t kept = TL_MIN(room, size);

    memcpy(transfer->message + transfer->message_size, bytes, kept);
    transfer->message_size += kept;
    transfer->got += size;
    return transfer->got > ERROR_BODY_MAX ? 0 : size;
}

/* libcurl's callback: some bytes of the body. */
static size_t on_body(char *bytes, size_t one, size_t size, void *udata)
{
    struct transfer *transfer = udata;

    (void)one; /* always 1 */
    if (!transfer->is_judged || transfer->code != TL_OK)
        return 0;
    if (transfer->verdict.body == BODY_MESSAGE)
        return keep_message(transfer, bytes, size);
    if (transfer->verdict.body == BODY_NONE)
        return size;
    if (size > transfer->verdict.body_size - transfer->got) {
        transfer->is_overrun = true;
        return 0;
    }
    memcpy(blob_writable(transfer->body) + transfer->got, bytes, size);
    transfer->got += size;
    return size;
}

/* Options that never change; see docs of each for why the default does not do. */
static bool set_options(CURL *easy, const struct transfer_limits *limits)
{
    long timeout_ms = (long)(limits->timeout_ns / NS_PER_MS);
    long connect_ms = (long)(limits->connect_timeout_ns / NS_PER_MS);

    return curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_USERAGENT, "tilth/" TILTH_VERSION) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)CURL_BUFFER_SIZE) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
           /* MinIO closes idle connections after 30 s, libcurl would reuse them up to 118 s. */
           curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)IDLE_CONNECTION_S) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, TL_MAX(timeout_ms, 1L)) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, TL_MAX(connect_ms, 1L)) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK;
}

struct transfer *transfer_new(const struct transfer_limits *limits)
{
    struct transfer *transfer = calloc(1, sizeof(*transfer));

    if (!transfer)
        return NULL;
    transfer->easy = curl_easy_init();
    if (!transfer->easy || !set_options(transfer->easy, limits)) {
        transfer_free(transfer);
        return NULL;
    }
    curl_easy_setopt(transfer->easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(transfer->easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(transfer->easy, CURLOPT_ERRORBUFFER, transfer->curl_error);
    return transfer;
}

void transfer_clear(struct transfer *transfer)
{
    curl_easy_setopt(transfer->easy, CURLOPT_HTTPHEADER, NULL);
    headers_unref(transfer->headers);
    blob_unref(transfer->body);
    transfer->headers = NULL;
    transfer->body = NULL;
    transfer->part = NULL;
}

void transfer_free(struct transfer *transfer)
{
    if (!transfer)
        return;
    curl_easy_cleanup(transfer->easy);
    headers_unref(transfer->headers);
    blob_unref(transfer->body);
    free(transfer);
}

bool transfer_prepare(struct transfer *transfer, const struct transfer_order *order, int64_t now_ns)
{
    char range[48];

    TL_CHECK(!transfer->headers && !transfer->body);
    transfer->part = order->part;
    transfer->headers = order->headers;
    transfer->ask = order->ask;
    range_reply_reset(&transfer->reply);
    transfer->is_judged = false;
    transfer->code = TL_OK;
    transfer->got = 0;
    transfer->is_overrun = false;
    transfer->message_size = 0;
    transfer->curl_error[0] = '\0';
    transfer->started_ns = now_ns;
    transfer->first_byte_ns = 0;

    snprintf(range, sizeof(range), "%llu-%llu", (unsigned long long)order->ask.offset,
             (unsigned long long)(order->ask.offset + order->ask.size - 1));
    CURL *easy = transfer->easy;
    return curl_easy_setopt(easy, CURLOPT_URL, order->url) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_RANGE, range) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_HTTPHEADER, order->headers->list) == CURLE_OK &&
           curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, order->is_fresh ? 1L : 0L) == CURLE_OK;
}

static bool passes(CURLcode result)
{
    static const CURLcode passing[] = {
        CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_CONNECT, CURLE_OPERATION_TIMEDOUT,
        CURLE_SSL_CONNECT_ERROR,    CURLE_SEND_ERROR,      CURLE_RECV_ERROR,
        CURLE_GOT_NOTHING,          CURLE_PARTIAL_FILE,
    };

    for (size_t i = 0; i < TL_COUNT(passing); i++)
        if (result == passing[i])
            return true;
    return false;
}

static struct outcome transport_failure(const struct transfer *transfer, CURLcode result,
                                        struct tl_err *err)
{
    const char *why = transfer->curl_error[0] ? transfer->curl_error : curl_easy_strerror(result);

    return (struct outcome){.kind = passes(result) ? OUTCOME_PASSING : OUTCOME_FINAL,
                            .code = tl_fail(err, TL_UPSTREAM, "%s", why),
                            .retry_after_s = -1};
}

/* Server minus client, from the answer's Date; 0 when it cannot be read. */
static int64_t skew_of(const struct range_reply *reply)
{
    time_t server_s = curl_getdate(reply->date, NULL);

    return server_s <= 0 ? 0 : (int64_t)server_s - clock_unix_us() / 1000000;
}

static struct outcome status_failure(const struct transfer *transfer, struct tl_err *err)
{
    int status = transfer->reply.status;
    struct outcome outcome = {.retry_after_s = transfer->reply.retry_after_s};
    char s3_code[64];

    range_reply_s3_code(transfer->message, transfer->message_size, s3_code);
    outcome.kind = range_reply_passes(status) ? OUTCOME_PASSING : OUTCOME_FINAL;
    outcome.code = range_reply_explain(&transfer->reply, s3_code, err);
    outcome.is_alive = status < 500;
    outcome.is_overload = status == 429 || status == 503;
    outcome.is_skewed = status == 403 && strcmp(s3_code, "RequestTimeTooSkewed") == 0;
    outcome.skew_s = outcome.is_skewed ? skew_of(&transfer->reply) : 0;
    return outcome;
}

struct outcome transfer_outcome(const struct transfer *transfer, CURLcode result,
                                struct tl_err *err)
{
    const struct reply_verdict *verdict = &transfer->verdict;
    struct outcome outcome = {.kind = OUTCOME_FINAL, .is_alive = true, .retry_after_s = -1};

    if (transfer->is_judged && transfer->code != TL_OK) {
        *err = transfer->err;
        outcome.code = transfer->code;
        return outcome;
    }
    if (transfer->is_judged && verdict->body == BODY_MESSAGE &&
        (result == CURLE_OK || result == CURLE_WRITE_ERROR || result == CURLE_PARTIAL_FILE))
        return status_failure(transfer, err);
    if (transfer->is_overrun) {
        outcome.code = tl_fail(err, TL_UPSTREAM, "more than the announced %llu bytes came",
                               (unsigned long long)verdict->body_size);
        return outcome;
    }
    if (result != CURLE_OK)
        return transport_failure(transfer, result, err);
    if (!transfer->is_judged)
        return transport_failure(transfer, CURLE_GOT_NOTHING, err);
    if (verdict->body != BODY_NONE && transfer->got != verdict->body_size) {
        tl_fail(err, TL_UPSTREAM, "the body ended after %zu of %llu bytes", transfer->got,
                (unsigned long long)verdict->body_size);
        return (struct outcome){.kind = OUTCOME_PASSING, .code = TL_UPSTREAM, .retry_after_s = -1};
    }
    outcome.kind = OUTCOME_DONE;
    outcome.code = TL_OK;
    return outcome;
}
