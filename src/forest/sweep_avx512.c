/* The sweep for AVX-512BW: one comparison per packet of bytes, masks without detours. */
#if defined(__x86_64__)

#include "base/isa_target.h"
#include "forest/sweep.h"

#include <immintrin.h>

TARGET_BEGIN("avx512f,avx512bw,avx512dq,avx512vl,bmi,bmi2,popcnt")

static inline uint64_t le_u8(const uint8_t *x, uint8_t t)
{
    return _mm512_cmple_epu8_mask(_mm512_load_si512(x), _mm512_set1_epi8((char)t));
}

static inline uint64_t le_u16(const uint16_t *x, uint16_t t)
{
    const __m512i cut = _mm512_set1_epi16((short)t);
    __mmask32 low = _mm512_cmple_epu16_mask(_mm512_load_si512(x), cut);
    __mmask32 high = _mm512_cmple_epu16_mask(_mm512_load_si512(x + 32), cut);

    return _mm512_kunpackd(high, low);
}

static inline uint64_t le_f32(const float *x, float t)
{
    const __m512 cut = _mm512_set1_ps(t);
    uint64_t bits = 0;

    for (size_t i = 0; i < 4; i++)
        bits |= (uint64_t)_mm512_cmp_ps_mask(_mm512_loadu_ps(x + 16 * i), cut, _CMP_LE_OQ)
                << (16 * i);
    return bits;
}

static inline void add_bits(uint8_t *counts, uint64_t bits)
{
    __m512i at = _mm512_load_si512(counts);

    _mm512_store_si512(counts, _mm512_mask_add_epi8(at, bits, at, _mm512_set1_epi8(1)));
}

static inline void put_u8(uint8_t *to, uint64_t bits, uint8_t value)
{
    __m512i at = _mm512_load_si512(to);

    _mm512_store_si512(to, _mm512_mask_blend_epi8(bits, at, _mm512_set1_epi8((char)value)));
}

static inline void put_u16(uint16_t *to, uint64_t bits, uint16_t value)
{
    for (size_t i = 0; i < 2; i++, bits >>= 32) {
        __m512i at = _mm512_load_si512(to + 32 * i);

        at = _mm512_mask_blend_epi16((__mmask32)bits, at, _mm512_set1_epi16((short)value));
        _mm512_store_si512(to + 32 * i, at);
    }
}

static inline void add_doubles(double *to, const double *from, uint32_t n)
{
    if (n == 2) {
        _mm_store_pd(to, _mm_add_pd(_mm_load_pd(to), _mm_load_pd(from)));
        return;
    }
    if (n == 4) {
        _mm256_store_pd(to, _mm256_add_pd(_mm256_load_pd(to), _mm256_load_pd(from)));
        return;
    }
    for (uint32_t i = 0; i < n; i += 8)
        _mm512_store_pd(to + i, _mm512_add_pd(_mm512_load_pd(to + i), _mm512_load_pd(from + i)));
}

/* The same operations as flat_rank(), so the same bucket for every float. */
static inline __m512i linear_buckets(const struct flat_ranker *r, __m512 x)
{
    const __m512 last = _mm512_set1_ps((float)(r->bucket_count - 1));
    __m512 at = _mm512_mul_ps(_mm512_sub_ps(x, _mm512_set1_ps(r->low)), _mm512_set1_ps(r->scale));

    /* The maximum of NaN and 0 is its second operand. */
    at = _mm512_min_ps(_mm512_max_ps(at, _mm512_setzero_ps()), last);
    return _mm512_cvttps_epi32(at);
}

static inline __m512i bits_buckets(const struct flat_ranker *r, __m512 x)
{
    const __m512i low = _mm512_set1_epi32((int)r->low_key);
    __m512i bits = _mm512_castps_si512(_mm512_add_ps(x, _mm512_setzero_ps()));
    __m512i sign = _mm512_srai_epi32(bits, 31);
    __m512i key = _mm512_xor_si512(bits, _mm512_or_si512(sign, _mm512_set1_epi32(INT32_MIN)));
    __m512i at = _mm512_sub_epi32(_mm512_max_epu32(key, low), low);

    at = _mm512_srl_epi32(at, _mm_cvtsi32_si128(r->shift));
    return _mm512_min_epu32(at, _mm512_set1_epi32((int)(r->bucket_count - 1)));
}

static void rank(const struct flat_ranker *r, const float *values, size_t count,
                 uint16_t *ret_ranks)
{
    for (size_t i = 0; i < count; i += RANK_LANES) {
        __m512 x = _mm512_loadu_ps(values + i);
        __m512i bucket = r->linear ? linear_buckets(r, x) : bits_buckets(r, x);
        /* One gather brings the bucket's start and the next one's. */
        __m512i pair = _mm512_i32gather_epi32(bucket, r->start, 2);
        __m512i at = _mm512_and_si512(pair, _mm512_set1_epi32(0xFFFF));
        __m512i inside = _mm512_sub_epi32(_mm512_srli_epi32(pair, 16), at);
        uint32_t half = 1U << r->steps >> 1;

        /* Steps that no bucket of these sixteen is full enough for are left out. */
        while (half && !_mm512_cmpge_epu32_mask(inside, _mm512_set1_epi32((int)half)))
            half /= 2;
        for (; half; half /= 2) {
            __m512 cut = _mm512_i32gather_ps(at, r->thresholds + half - 1, 4);
            __mmask16 below = _mm512_cmp_ps_mask(cut, x, _CMP_LT_OQ);

            at = _mm512_mask_add_epi32(at, below, at, _mm512_set1_epi32((int)half));
        }
        __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
        at = _mm512_mask_mov_epi32(at, nan, _mm512_set1_epi32((int)r->count));
        _mm256_storeu_si256((__m256i *)(void *)(ret_ranks + i), _mm512_cvtepi32_epi16(at));
    }
}

/* Entries of a list, and which of their pixels were at or below the cut. */
struct entries {
    uint64_t *mask;
    uint32_t *id;
    const uint64_t *below;
    uint32_t count;
};

/*
 * Moves the entries that keep pixels on one side to `to`: below ^ flip are those pixels.
 * Up to LIST_SLACK entries behind are written over; each vector is read before it can be.
 */
static inline uint32_t keep_side(const struct entries *from, uint64_t flip, uint64_t *to_mask,
                                 uint32_t *to_id)
{
    const __m512i flips = _mm512_set1_epi64((long long)flip);
    uint32_t kept = 0;

    for (uint32_t i = 0; i < from->count; i += LIST_SLACK) {
        uint32_t left = from->count - i;
        __mmask8 here = left < LIST_SLACK ? (__mmask8)((1U << left) - 1) : 0xFF;
        __m512i mask = _mm512_maskz_loadu_epi64(here, from->mask + i);
        __m512i side = _mm512_xor_si512(_mm512_loadu_si512(from->below + i), flips);
        __m256i id = _mm256_loadu_si256((const __m256i *)(const void *)(from->id + i));

        mask = _mm512_and_si512(mask, side);
        __mmask8 keep = _mm512_test_epi64_mask(mask, mask);
        _mm512_storeu_si512(to_mask + kept, _mm512_maskz_compress_epi64(keep, mask));
        _mm256_storeu_si256((__m256i *)(void *)(to_id + kept),
                            _mm256_maskz_compress_epi32(keep, id));
        kept += (uint32_t)__builtin_popcount(keep);
    }
    return kept;
}

/*
 * Leaves of trees that have few: a tree's numbers lie in registers, where a permutation finds those
 * of eight or sixteen pixels, and so do the sums of a packet while all trees are added. The
 * instructions look at as many bits of an id as they have places for.
 */
static inline __m512d permute_32_pd(const __m512d *leaf, __m512i id)
{
    __mmask8 upper = _mm512_test_epi64_mask(id, _mm512_set1_epi64(16));

    return _mm512_mask_mov_pd(_mm512_permutex2var_pd(leaf[0], id, leaf[1]), upper,
                              _mm512_permutex2var_pd(leaf[2], id, leaf[3]));
}

static inline __attribute__((always_inline)) void
permute_pd(double *sums, const uint8_t *ids, const void *const *leaves, uint32_t trees, size_t most)
{
    __m512d sum[8], leaf[8];

    for (size_t k = 0; k < 8; k++)
        sum[k] = _mm512_load_pd(sums + 8 * k);
    for (uint32_t t = 0; t < trees; t++, ids += PACKET_PX) {
        for (size_t k = 0; k < most / 8; k++)
            leaf[k] = _mm512_loadu_pd((const double *)leaves[t] + 8 * k);
        for (size_t k = 0; k < 8; k++) {
            const __m128i *at = (const __m128i *)(const void *)(ids + 8 * k);
            __m512i id = _mm512_cvtepu8_epi64(_mm_loadl_epi64(at));
            __m512d more = permute_32_pd(leaf, id);

            if (most > 32)
                more = _mm512_mask_mov_pd(more, _mm512_test_epi64_mask(id, _mm512_set1_epi64(32)),
                                          permute_32_pd(leaf + 4, id));
            sum[k] = _mm512_add_pd(sum[k], more);
        }
    }
    for (size_t k = 0; k < 8; k++)
        _mm512_store_pd(sums + 8 * k, sum[k]);
}

static inline __attribute__((always_inline)) void
permute_ps(float *sums, const uint8_t *ids, const void *const *leaves, uint32_t trees, size_t most)
{
    __m512 sum[4], leaf[4];

    for (size_t k = 0; k < 4; k++)
        sum[k] = _mm512_load_ps(sums + 16 * k);
    for (uint32_t t = 0; t < trees; t++, ids += PACKET_PX) {
        for (size_t k = 0; k < most / 16; k++)
            leaf[k] = _mm512_loadu_ps((const float *)leaves[t] + 16 * k);
        for (size_t k = 0; k < 4; k++) {
            const __m128i *at = (const __m128i *)(const void *)(ids + 16 * k);
            __m512i id = _mm512_cvtepu8_epi32(_mm_load_si128(at));
            __m512 more = _mm512_permutex2var_ps(leaf[0], id, leaf[1]);

            if (most > 32)
                more = _mm512_mask_mov_ps(more, _mm512_test_epi32_mask(id, _mm512_set1_epi32(32)),
                                          _mm512_permutex2var_ps(leaf[2], id, leaf[3]));
            sum[k] = _mm512_add_ps(sum[k], more);
        }
    }
    for (size_t k = 0; k < 4; k++)
        _mm512_store_ps(sums + 16 * k, sum[k]);
}

static void permute_doubles(double *sums, const uint8_t *ids, const void *const *leaves,
                            uint32_t trees, uint32_t most)
{
    if (most <= 32)
        permute_pd(sums, ids, leaves, trees, 32);
    else
        permute_pd(sums, ids, leaves, trees, 64);
}

static void permute_floats(float *sums, const uint8_t *ids, const void *const *leaves,
                           uint32_t trees, uint32_t most)
{
    if (most <= 32)
        permute_ps(sums, ids, leaves, trees, 32);
    else
        permute_ps(sums, ids, leaves, trees, 64);
}

static inline void join_bits(uint8_t *to, const uint64_t *bits, size_t step, uint32_t count)
{
    __m512i sum = _mm512_setzero_si512(), bit = _mm512_set1_epi8(1);

    for (uint32_t b = 0; b < count; b++, bits += step) {
        sum = _mm512_mask_add_epi8(sum, *bits, sum, bit);
        bit = _mm512_add_epi8(bit, bit);
    }
    _mm512_store_si512(to, sum);
}

#define SELECT_BITS(which, ones, zeros) \
    (slice_part)                        \
        _mm512_ternarylogic_epi64((__m512i)(which), (__m512i)(ones), (__m512i)(zeros), 0xCA)

#define VECTOR_BYTES 64
#define PERMUTE_LEAVES
#define SPLIT_LISTS
#include "forest/kernel.h"

#include "forest/oblivious_kernel.h"
#include "forest/shallow_kernel.h"

const struct sweep_kernel sweep_avx512 = {
    .isa = ISA_AVX512,
    .rank = rank,
    .tree = {sweep_tree_u8, sweep_tree_u16, sweep_tree_f32},
    .add_leaves = add_numbered,
    .count_votes = count_votes,
    .guide = {guide_u16, guide_u16, guide_f32},
    .oblivious = {oblivious_u8, oblivious_u16, oblivious_f32},
    .shallow = {shallow_u8, shallow_u16},
};

TARGET_END

#else
typedef int forest_avx512_is_for_x86_64;
#endif
