/*
 * convert: a model of any format that tilth reads, as a file of tilth's own
 * (docs/model-file.md), which gives the same outputs bit for bit: with names of the trainer's
 * choice, where it came from, and golden rows.
 *
 * Golden rows that the model had are kept. Where it had none they are made of its thresholds, and
 * what they should give is what tilth's oracle gives: provenance says so. They prove that a later
 * tilth, or another machine, still gives what this one gave; not what the library gave.
 *
 * Threads  any
 */
#ifndef TILTH_FOREST_CONVERT_H
#define TILTH_FOREST_CONVERT_H

#include "base/attr.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct blob;
struct buf;

struct convert_wish {
    const char *name;        /* of the model; NULL: what the file says, or the file's name */
    const char *classes;     /* JSON: ["maize", ..] or [{"value", "name", "color"}, ..] in the
                                order of the model's classes; NULL: as they are */
    const char *class_names; /* "0=maize:#FFCC00,1=soya": some of them, by what they are called
                                now; after `classes`; NULL: none */
    const char *features;    /* one name per line, in order; NULL: as they are */
    uint32_t golden_rows;    /* to make where there are none; at least 1 */
};

/*
 * `name` is the source's path or href. The file is appended to *ret_file after it was loaded
 * again: proved by its golden rows, and held against the source on rows of its thresholds.
 * TL_INVALID for names that do not fit the model; else as forest_load().
 */
TL_MUST_CHECK enum tl_code model_convert(const char *name, const struct blob *file,
                                         const struct convert_wish *wish, struct buf *ret_file,
                                         struct tl_err *err);

/*
 * The same with the model's compiled form in it. A file of tilth's own whose names are as wished
 * keeps its bytes but for the header's; any other is converted first.
 */
TL_MUST_CHECK enum tl_code model_compile(const char *name, const struct blob *file,
                                         const struct convert_wish *wish, struct buf *ret_file,
                                         struct tl_err *err);

#endif
