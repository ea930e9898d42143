#include "cli/cli.h"

#include "base/cpu.h"
#include "base/pool.h"
#include "cache/cache.h"
#include "raster/block_pool.h"
#include "store/store.h"
#include "tiler/catalog.h"
#include "tiler/tiler.h"

#include <stdio.h>
#include <unistd.h>

/*
 * Most workers wait for a store; two layers whose stores hang may hold a third of them each and
 * the rest still keeps the cores busy.
 */
enum { WORKERS_PER_CORE = 4, SPARE_WORKERS = 2 };

static enum tl_code open_store(struct app *app, struct tl_err *err)
{
    const struct config *c = &app->config;
    const struct store_options options = {.s3 = {.endpoint = c->s3_endpoint,
                                                 .region = c->s3_region,
                                                 .access_key = c->s3_access_key,
                                                 .secret_key = c->s3_secret_key,
                                                 .session_token = c->s3_session_token,
                                                 .path_style = c->s3_path_style,
                                                 .anonymous = c->s3_anonymous},
                                          .max_connections = (unsigned)c->fetch_connections,
                                          .retries = (unsigned)c->fetch_retries,
                                          .timeout_ns = c->fetch_timeout,
                                          .merge_gap = 64,
                                          .range_cache_bytes = (size_t)c->range_cache,
                                          .listener = &app->listener};

    return store_new(&options, &app->store, err);
}

static enum tl_code open_cache(struct app *app, struct tl_err *err)
{
    const struct cache_options options = {.dir = app->config.cache_dir,
                                          .disk_bytes = (uint64_t)app->config.cache_size,
                                          .ram_bytes = (uint64_t)app->config.cache_ram,
                                          .listener = &app->listener};

    return cache_open(&options, &app->cache, err);
}

static void complain(void *udata, const char *message)
{
    (void)udata;
    fprintf(stderr, "tilth: refused: %s\n", message);
}

static enum tl_code open_catalog(struct app *app, enum app_flags flags, struct tl_err *err)
{
    const struct catalog_options options = {.layers_dir = app->config.layers_dir,
                                            .styles_dir = app->config.styles_dir,
                                            .store = app->store,
                                            .pool = app->blocks,
                                            .cache = app->cache,
                                            .start_wait_ns =
                                                flags & APP_SERVING ? app->config.start_wait : 0,
                                            .revalidate_ns = app->config.revalidate,
                                            .listener = &app->listener};

    return catalog_open(&options, complain, NULL, &app->catalog, err);
}

enum tl_code app_open_documents(struct app *app, const char *model, struct tl_err *err)
{
    const char *styles = app->config.styles_dir;
    const struct catalog_options options = {.styles_dir = access(styles, R_OK) == 0 ? styles : NULL,
                                            .model = model,
                                            .store = app->store,
                                            .pool = app->blocks,
                                            .revalidate_ns = app->config.revalidate};

    return catalog_open(&options, complain, NULL, &app->catalog, err);
}

static enum tl_code open_tiler(struct app *app, struct tl_err *err)
{
    unsigned workers = app->config.workers > 0 ? (unsigned)app->config.workers
                                               : cpu_cores() * WORKERS_PER_CORE + SPARE_WORKERS;

    TL_TRY(pool_new(workers, &app->workers, err));
    const struct tiler_options options = {.catalog = app->catalog,
                                          .cache = app->cache,
                                          .pool = app->workers,
                                          .lane_queue = (uint32_t)app->config.lane_queue,
                                          .cache_tiles = app->config.cache_tiles};
    return tiler_new(&options, &app->tiler, err);
}

enum tl_code app_open(struct app *app, const struct config *config, enum app_flags flags,
                      struct tl_err *err)
{
    app->config = *config;
    TL_TRY(open_store(app, err));
    TL_TRY(block_pool_new((size_t)config->block_pool, &app->blocks, err));
    if ((flags & APP_SERVING) && config->block_pool_populate)
        block_pool_populate(app->blocks);
    if (flags & APP_NO_CATALOG)
        return TL_OK;
    if (!(flags & APP_NO_CACHE))
        TL_TRY(open_cache(app, err));
    TL_TRY(open_catalog(app, flags, err));
    return open_tiler(app, err);
}

void app_close(struct app *app)
{
    /* Lanes belong to the tiler and must be idle: nothing is queued once the server is down. */
    tiler_free(app->tiler);
    pool_free(app->workers);
    catalog_close(app->catalog);
    cache_close(app->cache);
    block_pool_free(app->blocks);
    store_free(app->store);
    *app = (struct app){0};
}

struct raster_env app_raster(const struct app *app)
{
    return (struct raster_env){.store = app->store, .pool = app->blocks};
}
