/*
 * nearest: "did you mean": the known word closest to one that is not known.
 *
 * Threads  any
 */
#ifndef TILTH_BASE_NEAREST_H
#define TILTH_BASE_NEAREST_H

#include <stddef.h>

/* Insertions, deletions, replacements and swaps of neighbours between two words of at most
 * 63 bytes; longer ones are as far apart as their lengths add up to. */
size_t nearest_distance(const char *a, const char *b);

/* The closest of a NULL-terminated list, or NULL when none shares enough to be a guess. */
const char *nearest_word(const char *word, const char *const *known);

#endif
