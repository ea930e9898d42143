/*
 * load: what forest_load() does with a model file that holds the compiled form of its model besides
 * (docs/model-file.md), for those who want to know or to choose.
 *
 * Threads  as forest.h
 */
#ifndef TILTH_FOREST_LOAD_H
#define TILTH_FOREST_LOAD_H

#include "base/hash.h"
#include "forest/forest.h"

struct buf;

enum forest_form {
    /* forest_load(): what is compiled is used where it lies, so the forest keeps the file; a sample
     * of the golden rows is replayed. What is not right about it, or for another version, is no
     * reason to refuse the model, which is compiled here. */
    FOREST_SERVED,
    FOREST_MODEL,  /* the model alone, as if nothing were compiled; for forest_run_scalar() */
    FOREST_SECTION /* the compiled form, or TL_ABSENT, TL_CORRUPT; all golden rows are replayed */
};

TL_MUST_CHECK enum tl_code forest_load_as(const char *name, const struct blob *file,
                                          enum forest_form form, struct forest **ret_forest,
                                          struct tl_err *err);

struct forest_section {
    size_t bytes;
    uint32_t version;
    char maker[25];     /* the tilth that made it: "0.3.0" */
    const char *unused; /* why it is of no use here; NULL: it is used, but for FOREST_MODEL */
};

/* NULL: the file has none. */
const struct forest_section *forest_section(const struct forest *forest);
/* The compiled form as a section of a file whose tensors have this hash (model/section.h). */
void forest_write_section(const struct forest *forest, struct hash128 tensors,
                          struct buf *ret_section);

#endif
