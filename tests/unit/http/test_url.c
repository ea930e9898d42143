#include "http/url.h"

#include "tl_test.h"

#include <string.h>

static struct url url;
static struct tl_err err;

static enum tl_code parse(const char *raw)
{
    return url_parse(text_of(raw), &url, &err);
}

TEST(a_path_is_cut_into_its_segments)
{
    assert_ok(parse("/layers/dw/tiles/WebMercatorQuad/12/2375/2210@2x.png"));
    assert_int_equal(url.segment_count, 7);
    assert_true(text_is(url.segments[0], "layers"));
    assert_true(text_is(url.segments[6], "2210@2x.png"));
    assert_false(url.trailing_slash);
    assert_int_equal(url.param_count, 0);
}

TEST(the_root_and_a_trailing_slash_are_told_apart)
{
    assert_ok(parse("/"));
    assert_int_equal(url.segment_count, 0);
    assert_true(url.trailing_slash);
    assert_ok(parse("/viewer/"));
    assert_int_equal(url.segment_count, 1);
    assert_true(url.trailing_slash);
    assert_ok(parse("/viewer"));
    assert_false(url.trailing_slash);
}

TEST(escapes_of_plain_characters_are_decoded_once)
{
    assert_ok(parse("/point/31.05%2C-17.83/%61%40b%20c"));
    assert_true(text_is(url.segments[1], "31.05,-17.83"));
    assert_true(text_is(url.segments[2], "a@b c"));
    assert_refused(parse("/%2525"), TL_INVALID, "%25");
}

TEST(paths_that_climb_or_hide_a_separator_are_refused)
{
    static const char *const bad[] = {
        "",          "x",         "*",         "http://host/layers",
        "//",        "/a//b",     "/..",       "/a/../b",
        "/./a",      "/%2e%2e/x", "/%2E%2E/x", "/.%2e/x",
        "/a%2fb",    "/a%5cb",    "/a\\b",     "/a%00b",
        "/a%0d%0ab", "/a%7f",     "/a%80",     "/a%",
        "/a%4",      "/a%zz",     "/a b",      "/a\x01",
        "/a\xff",    "/a;b",      "/a|b",      "/<script>",
        "/a\"b",     "/a%25b",    "/a^b",      "/a#b",
        "/a/..?x=1",
    };

    for (unsigned i = 0; i < TL_COUNT(bad); i++)
        if (parse(bad[i]) != TL_INVALID)
            fail_msg("\"%s\" was not refused", bad[i]);
    assert_int_equal(url_parse((struct text){"/a\0b", 4}, &url, &err), TL_INVALID);
}

TEST(a_query_is_decoded_into_pairs)
{
    assert_ok(parse("/x?style=dw&classes=1,a%20b&empty=&flag&c=a+b&&d=x=y?/"));
    assert_int_equal(url.param_count, 6);
    assert_true(text_is(url_param(&url, "style"), "dw"));
    assert_true(text_is(url_param(&url, "classes"), "1,a b"));
    assert_non_null(url_param(&url, "empty").at);
    assert_int_equal(url_param(&url, "flag").size, 0);
    assert_true(text_is(url_param(&url, "c"), "a b"));
    assert_true(text_is(url_param(&url, "d"), "x=y?/"));
    assert_null(url_param(&url, "styl").at);
}

TEST(queries_that_two_readers_would_read_differently_are_refused)
{
    static const char *const bad[] = {"/x?a=1&a=2", "/x?a=%00", "/x?a=%zz", "/x?a=<b>",
                                      "/x?a=\"b\"", "/x?a=b c", "/x?a=%ff", "/x?a=#b"};

    for (unsigned i = 0; i < TL_COUNT(bad); i++)
        if (parse(bad[i]) != TL_INVALID)
            fail_msg("\"%s\" was not refused", bad[i]);
}

TEST(the_limits_of_length_and_number_hold)
{
    static char text[8192];

    memset(text, 'a', sizeof(text) - 1);
    text[0] = '/';
    text[URL_PATH_MAX] = '\0';
    assert_ok(parse(text));
    assert_int_equal(url.segments[0].size, URL_PATH_MAX - 1);
    text[URL_PATH_MAX] = 'a';
    text[URL_PATH_MAX + 1] = '\0';
    assert_refused(parse(text), TL_LIMIT, "at most 2048");
    memset(text, 'a', sizeof(text) - 1);
    memcpy(text, "/?", 2);
    text[URL_QUERY_MAX + 2] = '\0';
    assert_ok(parse(text));
    text[URL_QUERY_MAX + 2] = 'a';
    text[URL_QUERY_MAX + 3] = '\0';
    assert_refused(parse(text), TL_LIMIT, "at most 4096");
    assert_ok(parse("/1/2/3/4/5/6/7/8/9/10/11/12"));
    assert_refused(parse("/1/2/3/4/5/6/7/8/9/10/11/12/13"), TL_LIMIT, "12 segments");
    assert_ok(parse("/?a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p"));
    assert_refused(parse("/?a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q"), TL_LIMIT, "16 parameters");
}

TEST(numbers_are_digits_alone)
{
    uint64_t value = 7;

    assert_true(text_uint(text_of("18446744073709551615"), UINT64_MAX, &value));
    assert_true(value == UINT64_MAX);
    assert_false(text_uint(text_of("18446744073709551616"), UINT64_MAX, &value));
    assert_false(text_uint(text_of("256"), 255, &value));
    assert_false(text_uint(text_of(""), 255, &value));
    assert_false(text_uint(text_of("+1"), 255, &value));
    assert_false(text_uint(text_of("1 "), 255, &value));
    assert_true(text_uint(text_of("007"), 255, &value));
    assert_int_equal(value, 7);
}

TEST(an_absent_text_is_an_empty_one)
{
    struct text absent = {NULL, 0};
    char copy[4] = "xyz";

    assert_true(text_is(absent, ""));
    assert_false(text_is(absent, "a"));
    assert_true(text_copy(absent, copy, sizeof(copy)));
    assert_string_equal(copy, "");
    assert_int_equal(text_cut(&absent, ',').size, 0);
}

static void assert_put(const char *end, const char *start, const char *expected)
{
    assert_int_equal(end - start, strlen(expected));
    assert_memory_equal(start, expected, strlen(expected));
}

TEST(numbers_are_written_without_printf)
{
    char to[32];

    assert_put(put_hex64(to, UINT64_C(0x0123456789abcdef)), to, "0123456789abcdef");
    assert_put(put_uint(to, 0), to, "0");
    assert_put(put_uint(to, UINT64_MAX), to, "18446744073709551615");
    assert_put(put_ms(to, 12345678), to, "12.345");
    assert_put(put_ms(to, 999), to, "0.000");
    assert_put(put_ms(to, -5), to, "0.000");
    assert_put(put_ms(to, 7001000), to, "7.001");
}

RUN(T(a_path_is_cut_into_its_segments), T(the_root_and_a_trailing_slash_are_told_apart),
    T(escapes_of_plain_characters_are_decoded_once),
    T(paths_that_climb_or_hide_a_separator_are_refused), T(a_query_is_decoded_into_pairs),
    T(queries_that_two_readers_would_read_differently_are_refused),
    T(the_limits_of_length_and_number_hold), T(numbers_are_digits_alone),
    T(an_absent_text_is_an_empty_one), T(numbers_are_written_without_printf))
