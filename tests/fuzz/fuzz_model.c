/*
 * Every model reader, told apart by the first bytes as in production. What is accepted is
 * run, in the kernel and in the oracle, and must come out alike; written as a file of tilth's own
 * it gives the same, unless its names do not go into one.
 */
#include "base/arena.h"
#include "base/blob.h"
#include "base/buf.h"
#include "base/check.h"
#include "forest/convert.h"
#include "forest/forest.h"
#include "forest/output.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PIXELS = 70 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run_both(const struct forest *forest, const uint8_t *data, size_t size)
{
    const struct model_info *info = forest_info(forest);
    AUTO(arena) arena = arena_new();
    const float **planes = arena_alloc(arena, info->feature_count, sizeof(*planes));
    float *values = arena_zalloc(arena, PIXELS + info->feature_count, sizeof(*values));
    uint8_t got[PIXELS], expected[PIXELS];
    uint8_t sure[PIXELS], sure_expected[PIXELS];
    struct forest_output swept = {.label = got, .confidence = sure};
    struct forest_output walked = {.label = expected, .confidence = sure_expected};
    struct tl_err err;

    /* The file's own tail gives values that its thresholds may hold. */
    size_t tail = TL_MIN(size, (PIXELS + info->feature_count) * sizeof(*values));
    memcpy(values, data + size - tail, tail);
    for (uint32_t f = 0; f < info->feature_count; f++)
        planes[f] = values + f;
    struct forest_pixels pixels = {.planes = planes, .count = PIXELS};
    TL_CHECK(forest_run(forest, &pixels, NULL, arena, &swept, &err) == TL_OK);
    forest_run_scalar(forest, &pixels, &walked);
    TL_CHECK(memcmp(got, expected, PIXELS) == 0);
    TL_CHECK(memcmp(sure, sure_expected, PIXELS) == 0);
}

/* model_convert() compares what it wrote with the source: TL_INTERNAL where they differ. */
static void convert(const struct blob *file)
{
    const struct convert_wish wish = {.golden_rows = 4};
    AUTO_BUF made = {0};
    struct tl_err err;

    enum tl_code code = model_convert("fuzz", file, &wish, &made, &err);
    TL_CHECK(code == TL_OK || code == TL_INVALID || code == TL_UNSUPPORTED || code == TL_LIMIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO(blob) file = blob_copy(data, size);
    AUTO(forest) forest = NULL;
    struct tl_err err;

    if (file && forest_load("fuzz", file, &forest, &err) == TL_OK) {
        run_both(forest, data, size);
        convert(file);
    }
    return 0;
}
