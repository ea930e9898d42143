/*
 * Replays a folder of saved inputs (and every truncation of the small ones) through a
 * fuzz target, with any compiler: the corpus is a regression test. An absent folder is an
 * empty one; the empty input always runs.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { LONGEST = 1 << 20, TRUNCATE_BELOW = 4096 };

static void replay(const uint8_t *bytes, size_t size)
{
    size_t from = size < TRUNCATE_BELOW ? 0 : size;

    for (size_t n = from; n <= size; n++) {
        /* An exact heap copy, so that AddressSanitizer sees one byte past the end. */
        uint8_t *copy = malloc(n ? n : 1);
        if (!copy)
            abort();
        for (size_t i = 0; i < n; i++)
            copy[i] = bytes[i];
        LLVMFuzzerTestOneInput(copy, n);
        free(copy);
    }
}

static int replay_file(const char *path)
{
    static uint8_t bytes[LONGEST];
    FILE *file = fopen(path, "rb");

    if (!file)
        return EXIT_FAILURE;
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    fclose(file);
    replay(bytes, size);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    DIR *dir = argc > 1 ? opendir(argv[1]) : NULL;
    unsigned count = 0;

    replay((const uint8_t *)"", 0);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char path[4096];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
        if (replay_file(path) != EXIT_SUCCESS)
            return EXIT_FAILURE;
        count++;
    }
    if (dir)
        closedir(dir);
    printf("%u saved inputs replayed\n", count);
    return EXIT_SUCCESS;
}
