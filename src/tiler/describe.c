#include "tiler/describe.h"

#include "base/buf.h"
#include "base/json.h"
#include "forest/forest.h"
#include "tiler/catalog.h"
#include "tiler/layer.h"
#include "tiler/style.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Prints a document and lets it go. NULL (memory ran out while it was built) is a failure. */
static enum tl_code print(json_t *document, struct buf *out, struct tl_err *err)
{
    char *text = document ? json_dumps(document, JSON_COMPACT | JSON_REAL_PRECISION(10)) : NULL;

    json_decref(document);
    if (!text)
        return tl_fail(err, TL_NOMEM, "no memory for a document");
    buf_puts(out, text);
    free(text);
    if (buf_failed(out))
        return tl_fail(err, TL_NOMEM, "no memory for a document");
    return TL_OK;
}

static json_t *color_json(const uint8_t rgba[4])
{
    char hex[8];

    snprintf(hex, sizeof(hex), "%02X%02X%02X", rgba[0], rgba[1], rgba[2]);
    return json_string(hex);
}

static json_t *class_json(const struct style_class *class)
{
    json_t *item = json_pack("{s:i, s:s, s:s, s:o}", "value", class->value, "name", class->name,
                             "title", class->title, "color_hint", color_json(class->rgba));

    if (item && class->rgba[3] != 255)
        json_object_set_new(item, "tilth:alpha", json_integer(class->rgba[3]));
    return item;
}

static json_t *classes_json(const struct style *style)
{
    json_t *list = json_array();

    for (uint16_t i = 0; i < style->class_count; i++)
        json_array_append_new(list, class_json(&style->classes[i]));
    return list;
}

static json_t *stops_json(const struct style *style)
{
    json_t *list = json_array();

    for (uint16_t i = 0; i < style->stop_count; i++)
        json_array_append_new(
            list, json_pack("[f, o]", style->stops[i].value, color_json(style->stops[i].rgba)));
    return list;
}

static json_t *rgb_json(const struct style *style, json_t *item)
{
    json_object_set_new(item, "bands",
                        json_pack("[i, i, i]", style->bands[0], style->bands[1], style->bands[2]));
    json_object_set_new(item, "range",
                        json_pack("[[f, f], [f, f], [f, f]]", style->range[0][0],
                                  style->range[0][1], style->range[1][0], style->range[1][1],
                                  style->range[2][0], style->range[2][1]));
    return item;
}

static json_t *style_json(const struct style *style)
{
    static const char *const types[] = {"classes", "ramp", "rgb"};
    json_t *item = json_pack("{s:s, s:s, s:s}", "id", style->id, "title", style->title, "type",
                             types[style->kind]);

    if (!item)
        return NULL;
    if (style->kind == STYLE_RGB)
        return rgb_json(style, item);
    if (style->kind == STYLE_RAMP) {
        json_object_set_new(item, "range",
                            json_pack("[f, f]", style->range[0][0], style->range[0][1]));
        json_object_set_new(item, "stops", stops_json(style));
        return item;
    }
    if (style->nodata >= 0)
        json_object_set_new(item, "nodata", json_integer(style->nodata));
    json_object_set_new(item, "classification:classes", classes_json(style));
    return item;
}

static json_t *link_json(const char *rel, const char *type, const char *base_url, const char *path)
{
    char href[1024];

    snprintf(href, sizeof(href), "%s%s", base_url, path);
    return json_pack("{s:s, s:s, s:s}", "rel", rel, "type", type, "href", href);
}

static json_t *layer_links(const struct layer_info *info, const char *base_url)
{
    json_t *links = json_array();
    char path[256];

    snprintf(path, sizeof(path), "/layers/%s", info->id);
    json_array_append_new(links, link_json("self", "application/json", base_url, path));
    snprintf(path, sizeof(path), "/layers/%s/tilejson.json", info->id);
    json_array_append_new(links, link_json("tilejson", "application/json", base_url, path));
    snprintf(path, sizeof(path), "/layers/%s/legend.json", info->id);
    json_array_append_new(links, link_json("legend", "application/json", base_url, path));
    snprintf(path, sizeof(path), "/layers/%s/tiles/WebMercatorQuad/{z}/{x}/{y}.png", info->id);
    json_array_append_new(links, link_json("tiles", "image/png", base_url, path));
    return links;
}

static json_t *strings_json(const char *const *strings, uint32_t count)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(strings[i]));
    return list;
}

static json_t *layer_json(const struct layer_info *info, const char *base_url)
{
    json_t *styles = json_array();

    for (uint32_t i = 0; i < info->style_count; i++)
        json_array_append_new(styles, json_string(info->styles[i]->id));
    json_t *item =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:i, s:i, s:o, s:o, s:o}", "id", info->id,
                  "title", info->title, "kind", info->role, "description", info->description,
                  "attribution", info->attribution, "license", info->license, "synthetic",
                  (int)info->synthetic, "minzoom", info->min_zoom, "maxzoom", info->max_zoom,
                  "seasons", strings_json(info->seasons, info->season_count), "styles", styles,
                  "links", layer_links(info, base_url));
    if (item && info->band_count)
        json_object_set_new(item, "bands", strings_json(info->bands, info->band_count));
    return item;
}

static json_t *model_json(const struct model_info *model)
{
    json_t *classes = json_array();
    json_t *item;

    for (uint32_t i = 0; i < model->class_count; i++)
        json_array_append_new(classes, json_pack("{s:i, s:s}", "value", model->classes[i].value,
                                                 "name", model->classes[i].name));
    item = json_pack("{s:s, s:s, s:i, s:I, s:i, s:i, s:o, s:o}", "name", model->name, "kind",
                     model->kind, "trees", (int)model->tree_count, "nodes",
                     (json_int_t)model->node_count, "depth", (int)model->max_depth, "golden_rows",
                     (int)model->golden_rows, "features",
                     strings_json(model->features, model->feature_count), "classes", classes);
    if (item && model->provenance[0]) {
        json_t *provenance = json_loads(model->provenance, 0, NULL);
        if (provenance)
            json_object_set_new(item, "provenance", provenance);
    }
    return item;
}

enum tl_code describe_layers(const struct catalog *catalog, const char *base_url, struct buf *out,
                             struct tl_err *err)
{
    json_t *layers = json_array();

    for (size_t i = 0; i < catalog_layer_count(catalog); i++)
        json_array_append_new(layers,
                              layer_json(layer_info(catalog_layer_at(catalog, i)), base_url));
    return print(json_pack("{s:o}", "layers", layers), out, err);
}

enum tl_code describe_layer(const struct layer *layer, const char *base_url, struct buf *out,
                            struct tl_err *err)
{
    const struct layer_info *info = layer_info(layer);
    json_t *item = layer_json(info, base_url);

    if (item && info->styles[0]->kind == STYLE_CLASSES)
        json_object_set_new(item, "classification:classes", classes_json(info->styles[0]));
    if (item && layer_forest(layer))
        json_object_set_new(item, "model", model_json(forest_info(layer_forest(layer))));
    return print(item, out, err);
}

/* West to east as TileJSON has it: what reaches over the antimeridian goes all the way round. */
static struct bbox within_the_world(struct bbox box)
{
    bool over = box.xmin < -180 || box.xmax > 180;

    return (struct bbox){over ? -180 : box.xmin, box.ymin, over ? 180 : box.xmax, box.ymax};
}

enum tl_code describe_tilejson(const struct layer_view *view, const char *base_url,
                               const char *query_string, struct buf *out, struct tl_err *err)
{
    const struct layer_info *info = layer_info(view->layer);
    const struct bbox *box = &view->lonlat;
    const struct bbox bounds = within_the_world(*box);
    char url[2048];

    snprintf(url, sizeof(url), "%s/layers/%s/tiles/WebMercatorQuad/{z}/{x}/{y}.png%s%s", base_url,
             info->id, query_string[0] ? "?" : "", query_string);
    return print(
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:[s], s:i, s:i, s:[f,f,f,f], s:[f,f,i], "
                  "s:i, s:b}",
                  "tilejson", "3.0.0", "name", info->title, "description", info->description,
                  "version", "1.0.0", "attribution", info->attribution, "scheme", "xyz", "tiles",
                  url, "minzoom", info->min_zoom, "maxzoom", info->max_zoom, "bounds", bounds.xmin,
                  bounds.ymin, bounds.xmax, bounds.ymax, "center",
                  remainder((box->xmin + box->xmax) / 2, 360), (box->ymin + box->ymax) / 2,
                  TL_MAX(view->native_zoom - 2, 0), "tilth:native_zoom", view->native_zoom,
                  "tilth:synthetic", (int)info->synthetic),
        out, err);
}

enum tl_code describe_styles(const struct catalog *catalog, struct buf *out, struct tl_err *err)
{
    json_t *styles = json_array();

    for (size_t i = 0; i < catalog_style_count(catalog); i++)
        json_array_append_new(styles, style_json(catalog_style_at(catalog, i)));
    return print(json_pack("{s:o}", "styles", styles), out, err);
}

enum tl_code describe_style(const struct style *style, struct buf *out, struct tl_err *err)
{
    return print(style_json(style), out, err);
}
