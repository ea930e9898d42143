/*
 * `tilth model bench`: what a model costs on this machine, on tiles made of its own thresholds.
 * Processor time, not wall time, so that a shared machine disturbs less.
 */
#include "cli/cmd_model.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/cpu.h"
#include "base/pool.h"
#include "forest/bench.h"
#include "forest/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 256, MAX_PIXELS = 1 << 22, MAX_ROUNDS = 999, MAX_THREADS = 256 };

static const char *const options[] = {
    "pixels=", "tile=", "isa=", "threads=", "rounds=", "seed=", "json", NULL};
static const char *const tiles[] = {"smooth", "noisy", "structureless"};
static const char *const stages[FOREST_STAGES] = {"rank", "order", "sweep", "write"};

struct bench {
    const struct args *args;
    struct forest *forest;
    size_t file_bytes;
    double fetch_ms, load_ms;
    int64_t pixels, threads, rounds, seed;
    float **planes;
    struct arena *arena;
    struct tl_err *err;
    struct buf json; /* the lines of the report, where JSON is wanted */
};

/* One thread's rounds on one tile with one instruction set. */
struct worker {
    const struct bench *bench;
    double *ns; /* [rounds] per pixel */
    struct forest_times times;
    enum tl_code code;
    struct tl_err err;
};

/* ---- what is asked for ---- */

static enum tl_code read_count(const struct bench *bench, const char *key, int64_t most,
                               int64_t *number)
{
    char own[16], *end = NULL;

    snprintf(own, sizeof(own), "%s=", key);
    const char *text = args_value(bench->args, own);
    if (!text)
        return TL_OK;
    *number = strtoll(text, &end, 10);
    return end != text && !*end && *number >= 1 && *number <= most
               ? TL_OK
               : tl_fail(bench->err, TL_INVALID,
                         "--%s: a number from 1 to %lld is needed, not \"%.32s\"", key,
                         (long long)most, text);
}

static enum tl_code read_options(struct bench *bench)
{
    bench->pixels = (int64_t)WIDTH * WIDTH;
    bench->threads = 1;
    bench->rounds = 9;
    bench->seed = 1;
    TL_TRY(read_count(bench, "pixels", MAX_PIXELS, &bench->pixels));
    TL_TRY(read_count(bench, "threads", MAX_THREADS, &bench->threads));
    TL_TRY(read_count(bench, "rounds", MAX_ROUNDS, &bench->rounds));
    return read_count(bench, "seed", INT32_MAX, &bench->seed);
}

/* Whether `name` is what an option asks for: it, "all", or nothing where that is the default. */
static bool wanted(const struct bench *bench, const char *own, const char *name, bool by_default)
{
    const char *text = args_value(bench->args, own);

    return text ? strcmp(text, name) == 0 || strcmp(text, "all") == 0 : by_default;
}

/* Of the processor's own family, and not better than it is. */
static bool has_isa(enum cpu_isa isa)
{
    return isa <= cpu_isa() && (isa == ISA_SCALAR || (isa == ISA_NEON) == (cpu_isa() == ISA_NEON));
}

static enum tl_code check_words(const struct bench *bench)
{
    bool tile = false, isa = false;

    for (size_t t = 0; t < TL_COUNT(tiles); t++)
        tile |= wanted(bench, "tile=", tiles[t], true);
    for (enum cpu_isa i = ISA_SCALAR; i <= cpu_isa(); i++)
        isa |= has_isa(i) && wanted(bench, "isa=", cpu_isa_name(i), true);
    if (!tile)
        return tl_fail(bench->err, TL_INVALID, "--tile: smooth, noisy, structureless or all");
    return isa ? TL_OK
               : tl_fail(bench->err, TL_INVALID,
                         "--isa: \"%.32s\" is none of this machine's, the best is %s; \"all\" "
                         "compares them",
                         args_value(bench->args, "isa="), cpu_isa_name(cpu_isa()));
}

/* ---- the run ---- */

static void run_worker(void *arg, struct arena *arena)
{
    struct worker *w = arg;
    size_t count = (size_t)w->bench->pixels;
    struct arena *scratch = arena_new();
    /* What a layer asks for. */
    struct forest_output output = {.label = arena_alloc(arena, count, 1),
                                   .confidence = arena_alloc(arena, count, 1)};
    struct forest_pixels pixels = {(const float *const *)w->bench->planes, count, NULL};

    if (!scratch || !output.label || !output.confidence)
        w->code = tl_fail(&w->err, TL_NOMEM, "no memory for %zu pixels", count);
    for (int64_t round = 0; w->code == TL_OK && round < w->bench->rounds; round++) {
        int64_t start = clock_thread_ns();

        w->code = forest_run_timed(w->bench->forest, &pixels, scratch, &output, &w->times, &w->err);
        w->ns[round] = (double)(clock_thread_ns() - start) / (double)count;
        arena_reset(scratch);
    }
    arena_free(scratch);
}

static int compare_doubles(const void *a, const void *b)
{
    double x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

/* All threads at once, each over the same pixels. */
static enum tl_code run_workers(const struct bench *bench, struct worker *workers)
{
    AUTO(pool) pool = NULL;
    struct pool_lane *lane = NULL;
    unsigned count = (unsigned)bench->threads;

    TL_TRY(pool_new(count, &pool, bench->err));
    TL_TRY(pool_lane_new(pool, 0, count, &lane, bench->err));
    enum tl_code code = TL_OK;
    for (unsigned i = 0; code == TL_OK && i < count; i++)
        code = pool_submit(lane, run_worker, &workers[i], bench->err);
    pool_lane_free(lane); /* waits for them */
    for (unsigned i = 0; code == TL_OK && i < count; i++)
        if (workers[i].code != TL_OK) {
            *bench->err = workers[i].err;
            code = workers[i].code;
        }
    return code;
}

/* ---- the report ---- */

static void report_json(struct bench *bench, const char *tile, enum cpu_isa isa, const double *ns,
                        const double *stage_ns)
{
    size_t count = (size_t)(bench->rounds * bench->threads);
    uint32_t trees = forest_info(bench->forest)->tree_count;

    buf_printf(&bench->json,
               "%s{\"tile\":\"%s\",\"isa\":\"%s\",\"ns_px\":%.3f,\"least_ns_px\":%.3f",
               bench->json.size ? "," : "", tile, cpu_isa_name(isa), ns[count / 2], ns[0]);
    if (trees)
        buf_printf(&bench->json, ",\"ns_px_tree\":%.5f", ns[count / 2] / trees);
    buf_printf(&bench->json, ",\"mpx_s\":%.3f", (double)bench->threads * 1e3 / ns[count / 2]);
    for (size_t s = 0; s < FOREST_STAGES; s++)
        buf_printf(&bench->json, ",\"%s_ns_px\":%.3f", stages[s], stage_ns[s]);
    buf_puts(&bench->json, "}");
}

static void report_text(const struct bench *bench, const char *tile, enum cpu_isa isa,
                        const double *ns, const double *stage_ns)
{
    size_t count = (size_t)(bench->rounds * bench->threads);
    uint32_t trees = forest_info(bench->forest)->tree_count;

    printf("%-14s %-7s %8.1f %8.1f", tile, cpu_isa_name(isa), ns[count / 2], ns[0]);
    if (trees)
        printf(" %12.4f", ns[count / 2] / trees);
    else
        printf(" %12s", "-");
    printf(" %8.3f", (double)bench->threads * 1e3 / ns[count / 2]);
    for (size_t s = 0; s < FOREST_STAGES; s++)
        printf(" %7.1f", stage_ns[s]);
    printf("\n");
}

static enum tl_code measure(struct bench *bench, const char *tile, enum cpu_isa isa)
{
    size_t rounds = (size_t)bench->rounds, threads = (size_t)bench->threads;
    double *ns = calloc(rounds * threads, sizeof(*ns)), stage_ns[FOREST_STAGES] = {0};
    struct worker *workers = calloc(threads, sizeof(*workers));
    enum tl_code code = ns && workers ? TL_OK : tl_fail(bench->err, TL_NOMEM, "no memory");

    for (size_t i = 0; code == TL_OK && i < threads; i++)
        workers[i] = (struct worker){.bench = bench, .ns = ns + i * rounds, .times = {.isa = isa}};
    if (code == TL_OK)
        code = run_workers(bench, workers);
    for (size_t i = 0; code == TL_OK && i < threads; i++)
        for (size_t s = 0; s < FOREST_STAGES; s++)
            stage_ns[s] += (double)workers[i].times.ns[s] /
                           (double)(bench->rounds * bench->threads * bench->pixels);
    if (code == TL_OK) {
        qsort(ns, rounds * threads, sizeof(*ns), compare_doubles);
        if (args_value(bench->args, "json"))
            report_json(bench, tile, isa, ns, stage_ns);
        else
            report_text(bench, tile, isa, ns, stage_ns);
    }
    free(workers);
    free(ns);
    return code;
}

static void print_head(const struct bench *bench)
{
    const struct model_info *info = forest_info(bench->forest);
    char file[32], memory[32];

    cli_bytes((double)bench->file_bytes, file);
    cli_bytes((double)forest_memory(bench->forest), memory);
    printf("model    %s: %s, %u trees, %llu nodes, depth %u, %u features, %u classes\n",
           bench->args->positional[1], info->kind, info->tree_count,
           (unsigned long long)info->node_count, info->max_depth, info->feature_count,
           info->class_count);
    printf("load     %.1f ms (fetch %.1f), file %s, memory %s\n", bench->load_ms, bench->fetch_ms,
           file, memory);
    printf("pixels   %lld of the model's own thresholds (seed %lld), labels and confidences; %lld "
           "rounds on %lld "
           "thread%s\n\n",
           (long long)bench->pixels, (long long)bench->seed, (long long)bench->rounds,
           (long long)bench->threads, bench->threads == 1 ? "" : "s");
    printf("%-14s %-7s %8s %8s %12s %8s %7s %7s %7s %7s\n", "tile", "isa", "ns/px", "least",
           "ns/px/tree", "Mpx/s", stages[0], stages[1], stages[2], stages[3]);
}

static void print_json(const struct bench *bench)
{
    const struct model_info *info = forest_info(bench->forest);
    AUTO_BUF name = {0};
    AUTO_BUF kind = {0};

    buf_json(&name, bench->args->positional[1]);
    buf_json(&kind, info->kind);
    printf("{\"model\":%.*s,\"kind\":%.*s,\"trees\":%u,\"nodes\":%llu,\"depth\":%u,"
           "\"features\":%u,\"classes\":%u,",
           (int)name.size, (const char *)name.bytes, (int)kind.size, (const char *)kind.bytes,
           info->tree_count, (unsigned long long)info->node_count, info->max_depth,
           info->feature_count, info->class_count);
    printf("\"fetch_ms\":%.3f,\"load_ms\":%.3f,\"file_bytes\":%zu,\"memory_bytes\":%zu,"
           "\"pixels\":%lld,\"seed\":%lld,\"rounds\":%lld,\"threads\":%lld,\"runs\":[%.*s]}\n",
           bench->fetch_ms, bench->load_ms, bench->file_bytes, forest_memory(bench->forest),
           (long long)bench->pixels, (long long)bench->seed, (long long)bench->rounds,
           (long long)bench->threads, (int)bench->json.size,
           bench->json.size ? (const char *)bench->json.bytes : "");
}

/* ---- the whole ---- */

static enum tl_code load_timed(const struct app *app, struct bench *bench)
{
    const char *href = bench->args->positional[1];
    AUTO(blob) file = NULL;
    int64_t start = clock_now_ns();

    TL_TRY(model_fetch(app, href, &file, bench->err));
    int64_t fetched = clock_now_ns();
    TL_TRY(forest_load(href, file, &bench->forest, bench->err));
    bench->file_bytes = blob_size(file);
    bench->fetch_ms = (double)(fetched - start) / NS_PER_MS;
    bench->load_ms = (double)(clock_now_ns() - fetched) / NS_PER_MS;
    return TL_OK;
}

static enum tl_code run_tiles(struct bench *bench)
{
    uint32_t features = forest_info(bench->forest)->feature_count;
    uint32_t height = (uint32_t)((bench->pixels + WIDTH - 1) / WIDTH);

    bench->planes = arena_alloc(bench->arena, features, sizeof(*bench->planes));
    float *values = arena_alloc(bench->arena, features, (size_t)WIDTH * height * sizeof(*values));
    if (!bench->planes || !values)
        return tl_fail(bench->err, TL_NOMEM, "no memory for the pixels");
    for (uint32_t f = 0; f < features; f++)
        bench->planes[f] = values + (size_t)f * WIDTH * height;
    for (size_t t = 0; t < TL_COUNT(tiles); t++) {
        if (!wanted(bench, "tile=", tiles[t], true))
            continue;
        if (!forest_make_tile(bench->forest, (enum model_tile)t, (uint64_t)bench->seed, WIDTH,
                              height, bench->planes))
            return tl_fail(bench->err, TL_NOMEM, "no memory for the pixels");
        for (enum cpu_isa isa = ISA_SCALAR; isa <= cpu_isa(); isa++)
            if (has_isa(isa) && wanted(bench, "isa=", cpu_isa_name(isa), isa == cpu_isa()))
                TL_TRY(measure(bench, tiles[t], isa));
    }
    return TL_OK;
}

static enum tl_code run_loaded(struct bench *bench)
{
    bool json = args_value(bench->args, "json") != NULL;

    if (!json)
        print_head(bench);
    TL_TRY(run_tiles(bench));
    if (buf_failed(&bench->json))
        return tl_fail(bench->err, TL_NOMEM, "no memory for the report");
    if (json)
        print_json(bench);
    return TL_OK;
}

static enum tl_code run_bench(struct app *app, const struct args *args, struct tl_err *err)
{
    AUTO(arena) arena = arena_new();
    struct bench bench = {.args = args, .arena = arena, .err = err};

    if (!arena)
        return tl_fail(err, TL_NOMEM, "no memory to measure");
    TL_TRY(read_options(&bench));
    TL_TRY(check_words(&bench));
    enum tl_code code = load_timed(app, &bench);
    if (code == TL_OK)
        code = run_loaded(&bench);
    buf_release(&bench.json);
    forest_unref(bench.forest);
    return code;
}

const struct model_verb model_verb_bench = {
    .command =
        {.name = "model bench",
         .help =
             "usage: tilth model bench FILE|URL [--pixels N] [--tile "
             "smooth|noisy|structureless|all]\n"
             "                   [--isa NAME|all] [--threads N] [--rounds N] [--seed N] [--json]\n"
             "\n"
             "Nanoseconds per pixel, by kind of tile, instruction set and stage, on pixels made of "
             "the\n"
             "model's own thresholds; processor time, median of the rounds. Harder than land: "
             "compare\n"
             "models and machines with it.\n"
             "\n"
             "  --pixels N    pixels of a tile (65536)\n"
             "  --tile KIND   fields, fields with noise, or every pixel another (all)\n"
             "  --isa NAME    an instruction set of this machine; all compares them (the best)\n"
             "  --threads N   as many at once, each over the same pixels (1)\n"
             "  --rounds N    how often each is run (9)\n"
             "  --seed N      other pixels (1)\n"
             "  --json        one JSON document instead of a table\n"
             "\n"
             "  tilth model bench crops.tilth --tile noisy --isa all\n"},
    .own = options,
    .run = run_bench};
