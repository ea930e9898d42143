/*
 * The kernel of forest_oblivious. An instruction set says how long its vectors are,
 * VECTOR_BYTES; they are written in the compiler's own terms, so that this is all there is. It
 * defines the three functions of sweep_kernel.oblivious. Included by each forest_<isa>.c and by
 * nobody else, hence no guard against a second inclusion.
 */
#include "classify/forest_oblivious.h"
#include "classify/forest_sweep.h"

#if defined(__clang__)
#define UNROLL /* it does */
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

/* Which leaf of each tree of a pass the pixels of a packet are on. */
typedef uint16_t leaf_numbers[OBLIVIOUS_TREES][PACKET_PX];

/* Numbers of the leaves, two halves of eight levels each: twice what they were, and one more
 * where the value is at or below the cut (a comparison that holds is -1). */
/* NOLINTBEGIN(bugprone-macro-parentheses): of types */
#define DEFINE_FIND(name, type, lane, member)                                                  \
    typedef type name##_values __attribute__((vector_size(VECTOR_BYTES), may_alias));          \
    typedef lane name##_lanes __attribute__((vector_size(VECTOR_BYTES), may_alias));           \
                                                                                               \
    static inline name##_lanes name##_levels(const struct sweep *sweep,                        \
                                             const struct oblivious_tree *tree, uint32_t from, \
                                             uint32_t to, size_t at)                           \
    {                                                                                          \
        const type *values = (const type *)sweep->values + at;                                 \
        name##_lanes number = {0};                                                             \
                                                                                               \
        for (uint32_t l = TL_MIN(to, tree->depth); l-- > from;) {                              \
            const type *plane = values + (size_t)tree->levels[l].plane * sweep->room;          \
            type cut = (type)tree->levels[l].cut.member;                                       \
                                                                                               \
            number = number + number -                                                         \
                     (name##_lanes)(*(const name##_values *)(const void *)plane <= cut);       \
        }                                                                                      \
        return number;                                                                         \
    }                                                                                          \
                                                                                               \
    static void name(const struct sweep *sweep, const struct oblivious_tree *tree, size_t at,  \
                     uint16_t *ret_leaf)                                                       \
    {                                                                                          \
        lane low[PACKET_PX] __attribute__((aligned(64)));                                      \
        lane high[PACKET_PX] __attribute__((aligned(64)));                                     \
                                                                                               \
        for (size_t i = 0; i < PACKET_PX; i += VECTOR_BYTES / sizeof(lane)) {                  \
            *(name##_lanes *)(void *)(low + i) = name##_levels(sweep, tree, 0, 8, at + i);     \
            *(name##_lanes *)(void *)(high + i) =                                              \
                name##_levels(sweep, tree, 8, OBLIVIOUS_MAX_DEPTH, at + i);                    \
        }                                                                                      \
        for (size_t i = 0; i < PACKET_PX; i++)                                                 \
            ret_leaf[i] = (uint16_t)(low[i] | high[i] << 8);                                   \
    }
/* NOLINTEND(bugprone-macro-parentheses) */
DEFINE_FIND(find_u8, uint8_t, uint8_t, rank)
DEFINE_FIND(find_u16, uint16_t, uint16_t, rank)
DEFINE_FIND(find_f32, float, uint32_t, threshold)
#undef DEFINE_FIND

typedef double row_part __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef double row_four __attribute__((vector_size(32), may_alias));
typedef double row_two __attribute__((vector_size(16), may_alias));

enum { PART = VECTOR_BYTES / sizeof(double) };

/* Adds to to[0..) the number that is `at` in the rows of every tree, in their order. */
#define ADD_TREES(type, at)                                         \
    do {                                                            \
        type sum_ = *(const type *)(const void *)(to + (at));       \
        UNROLL for (int t_ = 0; t_ < OBLIVIOUS_TREES; t_++) sum_ += \
            *(const type *)(const void *)(row[t_] + (at));          \
        *(type *)(void *)(to + (at)) = sum_;                        \
    } while (0)

/*
 * Adds the rows of all trees to the sums of a packet. `used` numbers of a row, of the `stride`
 * from one to the next; both are constants where this is inlined.
 */
ALWAYS_INLINE void add_panel(const leaf_numbers leaf, const double *const *rows, uint32_t used,
                             uint32_t stride, double *sums)
{
    for (size_t i = 0; i < PACKET_PX; i++) {
        double *to = sums + i * stride;
        const double *row[OBLIVIOUS_TREES];

        UNROLL for (int t = 0; t < OBLIVIOUS_TREES; t++) row[t] =
            rows[t] + (size_t)leaf[t][i] * stride;
        UNROLL for (uint32_t at = 0; at + PART <= used; at += PART) ADD_TREES(row_part, at);
        uint32_t rest = used % PART, at = used - rest;
        if (rest == 4)
            ADD_TREES(row_four, at);
        else if (rest == 2)
            ADD_TREES(row_two, at);
        else if (rest == 1)
            ADD_TREES(double, at);
    }
}

#define DEFINE_PANEL(used, stride)                                                                 \
    static void add_panel_##used(const leaf_numbers leaf, const double *const *rows, double *sums) \
    {                                                                                              \
        add_panel(leaf, rows, used, stride, sums);                                                 \
    }
DEFINE_PANEL(1, 1)
DEFINE_PANEL(2, 2)
DEFINE_PANEL(4, 4)
DEFINE_PANEL(8, 8)
DEFINE_PANEL(10, 16)
DEFINE_PANEL(12, 16)
DEFINE_PANEL(16, 16)
#undef DEFINE_PANEL
#undef ADD_TREES

/* What adds the first of `left` numbers. */
static void add_some(const leaf_numbers leaf, const double *const *rows, uint32_t left,
                     double *sums)
{
    static void (*const add[])(const leaf_numbers, const double *const *, double *) = {
        NULL,         add_panel_1,  add_panel_2,  add_panel_4,  add_panel_4,  add_panel_8,
        add_panel_8,  add_panel_8,  add_panel_8,  add_panel_10, add_panel_10, add_panel_12,
        add_panel_12, add_panel_16, add_panel_16, add_panel_16, add_panel_16};

    add[TL_MIN(left, (uint32_t)OBLIVIOUS_PANEL)](leaf, rows, sums);
}

/* Adds the leaves of OBLIVIOUS_TREES trees to the sums of a packet. */
static void add_leaves(const struct sweep *sweep, const struct oblivious_tree *trees,
                       const leaf_numbers leaf, uint32_t packet)
{
    uint32_t width = sweep->flat->oblivious->width;

    for (uint32_t first = 0; first < width; first += OBLIVIOUS_PANEL) {
        size_t at = (size_t)packet * PACKET_PX * oblivious_stride(width - first);
        const double *rows[OBLIVIOUS_TREES];

        for (int t = 0; t < OBLIVIOUS_TREES; t++)
            rows[t] = trees[t].rows + ((size_t)first << trees[t].depth);
        add_some(leaf, rows, width - first,
                 (double *)sweep->sums + (size_t)first * sweep->room + at);
    }
}

#define DEFINE_OBLIVIOUS(name, find)                                                       \
    static void name(struct sweep *sweep)                                                  \
    {                                                                                      \
        const struct oblivious *forest = sweep->flat->oblivious;                           \
        leaf_numbers leaf;                                                                 \
                                                                                           \
        for (uint32_t first = 0; first < forest->tree_count; first += OBLIVIOUS_TREES)     \
            for (uint32_t p = 0; p < sweep->packets; p++) {                                \
                for (uint32_t t = 0; t < OBLIVIOUS_TREES; t++)                             \
                    find(sweep, &forest->trees[first + t], (size_t)p *PACKET_PX, leaf[t]); \
                add_leaves(sweep, &forest->trees[first], leaf, p);                         \
            }                                                                              \
    }
DEFINE_OBLIVIOUS(oblivious_u8, find_u8)
DEFINE_OBLIVIOUS(oblivious_u16, find_u16)
DEFINE_OBLIVIOUS(oblivious_f32, find_f32)
#undef DEFINE_OBLIVIOUS
