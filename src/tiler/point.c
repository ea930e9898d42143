#include "tiler/point.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/errand.h"
#include "base/json.h"
#include "classify/prediction.h"
#include "forest/forest.h"
#include "geo/crs.h"
#include "raster/raster.h"
#include "tiler/layer.h"
#include "tiler/style.h"

#include <math.h>
#include <stdlib.h>

/* A pixel of level 0. */
struct pixel {
    const struct layer_view *view;
    bool inside; /* false: the layer does not reach there */
    uint32_t col, row;
};

/* The pixel that holds a place. */
static enum tl_code find_pixel(const struct layer_view *view, const struct point_query *query,
                               struct pixel *ret_pixel, struct tl_err *err)
{
    const struct pyramid *pyramid = view->source->pyramid;
    const struct pyramid_level *full = &pyramid->levels[0];
    double x = query->lon, y = query->lat;
    AUTO(crs) lonlat = NULL;
    struct crs_map *map;

    TL_TRY(crs_new("EPSG:4326", &lonlat, err));
    TL_TRY(crs_map_get(lonlat, pyramid->crs, &map, err));
    crs_map_points(map, &x, &y, 1);
    /* A raster of 170..190 or 0..360 degrees holds the place a turn further on. */
    double turn = crs_period_x(pyramid->crs);
    double col = floor(affine_col(full->affine, x)), row = floor(affine_row(full->affine, y));
    if (turn > 0 && col < 0)
        col = floor(affine_col(full->affine, x + turn));
    else if (turn > 0 && col >= full->width)
        col = floor(affine_col(full->affine, x - turn));
    bool inside = col >= 0 && row >= 0 && col < full->width && row < full->height;
    *ret_pixel = (struct pixel){.view = view,
                                .inside = inside,
                                .col = inside ? (uint32_t)col : 0,
                                .row = inside ? (uint32_t)row : 0};
    return TL_OK;
}

static void add_class(json_t *item, const struct layer_view *view, uint8_t value)
{
    const struct layer_info *info = layer_info(view->layer);
    const struct style_class *class = style_class_of(info->styles[0], value);

    json_object_set_new(item, "value", json_integer(value));
    if (class)
        json_object_set_new(item, "class",
                            json_pack("{s:i, s:s, s:s}", "value", value, "name", class->name,
                                      "title", class->title));
}

/* NaN and infinities have no JSON. */
static json_t *number_json(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static void add_model(json_t *item, const struct model_info *model,
                      const struct prediction_point *point)
{
    json_t *probabilities = json_object(), *features = json_object();

    for (uint32_t i = 0; point->probability && i < model->class_count; i++)
        json_object_set_new(probabilities, model->classes[i].name,
                            number_json((double)point->probability[i]));
    for (uint32_t i = 0; point->features && i < model->feature_count; i++)
        json_object_set_new(features, model->features[i], number_json((double)point->features[i]));
    if (point->probability) {
        json_object_set_new(item, "margin", number_json((double)point->margin));
        json_object_set_new(item, "entropy", number_json((double)point->entropy));
    }
    json_object_set_new(item, "probabilities", probabilities);
    json_object_set_new(item, "features", features);
}

static enum tl_code describe_prediction(const struct pixel *at, struct errand *errand,
                                        struct arena *arena, json_t *item, struct tl_err *err)
{
    const struct layer_view *view = at->view;
    const struct prediction_cell cell = {at->col, at->row};
    struct prediction_point point;

    TL_TRY(prediction_point(view->source, cell, errand, arena, &point, err));
    json_object_set_new(item, "valid", json_boolean(point.valid));
    add_class(item, view, point.label);
    if (!point.valid)
        return TL_OK;
    json_object_set_new(item, "confidence", json_integer(point.confidence));
    add_model(item, forest_info(layer_forest(view->layer)), &point);
    return TL_OK;
}

static bool is_valid(const struct pyramid *pyramid, const struct block *block, size_t pixel,
                     double value)
{
    if (block->mask && !block->mask[pixel])
        return false;
    if (!pyramid->has_nodata)
        return true;
    return isnan(pyramid->nodata) ? !isnan(value) : value != pyramid->nodata;
}

/* One band of one pixel; NaN where there is nothing. */
static enum tl_code read_sample(const struct pixel *at, uint16_t band, struct errand *errand,
                                double *ret_value, struct tl_err *err)
{
    struct block_source *source = at->view->source;
    const struct pyramid *pyramid = source->pyramid;
    const struct pyramid_level *full = &pyramid->levels[0];
    uint16_t x = (uint16_t)(at->col % full->block_width);
    uint16_t y = (uint16_t)(at->row % full->block_height);
    const struct block_request request = {.band = pyramid->planar ? band : 0,
                                          .col = at->col / full->block_width,
                                          .row = at->row / full->block_height,
                                          .x0 = x,
                                          .y0 = y,
                                          .x1 = (uint16_t)(x + 1),
                                          .y1 = (uint16_t)(y + 1)};
    AUTO(block) block = NULL;

    TL_TRY(source->read(source, &request, 1, errand, &block, err));
    *ret_value = (double)NAN;
    if (block->empty)
        return TL_OK;
    size_t pixel = (size_t)y * block->width + x;
    size_t plane = (size_t)block->width * block->height * (pyramid->planar ? 0 : band);
    double value = dtype_get(block->dtype, block->samples, plane + pixel);
    if (is_valid(pyramid, block, pixel, value))
        *ret_value = value;
    return TL_OK;
}

/* As the document names it, or the file, or "b7". */
static const char *band_name(const struct layer_view *view, uint16_t i, char room[16])
{
    uint16_t band = layer_view_band(view, i);
    const char *in_file = raster_info(view->source)->band_names[band];

    if (view->band_names)
        return view->band_names[i];
    snprintf(room, 16, "b%u", band + 1u);
    return in_file ? in_file : room;
}

static enum tl_code describe_raster(const struct pixel *at, struct errand *errand, json_t *item,
                                    struct tl_err *err)
{
    const struct layer_view *view = at->view;
    json_t *values = json_object();
    double first = (double)NAN;

    json_object_set_new(item, "bands", values);
    for (uint16_t i = 0; i < view->band_count; i++) {
        char room[16];
        double value;

        TL_TRY(read_sample(at, layer_view_band(view, i), errand, &value, err));
        json_object_set_new(values, band_name(view, i, room), number_json(value));
        if (i == 0)
            first = value;
    }
    json_object_set_new(item, "valid", json_boolean(!isnan(first)));
    if (view->classes && !isnan(first))
        add_class(item, view, (uint8_t)first);
    return TL_OK;
}

static enum tl_code print_item(const json_t *item, struct buf *out, struct tl_err *err)
{
    char *text = json_dumps(item, JSON_COMPACT | JSON_REAL_PRECISION(9));

    if (text)
        buf_puts(out, text);
    free(text);
    if (!text || buf_failed(out))
        return tl_fail(err, TL_NOMEM, "no memory for a point answer");
    return TL_OK;
}

static enum tl_code describe_in(const struct layer_view *view, const struct point_query *query,
                                struct errand *errand, struct arena *arena, struct buf *out,
                                struct tl_err *err)
{
    struct pixel at;

    TL_TRY(find_pixel(view, query, &at, err));
    AUTO_JSON item =
        json_pack("{s:s, s:s, s:f, s:f, s:b, s:b}", "layer", layer_info(query->layer)->id, "season",
                  view->season, "lon", query->lon, "lat", query->lat, "inside", (int)at.inside,
                  "synthetic", (int)layer_info(query->layer)->synthetic);
    if (!item)
        return tl_fail(err, TL_NOMEM, "no memory for a point answer");
    if (at.inside && layer_forest(query->layer))
        TL_TRY(describe_prediction(&at, errand, arena, item, err));
    else if (at.inside)
        TL_TRY(describe_raster(&at, errand, item, err));
    return print_item(item, out, err);
}

/* When the objects changed under the view, once more of what is there now, as for tiles. */
enum tl_code point_describe(const struct point_query *query, struct errand *errand,
                            struct arena *arena, struct buf *out, struct tl_err *err)
{
    if (!(fabs(query->lon) <= 180 && fabs(query->lat) <= 90))
        return tl_fail(err, TL_INVALID, "%g,%g is no place: longitude -180..180, latitude -90..90",
                       query->lon, query->lat);
    for (int tries = 0;; tries++) {
        AUTO(layer_view) view = NULL;

        TL_TRY(layer_view_get(query->layer, query->season, errand, &view, err));
        enum tl_code code = describe_in(view, query, errand, arena, out, err);
        if (code != TL_CHANGED || tries > 0)
            return layer_fault(code);
        layer_view_expire(view);
    }
}
