/*
 * bench_feature: features of pixels, by the machine of feature.h and, for order statistics, by
 * what one would write first: gather the dates of a pixel, qsort(), interpolate.
 *
 *      bench_feature         prints one JSON line per subject: nanoseconds of thread CPU per pixel,
 *                            and operations of the program
 *
 * Planes of 65,536 pixels and 12 or 36 dates, all in L2 or beyond as in a layer; the median of 15
 * rounds counts.
 */
#include "../bench.h"

#include "base/arena.h"
#include "base/attr.h"
#include "base/cpu.h"
#include "feature/feature.h"
#include "feature/program.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { PIXELS = 65536, CHUNK = 8192, DATES = 72, ROUNDS = 15, MOST = 8 };

struct subject {
    const char *name;
    const char *texts[MOST];
};

static const struct subject subjects[] = {
    {"scale", {"a.b1 / 10000"}},
    {"ndvi", {"nd(a.b1, a.b2)"}},
    {"evi", {"evi(a.b1 / 10000, a.b2 / 10000, a.b3 / 10000)"}},
    {"ln", {"-ln(a.b1)"}},
    {"mean of 12", {"mean(a.b{1..12})"}},
    {"slope of 12", {"slope(a.b{1..12})"}},
    {"median of 12", {"median(a.b{1..12})"}},
    {"median of 36", {"median(a.b{1..36})"}},
    {"nanmedian of 12", {"nanmedian(a.b{1..12})"}},
    {"p10 of 12 ndvi", {"p10(nd(a.b{1..12}, a.b{13..24}))"}},
    {"six statistics of 12 ndvi",
     {"p10(nd(a.b{1..12}, a.b{13..24}))", "p50(nd(a.b{1..12}, a.b{13..24}))",
      "p90(nd(a.b{1..12}, a.b{13..24}))", "iqr(nd(a.b{1..12}, a.b{13..24}))",
      "amplitude(nd(a.b{1..12}, a.b{13..24}))", "slope(nd(a.b{1..12}, a.b{13..24}))"}},
    {"six statistics of 36 ndvi",
     {"p10(nd(a.b{1..36}, a.b{37..72}))", "p50(nd(a.b{1..36}, a.b{37..72}))",
      "p90(nd(a.b{1..36}, a.b{37..72}))", "iqr(nd(a.b{1..36}, a.b{37..72}))",
      "amplitude(nd(a.b{1..36}, a.b{37..72}))", "slope(nd(a.b{1..36}, a.b{37..72}))"}},
};

static float *planes[DATES], *outputs[MOST];

static bool find_band(void *udata, const char *name, size_t size, struct feature_band *ret_band)
{
    (void)udata;
    *ret_band = (struct feature_band){(int)strtol(name + 3, NULL, 10) - 1, 1, 0};
    return size > 3;
}

/* Chunk after chunk, as a layer does it. */
static void run(const struct features *features, size_t count, struct arena *arena)
{
    struct tl_err err;

    for (size_t at = 0; at < PIXELS; at += CHUNK) {
        const float *in[DATES];
        float *out[MOST];

        for (int d = 0; d < DATES; d++)
            in[d] = planes[d] + at;
        for (size_t f = 0; f < count; f++)
            out[f] = outputs[f] + at;
        arena_reset(arena);
        must(features_run(features, in, CHUNK, arena, out, &err) == TL_OK, "run");
    }
}

static double measure(const struct features *features, size_t count, struct arena *arena)
{
    double rounds[ROUNDS];

    for (int r = 0; r < ROUNDS; r++) {
        double start = thread_us();
        run(features, count, arena);
        rounds[r] = (thread_us() - start) * 1000 / PIXELS;
    }
    qsort(rounds, ROUNDS, sizeof(*rounds), by_value);
    return rounds[ROUNDS / 2];
}

static void bench(const struct subject *subject, struct arena *arena)
{
    struct feature_text texts[MOST];
    struct features *features = NULL;
    struct tl_err err;
    size_t count = 0;

    for (; count < MOST && subject->texts[count]; count++)
        texts[count] = (struct feature_text){.text = subject->texts[count]};
    must(features_compile(texts, count, find_band, NULL, &features, &err) == TL_OK, err.msg);
    printf("{\"subject\": \"%s\", \"isa\": \"%s\", \"operations\": %u, \"registers\": %u, "
           "\"ns_per_pixel\": %.2f}\n",
           subject->name, cpu_isa_name(cpu_isa()), features->code_count, features->register_count,
           measure(features, count, arena));
    features_free(features);
}

static int by_float(const void *left, const void *right)
{
    float a = *(const float *)left, b = *(const float *)right;

    return (a > b) - (a < b);
}

static void bench_qsort(int dates)
{
    double rounds[ROUNDS];

    for (int r = 0; r < ROUNDS; r++) {
        double start = thread_us();
        for (size_t i = 0; i < PIXELS; i++) {
            float x[DATES];
            for (int d = 0; d < dates; d++)
                x[d] = planes[d][i];
            qsort(x, (size_t)dates, sizeof(*x), by_float);
            outputs[0][i] = (x[dates / 2 - 1] + x[dates / 2]) / 2;
        }
        rounds[r] = (thread_us() - start) * 1000 / PIXELS;
    }
    qsort(rounds, ROUNDS, sizeof(*rounds), by_value);
    printf("{\"subject\": \"median of %d by qsort\", \"ns_per_pixel\": %.1f}\n", dates,
           rounds[ROUNDS / 2]);
}

static float *plane(uint32_t *seed)
{
    float *values = malloc(PIXELS * sizeof(*values));

    must(values != NULL, "no memory");
    for (size_t i = 0; i < PIXELS; i++) {
        *seed = *seed * 1664525U + 1013904223U;
        values[i] = (float)(*seed >> 18) + 1;
    }
    return values;
}

int main(void)
{
    AUTO(arena) arena = arena_new();
    uint32_t seed = 1;

    must(arena != NULL, "no memory");
    for (int d = 0; d < DATES; d++)
        planes[d] = plane(&seed);
    for (int f = 0; f < MOST; f++)
        outputs[f] = plane(&seed);
    for (size_t s = 0; s < TL_COUNT(subjects); s++)
        bench(&subjects[s], arena);
    bench_qsort(12);
    bench_qsort(36);
    return EXIT_SUCCESS;
}
