#include "forest/flat_file.h"

#include "base/arena.h"
#include "base/buf.h"
#include "forest/flat_private.h"
#include "forest/oblivious.h"
#include "forest/shallow.h"
#include "model/section.h"

#include <stdio.h>
#include <string.h>

static const char magic[8] = {'t', 'i', 'l', 't', 'h', 'f', 'l', 't'};
static const uint32_t byte_order = 0x01020304;

/* One part; offsets are from the section's first byte. 0: there is no such array. */
struct file_part {
    uint32_t type, by_leaf, has_rows, base_class;
    uint32_t plane_count, ranker_count; /* one per plane, or none; then one per set */
    uint32_t tree_count, node_count, max_depth;
    uint32_t most_leaves;   /* by_leaf: flat_leaves.most, */
    uint64_t leaf_rows;     /* .rows, */
    uint64_t leaves, fixed; /* and .values */
    uint64_t planes, rankers, trees, nodes;
    uint64_t rows, row_exact;
    struct flat_guide guide;
    uint32_t reserved;
};

struct file_plane {
    uint16_t feature;
    uint8_t missing, default_left;
    uint32_t set; /* MISSING_SET: which of the rankers */
};

struct file_ranker {
    uint32_t count, linear;
    float low, scale;
    uint32_t low_key, shift, steps, bucket_count;
    uint64_t thresholds, start;
};

/* These lie in files as they do in memory. */
_Static_assert(sizeof(struct flat_file_head) == 80 && sizeof(struct hash128) == 16, "head");
_Static_assert(sizeof(struct file_plane) == 8 && sizeof(struct file_ranker) == 48, "planes");
_Static_assert(sizeof(struct flat_guide) == 4 + 8 * GUIDE_TREES * GUIDE_SLOTS, "guide");
_Static_assert(sizeof(struct file_part) == 112 + sizeof(struct flat_guide) + 4, "part");
_Static_assert(sizeof(struct flat_node) == 16 && offsetof(struct flat_node, plane) == 12 &&
                   offsetof(struct flat_node, left_kind) == 14,
               "nodes");
_Static_assert(sizeof(struct flat_tree) == 12 && offsetof(struct flat_tree, score) == 6 &&
                   offsetof(struct flat_tree, first_leaf) == 8,
               "trees");

/* ---- the head ---- */

const struct flat_file_head *flat_file_head(const struct model_section *section)
{
    const struct flat_file_head *head = (const void *)section->bytes;

    return section->size >= sizeof(*head) && memcmp(head->magic, magic, sizeof(magic)) == 0 ? head
                                                                                            : NULL;
}

static struct hash128 body_hash(const uint8_t *bytes, size_t size)
{
    const size_t head = sizeof(struct flat_file_head);

    return hash128_join(hash128(bytes, offsetof(struct flat_file_head, body)),
                        hash128(bytes + head, size - head));
}

void flat_file_seal(uint8_t *section, size_t size)
{
    struct flat_file_head *head = (void *)section;

    head->body = body_hash(section, size);
}

const char *flat_file_refusal(const struct model_section *section)
{
    const struct flat_file_head *head = flat_file_head(section);

    if (!head)
        return "it is none";
    if (head->byte_order != byte_order || head->version != FLAT_FILE_VERSION)
        return "it is for another version of tilth";
    if (!hash128_equal(head->tensors, section->tensors))
        return "it was made of another model";
    if (!hash128_equal(head->body, body_hash(section->bytes, section->size)))
        return "it is damaged";
    return NULL;
}

/* ---- reading ---- */

struct opening {
    const struct model_section *section;
    const struct model *model;
    const struct file_part *from;
    struct arena *arena;
    struct flat *flat;
    uint64_t *left; /* bytes of the section, less what arrays have taken */
};

/*
 * `count` items of `size` bytes at an offset, which nobody writes to; NULL where they are not
 * inside. No two arrays share bytes in a file of ours, so all together are no more than the
 * section: what is made of them, and the time to look at them, is bounded by its size.
 */
static void *take(const struct opening *o, uint64_t at, uint64_t count, size_t size)
{
    uint64_t bytes, end;

    if (at % SECTION_ALIGN != 0 || at < sizeof(struct flat_file_head) ||
        __builtin_mul_overflow(count, size, &bytes) || __builtin_add_overflow(at, bytes, &end) ||
        end > o->section->size || bytes > *o->left)
        return NULL;
    *o->left -= bytes;
    return (void *)(uintptr_t)(o->section->bytes + at);
}

/* So that flat_rank() finds its way within the tables whatever is asked. */
static bool open_ranker(const struct opening *o, const struct file_ranker *from,
                        struct flat_ranker *to)
{
    uint32_t most = o->flat->type == FLAT_U8 ? UINT8_MAX : UINT16_MAX;
    bool falls = false;

    if (from->count < 1 || from->count > UINT16_MAX || from->linear > 1 || from->shift > 31 ||
        from->steps > 17 || from->bucket_count < 1 || from->bucket_count > 8 * from->count + 1)
        return false;
    *to = (struct flat_ranker){.count = from->count,
                               .linear = from->linear,
                               .low = from->low,
                               .scale = from->scale,
                               .low_key = from->low_key,
                               .shift = (uint8_t)from->shift,
                               .steps = (uint8_t)from->steps,
                               .bucket_count = from->bucket_count};
    to->thresholds = take(o, from->thresholds, (UINT64_C(1) << to->steps) + to->count, 4);
    to->start = take(o, from->start, to->bucket_count + UINT64_C(1), sizeof(*to->start));
    if (!to->thresholds || !to->start || to->start[to->bucket_count] != to->count)
        return false;
    for (uint32_t b = 0; b < to->bucket_count; b++)
        falls |= to->start[b] > to->start[b + 1];
    /* Ranks of sets are not values of planes. */
    return !falls && (to >= o->flat->rankers + o->flat->plane_count || to->count <= most);
}

static bool open_plane(const struct opening *o, const struct file_plane *from,
                       const struct flat_ranker *rankers, struct flat_plane *to)
{
    uint32_t first_set = o->from->type == FLAT_F32 ? 0 : o->from->plane_count;
    bool set = from->missing == MISSING_SET;

    if (from->feature >= o->model->info.feature_count || from->missing >= MISSING_COUNT ||
        from->default_left > 1 ||
        (set && (from->set < first_set || from->set >= o->from->ranker_count)))
        return false;
    *to = (struct flat_plane){from->feature, from->missing, from->default_left,
                              set ? &rankers[from->set] : NULL};
    return true;
}

static bool open_planes(const struct opening *o)
{
    const struct file_part *from = o->from;
    const struct file_plane *planes = take(o, from->planes, from->plane_count, sizeof(*planes));
    const struct file_ranker *rankers =
        take(o, from->rankers, from->ranker_count, sizeof(*rankers));
    struct flat *flat = o->flat;

    flat->plane_count = from->plane_count;
    if (!planes || !rankers || from->type > FLAT_F32 || from->plane_count > UINT16_MAX ||
        (from->type != FLAT_F32 && from->ranker_count < from->plane_count))
        return false;
    flat->planes = arena_alloc(o->arena, from->plane_count + 1UL, sizeof(*flat->planes));
    struct flat_ranker *made = arena_alloc(o->arena, from->ranker_count + 1UL, sizeof(*made));
    if (!flat->planes || !made)
        return false;
    flat->type = (enum flat_type)from->type;
    flat->rankers = made;
    for (uint32_t r = 0; r < from->ranker_count; r++)
        if (!open_ranker(o, &rankers[r], &made[r]))
            return false;
    for (uint32_t p = 0; p < from->plane_count; p++)
        if (!open_plane(o, &planes[p], made, &flat->planes[p]))
            return false;
    if (flat->type == FLAT_F32)
        flat->rankers = NULL;
    return true;
}

static bool open_guide(const struct opening *o)
{
    struct flat_guide *guide = &o->flat->guide;

    *guide = o->from->guide;
    if (guide->tree_count > TL_MIN(o->model->info.tree_count, (uint32_t)GUIDE_TREES))
        return false;
    for (size_t t = 0; t < GUIDE_TREES; t++)
        for (size_t s = 0; s < GUIDE_SLOTS; s++)
            if (guide->slot[t][s].plane < -1 ||
                guide->slot[t][s].plane >= (int64_t)o->flat->plane_count)
                return false;
    return true;
}

static bool open_values(const struct opening *o, bool fixed, uint64_t at,
                        struct flat_leaves *leaves)
{
    flat_leaves_init(leaves, o->model, fixed, o->from->most_leaves);
    leaves->rows = o->from->leaf_rows;
    leaves->values = take(o, at, leaves->rows, leaves->stride * flat_number_bytes(leaves->number));
    return leaves->values;
}

/* What pixels come to. */
static bool open_leaves(const struct opening *o)
{
    struct flat *flat = o->flat;
    const struct file_part *from = o->from;
    uint64_t leaves = o->model->leaf_count;

    flat->by_leaf = from->by_leaf;
    flat->has_rows = from->has_rows;
    flat->base_class = from->base_class;
    if (from->by_leaf > 1 || from->has_rows > 1 || from->base_class >= o->model->info.class_count)
        return false;
    if (from->by_leaf)
        return !from->has_rows && from->most_leaves > 0 &&
               open_values(o, false, from->leaves, &flat->leaves) &&
               (!flat_has_fixed(o->model) || open_values(o, true, from->fixed, &flat->fixed));
    if (o->model->output != OUTPUT_MEAN || o->model->lines)
        return false;
    flat->row_stride = flat_row_stride(o->model->leaf_width);
    if (from->has_rows) {
        flat->rows = take(o, from->rows, leaves, flat->row_stride * sizeof(*flat->rows));
        flat->row_exact = take(o, from->row_exact, leaves, 1);
        if (!flat->rows || !flat->row_exact)
            return false;
    }
    return flat_make_vote_tables(flat, o->arena);
}

/* ---- trees ---- */

/*
 * That the nodes are trees: from each root down, children behind their parent, each reached, and
 * as often as there are nodes, so once; no path longer than max_depth; and that leaves and cuts are
 * in range. Which side of a node is a leaf is anybody's guess, so nothing branches on it.
 */
struct trees_check {
    const struct flat *flat;
    uint32_t limit[UINT8_MAX + 1]; /* by kind: what a node's or a leaf's number must be below */
    uint32_t *last_cut;            /* per plane, the greatest rank */
    /* Of each node, its root having 1; 0: not reached. One more is for whatever is no node. */
    uint16_t *depth;
    uint64_t reached;
};

static inline uint32_t is_node(uint8_t kind)
{
    return kind == KIND_NODE;
}

/* 1 where it is none for a node before `from`. */
static inline uint32_t no_child(const struct trees_check *check, uint32_t from, uint32_t to,
                                uint8_t kind)
{
    uint32_t least = from & -is_node(kind);

    return to - least >= check->limit[kind] - least;
}

static inline void reach(struct trees_check *check, uint32_t depth, uint32_t to, uint8_t kind)
{
    uint32_t nobody = check->flat->node_count;

    check->depth[nobody + ((to - nobody) & -is_node(kind))] = (uint16_t)depth;
    check->reached += is_node(kind);
}

static bool check_nodes(struct trees_check *check)
{
    const struct flat_node *nodes = check->flat->nodes;
    uint32_t planes = check->flat->plane_count, count = check->flat->node_count;
    uint32_t most = check->flat->max_depth;

    for (uint32_t i = 0; i < count; i++) {
        const struct flat_node node = nodes[i];
        uint32_t depth = check->depth[i], left = node.left_kind, right = node.right_kind;

        if (node.plane >= planes ||
            ((depth - 1 >= most) | (node.cut.rank > check->last_cut[node.plane]) |
             no_child(check, i + 1, node.left, (uint8_t)left) |
             no_child(check, i + 1, node.right, (uint8_t)right)))
            return false;
        reach(check, depth + 1, node.left, (uint8_t)left);
        reach(check, depth + 1, node.right, (uint8_t)right);
    }
    return check->reached == count;
}

static bool check_roots(struct trees_check *check)
{
    const struct flat *flat = check->flat;
    const struct model *model = flat->model;
    uint32_t planes = model->leaf_width > 1 ? 1 : model->score_count;
    uint64_t block = TL_MAX(flat->leaves.most, (uint32_t)FLAT_FEW_LEAVES);

    for (uint32_t t = 0; t < model->info.tree_count; t++) {
        const struct flat_tree *tree = &flat->trees[t];

        if (no_child(check, 0, tree->root, tree->root_kind) || tree->score >= planes ||
            (flat->by_leaf && tree->first_leaf + block > flat->leaves.rows))
            return false;
        reach(check, 1, tree->root, tree->root_kind);
    }
    return true;
}

static bool check_trees(struct trees_check *check, struct arena *scratch)
{
    const struct flat *flat = check->flat;
    const struct model *model = flat->model;
    uint32_t rows = (uint32_t)TL_MIN(model->leaf_count, (uint64_t)UINT32_MAX);

    check->limit[KIND_NODE] = flat->node_count;
    check->limit[KIND_BASE] = flat->by_leaf ? 0 : rows;
    check->limit[KIND_VOTE] = flat->by_leaf ? 0 : model->info.class_count;
    check->limit[KIND_ROW] = flat->has_rows ? rows : 0;
    check->limit[KIND_LEAF] = flat->by_leaf ? flat->leaves.most : 0;
    if (model->lines)
        check->limit[KIND_LEAF] = TL_MIN(flat->leaves.most, rows);
    check->depth = arena_zalloc(scratch, flat->node_count + 1UL, sizeof(*check->depth));
    check->last_cut = arena_alloc(scratch, flat->plane_count + 1UL, sizeof(*check->last_cut));
    if (!check->depth || !check->last_cut)
        return false;
    for (uint32_t p = 0; p < flat->plane_count; p++)
        check->last_cut[p] = flat->rankers ? flat->rankers[p].count - 1 : UINT32_MAX;
    return check_roots(check) && check_nodes(check);
}

static bool open_trees(const struct opening *o)
{
    const struct file_part *from = o->from;
    struct flat *flat = o->flat;
    struct trees_check check = {.flat = flat};
    AUTO(arena) scratch = arena_new();

    flat->trees = take(o, from->trees, from->tree_count, sizeof(*flat->trees));
    flat->nodes = take(o, from->nodes, from->node_count, sizeof(*flat->nodes));
    flat->node_count = from->node_count;
    flat->max_depth = from->max_depth;
    return scratch && flat->trees && flat->nodes && from->max_depth <= MODEL_MAX_DEPTH &&
           from->tree_count == o->model->info.tree_count && check_trees(&check, scratch);
}

bool flat_file_open(const struct model_section *section, uint32_t part, const struct model *model,
                    struct arena *arena, struct flat *ret_flat)
{
    struct flat flat = {.model = model};
    uint64_t left = section->size;
    struct opening o = {
        .section = section, .model = model, .arena = arena, .flat = &flat, .left = &left};
    const struct flat_file_head *head = flat_file_head(section);
    uint64_t parts = (sizeof(*head) + SECTION_ALIGN - 1) / SECTION_ALIGN * SECTION_ALIGN;

    o.from = part < head->part_count ? take(&o, parts, head->part_count, sizeof(*o.from)) : NULL;
    if (!o.from)
        return false;
    o.from += part;
    if (!open_planes(&o) || !open_guide(&o) || !open_leaves(&o) || !open_trees(&o) ||
        !oblivious_compile(&flat, arena, &flat.oblivious) ||
        !shallow_compile(&flat, arena, &flat.shallow))
        return false;
    *ret_flat = flat;
    return true;
}

/* ---- writing ---- */

/* Where `count` items are put: at the next multiple of SECTION_ALIGN. */
static uint64_t put(struct buf *to, const void *items, uint64_t count, size_t size)
{
    static const uint8_t zeros[SECTION_ALIGN] = {0};

    buf_append(to, zeros, (SECTION_ALIGN - to->size % SECTION_ALIGN) % SECTION_ALIGN);
    uint64_t at = to->size;
    buf_append(to, items, count * size);
    return at;
}

static struct file_ranker put_ranker(struct buf *to, const struct flat_ranker *r)
{
    struct file_ranker ranker = {.count = r->count,
                                 .linear = r->linear,
                                 .low = r->low,
                                 .scale = r->scale,
                                 .low_key = r->low_key,
                                 .shift = r->shift,
                                 .steps = r->steps,
                                 .bucket_count = r->bucket_count};

    ranker.thresholds =
        put(to, r->thresholds, (UINT64_C(1) << r->steps) + r->count, sizeof(*r->thresholds));
    ranker.start = put(to, r->start, r->bucket_count + UINT64_C(1), sizeof(*r->start));
    return ranker;
}

static void put_planes(struct buf *to, const struct flat *flat, struct file_part *part)
{
    AUTO_BUF planes = {0};
    AUTO_BUF rankers = {0};
    uint32_t next = 0;

    for (; flat->rankers && next < flat->plane_count; next++) {
        const struct file_ranker ranker = put_ranker(to, &flat->rankers[next]);

        buf_append(&rankers, &ranker, sizeof(ranker));
    }
    for (uint32_t p = 0; p < flat->plane_count; p++) {
        const struct flat_plane *from = &flat->planes[p];
        struct file_plane plane = {from->feature, from->missing, from->default_left, 0};

        if (from->set) {
            const struct file_ranker ranker = put_ranker(to, from->set);

            plane.set = next++;
            buf_append(&rankers, &ranker, sizeof(ranker));
        }
        buf_append(&planes, &plane, sizeof(plane));
    }
    part->plane_count = flat->plane_count;
    part->ranker_count = next;
    part->planes = put(to, planes.bytes, 1, planes.size);
    part->rankers = put(to, rankers.bytes, 1, rankers.size);
    to->failed |= buf_failed(&planes) || buf_failed(&rankers);
}

static uint64_t put_values(struct buf *to, const struct flat_leaves *leaves)
{
    return put(to, leaves->values, leaves->rows,
               leaves->stride * flat_number_bytes(leaves->number));
}

static struct file_part put_part(struct buf *to, const struct flat *flat)
{
    const struct model *model = flat->model;
    struct file_part part = {.type = flat->type,
                             .by_leaf = flat->by_leaf,
                             .has_rows = flat->has_rows,
                             .base_class = flat->base_class,
                             .tree_count = model->info.tree_count,
                             .node_count = flat->node_count,
                             .max_depth = flat->max_depth,
                             .guide = flat->guide};

    put_planes(to, flat, &part);
    part.trees = put(to, flat->trees, part.tree_count, sizeof(*flat->trees));
    part.nodes = put(to, flat->nodes, part.node_count, sizeof(*flat->nodes));
    if (flat->by_leaf) {
        part.most_leaves = flat->leaves.most;
        part.leaf_rows = flat->leaves.rows;
        part.leaves = put_values(to, &flat->leaves);
        part.fixed = flat->fixed.values ? put_values(to, &flat->fixed) : 0;
    }
    if (flat->has_rows) {
        part.rows = put(to, flat->rows, model->leaf_count, flat->row_stride * sizeof(*flat->rows));
        part.row_exact = put(to, flat->row_exact, model->leaf_count, 1);
    }
    return part;
}

void flat_file_write(const struct flat *const *parts, uint32_t count, struct hash128 tensors,
                     struct buf *ret_section)
{
    struct flat_file_head head = {.byte_order = byte_order,
                                  .version = FLAT_FILE_VERSION,
                                  .part_count = count,
                                  .tensors = tensors};
    AUTO_BUF table = {0};
    struct file_part none = {0};

    memcpy(head.magic, magic, sizeof(magic));
    snprintf(head.maker, sizeof(head.maker), "%s", TILTH_VERSION);
    buf_append(ret_section, &head, sizeof(head));
    uint64_t at = put(ret_section, NULL, 0, 0);
    for (uint32_t p = 0; p < count; p++)
        buf_append(ret_section, &none, sizeof(none));
    for (uint32_t p = 0; p < count; p++) {
        const struct file_part part = parts[p] ? put_part(ret_section, parts[p]) : none;

        buf_append(&table, &part, sizeof(part));
    }
    ret_section->failed |= buf_failed(&table);
    if (buf_failed(ret_section))
        return;
    memcpy(ret_section->bytes + at, table.bytes, table.size);
    flat_file_seal(ret_section->bytes, ret_section->size);
}
