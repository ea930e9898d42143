#include "base/buf.h"

#include "base/blob.h"

#include "fail_alloc.h"
#include "tl_test.h"

#include <string.h>

TEST(it_grows_with_what_is_put_in)
{
    AUTO_BUF buf = {0};

    for (int i = 0; i < 1000; i++)
        buf_printf(&buf, "%04d", i);
    buf_puts(&buf, "end");
    buf_append(&buf, NULL, 0);
    assert_int_equal(buf.size, 4003);
    assert_memory_equal(buf.bytes + 3996, "0999end", 7);
    AUTO(blob) blob = buf_blob(&buf);
    assert_int_equal(blob_size(blob), 4003);
    buf_clear(&buf);
    assert_int_equal(buf.size, 0);
}

TEST(after_memory_ran_out_it_takes_nothing_more)
{
    AUTO_BUF buf = {0};

    assert_null(buf_extend(&buf, SIZE_MAX / 2));
    assert_true(buf_failed(&buf));
    buf_puts(&buf, "x");
    assert_int_equal(buf.size, 0);
    assert_null(buf_blob(&buf));
    buf_clear(&buf);
    assert_false(buf_failed(&buf));
    if (!FAIL_ALLOC)
        skip();
    buf_puts(&buf, "kept");
    fail_alloc_at(1);
    for (int i = 0; i < 100; i++)
        buf_puts(&buf, "0123456789");
    assert_true(fail_alloc_hit());
    assert_true(buf_failed(&buf));
    assert_memory_equal(buf.bytes, "kept", 4);
}

static void assert_json(const char *text, const char *json)
{
    AUTO_BUF buf = {0};

    buf_json(&buf, text);
    assert_int_equal(buf.size, strlen(json));
    assert_memory_equal(buf.bytes, json, buf.size);
}

TEST(a_json_string_is_escaped_and_valid_utf8)
{
    assert_json("plain", "\"plain\"");
    assert_json("a\"b\\c\n\x7f", "\"a\\\"b\\\\c\\u000a\\u007f\"");
    assert_json("\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8c\xb1",
                "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x8c\xb1\"");
    /* Overlong, a surrogate, past the end, cut short, a lone tail. */
    assert_json("\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_json("\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_json("\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_json("\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_json("x\x80y", "\"x\xef\xbf\xbdy\"");
}

RUN(T(a_json_string_is_escaped_and_valid_utf8), T(it_grows_with_what_is_put_in),
    T(after_memory_ran_out_it_takes_nothing_more))
