/*
 * walk: the oracle. One pixel, one tree, one node at a time, in the source library's
 * arithmetic and order: its thresholds, its sums (double or float32), its rules for what
 * is missing. Everything that is faster must give what this gives, bit for bit.
 *
 * Threads  any
 * Units    features are float32; probabilities double, 0..1
 */
#ifndef TILTH_FOREST_WALK_H
#define TILTH_FOREST_WALK_H

#include "forest/output.h"
#include "model/model.h"

#include <stddef.h>
#include <stdint.h>

/* Sums before any tree, and sums over all trees for pixel `at`: score_count doubles (of
 * float32 values where the library adds in float32). */
void walk_start(const struct model *model, double *ret_sums);
void walk_sums(const struct model *model, const float *const *planes, size_t at, double *ret_sums);

/* One leaf of them: its leaf_width numbers added to as many sums, in the library's arithmetic; and
 * what a leaf of a linear tree adds. */
void walk_add(const struct model *model, const double *leaf, double *sums);
double walk_line(const struct model *model, uint32_t leaf, const float *const *planes, size_t at);

/* The score_count scores that a transform is given: bias, scale and all. */
void walk_scores(const struct model *model, const double *sums, double *ret_scores);
/* Whether these are the sums. */
bool walk_plain(const struct model *model);

/* Sums over the trees (score_count doubles) to class_count probabilities; may be in place
 * for forests. */
void walk_probabilities(const struct model *model, const double *sums, double *ret_p);

/* The first of the largest, as numpy's argmax has it: an index into the classes. */
uint32_t walk_winner(const double *p, uint32_t class_count);

/* The class that the library would name: an index into the classes. */
uint32_t walk_label(const struct model *model, const double *sums, const double *p);

/* The two greatest of `class_count` numbers; the second of one is 0. */
void walk_two_greatest(const double *p, uint32_t class_count, double *ret_first,
                       double *ret_second);

/* struct forest_output's entropy, before it is rounded. */
double walk_entropy(const double *p, uint32_t class_count);

/* forest_write() from the sums, with the label the library would name for them, and the scores. */
void walk_write_sums(const struct model *model, const double *sums, size_t at, size_t count,
                     const struct forest_output *output);

/* The same where the probabilities are known. */
void walk_write_known(const struct model *model, const double *sums, const double *p, size_t at,
                      size_t count, const struct forest_output *output);

/* Everything that is wanted of a pixel: where its features are, where its outputs go. */
struct walk_place {
    const float *const *planes;
    size_t at; /* of the planes */
    size_t to, count;
};

void walk_write_pixel(const struct model *model, const struct walk_place *pixel,
                      const struct forest_output *output);

#endif
