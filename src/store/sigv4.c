#include "store/sigv4.h"

#include "base/buf.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>
#include <time.h>

enum { SHA_SIZE = 32, SECRET_MAX = 512 };

void sigv4_stamp(int64_t unix_s, char ret_stamp[SIGV4_STAMP_SIZE])
{
    time_t seconds = (time_t)unix_s;
    struct tm utc;

    gmtime_r(&seconds, &utc);
    strftime(ret_stamp, SIGV4_STAMP_SIZE, "%Y%m%dT%H%M%SZ", &utc);
}

static bool is_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._~", c));
}

void sigv4_encode(struct buf *out, const char *text, bool keep_slash)
{
    for (; *text; text++) {
        if (is_unreserved(*text) || (keep_slash && *text == '/'))
            buf_append(out, text, 1);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
    }
}

static void append_hex(struct buf *out, const uint8_t *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < size; i++) {
        const char pair[2] = {digits[bytes[i] >> 4], digits[bytes[i] & 15]};
        buf_append(out, pair, 2);
    }
}

static bool hmac(const uint8_t *key, size_t key_size, const void *bytes, size_t size,
                 uint8_t ret_mac[SHA_SIZE])
{
    return HMAC(EVP_sha256(), key, (int)key_size, bytes, size, ret_mac, NULL) != NULL;
}

static bool hmac_text(const uint8_t key[SHA_SIZE], const char *text, uint8_t ret_mac[SHA_SIZE])
{
    return hmac(key, SHA_SIZE, text, strlen(text), ret_mac);
}

/* kDate -> kRegion -> kService -> kSigning; four HMACs, once a day. */
static bool derive_key(struct sigv4_signer *signer, const char *stamp)
{
    uint8_t secret[4 + SECRET_MAX] = "AWS4", day_key[SHA_SIZE], region_key[SHA_SIZE],
                       service_key[SHA_SIZE];
    size_t secret_size = strlen(signer->secret_key);

    if (memcmp(signer->key_day, stamp, 8) == 0)
        return true;
    if (secret_size > SECRET_MAX)
        return false;
    memcpy(secret + 4, signer->secret_key, secret_size);
    bool ok = hmac(secret, 4 + secret_size, stamp, 8, day_key) &&
              hmac_text(day_key, signer->region, region_key) &&
              hmac_text(region_key, signer->service, service_key) &&
              hmac_text(service_key, "aws4_request", signer->key);
    explicit_bzero(secret, sizeof(secret));
    if (ok) {
        memcpy(signer->key_day, stamp, 8);
        signer->key_day[8] = '\0';
    }
    return ok;
}

static void append_signed_names(struct buf *out, const struct sigv4_request *request)
{
    for (size_t i = 0; i < request->header_count; i++)
        buf_printf(out, "%s%s", i ? ";" : "", request->headers[i].name);
}

static void append_canonical(struct buf *out, const struct sigv4_request *request)
{
    buf_printf(out, "%s\n%s\n%s\n", request->method, request->path, request->query);
    for (size_t i = 0; i < request->header_count; i++)
        buf_printf(out, "%s:%s\n", request->headers[i].name, request->headers[i].value);
    buf_puts(out, "\n");
    append_signed_names(out, request);
    buf_printf(out, "\n%s", request->payload_sha256);
}

static void append_scope(struct buf *out, const struct sigv4_signer *signer, const char *stamp)
{
    buf_printf(out, "%.8s/%s/%s/aws4_request", stamp, signer->region, signer->service);
}

enum tl_code sigv4_authorize(struct sigv4_signer *signer, const struct sigv4_request *request,
                             const char *stamp, struct buf *out, struct tl_err *err)
{
    AUTO_BUF canonical = {0};
    AUTO_BUF to_sign = {0};
    uint8_t digest[SHA_SIZE];

    append_canonical(&canonical, request);
    if (!derive_key(signer, stamp) ||
        !EVP_Digest(canonical.bytes, canonical.size, digest, NULL, EVP_sha256(), NULL))
        return tl_fail(err, TL_INTERNAL,
                       "SigV4: OpenSSL refused HMAC-SHA256, or the secret key "
                       "is longer than %d bytes",
                       SECRET_MAX);
    buf_printf(&to_sign, "AWS4-HMAC-SHA256\n%s\n", stamp);
    append_scope(&to_sign, signer, stamp);
    buf_puts(&to_sign, "\n");
    append_hex(&to_sign, digest, SHA_SIZE);
    if (buf_failed(&canonical) || buf_failed(&to_sign) ||
        !hmac(signer->key, SHA_SIZE, to_sign.bytes, to_sign.size, digest))
        return tl_fail(err, TL_NOMEM, "no memory to sign a request");

    buf_printf(out, "AWS4-HMAC-SHA256 Credential=%s/", signer->access_key);
    append_scope(out, signer, stamp);
    buf_puts(out, ", SignedHeaders=");
    append_signed_names(out, request);
    buf_puts(out, ", Signature=");
    append_hex(out, digest, SHA_SIZE);
    return buf_failed(out) ? tl_fail(err, TL_NOMEM, "no memory to sign a request") : TL_OK;
}
