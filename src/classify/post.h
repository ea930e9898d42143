/*
 * post: a chain of steps over labels, each defined on the infinite grid by what lies within its
 * halo, so that tiles, blocks and exports agree however the area is cut.
 *
 * Threads  any
 * Memory   plain values; scratch is the caller's
 * Units    pixels; confidence in percent
 */
#ifndef TILTH_CLASSIFY_POST_H
#define TILTH_CLASSIFY_POST_H

#include "base/attr.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

struct arena;
struct buf;
struct model_info;

#define POST_MAX_STEPS 8
#define POST_MAX_HALO  256

enum post_op {
    POST_MAJORITY, /* majority.h */
    POST_SIEVE,    /* sieve.h */
    POST_UNSURE,   /* a confidence below `below` makes the label `value` */
    POST_SMOOTH    /* smooth.h; before there are labels, so the first of all */
};

struct post_step {
    enum post_op op;
    uint8_t size; /* MAJORITY: odd window width; SIEVE: patches of fewer pixels go; SMOOTH: times */
    uint8_t connect; /* SIEVE: 4 or 8 */
    uint8_t below;   /* UNSURE: percent, 1..100 */
    uint8_t value;   /* UNSURE: 0..253, of no class */
};

struct post {
    unsigned count;
    struct post_step steps[POST_MAX_STEPS];
};

/* TL_INVALID for a step out of its bounds, TL_LIMIT for a chain that reaches too far. */
TL_MUST_CHECK enum tl_code post_check(const struct post *post, struct tl_err *err);
/* TL_INVALID where what is unsure would look like one of the model's classes. */
TL_MUST_CHECK enum tl_code post_check_model(const struct post *post, const struct model_info *model,
                                            struct tl_err *err);
/* Takes the smoothing off the front of a chain: how often it is done, 0 where there is none. */
unsigned post_take_smoothing(struct post *post);
/* How far a label looks: the steps' halos, added; smoothing is over before. */
uint32_t post_halo(const struct post *post);
/* Everything that changes labels, for a fingerprint. */
void post_describe(const struct post *post, struct buf *buf);

/* Pixels with a halo of post_halo() on every side; nodata outside of the grid. */
struct post_frame {
    uint32_t width, height;    /* the halo included */
    uint8_t *label;            /* used up */
    const uint8_t *confidence; /* 0 where unknown */
};

/* Writes the labels inside the halo. The chain has no smoothing any more. TL_NOMEM. */
TL_MUST_CHECK enum tl_code post_run(const struct post *post, const struct post_frame *frame,
                                    struct arena *scratch, uint8_t *ret_label, size_t ret_stride,
                                    struct tl_err *err);

#endif
