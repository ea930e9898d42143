#include "classify/prediction_band.h"

#include "model/info.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define OF_CLASS "probability:"

static const char *const of_pixels[] = {[PREDICTION_LABEL] = "label",
                                        [PREDICTION_CONFIDENCE] = "confidence",
                                        [PREDICTION_MARGIN] = "margin",
                                        [PREDICTION_ENTROPY] = "entropy"};

void prediction_band_name(const struct prediction_band *band, const struct model_info *model,
                          char ret_name[BAND_NAME_ROOM])
{
    if (band->what == PREDICTION_PROBABILITY)
        snprintf(ret_name, BAND_NAME_ROOM, OF_CLASS "%s", model->classes[band->class].name);
    else
        snprintf(ret_name, BAND_NAME_ROOM, "%s", of_pixels[band->what]);
}

static bool find_class(const char *name, const struct model_info *model, uint16_t *ret_class)
{
    for (uint32_t c = 0; c < model->class_count; c++)
        if (strcmp(model->classes[c].name, name) == 0) {
            *ret_class = (uint16_t)c;
            return true;
        }
    return false;
}

enum tl_code prediction_band_find(const char *name, const struct model_info *model,
                                  struct prediction_band *ret_band, struct tl_err *err)
{
    size_t prefix = strncmp(name, OF_CLASS, sizeof(OF_CLASS) - 1) == 0 ? sizeof(OF_CLASS) - 1 : 0;
    struct prediction_band band = {.what = PREDICTION_PROBABILITY};

    for (size_t i = 0; i < TL_COUNT(of_pixels); i++)
        if (strcmp(name, of_pixels[i]) == 0) {
            *ret_band = (struct prediction_band){.what = (enum prediction_output)i};
            return TL_OK;
        }
    if (!find_class(name + prefix, model, &band.class))
        return tl_fail(
            err, TL_ABSENT,
            "there is no band \"%.64s\": label, confidence, margin, entropy and " OF_CLASS
            "CLASS are, of the model's %u classes such as \"%.48s\"",
            name, model->class_count, model->classes[0].name);
    if (sizeof(OF_CLASS) + strlen(name + prefix) > BAND_NAME_ROOM)
        return tl_fail(err, TL_LIMIT,
                       "the class \"%.48s...\" has a name that is too long for a "
                       "band; at most %zu bytes are",
                       name + prefix, BAND_NAME_ROOM - sizeof(OF_CLASS));
    *ret_band = band;
    return TL_OK;
}
