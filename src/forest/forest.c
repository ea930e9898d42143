#include "forest/forest.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/check.h"
#include "base/errand.h"
#include "forest/forest_private.h"
#include "forest/output.h"
#include "forest/table.h"

#include <stdlib.h>

const struct sweep_kernel *sweep_kernel(enum cpu_isa isa)
{
#if defined(__x86_64__)
    if (isa >= ISA_AVX512)
        return &sweep_avx512;
    if (isa >= ISA_AVX2)
        return &sweep_avx2;
    if (isa >= ISA_SSE2)
        return &sweep_sse2;
#elif defined(__aarch64__)
    if (isa >= ISA_NEON)
        return &sweep_neon;
#endif
    (void)isa;
    return &sweep_scalar;
}

struct forest *forest_ref(struct forest *forest)
{
    /* Relaxed: whoever refs holds a reference already. */
    atomic_fetch_add_explicit(&forest->refs, 1, memory_order_relaxed);
    return forest;
}

void forest_unref(struct forest *forest)
{
    /* Acquire-release: the last one must see what all others did before. */
    if (!forest || atomic_fetch_sub_explicit(&forest->refs, 1, memory_order_acq_rel) > 1)
        return;
    arena_free(forest->memory);
    blob_unref(forest->file);
    free(forest);
}

const struct model_info *forest_info(const struct forest *forest)
{
    return &forest->model.info;
}

enum tl_code forest_run(const struct forest *forest, const struct forest_pixels *pixels,
                        struct errand *errand, struct arena *scratch,
                        const struct forest_output *output, struct tl_err *err)
{
    struct run_task task = {.planes = pixels->planes,
                            .count = pixels->count,
                            .output = output,
                            .room = pixels->count,
                            .errand = errand,
                            .scratch = scratch,
                            .codes = pixels->codes};

    if (output->votes && !forest->model.info.has_votes)
        return tl_fail(err, TL_UNSUPPORTED,
                       "%s: votes are of forests, whose trees each name a class; this is %s",
                       forest->model.info.name, forest->model.info.kind);
    return mix_run(&forest->mix, &task, err);
}

void forest_run_scalar(const struct forest *forest, const struct forest_pixels *pixels,
                       const struct forest_output *output)
{
    TL_CHECK(!forest->file); /* FOREST_MODEL */
    mix_walk(&forest->model, pixels, output);
}

enum tl_code forest_table_new(const struct forest *forest, uint32_t feature, const float *values,
                              size_t count, struct forest_table **ret_table, struct tl_err *err)
{
    struct table_reader list[MODEL_MAX_PARTS];
    struct table_readers readers = {.list = list};
    struct forest_table *table = NULL;

    TL_CHECK(feature < forest->model.info.feature_count && count <= FOREST_MAX_CODES);
    if (mix_table_readers(&forest->mix, feature, list, TL_COUNT(list), &readers.count) &&
        table_fits(&readers, count)) {
        table = table_new(&readers, values, count);
        if (!table)
            return tl_fail(err, TL_NOMEM, "no memory for a table of %zu ranks", count);
    }
    *ret_table = table;
    return TL_OK;
}

float forest_value(const struct forest_pixels *pixels, uint32_t feature, size_t i)
{
    const struct forest_codes *codes = pixels->codes ? &pixels->codes[feature] : NULL;

    if (codes && codes->table)
        return forest_table_values(codes->table)[codes->codes[i]];
    return pixels->planes[feature][i];
}
