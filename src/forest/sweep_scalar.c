/* The sweep in plain C: every machine has it, and it is what the others are held against. */
#include <stdint.h>

/* NOLINTBEGIN(bugprone-macro-parentheses): of types */
#define DEFINE_LE(name, type)                   \
    static uint64_t name(const type *x, type t) \
    {                                           \
        uint64_t bits = 0;                      \
                                                \
        for (unsigned i = 0; i < 64; i++)       \
            bits |= (uint64_t)(x[i] <= t) << i; \
        return bits;                            \
    }
DEFINE_LE(le_u8, uint8_t)
DEFINE_LE(le_u16, uint16_t)
DEFINE_LE(le_f32, float)
#undef DEFINE_LE

static void add_bits(uint8_t *counts, uint64_t bits)
{
    for (unsigned i = 0; i < 64; i++)
        counts[i] = (uint8_t)(counts[i] + (bits >> i & 1));
}

#define DEFINE_PUT(name, type)                            \
    static void name(type *to, uint64_t bits, type value) \
    {                                                     \
        for (; bits; bits &= bits - 1)                    \
            to[__builtin_ctzll(bits)] = value;            \
    }
DEFINE_PUT(put_u8, uint8_t)
DEFINE_PUT(put_u16, uint16_t)
#undef DEFINE_PUT
/* NOLINTEND(bugprone-macro-parentheses) */

static void add_doubles(double *to, const double *from, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        to[i] += from[i];
}

#define VECTOR_BYTES 16
#include "forest/kernel.h"

#include "forest/oblivious_kernel.h"

const struct sweep_kernel sweep_scalar = {
    .isa = ISA_SCALAR,
    .rank = flat_rank,
    .tree = {sweep_tree_u8, sweep_tree_u16, sweep_tree_f32},
    .add_leaves = add_numbered,
    .count_votes = count_votes,
    .guide = {guide_u16, guide_u16, guide_f32},
    .oblivious = {oblivious_u8, oblivious_u16, oblivious_f32},
};
