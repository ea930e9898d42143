#include "forest/oblivious.h"

#include "base/arena.h"
#include "base/check.h"
#include "model/model.h"

#include <string.h>

/* Leaves of the trees to leaves of the model, which a file may have trees share. */
enum { OBLIVIOUS_SHARED = 4 };

static bool is_leaf(uint8_t kind)
{
    return kind != KIND_NODE;
}

static bool same_question(const struct flat_node *a, const struct flat_node *b)
{
    return a->plane == b->plane && a->cut.rank == b->cut.rank; /* or the threshold's bits */
}

/* Levels from here down along the left side. */
static uint32_t depth_of(const struct flat *flat, const struct flat_tree *tree)
{
    uint32_t depth = 0, at = tree->root;

    for (uint8_t kind = tree->root_kind; !is_leaf(kind); depth++) {
        kind = flat->nodes[at].left_kind;
        at = flat->nodes[at].left;
    }
    return depth;
}

/* Whether every node below asks what its level asks, and all leaves are `depth` levels down.
 * As deep as OBLIVIOUS_MAX_DEPTH. */
static bool asks_alike(const struct flat *flat, uint32_t at, const struct flat_node *const *levels,
                       uint32_t depth)
{
    const struct flat_node *node = &flat->nodes[at];
    bool last = depth == 1;

    if (!same_question(node, levels[0]) || is_leaf(node->left_kind) != last ||
        is_leaf(node->right_kind) != last)
        return false;
    return last || (asks_alike(flat, node->left, levels + 1, depth - 1) &&
                    asks_alike(flat, node->right, levels + 1, depth - 1));
}

static bool is_oblivious(const struct flat *flat, const struct flat_tree *tree)
{
    const struct flat_node *levels[OBLIVIOUS_MAX_DEPTH];
    uint32_t depth = depth_of(flat, tree), at = tree->root;

    if (depth > OBLIVIOUS_MAX_DEPTH)
        return false;
    for (uint32_t level = 0; level < depth; level++) {
        levels[level] = &flat->nodes[at];
        at = flat->nodes[at].left;
    }
    return depth == 0 || asks_alike(flat, tree->root, levels, depth);
}

/* Each tree gets rows of its own: not where a file has its leaves share them, which is small for
 * what it would become. */
static bool all_oblivious(const struct flat *flat)
{
    const struct model *model = flat->model;
    uint64_t rows = 0;

    if (model->output == OUTPUT_MEAN || model->arithmetic != ARITHMETIC_DOUBLE || model->lines ||
        model->leaf_width != model->score_count)
        return false;
    for (uint32_t t = 0; t < model->info.tree_count; t++) {
        if (!is_oblivious(flat, &flat->trees[t]))
            return false;
        rows += UINT64_C(1) << depth_of(flat, &flat->trees[t]);
    }
    return rows <= OBLIVIOUS_SHARED * (model->leaf_count + 1);
}

/* The tree's leaf for the answers that `number` holds. */
static uint32_t leaf_of(const struct flat *flat, const struct flat_tree *tree, uint32_t number)
{
    uint32_t at = tree->root;
    uint8_t kind = tree->root_kind;

    for (; !is_leaf(kind); number >>= 1) {
        const struct flat_node *node = &flat->nodes[at];
        bool left = number & 1;

        at = left ? node->left : node->right;
        kind = left ? node->left_kind : node->right_kind;
    }
    return at;
}

/* Leaf `at` of the group. */
static void fill_row(const struct oblivious_group *group, uint32_t width, uint32_t at,
                     const double *from)
{
    for (uint32_t first = 0; first < width; first += OBLIVIOUS_PART) {
        uint32_t left = width - first;
        double *part = group->rows + (size_t)first * group->leaf_count;

        memcpy(part + (size_t)at * oblivious_stride(left), from + first,
               TL_MIN(left, (uint32_t)OBLIVIOUS_PART) * sizeof(*from));
    }
}

static void fill_rows(const struct flat *flat, const struct flat_tree *from,
                      const struct oblivious_group *group, const struct oblivious_tree *tree)
{
    uint32_t first = tree->first_place / (uint32_t)sizeof(double);

    for (uint32_t number = 0; number < 1U << tree->depth; number++) {
        size_t leaf = from->first_leaf + leaf_of(flat, from, number);

        fill_row(group, flat->model->leaf_width, first + number,
                 (const double *)flat->leaves.values + leaf * flat->leaves.stride);
    }
}

static bool make_levels(const struct flat *flat, const struct flat_tree *from, struct arena *arena,
                        struct oblivious_tree *to)
{
    struct oblivious_level *levels = arena_alloc(arena, to->depth + 1, sizeof(*levels));
    uint32_t at = from->root;

    for (uint32_t level = 0; levels && level < to->depth; level++) {
        levels[level] = (struct oblivious_level){flat->nodes[at].cut, flat->nodes[at].plane};
        at = flat->nodes[at].left;
    }
    to->levels = levels;
    return levels != NULL;
}

/* Of the trees from `first` on. */
static bool make_group(const struct flat *flat, uint32_t first, struct arena *arena,
                       struct oblivious_group *group)
{
    uint32_t count = TL_MIN(flat->model->info.tree_count - first, (uint32_t)OBLIVIOUS_TREES);
    uint32_t width = flat->model->leaf_width;

    for (uint32_t t = 0; t < OBLIVIOUS_TREES; t++) {
        struct oblivious_tree *tree = &group->trees[t];

        tree->depth = t < count ? depth_of(flat, &flat->trees[first + t]) : 0;
        tree->first_place = group->leaf_count * (uint32_t)sizeof(double);
        group->leaf_count += 1U << tree->depth;
    }
    /* Zeros stay where a group is filled up: a sum began at 0 and so is never -0, and 0 added to
     * it changes no bit. */
    group->rows =
        arena_zalloc(arena, (size_t)oblivious_room(width) * group->leaf_count, sizeof(double));
    for (uint32_t t = 0; group->rows && t < count; t++) {
        struct oblivious_tree *tree = &group->trees[t];

        if (!make_levels(flat, &flat->trees[first + t], arena, tree))
            return false;
        fill_rows(flat, &flat->trees[first + t], group, tree);
    }
    return group->rows != NULL;
}

bool oblivious_compile(const struct flat *flat, struct arena *arena, const struct oblivious **ret)
{
    uint32_t count = flat->model->info.tree_count;
    struct oblivious *forest;

    *ret = NULL;
    if (!all_oblivious(flat))
        return true;
    forest = arena_zalloc(arena, 1, sizeof(*forest));
    if (!forest)
        return false;
    forest->width = flat->model->leaf_width;
    forest->group_count = (count + OBLIVIOUS_TREES - 1) / OBLIVIOUS_TREES;
    forest->groups = arena_zalloc(arena, forest->group_count, sizeof(*forest->groups));
    for (uint32_t g = 0; forest->groups && g < forest->group_count; g++)
        if (!make_group(flat, g * OBLIVIOUS_TREES, arena, &forest->groups[g]))
            return false;
    *ret = forest;
    return forest->groups != NULL;
}
