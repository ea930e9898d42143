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

#include "classify/label_window.h"

#define MAJORITY_MIN 3
#define MAJORITY_MAX 25

/* The halo that `input` needs: k / 2. O(pixels x (k + distinct labels)). */
void majority_filter(const struct label_window *input, unsigned k, uint8_t *ret_label,
                     size_t ret_stride);

#endif
