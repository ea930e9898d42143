#include "tl_test.h"

#include "base/arena.h"
#include "tiler/layer_doc.h"

#include <stdlib.h>
#include <string.h>

static struct arena *arena;
static struct layer_doc doc;
static struct tl_err err;

static enum tl_code parse(const char *text)
{
    arena_free(arena);
    arena = arena_new();
    return layer_doc_parse("conf/layers/a.json", text, strlen(text), arena, &doc, &err);
}

#define PREDICTION                                                                        \
    "{\"id\": \"p\", \"kind\": \"prediction\", \"grid\": {\"like\": \"s1\"},"             \
    " \"sources\": {\"s1\": {\"href\": \"s1.tif\", \"bands\": {\"red\": 3, \"nir\": 4}}," \
    "               \"dw\": {\"href\": \"s3://b/dw.tif\"}},"                              \
    " \"model\": {\"href\": \"/m.tilth\"}, \"features\": {\"f\": \"nd(s1.nir, s1.red)\"}"

TEST(hrefs_are_relative_to_the_document)
{
    assert_ok(parse("{\"id\": \"a\", \"kind\": \"raster\", \"classes\": true,"
                    " \"source\": {\"href\": \"../x.tif\"}}"));
    assert_string_equal(doc.sources[0].href, "conf/layers/../x.tif");
    assert_ok(parse(PREDICTION "}"));
    assert_string_equal(doc.sources[0].href, "conf/layers/s1.tif");
    assert_string_equal(doc.sources[1].href, "s3://b/dw.tif");
    assert_string_equal(doc.model, "/m.tilth");
}

TEST(a_smoothing_is_done_once_or_as_often_as_it_says)
{
    assert_ok(parse(PREDICTION ", \"post\": [{\"op\": \"smooth\"}]}"));
    assert_int_equal(doc.post.count, 1);
    assert_int_equal(doc.post.steps[0].op, POST_SMOOTH);
    assert_int_equal(doc.post.steps[0].size, 1);
    assert_ok(parse(PREDICTION ", \"post\": [{\"op\": \"smooth\", \"times\": 8},"
                               " {\"op\": \"majority\", \"size\": 3}]}"));
    assert_int_equal(doc.post.steps[0].size, 8);
    assert_int_equal(doc.post.steps[1].op, POST_MAJORITY);
}

TEST(a_prediction_is_read_in_full)
{
    assert_ok(parse(PREDICTION
                    ", \"mask\": {\"source\": \"dw\", \"keep\": [4, 5]},"
                    " \"post\": [{\"op\": \"sieve\", \"min_pixels\": 100, \"connect\": 8},"
                    "            {\"op\": \"majority\", \"size\": 5},"
                    "            {\"op\": \"unsure\", \"below\": 60}],"
                    " \"below_native\": {\"policy\": \"exact\", \"budget_blocks\": 7}}"));
    assert_int_equal(doc.kind, LAYER_PREDICTION);
    assert_int_equal(doc.grid_like, 0);
    assert_int_equal(doc.sources[0].band_count, 2);
    assert_string_equal(doc.sources[0].band_names[1], "nir");
    assert_int_equal(doc.sources[0].band_index[1], 3);
    assert_int_equal(doc.mask_source, 1);
    assert_int_equal(doc.mask_keep[4] + doc.mask_keep[5], 2);
    assert_int_equal(doc.mask_keep[6], 0);
    assert_int_equal(doc.post.count, 3);
    assert_int_equal(doc.post.steps[0].op, POST_SIEVE);
    assert_int_equal(doc.post.steps[0].size, 100);
    assert_int_equal(doc.post.steps[0].connect, 8);
    assert_int_equal(doc.post.steps[1].op, POST_MAJORITY);
    assert_int_equal(doc.post.steps[1].size, 5);
    assert_int_equal(doc.post.steps[2].op, POST_UNSURE);
    assert_int_equal(doc.post.steps[2].below, 60);
    assert_int_equal(doc.post.steps[2].value, 253);
    assert_int_equal(doc.policy, POLICY_EXACT);
    assert_int_equal(doc.budget_blocks, 7);
}

TEST(an_area_of_interest_is_a_file_or_stands_in_the_document)
{
    assert_ok(parse(PREDICTION "}"));
    assert_null(doc.aoi_href);
    assert_null(doc.aoi);
    assert_ok(parse(PREDICTION ", \"aoi\": \"farm.geojson\"}"));
    assert_string_equal(doc.aoi_href, "conf/layers/farm.geojson");
    assert_null(doc.aoi);
    assert_ok(parse(PREDICTION ", \"aoi\": {\"type\": \"Polygon\", \"coordinates\":"
                               " [[[1,2],[2,2],[2,3],[1,2]]]}}"));
    assert_null(doc.aoi_href);
    assert_non_null(doc.aoi);
    assert_refused(parse(PREDICTION ", \"aoi\": {\"type\": \"Polygon\", \"coordinates\":"
                                    " [[[1,2],[2,2],[2,3],[1,3]]]}}"),
                   TL_INVALID, "conf/layers/a.json: aoi.coordinates[0]: a ring ends");
    assert_refused(parse(PREDICTION ", \"aoi\": 4}"), TL_INVALID, "aoi");
    assert_refused(parse("{\"id\": \"a\", \"kind\": \"raster\", \"aoi\": \"x.geojson\","
                         " \"source\": {\"href\": \"x.tif\"}}"),
                   TL_INVALID, "aoi");
}

TEST(outputs_are_a_list_of_names)
{
    assert_ok(parse(PREDICTION "}"));
    assert_int_equal(doc.output_count, 0);
    assert_ok(parse(PREDICTION ", \"outputs\": [\"margin\", \"probability:maize\"]}"));
    assert_int_equal(doc.output_count, 2);
    assert_string_equal(doc.outputs[1], "probability:maize");
    assert_refused(parse(PREDICTION ", \"outputs\": [3]}"), TL_INVALID, "outputs[0]");
    assert_refused(parse("{\"id\": \"a\", \"kind\": \"raster\", \"outputs\": [],"
                         " \"source\": {\"href\": \"x.tif\"}}"),
                   TL_INVALID, "outputs");
}

TEST(interpolating_kernels_are_refused_for_classes)
{
    assert_refused(parse("{\"id\": \"a\", \"kind\": \"raster\", \"classes\": true,"
                         " \"source\": {\"href\": \"x.tif\"}, \"resampling\": \"bilinear\"}"),
                   TL_INVALID, "resampling: bilinear would invent classes");
    assert_ok(parse(PREDICTION ", \"resampling\": \"mode\"}"));
    assert_refused(parse(PREDICTION ", \"resampling\": \"average\"}"), TL_INVALID,
                   "resampling: a prediction takes nearest or mode");
}

TEST(a_refusal_names_document_and_place)
{
    assert_refused(parse("{\"id\": \"a\", \"kind\": \"raster\", \"source\": {\"herf\": \"x\"}}"),
                   TL_INVALID, "conf/layers/a.json: source");
    assert_refused(parse("{\"id\": \"../a\", \"kind\": \"raster\"}"), TL_INVALID, "id");
    assert_refused(parse("{\"id\": \"a\", \"kind\": \"vector\"}"), TL_INVALID, "vector");
    assert_refused(parse(PREDICTION ", \"mask\": {\"source\": \"no\", \"keep\": []}}"), TL_INVALID,
                   "mask.source");
    assert_refused(parse(PREDICTION ", \"mask\": {\"source\": \"s1\", \"keep\": []}}"), TL_INVALID,
                   "mask.keep: nothing is kept");
    assert_refused(parse(PREDICTION ", \"post\": [{\"op\": \"majority\", \"size\": 4}]}"),
                   TL_INVALID, "odd");
    assert_refused(parse(PREDICTION ", \"post\": [{\"op\": \"blur\"}]}"), TL_INVALID,
                   "post[0].op: \"blur\" is not one of majority, sieve, smooth, unsure");
    assert_refused(parse(PREDICTION ", \"post\": [{\"op\": \"smooth\", \"times\": 9}]}"),
                   TL_INVALID, "post[0].times");
    assert_refused(parse(PREDICTION ", \"post\": [{\"op\": \"unsure\", \"below\": 60},"
                                    " {\"op\": \"smooth\"}]}"),
                   TL_INVALID, "step 2 smooths probabilities");
    assert_refused(parse(PREDICTION ", \"post\": [{\"op\": \"sieve\", \"size\": 4}]}"), TL_INVALID,
                   "size");
    assert_refused(parse(PREDICTION ", \"post\": [{\"op\": \"sieve\", \"min_pixels\": 200},"
                                    " {\"op\": \"sieve\", \"min_pixels\": 100}]}"),
                   TL_INVALID, "looks 298 pixels far, at most 256");
    assert_refused(parse("{\"id\": \"a\","), TL_INVALID, "conf/layers/a.json");
}

#define RASTER(source, more) \
    "{\"id\": \"a\", \"kind\": \"raster\", \"source\": {\"href\": \"x.tif\"" source "}" more "}"

TEST(a_key_that_would_be_passed_over_is_refused)
{
    assert_ok(parse(RASTER("", ", \"seasons\": {\"now\": {\"href\": \"y.tif\"}}")));
    assert_refused(parse(RASTER(", \"resampling\": \"cubic\"", "")), TL_INVALID,
                   "source: unknown key");
    assert_refused(parse(RASTER(", \"s3\": {\"access_key\": {\"evn\": \"K\"}}", "")), TL_INVALID,
                   "source.s3.access_key: unknown key");
    assert_refused(parse(RASTER("", ", \"seasons\": {\"now\": {\"sources\": {}}}")), TL_INVALID,
                   "seasons.now: unknown key");
    assert_refused(parse(PREDICTION ", \"seasons\": {\"now\": {\"href\": \"y.tif\"}}}"), TL_INVALID,
                   "seasons.now: unknown key");
    assert_refused(parse(PREDICTION ", \"seasons\": {\"now\": {\"sources\": {\"s1\": "
                                    "{\"href\": \"y.tif\", \"bands\": {}}}}}}"),
                   TL_INVALID, "seasons.now.sources.s1: unknown key");
    assert_refused(
        parse("{\"id\": \"p\", \"kind\": \"prediction\", \"sources\": {\"s1\": {\"href\": "
              "\"s1.tif\"}}, \"model\": {\"href\": \"m\", \"kind\": \"x\"}}"),
        TL_INVALID, "model: unknown key");
    assert_refused(
        parse("{\"id\": \"p\", \"kind\": \"prediction\", \"sources\": {\"s1\": {\"href\": "
              "\"s1.tif\"}}, \"model\": {\"href\": \"m\"},"
              " \"grid\": {\"like\": \"s1\", \"res\": 10}}"),
        TL_INVALID, "grid: unknown key");
}

TEST(a_season_is_found_by_label_and_by_day)
{
    assert_ok(parse(PREDICTION
                    ", \"seasons\": {"
                    "\"2024-25\": {\"start\": \"2024-11-01\", \"end\": \"2025-05-01\"},"
                    "\"2025-26\": {\"start\": \"2025-11-01\", \"end\": \"2026-05-01\","
                    "              \"sources\": {\"s1\": {\"href\": \"s1-2026.tif\"}}}}}"));
    assert_int_equal(layer_doc_season(&doc, ""), 0);
    assert_int_equal(layer_doc_season(&doc, "2025-26"), 1);
    assert_int_equal(layer_doc_season(&doc, "2024-11-01"), 0);
    assert_int_equal(layer_doc_season(&doc, "2025-04-30"), 0);
    assert_int_equal(layer_doc_season(&doc, "2025-05-01"), -1);
    assert_int_equal(layer_doc_season(&doc, "2026-01-15"), 1);
    assert_int_equal(layer_doc_season(&doc, "nonsense"), -1);
    assert_null(doc.seasons[0].hrefs[0]);
    assert_string_equal(doc.seasons[1].hrefs[0], "conf/layers/s1-2026.tif");
}

#define SEASON(start, end) \
    PREDICTION ", \"seasons\": {\"now\": {\"start\": \"" start "\", \"end\": \"" end "\"}}}"

TEST(a_season_has_days_that_exist_in_their_order)
{
    assert_ok(parse(SEASON("2024-02-29", "2024-12-31")));
    assert_ok(parse(SEASON("2000-02-29", "2000-03-01")));
    assert_refused(parse(SEASON("2025-02-29", "2025-12-31")), TL_INVALID,
                   "seasons.now.start: \"2025-02-29\" is not a day");
    assert_refused(parse(SEASON("1900-02-29", "2025-12-31")), TL_INVALID, "seasons.now.start");
    assert_refused(parse(SEASON("2024-00-10", "2025-12-31")), TL_INVALID, "seasons.now.start");
    assert_refused(parse(SEASON("2024-01-01", "2024-13-01")), TL_INVALID, "seasons.now.end");
    assert_refused(parse(SEASON("2024-01-00", "2024-12-01")), TL_INVALID, "seasons.now.start");
    assert_refused(parse(SEASON("2024-01-01", "2024-04-31")), TL_INVALID, "seasons.now.end");
    assert_refused(parse(SEASON("2024-01-01", "2024-4-30")), TL_INVALID, "seasons.now.end");
    assert_refused(parse(SEASON("2024-01-01", "2024-04-300")), TL_INVALID, "seasons.now.end");
    assert_refused(parse(SEASON("2024-05-01", "2024-05-01")), TL_INVALID,
                   "seasons.now.end: 2024-05-01 is not after the start, 2024-05-01");
    assert_refused(parse(SEASON("2024-05-01", "2023-11-01")), TL_INVALID, "seasons.now.end");
    assert_refused(parse(PREDICTION ", \"seasons\": {\"now\": {\"start\": \"2024-05-01\"}}}"),
                   TL_INVALID, "seasons.now: start and end go together");
}

TEST(a_day_that_does_not_exist_has_no_season)
{
    assert_ok(parse(SEASON("2024-11-01", "2025-05-01")));
    assert_int_equal(layer_doc_season(&doc, "2025-02-28"), 0);
    assert_int_equal(layer_doc_season(&doc, "2025-02-29"), -1);
    assert_int_equal(layer_doc_season(&doc, "2024-12-32"), -1);
    assert_int_equal(layer_doc_season(&doc, "2024-12-00"), -1);
    assert_int_equal(layer_doc_season(&doc, "2024-13-01"), -1);
}

#define FEATURE(text)                                                                     \
    "{\"id\": \"p\", \"kind\": \"prediction\", \"grid\": {\"like\": \"s1\"},"             \
    " \"sources\": {\"s1\": {\"href\": \"s1.tif\", \"bands\": {\"red\": 3, \"nir\": 4}}," \
    "               \"rain\": {\"href\": \"rain.tif\"}},"                                 \
    " \"model\": {\"href\": \"/m.tilth\"}, \"features\": {\"f\": \"" text "\"}}"

TEST(an_expression_that_is_none_is_refused_at_its_place)
{
    assert_ok(parse(FEATURE("where(s1.red > 0, s1.nir / s1.red, 0)")));
    assert_refused(parse(FEATURE("s1.red +")), TL_INVALID,
                   "conf/layers/a.json: features.f: \"s1.red +\", column 9");
    assert_refused(parse(FEATURE("")), TL_INVALID, "features.f");
    assert_refused(parse(FEATURE("nd(s1.red)")), TL_INVALID, "features.f");
    assert_refused(parse(FEATURE("tan(s1.red)")), TL_INVALID, "features.f");
    assert_refused(parse(FEATURE("s1.green")), TL_INVALID, "s1.green");
    assert_refused(parse(FEATURE("s2.red")), TL_INVALID, "s2.red");
    assert_ok(parse(FEATURE("rain.b2"))); /* the file has to say */
    assert_refused(parse(FEATURE("s1.re")), TL_INVALID, "features.f");
}

TEST(a_secret_may_come_from_the_environment)
{
    const char *text =
        "{\"id\": \"a\", \"kind\": \"raster\", \"source\": {\"href\": \"s3://b/x.tif\","
        " \"s3\": {\"endpoint\": \"http://h:9\", \"access_key\": \"k\","
        " \"secret_key\": {\"env\": \"TILTH_TEST_SECRET\"}}}}";

    unsetenv("TILTH_TEST_SECRET");
    assert_refused(parse(text), TL_INVALID, "TILTH_TEST_SECRET is not set");
    setenv("TILTH_TEST_SECRET", "sesame", 1);
    assert_ok(parse(text));
    assert_true(doc.sources[0].has_s3);
    assert_string_equal(doc.sources[0].s3.secret_key, "sesame");
    assert_string_equal(doc.sources[0].s3.endpoint, "http://h:9");
}

TEST(a_source_is_anonymous_when_it_says_so)
{
    assert_ok(parse(RASTER(", \"s3\": {\"access_key\": \"k\", \"secret_key\": \"s\"}", "")));
    assert_string_equal(doc.sources[0].s3.access_key, "k");
    assert_false(doc.sources[0].s3.anonymous);
    assert_ok(parse(RASTER(", \"s3\": {\"access_key\": \"k\", \"secret_key\": \"s\", "
                           "\"anonymous\": true}",
                           "")));
    assert_true(doc.sources[0].s3.anonymous); /* the store drops the keys */
}

RUN(T(hrefs_are_relative_to_the_document), T(a_smoothing_is_done_once_or_as_often_as_it_says),
    T(a_prediction_is_read_in_full), T(an_area_of_interest_is_a_file_or_stands_in_the_document),
    T(outputs_are_a_list_of_names), T(interpolating_kernels_are_refused_for_classes),
    T(a_refusal_names_document_and_place), T(a_key_that_would_be_passed_over_is_refused),
    T(a_source_is_anonymous_when_it_says_so), T(a_season_is_found_by_label_and_by_day),
    T(a_secret_may_come_from_the_environment), T(a_season_has_days_that_exist_in_their_order),
    T(a_day_that_does_not_exist_has_no_season),
    T(an_expression_that_is_none_is_refused_at_its_place))
