#include "classify/forest_run.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errand.h"
#include "classify/forest_bench.h"
#include "classify/forest_oblivious.h"
#include "classify/forest_order.h"
#include "classify/forest_table.h"
#include "classify/forest_walk.h"

#include <math.h>
#include <string.h>

enum {
    /* What a block's planes, counts and sums may take: about the second-level cache. */
    BLOCK_BYTES = 1 << 21,
    MIN_BLOCK_PX = 1024,
    LARGE_TREE_NODES = 2048,
    UNIT_BYTES = 1 << 27, /* what a unit's planes may take */
    CHUNK_PX = 256,       /* ranked together; a multiple of PACKET_PX */
    CACHE_LINE = 64
};

/* One run: the task and its scratch. */
struct run {
    const struct flat *flat;
    const struct run_plan *plan;
    const struct run_task *task;
    bool label_only;    /* nothing else is asked for */
    struct order order; /* of the unit at hand */
    struct sweep sweep; /* of the block at hand */
    uint32_t *totals;   /* [class][room]: votes emptied from sweep.counts; NULL when never */
    size_t unit_at;     /* the unit's first pixel */
    uint32_t unit_count;
    struct raster raster; /* the planes of the unit as they lie in the task */
    /* [block][plane][room] of the flat type, and [block][plane] the least and the greatest. */
    void *values, *low, *high;
    /* Where the task has codes: one pixel's features as the oracle wants them. */
    float *row;
    const float **row_planes;
};

static const struct model *model_of(const struct run *run)
{
    return run->flat->model;
}

static size_t value_bytes(enum flat_type type)
{
    static const size_t bytes[] = {sizeof(uint8_t), sizeof(uint16_t), sizeof(float)};

    return bytes[type];
}

/* Of a plane before it is put in order. */
static size_t raster_bytes(enum flat_type type)
{
    return type == FLAT_F32 ? sizeof(float) : sizeof(uint16_t);
}

static uint32_t round_to_packets(size_t pixels)
{
    return (uint32_t)((pixels + PACKET_PX - 1) / PACKET_PX * PACKET_PX);
}

static size_t round_to_lanes(size_t values)
{
    return (values + RANK_LANES - 1) / RANK_LANES * RANK_LANES;
}

/* Pixels of a block of the unit; all but the last block are full. */
static uint32_t block_count(const struct run *run, uint32_t block)
{
    return TL_MIN(run->sweep.room, run->unit_count - block * run->sweep.room);
}

/* ---- plan and scratch ---- */

/* Numbers that the scores of a pixel take. */
static size_t scores_room(const struct flat *flat)
{
    uint32_t scores = flat->model->score_count;

    return flat->oblivious ? oblivious_room(scores) : scores;
}

static size_t bytes_per_pixel(const struct flat *flat)
{
    const struct model *model = flat->model;
    size_t bytes = flat->plane_count * value_bytes(flat->type);

    if (flat->oblivious)
        return bytes + scores_room(flat) * sizeof(double);
    if (flat->by_leaf) /* sums are passed once in some trees */
        return bytes + model->score_count * sizeof(double) / 8;
    return bytes + model->info.class_count + flat->row_stride * sizeof(double);
}

struct run_plan run_plan(const struct flat *flat, const struct sweep_kernel *kernel)
{
    uint32_t block = RUN_MAX_BLOCK_PX / 4, unit = RUN_MAX_UNIT_PX;
    size_t bytes = flat->oblivious ? BLOCK_BYTES / 2 : BLOCK_BYTES;

    /* Of trees with more nodes than a block has packets to share a visit's price among, most of a
     * list's entries are few: larger blocks, though they leave the second-level cache. */
    if (flat->node_count / TL_MAX(flat->model->info.tree_count, 1U) > LARGE_TREE_NODES) {
        block *= 4;
        bytes *= 4;
    }

    while (block > MIN_BLOCK_PX && block * bytes_per_pixel(flat) > bytes)
        block /= 2;
    while (unit > block && unit * bytes_per_pixel(flat) > UNIT_BYTES)
        unit /= 2;
    return (struct run_plan){.kernel = kernel,
                             .unit_px = unit,
                             .block_px = block,
                             .sorted = !flat->oblivious, /* which cost the same in any order */
                             .walk_below = WALK_BELOW_PX};
}

static bool alloc_lists(struct sweep *sweep, uint32_t packets, struct arena *arena)
{
    size_t levels = (size_t)sweep->flat->max_depth + 1, room = packets + LIST_SLACK;

    sweep->mask = arena_alloc(arena, room * levels, sizeof(*sweep->mask));
    sweep->id = arena_alloc(arena, room * levels, sizeof(*sweep->id));
    sweep->below = arena_alloc(arena, room, sizeof(*sweep->below));
    sweep->pending = arena_alloc(arena, levels, sizeof(*sweep->pending));
    return sweep->mask && sweep->id && sweep->below && sweep->pending;
}

static bool alloc_votes(struct run *run, struct arena *arena)
{
    struct sweep *sweep = &run->sweep;
    size_t classes = model_of(run)->info.class_count, packets = sweep->room / PACKET_PX;

    sweep->votes = arena_zalloc(arena, classes * packets, sizeof(*sweep->votes));
    sweep->counts = arena_alloc(arena, classes * sweep->room, sizeof(*sweep->counts));
    if (!sweep->votes || !sweep->counts)
        return false;
    if (model_of(run)->info.tree_count > VOTES_MAX_TREES) {
        run->totals = arena_alloc(arena, classes * sweep->room, sizeof(*run->totals));
        if (!run->totals)
            return false;
    }
    if (!run->flat->has_rows)
        return true;
    size_t stride = run->flat->row_stride;
    sweep->rows = arena_alloc(arena, stride * sweep->room, sizeof(*sweep->rows));
    sweep->packet_rows = arena_alloc(arena, stride * packets, sizeof(*sweep->packet_rows));
    sweep->rowed = arena_alloc(arena, packets, sizeof(*sweep->rowed));
    sweep->inexact = arena_alloc(arena, packets, sizeof(*sweep->inexact));
    return sweep->rows && sweep->packet_rows && sweep->rowed && sweep->inexact;
}

/* Whether nothing is asked for but the label, or the confidence in it. */
static bool only_label(const struct run_task *task, bool or_confidence)
{
    struct forest_output rest = *task->output;

    if (task->exact || (!rest.label && !or_confidence))
        return false;
    rest.label = NULL;
    if (or_confidence)
        rest.confidence = NULL;
    return memcmp(&rest, &(struct forest_output){0}, sizeof(rest)) == 0;
}

/* Of a number that leaves add. */
static size_t sum_bytes(const struct sweep *sweep)
{
    return sweep->leaves->number == NUMBER_DOUBLE ? sizeof(double) : sizeof(float);
}

/* Sums of one score take so many numbers. */
static size_t score_room(const struct run *run)
{
    return run->sweep.room * (size_t)run->sweep.leaves->stride;
}

/* Scores that are apart: leaves of several numbers are one. */
static uint32_t score_planes(const struct run *run)
{
    return model_of(run)->leaf_width > 1 ? 1 : model_of(run)->score_count;
}

static bool alloc_leaves(struct run *run, struct arena *arena)
{
    struct sweep *sweep = &run->sweep;
    bool coarse = run->flat->fixed.values && only_label(run->task, true);

    sweep->leaves = coarse ? &run->flat->fixed : &run->flat->leaves;
    if (run->flat->oblivious) {
        sweep->sums = arena_alloc(arena, scores_room(run->flat) * sweep->room, sizeof(double));
        return sweep->sums;
    }
    sweep->ids = arena_alloc(arena, (size_t)LEAF_TREES * sweep->room, sweep->leaves->id_bytes);
    sweep->sums = arena_alloc(arena, score_planes(run) * score_room(run), sum_bytes(sweep));
    return sweep->ids && sweep->sums;
}

static bool alloc_run(struct run *run)
{
    struct arena *arena = run->task->scratch;
    struct sweep *sweep = &run->sweep;
    size_t unit = TL_MIN(run->task->count, (size_t)run->plan->unit_px);
    size_t planes = TL_MAX(run->flat->plane_count, 1U), item = value_bytes(run->flat->type);

    sweep->flat = run->flat;
    sweep->room = round_to_packets(TL_MIN(unit, (size_t)run->plan->block_px));
    size_t blocks = (unit + sweep->room - 1) / sweep->room;
    run->raster.room = round_to_packets(unit);
    run->raster.values =
        arena_alloc(arena, planes * run->raster.room, raster_bytes(run->flat->type));
    run->values = arena_alloc(arena, blocks * planes * sweep->room, item);
    run->low = arena_alloc(arena, blocks * planes, item);
    run->high = arena_alloc(arena, blocks * planes, item);
    if (!run->raster.values || !run->values || !run->low || !run->high ||
        !alloc_lists(sweep, sweep->room / PACKET_PX, arena) ||
        !order_alloc(&run->order, unit, run->plan->sorted, arena))
        return false;
    return run->flat->by_leaf ? alloc_leaves(run, arena) : alloc_votes(run, arena);
}

/* ---- the pixels for the oracle ---- */

static bool alloc_row(struct run *run)
{
    size_t features = run->flat->model->info.feature_count;

    if (!run->task->codes)
        return true;
    run->row = arena_alloc(run->task->scratch, features, sizeof(*run->row));
    run->row_planes = arena_alloc(run->task->scratch, features, sizeof(*run->row_planes));
    for (size_t f = 0; run->row && run->row_planes && f < features; f++)
        run->row_planes[f] = &run->row[f];
    return run->row && run->row_planes;
}

/* Planes that hold a pixel as floats: at 0 where there is a row for it, else where it lies. */
static const float *const *pixel_planes(const struct run *run, size_t pixel)
{
    const struct run_task *task = run->task;
    const struct forest_pixels pixels = {task->planes, task->count, task->codes};

    for (uint32_t f = 0; run->row && f < model_of(run)->info.feature_count; f++)
        run->row[f] = forest_value(&pixels, f, pixel);
    return run->row ? run->row_planes : task->planes;
}

/* ---- the planes of a unit ---- */

/* Values of a chunk of a plane as its rule sees them, filled up to whole lanes. */
static void chunk_values(const struct run *run, uint32_t plane, uint32_t at, uint32_t count,
                         float *ret_values)
{
    const struct flat_plane *rule = &run->flat->planes[plane];

    memcpy(ret_values, run->task->planes[rule->feature] + run->unit_at + at,
           count * sizeof(*ret_values));
    flat_apply_rule(rule, ret_values, count);
    for (uint32_t i = count; i % RANK_LANES != 0; i++)
        ret_values[i] = 0;
}

static void fill_floats(const struct run *run, uint32_t plane)
{
    float *to = (float *)run->raster.values + plane * run->raster.room;
    const struct flat_plane *rule = &run->flat->planes[plane];

    memcpy(to, run->task->planes[rule->feature] + run->unit_at, run->unit_count * sizeof(*to));
    flat_apply_rule(rule, to, run->unit_count);
}

/* Features that no rule changes are ranked where they are, all but the last lanes. */
static void fill_ranks(const struct run *run, uint32_t plane)
{
    uint16_t *to = (uint16_t *)run->raster.values + plane * run->raster.room;
    const struct flat_plane *rule = &run->flat->planes[plane];
    const struct flat_ranker *ranker = &run->flat->rankers[plane];
    uint32_t done = 0;

    if (rule->missing == MISSING_COMPARE) {
        done = run->unit_count - run->unit_count % RANK_LANES;
        run->plan->kernel->rank(ranker, run->task->planes[rule->feature] + run->unit_at, done, to);
    }
    for (uint32_t at = done; at < run->unit_count; at += CHUNK_PX) {
        uint32_t count = TL_MIN(run->unit_count - at, (uint32_t)CHUNK_PX);
        float values[CHUNK_PX];

        chunk_values(run, plane, at, count, values);
        run->plan->kernel->rank(ranker, values, round_to_lanes(count), to + at);
    }
}

static void fill_coded(const struct run *run, uint32_t plane, const struct forest_codes *from)
{
    const uint16_t *codes = from->codes + run->unit_at;
    const uint16_t *ranks = table_ranks(from->table, run->flat, plane);
    uint16_t *to = (uint16_t *)run->raster.values + plane * run->raster.room;

    for (uint32_t i = 0; i < run->unit_count; i++)
        to[i] = ranks[codes[i]];
}

/* In raster order, where neighbours are alike: the tables of ranks stay in the nearest cache. */
static void fill_raster(const struct run *run)
{
    for (uint32_t plane = 0; plane < run->flat->plane_count; plane++) {
        const struct forest_codes *codes = run->task->codes;

        codes = codes ? &codes[run->flat->planes[plane].feature] : NULL;
        if (run->flat->type == FLAT_F32)
            fill_floats(run, plane);
        else if (codes && codes->table)
            fill_coded(run, plane, codes);
        else
            fill_ranks(run, plane);
    }
}

/*
 * Puts a plane of the raster into the guide's order, as one plane of one block; its range on
 * the way. With NaN in it a plane has no greatest: no comparison with it may hold.
 */
/* NOLINTBEGIN(bugprone-macro-parentheses): of a type */
#define DEFINE_PERMUTE(name, raster_type, type, nan)                                      \
    static void name(struct run *run, uint32_t block, uint32_t plane)                     \
    {                                                                                     \
        const raster_type *from =                                                         \
            (const raster_type *)run->raster.values + plane * run->raster.room;           \
        const uint16_t *pixel = run->order.pixels + (size_t)block * run->sweep.room;      \
        size_t at = (size_t)block * run->flat->plane_count + plane;                       \
        type *to = (type *)run->values + at * run->sweep.room;                            \
        type low = (type)from[pixel[0]], high = low;                                      \
                                                                                          \
        for (uint32_t i = 0, n = round_to_packets(block_count(run, block)); i < n; i++) { \
            type value = (type)from[pixel[i]];                                            \
                                                                                          \
            to[i] = value;                                                                \
            low = value < low ? value : low;                                              \
            high = value > high || (nan) ? value : high;                                  \
        }                                                                                 \
        ((type *)run->low)[at] = low;                                                     \
        ((type *)run->high)[at] = high;                                                   \
    }
/* NOLINTEND(bugprone-macro-parentheses) */
DEFINE_PERMUTE(permute_u8, uint16_t, uint8_t, false)
DEFINE_PERMUTE(permute_u16, uint16_t, uint16_t, false)
DEFINE_PERMUTE(permute_f32, float, float, isnan(value))
#undef DEFINE_PERMUTE

/* Asks for a plane of the raster as it lies: all of them do not fit the second-level cache, and
 * what is out of order comes late. */
static void fetch_plane(const struct run *run, uint32_t plane)
{
    size_t bytes = run->raster.room * raster_bytes(run->flat->type);
    const char *from = (const char *)run->raster.values + plane * bytes;

    for (size_t at = 0; at < bytes; at += CACHE_LINE)
        __builtin_prefetch(from + at);
}

/* A plane of the raster as it lies. Nobody asks for its range: oblivious trees do not. */
static void copy_u8(struct run *run, uint32_t block, uint32_t plane)
{
    size_t room = run->sweep.room, first = block * room;
    const uint16_t *from = (const uint16_t *)run->raster.values + plane * run->raster.room + first;
    uint8_t *to = (uint8_t *)run->values + ((size_t)block * run->flat->plane_count + plane) * room;

    for (uint32_t i = 0, n = round_to_packets(block_count(run, block)); i < n; i++)
        to[i] = (uint8_t)from[i];
}

static void fill_planes(struct run *run)
{
    static void (*const permute[])(struct run *, uint32_t, uint32_t) = {permute_u8, permute_u16,
                                                                        permute_f32};
    bool copied = run->flat->oblivious && !run->plan->sorted && run->flat->type == FLAT_U8;
    void (*fill)(struct run *, uint32_t, uint32_t) = copied ? copy_u8 : permute[run->flat->type];

    for (uint32_t plane = 0; plane < run->flat->plane_count; plane++) {
        fetch_plane(run, plane);
        for (uint32_t block = 0; block * run->sweep.room < run->unit_count; block++)
            fill(run, block, plane);
    }
}

/* ---- the trees of a block ---- */

/* Sums as they are before the first tree. */
static void clear_scores(struct run *run)
{
    uint32_t stride = run->sweep.leaves->stride, width = model_of(run)->leaf_width;
    double start[FOREST_MAX_CLASSES];

    walk_start(model_of(run), start);
    if (run->flat->oblivious) {
        memset(run->sweep.sums, 0, scores_room(run->flat) * run->sweep.room * sizeof(double));
        return;
    }
    for (size_t i = 0, n = score_planes(run) * score_room(run); i < n; i++) {
        size_t s = stride == 1 ? i / run->sweep.room : i % stride;
        double from = stride > 1 && s >= width ? 0 : start[s];

        if (run->sweep.leaves->number == NUMBER_DOUBLE)
            ((double *)run->sweep.sums)[i] = from;
        else
            ((float *)run->sweep.sums)[i] = (float)from;
    }
}

static void clear_sums(struct run *run)
{
    struct sweep *sweep = &run->sweep;
    size_t classes = model_of(run)->info.class_count, packets = sweep->packets;

    if (run->flat->by_leaf) {
        clear_scores(run);
        return;
    }
    memset(sweep->counts, 0, classes * sweep->room);
    if (run->totals)
        memset(run->totals, 0, classes * sweep->room * sizeof(*run->totals));
    if (!run->flat->has_rows)
        return;
    size_t stride = run->flat->row_stride;
    memset(sweep->rows, 0, stride * packets * PACKET_PX * sizeof(*sweep->rows));
    memset(sweep->packet_rows, 0, stride * packets * sizeof(*sweep->packet_rows));
    memset(sweep->rowed, 0, packets * sizeof(*sweep->rowed));
    memset(sweep->inexact, 0, packets * sizeof(*sweep->inexact));
}

static void empty_counts(struct run *run)
{
    size_t count = (size_t)model_of(run)->info.class_count * run->sweep.room;

    for (size_t i = 0; i < count; i++)
        run->totals[i] += run->sweep.counts[i];
    memset(run->sweep.counts, 0, count);
}

static void sweep_votes(struct run *run, uint32_t tree)
{
    struct sweep *sweep = &run->sweep;

    run->plan->kernel->tree[run->flat->type](sweep, &run->flat->trees[tree]);
    for (uint32_t c = 0; c < model_of(run)->info.class_count; c++)
        if (c != run->flat->base_class)
            run->plan->kernel->count_votes(sweep->counts + (size_t)c * sweep->room,
                                           sweep->votes + (size_t)c * sweep->packets,
                                           sweep->packets);
    if (run->totals && (tree + 1) % VOTES_MAX_TREES == 0)
        empty_counts(run);
}

/* Trees of one score, as many as leaves are kept of: the leaves, then what they add. */
static void sweep_leaves(struct run *run, const struct flat_tree *trees, uint32_t count)
{
    struct sweep *sweep = &run->sweep;

    for (uint32_t t = 0; t < count; t++) {
        sweep->tree_ids = (uint8_t *)sweep->ids + (size_t)t * PACKET_PX * sweep->leaves->id_bytes;
        run->plan->kernel->tree[run->flat->type](sweep, &trees[t]);
    }
    run->plan->kernel->add_leaves(sweep, trees, count);
}

static void sweep_block(struct run *run)
{
    const struct flat_tree *trees = run->flat->trees;
    uint32_t count = model_of(run)->info.tree_count;

    clear_sums(run);
    if (run->flat->oblivious) {
        run->plan->kernel->oblivious[run->flat->type](&run->sweep);
        return;
    }
    for (uint32_t t = 0, n = 1; t < count; t += n, n = 1) {
        if (!run->flat->by_leaf) {
            sweep_votes(run, t);
            continue;
        }
        while (n < LEAF_TREES && t + n < count && trees[t + n].score == trees[t].score)
            n++;
        sweep_leaves(run, trees + t, n);
    }
    if (run->totals)
        empty_counts(run);
}

/* ---- what comes out ---- */

static uint32_t votes_for(const struct run *run, uint32_t class, uint32_t i)
{
    size_t at = (size_t) class * run->sweep.room + i;

    return run->totals ? run->totals[at] : run->sweep.counts[at];
}

/* What no table knows of whole votes. */
static void write_more_votes(const struct run *run, const uint32_t *votes, size_t pixel)
{
    const struct forest_output *output = run->task->output;
    uint32_t classes = model_of(run)->info.class_count;
    double sums[FOREST_MAX_CLASSES];

    for (uint32_t c = 0; c < classes; c++) {
        sums[c] = votes[c];
        if (output->votes)
            output->votes[c * run->task->room + pixel] = votes[c];
    }
    walk_write_sums(model_of(run), sums, pixel, run->task->room, output);
}

/* Whole votes only: the base class has what the others leave, and tables do the rest. */
static void write_votes(const struct run *run, uint32_t i, size_t pixel)
{
    const struct forest_output *output = run->task->output;
    const struct model *model = model_of(run);
    uint32_t votes[FOREST_MAX_CLASSES], base = model->info.tree_count, best = 0;

    for (uint32_t c = 0; c < model->info.class_count; c++) {
        votes[c] = c == run->flat->base_class ? 0 : votes_for(run, c, i);
        base -= votes[c];
    }
    votes[run->flat->base_class] = base;
    if (output->margin || output->entropy || output->scores || output->votes) {
        write_more_votes(run, votes, pixel);
        return;
    }
    for (uint32_t c = 1; c < model->info.class_count; c++)
        best = votes[c] > votes[best] ? c : best;
    if (output->label)
        output->label[pixel] = model->info.classes[best].value;
    if (output->confidence)
        output->confidence[pixel] = run->flat->percent[votes[best]];
    for (uint32_t c = 0; output->probability && c < model->info.class_count; c++)
        output->probability[c * run->task->room + pixel] = run->flat->probability[votes[c]];
    for (uint32_t c = 0; output->percent && c < model->info.class_count; c++)
        output->percent[c * run->task->room + pixel] = run->flat->percent[votes[c]];
}

/* Sums of a pixel that landed on rows, in another order than the library's. */
static void sum_rows(const struct run *run, uint32_t i, double *ret_sums)
{
    const struct sweep *sweep = &run->sweep;
    uint32_t width = model_of(run)->info.class_count;
    uint32_t base = run->flat->base_class, left = model_of(run)->info.tree_count;
    bool rows = run->flat->has_rows;
    const double *own = rows ? sweep->rows + (size_t)i * run->flat->row_stride : NULL;
    const double *shared =
        rows ? sweep->packet_rows + (size_t)(i / PACKET_PX) * run->flat->row_stride : NULL;

    for (uint32_t c = 0; c < width; c++) {
        uint32_t votes = c == base ? 0 : votes_for(run, c, i);

        left -= votes;
        ret_sums[c] = votes + (rows ? own[c] + shared[c] : 0);
    }
    ret_sums[base] += left;
}

/* What run_task.exact is given of the sums of a pixel. */
static void keep_exact(const struct model *model, const double *sums, size_t pixel,
                       const struct run_task *task)
{
    double p[FOREST_MAX_CLASSES];

    walk_probabilities(model, sums, p);
    for (uint32_t c = 0; c < model->info.class_count; c++)
        task->exact[c * task->room + pixel] = p[c];
}

/* The greatest may be less and the next more, or the other way round. */
static bool margin_doubtful(const struct run *run, const double *sums, double slack)
{
    double first, second, divisor = model_of(run)->divisor;

    walk_two_greatest(sums, model_of(run)->info.class_count, &first, &second);
    return (float)((first - slack) / divisor - (second + slack) / divisor) !=
           (float)((first + slack) / divisor - (second - slack) / divisor);
}

/*
 * p may be `slack` off in each class. f(p) = -p ln p is concave and f(0) = 0, so it is f(slack) off
 * at most; the library's logarithm and the additions are a few last places off, each of at most 1.
 * The sum of that over the classes is divided as the entropy is.
 */
static bool entropy_doubtful(const struct run *run, const double *sums, double slack)
{
    double p[FOREST_MAX_CLASSES], divisor = model_of(run)->divisor;
    uint32_t count = model_of(run)->info.class_count;

    if (count == 1)
        return false;
    for (uint32_t c = 0; c < count; c++)
        p[c] = sums[c] / divisor;
    double entropy = walk_entropy(p, count), off = slack / divisor;
    off = count * (off * -log(off) + 0x1p-50) / log(count);
    return (float)(entropy - off) != (float)(entropy + off);
}

static bool percent_doubtful(double sum, double slack, double divisor)
{
    return forest_percent((sum - slack) / divisor) != forest_percent((sum + slack) / divisor);
}

/*
 * Whether sums that may be `slack` off in either direction could have come out otherwise.
 * Division and both roundings keep order, so the two ends of each interval decide.
 */
static bool doubtful(const struct run *run, const double *sums, double slack)
{
    const struct forest_output *output = run->task->output;
    double divisor = model_of(run)->divisor;
    uint32_t count = model_of(run)->info.class_count, best = walk_winner(sums, count);

    for (uint32_t c = 0; c < count; c++) {
        if (c != best && sums[best] - sums[c] <= 2 * slack)
            return true;
        if (output->probability &&
            (float)((sums[c] - slack) / divisor) != (float)((sums[c] + slack) / divisor))
            return true;
        if (output->percent && percent_doubtful(sums[c], slack, divisor))
            return true;
    }
    if (output->confidence && percent_doubtful(sums[best], slack, divisor))
        return true;
    return output->scores || (output->margin && margin_doubtful(run, sums, slack)) ||
           (output->entropy && entropy_doubtful(run, sums, slack));
}

/* Each of the T additions of either order rounds a sum of at most T: T * T * 2^-53 twice. */
static double rounding_slack(const struct run *run)
{
    double trees = model_of(run)->info.tree_count;

    return trees * trees * 0x1p-51;
}

/* As the oracle has it. */
static void walk_and_write(const struct run *run, size_t pixel)
{
    const struct walk_place walk = {pixel_planes(run, pixel), run->row ? 0 : pixel, pixel,
                                    run->task->room};

    walk_write_pixel(model_of(run), &walk, run->task->output);
}

static void write_rows(const struct run *run, uint32_t i, size_t pixel)
{
    uint64_t inexact = run->sweep.inexact[i / PACKET_PX] >> (i % PACKET_PX) & 1;
    double sums[FOREST_MAX_CLASSES];

    sum_rows(run, i, sums);
    if (run->task->output->votes || (inexact && doubtful(run, sums, rounding_slack(run))))
        walk_and_write(run, pixel);
    else
        walk_write_sums(model_of(run), sums, pixel, run->task->room, run->task->output);
}

static double sum_of(const struct flat_leaves *leaves, const void *sums, size_t at)
{
    switch (leaves->number) {
    case NUMBER_DOUBLE:
        return ((const double *)sums)[at];
    case NUMBER_FLOAT:
        return (double)((const float *)sums)[at];
    case NUMBER_FIXED:
        return ((const int32_t *)sums)[at] * leaves->unit;
    }
    return 0;
}

static void sum_scores(const struct run *run, uint32_t i, double *ret_sums)
{
    const struct flat_leaves *leaves = run->sweep.leaves;

    if (run->flat->oblivious) {
        oblivious_sums(run->flat->oblivious, run->sweep.sums, run->sweep.room, i, ret_sums);
        return;
    }
    for (uint32_t s = 0; s < model_of(run)->score_count; s++) {
        size_t at =
            leaves->stride == 1 ? (size_t)s * run->sweep.room + i : (size_t)i * leaves->stride + s;

        ret_sums[s] = sum_of(leaves, run->sweep.sums, at);
    }
}

/*
 * The greatest of sums that may be `slack` off, where no rounding of what is made of them gives
 * another label: the next one's quotient or power is less in any arithmetic that is right to 2^-20.
 * Without it -1, and the transform decides. An infinite sum is never so far ahead of itself.
 */
static int sure_winner(const struct model *model, const double *sums, double slack)
{
    bool plain = model->divisor == 1 && model->scale == 0 && !model->base && model->sigmoid == 1;
    double first = sums[0], second = -(double)INFINITY;
    int best = 0;

    if (model->output != OUTPUT_MEAN &&
        (model->output != OUTPUT_SOFTMAX || !plain || model->arithmetic != ARITHMETIC_DOUBLE))
        return -1;
    for (uint32_t c = 1; c < model->info.class_count; c++) {
        double less = sums[c] > first ? first : sums[c];

        best = sums[c] > first ? (int)c : best;
        first = sums[c] > first ? sums[c] : first;
        second = less > second ? less : second;
    }
    return first - second > 0x1p-20 * (1 + fabs(first)) + 2 * slack ? best : -1;
}

static void write_scores(const struct run *run, uint32_t i, size_t pixel)
{
    double sums[FOREST_MAX_CLASSES], slack = run->sweep.leaves->slack;
    int sure;

    if (run->task->output->votes) {
        walk_and_write(run, pixel);
        return;
    }
    sum_scores(run, i, sums);
    if (run->label_only && (sure = sure_winner(model_of(run), sums, slack)) >= 0)
        run->task->output->label[pixel] = model_of(run)->info.classes[sure].value;
    else if (run->sweep.leaves->number == NUMBER_FIXED && doubtful(run, sums, slack))
        walk_and_write(run, pixel);
    else
        walk_write_sums(model_of(run), sums, pixel, run->task->room, run->task->output);
}

/* Of a forest, sums that are the same in any order: the run's maker sees to it. */
static void write_exact(const struct run *run, uint32_t i, size_t pixel)
{
    double sums[FOREST_MAX_CLASSES];

    if (run->flat->by_leaf)
        sum_scores(run, i, sums);
    else
        sum_rows(run, i, sums);
    keep_exact(model_of(run), sums, pixel, run->task);
}

static void write_block(const struct run *run, uint32_t block)
{
    const uint16_t *pixels = run->order.pixels + (size_t)block * run->sweep.room;

    for (uint32_t i = 0, count = block_count(run, block); i < count; i++) {
        size_t pixel = run->unit_at + pixels[i];
        bool rowed = run->flat->has_rows && run->sweep.rowed[i / PACKET_PX] >> (i % PACKET_PX) & 1;

        if (run->task->exact)
            write_exact(run, i, pixel);
        else if (run->flat->by_leaf)
            write_scores(run, i, pixel);
        else if (rowed)
            write_rows(run, i, pixel);
        else
            write_votes(run, i, pixel);
    }
}

/* ---- units and blocks ---- */

static int64_t stage_begin(const struct run *run)
{
    return run->task->times ? clock_thread_ns() : 0;
}

/* Puts the time since `*begun` down to a stage; the next one begins. */
static void stage_end(const struct run *run, enum forest_stage stage, int64_t *begun)
{
    int64_t now = stage_begin(run);

    if (run->task->times)
        run->task->times->ns[stage] += now - *begun;
    *begun = now;
}

static void run_block(struct run *run, uint32_t block)
{
    struct sweep *sweep = &run->sweep;
    size_t at = (size_t)block * run->flat->plane_count, item = value_bytes(run->flat->type);

    sweep->packets = round_to_packets(block_count(run, block)) / PACKET_PX;
    sweep->values = (uint8_t *)run->values + at * sweep->room * item;
    sweep->low = (uint8_t *)run->low + at * item;
    sweep->high = (uint8_t *)run->high + at * item;
    int64_t begun = stage_begin(run);
    sweep_block(run);
    stage_end(run, FOREST_SWEEP, &begun);
    write_block(run, block);
    stage_end(run, FOREST_WRITE, &begun);
}

static enum tl_code run_unit(struct run *run, size_t at, uint32_t count, struct tl_err *err)
{
    int64_t begun = stage_begin(run);

    run->unit_at = at;
    run->unit_count = count;
    fill_raster(run);
    stage_end(run, FOREST_RANK, &begun);
    order_unit(&run->order, run->plan->kernel, run->flat, &run->raster, count);
    fill_planes(run);
    stage_end(run, FOREST_ORDER, &begun);
    for (uint32_t block = 0; block * run->sweep.room < count; block++) {
        if (run->task->errand)
            TL_TRY(errand_check(run->task->errand, err));
        run_block(run, block);
    }
    return TL_OK;
}

static enum tl_code walk_all(const struct run *run, struct tl_err *err)
{
    const struct run_task *task = run->task;
    double sums[FOREST_MAX_CLASSES];

    for (size_t i = 0; i < task->count; i++) {
        if (task->errand && i % MIN_BLOCK_PX == 0)
            TL_TRY(errand_check(task->errand, err));
        if (!task->exact) {
            walk_and_write(run, i);
            continue;
        }
        walk_sums(model_of(run), pixel_planes(run, i), run->row ? 0 : i, sums);
        keep_exact(model_of(run), sums, i, task);
    }
    return TL_OK;
}

enum tl_code run_flat(const struct flat *flat, const struct run_plan *plan,
                      const struct run_task *task, struct tl_err *err)
{
    struct run run = {
        .flat = flat, .plan = plan, .task = task, .label_only = only_label(task, false)};

    if (task->count == 0)
        return TL_OK;
    /* A leaf of a linear tree asks for the features themselves: the sweep has ranks alone. */
    bool walked = task->count < plan->walk_below || flat->model->lines;
    if (!alloc_row(&run) || (!walked && !alloc_run(&run)))
        return tl_fail(err, TL_NOMEM, "no memory to classify %zu pixels", task->count);
    if (walked)
        return walk_all(&run, err);
    for (size_t at = 0; at < task->count; at += plan->unit_px)
        TL_TRY(run_unit(&run, at, (uint32_t)TL_MIN(task->count - at, (size_t)plan->unit_px), err));
    return TL_OK;
}
