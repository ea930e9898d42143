#include "tl_test.h"

#include "base/clock.h"
#include "base/trouble.h"

#include <pthread.h>
#include <string.h>

struct heard {
    atomic_int count;
    char level[8], at[16], message[900];
};

static void hear(void *udata, const char *level, const char *at, const char *message)
{
    struct heard *heard = udata;

    heard->count++;
    snprintf(heard->level, sizeof(heard->level), "%s", level);
    snprintf(heard->at, sizeof(heard->at), "%s", at);
    snprintf(heard->message, sizeof(heard->message), "%s", message);
}

TEST(a_trouble_is_told_when_it_begins_and_when_it_is_over)
{
    struct heard heard = {0};
    const struct listener to = {hear, &heard};
    struct trouble trouble = {0};

    trouble_over(&trouble, &to, "here", "nothing was wrong");
    assert_int_equal(heard.count, 0);
    for (int i = 0; i < 5; i++)
        trouble_met(&trouble, &to, "here", "no %s", "room");
    assert_int_equal(heard.count, 1);
    assert_string_equal(heard.level, "warn");
    assert_string_equal(heard.at, "here");
    assert_string_equal(heard.message, "no room");
    trouble_over(&trouble, &to, "here", "room");
    trouble_over(&trouble, &to, "here", "room");
    assert_int_equal(heard.count, 2);
    assert_string_equal(heard.level, "info");
    assert_string_equal(heard.message, "room");
}

TEST(one_that_lasts_is_told_once_a_minute_with_how_often_it_was_met)
{
    struct heard heard = {0};
    const struct listener to = {hear, &heard};
    struct trouble trouble = {0};

    for (int i = 0; i < 4; i++)
        trouble_met(&trouble, &to, "here", "no room");
    trouble.told_ns -= 61 * NS_PER_S; /* a minute later */
    trouble_met(&trouble, &to, "here", "no room");
    assert_int_equal(heard.count, 2);
    assert_string_equal(heard.message, "no room (4 times since it was last said)");
}

TEST(one_that_comes_and_goes_is_two_lines_a_minute)
{
    struct heard heard = {0};
    const struct listener to = {hear, &heard};
    struct trouble trouble = {0};

    for (int i = 0; i < 100; i++) {
        trouble_met(&trouble, &to, "here", "no room");
        trouble_over(&trouble, &to, "here", "room");
    }
    assert_int_equal(heard.count, 2);
}

struct crowd {
    struct trouble trouble;
    struct listener to;
};

static void *meet(void *arg)
{
    struct crowd *crowd = arg;

    for (int i = 0; i < 1000; i++)
        trouble_met(&crowd->trouble, &crowd->to, "here", "no room");
    return NULL;
}

TEST(many_who_meet_it_at_once_tell_it_once)
{
    struct heard heard = {0};
    struct crowd crowd = {.to = {hear, &heard}};
    pthread_t threads[4];

    for (unsigned i = 0; i < TL_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, meet, &crowd), 0);
    for (unsigned i = 0; i < TL_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(heard.count, 1);
}

TEST(a_message_of_any_length_is_cut_and_nobody_need_listen)
{
    struct heard heard = {0};
    const struct listener to = {hear, &heard}, deaf = {0};
    struct trouble trouble = {0};
    static char large[4000];

    memset(large, 'x', sizeof(large) - 1);
    trouble_met(&trouble, NULL, "here", "%s", large);
    trouble_met(&trouble, &deaf, "here", "%s", large);
    trouble_over(&trouble, NULL, "here", "%s", large);
    listener_tell(NULL, "info", "here", "%s", large);
    trouble_met(&trouble, &to, "here", "%s", large);
    assert_int_equal(heard.message[0], 'x');
    listener_tell(&to, "info", "here", "a %d", 1);
    assert_string_equal(heard.message, "a 1");
    assert_string_equal(heard.level, "info");
}

RUN(T(a_trouble_is_told_when_it_begins_and_when_it_is_over),
    T(one_that_lasts_is_told_once_a_minute_with_how_often_it_was_met),
    T(one_that_comes_and_goes_is_two_lines_a_minute), T(many_who_meet_it_at_once_tell_it_once),
    T(a_message_of_any_length_is_cut_and_nobody_need_listen))
