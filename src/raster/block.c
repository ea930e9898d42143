#include "raster/block.h"

void block_source_free(struct block_source *source)
{
    if (source)
        source->free(source);
}
