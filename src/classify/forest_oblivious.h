/*
 * forest_oblivious: trees that ask one question per level, the same of every pixel (CatBoost's).
 * Nothing is split: the answers of a tree's d levels are d bits, and they are the number of the
 * leaf. Per pixel and tree that leaves one row to add, which is all this costs (docs/forest.md).
 *
 * The sums are double and in the order of the trees, as the library has them; forest_walk is
 * the oracle here as everywhere.
 *
 * Threads  immutable once made
 * Memory   everything lives in the arena that oblivious_compile() was given: the leaves once more
 */
#ifndef TILTH_CLASSIFY_FOREST_OBLIVIOUS_H
#define TILTH_CLASSIFY_FOREST_OBLIVIOUS_H

#include "classify/forest_flat.h"

/* TREES: added in one pass, while the sums of a pixel stay in registers. PANEL: numbers of a leaf
 * that lie together; a leaf with more has several panels. */
enum { OBLIVIOUS_TREES = 8, OBLIVIOUS_MAX_DEPTH = 16, OBLIVIOUS_PANEL = 16 };

struct oblivious_level {
    union flat_cut cut;
    uint16_t plane;
};

/* Bit l of a leaf's number: on level l the value is at or below the cut. */
struct oblivious_tree {
    uint32_t depth;
    const struct oblivious_level *levels;
    const double *rows; /* [panel][2^depth][stride of the panel] */
};

struct oblivious {
    uint32_t width;      /* numbers per leaf */
    uint32_t tree_count; /* a multiple of OBLIVIOUS_TREES: trees of one leaf of zeros fill up */
    struct oblivious_tree *trees;
};

/* Doubles between the rows of a panel, of which `left` numbers are left: all that are behind its
 * first. All panels but the last are OBLIVIOUS_PANEL wide. */
static inline uint32_t oblivious_stride(uint32_t left)
{
    return left <= 2 ? left : left <= 4 ? 4 : left <= 8 ? 8 : OBLIVIOUS_PANEL;
}

/* Doubles that a leaf, or the sums of a pixel, take in all panels. */
static inline uint32_t oblivious_room(uint32_t width)
{
    uint32_t last = (width - 1) / OBLIVIOUS_PANEL * OBLIVIOUS_PANEL;

    return last + oblivious_stride(width - last);
}

/* Where sum `score` of pixel i is among the sums of `room` pixels. */
static inline size_t oblivious_sum_at(const struct oblivious *forest, size_t room, uint32_t score,
                                      size_t i)
{
    uint32_t first = score / OBLIVIOUS_PANEL * OBLIVIOUS_PANEL;

    return first * room + i * oblivious_stride(forest->width - first) + (score - first);
}

/*
 * *ret is NULL where the sweep has to do: a tree that asks two questions on one level or is
 * deeper than OBLIVIOUS_MAX_DEPTH, votes, float32 sums, trees of one class each. False without
 * memory.
 */
TL_MUST_CHECK bool oblivious_compile(const struct flat *flat, struct arena *arena,
                                     const struct oblivious **ret);

#endif
