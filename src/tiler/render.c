#include "tiler/render.h"

#include "base/arena.h"
#include "base/blob.h"
#include "base/clock.h"
#include "base/errand.h"
#include "geo/crs.h"
#include "image/indexed_png.h"
#include "raster/block.h"
#include "raster/warp.h"
#include "tiler/layer.h"
#include "tiler/style.h"

#include <math.h>
#include <string.h>

enum { TILE_PX = 256, JPEG_QUALITY = 85 };

static bool shows_classes(const struct render_request *request)
{
    return request->style->kind == STYLE_CLASSES;
}

bool render_is_indexed(const struct style *style, enum image_format format)
{
    return style->kind == STYLE_CLASSES && format == IMAGE_PNG;
}

void render_palette(const struct layer_view *view, const struct style *style, const uint8_t *show,
                    struct palette *ret_palette)
{
    ret_palette->count = view->index_count;
    memset(ret_palette->rgba[0], 0, 4);
    for (uint16_t i = 1; i < view->index_count; i++) {
        uint8_t value = view->value_of[i];
        const struct style_class *class = style_class_of(style, value);

        if (class && value != style->nodata && (!show || show[value]))
            memcpy(ret_palette->rgba[i], class->rgba, 4);
        else
            memset(ret_palette->rgba[i], 0, 4);
    }
}

static uint32_t tile_width(const struct render_request *request)
{
    return (uint32_t)TILE_PX * request->scale;
}

static const struct style *default_style(const struct layer_view *view)
{
    return layer_info(view->layer)->styles[0];
}

/* Bands of the source, 0-based, that a style paints with. */
struct band_list {
    uint16_t bands[3], count;
};

/* The tile's pixels: `list` of the view's bands on the tile's grid. */
static enum tl_code read_tile(const struct render_request *request, const struct band_list *list,
                              struct errand *errand, struct arena *arena, struct planes *ret_planes,
                              struct tl_err *err)
{
    uint32_t width = tile_width(request);
    AUTO(crs) mercator = NULL;

    TL_TRY(crs_new(tms_crs(&tms_web_mercator_quad), &mercator, err));
    const struct warp_request warp = {
        .source = request->view->source,
        .target = {.crs = mercator,
                   .affine = tms_tile_affine(&tms_web_mercator_quad, request->id, width),
                   .width = width,
                   .height = width},
        .resampling = request->view->resampling,
        .bands = list->bands,
        .band_count = list->count,
        .level = -1};
    return warp_read(&warp, errand, arena, ret_planes, err);
}

/* Class values to tile indices, in place. */
static void to_indices(const struct layer_view *view, struct planes *planes)
{
    size_t count = (size_t)planes->width * planes->height;
    uint8_t *values = planes->samples;
    const uint8_t *index_of = view->index_of;

    if (!planes->valid) {
        for (size_t i = 0; i < count; i++)
            values[i] = index_of[values[i]];
        return;
    }
    for (size_t i = 0; i < count; i++)
        values[i] = (uint8_t)(index_of[values[i]] & -(int)(planes->valid[i] != 0));
}

/* O(count), but a tile that is not uniform ends it in its first row. */
static bool is_uniform(const uint8_t *values, size_t count)
{
    return memcmp(values, values + 1, count - 1) == 0;
}

static enum tl_code encode_indexed(const struct render_request *request, struct planes *planes,
                                   struct arena *arena, struct rendered *ret, struct tl_err *err)
{
    size_t count = (size_t)planes->width * planes->height;
    const uint8_t *indices = planes->samples;
    struct palette palette;

    render_palette(request->view, default_style(request->view), NULL, &palette);
    if (!is_uniform(indices, count))
        return indexed_png_encode(&(struct index_image){indices, planes->width, planes->height},
                                  &palette, arena, &ret->blob, err);
    ret->empty = indices[0] == 0;
    return indexed_png_uniform(indices[0], planes->width, planes->height, &palette, &ret->blob,
                               err);
}

static enum tl_code encode_rgba(const struct render_request *request, const uint8_t *rgba,
                                uint32_t width, struct blob **ret_blob, struct tl_err *err)
{
    const struct image image = {.width = width, .height = width, .rgba = rgba};
    const struct encode_options options = {
        .format = request->format, .quality = JPEG_QUALITY, .lossless = request->view->classes};

    return image_encode(&image, &options, ret_blob, err);
}

static void paint_indices(const struct render_request *request, const uint8_t *indices,
                          size_t count, uint8_t *rgba)
{
    struct palette palette;

    render_palette(request->view, request->style, NULL, &palette);
    for (size_t i = 0; i < count; i++)
        memcpy(rgba + 4 * i, palette.rgba[indices[i]], 4);
}

/* Linear stretch to 0..255, clamped; fractions are cut off, as rio-tiler does. */
static uint8_t stretch(double value, const double range[2])
{
    double t = (value - range[0]) / (range[1] - range[0]) * 255;

    return (uint8_t)fmin(fmax(t, 0), 255);
}

static void paint_rgb(const struct style *style, const struct planes *planes, uint8_t *rgba)
{
    size_t count = (size_t)planes->width * planes->height;
    size_t band_bytes = count * dtype_size(planes->dtype);

    for (int band = 0; band < 3; band++) {
        const uint8_t *samples = (const uint8_t *)planes->samples + (size_t)band * band_bytes;

        for (size_t i = 0; i < count; i++)
            rgba[4 * i + (size_t)band] =
                stretch(dtype_get(planes->dtype, samples, i), style->range[band]);
    }
    for (size_t i = 0; i < count; i++)
        rgba[4 * i + 3] = 255;
}

static void paint_ramp(const struct style *style, const struct planes *planes, uint8_t *rgba)
{
    size_t count = (size_t)planes->width * planes->height;

    for (size_t i = 0; i < count; i++) {
        double value = dtype_get(planes->dtype, planes->samples, i);

        style_ramp_color(style, value, rgba + 4 * i);
        if (value == style->nodata)
            rgba[4 * i + 3] = 0;
    }
}

static void hide_invalid(const struct planes *planes, uint8_t *rgba)
{
    size_t count = (size_t)planes->width * planes->height;

    if (!planes->valid)
        return;
    for (size_t i = 0; i < count; i++)
        if (!planes->valid[i])
            memset(rgba + 4 * i, 0, 4);
}

static enum tl_code encode_colored(const struct render_request *request, struct planes *planes,
                                   struct arena *arena, struct rendered *ret, struct tl_err *err)
{
    size_t count = (size_t)planes->width * planes->height;
    uint8_t *rgba = arena_alloc(arena, count, 4);

    if (!rgba)
        return tl_fail(err, TL_NOMEM, "no memory for a %u px tile", planes->width);
    if (shows_classes(request))
        paint_indices(request, planes->samples, count, rgba);
    else if (request->style->kind == STYLE_RGB)
        paint_rgb(request->style, planes, rgba);
    else
        paint_ramp(request->style, planes, rgba);
    if (!shows_classes(request))
        hide_invalid(planes, rgba);
    return encode_rgba(request, rgba, planes->width, &ret->blob, err);
}

static enum tl_code bands_of(const struct render_request *request, struct band_list *ret_list,
                             struct tl_err *err)
{
    uint16_t available = request->view->band_count;
    bool classes = shows_classes(request);
    struct band_list list = {.count = request->style->kind == STYLE_RGB ? 3 : 1};

    for (uint16_t i = 0; i < list.count; i++) {
        uint16_t band = classes ? 0 : (uint16_t)(request->style->bands[i] - 1);
        if (band >= available)
            return tl_fail(err, TL_INVALID, "style %s wants band %u, the layer has %u",
                           request->style->id, band + 1u, available);
        list.bands[i] = layer_view_band(request->view, band);
    }
    *ret_list = list;
    return TL_OK;
}

enum tl_code render_empty(const struct render_request *request, struct arena *arena,
                          struct blob **ret_blob, struct tl_err *err)
{
    uint32_t width = tile_width(request);
    struct palette palette;

    if (render_is_indexed(request->style, request->format)) {
        render_palette(request->view, default_style(request->view), NULL, &palette);
        return indexed_png_uniform(0, width, width, &palette, ret_blob, err);
    }
    uint8_t *rgba = arena_zalloc(arena, (size_t)width * width, 4);
    if (!rgba)
        return tl_fail(err, TL_NOMEM, "no memory for a %u px tile", width);
    return encode_rgba(request, rgba, width, ret_blob, err);
}

enum tl_code render_tile(const struct render_request *request, struct errand *errand,
                         struct arena *arena, struct rendered *ret_rendered, struct tl_err *err)
{
    struct rendered result = {0};
    struct planes planes;
    struct band_list list;

    TL_TRY(bands_of(request, &list, err));
    TL_TRY(read_tile(request, &list, errand, arena, &planes, err));
    int64_t start = clock_now_ns();
    if (shows_classes(request) && !planes.empty)
        to_indices(request->view, &planes);
    result.inexact = planes.inexact;
    result.empty = planes.empty;
    if (planes.empty)
        TL_TRY(render_empty(request, arena, &result.blob, err));
    else if (render_is_indexed(request->style, request->format))
        TL_TRY(encode_indexed(request, &planes, arena, &result, err));
    else
        TL_TRY(encode_colored(request, &planes, arena, &result, err));
    errand_lap(errand, STAGE_ENCODE, start);
    *ret_rendered = result;
    return TL_OK;
}
