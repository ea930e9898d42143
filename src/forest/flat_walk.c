#include "forest/flat_walk.h"

#include "forest/flat.h"
#include "forest/walk.h"

#include <string.h>

/* A leaf that a pixel has come to, as flat_node has it. */
struct landed {
    const struct flat_tree *tree;
    uint32_t leaf;
    uint8_t kind;
};

/* The pixel in every plane, as cuts compare it. */
static void fill_values(const struct flat *flat, const struct walk_place *pixel,
                        union flat_cut *ret_values)
{
    for (uint32_t p = 0; p < flat->plane_count; p++) {
        float x = pixel->planes[flat->planes[p].feature][pixel->at];
        uint16_t rank;

        flat_apply_rule(&flat->planes[p], &x, 1);
        ret_values[p].threshold = x;
        if (flat->type == FLAT_F32)
            continue;
        flat_rank(&flat->rankers[p], &x, 1, &rank);
        ret_values[p].rank = rank;
    }
}

static struct landed land(const struct flat *flat, const struct flat_tree *tree,
                          const union flat_cut *values)
{
    struct landed at = {tree, tree->root, tree->root_kind};

    while (at.kind == KIND_NODE) {
        const struct flat_node *node = &flat->nodes[at.leaf];
        const union flat_cut *value = &values[node->plane];
        bool left = flat->type == FLAT_F32 ? value->threshold <= node->cut.threshold
                                           : value->rank <= node->cut.rank;

        at.leaf = left ? node->left : node->right;
        at.kind = left ? node->left_kind : node->right_kind;
    }
    return at;
}

/* The leaf's leaf_width numbers. */
static void leaf_numbers(const struct flat *flat, const struct landed *at, double *ret_numbers)
{
    const struct model *model = flat->model;
    size_t from = ((size_t)at->tree->first_leaf + at->leaf) * flat->leaves.stride;

    if (at->kind == KIND_LEAF) {
        for (uint32_t c = 0; c < model->leaf_width; c++)
            ret_numbers[c] = flat->leaves.number == NUMBER_DOUBLE
                                 ? ((const double *)flat->leaves.values)[from + c]
                                 : (double)((const float *)flat->leaves.values)[from + c];
        return;
    }
    if (at->kind == KIND_ROW) {
        memcpy(ret_numbers, model->leaf_values + (size_t)at->leaf * model->leaf_width,
               model->leaf_width * sizeof(*ret_numbers));
        return;
    }
    memset(ret_numbers, 0, model->leaf_width * sizeof(*ret_numbers));
    ret_numbers[at->kind == KIND_BASE ? flat->base_class : at->leaf] = 1;
}

static void add_trees(const struct flat *flat, const struct walk_place *pixel,
                      const union flat_cut *values, double *sums)
{
    const struct model *model = flat->model;
    double numbers[MODEL_MAX_CLASSES];

    walk_start(model, sums);
    for (uint32_t t = 0; t < model->info.tree_count; t++) {
        const struct landed at = land(flat, &flat->trees[t], values);

        if (model->lines) {
            sums[at.tree->score] += walk_line(model, at.leaf, pixel->planes, pixel->at);
            continue;
        }
        leaf_numbers(flat, &at, numbers);
        walk_add(model, numbers, sums + at.tree->score);
    }
}

void flat_walk_sums(const struct flat *flat, const struct walk_place *pixel, union flat_cut *room,
                    double *ret_sums)
{
    fill_values(flat, pixel, room);
    add_trees(flat, pixel, room, ret_sums);
}

static void write_votes(const struct flat *flat, const struct walk_place *pixel,
                        const union flat_cut *values, const struct forest_output *output)
{
    uint32_t classes = flat->model->info.class_count;
    double numbers[MODEL_MAX_CLASSES];

    for (uint32_t c = 0; c < classes; c++)
        output->votes[c * pixel->count + pixel->to] = 0;
    for (uint32_t t = 0; t < flat->model->info.tree_count; t++) {
        const struct landed at = land(flat, &flat->trees[t], values);

        leaf_numbers(flat, &at, numbers);
        output->votes[walk_winner(numbers, classes) * pixel->count + pixel->to]++;
    }
}

void flat_walk_write(const struct flat *flat, const struct walk_place *pixel, union flat_cut *room,
                     const struct forest_output *output)
{
    double sums[MODEL_MAX_CLASSES];

    flat_walk_sums(flat, pixel, room, sums);
    walk_write_sums(flat->model, sums, pixel->to, pixel->count, output);
    if (output->votes)
        write_votes(flat, pixel, room, output);
}
