#include "forest/bench.h"

#include "base/arena.h"
#include "base/blob.h"
#include "forest/forest_private.h"
#include "model/rows.h"

#include <string.h>

/* The same model with other kernels. */
static bool mix_with(const struct mix *mix, enum cpu_isa isa, struct arena *arena,
                     struct mix *ret_mix)
{
    struct mix_part *parts = arena_alloc(arena, mix->part_count, sizeof(*parts));

    if (!parts)
        return false;
    memcpy(parts, mix->parts, mix->part_count * sizeof(*parts));
    for (uint32_t p = 0; p < mix->part_count; p++) {
        if (parts[p].dense.kernel)
            parts[p].dense.kernel = dense_choose(isa);
        else if (parts[p].plan.kernel)
            parts[p].plan = run_plan(&parts[p].flat, sweep_kernel(isa));
    }
    *ret_mix = *mix;
    ret_mix->parts = parts;
    return true;
}

enum tl_code forest_run_timed(const struct forest *forest, const struct forest_pixels *pixels,
                              struct arena *scratch, const struct forest_output *output,
                              struct forest_times *times, struct tl_err *err)
{
    struct run_task task = {.planes = pixels->planes,
                            .count = pixels->count,
                            .output = output,
                            .room = pixels->count,
                            .scratch = scratch,
                            .codes = pixels->codes,
                            .times = times};
    struct mix mix;

    if (!mix_with(&forest->mix, TL_MIN(times->isa, cpu_isa()), scratch, &mix))
        return tl_fail(err, TL_NOMEM, "no memory for another kernel");
    return mix_run(&mix, &task, err);
}

bool forest_make_tile(const struct forest *forest, enum model_tile tile, uint64_t seed,
                      uint32_t width, uint32_t height, float *const *ret_planes)
{
    const struct blob *file = forest->file;
    AUTO(arena) arena = arena_new();
    struct model model = forest->model;
    struct model_rows rows;
    struct tl_err err;

    if (!arena || (file && model_read("", blob_bytes(file), blob_size(file), arena, &model, &err)))
        return false;
    if (!model_rows_open(&model, seed, arena, &rows))
        return false;
    model_rows_tile(&rows, tile, width, height, ret_planes);
    return true;
}

size_t forest_memory(const struct forest *forest)
{
    return arena_used(forest->memory) + (forest->file ? blob_size(forest->file) : 0);
}
