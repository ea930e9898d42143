#include "feature/kernels.h"

#include "base/attr.h"
#include "tl_test.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

/* Every pair of these is somewhere in the strips. */
static const float edges[] = {0.0F,  -0.0F,    1.0F,      -1.0F,  0x1p-149F, 0x1p-126F,
                              3e38F, INFINITY, -INFINITY, NAN,    0.1F,      10000.0F,
                              -2.5F, 1e-7F,    4321.5F,   0x1p24F};

static bool same(float a, float b)
{
    return memcmp(&a, &b, sizeof(a)) == 0 || (isnan(a) && isnan(b));
}

static void check_op(enum cpu_isa isa, unsigned op, const float *const *in)
{
    float got[FEATURE_STRIP], expected[FEATURE_STRIP];

    feature_kernels(isa)->of[op](in, got);
    feature_kernels(ISA_SCALAR)->of[op](in, expected);
    for (int i = 0; i < FEATURE_STRIP; i++)
        if (!same(got[i], expected[i]))
            fail_msg("%s: operation %u of %a, %a is %a, not %a", cpu_isa_name(isa), op,
                     (double)in[0][i], (double)in[1][i], (double)got[i], (double)expected[i]);
}

/* The plain ones are held against numpy, in test_feature.c. */
TEST(every_operation_gives_the_bits_of_the_plain_one)
{
    if (feature_kernels(cpu_isa()) == feature_kernels(ISA_SCALAR))
        skip(); /* this processor has no others */
    float strips[3][FEATURE_STRIP];
    const float *const in[] = {strips[0], strips[1], strips[2]};

    assert_int_equal(TL_COUNT(edges) * TL_COUNT(edges), FEATURE_STRIP);
    for (int i = 0; i < FEATURE_STRIP; i++) {
        strips[0][i] = edges[i / 16];
        strips[1][i] = edges[i % 16];
        strips[2][i] = (float)i;
    }
    for (enum cpu_isa isa = ISA_AVX2; isa <= cpu_isa(); isa++)
        for (unsigned op = 0; op < FEATURE_STORE; op++)
            check_op(isa, op, in);
}

RUN(T(every_operation_gives_the_bits_of_the_plain_one))
