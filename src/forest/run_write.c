#include "forest/run_private.h"

#include "forest/flat_walk.h"
#include "forest/oblivious.h"
#include "forest/output.h"

#include <math.h>

static uint32_t votes_for(const struct run *run, uint32_t class, uint32_t i)
{
    size_t at = (size_t) class * run->sweep.room + i;

    return run->totals ? run->totals[at] : run->sweep.counts[at];
}

/* What no table knows of whole votes. */
static void write_more_votes(const struct run *run, const uint32_t *votes, size_t pixel)
{
    const struct forest_output *output = run->task->output;
    uint32_t classes = run_model(run)->info.class_count;
    double sums[MODEL_MAX_CLASSES];

    for (uint32_t c = 0; c < classes; c++) {
        sums[c] = votes[c];
        if (output->votes)
            output->votes[c * run->task->room + pixel] = votes[c];
    }
    walk_write_sums(run_model(run), sums, pixel, run->task->room, output);
}

/* Whole votes only: the base class has what the others leave, and tables do the rest. */
static void write_votes(const struct run *run, uint32_t i, size_t pixel)
{
    const struct forest_output *output = run->task->output;
    const struct model *model = run_model(run);
    uint32_t votes[MODEL_MAX_CLASSES], base = model->info.tree_count, best = 0;

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
    uint32_t width = run_model(run)->info.class_count;
    uint32_t base = run->flat->base_class, left = run_model(run)->info.tree_count;
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

/* Gives run_task.exact the probabilities that the sums of a pixel mean. */
static void write_exact(const struct run *run, const double *sums, size_t pixel)
{
    const struct run_task *task = run->task;
    double p[MODEL_MAX_CLASSES];

    walk_probabilities(run_model(run), sums, p);
    for (uint32_t c = 0; c < run_model(run)->info.class_count; c++)
        task->exact[c * task->room + pixel] = p[c];
}

/* The greatest may be less and the next more, or the other way round. */
static bool margin_doubtful(const struct run *run, const double *sums, double slack)
{
    double first, second, divisor = run_model(run)->divisor;

    walk_two_greatest(sums, run_model(run)->info.class_count, &first, &second);
    return (float)((first - slack) / divisor - (second + slack) / divisor) !=
           (float)((first + slack) / divisor - (second - slack) / divisor);
}

/* NOLINTBEGIN(clang-analyzer-core.*): sums has a number of each class, which is at least one */
/*
 * p may be `slack` off in each class. f(p) = -p ln p is concave and f(0) = 0, so it is f(slack) off
 * at most; the library's logarithm and the additions are a few last places off, each of at most 1.
 * The sum of that over the classes is divided as the entropy is.
 */
static bool entropy_doubtful(const struct run *run, const double *sums, double slack)
{
    double p[MODEL_MAX_CLASSES], divisor = run_model(run)->divisor;
    uint32_t count = run_model(run)->info.class_count;

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
    double divisor = run_model(run)->divisor;
    uint32_t count = run_model(run)->info.class_count, best = walk_winner(sums, count);

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
/* NOLINTEND(clang-analyzer-core.*) */

/* Each of the T additions of either order rounds a sum of at most T: T * T * 2^-53 twice. */
static double rounding_slack(const struct run *run)
{
    double trees = run_model(run)->info.tree_count;

    return trees * trees * 0x1p-51;
}

/* As the oracle has it, from the flat form. */
void run_write_walked(const struct run *run, size_t pixel)
{
    const struct walk_place walk = run_pixel(run, pixel);
    double sums[MODEL_MAX_CLASSES];

    if (!run->task->exact) {
        flat_walk_write(run->flat, &walk, run->cuts, run->task->output);
        return;
    }
    flat_walk_sums(run->flat, &walk, run->cuts, sums);
    write_exact(run, sums, pixel);
}

static void write_rows(const struct run *run, uint32_t i, size_t pixel)
{
    uint64_t inexact = run->sweep.inexact[i / PACKET_PX] >> (i % PACKET_PX) & 1;
    double sums[MODEL_MAX_CLASSES];

    sum_rows(run, i, sums);
    if (run->task->output->votes || (inexact && doubtful(run, sums, rounding_slack(run))))
        run_write_walked(run, pixel);
    else
        walk_write_sums(run_model(run), sums, pixel, run->task->room, run->task->output);
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

void run_sums(const struct run *run, uint32_t i, double *ret_sums)
{
    const struct flat_leaves *leaves = run->sweep.leaves;

    if (run->flat->oblivious) {
        oblivious_sums(run->flat->oblivious, run->sweep.sums, run->sweep.room, i, ret_sums);
        return;
    }
    for (uint32_t s = 0; s < run_model(run)->score_count; s++) {
        size_t at =
            leaves->stride == 1 ? (size_t)s * run->sweep.room + i : (size_t)i * leaves->stride + s;

        ret_sums[s] = sum_of(leaves, run->sweep.sums, at);
    }
}

void run_write_scores(const struct run *run, uint32_t i, size_t pixel)
{
    double sums[MODEL_MAX_CLASSES];

    if (run->task->output->votes) {
        run_write_walked(run, pixel);
        return;
    }
    run_sums(run, i, sums);
    if (run->sweep.leaves->number == NUMBER_FIXED && doubtful(run, sums, run->sweep.leaves->slack))
        run_write_walked(run, pixel);
    else
        walk_write_sums(run_model(run), sums, pixel, run->task->room, run->task->output);
}

/* Of a forest, sums that are the same in any order: the run's maker sees to it. */
static void keep_exact(const struct run *run, uint32_t i, size_t pixel)
{
    double sums[MODEL_MAX_CLASSES];

    if (run->flat->by_leaf)
        run_sums(run, i, sums);
    else
        sum_rows(run, i, sums);
    write_exact(run, sums, pixel);
}

static void write_pixel(const struct run *run, uint32_t i, size_t pixel)
{
    bool rowed = run->flat->has_rows && run->sweep.rowed[i / PACKET_PX] >> (i % PACKET_PX) & 1;

    if (run->task->exact)
        keep_exact(run, i, pixel);
    else if (run->flat->by_leaf)
        run_write_scores(run, i, pixel);
    else if (rowed)
        write_rows(run, i, pixel);
    else
        write_votes(run, i, pixel);
}

void run_write_block(const struct run *run, uint32_t block)
{
    const uint16_t *from = run->order.pixels + (size_t)block * run->sweep.room;
    uint32_t count = block_count(run, block);

    for (uint32_t at = 0; at < count; at += PACKET_PX) {
        uint32_t here = TL_MIN(count - at, (uint32_t)PACKET_PX);
        size_t pixels[PACKET_PX];

        for (uint32_t i = 0; i < here; i++)
            pixels[i] = run->unit_at + from[at + i];
        if (run->strip)
            run_write_packet(run, at / PACKET_PX, pixels, here);
        for (uint32_t i = 0; !run->strip && i < here; i++)
            write_pixel(run, at + i, pixels[i]);
    }
}
