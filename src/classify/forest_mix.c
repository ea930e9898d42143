#include "classify/forest_mix.h"

#include "base/arena.h"
#include "classify/forest_walk.h"

#include <math.h>
#include <string.h>

/* MAX_VALUES: of all parts, which is more than a linear part may read. */
enum { MAX_VALUES = MODEL_MAX_PARTS * FOREST_MAX_CLASSES, CHUNK_PX = RUN_MAX_UNIT_PX };
_Static_assert(MAX_VALUES >= FOREST_MAX_FEATURES, "a linear part reads so many");

static uint32_t part_count(const struct model *model)
{
    return model->part_count ? model->part_count : 1;
}

/* ---- what is made of numbers: one code for oracle and kernel ---- */

/* values: [member][class] */
static void mean(const struct model_part *part, uint32_t classes, const double *values,
                 double *ret_p)
{
    for (uint32_t c = 0; c < classes; c++) {
        double sum = 0;
        float narrow = 0;

        for (uint32_t m = 0; m < part->input_count; m++) {
            double weight = part->weights ? part->weights[m] : 1;
            double p = values[(size_t)m * classes + c];

            sum += weight * p;
            narrow += (float)weight * (float)p;
        }
        ret_p[c] = part->narrow ? (double)(narrow / (float)part->divisor) : sum / part->divisor;
    }
}

static void linear(const struct model_part *part, const double *values, double *ret_sums)
{
    for (uint32_t s = 0; s < part->model->score_count; s++) {
        const double *weights = part->weights + (size_t)s * part->input_count;

        ret_sums[s] = 0;
        for (uint32_t i = 0; i < part->input_count; i++)
            ret_sums[s] += weights[i] * values[i];
    }
}

/* A mean or a linear part: its probabilities. */
static void combine(const struct model *model, const struct model_part *part, const double *values,
                    double *ret_p)
{
    double sums[FOREST_MAX_CLASSES];

    if (part->kind == PART_MEAN) {
        mean(part, model->info.class_count, values, ret_p);
        return;
    }
    linear(part, values, sums);
    walk_probabilities(part->model, sums, ret_p);
}

/* The same as the last part: what is wanted of pixel `at` of `count`. */
static void combine_write(const struct model *model, const struct model_part *part,
                          const double *values, size_t at, size_t count,
                          const struct forest_output *output)
{
    double result[FOREST_MAX_CLASSES];

    if (part->kind == PART_MEAN) {
        mean(part, model->info.class_count, values, result);
        walk_write(model, result, at, count, output);
        return;
    }
    linear(part, values, result);
    walk_write_sums(part->model, result, at, count, output);
}

/* ---- the oracle ---- */

/* One pixel on its way through the parts. */
struct walk {
    const struct model *model;
    const float *const *planes;
    size_t at;
    double given[MAX_VALUES]; /* by the parts so far, [part][class] */
    double values[MAX_VALUES];
    float row[FOREST_MAX_FEATURES];
    const float *row_planes[FOREST_MAX_FEATURES];
};

static double walk_column(const struct walk *walk, uint32_t column)
{
    uint32_t features = walk->model->info.feature_count;

    return column < features ? (double)walk->planes[column][walk->at]
                             : walk->given[column - features];
}

static void walk_values(struct walk *walk, const struct model_part *part)
{
    uint32_t each = part->kind == PART_MEAN ? walk->model->info.class_count : 1;

    for (uint32_t i = 0; i < part->input_count; i++)
        for (uint32_t c = 0; c < each; c++)
            walk->values[i * each + c] = walk_column(walk, part->inputs[i] + c);
}

/* Sums of a part that has trees. */
static void walk_trees(struct walk *walk, const struct model_part *part, double *ret_sums)
{
    if (!part->inputs) {
        walk_sums(part->model, walk->planes, walk->at, ret_sums);
        return;
    }
    for (uint32_t i = 0; i < part->input_count; i++) {
        walk->row[i] = (float)walk_column(walk, part->inputs[i]);
        walk->row_planes[i] = &walk->row[i];
    }
    walk_sums(part->model, walk->row_planes, 0, ret_sums);
}

static void walk_part(struct walk *walk, uint32_t p)
{
    const struct model_part *part = &walk->model->parts[p];
    double *given = walk->given + (size_t)p * walk->model->info.class_count;
    double sums[FOREST_MAX_CLASSES];

    if (part->kind == PART_TREES) {
        walk_trees(walk, part, sums);
        walk_probabilities(part->model, sums, given);
    } else {
        walk_values(walk, part);
        combine(walk->model, part, walk->values, given);
    }
}

static void walk_last(struct walk *walk, size_t count, const struct forest_output *output)
{
    const struct model_part *part = &walk->model->parts[walk->model->part_count - 1];
    double sums[FOREST_MAX_CLASSES];

    if (part->kind == PART_TREES) {
        walk_trees(walk, part, sums);
        walk_write_sums(part->model, sums, walk->at, count, output);
    } else {
        walk_values(walk, part);
        combine_write(walk->model, part, walk->values, walk->at, count, output);
    }
}

void mix_walk(const struct model *model, const struct forest_pixels *pixels,
              const struct forest_output *output)
{
    struct walk walk;
    double sums[FOREST_MAX_CLASSES];

    walk.model = model;
    walk.planes = pixels->planes;
    for (walk.at = 0; walk.at < pixels->count; walk.at++) {
        if (!model->part_count) {
            walk_sums(model, pixels->planes, walk.at, sums);
            walk_write_sums(model, sums, walk.at, pixels->count, output);
            continue;
        }
        for (uint32_t p = 0; p + 1 < model->part_count; p++)
            walk_part(&walk, p);
        walk_last(&walk, pixels->count, output);
    }
}

/* ---- compile ---- */

/* Multiples of 2^-20: sums of a whole forest are exact in any order. */
static bool sums_in_any_order(const struct model *model)
{
    size_t count = (size_t)model->leaf_count * model->leaf_width;

    for (size_t i = 0; i < count; i++)
        if (model->leaf_values[i] * 0x1p20 != floor(model->leaf_values[i] * 0x1p20))
            return false;
    return true;
}

/* The ensemble as it runs: one that others build on gives its sums in the library's order. */
static const struct model *exact_model(const struct model *model, bool last, struct arena *arena)
{
    if (last || model->output != OUTPUT_MEAN || sums_in_any_order(model))
        return model;
    struct model *scores = arena_alloc(arena, 1, sizeof(*scores));
    if (!scores)
        return NULL;
    *scores = *model;
    scores->output = OUTPUT_SCORES;
    return scores;
}

static enum tl_code compile_part(const struct model *model, bool last, struct arena *arena,
                                 struct mix_part *part, struct tl_err *err)
{
    const struct model *runs = exact_model(model, last, arena);

    if (!runs)
        return tl_fail(err, TL_NOMEM, "no memory to compile the parts of a model");
    TL_TRY(flat_compile(runs, arena, &part->flat, err));
    part->plan = run_plan(&part->flat, sweep_kernel(cpu_isa()));
    return TL_OK;
}

enum tl_code mix_compile(const struct model *model, struct arena *arena, struct mix *ret_mix,
                         struct tl_err *err)
{
    uint32_t count = part_count(model);
    struct mix mix = {.model = model, .part_count = count, .walk_below = WALK_BELOW_PX};

    mix.parts = arena_zalloc(arena, count, sizeof(*mix.parts));
    if (!mix.parts)
        return tl_fail(err, TL_NOMEM, "no memory to compile the parts of a model");
    for (uint32_t p = 0; p < count; p++) {
        const struct model *trees = model->part_count ? model->parts[p].model : model;
        bool last = p == count - 1;

        if (!model->part_count || model->parts[p].kind == PART_TREES)
            TL_TRY(compile_part(trees, last, arena, &mix.parts[p], err));
    }
    *ret_mix = mix;
    return TL_OK;
}

/* ---- the kernel: a chunk of pixels through part after part ---- */

struct chunk {
    const struct mix *mix;
    const struct run_task *task;
    struct arena *inner; /* what one part's run needs, given back after it */
    size_t at, count, room;
    double *given; /* [part but the last][class][room] */
    float *cast;   /* [input][room] of the part on columns that reads most */
    const float **planes;
    float *probability; /* [class][room] */
};

/* Of the parts with trees on columns, the most that one reads. */
static uint32_t most_inputs(const struct model *model)
{
    uint32_t most = 0;

    for (uint32_t p = 0; p < model->part_count; p++)
        if (model->parts[p].kind == PART_TREES && model->parts[p].inputs)
            most = TL_MAX(most, model->parts[p].input_count);
    return most;
}

static bool alloc_chunk(struct chunk *chunk)
{
    const struct model *model = chunk->mix->model;
    struct arena *arena = chunk->task->scratch;
    uint32_t inputs = most_inputs(model);
    size_t classes = model->info.class_count;
    size_t planes = TL_MAX(inputs, model->info.feature_count);

    chunk->room = TL_MIN(chunk->task->count, (size_t)CHUNK_PX);
    chunk->given = arena_alloc(arena, (model->part_count - 1) * classes * chunk->room + 1,
                               sizeof(*chunk->given));
    chunk->cast = arena_alloc(arena, inputs * chunk->room + 1, sizeof(*chunk->cast));
    chunk->planes = arena_alloc(arena, planes, sizeof(*chunk->planes));
    chunk->probability = arena_alloc(arena, classes * chunk->room, sizeof(*chunk->probability));
    return chunk->given && chunk->cast && chunk->planes && chunk->probability;
}

static const double *given_column(const struct chunk *chunk, uint32_t column)
{
    return chunk->given + (size_t)(column - chunk->mix->model->info.feature_count) * chunk->room;
}

/* What trees read. */
static void fill_planes(struct chunk *chunk, const struct model_part *part)
{
    uint32_t features = chunk->mix->model->info.feature_count;

    for (uint32_t i = 0; i < part->input_count; i++) {
        uint32_t column = part->inputs ? part->inputs[i] : i;

        if (column < features) {
            chunk->planes[i] = chunk->task->planes[column] + chunk->at;
            continue;
        }
        const double *from = given_column(chunk, column);
        float *to = chunk->cast + i * chunk->room;
        for (size_t at = 0; at < chunk->count; at++)
            to[at] = (float)from[at];
        chunk->planes[i] = to;
    }
}

/* The chunk's probabilities to where the task wants them. */
static void keep_probability(const struct chunk *chunk)
{
    const struct forest_output *output = chunk->task->output;

    for (uint32_t c = 0; output->probability && c < chunk->mix->model->info.class_count; c++)
        memcpy(output->probability + c * chunk->task->count + chunk->at,
               chunk->probability + c * chunk->count, chunk->count * sizeof(*chunk->probability));
}

static enum tl_code run_trees(struct chunk *chunk, uint32_t p, struct tl_err *err)
{
    const struct forest_output *wanted = chunk->task->output;
    struct forest_output output = {0};
    struct run_plan plan = chunk->mix->parts[p].plan;
    struct run_task task = {.planes = chunk->planes,
                            .count = chunk->count,
                            .output = &output,
                            .errand = chunk->task->errand,
                            .scratch = chunk->inner};

    if (p + 1 < chunk->mix->part_count) {
        task.exact = chunk->given + (size_t)p * chunk->mix->model->info.class_count * chunk->room;
        task.exact_room = chunk->room;
    } else {
        output.label = wanted->label ? wanted->label + chunk->at : NULL;
        output.confidence = wanted->confidence ? wanted->confidence + chunk->at : NULL;
        output.probability = wanted->probability ? chunk->probability : NULL;
    }
    plan.walk_below = chunk->mix->walk_below;
    fill_planes(chunk, &chunk->mix->model->parts[p]);
    arena_reset(chunk->inner);
    TL_TRY(run_flat(&chunk->mix->parts[p].flat, &plan, &task, err));
    if (p + 1 == chunk->mix->part_count)
        keep_probability(chunk);
    return TL_OK;
}

static void gather(const struct chunk *chunk, const struct model_part *part, size_t at,
                   double *ret_values)
{
    const struct model *model = chunk->mix->model;
    uint32_t each = part->kind == PART_MEAN ? model->info.class_count : 1;

    for (uint32_t i = 0; i < part->input_count; i++)
        for (uint32_t c = 0; c < each; c++) {
            uint32_t column = part->inputs[i] + c;

            ret_values[i * each + c] = column < model->info.feature_count
                                           ? (double)chunk->task->planes[column][chunk->at + at]
                                           : given_column(chunk, column)[at];
        }
}

static void run_combine(struct chunk *chunk, uint32_t p)
{
    const struct model *model = chunk->mix->model;
    const struct model_part *part = &model->parts[p];
    double values[MAX_VALUES], result[FOREST_MAX_CLASSES];
    double *given = chunk->given + (size_t)p * model->info.class_count * chunk->room;

    for (size_t at = 0; at < chunk->count; at++) {
        gather(chunk, part, at, values);
        if (p + 1 == model->part_count) {
            combine_write(model, part, values, chunk->at + at, chunk->task->count,
                          chunk->task->output);
            continue;
        }
        combine(model, part, values, result);
        for (uint32_t c = 0; c < model->info.class_count; c++)
            given[c * chunk->room + at] = result[c];
    }
}

static enum tl_code run_chunk(struct chunk *chunk, struct tl_err *err)
{
    for (uint32_t p = 0; p < chunk->mix->part_count; p++) {
        if (chunk->mix->model->parts[p].kind == PART_TREES)
            TL_TRY(run_trees(chunk, p, err));
        else
            run_combine(chunk, p);
    }
    return TL_OK;
}

enum tl_code mix_run(const struct mix *mix, const struct run_task *task, struct tl_err *err)
{
    struct chunk chunk = {.mix = mix, .task = task};
    struct run_plan plan = mix->parts[0].plan;

    plan.walk_below = mix->walk_below;
    if (!mix->model->part_count)
        return run_flat(&mix->parts[0].flat, &plan, task, err);
    if (task->count == 0)
        return TL_OK;
    AUTO(arena) inner = arena_new();
    chunk.inner = inner;
    if (!inner || !alloc_chunk(&chunk))
        return tl_fail(err, TL_NOMEM, "no memory to classify %zu pixels", task->count);
    for (chunk.at = 0; chunk.at < task->count; chunk.at += chunk.count) {
        chunk.count = TL_MIN(task->count - chunk.at, chunk.room);
        TL_TRY(run_chunk(&chunk, err));
    }
    return TL_OK;
}
