#include "forest/walk.h"

#include "base/check.h"

#include <math.h>
#include <string.h>

static bool goes_left(const struct model *model, const struct model_node *node, float value)
{
    double x = (double)value;

    if (node->missing == MISSING_SET)
        return isnan(x) ? node->default_left : model_set_holds(&model->sets[node->set], value);
    if (node->missing == MISSING_COMPARE)
        return x <= node->threshold;
    if (node->missing == MISSING_SIDED)
        return isnan(x) ? node->default_left : x <= node->threshold;
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
        node =
            root + (goes_left(model, node, planes[node->feature][at]) ? node->left : node->right);
    return (uint32_t)node->right;
}

double walk_line(const struct model *model, uint32_t leaf, const float *const *planes, size_t at)
{
    const struct model_line *line = &model->lines[leaf];
    const struct model_term *terms = model->terms + line->begin;
    double sum = line->constant;

    for (uint32_t i = 0; i < line->count; i++) {
        double x = (double)planes[terms[i].feature][at];

        if (isnan(x))
            return model->leaf_values[leaf];
        sum += terms[i].coefficient * (fabs(x) <= MODEL_ZERO ? 0 : x);
    }
    return sum;
}

/* One addition in the library's arithmetic. */
static double add(const struct model *model, double sum, double more)
{
    return model->arithmetic == ARITHMETIC_DOUBLE ? sum + more : (double)((float)sum + (float)more);
}

void walk_start(const struct model *model, double *ret_sums)
{
    bool based = model->base && model->arithmetic == ARITHMETIC_XGBOOST;

    TL_CHECK(model->score_count > 0 && model->score_count <= MODEL_MAX_CLASSES);
    for (uint32_t s = 0; s < model->score_count; s++)
        ret_sums[s] = based ? model->base[s] : 0;
}

void walk_add(const struct model *model, const double *leaf, double *sums)
{
    for (uint32_t c = 0; c < model->leaf_width; c++)
        /* NOLINTNEXTLINE(clang-analyzer-*): walk_start() wrote every score there is */
        sums[c] = add(model, sums[c], leaf[c]);
}

void walk_sums(const struct model *model, const float *const *planes, size_t at, double *ret_sums)
{
    walk_start(model, ret_sums);
    for (uint32_t t = 0; t < model->info.tree_count; t++) {
        uint32_t number = walk_tree(model, t, planes, at);
        double *sum = ret_sums + model_tree_score(model, t);

        if (model->lines)
            *sum += walk_line(model, number, planes, at);
        else
            walk_add(model, model->leaf_values + (size_t)number * model->leaf_width, sum);
    }
}

/* What a transform is given: score `s` of the sums. */
static double final_score(const struct model *model, const double *sums, uint32_t s)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.*): walk_start() wrote every score there is */
    double score = model->divisor == 1 ? sums[s] : sums[s] / model->divisor;

    if (model->arithmetic != ARITHMETIC_DOUBLE)
        score = (double)(float)score; /* as rounded once, by the double's wealth of digits */
    if (model->scale != 0)
        score *= model->scale;
    if (model->base && model->arithmetic != ARITHMETIC_XGBOOST)
        score = add(model, score, model->base[s]);
    return score;
}

bool walk_plain(const struct model *model)
{
    bool based = model->base && model->arithmetic != ARITHMETIC_XGBOOST;

    return model->divisor == 1 && model->scale == 0 && !based;
}

void walk_scores(const struct model *model, const double *sums, double *ret_scores)
{
    for (uint32_t s = 0; s < model->score_count; s++)
        ret_scores[s] = final_score(model, sums, s);
}

static double sigmoid(const struct model *model, double score)
{
    float x = (float)score;

    switch (model->arithmetic) {
    case ARITHMETIC_DOUBLE:
        break;
    case ARITHMETIC_XGBOOST:
        /* Its 1e-16 against a division by zero is lost in float32. */
        return (double)(1.0F / (expf(fminf(-x, 88.7F)) + 1.0F));
    case ARITHMETIC_ONNX: {
        float p = 1.0F / (1.0F + expf(-fabsf(x)));

        return (double)(x < 0 ? 1.0F - p : p);
    }
    }
    return 1 / (1 + exp(-model->sigmoid * score));
}

/* In float32; XGBoost adds up in double, onnxruntime in float32. */
static void softmax_float(const struct model *model, double *p)
{
    uint32_t count = model->info.class_count;
    float most = (float)p[0], narrow = 0;
    double wide = 0;

    for (uint32_t c = 1; c < count; c++)
        most = fmaxf(most, (float)p[c]);
    for (uint32_t c = 0; c < count; c++) {
        float power = expf((float)p[c] - most);

        p[c] = (double)power;
        wide += (double)power;
        narrow += power;
    }
    float total = model->arithmetic == ARITHMETIC_XGBOOST ? (float)wide : narrow;
    for (uint32_t c = 0; c < count; c++)
        p[c] = (double)((float)p[c] / total);
}

static void softmax(const struct model *model, double *p)
{
    uint32_t count = model->info.class_count;
    double most = p[0], total = 0;

    if (model->arithmetic != ARITHMETIC_DOUBLE) {
        softmax_float(model, p);
        return;
    }
    for (uint32_t c = 1; c < count; c++)
        most = fmax(most, p[c]);
    for (uint32_t c = 0; c < count; c++) {
        p[c] = exp(p[c] - most);
        total += p[c];
    }
    for (uint32_t c = 0; c < count; c++)
        p[c] /= total;
}

enum { SUM_LANES = 8, SUM_MOST = 128 };

static double sum_in_order(const double *p, uint32_t count)
{
    double total = 0;

    for (uint32_t c = 0; c < count; c++)
        total += p[c];
    return total;
}

/* In the order in which numpy adds up a row of at most SUM_MOST numbers. */
static double sum_of_lanes(const double *p, uint32_t count)
{
    double lane[SUM_LANES];
    uint32_t done = SUM_LANES;

    if (count < SUM_LANES)
        return sum_in_order(p, count);
    memcpy(lane, p, sizeof(lane));
    for (; done + SUM_LANES <= count; done += SUM_LANES)
        for (uint32_t i = 0; i < SUM_LANES; i++)
            lane[i] += p[done + i];
    double total =
        ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
    for (; done < count; done++)
        total += p[done];
    return total;
}

/* Of more it halves. */
static double sum_as_numpy(const double *p, uint32_t count)
{
    uint32_t half = count / 2 / SUM_LANES * SUM_LANES;

    if (count <= SUM_MOST)
        return sum_of_lanes(p, count);
    return sum_as_numpy(p, half) + sum_as_numpy(p + half, count - half);
}

/* Nothing at all is shared out evenly. */
static void normalize(double *p, uint32_t count)
{
    double total = sum_as_numpy(p, count);

    for (uint32_t c = 0; c < count; c++)
        p[c] = total == 0 ? 1.0 / count : p[c] / total;
}

void walk_probabilities(const struct model *model, const double *sums, double *ret_p)
{
    uint32_t count = model->info.class_count;

    TL_CHECK(count > 0); /* every loader sees to it */
    switch (model->output) {
    case OUTPUT_MEAN:
    case OUTPUT_SCORES:
        walk_scores(model, sums, ret_p);
        return;
    case OUTPUT_BINARY:
        ret_p[1] = sigmoid(model, final_score(model, sums, 0));
        ret_p[0] = add(model, 1, -ret_p[1]);
        return;
    case OUTPUT_SHARE:
        ret_p[1] = final_score(model, sums, 0);
        ret_p[0] = add(model, 1, -ret_p[1]);
        return;
    case OUTPUT_SOFTMAX:
        walk_scores(model, sums, ret_p);
        for (uint32_t c = 0; c < count; c++)
            ret_p[c] *= model->sigmoid;
        softmax(model, ret_p);
        return;
    case OUTPUT_SIGMOIDS:
        for (uint32_t c = 0; c < count; c++)
            ret_p[c] = sigmoid(model, final_score(model, sums, c));
        return;
    case OUTPUT_NORMALIZED:
        for (uint32_t c = 0; c < count; c++)
            ret_p[c] = sigmoid(model, final_score(model, sums, c));
        normalize(ret_p, count);
        return;
    case OUTPUT_SHARED:
        for (uint32_t c = 0; c < count; c++)
            ret_p[c] = final_score(model, sums, c);
        normalize(ret_p, count);
        return;
    }
}

uint32_t walk_label(const struct model *model, const double *sums, const double *p)
{
    double scores[MODEL_MAX_CLASSES];

    if (!model->winner_by_score)
        return walk_winner(p, model->info.class_count);
    if (model->score_count == 1)
        return final_score(model, sums, 0) > model->winner_above;
    walk_scores(model, sums, scores);
    return walk_winner(scores, model->info.class_count);
}

/* NOLINTBEGIN(clang-analyzer-core.*): p has class_count numbers, which is at least one */
uint32_t walk_winner(const double *p, uint32_t class_count)
{
    double most = (double)-INFINITY;
    uint32_t best = 0, nan = class_count;

    TL_CHECK(class_count > 0); /* every loader sees to it */
    /* From the back, and without a branch that the winner decides: nobody foresees it. */
    for (uint32_t c = class_count; c-- > 0;) {
        most = p[c] > most ? p[c] : most;
        nan = isnan(p[c]) ? c : nan;
    }
    for (uint32_t c = class_count; c-- > 0;)
        best = p[c] == most ? c : best;
    return nan < class_count ? nan : best; /* the first NaN, as numpy has it */
}

void walk_two_greatest(const double *p, uint32_t class_count, double *ret_first, double *ret_second)
{
    double first = (double)-INFINITY, second = class_count > 1 ? (double)-INFINITY : 0;

    for (uint32_t c = 0; c < class_count; c++) {
        if (p[c] > first) {
            second = class_count > 1 ? first : 0;
            first = p[c];
        } else if (p[c] > second) {
            second = p[c];
        }
    }
    *ret_first = first;
    *ret_second = second;
}

double walk_entropy(const double *p, uint32_t class_count)
{
    double sum = 0;

    for (uint32_t c = 0; c < class_count; c++)
        if (p[c] > 0 && p[c] < 1)
            sum -= p[c] * log(p[c]);
    return class_count > 1 ? sum / log(class_count) : 0;
}

static float margin_of(const double *p, uint32_t class_count)
{
    double first, second;

    walk_two_greatest(p, class_count, &first, &second);
    return (float)(first - second);
}

void forest_write_label(const struct model_info *info, const double *p, uint32_t best, size_t at,
                        size_t count, const struct forest_output *output)
{
    if (output->label)
        output->label[at] = info->classes[best].value;
    if (output->confidence)
        output->confidence[at] = forest_percent(p[best]);
    for (uint32_t c = 0; output->probability && c < info->class_count; c++)
        output->probability[c * count + at] = (float)p[c];
    for (uint32_t c = 0; output->percent && c < info->class_count; c++)
        output->percent[c * count + at] = forest_percent(p[c]);
    if (output->margin)
        output->margin[at] = margin_of(p, info->class_count);
    if (output->entropy)
        output->entropy[at] = (float)walk_entropy(p, info->class_count);
}
/* NOLINTEND(clang-analyzer-core.*) */

void forest_write(const struct model_info *info, const double *p, size_t at, size_t count,
                  const struct forest_output *output)
{
    forest_write_label(info, p, walk_winner(p, info->class_count), at, count, output);
}

/* The transform is dear: a label that is the greatest score's does without. */
static bool asks_for_probabilities(const struct forest_output *output)
{
    return output->confidence || output->probability || output->percent || output->margin ||
           output->entropy;
}

void walk_write_known(const struct model *model, const double *sums, const double *p, size_t at,
                      size_t count, const struct forest_output *output)
{
    forest_write_label(&model->info, p, walk_label(model, sums, p), at, count, output);
    for (uint32_t s = 0; output->scores && s < model->score_count; s++)
        output->scores[s * count + at] =
            model->divisor == 1 ? final_score(model, sums, s) : sums[s];
}

void walk_write_sums(const struct model *model, const double *sums, size_t at, size_t count,
                     const struct forest_output *output)
{
    double p[MODEL_MAX_CLASSES];

    if (!model->winner_by_score || asks_for_probabilities(output))
        walk_probabilities(model, sums, p);
    walk_write_known(model, sums, p, at, count, output);
}

static void write_votes(const struct model *model, const struct walk_place *pixel,
                        const struct forest_output *output)
{
    uint32_t classes = model->info.class_count;

    for (uint32_t c = 0; c < classes; c++)
        output->votes[c * pixel->count + pixel->to] = 0;
    for (uint32_t t = 0; t < model->info.tree_count; t++) {
        size_t leaf = walk_tree(model, t, pixel->planes, pixel->at);
        uint32_t first = walk_winner(model->leaf_values + leaf * classes, classes);

        output->votes[first * pixel->count + pixel->to]++;
    }
}

void walk_write_pixel(const struct model *model, const struct walk_place *pixel,
                      const struct forest_output *output)
{
    double sums[MODEL_MAX_CLASSES];

    walk_sums(model, pixel->planes, pixel->at, sums);
    walk_write_sums(model, sums, pixel->to, pixel->count, output);
    if (output->votes)
        write_votes(model, pixel, output);
}
