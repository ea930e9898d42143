/*
 * build: what the readers of other libraries' files have in common: nodes come as a
 * graph in any order, and leave as trees in which a child is behind its parent.
 *
 * Threads  a build belongs to one
 * Memory   build_release() frees the buffers; the model's own memory is the arena's
 */
#ifndef TILTH_MODEL_BUILD_H
#define TILTH_MODEL_BUILD_H

#include "base/buf.h"
#include "model/doc.h"
#include "model/model.h"

/* Leaves within this leave 1e5 of them far from float32's infinity. */
#define BUILD_MAX_FLOAT_LEAF 1e30
#define BUILD_MAX_LEAF       1e100

struct model_build {
    const char *name;
    struct arena *arena;
    struct model *model;
    struct tl_err *err;
    uint32_t tree;    /* being read */
    uint64_t sourced; /* nodes that trees had in the file, so far */
    struct buf nodes, leaves, offsets, scores, sets;
    struct buf lines, terms; /* one line per leaf, or none at all */
    struct buf stack, seen;  /* of build_tree(); a byte per node of its source */
};

/* A tree as its file has it: nodes by number, `left` < 0 in a leaf, whose `right` is then a
 * row that build_leaf() gave. */
struct build_source {
    const struct model_node *nodes;
    uint32_t count, root;
    bool shared;  /* a node may have several parents: it is copied for each */
    uint32_t own; /* nodes of it that are this tree's, where others' are among them; 0: all */
};

void build_release(struct model_build *build);
#define AUTO_BUILD __attribute__((cleanup(build_release))) struct model_build

/* TL_CORRUPT: what is wrong under a key of the file, and of the tree at hand. Inline, so that
 * analysers see which code comes out. */
static inline enum tl_code build_corrupt(const struct model_build *build, const char *key,
                                         const char *what)
{
    return tl_fail(build->err, TL_CORRUPT, "%s: %s: %s; save the model again", build->name, key,
                   what);
}

static inline enum tl_code build_corrupt_tree(const struct model_build *build, const char *key,
                                              const char *what)
{
    return tl_fail(build->err, TL_CORRUPT, "%s: tree %u: %s: %s; save the model again", build->name,
                   build->tree, key, what);
}

static inline enum tl_code build_no_memory(const struct model_build *build)
{
    return tl_fail(build->err, TL_NOMEM, "%s: no memory for the model", build->name);
}

/* Appends a row of leaf values (the model's leaf_width); its number. */
int32_t build_leaf(struct model_build *build, const double *values, uint32_t width);

/* The largest float32 below x. */
float build_below(double x);

/* Appends the run (above, upto] to the bounds of a set; runs come in ascending order. */
void build_run(struct buf *bounds, float above, float upto);

/* Appends the runs of exactly these floats, which it sorts; before any other run. NaN is none. */
void build_exact(float *values, size_t count, struct buf *bounds);

/* What the numbers 0, 1, .. of a feature's categories stood for in the training table. */
struct build_values {
    bool words;     /* some is no number */
    uint32_t count; /* 0: they are numbers by themselves */
    float *values;  /* NaN where no float32 is the number; none of words */
};
/* The items of a list; where it is none, nothing. */
TL_MUST_CHECK enum tl_code build_values(const struct model_build *build, struct doc_value list,
                                        struct build_values *ret_values);
/* TL_UNSUPPORTED: of the tree at hand, a split asks for a feature's words. */
enum tl_code build_refuse_words(const struct model_build *build, uint32_t feature);

/* Keeps the bounds as a set of its own; its number. TL_LIMIT when there are too many. */
TL_MUST_CHECK enum tl_code build_set(struct model_build *build, const struct buf *bounds,
                                     uint32_t *ret_set);

/*
 * Appends the nodes that the root reaches, and counts the tree; `score` is what it adds to.
 * TL_CORRUPT for cycles and nodes reached twice, TL_LIMIT over a cap.
 */
TL_MUST_CHECK enum tl_code build_tree(struct model_build *build, const struct build_source *from,
                                      uint32_t score);

/* Classes named `names` (NULL: "0", "1", ..), with values 0, 1, .. */
TL_MUST_CHECK enum tl_code build_classes(struct model_build *build, const char *const *names,
                                         uint64_t count);
/* `count` features named f0, f1, ..; TL_LIMIT when there are too many. */
TL_MUST_CHECK enum tl_code build_features(struct model_build *build, const char *const *names,
                                          uint64_t count);

/* Moves everything into the model and checks it. */
TL_MUST_CHECK enum tl_code build_finish(struct model_build *build);

#endif
