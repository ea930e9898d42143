#include "tl_test.h"

#include "tiler/style.h"

#include <string.h>

static struct style style;
static struct tl_err err;

static enum tl_code parse(const char *text)
{
    return style_parse("s.json", text, strlen(text), &style, &err);
}

TEST(classes_are_read_with_both_spellings_of_the_colour)
{
    assert_ok(parse(
        "{\"id\": \"a\", \"type\": \"classes\", \"nodata\": 0, \"classification:classes\": ["
        "{\"value\": 4, \"name\": \"crops\", \"title\": \"Crops\", \"color_hint\": \"E49635\"},"
        "{\"value\": 7, \"name\": \"bare\", \"color-hint\": \"#a59b8f\", \"tilth:alpha\": 9}]}"));
    assert_int_equal(style.kind, STYLE_CLASSES);
    assert_int_equal(style.nodata, 0);
    assert_int_equal(style.class_count, 2);
    const struct style_class *crops = style_class_of(&style, 4);
    assert_non_null(crops);
    assert_string_equal(crops->title, "Crops");
    assert_memory_equal(crops->rgba, "\xE4\x96\x35\xFF", 4);
    assert_memory_equal(style_class_of(&style, 7)->rgba, "\xA5\x9B\x8F\x09", 4);
    assert_string_equal(style_class_of(&style, 7)->title, "bare");
    assert_null(style_class_of(&style, 5));
}

TEST(a_refusal_names_the_place)
{
    assert_refused(parse("{\"id\": \"a\", \"type\": \"classes\", \"classification:classes\": ["
                         "{\"value\": 4, \"name\": \"x\", \"color_hint\": \"E4963\"}]}"),
                   TL_INVALID, "s.json: classification:classes[0].color_hint");
    assert_refused(parse("{\"id\": \"a\", \"type\": \"classes\", \"classification:classes\": ["
                         "{\"value\": 256, \"name\": \"x\", \"color_hint\": \"E49630\"}]}"),
                   TL_INVALID, "classification:classes[0].value");
    assert_refused(parse("{\"id\": \"a\", \"type\": \"pie\"}"), TL_INVALID, "pie");
    assert_refused(parse("{\"id\": \"a\", \"type\": \"rgb\", \"colour\": 1}"), TL_INVALID,
                   "colour");
}

TEST(a_value_given_twice_is_refused)
{
    assert_refused(parse("{\"id\": \"a\", \"type\": \"classes\", \"classification:classes\": ["
                         "{\"value\": 4, \"name\": \"x\", \"color_hint\": \"E49630\"},"
                         "{\"value\": 4, \"name\": \"y\", \"color_hint\": \"E49630\"}]}"),
                   TL_INVALID, "twice");
}

TEST(a_ramp_is_linear_between_stops_and_flat_beyond)
{
    uint8_t rgba[4];

    assert_ok(parse("{\"id\": \"a\", \"type\": \"ramp\", \"stops\": "
                    "[[0, \"000000\"], [10, \"640000\"], [20, \"64C800\"]]}"));
    assert_near(style.range[0][0], 0, 0);
    assert_near(style.range[0][1], 20, 0);
    style_ramp_color(&style, 5, rgba);
    assert_memory_equal(rgba, "\x32\x00\x00\xFF", 4);
    style_ramp_color(&style, 15, rgba);
    assert_memory_equal(rgba, "\x64\x64\x00\xFF", 4);
    style_ramp_color(&style, -3, rgba);
    assert_memory_equal(rgba, "\x00\x00\x00\xFF", 4);
    style_ramp_color(&style, 99, rgba);
    assert_memory_equal(rgba, "\x64\xC8\x00\xFF", 4);
}

TEST(stops_that_do_not_ascend_are_refused)
{
    assert_refused(parse("{\"id\": \"a\", \"type\": \"ramp\", \"stops\": "
                         "[[1, \"000000\"], [1, \"640000\"]]}"),
                   TL_INVALID, "stops[1]");
}

TEST(each_band_of_percents_has_a_ramp_of_its_own_that_is_bright_where_it_is_sure)
{
    struct style confidence, margin, entropy;
    uint8_t sure[4], unsure[4];

    style_of_band("confidence", 2, &confidence);
    style_of_band("margin", 3, &margin);
    style_of_band("entropy", 4, &entropy);
    assert_string_equal(margin.title, "Margin, percent");
    assert_int_equal(margin.bands[0], 3);
    assert_int_equal(confidence.nodata, 0);
    assert_int_equal(margin.nodata, 255);
    style_ramp_color(&margin, 100, sure);
    style_ramp_color(&entropy, 0, unsure);
    assert_memory_equal(sure, unsure, 4);
    assert_false(hash128_equal(confidence.fingerprint, margin.fingerprint));
    assert_false(hash128_equal(entropy.fingerprint, margin.fingerprint));
}

TEST(a_palette_becomes_a_style_without_its_holes)
{
    uint8_t rgba[256][4] = {{0}};

    memcpy(rgba[0], "\x01\x01\x01\xFF", 4);
    memcpy(rgba[40], "\xF0\x96\xFF\xFF", 4);
    style_from_palette("p", (const uint8_t(*)[4])rgba, 0, &style);
    assert_int_equal(style.class_count, 1);
    assert_int_equal(style.classes[0].value, 40);
    assert_memory_equal(style.classes[0].rgba, rgba[40], 4);
}

RUN(T(classes_are_read_with_both_spellings_of_the_colour), T(a_refusal_names_the_place),
    T(a_value_given_twice_is_refused), T(a_ramp_is_linear_between_stops_and_flat_beyond),
    T(stops_that_do_not_ascend_are_refused),
    T(each_band_of_percents_has_a_ramp_of_its_own_that_is_bright_where_it_is_sure),
    T(a_palette_becomes_a_style_without_its_holes))
