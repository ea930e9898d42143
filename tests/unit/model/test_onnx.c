/*
 * ONNX against what onnxruntime 1.32 makes of it: tests/data/forest/make_onnx.py wrote the
 * models, as four exporters do or made up, and the rows, on thresholds, one step beside them, with
 * zeros, NaN and infinities.
 */
#include "base/buf.h"
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
    check("onnx_boosted_positive", FLOAT_ULPS);
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

TEST(every_mode_sends_every_value_where_the_runtime_does)
{
    check("onnx_modes", 0);
    check("onnx_modes_double", FLOAT_ULPS);
}

TEST(the_ensemble_of_version_5_predicts_what_the_runtime_does)
{
    check("onnx_ensemble", 0);
    check("onnx_ensemble_mean", 0);
    check("onnx_ensemble_double", FLOAT_ULPS);
}

TEST(chains_of_equality_are_sets_of_categories)
{
    check("onnx_lightgbm_categories", FLOAT_ULPS);
}

TEST(what_comes_before_the_trees_is_in_their_thresholds)
{
    check("onnx_scaled", 0);
    check("onnx_falling", 0);
    check("onnx_filled", 0);
    check("onnx_inputs", 0);
}

TEST(soft_votes_predict_what_the_runtime_does)
{
    check("onnx_vote", FLOAT_ULPS);
    check("onnx_vote_binary", FLOAT_ULPS);
    check("onnx_vote_words", 0);
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

    AUTO(blob) vote = library_file("onnx_vote_words.onnx");
    AUTO(blob) inputs = library_file("onnx_inputs.onnx");
    struct forest *voting = NULL, *named = NULL;
    assert_ok(forest_load("v.onnx", vote, &voting, &err));
    assert_ok(forest_load("i.onnx", inputs, &named, &err));
    assert_string_equal(forest_info(voting)->classes[0].name, "béton");
    assert_string_equal(forest_info(named)->features[3], "nir");
    forest_unref(voting);
    forest_unref(named);
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

TEST(graphs_that_are_not_served_are_refused_by_node)
{
    struct tl_err err;

    assert_refused(with("onnx_vote.onnx", "\"\003Mul", "\"\003Pow", &err), TL_UNSUPPORTED,
                   "operator Pow");
    assert_refused(with("onnx_vote.onnx", "\"\003Sum", "\"\003Div", &err), TL_UNSUPPORTED,
                   "operator Div: it makes no probabilities");
    assert_refused(with("onnx_vote.onnx", "B\002w0", "B\002w9", &err), TL_UNSUPPORTED,
                   "one weight, of float32");
    assert_refused(with("onnx_scaled.onnx", "\"\006Scaler", "\"\006ArgMax", &err), TL_UNSUPPORTED,
                   "operator ArgMax: a model cannot read");
    assert_refused(with("onnx_scaled.onnx", "\005scale=", "\005scalf=", &err), TL_CORRUPT,
                   "its offset or scale");
    assert_refused(with("onnx_filled.onnx", "replaced_value_float", "replaced_value_flout", &err),
                   TL_CORRUPT, "in place of NaN");
    assert_refused(with("onnx_ensemble.onnx", "aggregate_function\030\001",
                        "aggregate_function\030\003", &err),
                   TL_UNSUPPORTED, "sums and averages");
    assert_refused(with("onnx_ensemble.onnx", "membership_values", "membership_vahues", &err),
                   TL_CORRUPT, "fewer sets than splits");
    assert_refused(with("onnx_ensemble.onnx", "tree_roots", "tree_boots", &err), TL_CORRUPT,
                   "leaf_*");
    assert_refused(with("onnx_modes_double.onnx", "\010\013\022", "\010\001\022", &err),
                   TL_UNSUPPORTED, "tensors of doubles on an input of float32");
}

TEST(a_file_cut_short_anywhere_is_refused)
{
    library_check_cuts("onnx_ensemble.onnx");
    library_check_cuts("onnx_vote_words.onnx");

    library_check_cuts("onnx_xgboost.onnx");
    library_check_cuts("onnx_catboost.onnx");
}

TEST(a_damaged_byte_is_refused_or_harmless)
{
    library_check_flips("onnx_forest.onnx");
    library_check_flips("onnx_lightgbm.onnx");
    library_check_flips("onnx_ensemble.onnx");
    library_check_flips("onnx_vote_binary.onnx");
    library_check_flips("onnx_filled.onnx");
}

/* ---- made-up trees ---- */

/* ai.onnx.ml, version 3 */
#define ML_OPSET \
    "\x0a\x0a"   \
    "ai.onnx.ml\x10\x03"

static void put_varint(struct buf *to, uint64_t value)
{
    for (; value > 0x7F; value >>= 7)
        buf_append(to, &(uint8_t){(uint8_t)(value | 0x80)}, 1);
    buf_append(to, &(uint8_t){(uint8_t)value}, 1);
}

static void put_bytes(struct buf *to, unsigned field, const void *bytes, size_t size)
{
    put_varint(to, field << 3 | 2);
    put_varint(to, size);
    buf_append(to, bytes, size);
}

static void put_text(struct buf *to, unsigned field, const char *text)
{
    put_bytes(to, field, text, strlen(text));
}

/* One attribute: whole numbers, packed, or with `mode` the word for each of them. */
static void put_list(struct buf *node, const char *name, const int *values, unsigned count,
                     bool modes)
{
    AUTO_BUF attribute = {0}, packed = {0};

    put_text(&attribute, 1, name);
    for (unsigned i = 0; i < count; i++) {
        put_varint(&packed, (uint64_t)values[i]);
        if (modes)
            put_text(&attribute, 9, values[i] ? "BRANCH_LEQ" : "LEAF");
    }
    if (!modes)
        put_bytes(&attribute, 8, packed.bytes, packed.size);
    put_bytes(node, 5, attribute.bytes, attribute.size);
}

static void put_floats(struct buf *node, const char *name, const float *values, unsigned count)
{
    AUTO_BUF attribute = {0};

    put_text(&attribute, 1, name);
    put_bytes(&attribute, 7, values, count * sizeof(*values));
    put_bytes(node, 5, attribute.bytes, attribute.size);
}

/* A tree of `splits` nodes, each with `yes` and `no`, and two leaves behind them. */
static enum tl_code load_graph(const int *yes, const int *no, unsigned splits, struct tl_err *err)
{
    enum { MOST = 64 };
    static const int zeros[MOST] = {0};
    AUTO_BUF node = {0}, graph = {0}, input = {0}, output = {0}, type = {0}, file = {0};
    int id[MOST], split[MOST], left[MOST] = {0}, right[MOST] = {0};
    float value[MOST], weights[] = {0.25F, 0.75F};
    struct forest *forest = NULL;

    for (unsigned i = 0; i < splits + 2; i++) {
        id[i] = (int)i;
        split[i] = i < splits;
        value[i] = (float)i;
        left[i] = i < splits ? yes[i] : 0;
        right[i] = i < splits ? no[i] : 0;
    }
    put_text(&node, 1, "x");
    put_text(&node, 2, "label");
    put_text(&node, 4, "TreeEnsembleClassifier");
    put_text(&node, 7, "ai.onnx.ml");
    put_list(&node, "nodes_treeids", zeros, splits + 2, false);
    put_list(&node, "nodes_nodeids", id, splits + 2, false);
    put_list(&node, "nodes_featureids", zeros, splits + 2, false);
    put_list(&node, "nodes_truenodeids", left, splits + 2, false);
    put_list(&node, "nodes_falsenodeids", right, splits + 2, false);
    put_list(&node, "nodes_modes", split, splits + 2, true);
    put_floats(&node, "nodes_values", value, splits + 2);
    put_list(&node, "class_treeids", zeros, 2, false);
    put_list(&node, "class_nodeids", (int[]){(int)splits, (int)splits + 1}, 2, false);
    put_list(&node, "class_ids", zeros, 2, false);
    put_floats(&node, "class_weights", weights, 2);
    put_list(&node, "classlabels_int64s", (int[]){4, 7}, 2, false);
    put_bytes(&type, 1, "\x08\x01", 2); /* a tensor of float32 */
    put_text(&input, 1, "x");
    put_bytes(&input, 2, type.bytes, type.size);
    put_bytes(&graph, 1, node.bytes, node.size);
    put_bytes(&graph, 11, input.bytes, input.size);
    put_text(&output, 1, "label");
    put_bytes(&graph, 12, output.bytes, output.size);
    buf_append(&file, "\x08\x08", 2);
    put_bytes(&file, 7, graph.bytes, graph.size);
    put_bytes(&file, 8, ML_OPSET, sizeof(ML_OPSET) - 1);
    AUTO(blob) blob = buf_blob(&file);
    enum tl_code code = forest_load("m.onnx", blob, &forest, err);
    if (code == TL_OK)
        assert_int_equal(forest_info(forest)->class_count, 2);
    forest_unref(forest);
    return code;
}

TEST(packed_lists_and_shared_nodes_are_read)
{
    struct tl_err err;

    /* 0 -> 1, 2; 1 -> 3, leaf; 2 -> 3, leaf: node 3 has two parents. */
    assert_ok(load_graph((int[]){1, 3, 3, 4}, (int[]){2, 4, 5, 5}, 4, &err));
}

TEST(circles_and_bombs_are_refused)
{
    enum { LONG = 40 };
    int next[LONG];
    struct tl_err err;

    for (int i = 0; i < LONG; i++)
        next[i] = i + 1;
    assert_refused(load_graph((int[]){1, 0}, (int[]){2, 3}, 2, &err), TL_CORRUPT,
                   "its own ancestor");
    assert_refused(load_graph((int[]){0}, (int[]){1}, 1, &err), TL_CORRUPT, "its own ancestor");
    assert_refused(load_graph(next, next, LONG, &err), TL_LIMIT, "shares so many nodes");
    assert_refused(load_graph((int[]){9}, (int[]){1}, 1, &err), TL_CORRUPT,
                   "tree 0, node 0: its true branch is no node of the tree");
}

/* ---- graphs of too much ---- */

static void put_input(struct buf *graph, const char *name, bool wide)
{
    AUTO_BUF input = {0}, type = {0};

    put_text(&input, 1, name);
    /* A tensor of float32, of [?, 1] or of no shape. */
    put_bytes(&type, 1, "\x08\x01\x12\x06\x0a\x00\x0a\x02\x08\x01", wide ? 10 : 2);
    put_bytes(&input, 2, type.bytes, type.size);
    put_bytes(graph, 11, input.bytes, input.size);
}

/* A node of the operator, from `from` to `to`; its end is open for what else it has. */
static void put_node(struct buf *node, const char *op, const char *from, const char *to)
{
    put_text(node, 1, from);
    put_text(node, 2, to);
    put_text(node, 4, op);
}

static void put_output(struct buf *graph, const char *name)
{
    AUTO_BUF output = {0};

    put_text(&output, 1, name);
    put_bytes(graph, 12, output.bytes, output.size);
}

static enum tl_code load_bytes(const struct buf *graph, struct tl_err *err)
{
    AUTO_BUF file = {0};
    struct forest *forest = NULL;

    buf_append(&file, "\x08\x08", 2);
    put_bytes(&file, 7, graph->bytes, graph->size);
    put_bytes(&file, 8, ML_OPSET, sizeof(ML_OPSET) - 1);
    AUTO(blob) blob = buf_blob(&file);
    enum tl_code code = forest_load("m.onnx", blob, &forest, err);
    forest_unref(forest);
    return code;
}

TEST(a_graph_has_so_many_nodes_values_inputs_and_outputs)
{
    AUTO_BUF nodes = {0}, values = {0}, inputs = {0}, outputs = {0}, node = {0}, constant = {0};
    struct tl_err err;
    char name[16];

    put_node(&node, "Identity", "x", "y");
    put_bytes(&outputs, 1, node.bytes, node.size);
    put_input(&outputs, "x", true);
    for (int i = 0; i < 257; i++) {
        snprintf(name, sizeof(name), "y%d", i);
        buf_clear(&node);
        put_node(&node, "Identity", "x", name);
        put_bytes(&nodes, 1, node.bytes, node.size);
    }
    for (int i = 0; i < 2049; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        buf_clear(&constant);
        put_text(&constant, 8, name);
        put_bytes(&values, 5, constant.bytes, constant.size);
    }
    for (int i = 0; i < 4097; i++) {
        snprintf(name, sizeof(name), "x%d", i);
        put_input(&inputs, name, false);
    }
    assert_refused(load_bytes(&nodes, &err), TL_LIMIT, "more than 256 nodes");
    assert_refused(load_bytes(&values, &err), TL_LIMIT, "more than 2048 values");
    assert_refused(load_bytes(&inputs, &err), TL_LIMIT, "more than 4096 inputs");
    put_output(&outputs, "y");
    assert_refused(load_bytes(&outputs, &err), TL_CORRUPT, "an output comes from nowhere");
    buf_clear(&outputs);
    buf_clear(&node);
    put_node(&node, "Softmax", "x", "y");
    put_bytes(&outputs, 1, node.bytes, node.size);
    for (int i = 0; i < 65; i++)
        put_output(&outputs, "y");
    assert_refused(load_bytes(&outputs, &err), TL_LIMIT, "more than 64 outputs");
}

TEST(two_values_of_one_name_are_refused)
{
    AUTO_BUF graph = {0}, node = {0};
    struct tl_err err;

    put_node(&node, "Identity", "x", "twice");
    put_bytes(&graph, 1, node.bytes, node.size);
    put_bytes(&graph, 1, node.bytes, node.size);
    assert_refused(load_bytes(&graph, &err), TL_CORRUPT, "are called \"twice\"");
}

/* As many links as there may be, each looked up by its name: a search through all names for each
 * of them would be 10^11 comparisons, and beyond any patience. */
TEST(many_inputs_joined_among_many_constants_are_found_at_once)
{
    enum { INPUTS = 4096, CONSTANTS = 2000 };
    AUTO_BUF graph = {0}, join = {0}, linear = {0}, constant = {0}, softmax = {0};
    static float weights[2 * INPUTS];
    struct tl_err err;
    char name[16];

    for (int i = 0; i < INPUTS; i++) {
        snprintf(name, sizeof(name), "x%d", i);
        put_input(&graph, name, true);
        put_text(&join, 1, name);
    }
    for (int i = 0; i < CONSTANTS; i++) {
        snprintf(name, sizeof(name), "c%d", i);
        buf_clear(&constant);
        put_text(&constant, 8, name);
        put_bytes(&graph, 5, constant.bytes, constant.size);
    }
    put_text(&join, 2, "joined");
    put_text(&join, 4, "Concat");
    put_bytes(&graph, 1, join.bytes, join.size);
    put_node(&linear, "LinearClassifier", "joined", "p");
    put_text(&linear, 7, "ai.onnx.ml");
    put_floats(&linear, "coefficients", weights, 2 * INPUTS);
    put_floats(&linear, "intercepts", weights, 2);
    put_text(&softmax, 1, "post_transform");
    put_text(&softmax, 4, "SOFTMAX");
    put_bytes(&linear, 5, softmax.bytes, softmax.size);
    put_bytes(&graph, 1, linear.bytes, linear.size);
    put_output(&graph, "p");
    assert_ok(load_bytes(&graph, &err));
}

RUN(T(forests_give_the_same_shares_bit_for_bit),
    T(boosted_trees_of_scikit_learn_predict_what_the_runtime_does),
    T(catboosts_own_export_predicts_what_the_runtime_does),
    T(missing_values_track_the_side_that_the_node_says),
    T(every_mode_sends_every_value_where_the_runtime_does),
    T(the_ensemble_of_version_5_predicts_what_the_runtime_does),
    T(chains_of_equality_are_sets_of_categories),
    T(what_comes_before_the_trees_is_in_their_thresholds),
    T(soft_votes_predict_what_the_runtime_does), T(classes_keep_their_names),
    T(what_is_not_served_is_refused_by_name), T(graphs_that_are_not_served_are_refused_by_node),
    T(a_file_cut_short_anywhere_is_refused), T(a_damaged_byte_is_refused_or_harmless),
    T(packed_lists_and_shared_nodes_are_read), T(circles_and_bombs_are_refused),
    T(a_graph_has_so_many_nodes_values_inputs_and_outputs), T(two_values_of_one_name_are_refused),
    T(many_inputs_joined_among_many_constants_are_found_at_once))
