/*
 * From each pixel to filter a flood, given up at min_pixels: what it has met is then known to
 * be of a large patch, and a later flood that meets such a pixel ends at once, so that no
 * pixel is flooded twice. A flood takes pixels in the order of their distance: the one it
 * stands on is at most min_pixels - 2 away from where it began, and all it looks at lies
 * within the halo.
 */
#include "classify/sieve.h"

#include "base/arena.h"
#include "base/check.h"

#include <string.h>

enum { UNSEEN, LARGE, FIRST_PATCH };

struct sieve {
    const uint8_t *label; /* of the halo's corner */
    size_t stride;
    unsigned min_pixels, connect;
    ptrdiff_t step[8];   /* to the neighbours */
    uint32_t *patch;     /* per pixel: UNSEEN, LARGE or the number of a small patch */
    uint32_t *border_of; /* per pixel: the last patch that counted it as its border */
    uint32_t number;     /* of the patch at hand */
    unsigned count;      /* its pixels so far */
    size_t pixels[SIEVE_MAX];
};

static bool sieve_init(struct sieve *sieve, const struct label_window *input,
                       const struct sieve_rule *rule, struct arena *scratch)
{
    const ptrdiff_t row = (ptrdiff_t)input->stride;
    const ptrdiff_t step[8] = {-row, -1, 1, row, -row - 1, -row + 1, row - 1, row + 1};
    size_t halo = rule->min_pixels - 1, rows = input->height + 2 * halo;

    sieve->label = input->label - halo * input->stride - halo;
    sieve->stride = input->stride;
    sieve->min_pixels = rule->min_pixels;
    sieve->connect = rule->connect;
    memcpy(sieve->step, step, sizeof(step));
    sieve->number = FIRST_PATCH;
    sieve->patch = arena_zalloc(scratch, rows * input->stride, sizeof(*sieve->patch));
    sieve->border_of = arena_zalloc(scratch, rows * input->stride, sizeof(*sieve->border_of));
    return sieve->patch && sieve->border_of;
}

/* Collects the patch around `start`; false: it is a large one. */
static bool flood(struct sieve *sieve, size_t start)
{
    uint8_t label = sieve->label[start];

    sieve->pixels[0] = start;
    sieve->patch[start] = sieve->number;
    sieve->count = 1;
    for (unsigned at = 0; at < sieve->count; at++) {
        for (unsigned n = 0; n < sieve->connect; n++) {
            size_t next = sieve->pixels[at] + (size_t)sieve->step[n];

            if (sieve->label[next] != label || sieve->patch[next] == sieve->number)
                continue;
            if (sieve->patch[next] == LARGE || sieve->count + 1 == sieve->min_pixels)
                return false;
            sieve->patch[next] = sieve->number;
            sieve->pixels[sieve->count++] = next;
        }
    }
    return true;
}

/* What most of the patch's border has; its own label where nothing there may vote. */
static uint8_t border_label(struct sieve *sieve)
{
    uint8_t own = sieve->label[sieve->pixels[0]], best = own;
    unsigned votes[256] = {0}, most = 0;

    for (unsigned i = 0; i < sieve->count; i++) {
        for (unsigned n = 0; n < sieve->connect; n++) {
            size_t next = sieve->pixels[i] + (size_t)sieve->step[n];
            uint8_t label = sieve->label[next];

            if (label == own || !label_votes(label) || sieve->border_of[next] == sieve->number)
                continue;
            sieve->border_of[next] = sieve->number;
            votes[label]++;
        }
    }
    for (unsigned value = 0; value < CLASS_MASKED; value++) {
        if (votes[value] > most) {
            most = votes[value];
            best = (uint8_t)value;
        }
    }
    return best;
}

static void relabel(const struct sieve *sieve, const struct label_window *input, uint8_t label,
                    uint8_t *ret_label, size_t ret_stride)
{
    size_t halo = sieve->min_pixels - 1;

    for (unsigned i = 0; i < sieve->count; i++) {
        /* Left of or above the window wraps around, far beyond its size. */
        size_t x = sieve->pixels[i] % sieve->stride - halo;
        size_t y = sieve->pixels[i] / sieve->stride - halo;

        if (x < input->width && y < input->height)
            ret_label[y * ret_stride + x] = label;
    }
}

enum tl_code sieve_filter(const struct label_window *input, const struct sieve_rule *rule,
                          struct arena *scratch, uint8_t *ret_label, size_t ret_stride,
                          struct tl_err *err)
{
    struct sieve sieve;
    size_t halo = rule->min_pixels - 1;

    TL_CHECK(rule->min_pixels >= SIEVE_MIN && rule->min_pixels <= SIEVE_MAX);
    TL_CHECK(rule->connect == 4 || rule->connect == 8);
    if (!sieve_init(&sieve, input, rule, scratch))
        return tl_fail(err, TL_NOMEM, "no memory to sieve %u x %u pixels", input->width,
                       input->height);
    for (size_t y = 0; y < input->height; y++) {
        const uint8_t *row = input->label + y * input->stride;

        memcpy(ret_label + y * ret_stride, row, input->width);
    }
    for (size_t y = 0; y < input->height; y++) {
        for (size_t x = 0; x < input->width; x++) {
            size_t start = (y + halo) * input->stride + x + halo;

            if (!label_votes(sieve.label[start]) || sieve.patch[start] != UNSEEN)
                continue;
            if (flood(&sieve, start)) {
                relabel(&sieve, input, border_label(&sieve), ret_label, ret_stride);
            } else {
                for (unsigned i = 0; i < sieve.count; i++)
                    sieve.patch[sieve.pixels[i]] = LARGE;
            }
            sieve.number++;
        }
    }
    return TL_OK;
}
