/*
 * Any text is either refused with a message or compiled into a program that runs over any
 * pixels without touching memory that is not its own.
 */
#include "base/arena.h"
#include "base/err.h"
#include "feature/feature.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { PIXELS = 1030 }; /* a whole strip and a tail */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One-letter bands a..h, bands 1 to 8 of a source t, and all bands of a source s. */
static bool find_band(void *udata, const char *name, size_t size, struct feature_band *ret_band)
{
    (void)udata;
    *ret_band = (struct feature_band){.scale = 1};
    if (size == 1 && name[0] >= 'a' && name[0] <= 'h')
        ret_band->plane = name[0] - 'a';
    else if (size == 3 && memcmp(name, "t.", 2) == 0 && name[2] >= '1' && name[2] <= '8')
        ret_band->plane = name[2] - '1';
    else if (size > 2 && memcmp(name, "s.", 2) == 0)
        *ret_band = (struct feature_band){(int)(size % 8), 0.5F, 1};
    else
        return false;
    return true;
}

static void run(const struct features *features)
{
    static float plane[8][PIXELS], out[PIXELS + 1];
    float *outs[] = {out};
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
    if (!arena || features_run(features, planes, PIXELS, arena, outs, &err) != TL_OK ||
        out[PIXELS] != 42)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct tl_err err = {""};
    struct features *features = NULL;
    struct feature_text one = {.name = "fuzz", .fill = {size % 2, 0}};
    char *text = malloc(size + 1);

    if (!text)
        return 0;
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    one.text = text;
    if (features_compile(&one, 1, find_band, NULL, &features, &err) == TL_OK)
        run(features);
    else if (!err.msg[0])
        abort();
    features_free(features);
    free(text);
    return 0;
}
