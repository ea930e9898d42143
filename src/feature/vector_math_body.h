/*
 * The loops of vector_math.h, for compilers to make vectors of. Included once by each
 * vector_math_<isa>.c, between TARGET_BEGIN and TARGET_END.
 *
 * Source  the logarithm is that of FreeBSD's msun (e_log.c): a polynomial in s = f / (2 + f)
 */
#include "base/poly_exp.h"
#include "feature/program.h"

/* Both are far outside what the polynomials and their rounding leave in error. */
#define SLACK 0x1p-48

/* NaN for what is not within, else 0; without a branch. */
static inline float strange(float x, float least, float most)
{
    uint32_t bits = -(uint32_t) !((x >= least) & (x <= most)) & 0x7fc00000U;
    float nan;

    memcpy(&nan, &bits, sizeof(nan));
    return nan;
}

/* What the C library has to decide: the ends of the interval differ, or were never computed. */
static void settle(const float *x, const float *high, float *restrict ret, double (*exact)(double))
{
    int doubts = 0;

    for (int i = 0; i < FEATURE_STRIP; i++)
        doubts |= !(ret[i] == high[i]);
    for (int i = 0; doubts && i < FEATURE_STRIP; i++)
        if (!(ret[i] == high[i]))
            ret[i] = (float)exact((double)x[i]);
}

static void ln(const float *x, float *restrict ret)
{
    const double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    float high[FEATURE_STRIP];

    for (int i = 0; i < FEATURE_STRIP; i++) {
        uint32_t bits;
        float m;

        /* x = m 2^exponent, m from sqrt(1/2) to sqrt(2) */
        memcpy(&bits, &x[i], sizeof(bits));
        int32_t exponent = (int32_t)(bits - 0x3f3504f3U) >> 23;
        bits -= (uint32_t)exponent << 23;
        memcpy(&m, &bits, sizeof(m));
        double f = (double)m - 1, s = f / (2 + f), z = s * s, half = 0.5 * f * f, k = exponent;
        double series = 1.531383769920937332e-01 + z * 1.479819860511658591e-01;
        series = 1.818357216161805012e-01 + z * series;
        series = 2.222219843214978396e-01 + z * series;
        series = 2.857142874366239149e-01 + z * series;
        series = 3.999999999940941908e-01 + z * series;
        series = z * (6.666666666666735130e-01 + z * series);
        double y = k * ln2_high - ((half - (s * (half + series) + k * ln2_low)) - f);
        double slack = fabs(y) * SLACK;
        ret[i] = (float)(y - slack);
        high[i] = (float)(y + slack) + strange(x[i], FLT_MIN, FLT_MAX);
    }
    settle(x, high, ret, log);
}

static void exponential(const float *x, float *restrict ret)
{
    float high[FEATURE_STRIP];

    for (int i = 0; i < FEATURE_STRIP; i++) {
        double y = poly_exp((double)x[i]);

        ret[i] = (float)(y * (1 - SLACK));
        high[i] = (float)(y * (1 + SLACK)) + strange(x[i], -87, 88);
    }
    settle(x, high, ret, exp);
}

#undef SLACK
