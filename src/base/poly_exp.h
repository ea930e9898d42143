/*
 * poly_exp: e^x to 2^-51 of its value, of nothing but IEEE operations in a fixed order, so that a
 * compiler makes vectors of it and every machine gives the same bits. Inside loops over pixels:
 * the features' (feature/vector_math.h) and the nets' (forest/dense_math.h).
 *
 * Source  ln 2 in two parts after Cody and Waite, the series of e^r to r^13
 */
#ifndef TILTH_BASE_POLY_EXP_H
#define TILTH_BASE_POLY_EXP_H

#include <stdint.h>
#include <string.h>

/* e^x for -708 <= x <= 88; NaN for NaN. */
static inline double poly_exp(double x)
{
    const double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    const double log2_e = 1.44269504088896338700e+00, round = 0x1.8p52;

    /* e^x = 2^k e^r; k is in the lowest bits of `shifted` */
    double shifted = x * log2_e + round, k = shifted - round, scale;
    double r = (x - k * ln2_high) - k * ln2_low;
    uint64_t bits;

    memcpy(&bits, &shifted, sizeof(bits));
    bits = (bits + 1023) << 52;
    memcpy(&scale, &bits, sizeof(scale));
    double y = 1.0 / 479001600 + r * (1.0 / 6227020800);
    y = 1.0 / 39916800 + r * y;
    y = 1.0 / 3628800 + r * y;
    y = 1.0 / 362880 + r * y;
    y = 1.0 / 40320 + r * y;
    y = 1.0 / 5040 + r * y;
    y = 1.0 / 720 + r * y;
    y = 1.0 / 120 + r * y;
    y = 1.0 / 24 + r * y;
    y = 1.0 / 6 + r * y;
    y = 0.5 + r * y;
    return (1 + r * (1 + r * y)) * scale;
}

#endif
