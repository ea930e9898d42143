/*
 * XGBoost's JSON and UBJSON against what XGBoost 1.7.6, 2.1.4 and 3.2.0 predict themselves:
 * tests/data/forest/make_xgboost.py wrote the models and the rows, on thresholds, one step
 * beside them, with zeros, NaN and infinities.
 */
#include "library_rows.h"

/* Margins bit for bit; a probability is one expf(), which libraries may round differently. */
#define FLOAT_ULP 0x1p-23

static void check_version(char version, const char *rows, const char *suffix)
{
    char name[64], file[80];
    struct library_case c = {name, file, model_read_xgboost, 4, FLOAT_ULP, 0};

    snprintf(name, sizeof(name), "xgboost%c_%s", version, rows);
    snprintf(file, sizeof(file), "%s.%s", name, suffix);
    library_check(&c, true);
}

static void check(const char *rows, const char *suffix)
{
    check_version('1', rows, suffix);
    check_version('3', rows, suffix);
}

TEST(a_binary_model_predicts_what_the_library_does)
{
    check("binary", "json");
    check("binary", "ubj");
}

TEST(a_base_score_is_a_probability_in_every_version)
{
    check("base", "json");
}

TEST(parallel_trees_and_classes_predict_what_the_library_does)
{
    check("softprob", "json");
    check("softprob", "ubj");
}

TEST(softmax_labels_come_from_the_margins)
{
    check("softmax", "ubj");
}

TEST(dart_predicts_what_the_library_does)
{
    check("dart", "json");
    check("dart_multi", "ubj");
}

TEST(trees_after_the_best_iteration_are_not_used)
{
    check("best", "ubj");
}

TEST(categories_predict_what_the_library_does)
{
    check("categories", "json");
    check("categories_onehot", "ubj");
}

TEST(categories_of_a_table_are_its_values)
{
    check_version('3', "values", "json");
}

TEST(leaves_of_several_numbers_predict_what_the_library_does)
{
    check_version('2', "vector", "ubj");
    check_version('3', "vector", "json");
    check_version('3', "vector", "ubj");
}

TEST(features_keep_their_names)
{
    AUTO(blob) file = library_file("xgboost3_binary.json");
    struct forest *forest = NULL;
    struct tl_err err;

    assert_ok(forest_load("m.json", file, &forest, &err));
    assert_string_equal(forest_info(forest)->features[0], "B02");
    assert_string_equal(forest_info(forest)->features[2], "nd\"vi\"");
    assert_string_equal(forest_info(forest)->features[3], "µ");
    assert_string_equal(forest_info(forest)->classes[1].name, "1");
    forest_unref(forest);
}

static enum tl_code with(const char *from, const char *to, struct tl_err *err)
{
    return library_load_with("xgboost3_binary.json", from, to, err);
}

TEST(what_is_not_served_is_refused_by_name)
{
    struct tl_err err;

    assert_refused(with("\"name\":\"binary:logistic\"", "\"name\":\"reg:squarederror\"", &err),
                   TL_UNSUPPORTED, "\"reg:squarederror\"");
    assert_refused(with("\"name\":\"gbtree\"", "\"name\":\"gblinear\"", &err), TL_UNSUPPORTED,
                   "gblinear");
    assert_refused(
        library_load_with("xgboost3_values.json", "\"type\"", "\"offsets\":[0,1],\"t\"", &err),
        TL_UNSUPPORTED, "the categories of feature B03 are words");
    assert_refused(with("\"num_target\":\"1\"", "\"num_target\":\"2\"", &err), TL_UNSUPPORTED,
                   "2 targets");
    assert_refused(with("\"split_conditions\":[", "\"split_conditions\":[NaN,", &err),
                   TL_UNSUPPORTED, "tree 0, node 0: the threshold of feature ");
}

TEST(damage_is_refused_and_says_where)
{
    struct tl_err err;

    assert_refused(with("\"left_children\":[1", "\"left_children\":[0", &err), TL_CORRUPT,
                   "tree 0, node 0: it is ");
    assert_refused(with("\"left_children\":[1", "\"left_children\":[999", &err), TL_CORRUPT,
                   "node 999: it is a child that does not exist");
    assert_refused(with("\"split_indices\":[", "\"split_indices\":[9,", &err), TL_CORRUPT,
                   "tree 0, node 0: split_indices: the feature");
    assert_refused(with("\"default_left\":[", "\"default_left\":[7,", &err), TL_CORRUPT,
                   "tree 0, node 0: default_left: 0 or 1");
    assert_refused(with("\"right_children\":[", "\"right_children\":[-2,", &err), TL_CORRUPT,
                   "tree 0, node 0: right_children: a child or -1");
    assert_refused(with("\"split_conditions\":[", "\"split_conditions\":[null,", &err), TL_CORRUPT,
                   "tree 0, node 0: split_conditions: a number");
    assert_refused(with("\"left_children\":[", "\"left_children\":[1.5,", &err), TL_CORRUPT,
                   "tree 0, node 0: left_children");
    assert_refused(with("\"base_score\":\"[", "\"base_score\":\"[7,", &err), TL_CORRUPT,
                   "base_score");
    assert_refused(with("\"tree_info\":[0", "\"tree_info\":[1", &err), TL_CORRUPT, "tree_info");
    assert_refused(with("\"num_class\":\"0\",\"num_feature\":\"4\"",
                        "\"num_class\":\"0\",\"num_feature\":\"5000\"", &err),
                   TL_LIMIT, "5000 features");
    assert_refused(with("\"learner\"", "\"learned\"", &err), TL_CORRUPT, "");
    assert_refused(with("]", "", &err), TL_CORRUPT, "byte ");
}

static enum tl_code categories_with(const char *from, const char *to, struct tl_err *err)
{
    return library_load_with("xgboost3_categories.json", from, to, err);
}

TEST(damaged_categories_are_refused)
{
    struct tl_err err;

    assert_refused(with("\"split_type\":[0", "\"split_type\":[1", &err), TL_CORRUPT,
                   "a categorical split has no categories");
    assert_refused(with("\"categories_nodes\":[]", "\"categories_nodes\":[2]", &err), TL_CORRUPT,
                   "categories_nodes");
    assert_refused(categories_with("\"categories\":[", "\"categories\":[-1,", &err), TL_CORRUPT,
                   "categories_nodes");
    assert_refused(
        categories_with("\"categories_segments\":[0", "\"categories_segments\":[4000000000", &err),
        TL_CORRUPT, "there are fewer categories");
    assert_refused(
        categories_with("\"categories_sizes\":[", "\"categories_sizes\":[4000000000,", &err),
        TL_CORRUPT, "categories_nodes");
    assert_refused(categories_with("\"categories_nodes\":[", "\"categories_nodes\":[99,", &err),
                   TL_CORRUPT, "categories_nodes");
}

TEST(damaged_leaves_of_several_numbers_are_refused)
{
    static const char name[] = "xgboost3_vector.json";
    struct tl_err err;

    assert_refused(library_load_with(name, "\"leaf_weights\":[", "\"leaf_weights\":[1,", &err),
                   TL_CORRUPT, "tree 0: leaf_weights");
    assert_refused(
        library_load_with(name, "\"leaf_weights\":[", "\"leaf_weights\":[NaN,1,2,", &err),
        TL_CORRUPT, "its leaf is nan");
    /* Without them the nodes' own numbers are the leaves', as they were until 3.1. */
    assert_ok(library_load_with(name, "\"leaf_weights\":[", "\"leaf_weights\":[],\"x\":[", &err));
    assert_refused(with("\"size_leaf_vector\":\"1\"", "\"size_leaf_vector\":\"3\"", &err),
                   TL_CORRUPT, "size_leaf_vector");
}

TEST(a_file_cut_short_anywhere_is_refused)
{
    library_check_cuts("xgboost3_binary.json");
    library_check_cuts("xgboost3_binary.ubj");
    library_check_cuts("xgboost3_categories_onehot.ubj");
    library_check_cuts("xgboost3_vector.ubj");
}

TEST(a_damaged_byte_is_refused_or_harmless)
{
    library_check_flips("xgboost3_binary.json");
    library_check_flips("xgboost3_binary.ubj");
    library_check_flips("xgboost3_categories_onehot.ubj");
    library_check_flips("xgboost3_vector.ubj");
}

static enum tl_code load_bytes(const char *bytes, size_t size, struct tl_err *err)
{
    AUTO(blob) file = blob_copy(bytes, size);
    struct forest *forest = NULL;
    enum tl_code code = forest_load("m", file, &forest, err);

    forest_unref(forest);
    return code;
}

TEST(nesting_and_lengths_are_bounded)
{
    char deep[400];
    struct tl_err err;

    memset(deep, '[', sizeof(deep));
    memcpy(deep, "{\"a\":", 5);
    assert_refused(load_bytes(deep, sizeof(deep), &err), TL_CORRUPT, "more than 64 deep");
    memset(deep, '[', sizeof(deep));
    memcpy(deep, "{i\1a", 4);
    assert_refused(load_bytes(deep, sizeof(deep), &err), TL_CORRUPT, "more than 64 deep");
    static const char many[] = "{i\1a[$i#L\x7f\xff\xff\xff\xff\xff\xff\xff";
    assert_refused(load_bytes(many, sizeof(many) - 1, &err), TL_CORRUPT, "byte ");
    static const char nothing[] = "{i\1a[$Z#L\0\0\0\xff\xff\xff\xff\xff";
    assert_refused(load_bytes(nothing, sizeof(nothing) - 1, &err), TL_CORRUPT, "type or length");
    static const char wide[] = "{i\1a[$D#i\2abcdefgh";
    assert_refused(load_bytes(wide, sizeof(wide) - 1, &err), TL_CORRUPT, "longer than the file");
}

RUN(T(a_binary_model_predicts_what_the_library_does),
    T(a_base_score_is_a_probability_in_every_version),
    T(parallel_trees_and_classes_predict_what_the_library_does),
    T(softmax_labels_come_from_the_margins), T(dart_predicts_what_the_library_does),
    T(trees_after_the_best_iteration_are_not_used), T(categories_predict_what_the_library_does),
    T(categories_of_a_table_are_its_values),
    T(leaves_of_several_numbers_predict_what_the_library_does), T(features_keep_their_names),
    T(what_is_not_served_is_refused_by_name), T(damage_is_refused_and_says_where),
    T(damaged_categories_are_refused), T(damaged_leaves_of_several_numbers_are_refused),
    T(a_file_cut_short_anywhere_is_refused), T(a_damaged_byte_is_refused_or_harmless),
    T(nesting_and_lengths_are_bounded))
