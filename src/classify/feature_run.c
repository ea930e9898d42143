/*
 * The machine: strips of FEATURE_STRIP pixels through the whole program, so that every
 * intermediate value stays in cache. Kernels have a fixed trip count and no aliasing, which
 * is what compilers need to make vectors of them at -O2; the last, shorter strip is copied
 * into padded room.
 *
 * What each operator means is numpy's float32 ufunc of the same name. ln and exp are the one
 * exception: numpy's own differ between processors, ours are the double result rounded to
 * float32 (docs/features.md).
 */
#include "classify/feature.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/cpu.h"
#include "classify/feature_math.h"
#include "classify/feature_program.h"

#include <math.h>
#include <string.h>

typedef void kernel_fn(const float *const *in, float *restrict out);

#define KERNEL(name, formula)                                     \
    static void name(const float *const *in, float *restrict out) \
    {                                                             \
        const float *restrict as = in[0];                         \
        const float *restrict bs = in[1];                         \
        for (int i = 0; i < FEATURE_STRIP; i++) {                 \
            float a = as[i], b = bs[i];                           \
            out[i] = (formula);                                   \
        }                                                         \
    }

#define KERNEL_1(name, formula)                                   \
    static void name(const float *const *in, float *restrict out) \
    {                                                             \
        const float *restrict as = in[0];                         \
        for (int i = 0; i < FEATURE_STRIP; i++) {                 \
            float a = as[i];                                      \
            out[i] = (formula);                                   \
        }                                                         \
    }

KERNEL(run_add, a + b)
KERNEL(run_sub, a - b)
KERNEL(run_mul, a *b)
KERNEL(run_div, a / b)
/* NaN wins, as in numpy.minimum: the first operand's when both are. */
KERNEL(run_min, a < b || a != a ? a : b)
KERNEL(run_max, a > b || a != a ? a : b)
KERNEL(run_nd, (a - b) / (a + b))
KERNEL(run_lt, a < b ? 1.0f : 0.0f)
KERNEL(run_le, a <= b ? 1.0f : 0.0f)
KERNEL(run_gt, a > b ? 1.0f : 0.0f)
KERNEL(run_ge, a >= b ? 1.0f : 0.0f)
KERNEL(run_eq, a == b ? 1.0f : 0.0f)
KERNEL(run_ne, a != b ? 1.0f : 0.0f)
KERNEL_1(run_neg, -a)
KERNEL_1(run_abs, fabsf(a))
KERNEL_1(run_sqrt, sqrtf(a))

static void run_ln(const float *const *in, float *restrict out)
{
    feature_math(cpu_isa())->ln(in[0], out);
}

static void run_exp(const float *const *in, float *restrict out)
{
    feature_math(cpu_isa())->exp(in[0], out);
}

/* numpy.where(condition, a, b): NaN is a true condition. */
static void run_where(const float *const *in, float *restrict out)
{
    const float *restrict condition = in[0];
    const float *restrict as = in[1];
    const float *restrict bs = in[2];

    for (int i = 0; i < FEATURE_STRIP; i++) {
        float a = as[i], b = bs[i];
        out[i] = condition[i] != 0.0f ? a : b;
    }
}

static kernel_fn *const kernels[FEATURE_OP_COUNT] = {
    [FEATURE_ADD] = run_add,     [FEATURE_SUB] = run_sub, [FEATURE_MUL] = run_mul,
    [FEATURE_DIV] = run_div,     [FEATURE_MIN] = run_min, [FEATURE_MAX] = run_max,
    [FEATURE_ND] = run_nd,       [FEATURE_LT] = run_lt,   [FEATURE_LE] = run_le,
    [FEATURE_GT] = run_gt,       [FEATURE_GE] = run_ge,   [FEATURE_EQ] = run_eq,
    [FEATURE_NE] = run_ne,       [FEATURE_NEG] = run_neg, [FEATURE_ABS] = run_abs,
    [FEATURE_SQRT] = run_sqrt,   [FEATURE_LN] = run_ln,   [FEATURE_EXP] = run_exp,
    [FEATURE_WHERE] = run_where,
};

/* One run's strips. `inputs[i]` is feature->bands[i] at the current strip. */
struct machine {
    const struct feature *feature;
    float *registers, *numbers, *tails;
    const float **inputs;
};

static const float *operand_strip(const struct machine *m, struct operand operand)
{
    if (operand.kind == OPERAND_BAND)
        return m->inputs[operand.index];
    float *base = operand.kind == OPERAND_NUMBER ? m->numbers : m->registers;
    return base + (size_t)operand.index * FEATURE_STRIP;
}

static enum tl_code machine_init(struct machine *m, const struct feature *feature,
                                 struct arena *scratch, struct tl_err *err)
{
    size_t strip = FEATURE_STRIP * sizeof(float);

    m->feature = feature;
    m->registers = arena_alloc(scratch, feature->register_count, strip);
    m->numbers = arena_alloc(scratch, feature->number_count, strip);
    m->tails = arena_zalloc(scratch, feature->band_count, strip);
    m->inputs = arena_alloc(scratch, feature->band_count, sizeof(*m->inputs));
    if (!m->registers || !m->numbers || !m->tails || !m->inputs)
        return tl_fail(err, TL_NOMEM, "no memory to run feature \"%.100s\"", feature->text);
    for (size_t n = 0; n < feature->number_count; n++)
        for (size_t i = 0; i < FEATURE_STRIP; i++)
            m->numbers[n * FEATURE_STRIP + i] = feature->numbers[n];
    return TL_OK;
}

static void machine_aim(struct machine *m, const float *const *planes, size_t start, size_t count)
{
    for (size_t b = 0; b < m->feature->band_count; b++) {
        const float *plane = planes[m->feature->bands[b]] + start;
        float *tail = m->tails + b * FEATURE_STRIP;

        m->inputs[b] = plane;
        if (count < FEATURE_STRIP) {
            memcpy(tail, plane, count * sizeof(*tail));
            m->inputs[b] = tail;
        }
    }
}

static void machine_strip(const struct machine *m)
{
    for (size_t i = 0; i < m->feature->code_count; i++) {
        const struct instruction *instruction = &m->feature->code[i];
        const float *in[3];

        for (int k = 0; k < 3; k++)
            in[k] = instruction->op == FEATURE_WHERE || k < 2 ? operand_strip(m, instruction->in[k])
                                                              : NULL;
        kernels[instruction->op](in, m->registers + (size_t)instruction->out * FEATURE_STRIP);
    }
}

enum tl_code feature_run(const struct feature *feature, const float *const *planes, size_t count,
                         struct arena *scratch, float *ret_plane, struct tl_err *err)
{
    struct machine machine;

    TL_TRY(machine_init(&machine, feature, scratch, err));
    for (size_t start = 0; start < count; start += FEATURE_STRIP) {
        size_t size = TL_MIN(count - start, (size_t)FEATURE_STRIP);

        machine_aim(&machine, planes, start, size);
        machine_strip(&machine);
        memcpy(ret_plane + start, operand_strip(&machine, feature->result),
               size * sizeof(*ret_plane));
    }
    return TL_OK;
}
