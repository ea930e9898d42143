/*
 * Files that ask for much with few bytes, and memory that runs out: of every reader.
 */
#include "base/buf.h"
#include "fail_alloc.h"
#include "library_rows.h"

#define CORPUS "../../fuzz/corpus/"

static enum tl_code read_bytes(const void *bytes, size_t size, struct tl_err *err)
{
    AUTO(arena) arena = arena_new();
    struct model model;

    if (!arena)
        return TL_NOMEM;
    return model_read("m", bytes, size, arena, &model, err);
}

static const char *const small[] = {
    CORPUS "lightgbm/binary.txt",       CORPUS "xgboost/small.json",
    CORPUS "xgboost/small.ubj",         CORPUS "xgboost/small_dart.json",
    CORPUS "catboost/small.json",       CORPUS "onnx/linear.onnx",
    CORPUS "catboost/small_grown.json", CORPUS "onnx/onnx_ensemble.onnx",
    CORPUS "onnx/forest.onnx"};

/* Chunks of arenas are 256 KiB, of which the system gives what is touched. */
enum { MOST_BYTES = 2 << 20 };

TEST(memory_that_runs_out_anywhere_is_said)
{
    if (!FAIL_ALLOC)
        skip();
    for (size_t i = 0; i < TL_COUNT(small); i++) {
        AUTO(blob) file = library_file(small[i]);
        bool hit = true;
        struct tl_err err;

        for (unsigned n = 1; hit; n++) {
            fail_alloc_at(n);
            enum tl_code code = read_bytes(blob_bytes(file), blob_size(file), &err);
            hit = fail_alloc_hit();
            /* What is only needed by other models may be missing. */
            if (code != TL_OK && (code != TL_NOMEM || !hit))
                fail_msg("%s, allocation %u: %s: %s", small[i], n, tl_code_key(code), err.msg);
        }
    }
}

TEST(small_files_cost_little_memory)
{
    struct tl_err err;

    if (!FAIL_ALLOC)
        skip();
    for (size_t i = 0; i < TL_COUNT(small); i++) {
        AUTO(blob) file = library_file(small[i]);

        fail_alloc_at(0);
        assert_ok(read_bytes(blob_bytes(file), blob_size(file), &err));
        if (fail_alloc_bytes > MOST_BYTES)
            fail_msg("%s: %zu bytes for %zu", small[i], fail_alloc_bytes, blob_size(file));
    }
}

/* Whatever a byte is changed to: one in eight of a file's lengths and counts becomes large. */
TEST(damaged_small_files_cost_little_memory)
{
    static const uint8_t values[] = {0x00, 0x7F, 0x80, 0xFF, '9', 'L', '['};
    struct tl_err err;

    if (!FAIL_ALLOC)
        skip();
    for (size_t i = 0; i < TL_COUNT(small); i++) {
        AUTO(blob) file = library_file(small[i]);
        uint8_t *bytes = blob_writable(file);

        for (size_t at = 0; at < blob_size(file); at += LIBRARY_STEP)
            for (size_t v = 0; v < TL_COUNT(values); v++) {
                uint8_t was = bytes[at];

                bytes[at] = values[v];
                fail_alloc_at(0);
                (void)read_bytes(bytes, blob_size(file), &err);
                if (fail_alloc_bytes > MOST_BYTES)
                    fail_msg("%s, byte %zu: %zu bytes", small[i], at, fail_alloc_bytes);
                bytes[at] = was;
            }
    }
}

/* Of more trees than may be, and a tree of more nodes and of more levels. */
static enum tl_code many_trees(struct tl_err *err)
{
    static const char head[] = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\n"
                               "max_feature_idx=0\nobjective=binary\nfeature_names=x\n";
    AUTO_BUF file = {0};

    buf_puts(&file, head);
    for (int i = 0; i <= MODEL_MAX_TREES; i++)
        buf_printf(&file, "Tree=%d\nnum_leaves=1\nnum_cat=0\nleaf_value=0\n", i);
    buf_puts(&file, "end of trees\n");
    return read_bytes(file.bytes, file.size, err);
}

/* The small XGBoost model with other lists of the tree's. */
static enum tl_code with_lists(const char *lists, struct tl_err *err)
{
    char *text = library_text(CORPUS "xgboost/small.json"), *at = strstr(text, "\"base_weights\"");
    AUTO_BUF file = {0};

    assert_non_null(at);
    buf_printf(&file, "%.*s%s", (int)(at - text), text, lists);
    buf_puts(&file, strstr(at, "\"tree_param\""));
    free(text);
    return read_bytes(file.bytes, file.size, err);
}

static void put_numbers(struct buf *to, const char *key, const char *first, int begin, int count)
{
    buf_printf(to, "\"%s\":[%s", key, first);
    for (int i = 0; i < count; i++)
        buf_printf(to, ",%d", begin < 0 ? 0 : begin + i);
    buf_puts(to, "],");
}

static enum tl_code deep_tree(struct tl_err *err)
{
    enum { LEVELS = MODEL_MAX_DEPTH + 2 };
    AUTO_BUF lists = {0};

    /* Node i has the children i + 1 and, a leaf, LEVELS + i. */
    buf_puts(&lists, "\"left_children\":[1");
    for (int i = 1; i < 2 * LEVELS; i++)
        buf_printf(&lists, ",%d", i < LEVELS - 1 ? i + 1 : -1);
    buf_puts(&lists, "],\"right_children\":[4098");
    for (int i = 1; i < 2 * LEVELS; i++)
        buf_printf(&lists, ",%d", i < LEVELS - 1 ? LEVELS + i : -1);
    buf_puts(&lists, "],");
    put_numbers(&lists, "split_indices", "0", -1, 2 * LEVELS - 1);
    put_numbers(&lists, "split_conditions", "0", -1, 2 * LEVELS - 1);
    put_numbers(&lists, "default_left", "0", -1, 2 * LEVELS - 1);
    buf_append(&lists, "", 1);
    return with_lists((const char *)lists.bytes, err);
}

static enum tl_code wide_tree(struct tl_err *err)
{
    enum { NODES = (1 << 24) + 1 };
    AUTO(blob) file = library_file(CORPUS "xgboost/small.ubj");
    static const char key[] = "left_children";
    const uint8_t *bytes = blob_bytes(file);
    const uint8_t *at = memmem(bytes, blob_size(file), key, sizeof(key) - 1);
    AUTO_BUF wide = {0};

    assert_non_null(at);
    at += sizeof(key) - 1;
    buf_append(&wide, bytes, (size_t)(at - bytes));
    buf_append(&wide, "[$i#l\1\0\0\1", 9);
    uint8_t *nodes = buf_extend(&wide, NODES);
    assert_non_null(nodes);
    memset(nodes, 0xFF, NODES);
    at += strlen("[$l#i.") + 3 * sizeof(int32_t); /* what was there */
    buf_append(&wide, at, blob_size(file) - (size_t)(at - bytes));
    return read_bytes(wide.bytes, wide.size, err);
}

TEST(trees_nodes_and_levels_have_their_limits)
{
    struct tl_err err;

    assert_refused(many_trees(&err), TL_LIMIT, "more than 100000 trees");
    assert_refused(deep_tree(&err), TL_LIMIT, "tree 0 is deeper than 4096; train with a smaller");
    assert_refused(wide_tree(&err), TL_LIMIT, "tree 0 has 16777217 nodes, at most 16777216");
}

RUN(T(memory_that_runs_out_anywhere_is_said), T(small_files_cost_little_memory),
    T(damaged_small_files_cost_little_memory), T(trees_nodes_and_levels_have_their_limits))
