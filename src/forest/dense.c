#include "forest/dense.h"

#include "base/arena.h"
#include "forest/dense_math.h"

#include <string.h>

const struct dense_kernel *dense_choose(enum cpu_isa isa)
{
#if defined(__x86_64__)
    if (isa >= ISA_AVX512)
        return &dense_avx512;
    if (isa >= ISA_AVX2)
        return &dense_avx2;
#endif
    (void)isa;
    return &dense_portable;
}

/* ---- compile ---- */

static bool pack(const struct model_layer *from, struct arena *arena, struct dense_layer *to)
{
    size_t tiles = (from->output_count + DENSE_TILE - 1) / DENSE_TILE;
    double *weights = arena_zalloc(arena, tiles * DENSE_TILE * from->input_count, sizeof(*weights));
    double *bias = arena_zalloc(arena, tiles * DENSE_TILE, sizeof(*bias));

    if (!weights || !bias)
        return false;
    for (size_t o = 0; o < from->output_count; o++) {
        double *tile = weights + o / DENSE_TILE * from->input_count * DENSE_TILE + o % DENSE_TILE;

        for (size_t i = 0; i < from->input_count; i++)
            tile[i * DENSE_TILE] = from->weights[o * from->input_count + i];
        bias[o] = from->bias[o];
    }
    *to = (struct dense_layer){from->input_count, (uint32_t)tiles, weights, bias, from->activation};
    return true;
}

enum tl_code dense_compile(const struct model_net *net, struct arena *arena,
                           struct dense *ret_dense, struct tl_err *err)
{
    struct dense_layer *layers = arena_alloc(arena, net->layer_count, sizeof(*layers));
    uint32_t widest = net->layers[0].input_count;
    bool packed = layers != NULL;

    for (uint32_t l = 0; packed && l < net->layer_count; l++) {
        packed = pack(&net->layers[l], arena, &layers[l]);
        if (packed)
            widest = TL_MAX(widest, layers[l].tiles * DENSE_TILE);
    }
    if (!packed)
        return tl_fail(err, TL_NOMEM, "no memory to compile a net");
    *ret_dense = (struct dense){.net = net,
                                .inputs = net->layers[0].input_count,
                                .layers = layers,
                                .room = (size_t)widest * DENSE_STRIP,
                                .kernel = dense_choose(cpu_isa())};
    return TL_OK;
}

/* ---- the oracle ---- */

/* A number of column `column`; `norm`: of its row. */
static double scaled(const struct model_scaling *scaling, uint32_t column, double norm, double x)
{
    if (scaling->curves)
        return dense_follow(&scaling->curves[column], x);
    return scaling->numbers ? dense_scale(scaling->kind, x, scaling->numbers[column])
                            : x / dense_divisor(scaling->kind, norm);
}

static void walk_scaling(const struct model_scaling *scaling, uint32_t count, double *values)
{
    double norm = dense_start(scaling->kind);

    for (uint32_t i = 0; scaling->kind >= SCALING_L1 && i < count; i++)
        norm = dense_norm(scaling->kind, norm, values[i]);
    for (uint32_t i = 0; i < count; i++) {
        values[i] = scaled(scaling, i, norm, values[i]);
        if (scaling->narrow)
            values[i] = (double)(float)values[i];
    }
}

static double walk_output(const struct model_layer *layer, uint32_t o, bool narrow,
                          const double *values)
{
    const double *weights = layer->weights + (size_t)o * layer->input_count;
    double sum = 0;

    for (uint32_t i = 0; i < layer->input_count; i++)
        sum += weights[i] * values[i];
    sum += layer->bias[o];
    if (narrow)
        sum = (double)(float)sum;
    sum = dense_activate(layer->activation, sum);
    return narrow ? (double)(float)sum : sum;
}

void dense_walk(const struct model_net *net, double *values, double *ret_scores)
{
    for (uint32_t s = 0; s < net->scaling_count; s++)
        walk_scaling(&net->scalings[s], net->layers[0].input_count, values);
    for (uint32_t l = 0; l < net->layer_count; l++) {
        const struct model_layer *layer = &net->layers[l];

        for (uint32_t o = 0; o < layer->output_count; o++)
            ret_scores[o] = walk_output(layer, o, net->narrow, values);
        memcpy(values, ret_scores, layer->output_count * sizeof(*values));
    }
}

void dense_softmax(uint32_t classes, const double *scores, double *ret_p)
{
    double most = scores[0], total = 0;

    for (uint32_t c = 1; c < classes; c++)
        most = scores[c] > most ? scores[c] : most;
    for (uint32_t c = 0; c < classes; c++) {
        ret_p[c] = poly_exp(dense_floor(scores[c] - most));
        total += ret_p[c];
    }
    for (uint32_t c = 0; c < classes; c++)
        ret_p[c] /= total;
}
