#include "tl_test.h"

#include "classify/class_block.h"
#include "classify/majority.h"
#include "classify/mode.h"
#include "classify/prediction.h"
#include "classify/prediction_band.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { SIDE = 96, MARGIN = MAJORITY_MAX / 2, STRIDE = SIDE + 2 * MARGIN };

/* A raster with a margin of nodata: the rest of the infinite grid. */
static uint8_t world[STRIDE * STRIDE];

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static uint8_t *at(uint8_t *plane, size_t x, size_t y)
{
    return plane + (y + MARGIN) * STRIDE + x + MARGIN;
}

static void draw(uint32_t labels, uint32_t seed)
{
    memset(world, CLASS_NODATA, sizeof(world));
    for (size_t y = 0; y < SIDE; y++)
        for (size_t x = 0; x < SIDE; x++) {
            uint32_t value = next(&seed) % (labels + 1);
            *at(world, x, y) = (uint8_t)(value < labels    ? value * 5
                                         : next(&seed) % 2 ? CLASS_NODATA
                                                           : CLASS_MASKED);
        }
}

/* The definition, word for word. */
static uint8_t by_definition(size_t x, size_t y, int k)
{
    unsigned votes[256] = {0}, most = 0, holders = 0;
    uint8_t centre = *at(world, x, y), best = centre;

    if (centre == CLASS_NODATA || centre == CLASS_MASKED)
        return centre;
    for (int dy = -(k / 2); dy <= k / 2; dy++)
        for (int dx = -(k / 2); dx <= k / 2; dx++)
            votes[at(world, x, y)[dy * STRIDE + dx]]++;
    votes[CLASS_NODATA] = votes[CLASS_MASKED] = 0;
    for (unsigned v = 0; v < 256; v++)
        most = TL_MAX(most, votes[v]);
    for (unsigned v = 0; v < 256; v++)
        if (votes[v] == most) {
            holders++;
            best = (uint8_t)v;
        }
    return holders == 1 ? best : centre;
}

TEST(the_filter_is_its_definition_for_every_width)
{
    static uint8_t out[SIDE * SIDE];

    for (unsigned k = MAJORITY_MIN; k <= MAJORITY_MAX; k += 2) {
        draw(2 + k % 7, k);
        majority_filter(&(struct label_window){at(world, 0, 0), STRIDE, SIDE, SIDE}, k, out, SIDE);
        for (size_t y = 0; y < SIDE; y++)
            for (size_t x = 0; x < SIDE; x++)
                assert_int_equal(out[y * SIDE + x], by_definition(x, y, (int)k));
    }
}

TEST(any_cut_of_the_raster_gives_the_same_pixels)
{
    static uint8_t whole[SIDE * SIDE], pieces[SIDE * SIDE];
    uint32_t seed = 11;

    for (int round = 0; round < 40; round++) {
        unsigned k = 3 + 2 * (next(&seed) % 12);
        uint32_t cut_x = 1 + next(&seed) % (SIDE - 1), cut_y = 1 + next(&seed) % (SIDE - 1);

        draw(4, seed);
        majority_filter(&(struct label_window){at(world, 0, 0), STRIDE, SIDE, SIDE}, k, whole,
                        SIDE);
        for (int i = 0; i < 4; i++) {
            uint32_t x = i % 2 ? cut_x : 0, y = i / 2 ? cut_y : 0;
            majority_filter(&(struct label_window){at(world, x, y), STRIDE,
                                                   i % 2 ? SIDE - cut_x : cut_x,
                                                   i / 2 ? SIDE - cut_y : cut_y},
                            k, pieces + y * SIDE + x, SIDE);
        }
        assert_memory_equal(pieces, whole, sizeof(whole));
    }
}

TEST(a_shared_first_place_keeps_the_centre)
{
    static const uint8_t square[9] = {1, 1, 1, 2, 3, 2, 1, 2, 2};
    uint8_t out;

    majority_filter(&(struct label_window){square + 4, 3, 1, 1}, 3, &out, 1);
    assert_int_equal(out, 3);
}

TEST(nodata_and_masked_neither_vote_nor_change)
{
    static const uint8_t square[9] = {255, 255, 255, 254, 7, 254, 254, 9, 9};
    static const uint8_t hole[9] = {9, 9, 9, 9, 255, 9, 9, 9, 9};
    static const uint8_t mask[9] = {9, 9, 9, 9, 254, 9, 9, 9, 9};
    uint8_t out;

    majority_filter(&(struct label_window){square + 4, 3, 1, 1}, 3, &out, 1);
    assert_int_equal(out, 9);
    majority_filter(&(struct label_window){hole + 4, 3, 1, 1}, 3, &out, 1);
    assert_int_equal(out, CLASS_NODATA);
    majority_filter(&(struct label_window){mask + 4, 3, 1, 1}, 3, &out, 1);
    assert_int_equal(out, CLASS_MASKED);
}

/* ---- the mode of 2 x 2 ---- */

static void halve_square(const uint8_t label[4], const uint8_t confidence[4], uint8_t *ret_label,
                         uint8_t *ret_confidence)
{
    AUTO(class_map) child = class_map_new(CLASS_BANDS);
    AUTO(class_map) parent = class_map_new(CLASS_BANDS);

    for (size_t i = 0; i < 4; i++) {
        child->label[i / 2 * CLASS_BLOCK + i % 2] = label[i];
        child->confidence[i / 2 * CLASS_BLOCK + i % 2] = confidence[i];
    }
    mode_halve(child->samples, 2, 2, parent, 0);
    *ret_label = parent->label[0];
    *ret_confidence = parent->confidence[0];
}

static void assert_mode(uint8_t a, uint8_t b, uint8_t c, uint8_t d, uint8_t label,
                        uint8_t confidence)
{
    uint8_t got_label, got_confidence;

    halve_square((uint8_t[]){a, b, c, d}, (uint8_t[]){10, 21, 30, 40}, &got_label, &got_confidence);
    assert_int_equal(got_label, label);
    assert_int_equal(got_confidence, confidence);
}

TEST(the_mode_takes_the_commonest_then_the_earliest)
{
    assert_mode(1, 1, 1, 1, 1, 25);
    assert_mode(1, 2, 2, 3, 2, 26); /* 25.5 rounds up */
    assert_mode(1, 2, 3, 4, 1, 10);
    assert_mode(3, 2, 2, 3, 3, 25);
    assert_mode(255, 2, 255, 255, 2, 21);
    assert_mode(255, 2, 9, 9, 9, 35);
    assert_mode(254, 254, 9, 9, 254, 16);
    assert_mode(255, 255, 255, 255, 255, 25);
}

TEST(odd_edges_halve_what_is_there)
{
    AUTO(class_map) child = class_map_new(CLASS_BANDS);
    AUTO(class_map) parent = class_map_new(CLASS_BANDS);

    for (size_t y = 0; y < 3; y++)
        for (size_t x = 0; x < 5; x++)
            child->label[y * CLASS_BLOCK + x] = (uint8_t)(10 * y + x);
    /* Beyond the five columns and three rows is another colour that must not be seen. */
    child->label[5] = child->label[CLASS_BLOCK + 5] = 99;
    memset(child->label + 3 * CLASS_BLOCK, 99, CLASS_BLOCK);
    mode_halve(child->samples, 5, 3, parent, 7);
    assert_int_equal(parent->label[7], 0);
    assert_int_equal(parent->label[9], 4);
    assert_int_equal(parent->label[CLASS_BLOCK + 7], 20);
    assert_int_equal(parent->label[CLASS_BLOCK + 9], 24);
    assert_int_equal(parent->label[10], CLASS_NODATA);
}

RUN(T(the_filter_is_its_definition_for_every_width), T(any_cut_of_the_raster_gives_the_same_pixels),
    T(a_shared_first_place_keeps_the_centre), T(nodata_and_masked_neither_vote_nor_change),
    T(the_mode_takes_the_commonest_then_the_earliest), T(odd_edges_halve_what_is_there))
