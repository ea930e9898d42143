/*
 * A label and its percent are told from the scores of 64 pixels at once, by arithmetic that is not
 * the library's, wherever no rounding of the library's could say otherwise.
 */
#include "forest/run_private.h"

#include "base/arena.h"
#include "forest/dense.h"
#include "forest/output.h"
#include "forest/walk.h"

#include <math.h>
#include <string.h>

_Static_assert((int)DENSE_STRIP == (int)PACKET_PX, "a strip is a packet");

bool run_only_label(const struct run_task *task)
{
    struct forest_output rest = *task->output;

    rest.label = NULL;
    rest.confidence = NULL;
    return !task->exact && memcmp(&rest, &(struct forest_output){0}, sizeof(rest)) == 0;
}

/* Whether the greatest score is the label, and its percent a share of powers of e or a mean. */
static bool leads_tell(const struct model *model)
{
    bool by_half = !model->winner_by_score || model->winner_above == 0;

    switch (model->output) {
    case OUTPUT_MEAN:
        return true;
    case OUTPUT_SOFTMAX:
        return model->sigmoid == 1;
    case OUTPUT_BINARY:
        return by_half && (model->sigmoid == 1 || model->arithmetic != ARITHMETIC_DOUBLE);
    case OUTPUT_SIGMOIDS:
    case OUTPUT_SCORES:
    case OUTPUT_SHARE:
    case OUTPUT_NORMALIZED:
    case OUTPUT_SHARED:
        break;
    }
    return false;
}

bool run_alloc_strip(struct run *run)
{
    size_t numbers = (size_t)PACKET_PX * run_model(run)->info.class_count;

    if (!run_only_label(run->task) || !leads_tell(run_model(run)))
        return true;
    run->dense = dense_choose(run->plan->kernel->isa);
    run->strip = arena_zalloc(run->task->scratch, numbers, sizeof(*run->strip));
    return run->strip;
}

/* Those of one score that lie together. */
static void widen(const struct flat_leaves *leaves, const void *sums, size_t at, double *ret_sums)
{
    switch (leaves->number) {
    case NUMBER_DOUBLE:
        memcpy(ret_sums, (const double *)sums + at, PACKET_PX * sizeof(*ret_sums));
        return;
    case NUMBER_FLOAT:
        for (uint32_t i = 0; i < PACKET_PX; i++)
            ret_sums[i] = (double)((const float *)sums)[at + i];
        return;
    case NUMBER_FIXED:
        for (uint32_t i = 0; i < PACKET_PX; i++)
            ret_sums[i] = ((const int32_t *)sums)[at + i] * leaves->unit;
    }
}

/* The sums of a packet, score by score. */
static void strip_sums(const struct run *run, uint32_t packet, uint32_t count, double *ret_strip)
{
    const struct sweep *sweep = &run->sweep;
    uint32_t scores = run_model(run)->score_count;
    double sums[MODEL_MAX_CLASSES];

    if (!run->flat->oblivious && sweep->leaves->stride == 1) {
        for (uint32_t s = 0; s < scores; s++)
            widen(sweep->leaves, sweep->sums, (size_t)s * sweep->room + packet * PACKET_PX,
                  ret_strip + s * PACKET_PX);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        run_sums(run, packet * PACKET_PX + i, sums);
        for (uint32_t s = 0; s < scores; s++)
            ret_strip[s * PACKET_PX + i] = sums[s];
    }
}

/* They become what a transform is given. */
static void strip_scores(const struct model *model, double *strip)
{
    double sums[MODEL_MAX_CLASSES], scores[MODEL_MAX_CLASSES];

    if (model->output == OUTPUT_MEAN || walk_plain(model))
        return;
    for (uint32_t i = 0; i < PACKET_PX; i++) {
        for (uint32_t s = 0; s < model->score_count; s++)
            sums[s] = strip[s * PACKET_PX + i];
        walk_scores(model, sums, scores);
        for (uint32_t s = 0; s < model->score_count; s++)
            strip[s * PACKET_PX + i] = scores[s];
    }
}

/*
 * Where no rounding of what is made of the scores gives another label or percent, they are
 * written: the next score's quotient or power is less in any arithmetic that is right to 2^-20, and
 * a library's probability is within `off` of ours. Float32 has 2^-24 for each power, each addition,
 * the division, and differences of scores, of which d e^-d < 0.4 is seen. The other pixels are for
 * the library's own arithmetic, as are scores that are not finite.
 */
static uint64_t write_leads(const struct run *run, const struct dense_lead *lead,
                            const size_t *pixels, uint32_t count)
{
    const struct forest_output *output = run->task->output;
    const struct model *model = run_model(run);
    double slack = run->sweep.leaves->slack;
    bool mean = model->output == OUTPUT_MEAN;
    double off = mean ? slack / model->divisor + 0x1p-50 : (model->info.class_count + 16) * 0x1p-23;
    uint64_t left = 0;

    for (uint32_t i = 0; i < count; i++) {
        double first = lead->first[i], p = mean ? first / model->divisor : 1 / lead->total[i];
        bool sure = first - lead->second[i] > 0x1p-20 * (1 + fabs(first)) + 2 * slack;

        /* forest_percent(), for what is not beyond 0 and 1 */
        if (output->confidence)
            sure = sure && p > off && p <= 1 &&
                   (int)(100 * (p - off) + 0.5) == (int)(100 * (p + off) + 0.5);
        if (!sure) {
            left |= UINT64_C(1) << i;
            continue;
        }
        if (output->label)
            output->label[pixels[i]] = model->info.classes[(uint32_t)lead->best[i]].value;
        if (output->confidence)
            output->confidence[pixels[i]] = (uint8_t)(100 * p + 0.5);
    }
    return left;
}

void run_write_packet(const struct run *run, uint32_t packet, const size_t *pixels, uint32_t count)
{
    const struct model *model = run_model(run);
    bool pair = model->output == OUTPUT_BINARY, mean = model->output == OUTPUT_MEAN;
    double *scores = run->strip + (pair ? PACKET_PX : 0);
    struct dense_lead lead;

    strip_sums(run, packet, count, scores);
    strip_scores(model, scores);
    run->dense->lead(model->info.class_count, run->strip, !mean && run->task->output->confidence,
                     &lead);
    for (uint64_t left = write_leads(run, &lead, pixels, count); left; left &= left - 1) {
        uint32_t i = (uint32_t)__builtin_ctzll(left);

        run_write_scores(run, packet * PACKET_PX + i, pixels[i]);
    }
}
