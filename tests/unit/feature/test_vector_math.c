#include "feature/vector_math.h"

#include "base/attr.h"
#include "feature/program.h"
#include "tl_test.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static float of_bits(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

/* NaNs are one. */
static bool same(float a, float b)
{
    return bits_of(a) == bits_of(b) || (isnan(a) && isnan(b));
}

static void check_strip(enum cpu_isa isa, const float *x)
{
    const struct feature_math *math = feature_math(isa), *oracle = feature_math(ISA_SCALAR);
    float got[FEATURE_STRIP], expected[FEATURE_STRIP];

    for (int exponential = 0; exponential < 2; exponential++) {
        (exponential ? math->exp : math->ln)(x, got);
        (exponential ? oracle->exp : oracle->ln)(x, expected);
        for (int i = 0; i < FEATURE_STRIP; i++)
            if (!same(got[i], expected[i]))
                fail_msg("%s: %s of %a is %a, not %a", cpu_isa_name(isa),
                         exponential ? "exp" : "ln", (double)x[i], (double)got[i],
                         (double)expected[i]);
    }
}

static void check_everywhere(const float *x)
{
    for (enum cpu_isa isa = ISA_SCALAR; isa <= cpu_isa(); isa++)
        if (feature_math(isa) != feature_math(ISA_SCALAR))
            check_strip(isa, x);
}

/* From `first` on, `step` apart in the order of their bits. */
static void check_bits(uint32_t first, uint32_t step)
{
    float x[FEATURE_STRIP];

    for (uint32_t i = 0; i < FEATURE_STRIP; i++)
        x[i] = of_bits(first + i * step);
    check_everywhere(x);
}

/* Every exponent and sign, a prime apart, from four beginnings each. */
TEST(floats_of_every_size_give_what_the_c_library_gives)
{
    for (uint32_t top = 0; top < 512; top++)
        for (uint32_t begin = 0; begin < 4; begin++)
            check_bits((top << 23) + begin * 1999, 8191);
}

TEST(the_edges_give_what_the_c_library_gives)
{
    static const float edges[] = {0.0F,       -0.0F,      1.0F,      -1.0F,     0x1p-126F,
                                  0x1p-149F,  INFINITY,   -INFINITY, NAN,       0x1.fffffep127F,
                                  0x1p-1F,    2.0F,       88.0F,     -87.0F,    88.72284F,
                                  -103.9721F, -87.33655F, 0x1p-25F,  -0x1p-25F, 0x1.6a09e6p0F};

    for (size_t e = 0; e < TL_COUNT(edges); e++)
        check_bits(bits_of(edges[e]) - FEATURE_STRIP / 2, 1);
}

/* All 2^32, some minutes on one core: TILTH_SOAK=1. */
TEST(every_float_gives_what_the_c_library_gives)
{
    if (!getenv("TILTH_SOAK"))
        skip();
    for (uint64_t first = 0; first < UINT64_C(1) << 32; first += FEATURE_STRIP)
        check_bits((uint32_t)first, 1);
}

RUN(T(floats_of_every_size_give_what_the_c_library_gives),
    T(the_edges_give_what_the_c_library_gives), T(every_float_gives_what_the_c_library_gives))
