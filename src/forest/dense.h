/*
 * dense: a small net (struct model_net) on many pixels: scalings, then layers of sums and
 * activations, all in double. docs/dense.md has the order of the sums, which every build of the
 * kernel keeps: what it gives is dense_walk()'s, bit for bit.
 *
 * Threads  immutable once compiled
 * Memory   the compiled form in the arena that dense_compile() was given; the room of a strip is
 *          the caller's
 * Units    strips of DENSE_STRIP pixels, column by column: column c of pixel i at
 *          [c * DENSE_STRIP + i]
 */
#ifndef TILTH_FOREST_DENSE_H
#define TILTH_FOREST_DENSE_H

#include "base/attr.h"
#include "base/cpu.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct dense_layer; /* dense_math.h */
struct model_net;

/* TILE: outputs that are added up at once. */
enum { DENSE_STRIP = 64, DENSE_TILE = 4 };

/* Of each pixel of a strip: the first of its greatest scores, and how far the others are behind. */
struct dense_lead {
    _Alignas(64) double best[DENSE_STRIP]; /* a class */
    double first[DENSE_STRIP], second[DENSE_STRIP];
    double total[DENSE_STRIP]; /* of e^(score - first) over the classes, where that was asked */
};

struct dense;

/* Strips; everything is aligned to 64 bytes. */
struct dense_kernel {
    /* A strip through all layers. `in` and `spare` each have dense->room doubles; the scores
     * come back in one of the two. */
    const double *(*run)(const struct dense *dense, double *in, double *spare);
    /* Scores to their softmax. */
    void (*shares)(uint32_t classes, const double *scores, double *ret_p);
    /* walk_winner() of each pixel by `by`, and its p; `by` may be `p`. */
    void (*pick)(uint32_t classes, const double *by, const double *p, double *ret_class,
                 double *ret_p);
    /* Who leads; scores with NaN among them have no sense in it. */
    void (*lead)(uint32_t classes, const double *scores, bool totals, struct dense_lead *ret_lead);
};

struct dense {
    const struct model_net *net;
    uint32_t inputs;
    const struct dense_layer *layers; /* net->layer_count */
    size_t room;                      /* doubles of a strip of the widest layer */
    const struct dense_kernel *kernel;
};

/* The best up to `isa`. ISA_SCALAR is plain C, as the compiler makes vectors of it. */
const struct dense_kernel *dense_choose(enum cpu_isa isa);

/* `net` is borrowed and must outlive it; it has passed model_check_parts(). */
TL_MUST_CHECK enum tl_code dense_compile(const struct model_net *net, struct arena *arena,
                                         struct dense *ret_dense, struct tl_err *err);

/* The oracle: one pixel, one sum at a time. values: the net's columns, and at least
 * NET_MAX_WIDTH numbers of room; they are lost. ret_scores: NET_MAX_WIDTH. */
void dense_walk(const struct model_net *net, double *values, double *ret_scores);

/* The softmax of one pixel's scores, as shares() has it. */
void dense_softmax(uint32_t classes, const double *scores, double *ret_p);

extern const struct dense_kernel dense_portable;
#if defined(__x86_64__)
extern const struct dense_kernel dense_avx2, dense_avx512;
#endif

#endif
