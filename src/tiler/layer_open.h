/*
 * layer_open: opens the block sources of one season of a layer and works out everything a
 * render needs to know about them. Private to tiler/.
 *
 * Threads  blocks on the store: on a worker
 */
#ifndef TILTH_TILER_LAYER_OPEN_H
#define TILTH_TILER_LAYER_OPEN_H

#include "base/attr.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct errand;
struct forest;
struct layer;
struct layer_bands;
struct layer_doc;
struct layer_env;
struct layer_features;
struct layer_info;
struct layer_view;

struct layer_open {
    const struct layer_env *env;
    const struct layer_doc *doc;
    struct layer *layer; /* goes into the view */
    const struct layer_info *info;
    struct forest *forest;                 /* of a prediction.. */
    const struct layer_features *features; /* ..and an expression for each of its features */
    const struct layer_bands *bands;
    uint32_t season;
};

TL_MUST_CHECK enum tl_code layer_open_view(const struct layer_open *open, struct errand *errand,
                                           struct layer_view **ret_view, struct tl_err *err);
/* Opens the sources that pass `wanted` (NULL: all), whether they have the bands that the document
 * names, and closes them again. */
TL_MUST_CHECK enum tl_code layer_open_check(const struct layer_open *open,
                                            bool (*wanted)(const char *href), struct errand *errand,
                                            struct tl_err *err);
/* Of a source in this season. */
const char *layer_open_href(const struct layer_doc *doc, uint32_t season, uint32_t source);
/* Every class value that some style or the model knows gets a tile index; the rest shows
 * nothing. */
void layer_index_classes(const struct layer_open *open, struct layer_view *view);
/* TL_OK: same versions; TL_CHANGED: open again; else the store's failure. */
TL_MUST_CHECK enum tl_code layer_view_check(struct layer_view *view, struct errand *errand);

#endif
