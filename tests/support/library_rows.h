/*
 * A real model of another library against what that library itself predicts: tests/data/forest
 * has the model and NAME.rows (probes.py says how). Every way of running it is held to the
 * oracle bit for bit, the oracle to the library.
 */
#ifndef TILTH_TESTS_LIBRARY_ROWS_H
#define TILTH_TESTS_LIBRARY_ROWS_H

#include "base/arena.h"
#include "base/blob.h"
#include "base/file.h"
#include "forest/forest.h"
#include "forest/mix.h"
#include "forest/walk.h"
#include "tl_test.h"

#include <stdlib.h>
#include <string.h>

#define LIBRARY_DATA TILTH_ROOT "/tests/data/forest/"

enum { LIBRARY_MAX_ROWS = 160, LIBRARY_MAX_FEATURES = 8, LIBRARY_MAX_CLASSES = 4 };

struct library_rows {
    size_t count;
    float values[LIBRARY_MAX_FEATURES][LIBRARY_MAX_ROWS];
    const float *planes[LIBRARY_MAX_FEATURES];
    double p[LIBRARY_MAX_ROWS][LIBRARY_MAX_CLASSES], raw[LIBRARY_MAX_ROWS][LIBRARY_MAX_CLASSES];
    unsigned label[LIBRARY_MAX_ROWS];
};

typedef enum tl_code (*library_reader)(const char *name, const uint8_t *bytes, size_t size,
                                       struct arena *arena, struct model *ret_model,
                                       struct tl_err *err);

/* A model, how it is read, and how near the oracle comes to the library. */
struct library_case {
    const char *rows, *file; /* without ".rows"; with its suffix */
    library_reader read;
    uint32_t features;
    double p_within, raw_within; /* 0: bit for bit */
};

static inline struct blob *library_file(const char *name)
{
    char path[512];
    struct blob *blob = NULL;
    struct tl_err err;

    snprintf(path, sizeof(path), LIBRARY_DATA "%s", name);
    assert_ok(file_read(path, 1 << 20, &blob, &err));
    return blob;
}

static inline char *library_text(const char *name)
{
    AUTO(blob) file = library_file(name);

    return strndup((const char *)blob_bytes(file), blob_size(file));
}

/* Numbers up to the next bar, or to the end of the line. */
static inline unsigned library_numbers(char **at, unsigned max, double *ret_numbers)
{
    unsigned count = 0;

    for (;;) {
        *at += strspn(*at, " ");
        if (**at == '|' || **at == '\n' || **at == '\0')
            break;
        assert_true(count < max);
        ret_numbers[count++] = strtod(*at, at);
    }
    *at += **at != '\0';
    return count;
}

static inline void library_read_rows(const char *name, struct library_rows *rows)
{
    char file[128];
    double x[LIBRARY_MAX_FEATURES], label;

    snprintf(file, sizeof(file), "%s.rows", name);
    char *text = library_text(file), *at = text;
    for (rows->count = 0; *at; rows->count++) {
        size_t r = rows->count;

        assert_true(r < LIBRARY_MAX_ROWS);
        unsigned features = library_numbers(&at, LIBRARY_MAX_FEATURES, x);
        for (unsigned f = 0; f < features; f++)
            rows->values[f][r] = (float)x[f];
        assert_true(library_numbers(&at, LIBRARY_MAX_CLASSES, rows->p[r]) >= 2);
        assert_true(library_numbers(&at, LIBRARY_MAX_CLASSES, rows->raw[r]) >= 1);
        assert_int_equal(library_numbers(&at, 1, &label), 1);
        rows->label[r] = (unsigned)label;
    }
    for (unsigned f = 0; f < LIBRARY_MAX_FEATURES; f++)
        rows->planes[f] = rows->values[f];
    free(text);
}

/* NaN is NaN, infinity infinity. */
static inline bool library_near(double got, double expected, double within)
{
    return got == expected || (isnan(got) && isnan(expected)) || fabs(got - expected) <= within;
}

static inline void library_check_oracle(const struct library_case *c, const struct model *model,
                                        const struct library_rows *rows, bool check_raw)
{
    for (size_t r = 0; r < rows->count; r++) {
        double sums[MODEL_MAX_CLASSES], p[MODEL_MAX_CLASSES], scores[MODEL_MAX_CLASSES];
        uint8_t label;
        struct forest_output output = {.label = &label, .scores = scores};

        walk_sums(model, rows->planes, r, sums);
        walk_probabilities(model, sums, p);
        walk_write_sums(model, sums, 0, 1, &output);
        for (uint32_t s = 0; check_raw && s < model->score_count; s++)
            if (!library_near(scores[s], rows->raw[r][s], c->raw_within))
                fail_msg("%s: row %zu, score %u: %.17g, the library says %.17g", c->file, r, s,
                         scores[s], rows->raw[r][s]);
        for (uint32_t k = 0; k < model->info.class_count; k++)
            if (!library_near(p[k], rows->p[r][k], c->p_within))
                fail_msg("%s: row %zu, class %u: %.17g, the library says %.17g", c->file, r, k,
                         p[k], rows->p[r][k]);
        if (label != rows->label[r])
            fail_msg("%s: row %zu: label %u, the library says %u", c->file, r, label,
                     rows->label[r]);
    }
}

/* The rows again and again, so that packets are full, split, and more than a few. */
enum { LIBRARY_TIMES = 20, LIBRARY_MAX_PIXELS = LIBRARY_TIMES * LIBRARY_MAX_ROWS };

struct library_pixels {
    float values[LIBRARY_MAX_FEATURES][LIBRARY_MAX_PIXELS];
    const float *planes[LIBRARY_MAX_FEATURES];
    uint8_t label[2][LIBRARY_MAX_PIXELS], confidence[2][LIBRARY_MAX_PIXELS];
    float p[2][LIBRARY_MAX_PIXELS * LIBRARY_MAX_CLASSES];
};

static inline void library_check_kernels(const struct model *model, const struct library_rows *rows,
                                         struct arena *arena)
{
    struct library_pixels *px = calloc(1, sizeof(*px));
    size_t count = LIBRARY_TIMES * rows->count;
    struct forest_output walked = {
        .label = px->label[0], .confidence = px->confidence[0], .probability = px->p[0]};
    struct forest_output swept = {
        .label = px->label[1], .confidence = px->confidence[1], .probability = px->p[1]};
    struct flat flat;
    struct tl_err err;

    assert_ok(flat_compile(model, arena, &flat, &err));
    for (unsigned f = 0; f < LIBRARY_MAX_FEATURES; f++) {
        px->planes[f] = px->values[f];
        for (size_t i = 0; i < count; i++)
            px->values[f][i] = rows->values[f][i % rows->count];
    }
    for (size_t i = 0; i < count; i++) {
        double sums[MODEL_MAX_CLASSES];

        walk_sums(model, px->planes, i, sums);
        walk_write_sums(model, sums, i, count, &walked);
    }
    for (enum cpu_isa isa = ISA_SCALAR; isa <= cpu_isa(); isa++) {
        struct run_plan plan = run_plan(&flat, sweep_kernel(isa));
        struct run_task task = {.planes = px->planes,
                                .count = count,
                                .output = &swept,
                                .room = count,
                                .scratch = arena};

        plan.walk_below = 0;
        memset(px->label[1], 0xEE, sizeof(px->label[1]));
        assert_ok(run_flat(&flat, &plan, &task, &err));
        assert_memory_equal(px->label[0], px->label[1], count);
        assert_memory_equal(px->confidence[0], px->confidence[1], count);
        assert_memory_equal(px->p[0], px->p[1], count * model->info.class_count * sizeof(float));
    }
    free(px);
}

/* A model made of models: the oracle against the library, the kernel against the oracle. */
static inline void library_check_mix(const struct library_case *c, const struct model *model,
                                     const struct library_rows *rows, struct arena *arena)
{
    struct library_pixels *px = calloc(1, sizeof(*px));
    struct forest_output walked = {
        .label = px->label[0], .confidence = px->confidence[0], .probability = px->p[0]};
    struct forest_output swept = {
        .label = px->label[1], .confidence = px->confidence[1], .probability = px->p[1]};
    struct forest_pixels pixels = {.planes = rows->planes, .count = rows->count};
    struct run_task task = {.planes = rows->planes,
                            .count = rows->count,
                            .output = &swept,
                            .room = rows->count,
                            .scratch = arena};
    uint32_t classes = model->info.class_count;
    struct tl_err err;
    struct mix mix;

    assert_ok(mix_compile(model, NULL, arena, &mix, &err));
    mix.walk_below = 0;
    mix_walk(model, &pixels, &walked);
    assert_ok(mix_run(&mix, &task, &err));
    assert_memory_equal(px->label[0], px->label[1], rows->count);
    assert_memory_equal(px->confidence[0], px->confidence[1], rows->count);
    assert_memory_equal(px->p[0], px->p[1], rows->count * classes * sizeof(float));
    for (size_t r = 0; r < rows->count; r++) {
        for (uint32_t k = 0; k < classes; k++)
            if (!library_near((double)px->p[0][k * rows->count + r], rows->p[r][k], c->p_within))
                fail_msg("%s: row %zu, class %u: %.9g, the library says %.9g", c->file, r, k,
                         (double)px->p[0][k * rows->count + r], rows->p[r][k]);
        assert_int_equal(px->label[0][r], rows->label[r]);
    }
    free(px);
}

/* `check_raw`: the rows have the library's raw scores. */
static inline void library_check(const struct library_case *c, bool check_raw)
{
    AUTO(arena) arena = arena_new();
    AUTO(blob) file = library_file(c->file);
    struct library_rows *rows = calloc(1, sizeof(*rows));
    struct forest *forest = NULL;
    struct model model;
    struct tl_err err;

    assert_non_null(rows);
    library_read_rows(c->rows, rows);
    assert_true(rows->count > 40);
    assert_ok(c->read(c->file, blob_bytes(file), blob_size(file), arena, &model, &err));
    assert_int_equal(model.info.feature_count, c->features);
    if (model.part_count) {
        library_check_mix(c, &model, rows, arena);
    } else {
        library_check_oracle(c, &model, rows, check_raw);
        library_check_kernels(&model, rows, arena);
    }
    assert_ok(forest_load(c->file, file, &forest, &err)); /* told by its first bytes */
    assert_string_equal(forest_info(forest)->kind, model.info.kind);
    forest_unref(forest);
    free(rows);
}

/* Loads the text file with the first `from` replaced by `to`. */
static inline enum tl_code library_load_with(const char *name, const char *from, const char *to,
                                             struct tl_err *err)
{
    char *text = library_text(name), *at = strstr(text, from);
    char *changed = malloc(strlen(text) + strlen(to) + 1);
    struct forest *forest = NULL;

    if (!at)
        fail_msg("%s does not hold %s", name, from);
    snprintf(changed, strlen(text) + strlen(to) + 1, "%.*s%s%s", (int)(at - text), text, to,
             at + strlen(from));
    AUTO(blob) file = blob_copy(changed, strlen(changed));
    enum tl_code code = forest_load(name, file, &forest, err);
    forest_unref(forest);
    free(changed);
    free(text);
    return code;
}

/* What a change of a good file is refused with; the message says the file and `says`. */
struct library_refusal {
    const char *file, *from, *to;
    enum tl_code code;
    const char *says;
};

static inline void library_check_refusals(const struct library_refusal *rows, size_t count)
{
    struct tl_err err;

    for (size_t i = 0; i < count; i++) {
        const struct library_refusal *r = &rows[i];
        enum tl_code code = library_load_with(r->file, r->from, r->to, &err);

        if (code == TL_OK)
            fail_msg("%s, %s for %s: taken for a model", r->file, r->to, r->from);
        if (code != r->code || !strstr(err.msg, r->says) || !strstr(err.msg, r->file))
            fail_msg("%s for %s: %s: \"%s\", not %s: \"%s\"", r->to, r->from, tl_code_key(code),
                     err.msg, tl_code_key(r->code), r->says);
    }
}

/* Bytes from one cut or flip to the next. In qemu all of them would take a minute. */
#ifdef TILTH_EMULATED
enum { LIBRARY_STEP = 11 };
#else
enum { LIBRARY_STEP = 1 };
#endif

static inline void library_check_cuts(const char *name)
{
    AUTO(blob) whole = library_file(name);

    for (size_t size = 0; size < blob_size(whole); size += LIBRARY_STEP) {
        AUTO(blob) file = blob_copy(blob_bytes(whole), size);
        struct forest *forest = NULL;
        struct tl_err err;

        if (forest_load(name, file, &forest, &err) == TL_OK)
            fail_msg("%s: %zu of %zu bytes were taken for a model", name, size, blob_size(whole));
    }
}

/* Whatever one byte is changed to, the model is refused or runs. */
static inline void library_check_flips(const char *name)
{
    AUTO(blob) whole = library_file(name);
    uint8_t *bytes = malloc(blob_size(whole));
    struct tl_err err;

    memcpy(bytes, blob_bytes(whole), blob_size(whole));
    for (size_t at = 0; at < blob_size(whole); at += LIBRARY_STEP) {
        uint8_t was = bytes[at];

        bytes[at] ^= (uint8_t)(1U << (at % 8));
        AUTO(blob) file = blob_copy(bytes, blob_size(whole));
        struct forest *forest = NULL;
        if (forest_load(name, file, &forest, &err) == TL_OK)
            assert_true(forest_info(forest)->class_count >= 2);
        forest_unref(forest);
        bytes[at] = was;
    }
    free(bytes);
}

#endif
