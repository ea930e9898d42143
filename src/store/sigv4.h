/*
 * sigv4: AWS Signature Version 4 of a request without a body.
 *
 *   signature = HMAC(key(day, region, service), "AWS4-HMAC-SHA256" stamp scope
 *                    sha256(method path query headers signed-names payload-hash))
 *
 * libcurl's own signer does not canonicalise paths (curl/curl#7559, #13754), so this one is
 * held against the vectors AWS publishes. The key changes once a day and is kept.
 *
 * Threads  one signer, one thread
 * Memory   the strings of sigv4_signer are borrowed
 */
#ifndef TILTH_STORE_SIGV4_H
#define TILTH_STORE_SIGV4_H

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;

/* sha256(""): the payload of every GET. */
#define SIGV4_EMPTY_PAYLOAD "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

#define SIGV4_STAMP_SIZE 17 /* "20150830T123600Z" and a NUL */

struct sigv4_signer {
    const char *access_key, *secret_key, *region, *service;
    char key_day[9]; /* "20150830": the day of `key`; "" before the first use */
    uint8_t key[32];
};

struct sigv4_header {
    const char *name; /* lower case; the array is sorted by it */
    const char *value;
};

struct sigv4_request {
    const char *method;
    const char *path;  /* encoded, starts with '/' */
    const char *query; /* encoded and sorted; "" for none */
    const struct sigv4_header *headers;
    size_t header_count;
    const char *payload_sha256; /* in hex, or "UNSIGNED-PAYLOAD" */
};

void sigv4_stamp(int64_t unix_s, char ret_stamp[SIGV4_STAMP_SIZE]);

/* Appends `text` with everything but A-Z a-z 0-9 - . _ ~ (and '/') as %XX. */
void sigv4_encode(struct buf *out, const char *text, bool keep_slash);

/* Appends the value of the Authorization header. TL_INTERNAL when OpenSSL refuses. */
TL_MUST_CHECK enum tl_code sigv4_authorize(struct sigv4_signer *signer,
                                           const struct sigv4_request *request, const char *stamp,
                                           struct buf *out, struct tl_err *err);

#endif
