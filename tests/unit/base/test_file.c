#include "base/file.h"

#include "base/blob.h"

#include "fail_alloc.h"
#include "tl_test.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct tl_err err;
static char folder[64];

static const char *at(const char *name)
{
    static char path[256];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static unsigned entries(void)
{
    DIR *dir = opendir(folder);
    unsigned count = 0;

    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

TEST(what_was_written_is_read_back)
{
    AUTO(blob) blob = NULL;

    assert_ok(file_write(at("a"), "hello", 5, &err));
    assert_ok(file_write(at("a"), "bye", 3, &err));
    assert_ok(file_read(at("a"), 3, &blob, &err));
    assert_int_equal(blob_size(blob), 3);
    assert_memory_equal(blob_bytes(blob), "bye", 3);
    assert_int_equal(entries(), 1);
    unlink(at("a"));
}

TEST(an_empty_file_is_an_empty_blob)
{
    AUTO(blob) blob = NULL;

    assert_ok(file_write(at("e"), NULL, 0, &err));
    assert_ok(file_read(at("e"), 0, &blob, &err));
    assert_int_equal(blob_size(blob), 0);
    unlink(at("e"));
}

TEST(what_cannot_be_read_says_which_path_and_why)
{
    struct blob *blob = NULL;

    assert_refused(file_read(at("none"), 10, &blob, &err), TL_ABSENT, "/none: cannot be read");
    assert_refused(file_read(folder, 10, &blob, &err), TL_INVALID, "not a regular file");
    assert_ok(file_write(at("big"), "0123456789", 10, &err));
    assert_refused(file_read(at("big"), 9, &blob, &err), TL_LIMIT, "has 10 bytes, at most 9");
    unlink(at("big"));
    assert_null(blob);
}

TEST(a_fifo_is_refused_instead_of_waited_for)
{
    struct blob *blob = NULL;

    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    assert_refused(file_read(at("fifo"), 10, &blob, &err), TL_INVALID, "not a regular file");
    unlink(at("fifo"));
}

TEST(a_write_that_fails_leaves_nothing_behind)
{
    assert_refused(file_write(at("no/such/folder"), "x", 1, &err), TL_ABSENT, "cannot be written");
    assert_int_equal(mkdir(at("dir"), 0700), 0);
    assert_refused(file_write(at("dir"), "x", 1, &err), TL_INVALID, "/dir: cannot be written");
    assert_int_equal(entries(), 1);
    rmdir(at("dir"));
}

TEST(without_memory_a_read_says_so)
{
    struct blob *blob = NULL;

    if (!FAIL_ALLOC)
        skip();
    assert_ok(file_write(at("m"), "x", 1, &err));
    fail_alloc_at(1);
    enum tl_code code = file_read(at("m"), 10, &blob, &err);
    assert_true(fail_alloc_hit());
    assert_refused(code, TL_NOMEM, "no memory");
    unlink(at("m"));
}

static int setup(void **state)
{
    (void)state;
    snprintf(folder, sizeof(folder), "/tmp/tilth-file-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return rmdir(folder);
}

RUN_BETWEEN(setup, teardown, T(what_was_written_is_read_back), T(an_empty_file_is_an_empty_blob),
            T(what_cannot_be_read_says_which_path_and_why),
            T(a_fifo_is_refused_instead_of_waited_for), T(a_write_that_fails_leaves_nothing_behind),
            T(without_memory_a_read_says_so))
