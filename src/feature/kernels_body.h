/*
 * The loops of kernels.h, for compilers to make vectors of: a fixed trip count and no
 * aliasing. Included once by each kernels_<isa>.c, between TARGET_BEGIN and TARGET_END.
 *
 * What each operation means is numpy's float32 ufunc of the same name (docs/features.md).
 */
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
/* NaN loses, as in numpy.fmin. */
KERNEL(run_fmin, a < b || b != b ? a : b)
KERNEL(run_fmax, a > b || b != b ? a : b)
/* One instruction each. */
KERNEL(run_lesser, a < b ? a : b)
KERNEL(run_greater, a > b ? a : b)
KERNEL(run_nan_or, a != a ? a : b)
KERNEL(run_nd, (a - b) / (a + b))
KERNEL(run_lt, a < b ? 1.0f : 0.0f)
KERNEL(run_le, a <= b ? 1.0f : 0.0f)
KERNEL(run_gt, a > b ? 1.0f : 0.0f)
KERNEL(run_ge, a >= b ? 1.0f : 0.0f)
KERNEL(run_eq, a == b ? 1.0f : 0.0f)
KERNEL(run_ne, a != b ? 1.0f : 0.0f)
/* No comparison with NaN holds. */
KERNEL(run_fill, fabsf(a) <= FLT_MAX ? a : b)
KERNEL_1(run_neg, -a)
KERNEL_1(run_abs, fabsf(a))
KERNEL_1(run_sqrt, sqrtf(a))

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

static void run_ln(const float *const *in, float *restrict out)
{
    feature_math(cpu_isa())->ln(in[0], out);
}

static void run_exp(const float *const *in, float *restrict out)
{
    feature_math(cpu_isa())->exp(in[0], out);
}

#undef KERNEL
#undef KERNEL_1

#define FEATURE_KERNELS                      \
    {                                        \
        .of = {                              \
            [FEATURE_ADD] = run_add,         \
            [FEATURE_SUB] = run_sub,         \
            [FEATURE_MUL] = run_mul,         \
            [FEATURE_DIV] = run_div,         \
            [FEATURE_MIN] = run_min,         \
            [FEATURE_MAX] = run_max,         \
            [FEATURE_FMIN] = run_fmin,       \
            [FEATURE_FMAX] = run_fmax,       \
            [FEATURE_LESSER] = run_lesser,   \
            [FEATURE_GREATER] = run_greater, \
            [FEATURE_NAN_OR] = run_nan_or,   \
            [FEATURE_ND] = run_nd,           \
            [FEATURE_LT] = run_lt,           \
            [FEATURE_LE] = run_le,           \
            [FEATURE_GT] = run_gt,           \
            [FEATURE_GE] = run_ge,           \
            [FEATURE_EQ] = run_eq,           \
            [FEATURE_NE] = run_ne,           \
            [FEATURE_FILL] = run_fill,       \
            [FEATURE_NEG] = run_neg,         \
            [FEATURE_ABS] = run_abs,         \
            [FEATURE_SQRT] = run_sqrt,       \
            [FEATURE_LN] = run_ln,           \
            [FEATURE_EXP] = run_exp,         \
            [FEATURE_WHERE] = run_where,     \
        }                                    \
    }
