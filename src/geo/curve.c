/*
 * A Hilbert curve visits the four quadrants of a square in the order
 *
 *      y  0 | 3       (0,0) -> (0,1) -> (1,1) -> (1,0)
 *         --+--
 *         1 | 2
 *
 * and does the same inside each quadrant, mirrored along the diagonal in the first and
 * along the other one in the last, so that the end of one meets the start of the next.
 * Two bits of the position come from one bit of x and y at each size.
 */
#include "geo/curve.h"

#include "base/check.h"

/* sum of 4^i for i < 27 fits in 53 bits; the limit keeps every id far from overflow. */
#define CURVE_MAX_ZOOM 26

/* Tiles on all zooms before z: (4^z - 1) / 3. */
static uint64_t first_id(uint8_t z)
{
    return ((UINT64_C(1) << (2 * z)) - 1) / 3;
}

/* Only the bits of x and y below `size` still matter, so the mirror may wrap above them. */
static void turn(uint32_t size, uint32_t quadrant_x, uint32_t quadrant_y, uint32_t *x, uint32_t *y)
{
    if (quadrant_y)
        return;
    if (quadrant_x) {
        *x = size - 1 - *x;
        *y = size - 1 - *y;
    }
    uint32_t swapped = *x;
    *x = *y;
    *y = swapped;
}

uint64_t curve_id(uint8_t z, uint32_t x, uint32_t y)
{
    TL_CHECK(z <= CURVE_MAX_ZOOM);
    TL_CHECK(x >> z == 0 && y >> z == 0);
    uint64_t position = 0;

    for (int bit = z - 1; bit >= 0; bit--) {
        uint32_t quadrant_x = (x >> bit) & 1, quadrant_y = (y >> bit) & 1;

        position = position << 2 | ((3 * quadrant_x) ^ quadrant_y);
        turn(UINT32_C(1) << bit, quadrant_x, quadrant_y, &x, &y);
    }
    return first_id(z) + position;
}
