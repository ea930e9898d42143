#include "tiler_fixture.h"

#include "raster/block.h"

static struct tl_err err;

static enum tl_code open_view(struct world *w, const char *id, struct layer_view **ret_view)
{
    struct errand errand = errand_unbounded();

    return layer_view_get(world_layer(w, id), "", &errand, ret_view, &err);
}

#define LAND_SOURCE(more)                                                \
    "\"source\": {\"href\": \"http://127.0.0.1:PORT/" LAND_KEY "\"" more \
    "}, \"styles\": [\"plain\"]}"

TEST(a_view_knows_where_its_land_is_and_which_zoom_is_its_own)
{
    const double span = 2 * 20037508.342789244 / (1 << LAND_Z);
    AUTO_WORLD w;

    world_begin(&w);
    world_open(&w, 8);
    AUTO(layer_view) view = NULL;
    assert_ok(open_view(&w, "land", &view));
    assert_int_equal(view->native_zoom, LAND_Z);
    assert_near(view->mercator.xmin, 0, 1e-6);
    assert_near(view->mercator.xmax, 4 * span, 1e-6);
    assert_near(view->mercator.ymin, 0, 1e-6);
    assert_near(view->mercator.ymax, 4 * span, 1e-6);
    assert_near(view->lonlat.xmax, 4 * 360.0 / (1 << LAND_Z), 1e-9);
    assert_int_equal(view->band_count, 1);
}

TEST(every_class_that_a_style_knows_has_an_index_of_its_own)
{
    AUTO_WORLD w;

    world_begin(&w);
    world_write(&w, "styles/ninth.json",
                "{\"id\": \"ninth\", \"type\": \"classes\", \"classification:classes\":"
                " [{\"value\": 200, \"name\": \"far\", \"color_hint\": \"010203\"}]}");
    world_add_layer(&w, "two",
                    "{\"id\": \"two\", \"kind\": \"raster\", \"classes\": true,"
                    " \"source\": {\"href\": \"http://127.0.0.1:PORT/" LAND_KEY "\"},"
                    " \"styles\": [\"plain\", \"ninth\"]}");
    world_open(&w, 8);
    AUTO(layer_view) view = NULL;
    assert_ok(open_view(&w, "two", &view));
    assert_int_equal(view->index_count, 1 + CLASSES + 1);
    for (unsigned value = 0; value < 256; value++) {
        bool known = (value >= 1 && value <= CLASSES) || value == 200;

        assert_int_equal(view->index_of[value] != 0, known);
        if (known)
            assert_int_equal(view->value_of[view->index_of[value]], value);
    }
}

TEST(what_does_not_fit_the_file_is_the_operators_fault_and_named)
{
    AUTO_WORLD w;
    struct layer_view *view;

    world_begin(&w);
    world_put_land(&w, "wide", 1, true);
    world_add_layer(&w, "wide",
                    "{\"id\": \"wide\", \"kind\": \"raster\", \"classes\": true,"
                    " \"source\": {\"href\": \"http://127.0.0.1:PORT/bucket/wide.tif\"},"
                    " \"styles\": [\"plain\"]}");
    world_add_layer(&w, "third",
                    "{\"id\": \"third\", \"kind\": \"raster\", \"classes\": true, " LAND_SOURCE(
                        ", \"bands\": {\"c\": 3}"));
    world_add_layer(&w, "absent",
                    "{\"id\": \"absent\", \"kind\": \"raster\", \"classes\": true,"
                    " \"source\": {\"href\": \"http://127.0.0.1:PORT/bucket/none.tif\"},"
                    " \"styles\": [\"plain\"]}");
    world_open(&w, 8);
    assert_refused(open_view(&w, "wide", &view), TL_CORRUPT,
                   "layer wide: \"classes\": true needs uint8 samples");
    assert_refused(open_view(&w, "third", &view), TL_CORRUPT, "band 3 (\"c\") is wanted");
    assert_refused(open_view(&w, "absent", &view), TL_UPSTREAM, "layer absent: ");
}

TEST(a_view_is_opened_once_and_shared)
{
    AUTO_WORLD w;
    bool due;

    world_begin(&w);
    world_open(&w, 8);
    struct layer *land = world_layer(&w, "land");
    assert_null(layer_view_peek(land, "", &due));
    assert_false(due);
    AUTO(layer_view) first = NULL;
    AUTO(layer_view) second = NULL;
    assert_ok(open_view(&w, "land", &first));
    assert_ok(open_view(&w, "land", &second));
    AUTO(layer_view) third = layer_view_peek(land, "", &due);
    assert_ptr_equal(first, second);
    assert_ptr_equal(first, third);
    assert_false(due);
    assert_int_equal(world_opens(&w), 1);
}

TEST(other_pixels_are_another_fingerprint_and_the_same_pixels_the_same)
{
    AUTO_WORLD w;

    world_begin(&w);
    world_open(&w, 8);
    AUTO(layer_view) before = NULL;
    AUTO(layer_view) again = NULL;
    AUTO(layer_view) after = NULL;
    assert_ok(open_view(&w, "land", &before));
    layer_view_expire(before);
    assert_ok(open_view(&w, "land", &again)); /* looked, and nothing has changed */
    assert_true(hash128_equal(before->fingerprint, again->fingerprint));
    layer_view_expire(again);
    world_put_land(&w, "land", 2, false);
    assert_ok(open_view(&w, "land", &after));
    assert_ptr_not_equal(before, after);
    assert_false(hash128_equal(before->fingerprint, after->fingerprint));
    assert_int_not_equal(before->tiles_ns, after->tiles_ns);
}

TEST(a_tile_of_an_object_that_was_replaced_is_of_the_new_one)
{
    AUTO_WORLD w;
    struct told before, after;

    world_begin(&w);
    world_open(&w, 8);
    const struct tile_query query = query_of(world_layer(&w, "land"), noise_tile);
    warm_up(&w, query.layer);
    world_put_land(&w, "land", 2, false); /* the next range is refused: If-Match */
    assert_int_equal(get(&w, &query, &after), TL_OK);
    world_put_land(&w, "land", 1, false);
    bool due;
    AUTO(layer_view) view = layer_view_peek(query.layer, "", &due);
    layer_view_expire(view);
    assert_int_equal(get(&w, &query, &before), TL_OK);
    assert_int_not_equal(before.tile.etag[0], after.tile.etag[0]);
    assert_int_not_equal(before.tile.etag[1], after.tile.etag[1]);
    forget(&before);
    forget(&after);
}

RUN(T(a_view_knows_where_its_land_is_and_which_zoom_is_its_own),
    T(every_class_that_a_style_knows_has_an_index_of_its_own),
    T(what_does_not_fit_the_file_is_the_operators_fault_and_named),
    T(a_view_is_opened_once_and_shared),
    T(other_pixels_are_another_fingerprint_and_the_same_pixels_the_same),
    T(a_tile_of_an_object_that_was_replaced_is_of_the_new_one))
