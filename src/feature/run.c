/*
 * The machine: strips of FEATURE_STRIP pixels through the whole program, so that every
 * intermediate value stays in cache. Whole strips are read where the bands are; the last,
 * shorter one is copied into padded room.
 */
#include "feature/feature.h"

#include "base/arena.h"
#include "base/cpu.h"
#include "feature/kernels.h"
#include "feature/program.h"

#include <string.h>

/* One run's strips. `inputs[i]` is features->bands[i] at the current strip. */
struct machine {
    const struct features *features;
    const struct feature_kernels *kernels;
    float *registers, *numbers, *tails;
    const float **inputs;
    float *const *outputs;
};

static const float *operand_strip(const struct machine *m, struct operand operand)
{
    if (operand.kind == OPERAND_BAND)
        return m->inputs[operand.index];
    float *base = operand.kind == OPERAND_NUMBER ? m->numbers : m->registers;
    return base + (size_t)operand.index * FEATURE_STRIP;
}

static enum tl_code machine_init(struct machine *m, struct arena *scratch, struct tl_err *err)
{
    const struct features *features = m->features;
    size_t strip = FEATURE_STRIP * sizeof(float);

    m->kernels = feature_kernels(cpu_isa());
    m->registers = arena_alloc(scratch, features->register_count, strip);
    m->numbers = arena_alloc(scratch, features->number_count, strip);
    m->tails = arena_zalloc(scratch, features->band_count, strip);
    m->inputs = arena_alloc(scratch, features->band_count, sizeof(*m->inputs));
    if (!m->registers || !m->numbers || !m->tails || !m->inputs)
        return tl_fail(err, TL_NOMEM, "no memory to compute features");
    for (size_t n = 0; n < features->number_count; n++)
        for (size_t i = 0; i < FEATURE_STRIP; i++)
            m->numbers[n * FEATURE_STRIP + i] = features->numbers[n];
    return TL_OK;
}

static void machine_aim(struct machine *m, const float *const *planes, size_t start, size_t count)
{
    for (size_t b = 0; b < m->features->band_count; b++) {
        const float *plane = planes[m->features->bands[b]] + start;
        float *tail = m->tails + b * FEATURE_STRIP;

        m->inputs[b] = plane;
        if (count < FEATURE_STRIP) {
            memcpy(tail, plane, count * sizeof(*tail));
            m->inputs[b] = tail;
        }
    }
}

static void machine_strip(const struct machine *m, size_t start, size_t count)
{
    for (size_t i = 0; i < m->features->code_count; i++) {
        const struct instruction *at = &m->features->code[i];
        const float *in[3] = {operand_strip(m, at->in[0]), operand_strip(m, at->in[1]), NULL};

        if (at->op == FEATURE_STORE) {
            memcpy(m->outputs[at->out] + start, in[0], count * sizeof(**m->outputs));
            continue;
        }
        if (at->op == FEATURE_WHERE)
            in[2] = operand_strip(m, at->in[2]);
        m->kernels->of[at->op](in, m->registers + (size_t)at->out * FEATURE_STRIP);
    }
}

enum tl_code features_run(const struct features *features, const float *const *planes, size_t count,
                          struct arena *scratch, float *const *ret_planes, struct tl_err *err)
{
    struct machine machine = {.features = features, .outputs = ret_planes};

    TL_TRY(machine_init(&machine, scratch, err));
    for (size_t start = 0; start < count; start += FEATURE_STRIP) {
        size_t size = TL_MIN(count - start, (size_t)FEATURE_STRIP);

        machine_aim(&machine, planes, start, size);
        machine_strip(&machine, start, size);
    }
    return TL_OK;
}
