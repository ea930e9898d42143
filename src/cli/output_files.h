/*
 * output_files: which bands of a prediction `tilth classify` writes, and where to:
 * -o OUT.tif, --confidence OUT.tif, --outputs margin=OUT.tif,probability:maize=OUT.tif
 *
 * Threads  main thread only
 * Memory   output_files_read() / output_files_release()
 */
#ifndef TILTH_CLI_OUTPUT_FILES_H
#define TILTH_CLI_OUTPUT_FILES_H

#include "base/attr.h"
#include "base/err.h"
#include "classify/prediction_band.h"

#include <stdint.h>

struct args;
struct model_info;

struct output_files {
    char *text; /* what the names and paths of --outputs are cut out of */
    uint32_t count;
    const char *names[PREDICTION_MAX_BANDS]; /* as they were written; [0] is "label" */
    const char *paths[PREDICTION_MAX_BANDS];
};

TL_MUST_CHECK enum tl_code output_files_read(const struct args *args,
                                             struct output_files *ret_files, struct tl_err *err);
void output_files_release(struct output_files *files);

/* Paths by band of a prediction whose bands are called `names`. TL_ABSENT where one is not
 * among them, TL_INVALID where two files are for one. */
TL_MUST_CHECK enum tl_code output_files_sort(const struct output_files *files,
                                             const struct model_info *model,
                                             const char *const *names, uint32_t count,
                                             const char **ret_paths, struct tl_err *err);

#define AUTO_OUTPUT_FILES __attribute__((cleanup(output_files_release))) struct output_files

#endif
