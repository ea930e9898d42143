#include "base/config.h"

#include "base/buf.h"

#include "tl_test.h"

#include <stdlib.h>
#include <string.h>

static struct tl_err err;
static struct config config;

enum {
    KEYS = 0
#define CONFIG_STRING(...) +1
#define CONFIG_SECRET(...) +1
#define CONFIG_INT(...)    +1
#define CONFIG_BYTES(...)  +1
#define CONFIG_TIME(...)   +1
#define CONFIG_BOOL(...)   +1
#include "base/config.def"
};

static enum tl_code read_text(const char *text)
{
    config_defaults(&config);
    return config_read_text(&config, "tilth.conf", text, strlen(text), &err);
}

TEST(the_defaults_are_those_of_the_table)
{
    config_defaults(&config);
    assert_string_equal(config.listen, "127.0.0.1:8080");
    assert_int_equal(config.loops, 1);
    assert_int_equal(config.cache_size, INT64_C(4) << 30);
    assert_int_equal(config.idle_timeout, INT64_C(75000000000));
    assert_true(config.s3_path_style);
}

TEST(a_file_sets_values_with_units_and_comments)
{
    assert_ok(read_text("# a comment\n\n  cache_size = 512 MiB # half\r\nfetch_timeout=1.5s\n"
                        "workers = 3\ns3_path_style = off\nlayers_dir = /a b/#c\ncache_dir ="));
    assert_int_equal(config.cache_size, INT64_C(512) << 20);
    assert_int_equal(config.fetch_timeout, INT64_C(1500000000));
    assert_int_equal(config.workers, 3);
    assert_false(config.s3_path_style);
    assert_string_equal(config.layers_dir, "/a b/#c");
    assert_string_equal(config.cache_dir, "");
}

TEST(an_unknown_key_is_refused_at_its_line_with_the_nearest)
{
    assert_refused(read_text("loops = 1\n\ncach_size = 1 GiB\n"), TL_INVALID,
                   "tilth.conf:3: unknown key \"cach_size\"; did you mean \"cache_size\"?");
    assert_refused(read_text("qqqqqqqqqqqqq = 1\n"), TL_INVALID, "docs/config.md");
}

TEST(a_refused_file_changes_nothing)
{
    assert_refused(read_text("loops = 7\nloops_ = x\n"), TL_INVALID, "tilth.conf:2");
    assert_int_equal(config.loops, 1);
}

TEST(a_key_given_twice_is_refused)
{
    assert_refused(read_text("loops = 1\nworkers=2\nloops = 2\n"), TL_INVALID,
                   "tilth.conf:3: loops is set twice, first on line 1");
}

TEST(values_out_of_range_or_malformed_say_what_is_needed)
{
    static const char *const bad[] = {
        "loops = 65",
        "loops = 0",
        "loops = 1.5",
        "loops = ",
        "loops = 1x",
        "loops =  0x10",
        "cache_size = 1 KiB",
        "cache_size = 17 TiB",
        "cache_size = -1",
        "cache_size = 1e9",
        "cache_size = 5 s",
        "cache_size = nan",
        "cache_size = 99999999999999999999999999 TiB",
        "cache_size = 1.",
        "cache_size = .5 GiB",
        "idle_timeout = 75",
        "idle_timeout = 1 ms",
        "idle_timeout = 1 GiB",
        "idle_timeout = s",
        "s3_path_style = maybe",
    };

    for (unsigned i = 0; i < TL_COUNT(bad); i++)
        assert_refused(read_text(bad[i]), TL_INVALID, "is needed");
    assert_refused(read_text("idle_timeout = 75"), TL_INVALID,
                   "tilth.conf:1: idle_timeout = \"75\": a time with its unit such as \"5 s\" from "
                   "1 s to 1 h is needed");
}

TEST(lines_that_are_no_settings_are_refused)
{
    static char long_line[2048] = "cache_dir = ";

    assert_refused(read_text("just words\n"), TL_INVALID, "tilth.conf:1: \"key = value\"");
    assert_refused(read_text("= 1\n"), TL_INVALID, "unknown key \"\"");
    memset(long_line + 12, 'x', sizeof(long_line) - 13);
    assert_refused(read_text(long_line), TL_INVALID, "at most 511 bytes");
    config_defaults(&config);
    assert_refused(config_read_text(&config, "f", "listen = a\0b", 12, &err), TL_INVALID, "NUL");
    assert_refused(read_text("listen = a\tb\n"), TL_INVALID, "control character");
}

TEST(the_environment_sets_keys_and_leaves_other_variables_alone)
{
    config_defaults(&config);
    setenv("TILTH_FETCH_RETRIES", "5", 1);
    setenv("TILTH_SERVICE_HOST", "10.0.0.1", 1);
    assert_ok(config_read_environment(&config, &err));
    assert_int_equal(config.fetch_retries, 5);
    setenv("TILTH_FETCH_RETRIES", "five", 1);
    assert_refused(config_read_environment(&config, &err), TL_INVALID, "TILTH_FETCH_RETRIES: ");
    unsetenv("TILTH_FETCH_RETRIES");
}

TEST(a_flag_may_be_written_with_dashes)
{
    config_defaults(&config);
    assert_ok(config_set(&config, "--cache-size", "cache-size", "1GiB", &err));
    assert_int_equal(config.cache_size, INT64_C(1) << 30);
}

TEST(what_is_printed_reads_back_the_same)
{
    AUTO_BUF out = {0};
    struct config again;

    assert_ok(read_text("cache_size = 1536 MiB\nidle_timeout = 90 s\nlisten = 0.0.0.0:1\n"
                        "s3_path_style = false\n"));
    config_print(&config, &out);
    assert_false(buf_failed(&out));
    config_defaults(&again);
    assert_ok(config_read_text(&again, "printed", out.bytes, out.size, &err));
    assert_memory_equal(&again, &config, sizeof(config));
}

TEST(a_secret_is_never_printed)
{
    AUTO_BUF out = {0};

    assert_ok(read_text("s3_secret_key = hunter2\n"));
    assert_string_equal(config.s3_secret_key, "hunter2");
    config_print(&config, &out);
    assert_null(memmem(out.bytes, out.size, "hunter2", 7));
    assert_non_null(memmem(out.bytes, out.size, "s3_secret_key is set", 20));
}

TEST(the_markdown_has_a_row_for_every_key)
{
    AUTO_BUF out = {0};
    unsigned rows = 0;

    config_print_markdown(&out);
    for (size_t i = 0; i + 3 < out.size; i++)
        rows += memcmp(out.bytes + i, "\n| `", 4) == 0;
    assert_int_equal(rows, KEYS);
    const char *row = "| `cache_size` | `4 GiB` | 8 MiB to 16 TiB | Largest size";
    assert_non_null(memmem(out.bytes, out.size, row, strlen(row)));
}

TEST(a_file_that_is_not_there_is_absent)
{
    config_defaults(&config);
    assert_refused(config_read_file(&config, "/no/such/tilth.conf", &err), TL_ABSENT,
                   "/no/such/tilth.conf");
}

RUN(T(the_defaults_are_those_of_the_table), T(a_file_sets_values_with_units_and_comments),
    T(an_unknown_key_is_refused_at_its_line_with_the_nearest), T(a_refused_file_changes_nothing),
    T(a_key_given_twice_is_refused), T(values_out_of_range_or_malformed_say_what_is_needed),
    T(lines_that_are_no_settings_are_refused),
    T(the_environment_sets_keys_and_leaves_other_variables_alone),
    T(a_flag_may_be_written_with_dashes), T(what_is_printed_reads_back_the_same),
    T(a_secret_is_never_printed), T(the_markdown_has_a_row_for_every_key),
    T(a_file_that_is_not_there_is_absent))
