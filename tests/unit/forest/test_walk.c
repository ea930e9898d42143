#include "forest/walk.h"

#include "forest_fixture.h"
#include "tl_test.h"

/* The first of the greatest, or the first NaN, looked for one by one. */
static uint32_t first_greatest(const double *p, uint32_t count)
{
    uint32_t best = 0;

    for (uint32_t c = 0; c < count; c++)
        if (isnan(p[c]))
            return c;
    for (uint32_t c = 1; c < count; c++)
        if (p[c] > p[best])
            best = c;
    return best;
}

TEST(the_winner_is_the_first_of_the_greatest_or_the_first_nan)
{
    static const double values[] = {
        0, -0.0, 1, 1, 0.5, -3, (double)INFINITY, (double)-INFINITY, (double)NAN};
    uint64_t random = 9;

    for (int round = 0; round < 20000; round++) {
        uint32_t count = 1 + fixture_below(&random, 7);
        uint32_t kinds = 2 + fixture_below(&random, TL_COUNT(values) - 1);
        double p[8];

        for (uint32_t c = 0; c < count; c++)
            p[c] = values[TL_COUNT(values) - 1 - fixture_below(&random, kinds)];
        if (round % 2)
            for (uint32_t c = 0; c < count; c++)
                p[c] = isnan(p[c]) ? -1 : p[c];
        assert_int_equal(walk_winner(p, count), first_greatest(p, count));
    }
}

RUN(T(the_winner_is_the_first_of_the_greatest_or_the_first_nan))
