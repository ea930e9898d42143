/*
 * Pixels are taken as vectors of 16 bytes: as many bands side by side as fit, and as many
 * pixels one after the other as there are lanes. The running sum of a predictor is one addition
 * per pixel for all those bands, and a square of pixels x bands is turned into bands x pixels by
 * rounds of zips:
 *
 *      a0 a1 a2 a3          a0 c0 a1 c1          a0 b0 c0 d0
 *      b0 b1 b2 b3   zip    a2 c2 a3 c3   zip    a1 b1 c1 d1     (i with i + half,
 *      c0 c1 c2 c3   --->   b0 d0 b1 d1   --->   a2 b2 c2 d2      low halves, high halves)
 *      d0 d1 d2 d3          b2 d2 b3 d3          a3 b3 c3 d3
 *
 * The vectors are the compiler's: SSE2 on x86-64, NEON on arm64, both always there. At 15 to 60
 * GB/s a block costs a twentieth of what its decompression does; wider ones are not worth a
 * dispatch.
 *
 * Functions with a `size` of samples are inlined with a constant; their switches vanish.
 */
#include "raster/predictor.h"

#include "base/attr.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

enum {
    VECTOR = 16,
    LANES_MAX = VECTOR,
    BANDS_MAX = 8, /* at once: sixteen of uint8 do not fit into registers, two times eight do */
};

typedef uint8_t bytes16 __attribute__((vector_size(VECTOR)));
typedef uint16_t words16 __attribute__((vector_size(VECTOR)));
typedef uint32_t dwords16 __attribute__((vector_size(VECTOR)));
typedef uint64_t qwords16 __attribute__((vector_size(VECTOR)));

/* --- vectors --------------------------------------------------------------------------- */

INLINE bytes16 load(const void *from)
{
    bytes16 v;

    memcpy(&v, from, sizeof(v));
    return v;
}

INLINE void store(void *to, bytes16 v)
{
    memcpy(to, &v, sizeof(v));
}

/* Lanes wrap, as they did when their differences were taken. */
INLINE bytes16 add(bytes16 a, bytes16 b, size_t size)
{
    switch (size) {
    case 1:
        return a + b;
    case 2:
        return (bytes16)((words16)a + (words16)b);
    case 4:
        return (bytes16)((dwords16)a + (dwords16)b);
    default:
        return (bytes16)((qwords16)a + (qwords16)b);
    }
}

/* Lanes of the lower halves of a and b in turns. */
INLINE bytes16 zip_low(bytes16 a, bytes16 b, size_t size)
{
    switch (size) {
    case 1:
        return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7,
                                       23);
    case 2:
        return (bytes16)__builtin_shufflevector((words16)a, (words16)b, 0, 8, 1, 9, 2, 10, 3, 11);
    case 4:
        return (bytes16)__builtin_shufflevector((dwords16)a, (dwords16)b, 0, 4, 1, 5);
    default:
        return (bytes16)__builtin_shufflevector((qwords16)a, (qwords16)b, 0, 2);
    }
}

INLINE bytes16 zip_high(bytes16 a, bytes16 b, size_t size)
{
    switch (size) {
    case 1:
        return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30,
                                       15, 31);
    case 2:
        return (bytes16)__builtin_shufflevector((words16)a, (words16)b, 4, 12, 5, 13, 6, 14, 7, 15);
    case 4:
        return (bytes16)__builtin_shufflevector((dwords16)a, (dwords16)b, 2, 6, 3, 7);
    default:
        return (bytes16)__builtin_shufflevector((qwords16)a, (qwords16)b, 1, 3);
    }
}

INLINE void zip_round(const bytes16 *from, bytes16 *to, size_t count, size_t size)
{
    UNROLL
    for (size_t i = 0; i < count / 2; i++) {
        to[2 * i] = zip_low(from[i], from[i + count / 2], size);
        to[2 * i + 1] = zip_high(from[i], from[i + count / 2], size);
    }
}

/* Lane 0 of all `count` vectors one after the other, then lane 1, ...: as many vectors as there
 * are lanes are a square, and it is transposed. `other` is as large as `v`; one of them is filled
 * and returned. */
INLINE const bytes16 *zip(bytes16 *v, bytes16 *other, size_t count, size_t size)
{
    zip_round(v, other, count, size);
    if (count == 2)
        return other;
    zip_round(other, v, count, size);
    if (count == 4)
        return v;
    zip_round(v, other, count, size);
    if (count == 8)
        return other;
    zip_round(other, v, count, size);
    return v;
}

/* Lane i to lane i + lanes, zeros below. */
INLINE bytes16 move_up(bytes16 v, size_t bytes)
{
    const bytes16 zero = {0};

    switch (bytes) {
    case 1:
        return __builtin_shufflevector(zero, v, 0, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27,
                                       28, 29, 30);
    case 2:
        return __builtin_shufflevector(zero, v, 0, 1, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26,
                                       27, 28, 29);
    case 4:
        return __builtin_shufflevector(zero, v, 0, 1, 2, 3, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
                                       26, 27);
    default:
        return __builtin_shufflevector(zero, v, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22,
                                       23);
    }
}

/* The last lane in all lanes. */
INLINE bytes16 spread_last(bytes16 v, size_t size)
{
    switch (size) {
    case 1:
        return v[15] - (bytes16){0};
    case 2:
        return (bytes16)(((words16)v)[7] - (words16){0});
    case 4:
        return (bytes16)(((dwords16)v)[3] - (dwords16){0});
    default:
        return (bytes16)(((qwords16)v)[1] - (qwords16){0});
    }
}

/* --- a row ----------------------------------------------------------------------------- */

/* Bands of one row; a part of them as many as a vector holds. */
struct strand {
    const uint8_t *in, *end; /* first sample; end of what may be read at all */
    uint8_t *out;
    size_t step;  /* bytes from pixel to pixel of `in` */
    size_t plane; /* bytes from band to band of `out` */
    size_t pixels;
    size_t bands;
};

/* Pixels that can be read as vectors, which reach over the bands after the last one. */
static size_t vector_pixels(const struct strand *s)
{
    size_t left = (size_t)(s->end - s->in);

    return left < VECTOR ? 0 : TL_MIN(s->pixels, (left - VECTOR) / s->step + 1);
}

/* Running sums over `count` pixels from `sum` on, which is returned as it is after them. Within
 * groups first: an addition takes two cycles, and only one in four waits for the one before. */
INLINE bytes16 sum_pixels(bytes16 *v, size_t count, bytes16 sum, size_t size)
{
    UNROLL
    for (size_t k = 0; k < count; k++) {
        if (k % 4)
            v[k] = add(v[k], v[k - 1], size);
    }
    UNROLL
    for (size_t k = 0; k < count; k++) {
        v[k] = add(v[k], sum, size);
        if (k % 4 == 3 || k == count - 1)
            sum = v[k];
    }
    return sum;
}

/* Pixels from `i` on, one by one; `sum` of those before. Not inlined: it would disturb the loop. */
static __attribute__((noinline)) void split_rest(const struct strand *s, size_t size, size_t i,
                                                 bytes16 sum, bool differenced)
{
    for (; i < s->pixels; i++) {
        bytes16 v = {0};

        memcpy(&v, s->in + i * s->step, s->bands * size);
        sum = differenced ? add(sum, v, size) : v;
        for (size_t k = 0; k < s->bands; k++)
            memcpy(s->out + k * s->plane + i * size, (const uint8_t *)&sum + k * size, size);
    }
}

/* `bands`, a constant, is not less than s->bands. */
INLINE void split_strand(const struct strand *s, size_t size, size_t bands, bool differenced)
{
    const size_t lanes = VECTOR / size, whole = vector_pixels(s);
    bytes16 sum = {0};
    size_t i = 0;

    for (; i + lanes <= whole; i += lanes) {
        bytes16 v[LANES_MAX], other[LANES_MAX];

        UNROLL
        for (size_t k = 0; k < lanes; k++)
            v[k] = load(s->in + (i + k) * s->step);
        if (differenced)
            sum = sum_pixels(v, lanes, sum, size);
        const bytes16 *zipped = zip(v, other, lanes, size);
        UNROLL
        for (size_t k = 0; k < bands; k++) {
            if (k < s->bands)
                store(s->out + k * s->plane + i * size, zipped[k]);
        }
    }
    split_rest(s, size, i, sum, differenced);
}

INLINE void split_any(const struct strand *s, size_t size, bool differenced)
{
    if (s->bands <= 2 || size == 8)
        split_strand(s, size, 2, differenced);
    else if (s->bands <= 4 || size == 4)
        split_strand(s, size, 4, differenced);
    else
        split_strand(s, size, BANDS_MAX, differenced);
}

/* One band: sums within a vector first, so that what goes from vector to vector is one addition. */
INLINE void sum_strand(const struct strand *s, size_t size)
{
    bytes16 carry = {0};
    size_t i = 0;

    for (; i + VECTOR <= s->pixels * size; i += VECTOR) {
        bytes16 v = load(s->in + i);

        v = size <= 1 ? add(v, move_up(v, 1), size) : v;
        v = size <= 2 ? add(v, move_up(v, 2), size) : v;
        v = size <= 4 ? add(v, move_up(v, 4), size) : v;
        v = add(v, move_up(v, 8), size);
        store(s->out + i, add(v, carry, size));
        carry = add(carry, spread_last(v, size), size);
    }
    for (; i < s->pixels * size; i += size) {
        bytes16 v = {0};

        memcpy(&v, s->in + i, size);
        carry = add(carry, v, size);
        memcpy(s->out + i, &carry, size);
    }
}

INLINE void split_row_of(const struct strand *row, size_t size, bool differenced)
{
    struct strand s = *row;

    if (row->bands == 1 && differenced) {
        sum_strand(row, size);
    } else if (row->bands == 1) {
        memmove(row->out, row->in, row->pixels * size);
    } else {
        for (size_t left = row->bands; left; left -= s.bands) {
            s.bands = TL_MIN(left, TL_MIN(VECTOR / size, (size_t)BANDS_MAX));
            if (differenced)
                split_any(&s, size, true);
            else
                split_any(&s, size, false);
            s.in += s.bands * size;
            s.out += s.bands * s.plane;
        }
    }
}

static void split_row_of_1(const struct strand *row, bool differenced)
{
    split_row_of(row, 1, differenced);
}

static void split_row(const struct strand *row, size_t size, bool differenced)
{
    if (size == 1)
        split_row_of_1(row, differenced);
    else if (size == 2)
        split_row_of(row, 2, differenced);
    else if (size == 4)
        split_row_of(row, 4, differenced);
    else
        split_row_of(row, 8, differenced);
}

static size_t row_size(const struct sample_rows *rows)
{
    return (size_t)rows->width * rows->bands * rows->sample_size;
}

void split_bands(const struct sample_rows *rows, bool differenced, const void *in, void *out)
{
    size_t size = rows->sample_size, across = rows->width * size;
    struct strand row = {
        .in = in,
        .end = (const uint8_t *)in + rows->height * row_size(rows),
        .out = out,
        .step = rows->bands * size,
        .plane = rows->height * across,
        .pixels = rows->width,
        .bands = rows->bands,
    };

    for (uint32_t y = 0; y < rows->height; y++) {
        split_row(&row, size, differenced);
        row.in += row_size(rows);
        row.out += across;
    }
}

/* --- floats ---------------------------------------------------------------------------- */

/* Plane p of `planes` holds byte p of every sample, the most significant byte first. */
INLINE void merge_planes(const uint8_t *planes, size_t count, size_t size, uint8_t *out)
{
    size_t i = 0;

    for (; i + VECTOR <= count; i += VECTOR) {
        bytes16 v[8], other[8];

        UNROLL
        for (size_t p = 0; p < size; p++)
            v[p] = load(planes + (size - 1 - p) * count + i);
        const bytes16 *zipped = zip(v, other, size, 1);
        UNROLL
        for (size_t p = 0; p < size; p++)
            store(out + i * size + p * VECTOR, zipped[p]);
    }
    for (; i < count; i++)
        for (size_t p = 0; p < size; p++)
            out[i * size + p] = planes[(size - 1 - p) * count + i];
}

/* The planes of a row are one long row of bytes, which comes apart like any other. */
void split_float_bands(const struct sample_rows *rows, const void *in, void *out, uint8_t *row)
{
    size_t size = rows->sample_size, across = rows->width * size;
    struct strand bytes = {
        .in = in,
        .end = (const uint8_t *)in + rows->height * row_size(rows),
        .out = row,
        .step = rows->bands,
        .plane = across,
        .pixels = across,
        .bands = rows->bands,
    };
    uint8_t *to = out;

    for (uint32_t y = 0; y < rows->height; y++) {
        split_row_of_1(&bytes, true);
        for (size_t b = 0; b < rows->bands; b++) {
            uint8_t *band = to + b * rows->height * across;

            if (size == 4)
                merge_planes(row + b * across, rows->width, 4, band);
            else
                merge_planes(row + b * across, rows->width, 8, band);
        }
        bytes.in += row_size(rows);
        to += across;
    }
}
