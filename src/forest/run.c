#include "forest/run_private.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/errand.h"
#include "forest/oblivious.h"
#include "forest/shallow.h"
#include "forest/times.h"
#include "forest/walk.h"

#include <string.h>

enum {
    /* What a block's planes, counts and sums may take: about the second-level cache. */
    BLOCK_BYTES = 1 << 21,
    MIN_BLOCK_PX = 1024,
    LARGE_TREE_NODES = 2048,
    UNIT_BYTES = 1 << 27 /* what a unit's planes may take */
};

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

    bool shallow = kernel->shallow[flat->type] && shallow_pays(flat, kernel->isa);

    while (block > MIN_BLOCK_PX && block * bytes_per_pixel(flat) > bytes)
        block /= 2;
    while (unit > block && unit * bytes_per_pixel(flat) > UNIT_BYTES)
        unit /= 2;
    return (struct run_plan){.kernel = kernel,
                             .unit_px = unit,
                             .block_px = block,
                             /* which cost the same in any order */
                             .sorted = !flat->oblivious && !shallow,
                             .walk_below = WALK_BELOW_PX,
                             .shallow = shallow};
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
    size_t classes = run_model(run)->info.class_count, packets = sweep->room / PACKET_PX;

    sweep->votes = arena_zalloc(arena, classes * packets, sizeof(*sweep->votes));
    sweep->counts = arena_alloc(arena, classes * sweep->room, sizeof(*sweep->counts));
    if (!sweep->votes || !sweep->counts)
        return false;
    if (run_model(run)->info.tree_count > VOTES_MAX_TREES) {
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
    return run_model(run)->leaf_width > 1 ? 1 : run_model(run)->score_count;
}

static bool alloc_leaves(struct run *run, struct arena *arena)
{
    struct sweep *sweep = &run->sweep;
    bool coarse = run->flat->fixed.values && run_only_label(run->task);

    sweep->leaves = coarse ? &run->flat->fixed : &run->flat->leaves;
    if (run->plan->shallow) {
        const struct shallow *shallow = run->flat->shallow;

        sweep->leaves = coarse ? &shallow->fixed : &shallow->leaves;
        sweep->answers = arena_alloc(arena, TL_MAX(shallow->most_tests, 1U),
                                     SHALLOW_SLICE * sizeof(*sweep->answers));
        if (!sweep->answers)
            return false;
    }
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
    return run->flat->by_leaf ? alloc_leaves(run, arena) && run_alloc_strip(run)
                              : alloc_votes(run, arena);
}

/* ---- the pixels that are walked ---- */

static bool alloc_row(struct run *run)
{
    size_t features = run->flat->model->info.feature_count;

    run->cuts = arena_alloc(run->task->scratch, run->flat->plane_count + 1UL, sizeof(*run->cuts));
    if (!run->task->codes || !run->cuts)
        return run->cuts;
    run->row = arena_alloc(run->task->scratch, features, sizeof(*run->row));
    run->row_planes = arena_alloc(run->task->scratch, features, sizeof(*run->row_planes));
    for (size_t f = 0; run->row && run->row_planes && f < features; f++)
        run->row_planes[f] = &run->row[f];
    return run->row && run->row_planes;
}

/* ---- the trees of a block ---- */

/* Sums as they are before the first tree. */
static void clear_scores(struct run *run)
{
    uint32_t stride = run->sweep.leaves->stride, width = run_model(run)->leaf_width;
    double start[MODEL_MAX_CLASSES];

    walk_start(run_model(run), start);
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
    size_t classes = run_model(run)->info.class_count, packets = sweep->packets;

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
    size_t count = (size_t)run_model(run)->info.class_count * run->sweep.room;

    for (size_t i = 0; i < count; i++)
        run->totals[i] += run->sweep.counts[i];
    memset(run->sweep.counts, 0, count);
}

static void sweep_votes(struct run *run, uint32_t tree)
{
    struct sweep *sweep = &run->sweep;

    run->plan->kernel->tree[run->flat->type](sweep, &run->flat->trees[tree]);
    for (uint32_t c = 0; c < run_model(run)->info.class_count; c++)
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
    uint32_t count = run_model(run)->info.tree_count;

    clear_sums(run);
    if (run->flat->oblivious) {
        run->plan->kernel->oblivious[run->flat->type](&run->sweep);
        return;
    }
    if (run->plan->shallow) {
        run->plan->kernel->shallow[run->flat->type](&run->sweep);
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
    run_write_block(run, block);
    stage_end(run, FOREST_WRITE, &begun);
}

static enum tl_code run_unit(struct run *run, size_t at, uint32_t count, struct tl_err *err)
{
    int64_t begun = stage_begin(run);

    run->unit_at = at;
    run->unit_count = count;
    run_fill_raster(run);
    stage_end(run, FOREST_RANK, &begun);
    order_unit(&run->order, run->plan->kernel, run->flat, &run->raster, count);
    run_fill_planes(run);
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

    for (size_t i = 0; i < task->count; i++) {
        if (task->errand && i % MIN_BLOCK_PX == 0)
            TL_TRY(errand_check(task->errand, err));
        run_write_walked(run, i);
    }
    return TL_OK;
}

enum tl_code run_flat(const struct flat *flat, const struct run_plan *plan,
                      const struct run_task *task, struct tl_err *err)
{
    struct run run = {.flat = flat, .plan = plan, .task = task};

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
