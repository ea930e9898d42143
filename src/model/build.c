#include "model/build.h"

#include "base/arena.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Copies of shared nodes: no file costs much more than its size. */
enum { COPIES = 16, COPIES_FREE = 1 << 13 };

/* A node that waits to be appended. */
struct waiting {
    uint32_t source;
    uint32_t parent; /* among the tree's new nodes; UINT32_MAX for the root */
    uint32_t depth;
    bool right;
};

void build_release(struct model_build *build)
{
    buf_release(&build->nodes);
    buf_release(&build->leaves);
    buf_release(&build->offsets);
    buf_release(&build->scores);
    buf_release(&build->sets);
    buf_release(&build->lines);
    buf_release(&build->terms);
    buf_release(&build->stack);
    buf_release(&build->seen);
}

int32_t build_leaf(struct model_build *build, const double *values, uint32_t width)
{
    size_t row = build->leaves.size / (width * sizeof(*values));

    buf_append(&build->leaves, values, width * sizeof(*values));
    return (int32_t)row;
}

float build_below(double x)
{
    float near = (float)x;

    return (double)near < x ? near : nextafterf(near, -INFINITY);
}

void build_run(struct buf *bounds, float above, float upto)
{
    float last = -INFINITY;

    if (!(above < upto))
        return;
    if (bounds->size)
        memcpy(&last, bounds->bytes + bounds->size - sizeof(last), sizeof(last));
    if (bounds->size && above <= last)
        bounds->size -= sizeof(last);
    else
        buf_append(bounds, &above, sizeof(above));
    buf_append(bounds, &upto, sizeof(upto));
}

static int compare_floats(const void *a, const void *b)
{
    float x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

void build_exact(float *values, size_t count, struct buf *bounds)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        if (!isnan(values[i]))
            values[kept++] = values[i];
    if (kept)
        qsort(values, kept, sizeof(*values), compare_floats);
    for (size_t i = 0; i < kept; i++) {
        float x = values[i];

        /* -infinity has nothing below it; of no use as a category either. */
        build_run(bounds, nextafterf(x, -INFINITY), x);
    }
}

enum tl_code build_values(const struct model_build *build, struct doc_value list,
                          struct build_values *ret_values)
{
    struct build_values made = {.count = (uint32_t)doc_count(list)};
    struct doc_items items = doc_items(list);
    struct doc_value item;
    struct doc_text key;
    double number;

    if (list.kind != DOC_ARRAY)
        return TL_OK;
    made.values = arena_alloc(build->arena, made.count + 1UL, sizeof(*made.values));
    if (!made.values)
        return build_no_memory(build);
    for (uint32_t i = 0; i < made.count && doc_next(&items, &key, &item); i++) {
        if (item.kind != DOC_NUMBER || !doc_double(item, &number)) {
            made.words = true;
            break;
        }
        float near = (float)number;
        made.values[i] = (double)near == number ? near : NAN;
    }
    *ret_values = made;
    return TL_OK;
}

enum tl_code build_refuse_words(const struct model_build *build, uint32_t feature)
{
    return tl_fail(build->err, TL_UNSUPPORTED,
                   "%s: tree %u: the categories of feature %s are words; a raster has numbers: "
                   "encode them before training",
                   build->name, build->tree, build->model->info.features[feature]);
}

enum tl_code build_set(struct model_build *build, const struct buf *bounds, uint32_t *ret_set)
{
    static const float nowhere = INFINITY; /* nothing is above it: the empty set */
    size_t count = bounds->size / sizeof(float);
    struct model_set set = {.count = (uint32_t)TL_MAX(count, (size_t)1)};
    float *copy;

    if (count > MODEL_MAX_BOUNDS)
        return tl_fail(build->err, TL_LIMIT,
                       "%s: tree %u splits a feature by more than %d runs of categories; train "
                       "with fewer",
                       build->name, build->tree, MODEL_MAX_BOUNDS / 2);
    copy = buf_failed(bounds) ? NULL : arena_alloc(build->arena, set.count, sizeof(*copy));
    if (!copy)
        return build_no_memory(build);
    memcpy(copy, count ? (const void *)bounds->bytes : &nowhere, set.count * sizeof(*copy));
    set.bounds = copy;
    *ret_set = (uint32_t)(build->sets.size / sizeof(set));
    buf_append(&build->sets, &set, sizeof(set));
    return TL_OK;
}

static uint64_t node_count(const struct model_build *build)
{
    return build->nodes.size / sizeof(struct model_node);
}

static void push(struct model_build *build, struct waiting waiting)
{
    buf_append(&build->stack, &waiting, sizeof(waiting));
}

static struct waiting pop(struct model_build *build)
{
    struct waiting top;

    build->stack.size -= sizeof(top);
    memcpy(&top, build->stack.bytes + build->stack.size, sizeof(top));
    return top;
}

static enum tl_code refuse_node(const struct model_build *build, uint32_t node, const char *what)
{
    return tl_fail(build->err, TL_CORRUPT, "%s: tree %u, node %u: %s; save the model again",
                   build->name, build->tree, node, what);
}

static enum tl_code check_waiting(const struct model_build *build, const struct build_source *from,
                                  const struct waiting *at, uint64_t first)
{
    if (at->source >= from->count)
        return refuse_node(build, at->source, "it is a child that does not exist");
    if (at->depth > from->count)
        return refuse_node(build, at->source, "it is its own ancestor");
    if (at->depth > MODEL_MAX_DEPTH)
        return tl_fail(build->err, TL_LIMIT,
                       "%s: tree %u is deeper than %d; train with a smaller max_depth", build->name,
                       build->tree, MODEL_MAX_DEPTH);
    uint64_t nodes = node_count(build) - first;
    if (!from->shared && build->seen.bytes[at->source]++)
        return refuse_node(build, at->source, "it is its own ancestor, or the child of two nodes");
    if (first + nodes >= build->sourced * COPIES + COPIES_FREE)
        return tl_fail(
            build->err, TL_LIMIT,
            "%s: tree %u shares so many nodes that they would be %ju spread out; export a "
            "tree of which no node has two parents",
            build->name, build->tree, (uintmax_t)(first + nodes));
    if (nodes >= MODEL_MAX_TREE_NODES || first + nodes >= MODEL_MAX_NODES)
        return tl_fail(build->err, TL_LIMIT, "%s: more than %u nodes in tree %u, or %ju in all",
                       build->name, MODEL_MAX_TREE_NODES, build->tree, (uintmax_t)MODEL_MAX_NODES);
    return TL_OK;
}

/* Appends one node and lets its children wait. */
static enum tl_code append_node(struct model_build *build, const struct build_source *from,
                                const struct waiting *at, uint64_t first)
{
    TL_TRY(check_waiting(build, from, at, first));
    uint32_t here = (uint32_t)(node_count(build) - first);
    struct model_node node = from->nodes[at->source];
    uint32_t left = (uint32_t)node.left, right = (uint32_t)node.right;
    bool leaf = node.left < 0;

    buf_append(&build->nodes, &node, sizeof(node));
    if (buf_failed(&build->nodes) || buf_failed(&build->stack))
        return build_no_memory(build);
    struct model_node *tree = (struct model_node *)(void *)build->nodes.bytes + first;
    if (at->parent != UINT32_MAX && at->right)
        tree[at->parent].right = (int32_t)here;
    else if (at->parent != UINT32_MAX)
        tree[at->parent].left = (int32_t)here;
    if (leaf)
        return TL_OK;
    push(build, (struct waiting){right, here, at->depth + 1, true});
    push(build, (struct waiting){left, here, at->depth + 1, false});
    return buf_failed(&build->stack) ? build_no_memory(build) : TL_OK;
}

enum tl_code build_tree(struct model_build *build, const struct build_source *from, uint32_t score)
{
    uint64_t first = node_count(build);
    uint16_t adds_to = (uint16_t)score;
    uint32_t begin = (uint32_t)first;

    if (build->tree == MODEL_MAX_TREES)
        return tl_fail(build->err, TL_LIMIT, "%s: more than %d trees", build->name,
                       MODEL_MAX_TREES);
    build->sourced += from->own ? from->own : from->count;
    buf_clear(&build->stack);
    buf_clear(&build->seen);
    uint8_t *seen = from->shared ? NULL : buf_extend(&build->seen, from->count);
    if (seen)
        memset(seen, 0, from->count);
    else if (!from->shared)
        return build_no_memory(build);
    push(build, (struct waiting){from->root, UINT32_MAX, 1, false});
    if (buf_failed(&build->stack))
        return build_no_memory(build);
    while (build->stack.size) {
        struct waiting at = pop(build);

        TL_TRY(append_node(build, from, &at, first));
    }
    buf_append(&build->offsets, &begin, sizeof(begin));
    buf_append(&build->scores, &adds_to, sizeof(adds_to));
    build->tree++;
    return TL_OK;
}

static enum tl_code make_names(struct model_build *build, const char *prefix,
                               const char *const *names, uint64_t count, const char **made)
{
    for (uint64_t i = 0; i < count; i++) {
        if (names)
            made[i] = names[i];
        else
            made[i] = arena_printf(build->arena, "%s%ju", prefix, (uintmax_t)i);
        if (!made[i])
            return build_no_memory(build);
    }
    return TL_OK;
}

enum tl_code build_classes(struct model_build *build, const char *const *names, uint64_t count)
{
    if (count < 2 || count > MODEL_MAX_VALUE + 1)
        return tl_fail(build->err, count < 2 ? TL_CORRUPT : TL_LIMIT,
                       "%s: %ju classes; a model has 2 to %d", build->name, (uintmax_t)count,
                       MODEL_MAX_VALUE + 1);
    struct model_class *classes = arena_alloc(build->arena, count, sizeof(*classes));
    const char **made = arena_alloc(build->arena, count, sizeof(*made));
    if (!classes || !made)
        return build_no_memory(build);
    TL_TRY(make_names(build, "", names, count, made));
    for (uint64_t c = 0; c < count; c++)
        classes[c] = (struct model_class){made[c], MODEL_NO_COLOR, (uint8_t)c};
    build->model->info.classes = classes;
    build->model->info.class_count = (uint32_t)count;
    return TL_OK;
}

enum tl_code build_features(struct model_build *build, const char *const *names, uint64_t count)
{
    if (count < 1 || count > MODEL_MAX_FEATURES)
        return tl_fail(build->err, count < 1 ? TL_CORRUPT : TL_LIMIT,
                       "%s: %ju features; a model has 1 to %d", build->name, (uintmax_t)count,
                       MODEL_MAX_FEATURES);
    const char **made = arena_alloc(build->arena, count, sizeof(*made));
    if (!made)
        return build_no_memory(build);
    TL_TRY(make_names(build, "f", names, count, made));
    build->model->info.features = made;
    build->model->info.feature_count = (uint32_t)count;
    return TL_OK;
}

static void *keep(const struct model_build *build, const struct buf *buf)
{
    void *copy =
        buf_failed(buf) ? NULL : arena_alloc(build->arena, TL_MAX(buf->size, (size_t)1), 1);

    if (copy && buf->size)
        memcpy(copy, buf->bytes, buf->size);
    return copy;
}

enum tl_code build_finish(struct model_build *build)
{
    struct model *model = build->model;
    uint32_t end = (uint32_t)node_count(build);

    if (build->tree == 0)
        return tl_fail(build->err, TL_CORRUPT, "%s: there is no tree in it", build->name);
    buf_append(&build->offsets, &end, sizeof(end));
    model->nodes = keep(build, &build->nodes);
    model->leaf_values = keep(build, &build->leaves);
    model->tree_offsets = keep(build, &build->offsets);
    model->tree_scores = keep(build, &build->scores);
    model->sets = keep(build, &build->sets);
    model->lines = build->lines.size ? keep(build, &build->lines) : NULL;
    model->terms = keep(build, &build->terms);
    model->info.name = arena_printf(build->arena, "%s", build->name);
    if (!model->nodes || !model->leaf_values || !model->tree_offsets || !model->tree_scores ||
        !model->sets || !model->terms || (build->lines.size && !model->lines) || !model->info.name)
        return build_no_memory(build);
    model->info.provenance = "";
    model->info.tree_count = build->tree;
    model->info.node_count = end;
    model->set_count = (uint32_t)(build->sets.size / sizeof(struct model_set));
    model->leaf_count = build->leaves.size / (model->leaf_width * sizeof(double));
    return model_check_trees(build->name, model, build->err);
}
