#include "tl_test.h"

#include "store/href.h"
#include "store/store.h"

#include <string.h>

static const struct s3_options minio = {.endpoint = "http://127.0.0.1:9000/", .path_style = true};

static struct href parsed(const char *text, const struct s3_options *s3)
{
    struct href href = {0};
    struct tl_err err;

    assert_ok(href_parse(text, s3, &href, &err));
    return href;
}

static void assert_not_an_href(const char *text, const struct s3_options *s3, const char *says)
{
    struct href href;
    struct tl_err err;

    assert_refused(href_parse(text, s3, &href, &err), TL_INVALID, says);
}

TEST(a_path_and_a_file_url_are_files)
{
    struct href plain = parsed("/data/a b%20.tif", &minio);
    struct href url = parsed("file:///data/a%20b.tif", &minio);

    assert_int_equal(plain.kind, HREF_FILE);
    assert_string_equal(plain.path, "/data/a b%20.tif");
    assert_int_equal(url.kind, HREF_FILE);
    assert_string_equal(url.path, "/data/a b.tif");
    href_release(&plain);
    href_release(&url);
}

TEST(a_file_url_with_a_bad_escape_or_a_host_is_refused)
{
    assert_not_an_href("file:///a%2", &minio, "file:///absolute/path");
    assert_not_an_href("file:///a%00b", &minio, "file:///absolute/path");
    assert_not_an_href("file://host/a", &minio, "file:///absolute/path");
    assert_not_an_href("", &minio, "names no object");
}

TEST(an_http_url_goes_out_as_it_is_and_its_query_stays_out_of_messages)
{
    struct href href = parsed("https://h.example:443/a%20b//c/../d?X-Amz-Signature=abc", &minio);

    assert_int_equal(href.kind, HREF_HTTP);
    assert_string_equal(href.url, "https://h.example:443/a%20b//c/../d?X-Amz-Signature=abc");
    assert_string_equal(href.origin, "https://h.example:443");
    assert_string_equal(href.host, "h.example");
    assert_string_equal(href.label, "https://h.example:443/a%20b//c/../d");
    href_release(&href);
}

TEST(an_http_url_with_credentials_or_control_characters_is_refused)
{
    assert_not_an_href("http://user:secret@host/a", &minio, "no user name");
    assert_not_an_href("http:///a", &minio, "needs a host");
    assert_not_an_href("http://host/a\r\nX: y", &minio, "printable");
    assert_not_an_href("http://host/a b", &minio, "printable");
    assert_not_an_href("http://host/a#b", &minio, "'#'");
}

TEST(an_s3_key_is_encoded_into_the_path)
{
    struct href href = parsed("s3://data/2024/a b+c=\xC3\xA9.tif", &minio);

    assert_int_equal(href.kind, HREF_S3);
    assert_string_equal(href.url, "http://127.0.0.1:9000/data/2024/a%20b%2Bc%3D%C3%A9.tif");
    assert_string_equal(href.path, "/data/2024/a%20b%2Bc%3D%C3%A9.tif");
    assert_string_equal(href.host, "127.0.0.1:9000");
    assert_string_equal(href.origin, "http://127.0.0.1:9000");
    href_release(&href);
}

TEST(virtual_host_style_puts_the_bucket_into_the_host)
{
    struct s3_options aws = {.region = "eu-west-1"};
    struct href href = parsed("s3://data/k.tif", &aws);

    assert_string_equal(href.url, "https://data.s3.eu-west-1.amazonaws.com/k.tif");
    assert_string_equal(href.path, "/k.tif");
    assert_string_equal(href.host, "data.s3.eu-west-1.amazonaws.com");
    href_release(&href);
}

TEST(a_bucket_with_dots_stays_in_the_path_over_tls)
{
    struct s3_options aws = {.region = "us-east-1"};
    struct href href = parsed("s3://my.data/k.tif", &aws);

    assert_string_equal(href.url, "https://s3.us-east-1.amazonaws.com/my.data/k.tif");
    href_release(&href);
}

TEST(a_default_port_is_not_part_of_the_signed_host)
{
    struct s3_options s3 = {.endpoint = "http://minio:80", .path_style = true};
    struct href href = parsed("s3://data/k", &s3);

    assert_string_equal(href.host, "minio");
    href_release(&href);
}

TEST(s3_hrefs_and_endpoints_that_make_no_sense_are_refused)
{
    struct s3_options ftp = {.endpoint = "ftp://h", .path_style = true};
    struct s3_options path = {.endpoint = "http://h/prefix", .path_style = true};

    assert_not_an_href("s3://data", &minio, "s3://bucket/key");
    assert_not_an_href("s3://data/", &minio, "s3://bucket/key");
    assert_not_an_href("s3://a/k", &minio, "s3://bucket/key");
    assert_not_an_href("s3://da@ta/k", &minio, "s3://bucket/key");
    assert_not_an_href("s3://data/k", &ftp, "http:// or https://");
    assert_not_an_href("s3://data/k", &path, "scheme://host");
    assert_not_an_href("gopher://x/y", &minio, "an href is a path");
}

RUN(T(a_path_and_a_file_url_are_files), T(a_file_url_with_a_bad_escape_or_a_host_is_refused),
    T(an_http_url_goes_out_as_it_is_and_its_query_stays_out_of_messages),
    T(an_http_url_with_credentials_or_control_characters_is_refused),
    T(an_s3_key_is_encoded_into_the_path), T(virtual_host_style_puts_the_bucket_into_the_host),
    T(a_bucket_with_dots_stays_in_the_path_over_tls),
    T(a_default_port_is_not_part_of_the_signed_host),
    T(s3_hrefs_and_endpoints_that_make_no_sense_are_refused))
