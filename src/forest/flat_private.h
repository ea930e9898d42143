/*
 * flat_private: what flat.c, which makes the flat form, and flat_file.c, which finds it ready in a
 * file, both know of it.
 */
#ifndef TILTH_FOREST_FLAT_PRIVATE_H
#define TILTH_FOREST_FLAT_PRIVATE_H

#include "forest/flat.h"

/* Bytes of a number of leaves. */
static inline size_t flat_number_bytes(enum flat_number number)
{
    return number == NUMBER_DOUBLE ? sizeof(double) : sizeof(float);
}

/* What flat_leaves says of leaves of so many numbers, but for their values. `fixed`: of
 * flat.fixed. */
void flat_leaves_init(struct flat_leaves *leaves, const struct model *model, bool fixed,
                      uint32_t most);
/* Whether a model that is kept by leaf has them in fixed point besides. */
bool flat_has_fixed(const struct model *model);
/* flat.row_stride of rows of so many numbers. */
uint32_t flat_row_stride(uint32_t width);
/* Makes flat.percent and flat.probability; false without memory. */
bool flat_make_vote_tables(struct flat *flat, struct arena *arena);

#endif
