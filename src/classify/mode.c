#include "classify/mode.h"

#include "classify/class_block.h"
#include "classify/prediction_band.h"

/* What a 2 x 2 square becomes: nodata never outvotes, ties go to the earliest. */
static unsigned winner_of(const uint8_t label[4])
{
    unsigned best = 0, most = 0;

    for (unsigned i = 0; i < 4; i++) {
        unsigned same = 0;

        if (label[i] == CLASS_NODATA)
            continue;
        for (unsigned k = 0; k < 4; k++)
            same += label[k] == label[i];
        if (same > most) {
            most = same;
            best = i;
        }
    }
    return best;
}

static uint8_t mean_of(const uint8_t label[4], const uint8_t percent[4], uint8_t winner)
{
    unsigned sum = 0, count = 0;

    for (unsigned i = 0; i < 4; i++) {
        if (label[i] != winner)
            continue;
        sum += percent[i];
        count++;
    }
    return (uint8_t)((2 * sum + count) / (2 * count));
}

/* All bands of a pixel, from its four children at `from`. */
static void halve_pixel(const uint8_t *samples, const size_t from[4], const uint8_t labels[4],
                        struct class_map *parent, size_t at)
{
    uint8_t winner = labels[winner_of(labels)];

    parent->label[at] = winner;
    for (size_t band = CLASS_PIXELS; band < parent->bands * CLASS_PIXELS; band += CLASS_PIXELS) {
        uint8_t percents[4];

        for (int k = 0; k < 4; k++)
            percents[k] = samples[band + from[k]];
        parent->samples[band + at] = mean_of(labels, percents, winner);
    }
}

void mode_halve(const uint8_t *samples, uint32_t width, uint32_t height, struct class_map *parent,
                size_t at)
{
    for (uint32_t y = 0; y < height; y += 2, at += CLASS_BLOCK) {
        for (uint32_t x = 0; x < width; x += 2) {
            size_t i = (size_t)y * CLASS_BLOCK + x;
            size_t down = y + 1 < height ? CLASS_BLOCK : 0, right = x + 1 < width ? 1 : 0;
            size_t from[4] = {i, i + right, i + down, i + down + right};
            uint8_t labels[4];

            for (int k = 0; k < 4; k++)
                labels[k] = samples[from[k]];
            if (!right)
                labels[1] = labels[3] = CLASS_NODATA;
            if (!down)
                labels[2] = labels[3] = CLASS_NODATA;
            halve_pixel(samples, from, labels, parent, at + x / 2);
        }
    }
}
