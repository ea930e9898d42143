/*
 * One tree over one block, for planes of type VALUE. Included by kernel.h once per
 * type, with VALUE, VALUE_LE (the comparison), VALUE_CUT (the node's member) and SWEEP().
 */

#ifdef SPLIT_LISTS
/*
 * Splits a list in two passes: compare (and land) packet by packet, then move the entries
 * of each side many at a time. The right side first: the left is written over the list.
 */
ALWAYS_INLINE void SWEEP(cut)(struct sweep *sweep, const struct flat_node *node,
                              struct cut_list *list, enum flat_kind left, enum flat_kind right)
{
    const VALUE *x = (const VALUE *)sweep->values + (size_t)node->plane * sweep->room;
    const VALUE cut = (VALUE)node->cut.VALUE_CUT;
    const uint64_t *mask = sweep->mask + list->first;
    const uint32_t *id = sweep->id + list->first;
    uint64_t *below = sweep->below;

    for (uint32_t i = 0, count = list->count; i < count; i++) {
        below[i] = VALUE_LE(x + (size_t)id[i] * PACKET_PX, cut);
        if (left != KIND_NODE)
            land_on(sweep, left, node->left, id[i], mask[i] & below[i]);
        if (right != KIND_NODE)
            land_on(sweep, right, node->right, id[i], mask[i] & ~below[i]);
    }
    struct entries all = {sweep->mask + list->first, sweep->id + list->first, below, list->count};
    list->right = list->left = 0;
    if (right == KIND_NODE)
        list->right = keep_side(&all, UINT64_MAX, sweep->mask + list->top, sweep->id + list->top);
    if (left == KIND_NODE)
        list->left = keep_side(&all, 0, all.mask, all.id);
}
#else
/*
 * Splits a list. The left side is written over the list itself, the right side at `top`;
 * an entry is written always and kept only when it is not empty, so nothing branches on
 * pixels. `left` and `right` are constants where this is inlined.
 */
ALWAYS_INLINE void SWEEP(cut)(struct sweep *sweep, const struct flat_node *node,
                              struct cut_list *list, enum flat_kind left, enum flat_kind right)
{
    const VALUE *x = (const VALUE *)sweep->values + (size_t)node->plane * sweep->room;
    const VALUE cut = (VALUE)node->cut.VALUE_CUT;
    uint64_t *mask = sweep->mask + list->first, *right_mask = sweep->mask + list->top;
    uint32_t *id = sweep->id + list->first, *right_id = sweep->id + list->top;
    uint32_t lefts = 0, rights = 0;

    for (uint32_t i = 0, count = list->count; i < count; i++) {
        uint32_t packet = id[i];
        uint64_t below = VALUE_LE(x + (size_t)packet * PACKET_PX, cut);
        uint64_t left_bits = mask[i] & below, right_bits = mask[i] & ~below;

        if (left == KIND_NODE) {
            mask[lefts] = left_bits;
            id[lefts] = packet;
            lefts += left_bits != 0;
        } else {
            land_on(sweep, left, node->left, packet, left_bits);
        }
        if (right == KIND_NODE) {
            right_mask[rights] = right_bits;
            right_id[rights] = packet;
            rights += right_bits != 0;
        } else {
            land_on(sweep, right, node->right, packet, right_bits);
        }
    }
    list->left = lefts;
    list->right = rights;
}
#endif

/* One loop per pair of kinds, so that what a side is costs nothing per packet. */
static void SWEEP(cut_any)(struct sweep *sweep, const struct flat_node *node, struct cut_list *list)
{
#define PAIR(l, r)                           \
    case (l)*KIND_COUNT + (r):               \
        SWEEP(cut)(sweep, node, list, l, r); \
        return;
    switch (node->left_kind * KIND_COUNT + node->right_kind) {
        PAIR(KIND_NODE, KIND_NODE)
        PAIR(KIND_NODE, KIND_BASE)
        PAIR(KIND_NODE, KIND_VOTE)
        PAIR(KIND_NODE, KIND_ROW)
        PAIR(KIND_NODE, KIND_LEAF)
        PAIR(KIND_BASE, KIND_NODE)
        PAIR(KIND_BASE, KIND_VOTE)
        PAIR(KIND_BASE, KIND_ROW)
        PAIR(KIND_VOTE, KIND_NODE)
        PAIR(KIND_VOTE, KIND_BASE)
        PAIR(KIND_VOTE, KIND_VOTE)
        PAIR(KIND_VOTE, KIND_ROW)
        PAIR(KIND_ROW, KIND_NODE)
        PAIR(KIND_ROW, KIND_BASE)
        PAIR(KIND_ROW, KIND_VOTE)
        PAIR(KIND_ROW, KIND_ROW)
        PAIR(KIND_LEAF, KIND_NODE)
        PAIR(KIND_LEAF, KIND_LEAF)
    default: /* two leaves of the base class: nothing to count */
        list->left = list->right = 0;
    }
#undef PAIR
}

/* A node that all pixels of the block leave by the same side is passed without a look at
 * them. */
ALWAYS_INLINE const struct flat_node *SWEEP(pass)(const struct sweep *sweep,
                                                  const struct flat_node *node)
{
    const VALUE *low = sweep->low, *high = sweep->high;

    for (;;) {
        VALUE cut = (VALUE)node->cut.VALUE_CUT;

        if (node->left_kind == KIND_NODE && high[node->plane] <= cut)
            node = sweep->flat->nodes + node->left;
        else if (node->right_kind == KIND_NODE && low[node->plane] > cut)
            node = sweep->flat->nodes + node->right;
        else
            return node;
    }
}

static void SWEEP(sweep_tree)(struct sweep *sweep, const struct flat_tree *tree)
{
    const struct flat_node *nodes = sweep->flat->nodes;
    struct sweep_pending *pending = sweep->pending;
    struct cut_list list = {
        .first = 0, .count = sweep->packets, .top = sweep->packets + LIST_SLACK};
    uint32_t at = tree->root;

    if (tree->root_kind != KIND_NODE) {
        land_all(sweep, tree);
        return;
    }
    for (uint32_t p = 0; p < sweep->packets; p++) {
        sweep->mask[p] = UINT64_MAX;
        sweep->id[p] = p;
    }
    for (;;) {
        const struct flat_node *node = SWEEP(pass)(sweep, nodes + at);

        SWEEP(cut_any)(sweep, node, &list);
        if (list.right)
            *pending++ = (struct sweep_pending){list.top, list.right, node->right};
        if (list.left) {
            list.top += list.right + LIST_SLACK;
            list.count = list.left;
            at = node->left;
            continue;
        }
        if (pending == sweep->pending)
            return;
        pending--;
        list = (struct cut_list){.first = pending->first,
                                 .count = pending->count,
                                 .top = pending->first + pending->count + LIST_SLACK};
        at = pending->node;
    }
}

#undef VALUE
#undef VALUE_LE
#undef VALUE_CUT
#undef SWEEP
