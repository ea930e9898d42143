#include "store/target.h"

#include "base/buf.h"
#include "base/check.h"
#include "store/store.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

/* Stores accept a clock 15 minutes off; one minute of that is ours. */
enum { SIGNATURE_AGE_S = 60 };

static char *copy_or_empty(const char *text)
{
    return strdup(text ? text : "");
}

static void target_free(struct target *target)
{
    headers_unref(target->read_headers);
    href_release(&target->href);
    free(target->access_key);
    if (target->secret_key)
        explicit_bzero(target->secret_key, strlen(target->secret_key));
    free(target->secret_key);
    free(target->region);
    free(target->session_token);
    explicit_bzero(target->signer.key, sizeof(target->signer.key));
    free(target);
}

enum tl_code target_new(struct fetch *fetch, struct href *href, const struct s3_options *s3,
                        struct target **ret_target, struct tl_err *err)
{
    struct target *target = calloc(1, sizeof(*target));
    bool is_s3 = href->kind == HREF_S3;

    if (!target)
        return tl_fail(err, TL_NOMEM, "no memory to open %s", href->label);
    target->access_key = copy_or_empty(is_s3 ? s3->access_key : "");
    target->secret_key = copy_or_empty(is_s3 ? s3->secret_key : "");
    target->session_token = copy_or_empty(is_s3 ? s3->session_token : "");
    target->region = strdup(is_s3 && s3->region && s3->region[0] ? s3->region : "us-east-1");
    if (!target->access_key || !target->secret_key || !target->session_token || !target->region) {
        target_free(target);
        return tl_fail(err, TL_NOMEM, "no memory to open %s", href->label);
    }
    atomic_init(&target->refs, 1);
    target->fetch = fetch;
    target->signer = (struct sigv4_signer){.access_key = target->access_key,
                                           .secret_key = target->secret_key,
                                           .region = target->region,
                                           .service = "s3"};
    LIST_INIT(&target->parts);
    LIST_INIT(&target->pending);
    LIST_INIT(&target->arrived);
    target->href = *href;
    *href = (struct href){0};
    *ret_target = target;
    return TL_OK;
}

struct target *target_ref(struct target *target)
{
    /* Relaxed: the pointer came with its own ordering. */
    atomic_fetch_add_explicit(&target->refs, 1, memory_order_relaxed);
    return target;
}

void target_unref(struct target *target)
{
    if (target && atomic_fetch_sub_explicit(&target->refs, 1, memory_order_acq_rel) == 1)
        target_free(target);
}

void target_pin(struct target *target, const char *validator, uint64_t size)
{
    TL_CHECK(strlen(validator) < sizeof(target->validator));
    memcpy(target->validator, validator, strlen(validator) + 1);
    target->size = size;
}

void headers_unref(struct headers *headers)
{
    if (!headers || --headers->refs > 0)
        return;
    curl_slist_free_all(headers->list);
    free(headers);
}

void target_forget_headers(struct target *target)
{
    headers_unref(target->read_headers);
    target->read_headers = NULL;
}

/* Appends "name: value"; keeps the list whole when memory is out. */
static bool add_line(struct headers *headers, const char *name, const char *value)
{
    AUTO_BUF line = {0};

    buf_printf(&line, "%s: %s", name, value);
    buf_append(&line, "", 1);
    if (buf_failed(&line))
        return false;
    struct curl_slist *list = curl_slist_append(headers->list, (const char *)line.bytes);
    if (!list)
        return false;
    headers->list = list;
    return true;
}

static enum tl_code add_signature(struct target *target, struct headers *headers,
                                  struct tl_err *err)
{
    char stamp[SIGV4_STAMP_SIZE];
    AUTO_BUF value = {0};

    sigv4_stamp(headers->made_s, stamp);
    const struct sigv4_header signed_headers[] = {
        {"host", target->href.host},
        {"x-amz-content-sha256", SIGV4_EMPTY_PAYLOAD},
        {"x-amz-date", stamp},
        {"x-amz-security-token", target->session_token},
    };
    struct sigv4_request request = {.method = "GET",
                                    .path = target->href.path,
                                    .query = "",
                                    .headers = signed_headers,
                                    .header_count = target->session_token[0] ? 4 : 3,
                                    .payload_sha256 = SIGV4_EMPTY_PAYLOAD};
    TL_TRY(sigv4_authorize(&target->signer, &request, stamp, &value, err));
    buf_append(&value, "", 1);
    bool ok = !buf_failed(&value) && add_line(headers, "Authorization", (const char *)value.bytes);
    for (size_t i = 0; ok && i < request.header_count; i++)
        ok = add_line(headers, signed_headers[i].name, signed_headers[i].value);
    return ok ? TL_OK : tl_fail(err, TL_NOMEM, "no memory to sign a request");
}

/*
 * A weak ETag never matches If-Match (RFC 9110, 13.1.1), so it is only compared when the
 * answer comes; a date is the next best thing where there is no ETag.
 */
static bool add_condition(const struct target *target, struct headers *headers,
                          enum headers_kind kind)
{
    bool is_tag = target->validator[0] == '"', is_weak = target->validator[0] == 'W';

    if (kind == HEADERS_OPEN || !target->validator[0] || (is_weak && kind == HEADERS_READ))
        return true;
    if (kind == HEADERS_READ)
        return add_line(headers, is_tag ? "If-Match" : "If-Unmodified-Since", target->validator);
    return add_line(headers, is_tag || is_weak ? "If-None-Match" : "If-Modified-Since",
                    target->validator);
}

static enum tl_code headers_new(struct target *target, enum headers_kind kind, int64_t now_s,
                                struct headers **ret, struct tl_err *err)
{
    struct headers *headers = calloc(1, sizeof(*headers));

    if (!headers)
        return tl_fail(err, TL_NOMEM, "no memory for request headers");
    headers->refs = 1;
    headers->made_s = now_s;
    enum tl_code code = add_condition(target, headers, kind)
                            ? TL_OK
                            : tl_fail(err, TL_NOMEM, "no memory for request headers");
    if (code == TL_OK && target->access_key[0])
        code = add_signature(target, headers, err);
    if (code != TL_OK) {
        headers_unref(headers);
        return code;
    }
    *ret = headers;
    return TL_OK;
}

enum tl_code target_headers(struct target *target, enum headers_kind kind, int64_t now_s,
                            struct headers **ret, struct tl_err *err)
{
    if (kind != HEADERS_READ)
        return headers_new(target, kind, now_s, ret, err);
    struct headers *kept = target->read_headers;
    if (!kept || now_s < kept->made_s || now_s - kept->made_s > SIGNATURE_AGE_S) {
        TL_TRY(headers_new(target, kind, now_s, &kept, err));
        target_forget_headers(target);
        target->read_headers = kept;
    }
    kept->refs++;
    *ret = kept;
    return TL_OK;
}
