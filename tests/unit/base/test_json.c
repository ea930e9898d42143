#include "base/json.h"

#include "fail_alloc.h"
#include "tl_test.h"

#include <string.h>

static struct tl_err err;

static json_t *parse(const char *text)
{
    json_t *root = NULL;

    assert_ok(json_parse("doc.json", text, strlen(text), &root, &err));
    return root;
}

static enum tl_code parse_bad(const char *text)
{
    json_t *root = NULL;
    enum tl_code code = json_parse("doc.json", text, strlen(text), &root, &err);

    assert_null(root);
    return code;
}

TEST(bad_json_is_refused_with_its_line_and_column)
{
    assert_refused(parse_bad("{\n  \"a\": 1,\n  \"b\" 2}"), TL_INVALID, "doc.json:3:");
    assert_refused(parse_bad(""), TL_INVALID, "doc.json:1:0");
    assert_refused(parse_bad("{} x"), TL_INVALID, "doc.json:1:");
    assert_refused(parse_bad("{\"a\": 1, \"a\": 2}"), TL_INVALID, "duplicate");
    assert_refused(parse_bad("{\"a\": \"\xff\"}"), TL_INVALID, "unable to decode byte 0xff");
    assert_refused(parse_bad("{\"a\": 1e999}"), TL_INVALID, "overflow");
    assert_refused(parse_bad("{\"a\": \"\\u0000\"}"), TL_INVALID, "\\u0000");
}

TEST(a_deep_document_is_refused_and_not_a_stack_overflow)
{
    static char deep[100001];

    memset(deep, '[', sizeof(deep) - 1);
    assert_refused(parse_bad(deep), TL_INVALID, "depth");
}

TEST(typed_reads_return_what_the_document_says)
{
    AUTO_JSON doc = parse("{\"s\":\"x\",\"i\":-7,\"f\":2.5,\"b\":true,\"a\":[1,2,3]}");
    struct json_at root = json_root("doc.json", doc);
    const char *text = NULL;
    int64_t i = 0;
    double f = 0;
    bool b = false;
    size_t count = 0;

    assert_ok(json_read_string(json_key(&root, "s"), &text, &err));
    assert_string_equal(text, "x");
    assert_ok(json_read_int(json_key(&root, "i"), -10, 10, &i, &err));
    assert_int_equal(i, -7);
    assert_ok(json_read_number(json_key(&root, "f"), &f, &err));
    assert_near(f, 2.5, 0);
    assert_ok(json_read_number(json_key(&root, "i"), &f, &err));
    assert_near(f, -7, 0);
    assert_ok(json_read_bool_or(json_key(&root, "b"), false, &b, &err));
    assert_true(b);
    assert_ok(json_read_array(json_key(&root, "a"), false, &count, &err));
    assert_int_equal(count, 3);
}

TEST(an_absent_key_gives_the_fallback_where_there_is_one)
{
    AUTO_JSON doc = parse("{}");
    struct json_at root = json_root("doc.json", doc);
    const char *text = NULL;
    int64_t i = 0;
    bool b = false;
    size_t count = 9;

    assert_ok(json_read_string_or(json_key(&root, "s"), "there", &text, &err));
    assert_string_equal(text, "there");
    assert_ok(json_read_int_or(json_key(&root, "i"), 0, 1, 5, &i, &err));
    assert_int_equal(i, 5);
    assert_ok(json_read_bool_or(json_key(&root, "b"), true, &b, &err));
    assert_true(b);
    assert_ok(json_read_array(json_key(&root, "a"), true, &count, &err));
    assert_int_equal(count, 0);
    assert_refused(json_read_string(json_key(&root, "s"), &text, &err), TL_INVALID,
                   "doc.json: s: a string is needed and the key is absent");
}

TEST(a_refusal_names_the_whole_way_to_the_value)
{
    AUTO_JSON doc = parse("{\"classes\":[{},{\"value\":\"x\"},{\"value\":256}]}");
    struct json_at root = json_root("styles/dw.json", doc);
    struct json_at classes = json_key(&root, "classes");
    struct json_at second = json_item(&classes, 1), third = json_item(&classes, 2);
    int64_t value = 1;

    assert_refused(json_read_int(json_key(&second, "value"), 0, 255, &value, &err), TL_INVALID,
                   "styles/dw.json: classes[1].value: a whole number from 0 to 255 is needed, "
                   "this is a string");
    assert_refused(json_read_int(json_key(&third, "value"), 0, 255, &value, &err), TL_INVALID,
                   "classes[2].value: a whole number from 0 to 255 is needed, this is 256");
    assert_int_equal(value, 1);
    assert_refused(json_read_object(classes, &err), TL_INVALID,
                   "an object is needed, this is an array");
}

TEST(a_key_below_something_that_is_no_object_blames_that)
{
    AUTO_JSON doc = parse("{\"grid\":[1]}");
    struct json_at root = json_root("a.json", doc), grid = json_key(&root, "grid");
    const char *text;

    assert_refused(json_read_string(json_key(&grid, "crs"), &text, &err), TL_INVALID,
                   "a.json: grid: an object with the key \"crs\" is needed, this is an array");
}

TEST(an_array_root_is_named_by_index)
{
    AUTO_JSON doc = parse("[1]");
    struct json_at root = json_root("a.json", doc);

    assert_refused(json_read_object(json_item(&root, 0), &err), TL_INVALID,
                   "a.json: [0]: an object");
    assert_refused(json_read_object(root, &err), TL_INVALID, "a.json: an object is needed");
}

TEST(an_unknown_key_is_refused_with_a_guess)
{
    static const char *const known[] = {"title", "classes", "nodata", NULL};
    AUTO_JSON doc = parse("{\"title\":1,\"clases\":2}");
    AUTO_JSON odd = parse("{\"zzzzzz\":2}");

    assert_refused(json_known_keys(json_root("s.json", doc), known, &err), TL_INVALID,
                   "unknown key \"clases\"; did you mean \"classes\"?");
    assert_refused(json_known_keys(json_root("s.json", odd), known, &err), TL_INVALID,
                   "known are: title, classes, nodata");
    json_object_del(doc, "clases");
    assert_ok(json_known_keys(json_root("s.json", doc), known, &err));
}

TEST(a_very_long_place_is_cut_and_never_overruns)
{
    static char long_name[4096];
    json_t *value = json_integer(1);

    memset(long_name, 'n', sizeof(long_name) - 1);
    struct json_at root = json_root(long_name, value);
    assert_int_equal(json_refuse(&root, &err, "%s", long_name), TL_INVALID);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    json_decref(value);
}

TEST(every_failed_allocation_of_the_parser_is_a_refusal)
{
    const char *text = "{\"a\":[1,2,{\"b\":\"some longer text here\"}],\"c\":2.5}";
    json_t *root = NULL;
    unsigned n;

    if (!FAIL_ALLOC)
        skip();
    for (n = 1; n < 1000; n++) {
        fail_alloc_at(n);
        enum tl_code code = json_parse("a", text, strlen(text), &root, &err);
        if (!fail_alloc_hit())
            break;
        /* jansson itself gets over some failures (it falls back to a smaller buffer). */
        if (code == TL_OK)
            json_decref(root);
        root = NULL;
    }
    assert_in_range(n, 5, 999);
}

RUN(T(bad_json_is_refused_with_its_line_and_column),
    T(a_deep_document_is_refused_and_not_a_stack_overflow),
    T(typed_reads_return_what_the_document_says),
    T(an_absent_key_gives_the_fallback_where_there_is_one),
    T(a_refusal_names_the_whole_way_to_the_value),
    T(a_key_below_something_that_is_no_object_blames_that), T(an_array_root_is_named_by_index),
    T(an_unknown_key_is_refused_with_a_guess), T(a_very_long_place_is_cut_and_never_overruns),
    T(every_failed_allocation_of_the_parser_is_a_refusal))
