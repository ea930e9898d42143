/*
 * codes: features that are functions of one integer band. All their values are worked out once;
 * of a pixel comes its code alone.
 *
 * Threads  a table is immutable
 * Memory   forest_table_new() / forest_table_free(): 4 bytes per code and 1 or 2 per rank of it
 */
#ifndef TILTH_FOREST_CODES_H
#define TILTH_FOREST_CODES_H

#include "base/attr.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct forest;
struct forest_table;

#define FOREST_MAX_CODES 65536

/*
 * A feature that is a function of one integer of 8 or 16 bits: its value for every code, and
 * what the model makes of each. A pixel of it then costs a load.
 *
 * values[code] of up to FOREST_MAX_CODES codes are copied. *ret_table is NULL where there is
 * nothing to gain - more than 65,535 thresholds on some feature, hundreds of sets of
 * categories - and the feature stays a plane.
 */
TL_MUST_CHECK enum tl_code forest_table_new(const struct forest *forest, uint32_t feature,
                                            const float *values, size_t count,
                                            struct forest_table **ret_table, struct tl_err *err);
void forest_table_free(struct forest_table *table);
const float *forest_table_values(const struct forest_table *table);

/* Where a feature of the pixels comes from, when it is not a plane of floats. */
struct forest_codes {
    const struct forest_table *table; /* of this forest and feature; NULL: the plane */
    const uint16_t *codes;            /* one per pixel, each below the table's count */
};

AUTO_DEFINE(forest_table, forest_table_free)

#endif
