/*
 * render: one tile of one view, from blocks to encoded bytes. Knows no cache, no HTTP, no
 * queue. Private to tiler/.
 *
 * A class tile is rendered as indices and written as an indexed PNG in the layer's default
 * style; every other class style is a swap of its palette. Anything else becomes RGBA.
 *
 * Threads  any
 * Memory   the blob is the caller's, scratch is the arena
 */
#ifndef TILTH_TILER_RENDER_H
#define TILTH_TILER_RENDER_H

#include "base/attr.h"
#include "base/err.h"
#include "geo/tms.h"
#include "image/encode.h"
#include "image/palette.h"

#include <stdbool.h>
#include <stdint.h>

struct arena;
struct blob;
struct errand;
struct layer_view;
struct style;

struct render_request {
    const struct layer_view *view;
    const struct style *style; /* of an indexed class tile only its kind is used */
    struct tile_id id;
    uint8_t scale;
    enum image_format format;
};

struct rendered {
    struct blob *blob;
    bool inexact, empty;
};

/* True when the bytes are an indexed PNG that render_palette() can restyle. */
bool render_is_indexed(const struct style *style, enum image_format format);

TL_MUST_CHECK enum tl_code render_tile(const struct render_request *request, struct errand *errand,
                                       struct arena *arena, struct rendered *ret_rendered,
                                       struct tl_err *err);
/* A tile with nothing in it. */
TL_MUST_CHECK enum tl_code render_empty(const struct render_request *request, struct arena *arena,
                                        struct blob **ret_blob, struct tl_err *err);

/* Colours by tile index. `show` (per class value, 0 hides) may be NULL. */
void render_palette(const struct layer_view *view, const struct style *style, const uint8_t *show,
                    struct palette *ret_palette);

#endif
