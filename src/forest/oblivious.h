/*
 * oblivious: trees that ask one question per level, the same of every pixel (CatBoost's).
 * Nothing is split: the answers of a tree's d levels are d bits, and they are the number of the
 * leaf. Per pixel and tree that leaves one row to add, which is all this costs
 * (docs/forest-kernels.md).
 *
 * The sums are double and in the order of the trees, as the library has them; walk.h is
 * the oracle here as everywhere.
 *
 * Threads  immutable once made
 * Memory   everything lives in the arena that oblivious_compile() was given: the leaves once more
 */
#ifndef TILTH_FOREST_OBLIVIOUS_H
#define TILTH_FOREST_OBLIVIOUS_H

#include "forest/flat.h"

/* TREES: added in one pass, while the sums of a pixel stay in registers. PART: numbers of a leaf
 * that lie together; a leaf with more has several parts. */
enum { OBLIVIOUS_TREES = 8, OBLIVIOUS_MAX_DEPTH = 16, OBLIVIOUS_PART = 8 };

struct oblivious_level {
    union flat_cut cut;
    uint16_t plane;
};

/* Bit l of a leaf's number: on level l the value is at or below the cut. */
struct oblivious_tree {
    uint32_t depth;
    /* Of its leaf 0 in the group. A place is the leaf's position times the bytes of a double, so
     * that place * stride finds its row in a part of any stride. */
    uint32_t first_place;
    const struct oblivious_level *levels;
};

/* The trees of one pass. A group that would have fewer is filled up with leaves of zeros. */
struct oblivious_group {
    struct oblivious_tree trees[OBLIVIOUS_TREES];
    uint32_t leaf_count;
    double *rows; /* [part][leaf_count][stride of the part] */
};

struct oblivious {
    uint32_t width; /* numbers per leaf */
    uint32_t group_count;
    struct oblivious_group *groups;
};

/* Doubles between the rows of a part, when `left` numbers of the leaf are in it and behind it: all
 * parts but the last are full. */
static inline uint32_t oblivious_stride(uint32_t left)
{
    return left <= 2 ? left : left <= 4 ? 4 : OBLIVIOUS_PART;
}

/* Doubles that a leaf, or the sums of a pixel, take in all parts. */
static inline uint32_t oblivious_room(uint32_t width)
{
    uint32_t last = (width - 1) / OBLIVIOUS_PART * OBLIVIOUS_PART;

    return last + oblivious_stride(width - last);
}

/* Pixel i of the sums of `room` pixels: [part][pixel][stride of the part]. */
static inline void oblivious_sums(const struct oblivious *forest, const double *sums, size_t room,
                                  size_t i, double *ret_sums)
{
    for (uint32_t first = 0; first < forest->width; first += OBLIVIOUS_PART) {
        uint32_t left = forest->width - first;
        const double *from = sums + first * room + i * oblivious_stride(left);

        for (uint32_t s = 0; s < left && s < OBLIVIOUS_PART; s++)
            ret_sums[first + s] = from[s];
    }
}

/*
 * *ret is NULL where the sweep has to do: a tree that asks two questions on one level or is
 * deeper than OBLIVIOUS_MAX_DEPTH, votes, float32 sums, trees of one class each. False without
 * memory.
 */
TL_MUST_CHECK bool oblivious_compile(const struct flat *flat, struct arena *arena,
                                     const struct oblivious **ret);

#endif
