/*
 * cli: what the subcommands of `tilth` share: a table of commands, the way options are read,
 * and the parts of a running tilth put together from one configuration.
 *
 * Threads  main thread only
 */
#ifndef TILTH_CLI_CLI_H
#define TILTH_CLI_CLI_H

#include "base/attr.h"
#include "base/config.h"
#include "base/err.h"
#include "base/trouble.h"
#include "raster/raster.h"

#include <stdbool.h>

struct block_pool;
struct cache;
struct catalog;
struct pool;
struct store;
struct tiler;

enum { EXIT_USAGE = 2, ARGS_MAX_OWN = 16 };

/* One command of `tilth`. `run` gets what follows the command's name and exits with its result. */
struct command {
    const char *name;
    const char *summary; /* one line of `tilth --help` */
    const char *help;    /* all of `tilth NAME --help` */
    int (*run)(int argc, char **argv);
};

extern const struct command cmd_serve, cmd_check, cmd_model, cmd_render, cmd_classify, cmd_cache,
    cmd_config;

/*
 * Command line of a command: options of its own first, then any configuration key as
 * --key VALUE. NULL-terminated `own` names the command's options; one that ends in "=" takes
 * a value. What is neither is a positional argument, and so is everything behind "--".
 */
struct args {
    struct config config;
    const struct command *command; /* set by args_read() */
    const char *const *own;
    const char *values[ARGS_MAX_OWN]; /* of own[i]: its value, "" for a flag that was given, NULL */
    int positional_count;
    const char *positional[64];
};

/*
 * Defaults, then --config FILE (or TILTH_CONFIG), then the environment, then the command line.
 * Also answers --help.
 */
TL_MUST_CHECK enum tl_code args_read(struct args *args, const struct command *command, int argc,
                                     char **argv, struct tl_err *err);
const char *args_value(const struct args *args, const char *own);

/* Everything between a configuration and a tile. */
struct app {
    struct config config;
    struct listener listener; /* set before app_open(); empty: nobody hears of troubles */
    struct store *store;
    struct block_pool *blocks;
    struct cache *cache; /* NULL when APP_NO_CACHE */
    struct catalog *catalog;
    struct pool *workers;
    struct tiler *tiler;
};

enum app_flags {
    APP_ALL = 0,
    APP_NO_CACHE = 1 << 0,   /* nothing is read from or written to the tile cache */
    APP_NO_CATALOG = 1 << 1, /* store and block pool only */
    APP_SERVING = 1 << 2,    /* waits for stores of models, claims its memory */
};

TL_MUST_CHECK enum tl_code app_open(struct app *app, const struct config *config,
                                    enum app_flags flags, struct tl_err *err);
/*
 * The styles of the configuration's folder, where there is one, and no layer: catalog_add_layer()
 * adds some. `model` is in place of those that documents name; NULL. Of an app without a catalog.
 */
TL_MUST_CHECK enum tl_code app_open_documents(struct app *app, const char *model,
                                              struct tl_err *err);
void app_close(struct app *app);
struct raster_env app_raster(const struct app *app);

/*
 * "tilth check: <message>" on standard error; the exit status: EXIT_USAGE when the command
 * line was wrong (TL_INVALID), else EXIT_FAILURE. What a file holds is never the line's fault:
 * that is cli_fail_file().
 */
int cli_fail(const struct command *command, enum tl_code code, const struct tl_err *err);
int cli_fail_file(const struct command *command, const struct tl_err *err);
int cli_usage(const struct command *command, const char *what);
void cli_bytes(double bytes, char ret_text[32]); /* "12.3 MiB" */

#endif
