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
#ifndef TILTH_FOREST_FOREST_H
#define TILTH_FOREST_FOREST_H

#include "base/attr.h"
#include "base/err.h"
#include "model/info.h"

#include <stddef.h>
#include <stdint.h>

struct arena;
struct blob;
struct errand;
struct forest;
struct forest_codes;
struct forest_output;

/*
 * Parses, validates and proves; of a compiled file (load.h) the forest keeps the bytes. `name`
 * (path or href) goes into messages: a refusal says which tree, node, feature or golden row, in the
 * words of whoever trained it. TL_CORRUPT damaged, TL_UNSUPPORTED understood but not served,
 * TL_LIMIT over a cap.
 */
TL_MUST_CHECK enum tl_code forest_load(const char *name, const struct blob *file,
                                       struct forest **ret_forest, struct tl_err *err);

struct forest *forest_ref(struct forest *forest);
void forest_unref(struct forest *forest);
const struct model_info *forest_info(const struct forest *forest);

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
 * Takes planes alone. Of a forest that has its nodes: of a compiled file, FOREST_MODEL. */
void forest_run_scalar(const struct forest *forest, const struct forest_pixels *pixels,
                       const struct forest_output *output);

AUTO_DEFINE(forest, forest_unref)

#endif
