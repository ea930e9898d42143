/*
 * label_window: class labels that a filter reads, and which of them have a vote.
 *
 * Threads  a plain value
 * Memory   borrowed
 * Units    pixels
 */
#ifndef TILTH_CLASSIFY_LABEL_WINDOW_H
#define TILTH_CLASSIFY_LABEL_WINDOW_H

#include "classify/prediction_band.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Readable for the filter's halo beyond on every side; rows are `stride` apart. */
struct label_window {
    const uint8_t *label; /* of the first pixel to filter */
    size_t stride;
    uint32_t width, height; /* pixels to filter */
};

/* Nodata, masked pixels and everything outside the grid neither vote nor change. */
static inline bool label_votes(uint8_t label)
{
    return label < CLASS_MASKED;
}

#endif
