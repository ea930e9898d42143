/*
 * Features of pixels. Samples of the bands are gathered, a chunk of pixels at a time, and go
 * through the feature programs while they are in cache; where a table knows the whole feature
 * by the sample, they stay what they are.
 */
#include "base/arena.h"
#include "classify/stack_private.h"
#include "feature/feature.h"
#include "forest/codes.h"
#include "forest/forest.h"
#include "raster/block.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pixels whose bands are gathered at a time: 24 bands of them stay in a 1 MiB L2 cache. */
enum { GATHER = 8 * 1024 };

static enum tl_code no_memory(struct tl_err *err)
{
    return tl_fail(err, TL_NOMEM, "no memory for the features of a model");
}

/* NaN and infinities have all exponent bits set. */
static uint8_t is_not_finite(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return (bits & 0x7f800000u) == 0x7f800000u;
}

/* ---- tables ---- */

/* Codes of a sample type: its bits, of at most 16; 0 for larger ones. */
static size_t code_count(enum dtype dtype)
{
    if (dtype == DTYPE_U8 || dtype == DTYPE_I8)
        return UINT8_MAX + 1;
    return dtype == DTYPE_U16 || dtype == DTYPE_I16 ? FOREST_MAX_CODES : 0;
}

static float code_sample(enum dtype dtype, size_t code)
{
    if (dtype == DTYPE_I8)
        return (float)(int8_t)code;
    return dtype == DTYPE_I16 ? (float)(int16_t)code : (float)code;
}

/* The nodata value's, which no valid pixel has; else one more than there are samples. */
static uint32_t invalid_code(const struct pyramid *pyramid)
{
    size_t count = code_count(pyramid->dtype);

    for (size_t i = 0; pyramid->has_nodata && i < count; i++)
        if ((double)code_sample(pyramid->dtype, i) == pyramid->nodata)
            return (uint32_t)i;
    return count < FOREST_MAX_CODES ? (uint32_t)count : STACK_NO_CODE;
}

/* Whether a feature is made of one band of few values that reaches it as it is. */
static bool find_code(const struct stack *stack, uint32_t f, struct stack_code *code)
{
    size_t bands;
    const int *band = features_bands(stack->alone[f], &bands);

    if (bands != 1)
        return false;
    const struct stack_source *source = &stack->sources[stack->planes[*band].source];
    code->plane = (uint32_t)*band;
    code->dtype = source->source->pyramid->dtype;
    code->invalid = source->gappy ? invalid_code(source->source->pyramid) : 0;
    return code_count(code->dtype) > 0 && code->invalid != STACK_NO_CODE &&
           (source->aligned || resampling_keeps_values(source->resampling));
}

/* Every value there is, by the machine that would compute it. */
static enum tl_code make_code(const struct stack *stack, uint32_t f, const struct forest *forest,
                              struct arena *scratch, struct tl_err *err)
{
    struct stack_code *code = &stack->codes[f];
    bool gappy = stack->sources[stack->planes[code->plane].source].gappy;
    size_t count = TL_MAX(code_count(code->dtype), gappy ? code->invalid + (size_t)1 : 0);
    float *samples = arena_alloc(scratch, count, sizeof(*samples));
    float *values = arena_alloc(scratch, count, sizeof(*values));
    const float **planes = arena_zalloc(scratch, stack->plane_count, sizeof(*planes));

    if (!samples || !values || !planes)
        return no_memory(err);
    for (size_t i = 0; i < count; i++)
        samples[i] = code_sample(code->dtype, i);
    if (gappy)
        samples[code->invalid] = NAN;
    planes[code->plane] = samples;
    TL_TRY(features_run(stack->alone[f], planes, count, scratch, &values, err));
    code->finite = true;
    for (size_t i = 0; i < count && !stack->fills[f].fills; i++)
        code->finite = code->finite && !is_not_finite(values[i]);
    return forest_table_new(forest, f, values, count, &code->table, err);
}

enum tl_code stack_make_codes(struct stack *stack, const struct forest *forest, struct tl_err *err)
{
    AUTO(arena) scratch = arena_new();

    stack->codes = calloc(TL_MAX(stack->feature_count, 1u), sizeof(*stack->codes));
    if (!scratch || !stack->codes)
        return no_memory(err);
    for (uint32_t f = 0; f < stack->feature_count; f++) {
        arena_reset(scratch);
        if (find_code(stack, f, &stack->codes[f]))
            TL_TRY(make_code(stack, f, forest, scratch, err));
    }
    return TL_OK;
}

void stack_free_codes(struct stack *stack)
{
    for (uint32_t f = 0; stack->codes && f < stack->feature_count; f++)
        forest_table_free(stack->codes[f].table);
    free(stack->codes);
}

/* ---- samples ---- */

/* Some pixels of a window; where they are neighbours, only the first counts. */
struct picks {
    const uint32_t *pixels;
    size_t count;
    bool neighbours;
};

static struct picks pick(const uint32_t *pixels, size_t count)
{
    uint32_t apart = 0;

    for (size_t i = 0; i < count; i++)
        apart |= pixels[i] ^ (uint32_t)(pixels[0] + i);
    return (struct picks){pixels, count, apart == 0};
}

typedef void gather_fn(const void *plane, const struct picks *picks, void *ret);

/* NOLINTBEGIN(bugprone-macro-parentheses): of types */
#define GATHER_AS(name, type, result)                                         \
    static void name(const void *plane, const struct picks *picks, void *ret) \
    {                                                                         \
        const type *samples = plane, *run = samples + picks->pixels[0];       \
        result *restrict to = ret;                                            \
                                                                              \
        if (picks->neighbours) {                                              \
            for (size_t i = 0; i < picks->count; i++)                         \
                to[i] = (result)run[i];                                       \
            return;                                                           \
        }                                                                     \
        for (size_t i = 0; i < picks->count; i++)                             \
            to[i] = (result)samples[picks->pixels[i]];                        \
    }
/* NOLINTEND(bugprone-macro-parentheses) */

/* As numpy's astype(float32) converts them. */
GATHER_AS(gather_u8, uint8_t, float)
GATHER_AS(gather_i8, int8_t, float)
GATHER_AS(gather_u16, uint16_t, float)
GATHER_AS(gather_i16, int16_t, float)
GATHER_AS(gather_u32, uint32_t, float)
GATHER_AS(gather_i32, int32_t, float)
GATHER_AS(gather_f32, float, float)
GATHER_AS(gather_f64, double, float)
/* As codes. */
GATHER_AS(gather_code8, uint8_t, uint16_t)
GATHER_AS(gather_code16, uint16_t, uint16_t)

static gather_fn *const gathers[DTYPE_COUNT] = {
    [DTYPE_U8] = gather_u8,   [DTYPE_I8] = gather_i8,   [DTYPE_U16] = gather_u16,
    [DTYPE_I16] = gather_i16, [DTYPE_U32] = gather_u32, [DTYPE_I32] = gather_i32,
    [DTYPE_F32] = gather_f32, [DTYPE_F64] = gather_f64,
};

static const struct planes *planes_of(const struct stack_window *window, uint32_t plane)
{
    return &window->sources[window->stack->planes[plane].source];
}

static const void *samples_of(const struct stack_window *window, uint32_t plane)
{
    const struct planes *planes = planes_of(window, plane);
    size_t bytes = (size_t)planes->width * planes->height * dtype_size(planes->dtype);

    return (const char *)planes->samples + window->stack->planes[plane].band * bytes;
}

static bool is_gappy(const struct stack *stack, uint32_t plane)
{
    return stack->sources[stack->planes[plane].source].gappy;
}

/* ---- features ---- */

/* On the way: what is made, of which window, and the floats of a chunk's bands. */
struct making {
    const struct stack_window *window;
    struct stack_features *features;
    uint8_t *unknown;
    float **bands; /* NULL: no computed feature reads it */
    struct arena *scratch;
};

static bool is_coded(const struct stack_window *window, uint32_t f)
{
    const struct stack_code *code = &window->stack->codes[f];
    const struct planes *planes = planes_of(window, code->plane);

    return code->table && (planes->empty || planes->dtype == code->dtype);
}

/* Room for `count` pixels of a feature, and for a chunk of the bands it is computed from. */
static bool alloc_feature(struct making *making, uint32_t f, size_t count, struct arena *arena)
{
    struct stack_features *to = making->features;
    size_t bands, room = TL_MIN(count, (size_t)GATHER);
    const int *band = features_bands(making->window->stack->alone[f], &bands);

    if (is_coded(making->window, f))
        return (to->codes[f] = arena_alloc(arena, count, sizeof(uint16_t))) != NULL;
    for (size_t b = 0; b < bands; b++) {
        float **at = &making->bands[band[b]];

        *at = *at ? *at : arena_alloc(arena, room, sizeof(float));
        if (!*at)
            return false;
    }
    return (to->planes[f] = arena_alloc(arena, count, sizeof(float))) != NULL;
}

static bool alloc_features(struct making *making, size_t count, struct arena *arena)
{
    const struct stack *stack = making->window->stack;
    struct stack_features *to = making->features;
    size_t features = TL_MAX(stack->feature_count, 1u);
    struct forest_codes *codes = arena_zalloc(arena, features, sizeof(*codes));

    to->planes = arena_zalloc(arena, features, sizeof(*to->planes));
    to->codes = arena_zalloc(arena, features, sizeof(*to->codes));
    making->bands = arena_zalloc(arena, TL_MAX(stack->plane_count, 1u), sizeof(*making->bands));
    making->unknown = arena_zalloc(arena, count, 1);
    if (!codes || !to->planes || !to->codes || !making->bands || !making->unknown)
        return false;
    for (uint32_t f = 0; f < stack->feature_count; f++) {
        if (!alloc_feature(making, f, count, arena))
            return false;
        if (to->codes[f])
            codes[f] = (struct forest_codes){stack->codes[f].table, to->codes[f]};
    }
    to->pixels = (struct forest_pixels){(const float *const *)to->planes, count, codes};
    return true;
}

/* Whether a gappy source has no sample there. */
static bool is_gap(const struct planes *planes, uint32_t pixel)
{
    return planes->empty || (planes->valid && !planes->valid[pixel]);
}

/* The samples of picked pixels as codes; what has none gets the code for that. */
static void gather_codes(const struct stack_window *window, const struct stack_code *code,
                         const struct picks *picks, uint16_t *to)
{
    const struct planes *planes = planes_of(window, code->plane);
    bool small = code_count(code->dtype) == UINT8_MAX + 1;

    if (!planes->empty)
        (small ? gather_code8 : gather_code16)(samples_of(window, code->plane), picks, to);
    if (!is_gappy(window->stack, code->plane) || !(planes->empty || planes->valid))
        return;
    for (size_t i = 0; i < picks->count; i++)
        if (is_gap(planes, picks->pixels[i]))
            to[i] = (uint16_t)code->invalid;
}

/* The samples of picked pixels as numbers; what has none is NaN. */
static void gather_floats(const struct stack_window *window, uint32_t plane,
                          const struct picks *picks, float *to)
{
    const struct planes *planes = planes_of(window, plane);

    if (!planes->empty)
        gathers[planes->dtype](samples_of(window, plane), picks, to);
    if (!is_gappy(window->stack, plane) || !(planes->empty || planes->valid))
        return;
    for (size_t i = 0; i < picks->count; i++)
        if (is_gap(planes, picks->pixels[i]))
            to[i] = NAN;
}

static void make_coded(const struct making *making, uint32_t f, const struct picks *picks,
                       size_t start)
{
    const struct stack_code *code = &making->window->stack->codes[f];
    const float *values = forest_table_values(code->table);
    uint16_t *to = making->features->codes[f] + start;

    gather_codes(making->window, code, picks, to);
    for (size_t i = 0; !code->finite && i < picks->count; i++)
        making->unknown[start + i] |= is_not_finite(values[to[i]]);
}

/* A feature whose band came as another sample type than its table is of: in an approximation. */
static enum tl_code make_alone(const struct making *making, uint32_t f, size_t start, size_t count,
                               struct tl_err *err)
{
    float *to = making->features->planes[f] + start;

    arena_reset(making->scratch);
    return features_run(making->window->stack->alone[f], (const float *const *)making->bands, count,
                        making->scratch, &to, err);
}

static enum tl_code make_together(const struct making *making, size_t start, size_t count,
                                  struct tl_err *err)
{
    const struct stack *stack = making->window->stack;

    arena_reset(making->scratch);
    float **to = arena_alloc(making->scratch, stack->computed_count, sizeof(*to));
    if (!to)
        return no_memory(err);
    for (uint32_t i = 0; i < stack->computed_count; i++)
        to[i] = making->features->planes[stack->computed[i]] + start;
    return features_run(stack->together, (const float *const *)making->bands, count,
                        making->scratch, to, err);
}

static void find_unknown(const struct making *making, uint32_t f, size_t start, size_t count)
{
    const float *values = making->features->planes[f] + start;
    uint8_t *unknown = making->unknown + start;

    for (size_t i = 0; i < count && !making->window->stack->fills[f].fills; i++)
        unknown[i] |= is_not_finite(values[i]);
}

static enum tl_code make_chunk(const struct making *making, const uint32_t *pixels, size_t start,
                               size_t count, struct tl_err *err)
{
    const struct stack_window *window = making->window;
    const struct stack *stack = window->stack;
    const struct picks picks = pick(pixels + start, count);

    for (uint32_t p = 0; p < stack->plane_count; p++)
        if (making->bands[p])
            gather_floats(window, p, &picks, making->bands[p]);
    if (stack->together)
        TL_TRY(make_together(making, start, count, err));
    for (uint32_t f = 0; f < stack->feature_count; f++) {
        if (making->features->codes[f]) {
            make_coded(making, f, &picks, start);
            continue;
        }
        if (stack->codes[f].table)
            TL_TRY(make_alone(making, f, start, count, err));
        find_unknown(making, f, start, count);
    }
    return TL_OK;
}

enum tl_code stack_features(const struct stack_window *window, const uint32_t *pixels, size_t count,
                            struct arena *arena, struct stack_features *ret_features,
                            struct tl_err *err)
{
    AUTO(arena) scratch = arena_new();
    struct stack_features features = {0};
    struct making making = {.window = window, .features = &features, .scratch = scratch};

    if (!scratch || !alloc_features(&making, count, arena))
        return no_memory(err);
    for (size_t start = 0; start < count; start += GATHER)
        TL_TRY(make_chunk(&making, pixels, start, TL_MIN(count - start, (size_t)GATHER), err));
    features.unknown = memchr(making.unknown, 1, count) ? making.unknown : NULL;
    *ret_features = features;
    return TL_OK;
}

/* NOLINTBEGIN(bugprone-macro-parentheses): of a type */
#define DEFINE_DROP(name, type)                                             \
    static size_t name(type *values, const struct stack_features *features) \
    {                                                                       \
        size_t kept = 0;                                                    \
                                                                            \
        for (size_t i = 0; i < features->pixels.count; i++) {               \
            values[kept] = values[i];                                       \
            kept += !features->unknown[i];                                  \
        }                                                                   \
        return kept;                                                        \
    }
/* NOLINTEND(bugprone-macro-parentheses) */
DEFINE_DROP(drop_values, float)
DEFINE_DROP(drop_codes, uint16_t)

void stack_drop_unknown(const struct stack *stack, struct stack_features *features)
{
    size_t kept = features->pixels.count;

    for (uint32_t f = 0; features->unknown && f < stack->feature_count; f++)
        kept = features->codes[f] ? drop_codes(features->codes[f], features)
                                  : drop_values(features->planes[f], features);
    features->pixels.count = kept;
}
