/*
 * stack_inputs: rasters that nobody wrote a document for: which band of which is which feature of
 * a model - by the bands' names, else in order - and whether they lie where the grid does.
 * Bands whose names say something else than the model's features are not taken in order
 * unless somebody says so.
 *
 * Threads  main thread only
 * Memory   names and texts live in the arena
 */
#ifndef TILTH_CLI_STACK_INPUTS_H
#define TILTH_CLI_STACK_INPUTS_H

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct arena;
struct block_source;
struct model_info;
struct prediction_source;

struct stack_inputs {
    const char *const *hrefs; /* as they were given */
    size_t count;
    struct block_source *const *opened;
    const struct prediction_source *sources; /* of stack_inputs_name_bands() */
    bool in_order;                           /* whatever bands are called */
    bool quiet;                              /* bands that are taken in order are not listed */
};

/* Input `at` as "s1", "s2", ..: its bands by the file's names where an expression can say them
 * and no band before has them, else b1, b2, ... */
TL_MUST_CHECK enum tl_code stack_inputs_name_bands(struct block_source *opened, size_t at,
                                                   struct arena *arena,
                                                   struct prediction_source *ret_source,
                                                   struct tl_err *err);
/* An expression per feature. What is taken in order is listed on standard error, once. */
TL_MUST_CHECK enum tl_code stack_inputs_features(const struct stack_inputs *inputs,
                                                 const struct model_info *model,
                                                 struct arena *arena, const char **ret_texts,
                                                 struct tl_err *err);
/* TL_INVALID where one is nowhere on the grid, the first one's: it would be nodata everywhere. */
TL_MUST_CHECK enum tl_code stack_inputs_meet(const struct stack_inputs *inputs, struct tl_err *err);

#endif
