#include "library_rows.h"

static bool takes_nan(const char *name)
{
    struct forest *forest = NULL;
    struct tl_err err;
    AUTO(blob) file = library_file(name);

    assert_ok(forest_load(name, file, &forest, &err));
    bool takes = forest_info(forest)->takes_nan;
    forest_unref(forest);
    return takes;
}

TEST(a_model_whose_library_takes_nan_says_so)
{
    assert_true(takes_nan("lightgbm_multiclass.txt"));
    assert_true(takes_nan("lightgbm_binary_nan.txt"));
    assert_true(takes_nan("catboost_multi.json"));
    assert_true(takes_nan("xgboost3_softprob.json"));
    assert_true(takes_nan("tilth_histogram.tilth"));
    assert_true(takes_nan("onnx_boosted.onnx"));
}

TEST(a_model_whose_library_refuses_nan_says_so)
{
    assert_false(takes_nan("tilth_vote.tilth"));
    assert_false(takes_nan("tilth_mlp.tilth"));
    assert_false(takes_nan("tilth_logistic.tilth"));
    assert_false(takes_nan("tilth_vote_nets.tilth"));
}

RUN(T(a_model_whose_library_takes_nan_says_so), T(a_model_whose_library_refuses_nan_says_so))
