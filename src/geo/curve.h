/*
 * curve: Hilbert order over all zooms, the tile id of PMTiles v3: zoom levels one
 * after the other, each in Hilbert order, so that tiles near on the map are near in
 * the cache file.
 *
 * Threads  any
 */
#ifndef TILTH_GEO_CURVE_H
#define TILTH_GEO_CURVE_H

#include <stdint.h>

/* z <= 26; x, y < 2^z. Source: PMTiles specification v3, "tile id". */
uint64_t curve_id(uint8_t z, uint32_t x, uint32_t y);

#endif
