/*
 * stack_private: what the files behind stack.h share.
 *
 *   stack.c            making one, reading a window
 *   stack_compile.c    its features become programs
 *   stack_features.c   features of pixels of a window
 */
#ifndef TILTH_CLASSIFY_STACK_PRIVATE_H
#define TILTH_CLASSIFY_STACK_PRIVATE_H

#include "base/attr.h"
#include "base/err.h"
#include "classify/stack.h"
#include "feature/fill.h"
#include "raster/dtype.h"
#include "raster/warp.h"

#include <stdbool.h>
#include <stdint.h>

struct area;
struct forest;
struct forest_table;

/*
 * A source, and those of its bands that some feature (or the mask) uses: a pixel where one of
 * them is invalid is nodata. A band that only features with a fill use is a `gappy` source of
 * its own, read by itself, which settles no pixel.
 */
struct stack_source {
    uint32_t layer_source; /* which of the layer's */
    char *id;
    struct block_source *source;
    enum resampling resampling;
    uint16_t *bands;
    uint16_t band_count;
    bool gappy;
    bool aligned;  /* its level 0 and the grid are the same pixels, shifted by whole ones */
    uint8_t level; /* that level 0 of the grid reads */
};

/* Plane number `i` of the feature programs is band planes[i].band of source planes[i].source. */
struct stack_plane {
    uint32_t source;
    uint16_t band; /* among those used */
};

/* All codes are samples: none is left for a pixel that has none. */
#define STACK_NO_CODE UINT32_MAX

/*
 * A feature that is a function of one band of 8 or 16 bits: the band's samples are codes of a
 * table, and nothing is computed per pixel.
 */
struct stack_code {
    struct forest_table *table; /* NULL: the feature is computed */
    uint32_t plane;
    enum dtype dtype; /* that the samples must have */
    bool finite;      /* whatever the sample */
    uint32_t invalid; /* the code of a pixel that a gappy source has no sample of */
};

struct stack {
    struct grid grid;
    uint32_t layer_sources, source_count, plane_count, feature_count;
    struct stack_source *sources; /* the layer's, and behind them the gappy ones */
    uint16_t *gappy_bands;        /* one each */
    struct stack_plane *planes;
    struct feature_fill *fills; /* one per feature */
    struct features **alone;    /* each feature by itself */
    struct stack_code *codes;   /* one per feature */
    /* Those without a table, together: output i is feature computed[i]. NULL: there are none. */
    struct features *together;
    uint32_t *computed;
    uint32_t computed_count;
    struct area *area;        /* NULL: everywhere */
    struct stack_source mask; /* source NULL: none */
    uint8_t keep[256];
};

/* The sources are there; finds out which of their bands are read. */
TL_MUST_CHECK enum tl_code stack_compile(struct stack *stack, const struct prediction_spec *spec,
                                         struct tl_err *err);
/* Tables for the features that can have one, once each is compiled alone. */
TL_MUST_CHECK enum tl_code stack_make_codes(struct stack *stack, const struct forest *forest,
                                            struct tl_err *err);
void stack_free_codes(struct stack *stack);

#endif
