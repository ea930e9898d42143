/* The loops of warp_loops.h, written once; each .c that includes this builds them for its ISA
 * and has included everything else before. */

#include "raster/resample.h"

static void line(const struct parabola *parabola, double offset, int32_t count, double *restrict to)
{
    struct parabola p = *parabola;

    for (int32_t i = 0; i < count; i++) {
        double x = i + offset;

        to[i] = p.c0 + x * (p.c1 + x * p.c2);
    }
}

/* Truncation is floor for what is not negative. Not finite is left of the first pixel. */
static void pixels(const double *restrict at, uint32_t count, double size, int32_t *restrict to)
{
    for (uint32_t i = 0; i < count; i++) {
        double x = at[i] + NEAREST_SNAP;

        x = x >= 0 ? x : -1;
        x = x < size ? x : size;
        to[i] = (int32_t)x;
    }
}

/* Unsigned, so that -1 and what is left or above are far to the right and below. */
static inline uint32_t is_beyond(const struct block_frame *frame, int32_t x, int32_t y)
{
    return (uint32_t)((uint32_t)x - frame->left >= frame->width) |
           (uint32_t)((uint32_t)y - frame->top >= frame->height);
}

static uint32_t run(const int32_t *const at[2], uint32_t count, const struct block_frame *frame)
{
    const int32_t *restrict x = at[0], *restrict y = at[1];
    struct block_frame f = *frame;
    uint32_t i = 0;

    /* Rows lie in one block for long: 64 pixels without a branch, as vectors. */
    while (i < count) {
        uint32_t beyond = 0, end = count - i < 64 ? count : i + 64;

        for (uint32_t k = i; k < end; k++)
            beyond |= is_beyond(&f, x[k], y[k]);
        if (beyond)
            break;
        i = end;
    }
    while (i < count && !is_beyond(&f, x[i], y[i]))
        i++;
    return i;
}

static void offsets(const int32_t *const at[2], uint32_t count, const struct block_frame *frame,
                    uint32_t *restrict to)
{
    const int32_t *restrict x = at[0], *restrict y = at[1];
    struct block_frame f = *frame;

    for (uint32_t i = 0; i < count; i++)
        to[i] = ((uint32_t)y[i] - f.top) * f.stride + ((uint32_t)x[i] - f.left);
}
