/*
 * info: what a trained model says of itself: its features, its classes, where it came from.
 *
 * Threads  immutable once its model is loaded
 * Memory   the model's
 */
#ifndef TILTH_MODEL_INFO_H
#define TILTH_MODEL_INFO_H

#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MODEL_MAX_FILE_BYTES ((size_t)1 << 30)
#define MODEL_MAX_CLASSES    256
#define MODEL_MAX_FEATURES   4096

struct model_class {
    const char *name; /* "maize" */
    uint32_t color;   /* 0xRRGGBB, or MODEL_NO_COLOR */
    uint8_t value;    /* what a class block holds; 255 is nodata and is refused */
};

#define MODEL_NO_COLOR UINT32_MAX

struct model_info {
    const char *name;
    const char *kind;       /* "random-forest", "extra-trees", "lightgbm", "voting", "onnx", .. */
    const char *provenance; /* JSON text from the model file: rows, scores, versions; or "" */
    uint32_t feature_count;
    const char *const *features; /* names, in the order the trees use */
    uint32_t class_count;
    const struct model_class *classes; /* in the order of the probabilities */
    uint32_t tree_count;
    uint64_t node_count;
    uint32_t max_depth;
    uint32_t score_count; /* raw scores per pixel */
    bool has_votes;       /* a forest answers: each of its trees has a class of its own */
    bool takes_nan;       /* it has a rule for features that are missing */
    uint32_t golden_rows; /* replayed at load; other libraries' files have 0 */
    bool golden_own;      /* they say what tilth gave when it converted the file, not the library */
    struct hash128 fingerprint;
};

#endif
