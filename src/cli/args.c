#include "cli/cli.h"

#include "base/errand.h"
#include "base/nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Matches "--name" or "--name=value" against one own option ("name" or "name="). */
static bool matches(const char *argument, const char *own, bool *ret_takes, const char **ret_value)
{
    size_t size = strlen(own);
    bool takes = size > 0 && own[size - 1] == '=';

    if (takes)
        size--;
    if (strncmp(argument, own, size) != 0 || (argument[size] != '\0' && argument[size] != '='))
        return false;
    *ret_takes = takes;
    *ret_value = argument[size] == '=' ? argument + size + 1 : NULL;
    return true;
}

static int find_own(const struct args *args, const char *argument, bool *ret_takes,
                    const char **ret_value)
{
    for (int i = 0; args->own[i]; i++)
        if (matches(argument, args->own[i], ret_takes, ret_value))
            return i;
    return -1;
}

/* The closest of the command's own options, or one that begins so, without the "=" of those that
 * take a value; "". */
static void guess_own(const struct args *args, const char *key, char ret_guess[64])
{
    const char *known[ARGS_MAX_OWN + 1] = {0};
    char names[ARGS_MAX_OWN][32];

    for (int i = 0; args->own[i]; i++) {
        snprintf(names[i], sizeof(names[i]), "%.*s", (int)strcspn(args->own[i], "="), args->own[i]);
        known[i] = names[i];
    }
    const char *guess = key[0] ? nearest_word(key, known) : NULL;
    for (int i = 0; key[0] && !guess && known[i]; i++)
        if (strncmp(known[i], key, strlen(key)) == 0)
            guess = known[i];
    snprintf(ret_guess, 64, "%s", guess ? guess : "");
}

static enum tl_code refuse_option(const struct args *args, const char *key, struct tl_err *err)
{
    char guess[64];

    guess_own(args, key, guess);
    if (key[0] && !guess[0])
        config_nearest(key, guess);
    return tl_fail(err, TL_INVALID,
                   "there is no option %s%.64s%s%s%s `tilth %s --help` explains its own, `tilth "
                   "config` lists the settings that every command takes as options",
                   strlen(key) > 1 ? "--" : "-", key, guess[0] ? "; did you mean --" : ";", guess,
                   guess[0] ? "?" : "", args->command->name);
}

static enum tl_code read_config_flag(struct args *args, const char *argument, int argc, char **argv,
                                     int *i, struct tl_err *err)
{
    const char *equals = strchr(argument, '=');
    const char *value = equals ? equals + 1 : *i + 1 < argc ? argv[++*i] : NULL;
    char key[128], where[140];

    snprintf(key, sizeof(key), "%.*s", (int)strcspn(argument, "="), argument);
    if (!config_knows(key))
        return refuse_option(args, key, err);
    if (!value)
        return tl_fail(err, TL_INVALID, "--%s needs a value", argument);
    snprintf(where, sizeof(where), "--%s", argument);
    return config_set(&args->config, where, key, value ? value : "", err);
}

static enum tl_code read_option(struct args *args, int argc, char **argv, int *i,
                                struct tl_err *err)
{
    const char *argument = argv[*i] + strspn(argv[*i], "-");
    const char *value;
    bool takes;
    int own = find_own(args, argument, &takes, &value);

    if (own >= 0 && !takes && value)
        return tl_fail(err, TL_INVALID, "--%.*s takes no value", (int)strcspn(argument, "="),
                       argument);
    if (own < 0)
        return read_config_flag(args, argument, argc, argv, i, err);
    if (takes && !value) {
        if (*i + 1 >= argc)
            return tl_fail(err, TL_INVALID, "--%s needs a value", argument);
        value = argv[++*i];
    }
    args->values[own] = takes ? value : "";
    return TL_OK;
}

/* What follows it is no option, whatever it begins with. */
static bool ends_options(const char *argument)
{
    return strcmp(argument, "--") == 0;
}

static enum tl_code read_config_file(struct args *args, int argc, char **argv, struct tl_err *err)
{
    const char *path =
        getenv("TILTH_CONFIG"); /* NOLINT(concurrency-mt-unsafe): before any thread */

    for (int i = 0; i < argc && !ends_options(argv[i]); i++) {
        if (strcmp(argv[i], "--config") == 0 && i + 1 == argc)
            return tl_fail(err, TL_INVALID, "--config needs a file");
        if (strcmp(argv[i], "--config") == 0)
            path = argv[++i];
        else if (strncmp(argv[i], "--config=", 9) == 0)
            path = argv[i] + 9;
    }
    return path && path[0] ? config_read_file(&args->config, path, err) : TL_OK;
}

static bool wants_help(const char *argument)
{
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

enum tl_code args_read(struct args *args, const struct command *command, int argc, char **argv,
                       struct tl_err *err)
{
    bool options = true;

    args->command = command;
    for (int i = 0; i < argc && !ends_options(argv[i]); i++)
        if (wants_help(argv[i])) {
            fputs(command->help, stdout);
            exit(EXIT_SUCCESS); /* NOLINT(concurrency-mt-unsafe): before any thread */
        }
    config_defaults(&args->config);
    TL_TRY(read_config_file(args, argc, argv, err));
    TL_TRY(config_read_environment(&args->config, err));
    for (int i = 0; i < argc; i++) {
        if (options && ends_options(argv[i])) {
            options = false;
        } else if (options && strcmp(argv[i], "--config") == 0) {
            i++;
        } else if (options && strncmp(argv[i], "--config=", 9) == 0) {
            continue;
        } else if (options && argv[i][0] == '-' && argv[i][1] != '\0') {
            TL_TRY(read_option(args, argc, argv, &i, err));
        } else if (args->positional_count < (int)TL_COUNT(args->positional)) {
            args->positional[args->positional_count++] = argv[i];
        } else {
            return tl_fail(err, TL_INVALID, "too many arguments at \"%s\"", argv[i]);
        }
    }
    return TL_OK;
}

const char *args_value(const struct args *args, const char *own)
{
    for (int i = 0; args->own[i]; i++)
        if (strcmp(args->own[i], own) == 0)
            return args->values[i];
    return NULL;
}

int cli_fail(const struct command *command, enum tl_code code, const struct tl_err *err)
{
    int status = cli_fail_file(command, err);

    return code == TL_INVALID ? EXIT_USAGE : status;
}

int cli_fail_file(const struct command *command, const struct tl_err *err)
{
    fprintf(stderr, "tilth %s: %s\n", command->name, err->msg);
    return EXIT_FAILURE;
}

int cli_usage(const struct command *command, const char *what)
{
    fprintf(stderr, "tilth %s: %s\n\n%s", command->name, what, command->help);
    return EXIT_USAGE;
}

void cli_bytes(double bytes, char ret_text[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;

    while (bytes >= 1024 && unit + 1 < TL_COUNT(units)) {
        bytes /= 1024;
        unit++;
    }
    snprintf(ret_text, 32, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}
