#include "forest/run_private.h"

#include "forest/forest.h"
#include "forest/table.h"
#include "model/model.h"

#include <math.h>

enum {
    CHUNK_PX = 256, /* ranked together; a multiple of PACKET_PX */
    CACHE_LINE = 64
};

struct walk_place run_pixel(const struct run *run, size_t pixel)
{
    const struct run_task *task = run->task;
    const struct forest_pixels pixels = {task->planes, task->count, task->codes};

    for (uint32_t f = 0; run->row && f < run_model(run)->info.feature_count; f++)
        run->row[f] = forest_value(&pixels, f, pixel);
    return (struct walk_place){run->row ? run->row_planes : task->planes, run->row ? 0 : pixel,
                               pixel, task->room};
}

static size_t round_to_lanes(size_t values)
{
    return (values + RANK_LANES - 1) / RANK_LANES * RANK_LANES;
}

/* Values of a chunk of a plane as its rule sees them, filled up to whole lanes. */
static void chunk_values(const struct run *run, uint32_t plane, uint32_t at, uint32_t count,
                         float *ret_values)
{
    const struct flat_plane *rule = &run->flat->planes[plane];

    memcpy(ret_values, run->task->planes[rule->feature] + run->unit_at + at,
           count * sizeof(*ret_values));
    flat_apply_rule(rule, ret_values, count);
    for (uint32_t i = count; i % RANK_LANES != 0; i++)
        ret_values[i] = 0;
}

static void fill_floats(const struct run *run, uint32_t plane)
{
    float *to = (float *)run->raster.values + plane * run->raster.room;
    const struct flat_plane *rule = &run->flat->planes[plane];

    memcpy(to, run->task->planes[rule->feature] + run->unit_at, run->unit_count * sizeof(*to));
    flat_apply_rule(rule, to, run->unit_count);
}

/* Features that no rule changes are ranked where they are, all but the last lanes. */
static void fill_ranks(const struct run *run, uint32_t plane)
{
    uint16_t *to = (uint16_t *)run->raster.values + plane * run->raster.room;
    const struct flat_plane *rule = &run->flat->planes[plane];
    const struct flat_ranker *ranker = &run->flat->rankers[plane];
    uint32_t done = 0;

    if (rule->missing == MISSING_COMPARE) {
        done = run->unit_count - run->unit_count % RANK_LANES;
        run->plan->kernel->rank(ranker, run->task->planes[rule->feature] + run->unit_at, done, to);
    }
    for (uint32_t at = done; at < run->unit_count; at += CHUNK_PX) {
        uint32_t count = TL_MIN(run->unit_count - at, (uint32_t)CHUNK_PX);
        float values[CHUNK_PX];

        chunk_values(run, plane, at, count, values);
        run->plan->kernel->rank(ranker, values, round_to_lanes(count), to + at);
    }
}

static void fill_coded(const struct run *run, uint32_t plane, const struct forest_codes *from)
{
    const uint16_t *codes = from->codes + run->unit_at;
    const uint16_t *ranks = table_ranks(from->table, run->flat, plane);
    uint16_t *to = (uint16_t *)run->raster.values + plane * run->raster.room;

    for (uint32_t i = 0; i < run->unit_count; i++)
        to[i] = ranks[codes[i]];
}

/* In raster order, where neighbours are alike: the tables of ranks stay in the nearest cache. */
void run_fill_raster(const struct run *run)
{
    for (uint32_t plane = 0; plane < run->flat->plane_count; plane++) {
        const struct forest_codes *codes = run->task->codes;

        codes = codes ? &codes[run->flat->planes[plane].feature] : NULL;
        if (run->flat->type == FLAT_F32)
            fill_floats(run, plane);
        else if (codes && codes->table)
            fill_coded(run, plane, codes);
        else
            fill_ranks(run, plane);
    }
}

/*
 * Puts a plane of the raster into the guide's order, as one plane of one block; its range on
 * the way. With NaN in it a plane has no greatest: no comparison with it may hold.
 */
/* NOLINTBEGIN(bugprone-macro-parentheses): of a type */
#define DEFINE_PERMUTE(name, raster_type, type, nan)                                      \
    static void name(struct run *run, uint32_t block, uint32_t plane)                     \
    {                                                                                     \
        const raster_type *from =                                                         \
            (const raster_type *)run->raster.values + plane * run->raster.room;           \
        const uint16_t *pixel = run->order.pixels + (size_t)block * run->sweep.room;      \
        size_t at = (size_t)block * run->flat->plane_count + plane;                       \
        type *to = (type *)run->values + at * run->sweep.room;                            \
        type low = (type)from[pixel[0]], high = low;                                      \
                                                                                          \
        for (uint32_t i = 0, n = round_to_packets(block_count(run, block)); i < n; i++) { \
            type value = (type)from[pixel[i]];                                            \
                                                                                          \
            to[i] = value;                                                                \
            low = value < low ? value : low;                                              \
            high = value > high || (nan) ? value : high;                                  \
        }                                                                                 \
        ((type *)run->low)[at] = low;                                                     \
        ((type *)run->high)[at] = high;                                                   \
    }
/* NOLINTEND(bugprone-macro-parentheses) */
DEFINE_PERMUTE(permute_u8, uint16_t, uint8_t, false)
DEFINE_PERMUTE(permute_u16, uint16_t, uint16_t, false)
DEFINE_PERMUTE(permute_f32, float, float, isnan(value))
#undef DEFINE_PERMUTE

/* Asks for a plane of the raster as it lies: all of them do not fit the second-level cache, and
 * what is out of order comes late. */
static void fetch_plane(const struct run *run, uint32_t plane)
{
    size_t bytes = run->raster.room * raster_bytes(run->flat->type);
    const char *from = (const char *)run->raster.values + plane * bytes;

    for (size_t at = 0; at < bytes; at += CACHE_LINE)
        __builtin_prefetch(from + at);
}

/* A plane of the raster as it lies. Nobody asks for its range: the sweep alone does. */
static void copy_u8(struct run *run, uint32_t block, uint32_t plane)
{
    size_t room = run->sweep.room, first = block * room;
    const uint16_t *from = (const uint16_t *)run->raster.values + plane * run->raster.room + first;
    uint8_t *to = (uint8_t *)run->values + ((size_t)block * run->flat->plane_count + plane) * room;

    for (uint32_t i = 0, n = round_to_packets(block_count(run, block)); i < n; i++)
        to[i] = (uint8_t)from[i];
}

void run_fill_planes(struct run *run)
{
    static void (*const permute[])(struct run *, uint32_t, uint32_t) = {permute_u8, permute_u16,
                                                                        permute_f32};
    bool swept = !run->flat->oblivious && !run->plan->shallow;
    bool copied = !swept && !run->plan->sorted && run->flat->type == FLAT_U8;
    void (*fill)(struct run *, uint32_t, uint32_t) = copied ? copy_u8 : permute[run->flat->type];

    for (uint32_t plane = 0; plane < run->flat->plane_count; plane++) {
        fetch_plane(run, plane);
        for (uint32_t block = 0; block * run->sweep.room < run->unit_count; block++)
            fill(run, block, plane);
    }
}
