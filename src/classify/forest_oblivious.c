#include "classify/forest_oblivious.h"

#include "base/arena.h"
#include "base/check.h"
#include "classify/model_parsed.h"

#include <string.h>

static bool is_leaf(uint8_t kind)
{
    return kind != KIND_NODE;
}

static bool same_question(const struct flat_node *a, const struct flat_node *b)
{
    return a->plane == b->plane && memcmp(&a->cut, &b->cut, sizeof(a->cut)) == 0;
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

static bool all_oblivious(const struct flat *flat)
{
    const struct model *model = flat->model;

    if (model->output == OUTPUT_MEAN || model->arithmetic != ARITHMETIC_DOUBLE || model->lines ||
        model->leaf_width != model->score_count)
        return false;
    for (uint32_t t = 0; t < model->info.tree_count; t++)
        if (!is_oblivious(flat, &flat->trees[t]))
            return false;
    return true;
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

static void fill_row(double *rows, uint32_t width, uint32_t depth, uint32_t number,
                     const double *from)
{
    for (uint32_t first = 0; first < width; first += OBLIVIOUS_PANEL) {
        uint32_t left = width - first, stride = oblivious_stride(left);
        double *panel = rows + ((size_t)first << depth);

        memcpy(panel + (size_t)number * stride, from + first,
               TL_MIN(left, (uint32_t)OBLIVIOUS_PANEL) * sizeof(*from));
    }
}

static bool make_tree(const struct flat *flat, const struct flat_tree *from, struct arena *arena,
                      struct oblivious_tree *to)
{
    uint32_t depth = depth_of(flat, from), width = flat->model->leaf_width, at = from->root;
    struct oblivious_level *levels = arena_alloc(arena, depth + 1, sizeof(*levels));
    double *rows = arena_zalloc(arena, (size_t)oblivious_room(width) << depth, sizeof(*rows));

    if (!levels || !rows)
        return false;
    for (uint32_t level = 0; level < depth; level++) {
        levels[level] = (struct oblivious_level){flat->nodes[at].cut, flat->nodes[at].plane};
        at = flat->nodes[at].left;
    }
    for (uint32_t number = 0; number < 1U << depth; number++) {
        size_t leaf = from->first_leaf + leaf_of(flat, from, number);

        fill_row(rows, width, depth, number,
                 (const double *)flat->leaves.values + leaf * flat->leaves.stride);
    }
    *to = (struct oblivious_tree){depth, levels, rows};
    return true;
}

bool oblivious_compile(const struct flat *flat, struct arena *arena, const struct oblivious **ret)
{
    uint32_t count = flat->model->info.tree_count, width = flat->model->leaf_width;
    struct oblivious *forest;
    double *zeros;

    *ret = NULL;
    if (!all_oblivious(flat))
        return true;
    forest = arena_alloc(arena, 1, sizeof(*forest));
    zeros = arena_zalloc(arena, oblivious_room(width), sizeof(*zeros));
    if (!forest || !zeros)
        return false;
    forest->width = width;
    forest->tree_count = (count + OBLIVIOUS_TREES - 1) / OBLIVIOUS_TREES * OBLIVIOUS_TREES;
    forest->trees = arena_alloc(arena, forest->tree_count, sizeof(*forest->trees));
    for (uint32_t t = 0; forest->trees && t < count; t++)
        if (!make_tree(flat, &flat->trees[t], arena, &forest->trees[t]))
            return false;
    /* A sum is never -0, for it began at 0: zero added changes no bit of it. */
    for (uint32_t t = count; forest->trees && t < forest->tree_count; t++)
        forest->trees[t] = (struct oblivious_tree){.rows = zeros};
    *ret = forest;
    return forest->trees != NULL;
}
