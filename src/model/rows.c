#include "model/rows.h"

#include "base/arena.h"
#include "model/model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Pixels along the side of a field. */
enum { FIELD_PX = 12 };

/* xorshift64*; the state is never 0. */
static uint64_t next_random(struct model_rows *rows)
{
    uint64_t x = rows->random;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    rows->random = x;
    return x * UINT64_C(0x2545F4914F6CDD1D);
}

/* A number in 0..1, not 1. */
static float uniform(struct model_rows *rows)
{
    return (float)(next_random(rows) >> 40) * 0x1p-24F;
}

/* Keeps an even sample of what comes: number `seen` of a feature's thresholds. */
static void keep_edge(struct model_rows *rows, uint32_t feature, float edge, uint64_t *seen)
{
    float *kept = rows->edges + (size_t)feature * ROWS_EDGES;
    uint64_t at = seen[feature]++;

    if (at >= ROWS_EDGES)
        at = next_random(rows) % seen[feature];
    if (at < ROWS_EDGES)
        kept[at] = edge;
}

static void keep_split(struct model_rows *rows, const struct model *model,
                       const struct model_node *node, uint32_t feature, uint64_t *seen)
{
    if (node->missing != MISSING_SET) {
        if (isfinite((float)node->threshold))
            keep_edge(rows, feature, (float)node->threshold, seen);
        return;
    }
    for (uint32_t i = 0; i < model->sets[node->set].count; i++)
        if (isfinite(model->sets[node->set].bounds[i]))
            keep_edge(rows, feature, model->sets[node->set].bounds[i], seen);
}

/* Of an ensemble, whose feature f is column inputs[f]. */
static void keep_ensemble(struct model_rows *rows, const struct model *model,
                          const uint32_t *inputs, uint64_t *seen)
{
    for (uint64_t i = 0; i < model->info.node_count; i++) {
        const struct model_node *node = &model->nodes[i];

        if (node->left < 0)
            continue;
        rows->missing |= node->missing != MISSING_COMPARE;
        uint32_t column = inputs ? inputs[node->feature] : node->feature;
        if (column < rows->feature_count)
            keep_split(rows, model, node, column, seen);
    }
}

static int compare_floats(const void *a, const void *b)
{
    float x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

/* A feature that no split asks for has the edges 0 and 1. */
static void sort_edges(struct model_rows *rows, const uint64_t *seen)
{
    for (uint32_t f = 0; f < rows->feature_count; f++) {
        float *edges = rows->edges + (size_t)f * ROWS_EDGES;

        rows->count[f] = (uint32_t)TL_MIN(seen[f], (uint64_t)ROWS_EDGES);
        if (rows->count[f] == 0) {
            edges[0] = 0;
            edges[1] = 1;
            rows->count[f] = 2;
        }
        qsort(edges, rows->count[f], sizeof(*edges), compare_floats);
    }
}

bool model_rows_open(const struct model *model, uint64_t seed, struct arena *arena,
                     struct model_rows *ret_rows)
{
    struct model_rows rows = {.feature_count = model->info.feature_count,
                              .random = seed * 2 + 88172645463325253U};
    AUTO(arena) scratch = arena_new();
    uint64_t *seen = scratch ? arena_zalloc(scratch, rows.feature_count, sizeof(*seen)) : NULL;

    rows.edges = arena_alloc(arena, rows.feature_count, ROWS_EDGES * sizeof(*rows.edges));
    rows.count = arena_alloc(arena, rows.feature_count, sizeof(*rows.count));
    if (!seen || !rows.edges || !rows.count)
        return false;
    if (!model->part_count)
        keep_ensemble(&rows, model, NULL, seen);
    for (uint32_t p = 0; p < model->part_count; p++)
        if (model->parts[p].kind == PART_TREES)
            keep_ensemble(&rows, model->parts[p].model, model->parts[p].inputs, seen);
    sort_edges(&rows, seen);
    *ret_rows = rows;
    return true;
}

static float odd_value(struct model_rows *rows)
{
    static const float odd[] = {0.0F, -0.0F, INFINITY, -INFINITY, 1e-35F, -1e-36F, 1e-40F};
    size_t which = next_random(rows) % (TL_COUNT(odd) + 2);

    if (which < TL_COUNT(odd))
        return odd[which];
    return rows->missing ? NAN : 0;
}

void model_rows_probe(struct model_rows *rows, float *ret_row)
{
    bool odd = next_random(rows) % 4 == 0;

    for (uint32_t f = 0; f < rows->feature_count; f++) {
        const float *edges = rows->edges + (size_t)f * ROWS_EDGES;
        float edge = edges[next_random(rows) % rows->count[f]];

        switch (next_random(rows) % 16) {
        case 0:
            ret_row[f] = odd ? odd_value(rows) : edge;
            break;
        case 1:
        case 2:
        case 3:
            ret_row[f] = nextafterf(edge, -INFINITY);
            break;
        case 4:
        case 5:
        case 6:
            ret_row[f] = nextafterf(edge, INFINITY);
            break;
        default:
            ret_row[f] = edge;
        }
    }
}

/* The value at a share (0..1) of the feature's edges, between two of them. */
static float value_at(const struct model_rows *rows, uint32_t feature, float share)
{
    const float *edges = rows->edges + (size_t)feature * ROWS_EDGES;
    float at = fminf(fmaxf(share, 0), 1) * (float)(rows->count[feature] - 1);
    uint32_t below = (uint32_t)at;
    uint32_t above = TL_MIN(below + 1, rows->count[feature] - 1);

    return edges[below] + (edges[above] - edges[below]) * (at - (float)below);
}

/* Square fields with jittered borders: which one a pixel is in. */
static uint64_t field_of(uint32_t x, uint32_t y)
{
    uint32_t jitter = (x * 7 + y * 13) % 5;
    uint32_t column = (x + jitter) / FIELD_PX, line = (y + jitter * 3 % 5) / FIELD_PX;

    return (uint64_t)line << 32 | column;
}

/* The field's share of a feature: a number in 0..1 that is its own. */
static float field_share(uint64_t field, uint32_t feature)
{
    uint64_t x = (field + 1) * UINT64_C(0x9E3779B97F4A7C15) + feature;

    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return (float)(x >> 40) * 0x1p-24F;
}

/* From -1 to 1 and back within `period`. */
static float triangle(uint32_t at, uint32_t period)
{
    float turn = (float)(at % period) / (float)period;

    return 1 - 4 * fabsf(turn - 0.5F);
}

void model_rows_tile(struct model_rows *rows, enum model_tile tile, uint32_t width, uint32_t height,
                     float *const *ret_planes)
{
    float noise = tile == TILE_SMOOTH ? 0.02F : 0.08F;

    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++) {
            uint64_t field = field_of(x, y);

            for (uint32_t f = 0; f < rows->feature_count; f++) {
                float share = uniform(rows);

                if (tile != TILE_STRUCTURELESS) {
                    float wave = triangle(x + 3 * f, 42) * triangle(y, 57);

                    share = field_share(field, f) + 0.02F * wave + noise * (2 * share - 1);
                }
                ret_planes[f][(size_t)y * width + x] = value_at(rows, f, share);
            }
        }
}
