/*
 * The kernel of shallow.h. Besides VECTOR_BYTES, le_u8 and le_u16 (kernel.h) an instruction set
 * defines
 *
 *   join_bits(to, bits, step, count)       bit b of to[i] = bit i of bits[b * step], for b < count
 *                                          and 64 bytes
 *
 * and, where there is an instruction for it,
 *
 *   SELECT_BITS(which, ones, zeros)        bits of `ones` where `which` has ones, else of `zeros`
 *
 * It defines the two functions of sweep_kernel.shallow. Included by sweep_<isa>.c and by nobody
 * else, hence no guard against a second inclusion.
 */
#include "forest/shallow.h"
#include "forest/sweep.h"

/* Answers of as many packets as a vector has words. */
typedef uint64_t slice_part __attribute__((vector_size(VECTOR_BYTES), may_alias));

enum { PART_PACKETS = VECTOR_BYTES / sizeof(uint64_t) };

#ifndef SELECT_BITS
#define SELECT_BITS(which, ones, zeros) (((which) & (ones)) | (~(which) & (zeros)))
#endif

/* Answers of the slice that begins at `packet` to all questions of a group: [test][packet]. */
/* NOLINTBEGIN(bugprone-macro-parentheses): of types */
#define DEFINE_ASK(name, type, le)                                                                \
    static void name(const struct sweep *sweep, const struct shallow_group *group, size_t packet, \
                     uint32_t count)                                                              \
    {                                                                                             \
        const type *values = (const type *)sweep->values + packet * PACKET_PX;                    \
        uint64_t *to = sweep->answers;                                                            \
                                                                                                  \
        for (uint32_t t = 0; t < group->test_count; t++, to += SHALLOW_SLICE) {                   \
            const type *x = values + (size_t)group->tests[t].plane * sweep->room;                 \
            type cut = (type)group->tests[t].cut;                                                 \
                                                                                                  \
            if (count == SHALLOW_SLICE) {                                                         \
                for (size_t k = 0; k < SHALLOW_SLICE; k++)                                        \
                    to[k] = le(x + k * PACKET_PX, cut);                                           \
                continue;                                                                         \
            }                                                                                     \
            for (size_t k = 0; k < SHALLOW_SLICE; k++)                                            \
                to[k] = k < count ? le(x + k * PACKET_PX, cut) : 0;                               \
        }                                                                                         \
    }
/* NOLINTEND(bugprone-macro-parentheses) */
DEFINE_ASK(ask_u8, uint8_t, le_u8)
DEFINE_ASK(ask_u16, uint16_t, le_u16)
#undef DEFINE_ASK

/* pick_k: the answer to that of 2^k questions which the answers on k levels lead to. */
ALWAYS_INLINE slice_part pick_0(const uint64_t *answers, const uint16_t *places,
                                const slice_part *levels)
{
    (void)levels;
    return *(const slice_part *)(const void *)(answers + places[0]);
}

#define DEFINE_PICK(k, below)                                                          \
    ALWAYS_INLINE slice_part pick_##k(const uint64_t *answers, const uint16_t *places, \
                                      const slice_part *levels)                        \
    {                                                                                  \
        slice_part zeros = pick_##below(answers, places, levels + 1);                  \
        slice_part ones = pick_##below(answers, places + (1 << (below)), levels + 1);  \
                                                                                       \
        return SELECT_BITS(levels[0], ones, zeros);                                    \
    }
DEFINE_PICK(1, 0)
DEFINE_PICK(2, 1)
DEFINE_PICK(3, 2)
DEFINE_PICK(4, 3)
DEFINE_PICK(5, 4)
DEFINE_PICK(6, 5)
DEFINE_PICK(7, 6)
#undef DEFINE_PICK

/* The answers of one tree's levels. */
static void answer_levels(const uint64_t *answers, const uint16_t *places, uint32_t depth,
                          uint64_t (*ret_bits)[SHALLOW_SLICE])
{
    slice_part levels[SHALLOW_DEPTH];

    for (size_t at = 0; at < SHALLOW_SLICE; at += PART_PACKETS, answers += PART_PACKETS) {
#define LEVEL(l)                                                    \
    if (depth <= (l))                                               \
        continue;                                                   \
    levels[l] = pick_##l(answers, places + (1 << (l)) - 1, levels); \
    *(slice_part *)(void *)(ret_bits[l] + at) = levels[l];
        LEVEL(0)
        LEVEL(1)
        LEVEL(2)
        LEVEL(3)
        LEVEL(4)
        LEVEL(5)
        LEVEL(6)
        LEVEL(7)
#undef LEVEL
    }
}

/* Leaf numbers of `trees` trees and `count` packets, as the sweep leaves them. *places is moved
 * behind those trees. */
static void number_leaves(const struct sweep *sweep, const uint8_t *depths, uint32_t trees,
                          uint32_t count, const uint16_t **places)
{
    uint64_t bits[SHALLOW_DEPTH][SHALLOW_SLICE] __attribute__((aligned(64)));

    for (uint32_t t = 0; t < trees; t++) {
        uint8_t *to = (uint8_t *)sweep->ids + (size_t)t * PACKET_PX;

        answer_levels(sweep->answers, *places, depths[t], bits);
        *places += (1 << depths[t]) - 1;
        for (uint32_t k = 0; k < count; k++, to += LEAF_TREES * PACKET_PX)
            join_bits(to, &bits[0][k], SHALLOW_SLICE, depths[t]);
    }
}

/* The trees of a group over the slice that `sweep` is; trees of one score are added together. */
static void slice_group(const struct sweep *sweep, const struct shallow_group *group,
                        uint32_t first)
{
    const struct flat_tree *trees = sweep->flat->shallow->trees + first;
    const uint8_t *depths = sweep->flat->shallow->depths + first;
    const uint16_t *places = group->places;

    for (uint32_t t = 0, n; t < group->tree_count; t += n) {
        n = 1;
        while (n < LEAF_TREES && t + n < group->tree_count && trees[t + n].score == trees[t].score)
            n++;
        number_leaves(sweep, depths + t, n, sweep->packets, &places);
        add_numbered(sweep, trees + t, n);
    }
}

#define DEFINE_SHALLOW(name, ask)                                                              \
    static void name(struct sweep *sweep)                                                      \
    {                                                                                          \
        const struct shallow *forest = sweep->flat->shallow;                                   \
        const struct flat_leaves *leaves = sweep->leaves;                                      \
        size_t sum = leaves->number == NUMBER_DOUBLE ? sizeof(double) : sizeof(float);         \
        size_t packet_bytes = PACKET_PX * leaves->stride * sum;                                \
        uint32_t first = 0;                                                                    \
                                                                                               \
        for (uint32_t g = 0; g < forest->group_count; first += forest->groups[g++].tree_count) \
            for (uint32_t p = 0; p < sweep->packets; p += SHALLOW_SLICE) {                     \
                struct sweep slice = *sweep;                                                   \
                                                                                               \
                slice.packets = TL_MIN(sweep->packets - p, (uint32_t)SHALLOW_SLICE);           \
                slice.sums = (char *)sweep->sums + p * packet_bytes;                           \
                ask(&slice, &forest->groups[g], p, slice.packets);                             \
                slice_group(&slice, &forest->groups[g], first);                                \
            }                                                                                  \
    }
DEFINE_SHALLOW(shallow_u8, ask_u8)
DEFINE_SHALLOW(shallow_u16, ask_u16)
#undef DEFINE_SHALLOW
