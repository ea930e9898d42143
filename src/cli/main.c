#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct command *const commands[] = {&cmd_serve,    &cmd_check, &cmd_model, &cmd_render,
                                                 &cmd_classify, &cmd_cache, &cmd_config};

static void print_help(FILE *to)
{
    fputs("tilth - map tiles that are classified while you look\n\nusage: tilth COMMAND ...\n\n",
          to);
    for (size_t i = 0; i < TL_COUNT(commands); i++)
        fprintf(to, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
    fputs("\n`tilth COMMAND --help` teaches each one. Every setting of `tilth config` is also an\n"
          "option (--cache-size \"8 GiB\"), an environment variable (TILTH_CACHE_SIZE) and a line "
          "of\n"
          "the file given by --config.\n",
          to);
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return EXIT_SUCCESS;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("tilth " TILTH_VERSION);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; i < TL_COUNT(commands); i++)
        if (strcmp(argv[1], commands[i]->name) == 0)
            return commands[i]->run(argc - 2, argv + 2);
    fprintf(stderr, "tilth: there is no command \"%s\"\n\n", argv[1]);
    print_help(stderr);
    return EXIT_USAGE;
}
