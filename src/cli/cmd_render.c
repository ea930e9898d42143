#include "base/arena.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/errand.h"
#include "base/file.h"
#include "cli/cli.h"
#include "http/tile_args.h"
#include "tiler/catalog.h"
#include "tiler/layer.h"
#include "tiler/tiler.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "14/9650/8901[@2x][.png]", read as the server reads it. */
static enum tl_code read_tile(const char *text, struct tile_query *query, struct tl_err *err)
{
    struct text rest = text_of(text), zxy[3];

    for (size_t i = 0; i < 2; i++)
        zxy[i] = text_cut(&rest, '/');
    zxy[2] = rest;
    if (rest.size == 0)
        return tl_fail(err, TL_INVALID, "\"%s\" is not a tile like 14/9650/8901", text);
    return args_address(zxy, query, err);
}

static enum tl_code read_query(const struct app *app, const struct args *args,
                               struct tile_query *query, struct tl_err *err)
{
    const char *season = args_value(args, "season=");

    query->deadline_ns = CLOCK_NEVER;
    TL_TRY(catalog_layer(app->catalog, args->positional[0], &query->layer, err));
    TL_TRY(layer_style(query->layer, args_value(args, "style="), &query->style, err));
    TL_TRY(read_tile(args->positional[1], query, err));
    if (season)
        snprintf(query->season, sizeof(query->season), "%s", season);
    return TL_OK;
}

static enum tl_code render(const struct app *app, const struct args *args, const char *path,
                           struct tl_err *err)
{
    struct errand errand = errand_unbounded();
    struct tile_query query = {.format = IMAGE_PNG};
    AUTO(arena) arena = arena_new();
    struct tile tile;

    if (!arena)
        return tl_fail(err, TL_NOMEM, "no memory to render");
    TL_TRY(read_query(app, args, &query, err));
    int64_t start = clock_now_ns();
    TL_TRY(tiler_render(app->tiler, &query, &errand, arena, &tile, err));
    double ms = (double)(clock_now_ns() - start) / NS_PER_MS;
    AUTO(blob) blob = tile.blob;
    TL_TRY(file_write(path, blob_bytes(blob), blob_size(blob), err));
    printf("%s: %zu bytes, %.1f ms%s%s\n", path, blob_size(blob), ms, tile.empty ? ", empty" : "",
           tile.inexact ? ", approximate: classified from overviews" : "");
    return TL_OK;
}

static int run(int argc, char **argv)
{
    struct args args = {.own = (const char *const[]){"o=", "style=", "season=", "cache", NULL}};
    struct app app = {0};
    struct tl_err err;

    enum tl_code code = args_read(&args, &cmd_render, argc, argv, &err);
    if (code != TL_OK)
        return cli_fail(&cmd_render, code, &err);
    if (args.positional_count != 2 || !args_value(&args, "o="))
        return cli_usage(&cmd_render, "a layer, a tile and -o FILE are needed");
    code = app_open(&app, &args.config, args_value(&args, "cache") ? APP_ALL : APP_NO_CACHE, &err);
    if (code == TL_OK)
        code = render(&app, &args, args_value(&args, "o="), &err);
    app_close(&app);
    return code == TL_OK ? EXIT_SUCCESS : cli_fail(&cmd_render, code, &err);
}

const struct command cmd_render = {
    .name = "render",
    .summary = "render one tile of a layer into a file, without a server",
    .help = "usage: tilth render LAYER Z/X/Y[@2x][.png|.webp|.jpg] -o FILE\n"
            "                    [--style ID] [--season LABEL|DATE] [--cache] [--layers-dir DIR]\n"
            "\n"
            "Renders the tile as the server would. --cache also uses and fills the cache of class\n"
            "blocks; without it every pixel is computed anew.\n"
            "\n"
            "  tilth render demo-crops 14/9605/9016 -o tile.png --layers-dir demo/layers\n",
    .run = run,
};
