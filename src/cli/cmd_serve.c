#include "base/log.h"
#include "cli/cli.h"
#include "cli/start_check.h"
#include "http/http.h"
#include "tiler/catalog.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The viewer beside the program: PREFIX/share/tilth/viewer of an installed one. */
static const char *find_viewer(const struct config *config, char path[PATH_MAX])
{
    if (config->viewer_dir[0])
        return config->viewer_dir;
    ssize_t size = readlink("/proc/self/exe", path, PATH_MAX - 1);
    if (size < 0)
        return NULL;
    path[size] = '\0';
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(path, '/');
        if (slash)
            *slash = '\0';
    }
    size_t used = strlen(path);
    snprintf(path + used, PATH_MAX - used, "/share/tilth/viewer");
    return access(path, R_OK) == 0 ? path : NULL;
}

static void announce(const struct app *app, const struct http *http)
{
    const char *colon = strrchr(app->config.listen, ':');
    int host = colon ? (int)(colon - app->config.listen) : 0;

    fprintf(stderr, "tilth: serving %zu layers at http://%.*s:%u/\n",
            catalog_layer_count(app->catalog), host, app->config.listen, http_port(http));
    fflush(stderr);
}

static enum tl_code serve(const struct app *app, struct log *log, struct tl_err *err)
{
    char path[PATH_MAX];
    const struct http_options options = {.config = &app->config,
                                         .catalog = app->catalog,
                                         .tiler = app->tiler,
                                         .log = log,
                                         .viewer_dir = find_viewer(&app->config, path)};
    AUTO(http) http = NULL;

    TL_TRY(http_new(&options, &http, err));
    announce(app, http);
    return http_run(http, err);
}

/* Troubles go to standard error, through a log of their own: a stuck reader stops no tile. */
static void on_trouble(void *udata, const char *level, const char *at, const char *message)
{
    log_event(udata, level, at, "%s", message);
}

static int run(int argc, char **argv)
{
    struct args args = {.own = (const char *const[]){NULL}};
    struct app app = {0};
    struct start_check check = {0};
    struct tl_err err;
    AUTO(log) log = NULL;
    AUTO(log) troubles = NULL;

    http_block_signals();
    enum tl_code code = args_read(&args, &cmd_serve, argc, argv, &err);
    if (code != TL_OK)
        return cli_fail(&cmd_serve, code, &err);
    if (args.positional_count > 0)
        return cli_usage(&cmd_serve, "there is nothing to name: layers come from layers_dir");
    code = log_open(args.config.access_log, &log, &err);
    if (code == TL_OK)
        code = log_open(LOG_STDERR, &troubles, &err);
    app.listener = (struct listener){on_trouble, troubles};
    if (code == TL_OK)
        code = app_open(&app, &args.config, APP_SERVING, &err);
    if (code == TL_OK)
        code = start_check_begin(&app, &check, &err);
    if (code == TL_OK)
        code = serve(&app, log, &err);
    start_check_end(&check);
    app_close(&app);
    return code == TL_OK ? EXIT_SUCCESS : cli_fail(&cmd_serve, code, &err);
}

const struct command cmd_serve = {
    .name = "serve",
    .summary = "serve the layers of a folder as map tiles",
    .help =
        "usage: tilth serve [--config FILE] [--listen 127.0.0.1:8080] [--layers-dir DIR]\n"
        "                   [--styles-dir DIR] [--cache-dir DIR] [--KEY VALUE ...]\n"
        "\n"
        "Serves every layer document of layers_dir (docs/layers.md). A document that is refused "
        "is\n"
        "named on standard error and the others are served; so is a layer whose files are not "
        "there\n"
        "(`tilth check LAYER.json` says all that is wrong with one). SIGTERM drains: what was "
        "asked is\n"
        "answered, then it ends. `tilth config` prints every setting.\n"
        "\n"
        "  tilth serve --layers-dir demo/layers --styles-dir styles --cache-dir /var/cache/tilth\n"
        "  curl http://127.0.0.1:8080/layers\n",
    .run = run,
};
