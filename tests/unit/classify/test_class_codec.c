#include "tl_test.h"

#include "base/buf.h"
#include "classify/class_block.h"
#include "classify/class_codec.h"
#include "classify/prediction_band.h"

#include <stdlib.h>
#include <string.h>

static struct tl_err err;

static uint32_t next(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

/* Fields of about 20 pixels with noisy edges, a masked corner and a nodata stripe. */
static void draw_land(struct class_map *map, uint32_t seed)
{
    uint32_t shift = seed;

    for (uint32_t i = 0; i < CLASS_PIXELS; i++) {
        uint32_t x = i % CLASS_BLOCK, y = i / CLASS_BLOCK;
        uint32_t field = (x / 20 * 7 + y / 23 * 13 + shift) % 9;
        uint32_t noise = next(&seed) % 100;

        map->label[i] = (uint8_t)(noise < 8 ? noise : field * 3);
        map->confidence[i] = (uint8_t)(40 + (field * 5 + next(&seed) % 25) % 61);
        if (x + y < 200)
            map->label[i] = CLASS_MASKED;
        if (x > 300 && x < 330)
            map->label[i] = CLASS_NODATA;
        if (map->label[i] >= CLASS_MASKED)
            map->confidence[i] = 0;
    }
}

static void draw_noise(struct class_map *map, uint32_t labels, uint32_t seed)
{
    for (uint32_t i = 0; i < CLASS_PIXELS; i++) {
        map->label[i] = (uint8_t)(next(&seed) % labels);
        map->confidence[i] = map->label[i] < CLASS_MASKED ? (uint8_t)(next(&seed) % 101) : 0;
    }
}

/* Encodes, decodes, compares; returns the size. */
static size_t round_trip(const struct class_map *map)
{
    AUTO_BUF bytes = {0};
    AUTO(class_map) back = class_map_new(map->bands);

    class_codec_encode(map, &bytes);
    assert_false(buf_failed(&bytes));
    assert_ok(class_codec_decode(bytes.bytes, bytes.size, back, &err));
    assert_memory_equal(back->samples, map->samples, map->bands * CLASS_PIXELS);
    return bytes.size;
}

TEST(every_kind_of_block_comes_back_as_it_was)
{
    AUTO(class_map) map = class_map_new(CLASS_BANDS);

    round_trip(map);
    draw_land(map, 1);
    round_trip(map);
    for (uint32_t labels = 1; labels <= 256; labels = labels * 2 + labels / 3) {
        draw_noise(map, labels, labels);
        round_trip(map);
    }
    draw_noise(map, 256, 5);
    round_trip(map);
    for (uint32_t i = 0; i < CLASS_PIXELS; i++)
        map->label[i] = i % 2 ? 253 : 0;
    for (uint32_t i = 0; i < CLASS_PIXELS; i++)
        map->confidence[i] = i % 2 ? 100 : 0;
    round_trip(map);
}

/* Further bands: percents where something was classified, CLASS_UNSAID elsewhere. */
static void draw_more(struct class_map *map, uint32_t seed)
{
    draw_land(map, seed);
    for (uint16_t b = CLASS_BANDS; b < map->bands; b++)
        for (size_t i = 0; i < CLASS_PIXELS; i++)
            map->samples[b * CLASS_PIXELS + i] =
                map->label[i] >= CLASS_MASKED ? CLASS_UNSAID
                                              : (uint8_t)((map->confidence[i] * b + b) % 101);
}

TEST(bands_come_back_as_many_as_they_were)
{
    static const uint16_t bands[] = {3, PREDICTION_MAX_BANDS};

    for (size_t i = 0; i < TL_COUNT(bands); i++) {
        AUTO(class_map) map = class_map_new(bands[i]);

        round_trip(map);
        draw_more(map, bands[i]);
        round_trip(map);
    }
}

TEST(a_block_of_other_bands_is_refused)
{
    AUTO(class_map) two = class_map_new(CLASS_BANDS);
    AUTO(class_map) three = class_map_new(3);
    AUTO(class_map) four = class_map_new(4);
    AUTO_BUF bytes = {0}, plain = {0};

    draw_more(three, 1);
    draw_land(two, 1);
    class_codec_encode(three, &bytes);
    class_codec_encode(two, &plain);
    assert_int_equal(plain.bytes[0], 1); /* as before there were bands */
    assert_refused(class_codec_decode(bytes.bytes, bytes.size, two, &err), TL_CORRUPT, "head");
    assert_refused(class_codec_decode(bytes.bytes, bytes.size, four, &err), TL_CORRUPT, "head");
    assert_refused(class_codec_decode(plain.bytes, plain.size, three, &err), TL_CORRUPT, "head");
    for (size_t size = 0; size < bytes.size; size += size < 64 ? 1 : 997)
        assert_int_equal(class_codec_decode(bytes.bytes, size, three, &err), TL_CORRUPT);
}

TEST(a_block_with_nothing_to_say_takes_no_room)
{
    AUTO(class_map) map = class_map_new(CLASS_BANDS);

    assert_true(round_trip(map) < 300);
    memset(map->label, CLASS_MASKED, CLASS_PIXELS);
    assert_true(round_trip(map) < 300);
    memset(map->label, 7, CLASS_PIXELS);
    memset(map->confidence, 100, CLASS_PIXELS);
    assert_true(round_trip(map) < 400);
}

TEST(land_takes_a_fraction_of_its_raw_size)
{
    AUTO(class_map) map = class_map_new(CLASS_BANDS);

    draw_land(map, 3);
    assert_true(round_trip(map) < CLASS_BANDS * CLASS_PIXELS / 2);
}

TEST(a_cut_block_is_refused_at_every_length)
{
    AUTO_BUF bytes = {0};
    AUTO(class_map) map = class_map_new(CLASS_BANDS);

    draw_land(map, 2);
    class_codec_encode(map, &bytes);
    for (size_t size = 0; size < bytes.size; size += size < 64 ? 1 : 997)
        assert_int_equal(class_codec_decode(bytes.bytes, size, map, &err), TL_CORRUPT);
    buf_append(&bytes, "\0", 1);
    assert_int_equal(class_codec_decode(bytes.bytes, bytes.size, map, &err), TL_CORRUPT);
}

TEST(damaged_bits_never_reach_beyond_the_block)
{
    AUTO_BUF bytes = {0};
    AUTO(class_map) map = class_map_new(CLASS_BANDS);
    uint32_t seed = 9;

    draw_land(map, 4);
    class_codec_encode(map, &bytes);
    for (int i = 0; i < 60; i++) {
        /* An exact copy, so that a sanitizer sees one byte past its end. */
        uint8_t *copy = malloc(bytes.size);
        memcpy(copy, bytes.bytes, bytes.size);
        for (int k = 0; k < 3; k++)
            copy[next(&seed) % (i < 30 ? 24 : bytes.size)] ^= (uint8_t)(1 + next(&seed) % 255);
        enum tl_code code = class_codec_decode(copy, bytes.size, map, &err);
        free(copy);
        assert_true(code == TL_OK || code == TL_CORRUPT);
    }
}

TEST(another_version_is_refused)
{
    AUTO_BUF bytes = {0};
    AUTO(class_map) map = class_map_new(CLASS_BANDS);

    class_codec_encode(map, &bytes);
    bytes.bytes[0]++;
    assert_refused(class_codec_decode(bytes.bytes, bytes.size, map, &err), TL_CORRUPT, "head");
}

RUN(T(bands_come_back_as_many_as_they_were), T(a_block_of_other_bands_is_refused),
    T(every_kind_of_block_comes_back_as_it_was), T(a_block_with_nothing_to_say_takes_no_room),
    T(land_takes_a_fraction_of_its_raw_size), T(a_cut_block_is_refused_at_every_length),
    T(damaged_bits_never_reach_beyond_the_block), T(another_version_is_refused))
