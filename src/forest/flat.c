#include "forest/flat.h"

#include "base/arena.h"
#include "base/check.h"
#include "forest/flat_private.h"
#include "forest/oblivious.h"
#include "forest/shallow.h"
#include "forest/walk.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    U8_MAX_RANK = 255,
    U16_MAX_RANK = 65535,
    RULES = 2 * MISSING_COUNT,
    /* Leaves are kept by number where one in so many is not pure: votes are counted sooner, rows
     * are added later. */
    ROWS_FOR_LEAVES = 32,
    /* Leaves of so many numbers are copied for every tree that has them: they take less than the
     * nodes, some times over. Wider ones, of which a file may share few among all its trees, are
     * numbered as they are there; so are those that have lines. */
    COPIED_WIDTH = 32,
    /* Numbers of a leaf and trees from which on fixed point takes fewer vectors, and few pixels are
     * in doubt. */
    FIXED_WIDTH = 5,
    FIXED_TREES = 16
};

static bool is_leaf(const struct model_node *node)
{
    return node->left < 0;
}

/* ---- planes ---- */

/* What a split by a set asks. */
struct set_use {
    uint16_t feature;
    bool default_left;
    const struct model_set *set;
};

/* One plane per feature and rule in use, and behind them one per different set_use. */
struct plane_map {
    uint32_t *ids;        /* [feature_count][RULES], 0 for none */
    struct set_use *uses; /* ascending */
    uint32_t use_count, first_use;
};

static int compare_sets(const struct model_set *a, const struct model_set *b)
{
    if (a == b || a->count != b->count)
        return (a->count > b->count) - (a->count < b->count);
    return memcmp(a->bounds, b->bounds, a->count * sizeof(*a->bounds));
}

static int compare_uses(const void *a, const void *b)
{
    const struct set_use *x = a, *y = b;

    if (x->feature != y->feature)
        return (x->feature > y->feature) - (x->feature < y->feature);
    if (x->default_left != y->default_left)
        return x->default_left - y->default_left;
    return compare_sets(x->set, y->set);
}

static struct set_use use_of(const struct model *model, const struct model_node *node)
{
    return (struct set_use){node->feature, node->default_left, &model->sets[node->set]};
}

static bool is_set(const struct model_node *node)
{
    return !is_leaf(node) && node->missing == MISSING_SET;
}

static uint32_t *plane_slot(const struct plane_map *map, const struct model_node *node)
{
    bool sided = node->missing != MISSING_COMPARE && node->missing != MISSING_NONE;
    unsigned rule = node->missing * 2u + (sided && node->default_left);

    return &map->ids[(size_t)node->feature * RULES + rule];
}

static uint32_t plane_of(const struct flat *flat, const struct plane_map *map,
                         const struct model_node *node)
{
    if (!is_set(node))
        return *plane_slot(map, node);
    struct set_use use = use_of(flat->model, node);
    const struct set_use *found =
        map->uses ? bsearch(&use, map->uses, map->use_count, sizeof(use), compare_uses) : NULL;
    TL_CHECK(found); /* find_sets() listed them all */
    return map->first_use + (uint32_t)(found - map->uses);
}

/* What the node's plane is compared with: of a set, 0 is in it and 1 is not. */
static float threshold_of(const struct model_node *node)
{
    return is_set(node) ? 0 : model_floor(node->threshold);
}

/* Lists the different sets; false without memory. */
static bool find_sets(const struct flat *flat, struct plane_map *map, struct arena *scratch)
{
    const struct model *model = flat->model;
    uint64_t count = 0;

    for (uint64_t i = 0; i < model->info.node_count; i++)
        count += is_set(&model->nodes[i]);
    if (count == 0)
        return true;
    map->uses = arena_alloc(scratch, count, sizeof(*map->uses));
    if (!map->uses)
        return false;
    count = 0;
    for (uint64_t i = 0; i < model->info.node_count; i++)
        if (is_set(&model->nodes[i]))
            map->uses[count++] = use_of(model, &model->nodes[i]);
    qsort(map->uses, count, sizeof(*map->uses), compare_uses);
    for (uint64_t i = 0; i < count; i++)
        if (i == 0 || compare_uses(&map->uses[i], &map->uses[map->use_count - 1]) != 0)
            map->uses[map->use_count++] = map->uses[i];
    return true;
}

static bool make_set_plane(struct flat_plane *plane, const struct set_use *use, struct arena *arena)
{
    struct flat_ranker *ranker = arena_zalloc(arena, 1, sizeof(*ranker));

    if (!ranker)
        return false;
    ranker->count = use->set->count;
    *plane = (struct flat_plane){.feature = use->feature,
                                 .missing = MISSING_SET,
                                 .default_left = use->default_left,
                                 .set = ranker};
    return rank_make(ranker, use->set->bounds, arena);
}

static bool make_planes(struct flat *flat, struct plane_map *map, struct arena *arena)
{
    const struct model *model = flat->model;
    size_t slots = (size_t)model->info.feature_count * RULES;

    for (uint64_t i = 0; i < model->info.node_count; i++)
        if (!is_leaf(&model->nodes[i]) && !is_set(&model->nodes[i]))
            *plane_slot(map, &model->nodes[i]) = 1;
    for (size_t s = 0; s < slots; s++)
        map->first_use += map->ids[s];
    flat->plane_count = map->first_use + map->use_count;
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
    for (uint32_t u = 0; u < map->use_count; u++)
        if (!make_set_plane(&flat->planes[map->first_use + u], &map->uses[u], arena))
            return false;
    return true;
}

static void apply_set(const struct flat_plane *plane, float *values, size_t count)
{
    enum { AT_ONCE = 256 };
    uint16_t ranks[AT_ONCE];

    for (size_t at = 0; at < count; at += AT_ONCE) {
        size_t n = TL_MIN(count - at, (size_t)AT_ONCE);

        flat_rank(plane->set, values + at, n, ranks);
        for (size_t i = 0; i < n; i++)
            values[at + i] = isnan(values[at + i]) ? !plane->default_left : !(ranks[i] % 2);
    }
}

void flat_apply_rule(const struct flat_plane *plane, float *values, size_t count)
{
    float side = plane->default_left ? -INFINITY : NAN;

    if (plane->missing == MISSING_COMPARE)
        return;
    if (plane->missing == MISSING_SET) {
        apply_set(plane, values, count);
        return;
    }
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

/* Thresholds of all planes, one plane after the other; begin[p] is where plane p starts. */
struct gathered {
    float *thresholds;
    uint64_t *begin;
    uint32_t *keys[2]; /* room to sort the plane that has most */
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
            all->begin[plane_of(flat, map, &model->nodes[i]) + 2]++;
    for (uint32_t p = 0; p < flat->plane_count; p++)
        all->begin[p + 2] += all->begin[p + 1];
    /* begin[p + 1] runs from the start of plane p to its end while it is filled. */
    for (uint64_t i = 0; i < model->info.node_count; i++)
        if (!is_leaf(&model->nodes[i])) {
            uint64_t *at = &all->begin[plane_of(flat, map, &model->nodes[i]) + 1];

            all->thresholds[(*at)++] = threshold_of(&model->nodes[i]);
        }
    return true;
}

/* Room for the keys of one plane, twice. */
static bool alloc_keys(const struct flat *flat, struct gathered *all, struct arena *scratch)
{
    uint64_t most = 1;

    for (uint32_t p = 0; p < flat->plane_count; p++)
        most = TL_MAX(most, all->begin[p + 1] - all->begin[p]);
    for (size_t i = 0; i < TL_COUNT(all->keys); i++)
        all->keys[i] = arena_alloc(scratch, most, sizeof(*all->keys[i]));
    return all->keys[0] && all->keys[1];
}

/* One pass over 11 bits of the keys, the lower ones being in order already. */
static void sort_pass(const uint32_t *from, uint32_t *to, uint64_t count, unsigned shift)
{
    enum { VALUES = 2048 };
    uint64_t begin[VALUES] = {0}, sum = 0;

    for (uint64_t i = 0; i < count; i++)
        begin[from[i] >> shift & (VALUES - 1)]++;
    for (size_t v = 0; v < VALUES; v++) {
        uint64_t own = begin[v];

        begin[v] = sum;
        sum += own;
    }
    for (uint64_t i = 0; i < count; i++)
        to[begin[from[i] >> shift & (VALUES - 1)]++] = from[i];
}

/* Sorts one plane's thresholds and drops the doubles, in place. O(count). */
static uint32_t sort_distinct(const struct gathered *all, float *thresholds, uint64_t count)
{
    uint32_t *a = all->keys[0], *b = all->keys[1], kept = 0;

    for (uint64_t i = 0; i < count; i++)
        a[i] = rank_key(thresholds[i]);
    sort_pass(a, b, count, 0);
    sort_pass(b, a, count, 11);
    sort_pass(a, b, count, 22);
    for (uint64_t i = 0; i < count; i++)
        if (i == 0 || b[i] != b[i - 1])
            thresholds[kept++] = rank_float(b[i]);
    return kept;
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
            sort_distinct(all, all->thresholds + all->begin[p], all->begin[p + 1] - all->begin[p]);
        most = TL_MAX(most, rankers[p].count);
    }
    flat->type = most <= U8_MAX_RANK ? FLAT_U8 : most <= U16_MAX_RANK ? FLAT_U16 : FLAT_F32;
    if (flat->type == FLAT_F32)
        return true;
    for (uint32_t p = 0; p < flat->plane_count; p++)
        if (!rank_make(&rankers[p], all->thresholds + all->begin[p], arena))
            return false;
    flat->rankers = rankers;
    return true;
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

/* The class that most leaves are pure in is not counted: it is what the others leave. Where too few
 * are pure, none is counted. */
static void choose_landing(struct flat *flat, const int *pure)
{
    const struct model *model = flat->model;
    uint64_t leaves[MODEL_MAX_CLASSES] = {0}, rows = 0, leaf_count = 0;

    for (uint64_t i = 0; i < model->info.node_count; i++) {
        const struct model_node *node = &model->nodes[i];

        leaf_count += is_leaf(node);
        if (is_leaf(node) && pure[node->right] >= 0)
            leaves[pure[node->right]]++;
        else if (is_leaf(node))
            rows++;
    }
    flat->by_leaf = rows * ROWS_FOR_LEAVES > leaf_count;
    flat->has_rows = rows > 0 && !flat->by_leaf;
    for (uint32_t c = 1; c < model->info.class_count; c++)
        if (leaves[c] > leaves[flat->base_class])
            flat->base_class = c;
}

uint32_t flat_row_stride(uint32_t width)
{
    return width <= 2 ? 2 : width <= 4 ? 4 : (width + 7) / 8 * 8;
}

static bool make_rows(struct flat *flat, struct arena *arena)
{
    const struct model *model = flat->model;
    uint32_t width = model->leaf_width, stride = flat_row_stride(width);
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

bool flat_make_vote_tables(struct flat *flat, struct arena *arena)
{
    size_t entries = (size_t)flat->model->info.tree_count + 1;
    uint8_t *percent = arena_alloc(arena, entries, sizeof(*percent));
    float *probability = arena_alloc(arena, entries, sizeof(*probability));

    if (!percent || !probability)
        return false;
    for (size_t votes = 0; votes < entries; votes++) {
        double p = (double)votes / flat->model->divisor;

        percent[votes] = forest_percent(p);
        probability[votes] = (float)p;
    }
    flat->percent = percent;
    flat->probability = probability;
    return true;
}

static int *find_pure(struct flat *flat, struct arena *scratch)
{
    const struct model *model = flat->model;
    int *pure = arena_alloc(scratch, TL_MAX(model->leaf_count, (uint64_t)1), sizeof(*pure));

    for (uint64_t r = 0; pure && model->output == OUTPUT_MEAN && r < model->leaf_count; r++)
        pure[r] = pure_class(model->leaf_values + r * model->leaf_width, model->leaf_width);
    if (pure && model->output == OUTPUT_MEAN)
        choose_landing(flat, pure);
    else
        flat->by_leaf = true;
    return pure;
}

/* ---- leaves by number ---- */

/* Numbers of leaves: of the different ones of each tree in the order of its nodes, or the model's.
 */
struct numbering {
    bool shared;
    uint32_t *tree;       /* per leaf of the model: the tree that it was last numbered for, + 1, */
    uint32_t *number;     /* and as what */
    uint32_t *leaf;       /* per number, tree after tree: the leaf */
    uint32_t count, most; /* numbers in all, and in the largest tree */
};

static bool numbering_alloc(struct numbering *numbering, const struct model *model,
                            struct arena *scratch)
{
    uint64_t leaves = TL_MAX(model->leaf_count, (uint64_t)1), nodes = model->info.node_count;

    numbering->shared = model->leaf_width > COPIED_WIDTH || model->lines;
    numbering->tree = arena_zalloc(scratch, leaves, sizeof(*numbering->tree));
    numbering->number = arena_alloc(scratch, leaves, sizeof(*numbering->number));
    numbering->leaf = arena_alloc(scratch, TL_MAX(leaves, nodes), sizeof(*numbering->leaf));
    if (!numbering->tree || !numbering->number || !numbering->leaf)
        return false;
    if (!numbering->shared)
        return true;
    for (uint32_t i = 0; i < model->leaf_count; i++)
        numbering->number[i] = numbering->leaf[i] = i;
    numbering->count = numbering->most = (uint32_t)model->leaf_count;
    return true;
}

static void number_leaves(struct numbering *numbering, const struct model *model, uint32_t tree,
                          struct flat_tree *to)
{
    to->first_leaf = numbering->shared ? 0 : numbering->count;
    if (numbering->shared)
        return;
    for (uint32_t i = model->tree_offsets[tree]; i < model->tree_offsets[tree + 1]; i++) {
        const struct model_node *node = &model->nodes[i];

        if (!is_leaf(node) || numbering->tree[node->right] == tree + 1)
            continue;
        numbering->tree[node->right] = tree + 1;
        numbering->number[node->right] = numbering->count - to->first_leaf;
        numbering->leaf[numbering->count++] = (uint32_t)node->right;
    }
    numbering->most = TL_MAX(numbering->most, numbering->count - to->first_leaf);
}

static uint32_t leaf_stride(uint32_t width, enum flat_number number)
{
    bool wide = number == NUMBER_DOUBLE;
    uint32_t line = wide ? 8 : 16;

    if (width == 1 || (wide && width == 2))
        return width;
    return width <= 4 ? 4 : width <= 8 ? 8 : (width + line - 1) / line * line;
}

static void copy_leaf(const struct flat_leaves *leaves, const double *from, uint32_t width,
                      void *values, size_t at)
{
    for (uint32_t c = 0; c < width; c++, at++)
        switch (leaves->number) {
        case NUMBER_DOUBLE:
            ((double *)values)[at] = from[c];
            break;
        case NUMBER_FLOAT:
            ((float *)values)[at] = (float)from[c];
            break;
        case NUMBER_FIXED:
            ((int32_t *)values)[at] = (int32_t)lrint(from[c] / leaves->unit);
            break;
        }
}

/* As fine as the sum over all trees, each at most 1, fits 30 bits. Each tree is half a unit off,
 * and the library's own additions round sums of at most T: T * T * 2^-53. */
static void choose_unit(struct flat_leaves *fixed, uint32_t trees)
{
    double count = trees;

    fixed->unit = 0x1p-30;
    while (fixed->unit * (1 << 30) < count)
        fixed->unit *= 2;
    fixed->slack = count * fixed->unit / 2 + count * count * 0x1p-53;
}

bool flat_has_fixed(const struct model *model)
{
    return model->output == OUTPUT_MEAN && model->leaf_width >= FIXED_WIDTH &&
           model->info.tree_count >= FIXED_TREES;
}

void flat_leaves_init(struct flat_leaves *leaves, const struct model *model, bool fixed,
                      uint32_t most)
{
    leaves->number = fixed                                    ? NUMBER_FIXED
                     : model->arithmetic == ARITHMETIC_DOUBLE ? NUMBER_DOUBLE
                                                              : NUMBER_FLOAT;
    leaves->stride = leaf_stride(model->leaf_width, leaves->number);
    leaves->most = most;
    leaves->id_bytes = most <= 1U << 8 ? 1 : most <= 1U << 16 ? 2 : 4;
    if (fixed)
        choose_unit(leaves, model->info.tree_count);
}

static bool fill_leaves(struct flat_leaves *leaves, const struct model *model,
                        const struct numbering *numbering, struct arena *arena)
{
    size_t item = flat_number_bytes(leaves->number);
    uint32_t width = model->leaf_width, few = FLAT_FEW_LEAVES;

    leaves->rows = (size_t)numbering->count + (numbering->shared ? few : TL_MAX(few, leaves->most));
    void *values = arena_zalloc(arena, leaves->rows, leaves->stride * item);
    for (size_t i = 0; values && i < numbering->count; i++)
        copy_leaf(leaves, model->leaf_values + (size_t)numbering->leaf[i] * width, width, values,
                  i * leaves->stride);
    leaves->values = values;
    return values;
}

static bool make_leaves(struct flat *flat, const struct numbering *numbering, struct arena *arena)
{
    const struct model *model = flat->model;

    flat_leaves_init(&flat->leaves, model, false, numbering->most);
    if (!fill_leaves(&flat->leaves, model, numbering, arena))
        return false;
    if (!flat_has_fixed(model))
        return true;
    flat_leaves_init(&flat->fixed, model, true, numbering->most);
    return fill_leaves(&flat->fixed, model, numbering, arena);
}

/* ---- nodes ---- */

struct compiler {
    struct flat *flat;
    const struct plane_map *map;
    const int *pure;
    struct numbering leaves; /* flat.by_leaf */
    uint32_t *numbers;       /* of the inner nodes of the tree at hand */
};

/* What a child that is a leaf becomes. */
static uint32_t land(const struct compiler *c, int32_t leaf, uint8_t *ret_kind)
{
    if (c->flat->by_leaf)
        *ret_kind = KIND_LEAF;
    else if (c->pure[leaf] < 0)
        *ret_kind = KIND_ROW;
    else
        *ret_kind = c->pure[leaf] == (int)c->flat->base_class ? KIND_BASE : KIND_VOTE;
    return *ret_kind == KIND_LEAF   ? c->leaves.number[leaf]
           : *ret_kind == KIND_VOTE ? (uint32_t)c->pure[leaf]
                                    : (uint32_t)leaf;
}

static uint32_t child(const struct compiler *c, const struct model_node *tree, int32_t at,
                      uint8_t *ret_kind)
{
    if (is_leaf(&tree[at]))
        return land(c, tree[at].right, ret_kind);
    *ret_kind = KIND_NODE;
    return c->numbers[at];
}

/* Where `from` cuts its plane. */
static union flat_cut cut_of(const struct flat *flat, uint32_t plane, const struct model_node *from)
{
    float threshold = threshold_of(from);
    union flat_cut cut = {.threshold = threshold};

    if (flat->rankers)
        cut.rank = rank_of(&flat->rankers[plane], threshold);
    return cut;
}

static void compile_node(const struct compiler *c, const struct model_node *tree,
                         const struct model_node *from, struct flat_node *to)
{
    to->plane = (uint16_t)plane_of(c->flat, c->map, from);
    to->cut = cut_of(c->flat, to->plane, from);
    to->left = child(c, tree, from->left, &to->left_kind);
    to->right = child(c, tree, from->right, &to->right_kind);
}

/* Tree `t` of the model. */
static void compile_tree(struct compiler *c, uint32_t t, struct flat_tree *to)
{
    const struct model *model = c->flat->model;
    const struct model_node *tree = model->nodes + model->tree_offsets[t];
    uint32_t count = model->tree_offsets[t + 1] - model->tree_offsets[t];

    if (c->flat->by_leaf)
        number_leaves(&c->leaves, model, t, to);
    for (uint32_t i = 0; i < count; i++)
        if (!is_leaf(&tree[i]))
            c->numbers[i] = c->flat->node_count++;
    for (uint32_t i = 0; i < count; i++)
        if (!is_leaf(&tree[i]))
            compile_node(c, tree, &tree[i], &c->flat->nodes[c->numbers[i]]);
    to->root = child(c, tree, 0, &to->root_kind);
}

/* The trees of a score one after the other: their leaves are added together. */
static void compile_trees(struct compiler *c)
{
    const struct model *model = c->flat->model;
    uint32_t begin[MODEL_MAX_CLASSES + 1] = {0};

    for (uint32_t t = 0; t < model->info.tree_count; t++)
        begin[model_tree_score(model, t) + 1]++;
    for (uint32_t s = 0; s < MODEL_MAX_CLASSES; s++)
        begin[s + 1] += begin[s];
    for (uint32_t t = 0; t < model->info.tree_count; t++) {
        uint32_t score = model_tree_score(model, t);
        struct flat_tree *to = &c->flat->trees[begin[score]++];

        to->score = (uint16_t)score;
        compile_tree(c, t, to);
    }
}

static bool compile_nodes(struct flat *flat, const struct plane_map *map, struct arena *arena,
                          struct arena *scratch)
{
    const struct model *model = flat->model;
    struct compiler c = {.flat = flat, .map = map, .pure = find_pure(flat, scratch)};
    uint64_t inner = 0;
    uint32_t largest = 0;

    for (uint64_t i = 0; i < model->info.node_count; i++)
        inner += !is_leaf(&model->nodes[i]);
    for (uint32_t t = 0; t < model->info.tree_count; t++)
        largest = TL_MAX(largest, model->tree_offsets[t + 1] - model->tree_offsets[t]);
    c.numbers = arena_alloc(scratch, largest, sizeof(*c.numbers));
    flat->trees = arena_zalloc(arena, model->info.tree_count, sizeof(*flat->trees));
    flat->nodes = arena_zalloc(arena, TL_MAX(inner, (uint64_t)1), sizeof(*flat->nodes));
    if (!c.pure || !c.numbers || !flat->trees || !flat->nodes ||
        (flat->by_leaf && !numbering_alloc(&c.leaves, model, scratch)))
        return false;
    compile_trees(&c);
    flat->max_depth = model->info.max_depth;
    if (flat->by_leaf)
        return make_leaves(flat, &c.leaves, arena);
    return (!flat->has_rows || make_rows(flat, arena)) && flat_make_vote_tables(flat, arena);
}

/* ---- guide ---- */

static void fill_guide_slot(struct flat *flat, const struct plane_map *map, uint32_t tree,
                            size_t slot, const struct model_node *node)
{
    bool split = node && !is_leaf(node);
    int32_t plane = split ? (int32_t)plane_of(flat, map, node) : -1;

    flat->guide.slot[tree][slot].plane = plane;
    if (split)
        flat->guide.slot[tree][slot].cut = cut_of(flat, (uint32_t)plane, node);
}

static void make_guide(struct flat *flat, const struct plane_map *map)
{
    const struct model *model = flat->model;

    flat->guide.tree_count = TL_MIN(model->info.tree_count, (uint32_t)GUIDE_TREES);
    for (uint32_t t = 0; t < flat->guide.tree_count; t++) {
        const struct model_node *tree = model->nodes + model->tree_offsets[t];
        int32_t at[2 * GUIDE_SLOTS] = {-1, 0};

        for (size_t slot = 1; slot < GUIDE_SLOTS; slot++) {
            bool split = at[slot] >= 0 && !is_leaf(&tree[at[slot]]);

            at[2 * slot] = split ? tree[at[slot]].left : -1;
            at[2 * slot + 1] = split ? tree[at[slot]].right : -1;
            fill_guide_slot(flat, map, t, slot, at[slot] < 0 ? NULL : &tree[at[slot]]);
        }
    }
}

/* ---- the whole ---- */

enum tl_code flat_compile(const struct model *model, struct arena *arena, struct flat *ret_flat,
                          struct tl_err *err)
{
    struct flat flat = {.model = model};
    AUTO(arena) scratch = arena_new();
    struct plane_map map = {0};
    struct gathered all;

    if (scratch)
        map.ids =
            arena_zalloc(scratch, (size_t)model->info.feature_count * RULES, sizeof(*map.ids));
    bool listed = map.ids && find_sets(&flat, &map, scratch);
    if (map.use_count > FLAT_MAX_SETS)
        return tl_fail(err, TL_LIMIT,
                       "its splits tell categories apart in %u different ways, at most %d; train "
                       "with fewer categories, or encode them as numbers",
                       map.use_count, FLAT_MAX_SETS);
    if (!listed || !make_planes(&flat, &map, arena) || !gather(&flat, &map, scratch, &all) ||
        !alloc_keys(&flat, &all, scratch) || !make_rankers(&flat, &all, arena) ||
        !compile_nodes(&flat, &map, arena, scratch) ||
        !oblivious_compile(&flat, arena, &flat.oblivious) ||
        !shallow_compile(&flat, arena, &flat.shallow))
        return tl_fail(err, TL_NOMEM, "no memory to compile %ju nodes",
                       (uintmax_t)model->info.node_count);
    make_guide(&flat, &map);
    *ret_flat = flat;
    return TL_OK;
}
