/* Signed requests, against our own checker of signatures and against MinIO. */
#include "remote.h"

#include <unistd.h>

static const char *const keys[] = {
    "--access-key", "AKID", "--secret-key", "secret/+key", "--region", "eu-test-1", NULL};

static struct s3_options s3_at(int port)
{
    static char endpoint[64];

    snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d", port);
    return (struct s3_options){.endpoint = endpoint,
                               .region = "eu-test-1",
                               .access_key = "AKID",
                               .secret_key = "secret/+key",
                               .path_style = true};
}

static enum tl_code open_with(const struct s3_options *s3, const char *href, struct tl_err *err)
{
    struct store_options options = usual_options();
    options.s3.path_style = true;
    AUTO(store) store = store_with(&options);
    struct errand errand = errand_unbounded();
    AUTO(object) object = NULL;

    TL_TRY(object_open(store, href, s3, &errand, &object, err));
    TL_TRY(try_read(object, 500000, 1000, &errand, err));
    return object_revalidate(object, &errand, err);
}

TEST(signed_requests_are_accepted_and_wrong_ones_say_what_is_wrong)
{
    struct helper server = fake_s3_start(keys);
    struct s3_options s3 = s3_at(server.port);
    const char *href = "s3://data/2024/a b+c=\xC3\xA9*'(x)/scene.tif";
    struct tl_err err;

    put_scene(&server, "data/2024/a%20b+c=%C3%A9*'(x)/scene.tif", SCENE_SIZE);
    assert_ok(open_with(&s3, href, &err));
    s3.secret_key = "wrong";
    assert_refused(open_with(&s3, href, &err), TL_UPSTREAM, "SignatureDoesNotMatch");
    assert_non_null(strstr(err.msg, "s3_secret_key"));
    s3 = s3_at(server.port);
    s3.region = "us-east-1";
    assert_refused(open_with(&s3, href, &err), TL_UPSTREAM, "s3_region");
    s3 = s3_at(server.port);
    s3.access_key = "";
    assert_refused(open_with(&s3, href, &err), TL_UPSTREAM, "AccessDenied");
    helper_stop(&server);
}

TEST(a_session_token_is_sent_and_signed)
{
    const char *const with_token[] = {
        "--access-key", "AKID", "--secret-key", "secret/+key", "--token", "tok/en==+", NULL};
    struct helper server = fake_s3_start(with_token);
    struct s3_options s3 = s3_at(server.port);
    struct tl_err err;

    put_scene(&server, "data/k", SCENE_SIZE);
    s3.region = "us-east-1";
    s3.session_token = "tok/en==+";
    assert_ok(open_with(&s3, "s3://data/k", &err));
    s3.session_token = "old";
    assert_refused(open_with(&s3, "s3://data/k", &err), TL_UPSTREAM, "InvalidToken");
    helper_stop(&server);
}

static void unset_environment(void)
{
    static const char *const names[] = {
        "AWS_ACCESS_KEY_ID",  "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION",
        "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL_S3",   "AWS_ENDPOINT_URL"};

    for (size_t i = 0; i < TL_COUNT(names); i++)
        unsetenv(names[i]);
}

TEST(what_is_left_out_comes_from_the_environment_of_every_s3_tool)
{
    const char *const temporary[] = {"--access-key", "AKID",      "--secret-key",
                                     "secret/+key",  "--region",  "eu-test-1",
                                     "--token",      "tok/en==+", NULL};
    struct helper server = fake_s3_start(temporary);
    const char *endpoint = s3_at(server.port).endpoint;
    struct s3_options nothing = {.path_style = true};
    struct tl_err err;

    put_scene(&server, "data/k", SCENE_SIZE);
    unset_environment();
    setenv("AWS_ACCESS_KEY_ID", "AKID", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret/+key", 1);
    setenv("AWS_SESSION_TOKEN", "tok/en==+", 1);
    setenv("AWS_REGION", "eu-test-1", 1);
    setenv("AWS_DEFAULT_REGION", "nowhere", 1);
    setenv("AWS_ENDPOINT_URL_S3", endpoint, 1);
    setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1", 1);
    assert_ok(open_with(&nothing, "s3://data/k", &err));
    assert_ok(open_with(NULL, "s3://data/k", &err)); /* the store's own options leave out too */
    nothing.anonymous = true;
    assert_refused(open_with(&nothing, "s3://data/k", &err), TL_UPSTREAM, "AccessDenied");
    nothing.access_key = "AKID";
    assert_refused(open_with(&nothing, "s3://data/k", &err), TL_UPSTREAM, "AccessDenied");
    unset_environment();
    helper_stop(&server);
}

TEST(what_is_said_goes_before_the_environment_and_keys_go_together)
{
    struct helper server = fake_s3_start(keys); /* knows no token */
    struct s3_options s3 = s3_at(server.port);
    struct tl_err err;

    put_scene(&server, "data/k", SCENE_SIZE);
    unset_environment();
    setenv("AWS_ACCESS_KEY_ID", "OTHER", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "other", 1);
    setenv("AWS_SESSION_TOKEN", "of other", 1);
    setenv("AWS_DEFAULT_REGION", "nowhere", 1);
    setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1", 1);
    assert_ok(open_with(&s3, "s3://data/k", &err));
    /* Of the fallbacks the second variable is read as well: */
    setenv("AWS_DEFAULT_REGION", "eu-test-1", 1);
    setenv("AWS_ENDPOINT_URL", s3.endpoint, 1);
    s3.endpoint = s3.region = "";
    assert_ok(open_with(&s3, "s3://data/k", &err));
    unset_environment();
    helper_stop(&server);
}

TEST(a_clock_that_is_an_hour_off_is_corrected_by_the_servers)
{
    const char *const skewed[] = {
        "--access-key", "AKID", "--secret-key", "secret/+key", "--clock-skew", "3600", NULL};
    struct helper server = fake_s3_start(skewed);
    struct s3_options s3 = s3_at(server.port);
    struct tl_err err;

    put_scene(&server, "data/k", SCENE_SIZE);
    s3.region = "us-east-1";
    assert_ok(open_with(&s3, "s3://data/k", &err));
    helper_stop(&server);
}

/* A MinIO with one object, "demo/a b/scene.tif". */
struct minio {
    struct helper helper;
    char access_key[64], secret_key[64];
    int port;
};

static bool minio_start(struct minio *ret_minio)
{
    static char python[] = "python3", script[] = TILTH_ROOT "/tests/support/s3.py";
    static char mode[] = "minio", bucket[] = "demo";
    char path[] = "/tmp/tilth-scene-XXXXXX", pair[64];
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");

    for (uint64_t i = 0; file && i < SCENE_SIZE; i++)
        fputc(scene_byte(i), file);
    if (!file || fclose(file) != 0)
        abort();
    snprintf(pair, sizeof(pair), "a b/scene.tif=%s", path);
    char *argv[] = {python, script, mode, bucket, pair, NULL};
    ret_minio->helper = helper_start(argv);
    unlink(path);
    bool is_ready = sscanf(ret_minio->helper.line, "ready %d %63s %63s", &ret_minio->port,
                           ret_minio->access_key, ret_minio->secret_key) == 3;
    if (!is_ready && strcmp(ret_minio->helper.line, "none\n") != 0)
        abort(); /* there is one, and it did not start */
    return is_ready;
}

TEST(minio_serves_our_signed_ranges_and_refuses_a_wrong_secret)
{
    struct minio minio;
    struct tl_err err;

    if (!minio_start(&minio)) {
        helper_stop(&minio.helper);
        print_message("no MinIO in TILTH_MINIO, on PATH or in ~/.cache/tilth/bin\n");
        skip();
    }
    struct s3_options s3 = s3_at(minio.port);
    s3.region = "us-east-1";
    s3.access_key = minio.access_key;
    s3.secret_key = minio.secret_key;
    assert_ok(open_with(&s3, "s3://demo/a b/scene.tif", &err));
    assert_refused(open_with(&s3, "s3://demo/absent.tif", &err), TL_ABSENT, "NoSuchKey");
    assert_refused(open_with(&s3, "s3://nobucket/x", &err), TL_ABSENT, "NoSuchBucket");
    s3.secret_key = "wrong-secret";
    assert_refused(open_with(&s3, "s3://demo/a b/scene.tif", &err), TL_UPSTREAM,
                   "SignatureDoesNotMatch");
    s3.access_key = "";
    assert_refused(open_with(&s3, "s3://demo/a b/scene.tif", &err), TL_UPSTREAM, "AccessDenied");
    helper_stop(&minio.helper);
}

RUN(T(signed_requests_are_accepted_and_wrong_ones_say_what_is_wrong),
    T(a_session_token_is_sent_and_signed),
    T(what_is_left_out_comes_from_the_environment_of_every_s3_tool),
    T(what_is_said_goes_before_the_environment_and_keys_go_together),
    T(a_clock_that_is_an_hour_off_is_corrected_by_the_servers),
    T(minio_serves_our_signed_ranges_and_refuses_a_wrong_secret))
