#include "tl_test.h"

#include "base/buf.h"
#include "store/sigv4.h"

#include <string.h>

/* From the AWS Signature Version 4 test suite, and "Signature Calculations" of the S3 manual. */
static struct sigv4_signer suite_signer(void)
{
    return (struct sigv4_signer){.access_key = "AKIDEXAMPLE",
                                 .secret_key = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
                                 .region = "us-east-1",
                                 .service = "service"};
}

static struct sigv4_signer manual_signer(void)
{
    return (struct sigv4_signer){.access_key = "AKIAIOSFODNN7EXAMPLE",
                                 .secret_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                 .region = "us-east-1",
                                 .service = "s3"};
}

static void assert_signed(struct sigv4_signer signer, const struct sigv4_request *request,
                          const char *stamp, const char *authorization)
{
    AUTO_BUF out = {0};
    struct tl_err err;

    assert_ok(sigv4_authorize(&signer, request, stamp, &out, &err));
    buf_append(&out, "", 1);
    assert_string_equal((const char *)out.bytes, authorization);
}

static void assert_suite(const char *path, const char *query, const char *signature)
{
    const struct sigv4_header headers[] = {{"host", "example.amazonaws.com"},
                                           {"x-amz-date", "20150830T123600Z"}};
    struct sigv4_request request = {.method = "GET",
                                    .path = path,
                                    .query = query,
                                    .headers = headers,
                                    .header_count = 2,
                                    .payload_sha256 = SIGV4_EMPTY_PAYLOAD};
    char wanted[256];

    snprintf(wanted, sizeof(wanted),
             "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
             "SignedHeaders=host;x-amz-date, Signature=%s",
             signature);
    assert_signed(suite_signer(), &request, "20150830T123600Z", wanted);
}

TEST(the_aws_suite_get_vanilla_is_reproduced)
{
    assert_suite("/", "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
}

TEST(the_aws_suite_query_order_is_reproduced)
{
    assert_suite("/", "Param1=value1&Param2=value2",
                 "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500");
}

TEST(the_aws_suite_utf8_path_is_reproduced)
{
    AUTO_BUF path = {0};

    sigv4_encode(&path, "/\xE1\x88\xB4", true);
    buf_append(&path, "", 1);
    assert_string_equal((const char *)path.bytes, "/%E1%88%B4");
    assert_suite("/%E1%88%B4", "",
                 "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85");
}

TEST(the_s3_manual_ranged_get_is_reproduced)
{
    const struct sigv4_header headers[] = {{"host", "examplebucket.s3.amazonaws.com"},
                                           {"range", "bytes=0-9"},
                                           {"x-amz-content-sha256", SIGV4_EMPTY_PAYLOAD},
                                           {"x-amz-date", "20130524T000000Z"}};
    struct sigv4_request request = {.method = "GET",
                                    .path = "/test.txt",
                                    .query = "",
                                    .headers = headers,
                                    .header_count = 4,
                                    .payload_sha256 = SIGV4_EMPTY_PAYLOAD};

    assert_signed(manual_signer(), &request, "20130524T000000Z",
                  "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
                  "aws4_request, SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
                  "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(the_s3_manual_listing_is_reproduced)
{
    const struct sigv4_header headers[] = {{"host", "examplebucket.s3.amazonaws.com"},
                                           {"x-amz-content-sha256", SIGV4_EMPTY_PAYLOAD},
                                           {"x-amz-date", "20130524T000000Z"}};
    struct sigv4_request request = {.method = "GET",
                                    .path = "/",
                                    .query = "max-keys=2&prefix=J",
                                    .headers = headers,
                                    .header_count = 3,
                                    .payload_sha256 = SIGV4_EMPTY_PAYLOAD};

    assert_signed(manual_signer(), &request, "20130524T000000Z",
                  "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/"
                  "aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, "
                  "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(the_key_is_kept_for_a_day_and_made_anew_for_the_next)
{
    const struct sigv4_header headers[] = {{"host", "h"}};
    struct sigv4_request request = {.method = "GET",
                                    .path = "/",
                                    .query = "",
                                    .headers = headers,
                                    .header_count = 1,
                                    .payload_sha256 = SIGV4_EMPTY_PAYLOAD};
    struct sigv4_signer signer = suite_signer();
    uint8_t key[sizeof(signer.key)];
    AUTO_BUF out = {0};
    struct tl_err err;

    assert_ok(sigv4_authorize(&signer, &request, "20150830T123600Z", &out, &err));
    memcpy(key, signer.key, sizeof(key));
    assert_ok(sigv4_authorize(&signer, &request, "20150830T235959Z", &out, &err));
    assert_memory_equal(key, signer.key, sizeof(key));
    assert_ok(sigv4_authorize(&signer, &request, "20150831T000000Z", &out, &err));
    assert_memory_not_equal(key, signer.key, sizeof(key));
    assert_string_equal(signer.key_day, "20150831");
}

TEST(a_secret_key_beyond_512_bytes_is_refused)
{
    static char secret[600];
    struct sigv4_request request = {
        .method = "GET", .path = "/", .query = "", .payload_sha256 = SIGV4_EMPTY_PAYLOAD};
    struct sigv4_signer signer = suite_signer();
    AUTO_BUF out = {0};
    struct tl_err err;

    memset(secret, 's', sizeof(secret) - 1);
    signer.secret_key = secret;
    assert_refused(sigv4_authorize(&signer, &request, "20150830T123600Z", &out, &err), TL_INTERNAL,
                   "512 bytes");
}

TEST(a_stamp_is_utc_in_basic_form)
{
    char stamp[SIGV4_STAMP_SIZE];

    sigv4_stamp(1440938160, stamp);
    assert_string_equal(stamp, "20150830T123600Z");
}

TEST(everything_but_unreserved_characters_is_encoded)
{
    AUTO_BUF out = {0};

    sigv4_encode(&out, "a-Z.9_~/ =*+&\xC3\xA9", false);
    buf_append(&out, "", 1);
    assert_string_equal((const char *)out.bytes, "a-Z.9_~%2F%20%3D%2A%2B%26%C3%A9");
}

RUN(T(the_aws_suite_get_vanilla_is_reproduced), T(the_aws_suite_query_order_is_reproduced),
    T(the_aws_suite_utf8_path_is_reproduced), T(the_s3_manual_ranged_get_is_reproduced),
    T(the_s3_manual_listing_is_reproduced), T(the_key_is_kept_for_a_day_and_made_anew_for_the_next),
    T(a_secret_key_beyond_512_bytes_is_refused), T(a_stamp_is_utc_in_basic_form),
    T(everything_but_unreserved_characters_is_encoded))
