/* The sweep for AVX-512BW: one comparison per packet of bytes, masks without detours. */
#if defined(__x86_64__)

#include "classify/forest_sweep.h"
#include "classify/forest_target.h"

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

    for (unsigned i = 0; i < 4; i++)
        bits |= (uint64_t)_mm512_cmp_ps_mask(_mm512_loadu_ps(x + 16 * i), cut, _CMP_LE_OQ)
                << (16 * i);
    return bits;
}

static inline void add_bits(uint8_t *counts, uint64_t bits)
{
    __m512i at = _mm512_load_si512(counts);

    _mm512_store_si512(counts, _mm512_mask_add_epi8(at, bits, at, _mm512_set1_epi8(1)));
}

static inline void add_score(double *scores, uint64_t bits, double value)
{
    const __m512d more = _mm512_set1_pd(value);

    for (unsigned i = 0; i < 8; i++, bits >>= 8) {
        __m512d at = _mm512_load_pd(scores + 8 * i);

        _mm512_store_pd(scores + 8 * i, _mm512_mask_add_pd(at, (__mmask8)bits, at, more));
    }
}

#include "classify/forest_kernel.h"

const struct sweep_kernel sweep_avx512 = {
    .isa = ISA_AVX512,
    .tree = {sweep_tree_u8, sweep_tree_u16, sweep_tree_f32},
    .count_votes = count_votes,
    .guide = guide_bits,
};

TARGET_END

#else
typedef int forest_avx512_is_for_x86_64;
#endif
