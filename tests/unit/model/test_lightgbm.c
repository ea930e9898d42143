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

static enum tl_code linear_with(const char *from, const char *to, struct tl_err *err)
{
    return library_load_with("lightgbm_linear.txt", from, to, err);
}

static enum tl_code categories_with(const char *from, const char *to, struct tl_err *err)
{
    return library_load_with("lightgbm_categories.txt", from, to, err);
}

TEST(what_is_not_served_is_refused_by_name)
{
    struct tl_err err;

    assert_refused(load_with("objective=binary", "objective=regression", &err), TL_UNSUPPORTED,
                   "\"regression\"");
    assert_refused(load_with("version=v4", "version=v9", &err), TL_UNSUPPORTED, "\"v9\"");
    assert_refused(library_load_with("lightgbm_pandas.txt", "[[10.0", "[[\"maize\"", &err),
                   TL_UNSUPPORTED, "the categories of feature b are words");
    assert_refused(library_load_with("lightgbm_pandas.txt", "[[10.0", "[[1], [10.0", &err),
                   TL_UNSUPPORTED, "1 features are categorical, and pandas had 2");
}

TEST(damage_is_refused_and_says_where)
{
    struct tl_err err;

    assert_refused(load_with("num_leaves=7", "num_leaves=8", &err), TL_CORRUPT, "leaf_value");
    assert_refused(load_with("num_leaves=7", "num_leaves=8388609", &err), TL_CORRUPT, "num_leaves");
    assert_refused(load_with("leaf_value=", "leaf_value=inf ", &err), TL_CORRUPT, "leaf_value");
    assert_refused(load_with("threshold=", "threshold=1,5 ", &err), TL_CORRUPT, "threshold");
    assert_refused(load_with("split_feature=", "split_feature=4 ", &err), TL_CORRUPT,
                   "split_feature");
    assert_refused(load_with("right_child=", "right_child=-8 ", &err), TL_CORRUPT,
                   "right_child: there are not num_leaves - 1 children");
    assert_refused(load_with("left_child=", "left_child=-1 ", &err), TL_CORRUPT, "more than");
    assert_refused(load_with("max_feature_idx=3", "max_feature_idx=9", &err), TL_CORRUPT,
                   "feature_names");
    assert_refused(load_with("max_feature_idx=3", "max_feature_idx=5000", &err), TL_LIMIT, "");
    assert_refused(load_with("is_linear=0", "is_linear=1", &err), TL_CORRUPT, "leaf_const");
    assert_refused(load_with("decision_type=", "decision_type=1 ", &err), TL_CORRUPT,
                   "a categorical split has no set");
    assert_refused(load_with("end of trees", "end of tree", &err), TL_CORRUPT, "cut short");
    assert_refused(load_with("num_class=1", "num_class=2", &err), TL_CORRUPT, "num_class");
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

TEST(damaged_categories_are_refused)
{
    struct tl_err err;

    assert_refused(categories_with("num_cat=2", "num_cat=3", &err), TL_CORRUPT, "num_cat + 1");
    assert_refused(categories_with("num_cat=2", "num_cat=", &err), TL_CORRUPT, "num_cat");
    assert_refused(categories_with("num_cat=2", "num_cat=99999999999", &err), TL_CORRUPT,
                   "num_cat");
    assert_refused(categories_with("cat_boundaries=0", "cat_boundaries=9", &err), TL_CORRUPT,
                   "within cat_threshold");
    assert_refused(categories_with("cat_threshold=", "cat_threshold=-1 ", &err), TL_CORRUPT,
                   "cat_boundaries");
    assert_refused(categories_with("pandas_categorical:null", "pandas_categorical:nu", &err),
                   TL_CORRUPT, "byte");
}

TEST(damaged_lines_are_refused)
{
    struct tl_err err;

    assert_refused(linear_with("leaf_const=", "leaf_const=nan ", &err), TL_CORRUPT, "leaf_const");
    assert_refused(linear_with("num_features=0", "num_features=1", &err), TL_CORRUPT, "leaf_coeff");
    assert_refused(linear_with("num_features=0", "num_features=-1", &err), TL_CORRUPT,
                   "num_features");
    assert_refused(linear_with("leaf_features=", "leaf_features=1", &err), TL_CORRUPT, "more than");
    assert_refused(linear_with("leaf_features=0 1", "leaf_features=0 4", &err), TL_CORRUPT,
                   "leaf_coeff");
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
    T(what_is_not_served_is_refused_by_name), T(damage_is_refused_and_says_where),
    T(a_refusal_says_the_line_and_of_a_tree_which), T(damaged_categories_are_refused),
    T(damaged_lines_are_refused), T(a_file_cut_short_anywhere_is_refused),
    T(a_damaged_byte_is_refused_or_harmless))
