/*
 * Any text is either refused with a message or compiled into a program that runs over any
 * pixels without touching memory that is not its own.
 */
#include "base/arena.h"
#include "base/err.h"
#include "classify/feature.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PIXELS = 1030 }; /* a whole strip and a tail */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One-letter bands a..h. */
static int find_band(void *udata, const char *name, size_t size)
{
    (void)udata;
    return size == 1 && name[0] >= 'a' && name[0] <= 'h' ? name[0] - 'a' : -1;
}

static void run(const struct feature *feature)
{
    static float plane[8][PIXELS], out[PIXELS + 1];
    const float *planes[8];
    AUTO(arena) arena = arena_new();
    struct tl_err err;

    for (int b = 0; b < 8; b++) {
        planes[b] = plane[b];
        for (int i = 0; i < PIXELS; i++)
            plane[b][i] = (float)((b + 1) * (i - 512)) / 7;
    }
    plane[0][0] = NAN;
    plane[1][1] = INFINITY;
    out[PIXELS] = 42;
    if (!arena || feature_run(feature, planes, PIXELS, arena, out, &err) != TL_OK ||
        out[PIXELS] != 42)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tl_err err = {""};
    struct feature *feature = NULL;
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    if (feature_compile(text, find_band, NULL, &feature, &err) == TL_OK)
        run(feature);
    else if (!err.msg[0])
        abort();
    feature_free(feature);
    free(text);
    return 0;
}
