/*
 * shallow: trees of few levels, asked everything at once. What the sweep saves by sending pixels
 * down the tree it pays for in lists and branches; in a tree of six levels there is little to save.
 * Here a slice of 512 pixels answers every question that any tree asks, once, a bit per pixel. A
 * tree then is a selection among those answers, level by level, without a branch: d words of 64
 * bits are the numbers of the leaves that 64 pixels come to (docs/forest-kernels.md).
 *
 * Boosted trees ask few questions, for they cut their features into bins: 1,000 trees with 46,000
 * splits have 6,000 different ones. It costs the same whatever the pixels look like, and no order
 * of them is better than another.
 *
 * Threads  immutable once made
 * Memory   everything lives in the arena that shallow_compile() was given: the leaves once more,
 *          and two bytes per split
 */
#ifndef TILTH_FOREST_SHALLOW_H
#define TILTH_FOREST_SHALLOW_H

#include "base/cpu.h"
#include "forest/flat.h"

/*
 * DEPTH: a tree's selections double with every level, what the sweep visits does not.
 * SLICE: packets that answer together, a cache line of answers to a question.
 * TESTS: questions of a group; their answers are half a megabyte, and a place times SLICE fits
 * 16 bits.
 */
enum { SHALLOW_DEPTH = 8, SHALLOW_SLICE = 8, SHALLOW_TESTS = 8192 };

/* Whether the value of a plane is at or below a rank. */
struct shallow_test {
    uint16_t plane, cut;
};

/* Trees whose questions are asked together. */
struct shallow_group {
    uint32_t tree_count, test_count;
    const struct shallow_test *tests; /* ascending */
    /* Tree after tree: of its splits, level by level and the right one first, the place among the
     * tests times SHALLOW_SLICE. Under a leaf higher up any question will do. */
    const uint16_t *places;
};

struct shallow {
    uint32_t group_count, most_tests; /* of a group, */
    uint64_t test_count;              /* and of all */
    const struct shallow_group *groups;
    /* As flat.trees, flat.leaves and flat.fixed, but for the leaves' numbers: bit l says that on
     * level l the value is at or below the cut. A leaf higher up has several. */
    const struct flat_tree *trees;
    const uint8_t *depths;
    struct flat_leaves leaves, fixed;
};

/*
 * *ret is NULL where the sweep has to do: a tree deeper than SHALLOW_DEPTH or with more gaps than
 * splits, votes that are counted, floats that are not ranked. False without memory.
 */
TL_MUST_CHECK bool shallow_compile(const struct flat *flat, struct arena *arena,
                                   const struct shallow **ret);

/*
 * Whether it is faster than the sweep on every tile, by how often a question is asked: on tiles
 * without structure it always is, and gains most.
 */
bool shallow_pays(const struct flat *flat, enum cpu_isa isa);

#endif
