/*
 * LightGBM text against what LightGBM itself predicts: tests/data/forest/make_lightgbm.py
 * wrote the models and the rows, on thresholds, beside them, with zeros, NaN and infinities.
 */
#include "base/arena.h"
#include "base/blob.h"
#include "base/file.h"
#include "classify/forest.h"
#include "classify/forest_run.h"
#include "classify/forest_walk.h"
#include "tl_test.h"

#include <stdlib.h>
#include <string.h>

#define DATA TILTH_ROOT "/tests/data/forest/"

enum { MAX_ROWS = 200, FEATURES = 4 };

struct rows {
    size_t count;
    float values[FEATURES][MAX_ROWS];
    const float *planes[FEATURES];
    double p[MAX_ROWS][4], raw[MAX_ROWS][4];
};

static struct blob *read_text(const char *name, const char *suffix)
{
    char path[512];
    struct blob *blob = NULL;
    struct tl_err err;

    snprintf(path, sizeof(path), DATA "%s.%s", name, suffix);
    assert_ok(file_read(path, 1 << 20, &blob, &err));
    return blob;
}

static void read_rows(const char *name, unsigned scores, struct rows *rows)
{
    AUTO(blob) blob = read_text(name, "rows");
    char *text = strndup((const char *)blob_bytes(blob), blob_size(blob)), *at = text;

    assert_non_null(text);
    for (rows->count = 0; strchr(at, '|'); rows->count++) {
        assert_true(rows->count < MAX_ROWS);
        for (unsigned f = 0; f < FEATURES; f++)
            rows->values[f][rows->count] = strtof(at, &at);
        at = strchr(at, '|') + 1;
        for (unsigned s = 0; s < scores; s++)
            rows->p[rows->count][s] = strtod(at, &at);
        for (unsigned s = 0; s < scores; s++)
            rows->raw[rows->count][s] = strtod(at, &at);
    }
    for (unsigned f = 0; f < FEATURES; f++)
        rows->planes[f] = rows->values[f];
    free(text);
}

static void load(const char *name, struct arena *arena, struct model *ret_model)
{
    AUTO(blob) file = read_text(name, "txt");
    struct tl_err err;

    assert_ok(model_read_lightgbm(name, blob_bytes(file), blob_size(file), arena, ret_model, &err));
}

/* The oracle gives the library's probabilities to the last bits of exp(). */
static void check_oracle(const struct model *model, const struct rows *rows, unsigned scores)
{
    for (size_t r = 0; r < rows->count; r++) {
        double p[FOREST_MAX_CLASSES];

        walk_pixel(model, rows->planes, r, p);
        for (unsigned s = 0; s < scores; s++)
            assert_near(p[scores == 1 ? 1 : s], rows->p[r][s], 1e-15);
        if (scores > 1)
            assert_int_equal(walk_winner(p, scores), walk_winner(rows->p[r], scores));
        else
            assert_int_equal(walk_winner(p, 2), rows->p[r][0] > 0.5);
    }
}

static void check_kernels(const struct model *model, const struct rows *rows, struct arena *arena)
{
    struct flat flat;
    struct tl_err err;
    uint8_t got[2][MAX_ROWS];
    float p[2][MAX_ROWS * 4];

    assert_ok(flat_compile(model, arena, &flat, &err));
    for (size_t r = 0; r < rows->count; r++) {
        double walked[FOREST_MAX_CLASSES];
        struct forest_output output = {got[0], NULL, p[0]};

        walk_pixel(model, rows->planes, r, walked);
        walk_write(model, walked, r, rows->count, &output);
    }
    for (enum cpu_isa isa = ISA_SCALAR; isa <= cpu_isa(); isa++) {
        struct run_plan plan = run_plan(&flat, sweep_kernel(isa));
        struct forest_output output = {got[1], NULL, p[1]};
        struct run_task task = {
            .planes = rows->planes, .count = rows->count, .output = &output, .scratch = arena};

        plan.walk_below = 0;
        assert_ok(run_flat(&flat, &plan, &task, &err));
        assert_memory_equal(got[0], got[1], rows->count);
        assert_memory_equal(p[0], p[1], rows->count * model->info.class_count * sizeof(float));
    }
}

static void check_model(const char *name, unsigned scores)
{
    AUTO(arena) arena = arena_new();
    struct rows *rows = calloc(1, sizeof(*rows));
    struct model model;

    assert_non_null(rows);
    read_rows(name, scores, rows);
    assert_true(rows->count > 40);
    load(name, arena, &model);
    assert_int_equal(model.score_count, scores);
    check_oracle(&model, rows, scores);
    check_kernels(&model, rows, arena);
    free(rows);
}

TEST(a_binary_model_predicts_what_the_library_does)
{
    check_model("lightgbm_binary", 1);
    check_model("lightgbm_binary_nan", 1);
}

TEST(a_multiclass_model_predicts_what_the_library_does)
{
    check_model("lightgbm_multiclass", 3);
}

TEST(one_against_all_with_zeros_missing_predicts_what_the_library_does)
{
    check_model("lightgbm_ova_zero", 3);
}

TEST(averaged_trees_predict_what_the_library_does)
{
    check_model("lightgbm_rf", 3);
}

TEST(cross_entropy_predicts_what_the_library_does)
{
    check_model("lightgbm_cross_entropy", 1);
}

/* Exact sums: the raw score from the library's own leaves, undone by no transform. */
TEST(raw_scores_are_the_librarys_bit_for_bit)
{
    AUTO(arena) arena = arena_new();
    struct rows *rows = calloc(1, sizeof(*rows));
    struct model model;

    read_rows("lightgbm_multiclass", 3, rows);
    load("lightgbm_multiclass", arena, &model);
    for (size_t r = 0; r < rows->count; r++) {
        double expected[3], got[FOREST_MAX_CLASSES];

        walk_probabilities(&model, rows->raw[r], expected);
        walk_pixel(&model, rows->planes, r, got);
        assert_memory_equal(got, expected, sizeof(expected));
    }
    free(rows);
}

/* ---- refusals ---- */

static char *text_of(const char *name)
{
    AUTO(blob) file = read_text(name, "txt");

    return strndup((const char *)blob_bytes(file), blob_size(file));
}

/* The model with the first `from` replaced by `to`. */
static enum tl_code load_with(const char *from, const char *to, struct tl_err *err)
{
    char *text = text_of("lightgbm_binary_nan"), *at = strstr(text, from);
    char *changed = malloc(strlen(text) + strlen(to) + 1);
    struct forest *forest = NULL;

    assert_non_null(at);
    snprintf(changed, strlen(text) + strlen(to) + 1, "%.*s%s%s", (int)(at - text), text, to,
             at + strlen(from));
    AUTO(blob) file = blob_copy(changed, strlen(changed));
    enum tl_code code = forest_load("m.txt", file, &forest, err);
    forest_unref(forest);
    free(changed);
    free(text);
    return code;
}

TEST(what_is_not_served_is_refused_by_name)
{
    struct tl_err err;

    assert_refused(load_with("objective=binary", "objective=regression", &err), TL_UNSUPPORTED,
                   "\"regression\"");
    assert_refused(load_with("version=v4", "version=v9", &err), TL_UNSUPPORTED, "\"v9\"");
    assert_refused(load_with("is_linear=0", "is_linear=1", &err), TL_UNSUPPORTED, "linear tree");
    assert_refused(load_with("decision_type=", "decision_type=1 ", &err), TL_UNSUPPORTED,
                   "categorical feature Column_");
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
    assert_refused(load_with("right_child=", "right_child=-8 ", &err), TL_CORRUPT, "children");
    assert_refused(load_with("left_child=", "left_child=-1 ", &err), TL_CORRUPT, "more than");
    assert_refused(load_with("max_feature_idx=3", "max_feature_idx=9", &err), TL_CORRUPT,
                   "feature_names");
    assert_refused(load_with("max_feature_idx=3", "max_feature_idx=5000", &err), TL_LIMIT,
                   "5001 features");
    assert_refused(load_with("end of trees", "end of tree", &err), TL_CORRUPT, "cut short");
    assert_refused(load_with("num_class=1", "num_class=2", &err), TL_CORRUPT, "num_class");
}

/* Every prefix is refused, or is whole as far as trees go. */
TEST(a_file_cut_short_anywhere_is_refused)
{
    char *text = text_of("lightgbm_binary");
    size_t whole = (size_t)(strstr(text, "end of trees") - text) + strlen("end of trees");

    for (size_t size = 0; size < whole; size += size < 2000 ? 1 : 7) {
        AUTO(blob) file = blob_copy(text, size);
        struct forest *forest = NULL;
        struct tl_err err;

        if (forest_load("m.txt", file, &forest, &err) == TL_OK)
            fail_msg("%zu of %zu bytes were taken for a model", size, whole);
    }
    free(text);
}

RUN(T(a_binary_model_predicts_what_the_library_does),
    T(a_multiclass_model_predicts_what_the_library_does),
    T(one_against_all_with_zeros_missing_predicts_what_the_library_does),
    T(averaged_trees_predict_what_the_library_does),
    T(cross_entropy_predicts_what_the_library_does), T(raw_scores_are_the_librarys_bit_for_bit),
    T(what_is_not_served_is_refused_by_name), T(damage_is_refused_and_says_where),
    T(a_file_cut_short_anywhere_is_refused))
