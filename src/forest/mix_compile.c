#include "base/arena.h"
#include "forest/flat_file.h"
#include "forest/mix.h"
#include "model/model.h"

#include <math.h>
#include <string.h>

/* Multiples of 2^-20: sums of a whole forest are exact in any order. */
static bool sums_in_any_order(const struct model *model)
{
    size_t count = (size_t)model->leaf_count * model->leaf_width;

    for (size_t i = 0; i < count; i++)
        if (model->leaf_values[i] * 0x1p20 != floor(model->leaf_values[i] * 0x1p20))
            return false;
    return true;
}

/* The ensemble as it runs: one whose probabilities others build on gives its sums in the library's
 * order. */
static const struct model *exact_model(const struct model *model, bool read, struct arena *arena)
{
    if (!read || model->output != OUTPUT_MEAN || sums_in_any_order(model))
        return model;
    struct model *scores = arena_alloc(arena, 1, sizeof(*scores));
    if (!scores)
        return NULL;
    *scores = *model;
    scores->output = OUTPUT_SCORES;
    return scores;
}

/* Part `p` of the mix. */
static enum tl_code compile_trees(const struct mix *mix, uint32_t p,
                                  const struct model_section *section, struct arena *arena,
                                  struct tl_err *err)
{
    const struct model_part *from = mix->model->part_count ? &mix->model->parts[p] : NULL;
    bool read = p + 1 < mix->part_count && !from->gives_label;
    const struct model *runs = exact_model(from ? from->model : mix->model, read, arena);
    struct mix_part *part = &mix->parts[p];

    if (!runs)
        return tl_fail(err, TL_NOMEM, "no memory to compile the parts of a model");
    if (!section)
        TL_TRY(flat_compile(runs, arena, &part->flat, err));
    else if (!flat_file_open(section, p, runs, arena, &part->flat))
        return tl_fail(err, TL_CORRUPT, "part %u of the compiled section is not right", p);
    part->plan = run_plan(&part->flat, sweep_kernel(cpu_isa()));
    return TL_OK;
}

static bool has_trees(const struct mix *mix, uint32_t p)
{
    return !mix->model->part_count || mix->model->parts[p].kind == PART_TREES;
}

enum tl_code mix_compile(const struct model *model, const struct model_section *section,
                         struct arena *arena, struct mix *ret_mix, struct tl_err *err)
{
    uint32_t count = TL_MAX(model->part_count, 1U);
    struct mix mix = {.model = model, .part_count = count, .walk_below = WALK_BELOW_PX};

    mix.parts = arena_zalloc(arena, count, sizeof(*mix.parts));
    if (!mix.parts)
        return tl_fail(err, TL_NOMEM, "no memory to compile the parts of a model");
    for (uint32_t p = 0; p < count; p++) {
        if (has_trees(&mix, p))
            TL_TRY(compile_trees(&mix, p, section, arena, err));
        else if (model->parts[p].kind == PART_NET)
            TL_TRY(dense_compile(model->parts[p].net, arena, &mix.parts[p].dense, err));
    }
    *ret_mix = mix;
    return TL_OK;
}

void mix_write(const struct mix *mix, struct hash128 tensors, struct buf *ret_section)
{
    const struct flat *flats[MODEL_MAX_PARTS];

    for (uint32_t p = 0; p < mix->part_count; p++)
        flats[p] = has_trees(mix, p) ? &mix->parts[p].flat : NULL;
    flat_file_write(flats, mix->part_count, tensors, ret_section);
}

static bool part_takes_nan(const struct mix *mix, uint32_t p)
{
    const struct flat *flat = &mix->parts[p].flat;

    if (!has_trees(mix, p)) {
        const struct model_part *part = &mix->model->parts[p];

        for (uint32_t i = 0; i < part->input_count; i++)
            if (!part->inputs || part->inputs[i] < mix->model->info.feature_count)
                return false;
        return true;
    }
    for (uint32_t plane = 0; plane < flat->plane_count; plane++)
        if (flat->planes[plane].missing != MISSING_COMPARE)
            return true;
    return false;
}

bool mix_takes_nan(const struct mix *mix)
{
    for (uint32_t p = 0; p < mix->part_count; p++)
        if (!part_takes_nan(mix, p))
            return false;
    return true;
}

uint32_t mix_depth(const struct mix *mix)
{
    uint32_t depth = 0;

    for (uint32_t p = 0; p < mix->part_count; p++)
        depth = TL_MAX(depth, mix->parts[p].flat.max_depth);
    return depth;
}
