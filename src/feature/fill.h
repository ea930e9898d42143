/*
 * fill: what a feature becomes where it is NaN or infinite, as it is where a band that it
 * reads is invalid. Without one such a pixel is nodata.
 */
#ifndef TILTH_FEATURE_FILL_H
#define TILTH_FEATURE_FILL_H

#include <stdbool.h>

struct feature_fill {
    bool fills;
    float value; /* may be NaN: the model's own rule about what is missing */
};

#endif
