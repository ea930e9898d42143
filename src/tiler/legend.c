#include "tiler/describe.h"

#include "base/arena.h"
#include "image/encode.h"
#include "tiler/style.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Pixels. Text is drawn at twice the font's size, so that it reads like a browser's. */
enum {
    SCALE = 2,
    GLYPH_WIDTH = 6 * SCALE,
    ROW_HEIGHT = 22,
    SWATCH = 16,
    MARGIN = 6,
    RAMP_HEIGHT = 160,
    MAX_TEXT = 48
};

static const uint8_t font[128][7] = {
#define GLYPH(character, ...) [character] = {__VA_ARGS__},
#include "tiler/legend_font.def"
#undef GLYPH
};

struct canvas {
    uint32_t width, height;
    uint8_t *rgba;
};

static enum tl_code canvas_new(uint32_t width, uint32_t height, struct arena *arena,
                               struct canvas *ret, struct tl_err *err)
{
    uint8_t *rgba = arena_alloc(arena, (size_t)width * height, 4);

    if (!rgba)
        return tl_fail(err, TL_NOMEM, "no memory for a legend of %u x %u px", width, height);
    memset(rgba, 255, (size_t)width * height * 4);
    *ret = (struct canvas){width, height, rgba};
    return TL_OK;
}

struct rect {
    uint32_t x, y, width, height;
};

static void fill(struct canvas *canvas, struct rect rect, const uint8_t color[4])
{
    for (uint32_t y = rect.y; y < rect.y + rect.height && y < canvas->height; y++)
        for (uint32_t x = rect.x; x < rect.x + rect.width && x < canvas->width; x++)
            memcpy(canvas->rgba + 4 * ((size_t)y * canvas->width + x), color, 4);
}

static void draw_glyph(struct canvas *canvas, uint32_t x, uint32_t y, unsigned char character)
{
    static const uint8_t ink[4] = {34, 34, 34, 255};

    if (character > 127)
        return;
    for (uint32_t row = 0; row < 7; row++)
        for (uint32_t column = 0; column < 5; column++)
            if (font[character][row] >> (4 - column) & 1)
                fill(canvas, (struct rect){x + column * SCALE, y + row * SCALE, SCALE, SCALE}, ink);
}

static void draw_text(struct canvas *canvas, uint32_t x, uint32_t y, const char *text)
{
    for (uint32_t i = 0; text[i] && i < MAX_TEXT; i++)
        draw_glyph(canvas, x + i * GLYPH_WIDTH, y, (unsigned char)text[i]);
}

static void draw_swatch(struct canvas *canvas, uint32_t x, uint32_t y, const uint8_t color[4])
{
    static const uint8_t edge[4] = {136, 136, 136, 255};

    fill(canvas, (struct rect){x, y, SWATCH, SWATCH}, edge);
    fill(canvas, (struct rect){x + 1, y + 1, SWATCH - 2, SWATCH - 2}, color);
}

static enum tl_code draw_classes(const struct style *style, struct arena *arena, struct canvas *ret,
                                 struct tl_err *err)
{
    size_t longest = 1;

    for (uint16_t i = 0; i < style->class_count; i++)
        longest = TL_MAX(longest, strlen(style->classes[i].title));
    longest = TL_MIN(longest, (size_t)MAX_TEXT);
    TL_TRY(canvas_new((uint32_t)(3 * MARGIN + SWATCH + longest * GLYPH_WIDTH),
                      2 * MARGIN + (uint32_t)style->class_count * ROW_HEIGHT, arena, ret, err));
    for (uint16_t i = 0; i < style->class_count; i++) {
        uint32_t y = MARGIN + (uint32_t)i * ROW_HEIGHT;

        draw_swatch(ret, MARGIN, y, style->classes[i].rgba);
        draw_text(ret, 2 * MARGIN + SWATCH, y + 1, style->classes[i].title);
    }
    return TL_OK;
}

static enum tl_code draw_ramp(const struct style *style, struct arena *arena, struct canvas *ret,
                              struct tl_err *err)
{
    double low = style->range[0][0], high = style->range[0][1];
    char text[32];

    TL_TRY(canvas_new(3 * MARGIN + SWATCH + 10 * GLYPH_WIDTH, RAMP_HEIGHT + 2 * MARGIN + 8, arena,
                      ret, err));
    for (uint32_t y = 0; y < RAMP_HEIGHT; y++) {
        uint8_t color[4];

        style_ramp_color(style, high + (low - high) * y / (RAMP_HEIGHT - 1), color);
        fill(ret, (struct rect){MARGIN, MARGIN + y, SWATCH, 1}, color);
    }
    snprintf(text, sizeof(text), "%.4g", high);
    draw_text(ret, 2 * MARGIN + SWATCH, MARGIN, text);
    snprintf(text, sizeof(text), "%.4g", low);
    draw_text(ret, 2 * MARGIN + SWATCH, MARGIN + RAMP_HEIGHT - 7 * SCALE, text);
    return TL_OK;
}

static enum tl_code draw_channels(const struct style *style, struct arena *arena,
                                  struct canvas *ret, struct tl_err *err)
{
    TL_TRY(canvas_new(3 * MARGIN + SWATCH + 28 * GLYPH_WIDTH, 2 * MARGIN + 3 * ROW_HEIGHT, arena,
                      ret, err));
    for (uint32_t i = 0; i < 3; i++) {
        uint8_t color[4] = {0, 0, 0, 255};
        char text[MAX_TEXT];

        color[i] = 220;
        snprintf(text, sizeof(text), "band %u, %.5g to %.5g", style->bands[i], style->range[i][0],
                 style->range[i][1]);
        draw_swatch(ret, MARGIN, MARGIN + i * ROW_HEIGHT, color);
        draw_text(ret, 2 * MARGIN + SWATCH, MARGIN + i * ROW_HEIGHT + 1, text);
    }
    return TL_OK;
}

enum tl_code describe_legend_png(const struct style *style, struct arena *arena,
                                 struct blob **ret_png, struct tl_err *err)
{
    static const struct encode_options png = {.format = IMAGE_PNG, .quality = 100};
    struct canvas canvas;

    if (style->kind == STYLE_CLASSES)
        TL_TRY(draw_classes(style, arena, &canvas, err));
    else if (style->kind == STYLE_RAMP)
        TL_TRY(draw_ramp(style, arena, &canvas, err));
    else
        TL_TRY(draw_channels(style, arena, &canvas, err));
    const struct image image = {canvas.width, canvas.height, canvas.rgba};
    return image_encode(&image, &png, ret_png, err);
}
