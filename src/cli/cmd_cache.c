#include "base/buf.h"
#include "cache/cache.h"
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int stat_cache(struct cache *cache)
{
    AUTO_BUF out = {0};
    struct tl_err err;
    enum tl_code code = cache_stat(cache, &out, &err);

    if (code != TL_OK)
        return cli_fail_file(&cmd_cache, &err);
    buf_puts(&out, "\n");
    fwrite(out.bytes, 1, out.size, stdout);
    return EXIT_SUCCESS;
}

static int verify_cache(struct cache *cache, bool repair)
{
    struct cache_verdict verdict;
    struct tl_err err;
    char size[32];
    enum tl_code code = cache_verify(cache, repair, &verdict, &err);

    if (code != TL_OK)
        return cli_fail_file(&cmd_cache, &err);
    cli_bytes((double)verdict.bytes, size);
    printf("%llu values, %s, %llu corrupt, %llu orphaned chunks%s\n",
           (unsigned long long)verdict.values, size, (unsigned long long)verdict.corrupt,
           (unsigned long long)verdict.orphans, repair ? ", repaired" : "");
    return verdict.corrupt + verdict.orphans == 0 || repair ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run(int argc, char **argv)
{
    struct args args = {.own = (const char *const[]){"repair", NULL}};
    struct tl_err err;
    AUTO(cache) cache = NULL;

    enum tl_code code = args_read(&args, &cmd_cache, argc, argv, &err);
    if (code != TL_OK)
        return cli_fail(&cmd_cache, code, &err);
    if (args.positional_count != 1)
        return cli_usage(&cmd_cache, "a verb is needed");
    bool stats = strcmp(args.positional[0], "stat") == 0;
    if (!stats && strcmp(args.positional[0], "verify") != 0)
        return cli_usage(&cmd_cache, "the verbs are stat and verify");
    bool repair = args_value(&args, "repair");
    const struct cache_options options = {.dir = args.config.cache_dir,
                                          .disk_bytes = (uint64_t)args.config.cache_size,
                                          .ram_bytes = 1 << 20,
                                          .read_only = !repair};
    if (args.config.cache_dir[0] == '\0')
        return cli_usage(&cmd_cache, "cache_dir is empty: there is no cache on disk");
    code = cache_open(&options, &cache, &err);
    if (code != TL_OK)
        return cli_fail_file(&cmd_cache, &err);
    return stats ? stat_cache(cache) : verify_cache(cache, repair);
}

const struct command cmd_cache = {
    .name = "cache",
    .summary = "say what the tile cache holds, or read all of it back and check it",
    .help =
        "usage: tilth cache stat   [--cache-dir DIR]\n"
        "       tilth cache verify [--cache-dir DIR] [--repair]\n"
        "\n"
        "`stat` prints budget, bytes and values, per layer, as JSON. `verify` reads every value\n"
        "and compares its checksum; with --repair what is broken is deleted (it will be rendered\n"
        "again when somebody asks). Both may run beside a server.\n",
    .run = run,
};
