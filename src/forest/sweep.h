/*
 * sweep: the packet sweep (docs/forest.md). A block of pixels, cut into packets of
 * 64, goes down one tree at a time: a list of (packet, mask of its pixels) is split at
 * every node, leaves are landed on as they are met.
 *
 * One kernel per instruction set, all of the same source (kernel.h); the tests hold
 * each against walk.h.
 *
 * Threads  a sweep belongs to one
 * Memory   everything in struct sweep is the caller's scratch
 */
#ifndef TILTH_FOREST_SWEEP_H
#define TILTH_FOREST_SWEEP_H

#include "base/cpu.h"
#include "forest/flat.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* LIST_SLACK: entries behind a list that a vector may write over. */
enum { PACKET_PX = 64, RANK_LANES = 16, LIST_SLACK = 8 };

/* Votes are counted in bytes; they are emptied into `totals` after so many trees. Leaves are
 * added up for so many at once. */
enum { VOTES_MAX_TREES = 255, LEAF_TREES = 16 };

/* A list that waits for the left side of its node to be done. */
struct sweep_pending {
    uint32_t first, count; /* entries of mask[] and id[] */
    uint32_t node;
};

struct sweep {
    const struct flat *flat;
    uint32_t packets; /* of this block */
    uint32_t room;    /* pixels between planes, a multiple of PACKET_PX */

    /* [plane][room] of the flat type, and each plane's least and greatest value. A plane
     * with NaN has NaN as its greatest. */
    void *values, *low, *high;

    /* Lists: (packets + LIST_SLACK) x (max_depth + 1) entries, and max_depth + 1 that wait. */
    uint64_t *mask;
    uint32_t *id;
    uint64_t *below; /* packets + LIST_SLACK: comparisons of the node at hand */
    struct sweep_pending *pending;

    /* flat.by_leaf. ids: [packet][LEAF_TREES][PACKET_PX], leaves that pixels have come to;
     * tree_ids: of the tree at hand in the first packet. sums: [score][room][leaves->stride] of
     * doubles, floats or int32 (leaves->number), where leaves of more than one number are all of
     * one score. */
    const struct flat_leaves *leaves; /* what is added */
    void *ids, *tree_ids, *sums;

    /* A run with shallow.h. [test][SHALLOW_SLICE]: answers to the questions of a group. */
    uint64_t *answers;

    /* The others. votes: [class][packets], this tree's; counts: [class][room]. */
    uint64_t *votes;
    uint8_t *counts;
    /* Leaves with rows: sums per pixel and per whole packet, [..][class]; which pixels have
     * landed on any row, and on one that is not exact. A row takes flat->row_stride. */
    double *rows, *packet_rows;
    uint64_t *rowed, *inexact;
};

/* Planes of a unit before they are put in order: [plane][room], ranks of two bytes for FLAT_U8
 * and FLAT_U16, else floats. */
struct raster {
    void *values;
    size_t room; /* pixels between planes, a multiple of PACKET_PX */
};

struct sweep_kernel {
    enum cpu_isa isa;
    /* flat_rank(), for counts that are multiples of RANK_LANES. */
    void (*rank)(const struct flat_ranker *ranker, const float *values, size_t count,
                 uint16_t *ret_ranks);
    /* One tree over the block, by flat type. */
    void (*tree[FLAT_F32 + 1])(struct sweep *sweep, const struct flat_tree *tree);
    /* Adds the leaves in ids[0 .. count - 1], of `count` trees of one score, to the sums. */
    void (*add_leaves)(const struct sweep *sweep, const struct flat_tree *trees, uint32_t count);
    /* counts[i] += bit i of votes; the votes are cleared. */
    void (*count_votes)(uint8_t *counts, uint64_t *votes, uint32_t packets);
    /* Path bits of 64 pixels in the guide trees, by flat type: of the raster's pixels from
     * `at`, a multiple of PACKET_PX, on: ret_bits[tree * GUIDE_LEVELS + level]. */
    void (*guide[FLAT_F32 + 1])(const struct flat_guide *guide, const struct raster *raster,
                                size_t at, uint64_t *ret_bits);
    /* All trees over the block, where flat->oblivious; the sums lie as oblivious_sums() says. */
    void (*oblivious[FLAT_F32 + 1])(struct sweep *sweep);
    /* All trees over the block, where flat->shallow; plain C has none (shallow_pays()). */
    void (*shallow[FLAT_F32 + 1])(struct sweep *sweep);
};

/* The best kernel up to `isa`; never NULL. */
const struct sweep_kernel *sweep_kernel(enum cpu_isa isa);

extern const struct sweep_kernel sweep_scalar;
#if defined(__x86_64__)
extern const struct sweep_kernel sweep_sse2, sweep_avx2, sweep_avx512;
#elif defined(__aarch64__)
extern const struct sweep_kernel sweep_neon;
#endif

#endif
