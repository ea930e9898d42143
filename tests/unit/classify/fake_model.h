/*
 * What a prediction stands on, small and predictable: a forest whose vote is a formula, and
 * that counts how often it saw each pixel; sources whose samples are formulas; and the whole
 * raster classified in one piece, the plain way, to compare with.
 *
 * The test program defines forest_info() and its kin here, so the linker never looks for the
 * real ones. Include it in one file of a program.
 */
#ifndef TILTH_TESTS_FAKE_MODEL_H
#define TILTH_TESTS_FAKE_MODEL_H

#include "base/arena.h"
#include "base/check.h"
#include "base/errand.h"
#include "classify/class_block.h"
#include "classify/post.h"
#include "classify/prediction.h"
#include "classify/prediction_band.h"
#include "feature/feature.h"
#include "forest/codes.h"
#include "forest/forest.h"
#include "forest/output.h"
#include "geo/area.h"
#include "geo/area_outline.h"
#include "geo/crs.h"
#include "raster/block_pool.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* 3 x 3 blocks, none of the edges a multiple of anything. */
enum { LAND_WIDTH = 1300, LAND_HEIGHT = 1100, LAND_PIXELS = LAND_WIDTH * LAND_HEIGHT };

static struct tl_err err;

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* ---- the land: what is at a pixel of level 0 ---- */

enum { BAND_A, BAND_B, BAND_ID, BAND_COUNT };

static float land_sample(uint32_t band, uint32_t x, uint32_t y)
{
    uint32_t hash = (x * 73856093u) ^ (y * 19349663u);

    switch (band) {
    case BAND_A: /* fields with a few odd pixels */
        return (float)((x / 19 * 5 + y / 23 * 3) % 7 + (hash % 11 == 0));
    case BAND_B:
        return (float)(hash % 97);
    default:
        return (float)(y * LAND_WIDTH + x); /* exact: below 2^24 */
    }
}

static bool land_valid(uint32_t x, uint32_t y)
{
    return !(x > 700 && x < 760 && y > 400) && (x * 31 + y * 17) % 101 != 0;
}

/* The baseline: class 4 is to be classified. */
static uint8_t land_baseline(uint32_t x, uint32_t y)
{
    return (x / 130 + y / 90) % 5 == 3 ? 7 : 4;
}

/* ---- the forest ---- */

struct forest {
    struct model_info info;
    struct model_class classes[8];
    const char *features[3];
    atomic_uint *seen; /* how often each pixel was classified */
    atomic_int runs;
    atomic_uint coded; /* features that came as codes */
    /* guards: closed, waiting; forest_run() waits while the gate is closed */
    pthread_mutex_t mu;
    pthread_cond_t moved;
    bool closed;
    int waiting;
    atomic_int fail_after; /* runs from now that succeed; negative: all */
};

static struct forest fake = {
    .info = {.name = "formula", .kind = "random-forest", .feature_count = 3, .class_count = 8},
    .features = {"sum", "b", "id"},
    .mu = PTHREAD_MUTEX_INITIALIZER,
    .moved = PTHREAD_COND_INITIALIZER,
    .fail_after = -1,
};

static void fake_reset(void)
{
    if (!fake.seen)
        fake.seen = calloc(LAND_PIXELS, sizeof(*fake.seen));
    for (size_t i = 0; i < LAND_PIXELS; i++)
        atomic_store(&fake.seen[i], 0);
    for (uint8_t c = 0; c < 8; c++)
        fake.classes[c] = (struct model_class){"class", MODEL_NO_COLOR, (uint8_t)(c * 3)};
    fake.info.features = fake.features;
    fake.info.classes = fake.classes;
    fake.info.fingerprint = (struct hash128){1, 2};
    atomic_store(&fake.runs, 0);
    atomic_store(&fake.coded, 0);
    atomic_store(&fake.fail_after, -1);
    fake.closed = false;
}

static uint64_t fake_classified(void)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < LAND_PIXELS; i++)
        sum += atomic_load(&fake.seen[i]);
    return sum;
}

static __attribute__((unused)) void fake_gate(bool closed)
{
    pthread_mutex_lock(&fake.mu);
    fake.closed = closed;
    pthread_cond_broadcast(&fake.moved);
    pthread_mutex_unlock(&fake.mu);
}

/* Until `count` runs stand at the closed gate. */
static __attribute__((unused)) void fake_await(int count)
{
    pthread_mutex_lock(&fake.mu);
    while (fake.waiting < count)
        pthread_cond_wait(&fake.moved, &fake.mu);
    pthread_mutex_unlock(&fake.mu);
}

static void pass_gate(void)
{
    pthread_mutex_lock(&fake.mu);
    fake.waiting++;
    pthread_cond_broadcast(&fake.moved);
    while (fake.closed)
        pthread_cond_wait(&fake.moved, &fake.mu);
    fake.waiting--;
    pthread_mutex_unlock(&fake.mu);
}

static uint8_t vote_label(float sum, float b)
{
    return (uint8_t)(((unsigned)sum + (b > 90 ? 1 : 0)) % 8 * 3);
}

static uint8_t vote_confidence(float b)
{
    return (uint8_t)((unsigned)b + 3);
}

/* What else a vote says, in percent. */
static uint8_t vote_percent(enum prediction_output what, uint32_t class, float sum, float b)
{
    switch (what) {
    case PREDICTION_LABEL:
        break;
    case PREDICTION_CONFIDENCE:
        return vote_confidence(b);
    case PREDICTION_MARGIN:
        return (uint8_t)((unsigned)b * 3 % 101);
    case PREDICTION_ENTROPY:
        return (uint8_t)(((unsigned)b + 7 * (unsigned)sum) % 101);
    case PREDICTION_PROBABILITY:
        return (uint8_t)(((unsigned)b + 11 * class) % 101);
    }
    return 0;
}

/* All of a vote, of a layer that smooths: float32, and they add up to one. */
static float vote_probability(unsigned class, float sum, float b)
{
    unsigned total = 0, own = 0;

    for (unsigned c = 0; c < 8; c++) {
        unsigned part = ((unsigned)b * 3 + (unsigned)sum * 17 + c * 31) % 23 +
                        ((unsigned)sum % 8 == c ? 20 : 0);

        total += part;
        own = c == class ? part : own;
    }
    return (float)own / (float)total;
}

const struct model_info *forest_info(const struct forest *forest)
{
    return &forest->info;
}

struct forest *forest_ref(struct forest *forest)
{
    return forest;
}

void forest_unref(struct forest *forest)
{
    (void)forest;
}

/* A table is its values: a vote looks the codes up. */
struct forest_table {
    float values[FOREST_MAX_CODES];
};

enum tl_code forest_table_new(const struct forest *forest, uint32_t feature, const float *values,
                              size_t count, struct forest_table **ret_table, struct tl_err *error)
{
    struct forest_table *table = calloc(1, sizeof(*table));

    TL_CHECK(feature < forest->info.feature_count && count <= FOREST_MAX_CODES);
    if (!table)
        return tl_fail(error, TL_NOMEM, "no memory");
    memcpy(table->values, values, count * sizeof(*values));
    *ret_table = table;
    return TL_OK;
}

void forest_table_free(struct forest_table *table)
{
    free(table);
}

const float *forest_table_values(const struct forest_table *table)
{
    return table->values;
}

float forest_value(const struct forest_pixels *pixels, uint32_t feature, size_t i)
{
    const struct forest_codes *codes = &pixels->codes[feature];

    if (codes->table)
        atomic_fetch_add(&fake.coded, 1);
    return codes->table ? codes->table->values[codes->codes[i]] : pixels->planes[feature][i];
}

enum tl_code forest_run(const struct forest *forest, const struct forest_pixels *pixels,
                        struct errand *errand, struct arena *scratch,
                        const struct forest_output *output, struct tl_err *error)
{
    size_t count = pixels->count;

    (void)forest;
    (void)scratch;
    TL_CHECK(count > 0);
    atomic_fetch_add(&fake.runs, 1);
    pass_gate();
    TL_TRY(errand_check(errand, error));
    int left = atomic_load(&fake.fail_after);
    if (left == 0)
        return tl_fail(error, TL_NOMEM, "the forest is out of memory");
    if (left > 0)
        atomic_fetch_sub(&fake.fail_after, 1);
    for (size_t i = 0; i < count; i++) {
        float sum = forest_value(pixels, 0, i), b = forest_value(pixels, 1, i);
        float id = forest_value(pixels, 2, i);

        TL_CHECK(isfinite(sum) && isfinite(b));
        if (output->label) {
            output->label[i] = vote_label(sum, b);
            output->confidence[i] = vote_confidence(b);
        }
        /* A point's vote, for its margin too, does not count. */
        if (fake.seen && (output->label || !output->margin))
            atomic_fetch_add(&fake.seen[(size_t)(int64_t)id % LAND_PIXELS], 1);
        if (output->margin)
            output->margin[i] = vote_percent(PREDICTION_MARGIN, 0, sum, b) / 100.0F;
        if (output->entropy)
            output->entropy[i] = vote_percent(PREDICTION_ENTROPY, 0, sum, b) / 100.0F;
        for (unsigned c = 0; output->percent && c < 8; c++)
            output->percent[c * count + i] = vote_percent(PREDICTION_PROBABILITY, c, sum, b);
        for (unsigned c = 0; output->probability && c < 8; c++)
            output->probability[c * count + i] = vote_probability(c, sum, b);
    }
    return TL_OK;
}

/* ---- sources ---- */

struct land_source {
    struct block_source base;
    struct pyramid pyramid;
    struct block_pool *pool;
    bool baseline;   /* the one band of a mask */
    int bias;        /* samples are so much less than the land's */
    uint32_t shrink; /* pixels of the land per pixel of level 0 of the source */
    atomic_int reads;
};

/* Integers wrap: the number of a pixel does not fit 16 bits. */
static void put_sample(enum dtype dtype, void *samples, size_t at, int value)
{
    if (dtype == DTYPE_F32)
        ((float *)samples)[at] = (float)value;
    else if (dtype_size(dtype) == 1)
        ((uint8_t *)samples)[at] = (uint8_t)value;
    else
        ((uint16_t *)samples)[at] = (uint16_t)value;
}

static void land_fill(const struct land_source *land, const struct block_request *request,
                      struct block *block, uint8_t *mask)
{
    uint32_t step = land->shrink << request->level;
    uint8_t *samples = (uint8_t *)(uintptr_t)block->samples;

    for (uint32_t i = 0; i < block->width * block->height; i++) {
        uint32_t x = (request->col * block->width + i % block->width) * step;
        uint32_t y = (request->row * block->height + i / block->width) * step;

        mask[i] = x < LAND_WIDTH && y < LAND_HEIGHT && land_valid(x, y) ? 255 : 0;
        if (land->baseline) {
            mask[i] = x < LAND_WIDTH && y < LAND_HEIGHT ? 255 : 0;
            samples[i] = land_baseline(x, y);
            continue;
        }
        for (uint32_t b = 0; b < BAND_COUNT; b++)
            put_sample(block->dtype, samples, (size_t)b * block->width * block->height + i,
                       (int)land_sample(b, x, y) - land->bias);
    }
}

static enum tl_code land_read(struct block_source *source, const struct block_request *requests,
                              size_t count, struct errand *errand, struct block **ret_blocks,
                              struct tl_err *error)
{
    struct land_source *land = (struct land_source *)source;
    const struct pyramid_level *level = &land->pyramid.levels[0];
    const struct block shape = {.width = level->block_width,
                                .height = level->block_height,
                                .bands = land->pyramid.bands,
                                .dtype = land->pyramid.dtype};

    TL_TRY(errand_check(errand, error));
    for (size_t i = 0; i < count; i++) {
        ret_blocks[i] = block_pool_alloc(land->pool, &shape, true);
        TL_CHECK(ret_blocks[i]);
        land_fill(land, &requests[i], ret_blocks[i], (uint8_t *)(uintptr_t)ret_blocks[i]->mask);
        atomic_fetch_add(&land->reads, 1);
    }
    return TL_OK;
}

static void land_free(struct block_source *source)
{
    free(source);
}

static struct block_source *land_new(struct block_pool *pool, struct crs *crs, bool baseline,
                                     uint32_t shrink)
{
    struct land_source *land = calloc(1, sizeof(*land));
    uint32_t width = LAND_WIDTH / shrink, height = LAND_HEIGHT / shrink;

    land->base = (struct block_source){.pyramid = &land->pyramid,
                                       .read = land_read,
                                       .free = land_free,
                                       .fingerprint = {baseline, shrink}};
    land->pyramid = (struct pyramid){
        .crs = crs, .dtype = baseline ? DTYPE_U8 : DTYPE_F32, .bands = baseline ? 1 : BAND_COUNT};
    for (uint8_t i = 0; i < 4; i++)
        land->pyramid.levels[i] = (struct pyramid_level){
            .affine = {100000, 200000, 10.0 * (double)(shrink << i), 10.0 * (double)(shrink << i)},
            .width = (width + (1u << i) - 1) >> i,
            .height = (height + (1u << i) - 1) >> i,
            .block_width = 256,
            .block_height = 256,
            .usable = true};
    land->pyramid.level_count = 4;
    land->pool = pool;
    land->baseline = baseline;
    land->shrink = shrink;
    return &land->base;
}

/* ---- a prediction over them ---- */

struct world {
    struct block_pool *pool;
    struct crs *crs;
    struct block_source *land, *baseline, *prediction;
    struct prediction_spec spec;
    struct prediction_source source;
};

static const char *const land_bands[] = {"a", "b", "id"};
static const uint16_t land_index[] = {BAND_A, BAND_B, BAND_ID};
static const char *const land_features[] = {"s.a + 0 * s.b", "s.b", "s.id"};

/* Bands that a world may keep besides label and confidence. */
static const struct prediction_band land_more[] = {{.what = PREDICTION_ENTROPY},
                                                   {.what = PREDICTION_PROBABILITY, .class = 5},
                                                   {.what = PREDICTION_MARGIN}};

static struct post majority_of(unsigned size)
{
    return (struct post){.count = 1, .steps = {{.op = POST_MAJORITY, .size = (uint8_t)size}}};
}

static void world_init(struct world *w, unsigned majority, bool masked)
{
    fake_reset();
    *w = (struct world){0};
    assert_ok(block_pool_new((size_t)48 << 20, &w->pool, &err));
    assert_ok(crs_new("EPSG:6933", &w->crs, &err));
    w->land = land_new(w->pool, w->crs, false, 1);
    w->baseline = land_new(w->pool, w->crs, true, 1);
    w->source = (struct prediction_source){.id = "s",
                                           .source = w->land,
                                           .resampling = RESAMPLE_NEAREST,
                                           .band_count = 3,
                                           .band_names = land_bands,
                                           .band_index = land_index};
    w->spec = (struct prediction_spec){
        .id = "test",
        .grid = {w->crs, {100000, 200000, 10, 10}, LAND_WIDTH, LAND_HEIGHT},
        .forest = &fake,
        .source_count = 1,
        .sources = &w->source,
        .features = land_features,
        .budget_blocks = 4};
    if (majority)
        w->spec.post = majority_of(majority);
    w->spec.mask.source = masked ? w->baseline : NULL;
    w->spec.mask.keep[4] = 1;
}

/* What decides which pixels of the land are classified. */
enum limits { EVERYWHERE, MASK = 1, AREA = 2 };

/* A polygon with a hole in the left half, a small one below and a sliver across: the right column
 * of blocks has nothing, nor has much of the others. */
static __attribute__((unused)) void world_area(struct world *w)
{
    static const struct area_ring rings[] = {{0, 0, 5}, {0, 5, 4}, {1, 9, 4}, {2, 13, 4}};
    static const double pixels[][2] = {
        {30.2, 40}, {600, 200.4}, {480, 900},   {100, 700.7},  {30.2, 40},   {200, 300},
        {300, 300}, {250, 400.1}, {200, 300},   {700, 520},    {760, 520.5}, {730, 560},
        {700, 520}, {5, 1000},    {900, 940.5}, {900, 943.25}, {5, 1000}};
    struct area_point points[TL_COUNT(pixels)];
    const struct area_outline outline = {TL_COUNT(rings), rings, points};
    struct crs *degrees = NULL;
    struct crs_map *map;

    assert_ok(crs_new("OGC:CRS84", &degrees, &err));
    assert_ok(crs_map_get(w->crs, degrees, &map, &err));
    for (size_t i = 0; i < TL_COUNT(pixels); i++) {
        points[i].lon = affine_x(w->spec.grid.affine, pixels[i][0]);
        points[i].lat = affine_y(w->spec.grid.affine, pixels[i][1]);
        crs_map_points(map, &points[i].lon, &points[i].lat, 1);
    }
    crs_unref(degrees);
    assert_ok(area_new(&outline, &w->spec.grid, &w->spec.area, &err));
}

/* The world's prediction, with everything of the spec as it is now. */
static void world_open(struct world *w, struct cache *cache)
{
    const struct prediction_env env = {w->pool, cache};

    assert_ok(prediction_new(&env, &w->spec, &w->prediction, &err));
}

static void world_close(struct world *w)
{
    block_source_free(w->prediction);
    w->prediction = NULL;
}

static void world_release(struct world *w)
{
    world_close(w);
    block_source_free(w->land);
    block_source_free(w->baseline);
    area_unref(w->spec.area);
    crs_unref(w->crs);
    block_pool_free(w->pool);
}

/* ---- the whole raster, the plain way ---- */

struct raster {
    uint32_t width, height, percents;
    uint8_t *label, *confidence; /* [percents][pixels]: the other bands follow */
};

/* Nodata, with nothing said. */
static struct raster raster_new(uint32_t width, uint32_t height, uint32_t percents)
{
    size_t pixels = (size_t)width * height;
    struct raster raster = {width, height, percents, malloc(pixels), malloc(pixels * percents)};

    memset(raster.label, CLASS_NODATA, pixels);
    memset(raster.confidence, 0, pixels);
    memset(raster.confidence + pixels, CLASS_UNSAID, pixels * (percents - 1));
    return raster;
}

static void raster_release(struct raster *raster)
{
    free(raster->label);
    free(raster->confidence);
}

/* 1 for each pixel of the land that is in the area. */
static uint8_t *world_inside(const struct world *w)
{
    const struct area_window land = {0, 0, 0, LAND_WIDTH, LAND_HEIGHT};
    AUTO(arena) scratch = arena_new();
    uint8_t *inside = malloc(LAND_PIXELS);

    memset(inside, 1, LAND_PIXELS);
    if (w->spec.area)
        assert_ok(area_fill(w->spec.area, &land, scratch, inside, &err));
    return inside;
}

/* 1 for each pixel of the land that neither the area nor the mask leaves out. */
static uint8_t *world_wanted(const struct world *w)
{
    uint8_t *wanted = world_inside(w);

    for (uint32_t i = 0; w->spec.mask.source && i < LAND_PIXELS; i++)
        wanted[i] &= land_baseline(i % LAND_WIDTH, i / LAND_WIDTH) == 4;
    return wanted;
}

static struct raster classify_land(const struct world *w)
{
    uint8_t *wanted = world_wanted(w);
    struct raster raster = raster_new(LAND_WIDTH, LAND_HEIGHT, 1 + w->spec.more_count);

    for (uint32_t y = 0, i = 0; y < LAND_HEIGHT; y++) {
        for (uint32_t x = 0; x < LAND_WIDTH; x++, i++) {
            float b = land_sample(BAND_B, x, y);

            if (!wanted[i])
                raster.label[i] = CLASS_MASKED;
            else if (land_valid(x, y)) {
                float sum = land_sample(BAND_A, x, y);

                raster.label[i] = vote_label(sum, b);
                raster.confidence[i] = vote_confidence(b);
                for (uint32_t m = 0; m < w->spec.more_count; m++)
                    raster.confidence[(m + 1) * LAND_PIXELS + i] =
                        vote_percent(w->spec.more[m].what, w->spec.more[m].class, sum, b);
            }
        }
    }
    free(wanted);
    return raster;
}

/* All steps over everything at once, inside a margin of nodata. */
static void filter_land(struct raster *raster, const struct post *post)
{
    AUTO(arena) scratch = arena_new();
    size_t margin = post_halo(post), stride = raster->width + 2 * margin;
    size_t room = stride * (raster->height + 2 * margin);
    uint8_t *framed = malloc(room), *confidence = calloc(room, 1);
    const struct post_frame frame = {(uint32_t)stride, (uint32_t)(room / stride), framed,
                                     confidence};

    memset(framed, CLASS_NODATA, room);
    for (size_t y = 0; y < raster->height; y++) {
        size_t to = (y + margin) * stride + margin, from = y * raster->width;

        memcpy(framed + to, raster->label + from, raster->width);
        memcpy(confidence + to, raster->confidence + from, raster->width);
    }
    assert_ok(post_run(post, &frame, scratch, raster->label, raster->width, &err));
    free(framed);
    free(confidence);
}

/* The mean of the votes around a pixel, [class][pixel]: from them, and from those that count. */
static void land_mean(const float *p, const uint8_t *votes, uint32_t x, uint32_t y, double *ret)
{
    for (size_t c = 0; c < 8; c++) {
        double sum = 0;
        int total = 0;

        for (int64_t i = 0; i < 9; i++) {
            int64_t dx = i % 3 - 1, dy = i / 3 - 1;
            int64_t at = (y + dy) * LAND_WIDTH + x + dx;

            if (x + dx < 0 || x + dx >= LAND_WIDTH || y + dy < 0 || y + dy >= LAND_HEIGHT ||
                !votes[at])
                continue;
            int weight = !dx && !dy ? 3 : !dx || !dy ? 2 : 1;
            sum += weight * (double)p[c * LAND_PIXELS + (size_t)at];
            total += weight;
        }
        ret[c] = sum / total;
    }
}

static uint8_t mean_percent(const struct prediction_band *band, const double *p)
{
    double first = 0, second = 0, entropy = 0;

    for (size_t c = 0; c < 8; c++) {
        entropy -= p[c] > 0 ? p[c] * log(p[c]) : 0;
        second = fmax(second, fmin(first, p[c]));
        first = fmax(first, p[c]);
    }
    if (band->what == PREDICTION_MARGIN)
        return (uint8_t)(100 * (double)(float)(first - second) + 0.5);
    if (band->what == PREDICTION_ENTROPY)
        return (uint8_t)(100 * (double)(float)(entropy / log(8)) + 0.5);
    return (uint8_t)(100 * p[band->class] + 0.5);
}

/* What a pixel shows of its means. */
static void put_mean(const struct world *w, const double *p, size_t at, struct raster *raster)
{
    size_t best = 0;

    for (size_t c = 1; c < 8; c++)
        best = p[c] > p[best] ? c : best;
    raster->label[at] = fake.classes[best].value;
    raster->confidence[at] = (uint8_t)(100 * p[best] + 0.5);
    for (uint32_t m = 0; m < w->spec.more_count; m++)
        raster->confidence[(m + 1) * LAND_PIXELS + at] = mean_percent(&w->spec.more[m], p);
}

/* Everything smoothed at once, `times` over. */
static struct raster smooth_land(const struct world *w, unsigned times)
{
    struct raster raster = raster_new(LAND_WIDTH, LAND_HEIGHT, 1 + w->spec.more_count);
    float *p = calloc((size_t)8 * LAND_PIXELS, sizeof(*p)),
          *next = calloc((size_t)8 * LAND_PIXELS, sizeof(*next));
    uint8_t *votes = world_wanted(w);
    double mean[8];

    for (uint32_t i = 0; i < LAND_PIXELS; i++) {
        uint32_t x = i % LAND_WIDTH, y = i / LAND_WIDTH;

        if (!votes[i])
            raster.label[i] = CLASS_MASKED;
        votes[i] &= land_valid(x, y);
        for (unsigned c = 0; c < 8; c++)
            p[(size_t)c * LAND_PIXELS + i] =
                vote_probability(c, land_sample(BAND_A, x, y), land_sample(BAND_B, x, y));
    }
    for (; times > 0; times--) {
        for (uint32_t i = 0; i < LAND_PIXELS; i++) {
            if (!votes[i])
                continue;
            land_mean(p, votes, i % LAND_WIDTH, i / LAND_WIDTH, mean);
            for (size_t c = 0; c < 8; c++)
                next[c * LAND_PIXELS + i] = (float)mean[c];
            if (times == 1)
                put_mean(w, mean, i, &raster);
        }
        float *used = p;
        p = next;
        next = used;
    }
    free(p);
    free(next);
    free(votes);
    return raster;
}

static struct raster world_reference(const struct world *w)
{
    struct post rest = w->spec.post;
    unsigned times = post_take_smoothing(&rest);
    struct raster raster = times ? smooth_land(w, times) : classify_land(w);

    if (rest.count)
        filter_land(&raster, &rest);
    return raster;
}

static void assert_pixel(const struct block *block, const struct raster *raster, uint32_t x,
                         uint32_t y)
{
    size_t in = (size_t)(y % CLASS_BLOCK) * CLASS_BLOCK + x % CLASS_BLOCK;
    size_t at = (size_t)y * raster->width + x;
    bool inside = x < raster->width && y < raster->height;
    uint8_t label = inside ? raster->label[at] : CLASS_NODATA;
    const uint8_t *samples = block->samples;

    if (block->empty || (block->mask && !block->mask[in])) {
        assert_int_equal(label, CLASS_NODATA);
        return;
    }
    if (samples[in] != label)
        fail_msg("pixel %u,%u is %u, not %u", x, y, samples[in], label);
    size_t pixels = (size_t)raster->width * raster->height;
    for (size_t b = 0; b < raster->percents; b++)
        if (samples[(1 + b) * CLASS_PIXELS + in] != raster->confidence[b * pixels + at])
            fail_msg("pixel %u,%u, band %zu is %u, not %u", x, y, b + 1,
                     samples[(1 + b) * CLASS_PIXELS + in], raster->confidence[b * pixels + at]);
}

/* The part of a block that was asked for is the raster's. */
static void assert_window(const struct block *block, const struct block_request *request,
                          const struct raster *raster)
{
    assert_int_equal(block->bands, 1 + raster->percents);
    for (uint32_t y = request->y0; y < request->y1; y++)
        for (uint32_t x = request->x0; x < request->x1; x++)
            assert_pixel(block, raster, request->col * CLASS_BLOCK + x,
                         request->row * CLASS_BLOCK + y);
}

static struct block_request whole_block(uint8_t level, uint32_t col, uint32_t row)
{
    return (struct block_request){
        .level = level, .col = col, .row = row, .x1 = CLASS_BLOCK, .y1 = CLASS_BLOCK};
}

/* A window of some block of a level; mostly small, sometimes all of it. */
static __attribute__((unused)) struct block_request
random_request(const struct block_source *source, uint8_t level, uint32_t *seed)
{
    const struct pyramid_level *grid = &source->pyramid->levels[level];
    uint32_t cols = (grid->width + CLASS_BLOCK - 1) / CLASS_BLOCK;
    uint32_t rows = (grid->height + CLASS_BLOCK - 1) / CLASS_BLOCK;
    uint32_t col = next_random(seed) % cols, row = next_random(seed) % rows;
    struct block_request r = whole_block(level, col, row);

    if (next_random(seed) % 8 == 0)
        return r;
    r.x0 = (uint16_t)(next_random(seed) % CLASS_BLOCK);
    r.y0 = (uint16_t)(next_random(seed) % CLASS_BLOCK);
    r.x1 = (uint16_t)(r.x0 + 1 + next_random(seed) % (uint32_t)(CLASS_BLOCK - r.x0));
    r.y1 = (uint16_t)(r.y0 + 1 + next_random(seed) % (uint32_t)(CLASS_BLOCK - r.y0));
    return r;
}

static struct block *read_block(struct block_source *source, struct block_request request)
{
    struct errand errand = errand_unbounded();
    struct block *block = NULL;

    assert_ok(source->read(source, &request, 1, &errand, &block, &err));
    return block;
}

#endif
