/*
 * Any bytes as a TIFF: directories, admission, georeference, metadata, block index. What
 * is admitted must keep its promises: block sizes within the cap, extents that can be
 * asked for.
 */
#include "base/arena.h"
#include "base/blob.h"
#include "base/check.h"
#include "geo/crs.h"
#include "raster/cog_impl.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
    const uint8_t *bytes;
    size_t size, read;
};

static enum tl_code read_memory(void *arg, const struct range *ranges, size_t count,
                                struct slice *ret_slices, struct tl_err *err)
{
    struct memory *memory = arg;

    (void)err;
    for (size_t i = 0; i < count; i++) {
        TL_CHECK(ranges[i].offset <= memory->size);
        TL_CHECK(ranges[i].size <= memory->size - ranges[i].offset);
        memory->read += ranges[i].size;
        struct blob *blob = blob_copy(memory->bytes + ranges[i].offset, ranges[i].size);
        TL_CHECK(blob);
        ret_slices[i] = (struct slice){blob, blob_bytes(blob), blob_size(blob)};
    }
    return TL_OK;
}

static void look_at_level(const struct cog_level *level, const struct pyramid_level *shape)
{
    uint64_t count = (uint64_t)level->cols * level->rows;

    TL_CHECK(codec_block_size(&level->image) <= CODEC_MAX_BLOCK_BYTES);
    TL_CHECK(shape->block_width == level->image.width && shape->width > 0 && shape->height > 0);
    for (uint64_t i = 0; i < count && i < 64; i++)
        (void)cog_extent_of(level->ifd, count - 1 - i);
    if (level->mask_ifd)
        (void)cog_extent_of(level->mask_ifd, count - 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct memory memory = {data, size, 0};
    struct tiff_input input = {.read = read_memory, .arg = &memory, .size = size};
    struct cog *cog = calloc(1, sizeof(*cog));
    struct tl_err err;

    TL_CHECK(cog);
    cog->common.strings = arena_new();
    if (tiff_open(&input, &cog->tiff, &err) == TL_OK) {
        /* The head, the rest, and what directories far apart drag in. */
        TL_CHECK(memory.read <= 4 * size + 65 * 32768);
        if (cog_admit(cog, &err) == TL_OK) {
            cog_describe(cog);
            for (int i = 0; i < cog->common.pyramid.level_count; i++)
                look_at_level(&cog->levels[i], &cog->common.pyramid.levels[i]);
        }
    }
    tiff_close(cog->tiff);
    arena_free(cog->common.strings);
    free(cog);
    return 0;
}
