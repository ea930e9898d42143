#include "forest/load.h"

#include "base/arena.h"
#include "base/blob.h"
#include "forest/flat_file.h"
#include "forest/forest_private.h"
#include "forest/output.h"
#include "model/section.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What a golden row may differ by; docs/model-file.md. */
#define GOLDEN_TOLERANCE 1e-6

/* Golden rows of a compiled file that are replayed when it is served. All of them were when it was
 * compiled, and these bytes are those: a few say that this machine computes as that one did. */
enum { SERVED_ROWS = 16 };

void forest_write_section(const struct forest *forest, struct hash128 tensors,
                          struct buf *ret_section)
{
    mix_write(&forest->mix, tensors, ret_section);
}

const struct forest_section *forest_section(const struct forest *forest)
{
    return forest->section.bytes ? &forest->section : NULL;
}

/* ---- proof ---- */

/* Golden rows as planes, and what two ways of running them gave. */
struct proof {
    const char *name;
    const struct forest *forest;
    uint32_t rows, step; /* every so many-th golden row */
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
            values[f * proof->rows + row] = model->golden_x[row * proof->step * features + f];
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
    uint8_t expected = proof->forest->model.golden_label[row * proof->step];

    if (got == expected)
        return TL_OK;
    return tl_fail(err, TL_CORRUPT,
                   "%s: golden row %u: %s says class %u (%.64s), tilth's %s says %u (%.64s); the "
                   "file is not what its exporter meant to write",
                   proof->name, row * proof->step, whose_word(proof), expected,
                   class_name(proof, expected), how, got, class_name(proof, got));
}

static enum tl_code check_probability(const struct proof *proof, uint32_t row, const char *how,
                                      const float *got, struct tl_err *err)
{
    uint32_t classes = proof->forest->model.info.class_count;

    for (uint32_t c = 0; c < classes; c++) {
        size_t golden = (size_t)row * proof->step;
        double expected = proof->forest->model.golden_p[golden * classes + c];
        double here = (double)got[(size_t)c * proof->rows + row];

        if (!(fabs(here - expected) <= GOLDEN_TOLERANCE))
            return tl_fail(
                err, TL_CORRUPT,
                "%s: golden row %zu, class %u: %s says %.9g, tilth's %s says %.9g; the file "
                "is not what its exporter meant to write",
                proof->name, golden, proof->forest->model.info.classes[c].value, whose_word(proof),
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

/* As a kernel has it whose pixels are walked if there are fewer than that. */
static enum tl_code replay(const struct proof *proof, uint32_t walk_below, struct arena *arena,
                           const struct forest_output *output, struct tl_err *err)
{
    struct mix mix = proof->forest->mix;
    struct run_task task = {.planes = proof->planes,
                            .count = proof->rows,
                            .output = output,
                            .room = proof->rows,
                            .scratch = arena};

    mix.walk_below = walk_below;
    return mix_run(&mix, &task, err);
}

/* Replays at most `rows` golden rows in both ways. The kernel is made to run, however few they are.
 * Without nodes for the oracle the flat form is walked in its place. */
static enum tl_code prove(const char *name, const struct forest *forest, uint32_t rows,
                          struct tl_err *err)
{
    uint32_t all = forest->model.info.golden_rows;
    struct proof proof = {
        .name = name, .forest = forest, .step = all > rows ? (all + rows - 1) / rows : 1};
    AUTO(arena) arena = arena_new();

    if (all == 0)
        return TL_OK;
    proof.rows = (all + proof.step - 1) / proof.step;
    if (!arena || !proof_planes(&proof, arena) || !proof_output(&proof, &proof.walked, arena) ||
        !proof_output(&proof, &proof.swept, arena))
        return tl_fail(err, TL_NOMEM, "%s: no memory to replay %u golden rows", name, proof.rows);
    struct forest_pixels pixels = {.planes = proof.planes, .count = proof.rows};
    if (forest->file)
        TL_TRY(replay(&proof, UINT32_MAX, arena, &proof.walked, err));
    else
        forest_run_scalar(forest, &pixels, &proof.walked);
    TL_TRY(replay(&proof, 0, arena, &proof.swept, err));
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

static struct forest *forest_new(void)
{
    AUTO(forest) forest = TL_OWNED(calloc(1, sizeof(*forest)));

    if (!forest)
        return NULL;
    atomic_init(&forest->refs, 1);
    forest->memory = arena_new();
    return forest->memory ? TL_TAKE(forest) : NULL;
}

static enum tl_code compile(const char *name, struct forest *forest,
                            const struct model_section *section, struct tl_err *err)
{
    describe_outputs(&forest->model);
    enum tl_code code = mix_compile(&forest->model, section, forest->memory, &forest->mix, err);
    if (code != TL_OK)
        return tl_context(err, code, "%s: ", name);
    forest->model.info.takes_nan = mix_takes_nan(&forest->mix);
    forest->model.info.max_depth = mix_depth(&forest->mix);
    return TL_OK;
}

/* What is said of a section whether it is used or not. */
static void describe_section(struct forest *forest, const struct model_section *section)
{
    const struct flat_file_head *head = flat_file_head(section);
    struct forest_section *said = &forest->section;

    said->bytes = section->size;
    said->unused = flat_file_refusal(section);
    if (!head)
        return;
    said->version = head->version;
    memcpy(said->maker, head->maker, sizeof(said->maker) - 1);
}

/* Model and flat forms where they lie in the file; FOREST_MODEL: only what is said of them. */
static enum tl_code load_section(const char *name, const struct blob *file, enum forest_form form,
                                 struct forest *forest, struct tl_err *err)
{
    struct model_section section;

    TL_TRY(model_read_section(name, file, forest->memory, &forest->model, &section, err));
    describe_section(forest, &section);
    forest->model.info.fingerprint = hash128_join(section.header, section.tensors);
    if (form == FOREST_MODEL)
        return TL_OK;
    if (forest->section.unused)
        return tl_fail(err, TL_CORRUPT,
                       "%s: the compiled section is not used: %s; compile the model again", name,
                       forest->section.unused);
    forest->file = blob_ref((struct blob *)(uintptr_t)file); /* the count is not the bytes */
    TL_TRY(compile(name, forest, &section, err));
    return prove(name, forest, form == FOREST_SECTION ? UINT32_MAX : SERVED_ROWS, err);
}

/* The model, of any format, compiled here. A forest that was not loaded from its section keeps what
 * is said of it. */
static enum tl_code load_model(const char *name, const struct blob *file, struct forest *forest,
                               struct tl_err *err)
{
    struct hash128 fingerprint = forest->model.info.fingerprint;

    blob_unref(forest->file);
    forest->file = NULL;
    arena_reset(forest->memory);
    TL_TRY(
        model_read(name, blob_bytes(file), blob_size(file), forest->memory, &forest->model, err));
    forest->model.info.fingerprint =
        forest->section.bytes ? fingerprint : hash128(blob_bytes(file), blob_size(file));
    TL_TRY(compile(name, forest, NULL, err));
    return prove(name, forest, UINT32_MAX, err);
}

enum tl_code forest_load_as(const char *name, const struct blob *file, enum forest_form form,
                            struct forest **ret_forest, struct tl_err *err)
{
    AUTO(forest) forest = forest_new();

    if (!forest)
        return tl_fail(err, TL_NOMEM, "%s: no memory for a model", name);
    enum tl_code code = load_section(name, file, form, forest, err);
    if (form == FOREST_MODEL || (code != TL_OK && form != FOREST_SECTION)) {
        if (code != TL_OK && forest->section.bytes && !forest->section.unused)
            forest->section.unused = "it is not right";
        code = load_model(name, file, forest, err);
    }
    if (code == TL_OK)
        *ret_forest = TL_TAKE(forest);
    return code;
}

enum tl_code forest_load(const char *name, const struct blob *file, struct forest **ret_forest,
                         struct tl_err *err)
{
    return forest_load_as(name, file, FOREST_SERVED, ret_forest, err);
}
