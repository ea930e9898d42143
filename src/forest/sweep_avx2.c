/* The sweep for AVX2: 32 bytes at a time. */
#if defined(__x86_64__)

#include "base/isa_target.h"
#include "forest/sweep.h"

#include <immintrin.h>

TARGET_BEGIN("avx2,bmi,bmi2,popcnt")

static inline __m256i load(const void *at)
{
    return _mm256_load_si256((const __m256i *)at);
}

static inline uint64_t join(__m256i low, __m256i high)
{
    return (uint32_t)_mm256_movemask_epi8(low) | (uint64_t)(uint32_t)_mm256_movemask_epi8(high)
                                                     << 32;
}

static inline uint64_t le_u8(const uint8_t *x, uint8_t t)
{
    const __m256i cut = _mm256_set1_epi8((char)t);
    __m256i a = load(x), b = load(x + 32);

    return join(_mm256_cmpeq_epi8(_mm256_min_epu8(a, cut), a),
                _mm256_cmpeq_epi8(_mm256_min_epu8(b, cut), b));
}

static inline __m256i le_words(const uint16_t *x, __m256i cut)
{
    __m256i v = load(x);

    return _mm256_cmpeq_epi16(_mm256_min_epu16(v, cut), v);
}

/* Packing works within halves of 16 bytes; the permutation puts the quarters in order. */
static inline __m256i pack_words(__m256i a, __m256i b)
{
    return _mm256_permute4x64_epi64(_mm256_packs_epi16(a, b), _MM_SHUFFLE(3, 1, 2, 0));
}

static inline uint64_t le_u16(const uint16_t *x, uint16_t t)
{
    const __m256i cut = _mm256_set1_epi16((short)t);

    return join(pack_words(le_words(x, cut), le_words(x + 16, cut)),
                pack_words(le_words(x + 32, cut), le_words(x + 48, cut)));
}

static inline uint64_t le_f32(const float *x, float t)
{
    const __m256 cut = _mm256_set1_ps(t);
    uint64_t bits = 0;

    for (size_t i = 0; i < 8; i++) {
        __m256 le = _mm256_cmp_ps(_mm256_loadu_ps(x + 8 * i), cut, _CMP_LE_OQ);

        bits |= (uint64_t)(uint32_t)_mm256_movemask_ps(le) << (8 * i);
    }
    return bits;
}

/* 32 bits to 32 bytes of -1 or 0. */
static inline __m256i spread(uint32_t bits)
{
    const __m256i byte_of =
        _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i one_each = _mm256_set1_epi64x((long long)0x8040201008040201ULL);
    __m256i v = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), byte_of);

    return _mm256_cmpeq_epi8(_mm256_and_si256(v, one_each), one_each);
}

static inline void add_bits(uint8_t *counts, uint64_t bits)
{
    for (size_t i = 0; i < 2; i++) {
        __m256i *at = (__m256i *)(void *)(counts + 32 * i);
        __m256i more = spread((uint32_t)(bits >> (32 * i)));

        _mm256_store_si256(at, _mm256_sub_epi8(_mm256_load_si256(at), more));
    }
}

static inline void put_u8(uint8_t *to, uint64_t bits, uint8_t value)
{
    for (size_t i = 0; i < 2; i++, bits >>= 32) {
        __m256i *at = (__m256i *)(void *)(to + 32 * i);
        __m256i all = _mm256_set1_epi8((char)value), here = spread((uint32_t)bits);

        _mm256_store_si256(at, _mm256_blendv_epi8(_mm256_load_si256(at), all, here));
    }
}

/* 16 bits to 16 words of -1 or 0. */
static inline __m256i spread_words(uint64_t bits)
{
    const __m256i one_each = _mm256_setr_epi16(1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048,
                                               4096, 8192, 16384, INT16_MIN);
    __m256i v = _mm256_and_si256(_mm256_set1_epi16((short)bits), one_each);

    return _mm256_cmpeq_epi16(v, one_each);
}

static inline void put_u16(uint16_t *to, uint64_t bits, uint16_t value)
{
    for (size_t i = 0; i < 4; i++, bits >>= 16) {
        __m256i *at = (__m256i *)(void *)(to + 16 * i);
        __m256i all = _mm256_set1_epi16((short)value);

        _mm256_store_si256(at, _mm256_blendv_epi8(_mm256_load_si256(at), all, spread_words(bits)));
    }
}

static inline void add_doubles(double *to, const double *from, uint32_t n)
{
    if (n == 2) {
        _mm_store_pd(to, _mm_add_pd(_mm_load_pd(to), _mm_load_pd(from)));
        return;
    }
    for (uint32_t i = 0; i < n; i += 4)
        _mm256_store_pd(to + i, _mm256_add_pd(_mm256_load_pd(to + i), _mm256_load_pd(from + i)));
}

/* The same operations as flat_rank(), so the same bucket for every float. */
static inline __m256i linear_buckets(const struct flat_ranker *r, __m256 x)
{
    const __m256 last = _mm256_set1_ps((float)(r->bucket_count - 1));
    __m256 at = _mm256_mul_ps(_mm256_sub_ps(x, _mm256_set1_ps(r->low)), _mm256_set1_ps(r->scale));

    /* The maximum of NaN and 0 is its second operand. */
    at = _mm256_min_ps(_mm256_max_ps(at, _mm256_setzero_ps()), last);
    return _mm256_cvttps_epi32(at);
}

static inline __m256i bits_buckets(const struct flat_ranker *r, __m256 x)
{
    const __m256i low = _mm256_set1_epi32((int)r->low_key);
    __m256i bits = _mm256_castps_si256(_mm256_add_ps(x, _mm256_setzero_ps()));
    __m256i sign = _mm256_srai_epi32(bits, 31);
    __m256i key = _mm256_xor_si256(bits, _mm256_or_si256(sign, _mm256_set1_epi32(INT32_MIN)));
    __m256i at = _mm256_sub_epi32(_mm256_max_epu32(key, low), low);

    at = _mm256_srl_epi32(at, _mm_cvtsi32_si128(r->shift));
    return _mm256_min_epu32(at, _mm256_set1_epi32((int)(r->bucket_count - 1)));
}

static inline __m256i rank_eight(const struct flat_ranker *r, __m256 x)
{
    __m256i bucket = r->linear ? linear_buckets(r, x) : bits_buckets(r, x);
    const int *start = (const int *)(const void *)r->start;
    __m256i at =
        _mm256_and_si256(_mm256_i32gather_epi32(start, bucket, 2), _mm256_set1_epi32(0xFFFF));

    for (uint32_t half = 1U << r->steps >> 1; half; half /= 2) {
        __m256 cut = _mm256_i32gather_ps(r->thresholds + half - 1, at, 4);
        __m256i below = _mm256_castps_si256(_mm256_cmp_ps(cut, x, _CMP_LT_OQ));

        at = _mm256_add_epi32(at, _mm256_and_si256(below, _mm256_set1_epi32((int)half)));
    }
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(at, _mm256_set1_epi32((int)r->count), nan);
}

static void rank(const struct flat_ranker *r, const float *values, size_t count,
                 uint16_t *ret_ranks)
{
    for (size_t i = 0; i < count; i += RANK_LANES) {
        __m256i low = rank_eight(r, _mm256_loadu_ps(values + i));
        __m256i high = rank_eight(r, _mm256_loadu_ps(values + i + 8));
        __m256i words = _mm256_packus_epi32(low, high);

        words = _mm256_permute4x64_epi64(words, _MM_SHUFFLE(3, 1, 2, 0));
        _mm256_storeu_si256((__m256i *)(void *)(ret_ranks + i), words);
    }
}

static inline void join_bits(uint8_t *to, const uint64_t *bits, size_t step, uint32_t count)
{
    for (size_t i = 0; i < 64; i += 32) {
        __m256i sum = _mm256_setzero_si256(), bit = _mm256_set1_epi8(1);

        for (uint32_t b = 0; b < count; b++) {
            __m256i here = spread((uint32_t)(bits[b * step] >> i));

            sum = _mm256_or_si256(sum, _mm256_and_si256(here, bit));
            bit = _mm256_add_epi8(bit, bit);
        }
        _mm256_store_si256((__m256i *)(void *)(to + i), sum);
    }
}

#define VECTOR_BYTES 32
#include "forest/kernel.h"

#include "forest/oblivious_kernel.h"
#include "forest/shallow_kernel.h"

const struct sweep_kernel sweep_avx2 = {
    .isa = ISA_AVX2,
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
typedef int forest_avx2_is_for_x86_64;
#endif
