/*
 * cmd_model: the verbs of `tilth model`; cmd_model.c has their table.
 *
 * Threads  main thread only
 */
#ifndef TILTH_CLI_CMD_MODEL_H
#define TILTH_CLI_CMD_MODEL_H

#include "cli/cli.h"

struct blob;
struct forest;

/* `tilth model VERB FILE`. positional[1] of the arguments is the model. */
struct model_verb {
    struct command command; /* "model info", with a help of its own; its `run` is not used */
    const char *const *own; /* options besides the configuration's, as args.own */
    enum tl_code (*run)(struct app *app, const struct args *args, struct tl_err *err);
};

extern const struct model_verb model_verb_info, model_verb_check, model_verb_convert,
    model_verb_compile, model_verb_bench;

/* The bytes of a model of at most 1 GiB, or of a smaller document beside it. */
TL_MUST_CHECK enum tl_code model_fetch(const struct app *app, const char *href,
                                       struct blob **ret_file, struct tl_err *err);
TL_MUST_CHECK enum tl_code model_load(const struct app *app, const char *href,
                                      struct forest **ret_forest, struct tl_err *err);

#endif
