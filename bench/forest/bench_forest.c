/*
 * Nanoseconds of CPU time per pixel and tree of forest_run(), from float32 planes to labels,
 * on one thread.
 *
 *   bench_forest MODEL ROWS.f32 [PIXELS [ROUNDS [OUTPUT]]]
 *
 * ROWS.f32 are real feature rows, row-major float32 (bench/forest/compare.py keeps a rows.f32
 * beside each model); OUTPUT gets the tiles and their labels. Four tiles are made of the rows:
 * "rows" repeats them in random order, "smooth" and "noisy" have fields of one row each with
 * smooth texture and 2 or 8 % noise, "structureless" draws every feature of every pixel on its
 * own.
 */
#include "base/arena.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/file.h"
#include "forest/forest.h"
#include "forest/output.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { SIDE = 256, FIELD_PX = 12, MAX_ROUNDS = 1000, FILE_MAX = 1 << 30 };

struct bench {
    struct forest *forest;
    const struct model_info *info;
    const float *rows;
    size_t row_count, pixels;
    unsigned rounds;
    float **planes;
    uint64_t random; /* xorshift64* */
};

static uint64_t next_random(struct bench *bench)
{
    uint64_t x = bench->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    bench->random = x;
    return x * UINT64_C(0x2545F4914F6CDD1D);
}

static float uniform(struct bench *bench)
{
    return (float)(next_random(bench) >> 40) * 0x1p-24F;
}

static float row_value(const struct bench *bench, size_t row, size_t feature)
{
    return bench->rows[row % bench->row_count * bench->info->feature_count + feature];
}

static void make_rows(struct bench *bench)
{
    for (size_t i = 0; i < bench->pixels; i++) {
        size_t row = next_random(bench) % bench->row_count;

        for (size_t f = 0; f < bench->info->feature_count; f++)
            bench->planes[f][i] = row_value(bench, row, f);
    }
}

static void make_structureless(struct bench *bench)
{
    for (size_t i = 0; i < bench->pixels; i++)
        for (size_t f = 0; f < bench->info->feature_count; f++)
            bench->planes[f][i] = row_value(bench, next_random(bench) % bench->row_count, f);
}

/* Square fields with jittered borders; a field is a real row. */
static size_t field_of(const struct bench *bench, size_t x, size_t y)
{
    size_t jitter = (x * 7 + y * 13) % 5;
    size_t column = (x + jitter) / FIELD_PX, line = (y + jitter * 3 % 5) / FIELD_PX;

    return (column * 7919 + line * 104729) % bench->row_count;
}

static void make_fields(struct bench *bench, float noise)
{
    for (size_t i = 0; i < bench->pixels; i++) {
        size_t x = i % SIDE, y = i / SIDE, row = field_of(bench, x, y);

        for (size_t f = 0; f < bench->info->feature_count; f++) {
            float texture = 0.02F * sinf((float)(x + 3 * f) * 0.15F) * cosf((float)y * 0.11F);
            float factor = 1 + texture + noise * (2 * uniform(bench) - 1);

            bench->planes[f][i] = row_value(bench, row, f) * factor;
        }
    }
}

static int compare_doubles(const void *a, const void *b)
{
    double x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

static void fail(const char *what, const struct tl_err *err)
{
    fprintf(stderr, "%s: %s\n", what, err->msg);
    exit(EXIT_FAILURE);
}

/* One line of the report: least, median and 95th percentile of the rounds. */
static void measure(struct bench *bench, const char *tile, size_t pixels, uint8_t *label)
{
    double ns[MAX_ROUNDS];
    struct tl_err err;
    struct arena *scratch = arena_new();
    struct forest_output output = {.label = label};
    struct forest_pixels task = {.planes = (const float *const *)bench->planes, .count = pixels};

    for (unsigned round = 0; round < bench->rounds && scratch; round++) {
        int64_t start = clock_thread_ns();

        if (forest_run(bench->forest, &task, NULL, scratch, &output, &err) != TL_OK)
            fail(tile, &err);
        ns[round] = (double)(clock_thread_ns() - start) / (double)pixels;
        arena_reset(scratch);
    }
    arena_free(scratch);
    qsort(ns, bench->rounds, sizeof(*ns), compare_doubles);
    printf("{\"tile\":\"%s\",\"pixels\":%zu,\"ns_px\":%.2f,\"median_ns_px\":%.2f,"
           "\"p95_ns_px\":%.2f,\"ns_px_tree\":%.4f}\n",
           tile, pixels, ns[0], ns[bench->rounds / 2], ns[bench->rounds * 95 / 100],
           ns[0] / bench->info->tree_count);
    fflush(stdout);
}

static void save(const char *path, const struct bench *bench, const uint8_t *label)
{
    FILE *file = fopen(path, "wbe");

    if (!file)
        exit(EXIT_FAILURE);
    for (size_t f = 0; f < bench->info->feature_count; f++)
        fwrite(bench->planes[f], sizeof(float), bench->pixels, file);
    fwrite(label, 1, bench->pixels, file);
    fclose(file);
}

static void run_tiles(struct bench *bench, const char *output)
{
    uint8_t *label = malloc(bench->pixels);
    char path[512];

    static const char *const tiles[] = {"rows", "smooth", "noisy", "structureless"};

    for (size_t t = 0; t < TL_COUNT(tiles) && label; t++) {
        bench->random = 88172645463325252ULL;
        if (t == 0)
            make_rows(bench);
        else if (t == 3)
            make_structureless(bench);
        else
            make_fields(bench, t == 1 ? 0.02F : 0.08F);
        measure(bench, tiles[t], bench->pixels, label);
        if (output) {
            snprintf(path, sizeof(path), "%s.%s", output, tiles[t]);
            save(path, bench, label);
        }
        if (t == 1)
            for (size_t few = 1; few < bench->pixels; few *= 8)
                measure(bench, "smooth, few", few, label);
    }
    free(label);
}

static struct blob *read_file(const char *path)
{
    struct blob *blob = NULL;
    struct tl_err err;

    if (file_read(path, FILE_MAX, &blob, &err) != TL_OK)
        fail("read", &err);
    return blob;
}

int main(int argc, char **argv)
{
    struct tl_err err;

    if (argc < 3) {
        fprintf(stderr, "usage: bench_forest MODEL ROWS.f32 [PIXELS [ROUNDS [OUTPUT]]]\n");
        return EXIT_FAILURE;
    }
    AUTO(blob) model = read_file(argv[1]);
    AUTO(blob) rows = read_file(argv[2]);
    struct bench bench = {.rows = (const float *)(const void *)blob_bytes(rows),
                          .pixels = argc > 3 ? strtoul(argv[3], NULL, 10) : SIDE * SIDE,
                          .rounds = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 9};
    int64_t start = clock_now_ns();

    if (forest_load(argv[1], model, &bench.forest, &err) != TL_OK)
        fail("load", &err);
    bench.info = forest_info(bench.forest);
    bench.rounds = TL_MIN(TL_MAX(bench.rounds, 1U), (unsigned)MAX_ROUNDS);
    bench.row_count = blob_size(rows) / sizeof(float) / bench.info->feature_count;
    printf("{\"model\":\"%s\",\"trees\":%u,\"nodes\":%ju,\"features\":%u,\"classes\":%u,"
           "\"load_ms\":%.1f}\n",
           argv[1], bench.info->tree_count, (uintmax_t)bench.info->node_count,
           bench.info->feature_count, bench.info->class_count,
           (double)(clock_now_ns() - start) / 1e6);
    bench.planes = calloc(bench.info->feature_count, sizeof(*bench.planes));
    for (size_t f = 0; f < bench.info->feature_count; f++)
        bench.planes[f] = malloc(bench.pixels * sizeof(float));
    run_tiles(&bench, argc > 5 ? argv[5] : NULL);
    for (size_t f = 0; f < bench.info->feature_count; f++)
        free(bench.planes[f]);
    free(bench.planes);
    forest_unref(bench.forest);
    return EXIT_SUCCESS;
}
