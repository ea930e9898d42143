/*
 * mix: a model as it runs, be it one ensemble or made of several (struct model_part):
 * soft votes, weighted or not, nets, stacks with a net or a forest on top, and all nested.
 *
 * A part that is not the last gives its probabilities in double, exactly as the library has
 * them, so that whatever is made of them is literally what the library makes: in its order
 * and precision, the same code for the oracle and for the kernel. For that a forest whose
 * sums depend on their order runs as scores (flat.h's KIND_LEAF), tree after tree.
 *
 * Threads  immutable once compiled
 * Memory   the compiled form in the arena that mix_compile() was given. mix_run(): per pixel
 *          of at most 65,536 and per part 8 bytes per class, 4 per column that a part on
 *          columns reads, and what the largest part takes (forest_run)
 */
#ifndef TILTH_FOREST_MIX_H
#define TILTH_FOREST_MIX_H

#include "forest/dense.h"
#include "forest/forest.h"
#include "forest/run.h"
#include "forest/table.h"

struct buf;
struct model_section;

struct mix_part {
    struct flat flat; /* PART_TREES; else empty */
    struct run_plan plan;
    struct dense dense; /* PART_NET; else empty */
};

struct mix {
    const struct model *model;
    uint32_t part_count; /* 1 for a model without parts */
    struct mix_part *parts;
    uint32_t walk_below; /* of every part's plan */
};

/* `model` is borrowed and must outlive the mix. section: NULL, or where its flat forms are, which
 * is then TL_CORRUPT unless they are as flat_file_open() wants them. */
TL_MUST_CHECK enum tl_code mix_compile(const struct model *model,
                                       const struct model_section *section, struct arena *arena,
                                       struct mix *ret_mix, struct tl_err *err);

/* The flat forms as a section: flat_file_write(). */
void mix_write(const struct mix *mix, struct hash128 tensors, struct buf *ret_section);

/*
 * Whether the library that trained it takes NaN: whatever looks at features is trees, of which
 * some split has a rule for it. A forest that refuses NaN only ever compares.
 */
bool mix_takes_nan(const struct mix *mix);
/* Splits on the longest path of any tree. */
uint32_t mix_depth(const struct mix *mix);

/*
 * The ensembles that read a feature, for a table of its codes. False where a table would not do:
 * one of them compares floats, or reads it more often than there is room for.
 */
bool mix_table_readers(const struct mix *mix, uint32_t feature, struct table_reader *ret_list,
                       size_t room, size_t *ret_count);

/* As forest_run(). task->exact is not for callers. */
TL_MUST_CHECK enum tl_code mix_run(const struct mix *mix, const struct run_task *task,
                                   struct tl_err *err);

/* As forest_run_scalar(). */
void mix_walk(const struct model *model, const struct forest_pixels *pixels,
              const struct forest_output *output);

#endif
