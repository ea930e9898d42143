/*
 * palette: index -> RGBA, at most 256 entries. Class tiles are stored as indices; a
 * style is a palette, so restyling never touches a pixel.
 *
 * A plain value.
 */
#ifndef TILTH_IMAGE_PALETTE_H
#define TILTH_IMAGE_PALETTE_H

#include <stdint.h>

struct palette {
    uint16_t count; /* 1..256 */
    uint8_t rgba[256][4];
};

#endif
