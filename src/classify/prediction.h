/*
 * prediction: a model over feature rasters, as a block source. Its pyramid is the layer's
 * own grid; a block of it is computed when somebody asks for its pixels:
 *
 *   sources --warp to the layer's grid--> feature stack --forest--> raw class block
 *     --post.h with halo, baseline mask--> class block --> RAM, LMDB (class key)
 *
 * Bands: label (class value, 255 nodata, 254 masked by the baseline or outside the area),
 * confidence (0..100), and what else the layer keeps (0..100, 255 where nothing was classified).
 * Levels below native are the exact mode of their four children; where too many are missing, the
 * policy decides (docs/class-blocks.md).
 *
 * Threads  shared by all workers; nobody waits for pixels that only others asked for
 * Memory   prediction_new() / block_source_free()
 * Units    pixels of the layer's grid
 */
#ifndef TILTH_CLASSIFY_PREDICTION_H
#define TILTH_CLASSIFY_PREDICTION_H

#include "base/attr.h"
#include "base/err.h"
#include "classify/post.h"
#include "geo/grid.h"
#include "raster/block.h"
#include "raster/resampling.h"

#include <stdbool.h>
#include <stdint.h>

struct area;
struct block_pool;
struct cache;
struct errand;
struct feature_fill;
struct forest;
struct prediction_band;

/* One source of bands. Borrowed block source, owned by the layer. */
struct prediction_source {
    const char *id; /* "s1": its bands are "s1.red" in feature expressions */
    struct block_source *source;
    enum resampling resampling; /* onto the layer's grid */
    uint16_t band_count;
    const char *const *band_names; /* name i is band band_index[i] of the source */
    const uint16_t *band_index;
    /* A band's value in expressions is sample * scale + offset; one each per band, or NULL. */
    const float *band_scale, *band_offset;
};

/* A baseline that decides where there is anything to classify. */
struct prediction_mask {
    struct block_source *source; /* NULL: none */
    uint16_t band;               /* 0-based, of the source */
    uint8_t keep[256];           /* 1: a pixel of this baseline class is classified */
};

enum prediction_policy {
    POLICY_APPROX, /* beyond the budget: classify the features' overviews, and say so */
    POLICY_EXACT   /* beyond the budget: TL_ABSENT, with what to do */
};

/* Everything a prediction is made of; copied, except what is borrowed. */
struct prediction_spec {
    const char *id;
    struct grid grid;      /* level 0: crs, affine, width, height; blocks of 512 x 512 */
    struct forest *forest; /* one reference is taken */
    uint32_t source_count;
    const struct prediction_source *sources;
    const char *const *features;      /* one expression per feature of the forest, in its order */
    const struct feature_fill *fills; /* one per feature; NULL: none is filled */
    struct prediction_mask mask;
    struct area *area; /* on this grid; beyond it all is masked. NULL: none. A reference is taken */
    struct post post;  /* after the forest; a smoothing, before the labels are taken */
    uint32_t more_count; /* bands besides label and confidence */
    const struct prediction_band *more;
    enum prediction_policy policy;
    uint32_t budget_blocks; /* missing level-0 blocks a zoomed-out block may classify now */
};

/* What all predictions share. Borrowed. */
struct prediction_env {
    struct block_pool *pool;
    struct cache *cache; /* NULL: class blocks are kept in the pool only */
};

/* Checks that every feature compiles against the sources and that the counts agree. */
TL_MUST_CHECK enum tl_code prediction_new(const struct prediction_env *env,
                                          const struct prediction_spec *spec,
                                          struct block_source **ret_source, struct tl_err *err);

/* All that a prediction knows about one point of its grid. */
struct prediction_point {
    bool inside, valid;
    uint8_t label;            /* after post-processing; CLASS_NODATA when not valid */
    uint8_t confidence;       /* 0..100 */
    float margin, entropy;    /* struct forest_output's, where there are probabilities */
    const float *probability; /* per class, in the arena; smoothed where the layer's are */
    const float *features;    /* per feature, in the arena */
};

/* A pixel of level 0; one outside of it is not an error, but not `inside`. */
struct prediction_cell {
    uint32_t col, row;
};

TL_MUST_CHECK enum tl_code prediction_point(struct block_source *source, struct prediction_cell at,
                                            struct errand *errand, struct arena *arena,
                                            struct prediction_point *ret_point, struct tl_err *err);

/* More blocks than this are not counted one by one. */
#define COVERAGE_MAX 65536

/*
 * How many of the level-0 blocks under a block of `level` are there already; 0 where there are
 * more than COVERAGE_MAX.
 */
void prediction_coverage(struct block_source *source, uint8_t level, uint32_t col, uint32_t row,
                         uint32_t *ret_present, uint32_t *ret_total);

#endif
