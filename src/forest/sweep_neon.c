/* The sweep for every aarch64: 16 bytes at a time. Its speed has not been seen on a machine. */
#if defined(__aarch64__)

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

/* A bit for each byte, the same in both halves. */
static inline uint8x16_t one_each(void)
{
    return vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201U));
}

/*
 * 64 bytes of -1 or 0 to 64 bits, as there is no movemask: each byte keeps its bit, and three
 * additions of neighbours bring the bits of eight bytes into one.
 */
static inline uint64_t bits_of(const uint8x16_t mask[4])
{
    uint8x16_t weight = one_each();
    uint8x16_t low = vpaddq_u8(vandq_u8(mask[0], weight), vandq_u8(mask[1], weight));
    uint8x16_t high = vpaddq_u8(vandq_u8(mask[2], weight), vandq_u8(mask[3], weight));
    uint8x16_t all = vpaddq_u8(low, high);

    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(all, all)), 0);
}

static inline uint64_t le_u8(const uint8_t *x, uint8_t t)
{
    const uint8x16_t cut = vdupq_n_u8(t);
    uint8x16_t mask[4];

    for (size_t i = 0; i < 4; i++)
        mask[i] = vcleq_u8(vld1q_u8(x + 16 * i), cut);
    return bits_of(mask);
}

static inline uint64_t le_u16(const uint16_t *x, uint16_t t)
{
    const uint16x8_t cut = vdupq_n_u16(t);
    uint8x16_t mask[4];

    for (size_t i = 0; i < 4; i++, x += 16)
        mask[i] = vuzp1q_u8(vreinterpretq_u8_u16(vcleq_u16(vld1q_u16(x), cut)),
                            vreinterpretq_u8_u16(vcleq_u16(vld1q_u16(x + 8), cut)));
    return bits_of(mask);
}

/* Eight words of -1 or 0. */
static inline uint8x16_t le_floats(const float *x, float32x4_t cut)
{
    uint32x4_t low = vcleq_f32(vld1q_f32(x), cut), high = vcleq_f32(vld1q_f32(x + 4), cut);

    return vreinterpretq_u8_u16(
        vuzp1q_u16(vreinterpretq_u16_u32(low), vreinterpretq_u16_u32(high)));
}

static inline uint64_t le_f32(const float *x, float t)
{
    const float32x4_t cut = vdupq_n_f32(t);
    uint8x16_t mask[4];

    for (size_t i = 0; i < 4; i++, x += 16)
        mask[i] = vuzp1q_u8(le_floats(x, cut), le_floats(x + 8, cut));
    return bits_of(mask);
}

static inline void add_bits(uint8_t *counts, uint64_t bits)
{
    for (size_t i = 0; i < 4; i++, bits >>= 16) {
        uint8x16_t v = vcombine_u8(vdup_n_u8((uint8_t)bits), vdup_n_u8((uint8_t)(bits >> 8)));
        uint8_t *at = counts + 16 * i;

        vst1q_u8(at, vsubq_u8(vld1q_u8(at), vtstq_u8(v, one_each())));
    }
}

static inline void put_u8(uint8_t *to, uint64_t bits, uint8_t value)
{
    for (size_t i = 0; i < 4; i++, bits >>= 16) {
        uint8x16_t v = vcombine_u8(vdup_n_u8((uint8_t)bits), vdup_n_u8((uint8_t)(bits >> 8)));
        uint8_t *at = to + 16 * i;

        vst1q_u8(at, vbslq_u8(vtstq_u8(v, one_each()), vdupq_n_u8(value), vld1q_u8(at)));
    }
}

static inline void put_u16(uint16_t *to, uint64_t bits, uint16_t value)
{
    const uint16x8_t which = {1, 2, 4, 8, 16, 32, 64, 128};

    for (size_t i = 0; i < 8; i++, bits >>= 8) {
        uint16x8_t here = vtstq_u16(vdupq_n_u16((uint16_t)(bits & 0xFF)), which);
        uint16_t *at = to + 8 * i;

        vst1q_u16(at, vbslq_u16(here, vdupq_n_u16(value), vld1q_u16(at)));
    }
}

static inline void add_doubles(double *to, const double *from, uint32_t n)
{
    for (uint32_t i = 0; i < n; i += 2)
        vst1q_f64(to + i, vaddq_f64(vld1q_f64(to + i), vld1q_f64(from + i)));
}

static inline void join_bits(uint8_t *to, const uint64_t *bits, size_t step, uint32_t count)
{
    for (size_t i = 0; i < 64; i += 16) {
        uint8x16_t sum = vdupq_n_u8(0), bit = vdupq_n_u8(1);

        for (uint32_t b = 0; b < count; b++) {
            uint64_t here = bits[b * step] >> i;
            uint8x16_t v = vcombine_u8(vdup_n_u8((uint8_t)here), vdup_n_u8((uint8_t)(here >> 8)));

            sum = vorrq_u8(sum, vandq_u8(vtstq_u8(v, one_each()), bit));
            bit = vaddq_u8(bit, bit);
        }
        vst1q_u8(to + i, sum);
    }
}

#define VECTOR_BYTES 16
#include "forest/kernel.h"

#include "forest/oblivious_kernel.h"
#include "forest/shallow_kernel.h"

const struct sweep_kernel sweep_neon = {
    .isa = ISA_NEON,
    .rank = flat_rank,
    .tree = {sweep_tree_u8, sweep_tree_u16, sweep_tree_f32},
    .add_leaves = add_numbered,
    .count_votes = count_votes,
    .guide = {guide_u16, guide_u16, guide_f32},
    .oblivious = {oblivious_u8, oblivious_u16, oblivious_f32},
    .shallow = {shallow_u8, shallow_u16},
};

#else
typedef int forest_neon_is_for_aarch64;
#endif
