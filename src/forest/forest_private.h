/*
 * forest_private: a forest, to forest.c, which runs it, and to load.c, which makes it.
 */
#ifndef TILTH_FOREST_FOREST_PRIVATE_H
#define TILTH_FOREST_FOREST_PRIVATE_H

#include "forest/load.h"
#include "forest/mix.h"
#include "model/model.h"

#include <stdatomic.h>

struct forest {
    atomic_uint refs;
    struct arena *memory; /* of the model and its compiled form */
    struct model model;
    struct mix mix;
    struct blob *file; /* where model and flat forms lie; NULL: all is in the arena */
    struct forest_section section;
};

#endif
