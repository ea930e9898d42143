#include "base/nearest.h"

#include "tl_test.h"

#include <string.h>

TEST(distances_are_those_of_the_definition)
{
    assert_int_equal(nearest_distance("", ""), 0);
    assert_int_equal(nearest_distance("abc", "abc"), 0);
    assert_int_equal(nearest_distance("", "abc"), 3);
    assert_int_equal(nearest_distance("kitten", "sitting"), 3);
    assert_int_equal(nearest_distance("loops", "lopos"), 1);
    assert_int_equal(nearest_distance("ca", "abc"), 3);
}

TEST(words_past_the_limit_are_far_apart_and_safe)
{
    char long_word[200];

    memset(long_word, 'a', sizeof(long_word) - 1);
    long_word[199] = '\0';
    assert_int_equal(nearest_distance(long_word, "a"), 200);
    long_word[63] = '\0';
    assert_int_equal(nearest_distance(long_word, "a"), 62);
}

TEST(a_typo_finds_its_word_and_nonsense_finds_none)
{
    static const char *const known[] = {"style", "season", "classes", NULL};

    assert_string_equal(nearest_word("stile", known), "style");
    assert_string_equal(nearest_word("saeson", known), "season");
    assert_null(nearest_word("bbox", known));
    assert_null(nearest_word("", known));
}

RUN(T(distances_are_those_of_the_definition), T(words_past_the_limit_are_far_apart_and_safe),
    T(a_typo_finds_its_word_and_nonsense_finds_none))
