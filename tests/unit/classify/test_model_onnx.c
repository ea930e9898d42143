/*
 * ONNX against what onnxruntime 1.32 makes of it: tests/data/forest/make_onnx.py wrote the
 * models, as four exporters do, and the rows, on thresholds, one step beside them, with
 * zeros, NaN and infinities.
 */
#include "library_rows.h"

/* A softmax of three expf() and a division, each rounded by another hand. */
#define FLOAT_ULPS 0x1p-22

static void check(const char *rows, double within)
{
    char file[80];
    struct library_case c = {rows, file, model_read_onnx, 4, within, 0};

    snprintf(file, sizeof(file), "%s.onnx", rows);
    library_check(&c, false);
}

TEST(forests_give_the_same_shares_bit_for_bit)
{
    check("onnx_forest", 0);
    check("onnx_forest_binary", 0);
}

TEST(boosted_trees_of_scikit_learn_predict_what_the_runtime_does)
{
    check("onnx_boosted", FLOAT_ULPS);
    check("onnx_boosted_binary", FLOAT_ULPS);
}

TEST(catboosts_own_export_predicts_what_the_runtime_does)
{
    check("onnx_catboost", FLOAT_ULPS);
    check("onnx_catboost_binary", FLOAT_ULPS);
}

TEST(missing_values_track_the_side_that_the_node_says)
{
    check("onnx_lightgbm", FLOAT_ULPS);
    check("onnx_xgboost", FLOAT_ULPS);
}

TEST(classes_keep_their_names)
{
    AUTO(blob) words = library_file("onnx_forest.onnx");
    AUTO(blob) numbers = library_file("onnx_boosted.onnx");
    struct forest *forest = NULL, *boosted = NULL;
    struct tl_err err;

    assert_ok(forest_load("m.onnx", words, &forest, &err));
    assert_ok(forest_load("n.onnx", numbers, &boosted, &err));
    assert_string_equal(forest_info(forest)->classes[0].name, "béton");
    assert_string_equal(forest_info(boosted)->classes[2].name, "20");
    forest_unref(forest);
    forest_unref(boosted);
}

/* The file with a word of the same length in place of each `from`. */
static enum tl_code with(const char *name, const char *from, const char *to, struct tl_err *err)
{
    AUTO(blob) whole = library_file(name);
    size_t size = blob_size(whole);
    uint8_t *bytes = malloc(size), *at;
    struct forest *forest = NULL;

    assert_int_equal(strlen(from), strlen(to));
    memcpy(bytes, blob_bytes(whole), size);
    at = memmem(bytes, size, from, strlen(from));
    assert_non_null(at);
    memcpy(at, to, strlen(to));
    AUTO(blob) file = blob_copy(bytes, size);
    enum tl_code code = forest_load(name, file, &forest, err);
    forest_unref(forest);
    free(bytes);
    return code;
}

TEST(what_is_not_served_is_refused_by_name)
{
    struct tl_err err;

    assert_refused(with("onnx_forest.onnx", "\"\006ZipMap", "\"\006ArgMax", &err), TL_UNSUPPORTED,
                   "operator ArgMax");
    assert_refused(with("onnx_forest.onnx", "BRANCH_LEQ", "BRANCH_XEQ", &err), TL_UNSUPPORTED,
                   "tree 0, node 0: its mode");
    assert_refused(with("onnx_boosted.onnx", "SOFTMAX", "HARDMAX", &err), TL_UNSUPPORTED,
                   "post_transform HARDMAX");
    assert_refused(with("onnx_boosted_binary.onnx", "LOGISTIC", "SOFTENED", &err), TL_UNSUPPORTED,
                   "post_transform");
    assert_refused(with("onnx_forest.onnx", "nodes_values", "nodes_volume", &err), TL_CORRUPT,
                   "equally long");
    assert_refused(with("onnx_forest.onnx", "class_weights", "class_weighty", &err), TL_CORRUPT,
                   "equally long");
}

TEST(a_file_cut_short_anywhere_is_refused)
{
    library_check_cuts("onnx_xgboost.onnx");
    library_check_cuts("onnx_catboost.onnx");
}

TEST(a_damaged_byte_is_refused_or_harmless)
{
    library_check_flips("onnx_forest.onnx");
    library_check_flips("onnx_lightgbm.onnx");
}

RUN(T(forests_give_the_same_shares_bit_for_bit),
    T(boosted_trees_of_scikit_learn_predict_what_the_runtime_does),
    T(catboosts_own_export_predicts_what_the_runtime_does),
    T(missing_values_track_the_side_that_the_node_says), T(classes_keep_their_names),
    T(what_is_not_served_is_refused_by_name), T(a_file_cut_short_anywhere_is_refused),
    T(a_damaged_byte_is_refused_or_harmless))
