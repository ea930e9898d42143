/*
 * A histogram slides along each row: k labels leave on the left, k enter on the right. Only
 * the labels that occur get a bin, so that finding the winner looks at a handful of counts.
 */
#include "classify/majority.h"

#include "base/check.h"

#include <string.h>

struct ballot {
    unsigned bins;
    uint8_t label_of[256];
    uint8_t bin_of[256];
    uint16_t votes[256]; /* votes[bins] collects those who have no vote */
};

/* Bins for the labels that are there; the others share the one past the last. */
static void ballot_init(struct ballot *ballot, const uint8_t *label, size_t stride, uint32_t width,
                        uint32_t height)
{
    bool seen[256] = {false};

    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++)
            seen[label[y * stride + x]] = true;
    ballot->bins = 0;
    for (unsigned value = 0; value < 256; value++) {
        if (!seen[value] || !label_votes((uint8_t)value))
            continue;
        ballot->label_of[ballot->bins] = (uint8_t)value;
        ballot->bin_of[value] = (uint8_t)ballot->bins++;
    }
    ballot->bin_of[CLASS_NODATA] = ballot->bin_of[CLASS_MASKED] = (uint8_t)ballot->bins;
}

static void column_add(struct ballot *ballot, const uint8_t *top, size_t stride, unsigned k, int by)
{
    for (unsigned i = 0; i < k; i++) {
        uint16_t *count = &ballot->votes[ballot->bin_of[top[i * stride]]];
        *count = (uint16_t)(*count + by);
    }
}

static uint8_t winner(const struct ballot *ballot, uint8_t centre)
{
    unsigned most = 0, best = 0;
    bool shared = false;

    for (unsigned bin = 0; bin < ballot->bins; bin++) {
        unsigned count = ballot->votes[bin];
        shared = count == most || (shared && count < most);
        if (count > most) {
            most = count;
            best = bin;
        }
    }
    return shared ? centre : ballot->label_of[best];
}

void majority_filter(const struct label_window *input, unsigned k, uint8_t *ret_label,
                     size_t ret_stride)
{
    struct ballot ballot = {0};
    size_t halo = k / 2, stride = input->stride;
    const uint8_t *corner = input->label - halo * stride - halo;

    TL_CHECK(k % 2 == 1 && k >= MAJORITY_MIN && k <= MAJORITY_MAX);
    ballot_init(&ballot, corner, stride, input->width + k - 1, input->height + k - 1);
    for (size_t y = 0; y < input->height; y++) {
        const uint8_t *top = corner + y * stride;

        memset(ballot.votes, 0, sizeof(ballot.votes));
        for (size_t x = 0; x + 1 < k; x++)
            column_add(&ballot, top + x, stride, k, 1);
        for (size_t x = 0; x < input->width; x++) {
            uint8_t centre = input->label[y * stride + x];

            column_add(&ballot, top + x + k - 1, stride, k, 1);
            ret_label[y * ret_stride + x] = label_votes(centre) ? winner(&ballot, centre) : centre;
            column_add(&ballot, top + x, stride, k, -1);
        }
    }
}
