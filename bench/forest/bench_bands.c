/*
 * CPU time from bands to labels on one thread, as a prediction layer spends it: the layer's own
 * stack_features() - codes where a feature is one integer band, feature programs elsewhere - and
 * forest_run().
 *
 *   bench_bands MODEL BANDS label|confidence
 *
 * Asked for are the labels alone, or the labels with their confidence, as every layer does.
 * BANDS is text: "band NAME u16|f32" per band, then "feature EXPRESSION" per feature of the
 * model, in its order; band b is "b.v" in an expression. Then one command a line on standard
 * input, one JSON object a line on standard output (bench/forest/engines.py has the peers):
 *
 *   tile PATH PIXELS   the planes of the bands, one after the other    {}
 *   run LABELS         labels, a byte a pixel, go to the file LABELS   {"ns": CPU time}
 *
 * What comes first is {"load_ns": .., "wall_ns": .., "resident": bytes, ...} of forest_load().
 */
#include "base/arena.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/file.h"
#include "classify/prediction.h"
#include "classify/stack.h"
#include "forest/forest.h"
#include "forest/output.h"
#include "geo/crs.h"
#include "raster/warp.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FILE_MAX = 1 << 30, LINE = 4096, SIDE_MAX = 1 << 20 };

/* A band is a source of its own, so that each has its own sample type. */
struct band {
    struct block_source source; /* never read: the window is filled here */
    struct pyramid pyramid;
    char *id;
    uint16_t index;
};

struct bench {
    struct crs *crs;
    struct forest *forest;
    struct stack *stack;
    struct band *bands;
    struct planes *planes;
    char **features;
    uint32_t band_count, feature_count;
    char *tile;
    uint32_t *order; /* 0, 1, 2 ..: every pixel is classified */
    uint8_t *label, *confidence;
    bool confident; /* the confidence is wanted, too */
    size_t pixels;
    struct arena *arena;
};

static const char *const band_name = "v";

/* Bytes of memory that this process has, once what is free has been given back. */
static long resident(void)
{
    long total = 0, held = 0;

    malloc_trim(0);
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file || fscanf(file, "%ld %ld", &total, &held) != 2)
        held = 0;
    if (file)
        fclose(file);
    return held * sysconf(_SC_PAGESIZE);
}

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "bench_bands: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void must(enum tl_code code, const char *what, const struct tl_err *err)
{
    if (code != TL_OK)
        fail(what, err->msg);
}

static void *grown(void *array, size_t count, size_t size)
{
    void *more = reallocarray(array, count, size);

    if (!more)
        fail("memory", "there is none");
    return more;
}

static void add_band(struct bench *bench, const char *name, const char *type)
{
    struct band *band;

    bench->bands = grown(bench->bands, bench->band_count + 1, sizeof(*bench->bands));
    band = &bench->bands[bench->band_count++];
    *band = (struct band){.id = strdup(name)};
    band->pyramid = (struct pyramid){
        .crs = bench->crs,
        .dtype = strcmp(type, "u16") == 0 ? DTYPE_U16 : DTYPE_F32,
        .bands = 1,
        .level_count = 1,
        .levels[0] = {.affine = {0, 0, 10, 10},
                      .width = SIDE_MAX,
                      .height = SIDE_MAX,
                      .block_width = 512,
                      .block_height = 512,
                      .usable = true},
    };
}

static void read_bands(struct bench *bench, const char *path)
{
    char line[LINE], name[64], type[8];
    FILE *file = fopen(path, "re");

    if (!file)
        fail(path, "cannot be read");
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = 0;
        if (sscanf(line, "band %63s %7s", name, type) == 2) {
            add_band(bench, name, type);
        } else if (strncmp(line, "feature ", 8) == 0) {
            bench->features =
                grown(bench->features, bench->feature_count + 1, sizeof(*bench->features));
            bench->features[bench->feature_count++] = strdup(line + 8);
        } else {
            fail(path, line);
        }
    }
    fclose(file);
}

static void make_stack(struct bench *bench)
{
    struct tl_err err;
    struct prediction_source *sources = calloc(bench->band_count, sizeof(*sources));

    if (!sources || bench->feature_count != forest_info(bench->forest)->feature_count)
        fail("bands", "as many features are needed as the model has");
    for (uint32_t b = 0; b < bench->band_count; b++) {
        struct band *band = &bench->bands[b];

        band->source.pyramid = &band->pyramid;
        sources[b] = (struct prediction_source){.id = band->id,
                                                .source = &band->source,
                                                .band_count = 1,
                                                .band_names = &band_name,
                                                .band_index = &band->index};
    }
    struct prediction_spec spec = {
        .id = "bench",
        .grid = {bench->crs, {0, 0, 10, 10}, SIDE_MAX, SIDE_MAX},
        .forest = bench->forest,
        .source_count = bench->band_count,
        .sources = sources,
        .features = (const char *const *)bench->features,
    };
    must(stack_new(&spec, &bench->stack, &err), "features", &err);
    bench->planes = calloc(bench->band_count, sizeof(*bench->planes));
    free(sources);
}

/* Loads the model and says what that cost. */
static void load(struct bench *bench, const char *path)
{
    struct tl_err err;
    long before = resident();
    int64_t start = clock_thread_ns(), wall = clock_now_ns();

    {
        AUTO(blob) file = NULL;
        must(file_read(path, FILE_MAX, &file, &err), "read", &err);
        must(forest_load(path, file, &bench->forest, &err), "load", &err);
    }
    start = clock_thread_ns() - start;
    wall = clock_now_ns() - wall;
    const struct model_info *info = forest_info(bench->forest);
    printf("{\"load_ns\": %jd, \"wall_ns\": %jd, \"resident\": %ld, \"trees\": %u, \"nodes\": %ju, "
           "\"depth\": %u, \"features\": %u, \"classes\": %u, \"isa\": \"%s\"}\n",
           (intmax_t)start, (intmax_t)wall, resident() - before, info->tree_count,
           (uintmax_t)info->node_count, info->max_depth, info->feature_count, info->class_count,
           cpu_isa_name(cpu_isa()));
    fflush(stdout);
}

static void set_tile(struct bench *bench, const char *path, size_t pixels)
{
    FILE *file = fopen(path, "re");
    size_t at = 0;

    bench->pixels = pixels;
    bench->tile = grown(bench->tile, bench->band_count, pixels * sizeof(float));
    bench->order = grown(bench->order, pixels, sizeof(*bench->order));
    bench->label = grown(bench->label, pixels, 1);
    bench->confidence = grown(bench->confidence, pixels, 1);
    for (size_t i = 0; i < pixels; i++)
        bench->order[i] = (uint32_t)i;
    for (uint32_t b = 0; b < bench->band_count; b++) {
        enum dtype dtype = bench->bands[b].pyramid.dtype;
        char *plane = bench->tile + at;

        if (!file || fread(plane, dtype_size(dtype), pixels, file) != pixels)
            fail(path, "has not the planes of so many pixels");
        bench->planes[b] = (struct planes){
            .width = (uint32_t)pixels, .height = 1, .bands = 1, .dtype = dtype, .samples = plane};
        at += pixels * sizeof(float);
    }
    fclose(file);
    puts("{}");
}

static void run(struct bench *bench, const char *path)
{
    struct tl_err err;
    struct stack_features features;
    struct forest_output output = {.label = bench->label,
                                   .confidence = bench->confident ? bench->confidence : NULL};
    struct stack_window window = {.at = {.width = (uint32_t)bench->pixels, .height = 1},
                                  .stack = bench->stack,
                                  .sources = bench->planes};
    int64_t start = clock_thread_ns();

    arena_reset(bench->arena);
    must(stack_features(&window, bench->order, bench->pixels, bench->arena, &features, &err),
         "features", &err);
    must(forest_run(bench->forest, &features.pixels, NULL, bench->arena, &output, &err), "run",
         &err);
    start = clock_thread_ns() - start;
    if (features.unknown)
        fail("tile", "a feature of some pixel is not a number");
    FILE *file = fopen(path, "wbe");
    if (!file || fwrite(bench->label, 1, bench->pixels, file) != bench->pixels || fclose(file) != 0)
        fail(path, "cannot be written");
    printf("{\"ns\": %jd}\n", (intmax_t)start);
}

static void serve(struct bench *bench)
{
    char line[LINE], path[LINE];
    size_t pixels;

    while (fgets(line, sizeof(line), stdin)) {
        if (sscanf(line, "tile %4095s %zu", path, &pixels) == 2 && pixels)
            set_tile(bench, path, pixels);
        else if (sscanf(line, "run %4095s", path) == 1 && bench->tile)
            run(bench, path);
        else
            fail("not understood", line);
        fflush(stdout);
    }
}

static void release(struct bench *bench)
{
    for (uint32_t b = 0; b < bench->band_count; b++)
        free(bench->bands[b].id);
    for (uint32_t f = 0; f < bench->feature_count; f++)
        free(bench->features[f]);
    free(bench->bands);
    free(bench->planes);
    free(bench->features);
    free(bench->order);
    free(bench->label);
    free(bench->confidence);
    free(bench->tile);
    arena_free(bench->arena);
    stack_free(bench->stack);
    forest_unref(bench->forest);
    crs_unref(bench->crs);
}

int main(int argc, char **argv)
{
    struct tl_err err;
    struct bench bench = {.arena = arena_new()};

    bench.confident = argc == 4 && strcmp(argv[3], "confidence") == 0;
    if (argc != 4 || !bench.arena || (!bench.confident && strcmp(argv[3], "label") != 0)) {
        fprintf(stderr, "usage: bench_bands MODEL BANDS label|confidence\n");
        return EXIT_FAILURE;
    }
    must(crs_new("EPSG:32636", &bench.crs, &err), "crs", &err);
    load(&bench, argv[1]);
    read_bands(&bench, argv[2]);
    make_stack(&bench);
    serve(&bench);
    release(&bench);
    return EXIT_SUCCESS;
}
