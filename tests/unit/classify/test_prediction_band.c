#include "classify/prediction_band.h"

#include "model/info.h"
#include "tl_test.h"

#include <stdio.h>
#include <string.h>

static struct tl_err err;
static char longest[53] = "long"; /* 51 bytes go into a band's name */

static const struct model_class classes[] = {
    {.name = "maize"}, {.name = "probability:soya"}, {.name = "margin"}, {.name = longest}};
static const struct model_info model = {.class_count = TL_COUNT(classes), .classes = classes};

static void assert_found(const char *name, enum prediction_output what, uint16_t class,
                         const char *full)
{
    struct prediction_band band = {.what = PREDICTION_LABEL, .class = 99};
    char called[BAND_NAME_ROOM];

    assert_ok(prediction_band_find(name, &model, &band, &err));
    assert_int_equal(band.what, what);
    assert_int_equal(band.class, class);
    prediction_band_name(&band, &model, called);
    assert_string_equal(called, full);
}

static enum tl_code refused(const char *name)
{
    struct prediction_band band;

    return prediction_band_find(name, &model, &band, &err);
}

TEST(every_band_is_found_by_its_name_and_says_it)
{
    assert_found("label", PREDICTION_LABEL, 0, "label");
    assert_found("confidence", PREDICTION_CONFIDENCE, 0, "confidence");
    assert_found("margin", PREDICTION_MARGIN, 0, "margin");
    assert_found("entropy", PREDICTION_ENTROPY, 0, "entropy");
    assert_found("probability:maize", PREDICTION_PROBABILITY, 0, "probability:maize");
}

TEST(the_name_of_a_class_alone_is_its_probabilitys)
{
    assert_found("maize", PREDICTION_PROBABILITY, 0, "probability:maize");
    /* What every prediction has goes first; the class is found by its whole name. */
    assert_found("probability:margin", PREDICTION_PROBABILITY, 2, "probability:margin");
    assert_found("probability:probability:soya", PREDICTION_PROBABILITY, 1,
                 "probability:probability:soya");
}

TEST(what_is_no_band_is_refused_with_those_there_are)
{
    static const char *const names[] = {
        "", "Label", "probability", "probability:", "probability:mai", "maiz", "maize ", "Xxx"};

    for (size_t i = 0; i < TL_COUNT(names); i++)
        assert_refused(refused(names[i]), TL_ABSENT,
                       "label, confidence, margin, entropy and probability:CLASS are, of the "
                       "model's 4 classes such as \"maize\"");
    assert_refused(refused("a name that is as long as a band's full one"), TL_ABSENT, "no band");
}

TEST(a_class_of_51_bytes_has_a_band_and_one_of_52_has_none)
{
    char full[80];

    memset(longest, 'm', 51);
    snprintf(full, sizeof(full), "probability:%s", longest);
    assert_found(longest, PREDICTION_PROBABILITY, 3, full);
    assert_found(full, PREDICTION_PROBABILITY, 3, full);
    longest[51] = 'm';
    assert_refused(refused(longest), TL_LIMIT, "too long for a band; at most 51 bytes are");
}

RUN(T(every_band_is_found_by_its_name_and_says_it),
    T(the_name_of_a_class_alone_is_its_probabilitys),
    T(what_is_no_band_is_refused_with_those_there_are),
    T(a_class_of_51_bytes_has_a_band_and_one_of_52_has_none))
