/*
 * The kernel of oblivious.h. An instruction set says how long its vectors are,
 * VECTOR_BYTES; they are written in the compiler's own terms, so that this is all there is. It
 * defines the three functions of sweep_kernel.oblivious. Included by each forest_<isa>.c and by
 * nobody else, hence no guard against a second inclusion.
 */
#include "forest/oblivious.h"
#include "forest/sweep.h"

#if defined(__clang__)
#define UNROLL /* it does */
#else
#define UNROLL _Pragma("GCC unroll 8")
#endif

/* Where the leaves are that the pixels of a packet are on, by tree: as first_place has it. */
typedef uint32_t leaf_places[OBLIVIOUS_TREES][PACKET_PX];

/*
 * The answers of eight levels are a number: twice what it was, and one more where the value is at
 * or below the cut (a comparison that holds is -1). Deeper trees have a second such half.
 */
/* NOLINTBEGIN(bugprone-macro-parentheses): of types */
#define DEFINE_FIND(name, type, lane, member)                                                    \
    typedef type name##_values __attribute__((vector_size(VECTOR_BYTES), may_alias));            \
    typedef lane name##_lanes __attribute__((vector_size(VECTOR_BYTES), may_alias));             \
                                                                                                 \
    ALWAYS_INLINE void name##_half(const struct sweep *sweep, const struct oblivious_tree *tree, \
                                   uint32_t first, size_t at, lane *ret_half)                    \
    {                                                                                            \
        uint32_t end = TL_MIN(first + 8, tree->depth);                                           \
                                                                                                 \
        for (size_t i = 0; i < PACKET_PX; i += VECTOR_BYTES / sizeof(lane)) {                    \
            const type *values = (const type *)sweep->values + at + i;                           \
            name##_lanes number = {0};                                                           \
                                                                                                 \
            for (uint32_t l = end; l-- > first;) {                                               \
                const type *plane = values + (size_t)tree->levels[l].plane * sweep->room;        \
                type cut = (type)tree->levels[l].cut.member;                                     \
                                                                                                 \
                number = number + number -                                                       \
                         (name##_lanes)(*(const name##_values *)(const void *)plane <= cut);     \
            }                                                                                    \
            *(name##_lanes *)(void *)(ret_half + i) = number;                                    \
        }                                                                                        \
    }                                                                                            \
                                                                                                 \
    static void name(const struct sweep *sweep, const struct oblivious_tree *tree, size_t at,    \
                     uint32_t *ret_place)                                                        \
    {                                                                                            \
        lane half[PACKET_PX] __attribute__((aligned(64)));                                       \
                                                                                                 \
        name##_half(sweep, tree, 0, at, half);                                                   \
        for (size_t i = 0; i < PACKET_PX; i++)                                                   \
            ret_place[i] = tree->first_place + half[i] * (uint32_t)sizeof(double);               \
        if (tree->depth <= 8)                                                                    \
            return;                                                                              \
        name##_half(sweep, tree, 8, at, half);                                                   \
        for (size_t i = 0; i < PACKET_PX; i++)                                                   \
            ret_place[i] += ((uint32_t)half[i] << 8) * (uint32_t)sizeof(double);                 \
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

/* Adds to the sum at `to` the numbers `at` of the rows of all trees, in their order. */
#define ADD_TREES(type, to, rows, stride, at)                                                     \
    do {                                                                                          \
        type sum_ = *(const type *)(const void *)((to) + (at));                                   \
        UNROLL for (int t_ = 0; t_ < OBLIVIOUS_TREES; t_++) sum_ +=                               \
            *(const type *)(const void *)((rows) + (at) * sizeof(double) + place[t_] * (stride)); \
        *(type *)(void *)((to) + (at)) = sum_;                                                    \
    } while (0)

/* One pixel: its sums of a part, of which a row has `stride` numbers. */
ALWAYS_INLINE void add_part(const size_t *place, const double *rows, uint32_t stride, double *to)
{
    const char *bytes = (const char *)rows;

    UNROLL for (uint32_t at = 0; at + PART <= stride; at += PART)
        ADD_TREES(row_part, to, bytes, stride, at);
    if (stride >= PART)
        return;
    if (stride == 4)
        ADD_TREES(row_four, to, bytes, stride, 0);
    else if (stride == 2)
        ADD_TREES(row_two, to, bytes, stride, 0);
    else if (stride == 1)
        ADD_TREES(double, to, bytes, stride, 0);
}

/* Two parts of a leaf; the strides are constants where this is inlined, 0 where there is none. */
ALWAYS_INLINE void add_parts(const leaf_places places, const double *const *rows,
                             double *const *sums, uint32_t stride, uint32_t next)
{
    for (size_t i = 0; i < PACKET_PX; i++) {
        size_t place[OBLIVIOUS_TREES];

        UNROLL for (int t = 0; t < OBLIVIOUS_TREES; t++) place[t] = places[t][i];
        add_part(place, rows[0], stride, sums[0] + i * stride);
        if (next)
            add_part(place, rows[1], next, sums[1] + i * next);
    }
}

#define DEFINE_PARTS(stride, next)                                                         \
    static void add_##stride##_##next(const leaf_places places, const double *const *rows, \
                                      double *const *sums)                                 \
    {                                                                                      \
        add_parts(places, rows, sums, stride, next);                                       \
    }
DEFINE_PARTS(1, 0)
DEFINE_PARTS(2, 0)
DEFINE_PARTS(4, 0)
DEFINE_PARTS(8, 0)
DEFINE_PARTS(8, 1)
DEFINE_PARTS(8, 2)
DEFINE_PARTS(8, 4)
DEFINE_PARTS(8, 8)
#undef DEFINE_PARTS
#undef ADD_TREES

/* Adds the leaves of a group to the sums of a packet, two parts at once. */
static void add_leaves(const struct sweep *sweep, const struct oblivious_group *group,
                       const leaf_places places, uint32_t packet)
{
    static void (*const add[])(const leaf_places, const double *const *, double *const *) = {
        NULL,    add_1_0, add_2_0, add_4_0, add_4_0, add_8_0, add_8_0, add_8_0, add_8_0,
        add_8_1, add_8_2, add_8_4, add_8_4, add_8_8, add_8_8, add_8_8, add_8_8};
    uint32_t width = sweep->flat->oblivious->width;
    uint32_t last = (width - 1) / OBLIVIOUS_PART * OBLIVIOUS_PART;

    for (uint32_t first = 0; first < width; first += 2 * OBLIVIOUS_PART) {
        const double *rows[2];
        double *sums[2];

        for (uint32_t k = 0; k < 2; k++) {
            uint32_t part = TL_MIN(first + k * OBLIVIOUS_PART, last);

            rows[k] = group->rows + (size_t)part * group->leaf_count;
            sums[k] = (double *)sweep->sums + (size_t)part * sweep->room +
                      (size_t)packet * PACKET_PX * oblivious_stride(width - part);
        }
        add[TL_MIN(width - first, 2U * OBLIVIOUS_PART)](places, rows, sums);
    }
}

#define DEFINE_OBLIVIOUS(name, find)                                                \
    static void name(struct sweep *sweep)                                           \
    {                                                                               \
        const struct oblivious *forest = sweep->flat->oblivious;                    \
        leaf_places places;                                                         \
                                                                                    \
        for (uint32_t g = 0; g < forest->group_count; g++)                          \
            for (uint32_t p = 0; p < sweep->packets; p++) {                         \
                const struct oblivious_group *group = &forest->groups[g];           \
                                                                                    \
                for (uint32_t t = 0; t < OBLIVIOUS_TREES; t++)                      \
                    find(sweep, &group->trees[t], (size_t)p *PACKET_PX, places[t]); \
                add_leaves(sweep, group, places, p);                                \
            }                                                                       \
    }
DEFINE_OBLIVIOUS(oblivious_u8, find_u8)
DEFINE_OBLIVIOUS(oblivious_u16, find_u16)
DEFINE_OBLIVIOUS(oblivious_f32, find_f32)
#undef DEFINE_OBLIVIOUS
