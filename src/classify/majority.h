/*
 * majority: the majority filter, on the infinite grid. A pixel takes the label that has
 * strictly more votes than every other in the k x k window around it; where the first place
 * is shared it keeps its own. Nodata, masked pixels and everything outside the grid neither
 * vote nor change. One pass: all votes are labels from before the filter.
 *
 * Threads  any
 * Memory   none
 * Units    pixels
 */
#ifndef TILTH_CLASSIFY_MAJORITY_H
#define TILTH_CLASSIFY_MAJORITY_H

#include <stddef.h>
#include <stdint.h>

#define MAJORITY_MIN 3
#define MAJORITY_MAX 25

/* Readable for k / 2 pixels beyond on every side; rows are `stride` apart. */
struct majority_input {
    const uint8_t *label; /* of the first pixel to filter */
    size_t stride;
    uint32_t width, height; /* pixels to filter */
};

/* O(pixels x (k + distinct labels)). */
void majority_filter(const struct majority_input *input, unsigned k, uint8_t *ret_label,
                     size_t ret_stride);

#endif
