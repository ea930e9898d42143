/*
 * Nets and linear models of ONNX against what onnxruntime 1.32 makes of them:
 * tests/data/forest/make_onnx_nets.py wrote them as skl2onnx and PyTorch do, and rows that come
 * near the borders between classes.
 */
#include "library_rows.h"

/* float32 sums of another order, and a softmax rounded by another hand. */
#define FLOAT_NEAR  0x1p-20
#define DOUBLE_NEAR 0x1p-24 /* of what is compared as float32 */

static void check(const char *name, double within)
{
    char rows[64], file[80];
    struct library_case c = {rows, file, model_read_onnx, 4, within, 0};

    snprintf(rows, sizeof(rows), "onnx_net_%s", name);
    snprintf(file, sizeof(file), "%s.onnx", rows);
    library_check(&c, false);
}

TEST(perceptrons_of_scikit_learn_predict_what_the_runtime_does)
{
    check("relu", FLOAT_NEAR);
    check("tanh", FLOAT_NEAR);
    check("logistic", FLOAT_NEAR);
    check("identity", FLOAT_NEAR);
    check("double", DOUBLE_NEAR);
}

TEST(linear_models_predict_what_the_runtime_does)
{
    check("regression", FLOAT_NEAR);
    check("normalized", FLOAT_NEAR);
    check("normalized_max", FLOAT_NEAR); /* by the greatest number, not the greatest size */
    check("one_target", FLOAT_NEAR);
    check("shares", FLOAT_NEAR);
}

TEST(dense_layers_of_pytorch_predict_what_the_runtime_does)
{
    check("torch", FLOAT_NEAR); /* logits: the softmax of them */
    check("torch_softmax", FLOAT_NEAR);
    check("torch_sigmoid", FLOAT_NEAR);
    check("torch_labels", FLOAT_NEAR);
}

TEST(a_net_is_a_member_of_a_soft_vote)
{
    check("vote", FLOAT_NEAR);
}

TEST(classes_are_named_by_the_graph_or_the_classifier)
{
    static const char *const files[] = {"onnx_net_logistic.onnx", "onnx_net_regression.onnx"};

    for (size_t i = 0; i < TL_COUNT(files); i++) {
        AUTO(blob) file = library_file(files[i]);
        struct forest *forest = NULL;
        struct tl_err err;

        assert_ok(forest_load(files[i], file, &forest, &err));
        assert_string_equal(forest_info(forest)->classes[1].name, "béton");
        assert_string_equal(forest_info(forest)->kind, "onnx");
        forest_unref(forest);
    }
}

/* The file with a word of the same length in place of the first `from`. */
static enum tl_code with(const char *name, const char *from, const char *to, struct tl_err *err)
{
    AUTO(blob) whole = library_file(name);
    AUTO(blob) changed = blob_copy(blob_bytes(whole), blob_size(whole));
    uint8_t *at = memmem(blob_writable(changed), blob_size(changed), from, strlen(from));
    struct forest *forest = NULL;

    assert_int_equal(strlen(from), strlen(to));
    if (!at)
        fail_msg("%s does not hold %s", name, from);
    memcpy(at, to, strlen(to));
    enum tl_code code = forest_load(name, changed, &forest, err);
    forest_unref(forest);
    return code;
}

TEST(nets_that_are_not_served_are_refused_by_node)
{
    static const char relu[] = "onnx_net_relu.onnx", torch[] = "onnx_net_torch.onnx";
    static const char linear[] = "onnx_net_one_target.onnx", shares[] = "onnx_net_shares.onnx";
    struct tl_err err;

    assert_refused(with(relu, "\"\004Relu", "\"\004Selu", &err), TL_UNSUPPORTED, "operator Selu");
    assert_refused(with(relu, "\"\004Relu", "\"\004Cast", &err), TL_UNSUPPORTED,
                   "operator MatMul: a model cannot read what it makes");
    assert_refused(with(relu, "\"\006MatMul", "\"\006ArgMax", &err), TL_UNSUPPORTED,
                   "operator Add: a layer of a net is");
    assert_refused(with(relu, "B\013coefficient", "B\013coefficiend", &err), TL_UNSUPPORTED,
                   "its weights are no constant");
    assert_refused(with(torch, "\006transB\030\001", "\006transA\030\001", &err), TL_UNSUPPORTED,
                   "operator Gemm: it turns its input");
    assert_refused(with(torch, "net.2.bias", "net.0.bias", &err), TL_UNSUPPORTED,
                   "it has not one number for each output");
    assert_refused(with(linear, "LOGISTIC", "SOFTNESS", &err), TL_UNSUPPORTED,
                   "its post_transform is neither");
    assert_refused(with(linear, "intercepts", "intercepds", &err), TL_UNSUPPORTED, "no intercepts");
    assert_refused(with(shares, "\002L1", "\002L2", &err), TL_UNSUPPORTED, "its norm is L1");
}

TEST(a_gemm_that_scales_its_sums_is_refused)
{
    static const char key[] = "alpha\025"; /* and the four bytes of 1.0F */
    AUTO(blob) whole = library_file("onnx_net_torch.onnx");
    AUTO(blob) changed = blob_copy(blob_bytes(whole), blob_size(whole));
    uint8_t *at = memmem(blob_writable(changed), blob_size(changed), key, strlen(key));
    struct forest *forest = NULL;
    struct tl_err err;

    assert_non_null(at);
    at[strlen(key) + 3] = 0x40;
    assert_refused(forest_load("m.onnx", changed, &forest, &err), TL_UNSUPPORTED,
                   "its alpha or beta is not 1");
}

TEST(a_net_cut_short_anywhere_is_refused)
{
    library_check_cuts("onnx_net_torch.onnx");
    library_check_cuts("onnx_net_shares.onnx");
    library_check_cuts("onnx_net_tanh.onnx");
}

TEST(a_damaged_byte_of_a_net_is_refused_or_harmless)
{
    library_check_flips("onnx_net_torch_softmax.onnx");
    library_check_flips("onnx_net_normalized_max.onnx");
    library_check_flips("onnx_net_regression.onnx");
}

RUN(T(perceptrons_of_scikit_learn_predict_what_the_runtime_does),
    T(linear_models_predict_what_the_runtime_does),
    T(dense_layers_of_pytorch_predict_what_the_runtime_does), T(a_net_is_a_member_of_a_soft_vote),
    T(classes_are_named_by_the_graph_or_the_classifier),
    T(nets_that_are_not_served_are_refused_by_node), T(a_gemm_that_scales_its_sums_is_refused),
    T(a_net_cut_short_anywhere_is_refused), T(a_damaged_byte_of_a_net_is_refused_or_harmless))
