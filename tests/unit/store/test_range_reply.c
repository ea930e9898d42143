#include "tl_test.h"

#include "base/attr.h"
#include "store/range_reply.h"

#include <string.h>

#define ETAG "\"5d41402abc4b2a76b9719d911017c592\""

static const struct range_ask reading = {
    .offset = 100, .size = 50, .whole_max = 32768, .total = 1000, .validator = ETAG};
static const struct range_ask opening = {.size = 32768, .opening = true, .whole_max = 32768};

/* Lines parted by '\n', as an answer. */
static struct range_reply reply_of(const char *text)
{
    struct range_reply reply;

    range_reply_reset(&reply);
    while (*text) {
        size_t size = strcspn(text, "\n");
        range_reply_line(&reply, text, size);
        text += size + (text[size] == '\n');
    }
    return reply;
}

static void assert_body(const char *text, const struct range_ask *ask, enum reply_body body,
                        uint64_t size)
{
    struct range_reply reply = reply_of(text);
    struct reply_verdict verdict;
    struct tl_err err;

    assert_ok(range_reply_judge(&reply, ask, &verdict, &err));
    assert_int_equal(verdict.body, body);
    assert_int_equal(verdict.body_size, size);
}

static void assert_unusable(const char *text, const struct range_ask *ask, enum tl_code code,
                            const char *says)
{
    struct range_reply reply = reply_of(text);
    struct reply_verdict verdict;
    struct tl_err err;

    assert_refused(range_reply_judge(&reply, ask, &verdict, &err), code, says);
}

TEST(the_exact_range_of_the_same_version_is_taken)
{
    assert_body("HTTP/1.1 206 Partial Content\nContent-Range: bytes 100-149/1000\n"
                "Content-Length: 50\nETag: " ETAG,
                &reading, BODY_RANGE, 50);
}

TEST(header_names_have_no_case_and_values_are_trimmed)
{
    assert_body("HTTP/1.1 206 x\r\ncOnTeNt-rAnGe: \t bytes 100-149/1000 \r\netag:" ETAG "\r\n",
                &reading, BODY_RANGE, 50);
}

TEST(a_shifted_longer_or_shorter_range_is_refused)
{
    assert_unusable("HTTP/1.1 206 x\nContent-Range: bytes 101-150/1000\nETag: " ETAG, &reading,
                    TL_UPSTREAM, "bytes 100-149 were asked for, 101-150 came");
    assert_unusable("HTTP/1.1 206 x\nContent-Range: bytes 100-150/1000\nETag: " ETAG, &reading,
                    TL_UPSTREAM, "asked for");
    assert_unusable("HTTP/1.1 206 x\nContent-Range: bytes 100-148/1000\nETag: " ETAG, &reading,
                    TL_UPSTREAM, "asked for");
    assert_unusable("HTTP/1.1 206 x\nContent-Range: bytes 100-149/1000\nContent-Length: 51\n"
                    "ETag: " ETAG,
                    &reading, TL_UPSTREAM, "Content-Length 51");
}

TEST(a_206_without_content_range_is_refused)
{
    assert_unusable("HTTP/1.1 206 x\nContent-Type: multipart/byteranges\nETag: " ETAG, &reading,
                    TL_UPSTREAM, "without a Content-Range");
}

TEST(malformed_content_ranges_are_refused)
{
    static const char *const bad[] = {
        "bytes 100-149/*",
        "bytes 149-100/1000",
        "bytes 100-149/149",
        "bytes=100-149/1000",
        "bytes 100-149",
        "bytes -149/1000",
        "bytes 100-/1000",
        "bytes 100-149/1000x",
        "items 100-149/1000",
        "bytes 1 00-149/10",
        "bytes +100-149/100",
        "bytes 100-149/10000000000000000000000",
        "",
        "bytes */",
    };
    char text[256];

    for (size_t i = 0; i < TL_COUNT(bad); i++) {
        snprintf(text, sizeof(text), "HTTP/1.1 206 x\nContent-Range: %s\nETag: " ETAG, bad[i]);
        assert_unusable(text, &reading, TL_UPSTREAM, "malformed Content-Range");
    }
}

TEST(two_content_ranges_are_refused)
{
    assert_unusable("HTTP/1.1 206 x\nContent-Range: bytes 100-149/1000\n"
                    "Content-Range: bytes 100-149/1000\nETag: " ETAG,
                    &reading, TL_UPSTREAM, "malformed Content-Range");
}

TEST(malformed_etags_are_refused)
{
    static const char *const bad[] = {"abc", "\"abc", "\"a\"b\"", "\"a b\"", "\"a\x01\"", "W/abc"};
    char text[256];

    for (size_t i = 0; i < TL_COUNT(bad); i++) {
        snprintf(text, sizeof(text), "HTTP/1.1 206 x\nContent-Range: bytes 100-149/1000\nETag: %s",
                 bad[i]);
        assert_unusable(text, &reading, TL_UPSTREAM, "malformed ETag");
    }
}

TEST(an_etag_of_another_version_or_another_size_means_changed)
{
    assert_unusable("HTTP/1.1 206 x\nContent-Range: bytes 100-149/1000\nETag: \"other\"", &reading,
                    TL_CHANGED, "\"other\"");
    assert_unusable("HTTP/1.1 206 x\nContent-Range: bytes 100-149/1001\nETag: " ETAG, &reading,
                    TL_CHANGED, "1001 bytes, not 1000");
    assert_unusable("HTTP/1.1 416 x\nContent-Range: bytes */90", &reading, TL_CHANGED, "90 bytes");
}

TEST(an_answer_without_any_version_is_refused)
{
    assert_unusable("HTTP/1.1 206 x\nContent-Range: bytes 0-9/10", &opening, TL_UPSTREAM,
                    "neither ETag nor Last-Modified");
}

TEST(a_date_is_a_version_where_there_is_no_etag)
{
    struct range_ask ask = reading;

    ask.validator = "Tue, 01 Jan 2030 00:00:00 GMT";
    assert_body("HTTP/1.1 206 x\nContent-Range: bytes 100-149/1000\n"
                "Last-Modified: Tue, 01 Jan 2030 00:00:00 GMT",
                &ask, BODY_RANGE, 50);
}

TEST(a_server_that_ignores_ranges_is_told_so)
{
    assert_unusable("HTTP/1.1 200 OK\nContent-Length: 1000\nETag: " ETAG, &reading, TL_UPSTREAM,
                    "ignores ranges");
    assert_unusable("HTTP/1.1 200 OK\nContent-Length: 32769\nETag: " ETAG, &opening, TL_UPSTREAM,
                    "ignores ranges");
    assert_unusable("HTTP/1.1 200 OK\nETag: " ETAG, &opening, TL_UPSTREAM, "ignores ranges");
}

TEST(a_small_object_may_come_whole_when_it_is_opened)
{
    assert_body("HTTP/1.1 200 OK\nContent-Length: 700\nETag: " ETAG, &opening, BODY_WHOLE, 700);
}

TEST(an_html_page_is_never_an_object)
{
    assert_unusable("HTTP/1.1 200 OK\nContent-Length: 700\nContent-Type: Text/HTML; charset=utf-8\n"
                    "ETag: " ETAG,
                    &opening, TL_UPSTREAM, "HTML page");
}

TEST(a_short_object_is_opened_with_the_range_it_has)
{
    assert_body("HTTP/1.1 206 x\nContent-Range: bytes 0-699/700\nETag: " ETAG, &opening, BODY_RANGE,
                700);
    assert_unusable("HTTP/1.1 206 x\nContent-Range: bytes 0-599/700\nETag: " ETAG, &opening,
                    TL_UPSTREAM, "0-599 came");
}

TEST(an_empty_object_is_opened_by_its_416)
{
    assert_body("HTTP/1.1 416 x\nContent-Range: bytes */0", &opening, BODY_NONE, 0);
    assert_body("HTTP/1.1 416 x\nContent-Range: bytes */", &opening, BODY_MESSAGE, 0);
    assert_body("HTTP/1.1 416 x\nContent-Range: bytes */7", &opening, BODY_MESSAGE, 0);
}

TEST(a_304_is_an_answer_only_to_a_question)
{
    struct range_ask asked = opening;

    asked.conditional = true;
    assert_body("HTTP/1.1 304 Not Modified\nETag: " ETAG, &asked, BODY_NONE, 0);
    assert_body("HTTP/1.1 304 Not Modified\nETag: " ETAG, &opening, BODY_MESSAGE, 0);
}

TEST(a_compressed_body_is_refused)
{
    assert_unusable("HTTP/1.1 206 x\nContent-Range: bytes 100-149/1000\nContent-Encoding: gzip\n"
                    "ETag: " ETAG,
                    &reading, TL_UPSTREAM, "Content-Encoding");
}

TEST(a_status_line_starts_a_new_answer)
{
    struct range_reply reply = reply_of("HTTP/1.1 100 Continue\nETag: \"x\"\nHTTP/1.1 206 x");

    assert_int_equal(reply.status, 206);
    assert_string_equal(reply.etag, "");
}

TEST(the_s3_code_is_read_from_the_error_document_and_nothing_else)
{
    static const char good[] = "<?xml?><Error><Code>SlowDown</Code>";
    static const char cut[] = "<Error><Code>SlowDo";
    static const char evil[] = "<Code>a\r\nb</Code>";
    char code[64];

    range_reply_s3_code(good, strlen(good), code);
    assert_string_equal(code, "SlowDown");
    range_reply_s3_code(cut, strlen(cut), code);
    assert_string_equal(code, "");
    range_reply_s3_code(evil, strlen(evil), code);
    assert_string_equal(code, "");
    range_reply_s3_code("", 0, code);
    assert_string_equal(code, "");
}

static void assert_explained(const char *text, const char *s3_code, enum tl_code code,
                             const char *says)
{
    struct range_reply reply = reply_of(text);
    struct tl_err err;

    assert_refused(range_reply_explain(&reply, s3_code, &err), code, says);
}

TEST(error_statuses_say_what_to_do)
{
    assert_explained("HTTP/1.1 404 x", "NoSuchKey", TL_ABSENT, "NoSuchKey");
    assert_explained("HTTP/1.1 403 x", "InvalidAccessKeyId", TL_UPSTREAM, "credentials");
    assert_explained("HTTP/1.1 401 x", "", TL_UPSTREAM, "credentials");
    assert_explained("HTTP/1.1 412 x", "", TL_CHANGED, "replaced");
    assert_explained("HTTP/1.1 301 x\nLocation: http://elsewhere/", "", TL_UPSTREAM,
                     "http://elsewhere/");
    assert_explained("HTTP/1.1 503 x", "SlowDown", TL_UPSTREAM, "HTTP 503 SlowDown");
    assert_explained("garbage", "", TL_UPSTREAM, "no HTTP status");
}

TEST(retry_after_is_taken_in_seconds_only)
{
    assert_int_equal(reply_of("HTTP/1.1 503 x\nRetry-After: 7").retry_after_s, 7);
    assert_int_equal(reply_of("HTTP/1.1 503 x\nRetry-After: 99999999999").retry_after_s, 86400);
    assert_int_equal(reply_of("HTTP/1.1 503 x\nRetry-After: soon").retry_after_s, -1);
    assert_int_equal(reply_of("HTTP/1.1 503 x").retry_after_s, -1);
}

RUN(T(the_exact_range_of_the_same_version_is_taken),
    T(header_names_have_no_case_and_values_are_trimmed),
    T(a_shifted_longer_or_shorter_range_is_refused), T(a_206_without_content_range_is_refused),
    T(malformed_content_ranges_are_refused), T(two_content_ranges_are_refused),
    T(malformed_etags_are_refused), T(an_etag_of_another_version_or_another_size_means_changed),
    T(an_answer_without_any_version_is_refused), T(a_date_is_a_version_where_there_is_no_etag),
    T(a_server_that_ignores_ranges_is_told_so), T(a_small_object_may_come_whole_when_it_is_opened),
    T(an_html_page_is_never_an_object), T(a_short_object_is_opened_with_the_range_it_has),
    T(an_empty_object_is_opened_by_its_416), T(a_304_is_an_answer_only_to_a_question),
    T(a_compressed_body_is_refused), T(a_status_line_starts_a_new_answer),
    T(the_s3_code_is_read_from_the_error_document_and_nothing_else),
    T(error_statuses_say_what_to_do), T(retry_after_is_taken_in_seconds_only))
