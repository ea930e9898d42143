/*
 * kernel: the sweep, written once. An instruction set's file defines
 *
 *   le_u8(x, t)  le_u16(x, t)  le_f32(x, t)   bit i of 64: x[i] <= t
 *   add_bits(counts, bits)                    counts[i] += bit i, 64 bytes
 *   put_u8(to, bits, x)  put_u16(to, bits, x) to[i] = x where bit i is set
 *   add_doubles(to, from, n)                  to[i] += from[i]; n is a flat.row_stride
 *   VECTOR_BYTES                              of a vector, 16, 32 or 64
 *
 * where a permutation finds numbers in registers, PERMUTE_LEAVES and
 *
 *   permute_doubles(sums, ids, leaves, n, most)   sums[i] += leaves[t][ids[t][i]] for n trees of
 *   permute_floats(sums, ids, leaves, n, most)    at most `most` <= FLAT_FEW_LEAVES leaves
 *
 * and, where entries of lists can be moved many at a time, SPLIT_LISTS, struct entries and
 *
 *   keep_side(entries, flip, mask, id)        entries with pixels in below ^ flip, moved
 *
 * and includes this, which defines the four functions of a struct sweep_kernel. Included
 * by each forest_<isa>.c and by nobody else, hence no guard against a second inclusion.
 */
#include "base/attr.h"
#include "forest/sweep.h"

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Adds a leaf's row to the pixels of `bits`. */
static __attribute__((noinline)) void add_row(struct sweep *sweep, uint32_t packet, uint64_t bits,
                                              uint32_t row)
{
    uint32_t stride = sweep->flat->row_stride;
    const double *from = sweep->flat->rows + (size_t)row * stride;

    sweep->rowed[packet] |= bits;
    if (!sweep->flat->row_exact[row])
        sweep->inexact[packet] |= bits;
    if (bits == UINT64_MAX) {
        add_doubles(sweep->packet_rows + (size_t)packet * stride, from, stride);
        return;
    }
    double *to = sweep->rows + (size_t)packet * PACKET_PX * stride;
    for (; bits; bits &= bits - 1)
        add_doubles(to + (size_t)__builtin_ctzll(bits) * stride, from, stride);
}

#include "forest/kernel_leaf.h"

/* Pixels that have come to a leaf. `kind` is a constant where this is inlined. */
ALWAYS_INLINE void land_on(struct sweep *sweep, enum flat_kind kind, uint32_t leaf, uint32_t packet,
                           uint64_t bits)
{
    if (kind == KIND_VOTE)
        sweep->votes[(size_t)leaf * sweep->packets + packet] |= bits;
    else if (kind == KIND_ROW && bits)
        add_row(sweep, packet, bits, leaf);
    else if (kind == KIND_LEAF)
        keep_leaf(sweep, leaf, packet, bits);
}

/* Where a node's list lies, and how much of it went to each side. */
struct cut_list {
    uint32_t first, count; /* in */
    uint32_t top;          /* where the right side's list goes */
    uint32_t left, right;  /* out: entries of the lists; 0 where the child is a leaf */
};

/* A tree that is one leaf. */
static void land_all(struct sweep *sweep, const struct flat_tree *tree)
{
    for (uint32_t p = 0; p < sweep->packets; p++) {
        switch ((enum flat_kind)tree->root_kind) {
        case KIND_VOTE:
            land_on(sweep, KIND_VOTE, tree->root, p, UINT64_MAX);
            break;
        case KIND_ROW:
            land_on(sweep, KIND_ROW, tree->root, p, UINT64_MAX);
            break;
        case KIND_LEAF:
            land_on(sweep, KIND_LEAF, tree->root, p, UINT64_MAX);
            break;
        case KIND_NODE:
        case KIND_BASE:
        case KIND_COUNT:
            break;
        }
    }
}

#define VALUE       uint8_t
#define VALUE_LE    le_u8
#define VALUE_CUT   rank
#define SWEEP(name) name##_u8
#include "forest/kernel_tree.h"

#define VALUE       uint16_t
#define VALUE_LE    le_u16
#define VALUE_CUT   rank
#define SWEEP(name) name##_u16
#include "forest/kernel_tree.h"

#define VALUE       float
#define VALUE_LE    le_f32
#define VALUE_CUT   threshold
#define SWEEP(name) name##_f32
#include "forest/kernel_tree.h"

static void count_votes(uint8_t *counts, uint64_t *votes, uint32_t packets)
{
    for (uint32_t p = 0; p < packets; p++) {
        if (votes[p])
            add_bits(counts + (size_t)p * PACKET_PX, votes[p]);
        votes[p] = 0;
    }
}

/* Bit i of the mask of `slot`: pixel i goes right there. */
ALWAYS_INLINE uint64_t guide_slot(const struct flat_guide *guide, uint32_t tree, size_t slot,
                                  const struct raster *raster, size_t at, bool ranks)
{
    int32_t plane = guide->slot[tree][slot].plane;
    size_t from = (size_t)TL_MAX(plane, 0) * raster->room + at;

    if (plane < 0)
        return 0;
    if (ranks)
        return ~le_u16((const uint16_t *)raster->values + from,
                       (uint16_t)guide->slot[tree][slot].cut.rank);
    return ~le_f32((const float *)raster->values + from, guide->slot[tree][slot].cut.threshold);
}

ALWAYS_INLINE void guide_bits(const struct flat_guide *guide, const struct raster *raster,
                              size_t at, uint64_t *ret_bits, bool ranks)
{
    for (uint32_t t = 0; t < guide->tree_count; t++) {
        /* here[slot]: the pixels whose path comes by. */
        uint64_t here[2 * GUIDE_SLOTS] = {0, UINT64_MAX};

        for (size_t level = 0, first = 1; level < GUIDE_LEVELS; level++, first *= 2) {
            uint64_t right = 0;

            for (size_t slot = first; slot < 2 * first; slot++) {
                uint64_t side = here[slot] & guide_slot(guide, t, slot, raster, at, ranks);

                here[2 * slot] = here[slot] & ~side;
                here[2 * slot + 1] = side;
                right |= side;
            }
            ret_bits[(size_t)t * GUIDE_LEVELS + level] = right;
        }
    }
}

static void guide_u16(const struct flat_guide *guide, const struct raster *raster, size_t at,
                      uint64_t *ret_bits)
{
    guide_bits(guide, raster, at, ret_bits, true);
}

static void guide_f32(const struct flat_guide *guide, const struct raster *raster, size_t at,
                      uint64_t *ret_bits)
{
    guide_bits(guide, raster, at, ret_bits, false);
}
