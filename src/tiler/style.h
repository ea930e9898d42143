/*
 * style: how class values or samples become colours. One JSON document each in styles/
 * (STAC classification extension; docs/layers.md, "A style"). A class style maps values to colours
 * and names; a ramp maps numbers to colours; an rgb style stretches three bands.
 *
 * Threads  immutable after load, shared
 * Memory   owned by the catalog
 */
#ifndef TILTH_TILER_STYLE_H
#define TILTH_TILER_STYLE_H

#include "base/attr.h"
#include "base/err.h"
#include "base/hash.h"
#include "image/palette.h"

#include <stddef.h>
#include <stdint.h>

enum style_kind { STYLE_CLASSES, STYLE_RAMP, STYLE_RGB };

struct style_class {
    uint8_t value;
    uint8_t rgba[4];
    char name[48];  /* a word: "maize" */
    char title[96]; /* for people: "Maize" */
};

struct style_stop {
    double value;
    uint8_t rgba[4];
};

struct style {
    struct hash128 fingerprint; /* of the document */
    char id[64];
    char title[128];
    enum style_kind kind;
    int nodata; /* value that is transparent, of classes and ramps; -1: none */
    uint16_t class_count;
    struct style_class classes[256]; /* in the document's order */
    uint16_t stop_count;
    struct style_stop stops[256]; /* ascending */
    double range[3][2];           /* RGB: stretch per channel; RAMP: range[0] */
    uint16_t bands[3];            /* 1-based; RAMP: bands[0] */
};

/* `name` (a path) goes into messages, which name the place in the document. */
TL_MUST_CHECK enum tl_code style_parse(const char *name, const void *bytes, size_t size,
                                       struct style *ret_style, struct tl_err *err);
/* From a palette inside a COG: one class per opaque entry, named by its value. */
void style_from_palette(const char *id, const uint8_t rgba[256][4], int nodata,
                        struct style *ret_style);
/* Of a band of percents of a prediction, "confidence" or "margin", which is its `band`-th: a ramp
 * that is bright where the prediction is sure. */
void style_of_band(const char *name, uint16_t band, struct style *ret_style);
const struct style_class *style_class_of(const struct style *style, uint8_t value);
/* The colour of a number on a ramp, linear between stops. */
void style_ramp_color(const struct style *style, double value, uint8_t ret_rgba[4]);

#endif
