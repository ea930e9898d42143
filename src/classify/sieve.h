/*
 * sieve: small patches go. A patch is a connected component of one label on the infinite
 * grid; one of fewer than `min_pixels` pixels takes the label that most of the pixels
 * bordering it have (each counted once; ties: the lowest value). Nodata and masked pixels
 * neither go nor vote; a patch that only they border stays. One pass, decided on the labels
 * from before it, so that pixels depend on what is within min_pixels - 1 of them and on
 * nothing else: any cut of the grid gives the same (GDAL's sieve takes the largest
 * neighbouring patch, whose size no window knows).
 *
 * Threads  any
 * Memory   scratch: 8 bytes per pixel of the window and its halo
 * Units    pixels
 */
#ifndef TILTH_CLASSIFY_SIEVE_H
#define TILTH_CLASSIFY_SIEVE_H

#include "base/err.h"
#include "classify/label_window.h"

struct arena;

#define SIEVE_MIN 2
#define SIEVE_MAX 200

struct sieve_rule {
    unsigned min_pixels; /* SIEVE_MIN..SIEVE_MAX */
    unsigned connect;    /* neighbours of a pixel: 4 or 8 */
};

/* The halo that `input` needs: min_pixels - 1. O(pixels x connect). TL_NOMEM. */
TL_MUST_CHECK enum tl_code sieve_filter(const struct label_window *input,
                                        const struct sieve_rule *rule, struct arena *scratch,
                                        uint8_t *ret_label, size_t ret_stride, struct tl_err *err);

#endif
