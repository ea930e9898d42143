#include "image/indexed_png.h"

#include "tl_test.h"

#include "base/arena.h"
#include "base/blob.h"
#include "image_fixture.h"

/* libpng and our own decoder both find these pixels and this palette in the file. */
static void assert_pixels(const struct blob *png, const uint8_t *indices, uint32_t width,
                          uint32_t height, const struct palette *palette)
{
    struct tl_err err;
    struct seen seen;
    uint32_t got_width = 0, got_height = 0;
    uint8_t *got = NULL;
    AUTO(arena) arena = arena_new();

    assert_true(see(png, &seen));
    assert_int_equal(seen.colour, PNG_COLOR_TYPE_PALETTE);
    assert_int_equal(seen.width, width);
    assert_int_equal(seen.height, height);
    assert_memory_equal(seen.pixels, indices, (size_t)width * height);
    assert_int_equal(seen.palette.count, palette->count);
    assert_memory_equal(seen.palette.rgba, palette->rgba, 4U * palette->count);
    free(seen.pixels);

    assert_ok(indexed_png_decode(png, arena, &got_width, &got_height, &got, &err));
    assert_int_equal(got_width, width);
    assert_int_equal(got_height, height);
    assert_memory_equal(got, indices, (size_t)width * height);
}

static void round_trip(enum picture kind, uint32_t width, uint32_t height, unsigned count)
{
    struct tl_err err;
    uint64_t seed = 88172645463325252ULL + width * 31 + height * 7 + count;
    struct palette palette = random_palette(count, &seed);
    uint8_t *indices = malloc((size_t)width * height);
    AUTO(arena) scratch = arena_new();
    AUTO(blob) png = NULL;

    draw(kind, width, height, count, &seed, indices);
    assert_ok(indexed_png_encode(&(struct index_image){indices, width, height}, &palette, scratch,
                                 &png, &err));
    assert_pixels(png, indices, width, height, &palette);
    free(indices);
}

TEST(every_picture_of_every_size_and_palette_decodes_to_its_pixels)
{
    static const uint32_t sides[] = {1, 2, 3, 5, 7, 8, 9, 16, 31, 64, 257};
    static const unsigned counts[] = {1, 2, 3, 4, 5, 9, 16, 17, 100, 255, 256};

    for (unsigned kind = 0; kind < PICTURE_COUNT; kind++)
        for (unsigned i = 0; i < TL_COUNT(sides); i++)
            for (unsigned j = 0; j < TL_COUNT(sides); j++)
                round_trip((enum picture)kind, sides[i], sides[j],
                           counts[(kind + i * 3 + j) % TL_COUNT(counts)]);
}

TEST(every_palette_size_from_1_to_256_works)
{
    for (unsigned count = 1; count <= 256; count++)
        round_trip(count % 2 ? SPECKLE : NOISE, 37, 19, count);
}

TEST(tiles_and_long_thin_pictures_decode_to_their_pixels)
{
    for (unsigned kind = 0; kind < PICTURE_COUNT; kind++) {
        round_trip((enum picture)kind, 256, 256, 12);
        round_trip((enum picture)kind, 513, 3, 200);
        round_trip((enum picture)kind, 3, 513, 2);
        round_trip((enum picture)kind, 16383, 2, 256);
        round_trip((enum picture)kind, 1, 16383, 4);
    }
}

TEST(bits_per_pixel_follow_the_number_of_palette_entries)
{
    static const struct {
        unsigned count;
        int depth;
    } cases[] = {{1, 1}, {2, 1}, {3, 2}, {4, 2}, {5, 4}, {16, 4}, {17, 8}, {256, 8}};

    for (unsigned i = 0; i < TL_COUNT(cases); i++) {
        struct tl_err err;
        struct seen seen;
        uint64_t seed = 1;
        uint8_t index = 0;
        struct palette palette = random_palette(cases[i].count, &seed);
        AUTO(arena) scratch = arena_new();
        AUTO(blob) png = NULL;

        assert_ok(
            indexed_png_encode(&(struct index_image){&index, 1, 1}, &palette, scratch, &png, &err));
        assert_true(see(png, &seen));
        assert_int_equal(seen.depth, cases[i].depth);
        free(seen.pixels);
    }
}

TEST(restyled_pixels_are_the_same_and_colours_are_new)
{
    struct tl_err err;
    uint64_t seed = 42;
    uint8_t indices[64 * 50];
    AUTO(arena) scratch = arena_new();

    for (unsigned count = 1; count <= 256; count += 15) {
        struct palette before = random_palette(count, &seed), after = random_palette(count, &seed);
        AUTO(blob) png = NULL;
        AUTO(blob) styled = NULL;

        draw(PATCHES, 64, 50, count, &seed, indices);
        assert_ok(indexed_png_encode(&(struct index_image){indices, 64, 50}, &before, scratch, &png,
                                     &err));
        assert_ok(indexed_png_restyle(png, &after, &styled, &err));
        assert_pixels(styled, indices, 64, 50, &after);
        assert_pixels(png, indices, 64, 50, &before);
    }
}

TEST(a_palette_of_another_size_does_not_restyle)
{
    struct tl_err err;
    uint64_t seed = 42;
    uint8_t index = 3;
    struct palette four = random_palette(4, &seed), five = random_palette(5, &seed);
    AUTO(arena) scratch = arena_new();
    AUTO(blob) png = NULL;
    AUTO(blob) styled = NULL;

    assert_ok(indexed_png_encode(&(struct index_image){&index, 1, 1}, &four, scratch, &png, &err));
    assert_refused(indexed_png_restyle(png, &five, &styled, &err), TL_INVALID, "5 entries");
    assert_null(styled);
}

TEST(a_uniform_tile_is_what_the_encoder_would_have_made_of_it)
{
    static const uint32_t sides[][2] = {{1, 1}, {1, 2}, {1, 3},   {2, 2},   {3, 1},     {5, 5},
                                        {8, 8}, {9, 3}, {4, 100}, {100, 4}, {256, 256}, {511, 513}};
    static const unsigned counts[] = {1, 2, 3, 4, 11, 16, 17, 256};
    struct tl_err err;
    uint64_t seed = 5;
    AUTO(arena) arena = arena_new();

    for (unsigned i = 0; i < TL_COUNT(sides) * TL_COUNT(counts) * 2; i++) {
        uint32_t width = sides[i / 2 % TL_COUNT(sides)][0];
        uint32_t height = sides[i / 2 % TL_COUNT(sides)][1];
        struct palette palette =
            random_palette(counts[i / 2 / TL_COUNT(sides) % TL_COUNT(counts)], &seed);
        uint8_t index = (uint8_t)(i % 2 ? palette.count - 1 : palette.count / 2);
        uint8_t *indices = malloc((size_t)width * height);
        AUTO(blob) png = NULL;

        memset(indices, index, (size_t)width * height);
        assert_ok(indexed_png_uniform(index, width, height, &palette, &png, &err));
        assert_pixels(png, indices, width, height, &palette);
        free(indices);
    }
    arena_reset(arena);
}

TEST(a_uniform_tile_of_any_length_ends_on_a_legal_match)
{
    struct tl_err err;
    uint64_t seed = 9;
    uint8_t indices[300 * 4];
    struct palette palette = random_palette(40, &seed);

    memset(indices, 39, sizeof(indices));
    for (uint32_t width = 250; width < 300; width++) {
        for (uint32_t height = 1; height <= 4; height++) {
            AUTO(blob) png = NULL;

            assert_ok(indexed_png_uniform(39, width, height, &palette, &png, &err));
            assert_pixels(png, indices, width, height, &palette);
        }
    }
}

TEST(an_index_outside_the_palette_is_refused_and_named)
{
    struct tl_err err;
    uint64_t seed = 1;
    uint8_t indices[33] = {0};
    struct palette palette = random_palette(9, &seed);
    AUTO(arena) scratch = arena_new();
    AUTO(blob) png = NULL;

    for (unsigned at = 0; at < sizeof(indices); at++) {
        memset(indices, 8, sizeof(indices));
        indices[at] = 9;
        assert_refused(indexed_png_encode(&(struct index_image){indices, 33, 1}, &palette, scratch,
                                          &png, &err),
                       TL_INVALID, "class index 9");
    }
    assert_refused(indexed_png_uniform(9, 4, 4, &palette, &png, &err), TL_INVALID, "class index 9");
    assert_null(png);
}

TEST(impossible_shapes_and_palettes_are_refused)
{
    struct tl_err err;
    uint64_t seed = 1;
    uint8_t index = 0;
    struct palette palette = random_palette(2, &seed), none = {.count = 0}, huge = {.count = 257};
    AUTO(arena) scratch = arena_new();
    AUTO(blob) png = NULL;

    assert_refused(
        indexed_png_encode(&(struct index_image){&index, 0, 1}, &palette, scratch, &png, &err),
        TL_LIMIT, "0x1");
    assert_refused(
        indexed_png_encode(&(struct index_image){&index, 16384, 1}, &palette, scratch, &png, &err),
        TL_LIMIT, "16383");
    assert_refused(indexed_png_uniform(0, 1, 16384, &palette, &png, &err), TL_LIMIT, "16383");
    assert_refused(
        indexed_png_encode(&(struct index_image){&index, 1, 1}, &none, scratch, &png, &err),
        TL_INVALID, "0 entries");
    assert_refused(
        indexed_png_encode(&(struct index_image){&index, 1, 1}, &huge, scratch, &png, &err),
        TL_INVALID, "257 entries");
    assert_null(png);
}

TEST(a_file_cut_anywhere_is_refused)
{
    struct tl_err err;
    uint64_t seed = 77;
    uint8_t indices[32 * 32];
    struct palette palette = random_palette(7, &seed);
    AUTO(arena) arena = arena_new();
    AUTO(blob) png = NULL;

    draw(PATCHES, 32, 32, 7, &seed, indices);
    assert_ok(
        indexed_png_encode(&(struct index_image){indices, 32, 32}, &palette, arena, &png, &err));
    for (size_t size = 0; size < blob_size(png); size++) {
        uint32_t width, height;
        uint8_t *got;
        AUTO(blob) cut = blob_copy(blob_bytes(png), size);
        AUTO(blob) styled = NULL;

        assert_refused(indexed_png_decode(cut, arena, &width, &height, &got, &err), TL_CORRUPT,
                       "indexed PNG");
        assert_refused(indexed_png_restyle(cut, &palette, &styled, &err), TL_CORRUPT,
                       "indexed PNG");
    }
}

/* PLTE and tRNS bytes are colours, any will do; a change anywhere else must be found. */
TEST(a_damaged_byte_never_decodes_to_other_pixels)
{
    struct tl_err err;
    uint64_t seed = 78;
    uint8_t indices[24 * 24];
    struct palette palette = random_palette(7, &seed);
    AUTO(arena) arena = arena_new();
    AUTO(blob) png = NULL;

    draw(PATCHES, 24, 24, 7, &seed, indices);
    assert_ok(
        indexed_png_encode(&(struct index_image){indices, 24, 24}, &palette, arena, &png, &err));
    for (size_t at = 0; at < blob_size(png); at++) {
        uint32_t width = 0, height = 0;
        uint8_t *got = NULL;
        AUTO(blob) bad = blob_copy(blob_bytes(png), blob_size(png));

        blob_writable(bad)[at] ^= 0x10;
        if (indexed_png_decode(bad, arena, &width, &height, &got, &err) != TL_OK)
            continue;
        assert_int_equal(width, 24);
        assert_int_equal(height, 24);
        assert_memory_equal(got, indices, sizeof(indices));
    }
}

TEST(a_small_file_that_claims_many_pixels_costs_no_memory)
{
    struct tl_err err;
    uint64_t seed = 1;
    uint32_t width, height;
    uint8_t *got;
    struct palette palette = random_palette(200, &seed);
    AUTO(arena) arena = arena_new();
    AUTO(blob) png = NULL;

    assert_ok(indexed_png_uniform(0, 4, 4, &palette, &png, &err));
    blob_writable(png)[18] = 0x3f; /* 4 becomes 16132 pixels wide */
    blob_writable(png)[22] = 0x3f;
    assert_refused(indexed_png_decode(png, arena, &width, &height, &got, &err), TL_CORRUPT,
                   "too small");
    assert_int_equal(arena_used(arena), 0);
}

RUN(T(every_picture_of_every_size_and_palette_decodes_to_its_pixels),
    T(every_palette_size_from_1_to_256_works),
    T(tiles_and_long_thin_pictures_decode_to_their_pixels),
    T(bits_per_pixel_follow_the_number_of_palette_entries),
    T(restyled_pixels_are_the_same_and_colours_are_new),
    T(a_palette_of_another_size_does_not_restyle),
    T(a_uniform_tile_is_what_the_encoder_would_have_made_of_it),
    T(a_uniform_tile_of_any_length_ends_on_a_legal_match),
    T(an_index_outside_the_palette_is_refused_and_named),
    T(impossible_shapes_and_palettes_are_refused), T(a_file_cut_anywhere_is_refused),
    T(a_damaged_byte_never_decodes_to_other_pixels),
    T(a_small_file_that_claims_many_pixels_costs_no_memory))
