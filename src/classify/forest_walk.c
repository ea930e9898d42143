#include "classify/forest_walk.h"

#include <math.h>

static bool goes_left(const struct model_node *node, float value)
{
    double x = (double)value;

    if (node->missing == MISSING_COMPARE)
        return x <= node->threshold;
    /* The library's row reader takes everything this near to zero for zero. */
    if (fabs(x) <= MODEL_ZERO)
        x = 0;
    if (isnan(x) && node->missing == MISSING_NAN)
        return node->default_left;
    if (isnan(x))
        x = 0;
    if (node->missing == MISSING_ZERO && x == 0)
        return node->default_left;
    return x <= node->threshold;
}

static uint32_t walk_tree(const struct model *model, uint32_t tree, const float *const *planes,
                          size_t at)
{
    const struct model_node *root = model->nodes + model->tree_offsets[tree];
    const struct model_node *node = root;

    while (node->left >= 0)
        node = root + (goes_left(node, planes[node->feature][at]) ? node->left : node->right);
    return (uint32_t)node->right;
}

void walk_pixel(const struct model *model, const float *const *planes, size_t at, double *ret_p)
{
    double sums[FOREST_MAX_CLASSES] = {0};

    for (uint32_t t = 0; t < model->info.tree_count; t++) {
        const double *leaf =
            model->leaf_values + (size_t)walk_tree(model, t, planes, at) * model->leaf_width;

        if (model->output != OUTPUT_MEAN)
            sums[t % model->score_count] += leaf[0];
        else
            for (uint32_t c = 0; c < model->leaf_width; c++)
                sums[c] += leaf[c];
    }
    walk_probabilities(model, sums, ret_p);
}

static double sigmoid(const struct model *model, double score)
{
    return 1 / (1 + exp(-model->sigmoid * score));
}

static void softmax(const struct model *model, const double *sums, double *p)
{
    uint32_t count = model->info.class_count;
    double most = sums[0] / model->divisor, total = 0;

    for (uint32_t c = 1; c < count; c++)
        most = fmax(most, sums[c] / model->divisor);
    for (uint32_t c = 0; c < count; c++) {
        p[c] = exp(sums[c] / model->divisor - most);
        total += p[c];
    }
    for (uint32_t c = 0; c < count; c++)
        p[c] /= total;
}

void walk_probabilities(const struct model *model, const double *sums, double *ret_p)
{
    switch (model->output) {
    case OUTPUT_MEAN:
        for (uint32_t c = 0; c < model->info.class_count; c++)
            ret_p[c] = sums[c] / model->divisor;
        return;
    case OUTPUT_BINARY:
        ret_p[1] = sigmoid(model, sums[0] / model->divisor);
        ret_p[0] = 1 - ret_p[1];
        return;
    case OUTPUT_SOFTMAX:
        softmax(model, sums, ret_p);
        return;
    case OUTPUT_SIGMOIDS:
        for (uint32_t c = 0; c < model->info.class_count; c++)
            ret_p[c] = sigmoid(model, sums[c] / model->divisor);
        return;
    }
}

uint32_t walk_winner(const double *p, uint32_t class_count)
{
    uint32_t best = 0;

    for (uint32_t c = 1; c < class_count; c++)
        if (p[c] > p[best])
            best = c;
    return best;
}

uint8_t walk_percent(double p)
{
    return (uint8_t)(100 * p + 0.5);
}

void walk_write(const struct model *model, const double *p, size_t at, size_t count,
                const struct forest_output *output)
{
    uint32_t best = walk_winner(p, model->info.class_count);

    if (output->label)
        output->label[at] = model->info.classes[best].value;
    if (output->confidence)
        output->confidence[at] = walk_percent(p[best]);
    for (uint32_t c = 0; output->probability && c < model->info.class_count; c++)
        output->probability[c * count + at] = (float)p[c];
}
