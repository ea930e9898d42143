#include "forest_fixture.h"
#include "tiler_fixture.h"

#include "image/indexed_png.h"
#include "tiler/render.h"

static struct tl_err err;

static struct layer_view *view_of(struct world *w, const char *id)
{
    struct errand errand = errand_unbounded();
    struct layer_view *view = NULL;

    assert_ok(layer_view_get(world_layer(w, id), "", &errand, &view, &err));
    return view;
}

static struct render_request request_for(const struct layer_view *view, struct tile_id id)
{
    return (struct render_request){.view = view,
                                   .style = layer_info(view->layer)->styles[0],
                                   .id = id,
                                   .scale = 1,
                                   .format = IMAGE_PNG};
}

static struct rendered render(const struct render_request *request, struct arena *arena)
{
    struct errand errand = errand_unbounded();
    struct rendered rendered = {0};

    assert_ok(render_tile(request, &errand, arena, &rendered, &err));
    return rendered;
}

TEST(a_tile_at_native_zoom_shows_the_land_pixel_by_pixel_and_double_size_repeats_it)
{
    AUTO_WORLD w;
    uint32_t width, height;
    uint8_t *indices;

    world_begin(&w);
    world_open(&w, 8);
    AUTO(layer_view) view = view_of(&w, "land");
    AUTO(arena) arena = arena_new();
    struct render_request request = request_for(view, noise_tile);
    for (request.scale = 1; request.scale <= 2; request.scale++) {
        AUTO(blob) png = render(&request, arena).blob;

        assert_ok(indexed_png_decode(png, arena, &width, &height, &indices, &err));
        assert_int_equal(width, 256 * request.scale);
        assert_int_equal(height, width);
        for (uint32_t i = 0; i < width * height; i++) {
            uint32_t x = i % width / request.scale, y = i / width / request.scale;

            if (view->value_of[indices[i]] != land_value(x, y, 1))
                fail_msg("pixel %u,%u of scale %u", x, y, request.scale);
        }
    }
}

TEST(tiles_of_one_class_and_of_nothing_are_made_from_constants)
{
    AUTO_WORLD w;
    struct palette palette;

    world_begin(&w);
    world_open(&w, 8);
    AUTO(layer_view) view = view_of(&w, "land");
    AUTO(arena) arena = arena_new();
    AUTO(blob) four = NULL;
    AUTO(blob) none = NULL;
    render_palette(view, layer_info(view->layer)->styles[0], NULL, &palette);
    assert_ok(indexed_png_uniform(view->index_of[4], 256, 256, &palette, &four, &err));
    struct render_request request = request_for(view, uniform_tile);
    struct rendered uniform = render(&request, arena);
    assert_false(uniform.empty);
    assert_int_equal(blob_size(uniform.blob), blob_size(four));
    assert_memory_equal(blob_bytes(uniform.blob), blob_bytes(four), blob_size(four));
    request.id = nodata_tile;
    struct rendered nothing = render(&request, arena);
    assert_true(nothing.empty);
    assert_ok(render_empty(&request, arena, &none, &err));
    assert_int_equal(blob_size(nothing.blob), blob_size(none));
    assert_memory_equal(blob_bytes(nothing.blob), blob_bytes(none), blob_size(none));
    blob_unref(uniform.blob);
    blob_unref(nothing.blob);
}

TEST(what_is_nodata_or_filtered_away_is_transparent_and_the_rest_has_its_colour)
{
    AUTO_WORLD w;
    struct palette palette;
    uint8_t show[256] = {[2] = 1};

    world_begin(&w);
    world_open(&w, 8);
    AUTO(layer_view) view = view_of(&w, "land");
    const struct style *style = layer_info(view->layer)->styles[0];
    render_palette(view, style, NULL, &palette);
    assert_int_equal(palette.count, CLASSES + 1);
    assert_memory_equal(palette.rgba[0], "\0\0\0\0", 4);
    for (uint8_t value = 1; value <= CLASSES; value++)
        assert_memory_equal(palette.rgba[view->index_of[value]], style_class_of(style, value)->rgba,
                            4);
    render_palette(view, style, show, &palette);
    for (uint8_t value = 1; value <= CLASSES; value++)
        assert_int_equal(palette.rgba[view->index_of[value]][3], value == 2 ? 255 : 0);
}

TEST(every_format_is_what_it_says)
{
    AUTO_WORLD w;

    world_begin(&w);
    world_open(&w, 8);
    AUTO(layer_view) view = view_of(&w, "land");
    AUTO(arena) arena = arena_new();
    struct render_request request = request_for(view, noise_tile);
    assert_true(render_is_indexed(layer_info(view->layer)->styles[0], IMAGE_PNG));
    assert_false(render_is_indexed(layer_info(view->layer)->styles[0], IMAGE_WEBP));
    request.format = IMAGE_WEBP;
    AUTO(blob) webp = render(&request, arena).blob;
    assert_memory_equal(blob_bytes(webp) + 8, "WEBP", 4);
    request.format = IMAGE_JPEG;
    AUTO(blob) jpeg = render(&request, arena).blob;
    assert_memory_equal(blob_bytes(jpeg), "\xFF\xD8\xFF", 3);
}

TEST(a_band_that_a_style_wants_and_the_layer_has_not_is_named)
{
    AUTO_WORLD w;
    struct errand errand = errand_unbounded();
    struct rendered rendered;

    world_begin(&w);
    world_write(&w, "styles/three.json",
                "{\"id\": \"three\", \"type\": \"rgb\", \"bands\": [1, 2, 3],"
                " \"range\": [[0, 9], [0, 9], [0, 9]]}");
    world_add_layer(&w, "numbers",
                    "{\"id\": \"numbers\", \"kind\": \"raster\", \"styles\": [\"three\"],"
                    " \"source\": {\"href\": \"http://127.0.0.1:PORT/" LAND_KEY "\"}}");
    world_open(&w, 8);
    AUTO(layer_view) view = view_of(&w, "numbers");
    AUTO(arena) arena = arena_new();
    const struct render_request request = request_for(view, noise_tile);
    assert_refused(render_tile(&request, &errand, arena, &rendered, &err), TL_INVALID,
                   "style three wants band 2, the layer has 1");
}

/* ---- below native zoom ---- */

static void add_prediction(const struct world *w, const char *id, const char *below_native)
{
    const struct fixture_wish wish = {
        .seed = 7, .features = 1, .classes = CLASSES, .trees = 3, .splits = 20, .checksum = true};
    AUTO(fixture) forest = fixture_new(&wish);
    AUTO(blob) model = fixture_blob(forest);
    char path[128], text[1024];

    snprintf(path, sizeof(path), "%s/model.tilth", w->dir);
    FILE *file = fopen(path, "wbe");
    assert_non_null(file);
    assert_int_equal(fwrite(blob_bytes(model), 1, blob_size(model), file), blob_size(model));
    fclose(file);
    snprintf(text, sizeof(text),
             "{\"id\": \"%s\", \"kind\": \"prediction\", \"grid\": {\"like\": \"s\"},"
             " \"sources\": {\"s\": {\"href\": \"http://127.0.0.1:PORT/" LAND_KEY "\"}},"
             " \"model\": {\"href\": \"../model.tilth\"},"
             " \"features\": {\"f0\": \"s.b1 / 4 - 1\"}, \"below_native\": %s}",
             id, below_native);
    world_add_layer(w, id, text);
}

static const struct tile_id below_native = {.z = LAND_Z - 1, .x = LAND_X / 2, .y = LAND_Y / 2};

TEST(an_approximation_says_so_and_is_never_kept)
{
    AUTO_WORLD w;
    struct told told;

    world_begin(&w);
    add_prediction(&w, "near", "{\"policy\": \"approx\", \"budget_blocks\": 0}");
    world_open(&w, 8);
    const struct tile_query query = query_of(world_layer(&w, "near"), below_native);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(get(&w, &query, &told), TL_OK);
        assert_true(told.tile.inexact);
        assert_int_equal(told.tile.from, TILE_RENDERED);
        forget(&told);
    }
}

TEST(policy_exact_gives_no_tile_until_its_blocks_are_there)
{
    AUTO_WORLD w;
    struct told told;

    world_begin(&w);
    add_prediction(&w, "strict", "{\"policy\": \"exact\", \"budget_blocks\": 0}");
    world_open(&w, 8);
    struct layer *strict = world_layer(&w, "strict");
    struct tile_query query = query_of(strict, below_native);
    assert_int_equal(get(&w, &query, &told), TL_ABSENT);
    for (uint32_t i = 0; i < 16; i++) { /* every tile of the land, so every block of it */
        query.id = (struct tile_id){.z = LAND_Z, .x = LAND_X + i % 4, .y = LAND_Y + i / 4};
        assert_int_equal(get(&w, &query, &told), TL_OK);
        assert_false(told.tile.inexact);
        forget(&told);
    }
    query.id = below_native;
    assert_int_equal(get(&w, &query, &told), TL_OK);
    assert_false(told.tile.inexact);
    forget(&told);
    assert_int_equal(get(&w, &query, &told), TL_OK);
    assert_int_equal(told.tile.from, TILE_HIT_RAM);
    forget(&told);
}

RUN(T(a_tile_at_native_zoom_shows_the_land_pixel_by_pixel_and_double_size_repeats_it),
    T(tiles_of_one_class_and_of_nothing_are_made_from_constants),
    T(what_is_nodata_or_filtered_away_is_transparent_and_the_rest_has_its_colour),
    T(every_format_is_what_it_says), T(a_band_that_a_style_wants_and_the_layer_has_not_is_named),
    T(an_approximation_says_so_and_is_never_kept),
    T(policy_exact_gives_no_tile_until_its_blocks_are_there))
