/*
 * Leaves by number (flat_leaves): noting them in the sweep, and adding up afterwards what those of
 * several trees give, pixel by pixel and in the order of the trees. Included by kernel.h.
 */

/* Trees of so many leaves are rare. */
static void put_u32(uint32_t *to, uint64_t bits, uint32_t value)
{
    for (; bits; bits &= bits - 1)
        to[__builtin_ctzll(bits)] = value;
}

/* Notes the leaf of the pixels of `bits`; nothing branches on them. */
ALWAYS_INLINE void keep_leaf(struct sweep *sweep, uint32_t leaf, uint32_t packet, uint64_t bits)
{
    size_t at = (size_t)packet * LEAF_TREES * PACKET_PX;

    if (sweep->leaves->id_bytes == 1)
        put_u8((uint8_t *)sweep->tree_ids + at, bits, (uint8_t)leaf);
    else if (sweep->leaves->id_bytes == 2)
        put_u16((uint16_t *)sweep->tree_ids + at, bits, (uint16_t)leaf);
    else
        put_u32((uint32_t *)sweep->tree_ids + at, bits, leaf);
}

typedef double double_8 __attribute__((may_alias));
typedef float float_4 __attribute__((may_alias));
typedef int int_4 __attribute__((may_alias));
#define DEFINE_VECTOR(bytes)                                                      \
    typedef double double_##bytes __attribute__((vector_size(bytes), may_alias)); \
    typedef float float_##bytes __attribute__((vector_size(bytes), may_alias));   \
    typedef int int_##bytes __attribute__((vector_size(bytes), may_alias));
DEFINE_VECTOR(16)
DEFINE_VECTOR(32)
DEFINE_VECTOR(64)
#undef DEFINE_VECTOR

/* The widest vector of at most 32 or 64 bytes. */
#if VECTOR_BYTES >= 64
#define UP_TO_64(type) type##_64
#elif VECTOR_BYTES >= 32
#define UP_TO_64(type) type##_32
#else
#define UP_TO_64(type) type##_16
#endif
#if VECTOR_BYTES >= 32
#define UP_TO_32(type) type##_32
#else
#define UP_TO_32(type) type##_16
#endif

/*
 * name_some: of one packet, `n` vectors of each leaf, a pixel's sums in registers while `count`
 * trees are added. name: a piece of the leaves (from byte `column` on) of all packets; as many
 * trees at once as there are registers for.
 */
/* NOLINTBEGIN(bugprone-macro-parentheses): of types */
#define DEFINE_ADD(name, vector, id_type, n)                                                      \
    ALWAYS_INLINE void name##_some(const id_type *ids, const char *const *leaves, uint32_t count, \
                                   size_t stride, char *sums)                                     \
    {                                                                                             \
        for (size_t i = 0; i < PACKET_PX; i++) {                                                  \
            vector *to = (vector *)(void *)(sums + i * stride), sum[n];                           \
                                                                                                  \
            for (size_t k = 0; k < (n); k++)                                                      \
                sum[k] = to[k];                                                                   \
            for (size_t t = 0; t < count; t++) {                                                  \
                const char *leaf = leaves[t] + ids[t * PACKET_PX + i] * stride;                   \
                                                                                                  \
                for (size_t k = 0; k < (n); k++)                                                  \
                    sum[k] += ((const vector *)(const void *)leaf)[k];                            \
            }                                                                                     \
            for (size_t k = 0; k < (n); k++)                                                      \
                to[k] = sum[k];                                                                   \
        }                                                                                         \
    }                                                                                             \
    ALWAYS_INLINE void name(const struct sweep *sweep, const struct flat_tree *trees,             \
                            uint32_t count, size_t stride, size_t column)                         \
    {                                                                                             \
        enum { AT_ONCE = (n) == 1 ? 8 : 4 };                                                      \
        const id_type *ids = sweep->ids;                                                          \
        char *sums = (char *)sweep->sums + trees->score * (sweep->room * stride) + column;        \
        const char *leaves[LEAF_TREES];                                                           \
                                                                                                  \
        for (size_t t = 0; t < count; t++)                                                        \
            leaves[t] =                                                                           \
                (const char *)sweep->leaves->values + column + trees[t].first_leaf * stride;      \
        for (uint32_t p = 0; p < sweep->packets; p++) {                                           \
            size_t t = 0;                                                                         \
                                                                                                  \
            for (; t + AT_ONCE <= count; t += AT_ONCE)                                            \
                name##_some(ids + t * PACKET_PX, leaves + t, AT_ONCE, stride, sums);              \
            for (; t < count; t++)                                                                \
                name##_some(ids + t * PACKET_PX, leaves + t, 1, stride, sums);                    \
            ids += (size_t)LEAF_TREES * PACKET_PX;                                                \
            sums += PACKET_PX * stride;                                                           \
        }                                                                                         \
    }

/* The usual strides are constants, so that a leaf's place costs a shift. */
#define DEFINE_ADDS(name, type, one, id_type)                                              \
    DEFINE_ADD(name##_1, one, id_type, 1)                                                  \
    DEFINE_ADD(name##_16, type##_16, id_type, 1)                                           \
    DEFINE_ADD(name##_32, UP_TO_32(type), id_type, 32 / (int)sizeof(UP_TO_32(type)))       \
    DEFINE_ADD(name##_64, UP_TO_64(type), id_type, 64 / (int)sizeof(UP_TO_64(type)))       \
    DEFINE_ADD(name##_128, UP_TO_64(type), id_type, 128 / (int)sizeof(UP_TO_64(type)))     \
    static void name(const struct sweep *sweep, const struct flat_tree *trees, uint32_t n) \
    {                                                                                      \
        size_t stride = sweep->leaves->stride * sizeof(type);                              \
                                                                                           \
        if (stride == sizeof(type))                                                        \
            name##_1(sweep, trees, n, sizeof(type), 0);                                    \
        else if (stride == 16)                                                             \
            name##_16(sweep, trees, n, 16, 0);                                             \
        else if (stride == 32)                                                             \
            name##_32(sweep, trees, n, 32, 0);                                             \
        else if (stride == 128)                                                            \
            name##_128(sweep, trees, n, 128, 0);                                           \
        else                                                                               \
            for (size_t column = 0; column < stride; column += 64)                         \
                name##_64(sweep, trees, n, stride, column);                                \
    }
/* NOLINTEND(bugprone-macro-parentheses) */
DEFINE_ADDS(add_double_u8, double, double_8, uint8_t)
DEFINE_ADDS(add_double_u16, double, double_8, uint16_t)
DEFINE_ADDS(add_double_u32, double, double_8, uint32_t)
DEFINE_ADDS(add_float_u8, float, float_4, uint8_t)
DEFINE_ADDS(add_float_u16, float, float_4, uint16_t)
DEFINE_ADDS(add_float_u32, float, float_4, uint32_t)
DEFINE_ADDS(add_int_u8, int, int_4, uint8_t)
DEFINE_ADDS(add_int_u16, int, int_4, uint16_t)
DEFINE_ADDS(add_int_u32, int, int_4, uint32_t)
#undef DEFINE_ADD
#undef DEFINE_ADDS

#ifdef PERMUTE_LEAVES
/* Trees of few leaves of one number. False: there are more. */
static bool permute_leaves(const struct sweep *sweep, const struct flat_tree *trees, uint32_t count)
{
    const struct flat_leaves *from = sweep->leaves;
    size_t item = from->number == NUMBER_DOUBLE ? sizeof(double) : sizeof(float);
    char *sums = (char *)sweep->sums + trees->score * (sweep->room * item);
    const uint8_t *ids = sweep->ids;
    const void *leaves[LEAF_TREES];

    if (from->stride > 1 || from->most > FLAT_FEW_LEAVES)
        return false;
    for (size_t t = 0; t < count; t++)
        leaves[t] = (const char *)from->values + trees[t].first_leaf * item;
    for (uint32_t p = 0; p < sweep->packets; p++, sums += PACKET_PX * item) {
        if (from->number == NUMBER_DOUBLE)
            permute_doubles((double *)(void *)sums, ids, leaves, count, from->most);
        else
            permute_floats((float *)(void *)sums, ids, leaves, count, from->most);
        ids += (size_t)LEAF_TREES * PACKET_PX;
    }
    return true;
}
#endif

static void add_numbered(const struct sweep *sweep, const struct flat_tree *trees, uint32_t count)
{
    typedef void adder(const struct sweep *, const struct flat_tree *, uint32_t);
    static adder *const add[][3] = {
        [NUMBER_FLOAT] = {add_float_u8, add_float_u16, add_float_u32},
        [NUMBER_DOUBLE] = {add_double_u8, add_double_u16, add_double_u32},
        [NUMBER_FIXED] = {add_int_u8, add_int_u16, add_int_u32},
    };

#ifdef PERMUTE_LEAVES
    if (permute_leaves(sweep, trees, count))
        return;
#endif
    add[sweep->leaves->number][sweep->leaves->id_bytes / 2](sweep, trees, count);
}
