#include "forest/shallow.h"

#include "base/arena.h"
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

/* Leaves of the full trees to leaves of the model: what gaps, and leaves that trees share, may
 * cost. */
enum { SHALLOW_SPARE = 4 };

/* What becomes of the trees of a flat form, one group after the other. */
struct shaping {
    const struct flat *flat;
    struct shallow *to;
    struct flat_tree *trees;
    uint8_t *depths;
    uint32_t leaf_count;
    /* A place for each threshold of each plane; plane p's begin at first[p]. Those of the group at
     * hand have its number + 1 in `marks`. */
    size_t *first;
    uint32_t *marks;
    uint16_t *place;
    struct shallow_test *tests; /* SHALLOW_TESTS, and how many the group at hand has */
    uint32_t test_count;
};

/* A child of a split, or a root. */
struct spot {
    uint32_t at;
    uint8_t kind;
};

static struct spot root_of(const struct flat_tree *tree)
{
    return (struct spot){tree->root, tree->root_kind};
}

static struct spot child_of(const struct flat *flat, struct spot spot, bool left)
{
    const struct flat_node *node = &flat->nodes[spot.at];

    return left ? (struct spot){node->left, node->left_kind}
                : (struct spot){node->right, node->right_kind};
}

/* Splits on the longest path, or `most` + 1 where there are more than that. */
static uint32_t depth_of(const struct flat *flat, struct spot spot, uint32_t most)
{
    if (spot.kind != KIND_NODE || most == 0)
        return spot.kind == KIND_NODE;
    uint32_t left = depth_of(flat, child_of(flat, spot, true), most - 1);
    uint32_t right = depth_of(flat, child_of(flat, spot, false), most - 1);
    return 1 + TL_MAX(left, right);
}

static bool all_shallow(const struct flat *flat, uint8_t *ret_depths, uint32_t *ret_leaves)
{
    uint64_t most = SHALLOW_SPARE * (flat->model->leaf_count + 1), leaves = 0;

    for (uint32_t t = 0; t < flat->model->info.tree_count; t++) {
        uint32_t depth = depth_of(flat, root_of(&flat->trees[t]), SHALLOW_DEPTH);

        leaves += UINT64_C(1) << depth;
        if (depth > SHALLOW_DEPTH || leaves > TL_MIN(most, (uint64_t)UINT32_MAX))
            return false;
        ret_depths[t] = (uint8_t)depth;
    }
    *ret_leaves = (uint32_t)leaves;
    return true;
}

/* ---- leaves ---- */

/* The leaf that the answers in `number` lead to. */
static uint32_t leaf_of(const struct flat *flat, const struct flat_tree *tree, uint32_t number)
{
    struct spot spot = root_of(tree);

    for (; spot.kind == KIND_NODE; number >>= 1)
        spot = child_of(flat, spot, number & 1);
    return spot.at;
}

/* The same leaves with other numbers. */
static bool copy_leaves(const struct shaping *s, const struct flat_leaves *from,
                        struct arena *arena, struct flat_leaves *to)
{
    size_t bytes = from->stride * (from->number == NUMBER_DOUBLE ? sizeof(double) : sizeof(float));
    char *values = arena_zalloc(arena, (size_t)s->leaf_count + FLAT_FEW_LEAVES, bytes);
    uint32_t at = 0;

    *to = *from;
    to->most = to->id_bytes = 1;
    to->values = values;
    for (uint32_t t = 0; values && t < s->flat->model->info.tree_count; t++) {
        const struct flat_tree *tree = &s->flat->trees[t];
        uint32_t count = 1U << s->depths[t];

        s->trees[t] = (struct flat_tree){.score = tree->score, .first_leaf = at};
        to->most = TL_MAX(to->most, count);
        for (uint32_t number = 0; number < count; number++, at++) {
            size_t leaf = tree->first_leaf + leaf_of(s->flat, tree, number);

            memcpy(values + at * bytes, (const char *)from->values + leaf * bytes, bytes);
        }
    }
    return values;
}

/* ---- questions ---- */

static size_t threshold_of(const struct shaping *s, const struct flat_node *node)
{
    return s->first[node->plane] + node->cut.rank;
}

/* Adds the questions from `spot` down to those of group `mark`. */
static void list_tests(struct shaping *s, struct spot spot, uint32_t mark)
{
    const struct flat_node *node = &s->flat->nodes[spot.at];

    if (spot.kind != KIND_NODE)
        return;
    if (s->marks[threshold_of(s, node)] != mark)
        s->tests[s->test_count++] = (struct shallow_test){node->plane, (uint16_t)node->cut.rank};
    s->marks[threshold_of(s, node)] = mark;
    list_tests(s, child_of(s->flat, spot, true), mark);
    list_tests(s, child_of(s->flat, spot, false), mark);
}

static int compare_tests(const void *a, const void *b)
{
    const struct shallow_test *x = a, *y = b;

    if (x->plane != y->plane)
        return (x->plane > y->plane) - (x->plane < y->plane);
    return (x->cut > y->cut) - (x->cut < y->cut);
}

/* A tree's questions at `to`, level by level. */
struct level_order {
    const struct shaping *s;
    uint16_t *to;
    uint32_t depth;
};

/* Question `i` of a level; `place` is that of the level above. */
static void fill_places(const struct level_order *order, struct spot spot, uint32_t level,
                        uint32_t i, uint16_t place)
{
    const struct flat *flat = order->s->flat;
    bool split = spot.kind == KIND_NODE;

    if (level == order->depth)
        return;
    if (split)
        place = order->s->place[threshold_of(order->s, &flat->nodes[spot.at])];
    order->to[(1U << level) - 1 + i] = place;
    fill_places(order, split ? child_of(flat, spot, false) : spot, level + 1, 2 * i, place);
    fill_places(order, split ? child_of(flat, spot, true) : spot, level + 1, 2 * i + 1, place);
}

/* Group number `mark` - 1: the trees from `first` on, as many as it has room for. */
static bool make_group(struct shaping *s, uint32_t first, uint32_t mark, struct arena *arena,
                       struct shallow_group *group)
{
    const struct flat_tree *trees = s->flat->trees + first;
    uint32_t left = s->flat->model->info.tree_count - first;
    size_t room = 0, at = 0;

    s->test_count = 0;
    while (group->tree_count < left) {
        uint32_t splits = (1U << s->depths[first + group->tree_count]) - 1;

        if (s->test_count + splits > SHALLOW_TESTS)
            break;
        list_tests(s, root_of(&trees[group->tree_count++]), mark);
        room += splits;
    }
    qsort(s->tests, s->test_count, sizeof(*s->tests), compare_tests);
    for (uint32_t t = 0; t < s->test_count; t++)
        s->place[s->first[s->tests[t].plane] + s->tests[t].cut] = (uint16_t)(t * SHALLOW_SLICE);
    struct shallow_test *tests = arena_alloc(arena, s->test_count + 1, sizeof(*tests));
    uint16_t *places = arena_alloc(arena, room + 1, sizeof(*places));
    if (!tests || !places)
        return false;
    memcpy(tests, s->tests, s->test_count * sizeof(*tests));
    for (uint32_t t = 0; t < group->tree_count; at += (1U << s->depths[first + t++]) - 1)
        fill_places(&(struct level_order){s, places + at, s->depths[first + t]}, root_of(&trees[t]),
                    0, 0, 0);
    group->test_count = s->test_count;
    group->tests = tests;
    group->places = places;
    return true;
}

/* A group that is full has SHALLOW_TESTS questions, or would with one tree more. */
static bool make_groups(struct shaping *s, struct arena *arena)
{
    uint32_t least = SHALLOW_TESTS - (1 << SHALLOW_DEPTH), count = s->flat->model->info.tree_count;
    struct shallow_group *groups = arena_zalloc(arena, s->leaf_count / least + 1, sizeof(*groups));

    for (uint32_t first = 0; groups && first < count;) {
        struct shallow_group *group = &groups[s->to->group_count++];

        if (!make_group(s, first, s->to->group_count, arena, group))
            return false;
        s->to->most_tests = TL_MAX(s->to->most_tests, group->test_count);
        s->to->test_count += group->test_count;
        first += group->tree_count;
    }
    s->to->groups = groups;
    return groups;
}

/* ---- the whole ---- */

static bool alloc_shaping(struct shaping *s, struct arena *scratch)
{
    const struct flat *flat = s->flat;
    size_t thresholds = 0;

    s->first = arena_alloc(scratch, flat->plane_count + 1, sizeof(*s->first));
    for (uint32_t p = 0; s->first && p < flat->plane_count; p++) {
        s->first[p] = thresholds;
        thresholds += flat->rankers[p].count;
    }
    s->marks = arena_zalloc(scratch, thresholds + 1, sizeof(*s->marks));
    s->place = arena_alloc(scratch, thresholds + 1, sizeof(*s->place));
    s->tests = arena_alloc(scratch, SHALLOW_TESTS, sizeof(*s->tests));
    return s->first && s->marks && s->place && s->tests;
}

bool shallow_compile(const struct flat *flat, struct arena *arena, const struct shallow **ret)
{
    size_t trees = flat->model->info.tree_count;
    AUTO(arena) scratch = arena_new();
    struct shaping s = {.flat = flat};

    *ret = NULL;
    if (!flat->by_leaf || flat->oblivious || flat->type == FLAT_F32 || flat->model->lines)
        return true;
    s.to = scratch ? arena_zalloc(arena, 1, sizeof(*s.to)) : NULL;
    s.depths = s.to ? arena_alloc(arena, trees, sizeof(*s.depths)) : NULL;
    if (!s.depths)
        return false;
    if (!all_shallow(flat, s.depths, &s.leaf_count))
        return true;
    s.trees = arena_zalloc(arena, trees, sizeof(*s.trees));
    if (!s.trees || !alloc_shaping(&s, scratch) ||
        !copy_leaves(&s, &flat->leaves, arena, &s.to->leaves) ||
        (flat->fixed.values && !copy_leaves(&s, &flat->fixed, arena, &s.to->fixed)) ||
        !make_groups(&s, arena))
        return false;
    s.to->trees = s.trees;
    s.to->depths = s.depths;
    *ret = s.to;
    return true;
}

/*
 * Per split and 512 pixels the sweep takes 13 cycles with AVX-512, 22 with AVX2 and 35 with SSE2 on
 * a smooth tile; a selection 3, 9 and 14; the answers to a question 7, 18 and 30, twice that where
 * ranks are two bytes. Plain C compares pixel by pixel and has no such kernel.
 */
bool shallow_pays(const struct flat *flat, enum cpu_isa isa)
{
    uint64_t price = (isa == ISA_AVX512 ? 1 : 2) * (flat->type == FLAT_U8 ? 1 : 2);

    return flat->shallow && flat->shallow->test_count * price <= flat->node_count;
}
