#include "classify/forest_flat.h"

#include "base/arena.h"
#include "base/check.h"
#include "classify/forest_walk.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { U8_MAX_RANK = 255, U16_MAX_RANK = 65535, RULES = 2 * MISSING_COUNT };

float flat_floor(double x)
{
    if (x > (double)FLT_MAX)
        return isinf(x) ? INFINITY : FLT_MAX;
    if (x < -(double)FLT_MAX)
        return -INFINITY;
    float nearest = (float)x;
    if ((double)nearest > x)
        nearest = nextafterf(nearest, -INFINITY);
    return nearest + 0.0F; /* -0 and +0 are one threshold */
}

static bool is_leaf(const struct model_node *node)
{
    return node->left < 0;
}

/* ---- planes ---- */

/* One plane per feature and rule in use. `ids` is [feature_count][RULES], 0 for none. */
struct plane_map {
    uint32_t *ids;
};

static uint32_t *plane_slot(const struct plane_map *map, const struct model_node *node)
{
    bool sided = node->missing != MISSING_COMPARE && node->missing != MISSING_NONE;
    unsigned rule = node->missing * 2u + (sided && node->default_left);

    return &map->ids[(size_t)node->feature * RULES + rule];
}

static bool make_planes(struct flat *flat, const struct plane_map *map, struct arena *arena)
{
    const struct model *model = flat->model;
    size_t slots = (size_t)model->info.feature_count * RULES;

    for (uint64_t i = 0; i < model->info.node_count; i++)
        if (!is_leaf(&model->nodes[i]))
            *plane_slot(map, &model->nodes[i]) = 1;
    for (size_t s = 0; s < slots; s++)
        flat->plane_count += map->ids[s];
    TL_CHECK(flat->plane_count <= UINT16_MAX);
    flat->planes = arena_zalloc(arena, TL_MAX(flat->plane_count, 1U), sizeof(*flat->planes));
    if (!flat->planes)
        return false;
    for (size_t s = 0, next = 0; s < slots; s++) {
        if (!map->ids[s])
            continue;
        flat->planes[next] = (struct flat_plane){.feature = (uint16_t)(s / RULES),
                                                 .missing = (uint8_t)(s % RULES / 2),
                                                 .default_left = s % 2};
        map->ids[s] = (uint32_t)next++;
    }
    return true;
}

void flat_apply_rule(const struct flat_plane *plane, float *values, size_t count)
{
    float side = plane->default_left ? -INFINITY : NAN;

    if (plane->missing == MISSING_COMPARE)
        return;
    for (size_t i = 0; i < count; i++) {
        float x = values[i];
        bool zero = fabsf(x) <= (float)MODEL_ZERO;

        if (plane->missing == MISSING_SIDED)
            values[i] = isnan(x) ? side : x;
        else if (plane->missing == MISSING_NAN)
            values[i] = isnan(x) ? side : zero ? 0 : x;
        else if (plane->missing == MISSING_NONE)
            values[i] = isnan(x) || zero ? 0 : x;
        else
            values[i] = isnan(x) || zero ? side : x;
    }
}

/* ---- ranks ---- */

static int compare_floats(const void *a, const void *b)
{
    float x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

/* A whole number that grows with the float. */
static uint32_t float_key(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits ^ (bits & 0x80000000U ? 0xFFFFFFFFU : 0x80000000U);
}

/* Both maps grow with x (rounding keeps order), which is all that exactness needs. */
static uint32_t linear_bucket(const struct flat_ranker *r, float x)
{
    float at = (x - r->low) * r->scale;
    float last = (float)(r->bucket_count - 1);

    at = at > 0 ? at : 0;
    return (uint32_t)(at < last ? at : last);
}

static uint32_t bits_bucket(const struct flat_ranker *r, float x)
{
    uint32_t key = float_key(x + 0.0F);
    uint32_t at = key > r->low_key ? (key - r->low_key) >> r->shift : 0;

    return at < r->bucket_count ? at : r->bucket_count - 1;
}

static uint32_t bucket_of(const struct flat_ranker *r, float x)
{
    return r->linear ? linear_bucket(r, x) : bits_bucket(r, x);
}

/* The most thresholds that share a bucket. */
static uint32_t most_in_a_bucket(const struct flat_ranker *r)
{
    uint32_t most = 0, run = 0;

    for (uint32_t i = 0; i < r->count; i++) {
        bool same = i && bucket_of(r, r->thresholds[i]) == bucket_of(r, r->thresholds[i - 1]);

        run = same ? run + 1 : 1;
        most = TL_MAX(most, run);
    }
    return most;
}

static uint8_t search_steps(uint32_t most)
{
    uint8_t steps = 0;

    while ((1U << steps) - 1 < most)
        steps++;
    return steps;
}

/* Tries both maps with about eight buckets per threshold and keeps the evener one. */
static void choose_buckets(struct flat_ranker *r)
{
    float low = r->thresholds[0], high = r->thresholds[r->count - 1];
    uint32_t room = 8 * r->count + 1;
    struct flat_ranker linear = *r;

    r->low_key = float_key(low);
    while ((float_key(high) - r->low_key) >> r->shift >= room)
        r->shift++;
    r->bucket_count = ((float_key(high) - r->low_key) >> r->shift) + 1;
    r->steps = search_steps(most_in_a_bucket(r));
    linear.linear = true;
    linear.low = low;
    linear.bucket_count = room;
    linear.scale = (float)(room - 1) / (high - low);
    if (!isfinite(low) || !isfinite(high) || !isfinite(high - low) || !isfinite(linear.scale))
        return;
    linear.steps = search_steps(most_in_a_bucket(&linear));
    if (linear.steps <= r->steps)
        *r = linear;
}

static bool fill_buckets(struct flat_ranker *r, struct arena *arena)
{
    uint16_t *start = arena_alloc(arena, r->bucket_count + 1, sizeof(*start));
    uint32_t below = 0;

    if (!start)
        return false;
    for (uint32_t b = 0; b < r->bucket_count; b++) {
        while (below < r->count && bucket_of(r, r->thresholds[below]) < b)
            below++;
        start[b] = (uint16_t)below;
    }
    start[r->bucket_count] = (uint16_t)r->count;
    r->start = start;
    return true;
}

/* Adds to ranks[i] what a step of the search finds: `half` where that many more are below. */
static void search_step(const float *thresholds, const float *values, size_t count, uint32_t half,
                        uint16_t *ranks)
{
    for (size_t i = 0; i < count; i++) {
        bool above = thresholds[ranks[i] + half - 1] < values[i];

        ranks[i] = (uint16_t)(ranks[i] + above * half);
    }
}

void flat_rank(const struct flat_ranker *ranker, const float *values, size_t count,
               uint16_t *ret_ranks)
{
    const struct flat_ranker r = *ranker;

    if (r.linear)
        for (size_t i = 0; i < count; i++)
            ret_ranks[i] = r.start[linear_bucket(&r, values[i])];
    else
        for (size_t i = 0; i < count; i++)
            ret_ranks[i] = r.start[bits_bucket(&r, values[i])];
    for (uint32_t step = r.steps; step > 0; step--)
        search_step(r.thresholds, values, count, 1U << (step - 1), ret_ranks);
    for (size_t i = 0; i < count; i++)
        ret_ranks[i] = isnan(values[i]) ? (uint16_t)r.count : ret_ranks[i];
}

/* Thresholds of all planes, one plane after the other; begin[p] is where plane p starts. */
struct gathered {
    float *thresholds;
    uint64_t *begin;
};

static bool gather(const struct flat *flat, const struct plane_map *map, struct arena *scratch,
                   struct gathered *all)
{
    const struct model *model = flat->model;

    all->begin = arena_zalloc(scratch, flat->plane_count + 2, sizeof(*all->begin));
    all->thresholds = arena_alloc(scratch, model->info.node_count, sizeof(*all->thresholds));
    if (!all->begin || !all->thresholds)
        return false;
    for (uint64_t i = 0; i < model->info.node_count; i++)
        if (!is_leaf(&model->nodes[i]))
            all->begin[*plane_slot(map, &model->nodes[i]) + 2]++;
    for (uint32_t p = 0; p < flat->plane_count; p++)
        all->begin[p + 2] += all->begin[p + 1];
    /* begin[p + 1] runs from the start of plane p to its end while it is filled. */
    for (uint64_t i = 0; i < model->info.node_count; i++)
        if (!is_leaf(&model->nodes[i])) {
            uint64_t *at = &all->begin[*plane_slot(map, &model->nodes[i]) + 1];

            all->thresholds[(*at)++] = flat_floor(model->nodes[i].threshold);
        }
    return true;
}

/* Sorts one plane's thresholds and drops the doubles, in place. */
static uint32_t sort_distinct(float *thresholds, uint64_t count)
{
    uint32_t kept = 0;

    qsort(thresholds, count, sizeof(*thresholds), compare_floats);
    for (uint64_t i = 0; i < count; i++)
        if (i == 0 || thresholds[i] > thresholds[kept - 1])
            thresholds[kept++] = thresholds[i];
    return kept;
}

static bool make_ranker(struct flat_ranker *r, const float *thresholds, struct arena *arena)
{
    r->thresholds = thresholds;
    choose_buckets(r);
    size_t pad = (size_t)1 << r->steps;
    float *padded = arena_alloc(arena, r->count + pad, sizeof(*padded));
    if (!padded)
        return false;
    memcpy(padded, thresholds, r->count * sizeof(*padded));
    for (size_t i = 0; i < pad; i++)
        padded[r->count + i] = INFINITY;
    r->thresholds = padded;
    return fill_buckets(r, arena);
}

/* Decides the type; FLAT_F32 gets no rankers, for there a rank would not fit. */
static bool make_rankers(struct flat *flat, const struct gathered *all, struct arena *arena)
{
    struct flat_ranker *rankers =
        arena_zalloc(arena, TL_MAX(flat->plane_count, 1U), sizeof(*rankers));
    uint32_t most = 0;

    if (!rankers)
        return false;
    for (uint32_t p = 0; p < flat->plane_count; p++) {
        rankers[p].count =
            sort_distinct(all->thresholds + all->begin[p], all->begin[p + 1] - all->begin[p]);
        most = TL_MAX(most, rankers[p].count);
    }
    flat->type = most <= U8_MAX_RANK ? FLAT_U8 : most <= U16_MAX_RANK ? FLAT_U16 : FLAT_F32;
    if (flat->type == FLAT_F32)
        return true;
    for (uint32_t p = 0; p < flat->plane_count; p++)
        if (!make_ranker(&rankers[p], all->thresholds + all->begin[p], arena))
            return false;
    flat->rankers = rankers;
    return true;
}

/* The position of a threshold of the model among the plane's distinct ones. */
static uint32_t rank_of_threshold(const struct flat_ranker *r, float threshold)
{
    uint32_t low = 0, high = r->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (r->thresholds[middle] < threshold)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- leaves ---- */

/* The class of a pure row (one 1, else 0), or -1. */
static int pure_class(const double *row, uint32_t width)
{
    int pure = -1;

    for (uint32_t c = 0; c < width; c++) {
        if (row[c] == 1 && pure < 0)
            pure = (int)c;
        else if (row[c] != 0)
            return -1;
    }
    return pure;
}

/* Multiples of 2^-20 up to 1: 100,000 of them add up without rounding in a double. */
static bool exact_row(const double *row, uint32_t width)
{
    for (uint32_t c = 0; c < width; c++)
        if (row[c] * 0x1p20 != floor(row[c] * 0x1p20))
            return false;
    return true;
}

/* The class that most leaves are pure in is not counted: it is what the others leave. */
static void choose_base_class(struct flat *flat, const int *pure)
{
    const struct model *model = flat->model;
    uint64_t leaves[FOREST_MAX_CLASSES] = {0};

    for (uint64_t i = 0; i < model->info.node_count; i++) {
        const struct model_node *node = &model->nodes[i];

        if (is_leaf(node) && pure[node->right] >= 0)
            leaves[pure[node->right]]++;
        else if (is_leaf(node))
            flat->has_rows = true;
    }
    for (uint32_t c = 1; c < model->info.class_count; c++)
        if (leaves[c] > leaves[flat->base_class])
            flat->base_class = c;
}

static bool make_rows(struct flat *flat, struct arena *arena)
{
    const struct model *model = flat->model;
    uint32_t width = model->leaf_width;
    uint32_t stride = width <= 2 ? 2 : width <= 4 ? 4 : (width + 7) / 8 * 8;
    double *rows = arena_zalloc(arena, model->leaf_count, stride * sizeof(*rows));
    uint8_t *exact = arena_alloc(arena, model->leaf_count, sizeof(*exact));

    if (!rows || !exact)
        return false;
    for (uint64_t r = 0; r < model->leaf_count; r++) {
        memcpy(rows + r * stride, model->leaf_values + r * width, width * sizeof(*rows));
        exact[r] = exact_row(rows + r * stride, width);
        rows[r * stride + flat->base_class] -= 1;
    }
    flat->rows = rows;
    flat->row_stride = stride;
    flat->row_exact = exact;
    return true;
}

static bool make_vote_tables(struct flat *flat, struct arena *arena)
{
    size_t entries = (size_t)flat->model->info.tree_count + 1;
    uint8_t *percent = arena_alloc(arena, entries, sizeof(*percent));
    float *probability = arena_alloc(arena, entries, sizeof(*probability));

    if (!percent || !probability)
        return false;
    for (size_t votes = 0; votes < entries; votes++) {
        double p = (double)votes / flat->model->divisor;

        percent[votes] = walk_percent(p);
        probability[votes] = (float)p;
    }
    flat->percent = percent;
    flat->probability = probability;
    return true;
}

/* What a child that is a leaf becomes. */
static uint32_t land(const struct flat *flat, const int *pure, int32_t leaf, uint8_t *ret_kind)
{
    if (flat->model->output != OUTPUT_MEAN)
        *ret_kind = flat->model->arithmetic == ARITHMETIC_DOUBLE ? KIND_SCORE : KIND_FLOAT;
    else if (pure[leaf] < 0)
        *ret_kind = KIND_ROW;
    else
        *ret_kind = pure[leaf] == (int)flat->base_class ? KIND_BASE : KIND_VOTE;
    return *ret_kind == KIND_VOTE ? (uint32_t)pure[leaf] : (uint32_t)leaf;
}

static int *find_pure(struct flat *flat, struct arena *scratch)
{
    const struct model *model = flat->model;
    int *pure = arena_alloc(scratch, TL_MAX(model->leaf_count, (uint64_t)1), sizeof(*pure));

    for (uint64_t r = 0; pure && model->output == OUTPUT_MEAN && r < model->leaf_count; r++)
        pure[r] = pure_class(model->leaf_values + r * model->leaf_width, model->leaf_width);
    if (pure && model->output == OUTPUT_MEAN)
        choose_base_class(flat, pure);
    return pure;
}

/* ---- nodes ---- */

struct compiler {
    struct flat *flat;
    const struct plane_map *map;
    const int *pure;
    uint32_t *numbers; /* of the inner nodes of the tree at hand */
};

static uint32_t child(const struct compiler *c, const struct model_node *tree, int32_t at,
                      uint8_t *ret_kind)
{
    if (is_leaf(&tree[at]))
        return land(c->flat, c->pure, tree[at].right, ret_kind);
    *ret_kind = KIND_NODE;
    return c->numbers[at];
}

static void compile_node(const struct compiler *c, const struct model_node *tree,
                         const struct model_node *from, struct flat_node *to)
{
    uint32_t plane = *plane_slot(c->map, from);
    float threshold = flat_floor(from->threshold);

    to->plane = (uint16_t)plane;
    if (c->flat->rankers)
        to->cut.rank = rank_of_threshold(&c->flat->rankers[plane], threshold);
    else
        to->cut.threshold = threshold;
    to->left = child(c, tree, from->left, &to->left_kind);
    to->right = child(c, tree, from->right, &to->right_kind);
}

static void compile_tree(const struct compiler *c, uint32_t t)
{
    const struct model *model = c->flat->model;
    const struct model_node *tree = model->nodes + model->tree_offsets[t];
    uint32_t count = model->tree_offsets[t + 1] - model->tree_offsets[t];
    struct flat_tree *to = &c->flat->trees[t];

    for (uint32_t i = 0; i < count; i++)
        if (!is_leaf(&tree[i]))
            c->numbers[i] = c->flat->node_count++;
    for (uint32_t i = 0; i < count; i++)
        if (!is_leaf(&tree[i]))
            compile_node(c, tree, &tree[i], &c->flat->nodes[c->numbers[i]]);
    to->root = child(c, tree, 0, &to->root_kind);
}

static bool compile_nodes(struct flat *flat, const struct plane_map *map, struct arena *arena,
                          struct arena *scratch)
{
    const struct model *model = flat->model;
    struct compiler c = {flat, map, find_pure(flat, scratch), NULL};
    uint64_t inner = 0;
    uint32_t largest = 0;

    for (uint64_t i = 0; i < model->info.node_count; i++)
        inner += !is_leaf(&model->nodes[i]);
    for (uint32_t t = 0; t < model->info.tree_count; t++)
        largest = TL_MAX(largest, model->tree_offsets[t + 1] - model->tree_offsets[t]);
    c.numbers = arena_alloc(scratch, largest, sizeof(*c.numbers));
    flat->trees = arena_zalloc(arena, model->info.tree_count, sizeof(*flat->trees));
    flat->nodes = arena_zalloc(arena, TL_MAX(inner, (uint64_t)1), sizeof(*flat->nodes));
    if (!c.pure || !c.numbers || !flat->trees || !flat->nodes)
        return false;
    for (uint32_t t = 0; t < model->info.tree_count; t++)
        compile_tree(&c, t);
    flat->max_depth = model->info.max_depth;
    if (flat->has_rows && !make_rows(flat, arena))
        return false;
    return model->output != OUTPUT_MEAN || make_vote_tables(flat, arena);
}

/* ---- guide ---- */

static void fill_guide_slot(const struct model_node *tree, struct flat_guide *guide, uint32_t t,
                            size_t slot, const int32_t *at)
{
    const struct model_node *node = at[slot] < 0 ? NULL : &tree[at[slot]];
    bool split = node && !is_leaf(node);

    guide->slot[t][slot].feature = split ? node->feature : -1;
    guide->slot[t][slot].threshold = split ? flat_floor(node->threshold) : 0;
}

static void make_guide(struct flat *flat)
{
    const struct model *model = flat->model;
    struct flat_guide *guide = &flat->guide;

    guide->tree_count = TL_MIN(model->info.tree_count, (uint32_t)GUIDE_TREES);
    for (uint32_t t = 0; t < guide->tree_count; t++) {
        const struct model_node *tree = model->nodes + model->tree_offsets[t];
        int32_t at[2 * GUIDE_SLOTS] = {-1, 0};

        for (size_t slot = 1; slot < GUIDE_SLOTS; slot++) {
            bool split = at[slot] >= 0 && !is_leaf(&tree[at[slot]]);

            at[2 * slot] = split ? tree[at[slot]].left : -1;
            at[2 * slot + 1] = split ? tree[at[slot]].right : -1;
            fill_guide_slot(tree, guide, t, slot, at);
        }
    }
}

/* ---- the whole ---- */

enum tl_code flat_compile(const struct model *model, struct arena *arena, struct flat *ret_flat,
                          struct tl_err *err)
{
    struct flat flat = {.model = model};
    AUTO(arena) scratch = arena_new();
    struct plane_map map = {NULL};
    struct gathered all;

    if (scratch)
        map.ids =
            arena_zalloc(scratch, (size_t)model->info.feature_count * RULES, sizeof(*map.ids));
    if (!map.ids || !make_planes(&flat, &map, arena) || !gather(&flat, &map, scratch, &all) ||
        !make_rankers(&flat, &all, arena) || !compile_nodes(&flat, &map, arena, scratch))
        return tl_fail(err, TL_NOMEM, "no memory to compile %ju nodes",
                       (uintmax_t)model->info.node_count);
    make_guide(&flat);
    *ret_flat = flat;
    return TL_OK;
}
