/* The sweep for every x86-64: 16 bytes at a time. */
#if defined(__x86_64__)

#include <emmintrin.h>
#include <stdint.h>

static inline __m128i load(const void *at)
{
    return _mm_load_si128((const __m128i *)at);
}

static inline uint64_t le_u8(const uint8_t *x, uint8_t t)
{
    const __m128i cut = _mm_set1_epi8((char)t);
    uint64_t bits = 0;

    for (size_t i = 0; i < 4; i++) {
        __m128i v = load(x + 16 * i);
        __m128i le = _mm_cmpeq_epi8(_mm_min_epu8(v, cut), v);

        bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(le) << (16 * i);
    }
    return bits;
}

/* x - t saturates at 0 exactly where x <= t: SSE2 has no unsigned compare of words. */
static inline __m128i le_words(const uint16_t *x, __m128i cut)
{
    return _mm_cmpeq_epi16(_mm_subs_epu16(load(x), cut), _mm_setzero_si128());
}

static inline uint64_t le_u16(const uint16_t *x, uint16_t t)
{
    const __m128i cut = _mm_set1_epi16((short)t);
    uint64_t bits = 0;

    for (size_t i = 0; i < 4; i++) {
        __m128i le = _mm_packs_epi16(le_words(x + 16 * i, cut), le_words(x + 16 * i + 8, cut));

        bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(le) << (16 * i);
    }
    return bits;
}

/* Feature planes come from outside and are aligned to floats only. */
static inline __m128i le_floats(const float *x, __m128 cut)
{
    return _mm_castps_si128(_mm_cmple_ps(_mm_loadu_ps(x), cut));
}

static inline uint64_t le_f32(const float *x, float t)
{
    const __m128 cut = _mm_set1_ps(t);
    uint64_t bits = 0;

    for (unsigned i = 0; i < 4; i++, x += 16) {
        __m128i low = _mm_packs_epi32(le_floats(x, cut), le_floats(x + 4, cut));
        __m128i high = _mm_packs_epi32(le_floats(x + 8, cut), le_floats(x + 12, cut));

        bits |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high)) << (16 * i);
    }
    return bits;
}

/* Sixteen bits to sixteen bytes of -1 or 0. */
static inline __m128i spread(uint64_t bits)
{
    const __m128i one_each = _mm_set1_epi64x((long long)0x8040201008040201ULL);
    __m128i v = _mm_cvtsi32_si128((int)(bits & 0xFFFF));

    v = _mm_unpacklo_epi8(v, v);                         /* b0 b0 b1 b1 */
    v = _mm_shufflelo_epi16(v, _MM_SHUFFLE(1, 1, 0, 0)); /* 4 x b0, 4 x b1 */
    v = _mm_shuffle_epi32(v, _MM_SHUFFLE(1, 1, 0, 0));   /* 8 x b0, 8 x b1 */
    return _mm_cmpeq_epi8(_mm_and_si128(v, one_each), one_each);
}

static inline void add_bits(uint8_t *counts, uint64_t bits)
{
    for (size_t i = 0; i < 4; i++) {
        __m128i *at = (__m128i *)(void *)(counts + 16 * i);

        _mm_store_si128(at, _mm_sub_epi8(_mm_load_si128(at), spread(bits >> (16 * i))));
    }
}

/* Where `here` is -1 `value`, else what is there. */
static inline void blend(__m128i *at, __m128i here, __m128i value)
{
    __m128i old = _mm_load_si128(at);

    _mm_store_si128(at, _mm_or_si128(_mm_and_si128(here, value), _mm_andnot_si128(here, old)));
}

static inline void put_u8(uint8_t *to, uint64_t bits, uint8_t value)
{
    for (size_t i = 0; i < 4; i++, bits >>= 16)
        blend((__m128i *)(void *)(to + 16 * i), spread(bits), _mm_set1_epi8((char)value));
}

static inline void put_u16(uint16_t *to, uint64_t bits, uint16_t value)
{
    for (size_t i = 0; i < 4; i++, bits >>= 16) {
        __m128i *at = (__m128i *)(void *)(to + 16 * i), here = spread(bits);

        blend(at, _mm_unpacklo_epi8(here, here), _mm_set1_epi16((short)value));
        blend(at + 1, _mm_unpackhi_epi8(here, here), _mm_set1_epi16((short)value));
    }
}

static inline void add_doubles(double *to, const double *from, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 2)
        _mm_store_pd(to + i, _mm_add_pd(_mm_load_pd(to + i), _mm_load_pd(from + i)));
}

static inline void join_bits(uint8_t *to, const uint64_t *bits, size_t step, uint32_t count)
{
    for (size_t i = 0; i < 64; i += 16) {
        __m128i sum = _mm_setzero_si128(), bit = _mm_set1_epi8(1);

        for (uint32_t b = 0; b < count; b++) {
            __m128i here = spread(bits[b * step] >> i);

            sum = _mm_or_si128(sum, _mm_and_si128(here, bit));
            bit = _mm_add_epi8(bit, bit);
        }
        _mm_store_si128((__m128i *)(void *)(to + i), sum);
    }
}

#define VECTOR_BYTES 16
#include "forest/kernel.h"

#include "forest/oblivious_kernel.h"
#include "forest/shallow_kernel.h"

const struct sweep_kernel sweep_sse2 = {
    .isa = ISA_SSE2,
    .rank = flat_rank,
    .tree = {sweep_tree_u8, sweep_tree_u16, sweep_tree_f32},
    .add_leaves = add_numbered,
    .count_votes = count_votes,
    .guide = {guide_u16, guide_u16, guide_f32},
    .oblivious = {oblivious_u8, oblivious_u16, oblivious_f32},
    .shallow = {shallow_u8, shallow_u16},
};

#else
typedef int forest_sse2_is_for_x86_64;
#endif
