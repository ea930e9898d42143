#include "base/buf.h"
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

static int run(int argc, char **argv)
{
    struct args args = {.own = (const char *const[]){"markdown", NULL}};
    struct tl_err err;
    AUTO_BUF out = {0};

    enum tl_code code = args_read(&args, &cmd_config, argc, argv, &err);
    if (code != TL_OK)
        return cli_fail(&cmd_config, code, &err);
    if (args_value(&args, "markdown"))
        config_print_markdown(&out);
    else
        config_print(&args.config, &out);
    fwrite(out.bytes, 1, out.size, stdout);
    return buf_failed(&out) ? EXIT_FAILURE : EXIT_SUCCESS;
}

const struct command cmd_config = {
    .name = "config",
    .summary = "print every setting with its value, as a file that --config reads",
    .help =
        "usage: tilth config [--config FILE] [--markdown] [--KEY VALUE ...]\n"
        "\n"
        "Prints a configuration file with every key, its value here and now, its range and one\n"
        "sentence about it. --markdown prints docs/config.md.\n"
        "\n"
        "  tilth config > tilth.conf        start a file of your own\n"
        "  tilth config --config tilth.conf  see what it comes to, environment included\n",
    .run = run,
};
