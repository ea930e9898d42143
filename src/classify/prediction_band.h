/*
 * prediction_band: what a prediction says of a pixel, and what that is called: "label",
 * "confidence", "margin", "entropy" and, for each class of the model, "probability:maize".
 *
 * Threads  any
 */
#ifndef TILTH_CLASSIFY_PREDICTION_BAND_H
#define TILTH_CLASSIFY_PREDICTION_BAND_H

#include "base/attr.h"
#include "base/err.h"

#include <stdint.h>

struct model_info;

#define CLASS_NODATA 255
#define CLASS_MASKED 254

enum prediction_output {
    PREDICTION_LABEL,
    PREDICTION_CONFIDENCE,
    PREDICTION_MARGIN, /* struct forest_output's, in percent, halves up */
    PREDICTION_ENTROPY,
    PREDICTION_PROBABILITY
};

struct prediction_band {
    enum prediction_output what;
    uint16_t class; /* PROBABILITY: of which of the model's; else 0 */
};

/* Label and confidence are in every prediction; so many more at most. */
#define PREDICTION_MAX_MORE  64
#define PREDICTION_MAX_BANDS (2 + PREDICTION_MAX_MORE)

/* With the final zero; prediction_band_find() refuses what is longer. */
#define BAND_NAME_ROOM 64

void prediction_band_name(const struct prediction_band *band, const struct model_info *model,
                          char ret_name[BAND_NAME_ROOM]);
/* The name of a class alone is its probability's. TL_ABSENT, with the names that there are. */
TL_MUST_CHECK enum tl_code prediction_band_find(const char *name, const struct model_info *model,
                                                struct prediction_band *ret_band,
                                                struct tl_err *err);

#endif
