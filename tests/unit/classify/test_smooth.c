#include "tl_test.h"

#include "base/arena.h"
#include "classify/smooth.h"

#include <stdlib.h>
#include <string.h>

static struct tl_err err;

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* A raster of votes, some of its pixels without any. */
struct land {
    uint32_t width, height, classes;
    uint8_t *votes;
    float *p;     /* [class][pixel], as the forest gives it */
    double *mean; /* smoothed, all at once */
};

/* One class, once, over everything. */
static void whole_mean(const struct land *land, const float *p, double *mean)
{
    for (int y = 0; y < (int)land->height; y++) {
        for (int x = 0; x < (int)land->width; x++) {
            double sum = 0;
            int total = 0;

            for (int v = y - 1; v <= y + 1; v++) {
                for (int u = x - 1; u <= x + 1; u++) {
                    int weight = 3 - abs(u - x) - abs(v - y);

                    if (u < 0 || v < 0 || u >= (int)land->width || v >= (int)land->height ||
                        !land->votes[v * (int)land->width + u])
                        continue;
                    sum += weight * (double)p[v * (int)land->width + u];
                    total += weight;
                }
            }
            mean[y * (int)land->width + x] = sum / total;
        }
    }
}

static struct land land_new(uint32_t *seed, unsigned times)
{
    struct land land = {1 + next_random(seed) % 40,
                        1 + next_random(seed) % 40,
                        1 + next_random(seed) % 5,
                        NULL,
                        NULL,
                        NULL};
    size_t pixels = (size_t)land.width * land.height;
    uint32_t holes = next_random(seed) % 4;

    land.votes = malloc(pixels);
    land.p = malloc(pixels * land.classes * sizeof(*land.p));
    land.mean = malloc(pixels * land.classes * sizeof(*land.mean));
    float *p = malloc(pixels * sizeof(*p));
    for (size_t i = 0; i < pixels; i++)
        land.votes[i] = next_random(seed) % 4 >= holes;
    for (size_t i = 0; i < pixels * land.classes; i++)
        land.p[i] = (float)next_random(seed) / (float)(1u << 24);
    for (size_t c = 0; c < land.classes; c++) {
        memcpy(p, land.p + c * pixels, pixels * sizeof(*p));
        for (unsigned n = 0; n < times; n++) {
            whole_mean(&land, p, land.mean + c * pixels);
            for (size_t i = 0; i < pixels; i++)
                p[i] = (float)land.mean[c * pixels + i];
        }
    }
    free(p);
    return land;
}

static void land_release(struct land *land)
{
    free(land->votes);
    free(land->p);
    free(land->mean);
}

/* Some pixels of a window of the land, by their index in it; at least one. */
static size_t pick(uint32_t width, uint32_t height, uint32_t *seed, uint32_t *ret_pixels)
{
    uint32_t x0 = next_random(seed) % width, x1 = x0 + 1 + next_random(seed) % (width - x0);
    uint32_t y0 = next_random(seed) % height, y1 = y0 + 1 + next_random(seed) % (height - y0);
    uint32_t rare = 1 + next_random(seed) % 3;
    size_t count = 0;

    ret_pixels[count++] = y0 * width + x0;
    for (uint32_t y = y0; y < y1; y++)
        for (uint32_t x = x0; x < x1; x++)
            if ((x != x0 || y != y0) && next_random(seed) % rare == 0)
                ret_pixels[count++] = y * width + x;
    return count;
}

/* The planes hold what is within reach and nothing else, as a prediction fills them. */
static void fill(const struct land *land, struct smooth_field *field, struct arena *arena,
                 struct smooth_planes *planes)
{
    size_t pixels = (size_t)land->width * land->height;
    uint32_t column = 0;

    for (size_t i = 0; i < field->pixel_count; i++)
        if (land->votes[field->pixels[i]])
            field->column[smooth_cell(field, field->pixels[i])] = column++;
    *planes = (struct smooth_planes){
        arena_alloc(arena, (size_t)column * land->classes + 1, sizeof(float)), column,
        land->classes};
    for (size_t i = 0; i < field->pixel_count; i++) {
        uint32_t at = field->column[smooth_cell(field, field->pixels[i])];

        for (size_t c = 0; c < land->classes && at != SMOOTH_NOTHING; c++)
            planes->p[c * column + at] = land->p[c * pixels + field->pixels[i]];
    }
}

static void assert_means(const struct land *land, const struct smooth_want *want,
                         const struct smooth_field *field, const struct smooth_planes *planes)
{
    size_t pixels = (size_t)land->width * land->height;
    double mean[5];

    for (size_t i = 0; i < want->count; i++) {
        size_t cell = smooth_cell(field, want->pixels[i]);

        assert_int_equal(field->column[cell] != SMOOTH_NOTHING, land->votes[want->pixels[i]]);
        if (!land->votes[want->pixels[i]])
            continue;
        smooth_mean(field, planes, cell, mean);
        for (size_t c = 0; c < land->classes; c++)
            assert_true(mean[c] == land->mean[c * pixels + want->pixels[i]]);
    }
}

TEST(any_pixels_of_any_raster_are_the_whole_rasters_bit_for_bit)
{
    AUTO(arena) arena = arena_new();
    uint32_t seed = 7, pixels[40 * 40];

    for (int round = 0; round < 400; round++) {
        unsigned times = 1 + (unsigned)round % SMOOTH_MAX;
        struct land land = land_new(&seed, times);
        struct smooth_want want = {land.width, land.height, pixels, 0, times};
        struct smooth_planes planes;
        struct smooth_field field;

        want.count = pick(land.width, land.height, &seed, pixels);
        assert_ok(smooth_field_new(&want, arena, &field, &err));
        fill(&land, &field, arena, &planes);
        assert_ok(smooth_but_once(&field, &planes, arena, &err));
        assert_means(&land, &want, &field, &planes);
        land_release(&land);
        arena_reset(arena);
    }
}

TEST(a_field_is_what_lies_within_reach_inside_the_window)
{
    static const uint32_t pixels[] = {0, 5 * 20 + 10};
    const struct smooth_want want = {20, 6, pixels, 2, 2};
    AUTO(arena) arena = arena_new();
    struct smooth_field field;

    assert_ok(smooth_field_new(&want, arena, &field, &err));
    assert_int_equal(field.left, 0);
    assert_int_equal(field.top, 0);
    assert_int_equal(field.width, 13);
    assert_int_equal(field.height, 6);
    assert_int_equal(field.pixel_count, 3 * 3 + 5 * 3);
    assert_int_equal(field.pixels[0], 0);
    assert_int_equal(field.pixels[9], 3 * 20 + 8);
}

TEST(a_lone_pixel_keeps_its_probabilities_and_a_field_of_equal_ones_too)
{
    static const uint32_t pixels[] = {4};
    const struct smooth_want want = {3, 3, pixels, 1, 1};
    float p[9];
    struct smooth_planes planes = {p, 9, 1};
    AUTO(arena) arena = arena_new();
    struct smooth_field field;
    double mean;

    for (size_t i = 0; i < 9; i++)
        p[i] = 0.3F;
    assert_ok(smooth_field_new(&want, arena, &field, &err));
    field.column[4] = 4;
    smooth_mean(&field, &planes, 4, &mean);
    assert_true((float)mean == 0.3F);
    for (uint32_t i = 0; i < 9; i++)
        field.column[i] = i;
    smooth_mean(&field, &planes, 4, &mean);
    assert_true((float)mean == 0.3F);
    p[4] = 1;
    p[1] = 0; /* (3 + 10 * 0.3) / 15 */
    smooth_mean(&field, &planes, 4, &mean);
    assert_float_equal(mean, 0.4, 1e-7);
}

RUN(T(any_pixels_of_any_raster_are_the_whole_rasters_bit_for_bit),
    T(a_field_is_what_lies_within_reach_inside_the_window),
    T(a_lone_pixel_keeps_its_probabilities_and_a_field_of_equal_ones_too))
