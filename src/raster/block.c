#include "raster/block.h"

#include "store/store.h"

void block_source_free(struct block_source *source)
{
    if (source)
        source->free(source);
}

void block_ahead_free(struct ahead *ahead)
{
    ahead_free(ahead);
}
