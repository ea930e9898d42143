/*
 * build: the graph that expressions are read into, and the program it becomes.
 * Every value is a node, known by its number; the same operation on the same nodes is the same
 * node, so what expressions share is computed once. Nodes that no expression needs in the end
 * (the other halves of a sort) are left out of the program.
 *
 * A failure - too many nodes, no memory - is kept: builders then hand out node 0, and
 * whoever reads text asks feature_builder_failed() where it can say the place.
 *
 * Threads  one at a time
 * Memory   in place: clear by feature_builder_release()
 */
#ifndef TILTH_FEATURE_BUILD_H
#define TILTH_FEATURE_BUILD_H

#include "base/attr.h"
#include "base/err.h"
#include "feature/program.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct features;

/* Operations, bands and numbers of all features of a model: some 4 us per pixel. */
#define FEATURE_MAX_NODES 65536
/* 4 MiB of strips. */
#define FEATURE_MAX_REGISTERS 4096

struct feature_node {
    uint32_t op; /* enum feature_op, or a leaf */
    uint32_t in[3];
};

struct feature_builder {
    struct feature_node *nodes;
    uint32_t count, room;
    uint32_t *table; /* 2 * room places: node number + 1, or 0 */
    int *bands;
    uint32_t band_count;
    uint32_t built;      /* nodes asked for by the expression at hand, shared or not */
    enum tl_code failed; /* TL_OK, TL_LIMIT or TL_NOMEM */
};

/* Values that belong together, in their order. */
struct feature_series {
    const uint32_t *nodes;
    uint32_t count;
};

void feature_builder_release(struct feature_builder *builder);

uint32_t feature_number(struct feature_builder *b, float number);
uint32_t feature_plane(struct feature_builder *b, int plane);
uint32_t feature_op1(struct feature_builder *b, enum feature_op op, uint32_t x);
uint32_t feature_op2(struct feature_builder *b, enum feature_op op, uint32_t x, uint32_t y);
uint32_t feature_where(struct feature_builder *b, uint32_t condition, uint32_t x, uint32_t y);
/* The node becomes an output. */
void feature_store(struct feature_builder *b, uint32_t node, uint32_t output);

/* The program of everything that is stored. */
TL_MUST_CHECK enum tl_code feature_finish(const struct feature_builder *b,
                                          struct features **ret_features, struct tl_err *err);

#endif
