/*
 * table: the ranks of a feature that has at most 65,536 values, by the code of each
 * (an 8 or 16 bit sample of a band). Whatever makes the feature of the sample - scale,
 * logarithm, the model's rule about what is missing - has been paid for when the table is made.
 *
 * Threads  immutable once made
 * Memory   forest_table_free(); 4 bytes per code, and 2 per code and plane of the feature
 */
#ifndef TILTH_FOREST_TABLE_H
#define TILTH_FOREST_TABLE_H

#include "forest/codes.h"
#include "forest/flat.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A flat form with rankers that reads the feature, and what number the feature has there. */
struct table_reader {
    const struct flat *flat;
    uint32_t feature;
};

/* All of them: one per ensemble of a model, or none. Borrowed. */
struct table_readers {
    const struct table_reader *list;
    size_t count;
};

/* More than this, some 128 planes of 65,536 codes, a table is not worth: planes are ranked. */
#define TABLE_MAX_BYTES ((size_t)1 << 24)
bool table_fits(const struct table_readers *readers, size_t count);

/* As forest_table_new(); NULL when memory is out. */
struct forest_table *table_new(const struct table_readers *readers, const float *values,
                               size_t count);

/* Ranks by code in one of a reader's planes of the feature. */
const uint16_t *table_ranks(const struct forest_table *table, const struct flat *flat,
                            uint32_t plane);

#endif
