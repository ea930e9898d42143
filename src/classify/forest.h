/*
 * forest: a trained tree ensemble, ready to vote. Loaded from tilth's own model file
 * (written by python/tilth) or from what LightGBM, XGBoost, CatBoost and ONNX exporters write
 * (docs/model-formats.md), validated in full, compiled into a flat form and proved by
 * replaying the golden vectors that the model file carries.
 *
 * Contract: labels equal to the source library's on every row, probabilities within 1e-6
 * (reference: scikit-learn with n_jobs=1, raw scores of the others). Ties go to the first class.
 *
 * Threads  immutable after load; forest_run() on any, scratch is the caller's
 * Memory   forest_load() allocates, forest_unref() releases
 * Units    features are float32 planes in the model's order
 */
#ifndef TILTH_CLASSIFY_FOREST_H
#define TILTH_CLASSIFY_FOREST_H

#include "base/attr.h"
#include "base/err.h"
#include "base/hash.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct blob;
struct errand;
struct forest;
struct forest_output;
struct forest_table;

#define FOREST_MAX_CLASSES  256
#define FOREST_MAX_FEATURES 4096
#define FOREST_MAX_CODES    65536

struct forest_class {
    const char *name; /* "maize" */
    uint32_t color;   /* 0xRRGGBB, or FOREST_NO_COLOR */
    uint8_t value;    /* what a class block holds; 255 is nodata and is refused */
};

#define FOREST_NO_COLOR UINT32_MAX

struct forest_info {
    const char *name;
    const char *kind;       /* "random-forest", "extra-trees", "lightgbm", "voting", "onnx", .. */
    const char *provenance; /* JSON text from the model file: rows, scores, versions; or "" */
    uint32_t feature_count;
    const char *const *features; /* names, in the order the trees use */
    uint32_t class_count;
    const struct forest_class *classes; /* in the order of the probabilities */
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

/*
 * Parses, validates and proves. `name` (path or href) goes into messages: a refusal says
 * which tree, node, feature or golden row, in the words of whoever trained it.
 * TL_CORRUPT damaged, TL_UNSUPPORTED understood but not served, TL_LIMIT over a cap.
 */
TL_MUST_CHECK enum tl_code forest_load(const char *name, const struct blob *file,
                                       struct forest **ret_forest, struct tl_err *err);
struct forest *forest_ref(struct forest *forest);
void forest_unref(struct forest *forest);
const struct forest_info *forest_info(const struct forest *forest);

/*
 * A feature that is a function of one integer of 8 or 16 bits: its value for every code, and
 * what the model makes of each. A pixel of it then costs a load.
 *
 * values[code] of up to FOREST_MAX_CODES codes are copied. *ret_table is NULL where there is
 * nothing to gain - more than 65,535 thresholds on some feature, hundreds of sets of
 * categories - and the feature stays a plane.
 */
TL_MUST_CHECK enum tl_code forest_table_new(const struct forest *forest, uint32_t feature,
                                            const float *values, size_t count,
                                            struct forest_table **ret_table, struct tl_err *err);
void forest_table_free(struct forest_table *table);
const float *forest_table_values(const struct forest_table *table);

/* Where a feature of the pixels comes from, when it is not a plane of floats. */
struct forest_codes {
    const struct forest_table *table; /* of this forest and feature; NULL: the plane */
    const uint16_t *codes;            /* one per pixel, each below the table's count */
};

/* Pixels to label: feature f of pixel i is planes[f][i], or the value of its code. */
struct forest_pixels {
    const float *const *planes;
    size_t count;
    const struct forest_codes *codes; /* one per feature; NULL: planes alone */
};

/* Feature f of pixel i, wherever it is. */
float forest_value(const struct forest_pixels *pixels, uint32_t feature, size_t i);

/*
 * Labels pixels. What comes out equals forest_run_scalar() bit for bit, whatever the
 * machine, however the pixels are cut into runs and whatever else is asked for. TL_UNSUPPORTED for
 * votes of a model that has none. A NaN goes right in a scikit-learn
 * model (the library would refuse it: remove such pixels before) and by the model's own
 * rules in a LightGBM one.
 * O(pixels x trees x depth); the packet sweep shares the nodes among like pixels
 * (docs/forest.md). Best given 4,096 pixels and more at once; 65,536 are sorted together.
 * Checks the errand (NULL: never stopped) between blocks of at most 65,536 pixels. Scratch:
 * per pixel of at most 65,536, 18 bytes and 3 to 8 per feature, besides 1 to 8 MB.
 */
TL_MUST_CHECK enum tl_code forest_run(const struct forest *forest,
                                      const struct forest_pixels *pixels, struct errand *errand,
                                      struct arena *scratch, const struct forest_output *output,
                                      struct tl_err *err);

/* The oracle: one pixel, one tree, one node at a time, in the source library's arithmetic.
 * Takes planes alone. */
void forest_run_scalar(const struct forest *forest, const struct forest_pixels *pixels,
                       const struct forest_output *output);

AUTO_DEFINE(forest, forest_unref)
AUTO_DEFINE(forest_table, forest_table_free)

#endif
