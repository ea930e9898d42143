/*
 * CPU per tile of tiler_render(), blocks warm, one thread: the figure "in-process render".
 *
 * usage: bench_render LAYERS_DIR STYLES_DIR LAYER TILES.txt     (lines of z/x/y)
 * Prints one JSON object: the fastest of the rounds, in microseconds of thread CPU time.
 */
#include "../bench.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/errand.h"
#include "base/pool.h"
#include "raster/block_pool.h"
#include "store/store.h"
#include "tiler/catalog.h"
#include "tiler/tiler.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { MAX_TILES = 10000, ROUNDS = 15 };

static void die_of(const char *what, const struct tl_err *err)
{
    fprintf(stderr, "bench_render: %s: %s\n", what, err->msg);
    exit(EXIT_FAILURE);
}

static size_t read_tiles(const char *path, struct tile_id *ids)
{
    FILE *file = fopen(path, "r");
    unsigned z, x, y;
    size_t count = 0;

    while (file && count < MAX_TILES && fscanf(file, "%2u/%10u/%10u", &z, &x, &y) == 3)
        ids[count++] = (struct tile_id){.x = x, .y = y, .z = (uint8_t)z};
    if (file)
        fclose(file);
    return count;
}

static double render_all(struct tiler *tiler, struct tile_query *query, const struct tile_id *ids,
                         size_t count, struct arena *arena)
{
    double start = thread_us();

    for (size_t i = 0; i < count; i++) {
        struct errand errand = errand_unbounded();
        struct tile tile;
        struct tl_err err;

        query->id = ids[i];
        if (tiler_render(tiler, query, &errand, arena, &tile, &err) != TL_OK)
            die_of("render", &err);
        blob_unref(tile.blob);
        arena_reset(arena);
    }
    return (thread_us() - start) / (double)count;
}

int main(int argc, char **argv)
{
    static struct tile_id ids[MAX_TILES];
    struct tl_err err = {"wrong number of arguments"};
    struct store *store = NULL;
    struct block_pool *blocks = NULL;
    struct pool *workers = NULL;
    struct catalog *catalog;
    struct tiler *tiler;
    struct tile_query query = {.scale = 1, .format = IMAGE_PNG, .deadline_ns = CLOCK_NEVER};

    if (argc != 5)
        die_of("usage: LAYERS_DIR STYLES_DIR LAYER TILES.txt", &err);
    const struct store_options so = {.max_connections = 8, .timeout_ns = NS_PER_S, .merge_gap = 64};
    if (store_new(&so, &store, &err) || block_pool_new((size_t)512 << 20, &blocks, &err) ||
        pool_new(1, &workers, &err))
        die_of("start", &err);
    const struct catalog_options co = {.layers_dir = argv[1],
                                       .styles_dir = argv[2],
                                       .store = store,
                                       .pool = blocks,
                                       .revalidate_ns = 3600 * NS_PER_S};
    if (catalog_open(&co, NULL, NULL, &catalog, &err) ||
        catalog_layer(catalog, argv[3], &query.layer, &err))
        die_of("catalog", &err);
    const struct tiler_options to = {.catalog = catalog, .pool = workers, .lane_queue = 8};
    if (tiler_new(&to, &tiler, &err))
        die_of("tiler", &err);
    size_t count = read_tiles(argv[4], ids);
    struct arena *arena = arena_new();
    double best = 1e30;
    for (int round = 0; arena && count && round < ROUNDS; round++)
        best = TL_MIN(best, render_all(tiler, &query, ids, count, arena));
    printf("{\"tilth_us\": %.2f, \"tiles\": %zu}\n", best, count);
    arena_free(arena);
    tiler_free(tiler);
    pool_free(workers);
    catalog_close(catalog);
    block_pool_free(blocks);
    store_free(store);
    return EXIT_SUCCESS;
}
