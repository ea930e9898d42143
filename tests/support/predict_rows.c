/*
 * What forest_run() makes of rows of features, for the tests that ask a model's own library the
 * same (tests/python/test_engine.py).
 *
 *   predict_rows MODEL ROWS.f32
 *
 * ROWS.f32 is row-major float32. To standard output, in the machine's byte order: the number of
 * rows and of classes (uint32), each class's value (uint8), each row's label (uint8), the
 * probabilities (float32, class by class). Fails where forest_run_scalar() says otherwise.
 */
#include "base/arena.h"
#include "base/blob.h"
#include "base/file.h"
#include "forest/forest.h"
#include "forest/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MAX = 1 << 30 };

struct rows {
    const struct model_info *info;
    const float **planes;
    size_t count;
};

static struct rows planes_of(const struct model_info *info, const struct blob *file,
                             struct arena *arena)
{
    size_t features = info->feature_count, count = blob_size(file) / sizeof(float) / features;
    const float **planes = arena_alloc(arena, features, sizeof(*planes));

    for (size_t f = 0; planes && f < features; f++) {
        float *plane = arena_alloc(arena, count, sizeof(*plane));

        for (size_t i = 0; plane && i < count; i++)
            memcpy(&plane[i], blob_bytes(file) + (i * features + f) * sizeof(float), sizeof(float));
        planes[f] = plane;
        if (!plane)
            planes = NULL;
    }
    return (struct rows){info, planes, count};
}

static struct forest_output output_new(const struct rows *rows, struct arena *arena)
{
    size_t classes = rows->info->class_count;

    return (struct forest_output){.label = arena_zalloc(arena, rows->count, 1),
                                  .confidence = arena_zalloc(arena, rows->count, 1),
                                  .probability =
                                      arena_zalloc(arena, rows->count * classes, sizeof(float))};
}

static bool equal(const struct rows *rows, const struct forest_output *a,
                  const struct forest_output *b)
{
    size_t shares = rows->count * rows->info->class_count * sizeof(float);

    return memcmp(a->label, b->label, rows->count) == 0 &&
           memcmp(a->confidence, b->confidence, rows->count) == 0 &&
           memcmp(a->probability, b->probability, shares) == 0;
}

static void write_out(const struct rows *rows, const struct forest_output *output)
{
    uint32_t head[2] = {(uint32_t)rows->count, rows->info->class_count};

    fwrite(head, sizeof(head), 1, stdout);
    for (uint32_t c = 0; c < rows->info->class_count; c++)
        putchar(rows->info->classes[c].value);
    fwrite(output->label, 1, rows->count, stdout);
    fwrite(output->probability, sizeof(float), rows->count * rows->info->class_count, stdout);
}

static enum tl_code predict(const char *path, const char *rows_path, struct tl_err *err)
{
    AUTO(arena) arena = arena_new();
    AUTO(arena) scratch = arena_new();
    AUTO(blob) model = NULL;
    AUTO(blob) table = NULL;
    AUTO(forest) forest = NULL;

    TL_TRY(file_read(path, FILE_MAX, &model, err));
    TL_TRY(file_read(rows_path, FILE_MAX, &table, err));
    TL_TRY(forest_load(path, model, &forest, err));
    struct rows rows = planes_of(forest_info(forest), table, arena);
    struct forest_output swept = output_new(&rows, arena), walked = output_new(&rows, arena);
    struct forest_pixels pixels = {.planes = rows.planes, .count = rows.count};

    if (!rows.planes || !swept.probability || !walked.probability)
        return tl_fail(err, TL_NOMEM, "no memory for %zu rows", rows.count);
    TL_TRY(forest_run(forest, &pixels, NULL, scratch, &swept, err));
    forest_run_scalar(forest, &pixels, &walked);
    if (!equal(&rows, &swept, &walked))
        return tl_fail(err, TL_INTERNAL, "%s: the sweep and the oracle differ", path);
    write_out(&rows, &swept);
    return TL_OK;
}

int main(int argc, char **argv)
{
    struct tl_err err;

    if (argc != 3) {
        fprintf(stderr, "usage: predict_rows MODEL ROWS.f32\n");
        return EXIT_FAILURE;
    }
    if (predict(argv[1], argv[2], &err) == TL_OK)
        return EXIT_SUCCESS;
    fprintf(stderr, "%s\n", err.msg);
    return EXIT_FAILURE;
}
