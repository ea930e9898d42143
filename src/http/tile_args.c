#include "http/tile_args.h"

#include "tiler/catalog.h"
#include "tiler/layer.h"
#include "tiler/style.h"
#include "tiler/tiler.h"

#include <math.h>
#include <stdlib.h>

/* Words of users go into messages up to this length. */
enum { SHOWN = 64 };

static int shown(struct text text)
{
    return (int)TL_MIN(text.size, SHOWN);
}

enum tl_code args_layer(const struct catalog *catalog, struct text id, struct layer **ret_layer,
                        struct tl_err *err)
{
    char name[128];

    if (!text_copy(id, name, sizeof(name)))
        return tl_fail(err, TL_ABSENT, "no layer has an id of %zu bytes", id.size);
    return catalog_layer(catalog, name, ret_layer, err);
}

enum tl_code args_style(const struct layer *layer, const struct url *url,
                        const struct style **ret_style, struct tl_err *err)
{
    struct text id = url_param(url, "style"), band = url_param(url, "band");
    char name[64];

    if (id.size > 0 && band.size > 0)
        return tl_fail(err, TL_INVALID, "give style= or band=, not both");
    if (!text_copy(band.size > 0 ? band : id, name, sizeof(name)))
        return tl_fail(err, TL_ABSENT, "no style or band has a name of %zu bytes",
                       TL_MAX(band.size, id.size));
    return band.size > 0 ? layer_band_style(layer, name, ret_style, err)
                         : layer_style(layer, name, ret_style, err);
}

enum tl_code args_season(const struct url *url, char ret_season[32], struct tl_err *err)
{
    struct text season = url_param(url, "season");
    struct text date = url_param(url, "date");

    if (season.size > 0 && date.size > 0)
        return tl_fail(err, TL_INVALID, "give season= or date=, not both");
    if (!text_copy(season.size > 0 ? season : date, ret_season, 32))
        return tl_fail(err, TL_INVALID, "%s has %zu bytes, at most 31 are read",
                       season.size > 0 ? "season" : "date", TL_MAX(season.size, date.size));
    return TL_OK;
}

/* "-17.8252": a sign, digits, one point. */
static bool parse_degrees(struct text text, double *ret)
{
    char number[32];

    if (text.size == 0 || !text_copy(text, number, sizeof(number)) ||
        number[strspn(number, "+-.0123456789")] != '\0')
        return false;
    char *rest;
    *ret = strtod(number, &rest);
    return *rest == '\0' && rest != number && isfinite(*ret);
}

enum tl_code args_lonlat(struct text arg, double *ret_lon, double *ret_lat, struct tl_err *err)
{
    struct text rest = arg;
    struct text lon_text = text_cut(&rest, ',');
    double lon, lat;

    if (!parse_degrees(lon_text, &lon) || !parse_degrees(rest, &lat))
        return tl_fail(err, TL_INVALID,
                       "\"%.*s\" is no point: longitude,latitude in degrees is needed, such as "
                       "31.05,-17.83",
                       shown(arg), arg.at);
    if (lon < -180 || lon > 180 || lat < -90 || lat > 90)
        return tl_fail(err, TL_INVALID,
                       "the point %.*s is not on earth: longitude is -180 to 180, latitude -90 to "
                       "90, in this order",
                       shown(arg), arg.at);
    *ret_lon = lon;
    *ret_lat = lat;
    return TL_OK;
}

static enum tl_code parse_number(const char *name, struct text text, uint32_t *ret,
                                 struct tl_err *err)
{
    uint64_t value;

    if (!text_uint(text, UINT32_MAX, &value))
        return tl_fail(err, TL_INVALID, "%s = \"%.*s\" is not a whole number", name, shown(text),
                       text.at);
    *ret = (uint32_t)value;
    return TL_OK;
}

static enum tl_code parse_format(struct text extension, enum image_format *ret, struct tl_err *err)
{
    char name[8];
    struct tl_err ignored;

    if (text_copy(extension, name, sizeof(name)) && image_format_find(name, ret, &ignored) == TL_OK)
        return TL_OK;
    return tl_fail(err, TL_ABSENT, "there are no .%.*s tiles; known formats: png, webp, jpg",
                   shown(extension), extension.at);
}

/* "2210@2x.png" */
static enum tl_code parse_row(struct text arg, struct tile_query *query, struct tl_err *err)
{
    struct text rest = arg;
    struct text row = text_cut(&rest, '.');
    bool has_extension = row.size < arg.size;
    struct text scale = row;
    struct text number = text_cut(&scale, '@');

    query->scale = 1;
    query->format = IMAGE_PNG;
    if (number.size < row.size) {
        if (!text_is(scale, "2x"))
            return tl_fail(err, TL_ABSENT, "there are no @%.*s tiles; known scale: @2x",
                           shown(scale), scale.at);
        query->scale = 2;
    }
    if (has_extension)
        TL_TRY(parse_format(rest, &query->format, err));
    return parse_number("y", number, &query->id.y, err);
}

enum tl_code args_address(const struct text zxy[3], struct tile_query *ret_query,
                          struct tl_err *err)
{
    uint32_t z = 0;

    TL_TRY(parse_number("z", zxy[0], &z, err));
    TL_TRY(parse_number("x", zxy[1], &ret_query->id.x, err));
    TL_TRY(parse_row(zxy[2], ret_query, err));
    if (z > TMS_MAX_ZOOM)
        return tl_fail(err, TL_ABSENT, "WebMercatorQuad has zooms 0 to %d, %u was asked",
                       TMS_MAX_ZOOM, z);
    ret_query->id.z = (uint8_t)z;
    return tms_check(&tms_web_mercator_quad, ret_query->id, err);
}

/* "11" or "maize" */
static enum tl_code show_class(const struct style *style, struct text word,
                               struct tile_query *query, struct tl_err *err)
{
    for (unsigned i = 0; i < style->class_count; i++) {
        const struct style_class *class = &style->classes[i];
        uint64_t value;

        if (text_is(word, class->name) ||
            (text_uint(word, UINT8_MAX, &value) && value == class->value)) {
            query->show[class->value] = 1;
            return TL_OK;
        }
    }
    return tl_fail(
        err, TL_INVALID,
        "classes: style %s has no class \"%.*s\"; the layer's legend.json lists values and names",
        style->id, shown(word), word.at);
}

static enum tl_code parse_classes(const struct url *url, struct tile_query *query,
                                  struct tl_err *err)
{
    struct text list = url_param(url, "classes");
    const struct style *style = query->style;

    query->filter_classes = list.at != NULL;
    if (!query->filter_classes)
        return TL_OK;
    memset(query->show, 0, sizeof(query->show));
    if (style->kind != STYLE_CLASSES)
        return tl_fail(err, TL_INVALID, "classes: style %s has no classes", style->id);
    while (list.size > 0)
        TL_TRY(show_class(style, text_cut(&list, ','), query, err));
    return TL_OK;
}

enum tl_code args_tile(struct layer *layer, const struct text zxy[3], const struct url *url,
                       struct tile_query *ret_query, struct tl_err *err)
{
    ret_query->layer = layer;
    TL_TRY(args_address(zxy, ret_query, err));
    TL_TRY(args_style(layer, url, &ret_query->style, err));
    TL_TRY(args_season(url, ret_query->season, err));
    return parse_classes(url, ret_query, err);
}
