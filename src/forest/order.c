#include "forest/order.h"

#include "base/arena.h"
#include "base/check.h"

#include <string.h>

enum {
    KEY_BITS = GUIDE_TREES * GUIDE_LEVELS,
    PIXEL_BITS = 16,
    /* Four passes over many pixels; six over few, whose digits then need no large table. */
    WIDE_DIGIT = 12,
    NARROW_DIGIT = 8,
    WIDE_FROM_PX = 8192
};

_Static_assert(KEY_BITS + PIXEL_BITS == 64, "a key and a pixel fill an entry");

bool order_alloc(struct order *order, size_t pixels, bool sorted, struct arena *arena)
{
    TL_CHECK(pixels <= (size_t)1 << PIXEL_BITS);
    size_t room = (pixels + PACKET_PX - 1) / PACKET_PX * PACKET_PX;

    *order = (struct order){.pixels = arena_alloc(arena, room, sizeof(*order->pixels))};
    if (!sorted)
        return order->pixels;
    order->entries = arena_alloc(arena, room, sizeof(*order->entries));
    order->spare = arena_alloc(arena, room, sizeof(*order->spare));
    return order->pixels && order->entries && order->spare;
}

/*
 * Turns a 64 x 64 matrix of bits: row r of `bits` is one bit of 64 pixels, row p of the
 * result is 64 bits of one pixel. Halves are swapped across the diagonal, then quarters of
 * the halves, down to single bits: 6 x 32 steps for 64 keys.
 */
static void transpose(uint64_t *bits)
{
    uint64_t mask = UINT64_C(0x00000000FFFFFFFF);

    for (unsigned half = 32; half; half /= 2, mask ^= mask << half) {
        for (unsigned r = 0; r < 64; r = (r + half + 1) & ~half) {
            uint64_t swap = (bits[r] >> half ^ bits[r + half]) & mask;

            bits[r] ^= swap << half;
            bits[r + half] ^= swap;
        }
    }
}

/*
 * Entries of one packet. Bit k of a key, counted from the entry's top, is row k of the
 * guide's bits: rows are laid in backwards, so that the transposition puts row k at bit
 * 63 - k.
 */
static void packet_entries(const uint64_t *guide_bits, uint32_t first, uint64_t *entries)
{
    for (unsigned k = 0; k < 64; k++)
        entries[63 - k] = k < KEY_BITS ? guide_bits[k] : 0;
    transpose(entries);
    for (unsigned p = 0; p < PACKET_PX; p++)
        entries[p] |= first + p;
}

/* Entries of the unit in raster order, in whole packets: the raster has room for them. */
static void make_entries(struct order *order, const struct sweep_kernel *kernel,
                         const struct flat *flat, const struct raster *raster, uint32_t count)
{
    uint64_t bits[KEY_BITS] = {0};

    for (uint32_t first = 0; first < count; first += PACKET_PX) {
        kernel->guide[flat->type](&flat->guide, raster, first, bits);
        packet_entries(bits, first, order->entries + first);
    }
}

/* One digit of a radix sort, stable. False when all entries share the digit: nothing was
 * moved. */
static bool sort_digit(const uint64_t *from, uint64_t *to, uint32_t count, unsigned shift,
                       unsigned width)
{
    uint32_t at[1 << WIDE_DIGIT];
    uint32_t digits = 1U << width, sum = 0;

    memset(at, 0, digits * sizeof(*at));
    for (uint32_t i = 0; i < count; i++)
        at[from[i] >> shift & (digits - 1)]++;
    if (at[from[0] >> shift & (digits - 1)] == count)
        return false;
    for (uint32_t d = 0; d < digits; d++) {
        uint32_t here = at[d];

        at[d] = sum;
        sum += here;
    }
    for (uint32_t i = 0; i < count; i++)
        to[at[from[i] >> shift & (digits - 1)]++] = from[i];
    return true;
}

static void sort_entries(struct order *order, uint32_t count)
{
    unsigned width = count < WIDE_FROM_PX ? NARROW_DIGIT : WIDE_DIGIT;

    for (unsigned shift = PIXEL_BITS; shift < 64; shift += width) {
        if (!sort_digit(order->entries, order->spare, count, shift, width))
            continue;
        uint64_t *sorted = order->spare;

        order->spare = order->entries;
        order->entries = sorted;
    }
}

void order_unit(struct order *order, const struct sweep_kernel *kernel, const struct flat *flat,
                const struct raster *raster, uint32_t count)
{
    /* Where one packet holds them all there is nothing to bring together. */
    bool sorted = order->entries && count > PACKET_PX;

    if (sorted) {
        make_entries(order, kernel, flat, raster, count);
        sort_entries(order, count);
    }
    for (uint32_t i = 0; i < count; i++)
        order->pixels[i] = (uint16_t)(sorted ? order->entries[i] & 0xFFFF : i);
    for (uint32_t i = count; i % PACKET_PX != 0; i++)
        order->pixels[i] = order->pixels[count - 1];
}
