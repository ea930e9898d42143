/*
 * A model reader, that of TILTH_FUZZ_FORMAT, told by the first bytes as in production. What is
 * accepted is run, in the kernel and in the oracle, and must come out alike; written as a file of
 * tilth's own it gives the same, unless its names do not go into one, and so it does compiled. Of a
 * file that is compiled already the section is taken for undamaged, whatever it says.
 */
#include "base/arena.h"
#include "base/blob.h"
#include "base/buf.h"
#include "base/check.h"
#include "forest/convert.h"
#include "forest/flat_file.h"
#include "forest/load.h"
#include "forest/output.h"
#include "model/model.h"
#include "model/section.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PIXELS = 70 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* checked: by the oracle. */
static void run(const struct forest *forest, const uint8_t *data, size_t size, bool checked)
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
    if (!checked)
        return;
    forest_run_scalar(forest, &pixels, &walked);
    TL_CHECK(memcmp(got, expected, PIXELS) == 0);
    TL_CHECK(memcmp(sure, sure_expected, PIXELS) == 0);
}

/* Both compare what they wrote with the source: TL_INTERNAL where they differ. */
static void convert(const struct blob *file)
{
    const struct convert_wish wish = {.golden_rows = 4};
    struct tl_err err;

    for (int i = 0; i < 2; i++) {
        AUTO_BUF made = {0};
        enum tl_code code = i ? model_compile("fuzz", file, &wish, &made, &err)
                              : model_convert("fuzz", file, &wish, &made, &err);

        TL_CHECK(code == TL_OK || code == TL_INVALID || code == TL_UNSUPPORTED || code == TL_LIMIT);
    }
}

/* The file with a section that is as its head says. */
static struct blob *sealed(const uint8_t *data, size_t size)
{
    AUTO(blob) file = blob_copy(data, size);
    AUTO(arena) arena = arena_new();
    struct model_section section;
    struct model model;
    struct tl_err err;

    if (!file || !arena ||
        model_read_section("fuzz", file, arena, &model, &section, &err) != TL_OK ||
        !flat_file_head(&section))
        return NULL;
    uint8_t *bytes = blob_writable(file) + (section.bytes - blob_bytes(file));
    ((struct flat_file_head *)(void *)bytes)->tensors = section.tensors;
    flat_file_seal(bytes, section.size);
    return TL_TAKE(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (strcmp(model_format(data, size), TILTH_FUZZ_FORMAT) != 0)
        return 0;
    AUTO(blob) file = blob_copy(data, size);
    AUTO(blob) compiled = sealed(data, size);
    AUTO(forest) forest = NULL;
    AUTO(forest) served = NULL;
    struct tl_err err;

    if (file && forest_load_as("fuzz", file, FOREST_MODEL, &forest, &err) == TL_OK) {
        run(forest, data, size, true);
        convert(file);
    }
    if (compiled && forest_load("fuzz", compiled, &served, &err) == TL_OK)
        run(served, data, size, false);
    return 0;
}
