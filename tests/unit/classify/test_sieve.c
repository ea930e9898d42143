#include "tl_test.h"

#include "base/arena.h"
#include "classify/sieve.h"

#include <stdlib.h>
#include <string.h>

enum { SIDE = 40, MARGIN = SIEVE_MAX - 1, STRIDE = SIDE + 2 * MARGIN };

/* A raster with a margin of nodata: the rest of the infinite grid. */
static uint8_t world[STRIDE * STRIDE];
static struct tl_err err;

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static uint8_t *at(size_t x, size_t y)
{
    return world + (y + MARGIN) * STRIDE + x + MARGIN;
}

/* Land in pieces of many sizes, with holes of nodata and mask. */
static void draw(uint32_t labels, uint32_t seed)
{
    memset(world, CLASS_NODATA, sizeof(world));
    for (size_t y = 0; y < SIDE; y++)
        for (size_t x = 0; x < SIDE; x++) {
            uint32_t draw = next(&seed) % 100;
            uint8_t kept = x && next(&seed) % 2 ? *at(x - 1, y) : y ? *at(x, y - 1) : 0;

            *at(x, y) = draw < 2    ? CLASS_NODATA
                        : draw < 4  ? CLASS_MASKED
                        : draw < 50 ? (uint8_t)(next(&seed) % labels * 5)
                                    : kept;
        }
}

static void filter(struct sieve_rule rule, uint32_t x, uint32_t y, struct label_window size,
                   uint8_t *out)
{
    AUTO(arena) scratch = arena_new();
    const struct label_window window = {at(x, y), STRIDE, size.width, size.height};

    assert_ok(sieve_filter(&window, &rule, scratch, out, SIDE, &err));
}

/* ---- the definition: whole components of the whole raster, by passes until nothing moves ---- */

static bool connected(struct sieve_rule rule, int dx, int dy)
{
    return (dx || dy) && (rule.connect == 8 || !dx || !dy);
}

static void components(struct sieve_rule rule, uint16_t *id)
{
    for (unsigned i = 0; i < SIDE * SIDE; i++)
        id[i] = (uint16_t)i;
    for (bool moved = true; moved;) {
        moved = false;
        for (int i = 0; i < SIDE * SIDE; i++)
            for (int n = 0; n < 9; n++) {
                int dx = n % 3 - 1, dy = n / 3 - 1, x = i % SIDE + dx, y = i / SIDE + dy;

                if (!connected(rule, dx, dy) || x < 0 || y < 0 || x >= SIDE || y >= SIDE ||
                    *at((size_t)x, (size_t)y) != *at((size_t)(i % SIDE), (size_t)(i / SIDE)) ||
                    id[y * SIDE + x] >= id[i])
                    continue;
                id[i] = id[y * SIDE + x];
                moved = true;
            }
    }
}

static uint8_t commonest_around(struct sieve_rule rule, const uint16_t *id, uint16_t patch,
                                uint8_t own)
{
    unsigned votes[256] = {0}, best = own, most = 0;

    for (int i = 0; i < SIDE * SIDE; i++) {
        bool borders = false;

        for (int n = 0; n < 9; n++) {
            int dx = n % 3 - 1, dy = n / 3 - 1, x = i % SIDE + dx, y = i / SIDE + dy;

            borders |= connected(rule, dx, dy) && x >= 0 && y >= 0 && x < SIDE && y < SIDE &&
                       id[y * SIDE + x] == patch;
        }
        if (borders && id[i] != patch)
            votes[*at((size_t)(i % SIDE), (size_t)(i / SIDE))]++;
    }
    for (unsigned v = 0; v < CLASS_MASKED; v++)
        if (votes[v] > most && v != own) {
            most = votes[v];
            best = v;
        }
    return (uint8_t)best;
}

static void by_definition(struct sieve_rule rule, uint8_t *out)
{
    static uint16_t id[SIDE * SIDE];
    static unsigned size[SIDE * SIDE];

    components(rule, id);
    memset(size, 0, sizeof(size));
    for (unsigned i = 0; i < SIDE * SIDE; i++)
        size[id[i]]++;
    /* A component's number is its first pixel: there its new label is known to the others. */
    for (unsigned i = 0; i < SIDE * SIDE; i++) {
        uint8_t label = *at(i % SIDE, i / SIDE);
        bool goes = label_votes(label) && size[id[i]] < rule.min_pixels;

        if (goes && id[i] == i)
            out[i] = commonest_around(rule, id, id[i], label);
        else
            out[i] = goes ? out[id[i]] : label;
    }
}

TEST(the_sieve_is_its_definition)
{
    static uint8_t out[SIDE * SIDE], want[SIDE * SIDE];
    static const unsigned sizes[] = {2, 3, 7, 25, 100, SIEVE_MAX};

    for (unsigned i = 0; i < 2 * TL_COUNT(sizes); i++) {
        const struct sieve_rule rule = {sizes[i / 2], i % 2 ? 8 : 4};

        draw(2 + i % 4, 7 * i + 1);
        by_definition(rule, want);
        filter(rule, 0, 0, (struct label_window){.width = SIDE, .height = SIDE}, out);
        assert_memory_equal(out, want, sizeof(want));
    }
}

TEST(any_cut_of_the_raster_gives_the_same_pixels)
{
    static uint8_t whole[SIDE * SIDE], pieces[SIDE * SIDE];
    uint32_t seed = 5;

    for (int round = 0; round < 30; round++) {
        const struct sieve_rule rule = {SIEVE_MIN + next(&seed) % 60, next(&seed) % 2 ? 4 : 8};
        uint32_t x = 1 + next(&seed) % (SIDE - 1), y = 1 + next(&seed) % (SIDE - 1);

        draw(3, seed);
        filter(rule, 0, 0, (struct label_window){.width = SIDE, .height = SIDE}, whole);
        filter(rule, 0, 0, (struct label_window){.width = x, .height = y}, pieces);
        filter(rule, x, 0, (struct label_window){.width = SIDE - x, .height = y}, pieces + x);
        filter(rule, 0, y, (struct label_window){.width = x, .height = SIDE - y},
               pieces + y * SIDE);
        filter(rule, x, y, (struct label_window){.width = SIDE - x, .height = SIDE - y},
               pieces + y * SIDE + x);
        assert_memory_equal(pieces, whole, sizeof(whole));
    }
}

TEST(a_patch_among_nodata_and_mask_stays)
{
    uint8_t out[SIDE * SIDE];

    memset(world, CLASS_NODATA, sizeof(world));
    *at(10, 10) = 7;
    *at(11, 10) = CLASS_MASKED;
    filter((struct sieve_rule){5, 8}, 0, 0, (struct label_window){.width = SIDE, .height = SIDE},
           out);
    assert_int_equal(out[10 * SIDE + 10], 7);
    assert_int_equal(out[10 * SIDE + 11], CLASS_MASKED);
    assert_int_equal(out[0], CLASS_NODATA);
}

TEST(a_diagonal_joins_pixels_only_where_eight_neighbours_do)
{
    uint8_t out[SIDE * SIDE];

    for (unsigned connect = 4; connect <= 8; connect += 4) {
        memset(world, 1, sizeof(world));
        *at(10, 10) = *at(11, 11) = 7;
        filter((struct sieve_rule){2, connect}, 0, 0,
               (struct label_window){.width = SIDE, .height = SIDE}, out);
        assert_int_equal(out[10 * SIDE + 10], connect == 8 ? 7 : 1);
    }
}

TEST(of_two_labels_as_common_the_lower_takes_the_patch)
{
    uint8_t out[SIDE * SIDE];

    memset(world, CLASS_NODATA, sizeof(world));
    *at(10, 10) = 5;
    *at(9, 10) = *at(10, 9) = 9;
    *at(11, 10) = *at(10, 11) = 3;
    filter((struct sieve_rule){2, 4}, 10, 10, (struct label_window){.width = 1, .height = 1}, out);
    assert_int_equal(out[0], 3);
}

RUN(T(the_sieve_is_its_definition), T(any_cut_of_the_raster_gives_the_same_pixels),
    T(a_patch_among_nodata_and_mask_stays),
    T(a_diagonal_joins_pixels_only_where_eight_neighbours_do),
    T(of_two_labels_as_common_the_lower_takes_the_patch))
