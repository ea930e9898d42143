#include "forest/forest.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/check.h"
#include "base/errand.h"
#include "forest/bench.h"
#include "forest/mix.h"
#include "forest/output.h"
#include "forest/table.h"
#include "model/rows.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* What a golden row may differ by; docs/model-file.md. */
#define GOLDEN_TOLERANCE 1e-6

struct forest {
    atomic_uint refs;
    struct arena *memory; /* of the model and its compiled form */
    struct model model;
    struct mix mix;
};

const struct sweep_kernel *sweep_kernel(enum cpu_isa isa)
{
#if defined(__x86_64__)
    if (isa >= ISA_AVX512)
        return &sweep_avx512;
    if (isa >= ISA_AVX2)
        return &sweep_avx2;
    if (isa >= ISA_SSE2)
        return &sweep_sse2;
#elif defined(__aarch64__)
    if (isa >= ISA_NEON)
        return &sweep_neon;
#endif
    (void)isa;
    return &sweep_scalar;
}

struct forest *forest_ref(struct forest *forest)
{
    /* Relaxed: whoever refs holds a reference already. */
    atomic_fetch_add_explicit(&forest->refs, 1, memory_order_relaxed);
    return forest;
}

void forest_unref(struct forest *forest)
{
    /* Acquire-release: the last one must see what all others did before. */
    if (!forest || atomic_fetch_sub_explicit(&forest->refs, 1, memory_order_acq_rel) > 1)
        return;
    arena_free(forest->memory);
    free(forest);
}

const struct model_info *forest_info(const struct forest *forest)
{
    return &forest->model.info;
}

enum tl_code forest_run(const struct forest *forest, const struct forest_pixels *pixels,
                        struct errand *errand, struct arena *scratch,
                        const struct forest_output *output, struct tl_err *err)
{
    struct run_task task = {.planes = pixels->planes,
                            .count = pixels->count,
                            .output = output,
                            .room = pixels->count,
                            .errand = errand,
                            .scratch = scratch,
                            .codes = pixels->codes};

    if (output->votes && !forest->model.info.has_votes)
        return tl_fail(err, TL_UNSUPPORTED,
                       "%s: votes are of forests, whose trees each name a class; this is %s",
                       forest->model.info.name, forest->model.info.kind);
    return mix_run(&forest->mix, &task, err);
}

void forest_run_scalar(const struct forest *forest, const struct forest_pixels *pixels,
                       const struct forest_output *output)
{
    mix_walk(&forest->model, pixels, output);
}

enum tl_code forest_table_new(const struct forest *forest, uint32_t feature, const float *values,
                              size_t count, struct forest_table **ret_table, struct tl_err *err)
{
    struct table_reader list[MODEL_MAX_PARTS];
    struct table_readers readers = {.list = list};
    struct forest_table *table = NULL;

    TL_CHECK(feature < forest->model.info.feature_count && count <= FOREST_MAX_CODES);
    if (mix_table_readers(&forest->mix, feature, list, TL_COUNT(list), &readers.count) &&
        table_fits(&readers, count)) {
        table = table_new(&readers, values, count);
        if (!table)
            return tl_fail(err, TL_NOMEM, "no memory for a table of %zu ranks", count);
    }
    *ret_table = table;
    return TL_OK;
}

float forest_value(const struct forest_pixels *pixels, uint32_t feature, size_t i)
{
    const struct forest_codes *codes = pixels->codes ? &pixels->codes[feature] : NULL;

    if (codes && codes->table)
        return forest_table_values(codes->table)[codes->codes[i]];
    return pixels->planes[feature][i];
}

/* ---- measuring ---- */

/* The same model with other kernels. */
static bool mix_with(const struct mix *mix, enum cpu_isa isa, struct arena *arena,
                     struct mix *ret_mix)
{
    struct mix_part *parts = arena_alloc(arena, mix->part_count, sizeof(*parts));

    if (!parts)
        return false;
    memcpy(parts, mix->parts, mix->part_count * sizeof(*parts));
    for (uint32_t p = 0; p < mix->part_count; p++) {
        if (parts[p].dense.kernel)
            parts[p].dense.kernel = dense_choose(isa);
        else if (parts[p].plan.kernel)
            parts[p].plan = run_plan(&parts[p].flat, sweep_kernel(isa));
    }
    *ret_mix = *mix;
    ret_mix->parts = parts;
    return true;
}

enum tl_code forest_run_timed(const struct forest *forest, const struct forest_pixels *pixels,
                              struct arena *scratch, const struct forest_output *output,
                              struct forest_times *times, struct tl_err *err)
{
    struct run_task task = {.planes = pixels->planes,
                            .count = pixels->count,
                            .output = output,
                            .room = pixels->count,
                            .scratch = scratch,
                            .codes = pixels->codes,
                            .times = times};
    struct mix mix;

    if (!mix_with(&forest->mix, TL_MIN(times->isa, cpu_isa()), scratch, &mix))
        return tl_fail(err, TL_NOMEM, "no memory for another kernel");
    return mix_run(&mix, &task, err);
}

bool forest_make_tile(const struct forest *forest, enum model_tile tile, uint64_t seed,
                      uint32_t width, uint32_t height, float *const *ret_planes)
{
    AUTO(arena) arena = arena_new();
    struct model_rows rows;

    if (!arena || !model_rows_open(&forest->model, seed, arena, &rows))
        return false;
    model_rows_tile(&rows, tile, width, height, ret_planes);
    return true;
}

size_t forest_memory(const struct forest *forest)
{
    return arena_used(forest->memory);
}

/* ---- proof ---- */

/* Golden rows as planes, and what two ways of running them gave. */
struct proof {
    const char *name;
    const struct forest *forest;
    uint32_t rows;
    const float **planes;
    struct forest_output walked, swept;
};

static bool proof_output(struct proof *proof, struct forest_output *output, struct arena *arena)
{
    size_t classes = proof->forest->model.info.class_count;

    output->label = arena_alloc(arena, proof->rows, 1);
    output->confidence = arena_alloc(arena, proof->rows, 1);
    output->probability = arena_alloc(arena, proof->rows * classes, sizeof(*output->probability));
    return output->label && output->confidence && output->probability;
}

static bool proof_planes(struct proof *proof, struct arena *arena)
{
    const struct model *model = &proof->forest->model;
    size_t features = model->info.feature_count;
    float *values = arena_alloc(arena, features * proof->rows, sizeof(*values));

    proof->planes = arena_alloc(arena, features, sizeof(*proof->planes));
    if (!values || !proof->planes)
        return false;
    for (size_t f = 0; f < features; f++) {
        proof->planes[f] = values + f * proof->rows;
        for (size_t row = 0; row < proof->rows; row++)
            values[f * proof->rows + row] = model->golden_x[row * features + f];
    }
    return true;
}

static const char *whose_word(const struct proof *proof)
{
    return proof->forest->model.info.golden_own ? "the file" : "the library";
}

/* The name of the class that has a value. */
static const char *class_name(const struct proof *proof, uint8_t value)
{
    const struct model_info *info = &proof->forest->model.info;

    for (uint32_t c = 0; c < info->class_count; c++)
        if (info->classes[c].value == value)
            return info->classes[c].name;
    return "no class of the model";
}

static enum tl_code check_label(const struct proof *proof, uint32_t row, const char *how,
                                uint8_t got, struct tl_err *err)
{
    uint8_t expected = proof->forest->model.golden_label[row];

    if (got == expected)
        return TL_OK;
    return tl_fail(err, TL_CORRUPT,
                   "%s: golden row %u: %s says class %u (%.64s), tilth's %s says %u (%.64s); the "
                   "file is not what its exporter meant to write",
                   proof->name, row, whose_word(proof), expected, class_name(proof, expected), how,
                   got, class_name(proof, got));
}

static enum tl_code check_probability(const struct proof *proof, uint32_t row, const char *how,
                                      const float *got, struct tl_err *err)
{
    uint32_t classes = proof->forest->model.info.class_count;

    for (uint32_t c = 0; c < classes; c++) {
        double expected = proof->forest->model.golden_p[(size_t)row * classes + c];
        double here = (double)got[(size_t)c * proof->rows + row];

        if (!(fabs(here - expected) <= GOLDEN_TOLERANCE))
            return tl_fail(
                err, TL_CORRUPT,
                "%s: golden row %u, class %u: %s says %.9g, tilth's %s says %.9g; the file "
                "is not what its exporter meant to write",
                proof->name, row, proof->forest->model.info.classes[c].value, whose_word(proof),
                expected, how, here);
    }
    return TL_OK;
}

static enum tl_code compare(const struct proof *proof, struct tl_err *err)
{
    for (uint32_t row = 0; row < proof->rows; row++) {
        TL_TRY(check_label(proof, row, "oracle", proof->walked.label[row], err));
        TL_TRY(check_label(proof, row, "kernel", proof->swept.label[row], err));
        TL_TRY(check_probability(proof, row, "oracle", proof->walked.probability, err));
        TL_TRY(check_probability(proof, row, "kernel", proof->swept.probability, err));
    }
    return TL_OK;
}

/* Replays the golden rows in both ways. The kernel is made to run, however few they are. */
static enum tl_code prove(const char *name, const struct forest *forest, struct tl_err *err)
{
    struct proof proof = {.name = name, .forest = forest, .rows = forest->model.info.golden_rows};
    struct mix mix = forest->mix;
    AUTO(arena) arena = arena_new();

    if (proof.rows == 0)
        return TL_OK;
    if (!arena || !proof_planes(&proof, arena) || !proof_output(&proof, &proof.walked, arena) ||
        !proof_output(&proof, &proof.swept, arena))
        return tl_fail(err, TL_NOMEM, "%s: no memory to replay %u golden rows", name, proof.rows);
    struct forest_pixels pixels = {.planes = proof.planes, .count = proof.rows};
    forest_run_scalar(forest, &pixels, &proof.walked);
    mix.walk_below = 0;
    struct run_task task = {.planes = proof.planes,
                            .count = proof.rows,
                            .output = &proof.swept,
                            .room = proof.rows,
                            .scratch = arena};
    TL_TRY(mix_run(&mix, &task, err));
    return compare(&proof, err);
}

/* ---- load ---- */

/* What the outputs of a model are, which the last of its parts says. */
static void describe_outputs(struct model *model)
{
    const struct model_part *last = model->part_count ? &model->parts[model->part_count - 1] : NULL;
    const struct model *trees = last ? last->model : model;

    if (last && last->kind == PART_MEAN) {
        model->info.score_count = model->info.class_count;
        return;
    }
    model->info.score_count = trees->score_count;
    model->info.has_votes = trees->output == OUTPUT_MEAN && (!last || last->kind == PART_TREES);
}

enum tl_code forest_load(const char *name, const struct blob *file, struct forest **ret_forest,
                         struct tl_err *err)
{
    AUTO(forest) forest = calloc(1, sizeof(*forest));

    if (!forest)
        return tl_fail(err, TL_NOMEM, "%s: no memory for a model", name);
    atomic_init(&forest->refs, 1);
    forest->memory = arena_new();
    if (!forest->memory)
        return tl_fail(err, TL_NOMEM, "%s: no memory for a model", name);
    TL_TRY(
        model_read(name, blob_bytes(file), blob_size(file), forest->memory, &forest->model, err));
    describe_outputs(&forest->model);
    forest->model.info.fingerprint = hash128(blob_bytes(file), blob_size(file));
    forest->model.info.takes_nan = model_takes_nan(&forest->model);
    enum tl_code code = mix_compile(&forest->model, forest->memory, &forest->mix, err);
    if (code != TL_OK)
        return tl_context(err, code, "%s", name);
    TL_TRY(prove(name, forest, err));
    *ret_forest = TL_TAKE(forest);
    return TL_OK;
}
