#include "forest/mix.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/errand.h"
#include "forest/walk.h"
#include "model/net.h"

#include <math.h>
#include <string.h>

/* MAX_VALUES: of all parts, which is more than a net reads or has in a layer. */
enum {
    MAX_VALUES = MODEL_MAX_PARTS * MODEL_MAX_CLASSES,
    CHUNK_PX = RUN_MAX_UNIT_PX,
    NET_CHECK_PX = 1024 /* of a net, between two looks at the errand */
};
_Static_assert(MAX_VALUES >= MODEL_MAX_FEATURES && MAX_VALUES >= NET_MAX_WIDTH, "so many");

/* A vote, for oracle and kernel. values: [member][class]. The sums over the members, which
 * mean() divides. */
static void mean_sums(const struct model_part *part, uint32_t classes, const double *values,
                      double *ret_sums)
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
        ret_sums[c] = part->narrow ? (double)narrow : sum;
    }
}

/* NOLINTBEGIN(clang-analyzer-core.*): mean_sums() wrote one of each class */
static void mean(const struct model_part *part, uint32_t classes, const double *sums, double *ret_p)
{
    for (uint32_t c = 0; c < classes; c++)
        ret_p[c] = part->narrow ? (double)((float)sums[c] / (float)part->divisor)
                                : sums[c] / part->divisor;
}
/* NOLINTEND(clang-analyzer-core.*) */

/* An index into the classes. */
static uint32_t mean_winner(const struct model_part *part, uint32_t classes, const double *sums,
                            const double *p)
{
    return walk_winner(part->winner_by_score ? sums : p, classes);
}

/* What is wanted of pixel `at` of `count`, where the mean answers. */
static void mean_write(const struct model *model, const struct model_part *part,
                       const double *values, size_t at, size_t count,
                       const struct forest_output *output)
{
    double sums[MODEL_MAX_CLASSES], p[MODEL_MAX_CLASSES];
    uint32_t classes = model->info.class_count;

    TL_CHECK(classes > 0); /* every loader sees to it */
    mean_sums(part, classes, values, sums);
    mean(part, classes, sums, p);
    forest_write_label(&model->info, p, mean_winner(part, classes, sums, p), at, count, output);
    for (uint32_t c = 0; output->scores && c < classes; c++)
        output->scores[c * count + at] = sums[c];
}

/* ---- the oracle ---- */

/* One pixel on its way through the parts. */
struct walk {
    const struct model *model;
    const float *const *planes;
    size_t at;
    double given[MAX_VALUES]; /* by the parts so far, [part][class] */
    double values[MAX_VALUES];
    double sums[NET_MAX_WIDTH]; /* or scores, or probabilities */
    float row[MODEL_MAX_FEATURES];
    const float *row_planes[MODEL_MAX_FEATURES];
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

/* What the trees of a part read of pixel `to` of `count`. */
static struct walk_place walk_columns(struct walk *walk, const struct model_part *part,
                                      size_t count)
{
    if (!part->inputs)
        return (struct walk_place){walk->planes, walk->at, walk->at, count};
    for (uint32_t i = 0; i < part->input_count; i++) {
        walk->row[i] = (float)walk_column(walk, part->inputs[i]);
        walk->row_planes[i] = &walk->row[i];
    }
    return (struct walk_place){walk->row_planes, 0, walk->at, count};
}

/* Of a net's scores; softmax by an exp() of our own, so that many can be made at once. */
static bool has_own_softmax(const struct model *model)
{
    return model->output == OUTPUT_SOFTMAX && model->sigmoid == 1 &&
           model->arithmetic == ARITHMETIC_DOUBLE;
}

static void net_probabilities(const struct model *model, const double *scores, double *ret_p)
{
    if (has_own_softmax(model))
        dense_softmax(model->info.class_count, scores, ret_p);
    else
        walk_probabilities(model, scores, ret_p);
}

/* Sums and probabilities of a part that others read. */
static void walk_given(struct walk *walk, const struct model_part *part, double *given)
{
    uint32_t classes = walk->model->info.class_count;

    if (part->kind == PART_TREES) {
        struct walk_place columns = walk_columns(walk, part, 1);

        walk_sums(part->model, columns.planes, columns.at, walk->sums);
        walk_probabilities(part->model, walk->sums, given);
        return;
    }
    walk_values(walk, part);
    if (part->kind == PART_MEAN) {
        mean_sums(part, classes, walk->values, walk->sums);
        mean(part, classes, walk->sums, given);
        return;
    }
    dense_walk(part->net, walk->values, walk->sums);
    net_probabilities(part->model, walk->sums, given);
}

static void walk_part(struct walk *walk, uint32_t p)
{
    const struct model_part *part = &walk->model->parts[p];
    uint32_t classes = walk->model->info.class_count, best;
    double *given = walk->given + (size_t)p * classes;

    walk_given(walk, part, given);
    if (!part->gives_label)
        return;
    best = part->kind == PART_MEAN ? mean_winner(part, classes, walk->sums, given)
                                   : walk_label(part->model, walk->sums, given);
    for (uint32_t c = 0; c < classes; c++)
        given[c] = c == best;
}

static void walk_last(struct walk *walk, size_t count, const struct forest_output *output)
{
    const struct model_part *part = &walk->model->parts[walk->model->part_count - 1];

    if (part->kind == PART_TREES) {
        struct walk_place columns = walk_columns(walk, part, count);

        walk_write_pixel(part->model, &columns, output);
        return;
    }
    walk_values(walk, part);
    if (part->kind == PART_MEAN) {
        mean_write(walk->model, part, walk->values, walk->at, count, output);
        return;
    }
    dense_walk(part->net, walk->values, walk->sums);
    net_probabilities(part->model, walk->sums, walk->values);
    walk_write_known(part->model, walk->sums, walk->values, walk->at, count, output);
}

void mix_walk(const struct model *model, const struct forest_pixels *pixels,
              const struct forest_output *output)
{
    struct walk walk;

    walk.model = model;
    walk.planes = pixels->planes;
    for (walk.at = 0; walk.at < pixels->count; walk.at++) {
        if (!model->part_count) {
            const struct walk_place pixel = {pixels->planes, walk.at, walk.at, pixels->count};

            walk_write_pixel(model, &pixel, output);
            continue;
        }
        for (uint32_t p = 0; p + 1 < model->part_count; p++)
            walk_part(&walk, p);
        walk_last(&walk, pixels->count, output);
    }
}

/* ---- features that come as codes ---- */

bool mix_table_readers(const struct mix *mix, uint32_t feature, struct table_reader *ret_list,
                       size_t room, size_t *ret_count)
{
    size_t count = 0;

    for (uint32_t p = 0; p < mix->part_count; p++) {
        const struct model_part *part = mix->model->part_count ? &mix->model->parts[p] : NULL;
        const struct flat *flat = &mix->parts[p].flat;

        if (part && part->kind != PART_TREES)
            continue;
        for (uint32_t i = 0; i < flat->model->info.feature_count; i++) {
            if ((part && part->inputs ? part->inputs[i] : i) != feature)
                continue;
            if (!flat->rankers || count == room)
                return false;
            ret_list[count++] = (struct table_reader){flat, i};
        }
    }
    *ret_count = count;
    return true;
}

/* ---- the kernel: a chunk of pixels through part after part ---- */

struct chunk {
    const struct mix *mix;
    const struct run_task *task;
    size_t at, count, room;
    double *given;  /* [part but the last][class][room] */
    uint8_t *label; /* [room], of a part that gives it */
    float *cast;    /* [input][room] of the part on columns that reads most */
    const float **planes;
    struct forest_codes *codes;     /* beside the planes */
    double *strip, *spare, *shares; /* of nets */
    /* Of the part at hand: what is wanted of it from the chunk's first pixel on, and whether others
     * read its probabilities. */
    struct forest_output output;
    bool read;
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

static bool alloc_strips(struct chunk *chunk)
{
    size_t most = 0;

    for (uint32_t p = 0; p < chunk->mix->part_count; p++)
        most = TL_MAX(most, chunk->mix->parts[p].dense.room);
    chunk->strip = arena_zalloc(chunk->task->scratch, most + 1, sizeof(*chunk->strip));
    chunk->spare = arena_alloc(chunk->task->scratch, most + 1, sizeof(*chunk->spare));
    chunk->shares = arena_alloc(
        chunk->task->scratch, most ? (size_t)chunk->mix->model->info.class_count * DENSE_STRIP : 1,
        sizeof(*chunk->shares));
    return chunk->strip && chunk->spare && chunk->shares;
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
    chunk->label = arena_alloc(arena, chunk->room, sizeof(*chunk->label));
    chunk->cast = arena_alloc(arena, inputs * chunk->room + 1, sizeof(*chunk->cast));
    chunk->planes = arena_alloc(arena, planes, sizeof(*chunk->planes));
    chunk->codes = arena_alloc(arena, planes, sizeof(*chunk->codes));
    return chunk->given && chunk->label && chunk->cast && chunk->planes && chunk->codes &&
           alloc_strips(chunk);
}

static const double *given_column(const struct chunk *chunk, uint32_t column)
{
    return chunk->given + (size_t)(column - chunk->mix->model->info.feature_count) * chunk->room;
}

/* A feature's codes from pixel `at` of the task on; no table: it is a plane. */
static struct forest_codes codes_at(const struct chunk *chunk, uint32_t feature, size_t at)
{
    const struct forest_codes *codes = chunk->task->codes;

    if (!codes || !codes[feature].table)
        return (struct forest_codes){NULL, NULL};
    return (struct forest_codes){codes[feature].table, codes[feature].codes + at};
}

/* What trees read. */
static void fill_planes(struct chunk *chunk, const struct model_part *part)
{
    uint32_t features = chunk->mix->model->info.feature_count;

    for (uint32_t i = 0; i < part->input_count; i++) {
        uint32_t column = part->inputs ? part->inputs[i] : i;

        chunk->codes[i] = (struct forest_codes){NULL, NULL};
        if (column < features) {
            chunk->codes[i] = codes_at(chunk, column, chunk->at);
            if (!chunk->codes[i].table)
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

/* The task's outputs from the chunk's first pixel on. */
static struct forest_output chunk_output(const struct chunk *chunk)
{
    const struct forest_output *all = chunk->task->output;
    size_t at = chunk->at;

    return (struct forest_output){
        .label = all->label ? all->label + at : NULL,
        .confidence = all->confidence ? all->confidence + at : NULL,
        .probability = all->probability ? all->probability + at : NULL,
        .margin = all->margin ? all->margin + at : NULL,
        .entropy = all->entropy ? all->entropy + at : NULL,
        .scores = all->scores ? all->scores + at : NULL,
        .votes = all->votes ? all->votes + at : NULL,
        .percent = all->percent ? all->percent + at : NULL,
    };
}

static enum tl_code run_trees(struct chunk *chunk, uint32_t p, struct tl_err *err)
{
    struct run_plan plan = chunk->mix->parts[p].plan;
    struct run_task task = {.planes = chunk->planes,
                            .count = chunk->count,
                            .output = &chunk->output,
                            .room = chunk->task->room,
                            .errand = chunk->task->errand,
                            .scratch = chunk->task->scratch,
                            .codes = chunk->task->codes ? chunk->codes : NULL,
                            .times = chunk->task->times};
    struct arena_mark mark = arena_mark(task.scratch);

    if (chunk->read) {
        task.exact = chunk->given + (size_t)p * chunk->mix->model->info.class_count * chunk->room;
        task.room = chunk->room;
    }
    plan.walk_below = chunk->mix->walk_below;
    fill_planes(chunk, &chunk->mix->model->parts[p]);
    enum tl_code code = run_flat(&chunk->mix->parts[p].flat, &plan, &task, err);
    arena_rewind(task.scratch, mark);
    return code;
}

/* What part `p` makes of pixel `at`, for parts behind it. */
static void keep(const struct chunk *chunk, uint32_t p, size_t at, const double *probabilities)
{
    uint32_t classes = chunk->mix->model->info.class_count;

    for (uint32_t c = 0; c < classes; c++)
        chunk->given[((size_t)p * classes + c) * chunk->room + at] = probabilities[c];
}

static void run_mean(struct chunk *chunk, uint32_t p)
{
    const struct model *model = chunk->mix->model;
    const struct model_part *part = &model->parts[p];
    uint32_t classes = model->info.class_count;
    double values[MAX_VALUES], sums[MODEL_MAX_CLASSES], result[MODEL_MAX_CLASSES];

    for (size_t at = 0; at < chunk->count; at++) {
        for (uint32_t i = 0; i < part->input_count; i++)
            for (uint32_t c = 0; c < classes; c++)
                values[i * classes + c] = given_column(chunk, part->inputs[i] + c)[at];
        if (!chunk->read) {
            mean_write(model, part, values, at, chunk->task->room, &chunk->output);
            continue;
        }
        mean_sums(part, classes, values, sums);
        mean(part, classes, sums, result);
        keep(chunk, p, at, result);
    }
}

/* A feature as doubles, from pixel `at` of the task on. */
static void widen(const struct chunk *chunk, uint32_t feature, size_t at, size_t count,
                  double *ret_values)
{
    const struct forest_codes coded = codes_at(chunk, feature, at);

    if (coded.table) {
        const float *values = forest_table_values(coded.table);

        for (size_t i = 0; i < count; i++)
            ret_values[i] = (double)values[coded.codes[i]];
        return;
    }
    const float *from = chunk->task->planes[feature] + at;
    for (size_t i = 0; i < count; i++)
        ret_values[i] = (double)from[i];
}

/* The columns of a net, of `count` pixels of the chunk from `begin`. */
static void fill_strip(struct chunk *chunk, const struct model_part *part, size_t begin,
                       size_t count)
{
    uint32_t features = chunk->mix->model->info.feature_count;

    for (uint32_t i = 0; i < part->input_count; i++) {
        uint32_t column = part->inputs[i];
        double *to = chunk->strip + (size_t)i * DENSE_STRIP;

        if (column < features)
            widen(chunk, column, chunk->at + begin, count, to);
        else
            memcpy(to, given_column(chunk, column) + begin, count * sizeof(*to));
    }
}

/* A strip's scores and probabilities, class by class, and where it is in the chunk. */
struct strip {
    const double *scores, *p;
    size_t begin, count;
};

static void strip_pixel(const struct strip *strip, size_t i, uint32_t scores, uint32_t classes,
                        double *ret_sums, double *ret_p)
{
    for (uint32_t s = 0; s < scores; s++)
        ret_sums[s] = strip->scores[(size_t)s * DENSE_STRIP + i];
    for (uint32_t c = 0; c < classes; c++)
        ret_p[c] = strip->p[(size_t)c * DENSE_STRIP + i];
}

/* Probabilities that kernels do not make: one pixel after the other. */
static void strip_shares(const struct model *model, const struct strip *strip, double *ret_p)
{
    double sums[MODEL_MAX_CLASSES], p[MODEL_MAX_CLASSES];

    for (size_t i = 0; i < strip->count; i++) {
        strip_pixel(strip, i, model->score_count, 0, sums, p);
        walk_probabilities(model, sums, p);
        for (uint32_t c = 0; c < model->info.class_count; c++)
            ret_p[(size_t)c * DENSE_STRIP + i] = p[c];
    }
}

/* Labels and confidences alone, of a softmax. */
static void strip_winners(const struct chunk *chunk, const struct dense *dense,
                          const struct model *model, const struct strip *strip)
{
    const struct forest_output *output = &chunk->output;
    _Alignas(64) double class[DENSE_STRIP], p[DENSE_STRIP];
    size_t to = strip->begin;

    dense->kernel->pick(model->info.class_count, model->winner_by_score ? strip->scores : strip->p,
                        strip->p, class, p);
    for (size_t i = 0; output->label && i < strip->count; i++)
        output->label[to + i] = model->info.classes[(uint32_t) class[i]].value;
    for (size_t i = 0; output->confidence && i < strip->count; i++)
        output->confidence[to + i] = forest_percent(p[i]);
}

static void strip_write(const struct chunk *chunk, const struct dense *dense,
                        const struct model *model, const struct strip *strip)
{
    const struct forest_output *output = &chunk->output;
    double sums[MODEL_MAX_CLASSES], p[MODEL_MAX_CLASSES];

    if (has_own_softmax(model) && !output->probability && !output->percent && !output->margin &&
        !output->entropy && !output->scores) {
        strip_winners(chunk, dense, model, strip);
        return;
    }
    for (size_t i = 0; i < strip->count; i++) {
        strip_pixel(strip, i, model->score_count, model->info.class_count, sums, p);
        walk_write_known(model, sums, p, strip->begin + i, chunk->task->room, output);
    }
}

static enum tl_code run_net(struct chunk *chunk, uint32_t p, struct tl_err *err)
{
    const struct dense *dense = &chunk->mix->parts[p].dense;
    const struct model_part *part = &chunk->mix->model->parts[p];
    uint32_t classes = part->model->info.class_count;

    for (size_t begin = 0; begin < chunk->count; begin += DENSE_STRIP) {
        struct strip strip = {.p = chunk->shares,
                              .begin = begin,
                              .count = TL_MIN(chunk->count - begin, (size_t)DENSE_STRIP)};

        if (chunk->task->errand && begin % NET_CHECK_PX == 0)
            TL_TRY(errand_check(chunk->task->errand, err));
        fill_strip(chunk, part, begin, strip.count);
        strip.scores = dense->kernel->run(dense, chunk->strip, chunk->spare);
        if (has_own_softmax(part->model))
            dense->kernel->shares(classes, strip.scores, chunk->shares);
        else
            strip_shares(part->model, &strip, chunk->shares);
        for (uint32_t c = 0; chunk->read && c < classes; c++)
            memcpy(chunk->given + ((size_t)p * classes + c) * chunk->room + begin,
                   chunk->shares + (size_t)c * DENSE_STRIP, strip.count * sizeof(*chunk->given));
        if (!chunk->read)
            strip_write(chunk, dense, part->model, &strip);
    }
    return TL_OK;
}

static enum tl_code run_part(struct chunk *chunk, uint32_t p, struct tl_err *err)
{
    switch (chunk->mix->model->parts[p].kind) {
    case PART_TREES:
        return run_trees(chunk, p, err);
    case PART_MEAN:
        run_mean(chunk, p);
        return TL_OK;
    case PART_NET:
        return run_net(chunk, p, err);
    }
    return TL_OK;
}

/* The labels of part `p` as columns for the parts behind it. */
static void keep_labels(const struct chunk *chunk, uint32_t p)
{
    const struct model_info *info = &chunk->mix->model->info;

    for (uint32_t c = 0; c < info->class_count; c++) {
        double *to = chunk->given + ((size_t)p * info->class_count + c) * chunk->room;
        uint8_t value = info->classes[c].value;

        for (size_t at = 0; at < chunk->count; at++)
            to[at] = chunk->label[at] == value;
    }
}

static enum tl_code run_chunk(struct chunk *chunk, struct tl_err *err)
{
    for (uint32_t p = 0; p < chunk->mix->part_count; p++) {
        bool last = p + 1 == chunk->mix->part_count;
        bool label = chunk->mix->model->parts[p].gives_label;

        chunk->read = !last && !label;
        chunk->output = (struct forest_output){.label = label ? chunk->label : NULL};
        if (last)
            chunk->output = chunk_output(chunk);
        TL_TRY(run_part(chunk, p, err));
        if (label)
            keep_labels(chunk, p);
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
    if (!alloc_chunk(&chunk))
        return tl_fail(err, TL_NOMEM, "no memory to classify %zu pixels", task->count);
    for (chunk.at = 0; chunk.at < task->count; chunk.at += chunk.count) {
        chunk.count = TL_MIN(task->count - chunk.at, chunk.room);
        TL_TRY(run_chunk(&chunk, err));
    }
    return TL_OK;
}
