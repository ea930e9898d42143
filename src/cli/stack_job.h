/*
 * stack_job: rasters and a model become a prediction, without a layer document.
 *
 * Threads  main thread only
 * Memory   stack_job_open() / stack_job_close(); the app is borrowed
 */
#ifndef TILTH_CLI_STACK_JOB_H
#define TILTH_CLI_STACK_JOB_H

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>

struct app;
struct block_source;
struct model_info;
struct stack_job;

struct stack_wish {
    const char *model;          /* file or href */
    const char *features;       /* a JSON object of expressions; NULL: bands by their names */
    const char *const *inputs;  /* files or hrefs: s1, s2, ... in expressions */
    size_t input_count;         /* at least 1 */
    const char *aoi;            /* GeoJSON beyond which nothing is classified; NULL: everywhere */
    const char *const *outputs; /* names of the bands that are wanted */
    size_t output_count;
    bool in_order, quiet; /* of stack_inputs */
};

/*
 * The grid is the first input's, the others are put onto it (nearest). What is which feature:
 * stack_inputs.h. TL_INVALID where an input is nowhere on the grid and no feature is filled.
 */
TL_MUST_CHECK enum tl_code stack_job_open(const struct app *app, const struct stack_wish *wish,
                                          struct stack_job **ret_job, struct tl_err *err);
void stack_job_close(struct stack_job *job);
const struct model_info *stack_job_model(const struct stack_job *job);
struct block_source *stack_job_prediction(const struct stack_job *job);
/* Names of the prediction's bands. */
const char *const *stack_job_bands(const struct stack_job *job);

AUTO_DEFINE(stack_job, stack_job_close)

#endif
