/*
 * flat: the compiled form of an ensemble. Every split becomes "value of a plane <= cut",
 * every rule about missing values and every set of categories a plane of its own, every float
 * a rank (docs/forest.md). Compiled files hold it as it is here: what changes in it, or in what it
 * means, raises FLAT_FILE_VERSION (flat_file.h).
 *
 * Threads  immutable once made
 * Memory   everything lives in the arena that flat_compile() was given
 */
#ifndef TILTH_FOREST_FLAT_H
#define TILTH_FOREST_FLAT_H

#include "base/attr.h"
#include "base/err.h"
#include "forest/rank.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct model;
struct oblivious;
struct shallow;

/* What the values of a block's planes are. */
enum flat_type {
    FLAT_U8,  /* ranks; every plane has at most 255 distinct thresholds */
    FLAT_U16, /* ranks; at most 65,535 */
    FLAT_F32  /* the floats themselves: too many thresholds to rank */
};

/* What a child of a split is. */
enum flat_kind {
    KIND_NODE, /* another split */
    KIND_BASE, /* a pure leaf of the base class: counted by not being counted */
    KIND_VOTE, /* a pure leaf of another class */
    KIND_ROW,  /* a leaf with a row of class probabilities */
    KIND_LEAF, /* a leaf whose number is kept for every pixel, and added up later */
    KIND_COUNT
};

union flat_cut {
    uint32_t rank;   /* FLAT_U8, FLAT_U16 */
    float threshold; /* FLAT_F32 */
};

struct flat_node {
    union flat_cut cut;
    uint32_t left, right; /* node, class (VOTE), row (ROW) or leaf of the tree (LEAF) */
    uint16_t plane;
    uint8_t left_kind, right_kind; /* enum flat_kind */
};

struct flat_tree {
    uint32_t root; /* as flat_node.left */
    uint8_t root_kind;
    uint16_t score;      /* KIND_LEAF: where its leaves are added, */
    uint32_t first_leaf; /* and where they begin in flat.leaves */
};

enum flat_number { NUMBER_FLOAT, NUMBER_DOUBLE, NUMBER_FIXED };

/* A vector may read so many leaves of any tree. */
enum { FLAT_FEW_LEAVES = 64 };

/* Leaves by number: what a pixel's leaf adds. A leaf's numbers are filled up with zeros to
 * `stride`: 1, 2, 4 or a multiple of 8 doubles, 1, 4, 8 or a multiple of 16 of the others. */
struct flat_leaves {
    enum flat_number number;
    uint32_t stride;  /* in numbers, */
    uint32_t most;    /* leaves of the largest tree */
    uint8_t id_bytes; /* of a leaf's number: 1, 2 or 4 */
    size_t rows;      /* that there is memory of: from any tree's first leaf on `most`, and
                       * FLAT_FEW_LEAVES */
    double unit;      /* NUMBER_FIXED: int32 multiples of it, */
    double slack;     /* and what a sum over all trees may be off */
    const void *values;
};

/* How the values of a plane are made from a feature before they are compared. */
struct flat_plane {
    uint16_t feature;
    uint8_t missing; /* enum model_missing */
    bool default_left;
    const struct flat_ranker *set; /* MISSING_SET: 0 (in it) where an odd number is below, else 1 */
};

/* Sets of categories have planes of their own; so many different ones a model may have. */
#define FLAT_MAX_SETS 4096

/* The guide: upper levels of some trees, as heaps (slot 1 is the root, 2i and 2i + 1 its
 * children). Its path bits, tree after tree, are the key that pixels are sorted by. */
enum { GUIDE_LEVELS = 4, GUIDE_SLOTS = 1 << GUIDE_LEVELS, GUIDE_TREES = 12 };

struct flat_guide {
    uint32_t tree_count;
    struct {
        union flat_cut cut;
        int32_t plane; /* -1: a leaf is above, its bit is 0 */
    } slot[GUIDE_TREES][GUIDE_SLOTS];
};

struct flat {
    const struct model *model;
    enum flat_type type;
    uint32_t plane_count;
    struct flat_plane *planes;
    struct flat_ranker *rankers; /* one per plane; NULL for FLAT_F32 */
    struct flat_tree *trees;     /* by score, and of one score in the model's order */
    struct flat_node *nodes;
    uint32_t node_count;
    uint32_t max_depth; /* splits on the longest path */
    /* Whether leaves are kept by number: all but forests of mostly pure leaves. */
    bool by_leaf;
    /* In the library's type and, tree after tree, its order. */
    struct flat_leaves leaves;
    /* Rows once more, coarser and shorter: enough for most labels and confidences. values is NULL
     * where that gains nothing. */
    struct flat_leaves fixed;
    /* The others: whether some leaves are not pure. */
    bool has_rows;
    uint32_t base_class;
    /* KIND_ROW: leaf_values with 1 taken off the base class's column, each row filled up
     * with zeros to `row_stride` doubles: 2, 4 or a multiple of 8. */
    const double *rows;
    uint32_t row_stride;
    /* Rows whose sums are exact in any order: every value a multiple of 2^-20. */
    const uint8_t *row_exact;
    /* OUTPUT_MEAN: votes to percent and to probability, tree_count + 1 entries. */
    const uint8_t *percent;
    const float *probability;
    struct flat_guide guide;
    const struct oblivious *oblivious; /* NULL: not all trees are (oblivious.h) */
    const struct shallow *shallow;     /* NULL: not all trees are (shallow.h) */
};

/* `model` is borrowed and must outlive the flat form. */
TL_MUST_CHECK enum tl_code flat_compile(const struct model *model, struct arena *arena,
                                        struct flat *ret_flat, struct tl_err *err);

/* values[i] as the plane's rule sees them: -infinity always goes left, NaN always right. */
void flat_apply_rule(const struct flat_plane *plane, float *values, size_t count);

#endif
