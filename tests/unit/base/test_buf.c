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

RUN(T(it_grows_with_what_is_put_in), T(after_memory_ran_out_it_takes_nothing_more))
