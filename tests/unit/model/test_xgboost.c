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

#define SMALL      "../../fuzz/corpus/xgboost/small.json"
#define SMALL_DART "../../fuzz/corpus/xgboost/small_dart.json"

/* Every refusal of the reader but those of size (test_hostile.c), by what it says and where. */
static const struct library_refusal refusals[] = {
    {"xgboost3_binary.json", "\"name\":\"binary:logistic\"", "\"name\":\"reg:squarederror\"",
     TL_UNSUPPORTED, "\"reg:squarederror\""},
    {"xgboost3_binary.json", "\"name\":\"gbtree\"", "\"name\":\"gblinear\"", TL_UNSUPPORTED,
     "gblinear"},
    {"xgboost3_values.json", "\"type\"", "\"offsets\":[0,1],\"t\"", TL_UNSUPPORTED,
     "the categories of feature B03 are words"},
    {"xgboost3_binary.json", "\"num_target\":\"1\"", "\"num_target\":\"2\"", TL_UNSUPPORTED,
     "2 targets"},
    {"xgboost3_binary.json", "\"split_conditions\":[", "\"split_conditions\":[NaN,", TL_UNSUPPORTED,
     "tree 0, node 0: the threshold of feature "},
    {"xgboost3_binary.json", "\"left_children\":[1", "\"left_children\":[0", TL_CORRUPT,
     "tree 0, node 0: it is "},
    {"xgboost3_binary.json", "\"left_children\":[1", "\"left_children\":[999", TL_CORRUPT,
     "node 999: it is a child that does not exist"},
    {"xgboost3_binary.json", "\"split_indices\":[", "\"split_indices\":[9,", TL_CORRUPT,
     "tree 0, node 0: split_indices: there is no such feature"},
    {"xgboost3_binary.json", "\"default_left\":[", "\"default_left\":[7,", TL_CORRUPT,
     "tree 0, node 0: default_left: 0 or 1"},
    {"xgboost3_binary.json", "\"right_children\":[", "\"right_children\":[-2,", TL_CORRUPT,
     "tree 0, node 0: right_children: a child or -1"},
    {"xgboost3_binary.json", "\"split_conditions\":[", "\"split_conditions\":[null,", TL_CORRUPT,
     "tree 0, node 0: split_conditions: a number"},
    {"xgboost3_binary.json", "\"left_children\":[", "\"left_children\":[1.5,", TL_CORRUPT,
     "tree 0, node 0: left_children"},
    {"xgboost3_binary.json", "\"base_score\":\"[", "\"base_score\":\"[7,", TL_CORRUPT,
     "base_score"},
    {"xgboost3_binary.json", "\"tree_info\":[0", "\"tree_info\":[1", TL_CORRUPT, "tree_info"},
    {"xgboost3_binary.json", "\"num_class\":\"0\",\"num_feature\":\"4\"",
     "\"num_class\":\"0\",\"num_feature\":\"5000\"", TL_LIMIT, "5000 features"},
    {"xgboost3_binary.json", "\"learner\"", "\"learned\"", TL_CORRUPT,
     "learner.gradient_booster.name: it is missing"},
    {"xgboost3_binary.json", "]", "", TL_CORRUPT, "byte "},
    {"xgboost3_binary.json", "\"split_type\":[0", "\"split_type\":[1", TL_CORRUPT,
     "a categorical split has no categories"},
    {"xgboost3_binary.json", "\"categories_nodes\":[]", "\"categories_nodes\":[2]", TL_CORRUPT,
     "categories_nodes"},
    {"xgboost3_categories.json", "\"categories\":[", "\"categories\":[-1,", TL_CORRUPT,
     "categories_nodes"},
    {"xgboost3_categories.json", "\"categories_segments\":[0",
     "\"categories_segments\":[4000000000", TL_CORRUPT, "there are fewer categories"},
    {"xgboost3_categories.json", "\"categories_sizes\":[", "\"categories_sizes\":[4000000000,",
     TL_CORRUPT, "categories_nodes"},
    {"xgboost3_categories.json", "\"categories_nodes\":[", "\"categories_nodes\":[99,", TL_CORRUPT,
     "categories_nodes"},
    {"xgboost3_vector.json", "\"leaf_weights\":[", "\"leaf_weights\":[1,", TL_CORRUPT,
     "tree 0: leaf_weights"},
    {"xgboost3_vector.json", "\"leaf_weights\":[", "\"leaf_weights\":[NaN,1,2,", TL_CORRUPT,
     "tree 0, node 7: its leaf is nan"},
    {"xgboost3_binary.json", "\"size_leaf_vector\":\"1\"", "\"size_leaf_vector\":\"3\"", TL_CORRUPT,
     "size_leaf_vector"},
    {SMALL, "\"model\":{", "\"m\":{", TL_CORRUPT, "learner.gradient_booster.model: it is missing"},
    {SMALL, "\"num_class\":\"0\"", "\"num_class\":\"none\"", TL_CORRUPT,
     "learner_model_param.num_class: it is not a number"},
    {SMALL, "\"num_class\":\"0\"", "\"num_class\":\"3\"", TL_CORRUPT,
     "learner_model_param.num_class: it does not go with the objective"},
    {SMALL, "\"num_feature\":\"2\"", "\"num_feature\":\"9223372036854775808\"", TL_CORRUPT,
     "learner_model_param.num_feature: it is not a number"},
    {SMALL, "[\"red\",", "[\"blue\",\"red\",", TL_CORRUPT,
     "feature_names: there are more than num_feature"},
    {SMALL, "[\"red\",", "[", TL_CORRUPT, "feature_names: there are fewer than num_feature"},
    {SMALL, "[\"red\",", "[7.5e,", TL_CORRUPT, "JSON, byte "},
    {SMALL, "[\"red\",", "[null,", TL_CORRUPT, "feature_names: a name is no text"},
    {SMALL, "\"base_score\":\"5E-1\"", "\"base_score\":\"1.5\"", TL_CORRUPT,
     "base_score: it is not a probability"},
    {SMALL, "\"base_score\":", "\"base\":", TL_CORRUPT,
     "learner_model_param.base_score: it is missing"},
    {SMALL_DART, "[1E-1,", "[1E39,", TL_CORRUPT, "base_score: it is not a number"},
    {SMALL_DART, "\"num_class\":\"2\"", "\"num_class\":\"3\"", TL_CORRUPT,
     "learner_model_param.base_score: it is not one number, nor one per class"},
    {SMALL_DART, "\"num_class\":\"2\"", "\"num_class\":\"255\"", TL_LIMIT,
     "255 classes; a model has 2 to 254"},
    {SMALL, "\"trees\":[", "\"trees\":[],\"t\":[", TL_CORRUPT, "trees: there is no tree"},
    {SMALL_DART, "\"weight_drop\":[", "\"weight_drop\":[1,", TL_CORRUPT,
     "weight_drop: it does not give each tree a number"},
    {SMALL, "\"best_iteration\":\"0\"", "\"best_iteration\":\"x\"", TL_CORRUPT,
     "attributes.best_iteration: it is not a number"},
    {SMALL, "\"best_iteration\":\"0\"", "\"best_iteration\":\"1\"", TL_CORRUPT,
     "attributes.best_iteration: there are fewer trees"},
    {SMALL, "\"iteration_indptr\":[0,1]", "\"iteration_indptr\":[0,9]", TL_CORRUPT,
     "iteration_indptr: it counts trees that are not there"},
    {SMALL, "\"left_children\":[", "\"left_children\":[],\"l\":[", TL_CORRUPT,
     "tree 0: left_children: it has no nodes"},
    {SMALL, "\"right_children\":[2,", "\"right_children\":[-1,", TL_CORRUPT,
     "tree 0, node 0: right_children: a split needs two children"},
    {SMALL, "\"right_children\":[2,", "\"right_children\":[1,", TL_CORRUPT,
     "tree 0, node 1: it is its own ancestor, or the child of two nodes"},
    {SMALL, "\"split_indices\":[1,", "\"split_indices\":[\"1.5\",", TL_CORRUPT,
     "tree 0, node 0: split_indices: a feature is needed"},
    {SMALL, "\"split_type\":[0,", "\"split_type\":[2,", TL_CORRUPT,
     "tree 0, node 0: split_type: 0 or 1 is needed"},
    {SMALL, "\"split_conditions\":[0.25,", "\"split_conditions\":[-1e400,", TL_UNSUPPORTED,
     "tree 0, node 0: the threshold of feature nir is -inf"},
    {SMALL, "[0.25,0.5,-0.5]", "[0.25,1e31,-0.5]", TL_CORRUPT,
     "tree 0, node 1: its leaf is 1e+31, not a number within 1e30"},
    {SMALL_DART, "\"categories_sizes\":[2]", "\"categories_sizes\":[0]", TL_CORRUPT,
     "tree 1, node 0: categories_nodes: a categorical split has no categories"},
    {"xgboost3_vector.json", "\"right_children\":[", "\"right_children\":[1,", TL_CORRUPT,
     "tree 0, node "},
    {"xgboost3_vector.json", "\"size_leaf_vector\":\"3\"", "\"size_leaf_vector\":\"2\"", TL_CORRUPT,
     "tree 0: size_leaf_vector: it is not one number per class"},
};

TEST(every_refusal_says_what_and_where)
{
    library_check_refusals(refusals, TL_COUNT(refusals));
}

TEST(until_3_1_the_numbers_of_leaves_are_among_those_of_nodes)
{
    struct tl_err err;

    assert_ok(library_load_with("xgboost3_vector.json", "\"leaf_weights\":[",
                                "\"leaf_weights\":[],\"x\":[", &err));
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
    T(every_refusal_says_what_and_where),
    T(until_3_1_the_numbers_of_leaves_are_among_those_of_nodes),
    T(a_file_cut_short_anywhere_is_refused), T(a_damaged_byte_is_refused_or_harmless),
    T(nesting_and_lengths_are_bounded))
