/*
 * xgboost_private: what the files behind model_read_xgboost() share.
 *
 *   xgboost.c        the booster, its objective, features, base score and how many trees count
 *   xgboost_trees.c  those trees
 */
#ifndef TILTH_MODEL_XGBOOST_PRIVATE_H
#define TILTH_MODEL_XGBOOST_PRIVATE_H

#include "model/build.h"
#include "model/doc.h"

struct xgboost_reader {
    struct model_build *build;
    struct doc_value learner, booster, model; /* `model` holds the trees */
    struct doc_value weight_drop;             /* dart: a factor per tree */
    uint32_t groups;                          /* scores per row */
    uint64_t tree_count;                      /* in the file */
    uint64_t used;                            /* up to the best iteration */
    uint32_t *tree_info;
    float *weights;              /* NULL: none */
    struct build_values *values; /* [feature_count] */
};

/* The trees up to the best iteration, into the build. */
TL_MUST_CHECK enum tl_code xgboost_read_trees(const struct xgboost_reader *reader);

#endif
