/*
 * CatBoost's JSON against what CatBoost 1.2.10 predicts itself: tests/data/forest/
 * make_catboost.py wrote the models and the rows, on borders, one step beside them, with
 * zeros, NaN and infinities.
 */
#include "library_rows.h"

/* Sums to the last bits of four doubles; its exp() is an approximation of its own. */
static void check(const char *rows)
{
    char file[80];
    struct library_case c = {rows, file, model_read_catboost, 4, 1e-14, 0};

    snprintf(file, sizeof(file), "%s.json", rows);
    library_check(&c, true);
}

TEST(a_binary_model_predicts_what_the_library_does)
{
    check("catboost_binary");
}

TEST(scale_and_bias_are_applied)
{
    check("catboost_plain");
}

TEST(classes_predict_what_the_library_does)
{
    check("catboost_multi");
    check("catboost_ova");
}

TEST(a_nan_goes_where_the_feature_says)
{
    check("catboost_nan_max");
}

TEST(trees_grown_leaf_by_leaf_predict_what_the_library_does)
{
    check("catboost_lossguide");
    check("catboost_depthwise");
}

TEST(features_and_classes_keep_their_names)
{
    AUTO(blob) file = library_file("catboost_multi.json");
    struct forest *forest = NULL;
    struct tl_err err;

    assert_ok(forest_load("m.json", file, &forest, &err));
    assert_string_equal(forest_info(forest)->features[0], "B02");
    assert_string_equal(forest_info(forest)->features[3], "µ");
    assert_string_equal(forest_info(forest)->classes[0].name, "béton");
    assert_string_equal(forest_info(forest)->classes[2].name, "so\"y");
    forest_unref(forest);
}

static enum tl_code with(const char *from, const char *to, struct tl_err *err)
{
    return library_load_with("catboost_binary.json", from, to, err);
}

TEST(what_is_not_served_is_refused_by_name)
{
    struct tl_err err;

    assert_refused(
        with("\"split_type\": \"FloatFeature\"", "\"split_type\": \"OneHotFeature\"", &err),
        TL_UNSUPPORTED, "tree 0 has a split of type OneHotFeature");
    assert_refused(
        with("\"float_features\"", "\"categorical_features\":[{}],\"float_features\"", &err),
        TL_UNSUPPORTED, "categorical_features");
    assert_refused(with("\"type\": \"Logloss\"", "\"type\": \"RMSE\"", &err), TL_UNSUPPORTED,
                   "\"RMSE\"");
    assert_refused(with("\"features_info\"", "\"features\"", &err), TL_UNSUPPORTED, "neither");
}

TEST(damage_is_refused_and_says_where)
{
    struct tl_err err;

    assert_refused(with("\"leaf_values\": [", "\"leaf_values\": [1, ", &err), TL_CORRUPT,
                   "tree 0: leaf_values");
    assert_refused(with("\"leaf_values\": [", "\"leaf_values\": [Infinity, ", &err), TL_CORRUPT,
                   "tree 0: leaf_values");
    assert_refused(with("\"border\": ", "\"border\": NaN, \"was\": ", &err), TL_CORRUPT,
                   "tree 0: border: of feature ");
    assert_refused(with("\"nan_value_treatment\": \"As", "\"nan_value_treatment\": \"Is", &err),
                   TL_CORRUPT, "nan_value_treatment");
    assert_refused(with("\"feature_index\": 0", "\"feature_index\": 4096", &err), TL_CORRUPT,
                   "0 to 4095");
    assert_refused(with("\"scale_and_bias\": [1", "\"scale_and_bias\": [0", &err), TL_CORRUPT,
                   "scale_and_bias");
}

TEST(a_file_cut_short_anywhere_is_refused)
{
    library_check_cuts("catboost_binary.json");
    library_check_cuts("catboost_depthwise.json");
}

TEST(a_damaged_byte_is_refused_or_harmless)
{
    library_check_flips("catboost_binary.json");
    library_check_flips("catboost_depthwise.json");
}

RUN(T(a_binary_model_predicts_what_the_library_does), T(scale_and_bias_are_applied),
    T(classes_predict_what_the_library_does), T(a_nan_goes_where_the_feature_says),
    T(trees_grown_leaf_by_leaf_predict_what_the_library_does),
    T(features_and_classes_keep_their_names), T(what_is_not_served_is_refused_by_name),
    T(damage_is_refused_and_says_where), T(a_file_cut_short_anywhere_is_refused),
    T(a_damaged_byte_is_refused_or_harmless))
