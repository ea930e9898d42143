#include "base/blob.h"

#include "fail_alloc.h"
#include "tl_test.h"

#include <pthread.h>
#include <string.h>

static void *ref_and_unref(void *blob)
{
    for (int i = 0; i < 10000; i++)
        blob_unref(blob_ref(blob));
    blob_unref(blob);
    return NULL;
}

TEST(the_last_of_many_threads_frees_it)
{
    struct blob *blob = blob_copy("tile", 4);
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ref_and_unref, blob_ref(blob)), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_memory_equal(blob_bytes(blob), "tile", 4);
    blob_unref(blob);
}

TEST(its_tail_can_be_cut_before_it_is_shared)
{
    AUTO(blob) blob = blob_new(10);

    memcpy(blob_writable(blob), "0123456789", 10);
    blob_truncate(blob, 3);
    assert_int_equal(blob_size(blob), 3);
}

TEST(sizes_that_overflow_and_no_memory_give_null)
{
    assert_null(blob_new(SIZE_MAX));
    assert_null(blob_new(SIZE_MAX - 8));
    blob_unref(NULL);
    if (!FAIL_ALLOC)
        skip();
    fail_alloc_at(1);
    assert_null(blob_copy("x", 1));
    assert_true(fail_alloc_hit());
}

RUN(T(the_last_of_many_threads_frees_it), T(its_tail_can_be_cut_before_it_is_shared),
    T(sizes_that_overflow_and_no_memory_give_null))
