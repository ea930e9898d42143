/*
 * Room for every output of a run, and two such runs held against each other bit for bit, in any
 * subset: bit k of a set is output k in the order of struct forest_output.
 */
#ifndef TILTH_TESTS_FOREST_OUTPUTS_H
#define TILTH_TESTS_FOREST_OUTPUTS_H

#include "forest/forest.h"
#include "forest/output.h"
#include "tl_test.h"

#include <stdlib.h>
#include <string.h>

enum {
    OUTPUT_KINDS = 8,
    OUTPUTS_ALL = (1 << OUTPUT_KINDS) - 1,
    OUTPUTS_NO_VOTES = OUTPUTS_ALL - 64
};

struct outputs {
    size_t count;
    size_t bytes[OUTPUT_KINDS];
    void *room[OUTPUT_KINDS];
};

static inline void outputs_free(struct outputs *outputs)
{
    for (int k = 0; k < OUTPUT_KINDS; k++)
        free(outputs->room[k]);
}

static inline void outputs_clear(struct outputs *outputs)
{
    for (int k = 0; k < OUTPUT_KINDS; k++)
        memset(outputs->room[k], 0xEE, outputs->bytes[k]);
}

static inline struct outputs outputs_new(size_t count, uint32_t classes, uint32_t scores)
{
    struct outputs outputs = {.count = count,
                              .bytes = {count, count, count * classes * sizeof(float),
                                        count * sizeof(float), count * sizeof(float),
                                        count * scores * sizeof(double),
                                        count * classes * sizeof(uint32_t), count * classes}};

    for (int k = 0; k < OUTPUT_KINDS; k++) {
        outputs.room[k] = malloc(outputs.bytes[k] + 1);
        assert_non_null(outputs.room[k]);
    }
    outputs_clear(&outputs);
    return outputs;
}

static inline struct forest_output outputs_of(const struct outputs *outputs, unsigned set)
{
    void *const *room = outputs->room;

    return (struct forest_output){.label = set & 1 ? room[0] : NULL,
                                  .confidence = set & 2 ? room[1] : NULL,
                                  .probability = set & 4 ? room[2] : NULL,
                                  .margin = set & 8 ? room[3] : NULL,
                                  .entropy = set & 16 ? room[4] : NULL,
                                  .scores = set & 32 ? room[5] : NULL,
                                  .votes = set & 64 ? room[6] : NULL,
                                  .percent = set & 128 ? room[7] : NULL};
}

/* What is in the set is equal; the rest was not touched. */
static inline void outputs_assert(const struct outputs *got, const struct outputs *expected,
                                  unsigned set, const char *how)
{
    static const char *const names[OUTPUT_KINDS] = {
        "label", "confidence", "probability", "margin", "entropy", "scores", "votes", "percent"};

    for (int k = 0; k < OUTPUT_KINDS; k++) {
        const uint8_t *bytes = got->room[k], *want = expected->room[k];

        for (size_t i = 0; i < got->bytes[k]; i++)
            if (bytes[i] != (set >> k & 1 ? want[i] : 0xEE))
                fail_msg("%s, outputs 0x%x: %s: byte %zu of %zu is %02x", how, set, names[k], i,
                         got->bytes[k], bytes[i]);
    }
}

#endif
