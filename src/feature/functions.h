/*
 * functions: the functions of the expression language, as what they expand to.
 * Elementary functions and indices work member by member, statistics make one value of a
 * series. Private to feature*.c.
 *
 * Source  formulas and their order of operations: digitalearthafrica's calculate_indices()
 */
#ifndef TILTH_FEATURE_FUNCTIONS_H
#define TILTH_FEATURE_FUNCTIONS_H

#include "feature/build.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a band shows. */
enum feature_role {
    ROLE_NONE,
    ROLE_BLUE,
    ROLE_GREEN,
    ROLE_RED,
    ROLE_RED_EDGE,
    ROLE_NIR,
    ROLE_SWIR_1,
    ROLE_SWIR_2,
    ROLE_COUNT
};

/* What such a band is called, best first; NULL ends the list. */
const char *const *feature_role_names(enum feature_role role);
const char *feature_role_title(enum feature_role role);

#define FEATURE_MAX_ARGUMENTS 4
/* Members of a series, and of what a statistic is of. */
#define FEATURE_MAX_SERIES 128

struct feature_function {
    const char *name;
    /* Member by member: an operation, or a formula of several, of so many arguments. */
    unsigned arguments; /* 0: a statistic */
    enum feature_op op;
    uint32_t (*formula)(struct feature_builder *b, const uint32_t *in);
    /* An index: what its arguments show; and whether it has constants for reflectance 0..1. */
    enum feature_role roles[FEATURE_MAX_ARGUMENTS];
    bool reflectance;
    bool takes_percent; /* percentile(q, ...) */
    /* A statistic, of at least so many members. */
    unsigned least;
    uint32_t (*statistic)(struct feature_builder *b, const struct feature_series *x,
                          double percent);
};

/* Whatever the case of its letters; NULL when there is none. */
const struct feature_function *feature_function_find(const char *name, size_t size);
/* All names, for a refusal. */
const char *feature_function_names(void);

/* statistics.c */
uint32_t feature_sum(struct feature_builder *b, const struct feature_series *x, double percent);
uint32_t feature_mean(struct feature_builder *b, const struct feature_series *x, double percent);
uint32_t feature_min(struct feature_builder *b, const struct feature_series *x, double percent);
uint32_t feature_max(struct feature_builder *b, const struct feature_series *x, double percent);
uint32_t feature_amplitude(struct feature_builder *b, const struct feature_series *x,
                           double percent);
uint32_t feature_std(struct feature_builder *b, const struct feature_series *x, double percent);
uint32_t feature_slope(struct feature_builder *b, const struct feature_series *x, double percent);
uint32_t feature_median(struct feature_builder *b, const struct feature_series *x, double percent);
uint32_t feature_percentile(struct feature_builder *b, const struct feature_series *x,
                            double percent);
uint32_t feature_iqr(struct feature_builder *b, const struct feature_series *x, double percent);
uint32_t feature_count(struct feature_builder *b, const struct feature_series *x, double percent);
uint32_t feature_nanmean(struct feature_builder *b, const struct feature_series *x, double percent);
uint32_t feature_nanmin(struct feature_builder *b, const struct feature_series *x, double percent);
uint32_t feature_nanmax(struct feature_builder *b, const struct feature_series *x, double percent);
uint32_t feature_nanmedian(struct feature_builder *b, const struct feature_series *x,
                           double percent);
uint32_t feature_nanpercentile(struct feature_builder *b, const struct feature_series *x,
                               double percent);

#endif
