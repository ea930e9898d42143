/*
 * gdal_metadata: what GDAL writes about bands into its own TIFF tag 42112, a small XML:
 *
 *   <GDALMetadata>
 *     <Item name="SCALE" sample="0" role="scale">0.0001</Item>
 *     <Item name="OFFSET" sample="0" role="offset">0</Item>
 *     <Item name="DESCRIPTION" sample="0" role="description">blue</Item>
 *   </GDALMetadata>
 *
 * The scanner knows items, attributes and five entities; anything else is passed over.
 * A damaged document costs its tail, never the raster.
 *
 * Threads  any
 * Memory   names go to the arena
 */
#ifndef TILTH_RASTER_GDAL_METADATA_H
#define TILTH_RASTER_GDAL_METADATA_H

#include "raster/raster.h"

#include <stddef.h>

struct arena;

/* Fills scale, offset and band_names of `info` for the bands the document speaks of. */
void gdal_metadata_read(const char *xml, size_t size, uint16_t bands, struct arena *arena,
                        struct raster_info *info);

#endif
