#include "model/model.h"

#include "base/arena.h"
#include "model/net.h"

#include <float.h>
#include <math.h>

/* A place in a model, for messages that a trainer understands. */
struct place {
    const char *name;
    uint32_t tree, node;
};

static enum tl_code refuse(const struct place *at, struct tl_err *err, const char *what, double got)
{
    return tl_fail(err, TL_CORRUPT, "%s: tree %u, node %u: %s (%.9g); export the model again",
                   at->name, at->tree, at->node, what, got);
}

/* A parent gives its children their depth, once; 0 means not reached yet (the root has 1). */
static enum tl_code visit_child(const struct place *at, int32_t child, uint32_t count,
                                uint16_t *depth, struct tl_err *err)
{
    if (child <= (int64_t)at->node || (uint32_t)child >= count)
        return refuse(at, err, "the child is not a later node of the same tree", child);
    if (depth[child] != 0)
        return refuse(at, err, "the child has two parents", child);
    if (depth[at->node] > MODEL_MAX_DEPTH)
        return tl_fail(err, TL_LIMIT,
                       "%s: tree %u is deeper than %d; train with a smaller max_depth", at->name,
                       at->tree, MODEL_MAX_DEPTH);
    depth[child] = (uint16_t)(depth[at->node] + 1);
    return TL_OK;
}

static enum tl_code check_split(const struct model *model, const struct place *at,
                                const struct model_node *node, struct tl_err *err)
{
    if (node->feature >= model->info.feature_count)
        return refuse(at, err, "the feature does not exist", node->feature);
    if (node->missing == MISSING_SET && node->set >= model->set_count)
        return refuse(at, err, "the set of categories does not exist", node->set);
    if (isnan(node->threshold))
        return tl_fail(err, TL_CORRUPT,
                       "%s: tree %u, node %u: the threshold of feature %s is not a number; export "
                       "the model again",
                       at->name, at->tree, at->node, model->info.features[node->feature]);
    return TL_OK;
}

float model_floor(double x)
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

bool model_set_holds(const struct model_set *set, float x)
{
    uint32_t low = 0, high = set->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (set->bounds[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low % 2;
}

static enum tl_code check_tree(struct model *model, struct place at, uint16_t *depth,
                               struct tl_err *err)
{
    uint32_t first = model->tree_offsets[at.tree];
    uint32_t count = model->tree_offsets[at.tree + 1] - first;

    for (uint32_t i = 0; i < count; i++)
        depth[i] = i == 0;
    for (at.node = 0; at.node < count; at.node++) {
        const struct model_node *node = &model->nodes[first + at.node];

        if (node->left < 0) {
            if (node->right < 0 || (uint64_t)node->right >= model->leaf_count)
                return refuse(&at, err, "the leaf has no row of values", node->right);
        } else {
            TL_TRY(check_split(model, &at, node, err));
            TL_TRY(visit_child(&at, node->left, count, depth, err));
            TL_TRY(visit_child(&at, node->right, count, depth, err));
        }
        if (depth[at.node] > model->info.max_depth + 1)
            model->info.max_depth = depth[at.node] - 1u;
    }
    return TL_OK;
}

enum tl_code model_check_trees(const char *name, struct model *model, struct tl_err *err)
{
    AUTO(arena) scratch = arena_new();
    uint32_t largest = 0;

    for (uint32_t t = 0; t < model->info.tree_count; t++)
        largest = TL_MAX(largest, model->tree_offsets[t + 1] - model->tree_offsets[t]);
    uint16_t *depth = scratch ? arena_alloc(scratch, largest, sizeof(*depth)) : NULL;
    if (!depth)
        return tl_fail(err, TL_NOMEM, "%s: no memory to check its trees", name);
    model->info.max_depth = 0;
    for (uint32_t t = 0; t < model->info.tree_count; t++)
        TL_TRY(check_tree(model, (struct place){name, t, 0}, depth, err));
    return TL_OK;
}

static enum tl_code refuse_part(const char *name, uint32_t part, struct tl_err *err,
                                const char *what)
{
    return tl_fail(err, TL_CORRUPT, "%s: part %u: %s; export the model again", name, part, what);
}

static bool all_finite(const double *numbers, size_t count)
{
    for (size_t i = 0; numbers && i < count; i++)
        if (!isfinite(numbers[i]))
            return false;
    return true;
}

static enum tl_code check_layer(const char *name, uint32_t p, const struct model_layer *layer,
                                struct tl_err *err)
{
    if (layer->output_count < 1 || layer->output_count > NET_MAX_WIDTH)
        return tl_fail(err, TL_LIMIT, "%s: part %u: a layer of %u numbers; 1 to %d are served",
                       name, p, layer->output_count, NET_MAX_WIDTH);
    if (!all_finite(layer->bias, layer->output_count) ||
        !all_finite(layer->weights, (size_t)layer->output_count * layer->input_count))
        return refuse_part(name, p, err, "a weight of its net is not a finite number");
    return TL_OK;
}

static enum tl_code check_curve(const char *name, uint32_t p, const struct model_curve *curve,
                                struct tl_err *err)
{
    if (!all_finite(curve->x, curve->count) || !all_finite(curve->y, curve->count))
        return refuse_part(name, p, err, "a point of a curve is not a finite number");
    for (uint32_t i = 1; i < curve->count; i++)
        if (!(curve->x[i] > curve->x[i - 1]))
            return refuse_part(name, p, err, "the points of a curve do not rise");
    return TL_OK;
}

/* That layers fit each other, the columns and the scores. */
static enum tl_code check_net(const char *name, const struct model_part *part, uint32_t p,
                              struct tl_err *err)
{
    const struct model_net *net = part->net;
    uint32_t width = part->input_count;
    size_t weights = 0;

    if (net->layer_count < 1 || net->layer_count > NET_MAX_LAYERS ||
        net->scaling_count > NET_MAX_SCALINGS)
        return tl_fail(err, TL_LIMIT,
                       "%s: part %u: a net of %u layers behind %u steps; at most %d and %d are "
                       "served",
                       name, p, net->layer_count, net->scaling_count, NET_MAX_LAYERS,
                       NET_MAX_SCALINGS);
    for (uint32_t i = 0; i < net->scaling_count; i++)
        for (uint32_t c = 0; net->scalings[i].curves && c < width; c++)
            TL_TRY(check_curve(name, p, &net->scalings[i].curves[c], err));
    for (uint32_t i = 0; i < net->layer_count; i++) {
        const struct model_layer *layer = &net->layers[i];

        if (layer->input_count != width)
            return refuse_part(name, p, err, "a layer reads other numbers than there are");
        weights += (size_t)width * layer->output_count;
        TL_TRY(check_layer(name, p, layer, err));
        width = layer->output_count;
    }
    if (weights > NET_MAX_WEIGHTS)
        return tl_fail(err, TL_LIMIT, "%s: part %u: a net of %zu weights; at most %u are served",
                       name, p, weights, NET_MAX_WEIGHTS);
    if (width != part->model->score_count)
        return refuse_part(name, p, err, "its net gives other scores than it needs");
    return TL_OK;
}

/* Columns that part `p` may read; of a mean's member all of its classes. */
static enum tl_code check_inputs(const char *name, const struct model *model, uint32_t p,
                                 struct tl_err *err)
{
    const struct model_part *part = &model->parts[p];
    uint32_t features = model->info.feature_count, classes = model->info.class_count;
    uint32_t end = features + p * classes;

    if (part->input_count < 1 ||
        part->input_count > (part->kind == PART_MEAN ? MODEL_MAX_PARTS : MODEL_MAX_FEATURES))
        return refuse_part(name, p, err, "it reads no column, or too many");
    for (uint32_t i = 0; part->inputs && i < part->input_count; i++) {
        uint32_t column = part->inputs[i];

        if (column >= end)
            return refuse_part(name, p, err, "it reads a column of no earlier part");
        if (part->kind == PART_MEAN && (column < features || (column - features) % classes != 0))
            return refuse_part(name, p, err, "it is the mean of something that is not a part");
    }
    if (!part->inputs && (part->kind != PART_TREES || part->input_count != features))
        return refuse_part(name, p, err, "it does not say what it reads");
    return TL_OK;
}

/* Scores of a part on numbers, and on ensembles how many features they have. */
static enum tl_code check_part(const char *name, const struct model *model, uint32_t p,
                               struct tl_err *err)
{
    const struct model_part *part = &model->parts[p];
    const struct model *own = part->model;

    TL_TRY(check_inputs(name, model, p, err));
    if (part->kind == PART_MEAN && !(isfinite(part->divisor) && part->divisor > 0))
        return refuse_part(name, p, err, "the weights of the mean do not add up to anything");
    if (part->gives_label && p + 1 == model->part_count)
        return refuse_part(name, p, err, "it is the last and gives no probabilities");
    if (part->kind != PART_MEAN && own->info.class_count != model->info.class_count)
        return refuse_part(name, p, err, "it has other classes than the whole");
    if (part->kind == PART_TREES && own->info.feature_count != part->input_count)
        return refuse_part(name, p, err, "it has other features than it reads columns");
    if (part->kind == PART_NET)
        return check_net(name, part, p, err);
    if (part->kind == PART_MEAN && !all_finite(part->weights, part->input_count))
        return refuse_part(name, p, err, "a weight is not a finite number");
    return TL_OK;
}

enum tl_code model_check_parts(const char *name, struct model *model, struct tl_err *err)
{
    if (model->part_count < 1 || model->part_count > MODEL_MAX_PARTS)
        return tl_fail(err, TL_LIMIT, "%s: %u parts, a model is made of 1 to %d", name,
                       model->part_count, MODEL_MAX_PARTS);
    for (uint32_t p = 0; p < model->part_count; p++) {
        TL_TRY(check_part(name, model, p, err));
        if (model->parts[p].kind != PART_TREES)
            continue;
        const struct model_info *own = &model->parts[p].model->info;
        model->info.tree_count += own->tree_count;
        model->info.node_count += own->node_count;
        model->info.max_depth = TL_MAX(model->info.max_depth, own->max_depth);
    }
    return TL_OK;
}
