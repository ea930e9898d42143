/*
 * LightGBM text against what LightGBM itself predicts: tests/data/forest/make_lightgbm.py
 * wrote the models and the rows, on thresholds, beside them, with zeros, NaN and infinities.
 */
#include "library_rows.h"

/* Raw scores bit for bit; a probability is exp() and a division. */
static void check(const char *name)
{
    char file[64];
    struct library_case c = {name, file, model_read_lightgbm, 4, 1e-15, 0};

    snprintf(file, sizeof(file), "%s.txt", name);
    library_check(&c, true);
}

TEST(a_binary_model_predicts_what_the_library_does)
{
    check("lightgbm_binary");
    check("lightgbm_binary_nan");
}

TEST(a_multiclass_model_predicts_what_the_library_does)
{
    check("lightgbm_multiclass");
}

TEST(one_against_all_with_zeros_missing_predicts_what_the_library_does)
{
    check("lightgbm_ova_zero");
}

TEST(averaged_trees_predict_what_the_library_does)
{
    check("lightgbm_rf");
}

TEST(cross_entropy_predicts_what_the_library_does)
{
    check("lightgbm_cross_entropy");
}

TEST(categories_predict_what_the_library_does)
{
    check("lightgbm_categories");
    check("lightgbm_categories_zero");
}

TEST(categories_of_pandas_are_its_values)
{
    check("lightgbm_pandas");
}

TEST(linear_trees_predict_what_the_library_does)
{
    check("lightgbm_linear");
    check("lightgbm_linear_multi");
}

/* ---- refusals ---- */

static enum tl_code load_with(const char *from, const char *to, struct tl_err *err)
{
    return library_load_with("lightgbm_binary_nan.txt", from, to, err);
}

/* Every refusal of the reader but those of size (test_hostile.c), by what it says and where. */
static const struct library_refusal refusals[] = {
    {"lightgbm_binary_nan.txt", "objective=binary", "objective=regression", TL_UNSUPPORTED,
     "\"regression\""},
    {"lightgbm_binary_nan.txt", "version=v4", "version=v9", TL_UNSUPPORTED, "\"v9\""},
    {"lightgbm_pandas.txt", "[[10.0", "[[\"maize\"", TL_UNSUPPORTED,
     "the categories of feature b are words"},
    {"lightgbm_pandas.txt", "[[10.0", "[[1], [10.0", TL_UNSUPPORTED,
     "1 features are categorical, and pandas had 2"},
    {"lightgbm_binary_nan.txt", "num_leaves=7", "num_leaves=8", TL_CORRUPT,
     "tree 0, line 21: leaf_value: number 7 of it is missing"},
    {"lightgbm_binary_nan.txt", "num_leaves=7", "num_leaves=8388609", TL_CORRUPT, "num_leaves"},
    {"lightgbm_binary_nan.txt", "leaf_value=", "leaf_value=inf ", TL_CORRUPT, "leaf_value"},
    {"lightgbm_binary_nan.txt", "threshold=", "threshold=1,5 ", TL_CORRUPT, "threshold"},
    {"lightgbm_binary_nan.txt", "split_feature=", "split_feature=4 ", TL_CORRUPT,
     "split_feature: number 0 of it is missing, or not the number of a feature"},
    {"lightgbm_binary_nan.txt", "right_child=", "right_child=-8 ", TL_CORRUPT,
     "right_child: number 0 of it is missing, or not a node of the tree"},
    {"lightgbm_binary_nan.txt", "left_child=", "left_child=-1 ", TL_CORRUPT, "more than"},
    {"lightgbm_binary_nan.txt", "max_feature_idx=3", "max_feature_idx=9", TL_CORRUPT,
     "feature_names"},
    {"lightgbm_binary_nan.txt", "max_feature_idx=3", "max_feature_idx=5000", TL_LIMIT,
     "5001 features; a model has 1 to 4096"},
    {"lightgbm_binary_nan.txt", "is_linear=0", "is_linear=1", TL_CORRUPT, "leaf_const"},
    {"lightgbm_binary_nan.txt", "decision_type=", "decision_type=1 ", TL_CORRUPT,
     "a categorical split has no set"},
    {"lightgbm_binary_nan.txt", "end of trees", "end of tree", TL_CORRUPT, "cut short"},
    {"lightgbm_binary_nan.txt", "num_class=1", "num_class=2", TL_CORRUPT, "num_class"},
    {"lightgbm_categories.txt", "num_cat=2", "num_cat=3", TL_CORRUPT, "num_cat + 1"},
    {"lightgbm_categories.txt", "num_cat=2", "num_cat=", TL_CORRUPT, "num_cat"},
    {"lightgbm_categories.txt", "num_cat=2", "num_cat=99999999999", TL_CORRUPT, "num_cat"},
    {"lightgbm_categories.txt", "cat_boundaries=0", "cat_boundaries=9", TL_CORRUPT,
     "within cat_threshold"},
    {"lightgbm_categories.txt", "cat_threshold=", "cat_threshold=-1 ", TL_CORRUPT,
     "cat_boundaries"},
    {"lightgbm_categories.txt", "pandas_categorical:null", "pandas_categorical:nu", TL_CORRUPT,
     "byte"},
    {"lightgbm_linear.txt", "leaf_const=", "leaf_const=nan ", TL_CORRUPT, "leaf_const"},
    {"lightgbm_linear.txt", "num_features=0", "num_features=1", TL_CORRUPT, "leaf_coeff"},
    {"lightgbm_linear.txt", "num_features=0", "num_features=-1", TL_CORRUPT, "num_features"},
    {"lightgbm_linear.txt", "leaf_features=", "leaf_features=1", TL_CORRUPT, "more than"},
    {"lightgbm_linear.txt", "leaf_features=0 1", "leaf_features=0 4", TL_CORRUPT, "leaf_coeff"},
    {"lightgbm_binary_nan.txt", "max_feature_idx=3", "max_feature_idx=9223372036854775808",
     TL_CORRUPT, "max_feature_idx: it is not a number"},
    {"lightgbm_binary_nan.txt", "feature_names=", "feature_names=more ", TL_CORRUPT,
     "feature_names: there are more than max_feature_idx + 1"},
    {"lightgbm_binary_nan.txt", "sigmoid:0.7", "sigmoid:-1", TL_CORRUPT,
     "objective: the sigmoid is not a positive number"},
    {"lightgbm_binary_nan.txt", "num_class=1", "num_class=one", TL_CORRUPT,
     "num_class: it does not go with the objective"},
    {"lightgbm_binary_nan.txt", "num_leaves=7", "leaves=7", TL_CORRUPT, "tree 0, line "},
    {"lightgbm_binary_nan.txt", "num_leaves=7", "num_leaves=9999", TL_CORRUPT,
     "leaf_value: there are not num_leaves numbers"},
    {"lightgbm_binary_nan.txt", "num_leaves=7", "num_leaves=0", TL_CORRUPT,
     "num_leaves: it is not a number from 1 to 8388608"},
    {"lightgbm_binary_nan.txt", "leaf_value=", "leaf_value=1 ", TL_CORRUPT,
     "leaf_value: there are more than num_leaves"},
    {"lightgbm_binary_nan.txt", "left_child=", "left_child=6 ", TL_CORRUPT,
     "left_child: number 0 of it is missing, or not a node of the tree"},
    {"lightgbm_binary_nan.txt", "left_child=", "left_child=0 ", TL_CORRUPT,
     "split_feature: it or another list has more than num_leaves - 1"},
    {"lightgbm_binary_nan.txt", "is_linear=0", "is_linear=2", TL_CORRUPT,
     "is_linear: it is not 0 or 1"},
    {"lightgbm_binary_nan.txt", "decision_type=", "decision_type=x ", TL_CORRUPT,
     "decision_type: there are not num_leaves - 1 numbers"},
    {"lightgbm_binary_nan.txt", "decision_type=", "decision_type=14 ", TL_CORRUPT,
     "decision_type: the missing type is unknown"},
    {"lightgbm_binary_nan.txt", "Tree=0", "Tee=0", TL_CORRUPT,
     "Tree: the trees are not numbered 0, 1, ..: one is missing"},
    {"lightgbm_binary_nan.txt", "tree_sizes=", "tree_sizes=1 ", TL_CORRUPT,
     "tree_sizes: there are other trees than it has sizes"},
    {"lightgbm_multiclass.txt", "num_tree_per_iteration=3", "num_tree_per_iteration=4", TL_CORRUPT,
     "num_class: "},
    {"lightgbm_categories.txt", "cat_threshold=", "cat_threshold=4294967296 ", TL_CORRUPT,
     "cat_boundaries: there are not num_cat + 1 numbers"},
    {"lightgbm_categories.txt", "pandas_categorical:null\n", "pandas_categorical:", TL_CORRUPT,
     "pandas_categorical: it is cut short"},
    {"lightgbm_linear.txt", "leaf_const=", "leaf_const=x ", TL_CORRUPT,
     "leaf_const: number 0 of it is missing, or not a number within 1e100"},
};

TEST(every_refusal_says_what_and_where)
{
    library_check_refusals(refusals, TL_COUNT(refusals));
}

/* The line of the file that has the first `text`, from 1. */
static size_t line_with(const char *name, const char *text)
{
    char *all = library_text(name), *at = strstr(all, text);
    size_t line = 1;

    assert_non_null(at);
    for (char *c = all; c < at; c++)
        line += *c == '\n';
    free(all);
    return line;
}

TEST(a_refusal_says_the_line_and_of_a_tree_which)
{
    static const struct {
        const char *from, *to, *before, *behind; /* of the line's number, in the message */
    } cases[] = {{"max_feature_idx=3", "max_feature_idx=x", "line ", ": max_feature_idx: "},
                 {"feature_names=", "feature_names=more ", "line ", ": feature_names: "},
                 {"leaf_value=", "leaf_value=x ", "tree 0, line ", ": leaf_value: "},
                 {"threshold=", "threshold=x ", "tree 0, line ", ": threshold: "},
                 {"decision_type=", "decision_type=64 ", "tree 0, line ", ": decision_type: "}};
    char text[128];
    struct tl_err err;

    for (size_t i = 0; i < TL_COUNT(cases); i++) {
        size_t line = line_with("lightgbm_binary.txt", cases[i].from);

        snprintf(text, sizeof(text), "%s%zu%s", cases[i].before, line, cases[i].behind);
        assert_refused(load_with(cases[i].from, cases[i].to, &err), TL_CORRUPT, text);
    }
    snprintf(text, sizeof(text), "tree 1, line %zu: num_leaves: it is not a number",
             line_with("lightgbm_binary.txt", "Tree=1\n") + 1);
    assert_refused(load_with("Tree=1\nnum_leaves=", "Tree=1\nnum_leaves=x", &err), TL_CORRUPT,
                   text);
}

/* Every prefix is refused, or is whole as far as trees go. */
TEST(a_file_cut_short_anywhere_is_refused)
{
    static const char *const names[] = {"lightgbm_binary.txt", "lightgbm_categories.txt",
                                        "lightgbm_linear.txt"};

    for (size_t i = 0; i < TL_COUNT(names); i++) {
        char *text = library_text(names[i]);
        size_t whole = (size_t)(strstr(text, "end of trees") - text) + strlen("end of trees");

        for (size_t size = 0; size < whole; size++) {
            AUTO(blob) file = blob_copy(text, size);
            struct forest *forest = NULL;
            struct tl_err err;

            if (forest_load("m.txt", file, &forest, &err) == TL_OK)
                fail_msg("%s: %zu of %zu bytes were taken for a model", names[i], size, whole);
        }
        free(text);
    }
}

TEST(a_damaged_byte_is_refused_or_harmless)
{
    library_check_flips("lightgbm_categories.txt");
    library_check_flips("lightgbm_pandas.txt");
    library_check_flips("lightgbm_linear.txt");
}

RUN(T(a_binary_model_predicts_what_the_library_does),
    T(a_multiclass_model_predicts_what_the_library_does),
    T(one_against_all_with_zeros_missing_predicts_what_the_library_does),
    T(averaged_trees_predict_what_the_library_does),
    T(cross_entropy_predicts_what_the_library_does), T(categories_predict_what_the_library_does),
    T(categories_of_pandas_are_its_values), T(linear_trees_predict_what_the_library_does),
    T(every_refusal_says_what_and_where), T(a_refusal_says_the_line_and_of_a_tree_which),
    T(a_file_cut_short_anywhere_is_refused), T(a_damaged_byte_is_refused_or_harmless))
