/*
 * layer_doc: a layer document as it was written (docs/layers.md), checked for everything
 * that can be known without opening a source. Private to tiler/.
 *
 * Memory   everything lives in the document's arena
 */
#ifndef TILTH_TILER_LAYER_DOC_H
#define TILTH_TILER_LAYER_DOC_H

#include "base/attr.h"
#include "base/err.h"
#include "classify/prediction.h"
#include "raster/resampling.h"
#include "store/s3_options.h"
#include "tiler/layer.h"

#include <stdbool.h>
#include <stdint.h>

struct area_outline;
struct arena;
struct feature_fill;

enum { DOC_MAX_SOURCES = 64, DOC_MAX_SEASONS = 64, DOC_MAX_STYLES = 32 };

struct doc_source {
    const char *id;   /* "" in a raster layer */
    const char *href; /* absolute */
    bool has_s3;
    struct s3_options s3;
    enum resampling resampling;
    uint16_t band_count;
    const char *const *band_names;
    const uint16_t *band_index; /* 0-based */
    /* What expressions see is sample * scale + offset; by the file's own tags, or by these. */
    bool file_scale;
    float scale, offset;
};

struct doc_season {
    const char *label;
    const char *start, *end;  /* ISO dates, or NULL; end is the first day after */
    const char *const *hrefs; /* per source; NULL: the layer's own */
};

struct layer_doc {
    const char *id, *title, *description, *attribution, *license, *role;
    enum layer_kind kind;
    bool classes, synthetic;
    enum resampling resampling;
    uint32_t source_count;
    struct doc_source *sources;
    uint32_t season_count;
    struct doc_season *seasons;
    uint32_t style_count;
    const char *const *styles;           /* ids */
    int min_zoom, native_zoom, max_zoom; /* -1: work it out */

    /* Predictions only. */
    const char *model; /* absolute href */
    int grid_like;     /* index of a source, or -1: the next four */
    const char *grid_crs;
    double grid_x, grid_y, grid_res;
    uint32_t grid_width, grid_height;
    uint32_t feature_count;
    const char *const *feature_names; /* as in the document */
    const char *const *feature_texts;
    const struct feature_fill *feature_fills;
    int mask_source; /* index, or -1 */
    uint16_t mask_band;
    uint8_t mask_keep[256];
    const char *aoi_href;           /* absolute, or NULL; what is there becomes.. */
    const struct area_outline *aoi; /* ..this, as one in the document is; NULL: everywhere */
    struct post post;
    uint32_t output_count; /* bands besides label and confidence, as in the document */
    const char *const *outputs;
    enum prediction_policy policy;
    uint32_t budget_blocks;
};

/* Relative hrefs are resolved against the folder of `path`. */
TL_MUST_CHECK enum tl_code layer_doc_parse(const char *path, const void *bytes, size_t size,
                                           struct arena *arena, struct layer_doc *ret_doc,
                                           struct tl_err *err);
/* The season of a label or an ISO date; -1 when there is none. "" is season 0. */
int layer_doc_season(const struct layer_doc *doc, const char *season);

#endif
