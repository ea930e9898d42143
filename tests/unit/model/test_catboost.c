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

#define SMALL       "../../fuzz/corpus/catboost/small.json"
#define SMALL_GROWN "../../fuzz/corpus/catboost/small_grown.json"

/* Every refusal of the reader but those of size (test_hostile.c), by what it says and where. */
static const struct library_refusal refusals[] = {
    {"catboost_binary.json", "\"split_type\": \"FloatFeature\"",
     "\"split_type\": \"OneHotFeature\"", TL_UNSUPPORTED,
     "tree 0 has a split of type OneHotFeature"},
    {"catboost_binary.json", "\"float_features\"",
     "\"categorical_features\":[{}],\"float_features\"", TL_UNSUPPORTED, "categorical_features"},
    {"catboost_binary.json", "\"type\": \"Logloss\"", "\"type\": \"RMSE\"", TL_UNSUPPORTED,
     "\"RMSE\""},
    {"catboost_binary.json", "\"features_info\"", "\"features\"", TL_UNSUPPORTED, "neither"},
    {"catboost_binary.json", "\"leaf_values\": [", "\"leaf_values\": [1, ", TL_CORRUPT,
     "tree 0: leaf_values"},
    {"catboost_binary.json", "\"leaf_values\": [", "\"leaf_values\": [Infinity, ", TL_CORRUPT,
     "tree 0: leaf_values"},
    {"catboost_binary.json", "\"border\": ", "\"border\": NaN, \"was\": ", TL_CORRUPT,
     "tree 0: border: of feature "},
    {"catboost_binary.json", "\"nan_value_treatment\": \"As", "\"nan_value_treatment\": \"Is",
     TL_CORRUPT, "nan_value_treatment"},
    {"catboost_binary.json", "\"feature_index\": 0", "\"feature_index\": 4096", TL_CORRUPT,
     "0 to 4095"},
    {"catboost_binary.json", "\"scale_and_bias\": [1", "\"scale_and_bias\": [0", TL_CORRUPT,
     "scale_and_bias"},
    {SMALL, "\"feature_index\":1", "\"feature_index\":\"red\"", TL_CORRUPT,
     "features_info.float_features: an index is not 0 to 4095"},
    {SMALL, "\"float_features\":[", "\"float_features\":[],\"f\":[", TL_CORRUPT,
     "0 features; a model has 1 to 4096"},
    {SMALL, "[1,[0.1]]", "[1]", TL_CORRUPT, "scale_and_bias: it is not a number and a list"},
    {SMALL, "[1,[0.1]]", "[1,[]]", TL_CORRUPT, "scale_and_bias: there are not 1 to 256 biases"},
    {SMALL, "[1,[0.1]]", "[1e101,[0.1]]", TL_CORRUPT,
     "scale_and_bias: there are not 1 to 256 biases, or no scale"},
    {SMALL, "[0.1]", "[\"nan\"]", TL_CORRUPT, "scale_and_bias: a bias is not a number"},
    {SMALL, "[0.1]", "[0.1,0.2]", TL_CORRUPT, "scale_and_bias: the biases do not go with the loss"},
    {SMALL, "[\"bare\",", "[\"water\",\"bare\",", TL_CORRUPT,
     "class_params.class_names: there are more than classes"},
    {SMALL, "[\"bare\",", "[", TL_CORRUPT,
     "class_params.class_names: there are fewer than classes"},
    {SMALL, "[\"bare\",", "[null,", TL_CORRUPT,
     "class_params.class_names: one is neither text nor a number"},
    {SMALL, "\"float_feature_index\":1", "\"float_feature_index\":2", TL_CORRUPT,
     "tree 0: float_feature_index: there is no such feature"},
    {SMALL, "\"border\":0.25", "\"border\":\"x\"", TL_CORRUPT,
     "tree 0: border: of feature red it is not a number"},
    {SMALL, "[0.5,-0.5,", "[1e101,-0.5,", TL_CORRUPT,
     "tree 0: leaf_values: a leaf has not a number per class"},
    {SMALL, "[0.5,-0.5,", "[", TL_CORRUPT, "tree 0: leaf_values: there are not 2^splits leaves"},
    {SMALL, "\"splits\":[",
     "\"splits\":[{\"border\":1,\"float_feature_index\":0},{\"border\":1,\"float_feature_index\":0}"
     ",{\"border\":1,\"float_feature_index\":0},{\"border\":1,\"float_feature_index\":0},{"
     "\"border\":1,\"float_feature_index\":0},{\"border\":1,\"float_feature_index\":0},{\"border\":"
     "1,\"float_feature_index\":0},{\"border\":1,\"float_feature_index\":0},{\"border\":1,\"float_"
     "feature_index\":0},{\"border\":1,\"float_feature_index\":0},{\"border\":1,\"float_feature_"
     "index\":0},{\"border\":1,\"float_feature_index\":0},{\"border\":1,\"float_feature_index\":0},"
     "{\"border\":1,\"float_feature_index\":0},{\"border\":1,\"float_feature_index\":0},{"
     "\"border\":1,\"float_feature_index\":0},{\"border\":1,\"float_feature_index\":0},{\"border\":"
     "1,\"float_feature_index\":0},{\"border\":1,\"float_feature_index\":0},",
     TL_LIMIT, "tree 0 is deeper than 20; train with a smaller depth"},
    {SMALL, "\"oblivious_trees\":[", "\"oblivious_trees\":[],\"o\":[", TL_CORRUPT,
     "there is no tree in it"},
    {SMALL_GROWN, "{\"value\":[1,2,3]}", "{\"value\":[1,2]}", TL_CORRUPT,
     "tree 0: leaf_values: a leaf has not a number per class"},
    {SMALL_GROWN, "{\"value\":[1,2,3]}", "{\"value\":7}", TL_CORRUPT,
     "tree 0: value: it is not a number per class"},
    {SMALL_GROWN, "{\"value\":[1,2,3]}", "{}", TL_CORRUPT,
     "tree 0: value: it is not a number per class"},
};

TEST(every_refusal_says_what_and_where)
{
    library_check_refusals(refusals, TL_COUNT(refusals));
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
    T(features_and_classes_keep_their_names), T(every_refusal_says_what_and_where),
    T(a_file_cut_short_anywhere_is_refused), T(a_damaged_byte_is_refused_or_harmless))
