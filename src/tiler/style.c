#include "tiler/style.h"

#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* "F096FF" or "#F096FF". */
static enum tl_code read_color(struct json_at at, uint8_t ret_rgba[4], struct tl_err *err)
{
    const char *text;

    TL_TRY(json_read_string(at, &text, err));
    const char *digits = text + (text[0] == '#');
    if (strlen(digits) != 6 || strspn(digits, "0123456789abcdefABCDEF") != 6)
        return json_refuse(&at, err, "\"%s\" is not a colour; six hex digits are needed", text);
    for (size_t i = 0; i < 3; i++)
        ret_rgba[i] = (uint8_t)(hex_digit(digits[2 * i]) * 16 + hex_digit(digits[2 * i + 1]));
    ret_rgba[3] = 255;
    return TL_OK;
}

/* Copies a string of the document into a field of fixed room, refusing what does not fit. */
static enum tl_code read_text(struct json_at at, const char *fallback, char *ret, size_t room,
                              struct tl_err *err)
{
    const char *text;

    TL_TRY(fallback ? json_read_string_or(at, fallback, &text, err)
                    : json_read_string(at, &text, err));
    if (strlen(text) >= room)
        return json_refuse(&at, err, "at most %zu bytes are allowed", room - 1);
    memcpy(ret, text, strlen(text) + 1);
    return TL_OK;
}

static enum tl_code read_class(struct json_at at, struct style_class *ret, struct tl_err *err)
{
    struct json_at color = json_key(&at, "color_hint");
    int64_t value, alpha;

    if (!color.value) /* the spelling of version 1 of the extension */
        color = json_key(&at, "color-hint");
    TL_TRY(json_read_int(json_key(&at, "value"), 0, 255, &value, err));
    TL_TRY(json_read_int_or(json_key(&at, "tilth:alpha"), 0, 255, 255, &alpha, err));
    TL_TRY(read_color(color, ret->rgba, err));
    ret->value = (uint8_t)value;
    ret->rgba[3] = (uint8_t)alpha;
    TL_TRY(read_text(json_key(&at, "name"), NULL, ret->name, sizeof(ret->name), err));
    return read_text(json_key(&at, "title"), ret->name, ret->title, sizeof(ret->title), err);
}

static enum tl_code read_classes(const struct json_at *root, struct style *style,
                                 struct tl_err *err)
{
    struct json_at list = json_key(root, "classification:classes");
    int64_t nodata;
    size_t count;

    TL_TRY(json_read_int_or(json_key(root, "nodata"), 0, 255, -1, &nodata, err));
    style->nodata = (int)nodata;
    TL_TRY(json_read_array(list, false, &count, err));
    if (count == 0 || count > TL_COUNT(style->classes))
        return json_refuse(&list, err, "%zu classes; 1 to 256 are allowed", count);
    for (size_t i = 0; i < count; i++) {
        struct json_at item = json_item(&list, i);

        TL_TRY(read_class(item, &style->classes[i], err));
        if (style_class_of(style, style->classes[i].value))
            return json_refuse(&item, err, "the value %d is there twice", style->classes[i].value);
        style->class_count = (uint16_t)(i + 1);
    }
    return TL_OK;
}

static enum tl_code read_pair(struct json_at at, double ret[2], struct tl_err *err)
{
    size_t count;

    TL_TRY(json_read_array(at, false, &count, err));
    if (count != 2)
        return json_refuse(&at, err, "two numbers are needed, [low, high]");
    TL_TRY(json_read_number(json_item(&at, 0), &ret[0], err));
    TL_TRY(json_read_number(json_item(&at, 1), &ret[1], err));
    if (!(ret[0] < ret[1]))
        return json_refuse(&at, err, "the first number must be below the second");
    return TL_OK;
}

static enum tl_code read_stop(struct json_at at, struct style_stop *ret, struct tl_err *err)
{
    size_t count;

    TL_TRY(json_read_array(at, false, &count, err));
    if (count != 2)
        return json_refuse(&at, err, "a stop is [value, \"colour\"]");
    TL_TRY(json_read_number(json_item(&at, 0), &ret->value, err));
    return read_color(json_item(&at, 1), ret->rgba, err);
}

static enum tl_code read_ramp(const struct json_at *root, struct style *style, struct tl_err *err)
{
    struct json_at stops = json_key(root, "stops");
    struct json_at range = json_key(root, "range");
    int64_t band, nodata;
    size_t count;

    TL_TRY(json_read_int_or(json_key(root, "nodata"), 0, 255, -1, &nodata, err));
    style->nodata = (int)nodata;
    TL_TRY(json_read_int_or(json_key(root, "band"), 1, 4096, 1, &band, err));
    style->bands[0] = (uint16_t)band;
    TL_TRY(json_read_array(stops, false, &count, err));
    if (count < 2 || count > TL_COUNT(style->stops))
        return json_refuse(&stops, err, "%zu stops; 2 to 256 are allowed", count);
    for (size_t i = 0; i < count; i++) {
        struct json_at item = json_item(&stops, i);

        TL_TRY(read_stop(item, &style->stops[i], err));
        if (i > 0 && !(style->stops[i - 1].value < style->stops[i].value))
            return json_refuse(&item, err, "stops must ascend");
    }
    style->stop_count = (uint16_t)count;
    style->range[0][0] = style->stops[0].value;
    style->range[0][1] = style->stops[count - 1].value;
    return range.value ? read_pair(range, style->range[0], err) : TL_OK;
}

static enum tl_code read_rgb(const struct json_at *root, struct style *style, struct tl_err *err)
{
    struct json_at bands = json_key(root, "bands");
    struct json_at ranges = json_key(root, "range");
    size_t band_count, range_count;

    TL_TRY(json_read_array(bands, false, &band_count, err));
    TL_TRY(json_read_array(ranges, false, &range_count, err));
    if (band_count != 3 || range_count != 3)
        return json_refuse(root, err, "an rgb style has three bands and three ranges");
    for (size_t i = 0; i < 3; i++) {
        int64_t band;

        TL_TRY(json_read_int(json_item(&bands, i), 1, 4096, &band, err));
        TL_TRY(read_pair(json_item(&ranges, i), style->range[i], err));
        style->bands[i] = (uint16_t)band;
    }
    return TL_OK;
}

static enum tl_code read_style(const struct json_at *root, struct style *style, struct tl_err *err)
{
    static const char *const known[] = {
        "id",    "title", "description", "type", "nodata",  "classification:classes",
        "stops", "range", "bands",       "band", "license", "attribution",
        NULL};
    struct json_at type_at = json_key(root, "type");
    const char *type;

    TL_TRY(json_read_object(*root, err));
    TL_TRY(json_known_keys(*root, known, err));
    TL_TRY(read_text(json_key(root, "id"), NULL, style->id, sizeof(style->id), err));
    TL_TRY(read_text(json_key(root, "title"), style->id, style->title, sizeof(style->title), err));
    TL_TRY(json_read_string(type_at, &type, err));
    style->nodata = -1;
    if (strcmp(type, "classes") == 0) {
        style->kind = STYLE_CLASSES;
        return read_classes(root, style, err);
    }
    if (strcmp(type, "ramp") == 0) {
        style->kind = STYLE_RAMP;
        return read_ramp(root, style, err);
    }
    if (strcmp(type, "rgb") == 0) {
        style->kind = STYLE_RGB;
        return read_rgb(root, style, err);
    }
    return json_refuse(&type_at, err, "\"%s\" is not one of classes, ramp, rgb", type);
}

enum tl_code style_parse(const char *name, const void *bytes, size_t size, struct style *ret_style,
                         struct tl_err *err)
{
    AUTO_JSON root = NULL;
    struct style style = {0};

    TL_TRY(json_parse(name, bytes, size, &root, err));
    struct json_at at = json_root(name, root);
    TL_TRY(read_style(&at, &style, err));
    style.fingerprint = hash128(bytes, size);
    *ret_style = style;
    return TL_OK;
}

void style_from_palette(const char *id, const uint8_t rgba[256][4], int nodata,
                        struct style *ret_style)
{
    *ret_style = (struct style){.kind = STYLE_CLASSES, .nodata = nodata};
    snprintf(ret_style->id, sizeof(ret_style->id), "%s", id);
    snprintf(ret_style->title, sizeof(ret_style->title), "Colours of the file");
    for (int value = 0; value < 256; value++) {
        if (rgba[value][3] == 0 || value == nodata)
            continue;
        struct style_class *item = &ret_style->classes[ret_style->class_count++];
        item->value = (uint8_t)value;
        memcpy(item->rgba, rgba[value], 4);
        snprintf(item->name, sizeof(item->name), "%d", value);
        snprintf(item->title, sizeof(item->title), "Class %d", value);
    }
    ret_style->fingerprint = hash128(rgba, sizeof(uint8_t[256][4]));
}

/* Even steps in lightness, told apart without red and green; the other way round for entropy. */
static void fill_ramp(struct style *style, bool bright_is_low)
{
    static const struct style_stop stops[] = {{0, {0x44, 0x01, 0x54, 255}},
                                              {25, {0x3B, 0x52, 0x8B, 255}},
                                              {50, {0x21, 0x91, 0x8C, 255}},
                                              {75, {0x5E, 0xC9, 0x62, 255}},
                                              {100, {0xFD, 0xE7, 0x25, 255}}};

    style->stop_count = TL_COUNT(stops);
    memcpy(style->stops, stops, sizeof(stops));
    for (size_t i = 0; bright_is_low && i < TL_COUNT(stops); i++)
        memcpy(style->stops[i].rgba, stops[TL_COUNT(stops) - 1 - i].rgba, 4);
    style->fingerprint = hash128(style->stops, sizeof(stops));
}

void style_of_band(const char *name, uint16_t band, struct style *ret_style)
{
    bool confidence = strcmp(name, "confidence") == 0;

    /* No classified pixel has a confidence of 0; of another band 0 is a percent like any other. */
    *ret_style = (struct style){
        .kind = STYLE_RAMP, .nodata = confidence ? 0 : 255, .range = {{0, 100}}, .bands = {band}};
    snprintf(ret_style->id, sizeof(ret_style->id), "%s", name);
    snprintf(ret_style->title, sizeof(ret_style->title), "%c%s, percent", name[0] - 'a' + 'A',
             name + 1);
    fill_ramp(ret_style, strcmp(name, "entropy") == 0);
    if (!confidence)
        ret_style->fingerprint = hash128_join(ret_style->fingerprint, hash128(name, strlen(name)));
}

const struct style_class *style_class_of(const struct style *style, uint8_t value)
{
    for (uint16_t i = 0; i < style->class_count; i++)
        if (style->classes[i].value == value)
            return &style->classes[i];
    return NULL;
}

void style_ramp_color(const struct style *style, double value, uint8_t ret_rgba[4])
{
    const struct style_stop *stops = style->stops;
    uint16_t i = 1;

    while (i + 1 < style->stop_count && stops[i].value < value)
        i++;
    double t = (value - stops[i - 1].value) / (stops[i].value - stops[i - 1].value);
    t = fmin(fmax(t, 0), 1);
    for (int c = 0; c < 4; c++)
        ret_rgba[c] =
            (uint8_t)lround(stops[i - 1].rgba[c] + t * (stops[i].rgba[c] - stops[i - 1].rgba[c]));
}
