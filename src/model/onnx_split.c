#include "model/onnx_split.h"

#include "base/buf.h"

#include <math.h>
#include <stdlib.h>

/* What a NaN comes to: NaN, unless the graph puts a number in its place. */
static double nan_value(const struct onnx_column *column)
{
    return (double)onnx_column_value(column, NAN);
}

static void swap_sides(struct model_node *node)
{
    int32_t left = node->left;

    node->left = node->right;
    node->right = left;
    node->default_left = !node->default_left;
}

/* x <= t, x < t as x <= the float32 before t, and the other two with their sides changed. */
static void make_comparison(const struct onnx_column *column, const struct onnx_split *split,
                            struct model_node *node)
{
    bool below = split->mode == MODE_LT || split->mode == MODE_GTE;
    bool above = split->mode == MODE_GT || split->mode == MODE_GTE;
    double t = below ? (double)build_below(split->value) : split->value;
    double missing = nan_value(column);
    float x = INFINITY;

    node->missing = MISSING_SIDED;
    node->left = above ? split->no : split->yes;
    node->right = above ? split->yes : split->no;
    node->default_left = isnan(missing) ? split->tracks != above : missing <= t;
    node->threshold = t;
    if (column->step_count == 0)
        return;
    bool any = onnx_column_upto(column, t, &x);
    node->threshold = (double)x;
    if (any && onnx_column_falls(column))
        swap_sides(node);
}

static int compare_doubles(const void *a, const void *b)
{
    const double *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

/* NEQ asks the same with its sides changed, and NaN is not equal to anything. */
static enum tl_code make_set(struct model_build *build, const struct onnx_column *column,
                             const struct onnx_split *split, struct model_node *node)
{
    double missing = nan_value(column), one = split->value;
    double *members = split->members ? split->members : &one;
    size_t count = split->members ? split->member_count : 1;
    bool unequal = split->mode == MODE_NEQ, held = false;
    AUTO_BUF bounds = {0};
    float above, upto;

    if (count)
        qsort(members, count, sizeof(*members), compare_doubles);
    for (size_t i = 0; i < count; i++) {
        held |= members[i] == missing;
        if (onnx_column_upto(column, (double)build_below(members[i]), &above) &&
            onnx_column_upto(column, members[i], &upto))
            build_run(&bounds, above, upto);
    }
    node->missing = MISSING_SET;
    node->left = unequal ? split->no : split->yes;
    node->right = unequal ? split->yes : split->no;
    node->default_left = isnan(missing) ? split->tracks && !unequal : held;
    return build_set(build, &bounds, &node->set);
}

enum tl_code onnx_make_split(struct model_build *build, const struct onnx_column *column,
                             const struct onnx_split *split, struct model_node *ret_node)
{
    bool set = split->mode == MODE_EQ || split->mode == MODE_NEQ || split->mode == MODE_MEMBER;
    bool below = split->mode == MODE_LT || split->mode == MODE_GTE;
    struct model_node node = {.feature = column->feature};

    if (isnan(split->value) || (below && split->value == -(double)INFINITY))
        return tl_fail(build->err, TL_UNSUPPORTED,
                       "%s: tree %jd, node %jd: the threshold of feature %s is %g; train without "
                       "such numbers",
                       build->name, (intmax_t)split->tree, (intmax_t)split->node,
                       build->model->info.features[column->feature], split->value);
    if (set && onnx_column_falls(column))
        return tl_fail(build->err, TL_UNSUPPORTED,
                       "%s: tree %jd, node %jd: it asks whether feature %s is equal to a number, "
                       "behind a negative factor; scale it before training",
                       build->name, (intmax_t)split->tree, (intmax_t)split->node,
                       build->model->info.features[column->feature]);
    if (set)
        TL_TRY(make_set(build, column, split, &node));
    else
        make_comparison(column, split, &node);
    *ret_node = node;
    return TL_OK;
}
